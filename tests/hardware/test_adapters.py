"""A user's own controller behind the guardian: its commands, its gains, its files, and everything that can fail."""

import copy
import math
import os
import re
import signal
import socket
import struct
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from itertools import product
from pathlib import Path
from random import Random

import numpy as np
import pytest
import yaml
from hypothesis import example as for_example
from hypothesis import given, settings
from hypothesis import strategies as st
from present import present

from safebo.experiments.robustness.guardian_world import KEY, TROT, AtOnce, World, go1
from safebo.hardware.adapters.gain_keeper import GainKeeper
from safebo.hardware.adapters.relay import read_controller
from safebo.hardware.adapters.relayed_walker import ControllerError, RelayedWalker
from safebo.hardware.errors import HardwareInputError
from safebo.hardware.guardian.bounds import ControllerGains, quadruped_table
from safebo.hardware.guardian.core import Guardian
from safebo.hardware.guardian.motion import STAND_KP
from safebo.hardware.guardian.service import GuardianService
from safebo.hardware.guardian.staging import GuardedController
from safebo.hardware.guardian.states import State
from safebo.hardware.guardian.walker import QuadrupedWalker, Walk
from safebo.hardware.link.client import RefusedError
from safebo.hardware.link.digest import trial_digest
from safebo.hardware.link.messages import Arm, Code, Disarm
from safebo.hardware.link.udp import UdpTransport
from safebo.hardware.tuning.evaluator import RobotEvaluator
from safebo.hardware.tuning.own_controller import controller_of
from safebo.hardware.tuning.session import Session
from safebo.robots.controllers.controller_file import read_controller_file
from safebo.robots.controllers.datagrams import GainSet, Mode, RelayAnswer, RelayState
from safebo.robots.controllers.file_and_restart import FileAndRestartPort
from safebo.robots.controllers.gain_port import write_and_read_back
from safebo.robots.controllers.gains_text import TextFormat, read_numbers, replace_numbers
from safebo.robots.controllers.ports import gain_port
from safebo.robots.controllers.protocol import ControllerInputError, DatagramError, GainPortError
from safebo.robots.controllers.ros_parameters import RosParameter, RosParameterPort, SetParametersResult
from safebo.robots.quadruped.controller import Controller as QuadrupedController
from safebo.robots.quadruped.gains import Gains
from safebo.robots.quadruped.gait import Gait, gait_named
from safebo.robots.quadruped.interface import BaseState, JointCommand, SensorReading
from safebo.robots.simulation.plant import Simulation
from safebo.study import Study
from safebo.study.reading import load_study
from safebo.types import RobotAddress, StudyIdentity, Trial, trial_hash

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "relayed_controller"
sys.path.insert(0, str(EXAMPLE))  # as a person does who runs the example from its folder
import controller as example  # noqa: E402
from parameter_server import ParameterNode, serve  # noqa: E402

FILE = read_controller_file(EXAMPLE / "parameter_controller.yaml")
TABLE = ControllerGains.of(FILE.table)
TRIAL = (90.0, 4.0, 0.1)
BASELINE = dict(zip(TABLE.names, TABLE.baseline, strict=True))


class Node(ParameterNode):
    """One that can be copied with its world."""

    def __deepcopy__(self, memo):
        return Node(self._ranges, self.values())


class NodeClient:
    """Calls a node without a wire; parameter `k` (from 1) of a write fails as it is told to."""

    def __init__(self, node: ParameterNode) -> None:
        self.node = node
        self.failing = 0
        self.how = "refused"
        self.writes_until_well = 1 << 30

    def set_parameters_atomically(self, parameters):
        return SetParametersResult(
            *self.node.set_parameters_atomically([(p.name, p.value) for p in parameters])
        )

    def set_parameters(self, parameters):
        ill, self.writes_until_well = self.writes_until_well > 0, self.writes_until_well - 1
        results = []
        for number, parameter in enumerate(parameters, 1):
            if ill and number == self.failing:
                if self.how == "silent":
                    raise TimeoutError("no answer within 2 s")
                results.append(SetParametersResult(self.how == "dropped", "busy"))
                continue
            results.append(
                SetParametersResult(*self.node.set_parameters([(parameter.name, parameter.value)])[0])
            )
        return results

    def get_parameters(self, names):
        return self.node.get_parameters(names)


class Wire:
    """To the example controller in this process; answers come `delay` ticks late, changed by `edit`."""

    def __init__(self, node: ParameterNode) -> None:
        self.node = node
        self.controller = example.Controller(BASELINE, node)
        self.delay = 0
        self.dead = False
        self.edit = lambda answer: answer
        self.states: list[RelayState] = []
        self._sent = 0
        self._answers: list[tuple[int, bytes]] = []

    def send(self, data: bytes) -> None:
        self._sent += 1
        self.states.append(RelayState.unpack(data))
        if not self.dead:
            answer = self.controller.answer(data)
            assert answer is not None
            self._answers.append((self._sent + self.delay, self.edit(answer)))

    def receive(self, timeout: float) -> bytes | None:
        if self._answers and self._answers[0][0] <= self._sent:
            return self._answers.pop(0)[1]
        return None


