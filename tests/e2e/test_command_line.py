"""The command line as a person uses it: what it prints, what it leaves, and how it ends."""

import json
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from bowl_runs import STUDY, Safebo, safebo, write

from safebo.acquisition import acquisition_class
from safebo.storage.journal import Journal
from safebo.storage.run_lock import run_lock
from safebo.study.methods import METHODS
from safebo.text.printable import printable
from safebo.types import Measurement

pytestmark = pytest.mark.slow

__all__ = ["safebo"]  # the fixture


def test_a_run_from_start_to_best_gains(safebo: Safebo, tmp_path: Path) -> None:
    done = safebo("tune", "bowl.yaml", "--seed", "3")
    assert done.code == 0
    assert done.err == ""
    told = done.out.splitlines()
    news = [line for line in told if line.startswith(("height: ", "ALARM height: "))]
    assert len(news) <= 2  # its prior_std of 1 is too small for a margin that changes by 8
    lines = [line for line in told if line not in news]
    assert [line.split()[:2] for line in lines[:6]] == [["trial", f"{n}/6"] for n in range(1, 7)]
    assert all("ETA" in line and "best" in line and "margin" in line for line in lines[:6])
    assert lines[6] == "6 trials are done, in runs/bowl."
    assert lines[7].startswith("Certified gains for context default: runs/bowl/best.yaml (speed at least ")
    assert lines[8].startswith("The best certified gains raise speed by +")
    assert lines[9].startswith("They are certified safe by ")
    assert lines[11] == "Next: safebo report runs/bowl"
    log = (tmp_path / "runs/bowl/run.log").read_text()
    assert "this goes to the run's log" in log

    shown = safebo("show", "runs/bowl", "--json")
    trials = json.loads(shown.out)["trials"]
    assert [t["id"] for t in trials] == [1, 2, 3, 4, 5, 6]
    assert trials[0]["phase"] == "seed"
    assert {t["phase"] for t in trials[1:]} == {"local"}
    for t in trials:
        assert t["context"] == "default"
        assert set(t["parameters"]) == {"p", "d"}
        assert t["margins"] == pytest.approx({"height": 8 - t["parameters"]["p"]})
        assert (t["outcome"], t["fell"], t["true_objective"]) == ("completed", False, 0.5)
        assert t["true_margins"] == t["margins"]
        assert t["certified"] == (t["phase"] != "seed")
        assert t["trigger_rule"] is None

    table = safebo("show", "runs/bowl").out
    assert "p [N]" in table
    assert "margin height [m]" in table
    assert table.splitlines()[8] == "6 told: 6 completed; no margin below 0"
    top = max(trials, key=lambda t: t["objective"])
    assert table.splitlines()[9] == f"best safe trial: {top['id']}, speed {top['objective']:.4g} m/s"
    assert table.splitlines()[10:12] == lines[8:10]
    assert " safebo " in table.splitlines()[-1]
    last = safebo("show", "runs/bowl", "--last", "2")
    assert [line.split() for line in last.out.splitlines()[2:]] == [
        line.split() for line in table.splitlines()[6:]
    ]
    assert [
        t["id"] for t in json.loads(safebo("show", "runs/bowl", "--last", "2", "--json").out)["trials"]
    ] == [5, 6]

    best = json.loads(safebo("best", "runs/bowl", "--json").out)
    assert best["certified"] is True
    assert best["margins"]["height"]["lower"] >= 0
    kept = yaml.safe_load((tmp_path / "runs/bowl/best.yaml").read_text())
    assert kept["gains"] == best["parameters"]
    assert kept["certified"] is True
    predicted = json.loads(safebo("best", "runs/bowl", "--predict", "--json").out)
    assert predicted["certified"] is False
    assert set(predicted["parameters"]) == {"p", "d"}
    text = safebo("best", "runs/bowl").out
    assert "best certified gains" in text
    assert "not certified" in safebo("best", "runs/bowl", "--predict").out


GAITS = """\
name: loads
evaluator: {name: "my_robot:walk", options: {repeatable: true}}
parameters:
  - {name: p, bounds: [0, 10]}
  - {name: d, bounds: [0.1, 10], scale: log}
context:
  variables: [{name: payload, unit: kg, bounds: [0, 5]}]
  values: {light: {payload: 0}, heavy: {payload: 4}, huge: {payload: 5}}
  schedule: [{context: light, trials: 3}, {context: heavy, trials: 2}]
  predict: [huge]
objective: {name: speed}
constraints: [{name: height}]
seeds:
  - {context: light, parameters: {p: 2, d: 1}}
  - {context: heavy, parameters: {p: 2, d: 1}}
trials: 5
"""


