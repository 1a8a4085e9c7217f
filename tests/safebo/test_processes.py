"""Processes of evaluators: each way in which one ends costs its trial alone, and none outlives its run."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import unruly_evaluators
from closed_form_runs import STUDY, HashTuner
from hypothesis import given
from hypothesis import strategies as st

from safebo.errors import EvaluatorError, InputError, RunStoppedError, StudyError, UnknownTrialError
from safebo.evaluators.source import EvaluatorSource
from safebo.evaluators.supervisor import descendants
from safebo.runs.evaluator_workers import LOG_FILE
from safebo.runs.result import RunResult
from safebo.runs.runner import run
from safebo.storage.journal import Journal
from safebo.study import Study
from safebo.study.reading import check_study, parse_study, study_hash
from safebo.types import EvaluatorInfo, Trial, TrialUnknownError
from safebo.workers import log as log_module
from safebo.workers import worker
from safebo.workers.log import Log

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
TRIAL = Trial(3, {"p": 2.0, "d": 1.0}, {}, "default", "local", 42, True)


def text_with(name: str, options: dict[str, Any], **keys: Any) -> str:
    spec = json.dumps({"name": name, "options": options, **keys})
    before, after = STUDY.split("evaluator:\n")
    return f"{before}evaluator: {spec}\nparameters:{after.partition('parameters:')[2]}"


def study_with(name: str, options: dict[str, Any], **keys: Any) -> Study:
    return parse_study(text_with(name, options, **keys)).study


def tune(folder: Path, name: str, options: dict[str, Any], trials: int, **keys: Any) -> RunResult:
    file = parse_study(text_with(name, options, **keys))
    return run(file, folder, seed=3, trials=trials, make_tuner=HashTuner, max_failures=99)


def messages(folder: Path) -> list[tuple[str, str]]:
    with Journal.open(folder, read_only=True) as journal:
        shown = [record.measurement for record in journal.records()]
    return [("", "") if m is None else (m.outcome, m.message) for m in shown]


RAISED = {
    "exit 3": "its evaluator called sys.exit(3) (unruly_evaluators.py:",
    "exit": "its evaluator called sys.exit() (",
    "exit text": "its evaluator called sys.exit('no robot') (",
    "generator": "its evaluator raised GeneratorExit (",
    "interrupt": "its evaluator raised KeyboardInterrupt (",
    "cancelled": "its evaluator raised CancelledError (",
    "cancelled task": "its evaluator raised CancelledError (",
    "cancelled future": "its evaluator raised CancelledError (",
    "broken pool": "its evaluator raised BrokenExecutor: of its own (",
    "group": "its evaluator raised BaseExceptionGroup: two (2 sub-exceptions) (",
    "odd": "its evaluator raised Odd: odd (",
    "text fails": "its evaluator raised TextFails: (its text cannot be shown: SystemExit) (",
    "not sendable": "its evaluator raised one and two",
    "recursion": "its evaluator raised RecursionError: maximum recursion depth exceeded",
    "memory": "its evaluator raised MemoryError (",
}
DIED = {
    "leave": "its worker process died once; it ended with exit code 5",
    "fault": "its worker process died once; it was ended by SIGSEGV (a fault in compiled code)",
    "killed": "its worker process died once; it was ended by SIGKILL (often the system, out of memory)",
    "hangs in C": "it did not end within evaluator.time_limit (1 s), and its process was ended",
}


def test_whatever_an_evaluator_does_to_its_process_costs_one_trial(tmp_path: Path) -> None:
    expected = RAISED | DIED
    deeds = ["nothing", *expected]
    options = {"repeatable": True, "deeds": deeds}
    tune(tmp_path, "unruly_evaluators:unruly", options, len(deeds) + 1, time_limit=1, tries=1)
    first, *shown, last = messages(tmp_path)
    assert first == last == ("completed", "")
    assert [outcome for outcome, _ in shown] == ["failed"] * len(expected)
    for (deed, words), (_, message) in zip(expected.items(), shown, strict=True):
        assert message.startswith(words), deed
    assert "Segmentation fault" in (tmp_path / LOG_FILE).read_text()


def test_a_trial_that_may_not_run_twice_is_unknown_with_the_reason(tmp_path: Path) -> None:
    options = {"deeds": ["nothing", "hangs in C"]}
    with pytest.raises(
        UnknownTrialError, match=r"trial 2: .*not known \(it did not end within evaluator.time_l"
    ):
        tune(tmp_path, "unruly_evaluators:unruly", options, 3, time_limit=1)
    with Journal.open(tmp_path, read_only=True) as journal:
        assert [record.status for record in journal.records()] == ["told", "unknown"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"made": "exit 3"}, "cannot be made: sys.exit(3) was called"),
        ({"made": "recursion"}, "cannot be made: RecursionError"),
        ({"made": "memory"}, "cannot be made: MemoryError"),
        ({"made": "odd"}, "cannot be made: Odd: odd"),
        ({"made": "interrupt"}, ": KeyboardInterrupt"),
        ({"made": "not sendable"}, "one and two"),
        ({"info": "exit text"}, ": sys.exit('no robot') was called"),
        ({"info": "text fails"}, "its text cannot be shown"),
        ({"info": "interrupt"}, ": KeyboardInterrupt"),
        ({}, "info() returned dict, not EvaluatorInfo"),
    ],
)
def test_an_evaluator_that_cannot_be_made_says_why(
    options: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_made", None)
    source = EvaluatorSource(study_with("unruly_evaluators:Made", options))
    with pytest.raises(EvaluatorError) as caught:
        worker.describe(source)
    assert words in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    if "made" in options:
        measurement = worker.evaluate(source, TRIAL, None)
        assert measurement.outcome == "failed"
        assert words in measurement.message


@pytest.mark.parametrize(
    "deed", ["exit 3", "cancelled", "group", "odd", "interrupt", "not sendable", "memory"]
)
@pytest.mark.parametrize("step", ["preflight", "score"])
def test_what_an_evaluator_raises_in_its_other_steps_arrives_as_an_error(
    deed: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_made", None)
    source = EvaluatorSource(study_with("unruly_evaluators:Made", {step: deed}))
    with pytest.raises(EvaluatorError) as caught:
        worker.preflight(source) if step == "preflight" else worker.score(source, TRIAL, {})
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import sys; sys.exit(4)", "cannot be loaded: sys.exit(4) was called (ends_at_import.py:1"),
        ("def f(): f()\nf()", "cannot be loaded: RecursionError"),
        ("raise KeyboardInterrupt", ": KeyboardInterrupt"),
        (
            "import safebo\nsafebo.run('pendulum', 'nowhere')",
            "cannot be loaded: it calls safebo.run() while it is imported; put the call under `if __name__ ==",
        ),
    ],
)
def test_an_evaluator_whose_module_ends_at_import_says_why(tmp_path: Path, code: str, words: str) -> None:
    (tmp_path / "ends_at_import.py").write_text(code)
    with pytest.raises(EvaluatorError) as caught:
        worker.describe(EvaluatorSource(study_with("ends_at_import:f", {}), str(tmp_path)))
    assert words in str(caught.value)


@pytest.mark.parametrize("printed", [True, False])
def test_a_process_that_dies_at_import_points_to_a_log_that_is_there(tmp_path: Path, printed: bool) -> None:
    say = "print('about to leave', flush=True); " if printed else ""
    (tmp_path / "dies_at_import.py").write_text(f"import os; {say}os._exit(9)")
    study = tmp_path / "study.yaml"
    study.write_text(text_with("dies_at_import:f", {}))
    with pytest.raises(
        RunStoppedError, match="its process ended with exit code 9 while it started"
    ) as caught:
        run(study, tmp_path / "run", make_tuner=HashTuner)
    _, pointed, file = str(caught.value).partition("What the evaluator printed is in ")
    assert bool(pointed) == printed
    assert "about to leave" in Path(file).read_text() if printed else not (tmp_path / "run").exists()


def test_nothing_points_to_a_log_where_an_executor_keeps_none(tmp_path: Path) -> None:
    file = parse_study(text_with("unruly_evaluators:unruly", {"deeds": ["exit 3"] * 3}))
    with (
        ThreadPoolExecutor(1) as executor,
        pytest.raises(RunStoppedError, match="3 trials in a row") as caught,
    ):
        run(file, tmp_path, trials=3, make_tuner=HashTuner, executor=executor)
    assert LOG_FILE not in str(caught.value)


def test_a_time_limit_that_nothing_would_hold_is_refused(tmp_path: Path) -> None:
    file = parse_study(text_with("unruly_evaluators:unruly", {"deeds": []}, time_limit=5))
    with (
        ThreadPoolExecutor(1) as executor,
        pytest.raises(InputError, match="executor was given: leave one of"),
    ):
        run(file, tmp_path / "run", make_tuner=HashTuner, executor=executor)
    robot = EvaluatorInfo("walker", (), (), (), robot="virtual")
    with pytest.raises(StudyError, match="moves a virtual robot, whose process must not be ended"):
        check_study(file.study, robot)
    with pytest.raises(StudyError, match="keep one of them"):
        worker.describe(
            EvaluatorSource(study_with("subprocess", {"command": ["true"], "timeout": 1}, time_limit=5))
        )


def test_limits_are_no_part_of_what_a_run_was_started_with() -> None:
    name = "unruly_evaluators:unruly"
    options: dict[str, Any] = {"deeds": []}
    hashes = {study_hash(study_with(name, options, **keys)) for keys in ({}, {"time_limit": 5}, {"tries": 1})}
    assert len(hashes) == 1
    assert study_hash(study_with(name, {"deeds": ["exit"]})) not in hashes


# -- the log -----------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=80), max_size=60))
def test_a_log_keeps_its_beginning_its_end_and_the_count_of_the_rest(
    tmp_path_factory: pytest.TempPathFactory, texts: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("log") / "run.log"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("MAX_LOG", 400), ("_HEAD", 100), ("_TAIL", 80)):
            patch.setattr(log_module, name, value)
        writers = [Log(path), Log(path)]
        for index, text in enumerate(texts):
            writers[index % 2].write(text)
            assert path.stat().st_size <= 400 if path.exists() else not text
    whole, kept = b"".join(texts), path.read_bytes() if path.exists() else b""
    if len(whole) <= 400:
        assert kept == whole
        return
    gap = log_module._GAP.search(kept)
    assert gap is not None
    assert kept[: gap.start()] == whole[:100]
    assert whole.endswith(kept[gap.end() :])
    assert int(gap[1]) == len(whole) - 100 - len(kept[gap.end() :])


def test_what_an_evaluator_prints_does_not_fill_the_disk(tmp_path: Path) -> None:
    tune(tmp_path, "unruly_evaluators:talkative", {"repeatable": True, "megabytes": 15}, 1)
    text = (tmp_path / LOG_FILE).read_bytes()
    assert len(text) <= log_module.MAX_LOG
    assert text.startswith(b"the first line\nxxx")
    assert text.endswith(b"yyy\nthe last line\n")
    assert b"[safebo left out " in text


# -- nothing stays behind ----------------------------------------------------------------------------------


def marked(mark: str) -> list[str]:
    """Command lines of processes that carry a mark."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if f"600.{mark}" in line and "sh -c" not in line:
                found.append(line)
    return found