class RelayWorld(World):
    """A guardian that relays to a controller with three gains."""

    def __init__(
        self, wire, port, switches: bool = True, executor=None, proof: float = 1.0, table=TABLE
    ) -> None:
        super().__init__(0)
        self.table, self.wire = table, wire
        self.parameters: NodeClient | None = None
        self.relayed = RelayedWalker(go1(), table, wire, switches)
        self.keeper = GainKeeper(self.relayed, port, table, executor or AtOnce(), proof)
        controller = GuardedController(self.relayed, table, self.keeper)
        self.guardian = Guardian(go1(), controller, AtOnce(), Random(0), self._controller_clock)
        self.service = GuardianService(self.guardian, KEY, boot=1, virtual=True, serial="none")

    def arm(self, client, values=TRIAL, patience: float = 5.0) -> int:
        client.reset_trial()
        client.set_gains(values)
        client.set_walk(TROT)
        return client.arm(1, trial_digest(self.table.identity, values, [], TROT, None), patience)

    def said(self, kind: str) -> str:
        return "\n".join(row.message for row in self.events if row.kind == kind)


@cache
def standing_world(switches: bool, atomic: bool):
    node = Node(example.RANGES, BASELINE)
    client = NodeClient(node)
    port = RosParameterPort(client, {name: name for name in TABLE.names}, atomic)
    world = RelayWorld(Wire(node), port, switches)
    world.parameters = client
    tuner = world.client()
    world.standing(tuner)
    return world, tuner


@cache
def walking_world(switches: bool):
    world, tuner, _ = standing(switches)
    tuner.start(world.arm(tuner), 20.0)
    tuner.pump(TROT.settle + 0.3)
    assert world.state is State.RUNNING
    return world, tuner


def copied(world: RelayWorld, tuner):
    """A copy of world and tuner, and the guardian's parameter client in it."""
    shared = (world.guardian.robot, world.guardian.telemetry)  # large, and begun anew by every trial
    world, tuner = copy.deepcopy((world, tuner), {id(item): item for item in shared})
    return world, tuner, world.parameters


def standing(switches: bool = True, atomic: bool = True):
    """A world whose robot stands."""
    return copied(*standing_world(switches, atomic))


def walking(switches: bool = True):
    """A world whose robot walks on a trial's gains."""
    return copied(*walking_world(switches))


# -- the datagrams --------------------------------------------------------------------------------------


def test_the_layout_is_that_of_the_page() -> None:
    reading = SensorReading(0.0, *[np.arange(0.5, n) for n in (12, 12, 4, 3, 3)])
    state = RelayState(
        Mode.BRAKE, GainSet.BASELINE, 7, 1.25, (0.1, 0.2, 0.3), (0.5, 0.4, 0.3, 0.2, 0.1), 0.6, reading
    )
    data = state.pack()
    assert len(data) == 368
    assert data[:8] == b"SBs1\x03\x00\x00\x00"
    assert struct.unpack_from("<Q", data, 8) == (7,)
    assert struct.unpack_from("<d3d5dd", data, 16) == (1.25, 0.1, 0.2, 0.3, 0.5, 0.4, 0.3, 0.2, 0.1, 0.6)
    assert struct.unpack_from("<12d", data, 192) == tuple(reading.joint_velocity)
    assert struct.unpack_from("<4d", data, 288) == tuple(reading.orientation)
    assert struct.unpack_from("<3d", data, 344) == tuple(reading.linear_acceleration)
    again = RelayState.unpack(data)
    assert again.pack() == data
    for wrong in (data[:-1], b"SBs2" + data[4:], data[:4] + b"\x09" + data[5:]):
        with pytest.raises(DatagramError):
            RelayState.unpack(wrong)

    rows = [np.full(12, k + 0.25) for k in range(5)]
    base = BaseState(np.full(3, 5.25), np.full(4, 6.25), np.full(3, 7.25), np.full(3, 8.25))
    data = RelayAnswer(0xABCD, 7, 0x0102030405060708, JointCommand(*rows), base).pack()
    assert len(data) == 608
    assert data[:24] == b"SBa1\xcd\xab\0\0" + b"\7" + bytes(7) + bytes([8, 7, 6, 5, 4, 3, 2, 1])
    places = {24: 0, 120: 1, 216: 2, 312: 3, 408: 4, 504: 5, 528: 6, 560: 7, 584: 8}
    assert all(struct.unpack_from("<d", data, at) == (k + 0.25,) for at, k in places.items())
    with pytest.raises(DatagramError, match="instance 0"):
        RelayAnswer.unpack(data[:4] + bytes(4) + data[8:])


class InsideOut:
    """The project's own controller as a user would attach it: built from nothing but the datagrams."""

    def __init__(self, gains: Gains, identity: int) -> None:
        self._gains, self._identity = gains, identity
        self._controller: QuadrupedController | None = None
        self._velocity = (0.0, 0.0, 0.0)
        self._answers: list[bytes] = []

    def send(self, data: bytes) -> None:
        state = RelayState.unpack(data)
        command, base = JointCommand(), BaseState.at_rest()
        if state.mode is not Mode.STANDBY:
            self._velocity = state.velocity
            if self._controller is None:
                gait = Gait(*state.gait)
                self._controller = QuadrupedController(
                    go1(),
                    self._gains,
                    gait,
                    lambda time: self._velocity,
                    control_rate=500.0,
                    settle=state.settle,
                )
                self._controller.reset(state.reading)
            command = self._controller.step(state.reading)
            base = self._controller.base
        self._answers.append(RelayAnswer(3, state.tick, self._identity, command, base).pack())

    def receive(self, timeout: float) -> bytes | None:
        return self._answers.pop(0) if self._answers else None


