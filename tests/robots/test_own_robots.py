"""Robots of one's own: the same quadruped in many ways of describing it."""

from __future__ import annotations

import pickle
import re
from xml.sax.saxutils import quoteattr

import numpy as np
import pinocchio
import pytest
from made_robots import (
    CALF,
    HIP,
    HOME,
    LEGS,
    MASS,
    ODD,
    THIGH,
    THIGH_OFFSET,
    Make,
    foot_by_hand,
    inertial,
    is_the_made_robot,
    joint,
    row,
    stl,
    urdf,
    written,
)

from safebo.robots.descriptions.check import check_own_robot
from safebo.robots.descriptions.model import load_robot, own_robot
from safebo.robots.descriptions.own import read_own_robot

QUARTER = (0.7071067811865476, 0, 0, 0.7071067811865476)
ARM = """<body name="arm0" pos="0.1 0 0.06"><inertial pos="0 0 0.1" mass="0.5" diaginertia="1e-3 1e-3 1e-3"/>
<joint name="shoulder" axis="0 1 0" range="-1 1"/><body pos="0 0 0.2"><inertial pos="0 0 0.1" mass="0.3"
diaginertia="1e-3 1e-3 1e-3"/><joint name="elbow" axis="0 1 0" range="0.2 1"/></body></body>"""


@pytest.mark.parametrize(
    "make",
    [
        Make(),
        Make(joint="{leg}-HAA.{k}", floor=False, free=False),
        Make(foot="welded"),
        Make(foot="capsule"),
        Make(turned=ODD),
        Make(turned=ODD, foot="welded"),
        Make(
            extra='<geom type="ellipsoid" size="0.3 0.3 0.3" contype="0" conaffinity="0"/><camera/><light/>'
        ),
        Make(tail=Make().motors("position", 'kp="50" forcerange="-30 30"'), joint_extra='armature="0.005"'),
        Make(tail='<sensor><gyro site="s"/></sensor>', extra='<site name="s" pos="0.1 0 0"/>'),
        Make(tail='<equality><joint joint1="FL_joint0" joint2="FR_joint0"/></equality>'),
        Make(head='<default><joint damping="1"/><default class="x"><geom condim="6"/></default></default>'),
    ],
    ids=[
        "plain",
        "fixed",
        "welded",
        "capsule",
        "turned",
        "turned-welded",
        "seen",
        "servos",
        "sensor",
        "coupled",
        "nested",
    ],
)
def test_ways_of_writing_one_robot_give_one_robot(make, tmp_path):
    own = own_robot(written(tmp_path, make.text()))
    is_the_made_robot(own.model)
    assert own.model.joint_names == tuple(make.joints())
    assert max(check_own_robot(own).differences.values()) < 1e-9
    np.testing.assert_allclose(own.model.torque_limit, 30.0)
    np.testing.assert_allclose(own.model.joint_lower[:3], (-0.9, -0.8, -2.7))


def test_axes_of_the_other_sign_keep_their_sign_and_their_ranges(tmp_path):
    robot = load_robot(written(tmp_path, Make(axes=(-1, 1, -1)).text()))
    is_the_made_robot(robot, signs=(-1, 1, -1))
    np.testing.assert_allclose(robot.joint_lower[:3], (-0.9, -0.8, 0.6))
    assert robot.home_joints[2] > 0.6
    assert np.ptp(robot.foot_positions(robot.home_joints)[:, 2]) < 1e-9


def test_a_joint_without_a_limit_turns_without_end(tmp_path):
    robot = load_robot(written(tmp_path, Make(ranges=(None, None, None)).text()))
    assert np.all(np.isneginf(robot.joint_lower))
    assert np.all(np.isposinf(robot.joint_upper))
    assert not robot.load_mujoco().jnt_limited.any()
    feet = robot.foot_positions(robot.home_joints)
    assert np.all(feet[:, 2] < -0.2)
    assert np.all(
        robot.home_joints[1::3] > 0
    )  # of two ways to bend a knee, the one that puts it behind the leg
    assert np.all(robot.home_joints[2::3] < 0)


