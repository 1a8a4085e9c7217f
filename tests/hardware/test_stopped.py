"""A stop counts once the robot is seen to have stopped; until then a person is told what to do."""

from __future__ import annotations

import copy
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from safebo.experiments.robustness.guardian_world import World
from safebo.hardware import cli
from safebo.hardware.guardian.observation import RobotObservation
from safebo.hardware.guardian.states import DAMPED, State
from safebo.hardware.link import connecting
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.key import make_key
from safebo.hardware.link.messages import StateMessage
from safebo.hardware.link.proxy import Faults
from safebo.hardware.link.stopped import RestWatch, unrest

REMOTE = "use the robot's remote (L2+B) or its switch NOW"


@pytest.fixture(scope="module")
def resting() -> World:
    world = World(0)
    world.run(1.1)
    return world


@pytest.fixture
def world(resting: World) -> World:
    return copy.deepcopy(resting, {id(resting.guardian.robot): resting.guardian.robot})


def stand(world: World) -> None:
    """On its feet, without the way there."""
    g = world.guardian
    world.robot.position = g._poses.standing.copy()
    g.measures.sensors.forget()  # no joint jumps like that
    g.machine.state, g._curve = State.HOLD, g._poses.stand(world.now - 1.0, world.robot.position)


def robot_command(world: World, monkeypatch, folder: Path, *words: str) -> tuple[int, str]:
    """Exit code and output of `safebo robot ...` typed in another terminal of this world."""

    class Nothing:
        def __init__(self, host: str, port: int) -> None: ...

        def close(self) -> None: ...

    def client(*_: object, **__: object) -> GuardianClient:
        return world.client("another terminal")

    monkeypatch.setattr(connecting, "UdpTransport", Nothing)
    monkeypatch.setattr(connecting, "GuardianClient", client)
    key = folder / "link.key"
    if not key.exists():
        make_key(key)
    result = CliRunner().invoke(cli.app, [*words, "10.0.0.7:4750", "--key", str(key)])
    return result.exit_code, " ".join(result.output.replace(str(folder), "FOLDER").split())


def test_a_stop_is_done_once_the_robot_is_seen_at_rest(world, monkeypatch, tmp_path) -> None:
    stand(world)
    begin = world.now
    code, said = robot_command(world, monkeypatch, tmp_path, "stop")
    assert code == 0
    assert said.startswith("stopped: DAMP_LATCHED after 0.0")
    assert "joints damped and at rest after 0.0" in said
    assert "it does not lie: its trunk is 0.2" in said  # the stand-in hangs where it stood
    assert said.endswith("to clear safebo robot clear 10.0.0.7:4750 --key FOLDER/link.key")
    assert world.now - begin > 0.2


def test_a_robot_that_stands_down_first_is_watched_until_it_lies(world, monkeypatch, tmp_path) -> None:
    stand(world)
    code, said = robot_command(world, monkeypatch, tmp_path, "stop", "--sit")
    assert code == 0
    assert said.startswith("stopped: SIT_LATCHED after 0.0")
    assert re.search(
        r"s; DAMP_LATCHED, joints damped and at rest after 1\.\d+ s; it lies, its trunk is 0\.1", said
    )


def test_a_robot_that_does_not_rest_is_no_success(world, monkeypatch, tmp_path) -> None:
    def turning(seen: RobotObservation) -> None:
        seen.reading.joint_velocity[4] = -0.4

    world.robot.edit = turning
    code, said = robot_command(world, monkeypatch, tmp_path, "stop")
    assert code == 1
    words = "the robot is NOT seen to have stopped: joint FR_thigh turns at 0.4 rad/s, 2.5 s later"
    assert f"is in state DAMP_LATCHED, but {words}" in said
    assert said.endswith(f"Look at it, and {REMOTE}")