def test_a_relayed_controller_commands_what_it_would_command_inside() -> None:
    robot, table, gains = go1(), quadruped_table(), Gains()
    walk = Walk(gait_named("trot"), (0.4, 0.1, 0.2), 0.2, 0.1)
    inside = QuadrupedWalker(robot)
    relayed = RelayedWalker(robot, table, InsideOut(gains, 0))
    plant = Simulation(robot)
    plant.reset(robot.home_joints)
    reading = plant.read()
    relayed.standby(reading)
    for walker in (inside, relayed):
        walker.begin(reading, walk, gains)
    moved = 0.0
    for tick in range(350):
        if tick == 250:
            inside.brake()
            relayed.brake()
        own, other = inside.step(reading), relayed.step(reading)
        for name in ("position", "velocity", "torque", "kp", "kd"):
            assert (getattr(own, name) == getattr(other, name)).all(), (tick, name)
        assert (inside.state(reading) == relayed.state(reading)).all()
        moved = max(moved, float(np.abs(own.position - robot.home_joints).max()))
        plant.apply(own)
        reading = plant.read()
    assert moved > 0.1
    assert relayed.counters.prompt == 350


# -- a controller in trouble ----------------------------------------------------------------------------


def damped(world: RelayWorld) -> bool:
    command = world.command
    return not command.kp.any() and not command.torque.any() and bool((command.kd > 0).all())


@pytest.mark.parametrize("trouble", ["crash", "late"])
def test_silence_is_bridged_for_two_periods_and_damped_in_the_third(trouble) -> None:
    world, _, _ = walking()
    before = world.tick()
    if trouble == "crash":
        world.wire.dead = True
    else:
        world.wire.delay = 3
    for tick in (1, 2):
        world.tick()
        assert world.state is State.RUNNING, tick
        assert (world.command.position == before.position).all()
    world.tick()
    assert world.state is State.DAMP_LATCHED
    assert damped(world)
    assert "no answer to the last 3 robot states" in world.said("latch")
    assert world.relayed.counters.held == 2
    world.wire.dead, world.wire.delay = False, 0
    world.run(0.1)
    assert world.state is State.DAMP_LATCHED
    assert damped(world)


@pytest.mark.parametrize("delay", [1, 2])
def test_a_controller_that_always_answers_late_walks_and_is_counted(delay) -> None:
    world, client, _ = standing()
    world.wire.delay = delay
    client.start(world.arm(client), 5.0)
    client.pump(0.4)
    assert world.state is State.RUNNING
    counters = world.relayed.counters
    assert counters.prompt == 0
    assert counters.late > 100
    assert counters.held == delay  # until the first answer came; what the guardian commanded itself before
    world.wire.delay = 0


def test_before_the_first_answer_the_robot_stands_as_the_guardian_had_it_stand() -> None:
    world, client, _ = standing()
    token = world.arm(client)
    before = world.command
    world.wire.dead = True
    walker, reading = world.relayed, world.guardian.stream.newest.reading
    assert token
    walker.begin(reading, Walk(gait_named("trot"), (0.3, 0.0, 0.0), 0.5, 0.1), TABLE.mapping(TRIAL))
    for _ in range(2):
        command = walker.step(reading)
        for name in ("position", "velocity", "torque", "kp"):
            assert (getattr(command, name) == getattr(before, name)).all()
    with pytest.raises(ControllerError, match="no answer to the last 3"):
        walker.step(reading)
    assert [state.mode for state in world.wire.states[-3:]] == [Mode.SETTLE] * 3
    assert world.wire.states[-3].time == 0.0


def nan_at(place: int):
    """An answer with one number that is none, the kind by turns."""

    def edit(data: bytes) -> bytes:
        wrong = (math.nan, math.inf, -math.inf)[place % 3]
        return data[:place] + struct.pack("<d", wrong) + data[place + 8 :]

    return edit


def test_a_number_that_is_none_damps_in_the_same_tick() -> None:
    world, _, _ = walking()
    reading = world.guardian.stream.newest.reading
    for k in range(73):
        world.wire.edit = nan_at(24 + 8 * k)
        with pytest.raises(ControllerError, match=r"(nan|inf)$"):
            world.relayed.step(reading)
    world.tick()
    assert world.state is State.DAMP_LATCHED
    assert damped(world)
    assert "the controller's trunk rate is " in world.said("latch")


@pytest.mark.parametrize(("place", "words"), [(4, "restarted"), (16, "answers with gains")])
def test_another_controller_or_other_gains_damp_in_the_same_tick(place, words) -> None:
    world, _, _ = walking()
    world.wire.edit = lambda data: data[:place] + b"\x55\x55\x55" + data[place + 3 :]
    world.tick()
    assert world.state is State.DAMP_LATCHED
    assert damped(world)
    assert words in world.said("latch")


def ahead(data: bytes) -> bytes:
    """Answers a state that was never sent, which would stay the newest for long."""
    (tick,) = struct.unpack_from("<Q", data, 8)
    return data[:8] + struct.pack("<Q", tick + 1000) + data[16:]


