"""The run: rounds, exact resume, workers that die, and everything that stops it."""

import errno
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import closed_form_runs
import numpy as np
import pytest
from closed_form_runs import STUDY, HashTuner, study_text
from new_journal import new_journal

from safebo.console.reading import RunReader, state_of
from safebo.errors import (
    InputError,
    InterruptedRunError,
    JournalError,
    OtherFileError,
    RunExistsError,
    RunLockedError,
    RunStoppedError,
    StudyChangedError,
    StudyError,
    UnknownTrialError,
    UnsafeSeedError,
)
from safebo.experiments.robustness.killed_runs import comparable, survive
from safebo.runs.best_gains import read_best_gains
from safebo.runs.deadline import Deadline
from safebo.runs.keeping import BestKeeper
from safebo.runs.manual import resolve_trial
from safebo.runs.operators import Account
from safebo.runs.progress import Silent
from safebo.runs.runner import RunResult, run
from safebo.storage import run_lock as run_lock_module
from safebo.storage.journal import Journal
from safebo.storage.run_lock import LOCK_FILE, run_lock
from safebo.study.reading import parse_study
from safebo.types import Measurement, Trial

pytestmark = pytest.mark.slow


def tune(folder: Path, text: str = STUDY, **changes: Any) -> RunResult:
    """A run on threads of this process, with the tuner that needs no torch."""
    workers = max(changes.get("workers") or 2, 1)
    with ThreadPoolExecutor(workers) as executor:
        return run(
            parse_study(text), folder, **{"make_tuner": HashTuner, "executor": executor, "seed": 3, **changes}
        )


def tune_in_processes(folder: Path, text: str = STUDY, **changes: Any) -> RunResult:
    return run(parse_study(text), folder, **{"make_tuner": HashTuner, "seed": 3, **changes})


def trials_of(folder: Path) -> list[Any]:
    with Journal.open(folder, read_only=True) as journal:
        return [comparable(record) for record in journal.records()]


def events_of(folder: Path) -> list[str]:
    with Journal.open(folder, read_only=True) as journal:
        return [event.kind for event in journal.events()]


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


def test_workers_load_no_torch_and_use_one_thread(tmp_path: Path) -> None:
    text = study_text(evaluator="closed_form_runs:loaded_modules")
    tune_in_processes(tmp_path, text, trials=1)
    ((_, measurement, _),) = trials_of(tmp_path)
    assert measurement["extra"] == {"heavy": 0.0, "threads": 1.0}


def test_a_worker_that_dies_costs_only_time(tmp_path: Path) -> None:
    options = f"{{repeatable: true, marker: {tmp_path / 'marker'}, times: 1}}"
    text = study_text(evaluator="closed_form_runs:dies", options=options)
    tune_in_processes(tmp_path / "run", text, trials=4, workers=2)
    assert "worker-died" in events_of(tmp_path / "run")
    assert [m["outcome"] for _, m, _ in trials_of(tmp_path / "run")] == ["completed"] * 4


def test_a_worker_that_dies_takes_no_other_trial_of_a_round_that_more_workers_began(tmp_path: Path) -> None:
    class Cut(Silent):
        def told(self, trial: Trial, measurement: Measurement) -> None:
            raise RuntimeError("cut")

    marker = tmp_path / "marker"
    marker.write_text("x")
    text = study_text(
        evaluator="closed_form_runs:dies", options=f"{{repeatable: true, marker: {marker}, times: 1}}"
    )
    with pytest.raises(RuntimeError, match="cut"):
        tune_in_processes(tmp_path / "run", text, trials=3, workers=3, progress=Cut())
    marker.unlink()
    tune_in_processes(tmp_path / "run", text, trials=3, workers=1, resume=True)
    assert events_of(tmp_path / "run").count("worker-died") == 1
    assert [m["outcome"] for _, m, _ in trials_of(tmp_path / "run")] == ["completed"] * 3


def test_a_trial_that_kills_every_worker_is_failed_in_the_end(tmp_path: Path) -> None:
    options = f"{{repeatable: true, marker: {tmp_path / 'marker'}, times: 3}}"
    text = study_text(evaluator="closed_form_runs:dies", options=options)
    tune_in_processes(tmp_path / "run", text, trials=3)
    outcomes = [(m["outcome"], m["message"]) for _, m, _ in trials_of(tmp_path / "run")]
    assert outcomes[0] == ("completed", "")
    assert outcomes[1] == (
        "failed",
        "its worker process died 3 times; it was ended by SIGKILL (often the system, out of memory)",
    )
    assert outcomes[2][0] == "completed"


