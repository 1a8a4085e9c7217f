"""The virtual robot's body, faults and pace, in process."""

import itertools
import json

import numpy as np
import pytest

from safebo.hardware.errors import HardwareInputError, WireError
from safebo.hardware.unitree import go1_messages, go2_messages
from safebo.hardware.unitree.joints import MOTOR_NAMES
from safebo.hardware.unitree.remote import stop_pressed
from safebo.hardware.unitree.rpc_messages import RpcRequest
from safebo.hardware.unitree.services import SPORT, SPORT_NAMES, MotionService
from safebo.hardware.virtual.attitude import roll_pitch_yaw
from safebo.hardware.virtual.faults import KINDS, InjectedFault, fault, faults_of, read_faults
from safebo.hardware.virtual.injection import Injector, distorted
from safebo.hardware.virtual.machine import body_of
from safebo.hardware.virtual.pace import VirtualPace
from safebo.hardware.virtual.plant import PERIOD, Influence, VirtualPlant
from safebo.hardware.virtual.sport_motion import MOVE_HOLDS_S, SportMode
from safebo.hardware.virtual.state_encoder import StateEncoder
from safebo.robots.descriptions.model import load_robot
from safebo.robots.quadruped.interface import JointCommand
from safebo.robots.simulation.disturbance import preset
from safebo.robots.simulation.plant import Simulation

GO2, GO1 = load_robot("go2"), load_robot("go1")
ALL = np.ones(12, dtype=bool)
FOLDED = np.tile((0.0, 1.36, -2.65), 4)
STANDING = np.tile((0.0, 0.67, -1.3), 4)


def plant(robot=GO2, name="", **options) -> VirtualPlant:
    return VirtualPlant(robot, motion=MotionService(name), **options)


def hold(position, kp=60.0, kd=5.0) -> JointCommand:
    return JointCommand(position=np.array(position), kp=np.full(12, kp), kd=np.full(12, kd))


def drive(body: VirtualPlant, seconds: float, command=None, influence=None) -> None:
    for _ in range(round(seconds / PERIOD)):
        if command is not None:
            body.command(command, ALL)
        body.tick(influence or Influence())


def height(body: VirtualPlant) -> float:
    return float(body.simulation.truth().position[2])


def stand_up(body: VirtualPlant) -> None:
    start = body.simulation.true_joint_position.copy()
    for begin, end, seconds in ((start, FOLDED, 0.6), (FOLDED, STANDING, 1.0)):
        steps = round(seconds / PERIOD)
        for i in range(steps):
            body.command(hold(begin + (end - begin) * (i + 1) / steps), ALL)
            body.tick()


@pytest.mark.parametrize("robot", [GO2, GO1])
def test_it_begins_on_its_belly_at_rest_stands_up_and_sinks_without_commands(robot) -> None:
    body = plant(robot)
    assert 0.05 < height(body) < 0.13
    assert np.abs(body.simulation.true_joint_velocity).max() < 0.2
    assert body.milliseconds == 0
    stand_up(body)
    assert height(body) > 0.28
    assert body.charge == "commands"
    assert body.foot_force().sum() == pytest.approx(robot.mass * 9.81, rel=0.15)
    drive(body, 0.018)
    assert body.charge == "commands"  # the last one is still young
    drive(body, 0.004)
    assert body.charge == "watchdog"
    assert body.command_gains[0] == 0.0
    assert body.command_gains[1] > 0.0
    drive(body, 2.0)
    assert height(body) < 0.16


def test_walking_physics_is_that_of_the_studies() -> None:
    """The shapes for lying change nothing while only the feet touch the floor."""
    ours, theirs = plant(), Simulation(GO2)
    ours.simulation.reset(GO2.home_joints)
    theirs.reset(GO2.home_joints)
    command = hold(GO2.home_joints, 80.0, 3.0)
    for i in range(150):
        command.position[:] = GO2.home_joints + 0.03 * np.sin(0.05 * i)
        ours.simulation.apply(command)
        theirs.apply(command)
    np.testing.assert_allclose(ours.simulation.truth().position, theirs.truth().position, atol=1e-9)
    np.testing.assert_allclose(ours.simulation.true_joint_position, theirs.true_joint_position, atol=1e-9)