def until(what: Any) -> bool:
    """Whether something comes to be; patience is long, as machines may be busy."""
    end = time.monotonic() + 30
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def mark() -> Iterator[str]:
    mark = f"{os.getpid()}{time.monotonic_ns() % 10**9}"
    yield mark
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (entry / "cmdline").exists():
            with open(entry / "cmdline", "rb") as file:
                if f"600.{mark}".encode() in file.read():
                    os.kill(int(entry.name), signal.SIGKILL)


RUN = """\
import sys
sys.path.insert(0, sys.argv[1])
from closed_form_runs import HashTuner
from safebo.runs.runner import run
if __name__ == "__main__":
    run(sys.argv[2], sys.argv[3], make_tuner=HashTuner)
"""

PROGRAM = """\
import os, subprocess, sys, time
nap = "sleep 600." + sys.argv[1]
subprocess.Popen(["sh", "-c", f"{nap} & (setsid {nap} &) ; touch {sys.argv[2]}; {nap}; true"])
time.sleep(600)
"""


def evaluator_with_children(kind: str, tmp_path: Path, mark: str) -> tuple[str, dict[str, Any]]:
    ready = str(tmp_path / "ready")
    if kind == "function":
        return "unruly_evaluators:with_children", {"mark": mark, "ready": ready}
    (tmp_path / "program.py").write_text(PROGRAM)
    return "subprocess", {"command": [sys.executable, "program.py", mark, ready]}


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize(
    ("kind", "ending"),
    [("function", "kill"), ("program", "kill the group"), ("function", "hang up"), ("program", "terminate")],
)
def test_a_run_that_ends_leaves_no_process(tmp_path: Path, kind: str, ending: str, mark: str) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(text_with(*evaluator_with_children(kind, tmp_path, mark)))
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(HERE), str(study), str(tmp_path / "run")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert until(lambda: len(marked(mark)) == 3)
        below = descendants(process.pid)
        assert len(below) >= 5
        if ending == "kill":
            process.kill()
        elif ending == "kill the group":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            number = signal.SIGTERM if ending == "terminate" else signal.SIGHUP
            process.send_signal(number)  # asks it to finish its trial
            time.sleep(0.3)
            process.send_signal(number)  # at once
        assert until(lambda: process.poll() is not None)
        assert until(lambda: not marked(mark)), marked(mark)
        assert until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below))
    finally:
        process.kill()
        process.wait()