def test_every_context_has_its_own_best_gains(safebo: Safebo, tmp_path: Path) -> None:
    (tmp_path / "loads.yaml").write_text(GAITS)
    done = safebo("tune", "loads.yaml", "--out", "run")
    assert done.code == 0
    assert {path.name for path in (tmp_path / "run").glob("*.yaml")} == {"best-light.yaml", "best-heavy.yaml"}
    trials = json.loads(safebo("show", "run", "--json").out)["trials"]
    assert [t["context"] for t in trials] == ["light"] * 3 + ["heavy"] * 2
    assert trials[4]["context_values"] == {"payload": 4.0}
    every = json.loads(safebo("best", "run", "--json").out)["best"]
    assert [b["context"] for b in every] == ["light", "heavy"]
    one = json.loads(safebo("best", "run", "--context", "heavy", "--json").out)
    assert one == every[1]
    never_tried = safebo("best", "run", "--context", "huge", "--json")
    assert json.loads(never_tried.out)["context"] == "huge"
    guess = safebo("best", "run", "--context", "huge", "--predict", "--json")
    assert guess.code == 0
    assert json.loads(guess.out)["certified"] is False
    assert "heavy" in safebo("show", "run").out


def test_ctrl_c_says_how_to_go_on(safebo: Safebo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tell = Journal.tell

    def and_interrupt(self: Journal, trial_id: int, measurement: Measurement) -> None:
        tell(self, trial_id, measurement)
        if trial_id == 2:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "tell", and_interrupt)
        answer = safebo("tune", "bowl.yaml", "--out", "my run")
    assert answer.code == 1
    assert answer.err.splitlines()[0] == "stopped after 2 trials; go on with --resume"
    assert answer.err.splitlines()[-1] == "Go on with: safebo tune bowl.yaml --out 'my run' --resume"
    assert "my run/best.yaml" in answer.err
    assert safebo("tune", "bowl.yaml", "--out", "my run", "--resume").code == 0


def test_names_reach_no_other_folder_and_do_nothing_to_a_terminal(safebo: Safebo, tmp_path: Path) -> None:
    """A study that leaves runs/, contexts whose files were one, and escape sequences wherever a person may write."""
    hostile = yaml.safe_load(STUDY)
    names, seed = ["a b", "a/b", "步行", "跑步"], hostile["seeds"][0]["parameters"]
    hostile |= {"name": "../../../ev\x1b]0;title\x07il", "trials": 4}
    hostile["parameters"][0]["unit"] = "N\x1b[2J"
    hostile["constraints"][0]["unit"] = "\u202em [red]"
    hostile["context"] = {
        "variables": [{"name": "v", "bounds": [0, 1]}],
        "values": {name: {"v": i / 3} for i, name in enumerate(names)},
        "schedule": [{"context": name, "trials": 1} for name in names],
    }
    hostile["seeds"] = [{"context": name, "parameters": seed} for name in names]
    (tmp_path / "hostile.yaml").write_text(yaml.safe_dump(hostile), encoding="utf-8")
    before = {*tmp_path.parent.iterdir(), *tmp_path.iterdir()}
    done = safebo("tune", "hostile.yaml")
    assert done.code == 0
    assert {*tmp_path.parent.iterdir(), *tmp_path.iterdir()} - before <= {
        tmp_path / "runs",
        tmp_path / "__pycache__",
    }
    (folder,) = (tmp_path / "runs").iterdir()
    kept = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in folder.glob("best-*.yaml")]
    assert sorted(best["context"] for best in kept) == sorted(names)
    place = str(folder.relative_to(tmp_path))
    for answer in (done, safebo("show", place), safebo("best", place), safebo("tune", "hostile.yaml")):
        assert printable(answer.out + answer.err) == answer.out + answer.err
    assert "N\\x1b[2J" in safebo("show", place).out
    assert "\\u202em [red]" in safebo("best", place).out


# What is wrong in the file, and what the answer must say besides the line.
WRONG_STUDIES = [
    ("bounds: [0, 10]", "bonds: [0, 10]", "bowl.yaml:6: parameters[0].bonds: unknown key 'bonds'"),
    ("[0, 10]", "[10, 0]", "bowl.yaml:6: parameters[0].bounds: [10, 0] is reversed"),
    ("p: 2", "p: 12", "bowl.yaml:12: seeds[0].parameters.p: 12 is outside the bounds [0, 10]"),
    ("- parameters: {p: 2", "- context: ice\n    parameters: {p: 2", "unknown context 'ice'"),
    ("my_robot:walk", "my_robot:wlak", "bowl.yaml:3: evaluator.name: module 'my_robot' has no 'wlak'"),
    ("my_robot:walk", "leged", "bowl.yaml:3: evaluator.name: unknown evaluator 'leged'"),
    ("repeatable: true", "speed: 1", "bowl.yaml:4: evaluator.options.speed: walk() has no argument"),
    (
        "trials: 6",
        "tuner: {method: safopt}",
        "bowl.yaml:13: tuner.method: unknown method 'safopt'; did you mean 'safeopt'?",
    ),
    ("trials: 6", "tuner: {method: gosafeopt}", "bowl.yaml:13: tuner.method: 'gosafeopt' needs a monitor"),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG_STUDIES)
