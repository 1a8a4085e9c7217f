"""The condensed program against one that keeps the states, and the optimality conditions."""

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.optimize import nnls

from safebo.robots.quadruped.gait import GAITS
from safebo.robots.quadruped.interface import GRAVITY
from safebo.robots.quadruped.mpc.convex_mpc import ConvexMpc, MpcProblem, RigidBody

LEGS = ("FL", "FR", "RL", "RR")
INERTIA = np.array([[0.127, 0.002, -0.014], [0.002, 0.394, 0.001], [-0.014, 0.001, 0.423]])
FEET = np.array([[0.19, 0.127, -0.27], [0.19, -0.127, -0.27], [-0.19, 0.127, -0.27], [-0.19, -0.127, -0.27]])


def body(mass, inertia):
    return RigidBody(mass, np.zeros(3), np.linalg.inv(inertia))


def case(seed: int, gait: str = "trot"):
    rng = np.random.default_rng(seed)
    mpc = ConvexMpc(body(12.7, INERTIA))
    mpc.set_gains(rng.uniform(0.1, 5.0, 12) * np.repeat([1, 10, 0.1, 0.3], 3), 3e-5, 0.5)
    state = rng.normal(0, 0.05, 12) + np.array([0, 0, rng.uniform(-3, 3), 0, 0, 0.27, 0, 0, 0, 0.4, 0, 0])
    reference = np.zeros((10, 12))
    reference[:, 2], reference[:, 5], reference[:, 9] = state[2], 0.27, 0.5
    reference[:, 3] = 0.5 * mpc.step * np.arange(1, 11)
    start = rng.uniform(0, 1)
    contacts = np.array([GAITS[gait].stance(start + (k + 0.5) * mpc.step, LEGS) for k in range(10)])
    arms = FEET + rng.normal(0, 0.03, (10, 4, 3))
    return mpc, MpcProblem(state, reference, contacts, arms)


def sparse_matrices(mpc, yaw, arms):
    """Textbook dynamics with gravity as a 13th state, discretised by the matrix exponential."""
    c, s = np.cos(yaw), np.sin(yaw)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    inverse = np.linalg.inv(turn @ INERTIA @ turn.T)
    a = np.zeros((13, 13))
    a[0:3, 6:9], a[3:6, 9:12], a[11, 12] = turn.T, np.eye(3), -GRAVITY
    steps = []
    for k in range(10):
        b = np.zeros((13, 12))
        for leg in range(4):
            x, y, z = arms[k, leg]
            b[6:9, 3 * leg : 3 * leg + 3] = inverse @ np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
            b[9:12, 3 * leg : 3 * leg + 3] = np.eye(3) / mpc.body.mass
        full = np.zeros((25, 25))
        full[:13, :13], full[:13, 13:] = a, b
        steps.append(expm(full * mpc.step)[:13])
    return steps


def cost_with_states(mpc, problem, forces):
    state, reference, contacts, arms = problem
    x = np.append(state, 1.0)
    total = 0.0
    share = mpc.body.mass * GRAVITY * 10 / contacts.sum()
    for k, step in enumerate(sparse_matrices(mpc, state[2], arms)):
        x = step @ np.concatenate([x, forces[k].ravel()])
        error = x[:12] - reference[k]
        deviation = (forces[k] - [0, 0, share])[contacts[k]]
        total += error @ (mpc.weights * error) + mpc.regularisation * np.sum(deviation**2)
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
    contacts = problem.contacts
    count = contacts.sum()
    differences = []
    for _ in range(4):
        forces = np.zeros((10, 4, 3))
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
    contacts = problem.contacts
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
        other, contacts = np.zeros_like(forces), problem.contacts
        fz = rng.uniform(0, 150, contacts.sum())
        other[contacts] = np.column_stack([rng.uniform(-1, 1, (len(fz), 2)) * mpc.friction * fz[:, None], fz])
        for step in (1.0, 1e-2, 1e-4):
            mixed, _ = cost_with_states(mpc, problem, forces + step * (other - forces))
            assert mixed >= best - 1e-9


def test_no_contact_means_no_force_and_free_fall():
    mpc, problem = case(0)
    forces = mpc.solve(problem._replace(contacts=np.zeros((10, 4), bool)))
    assert np.all(forces == 0)
    t = mpc.horizon * mpc.step
    assert mpc.trajectory[-1, 5] == pytest.approx(
        problem.state[5] + t * problem.state[11] - 0.5 * GRAVITY * t * t
    )


def test_standing_still_is_held_by_an_even_share_of_the_weight():
    mpc = ConvexMpc(body(10.0, np.diag([0.1, 0.3, 0.3])))
    state = np.zeros(12)
    state[5] = 0.3
    reference = np.tile(state, (10, 1))
    feet = np.tile(FEET, (10, 1, 1))
    forces = mpc.solve(MpcProblem(state, reference, np.ones((10, 4), bool), feet))
    np.testing.assert_allclose(forces, np.broadcast_to([0, 0, 10.0 * GRAVITY / 4], forces.shape), atol=1e-6)
