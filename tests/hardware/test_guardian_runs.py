"""Whole runs against a guardian: silence, stop, clearing, backups, bounds, random events, the real controller."""

from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebo.boundary.monitor import BoundaryMonitor
from safebo.boundary.rules import LipschitzRule
from safebo.experiments.robustness.guardian import answered, scenes
from safebo.experiments.robustness.guardian_world import TROT, StandInRobot, World, go1
from safebo.hardware.guardian.bounds import HARD_BOUNDS, quadruped_table
from safebo.hardware.guardian.motion import Poses
from safebo.hardware.guardian.observation import RobotObservation
from safebo.hardware.guardian.states import LATCHED, Response, State
from safebo.hardware.guardian.telemetry import COLUMNS
from safebo.hardware.guardian.walker import QuadrupedWalker
from safebo.hardware.link import messages as m
from safebo.hardware.link.arrays import monitor_upload
from safebo.hardware.link.client import RefusedError
from safebo.hardware.link.digest import trial_digest
from safebo.hardware.link.layout import Body
from safebo.hardware.link.messages import Code
from safebo.robots.quadruped.gains import GAINS
from safebo.robots.simulation.plant import Simulation

SEVERITY = {
    State.HOLD_LATCHED: 1,
    State.HOLD_ACKNOWLEDGED: 1,
    State.SIT_LATCHED: 2,
    State.DAMP_LATCHED: 3,
    State.DAMP_ACKNOWLEDGED: 3,
}


@pytest.fixture(scope="module")
def scene():
    return scenes()


@pytest.fixture
def running(scene):
    return scene[State.RUNNING][0].copy(scene[State.RUNNING][1])


@pytest.fixture
def standing(scene):
    return scene[State.HOLD][0].copy(scene[State.HOLD][1])


def test_hard_bounds_cover_every_gain_and_bind_products() -> None:
    assert set(HARD_BOUNDS) == {gain.name for gain in GAINS}
    for gain in GAINS:
        low, high = HARD_BOUNDS[gain.name]
        assert gain.lower <= low <= gain.default <= high <= gain.upper, gain.name
    table = quadruped_table()
    values = table.mapping(table.baseline) | {"joint.hip.kp": 200.0, "joint.fl.kp_scale": 2.0}
    assert "joint.fl.kp_scale: 400" in table.problem(tuple(values.values()))
    values["joint.hip.kp"] = float("nan")
    assert "joint.hip.kp" in table.problem(tuple(values.values()))


def test_a_silent_tuner_means_baseline_then_the_way_down(running) -> None:
    world, _ = running
    assert world.command.kp[0] == 100.0
    begin, baseline, down = world.now, None, None
    while world.now < begin + 1.2:
        command = world.tick()
        if baseline is None and command.kp[0] != 100.0:
            baseline = world.now - begin
        if down is None and world.state is State.SIT_LATCHED:
            down = world.now - begin
            assert answered(command, Response.SIT)
    assert baseline is not None
    assert down is not None
    assert baseline <= 0.2
    assert down <= 1.0


def test_a_revived_tuner_is_refused(running) -> None:
    world, client = running
    old = client.epoch
    world.run(5.0)
    for ask in (client.stand, lambda: client.start(world.guardian.run.token, 1.0)):
        with pytest.raises(RefusedError) as refusal:
            ask()
        assert refusal.value.reply.code == Code.NO_LEASE
    assert client.acquire() == old + 1


def test_stop_wins_without_a_lease_and_is_cleared_in_two_steps(running) -> None:
    world, client = running
    viewer = world.client("viewer")
    viewer.connect()
    viewer.channel.send(m.Stop(3, "a person"))
    client.pump(0.02)
    assert world.state is State.DAMP_LATCHED
    assert answered(world.command, Response.DAMP)
    with pytest.raises(RefusedError, match="acknowledge first"):
        client.clear(1)
    token = client.acknowledge(client.status().latch)
    assert world.state is State.DAMP_ACKNOWLEDGED
    with pytest.raises(RefusedError):
        client.stand()
    client.clear(token)
    assert world.state is State.REST
    assert not world.command.kp.any()


NAMES = [
    *("stand", "arm", "start", "abort", "lie", "stop1", "stop2", "stop3"),
    *("ack", "clear", "lease", "tilt", "silent", "wait"),
]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(events=st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1, 60)), max_size=25))
def test_random_events_leave_a_latch_by_two_steps_only(scene, events) -> None:
    world, client = scene[State.HOLD][0].copy(scene[State.HOLD][1])
    severity, acknowledged = 0, False
    for name, ticks in events:
        _ask(world, client, name)
        world.robot.edit = _tilted if name == "tilt" else _level
        world.robot.silent = name == "silent"
        for tick in range(ticks):
            before = world.state
            client._keep_alive()
            while client._receive(0.0) is not None:
                pass
            command = world.tick()
            after = world.state
            if before in LATCHED and after not in LATCHED:
                assert name == "clear"
                assert acknowledged
                assert after in (State.HOLD, State.REST)
                severity = 0
            assert SEVERITY.get(after, 0) >= severity
            severity = SEVERITY.get(after, 0)
            acknowledged = after in (State.HOLD_ACKNOWLEDGED, State.DAMP_ACKNOWLEDGED)
            if tick == 0 and name.startswith("stop"):
                assert SEVERITY[after] >= int(name[4])
            if severity == 3 or after in (State.REST, State.DISCONNECTED):
                assert not command.kp.any()