def supervisors(pid: int) -> list[int]:
    """Processes below a run that supervise another: the one that the pool started, and that of a program."""
    lines = {below: Path(f"/proc/{below}/cmdline").read_bytes() for below in descendants(pid)}
    of_program = [below for below, line in lines.items() if b"supervisor.py" in line]
    started = [int(below) for below in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return of_program or [below for below in started if b"spawn_main" in lines[below]]


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize("kind", ["function", "program"])
def test_a_supervisor_that_is_killed_leaves_no_process_and_costs_one_trial(
    tmp_path: Path, kind: str, mark: str
) -> None:
    study = tmp_path / "study.yaml"
    name, options = evaluator_with_children(kind, tmp_path, mark)
    study.write_text(
        text_with(name, options | {"repeatable": True}, tries=1).replace("trials: 8", "trials: 1")
    )
    run_ = subprocess.Popen([sys.executable, "-c", RUN, str(HERE), str(study), str(tmp_path / "run")])
    try:
        assert until(lambda: len(marked(mark)) == 3)
        (supervisor,) = supervisors(run_.pid)
        os.kill(supervisor, signal.SIGKILL)
        assert run_.wait(60) == 0
        assert marked(mark) == []
        ((outcome, message),) = messages(tmp_path / "run")
        assert outcome == "failed"
        assert "SIGKILL" in message
    finally:
        run_.kill()
        run_.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize("obeys", [True, False])
def test_a_program_past_its_time_is_asked_to_end_before_it_is_killed(
    tmp_path: Path, obeys: bool, mark: str
) -> None:
    """It may let go of what it holds; one that goes on is killed, with a child that took no notice."""
    asked, ready = tmp_path / "asked", tmp_path / "ready"
    (tmp_path / "program.py").write_text(
        "import os, pathlib, signal, subprocess, sys, time\n"
        "def end(*_):\n"
        f"    pathlib.Path({str(asked)!r}).write_text('asked')\n"
        f"    {'os._exit(0)' if obeys else 'pass'}\n"
        "signal.signal(signal.SIGTERM, end)\n"
        f"subprocess.Popen(['sh', '-c', 'trap \"\" TERM; touch {ready}; sleep 600.{mark} & wait'])\n"
        "while True: time.sleep(1)\n"
    )
    options = {"command": [sys.executable, "program.py"], "repeatable": True}
    evaluator = EvaluatorSource(study_with("subprocess", options, time_limit=1), str(tmp_path)).make()
    assert evaluator.evaluate(TRIAL).message.endswith("did not answer within 1 s and was ended")
    assert ready.exists()
    assert asked.read_text() == "asked"
    assert marked(mark) == []


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_a_time_limit_ends_a_function_with_all_that_it_started(tmp_path: Path, mark: str) -> None:
    name, options = evaluator_with_children("function", tmp_path, mark)
    tune(tmp_path / "run", name, options | {"repeatable": True}, 1, time_limit=2)
    assert (tmp_path / "ready").exists()
    assert messages(tmp_path / "run") == [("failed", DIED["hangs in C"].replace("1 s", "2 s"))]
    assert marked(mark) == []


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize("repeatable", [True, False])
def test_a_time_limit_ends_a_program_with_all_that_it_started(
    tmp_path: Path, mark: str, repeatable: bool
) -> None:
    name, options = evaluator_with_children("program", tmp_path, mark)
    study = study_with(name, options | {"repeatable": repeatable}, time_limit=2)
    evaluator = EvaluatorSource(study, str(tmp_path)).make()
    if repeatable:
        assert evaluator.evaluate(TRIAL).message.endswith("did not answer within 2 s and was ended")
    else:
        with pytest.raises(TrialUnknownError, match="did not answer within 2 s and was ended"):
            evaluator.evaluate(TRIAL)
    assert (tmp_path / "ready").exists()
    assert marked(mark) == []


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_a_program_that_answers_leaves_nothing_that_it_started(tmp_path: Path, mark: str) -> None:
    (tmp_path / "program.py").write_text(
        PROGRAM.replace("time.sleep(600)", f"print({json.dumps(json.dumps(unruly_evaluators.GOOD))})")
    )
    command = [sys.executable, "program.py", mark, str(tmp_path / "ready")]
    evaluator = EvaluatorSource(study_with("subprocess", {"command": command}), str(tmp_path)).make()
    assert evaluator.evaluate(TRIAL).objective == 1.0
    assert marked(mark) == []


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_a_worker_process_that_still_loads_ends_with_its_run() -> None:
    """It is told so before anything heavy is loaded; here loading never ends."""
    loads = "import sys, types\nclass Slow:\n    def find_spec(self, name, *rest):\n" + (
        "        if name == 'safebo.workers.worker':\n            print('loads', flush=True)\n"
        "            import time; time.sleep(600)\n"
        "sys.meta_path.insert(0, Slow())\n"
        "from safebo.workers.begin import begin\n"
        "assert not {'numpy', 'pydantic'} & set(sys.modules)\n"
        "import os; begin(os.getppid())\n"
    )
    run_ = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {loads!r}])"],
        stdout=subprocess.PIPE,
    )
    assert run_.stdout is not None
    assert run_.stdout.readline() == b"loads\n"
    (below,) = descendants(run_.pid)
    run_.kill()
    run_.communicate()
    try:
        assert until(lambda: not Path(f"/proc/{below}").exists())
    except AssertionError:
        os.kill(below, signal.SIGKILL)
        raise


