"""A virtual Go1: the plant behind `Go1RobotSide`."""

from __future__ import annotations

import numpy as np

from safebo.hardware.unitree import go1_messages as wire
from safebo.hardware.unitree.go1_link import Go1RobotSide
from safebo.hardware.unitree.go1_udp import Address
from safebo.hardware.virtual.injection import Injector
from safebo.hardware.virtual.machine import VirtualRobot
from safebo.hardware.virtual.plant import VirtualPlant
from safebo.hardware.virtual.state_encoder import DEFAULT_SERIAL, StateEncoder
from safebo.robots.quadruped.interface import JointCommand

TICKS_PER_MILLISECOND = round(1e-3 / wire.TICK_SECONDS)
IDLE_DAMPING = 3.0  # N m s/rad in the damping mode; the vendor gives no figure


class VirtualGo1(VirtualRobot):
    """A Go1 on its port. It answers every command, once the tick in which it acts is over.

    Args:
        port: UDP; 0 takes a free one.
        plant: its body.
        injector: faults.
        serial: number in every state.
        crc: form of the checksum of commands and states; a command with the other one is damaged.
    """

    def __init__(
        self,
        port: int,
        plant: VirtualPlant,
        injector: Injector,
        serial: tuple[int, int] = DEFAULT_SERIAL,
        crc: wire.Checksum = "sealed",
    ) -> None:
        self._crc: wire.Checksum = crc
        self._side: Go1RobotSide = Go1RobotSide(port, crc)
        super().__init__(self._side, plant, injector)
        self.port = self._side.port
        self._owed: list[Address] = []
        self._encoder = StateEncoder(
            plant, wire.MODE_SERVO, wire.TAU_SCALE, TICKS_PER_MILLISECOND, wire.CELL_SCALE
        )
        self._state = wire.new_low_state()
        self._state["sn"] = serial

    def listen(self) -> int:
        """Take commands; how many sound ones came."""
        commands = self._side.commands()
        if not commands:
            return 0
        for address in self._side.senders:
            if address not in self._owed:
                self._owed.append(address)
        if not self.injector.on("reboot"):
            motors = commands[-1]["motor_cmd"][self._motors]
            scales = {"q": 1.0, "dq": 1.0, "tau": wire.TAU_SCALE, "kp": wire.KP_SCALE, "kd": wire.KD_SCALE}
            with np.errstate(invalid="ignore"):  # the drives deal with what is not a number
                rows = [motors[name].astype(np.float64) * scale for name, scale in scales.items()]
            self.plant.command(JointCommand(*rows), motors["mode"] == wire.MODE_SERVO, len(commands))
        return len(commands)

    def publish(self) -> None:
        """Answer who asked."""
        self._encoder.fill(self._state)
        record = self.injector.record(self._state)
        if not self._owed:
            return
        for data in self.injector.packets(wire.encode_low_state(record, self._crc)):
            for address in self._owed:
                self._side.answer_packet(data, address)
        self._owed.clear()