@pytest.mark.parametrize(
    ("robot", "wire", "scale", "ticks", "cell"),
    [(GO2, go2_messages, 1.0, 1, 1e-3), (GO1, go1_messages, 1 / 256, 1000, 0.032)],
)
def test_an_asymmetric_pose_reaches_the_motors_that_the_vendor_numbers(
    robot, wire, scale, ticks, cell
) -> None:
    body = plant(robot)
    body.simulation.reset(robot.home_joints, 1.0)  # in the air
    names = [name.removesuffix("_joint") for name in robot.joint_names]
    target = dict(zip(names, robot.home_joints + 0.03 * np.arange(12) - 0.18, strict=True))
    command = hold([target[name] for name in names], 200.0, 8.0)
    for _ in range(130):
        body.command(command, ALL)
        body.tick()
    record = wire.new_low_state()
    StateEncoder(body, 1, scale, ticks, cell).fill(record)
    in_motor_order = [target[name] for name in MOTOR_NAMES]
    np.testing.assert_allclose(record["motor_state"]["q"][:12], in_motor_order, atol=0.06)
    # by name in MuJoCo itself
    for name in names:
        joint = body.simulation.data.joint(f"{name}_joint")
        assert float(joint.qpos[0]) == pytest.approx(target[name], abs=0.06)
    assert record["tick"] == 260 * ticks
    torque = dict(zip(names, body.torque, strict=True))
    got = record["motor_state"]["tau_est"][:12] * scale
    np.testing.assert_allclose(got, [torque[name] for name in MOTOR_NAMES], atol=scale)


def test_the_motion_service_holds_the_joints_until_it_is_released() -> None:
    body = plant(name="mcf")
    drive(body, 0.3, hold(STANDING, 200.0))
    assert body.charge == "service"
    assert height(body) < 0.13
    assert ask(body, "StandUp") == 0
    drive(body, 3.0)
    assert height(body) > 0.25
    assert ask(body, "StandDown") == 0
    drive(body, 2.0)
    assert height(body) < 0.13
    body.motion.name = ""
    drive(body, 0.02, hold(FOLDED))
    assert body.charge == "commands"
    body.motion.name = "ai"
    drive(body, 0.02, hold(FOLDED))
    assert body.charge == "service"


def ask(body: VirtualPlant, name: str, *speed: float) -> int:
    """The code with which a call of `sport` is answered."""
    api = next(number for number, known in SPORT_NAMES.items() if known == name)
    parameter = dict(zip("xyz", speed, strict=False)) if speed else {}
    return body.motion.answer(SPORT, RpcRequest(1, api, json.dumps(parameter)))[0]


def walked(body: VirtualPlant, begin) -> float:
    return float((body.simulation.truth().position - begin)[0])


def test_every_call_of_the_motion_service_does_what_it_answers() -> None:
    body = plant(name="mcf")
    sport = body.sport
    assert sport.mode is SportMode.DAMPING
    assert ask(body, "Move", 0.4, 0.0, 0.0) == 3202  # it lies
    assert ask(body, "BalanceStand") == 0
    drive(body, 1.0)
    assert ask(body, "Move", 0.4, 0.0, 0.0) == 3202  # it gets up
    drive(body, 2.0)
    assert (sport.mode, sport.gait_type) == (SportMode.BALANCE_STAND, 0)
    assert height(body) > 0.25
    stiff = body.command_gains
    assert ask(body, "StandUp") == 0
    drive(body, 1.0)
    assert sport.mode is SportMode.JOINT_LOCK
    assert ask(body, "BalanceStand") == 0
    drive(body, 1.0)
    assert (sport.mode, body.command_gains) == (SportMode.BALANCE_STAND, stiff)

    begin = body.simulation.truth().position.copy()
    assert ask(body, "Move", 0.4, 0.0, 0.0) == 0
    drive(body, 0.5)
    assert (sport.mode, sport.gait_type) == (SportMode.LOCOMOTION, 1)
    assert 0.03 < sport.swing_height < 0.2
    drive(body, MOVE_HOLDS_S + 2.0)  # it is said once, and holds for a second
    once = walked(body, begin)
    assert 0.1 < once < 0.6
    assert sport.mode is SportMode.BALANCE_STAND
    for _ in range(10):
        assert ask(body, "Move", 0.4, 0.0, 0.0) == 0
        drive(body, 0.2)
    assert walked(body, begin) > once + 0.35
    assert ask(body, "StopMove") == 0
    drive(body, 2.0)
    assert sport.mode is SportMode.BALANCE_STAND
    still = body.simulation.truth().position.copy()
    drive(body, 0.5)
    assert np.abs(body.simulation.truth().position - still).max() < 0.005
    assert height(body) > 0.25

    assert ask(body, "StandDown") == 0
    drive(body, 2.5)
    assert (sport.mode, body.command_gains[0]) == (SportMode.LIE_DOWN, 0.0)
    assert height(body) < 0.13
    assert ask(body, "RecoveryStand") == 0
    drive(body, 0.5)
    assert sport.mode is SportMode.RECOVERY_STAND
    drive(body, 2.5)
    assert sport.mode is SportMode.BALANCE_STAND
    assert ask(body, "Damp") == 0
    drive(body, 1.0)
    assert (sport.mode, body.command_gains[0]) == (SportMode.DAMPING, 0.0)
    assert height(body) < 0.15


