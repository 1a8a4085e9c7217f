"""The task hierarchy, the torque program and the equations of motion."""

import itertools

import numpy as np
import pinocchio
import pytest
from scipy.optimize import minimize

from safebo.robots.descriptions.model import load_robot
from safebo.robots.quadruped.contact_timing import Contacts
from safebo.robots.quadruped.feet import Feet, FootParameters, measure_feet, update_feet
from safebo.robots.quadruped.gait import GaitTiming
from safebo.robots.quadruped.interface import BaseState
from safebo.robots.quadruped.kinematics import leg_geometry
from safebo.robots.quadruped.mpc.problem import RigidBody
from safebo.robots.quadruped.mpc.reference import BaseReference
from safebo.robots.quadruped.wbc.dynamics import Dynamics
from safebo.robots.quadruped.wbc.hierarchy import solve_hierarchy
from safebo.robots.quadruped.wbc.tasks import MpcPlan, TaskStack, base_task, stack_tasks
from safebo.robots.quadruped.wbc.torque_parts import TorqueProblem
from safebo.robots.quadruped.wbc.torque_qp import (
    FOUND,
    OUTSIDE_PYRAMID,
    TorqueProgram,
    free_torques,
)

STANCES = [(1, 1, 1, 1), (1, 0, 0, 1), (0, 1, 1, 1), (1, 0, 0, 0), (0, 0, 0, 0)]


def solve(tasks, sizes, targets, damping=0.0):
    solution = np.zeros((tasks.shape[1], targets.shape[1]))
    solve_hierarchy(tasks, np.array(sizes), targets, damping, solution)
    return solution


def lexicographic_oracle(tasks, sizes, targets):
    """Null-space projection with exact pseudo-inverses (numpy's)."""
    x, projector, row = np.zeros((tasks.shape[1], targets.shape[1])), np.eye(tasks.shape[1]), 0
    for size in sizes:
        j, t = tasks[row : row + size], targets[row : row + size]
        x = x + np.linalg.pinv(j @ projector, rcond=1e-8) @ (t - j @ x)
        upper = tasks[: row + size]
        projector = np.eye(tasks.shape[1]) - np.linalg.pinv(upper, rcond=1e-8) @ upper
        row += size
    return x


@pytest.mark.parametrize("seed", range(10))
def test_hierarchy_agrees_with_projection_by_exact_pseudo_inverses(seed):
    rng = np.random.default_rng(seed)
    sizes = [6, 3, 3, 9]  # more rows than columns: the levels conflict
    tasks, targets = rng.normal(size=(21, 18)), rng.normal(size=(21, 2))
    tasks[7] = tasks[0] + tasks[1]  # a row that a higher level already spans
    np.testing.assert_allclose(
        solve(tasks, sizes, targets, 1e-4), lexicographic_oracle(tasks, sizes, targets), atol=1e-4
    )


def damped_oracle(tasks, sizes, targets, damping):
    """The same with damped pseudo-inverses of the projected rows, projectors from singular values."""
    x, basis, row = np.zeros((tasks.shape[1], targets.shape[1])), np.zeros((0, tasks.shape[1])), 0
    for size in sizes:
        j, t = tasks[row : row + size], targets[row : row + size]
        projected = j - j @ basis.T @ basis
        inner = projected @ projected.T + damping**2 * np.eye(size)
        x = x + projected.T @ np.linalg.solve(inner, t - j @ x)
        _, values, rows = np.linalg.svd(tasks[: row + size])
        basis = rows[: np.count_nonzero(values > 1e-8)]
        row += size
    return x


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("damping", [1e-3, 0.3])
def test_damped_levels_agree_with_projectors_from_singular_values(seed, damping):
    rng = np.random.default_rng(seed)
    sizes = [6, 3, 0, 3, 9]
    tasks, targets = rng.normal(size=(21, 18)), rng.normal(size=(21, 3))
    tasks[7] = tasks[0] - 2.0 * tasks[3]  # spanned by a higher level
    tasks[11] = tasks[9] + tasks[10]  # and by its own
    tasks[19] = 0.0
    found, expected = solve(tasks, sizes, targets, damping), damped_oracle(tasks, sizes, targets, damping)
    # the projectors of the oracle round: an input changed in its last bit moves it by up to 3e-7 of its values
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("damping", [0.0, 1e-3, 0.5])
def test_a_lower_task_never_disturbs_a_higher_one(damping):
    rng = np.random.default_rng(1)
    sizes = [6, 3, 3, 6]
    tasks, targets = rng.normal(size=(18, 18)), rng.normal(size=(18, 1))
    reference = solve(tasks, sizes, targets, damping)
    for level, first in enumerate(np.cumsum(sizes)[:-1]):
        changed = targets.copy()
        changed[first:] = rng.normal(size=(18 - first, 1)) * 100
        moved = solve(tasks, sizes, changed, damping)
        np.testing.assert_allclose(
            tasks[:first] @ moved, tasks[:first] @ reference, atol=1e-10, err_msg=str(level)
        )