def test_a_guardian_that_falls_silent_or_does_not_answer_is_no_success(world, monkeypatch, tmp_path) -> None:
    send = world.service.link.states
    begin = world.now

    def silent(now: float, count: int, state: StateMessage) -> list:
        return [] if now > begin + 0.1 else send(now, count, state)

    monkeypatch.setattr(world.service.link, "states", silent)
    code, said = robot_command(world, monkeypatch, tmp_path, "stop")
    assert code == 1
    assert "NOT seen to have stopped: the guardian has been silent for 1 s" in said
    world._faults = Faults(), Faults(drop=1.0)
    code, said = robot_command(world, monkeypatch, tmp_path, "stop")
    assert code == 1
    assert said.startswith("error: no guardian answered")
    assert said.endswith(f"To stop the robot, {REMOTE}")


def test_a_latch_is_cleared_while_a_tuner_holds_the_robot(world, monkeypatch, tmp_path) -> None:
    tuner = world.client("tuner")
    tuner.connect()
    epoch = tuner.acquire()
    tuner.stop()
    code, said = robot_command(world, monkeypatch, tmp_path, "status")
    assert said.endswith("to clear safebo robot clear 10.0.0.7:4750 --key FOLDER/link.key")
    tuner.pump(0.1)
    code, said = robot_command(world, monkeypatch, tmp_path, "clear", "--yes")
    assert (code, world.state) == (0, State.REST)
    assert said.endswith("cleared; state REST")
    assert world.guardian.lease.held_by(world.guardian.lease.session, epoch)  # still the tuner's


@pytest.mark.parametrize("words", [["stop", "nowhere"], ["stop", "--key", "none.key"]])
def test_an_address_or_key_that_is_none_says_at_once_what_stops_the_robot(words) -> None:
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 2
    assert f"To stop the robot, {REMOTE}" in result.output


# -- one State after another -----------------------------------------------------------------------------


@pytest.fixture
def state(resting: World) -> StateMessage:
    return resting.guardian.status()


def test_only_a_damped_robot_that_is_heard_and_holds_nothing_rests(state) -> None:
    assert unrest(state) == ""
    for other in State:
        said = unrest(replace(state, state=other))
        assert said == ("" if other in DAMPED else f"the guardian is in state {other.name}")

    def joint(number: int, value: float) -> tuple[float, ...]:
        return tuple(value if k == number else 0.0 for k in range(12))

    for seen, words in (
        (replace(state, velocity=joint(4, -0.31)), "joint FR_thigh turns at 0.3 rad/s"),
        (replace(state, velocity=joint(5, math.nan)), "joint FR_calf turns at inf rad/s"),
        (replace(state, torque=joint(8, 3.1)), "joint RL_calf holds 3.1 N m"),
        (replace(state, age=110_000), "the robot's newest state is 0.1 s old"),
        (replace(state, age=0xFFFFFFFF), "nothing was ever heard of the robot"),
    ):
        assert unrest(seen) == words
    for seen in (replace(state, velocity=joint(4, 0.29)), replace(state, torque=joint(8, -2.9))):
        assert unrest(seen) == ""


def test_rest_lasts_a_fifth_of_a_second_without_interruption(state) -> None:
    watch = RestWatch()

    def look(time: float, **changes: object) -> bool:
        return watch.look(replace(state, time=10.0 + time, **changes))

    assert [look(t) for t in (0.0, 0.1, 0.19)] == [False] * 3
    assert not look(0.2, velocity=(1.0,) * 12)
    assert watch.why == "joint FL_hip turns at 1.0 rad/s"
    assert [look(t) for t in (0.21, 0.4, 0.41)] == [False, False, True]
    assert (watch.why, watch.since) == ("", 10.21)
    # a trunk that tips with still joints
    watch = RestWatch()
    tipping = [look(0.1 * k, attitude=(0.06 * k, 0.0)) for k in range(10)]
    assert not any(tipping)
    assert watch.why == "it has not been at rest for 0.2 s"
