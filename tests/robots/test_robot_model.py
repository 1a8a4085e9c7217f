"""The robots' descriptions: two engines, one text; masses against published composites; robots of one's own."""

from __future__ import annotations

import pickle

import mujoco
import numpy as np
import pinocchio
import pytest

from safebo.robots.descriptions.check import standing_torques
from safebo.robots.descriptions.model import load_robot
from safebo.robots.descriptions.posture import why_not_standing
from safebo.robots.descriptions.published import ROBOTS
from safebo.robots.descriptions.unitree import GO1, GO2
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.gains import robot_gains
from safebo.robots.quadruped.gait import GAITS
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.rollout import rollout

# total mass (kg), centre of mass in the trunk frame (m) and inertia about it (xx, yy, zz, xz; kg m^2) in the
# home pose, from another description of the same robots
COMPOSITES = {
    "go1": (12.743, (-0.0021, 0.0009, -0.0190), (0.12684, 0.39403, 0.42288, -0.01433)),
    "go2": (15.206, (-0.0022, 0.0, -0.0214), (0.17029, 0.48374, 0.53537, -0.01647)),
}
# the manufacturer's tensor of the trunk (xx, yy, zz, xy, xz, yz)
TRUNKS = {
    "go1": (0.0168128557, 0.063009565, 0.0716547275, -0.0002296769, -0.0002945293, -4.18731e-05),
    "go2": (0.02448, 0.098077, 0.107, 0.00012166, 0.0014849, -3.12e-05),
}


def both_engines(robot, generator):
    """MuJoCo data and Pinocchio's mass matrix and bias for one random state, in MuJoCo's coordinates."""
    model = robot.load_mujoco()
    model.dof_damping[:] = 0.0
    model.dof_frictionloss[:] = 0.0
    data = mujoco.MjData(model)
    index = robot.mujoco_index(model)
    quaternion = generator.normal(size=4)
    quaternion /= np.linalg.norm(quaternion)
    data.qpos[:3] = generator.normal(size=3) + np.array([0, 0, 10])
    data.qpos[3:7] = quaternion
    data.qpos[index.qpos] = generator.uniform(
        np.maximum(robot.joint_lower, -3), np.minimum(robot.joint_upper, 3)
    )
    data.qvel[:] = 2.0 * generator.normal(size=model.nv)
    mujoco.mj_forward(model, data)
    mass = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, mass)

    other = robot.load_pinocchio()
    other_data = other.createData()
    where = robot.pinocchio_index(other)
    q = pinocchio.neutral(other)
    q[:3] = data.qpos[:3]
    q[3:7] = np.roll(quaternion, -1)
    q[where.q] = data.qpos[index.qpos]
    rotation = pinocchio.Quaternion(q[6], q[3], q[4], q[5]).matrix()
    turn = np.zeros((18, 18))
    turn[:3, :3] = rotation.T
    turn[3:6, 3:6] = np.eye(3)
    turn[where.v, index.dof] = 1.0
    v = turn @ data.qvel
    acceleration = np.zeros(18)
    acceleration[:3] = -np.cross(v[3:6], v[:3])
    upper = np.triu(pinocchio.crba(other, other_data, q))
    other_mass = turn.T @ (upper + np.triu(upper, 1).T) @ turn
    bias = turn.T @ pinocchio.rnea(other, other_data, q, v, acceleration)
    pinocchio.framesForwardKinematics(other, other_data, q)
    feet = np.array([other_data.oMf[int(frame)].translation for frame in where.foot_frame])
    return model, data, index, mass, other_mass, bias, feet


@pytest.mark.parametrize("name", ROBOTS)
def test_both_engines_have_the_same_mass_matrix_bias_and_feet(name):
    robot = load_robot(name)
    generator = np.random.default_rng(1)
    for _ in range(20):
        _, data, index, mass, other_mass, bias, feet = both_engines(robot, generator)
        assert np.abs(mass - other_mass).max() < 1e-9
        assert np.abs(data.qfrc_bias - bias).max() < 1e-9
        assert np.abs(data.geom_xpos[index.foot_geom] - feet).max() < 1e-12
        rotation = data.xmat[index.base_body].reshape(3, 3)
        closed_form = data.qpos[:3] + robot.foot_positions(data.qpos[index.qpos]) @ rotation.T
        assert np.abs(closed_form - feet).max() < 1e-12