def test_a_computed_home_pose_stands_under_the_thigh_joints_within_the_ranges(tmp_path):
    robot = load_robot(written(tmp_path, Make().text()))
    feet = robot.foot_positions(robot.home_joints)
    np.testing.assert_allclose(feet[:, 0], np.repeat((HIP[0], -HIP[0]), 2), atol=1e-4)
    np.testing.assert_allclose(np.abs(feet[:, 1]), HIP[1] + THIGH_OFFSET, atol=1e-4)
    assert np.all((robot.joint_lower <= robot.home_joints) & (robot.home_joints <= robot.joint_upper))
    assert any("home pose computed" in note for note in robot.notes)


@pytest.mark.parametrize(
    ("pose", "used"), [(HOME, True), ((0.0, 0.0, -0.7), False), ((0.0, 3.0, -2.7), False)]
)
def test_a_keyframe_is_the_home_pose_if_it_stands(pose, used, tmp_path):
    key = f'<keyframe><key qpos="0 0 0.3 1 0 0 0 {" ".join(str(v) for v in pose * 4)}"/></keyframe>'
    robot = load_robot(written(tmp_path, Make(tail=key).text()))
    assert np.allclose(robot.home_joints, np.tile(pose, 4)) == used
    assert any("keyframe" in note for note in robot.notes) != used


def test_a_range_that_lets_it_stand_high_only_gives_a_higher_pose(tmp_path):
    robot = load_robot(written(tmp_path, Make(ranges=((-0.5, 0.5), (0.1, 0.6), (-1.0, -0.2))).text()))
    assert np.all((robot.joint_lower <= robot.home_joints) & (robot.home_joints <= robot.joint_upper))
    assert robot.standing_height(robot.home_joints) > 0.35


def test_a_robot_whose_front_legs_are_behind_is_turned_and_it_is_said(tmp_path):
    text = Make().text()
    for one, other in (("FL", "XX"), ("RR", "FL"), ("XX", "RR"), ("FR", "XX"), ("RL", "FR"), ("XX", "RL")):
        text = text.replace(one, other)
    own = own_robot(written(tmp_path, text))
    assert own.layout.forward == "-x"
    assert own.model.joint_names[0] == "FL_joint0"
    assert any("faces along -x" in note for note in own.model.notes)
    is_the_made_robot(own.model, signs=(-1, -1, -1))
    assert max(check_own_robot(own).differences.values()) < 1e-9


def test_a_robot_that_faces_sideways_is_turned_and_it_is_said(tmp_path):
    own = own_robot(written(tmp_path, Make(frame=f'quat="{row(QUARTER)}"').text()))
    assert own.layout.forward == "+y"
    assert any("faces along +y" in note for note in own.model.notes)
    is_the_made_robot(own.model)
    assert max(check_own_robot(own).differences.values()) < 1e-9


def test_a_base_frame_far_from_the_legs_is_moved_to_them_and_it_is_said(tmp_path):
    own = own_robot(written(tmp_path, Make(frame='pos="0 0 0.5"').text()))
    is_the_made_robot(own.model)
    assert any("0.500 m below the hips" in note for note in own.model.notes)
    assert max(check_own_robot(own).differences.values()) < 1e-9


def test_an_arm_is_held_still_at_an_angle_within_its_range_and_said(tmp_path):
    own = own_robot(written(tmp_path, Make(extra=ARM).text()))
    assert own.layout.held == {"shoulder": 0.0, "elbow": pytest.approx(0.2)}
    assert own.model.mass == pytest.approx(MASS + 0.8, abs=1e-4)
    assert any("held still" in note and "elbow at 0.2" in note for note in own.model.notes)
    assert max(check_own_robot(own).differences.values()) < 1e-9