@pytest.mark.parametrize("edit", [ahead, lambda data: data[:-1], lambda data: data + b"\0", lambda data: b""])
def test_rubbish_is_no_answer(edit) -> None:
    world, _, _ = walking()
    world.wire.edit = edit
    for _ in range(3):
        world.tick()
    assert world.state is State.DAMP_LATCHED
    assert world.relayed.counters.refused == 3


# -- gains ----------------------------------------------------------------------------------------------


def test_a_trials_gains_are_at_work_only_in_the_trial_and_baseline_is_back_after_it() -> None:
    world, tuner, client = walking()
    assert world.command.kp[0] == TRIAL[0]
    assert client.node.values() == TABLE.mapping(TRIAL)
    tuner.abort(1)
    world.tick()
    assert world.state is State.HOLD
    assert world.command.kp[0] == TABLE.baseline[0]  # the controller itself, braking on baseline gains
    assert world.wire.states[-1].mode is Mode.BRAKE
    tuner.pump(1.0)
    assert world.command.kp[0] == STAND_KP
    assert client.node.values() == BASELINE
    walked = world.relayed.counters.prompt
    assert world.said("gains").splitlines() == [
        "the controller holds baseline gains: read back, and named by the controller",
        "the controller holds trial gains: read back, and named by the controller",
        f"of {walked} commands {walked} were answered in their tick, 0 later, 0 repeated the one before",
        "the controller holds baseline gains: read back, and named by the controller",
    ]
    assert world.arm(tuner) > 0


def test_a_controller_that_cannot_switch_hands_over_to_the_guardian_at_once() -> None:
    world, tuner, client = walking(switches=False)
    tuner.abort(1)
    world.tick()
    assert world.state is State.HOLD
    assert (world.command.kp == STAND_KP).all()
    assert world.wire.states[-1].mode is Mode.STANDBY
    tuner.pump(0.2)
    assert client.node.values() == BASELINE


def test_gains_that_are_not_armed_in_time_go_back() -> None:
    world, tuner, client = standing()
    tuner.set_gains(TRIAL)
    tuner.set_walk(TROT)
    with pytest.raises(RefusedError, match="on their way"):
        tuner.ask(Arm(trial=1, digest=trial_digest(TABLE.identity, TRIAL, [], TROT, None)))
    tuner.pump(2.0)
    assert client.node.values() == TABLE.mapping(TRIAL)
    tuner.pump(1.2)
    assert client.node.values() == BASELINE
    world.arm(tuner)
    assert client.node.values() == TABLE.mapping(TRIAL)
    tuner.ask(Disarm())
    tuner.pump(0.1)
    assert client.node.values() == BASELINE


HOW = ("refused", "dropped", "silent")


@pytest.mark.parametrize(("k", "how", "heals"), list(product((1, 2, 3), HOW, (True, False))))
def test_a_half_applied_set_ends_in_proven_baseline_or_in_damping(k, how, heals) -> None:
    world, tuner, client = standing(atomic=False)
    client.failing, client.how = k, how
    client.writes_until_well = 1 if heals else 1 << 30
    with pytest.raises(RefusedError) as refusal:
        world.arm(tuner)
    tuner.pump(0.2)
    assert "trial gains failed" in world.said("gains")
    if heals:
        assert refusal.value.reply.code == Code.BAD_VALUE
        assert "did not take the gains" in str(refusal.value)
        assert world.state is State.HOLD
        assert client.node.values() == BASELINE
        assert world.keeper.holds(TABLE.baseline)
        assert world.arm(tuner) > 0  # asked again, it works
        return
    # dropped writes of a value that is baseline already do no harm, so what decides is what is read back
    if how == "dropped" and client.node.values() == BASELINE:
        assert world.state is State.HOLD
        return
    assert world.state is State.DAMP_LATCHED
    assert damped(world)
    assert "baseline gains cannot be proven" in world.said("latch")
    with pytest.raises(RefusedError) as refusal:
        tuner.acknowledge(tuner.status().latch)
    assert refusal.value.reply.code == Code.CAUSE_PRESENT
    if (k, how) != (2, "refused"):
        return
    client.failing = 0
    tuner.pump(5.1)
    assert client.node.values() == BASELINE
    tuner.clear(tuner.acknowledge(tuner.status().latch))
    assert world.state is State.REST


def test_gains_that_the_controller_does_not_name_are_not_at_work() -> None:
    world, tuner, client = standing()
    # the node takes the parameters, the control loop never looks at them again
    stuck = Node(example.RANGES, BASELINE)
    world.wire.controller._node = stuck
    with pytest.raises(RefusedError, match="but with others within 1 s"):
        world.arm(tuner)
    tuner.pump(0.1)
    assert world.state is State.HOLD
    assert client.node.values() == BASELINE
    assert world.keeper.holds(TABLE.baseline)


def test_a_controller_that_restarts_before_the_start_does_not_start() -> None:
    world, tuner, client = standing()
    token = world.arm(tuner)
    world.wire.controller = example.Controller(BASELINE, client.node)
    world.run(0.01)
    with pytest.raises(RefusedError, match="no longer"):
        tuner.start(token, 5.0)
    assert world.state is State.ARMED