def test_a_trial_that_may_not_be_repeated_waits_for_a_person(tmp_path: Path) -> None:
    options = f"{{repeatable: false, marker: {tmp_path / 'marker'}, times: 1}}"
    text = study_text(evaluator="closed_form_runs:dies", options=options)
    folder = tmp_path / "run"
    for resume in (False, True):
        with pytest.raises(UnknownTrialError, match=r"trial 2: .*safebo resolve .* 2 --as WORD") as caught:
            tune_in_processes(folder, text, trials=4, workers=1, resume=resume)
        assert resume or "(its worker process was ended by SIGKILL" in str(caught.value)
    with Journal.open(folder, read_only=True) as journal:
        assert [record.status for record in journal.records()] == ["told", "unknown"]
    file = tmp_path / "seen.yaml"
    file.write_text("objective: 1.0\nmargins: {heigth: 2.0}\n")
    with pytest.raises(InputError, match="margin 'height' is missing"):
        resolve_trial(folder, 2, file)
    file.write_text("objective: 1.0\nmargins: {height: 2.0}\n")
    told = resolve_trial(folder, 2, file)
    assert told is not None
    assert told.objective == 1.0
    with pytest.raises(InputError, match="told already"):
        resolve_trial(folder, 2, Account("failed"))
    with pytest.raises(InputError, match=r"unknown trial 9"):
        resolve_trial(folder, 9, Account("failed"))
    assert tune_in_processes(folder, text, trials=4, resume=True).told == 4
    assert trials_of(folder)[1][1]["objective"] == 1.0


@pytest.mark.parametrize(
    ("evaluator", "message"),
    [
        ("closed_form_runs:not_a_number", "margin 'height' is nan"),
        ("closed_form_runs:raises", "ZeroDivisionError: the robot is not there"),
    ],
)
def test_failures_in_a_row_stop_the_run_and_are_kept(tmp_path: Path, evaluator: str, message: str) -> None:
    text = study_text(evaluator=evaluator)
    with pytest.raises(RunStoppedError, match=rf"3 trials in a row failed; .*{message}"):
        tune(tmp_path, text, workers=1)
    trials = trials_of(tmp_path)
    assert [m["outcome"] for _, m, _ in trials] == ["failed"] * 3
    assert all(message in m["message"] for _, m, _ in trials)
    assert events_of(tmp_path)[-1] == "stopped"


def test_gains_that_are_no_longer_certified_do_not_stay_behind(tmp_path: Path) -> None:
    class Disappointed(HashTuner):
        def best(self, context: str | None = None) -> Any:
            return None if len(self.records) > 4 else super().best(context)

    tune(tmp_path, make_tuner=Disappointed, workers=1, trials=3)
    assert (tmp_path / "best.yaml").exists()
    tune(tmp_path, make_tuner=Disappointed, workers=1, trials=6, resume=True)
    assert not (tmp_path / "best.yaml").exists()


def test_a_measurement_that_cannot_be_saved_stops_the_run_and_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = Journal.tell

    def full(self: Journal, trial_id: int, measurement: Measurement) -> None:
        if trial_id == 4:
            raise JournalError("the disk is full.")
        tell(self, trial_id, measurement)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "tell", full)
        with pytest.raises(JournalError, match=r"the disk is full. Trial 4 will be evaluated again"):
            tune(tmp_path / "a", workers=1)
        with pytest.raises(
            JournalError, match=r'Trial 4 ran and showed {"objective": .*"height": .*safebo resolve'
        ):
            tune(tmp_path / "b", study_text(options="{}"), workers=1)
    tune(tmp_path / "a", resume=True)
    tune(tmp_path / "whole", workers=1)
    assert trials_of(tmp_path / "a") == trials_of(tmp_path / "whole")


