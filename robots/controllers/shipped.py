"""The package's own chain behind the protocol that everybody's controller has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from safebo.robots.controllers.protocol import Command
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.controller import Controller
from safebo.robots.quadruped.gains import JACOBIAN_TRANSPOSE, NONLINEAR_MPC, WHOLE_BODY, Gain, Gains, gains_of
from safebo.robots.quadruped.gait import Gait
from safebo.robots.quadruped.interface import BaseState, JointCommand, SensorReading


class WholeBodyController:
    """`safebo.robots.quadruped.controller.Controller` as a controller of the protocol.

    Studies that name no controller use the chain itself, which knows more: the true base state of a simulation.
    """

    law: ClassVar[str] = WHOLE_BODY
    gains: ClassVar[Sequence[Gain]] = gains_of(WHOLE_BODY)

    def __init__(self) -> None:
        self._controller: Controller | None = None
        self.base: BaseState | None = None

    def reset(self, robot: RobotModel, gains: Mapping[str, float], gait: Gait, command: Command) -> None:
        """Begin a walk; the chain's own settling lasts for as long as the time of the sensors is below 0."""
        self._robot, self._gains, self._gait, self._command = robot, Gains(gains), gait, command
        self._controller, self.base = None, None

    def step(self, sensors: SensorReading) -> JointCommand:
        """One control tick.

        Raises:
            SensorError: samples that are not finite.
            MpcError, TorqueError: state or gains are not finite.
        """
        if self._controller is None:
            settle = max(0.0, -sensors.time)
            self._controller = Controller(
                self._robot, self._gains, self._gait, self._command, settle=settle, law=self.law
            )
            self._controller.reset(sensors)
        command = self._controller.step(sensors)
        self.base = self._controller.base
        return command

    def set_gains(self, gains: Mapping[str, float]) -> None:
        """Other gains from the next tick on."""
        self._gains = Gains(gains)
        if self._controller is not None:
            self._controller.set_gains(self._gains)


class JacobianTransposeController(WholeBodyController):
    """The chain under its faster law, `safebo.robots.quadruped.jacobian_transpose`."""

    law: ClassVar[str] = JACOBIAN_TRANSPOSE
    gains: ClassVar[Sequence[Gain]] = gains_of(JACOBIAN_TRANSPOSE)


class NonlinearMpcController(WholeBodyController):
    """The chain with the nonlinear MPC, `safebo.robots.quadruped.mpc.pendulum_mpc`."""

    law: ClassVar[str] = NONLINEAR_MPC
    gains: ClassVar[Sequence[Gain]] = gains_of(NONLINEAR_MPC)