def test_a_controller_that_is_not_there_arms_nothing_and_harms_nobody() -> None:
    world, tuner, _ = standing()
    world.wire.dead = True
    tuner.pump(0.2)
    with pytest.raises(RefusedError, match="does not answer"):
        world.arm(tuner, patience=0.3)
    assert world.state is State.HOLD


def unnamed(data: bytes) -> bytes:
    """An answer of a controller that does not say with which gains it was made."""
    return data[:16] + bytes(8) + data[24:]


@pytest.mark.parametrize("k", [1, 2, 3])
def test_reading_back_alone_finds_a_dropped_write(k) -> None:
    world, tuner, client = standing(switches=False, atomic=False)
    world.wire.edit = unnamed
    client.failing, client.how, client.writes_until_well = k, "dropped", 1
    with pytest.raises(RefusedError, match=f"{TABLE.names[k - 1]} reads {TABLE.baseline[k - 1]}"):
        world.arm(tuner)
    tuner.pump(0.1)
    assert client.node.values() == BASELINE
    tuner.start(world.arm(tuner), 5.0)
    tuner.pump(0.2)
    assert world.state is State.RUNNING
    assert world.command.kp[0] in (TRIAL[0], STAND_KP)
    assert "gains: read back\n" in world.said("gains") + "\n"


def test_gains_count_only_when_the_controller_answers_after_they_were_written() -> None:
    world, tuner, client = standing(switches=False)
    world.wire.edit = unnamed
    world.wire.dead = True
    world.run(0.01)
    assert world.relayed.alive  # not silent for long enough to be noticed
    with pytest.raises(RefusedError, match="did not answer within 1 s"):
        world.arm(tuner)
    assert client.node.values() == BASELINE
    tuner.pump(1.1)
    assert world.state is State.DAMP_LATCHED


class Restarting:
    """A gain port that starts the controller anew, or fails to."""

    restarts = True

    def __init__(self, wire: Wire) -> None:
        self.wire, self.works, self.writes = wire, True, 0
        self.gains = dict(BASELINE)

    def write(self, gains):
        self.writes += 1
        self.gains = dict(gains)
        if self.works:
            self.wire.controller = example.Controller(self.gains, Node(example.RANGES, self.gains))
            self.wire.dead = False

    def read(self):
        return self.gains


def test_a_restart_counts_only_when_another_instance_answers() -> None:
    wire = Wire(Node(example.RANGES, BASELINE))
    port = Restarting(wire)
    world = RelayWorld(wire, port, switches=False, proof=0.1)
    tuner = world.client()
    world.standing(tuner)
    assert world.keeper.holds(TABLE.baseline)
    world.arm(tuner)
    tuner.ask(Disarm())
    tuner.pump(0.1)
    # silent for a second: started anew, on baseline gains, and the robot stands on meanwhile
    wire.dead = True
    before = port.writes
    tuner.pump(0.95)
    assert port.writes == before
    tuner.pump(0.1)
    assert port.writes == before + 1
    assert world.keeper.holds(TABLE.baseline)
    assert world.state is State.HOLD
    # the command ends well and the old controller is still there
    port.works = False
    with pytest.raises(RefusedError, match=r"did not start anew within 0\.1 s"):
        world.arm(tuner)
    tuner.pump(0.2)
    assert world.state is State.DAMP_LATCHED
    assert "baseline gains cannot be proven" in world.said("latch")


def test_backups_need_a_controller_that_can_switch_to_them() -> None:
    world, _, _ = standing()
    plan = type("Plan", (), {"backups": (TRIAL,), "gains": TRIAL})()
    with pytest.raises(ValueError, match="local trials only"):
        world.keeper.prepare(world.now, plan)


def test_an_adapter_that_breaks_is_an_answer() -> None:
    class Broken:
        restarts = False

        def write(self, gains):
            raise ZeroDivisionError("oops")

        def read(self):
            return {}

    assert write_and_read_back(Broken(), TABLE.mapping(TRIAL)) == "ZeroDivisionError: oops"


def test_parameters_over_a_wire_are_set_all_or_none(tmp_path) -> None:
    node = ParameterNode(example.RANGES, BASELINE)
    server = serve(node, 0)
    try:
        number = str(server.server_address[1])
        text = (EXAMPLE / "parameter_controller.yaml").read_text().replace('"4761"', f'"{number}"')
        text = text.replace("parameter_client.py", str(EXAMPLE / "parameter_client.py"))
        path = tmp_path / "controller.yaml"
        path.write_text(text)
        port = gain_port(read_controller_file(path))
        assert isinstance(port, RosParameterPort)
        client = port._client
        assert write_and_read_back(port, TABLE.mapping(TRIAL)) == ""
        assert node.values() == TABLE.mapping(TRIAL)
        assert "the node refuses: stance.kd" in write_and_read_back(port, TABLE.mapping((50.0, 1e6, 0.0)))
        assert node.values() == TABLE.mapping(TRIAL)
        with pytest.raises(GainPortError, match=r"bob\.height is not set"):
            RosParameterPort(client, {"bob.depth": "bob.height"}).read()
        one_by_one = RosParameterPort(client, {name: name for name in TABLE.names}, atomic=False)
        assert "refuses stance.kd = 1000000.0" in write_and_read_back(
            one_by_one, TABLE.mapping((50.0, 1e6, 0.0))
        )
        assert node.values()["stance.kp"] == 50.0
        assert client.set_parameters([RosParameter("nobody", 1.0)])[0].reason == "nobody is not declared"
    finally:
        server.shutdown()
        server.server_close()
    assert "does not answer" in write_and_read_back(port, TABLE.mapping(TRIAL))


