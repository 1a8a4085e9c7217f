"""The run: rounds, exact resume, its best gains, and what it refuses."""

import errno
import sys
from pathlib import Path
from typing import Any

import closed_form_runs
import numpy as np
import pytest
from closed_form_runs import STUDY, HashTuner, study_text
from new_journal import new_journal
from runs_in_tests import events_of, trials_of, tune, tune_in_processes

from safebo.errors import (
    InputError,
    OtherFileError,
    RunExistsError,
    RunStoppedError,
    StudyChangedError,
    StudyError,
    UnknownTrialError,
    UnsafeSeedError,
)
from safebo.experiments.robustness.killed_runs import survive
from safebo.runs.best_gains import read_best_gains
from safebo.runs.keeping import BestKeeper
from safebo.runs.progress import Silent
from safebo.storage.journal import Journal
from safebo.study.reading import parse_study
from safebo.types import Measurement, Trial

pytestmark = pytest.mark.slow


def test_a_run_asks_tells_and_leaves_its_best_gains(tmp_path: Path) -> None:
    result = tune(tmp_path / "run")
    trials = trials_of(tmp_path / "run")
    assert result.told == len(trials) == 8
    assert trials[0][0]["phase"] == "seed"
    assert all(measurement["outcome"] == "completed" for _, measurement, _ in trials)
    best = read_best_gains(tmp_path / "run" / "best.yaml")
    top = max(trials, key=lambda trial: trial[1]["objective"])
    assert best.gains == top[0]["parameters"]
    assert best.certified
    assert events_of(tmp_path / "run") == ["started", "finished"]


def test_the_tuner_gets_measurements_as_they_are_read_back(tmp_path: Path) -> None:
    """Numpy numbers of an evaluator would print, hash or serialise differently after a resume."""
    seen: list[Measurement] = []

    class Watching(HashTuner):
        def tell(self, trial: Trial, measurement: Measurement) -> None:
            seen.append(measurement)
            super().tell(trial, measurement)

    tune(tmp_path, make_tuner=Watching, trials=2)
    assert {type(m.objective) for m in seen} == {float}
    assert {type(value) for m in seen for value in m.margins.values()} == {float}


def test_results_do_not_depend_on_which_of_two_trials_ends_first(tmp_path: Path) -> None:
    tune(tmp_path / "even", workers=2)
    text = study_text(evaluator="closed_form_runs:slow_first")
    tune(tmp_path / "odd", text, workers=2)
    assert trials_of(tmp_path / "even") == trials_of(tmp_path / "odd")
    assert [number for _, _, number in trials_of(tmp_path / "odd")] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_rounds_are_asked_before_they_are_told(tmp_path: Path) -> None:
    """With two workers the second trial of a round cannot know the first one's result."""
    tune(tmp_path / "one", workers=1)
    tune(tmp_path / "two", workers=2)
    one, two = trials_of(tmp_path / "one"), trials_of(tmp_path / "two")
    assert one[0][0] == two[0][0]
    assert one[1][0]["parameters"] != two[1][0]["parameters"]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_run_cut_anywhere_resumes_to_the_same_trials(tmp_path: Path, workers: int) -> None:
    """Every prefix of what a run writes, results that arrived in another order included."""
    tune(tmp_path / "whole", workers=workers, trials=5)
    whole = trials_of(tmp_path / "whole")
    with Journal.open(tmp_path / "whole", read_only=True) as journal:
        records = journal.records()
    steps: list[tuple[str, int]] = []
    for first in range(0, 5, workers):
        members = list(range(first, min(first + workers, 5)))
        steps += [("ask", i) for i in members] + [("tell", i) for i in reversed(members)]
    file = parse_study(STUDY)
    for cut in range(len(steps) + 1):
        folder = tmp_path / f"cut{cut}"
        journal = new_journal(folder, file.study, text=STUDY, seed=3, trials=5, workers=workers)
        for action, index in steps[:cut]:
            if action == "ask":
                journal.ask(records[index].trial, records[index].round)
            else:
                journal.tell(records[index].trial.id, records[index].measurement or Measurement("failed"))
        journal.close()
        tune(folder, resume=True, workers=None)
        assert trials_of(folder) == whole, f"cut after {cut} steps"


