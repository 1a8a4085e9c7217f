"""A user's own controller behind the guardian: its datagrams, its commands, and its troubles."""

import math
import re
import struct
import textwrap

import numpy as np
import pytest
from relayed_world import EXAMPLE, TABLE, TRIAL, damped, standing, walking

from safebo.experiments.robustness.guardian_world import go1
from safebo.hardware.adapters.relayed_walker import ControllerError, RelayedWalker
from safebo.hardware.guardian.bounds import quadruped_table
from safebo.hardware.guardian.states import State
from safebo.hardware.guardian.walker import QuadrupedWalker, Walk
from safebo.robots.controllers.controller_file import read_controller_file
from safebo.robots.controllers.datagrams import GainSet, Mode, RelayAnswer, RelayState
from safebo.robots.controllers.protocol import DatagramError
from safebo.robots.quadruped.controller import Controller as QuadrupedController
from safebo.robots.quadruped.gains import Gains
from safebo.robots.quadruped.gait import Gait, gait_named
from safebo.robots.quadruped.interface import BaseState, JointCommand, SensorReading
from safebo.robots.simulation.plant import Simulation

pytestmark = pytest.mark.slow

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
