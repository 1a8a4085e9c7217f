"""Speed of the robot side: a whole walk, the predictive control, one tick of whole-body control."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np

from safebo.experiments.speed.measure import SpeedCase
from safebo.experiments.speed.walk import TimedWalk
from safebo.robots.descriptions.model import load_robot
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.gains import Gains
from safebo.robots.quadruped.gait import gait_named
from safebo.robots.simulation.plant import Simulation


def _trotting(**options: Any) -> tuple[Simulation, Controller]:
    robot, command = load_robot("go1"), VelocityRamp(0.5)
    controller = Controller(robot, Gains(), gait_named("trot"), command, **options)
    return Simulation(robot, seed=1), controller


def trot_5s_wbc() -> Callable[[], Any]:
    """A 5 s trot at 500 Hz, estimator and whole-body control in every tick."""
    return TimedWalk(*_trotting(), 5.0)


def _beside_physics(walk: TimedWalk) -> str:
    """The ratio that `python -m safebo.experiments.speed.walk` tells of any robot and gait."""
    return f"{np.median([walk.times().ratio for _ in range(5)]):.2f} times its bare mj_steps"


def mpc() -> Callable[[], Any]:
    """Build and solve the program of one trotting state; states of a whole walk in turn."""
    simulation, controller = _trotting()
    simulation.reset()
    truth = simulation.truth()
    controller.reset(simulation.read(), truth)
    problems = []
    while simulation.time < 3.0:
        simulation.apply(controller.step(simulation.read(), truth))
        if simulation.time > 1.0:
            problems.append(controller.mpc_problem())
    walking = cycle(problems)
    return lambda: controller.mpc.solve(next(walking))


def wbc_tick() -> Callable[[], Any]:
    """One control tick between two solutions of the MPC: everything but estimator and MPC.

    Base reference, footholds and swing, null-space hierarchy, rigid-body dynamics and torque program.
    """
    simulation, controller = _trotting(estimator="truth")
    simulation.reset()
    truth = simulation.truth()
    controller.reset(simulation.read(), truth)
    while simulation.time < 1.5:
        simulation.apply(controller.step(simulation.read(), truth))
    reading = copy.deepcopy(simulation.read())
    still = copy.deepcopy(truth)
    controller.step(reading, still)
    return lambda: controller.step(reading, still)


CASES = (
    SpeedCase(
        "trot_5s_wbc",
        "5 s trot of Go1 at 500 Hz, whole-body control in every tick",
        0.4,
        trot_5s_wbc,
        15,
        note=_beside_physics,
    ),
    SpeedCase("mpc", "build and solve the MPC of a trotting state", 0.15e-3, mpc, 2000, 50),
    SpeedCase("wbc_tick", "one tick of whole-body control, dynamics included", 0.08e-3, wbc_tick, 5000, 50),
)
