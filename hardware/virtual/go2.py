"""A virtual Go2: the plant behind `Go2RobotSide`."""

from __future__ import annotations

import numpy as np

from safebo.hardware.errors import LinkError
from safebo.hardware.unitree import go2_messages as wire
from safebo.hardware.unitree.dds import DdsNetwork, DdsParticipant, DdsWriter
from safebo.hardware.unitree.go2_broadcasts import new_sport_mode_state
from safebo.hardware.unitree.go2_link import COMMANDS, STATES, Go2RobotSide
from safebo.hardware.unitree.joints import MOTOR_LEGS
from safebo.hardware.unitree.records import Record
from safebo.hardware.unitree.remote import DAMPING_KEYS, Remote
from safebo.hardware.virtual.injection import Injector
from safebo.hardware.virtual.machine import VirtualRobot
from safebo.hardware.virtual.plant import PERIOD, VirtualPlant
from safebo.hardware.virtual.state_encoder import DEFAULT_SERIAL, StateEncoder
from safebo.robots.descriptions.description import LEGS
from safebo.robots.quadruped.interface import JointCommand

CELL_SCALE = 1e-3  # V per count
INTRUDERS = {"second_publisher": (COMMANDS, "LowCmd_"), "second_robot": (STATES, "LowState_")}
"""Faults that are another program on the network: what it publishes."""
SECOND_SERIAL = (0x5AFEB0, 2)
MOTION_EVERY, REMOTE_EVERY, SLOW_EVERY, SLOW_MOTION_EVERY = 10, 25, 25, 50  # ticks
FOOT_ORDER = [LEGS.index(leg) for leg in MOTOR_LEGS]


def joint_command(motors: Record) -> JointCommand:
    """What the motors of a command ask for, whatever it is: the drives deal with what is not a number."""
    with np.errstate(invalid="ignore"):
        return JointCommand(*(motors[name].astype(np.float64) for name in ("q", "dq", "tau", "kp", "kd")))


class VirtualGo2(VirtualRobot):
    """A Go2 on its network.

    Args:
        network: where.
        plant: its body; the plant's motion service is the one that answers on the network.
        injector: faults.
        serial: number in every state.
        motion_always: publish the motion state without a motion service too, as the vendor's simulator does and no
            physical robot.
    """

    def __init__(
        self,
        network: DdsNetwork,
        plant: VirtualPlant,
        injector: Injector,
        serial: tuple[int, int] = DEFAULT_SERIAL,
        motion_always: bool = False,
    ) -> None:
        self._network = network
        self._side: Go2RobotSide = Go2RobotSide(network, plant.motion)
        super().__init__(self._side, plant, injector)
        self._intruders: dict[str, tuple[DdsParticipant, DdsWriter]] = {}
        self._encoder = StateEncoder(plant, wire.MODE_SERVO, 1.0, 1, CELL_SCALE)
        self._state = wire.new_low_state()
        self._state["sn"] = serial
        self._motion = new_sport_mode_state()
        self._motion_always = motion_always
        self._feet = np.zeros((4, 3))

    def listen(self) -> int:
        """Answer services, take commands; how many sound ones came."""
        self._side.serve()
        commands = self._side.commands()
        if commands and not self.injector.on("reboot"):
            motors = commands[-1]["motor_cmd"][self._motors]
            self.plant.command(joint_command(motors), motors["mode"] == wire.MODE_SERVO, len(commands))
        return len(commands)

    def publish(self) -> None:
        """Say how things are now."""
        plant, injector, side = self.plant, self.injector, self._side
        self._follow_faults()
        self._encoder.fill(self._state)
        self._state["power_v"] = float(plant.battery.cells.sum())
        self._state["power_a"] = plant.battery.current
        record = injector.record(self._state)
        for data in injector.packets(wire.encode_low_state(record)):
            try:
                side.publish_packet(data)
            except LinkError:
                # Cyclone DDS lets no truncated sample out: it is as good as lost, as it would be at a receiver.
                if not injector.on("truncated"):
                    raise
        if "second_robot" in self._intruders:
            self._publish_second_robot()
        if injector.on("silence") or injector.on("reboot"):
            return
        if plant.ticks % SLOW_EVERY == 0:
            side.publish_slow(record)
        if plant.ticks % REMOTE_EVERY == 1:
            side.publish_remote(Remote(DAMPING_KEYS if injector.on("remote_stop") else frozenset()))
        if (plant.motion.name or self._motion_always) and plant.ticks % MOTION_EVERY == 2:
            self._publish_motion(slow=plant.ticks % SLOW_MOTION_EVERY == 2)

    def close(self) -> None:
        """Leave the network."""
        for kind in list(self._intruders):
            self._send_away(kind)
        self.plant.sport.close()
        super().close()

    def _follow_faults(self) -> None:
        for fault in self.injector.begun:
            if fault.kind == "motion_service_on":
                self.plant.motion.name = fault.value
        for kind, (topic, message) in INTRUDERS.items():
            wanted = self.injector.on(kind)
            if wanted and kind not in self._intruders:
                other = DdsParticipant(self._network, f"the fault {kind} of a virtual Go2")
                self._intruders[kind] = other, other.writer(topic, message)
            elif not wanted and kind in self._intruders:
                self._send_away(kind)

    def _send_away(self, kind: str) -> None:
        self._intruders.pop(kind)[0].close()

    def _publish_second_robot(self) -> None:
        """States of another robot, which has run for an hour longer."""
        other = self._state.copy()
        other["sn"] = SECOND_SERIAL
        other["tick"] = (int(other["tick"]) + 3_600_000) & 0xFFFFFFFF
        self._intruders["second_robot"][1].write(wire.encode_low_state(other))

    def _publish_motion(self, slow: bool) -> None:
        plant, motion, imu = self.plant, self._motion, self._state["imu_state"]
        base = plant.simulation.truth()
        whole = int(plant.time)
        motion["sec"], motion["nanosec"] = whole, round((plant.time - whole) * 1e9)
        for name in ("quaternion", "gyroscope", "accelerometer", "rpy", "temperature"):
            motion[name] = imu[name]
        motion["position"] = base.position
        motion["body_height"] = base.position[2]
        motion["velocity"] = base.linear_velocity
        motion["yaw_speed"] = base.angular_velocity[2]
        motion["foot_force"] = self._state["foot_force"]
        sport = plant.sport
        motion["mode"], motion["gait_type"] = sport.mode.value if plant.motion.name else 0, sport.gait_type
        motion["foot_raise_height"] = sport.swing_height
        feet = plant.robot.foot_positions(plant.simulation.true_joint_position)
        motion["foot_position_body"] = feet[FOOT_ORDER].ravel()
        motion["foot_speed_body"] = ((feet - self._feet)[FOOT_ORDER] / (MOTION_EVERY * PERIOD)).ravel()
        self._feet[:] = feet
        self._side.publish_motion(motion, slow)