def command_without_torch(workers: int) -> Any:
    code = (
        "import sys; from pathlib import Path; from rich.console import Console\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from closed_form_runs import STUDY, HashTuner\n"
        "from safebo.runs.progress import PlainLines\nfrom safebo.runs.runner import run\n"
        "from safebo.study.reading import parse_study\n"
        "if __name__ == '__main__':\n"
        "    text = STUDY.replace('{repeatable: true}', '{repeatable: true, pause: 0.05}')\n"
        "    run(parse_study(text), sys.argv[2], seed=int(sys.argv[3]), resume=True,\n"
        f"        workers={workers}, trials=12, make_tuner=HashTuner, progress=PlainLines(Console()))\n"
    )
    here = str(Path(closed_form_runs.__file__).parent)
    return lambda folder, seed: [sys.executable, "-c", code, here, str(folder), str(seed)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_killed_at_random_moments_loses_nothing(tmp_path: Path, workers: int) -> None:
    rng = np.random.default_rng(workers)
    result = survive(command_without_torch(workers), tmp_path, 5, kills=2, lifetime=0.3, rng=rng)
    assert result.faults == []
    assert result.trials == 12
    assert result.kills >= 1


def test_resuming_starts_an_empty_folder_extends_a_run_and_leaves_a_finished_one(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    assert tune(folder, resume=True, trials=4).told == 4
    before = trials_of(folder)
    assert tune(folder, resume=True).told == 4
    assert trials_of(folder) == before
    assert tune(folder, resume=True, trials=8).told == 8
    tune(tmp_path / "whole")
    assert trials_of(folder) == trials_of(tmp_path / "whole")
    assert events_of(folder) == ["started", "finished", "resumed", "finished"]


def test_a_finished_run_that_is_resumed_tells_its_best_gains_again(tmp_path: Path) -> None:
    first = tune(tmp_path)
    again = tune(tmp_path, resume=True)
    assert again.best == first.best == {"default": read_best_gains(tmp_path / "best.yaml")}
    assert again.files == first.files


def test_gains_that_are_older_than_the_last_trial_are_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed after the last trial, before its gains are written, leaves those of a trial before."""

    def killed(self: BestKeeper, *_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    tune(tmp_path / "whole")
    tune(tmp_path / "killed", trials=2)
    old = read_best_gains(tmp_path / "killed" / "best.yaml")
    with monkeypatch.context() as patch:
        patch.setattr(BestKeeper, "keep_sometimes", lambda *_: None)
        patch.setattr(BestKeeper, "keep", killed)
        with pytest.raises(KeyboardInterrupt):
            tune(tmp_path / "killed", trials=8, resume=True)
    assert read_best_gains(tmp_path / "killed" / "best.yaml") == old
    result = tune(tmp_path / "killed", resume=True)
    assert (
        result.best["default"].gains == read_best_gains(tmp_path / "whole" / "best.yaml").gains != old.gains
    )
    assert events_of(tmp_path / "killed")[-2:] == ["resumed", "finished"]


def test_extending_a_run_whose_last_round_was_short_asks_what_a_longer_run_would_have(tmp_path: Path) -> None:
    tune(tmp_path / "whole", workers=3, trials=8)
    for first in (4, 5, 7):
        folder = tmp_path / str(first)
        tune(folder, workers=3, trials=first)
        tune(folder, workers=None, trials=8, resume=True)
        assert trials_of(folder) == trials_of(tmp_path / "whole")


@pytest.mark.parametrize("trials", [1, 8])
def test_an_unsafe_seed_is_said_even_when_no_trial_follows_it(tmp_path: Path, trials: int) -> None:
    text = study_text(evaluator="closed_form_runs:unsafe")
    for resume in (False, True):
        with pytest.raises(UnsafeSeedError, match=r"trial 1 measured height = -1 .* p 2, d 1"):
            tune(tmp_path, text, trials=trials, workers=1, resume=resume)
    assert len(trials_of(tmp_path)) == 1


def test_a_disk_that_is_full_for_the_evaluator_is_no_failed_trial(tmp_path: Path) -> None:
    """The gains are not at fault, so nothing is recorded of them; with room again the run is as it would be."""
    (tmp_path / "never").touch()
    whole, cut = (f"{{repeatable: true, marker: {tmp_path / name}}}" for name in ("never", "room"))
    tune_in_processes(
        tmp_path / "whole", study_text(evaluator="closed_form_runs:no_room", options=whole), trials=4
    )
    text = study_text(evaluator="closed_form_runs:no_room", options=cut)
    with pytest.raises(RunStoppedError, match=r"disk is full: trial 2 .*will be evaluated again") as caught:
        tune_in_processes(tmp_path / "cut", text, trials=4)
    assert not isinstance(caught.value, UnknownTrialError)
    with Journal.open(tmp_path / "cut", read_only=True) as journal:
        assert [record.status for record in journal.records()] == ["told", "asked"]
    (tmp_path / "room").touch()
    tune_in_processes(tmp_path / "cut", text, trials=4, resume=True)
    assert trials_of(tmp_path / "cut") == trials_of(tmp_path / "whole")


def test_a_full_disk_leaves_a_trial_that_may_not_be_repeated_to_a_person(tmp_path: Path) -> None:
    options = f"{{repeatable: false, marker: {tmp_path / 'room'}}}"
    text = study_text(evaluator="closed_form_runs:no_room", options=options)
    with pytest.raises(UnknownTrialError, match=r"disk is full: .*safebo resolve .* 2 --as WORD"):
        tune(tmp_path / "run", text, workers=1)


def test_best_gains_that_cannot_be_written_leave_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(RunStoppedError, match=r"all 2 trials are done and kept, .*No space left"):
        tune(tmp_path, trials=2)
    assert len(trials_of(tmp_path)) == 2
    assert not list(tmp_path.glob("best*"))


def test_gains_of_somebody_else_are_not_written_over(tmp_path: Path) -> None:
    """Neither before a run, nor while it stands still, nor while it goes on; each time it says how to go on."""
    mine = tmp_path / "best.yaml"
    mine.write_text("gains: {p: 1}")
    with pytest.raises(
        OtherFileError, match=r"best\.yaml: was not written by this run.*Move it elsewhere, or choose"
    ):
        tune(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["best.yaml"]
    mine.rename(tmp_path / "mine.yaml")
    tune(tmp_path, trials=3)
    changed = mine.read_text().replace("p: ", "p: 1")
    mine.write_text(changed)
    with pytest.raises(OtherFileError, match=r"or was changed since"):
        tune(tmp_path, resume=True, trials=4)
    assert mine.read_text() == changed
    mine.unlink()

    class Meddler(Silent):
        def told(self, trial: Trial, measurement: Measurement) -> None:
            mine.write_text("mine")

    with pytest.raises(RunStoppedError, match=r"all 5 trials are done and kept, but .*left as it is"):
        tune(tmp_path, resume=True, trials=5, progress=Meddler())
    assert mine.read_text() == "mine"
    mine.unlink()
    assert tune(tmp_path, resume=True).files == {"default": mine}


def test_a_finished_run_gives_its_gains_again_when_they_are_gone(tmp_path: Path) -> None:
    tune(tmp_path)
    text = (tmp_path / "best.yaml").read_text()
    (tmp_path / "best.yaml").unlink()
    tune(tmp_path, resume=True)
    assert (tmp_path / "best.yaml").read_text() == text


def test_what_cannot_be_run_changes_nothing(tmp_path: Path) -> None:
    tune(tmp_path / "run", trials=2)
    before = trials_of(tmp_path / "run")
    with pytest.raises(RunExistsError, match="--resume"):
        tune(tmp_path / "run")
    with pytest.raises(InputError, match="--seed 3"):
        tune(tmp_path / "run", resume=True, seed=4)
    changed = STUDY.replace("[0, 10]", "[0, 9]").replace("trials: 8", "trials: 9")
    with pytest.raises(StudyChangedError) as caught:
        tune(tmp_path / "run", changed, resume=True)
    assert "parameters[0].bounds[1]: 10.0 -> 9.0" in str(caught.value)
    assert "trials: 8 -> 9" in str(caught.value)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        tune(tmp_path / "file")
    with pytest.raises(InputError, match="cannot be made"):
        tune(tmp_path / "file" / "below")
    wrongs: list[dict[str, Any]] = [{"trials": 0}, {"workers": -1}]
    for wrong in wrongs:
        with pytest.raises(InputError, match="must be a whole number from 1"):
            tune(tmp_path / "other", **wrong)
    assert trials_of(tmp_path / "run") == before
    assert not (tmp_path / "other").exists()


def test_a_study_that_its_evaluator_refuses_leaves_no_folder(tmp_path: Path) -> None:
    for name in ("closed_form_runs:nothing", "no_module:f"):
        with pytest.raises(StudyError, match=r"evaluator\.name"):
            tune(tmp_path / "run", study_text(evaluator=name))
        assert not (tmp_path / "run").exists()
    with pytest.raises(StudyError, match=r"evaluator.options.pace: bowl\(\) has no argument 'pace'"):
        tune_in_processes(tmp_path / "run", study_text(options="{pace: 1}"))
    assert not (tmp_path / "run").exists()