def test_a_robot_on_its_side_is_not_said_to_get_up() -> None:
    body = plant(name="mcf")
    over = Influence()
    over.torque[0] = 90.0

    def roll() -> float:
        return abs(roll_pitch_yaw(body.simulation.truth().orientation)[0])

    while roll() < 1.5 and body.time < 5.0:
        drive(body, PERIOD, influence=over)
    drive(body, 2.0)
    assert roll() > 1.0
    for call in ("StandUp", "BalanceStand", "RecoveryStand", "Move"):
        assert ask(body, call, 0.1, 0.0, 0.0) == 3202
    for call in ("Damp", "StopMove", "StandDown"):
        assert ask(body, call) == 0
    body.motion.name = ""
    assert ask(body, "Damp") == 3202  # nobody would do it


def test_a_motion_service_that_takes_the_joints_again_begins_damped() -> None:
    body = plant(name="mcf")
    ask(body, "StandUp")
    drive(body, 3.0)
    body.motion.name = ""
    drive(body, 0.1, hold(STANDING, 200.0))
    body.motion.name = "ai"
    drive(body, 0.01)
    assert (body.sport.mode, body.command_gains[0]) == (SportMode.DAMPING, 0.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30, -1e30, 3.4e38])
@pytest.mark.parametrize("field", ["position", "velocity", "torque", "kp", "kd"])
def test_no_command_breaks_the_world(field, bad) -> None:
    body = _SHARED
    command = hold(FOLDED)
    getattr(command, field)[::2] = bad
    ticks = body.ticks
    drive(body, 0.2, command)
    drive(body, 0.1)
    assert body.ticks == ticks + 150
    assert body.simulation.finite()
    assert height(body) < 0.6
    assert np.abs(body.torque).max() <= GO2.torque_limit.max()


_SHARED = plant(disturbance=preset("paper"))


def test_nothing_asked_for_is_nothing_done() -> None:
    body = plant()
    body.command(
        JointCommand(np.full(12, 2.146e9), np.full(12, 16000.0), kp=np.full(12, 9.0), kd=np.ones(12)), ALL
    )
    body.tick()
    assert body.charge == "commands"
    np.testing.assert_array_equal(body.torque, 0.0)
    idle = plant(GO1, idle_damping=3.0)
    idle.command(hold(STANDING), ~ALL)
    idle.tick()
    assert idle.command_gains == (0.0, 3.0)


def test_motors_warm_up_and_the_battery_drains() -> None:
    body = plant()
    before, charge = body.heat.temperature.copy(), body.battery.charge
    stand_up(body)
    drive(body, 1.0, hold(STANDING))
    assert (body.heat.temperature[2::3] > before[2::3] + 0.05).all()
    assert body.battery.charge < charge
    hot = body.heat.temperature.max()
    for _ in range(5000):
        body.heat.pass_time(0.1, np.zeros(12))
    assert body.heat.temperature.max() < hot


def test_pushes_tip_it_over_and_it_lies_on_its_side() -> None:
    body = plant()
    stand_up(body)
    drive(body, 0.2, hold(STANDING), Influence(force=np.array([0.0, 60.0, 0.0])))
    assert body.simulation.truth().linear_velocity[1] > 0.1
    drive(body, 0.4, hold(STANDING), Influence(torque=np.array([90.0, 0.0, 0.0])))
    drive(body, 2.0)
    state = body_of(body, [])
    assert state["fallen"]
    assert abs(state["roll"]) > 1.0
    assert 0.03 < state["height"] < 0.3


def test_a_stuck_joint_stays_and_a_weak_motor_lifts_less() -> None:
    body = plant()
    stuck = np.zeros(12, dtype=bool)
    stuck[4] = True
    at = body.simulation.true_joint_position[4]
    drive(body, 0.5, hold(STANDING), Influence(stuck=stuck))
    assert body.simulation.true_joint_position[4] == pytest.approx(at, abs=0.02)
    drive(body, 0.5, hold(STANDING))
    assert abs(body.simulation.true_joint_position[4] - at) > 0.1
    strong, weak = plant(), plant()
    drive(strong, 0.6, hold(STANDING))
    drive(weak, 0.6, hold(STANDING), Influence(strength=np.full(12, 0.3)))
    assert height(weak) < height(strong) - 0.05


