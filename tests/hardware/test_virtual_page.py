"""The page on virtual robots says what the program does; a vendor's service survives whatever it is asked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from safebo.hardware.unitree.rpc_messages import API_NOT_IMPLEMENTED, OK, PARAMETER_WRONG, RpcRequest
from safebo.hardware.unitree.services import (
    CHECK_MODE,
    MOTION_SWITCHER,
    RELEASE_MODE,
    SELECT_MODE,
    SPORT,
    MotionService,
)
from safebo.hardware.virtual.cli import app
from safebo.hardware.virtual.faults import KINDS, faults_of
from safebo.hardware.virtual.machine import body_of
from safebo.hardware.virtual.pace import SpeedWatch
from safebo.hardware.virtual.plant import VirtualPlant
from safebo.robots.descriptions.model import load_robot
from safebo.robots.simulation.disturbance import PRESETS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "virtual-robots.md").read_text(encoding="utf-8")


NUMBER = re.compile(r"-?[0-9.]+")


def rows(first: str) -> list[list[str]]:
    """Cells of the table whose head begins with `first`."""
    lines = PAGE.split(f"\n| {first} |", 1)[1].splitlines()
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[2:]]
    return cells[: next(i for i, line in enumerate(lines[2:]) if not line.startswith("|"))]


def test_the_pages_table_of_faults_is_the_programs() -> None:
    said = {cells[0].strip("`"): cells[1:] for cells in rows("kind")}
    assert said == {name: [kind.lasting, kind.description] for name, kind in KINDS.items()}
    listed = CliRunner().invoke(app, ["faults"]).output
    for name, kind in KINDS.items():
        assert re.search(rf"^{name} +{kind.lasting} +{re.escape(kind.description)}$", listed, re.MULTILINE)


def test_the_defaults_in_brackets_are_the_programs() -> None:
    for name, kind in KINDS.items():
        inside = re.search(r"\(([^()]*)\)", kind.description)
        if inside is None:
            assert kind.value(None) is None, name
            continue
        said = inside[1].split(",")[0]
        (default,), _ = faults_of([{"kind": name}])
        if said == "Go2":
            assert default.value is None
        else:
            (given,), _ = faults_of(
                [{"kind": name, "value": float(said) if NUMBER.fullmatch(said) else said}]
            )
            assert given.value == default.value, name


def test_the_pages_example_of_a_faults_file_is_one() -> None:
    import yaml

    text = PAGE.split("same file gives the same faults:\n\n", 1)[1].split("\n\n", 1)[0]
    found, seed = faults_of(yaml.safe_load(text))
    assert [fault.kind for fault in found] == ["loss", "remote_stop"]
    assert seed == 3


def test_the_page_names_every_disturbance_and_every_key_of_the_log() -> None:
    said = PAGE.split("`--disturbance`", 1)[1].split("joined by", 1)[0]
    assert re.findall(r"`(\w+)`", said) == list(PRESETS)
    keys = [key for cells in rows("key") for key in re.findall(r"`(\w+)`", cells[0])]
    assert keys == ["wall", *body_of(VirtualPlant(load_robot("go1")), [])]


def test_services_answer_what_they_do_not_understand() -> None:
    service = MotionService()

    def ask(name: str, api: int, parameter: str = "{}") -> tuple[int, str]:
        return service.answer(name, RpcRequest(1, api, parameter))

    wrong = (
        "",
        "null",
        "[]",
        "3",
        "{",
        '{"nam": "ai"}',
        '{"name": null}',
        '{"name": 3}',
        '{"name": ""}',
        "[" * 200_000,
    )
    for parameter in wrong:
        assert ask(MOTION_SWITCHER, SELECT_MODE, parameter) == (PARAMETER_WRONG, ""), parameter[:20]
        assert service.name == "mcf"
    for name, api in ((SPORT, 1016), (SPORT, -1), (SPORT, 2**62), (MOTION_SWITCHER, 1999), ("arm", 1001)):
        assert ask(name, api) == (API_NOT_IMPLEMENTED, "")
    assert ask(SPORT, 1008, "no JSON at all") == (PARAMETER_WRONG, "")
    assert ask(SPORT, 1002, "no JSON at all") == (OK, "")
    assert ask(MOTION_SWITCHER, RELEASE_MODE) == (OK, "")
    assert ask(MOTION_SWITCHER, CHECK_MODE) == (OK, '{"form": "0", "name": ""}')
    assert ask(MOTION_SWITCHER, SELECT_MODE, '{"name": "ai"}') == (OK, "")
    assert ask(MOTION_SWITCHER, CHECK_MODE)[1] == '{"form": "0", "name": "ai"}'


@pytest.mark.parametrize("robot", ["go1", "go2"])
def test_every_option_on_the_page_exists(robot: str) -> None:
    helped = CliRunner().invoke(app, [robot, "--help"], env={"COLUMNS": "200"}).output
    wanted = {"--disturbance", "--seed", "--faults", "--patience", "--lock-step", "--log"}
    wanted |= (
        {"--motion-service", "--motion-state-always", "--interface", "--domain"} if robot == "go2" else set()
    )
    assert all(option in PAGE and option in helped for option in wanted)


def test_a_slow_clock_is_said_at_once_then_seldom_unless_it_gets_worse() -> None:
    wall = [0.0]
    said: list[str] = []
    watch = SpeedWatch(said.append, clock=lambda: wall[0])
    robot = 0.0

    def pass_time(seconds: float, factor: float) -> None:
        nonlocal robot
        for _ in range(round(seconds)):
            wall[0] += 1.0
            robot += factor
            watch.look(robot)

    pass_time(50.0, 1.0)
    assert said == []
    pass_time(50.0, 0.9)
    assert said == ["slow: the robot's clock runs at 0.90 of real time"]
    pass_time(5.0, 0.6)
    assert said[1:] == ["slow: the robot's clock runs at 0.60 of real time"]
    pass_time(130.0, 0.9)
    assert len(said) == 4