# -- files ----------------------------------------------------------------------------------------------

TEXTS = {
    TextFormat.YAML: (
        "# mine\nstance:\n  kp: 60   # N m/rad\n  name: 'text'\nweights: [1.0, 2.5e1, 3]\nQ: {a: {b: -4}}\n",
        {"p": "stance.kp", "w": "weights.1", "q": "Q.a.b"},
        {"p": 60.0, "w": 25.0, "q": -4.0},
    ),
    TextFormat.INFO: (
        "; of OCS2's kind\nswing\n{\n  kp 350 ; N/m\n  kd 37.5\n}\nQ {\n scaling 1e+0\n (0,0) 15.0\n  (1,1) 3e1 }\n",
        {"p": "swing.kp", "w": "Q.(1,1)", "q": "Q.scaling"},
        {"p": 350.0, "w": 30.0, "q": 1.0},
    ),
}


@settings(max_examples=25, deadline=None, derandomize=True)
@for_example(kind=TextFormat.YAML, values={"p": 1e-05})
@given(
    kind=st.sampled_from(list(TEXTS)),
    values=st.dictionaries(
        st.sampled_from("pwq"), st.floats(allow_nan=False, allow_infinity=False), min_size=1
    ),
)
def test_numbers_change_in_a_text_and_nothing_else(kind, values) -> None:
    text, paths, at_first = TEXTS[kind]
    assert read_numbers(text, kind, paths) == at_first
    changed = replace_numbers(text, kind, paths, values)
    assert read_numbers(changed, kind, paths) == at_first | values
    assert replace_numbers(changed, kind, paths, at_first) == replace_numbers(text, kind, paths, at_first)
    if kind is TextFormat.YAML:
        loaded = yaml.safe_load(changed)
        assert loaded["stance"]["kp"] == (at_first | values)["p"]
        assert loaded["stance"]["name"] == "text"
        assert "# mine" in changed
        assert "# N m/rad" in changed


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("yaml", "a: 1\na: 2", "no single 'a'"),
        ("yaml", "b: 1", "no single 'a'"),
        ("yaml", "a: '1'", "no single 'a'"),
        ("yaml", "a: ten", "expected a finite number, got 'ten'"),
        ("yaml", "a: .nan", "expected a finite number"),
        ("yaml", "a: [", "not valid YAML"),
        ("info", "a 1\na 2", "no single 'a'"),
        ("info", "a {", "never closed"),
        ("info", "}", "never opened"),
        ("info", "a inf", "expected a finite number"),
    ],
)
def test_a_text_without_the_number_is_refused_in_words(kind, text, words) -> None:
    with pytest.raises(GainPortError, match=words):
        read_numbers(text, TextFormat(kind), {"x": "a"})


BAD = [
    (
        "address: 127.0.0.1:4760",
        "address: 192.168.1.5:4760",
        "controller.address: '192.168.1.5:4760' is not allowed",
    ),
    ("lower: 30", "lower: 300", "gains.stance.kp.upper: 120 is below lower, 300"),
    (
        "baseline: 60",
        "baseline: 600",
        "gains.stance.kp.baseline: 600 is not allowed; expected a number from 30 to 120",
    ),
    (
        "baseline: 60",
        "baseline: .nan",
        "gains.stance.kp.baseline: must be a finite number, not .nan",
    ),
    ("upper: 6,", "", "gains.stance.kd.upper: is missing"),
    ("upper: 6,", "upper: 6, uper: 7,", "gains.stance.kd.uper: unknown key"),
    ("stance.kd: {", "stance.kp: {", "gains.stance.kp: the key is there twice"),
    (
        "kind: ros-parameters",
        "kind: lcm",
        "gain_port.kind: 'lcm' is not allowed; expected file, file-and-restart, ros2 or ros",
    ),
    (
        "parameter_client.py:connect",
        "parameter_client.py",
        "gain_port.client: 'parameter_client.py' is not allowed",
    ),
    ("switches_within_a_tick: true", "switches_within_a_tick: 1", "expected true or false"),
    ("switches_within_a_tick: true", "budget: 0.1", "controller.budget: 0.1 is not allowed"),
    ('node: "4761"', "node: 4761", "gain_port.node: 4761 is not allowed; expected a text"),
    ('node: "4761"', 'node: "4761"\n  names: {bob: x}', "gain_port.names.bob: there is no such gain"),
    ('node: "4761"', 'node: "4761"\n  names: {stance.kp: stance.kd}', "two gains have the same name"),
    ("gain_port:", "gain_ports:", "gain_port: is missing"),
    ("gains:", "gains: {", "not valid YAML"),
]


@pytest.mark.parametrize(("old", "new", "words"), BAD)
def test_a_bad_controller_file_is_refused_with_file_key_and_what_is_allowed(
    tmp_path, old, new, words
) -> None:
    text = (EXAMPLE / "parameter_controller.yaml").read_text()
    assert old in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(HardwareInputError) as error:
        read_controller(path)
    assert str(error.value).startswith(f"{path}:")
    assert words in str(error.value)


