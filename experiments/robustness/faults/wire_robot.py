"""A Go1 with a body, behind the bytes of its own wire protocol, in lock-step: no socket, no clock.

What the guardian commands is encoded, decoded as the virtual robot does, and acted on by motors in MuJoCo. The states
that follow are encoded, hurt by faults, and decoded as those of a physical Go1 are.
"""

from __future__ import annotations

import numpy as np

from safebo.experiments.robustness.guardian_world import PERIOD, StandInRobot, go1
from safebo.experiments.robustness.robot_run import ScheduledWorld
from safebo.hardware.guardian.observation import RobotObservation, observe
from safebo.hardware.guardian.states import State
from safebo.hardware.guardian.walker import QuadrupedWalker
from safebo.hardware.link.proxy import Faults
from safebo.hardware.robot_link import LinkCounters
from safebo.hardware.unitree import go1_messages as wire
from safebo.hardware.unitree.go1_link import battery_of
from safebo.hardware.unitree.state import StateStream
from safebo.hardware.virtual.faults import fault
from safebo.hardware.virtual.go1 import IDLE_DAMPING, TICKS_PER_MILLISECOND
from safebo.hardware.virtual.injection import Injector
from safebo.hardware.virtual.plant import VirtualPlant
from safebo.hardware.virtual.state_encoder import StateEncoder
from safebo.robots.quadruped.interface import JointCommand
from safebo.robots.simulation.disturbance import preset

HEAD = 0  # where the first byte of a Go1 state is
_SERVO = np.ones(12, dtype=bool)


class WireRobot(StandInRobot):
    """A virtual Go1's body and codec.

    Args:
        seed: of its sensors' noise and of what faults draw.
        disturbance: how it differs from its model, by name.

    Attributes:
        counters: of the link that reads it.
        plant: its body.
    """

    def __init__(self, seed: int = 0, disturbance: str = "paper") -> None:
        robot = go1()
        self.plant = VirtualPlant(robot, preset(disturbance), seed, idle_damping=IDLE_DAMPING)
        super().__init__(robot, self.plant.settled)
        self.counters = LinkCounters()
        self._seed = seed
        self._injector = Injector((), seed, HEAD, wire.CELL_SCALE)
        self._stream = StateStream(
            robot.joint_names,
            wire.decode_low_state,
            battery_of,
            wire.TAU_SCALE,
            wire.TICK_SECONDS,
            PERIOD,
            self.counters,
        )
        self._encoder = StateEncoder(
            self.plant, wire.MODE_SERVO, wire.TAU_SCALE, TICKS_PER_MILLISECOND, wire.CELL_SCALE
        )
        self._command = wire.new_low_cmd()
        self._command["motor_cmd"]["mode"][self._stream.motors] = wire.MODE_SERVO
        self._state = wire.new_low_state()
        self._packets: list[bytes] = []
        self._now = 0.0

    def inject(self, **entry: object) -> None:
        """A fault as in a virtual robot's file of faults, from now on."""
        made = fault({"at": self.plant.time, "from": "start", **entry})
        self._injector = Injector([made], self._seed, HEAD, wire.CELL_SCALE)

    def observe(self) -> RobotObservation | None:
        """What the link makes of what has arrived."""
        self._now += PERIOD
        packets, self._packets = self._packets, []
        state = self._stream.newest(packets, self._now)
        if state is None or self.silent:
            return None
        seen = observe(state)
        self.edit(seen)
        return seen

    def apply(self, command: JointCommand) -> None:
        """2 ms of the body, and what it says then."""
        injector, plant = self._injector, self.plant
        plant.command(self._carried(command), _SERVO)
        injector.look(plant.time, plant.reached)
        plant.tick(injector.influence())
        if any(fault.kind == "reboot" for fault in injector.ended):
            plant.reboot()
        self._encoder.fill(self._state)
        self._packets = injector.packets(wire.encode_low_state(injector.record(self._state)))

    def _carried(self, command: JointCommand) -> JointCommand:
        """The command as it comes out of its packet at the robot."""
        slots, motors = self._stream.motors, self._command["motor_cmd"]
        wire.set_torque(self._command, slots, command.torque)
        wire.set_gains(self._command, slots, command.kp, command.kd)
        motors["q"][slots] = command.position
        motors["dq"][slots] = command.velocity
        heard = wire.decode_low_cmd(wire.encode_low_cmd(self._command))["motor_cmd"][slots]
        return JointCommand(
            heard["q"].astype(float),
            heard["dq"].astype(float),
            heard["tau"] * wire.TAU_SCALE,
            heard["kp"] * wire.KP_SCALE,
            heard["kd"] * wire.KD_SCALE,
        )


class WireWorld(ScheduledWorld):
    """A guardian whose robot has a body and a wire, and whose controller is the real one."""

    def __init__(
        self, seed: int = 0, up: Faults | None = None, down: Faults | None = None, disturbance: str = "paper"
    ) -> None:
        super().__init__(seed, up, down, QuadrupedWalker(go1()))
        self.body = self.robot = WireRobot(seed, disturbance)
        # the stand-in's clock of controllers is set by experiments; this controller takes the time it takes,
        # and a busy machine must not change what is seen here
        self.controller_time = 0.0

    def tick(self) -> JointCommand:
        """One control period."""
        self.damaged = self.body.counters.damaged
        return super().tick()

    @property
    def walking(self) -> bool:
        """Whether a walk has begun."""
        guardian = self.guardian
        return guardian.state is State.RUNNING and guardian.run.elapsed(self.now) >= 0.0