def test_a_script_without_a_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "my_script.py"
    script.write_text(RUN.replace('if __name__ == "__main__":', "if True:"))
    study = tmp_path / "study.yaml"
    study.write_text(text_with("unruly_evaluators:unruly", {"deeds": []}))
    result = subprocess.run(
        [sys.executable, str(script), str(HERE), str(study), str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert 'my_script.py calls safebo.run() outside `if __name__ == "__main__":`' in result.stderr
    assert result.stderr.count("Traceback") == 1
    assert "multiprocessing" not in result.stderr
    assert not (tmp_path / "run").exists()


LEAVING = """
import sys, threading, time
from safebo.types import Trial
from safebo.workers import worker

def recorded(*_):
    time.sleep(1.0)
    open(sys.argv[1], "w").write("whole")
    raise RuntimeError("nobody waits for what it returns")

worker._evaluator = lambda _: None
worker.evaluate_safely = recorded
source = type("Source", (), {"study": type("Study", (), {"evaluator": type("E", (), {"time_limit": None})()})()})()
threading.Thread(target=worker.evaluate, args=(source, None, None), daemon=True).start()
time.sleep(0.3)
worker._leave_with_parent(-1, None)
"""


def test_a_robots_worker_that_lost_its_run_gives_the_record_time(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", LEAVING, str(tmp_path / "record")], check=False)
    assert ended.returncode == 1
    assert (tmp_path / "record").read_text() == "whole"