@pytest.mark.parametrize("name", ["go1", "go2"])
def test_mass_and_composite_inertia_are_the_published_ones(name):
    robot = load_robot(name)
    mass, centre, inertia = COMPOSITES[name]
    model = robot.load_pinocchio()
    data = model.createData()
    q = pinocchio.neutral(model)
    q[robot.pinocchio_index(model).q] = robot.home_joints
    pinocchio.ccrba(model, data, q, np.zeros(model.nv))
    assert robot.mass == pytest.approx(mass, abs=5e-4)
    assert data.Ig.mass == pytest.approx(mass, abs=5e-4)
    assert np.abs(data.com[0] - centre).max() < 6e-5
    found = np.array(data.Ig.inertia)
    assert np.abs(found[[0, 1, 2, 0], [0, 1, 2, 2]] - inertia).max() < 6e-6


@pytest.mark.parametrize("description", [GO1, GO2], ids=lambda description: description.name)
def test_the_trunks_tensor_is_the_manufacturers_and_opposite_legs_cancel(description):
    trunk = description.trunk.inertia_of("FL")
    entries = trunk[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
    assert np.abs(entries - TRUNKS[description.name]).max() < 4e-6
    for link in (description.hip, description.thigh):
        left, right = link.inertia_of("FL"), link.inertia_of("FR")
        assert np.all(np.linalg.eigvalsh(left) > 0)
        total = left + right
        assert np.allclose(total[[0, 1], [1, 2]], 0.0, atol=1e-15)
        assert np.allclose(np.diag(left), np.diag(right))
        assert np.allclose(link.com_of("FL") * [1, -1, 1], link.com_of("FR"))


def test_rotors_are_felt_at_the_joints_by_the_square_of_their_gears():
    assert np.allclose(GO1.armature(), (0.00403, 0.00403, 0.00906), atol=5e-6)
    ratio = GO2.joints[2].torque_limit / GO2.joints[0].torque_limit
    assert GO2.armature()[2] == pytest.approx(GO2.armature()[0] * ratio**2)
    # the same motor behind a larger reduction: torque up, speed down by the same factor
    assert GO2.joints[0].speed_limit / GO2.joints[2].speed_limit == pytest.approx(ratio, rel=2e-3)


@pytest.mark.parametrize("name", ROBOTS)
def test_legs_are_mirror_images_and_limits_are_the_robots(name):
    robot = load_robot(name)
    assert robot.legs == ("FL", "FR", "RL", "RR")
    assert robot.joint_names[3:6] == ("FR_hip_joint", "FR_thigh_joint", "FR_calf_joint")
    feet = robot.foot_positions(robot.home_joints)
    assert np.allclose(feet[0] * [1, -1, 1], feet[1])
    assert np.allclose(feet[2] * [1, -1, 1], feet[3])
    assert np.all(feet[:, 2] < -0.2)
    expected = {
        "go1": (23.7, 23.7, 35.55),
        "go2": (23.7, 23.7, 45.43),
        "a1": (33.5, 33.5, 33.5),
        "anymal_c": (80, 80, 80),
        "mini_cheetah": (18, 18, 28),
    }[name]
    assert np.allclose(robot.torque_limit.reshape(4, 3), expected)
    assert np.all((robot.joint_lower < robot.home_joints) & (robot.home_joints < robot.joint_upper))


@pytest.mark.parametrize("name", ROBOTS)
def test_the_drawn_robot_moves_like_the_plain_one(name):
    robot = load_robot(name)
    plain, drawn = robot.load_mujoco(), robot.load_mujoco(drawn=True)
    assert drawn.ngeom > plain.ngeom
    ends = []
    for model in (plain, drawn):
        data = mujoco.MjData(model)
        mujoco.mj_resetDataKeyframe(model, data, 0)
        data.qpos[2] = 0.7
        for _ in range(400):
            mujoco.mj_step(model, data)
        ends.append(data.qpos.copy())
    assert np.array_equal(*ends)


def test_a_model_goes_to_another_process():
    robot = load_robot("go1")
    again = pickle.loads(pickle.dumps(robot))
    assert again.mjcf == robot.mjcf
    assert np.array_equal(again.torque_limit, robot.torque_limit)


@pytest.mark.parametrize(
    ("name", "mass", "foot"),
    [
        # total mass, and the front left foot with the joints at zero, from the lengths that are published
        ("a1", 12.453, (0.183, 0.13205, -0.4)),
        ("anymal_c", 52.13485, (0.44775, 0.30116, -0.60047)),
        ("mini_cheetah", 8.252, (0.19, 0.111, -0.404)),
    ],
)
def test_robots_of_other_makers_have_their_published_mass_and_lengths_and_trot(name, mass, foot):
    robot = load_robot(name)
    assert robot.mass == pytest.approx(mass, abs=1e-3)
    signs = np.array([[1, 1, 1], [1, -1, 1], [-1, 1, 1], [-1, -1, 1]])
    expected = signs * foot
    if name == "anymal_c":
        assert np.allclose(robot.joint_lower[[0, 3]], (-0.72, -0.49))
        assert robot.home_joints[2] < 0 < robot.home_joints[8]  # front knees backwards, rear knees forwards
    assert np.allclose(robot.foot_positions(np.zeros(12)), expected, atol=1e-9)
    assert np.isinf(robot.joint_upper).all() == (name == "mini_cheetah")
    assert not why_not_standing(robot.chains, robot.joint_lower, robot.joint_upper, robot.home_joints)
    assert np.all(standing_torques(robot) < robot.torque_limit)
    assert "BSD-3" in ROBOTS[name].source or "MIT licence" in ROBOTS[name].source
    controller = Controller(robot, robot_gains(robot), GAITS["trot"], VelocityRamp(0.4))
    record = rollout(Simulation(robot, seed=0), controller, 3.0)
    assert not record.fell, record.stop_reason
    assert record.base_velocity[-1000:, 0].mean() == pytest.approx(0.4, abs=0.02)


def test_an_unknown_robot_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="go1, go2"):
        load_robot("go3")