def test_an_undamped_consistent_stack_is_met_exactly():
    rng = np.random.default_rng(2)
    tasks, targets = rng.normal(size=(18, 18)), rng.normal(size=(18, 3))
    np.testing.assert_allclose(tasks @ solve(tasks, [6, 3, 3, 6], targets), targets, atol=1e-9)


@pytest.mark.parametrize("name", ["go1", "a1", "anymal_c"])
def test_mass_matrix_and_bias_are_pinocchios(name):
    robot, rng = load_robot(name), np.random.default_rng(6)
    dynamics, model = Dynamics(robot), robot.load_pinocchio()
    data, index = model.createData(), robot.pinocchio_index(model)
    order = np.concatenate([np.arange(6), index.v])
    for _ in range(20):
        quaternion = rng.normal(size=4)
        quaternion /= np.linalg.norm(quaternion)
        joints, speeds, base = rng.uniform(-3, 3, 12), rng.normal(0, 5, 12), rng.normal(0, 2, 6)
        dynamics.update(quaternion, base, joints, speeds)
        q, v = pinocchio.neutral(model), np.zeros(18)
        q[3:7], q[index.q] = np.roll(quaternion, -1), joints
        v[:6], v[index.v] = base, speeds
        upper = np.triu(pinocchio.crba(model, data, q))
        mass = (upper + np.triu(upper, 1).T)[np.ix_(order, order)]
        bias = pinocchio.nonLinearEffects(model, data, q, v)[order]
        assert np.abs(dynamics.mass_matrix - mass).max() < 1e-13 * np.abs(mass).max()
        assert np.abs(dynamics.bias - bias).max() < 1e-13 * np.abs(bias).max()


class Scene:
    """A random pose and motion of a robot with some feet on the ground."""

    def __init__(self, name, stance, seed):
        rng = np.random.default_rng(seed)
        self.robot = load_robot(name)
        self.stance = np.array(stance, bool)
        self.q = self.robot.home_joints + rng.normal(0, 0.15, 12)
        self.qd, self.rate, self.velocity = rng.normal(0, 1, 12), rng.normal(0, 0.3, 3), rng.normal(0, 0.3, 3)
        rpy = rng.normal(0, 0.1, 3)
        self.rotation = pinocchio.rpy.rpyToMatrix(rpy)
        x, y, z, w = pinocchio.Quaternion(self.rotation).coeffs()
        self.quaternion = np.array([w, x, y, z])
        self.position = np.array([0.0, 0.0, 0.27])
        # duty 1/2 and offsets 0 or 1/2 give the wanted stance at time 0.1 of a stride of 1
        timing = GaitTiming(np.full(4, 0.5), np.ones(4), np.where(self.stance, 0.0, 0.5))
        parameters = FootParameters(timing, leg_geometry(self.robot), 0.002, 0.15, (0.06, 3.0))
        self.feet, command = Feet.standing(), np.array([0.5, 0, 0])
        measure_feet(parameters.geometry.legs, self.q, self.qd, self.feet)
        base = BaseState(self.position, self.quaternion, self.velocity, self.rate)
        update_feet(0.1, True, parameters, base, self.qd, command, self.feet, Contacts.standing())
        self.base = np.concatenate([self.rotation.T @ self.velocity, self.rate])
        self.dynamics = Dynamics(self.robot)
        self.dynamics.update(self.quaternion, self.base, self.q, self.qd)
        self.acceleration = rng.normal(0, 2, 18)
        self.planned = np.where(self.stance[:, None], [3.0, -2.0, 40.0], 0.0)

    def problem(self):
        feet = self.feet
        return TorqueProblem(
            self.dynamics.mass_matrix,
            self.dynamics.bias,
            self.acceleration,
            self.planned,
            feet.stance,
            feet.rotation,
            feet.local,
            feet.jacobian,
        )

    def program(self, torque_limit=1e3):
        program = TorqueProgram(self.robot.mass, np.full(12, torque_limit))
        program.set_gains(1.0, 3.0, 1e-4, 0.5)
        program.solve(self.problem())
        return program