def test_joints_without_a_motor_are_held_where_twelve_have_one(tmp_path):
    make = Make(tail=Make().motors())
    toe = '<body name="{leg}_toe" pos="0 0 -0.2"><inertial pos="0 0 0" mass="0.01" diaginertia="1e-5 1e-5 1e-5"/>'
    text = re.sub(
        r'(<geom type="sphere"[^>]*pos=")[^"]*("/>)',
        lambda m: (
            toe.format(leg="t")
            + f'<joint axis="0 1 0" range="-0.1 0.1"/>{m.group(1)}0 0 0{m.group(2)}</body>'
        ),
        make.text(),
    ).replace('name="t_toe"', "")
    own = own_robot(written(tmp_path, text))
    assert len(own.layout.held) == 4
    rng = np.random.default_rng(1)
    q = rng.uniform(-1, 1, 12)
    np.testing.assert_allclose(own.model.foot_positions(q)[0], foot_by_hand(q[:3], 1, 1), atol=1e-9)
    # without motors the first three of four joints are a leg's
    plain = own_robot(written(tmp_path, text.replace(Make().motors(), "")))
    np.testing.assert_allclose(plain.model.foot_positions(q)[0], foot_by_hand(q[:3], 1, 1), atol=1e-9)
    assert len(plain.layout.held) == 4
    # where one leg has fewer than the others, nobody knows
    less = text.replace('<joint axis="0 1 0" range="-0.1 0.1"/>', "", 1).replace(Make().motors(), "")
    with pytest.raises(ValueError, match="3 hinges from 'FL_joint0', 4 hinges from 'FR_joint0'"):
        load_robot(written(tmp_path, less))


@pytest.mark.parametrize(
    "foot",
    [
        ("continuous", '<axis xyz="0 1 0"/>'),
        ("revolute", '<axis xyz="0 1 0"/><limit lower="-0.5" upper="0.5" effort="10" velocity="5"/>'),
        ("prismatic", '<axis xyz="0 0 1"/><limit lower="-0.02" upper="0.02" effort="10" velocity="5"/>'),
    ],
    ids=["wheels", "ankles", "springs"],
)
def test_what_follows_the_first_three_joints_of_every_leg_is_held_still_and_said(foot, tmp_path):
    text = urdf()
    for leg in ("FL", "FR", "RL", "RR"):
        fixed = joint(f"{leg}_link2", f"{leg}_toe", "fixed", (0.0, 0.0, -CALF))
        kind, inside = foot
        text = text.replace(
            fixed, joint(f"{leg}_link2", f"{leg}_toe", kind, (0.0, 0.0, -CALF), f"{leg}_more", inside)
        )
        weight = f"{inertial(0.01, (0.0, 0.0, 0.0), (1e-5, 1e-5, 1e-5))}<collision>"
        text = text.replace(f'<link name="{leg}_toe"><collision>', f'<link name="{leg}_toe">{weight}')
    own = own_robot(written(tmp_path, text, "made.urdf"))
    assert own.layout.held == dict.fromkeys([f"{leg}_more" for leg in ("FL", "FR", "RL", "RR")], 0.0)
    assert any(
        note.startswith("legs of more than three joints walk with the first three")
        for note in own.model.notes
    )
    q = np.random.default_rng(1).uniform(-0.5, 0.5, 12)
    np.testing.assert_allclose(own.model.foot_positions(q)[0], foot_by_hand(q[:3], 1, 1), atol=1e-9)
    assert max(check_own_robot(own).differences.values()) < 1e-9