def test_the_same_seed_gives_the_same_robot() -> None:
    one, two, other = plant(seed=3), plant(seed=3), plant(seed=4)
    for body in (one, two, other):
        drive(body, 0.2, hold(STANDING))
    np.testing.assert_array_equal(one.reading.joint_position, two.reading.joint_position)
    assert (one.reading.joint_position != other.reading.joint_position).any()


def test_roll_pitch_yaw_of_single_turns() -> None:
    for axis in range(3):
        quaternion = np.array([np.cos(0.2), 0, 0, 0])
        quaternion[1 + axis] = np.sin(0.2)
        expected = [0.0, 0.0, 0.0]
        expected[axis] = 0.4
        assert roll_pitch_yaw(quaternion) == pytest.approx(expected)


# faults


def state(tick: int = 7):
    record = go2_messages.new_low_state()
    record["tick"] = tick
    record["imu_state"]["quaternion"] = (1, 0, 0, 0)
    record["bms_state"]["cell_vol"][:8] = 4000
    record["bms_state"]["soc"] = 80
    return record


def out(injector: Injector, ticks) -> list[bytes]:
    sent = []
    for i in ticks:
        injector.look(i * PERIOD, {"start": 0.0, "command": 0.0})
        sent += injector.packets(go2_messages.encode_low_state(injector.record(state(2 * i))))
    return sent


def heard(packets) -> list[int | None]:
    def tick(data):
        try:
            return int(go2_messages.decode_low_state(data)["tick"])
        except WireError:
            return None

    return [tick(data) for data in packets]


def test_what_faults_do_to_the_stream() -> None:
    def with_fault(kind, **entry):
        return heard(out(Injector([fault({"kind": kind, "at": 0.004, "for": 0.004, **entry})]), range(6)))

    assert heard(out(Injector(), range(6))) == [0, 2, 4, 6, 8, 10]
    assert with_fault("silence") == [0, 2, 8, 10]
    assert with_fault("freeze") == [0, 2, 2, 2, 8, 10]
    assert with_fault("duplicate") == [0, 2, 4, 4, 6, 6, 8, 10]
    assert with_fault("reorder") == [0, 2, 6, 4, 8, 10]
    for kind in ("bad_crc", "bad_head", "truncated"):
        assert with_fault(kind) == [0, 2, None, None, 8, 10]
    assert with_fault("reboot") == [0, 2, 8, 10]
    assert with_fault("silence", **{"from": "walk"}) == [0, 2, 4, 6, 8, 10]  # nobody walks


def test_losses_are_drawn_by_the_seed() -> None:
    def lost(seed):
        return heard(out(Injector([InjectedFault("loss", value=0.3)], seed), range(400)))

    assert lost(1) == lost(1)
    assert lost(1) != lost(2)
    assert 240 < len(lost(1)) < 320


def test_what_faults_make_a_state_say() -> None:
    record = state()
    before = record.tobytes()
    kinds = ("nan", "impossible", "low_battery", "cell_spread", "hot_motor", "remote_stop")
    said = {kind: distorted(record, [fault({"kind": kind})]) for kind in kinds}
    assert record.tobytes() == before
    assert distorted(record, []) is record
    slot = MOTOR_NAMES.index("FL_thigh")
    assert np.isnan(said["nan"]["motor_state"]["q"][slot])
    assert np.isnan(said["nan"]["imu_state"]["gyroscope"]).all()
    assert said["impossible"]["motor_state"]["q"][slot] == 50.0
    assert said["low_battery"]["bms_state"]["soc"] == 10
    assert np.ptp(said["cell_spread"]["bms_state"]["cell_vol"][:8]) == 400
    assert said["hot_motor"]["motor_state"]["temperature"][slot] == 95
    assert stop_pressed(said["remote_stop"]["wireless_remote"].tobytes())
    go1 = go1_messages.new_low_state()
    go1["bms_state"]["cell_vol"][:8] = 125
    spread = distorted(go1, [fault({"kind": "cell_spread"})], go1_messages.CELL_SCALE)
    assert np.ptp(spread["bms_state"]["cell_vol"][:8]) * 0.032 == pytest.approx(0.4, abs=0.02)
    assert set(kinds) <= set(KINDS)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([{"kind": "earthquake"}], "fault 1: kind 'earthquake' does not exist: kinds are silence, freeze"),
        ([{"kind": "loss", "when": 2}], "unknown key 'when': allowed are kind, at, for, from, value"),
        ([{"kind": "loss", "value": 3}], "loss: value must be a number from 0 to 1, got 3"),
        ([{"kind": "silence"}, {"kind": "silence", "at": -1}], "fault 2: silence: at must be seconds"),
        (
            [{"kind": "push", "from": "noon"}],
            "from 'noon' does not exist: allowed are start, command, stand, walk",
        ),
        ([{"kind": "nan", "value": "tail"}], "no joint or leg named 'tail': joints are FL_hip"),
        ([{"kind": "silence", "value": 1}], "silence: takes no value"),
        ([7], "fault 1: expected a mapping"),
        ({"seed": "x", "faults": []}, "seed must be a whole number"),
        ({"fault": []}, "unknown key 'fault'"),
        ("silence", "expected a list of faults"),
    ],
)
def test_faults_that_do_not_exist_are_refused_by_name(content, words) -> None:
    with pytest.raises(HardwareInputError) as caught:
        faults_of(content)
    assert words in str(caught.value)