@pytest.mark.parametrize("name", ["go1", "go2"])
@pytest.mark.parametrize("stance", STANCES)
def test_torque_and_forces_satisfy_pinocchios_equations_of_motion(name, stance):
    scene = Scene(name, stance, 3)
    np.testing.assert_array_equal(scene.feet.stance, scene.stance)
    program = scene.program()
    model = scene.robot.load_pinocchio()
    data, index = model.createData(), scene.robot.pinocchio_index(model)
    q, v, a = pinocchio.neutral(model), np.zeros(model.nv), np.zeros(model.nv)
    w, x, y, z = scene.quaternion
    q[:3], q[3:7], q[index.q] = scene.position, [x, y, z, w], scene.q
    v[:6], v[index.v] = scene.base, scene.qd
    wanted = scene.acceleration.copy()
    wanted[:6] += program.relaxation
    a[:6], a[index.v] = wanted[:6], wanted[6:]
    required = pinocchio.rnea(model, data, q, v, a)
    pinocchio.computeJointJacobians(model, data, q)
    pinocchio.updateFramePlacements(model, data)
    applied = np.zeros(model.nv)
    applied[index.v] = program.torque
    for leg in np.flatnonzero(scene.stance):
        frame = pinocchio.getFrameJacobian(
            model, data, int(index.foot_frame[leg]), pinocchio.ReferenceFrame.LOCAL_WORLD_ALIGNED
        )
        arm = np.array([0, 0, -scene.robot.foot_radius])  # the force acts where the ball touches the floor
        contact = frame[:3] - pinocchio.skew(arm) @ frame[3:]
        applied += contact.T @ program.forces[leg]
    np.testing.assert_allclose(applied, required, atol=1e-8)