def test_what_the_controller_file_points_at_is_looked_at_before_the_robot(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text((EXAMPLE / "parameter_controller.yaml").read_text())
    with pytest.raises(
        ControllerInputError, match=r"gain_port.client: .*parameter_client.py is no Python file"
    ):
        gain_port(read_controller_file(path))
    path.write_text((EXAMPLE / "file_controller.yaml").read_text())
    with pytest.raises(ControllerInputError, match=r"gain_port.file: .*gains.yaml: no such file"):
        gain_port(read_controller_file(path))
    (tmp_path / "gains.yaml").write_text("stance: {kp: 60}")
    with pytest.raises(ControllerInputError, match=r"no single 'stance\.kd'"):
        gain_port(read_controller_file(path))


def test_a_restart_that_fails_says_so_and_leaves_a_whole_file(tmp_path) -> None:
    path = tmp_path / "gains.yaml"
    path.write_text("kp: 1.0  # mine\n")
    path.chmod(0o640)
    say = "import sys; print('no such unit'); sys.exit(4)"
    port = FileAndRestartPort(path, TextFormat.YAML, {"kp": "kp"}, [sys.executable, "-c", say])
    with pytest.raises(GainPortError, match="ended with 4: no such unit"):
        port.write({"kp": 2.5})
    assert path.read_text() == "kp: 2.5  # mine\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [file.name for file in tmp_path.iterdir()] == ["gains.yaml"]
    slow = FileAndRestartPort(path, TextFormat.YAML, {"kp": "kp"}, ["sleep", "5"], 0.05)
    with pytest.raises(GainPortError, match=r"took longer than 0\.05 s"):
        slow.write({"kp": 3.0})
    # a terminal's Ctrl-C, which goes to the guardian's whole process group, must not reach the controller
    alone = "import os, sys; sys.exit(os.getsid(0) != os.getpid() or os.getcwd() != sys.argv[1])"
    command = [sys.executable, "-c", alone, str(tmp_path)]
    FileAndRestartPort(path, TextFormat.YAML, {"kp": "kp"}, command).write({"kp": 3.0})
    gone = FileAndRestartPort(path, TextFormat.YAML, {"kp": "kp"}, ["no-such-program"])
    with pytest.raises(GainPortError, match="cannot be run"):
        gone.write({"kp": 3.0})


# -- a real process -------------------------------------------------------------------------------------


class ProcessWire:
    """A socket to a controller in a process of its own, in lock-step for as long as that lives."""

    def __init__(self, port: int) -> None:
        self._udp = UdpTransport(port=port)
        self._patience, self._open = 0.01, False

    def send(self, data: bytes) -> None:
        self._open = True
        self._udp.send(data)

    def receive(self, timeout: float) -> bytes | None:
        if not self._open:
            return None
        data = self._udp.receive(self._patience)
        # while it restarts a tick takes a moment, so that its robot does not live through minutes meanwhile
        self._patience, self._open = (0.01, False) if data is None else (1.0, False)
        return data


def test_a_controller_process_with_a_gains_file_stands_walks_restarts_and_dies(tmp_path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    text = (EXAMPLE / "file_controller.yaml").read_text().replace("4760", str(number))
    text = text.replace("[python, restart.py", f"[{sys.executable}, {EXAMPLE / 'restart.py'}")
    (tmp_path / "controller.yaml").write_text(text)
    gains, note = tmp_path / "gains.yaml", tmp_path / "gains.pid"
    gains.write_text((EXAMPLE / "gains.yaml").read_text().replace("60.0", "77.0"))
    file = read_controller_file(tmp_path / "controller.yaml")
    executor = ThreadPoolExecutor(1)
    try:
        wire = ProcessWire(file.port)
        world = RelayWorld(wire, gain_port(file), file.switches, executor, proof=100.0)
        client = world.client()
        world.run(1.1)
        wait(world, lambda: world.keeper.holds(TABLE.baseline))  # the guardian has started the controller
        assert "kp: 60.0   # N m/rad" in gains.read_text()
        first = int(note.read_text())
        world.standing(client)
        token = world.arm(client, patience=60.0)
        second = int(note.read_text())
        assert first != second
        assert "kp: 90.0" in gains.read_text()
        client.start(token, 20.0)
        client.pump(TROT.settle + 0.3)
        assert world.state is State.RUNNING
        assert world.command.kp[0] == 90.0
        assert world.command.position[1] > 0.801  # it bobs
        assert world.relayed.counters.prompt > 190
        client.abort(1)
        world.tick()
        assert (world.command.kp == STAND_KP).all()
        wait(world, lambda: world.keeper.holds(TABLE.baseline), client)
        assert gains.read_text() == (EXAMPLE / "gains.yaml").read_text()
        assert world.state is State.HOLD
        client.start(world.arm(client, patience=60.0), 20.0)
        client.pump(TROT.settle + 0.1)
        assert world.state is State.RUNNING
        os.kill(int(note.read_text()), signal.SIGKILL)
        for _ in range(3):
            world.tick()
        assert world.state is State.DAMP_LATCHED
        assert damped(world)
    finally:
        executor.shutdown()
        if note.exists():
            with suppress(ProcessLookupError):
                os.kill(int(note.read_text()), signal.SIGKILL)


def wait(world: RelayWorld, condition, client=None) -> None:
    for _ in range(20_000):
        if condition():
            return
        if client is None:
            world.tick()
        else:
            client.pump(0.002)
    raise AssertionError(f"did not come: {world.said('gains')}")


# -- tuning ---------------------------------------------------------------------------------------------


class Steps:
    """A ledger in memory; every trial is approved."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.trial: Trial | None = None

    def study(self):
        return StudyIdentity("in memory", "", "")

    def commit(self, trial_id, state, text="", **data):
        self.states.append(state)

    def last(self, trial_id):
        return "APPROVED", {"hash": trial_hash(present(self.trial)), "monotonic": time.monotonic()}


def study_of_the_example(tmp_path) -> Study:
    text = (EXAMPLE / "study.yaml").read_text().replace("go2", "go1").replace("seconds: 2.0", "seconds: 0.5")
    path = tmp_path / "study.yaml"
    path.write_text(text.replace("file_controller.yaml", str(EXAMPLE / "file_controller.yaml"), 1))
    return load_study(str(path)).study


def test_a_study_tunes_the_gains_of_ones_own_controller(tmp_path) -> None:
    study = study_of_the_example(tmp_path)
    node = Node(example.RANGES, BASELINE)
    world = RelayWorld(Wire(node), RosParameterPort(NodeClient(node), {name: name for name in TABLE.names}))
    world.run(1.1)
    session = Session(world.client, background=False)
    address = RobotAddress("in-process", 1, clears=True)
    evaluator = RobotEvaluator(study.evaluator.options, address, session)
    assert [(p.name, p.lower, p.upper, p.default) for p in evaluator.info().parameters] == [
        ("stance.kp", 30.0, 120.0, 60.0),
        ("stance.kd", 1.0, 6.0, 3.0),
        ("bob.depth", 0.0, 0.15, 0.05),
    ]
    assert all(check.passed for check in evaluator.preflight())
    steps = Steps()
    evaluator.record_into(tmp_path, tmp_path)
    evaluator.supervise(steps, lambda: 0)
    context = dict(study.context.values["bob"])
    trial = steps.trial = Trial(
        id=1,
        parameters={"stance.kp": 100.0, "stance.kd": 2.0},
        context=context,
        context_name="bob",
        phase="seed",
        seed=1,
        certified=True,
    )
    measurement = evaluator.evaluate(trial)
    assert steps.states == ["ARMED", "RUNNING", "ENDED", "SCORED"]
    assert measurement.outcome == "completed"
    assert math.isfinite(present(measurement.objective))
    assert "the controller holds trial gains" in world.said("gains")
    assert node.values() == BASELINE
    session.close()


def test_a_study_names_its_controller_in_words(tmp_path) -> None:
    options = dict(study_of_the_example(tmp_path).evaluator.options)
    for wrong, words in (
        ({"controller": 3}, "controller must be a name, .*YAML file, got 3"),
        ({"controller_file": "other.yaml"}, "an older name of controller: keep one of them"),
        ({"controller": str(tmp_path / "none.yaml")}, "none.yaml: no such file"),
        ({"gains": {"joint.hip.kp": 60}}, "unknown gain 'joint.hip.kp'"),
        ({"gains": {"stance.kp": 600}}, r"stance.kp: 600 is outside 30 \.\. 120 N m/rad"),
    ):
        with pytest.raises(HardwareInputError, match=words):
            controller_of(options | wrong)
    own, rest = controller_of({**options, "gains": {"stance.kd": 5.0}})
    assert present(own).full({"stance.kp": 70.0}) == (70.0, 5.0, 0.05)
    assert "gains" not in rest
    with pytest.raises(
        HardwareInputError, match=r"'joint\.hip\.kp' is no gain of this controller: stance\.kp"
    ):
        present(own).full({"joint.hip.kp": 60.0})


# -- the page -------------------------------------------------------------------------------------------

PAGE = (EXAMPLE.parents[1] / "adapters.md").read_text()
SIZES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "f64": 8, "bytes": 1}


def test_the_tables_of_the_page_add_up_to_its_datagrams() -> None:
    rows = re.findall(r"^\| (\d+) \| (?:(\d+) )?(\w+) \|", PAGE, re.MULTILINE)
    totals, place = [], 0
    for offset, count, kind in rows:
        if offset == "0" and place:
            totals.append(place)
            place = 0
        assert int(offset) == place
        place += int(count or 1) * SIZES[kind]
    assert [*totals, place] == [368, 608]


def test_the_file_of_the_page_is_read(tmp_path) -> None:
    blocks = re.findall(r"(?:^    .*\n)+", PAGE, re.MULTILINE)
    whole = next(textwrap.dedent(block) for block in blocks if "controller:\n" in block)
    ports = [textwrap.dedent(block) for block in blocks if block.startswith("    gain_port:")]
    assert len(ports) == 3
    for port in ports:
        path = tmp_path / "mine.yaml"
        path.write_text(whole.replace("gain_port: ...", port).replace("{q.roll:", "{stance.kp:"))
        file = read_controller_file(path)
        assert file.table.names == ("stance.kp", "stance.kd")
    assert file.names == {"stance.kp": "gains.stance.kp", "stance.kd": "gains.stance.kd"}
