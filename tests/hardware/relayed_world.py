"""A guardian that relays to a controller with three gains: in this process, or in one of its own."""

import copy
import sys
from functools import cache
from pathlib import Path
from random import Random

from safebo.experiments.robustness.guardian_world import KEY, TROT, AtOnce, World, go1
from safebo.hardware.adapters.gain_keeper import GainKeeper
from safebo.hardware.adapters.relayed_walker import RelayedWalker
from safebo.hardware.guardian.bounds import ControllerGains
from safebo.hardware.guardian.core import Guardian
from safebo.hardware.guardian.service import GuardianService
from safebo.hardware.guardian.staging import GuardedController
from safebo.hardware.guardian.states import State
from safebo.hardware.link.digest import trial_digest
from safebo.hardware.link.udp import UdpTransport
from safebo.robots.controllers.controller_file import read_controller_file
from safebo.robots.controllers.datagrams import RelayState
from safebo.robots.controllers.ros_parameters import RosParameterPort, SetParametersResult

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "relayed_controller"
sys.path.insert(0, str(EXAMPLE))  # as a person does who runs the example from its folder
import controller as example  # noqa: E402
from parameter_server import ParameterNode, serve  # noqa: E402, F401  tests serve one, too

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


def damped(world: RelayWorld) -> bool:
    command = world.command
    return not command.kp.any() and not command.torque.any() and bool((command.kd > 0).all())


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


def used_answers(world: RelayWorld) -> int:
    """Answers of a process that walked the robot.

    One that comes late on a busy machine makes all later ones a tick old: its wire hands over one a tick.
    """
    used = world.relayed.counters
    return used.prompt + used.late


def wait(world: RelayWorld, condition, client=None) -> None:
    for _ in range(20_000):
        if condition():
            return
        if client is None:
            world.tick()
        else:
            client.pump(0.002)
    raise AssertionError(f"did not come: {world.said('gains')}")
