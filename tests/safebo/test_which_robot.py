"""Which robot a run moves: what is refused, and the options of `safebo tune` that say it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from supervised_runs import TEXT, everything, tune, world

from safebo.cli.main import main
from safebo.cli.robot_options import robot_options
from safebo.errors import InputError, RunStoppedError
from safebo.runs.operators import ApprovesAll, TerminalOperator
from safebo.runs.supervision import check_allowed, check_meant
from safebo.study.reading import parse_study
from safebo.types import EvaluatorInfo

__all__ = ["world"]  # the fixture

# -- which robot --------------------------------------------------------------------------------------------


def test_a_physical_robot_is_named_and_nobody_approves_everything() -> None:
    study = parse_study(TEXT).study
    physical = EvaluatorInfo("robot", (), (), (), robot="physical", serial="12-345")
    virtual = replace(physical, robot="virtual", serial="1-1")
    with pytest.raises(
        InputError, match=r"serial 12-345 is there.*virtual one was asked for.*--physical 12-345"
    ):
        check_meant(physical, None)
    with pytest.raises(InputError, match=r"serial 12-345 is there, and the physical one with serial 12-346"):
        check_meant(physical, "12-346")
    with pytest.raises(InputError, match=r"a virtual robot with serial 1-1 is there"):
        check_meant(virtual, "12-345")
    check_meant(physical, "12-345")
    check_meant(virtual, None)
    with pytest.raises(InputError, match="--approve-all works only with a virtual robot"):
        check_allowed(physical, study, approve_all=True, global_trials=False)
    check_allowed(physical, study, approve_all=False, global_trials=False)
    check_allowed(virtual, study, approve_all=True, global_trials=False)


@pytest.mark.parametrize(
    ("method", "robot", "asked", "refusal"),
    [
        ("safe_ucb", "physical", False, None),
        ("safeopt", "physical", False, None),
        ("gosafeopt", "virtual", False, "--global-trials"),
        ("gosafeopt", "physical", False, "--global-trials"),
        ("gosafeopt", "physical", True, None),
        ("random", "physical", True, "promises nothing; it is not for a physical robot"),
        ("random", "virtual", False, "--global-trials"),
        ("random", "virtual", True, None),
    ],
)
def test_trials_outside_the_certified_set_have_to_be_asked_for_by_name(method, robot, asked, refusal) -> None:
    study = parse_study(TEXT + f"tuner: {{method: {method}}}\n").study
    info = EvaluatorInfo("robot", (), (), (), robot=robot)
    if refusal is None:
        check_allowed(info, study, approve_all=False, global_trials=asked)
    else:
        with pytest.raises(InputError, match=refusal):
            check_allowed(info, study, approve_all=False, global_trials=asked)


def test_nothing_is_made_for_a_run_that_is_refused(tmp_path, world) -> None:
    world.robot = "physical"
    with pytest.raises(InputError, match="--approve-all"):
        tune(tmp_path / "run", everything(), approve_all=True)
    with pytest.raises(InputError, match="its trials need an operator"):
        tune(tmp_path / "run", None)
    assert not (tmp_path / "run").exists()
    assert world.motions == []


def test_a_run_keeps_to_the_robot_it_began_with(tmp_path, world) -> None:
    tune(tmp_path, everything(), trials=1)
    world.serial = "1-2"
    with pytest.raises(
        InputError, match=r"begun with a virtual robot, serial 1-1; here is a virtual robot, serial 1-2"
    ):
        tune(tmp_path, everything(), trials=2, resume=True)
    world.robot, world.serial = "physical", "1-1"
    with pytest.raises(InputError, match="begun with a virtual robot, serial 1-1; here is a physical robot"):
        tune(tmp_path, everything(), trials=2, resume=True)
    world.robot = ""
    with pytest.raises(InputError, match="here is a simulation"):
        tune(tmp_path, None, trials=2, resume=True)
    world.robot = "virtual"
    assert tune(tmp_path, everything(), trials=2, resume=True).told == 2


def test_a_simulated_run_is_not_gone_on_with_on_a_robot(tmp_path, world) -> None:
    world.robot = ""
    with pytest.raises(RunStoppedError):  # the robot in these tests moves only when it is approved
        tune(tmp_path, None, trials=3)
    world.robot = "virtual"
    with pytest.raises(InputError, match=r"begun with a simulation; here is a virtual robot.*--prior"):
        tune(tmp_path, everything(), trials=4, resume=True)


# -- options ------------------------------------------------------------------------------------------------


def options(robot: str | None = "127.0.0.1:4750", **changes: Any):
    given: dict[str, Any] = {
        "physical": None,
        "key": None,
        "approve_all": False,
        "global_trials": False,
        "dry_run": False,
        **changes,
    }
    return robot_options(robot, **given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"robot": "robot"}, "expected HOST:PORT, for example 127.0.0.1:4750"),
        ({"robot": "host:"}, "expected HOST:PORT"),
        ({"robot": ":4750"}, "expected HOST:PORT"),
        ({"robot": "host:0"}, "expected HOST:PORT"),
        ({"robot": "host:65536"}, "expected HOST:PORT"),
        ({"robot": "host:x"}, "expected HOST:PORT"),
        ({"dry_run": True, "physical": "1-2"}, "--dry-run is for a virtual robot; leave --physical out"),
        ({"approve_all": True, "physical": "1-2"}, "--approve-all works only with a virtual robot"),
        ({"robot": None, "physical": "1-2"}, "--physical goes with --robot"),
        ({"robot": None, "key": Path("key")}, "--key goes with --robot"),
        ({"robot": None, "approve_all": True}, "--approve-all goes with --robot"),
        ({"robot": None, "global_trials": True}, "--global-trials goes with --robot"),
        ({"robot": None, "dry_run": True, "key": Path("key")}, "--key goes with --robot"),
    ],
)
def test_options_that_contradict_each_other_are_refused(given, words) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        options(**given)


def test_the_options_make_the_address_the_operator_and_the_words_to_go_on_with(tmp_path) -> None:
    plain = options(None)
    assert (plain.robot, plain.words(), plain.operator(Console(), Path())) == (None, [], None)
    named = options("robot.local:4751", physical="12-345", key=tmp_path / "key")
    assert named.robot is not None
    assert (named.robot.host, named.robot.port, named.robot.serial, named.robot.clears) == (
        "robot.local", 4751, "12-345", False,
    )  # fmt: skip
    assert named.words() == [
        "--robot",
        "robot.local:4751",
        "--key",
        str(tmp_path / "key"),
        "--physical",
        "12-345",
    ]
    assert isinstance(named.operator(Console(), Path()), TerminalOperator)
    rehearsal = options(None, approve_all=True, global_trials=True, dry_run=True)
    assert rehearsal.rehearse
    assert rehearsal.words() == ["--dry-run", "--approve-all"]
    free = options(approve_all=True, dry_run=True)
    assert free.words() == ["--robot", "127.0.0.1:4750", "--approve-all"]
    assert free.robot is not None
    assert free.robot.clears
    assert isinstance(free.operator(Console(), Path()), ApprovesAll)


def test_the_command_line_refuses_before_anything_is_made(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["tune", "go2-trot", "--approve-all", "--physical", "1-2", "--robot", "h:1"])
    assert ended.value.code == 2
    assert "--approve-all works only with a virtual robot" in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []
