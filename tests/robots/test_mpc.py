"""The condensed program against one that keeps the states, and the optimality conditions."""

import daqp
import numpy as np
import pytest
from scipy.linalg import expm
from scipy.optimize import nnls

from safebo.robots.quadruped.gait import GAITS, stance_time
from safebo.robots.quadruped.interface import GRAVITY
from safebo.robots.quadruped.mpc.condensed import free_optimum
from safebo.robots.quadruped.mpc.convex_mpc import ConvexMpc
from safebo.robots.quadruped.mpc.problem import MpcError, MpcProblem, RigidBody
from safebo.robots.quadruped.mpc.reference import divide_horizon

LEGS = ("FL", "FR", "RL", "RR")
INERTIA = np.array([[0.127, 0.002, -0.014], [0.002, 0.394, 0.001], [-0.014, 0.001, 0.423]])
FEET = np.array([[0.19, 0.127, -0.27], [0.19, -0.127, -0.27], [-0.19, 0.127, -0.27], [-0.19, -0.127, -0.27]])


def body(mass, inertia):
    return RigidBody(mass, np.zeros(3), np.linalg.inv(inertia))


STEPS = 11
"""Of a horizon of ten, whose first and last one share the time of one."""


def case(seed: int, gait: str = "trot"):
    rng = np.random.default_rng(seed)
    mpc = ConvexMpc(body(12.7, INERTIA))
    mpc.set_gains(rng.uniform(0.1, 5.0, 12) * np.repeat([1, 10, 0.1, 0.3], 3), 3e-5, 0.5)
    state = rng.normal(0, 0.05, 12) + np.array([0, 0, rng.uniform(-3, 3), 0, 0, 0.27, 0, 0, 0, 0.4, 0, 0])
    timing, start = GAITS[gait].timing(LEGS), rng.uniform(0, 1)
    problem = MpcProblem.allocate(STEPS)
    problem.state[:] = state
    divide_horizon(start, mpc.step, timing, problem.ends)
    for k in range(STEPS):
        begin = problem.ends[k - 1] if k else 0.0
        for leg in range(4):
            lasts, middle = stance_time(start + begin, start + problem.ends[k], leg, timing)
            problem.durations[k, leg], problem.centres[k, leg] = lasts, begin + middle
    reference = problem.reference
    reference[:, 2], reference[:, 5], reference[:, 9] = state[2], 0.27, 0.5
    reference[:, 3] = 0.5 * problem.ends
    problem.moment_arms[:] = FEET + rng.normal(0, 0.03, (STEPS, 4, 3))
    return mpc, problem


def advanced(mpc, problem, k, x, forces):
    """The state after a step by textbook dynamics with gravity as a 13th state and the matrix exponential: free motion,
    and every foot's force over its own part of the step."""
    yaw, start, end = problem.state[2], problem.ends[k - 1] if k else 0.0, problem.ends[k]
    c, s = np.cos(yaw), np.sin(yaw)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    inverse = np.linalg.inv(turn @ INERTIA @ turn.T)
    a = np.zeros((13, 13))
    a[0:3, 6:9], a[3:6, 9:12], a[11, 12] = turn.T, np.eye(3), -GRAVITY
    x = expm(a * (end - start)) @ x
    for leg in range(4):
        lasts, centre = problem.durations[k, leg], problem.centres[k, leg]
        rx, ry, rz = problem.moment_arms[k, leg]
        both = np.zeros((16, 16))
        both[:13, :13] = a
        both[6:9, 13:] = inverse @ np.array([[0, -rz, ry], [rz, 0, -rx], [-ry, rx, 0]])
        both[9:12, 13:] = np.eye(3) / mpc.body.mass
        x = x + expm(a * (end - centre - 0.5 * lasts)) @ expm(both * lasts)[:13, 13:] @ forces[leg]
    return x


def cost_with_states(mpc, problem, forces):
    durations = problem.durations
    x = np.append(problem.state, 1.0)
    total = 0.0
    for k in range(STEPS):
        x = advanced(mpc, problem, k, x, forces[k])
        error = x[:12] - problem.reference[k]
        length = problem.ends[k] - (problem.ends[k - 1] if k else 0.0)
        feet = np.count_nonzero(durations[0]) if k == 0 else durations.sum() / problem.ends[-1]
        share = mpc.body.mass * GRAVITY / max(feet, 1e-9)
        total += length / mpc.step * error @ (mpc.weights * error)
        off = np.sum((forces[k] - [0, 0, share]) ** 2, axis=1)
        total += mpc.regularisation * durations[k] / mpc.step @ off
    return total, x[:12]


@pytest.mark.parametrize("gait", ["trot", "crawl", "flying-trot", "pronk"])
def test_prediction_agrees_with_the_matrix_exponential(gait):
    mpc, problem = case(1, gait)
    forces = mpc.solve(problem).copy()
    _, last = cost_with_states(mpc, problem, forces)
    np.testing.assert_allclose(mpc.trajectory[-1], last, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_condensed_cost_equals_the_cost_with_states_up_to_a_constant(seed):
    mpc, problem = case(seed)
    hessian, gradient, *_ = mpc.build(problem)
    rng = np.random.default_rng(seed)
    contacts = problem.durations > 0
    count = contacts.sum()
    differences = []
    for _ in range(4):
        forces = np.zeros((STEPS, 4, 3))
        forces[contacts] = rng.normal(0, 50, (count, 3))
        u = np.concatenate([forces[contacts][:, 2], forces[contacts][:, :2].ravel()]) / (
            mpc.body.mass * GRAVITY
        )
        condensed = 0.5 * u @ hessian @ u + gradient @ u
        full, _ = cost_with_states(mpc, problem, forces)
        differences.append((condensed, full))
    condensed, full = np.array(differences).T
    # one positive scale relates all differences
    ratio = (full[1:] - full[0]) / (condensed[1:] - condensed[0])
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)
    assert ratio[0] > 0


@pytest.mark.parametrize(("seed", "gait"), [(0, "trot"), (1, "crawl"), (2, "flying-trot"), (3, "pronk")])
def test_solution_satisfies_the_optimality_conditions(seed, gait):
    mpc, problem = case(seed, gait)
    forces = mpc.solve(problem).copy()
    contacts = problem.durations > 0
    assert np.all(forces[~contacts] == 0.0)
    f = forces[contacts]
    assert np.all(f[:, 2] >= -1e-6)
    assert np.all(f[:, 2] <= mpc.max_force + 1e-6)
    assert np.all(np.abs(f[:, :2]) <= mpc.friction * f[:, 2:] + 1e-6)
    hessian, gradient, matrix, upper, lower = mpc.build(problem)
    u = np.concatenate([f[:, 2], f[:, :2].ravel()]) / (mpc.body.mass * GRAVITY)
    slope = hessian @ u + gradient
    rows = np.vstack([np.eye(len(u))[: len(f)], matrix])
    values = rows @ u
    active_up, active_low = upper - values < 1e-7, values - lower < 1e-7
    active = np.vstack([rows[active_up], -rows[active_low]])
    if len(active) == 0:
        np.testing.assert_allclose(slope, 0, atol=1e-7)
        return
    # the slope is a non-negative combination of the active rows, so no feasible direction descends
    _, residual = nnls(active.T, -slope)
    assert residual < 1e-6


def test_no_feasible_forces_are_better():
    mpc, problem = case(7)
    forces = mpc.solve(problem).copy()
    best, _ = cost_with_states(mpc, problem, forces)
    rng = np.random.default_rng(0)
    for _ in range(100):  # on the way to random feasible forces the cost, computed with states, never falls
        other, contacts = np.zeros_like(forces), problem.durations > 0
        fz = rng.uniform(0, 150, contacts.sum())
        other[contacts] = np.column_stack([rng.uniform(-1, 1, (len(fz), 2)) * mpc.friction * fz[:, None], fz])
        for step in (1.0, 1e-2, 1e-4):
            mixed, _ = cost_with_states(mpc, problem, forces + step * (other - forces))
            assert mixed >= best - 1e-9


def test_no_contact_means_no_force_and_free_fall():
    mpc, problem = case(0)
    forces = mpc.solve(problem._replace(durations=np.zeros((STEPS, 4))))
    assert np.all(forces == 0)
    t = mpc.horizon * mpc.step
    assert mpc.trajectory[-1, 5] == pytest.approx(
        problem.state[5] + t * problem.state[11] - 0.5 * GRAVITY * t * t
    )


def standing(mpc):
    problem = MpcProblem.allocate(STEPS)
    divide_horizon(-1.0, mpc.step, GAITS["stand"].timing(LEGS), problem.ends)
    problem.state[5] = 0.3
    problem.reference[:] = problem.state
    lengths = np.diff(problem.ends, prepend=0.0)
    problem.durations[:] = lengths[:, None]
    problem.centres[:] = (problem.ends - 0.5 * lengths)[:, None]
    problem.moment_arms[:] = FEET
    return problem


def test_standing_still_is_held_by_an_even_share_of_the_weight():
    mpc = ConvexMpc(body(10.0, np.diag([0.1, 0.3, 0.3])))
    problem = standing(mpc)
    forces = mpc.solve(problem)[problem.durations > 0]
    np.testing.assert_allclose(forces, np.broadcast_to([0, 0, 10.0 * GRAVITY / 4], forces.shape), atol=1e-6)


def test_the_largest_force_may_change_between_two_solutions():
    mpc = ConvexMpc(body(10.0, np.diag([0.1, 0.3, 0.3])))
    problem = standing(mpc)
    for most in (200.0, 20.0, 22.0):
        mpc.max_force = most
        forces = mpc.solve(problem)[problem.durations > 0]
        assert forces[:, 2].max() <= most + 1e-6
        assert forces[:, 2].max() == pytest.approx(min(most, 10.0 * GRAVITY / 4), abs=1e-4)


@pytest.mark.parametrize("seconds", [1e-3, 5e-3, 15e-3, 29e-3])
def test_feet_keep_their_load_until_they_lift_off(seconds):
    """However soon the pair that stands lifts off, it carries the weight: nothing else does now."""
    mpc = ConvexMpc(body(12.7, INERTIA))
    timing = GAITS["trot"].timing(LEGS)
    time, problem = 0.25 - seconds, standing(mpc)
    divide_horizon(time, mpc.step, timing, problem.ends)
    assert problem.ends[0] == pytest.approx(seconds)
    assert problem.ends[-1] == pytest.approx(10 * mpc.step)
    for k in range(STEPS):
        begin = problem.ends[k - 1] if k else 0.0
        for leg in range(4):
            lasts, middle = stance_time(time + begin, time + problem.ends[k], leg, timing)
            problem.durations[k, leg], problem.centres[k, leg] = lasts, begin + middle
    now = mpc.solve(problem)[0, :, 2]
    assert now.sum() / (12.7 * GRAVITY) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("part", ["state", "reference", "moment_arms"])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused_and_not_solved(part, wrong):
    """DAQP answers them with success."""
    mpc = ConvexMpc(body(10.0, np.diag([0.1, 0.3, 0.3])))
    problem = standing(mpc)
    mpc.solve(problem)
    before = mpc.forces.copy()
    getattr(problem, part).flat[2] = wrong
    with pytest.raises(MpcError, match="finite"):
        mpc.solve(problem)
    np.testing.assert_array_equal(mpc.forces, before)


def test_an_optimum_inside_its_constraints_is_that_of_the_constrained_solver():
    inside = []
    for seed in range(20):
        mpc, problem = case(seed, ("trot", "flying-trot")[seed % 2])
        hessian, gradient, *constraints = mpc.build(problem)
        size, most = len(gradient), mpc.max_force / (mpc.body.mass * GRAVITY)
        found = np.empty(size)
        inside.append(free_optimum(hessian, gradient, mpc.friction, most, np.empty(size * size), found))
        expected, _, flag, _ = daqp.solve(hessian, gradient, *constraints)
        assert flag == 1
        assert np.allclose(found, expected, atol=1e-9) == inside[-1]
        np.testing.assert_allclose(hessian @ found, -gradient, atol=1e-9)
    assert 2 < sum(inside) < 18