def own_description(folder, text):
    path = folder / "mine.xml"
    path.write_text(text)
    return path


LEGS_RENAMED = ("LF", "RF", "LH", "RH")
JOINTS_RENAMED = ("HAA", "HFE", "KFE")


def renamed(text):
    """The Go1 with other names and position servos instead of motors."""
    for mine, theirs in zip(("FL", "FR", "RL", "RR"), LEGS_RENAMED, strict=True):
        for kind, other in zip(("hip", "thigh", "calf"), JOINTS_RENAMED, strict=True):
            text = text.replace(f"{mine}_{kind}_joint", f"{theirs}_{other}")
            text = text.replace(
                f'<motor name="{mine}_{kind}"', f'<position kp="100" name="{theirs}_{other}_servo"'
            )
    return text.replace(
        "<actuator>", '<custom><numeric name="speed_limit" data="30.1 30.1 20.06"/></custom><actuator>'
    )


def test_a_robot_of_ones_own_with_other_names_is_the_same_robot(tmp_path):
    go1 = load_robot("go1")
    own = load_robot(own_description(tmp_path, renamed(go1.mjcf)))
    assert own.joint_names[:4] == ("LF_HAA", "LF_HFE", "LF_KFE", "RF_HAA")
    for field in (
        "chains",
        "stance_points",
        "torque_limit",
        "speed_limit",
        "joint_lower",
        "joint_upper",
        "home_joints",
        "imu_position",
    ):
        assert np.allclose(getattr(own, field), getattr(go1, field), atol=1e-12), field
    assert own.mass == pytest.approx(go1.mass)
    assert own.size == pytest.approx((1.0, 1.0))
    model = own.load_mujoco()
    assert np.all(model.actuator_biastype == mujoco.mjtBias.mjBIAS_NONE)
    _, data, _, mass, other_mass, bias, _ = both_engines(own, np.random.default_rng(0))
    assert np.abs(mass - other_mass).max() < 1e-9
    assert np.abs(data.qfrc_bias - bias).max() < 1e-9