def test_a_wrong_study_is_refused_and_leaves_nothing(
    safebo: Safebo, tmp_path: Path, old: str, new: str, message: str
) -> None:
    write(tmp_path, old, new)
    answer = safebo("tune", "bowl.yaml")
    assert answer.code == 2
    assert answer.out == ""
    assert message in answer.err
    assert answer.err.startswith("error: ")
    assert not list((tmp_path / "runs").glob("*")) if (tmp_path / "runs").exists() else True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tune", "go1-trt"], "no study and no file 'go1-trt'; did you mean 'go1-trot'?"),
        (["tune", "gone.yaml"], "gone.yaml: no such file"),
        (["tune", "bowl.yaml", "--trials", "0"], "--trials"),
        (["tune", "bowl.yaml", "--workers", "two"], "--workers"),
        (["tune", "bowl.yaml", "--out", "my_robot.py"], "my_robot.py: is a file"),
        (["tune", "bowl.yaml", "--out", "/proc/no"], "/proc/no: the run's folder cannot be made"),
        (["tun"], "No such command"),
        (["show", "nowhere"], "nowhere: no such folder"),
        (["show", "."], ".: holds no run"),
        (["best", "."], ".: holds no run"),
        (["report", "."], ".: holds no run"),
        (["resolve", ".", "1"], "say either --as fell, unsafe, failed or completed, or --measurement FILE"),
        (["resolve", ".", "1", "--as", "failed"], ".: holds no run"),
    ],
)
def test_wrong_requests_exit_with_2(safebo: Safebo, arguments: list[str], message: str) -> None:
    answer = safebo(*arguments)
    assert answer.code == 2
    assert message in answer.err
    assert answer.out == ""


def test_a_run_of_which_every_trial_failed_is_a_failure(safebo: Safebo, tmp_path: Path) -> None:
    write(tmp_path, "my_robot:walk", "my_robot:blind")
    answer = safebo("tune", "bowl.yaml", "--trials", "1")
    assert answer.code == 1
    assert "every trial failed" in answer.err
    assert "No trial of the seed was measured: margin 'height' is nan" in answer.out
    assert "barely safe" not in answer.out


def test_a_beta_that_certifies_hardly_anything_is_said_before_the_first_trial(
    safebo: Safebo, tmp_path: Path
) -> None:
    write(tmp_path, "trials: 6", "trials: 6\ntuner: {beta: 0.1}")
    answer = safebo("tune", "bowl.yaml", "--trials", "2")
    first, *_ = answer.out.splitlines()
    assert first.startswith(
        "WARNING: tuner.beta 0.1: what is certified may break a limit with a probability of 46 %"
    )
    assert "tuner.beta 0.1" in answer.out.splitlines()[-2]


def test_not_a_number_from_an_evaluator_is_failed_and_said(safebo: Safebo, tmp_path: Path) -> None:
    write(tmp_path, "my_robot:walk", "my_robot:blind")
    answer = safebo("tune", "bowl.yaml")
    assert answer.code == 1
    assert "3 trials in a row failed" in answer.err
    assert "margin 'height' is nan, not a finite number" in answer.err
    assert "No gains are certified yet." in answer.err
    trials = json.loads(safebo("show", "runs/bowl", "--json").out)["trials"]
    assert [t["outcome"] for t in trials] == ["failed"] * 3
    assert all(t["objective"] is None and t["margins"] == {} for t in trials)
    nothing = safebo("best", "runs/bowl", "--json")
    assert nothing.code == 1
    assert json.loads(nothing.out)["parameters"] is None
    assert "nothing is certified safe for context 'default'" in nothing.err
    unknown = safebo("best", "runs/bowl", "--context", "ice")
    assert unknown.code == 2
    assert "unknown context 'ice': known are default" in unknown.err


def test_an_unsafe_seed_is_found_out_and_said(safebo: Safebo, tmp_path: Path) -> None:
    write(tmp_path, "my_robot:walk", "my_robot:unsafe")
    for resume in ([], ["--resume"]):
        answer = safebo("tune", "bowl.yaml", *resume)
        assert answer.code == 1
        assert "seed" in answer.err
        assert "height" in answer.err
        trials = json.loads(safebo("show", "runs/bowl", "--json").out)["trials"]
        assert {t["phase"] for t in trials} == {"seed"}
        assert all(t["margins"] == {"height": -1.0} for t in trials)


