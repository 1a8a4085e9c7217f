"""Robot files: written by `safebo robots add`, edited by people, known by name to walks and studies."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from made_robots import Make, urdf
from typer.testing import CliRunner

from safebo.robots.cli import app
from safebo.robots.descriptions.model import load_robot, own_robot
from safebo.robots.descriptions.robot_file import robot_file_text
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.quadruped.gains import robot_gains

RUN = CliRunner()
ARM = """<body name="arm0" pos="0.1 0 0.06"><inertial pos="0 0 0.1" mass="0.5" diaginertia="1e-3 1e-3 1e-3"/>
<joint name="shoulder" axis="0 1 0" range="-1 1"/></body>"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with a description, and a home of its own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("SAFEBO_ROBOTS", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rex.xml").write_text(Make(extra=ARM).text())
    return tmp_path


def run(*arguments):
    return RUN.invoke(app, list(arguments))


def test_a_robot_that_was_added_is_the_same_robot_by_its_name(place):
    out = run("add", "rex.xml", "--name", "rex")
    assert out.exit_code == 0, out.output
    path = place / "data" / "safebo" / "robots" / "rex.yaml"
    assert str(path) in out.output.replace("\n", "")
    direct, named = load_robot("rex.xml"), load_robot("rex")
    assert named.name == "rex"
    for field in (
        "chains",
        "torque_limit",
        "speed_limit",
        "joint_lower",
        "joint_upper",
        "home_joints",
        "nominal_height",
        "foot_radius",
        "mass",
        "size",
    ):
        np.testing.assert_allclose(getattr(named, field), getattr(direct, field), rtol=1e-7, err_msg=field)
    np.testing.assert_allclose(named.load_mujoco().dof_armature, direct.load_mujoco().dof_armature, rtol=1e-7)
    out = run("walk", "rex", "--seconds", "0.5", "--velocity", "0.4")
    assert out.exit_code == 0, out.output
    assert "rex trot 0.5 s: no fall" in out.output
    assert "rex" in run("list").output
    assert LeggedEvaluator({"robot": "rex"}).robot.name == "rex"


def test_a_project_has_its_own_robots_and_they_come_first(place):
    assert run("add", "rex.xml", "--name", "rex").exit_code == 0
    out = run("add", "rex.xml", "--name", "rex", "--to", "robots")
    assert out.exit_code == 0, out.output
    text = (place / "robots" / "rex.yaml").read_text()
    (place / "robots" / "rex.yaml").write_text(text.replace("friction: 0.7", "friction: 0.3"))
    assert own_robot("rex").skeleton.foot_friction == 0.3
    out = run("add", "rex.xml", "--to", "elsewhere")
    assert "elsewhere/rex.yaml" in out.output
    assert own_robot("elsewhere/rex.yaml").skeleton.foot_friction == pytest.approx(0.7)
    assert run("add", "rex.xml", "--to", "elsewhere").exit_code == 2
    assert run("add", "rex.xml", "--to", "elsewhere", "--replace").exit_code == 0


