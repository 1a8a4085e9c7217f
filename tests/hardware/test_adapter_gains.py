"""Gains of a user's own controller: switched, read back, refused, and taken back, all or none."""

from itertools import product

import pytest
from relayed_world import (
    BASELINE,
    EXAMPLE,
    TABLE,
    TRIAL,
    Node,
    ParameterNode,
    RelayWorld,
    Wire,
    damped,
    example,
    serve,
    standing,
    walking,
)

from safebo.experiments.robustness.guardian_world import TROT
from safebo.hardware.guardian.motion import STAND_KP
from safebo.hardware.guardian.states import State
from safebo.hardware.link.client import RefusedError
from safebo.hardware.link.digest import trial_digest
from safebo.hardware.link.messages import Arm, Code, Disarm
from safebo.robots.controllers.controller_file import read_controller_file
from safebo.robots.controllers.datagrams import Mode
from safebo.robots.controllers.gain_port import write_and_read_back
from safebo.robots.controllers.ports import gain_port
from safebo.robots.controllers.protocol import GainPortError
from safebo.robots.controllers.ros_parameters import RosParameter, RosParameterPort

pytestmark = pytest.mark.slow


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