def test_a_full_disk_is_said_and_nothing_told_is_lost(safebo: Safebo, tmp_path: Path) -> None:
    write(tmp_path, "my_robot:walk", "my_robot:heavy")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, limits[1]))
    try:
        answer = safebo("tune", "bowl.yaml")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert answer.code == 1
    assert "journal.sqlite: cannot write the journal" in answer.err
    assert "Every trial told before this is kept; then go on with --resume." in answer.err
    told = sum(line.startswith("trial") for line in answer.out.splitlines())
    trials = json.loads(safebo("show", "runs/bowl", "--json").out)["trials"]
    assert [t["status"] for t in trials][:told] == ["told"] * told
    assert 1 <= told < 6
    assert safebo("tune", "bowl.yaml", "--resume").code == 0


def test_a_second_process_on_the_same_run_is_refused(safebo: Safebo, tmp_path: Path) -> None:
    assert safebo("tune", "bowl.yaml", "--trials", "2").code == 0
    with run_lock(tmp_path / "runs/bowl"):
        for arguments in (["tune", "bowl.yaml", "--resume"], ["resolve", "runs/bowl", "1", "--as", "failed"]):
            answer = safebo(*arguments)
            assert answer.code == 1
            assert "another process works on this run (process " in answer.err
        assert safebo("show", "runs/bowl", "--json").code == 0
        assert safebo("best", "runs/bowl", "--json").code == 0
    with run_lock(tmp_path):  # a run that is only just starting
        assert safebo("tune", "bowl.yaml", "--out", ".").code == 1


def test_a_damaged_journal_is_said(safebo: Safebo, tmp_path: Path) -> None:
    assert safebo("tune", "bowl.yaml", "--trials", "2").code == 0
    (tmp_path / "runs/bowl/journal.sqlite").write_bytes(b"x" * 5000)
    for command in (["show", "runs/bowl", "--json"], ["tune", "bowl.yaml", "--resume"]):
        answer = safebo(*command)
        assert answer.code == 1
        assert "the journal is damaged" in answer.err
        assert answer.out == ""


def test_a_report_that_cannot_be_written_is_one_message(safebo: Safebo, tmp_path: Path) -> None:
    assert (
        safebo("tune", "bowl.yaml", "--trials", "1").out.splitlines()[1] == "1 trial is done, in runs/bowl."
    )
    (tmp_path / "runs" / "bowl" / "report").write_text("a file where the pictures should go")
    answer = safebo("report", "runs/bowl")
    assert answer.code == 1
    assert answer.err.startswith("error: runs/bowl/report: the report cannot be written: ")
    assert not list(tmp_path.glob("**/safebo-error-*"))


def test_an_error_nobody_foresaw_is_one_line_and_a_log(
    safebo: Safebo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert safebo("tune", "bowl.yaml", "--trials", "2").code == 0

    def broken(self: Journal, states: bool = True) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Journal, "records", broken)
    answer = safebo("show", "runs/bowl", "--json")
    assert answer.code == 1
    assert answer.out == ""
    assert answer.err.startswith("internal error: RuntimeError: a bug. Details: runs/bowl/safebo-error-")
    (log,) = (tmp_path / "runs/bowl").glob("safebo-error-*.log")
    assert "in broken" in log.read_text()


def test_help_teaches_and_loads_no_torch() -> None:
    code = (
        "import sys\nfrom safebo.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print([m for m in ('torch', 'mujoco', 'sqlalchemy') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"
    for word in ("tune", "report", "best", "show", "studies", "resolve", "robots", "Exit codes", ">= 0"):
        assert word in result.stdout


@pytest.mark.parametrize(
    "command", ["tune", "report", "best", "show", "studies", "methods", "resolve", "tell", "edit"]
)
def test_every_command_has_help(safebo: Safebo, command: str) -> None:
    answer = safebo(command, "--help")
    assert answer.code == 0
    assert len(answer.out) > 300


def test_methods_are_listed_with_what_they_promise(safebo: Safebo) -> None:
    answer = safebo("methods")
    assert answer.code == 0
    lines = {line.split()[0]: line for line in answer.out.splitlines()[1:]}
    assert list(lines) == list(METHODS)
    for name, line in lines.items():
        certifies = name == "gosafeopt" or acquisition_class(METHODS[name].local or "").certified_only
        assert line.split()[1] == {True: "certified", False: "baseline"}[certifies] or name == "gosafeopt"
        assert len(line.split()) > 4
    assert lines["gosafeopt"].split()[1] == "watched"
    listed = json.loads(safebo("methods", "--json").out)["methods"]
    assert [row["name"] for row in listed] == list(METHODS)
    assert {row["name"]: row["certificate"] for row in listed}["losbo"] == "measured"


def test_the_command_is_installed() -> None:
    assert shutil.which("safebo", path=str(Path(sys.executable).parent)) is not None