@pytest.mark.parametrize("stance", STANCES[:4])
@pytest.mark.parametrize("torque_limit", [1e3, 22.0])
def test_the_torque_program_finds_the_optimum_of_a_general_solver(stance, torque_limit):
    scene = Scene("go1", stance, 5)
    program = scene.program(torque_limit)
    mass, bias, f = scene.dynamics.mass_matrix, scene.dynamics.bias, scene.feet
    legs = np.flatnonzero(scene.stance)

    def relaxation(forces):
        pull = np.zeros(6)
        for leg, force in zip(legs, forces.reshape(-1, 3), strict=True):
            local = f.rotation.T @ force
            pull += np.concatenate([local, np.cross(f.local[leg], local)])
        return np.linalg.solve(mass[:6, :6], pull - bias[:6] - mass[:6] @ scene.acceleration)

    def cost(forces):
        delta = relaxation(forces)
        deviation = forces.reshape(-1, 3) - scene.planned[legs]
        return delta @ (np.repeat([1.0, 3.0], 3) * delta) + 1e-4 * np.sum(deviation**2)

    def torque(forces):
        full = scene.acceleration + np.concatenate([relaxation(forces), np.zeros(12)])
        tau = (mass @ full + bias)[6:].reshape(4, 3)
        for leg, force in zip(legs, forces.reshape(-1, 3), strict=True):
            tau[leg] -= f.jacobian[leg].T @ f.rotation.T @ force
        return tau

    def slack(forces):
        g, tau = forces.reshape(-1, 3), torque(forces)[legs].ravel()
        return np.concatenate(
            [
                torque_limit - tau,
                torque_limit + tau,
                0.5 * g[:, 2] - g[:, 0],
                0.5 * g[:, 2] + g[:, 0],
                0.5 * g[:, 2] - g[:, 1],
                0.5 * g[:, 2] + g[:, 1],
                g[:, 2],
                3 * scene.robot.mass * 9.81 - g[:, 2],
            ]
        )

    best = minimize(
        cost,
        np.tile([0, 0, 50.0], len(legs)),
        method="SLSQP",
        constraints={"type": "ineq", "fun": slack},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    ours = program.forces[legs].ravel()
    assert np.all(slack(ours) >= -1e-6)
    assert cost(ours) <= best.fun * (1 + 1e-6) + 1e-9
    np.testing.assert_allclose(program.relaxation, relaxation(ours), atol=1e-8)
    np.testing.assert_allclose(
        program.torque[np.repeat(scene.stance, 3)], torque(ours)[legs].ravel(), atol=1e-5
    )


def test_an_optimum_inside_its_constraints_is_that_of_the_constrained_solver():
    reasons = []
    for stance, seed in itertools.product(STANCES[:4], range(10)):
        scene = Scene("go2", stance, seed)
        scene.acceleration *= 0.2 * (seed % 5)
        program = scene.program()
        torque = program.torque.copy()
        reasons.append(free_torques(scene.problem(), program.memory))
        program.solve_within_limits(scene.problem(), OUTSIDE_PYRAMID)
        np.testing.assert_allclose(torque, program.torque, atol=1e-9)
    assert reasons.count(FOUND) > 10
    assert reasons.count(OUTSIDE_PYRAMID) > 10


def test_torques_that_no_force_allows_are_cut_and_the_friction_pyramid_still_holds():
    scene = Scene("go1", (1, 0, 0, 1), 5)
    scene.acceleration[6:] *= 50.0
    program = scene.program(5.0)
    assert np.abs(program.torque).max() <= 5.0
    forces = program.forces[scene.stance]
    assert np.all(np.abs(forces[:, :2]) <= 0.5 * forces[:, 2:] + 1e-6)


def test_the_largest_force_may_change_between_two_torque_programs():
    scene = Scene("go1", (1, 1, 1, 1), 5)
    program = scene.program()
    program.max_force = 15.0
    program.solve(scene.problem())
    assert program.forces[:, 2].max() == pytest.approx(15.0, abs=1e-6)


def test_the_mpcs_forces_accelerate_the_base_origin_as_a_rigid_body():
    """The origin's path around a body whose centre of mass lies off it, differentiated twice."""
    rng = np.random.default_rng(4)
    centre, inertia, mass = np.array([0.02, -0.01, -0.03]), np.diag([0.1, 0.3, 0.35]), 12.0
    rotation, rate = pinocchio.rpy.rpyToMatrix(rng.normal(0, 0.1, 3)), rng.normal(0, 1.0, 3)
    forces, arms = rng.normal([0, 0, 40], 10, (4, 3)), rng.normal([0, 0, -0.27], 0.2, (4, 3))
    push = forces.sum(0) / mass - [0, 0, 9.81]
    moment = rotation.T @ np.cross(arms, forces).sum(0)
    turn = np.linalg.solve(inertia, moment)  # base frame; the MPC leaves the gyroscopic term out
    h = 1e-4
    path = [
        0.5 * t * t * push - rotation @ pinocchio.exp3(t * rate + 0.5 * t * t * turn) @ centre
        for t in (-h, 0, h)
    ]
    expected = rotation.T @ (path[0] - 2 * path[1] + path[2]) / h**2
    out, feet = np.zeros((6, 3)), Feet.standing()
    feet.rotation[:] = rotation
    x, y, z, w = pinocchio.Quaternion(rotation).coeffs()
    base = BaseState(np.zeros(3), np.array([w, x, y, z]), np.zeros(3), rate)
    body = RigidBody(mass, centre, np.linalg.inv(inertia))
    plan = MpcPlan(np.zeros((12, 12)), forces, arms)
    base_task(feet, base, BaseReference.at_rest(), plan, body, np.array([0.0, 0, 0, 0, 1.0]), out)
    np.testing.assert_allclose(out[5], expected, atol=1e-5)
    np.testing.assert_allclose(out[4], turn, atol=1e-9)


@pytest.mark.parametrize("stance", STANCES)
def test_stacked_jacobians_and_drifts_are_derivatives_of_the_feet(stance):
    """Feet move as the stacked rows say, and accelerate as rows and drift say, by finite differences."""
    scene = Scene("go1", stance, 7)
    f, sizes = scene.feet, np.zeros(4, dtype=np.int64)
    tasks, targets = np.zeros((18, 18)), np.zeros((18, 3))
    stack = TaskStack(tasks, sizes, targets)
    f.wanted_velocity[:], f.wanted_acceleration[:] = 0, 0
    f.wanted[:] = f.world
    stack_tasks(f, scene.base, np.zeros((6, 3)), scene.qd, np.zeros((2, 3)), stack)
    assert sizes.tolist() == [3 * sum(stance), 3, 3, 12 - 3 * sum(stance)]
    velocity = np.concatenate([scene.base, scene.qd])
    rows = list(range(3 * sum(stance))) + list(range(3 * sum(stance) + 6, 18))
    legs = [*np.flatnonzero(scene.stance), *np.flatnonzero(~scene.stance)]
    model = scene.robot.load_pinocchio()
    data, index = model.createData(), scene.robot.pinocchio_index(model)
    q, v = pinocchio.neutral(model), np.zeros(model.nv)
    w, x, y, z = scene.quaternion
    q[:3], q[3:7], q[index.q] = scene.position, [x, y, z, w], scene.q
    v[:6], v[index.v] = scene.base, scene.qd
    pinocchio.forwardKinematics(model, data, q, v, np.zeros(model.nv))
    pinocchio.updateFramePlacements(model, data)
    frame = pinocchio.ReferenceFrame.LOCAL_WORLD_ALIGNED
    for block, leg in enumerate(legs):
        foot = int(index.foot_frame[leg])
        motion = pinocchio.getFrameVelocity(model, data, foot, frame)
        spin = pinocchio.getFrameAcceleration(model, data, foot, frame).angular
        speed, drift = motion.linear, pinocchio.getFrameClassicalAcceleration(model, data, foot, frame).linear
        if stance[leg]:
            arm = np.array([0, 0, -scene.robot.foot_radius])
            speed, drift = speed + np.cross(motion.angular, arm), drift + np.cross(spin, arm)
        part = rows[3 * block : 3 * block + 3]
        np.testing.assert_allclose(f.rotation @ (tasks[part] @ velocity), speed, atol=1e-9)
        np.testing.assert_allclose(f.rotation @ -targets[part, 2], drift, atol=1e-9)


def test_the_base_task_is_the_pd_law_without_the_mpc_and_free_fall_without_ground():
    gains = np.array([100.0, 10.0, 80.0, 8.0, 0.0])
    out, feet, base, reference = (
        np.zeros((6, 3)),
        Feet.standing(),
        BaseState.at_rest(),
        BaseReference.at_rest(),
    )
    reference.rotation[:] = pinocchio.exp3(np.array([0.0, 0.1, 0.0]))
    reference.blended[:2] = [0.1, 0, 0], [0.5, 0, 0]
    body = RigidBody(10.0, np.zeros(3), np.eye(3))
    plan = MpcPlan(np.zeros((11, 12)), np.full((4, 3), 9.0), np.ones((4, 3)))
    rest = base, reference, plan, body, gains, out
    base_task(feet, *rest)
    np.testing.assert_allclose(out[4], [0, 10.0, 0], atol=1e-9)
    np.testing.assert_allclose(out[5], [80 * 0.1 + 8 * 0.5, 0, 0], atol=1e-9)
    feet.stance[:] = False
    base_task(feet, *rest)
    np.testing.assert_allclose(out[4:], np.array([[0, 0, 0], [0, 0, -9.81]]))