def test_two_hinges_of_one_body_are_two_joints_of_a_leg(tmp_path):
    text = Make().text()
    for leg in ("FL", "FR", "RL", "RR"):
        start = text.index(f'<body name="{leg}_link1"')
        end = text.index("<inertial", start)
        second = text.index("<joint", start)
        close = text.index("/>", second) + 2
        moved = text[second:close].replace(
            "<joint", f'<joint pos="0 {THIGH_OFFSET if leg[1] == "L" else -THIGH_OFFSET} 0"'
        )
        shift = f'<body name="{leg}_link1" pos="0 {THIGH_OFFSET if leg[1] == "L" else -THIGH_OFFSET} 0">'
        text = text[:start] + moved + shift + text[end:second] + text[close:]
    own = own_robot(written(tmp_path, text))
    is_the_made_robot(own.model)
    assert max(check_own_robot(own).differences.values()) < 1e-8


def test_meshes_are_read_and_their_bytes_appear_nowhere(tmp_path):
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes" / "pad.stl").write_bytes(stl())
    make = Make(
        head='<compiler meshdir="meshes"/><asset><mesh name="pad" file="pad.stl"/></asset>',
        extra='<geom type="mesh" mesh="pad" contype="0" conaffinity="0"/>',
        foot="mesh",
    )
    robot = load_robot(written(tmp_path, make.text()))
    feet = robot.foot_positions(np.zeros(12))
    lowest = feet[:, 2] - robot.foot_radius
    np.testing.assert_allclose(lowest, -THIGH - CALF - 0.02, atol=1e-5)
    np.testing.assert_allclose(feet[:, 1], [0.15, -0.15, 0.15, -0.15], atol=1e-6)
    assert len(repr(robot)) < 3000
    again = pickle.loads(pickle.dumps(robot))
    assert len(pickle.dumps(robot)) < 100_000
    drawn = again.load_mujoco(drawn=True)
    assert drawn.nmesh == 1
    assert drawn.body_subtreemass[1] == pytest.approx(robot.mass)


@pytest.mark.parametrize("file", ["gone.stl", "shape.dae", "broken.stl", "ascii.stl", "empty.obj"])
def test_meshes_that_cannot_be_read_are_left_out_and_named(file, tmp_path):
    for name, content in (
        ("shape.dae", b"<COLLADA/>"),
        ("broken.stl", b"\x00" * 30),
        ("ascii.stl", b"solid x\nfacet normal 0 0 1\nendsolid x\n"),
        ("empty.obj", b""),
    ):
        (tmp_path / name).write_bytes(content)
    make = Make(
        head=f'<asset><mesh name="skin" file="{file}"/></asset>', extra='<geom type="mesh" mesh="skin"/>'
    )
    robot = load_robot(written(tmp_path, make.text()))
    is_the_made_robot(robot)
    assert any(file in note and len(note) < 300 for note in robot.notes)


def test_included_files_are_read_and_missing_ones_named(tmp_path):
    text = Make().text().replace("<mujoco>", "<mujoco model='part'>")
    written(tmp_path, text, "part.xml")
    box = '<worldbody><geom type="box" size="1 1 0.1" pos="3 0 0"/></worldbody>'
    scene = f'<mujoco><include file="part.xml"/>{box}</mujoco>'
    is_the_made_robot(load_robot(written(tmp_path, scene, "scene.xml")))
    with pytest.raises(ValueError, match=r"scene\.xml.*nowhere\.xml"):
        load_robot(written(tmp_path, scene.replace("part.xml", "nowhere.xml"), "scene.xml"))


def test_a_rolling_ball_beside_the_robot_is_no_part_of_it(tmp_path):
    ball = '<body pos="2 0 1"><freejoint/><geom type="sphere" size="0.1"/></body></worldbody>'
    is_the_made_robot(load_robot(written(tmp_path, Make().text().replace("</worldbody>", ball))))


def test_of_a_foot_that_has_no_shape_the_frame_is_used_and_said(tmp_path):
    robot = load_robot(written(tmp_path, Make(foot="none").text()))
    is_the_made_robot(robot, radius=robot.foot_radius)
    assert 0.01 < robot.foot_radius < 0.04
    assert any("frame" in note for note in robot.notes)


# ---- URDF, with Pinocchio's own reader of it as the oracle