def test_a_file_of_faults(tmp_path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text(
        "seed: 4\nfaults:\n- {kind: motor_weak, value: {FL: 0.5, RR_calf: 0.2}}\n- {kind: push, value: [1, 2, 3]}\n"
    )
    (weak, push), seed = read_faults(path)
    assert seed == 4
    assert weak.value == (0.5, 0.5, 0.5, *(1.0,) * 8, 0.2)
    assert push.value == (1.0, 2.0, 3.0)
    path.write_text("- {kind: [")
    with pytest.raises(HardwareInputError, match="not valid YAML"):
        read_faults(path)
    with pytest.raises(HardwareInputError, match="no such file"):
        read_faults(tmp_path / "none.yaml")


# pace


class Commander:
    """A robot whose commands come at times by a clock that only waiting moves."""

    def __init__(self, times) -> None:
        self.now, self.times, self.commanded = 0.0, list(times), False

    def clock(self) -> float:
        return self.now

    def listen(self) -> int:
        due = [t for t in self.times if t <= self.now + 1e-12]
        self.times = self.times[len(due) :]
        self.commanded |= bool(due)
        return len(due)

    def wait(self, seconds: float) -> bool:
        nearest = min([t for t in self.times if t > self.now], default=np.inf)
        self.now = min(self.now + seconds, nearest)
        return nearest <= self.now


def ticks(pace: VirtualPace, robot: Commander, count: int, work: float = 0.0) -> np.ndarray:
    at = []
    for _ in range(count):
        pace.next(robot)
        at.append(robot.now)
        robot.now += work
    return np.diff(at)


def test_without_a_commander_ticks_come_by_the_clock_and_late_ones_are_not_made_up_for() -> None:
    robot = Commander([])
    pace = VirtualPace(0.002, clock=robot.clock)
    np.testing.assert_allclose(ticks(pace, robot, 20), 0.002)
    slow = ticks(pace, robot, 20, work=0.005)
    np.testing.assert_allclose(slow[1:], 0.005)
    np.testing.assert_allclose(ticks(pace, robot, 20)[1:], 0.002)  # no burst after it


def test_a_tick_waits_for_a_commander_who_is_late_and_not_for_one_who_is_gone() -> None:
    robot = Commander(itertools.accumulate([0.002] * 10 + [0.012] + [0.002] * 10))
    pace = VirtualPace(0.002, patience=0.02, clock=robot.clock)
    gaps = ticks(pace, robot, 21)
    assert gaps.max() == pytest.approx(0.012, abs=0.0021)
    assert pace.missed == 0
    gone = ticks(pace, robot, 5)
    np.testing.assert_allclose(gone[1:], 0.022, atol=0.002)
    assert pace.missed >= 4
    robot.commanded = False
    np.testing.assert_allclose(ticks(pace, robot, 5)[1:], 0.002)


def test_lock_step_follows_commands_as_fast_as_they_come() -> None:
    robot = Commander(np.concatenate([[0.01], 0.01 + 1e-4 * np.arange(1, 100)]))
    pace = VirtualPace(0.002, patience=1.0, lock_step=True, clock=robot.clock)
    before = ticks(pace, robot, 5)
    np.testing.assert_allclose(before, 0.002)
    assert ticks(pace, robot, 50).max() < 0.0011
