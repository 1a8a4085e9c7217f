"""A guardian that is asked to end lays the robot down and sees it at rest, whatever a tuner asks for meanwhile."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from safebo.experiments.robustness.guardian_world import PERIOD, World
from safebo.hardware.errors import HardwareError, LinkError
from safebo.hardware.guardian import process
from safebo.hardware.guardian.process import GuardianProcess
from safebo.hardware.guardian.states import GuardianEvent, State
from safebo.hardware.link import messages as m
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.stopped import NotStoppedError

ADDRESS = ("127.0.0.1", 1)
"""Of the tuner, as a socket says it."""


@pytest.fixture(scope="module")
def begun() -> tuple[World, GuardianClient]:
    """A robot that lies, and a tuner with the lease."""
    world = World(0)
    client = world.client()
    world.run(1.1)
    client.connect()
    client.acquire()
    return world, client


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(process, "observe", lambda state, foreign, other: state)
    monkeypatch.setattr(process, "FINAL_DAMPING_S", 0.0)


class Stubborn:
    """Pace, link and server of a guardian's process in a world whose tuner asks for motion in every tick."""

    def __init__(self, world: World, client: GuardianClient) -> None:
        self.world, self.client = world, client
        self.counters = SimpleNamespace(damaged=0)
        self.states: list[State] = []
        self.sent = 0

    def next(self, link: object) -> tuple[float, Any]:
        self.world.now += PERIOD
        return self.world.now, self.world.robot.observe()

    def receive(self) -> list[tuple[tuple[str, int], bytes]]:
        guardian, client = self.world.guardian, self.client
        latch = guardian.latch
        wanted: list[Any] = [
            m.AcquireLease(name="tuner"),
            m.Acknowledge(latch=latch.number),
            m.Clear(token=latch.token),
            m.Stand(),
            m.Start(token=guardian.run.token, duration=5.0),
            m.ReleaseLease(),
        ]
        asked = wanted[len(self.states) % len(wanted)]
        asked = type(asked)(**{**asked.__dict__, "request": client._next_id(), "epoch": guardian.lease.epoch})
        return [(ADDRESS, client.channel.sealed(asked))]

    def write(self, command: Any) -> None:
        self.world.robot.apply(command)
        self.states.append(self.world.state)

    def foreign_commands(self) -> str:
        return ""

    def other_robots(self) -> str:
        return ""

    def send(self, address: object, data: bytes) -> None:
        self.sent += 1

    def put(self, events: object) -> None: ...

    def close(self) -> None: ...


def ending(begun: tuple[World, GuardianClient], state: State) -> Stubborn:
    """A robot on its feet, whose guardian is about to be asked to end."""
    shared = begun[0].guardian.robot
    world, client = copy.deepcopy(begun, {id(shared): shared})
    g = world.guardian
    g.measures.sensors.forget()  # no joint jumps like that
    world.robot.position = g._poses.standing.copy()
    g.machine.state, g._curve = State.HOLD, g._poses.stand(world.now - 2.0, world.robot.position)
    if state is State.STANDING_UP:
        g.machine.state = State.REST
        g.machine.transition(GuardianEvent.STAND)
    elif state is State.HOLD_LATCHED:
        g.machine.fault(next(limit for limit in g.watch.limits if limit.name == "tracking"))
    assert g.state is state
    for session in world.service.link._sessions.values():
        session.address = ADDRESS
    return Stubborn(world, client)


def guardian_of(there: Any, say: Callable[[str], None]) -> GuardianProcess:
    return GuardianProcess(there, there.world.service, there, there, there, say)


def run(there: Any, requests: Callable[[], int]) -> str:
    return guardian_of(there, lambda text: None).run(requests)


@pytest.mark.parametrize("state", [State.HOLD, State.STANDING_UP, State.HOLD_LATCHED])
def test_asked_once_it_lays_the_robot_down_and_sees_it_at_rest(begun, state: State) -> None:
    there = ending(begun, state)
    assert run(there, lambda: 1).startswith("it lies, its trunk is 0.1")
    way = list(dict.fromkeys(there.states))
    assert way == [State.SIT_LATCHED, State.DAMP_LATCHED]
    assert 1.6 < len(there.states) * PERIOD < 2.2  # 1.5 s down, 0.2 s at rest
    assert there.sent > 100  # and it answered


def asked_twice() -> Iterator[int]:
    yield from [1] * 50
    while True:
        yield 2


def test_asked_twice_it_damps_at_once(begun) -> None:
    there = ending(begun, State.HOLD)
    times = asked_twice()
    run(there, lambda: next(times))
    assert there.states[49:51] == [State.SIT_LATCHED, State.DAMP_LATCHED]
    assert len(there.states) * PERIOD < 0.4


def test_a_robot_that_is_not_seen_at_rest_is_said_and_no_success(begun) -> None:
    there = ending(begun, State.HOLD)
    there.world.robot.edit = lambda seen: seen.reading.joint_velocity.fill(0.5)
    with pytest.raises(
        NotStoppedError, match=r"NOT seen to come to rest: joint FL_hip turns at 0.5 rad/s. Look at it"
    ):
        run(there, lambda: 2)
    assert len(there.states) * PERIOD == pytest.approx(2.5, abs=0.02)


def test_a_loop_that_fails_is_no_success_either(begun, monkeypatch) -> None:
    there = ending(begun, State.HOLD)
    monkeypatch.setattr(there.world.robot, "observe", lambda: 1 / 0)
    with pytest.raises(HardwareError, match="the guardian's loop failed: ZeroDivisionError"):
        run(there, lambda: 1)


@pytest.mark.parametrize(
    ("ticks", "state", "gap"),
    [(5, State.HOLD, 0), (15, State.HOLD_LATCHED, 10), (60, State.DAMP_LATCHED, 50)],
)
def test_a_network_that_is_gone_for_a_while_is_no_end(begun, monkeypatch, ticks, state, gap) -> None:
    there = ending(begun, State.HOLD)
    monkeypatch.setattr(there, "receive", list)  # nobody stops it or asks for anything
    there.world.guardian.lease.alive = there.world.now
    told: list[str] = []
    guarding = guardian_of(there, told.append)
    guarding.tick()
    sends = there.write
    monkeypatch.setattr(there, "write", gone)
    for _ in range(ticks):
        guarding.tick()
    monkeypatch.setattr(there, "write", sends)
    guarding.tick()
    assert there.world.state is state
    assert (there.states[-1] is State.DAMP_LATCHED) == (
        gap == 50
    )  # and what goes out first is as late as it is
    said = [line.split(maxsplit=1)[1] for line in told]
    assert said[0] == "network   no command goes out: UDP to 192.168.123.10:8007: Network is unreachable"
    assert said[-1] == f"network   commands go out again, {ticks} did not"
    if gap:
        assert "Network is unreachable" in there.world.guardian.latch.message


def gone(command: object) -> None:
    raise LinkError("UDP to 192.168.123.10:8007: Network is unreachable")


def test_damping_at_the_end_is_sent_again_where_the_network_takes_none(begun, monkeypatch) -> None:
    there = ending(begun, State.HOLD)
    monkeypatch.setattr(process, "FINAL_DAMPING_S", 0.02)
    monkeypatch.setattr(there, "write", gone)
    closed: list[bool] = []
    monkeypatch.setattr(there, "close", lambda: closed.append(True))
    monkeypatch.setattr(there, "receive", list)
    with pytest.raises(NotStoppedError, match="NOT seen to come to rest: no command goes out to it"):
        run(there, lambda: 2)
    assert len(closed) == 3  # log, server, link