def agrees_with_pinocchios_reader(path, robot, tolerance=1e-9):
    model = pinocchio.buildModelFromUrdf(str(path), pinocchio.JointModelFreeFlyer())
    data, own = model.createData(), robot.load_pinocchio()
    own_data, where = own.createData(), robot.pinocchio_index(own)
    joints = [model.joints[model.getJointId(name)] for name in robot.joint_names]
    rng = np.random.default_rng(2)
    for _ in range(5):
        angles = rng.uniform(-1, 1, 12)
        q, other = pinocchio.neutral(model), pinocchio.neutral(own)
        for item, angle in zip(joints, angles, strict=True):
            if item.nq == 2:  # a joint without end is kept as cosine and sine
                q[item.idx_q : item.idx_q + 2] = np.cos(angle), np.sin(angle)
            else:
                q[item.idx_q] = angle
        other[where.q] = angles
        pinocchio.forwardKinematics(model, data, q)
        pinocchio.updateFramePlacements(model, data)
        trunk = data.oMf[model.getFrameId("base")]
        feet = [trunk.actInv(data.oMf[model.getFrameId(f"{leg}_toe")].translation) for leg in robot.legs]
        np.testing.assert_allclose(robot.foot_positions(angles), feet, atol=tolerance)
        base = range(6) if np.allclose(trunk.translation, 0.0) else ()  # the base's rows depend on its frame
        order = [*base, *(item.idx_v for item in joints)]
        mine = [*base, *where.v]
        masses = []
        for m, d, x in ((model, data, q), (own, own_data, other)):
            upper = np.triu(pinocchio.crba(m, d, x))
            masses.append(upper + np.triu(upper, 1).T)
        theirs = masses[0][np.ix_(order, order)]
        ours = masses[1][np.ix_(mine, mine)] - np.diag(own.armature[mine])
        np.testing.assert_allclose(ours, theirs, atol=1e-5)  # what has no mass gets a millionth of a kilogram


@pytest.mark.parametrize(
    "text",
    [
        urdf(),
        urdf(base_inertial=False),
        urdf(continuous=True),
        urdf(
            root='<gazebo/><transmission name="t"/><mujoco><compiler fusestatic="true" discardvisual="true"/></mujoco>'
        ),
        urdf(root='<link name="world"/>' + joint("world", "base", "floating", (0, 0, 0))),
        urdf(root='<link name="footprint"/>' + joint("footprint", "base", "fixed", (0, 0, 0.4))),
        urdf().replace(' type="revolute"', ' type="revolute" ', 1),
    ],
    ids=["plain", "massless-root", "continuous", "extras", "floating", "footprint", "spaced"],
)
def test_a_urdf_is_the_robot_that_pinocchio_reads(text, tmp_path):
    path = written(tmp_path, text, "robot.urdf")
    robot = load_robot(path)
    is_the_made_robot(robot)
    agrees_with_pinocchios_reader(path, robot)
    np.testing.assert_allclose(robot.torque_limit, 30.0)
    np.testing.assert_allclose(robot.speed_limit, 25.0)
    assert np.isinf(robot.joint_upper).sum() == (4 if "continuous" in text else 0)


def test_a_package_is_found_above_the_urdf_and_in_ros_package_path(tmp_path, monkeypatch):
    package = tmp_path / "my_robot_description"
    (package / "meshes").mkdir(parents=True)
    (package / "urdf").mkdir()
    (package / "meshes" / "skin.stl").write_bytes(stl(0.05))
    text = urdf(mesh="package://my_robot_description/meshes/skin.stl")
    inside = load_robot(written(package / "urdf", text, "robot.urdf"))
    assert not any("skin.stl" in note for note in inside.notes)
    assert inside.load_mujoco(drawn=True).nmesh == 1
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    path = written(elsewhere, text.replace("my_robot_description", "nowhere"), "robot.urdf")
    assert any("skin.stl" in note for note in load_robot(path).notes)
    path = written(elsewhere, text, "robot.urdf")
    monkeypatch.setenv("ROS_PACKAGE_PATH", str(tmp_path))
    assert not any("skin.stl" in note for note in load_robot(path).notes)