def test_limits_that_a_description_lacks_are_the_go1s_to_scale_and_said(tmp_path):
    text = load_robot("go1").mjcf.replace('actuatorfrcrange="-35.55 35.55"', "")
    own = load_robot(own_description(tmp_path, text))
    assert np.allclose(own.torque_limit, np.tile((23.7, 23.7, 35.55), 4), rtol=2e-3)
    assert np.allclose(own.speed_limit, np.tile((30.1, 30.1, 20.06), 4), rtol=5e-3)
    assert any(
        "torque limit" in note and "(4 of 12 joints)" in note and "speed limit" in note for note in own.notes
    )


def test_a_broken_file_is_refused_with_its_name(tmp_path):
    path = own_description(tmp_path, "<mujoco><worldbody>")
    with pytest.raises(ValueError, match=r"mine\.xml"):
        load_robot(path)


LEG_URDF = """
  <link name="{leg}_a"><inertial><mass value="0.7"/><origin xyz="0 0 0"/>
    <inertia ixx="1e-3" iyy="1e-3" izz="1e-3" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <link name="{leg}_b"><inertial><mass value="1.0"/><origin xyz="0 0 -0.05"/>
    <inertia ixx="5e-3" iyy="5e-3" izz="1e-3" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <link name="{leg}_c"><inertial><mass value="0.2"/><origin xyz="0 0 -0.1"/>
    <inertia ixx="1e-3" iyy="1e-3" izz="1e-4" ixy="0" ixz="0" iyz="0"/></inertial>
    <collision><origin xyz="0 0 -0.2"/><geometry><sphere radius="0.02"/></geometry></collision></link>
  <joint name="{leg}_hip_joint" type="revolute"><parent link="base"/><child link="{leg}_a"/>
    <origin xyz="{x} {y} 0"/><axis xyz="1 0 0"/><limit lower="-1" upper="1" effort="20" velocity="30"/></joint>
  <joint name="{leg}_thigh_joint" type="revolute"><parent link="{leg}_a"/><child link="{leg}_b"/>
    <origin xyz="0 {side} 0"/><axis xyz="0 1 0"/><limit lower="-1" upper="4" effort="20" velocity="30"/></joint>
  <joint name="{leg}_calf_joint" type="revolute"><parent link="{leg}_b"/><child link="{leg}_c"/>
    <origin xyz="0 0 -0.2"/><axis xyz="0 1 0"/>
    <limit lower="-2.7" upper="-0.5" effort="30" velocity="20"/></joint>
"""


def test_a_urdf_gets_a_floating_base_a_floor_and_motors(tmp_path):
    legs = "".join(
        LEG_URDF.format(leg=leg, x=0.18 * fore, y=0.05 * side, side=0.08 * side)
        for leg, fore, side in (("FL", 1, 1), ("FR", 1, -1), ("RL", -1, 1), ("RR", -1, -1))
    )
    path = tmp_path / "robot.urdf"
    path.write_text(
        '<robot name="r"><mujoco><compiler fusestatic="false"/></mujoco><link name="base"><inertial>'
        '<mass value="5"/><origin xyz="0 0 0"/><inertia ixx="0.02" iyy="0.06" izz="0.07" ixy="0" ixz="0" '
        f'iyz="0"/></inertial></link>{legs}</robot>'
    )
    robot = load_robot(path)
    assert robot.mass == pytest.approx(5 + 4 * 1.9)
    assert robot.leg_length == pytest.approx(0.4)
    assert np.allclose(robot.torque_limit[:3], (20, 20, 30))
    assert np.allclose(robot.speed_limit[:3], (30, 30, 20))
    _, data, _, mass, other_mass, bias, _ = both_engines(robot, np.random.default_rng(3))
    assert np.abs(mass - other_mass).max() < 1e-9
    assert np.abs(data.qfrc_bias - bias).max() < 1e-9