def interrupted(tmp_path: Path, pause: float, signals: int, after: int) -> subprocess.CompletedProcess:
    code = (
        "import sys; from rich.console import Console\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from closed_form_runs import STUDY, HashTuner\n"
        "from safebo.runs.progress import PlainLines\nfrom safebo.runs.runner import run\n"
        "from safebo.study.reading import parse_study\nfrom safebo.errors import SafeboError\n"
        "class Lines(PlainLines):\n"
        "    def asked(self, trial): print('asked', trial.id, flush=True)\n"
        "if __name__ == '__main__':\n"
        f"    text = STUDY.replace('repeatable: true', 'repeatable: true, pause: {pause}')\n"
        "    try:\n"
        "        run(parse_study(text), sys.argv[2], seed=3, trials=20, make_tuner=HashTuner,\n"
        "            progress=Lines(Console()))\n"
        "    except SafeboError as error:\n"
        "        print(type(error).__name__, error, flush=True)\n"
    )
    here = str(Path(closed_form_runs.__file__).parent)
    process = subprocess.Popen(
        [sys.executable, "-c", code, here, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for _ in range(after):
        process.stdout.readline()
    for number in range(signals):
        if number:  # the first has to be taken before the second comes
            assert "Ctrl-C again" in process.stdout.readline()
        # As a terminal does it: to the workers too.
        os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    return subprocess.CompletedProcess(process.args, process.returncode, output)


def test_one_ctrl_c_finishes_the_trial_that_runs(tmp_path: Path) -> None:
    result = interrupted(tmp_path, pause=0.2, signals=1, after=5)
    assert "InterruptedRunError stopped after" in result.stdout
    assert "go on with --resume" in result.stdout
    assert "Traceback" not in result.stdout
    with Journal.open(tmp_path, read_only=True) as journal:
        records = journal.records()
    assert 2 <= len(records) < 20
    assert all(record.status == "told" for record in records)
    assert (tmp_path / "best.yaml").exists()


def test_two_ctrl_c_leave_the_trial_that_runs(tmp_path: Path) -> None:
    result = interrupted(tmp_path, pause=5.0, signals=2, after=1)
    assert "Traceback" not in result.stdout
    assert "stopped after 0 trials; go on with --resume (trial 1 did not finish and will be" in result.stdout
    with Journal.open(tmp_path, read_only=True) as journal:
        assert [record.status for record in journal.records()] == ["asked"]


def test_a_stop_request_between_rounds_resumes_to_the_same_trials(tmp_path: Path) -> None:
    class Impatient(HashTuner):
        def tell(self, trial: Trial, measurement: Measurement) -> None:
            super().tell(trial, measurement)
            if trial.id == 4:
                signal.raise_signal(signal.SIGTERM)

    with pytest.raises(InterruptedRunError, match="stopped after 4 trials"):
        tune(tmp_path / "run", make_tuner=Impatient)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    tune(tmp_path / "run", resume=True)
    tune(tmp_path / "whole")
    assert trials_of(tmp_path / "run") == trials_of(tmp_path / "whole")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_whose_minutes_are_over_leaves_the_rest_to_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    told: list[int] = []

    class Counted(HashTuner):
        def tell(self, trial: Trial, measurement: Measurement) -> None:
            super().tell(trial, measurement)
            told.append(trial.id)

    monkeypatch.setattr(Deadline, "over", property(lambda self: len(told) >= 4))
    result = tune(tmp_path / "run", make_tuner=Counted, workers=workers, minutes=45)
    assert (result.told, result.left) == (4, "The run's 45 minutes are over: 4 of 8 trials are done.")
    assert (tmp_path / "run/best.yaml").exists()
    with Journal.open(tmp_path / "run", read_only=True) as journal:
        assert [(e.kind, e.text) for e in journal.events()][-1] == ("stopped", result.left)
    assert state_of(RunReader("run", tmp_path / "run").snapshot(), None, True).text.endswith(
        "the run ends after 45 minutes."
    )
    result = tune(tmp_path / "run", resume=True, workers=workers)
    assert (result.told, result.left) == (8, "")
    assert "run ends" not in state_of(RunReader("run", tmp_path / "run").snapshot(), None, True).text
    tune(tmp_path / "whole", workers=workers)
    assert trials_of(tmp_path / "run") == trials_of(tmp_path / "whole")


def test_a_deadline_goes_by_a_clock_that_nobody_sets() -> None:
    now = [100.0]
    deadline = Deadline(1.5, clock=lambda: now[0])
    now[0] += 89.9
    assert not deadline.over
    now[0] += 0.1
    assert deadline.over


@pytest.mark.parametrize("minutes", [0, -3, float("nan"), float("inf")])
def test_minutes_that_are_none_are_refused(tmp_path: Path, minutes: float) -> None:
    with pytest.raises(InputError, match="minutes must be a number above 0"):
        tune(tmp_path / "run", minutes=minutes)
    assert not (tmp_path / "run").exists()


def test_a_run_that_still_loads_has_one_owner(tmp_path: Path) -> None:
    """Refused processes take nothing away, however many come; then the folder is free again."""
    folder = tmp_path / "run"
    folder.mkdir()
    with run_lock(folder):
        before = (folder / LOCK_FILE).stat()
        for _ in range(3):
            with pytest.raises(RunLockedError, match=f"process {os.getpid()}"):
                tune(folder)
        assert os.path.samestat((folder / LOCK_FILE).stat(), before)
    assert tune(folder, trials=2).told == 2


def test_a_lock_whose_file_was_taken_away_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused study's process unlinks the file before it lets go: who opened it just before must open it anew."""
    opened = run_lock_module._opened
    taken: list[int] = []

    def open_and_lose(path: Path) -> int:
        descriptor = opened(path)
        if not taken:
            path.unlink()
        taken.append(descriptor)
        return descriptor

    monkeypatch.setattr(run_lock_module, "_opened", open_and_lose)
    with run_lock(tmp_path), pytest.raises(RunLockedError), run_lock(tmp_path):
        pass
    assert len(taken) == 3