def test_a_urdf_without_limits_gets_defaults_that_are_said(tmp_path):
    robot = load_robot(written(tmp_path, urdf(limits='effort="0" velocity="0"'), "robot.urdf"))
    assert np.all(robot.torque_limit > 10)
    assert np.all(robot.speed_limit > 10)
    assert any("torque limit" in note and "speed limit" in note for note in robot.notes)


@pytest.mark.parametrize(
    ("joint", "gear", "ctrl", "limit"), [("-10 30", 1, 50, 10), ("-30 30", 9, 3, 27), ("-20 20", 9, 3, 20)]
)
def test_the_least_of_what_joint_and_motor_say_is_the_torque_limit_both_ways(
    joint, gear, ctrl, limit, tmp_path
):
    motors = "".join(
        f'<motor joint="{leg}_joint{k}" gear="{gear}" ctrlrange="{-ctrl} {ctrl}"/>'
        for leg in LEGS
        for k in range(3)
    )
    text = Make(tail=f"<actuator>{motors}</actuator>").text().replace("-30 30", joint)
    assert read_own_robot(written(tmp_path, text)).skeleton.torque.tolist() == pytest.approx([limit] * 12)


@pytest.mark.parametrize("left", ["", '<motor joint="RR_joint2" gear="0" ctrlrange="-5 5"/>'])
def test_a_joint_that_no_motor_drives_beside_others_that_have_one_is_said(left, tmp_path):
    motors, one = Make().motors("motor", 'ctrlrange="-5 5"'), '<motor joint="RR_joint2" ctrlrange="-5 5"/>'
    assert one in motors
    own = own_robot(written(tmp_path, Make(tail=motors.replace(one, left)).text()))
    assert any("no motor of the file drives RR_joint2: taken as driven" in note for note in own.model.notes)
    whole = own_robot(written(tmp_path, Make(tail=motors).text()))
    assert not any("no motor" in note for note in whole.model.notes)


def test_a_processed_xacro_that_only_names_its_namespace_is_a_urdf(tmp_path):
    text = urdf().replace('<robot name="made">', '<robot name="made" xmlns:xacro="http://ros.org/xacro">')
    is_the_made_robot(load_robot(written(tmp_path, text, "robot.urdf")))


@pytest.mark.parametrize("names", ["{leg}_{part}", "{part}", "floor {leg} {part} <&>"])
def test_joints_may_be_called_as_the_model_calls_other_things(names, tmp_path):
    text = Make().text()
    for k, part in enumerate(("hip", "thigh", "foot")):
        for leg in ("FL", "FR", "RL", "RR"):
            called = names.format(leg=leg, part=part) if "leg" in names else f"{part}_{leg}"
            text = text.replace(f'"{leg}_joint{k}"', quoteattr(called))
    own = own_robot(written(tmp_path, text))
    is_the_made_robot(own.model)
    assert max(check_own_robot(own).differences.values()) < 1e-9


def test_a_foot_that_touches_by_contact_pairs_alone_is_a_foot(tmp_path):
    text = Make(geom='contype="0" conaffinity="0"').text()
    for leg in ("FL", "FR", "RL", "RR"):
        text = text.replace('<geom type="sphere" size', f'<geom name="{leg}_ball" type="sphere"  size', 1)
    pairs = "".join(f'<pair geom1="{leg}_ball" geom2="box"/>' for leg in ("FL", "FR", "RL", "RR"))
    text = text.replace('<geom type="box"', '<geom name="box" type="box"')
    is_the_made_robot(load_robot(written(tmp_path, text)))
    is_the_made_robot(
        load_robot(written(tmp_path, text.replace("</mujoco>", f"<contact>{pairs}</contact></mujoco>")))
    )