def _ask(world, client, name: str) -> None:
    g = world.guardian
    number, epoch = client._next_id(), g.lease.epoch
    body: Body | None = {
        "stand": m.Stand(number, epoch),
        "arm": m.Arm(number, epoch, 1, g.staging.digest() or bytes(32)),
        "start": m.Start(number, epoch, g.run.token, 1.0),
        "abort": m.Abort(number, epoch, 1),
        "lie": m.LieDown(number, epoch),
        "ack": m.Acknowledge(number, epoch, g.latch.number),
        "clear": m.Clear(number, epoch, g.latch.token),
        "lease": m.AcquireLease(number, epoch, "tuner"),
    }.get(name)
    if name.startswith("stop"):
        body = m.Stop(int(name[4]))
    if body is not None:
        client.channel.send(body)


def _level(seen: RobotObservation) -> None:
    pass


def _tilted(seen: RobotObservation) -> None:
    seen.reading.orientation[:] = [np.cos(0.4), np.sin(0.4), 0.0, 0.0]


def test_the_boundary_condition_switches_within_its_tick(standing) -> None:
    world, client = standing
    states, lower = np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([0.5, 0.6])
    monitor = BoundaryMonitor(states, np.array([0, 1]), lower, [{}, {}], LipschitzRule(), np.ones(2))
    client.start(world.armed(client, 7, monitor_upload(monitor)), 5.0)
    client.pump(TROT.settle + 0.1)
    assert world.command.kp[0] == 100.0
    world.walker.seen = np.array([1.8, 0.0])  # 0.8 from the state of the second backup, which reaches 0.6
    command = world.tick()
    assert world.guardian.run.backup == 1
    assert command.kp[0] == 80.0
    assert world.state is State.RUNNING


def test_gains_beyond_hard_bounds_or_of_another_trial_are_refused(standing) -> None:
    world, client = standing
    with pytest.raises(RefusedError, match=r"joint\.hip\.kp: 251 is outside"):
        client.set_gains(world.gains(251.0))
    assert not world.guardian.staging.gains
    client.set_gains(world.gains(90.0))
    client.set_walk(TROT)
    with pytest.raises(RefusedError) as refusal:
        client.arm(1, trial_digest(world.table.identity, world.gains(91.0), [], TROT, None))
    assert refusal.value.reply.code == Code.DIGEST_MISMATCH


def test_the_real_controller_stands_walks_and_lies_down_on_the_plant() -> None:
    robot = go1()
    world = World(1, walker=QuadrupedWalker(robot))
    plant = Simulation(robot)
    plant.reset(Poses(robot).folded)
    world.robot = _Plant(plant)
    client = world.client()
    world.standing(client)
    assert plant.truth().position[2] > 0.25
    gains = world.table.baseline
    client.set_gains(gains)
    client.set_walk(TROT)
    client.start(client.arm(1, trial_digest(world.table.identity, gains, [], TROT, None)), 1.0)
    client.wait_for(lambda state: state.outcome == 1, 3.0)
    assert plant.truth().position[0] > 0.1
    assert len(client.telemetry(1, len(COLUMNS))) == round((TROT.settle + 1.0) * 500)
    client.pump(1.9)  # 0.8 s of braking, 0.4 s into the pose, 0.5 s of calm
    assert world.guardian.calm()
    client.lie_down()
    client.wait_for(lambda state: state.state == State.REST, 3.0)
    assert world.guardian.latch.number == 0


def test_another_commander_is_named_in_its_latch_and_in_no_other(running) -> None:
    world, client = running
    world.guardian.name_commander("somebody")
    assert "somebody" not in world.guardian.latch.message
    world.robot.edit = lambda seen: setattr(seen, "foreign_commands", True)
    world.tick()
    assert world.state is State.HOLD_LATCHED
    world.guardian.name_commander("rt/lowcmd is published by process 7")
    client.pump(0.1)
    assert client.state.message == "another commander: rt/lowcmd is published by process 7"


class _Plant(StandInRobot):
    """MuJoCo in place of the stand-in."""

    def __init__(self, plant: Simulation) -> None:
        robot = go1()
        super().__init__(robot, Poses(robot).folded)
        self._plant = plant

    def observe(self) -> RobotObservation:
        plant = self._plant
        tick = round(plant.time * 1e3) + 5
        return RobotObservation(tick, deepcopy(plant.read()), plant.commanded_torque.copy(), 40.0, 80.0, 0.01)

    def apply(self, command) -> None:
        self._plant.apply(command)
