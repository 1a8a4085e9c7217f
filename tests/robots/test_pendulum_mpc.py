"""The nonlinear MPC: its derivatives by differences, its optimum and its motion by others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

from safebo.robots.descriptions.model import load_robot
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.gains import NONLINEAR_MPC, robot_gains
from safebo.robots.quadruped.gait import GAITS, stance_time
from safebo.robots.quadruped.interface import GRAVITY
from safebo.robots.quadruped.mpc.pendulum_mpc import (
    MAX_SHARE,
    MAX_SHIFT,
    PendulumMpc,
    arrange,
    cost,
    even_shares,
    gauss_newton,
)
from safebo.robots.quadruped.mpc.problem import MpcError, MpcProblem, RigidBody
from safebo.robots.quadruped.mpc.reference import divide_horizon
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.rollout import rollout

LEGS = ("FL", "FR", "RL", "RR")
FEET = np.array([[0.19, 0.127, 0], [0.19, -0.127, 0], [-0.19, 0.127, 0], [-0.19, -0.127, 0]])
MASS = 12.7


def case(
    seed: int, gait: str = "trot", push: tuple[float, float] = (0.0, 0.0)
) -> tuple[PendulumMpc, MpcProblem]:
    """A robot that trots at 0.4 m/s, somewhere in a stride, a little off its way."""
    rng = np.random.default_rng(seed)
    mpc = PendulumMpc(RigidBody(MASS, np.zeros(3), np.eye(3)))
    mpc.set_gains(rng.uniform(0.2, 4.0, 12) * np.repeat([1, 10, 0.1, 0.3], 3), 3e-5, 0.5, 40.0)
    timing, start = GAITS[gait].timing(LEGS), rng.uniform(0, 1)
    problem = MpcProblem.allocate(mpc.steps)
    problem.state[3:6] = np.array([0, 0, 0.27]) + rng.normal(0, 0.01, 3)
    problem.state[9:12] = np.array([0.4 + push[0], push[1], 0]) + rng.normal(0, 0.03, 3)
    divide_horizon(start, mpc.step, timing, problem.ends)
    for k in range(mpc.steps):
        begin = problem.ends[k - 1] if k else 0.0
        for leg in range(4):
            lasts, middle = stance_time(start + begin, start + problem.ends[k], leg, timing)
            problem.durations[k, leg], problem.centres[k, leg] = lasts, begin + middle
            landed = problem.durations[k, leg] > 0 and (problem.durations[: k + 1, leg] == 0).any()
            problem.points[k, leg] = FEET[leg] + (np.array([0.4 * (begin + middle), 0, 0]) if landed else 0)
    problem.reference[:, 5], problem.reference[:, 9] = 0.27, 0.4
    problem.reference[:, 3] = 0.4 * problem.ends
    return mpc, problem


def program(mpc: PendulumMpc, problem: MpcProblem) -> tuple[Any, Any, Any, int]:
    contacts, landings = arrange(tuple(problem))
    parts = (tuple(problem), *mpc.parts(problem)[1:])
    return parts, contacts, landings, len(contacts) + 2 * (int(landings.max()) + 1)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "gait"), [(0, "trot"), (1, "trot"), (2, "crawl"), (3, "flying-trot")])
def test_the_gradient_is_that_of_the_cost(seed: int, gait: str) -> None:
    mpc, problem = case(seed, gait, (0.8, -0.8))  # so pushed that friction counts
    parts, contacts, landings, size = program(mpc, problem)
    at = even_shares(tuple(problem), contacts, size) + np.random.default_rng(seed).normal(0, 0.05, size)
    _, gradient = gauss_newton(parts, contacts, landings, at)
    steps = 1e-6 * np.eye(size)
    by_differences = [
        (cost(parts, contacts, landings, at + e) - cost(parts, contacts, landings, at - e)) / 2e-6
        for e in steps
    ]
    assert gradient == pytest.approx(np.array(by_differences), abs=1e-6 * np.abs(gradient).max())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_the_solution_is_the_optimum_of_another_program(seed: int) -> None:
    mpc, problem = case(seed, ("trot", "crawl", "flying-trot")[seed % 3])
    mpc.solve(problem)
    parts, contacts, landings, size = program(mpc, problem)
    count = len(contacts)
    bounds = [(0.0, MAX_SHARE)] * count + [(-MAX_SHIFT, MAX_SHIFT)] * (size - count)
    found = minimize(
        lambda v: cost(parts, contacts, landings, v),
        np.full(size, 0.3) * (np.arange(size) < count),
        jac=lambda v: gauss_newton(parts, contacts, landings, v)[1],
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 3000, "maxfun": 6000, "ftol": 1e-15, "gtol": 1e-9},
    )
    assert cost(parts, contacts, landings, mpc.solution) <= found.fun * (1 + 1e-5) + 1e-9
    assert mpc.iterations <= 6


def test_the_motion_is_that_of_the_pendulum() -> None:
    mpc, problem = case(4)
    mpc.solve(problem)
    contacts, landings = arrange(tuple(problem))
    count = len(contacts)

    def slope(time: float, y: np.ndarray) -> np.ndarray:
        force = np.array([0.0, 0.0, -GRAVITY])
        for c, (k, leg) in enumerate(contacts):
            lasts, centre = problem.durations[k, leg], problem.centres[k, leg]
            if abs(time - centre) <= 0.5 * lasts:
                foot = problem.points[k, leg].copy()
                if landings[k, leg] >= 0:
                    foot[:2] += mpc.solution[count + 2 * landings[k, leg] :][:2]
                force = force + GRAVITY / 0.27 * mpc.solution[c] * (y[:3] - foot)
        return np.concatenate([y[3:], force])

    start = np.concatenate([problem.state[3:6], problem.state[9:12]])
    end = solve_ivp(slope, (0, problem.ends[-1]), start, max_step=5e-4, rtol=1e-6).y[:, -1]
    assert mpc.trajectory[-1, 3:6] == pytest.approx(end[:3], abs=2e-3)
    assert mpc.trajectory[-1, 9:12] == pytest.approx(end[3:], abs=2e-2)


@pytest.mark.parametrize("gait", ["trot", "crawl", "pronk"])
def test_forces_push_along_one_line_through_the_centre_of_mass(gait: str) -> None:
    mpc, problem = case(5, gait)
    forces = mpc.solve(problem)
    assert not forces[problem.durations == 0].any()
    assert (forces[..., 2] >= -1e-9).all()
    position = problem.state[3:6]
    moment = np.cross(problem.points[0] - position, forces[0]).sum(0)
    assert np.abs(moment).max() < 0.02 * MASS * GRAVITY  # the arm is that of the contact's middle
    carried = (forces[..., 2] * problem.durations).sum() / problem.ends[-1]
    assert carried == pytest.approx(MASS * GRAVITY, rel=0.15)


@pytest.mark.parametrize(("axis", "sign"), [(0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0)])
def test_a_push_moves_the_next_foothold_its_way(axis: int, sign: float) -> None:
    push = [0.0, 0.0]
    push[axis] = 0.6 * sign
    mpc, problem = case(0, "trot", (push[0], push[1]))
    mpc.solve(problem)
    moved = mpc.shift.copy()
    mpc, problem = case(0)
    mpc.solve(problem)
    assert sign * (moved - mpc.shift)[:, axis].sum() > 0.01
    assert np.abs(moved).max() <= MAX_SHIFT + 1e-12


def test_what_is_not_finite_is_refused() -> None:
    mpc, problem = case(0)
    problem.points[0, 0, 0] = np.nan
    with pytest.raises(MpcError, match="not finite"):
        mpc.solve(problem)


def test_a_go1_trots_by_it() -> None:
    robot = load_robot("go1")
    controller = Controller(robot, robot_gains(robot), GAITS["trot"], VelocityRamp(0.5), law=NONLINEAR_MPC)
    record = rollout(Simulation(robot), controller, 2.0)
    assert not record.fell, record.stop_reason
    walked = record.base_velocity[-500:, 0]
    assert walked.mean() == pytest.approx(0.5, abs=0.05)
    assert np.abs(controller.feet.shift).max() > 1e-4
