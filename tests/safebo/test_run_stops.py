"""What stops a run, and what does not: workers that die, failures, Ctrl-C, a deadline, another process."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import closed_form_runs
import pytest
from closed_form_runs import HashTuner, study_text
from runs_in_tests import events_of, trials_of, tune, tune_in_processes

from safebo.console.reading import RunReader, state_of
from safebo.errors import (
    InputError,
    InterruptedRunError,
    JournalError,
    RunLockedError,
    RunStoppedError,
    UnknownTrialError,
)
from safebo.runs.deadline import Deadline
from safebo.runs.manual import resolve_trial
from safebo.runs.operators import Account
from safebo.runs.progress import Silent
from safebo.storage import run_lock as run_lock_module
from safebo.storage.journal import Journal
from safebo.storage.run_lock import LOCK_FILE, run_lock
from safebo.types import Measurement, Trial

pytestmark = pytest.mark.slow


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