def test_what_a_person_writes_goes_over_the_description(place):
    (place / "mine.yaml").write_text(
        """
description: rex.xml
forward: -x
held: {shoulder: 0.5}
feet: {radius: 0.03, friction: 0.05}
actuators:
  torque_limit: 20
  speed_limit: [10, 11, 12]
  armature: {FL: [1e-3, 2e-3, 3e-3], FR: 0.01, RL: 0.01, RR: 0.01}
  damping: 0
  friction: 0.3
pose: {home: [0.1, -0.8, 1.5], height: 0.28}
gains: {scale: {mass: 2, length: 1}, values: {joint.hip.kp: 33}}
"""
    )
    with pytest.raises(ValueError, match="does not stand"):
        load_robot("mine.yaml")
    text = (place / "mine.yaml").read_text().replace("[0.1, -0.8, 1.5]", "[0.0, 0.8, -1.5]")
    (place / "mine.yaml").write_text(text.replace("forward: -x", "forward: +x"))
    own = own_robot("mine.yaml")
    robot, bones = own.model, own.skeleton
    assert robot.name == "mine"
    assert own.layout.held == {"shoulder": 0.5}
    assert (robot.foot_radius, bones.foot_friction, robot.nominal_height) == (0.03, 0.05, 0.28)
    assert np.all(robot.torque_limit == 20.0)
    assert robot.speed_limit.tolist() == [10.0, 11.0, 12.0] * 4
    assert bones.armature.tolist() == [1e-3, 2e-3, 3e-3] + [0.01] * 9
    assert not bones.damping.any()
    gains = robot_gains(robot)
    assert gains["joint.hip.kp"] == 33.0
    assert gains["joint.thigh.kp"] == pytest.approx(120.0)
    assert not any("Go1 to scale" in note for note in robot.notes)
    (place / "mine.yaml").write_text("description: rex.xml\nforward: -x\n")
    turned = own_robot("mine.yaml")
    assert turned.model.joint_names[0] == "RR_joint0"
    (place / "mine.yaml").write_text(robot_file_text(turned, "mine", place))
    assert own_robot("mine.yaml").layout.forward == "-x"
    assert yaml.safe_load((place / "mine.yaml").read_text())["description"] == "rex.xml"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", ["expected a mapping"]),
        ("name: a", ["description", "path of an MJCF or URDF"]),
        ("description: nowhere.urdf", ["description", "nowhere.urdf", "existing"]),
        ("descripton: rex.xml", ["descripton", "did you mean 'description'"]),
        ("description: rex.xml\nforward: north", ["forward", "'north'", "+x, +y, -x, -y"]),
        ("description: rex.xml\nfeet: {radius: -1}", ["feet.radius", "-1", "0.0001 to 1 m"]),
        ("description: rex.xml\nfeet: {friction: soft}", ["feet.friction", "'soft'"]),
        ("description: rex.xml\nfeet: {size: 1}", ["feet", "'size'", "radius"]),
        ("description: rex.xml\nactuators: {torque_limit: 0}", ["actuators.torque_limit", "N m"]),
        (
            "description: rex.xml\nactuators: {torque_limit: [1, 2]}",
            ["actuators.torque_limit", "hip, thigh, calf"],
        ),
        (
            "description: rex.xml\nactuators: {speed_limit: {FL: 1}}",
            ["actuators.speed_limit", "FL, FR, RL, RR"],
        ),
        ("description: rex.xml\nactuators: {damping: true}", ["actuators.damping", "true"]),
        ("description: rex.xml\njoints: {FL: [a]}", ["joints", "FL, FR, RL, RR"]),
        (
            "description: rex.xml\njoints: {FL: [a, b], FR: 1, RL: 2, RR: 3}",
            ["joints.FL", "three joint names"],
        ),
        (
            "description: rex.xml\njoints: {FL: [a, b, c], FR: [d, e, f], RL: [g, h, i], RR: [j, k, l]}",
            ["no joint 'a'", "joints.FL", "FL_joint0"],
        ),
        ("description: rex.xml\nheld: {wing: 1}", ["'wing'", "held"]),
        ("description: rex.xml\nheld: {shoulder: up}", ["held.shoulder", "'up'", "a number"]),
        ("description: rex.xml\npose: {home: 1000}", ["pose.home", "rad"]),
        ("description: rex.xml\npose: {height: .nan}", ["nan"]),
        ("description: rex.xml\ngains: {scale: 2}", ["gains.scale", "mass and length"]),
        ("description: rex.xml\nname: 'a b'", ["name", "'a b'"]),
        ("description: [", ["mine.yaml"]),
    ],
)
def test_a_wrong_robot_file_is_refused_with_file_key_value_and_what_is_allowed(text, words, place):
    (place / "mine.yaml").write_text(text)
    out = run("check", "mine.yaml")
    assert out.exit_code == 2
    said = " ".join(out.output.split())
    assert "mine.yaml" in said or "rex.xml" in said
    for word in words:
        assert word in said
    assert "Traceback" not in said


def test_joints_by_leg_are_taken_as_they_are_named(place):
    legs = {"FL": "RR", "FR": "RL", "RL": "FR", "RR": "FL"}
    rows = "\n".join(
        f"  {leg}: [{', '.join(f'{other}_joint{k}' for k in range(3))}]" for leg, other in legs.items()
    )
    (place / "mine.yaml").write_text(f"description: rex.xml\nforward: -x\njoints:\n{rows}\n")
    assert load_robot("mine.yaml").joint_names[0] == "RR_joint0"
    swapped = rows.replace("RR_joint0, RR_joint1", "RR_joint1, RR_joint0")
    (place / "mine.yaml").write_text(f"description: rex.xml\njoints:\n{swapped}\n")
    with pytest.raises(ValueError, match="'RR_joint0' does not come after 'RR_joint1'"):
        load_robot("mine.yaml")


def test_check_says_what_was_found_and_fails_for_what_is_no_quadruped(place):
    out = run("check", "rex.xml")
    assert out.exit_code == 0, out.output
    said = " ".join(out.output.split())
    for words in (
        "14.50 kg",
        "faces along +x",
        "FL hip FL_joint0: -0.900 .. 0.900 rad",
        "agree to",
        "held still: shoulder at 0",
        "taken from the Go1 to scale: speed limit",
        "robots add rex.xml --name NAME",
    ):
        assert words in said
    (place / "two.xml").write_text(Make(legs={"L": (0, 1), "R": (0, -1)}).text())
    out = run("check", "two.xml")
    assert out.exit_code == 2
    assert "found 2 limbs" in out.output
    (place / "strong.urdf").write_text(urdf(limits='effort="5000" velocity="30"'))
    assert "look like placeholders" in " ".join(run("check", "strong.urdf").output.split())
    (place / "weak.urdf").write_text(urdf(limits='effort="3" velocity="30"'))
    assert "to carry the robot on two legs" in " ".join(run("check", "weak.urdf").output.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", "rex.xml", "--name", "go1"], "comes with this package"),
        (["add", "rex.xml", "--name", "../x"], "letters, digits"),
        (["add", "nowhere.xml"], "no such file"),
        (["check", "rexx"], "no robot of that name"),
        (["walk", "go3"], "did you mean 'go2'?"),
        (["check", "."], "is a folder"),
        (["walk", "rex.xml", "--set", "joint.hip.kp=-1"], "outside"),
    ],
)
def test_wrong_calls_are_refused_in_a_sentence(arguments, words, place):
    out = run(*arguments)
    assert out.exit_code == 2, out.output
    assert words in " ".join(out.output.split())
    assert "Traceback" not in out.output
