"""Files that are no robot for this, and figures that can be computed with but hardly any robot has."""

from __future__ import annotations

import re

import pytest
from made_robots import MASS, Make, row, urdf, written

from safebo.robots.descriptions.check import check_own_robot
from safebo.robots.descriptions.model import load_robot
from safebo.robots.descriptions.own import read_own_robot
from safebo.robots.descriptions.plausible import implausible


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('lower="-0.9" upper="0.9"', 'lower="0.9" upper="-0.9"', "lower 0.9 is above upper -0.9"),
        ('effort="30', 'effort="-30', "effort is -30: it cannot be below 0"),
        ('ixx="', 'ixx="inf" was="', "are infinite"),
        ('name="RR_joint2"', 'name="RL_joint2"', "two joints are called 'RL_joint2'"),
    ],
)
def test_what_mujoco_would_take_in_silence_of_a_urdf_is_refused(old, new, words, tmp_path):
    text = urdf()
    assert old in text
    with pytest.raises(ValueError, match=words):
        load_robot(written(tmp_path, text.replace(old, new, 1), "robot.urdf"))


def test_a_urdf_whose_joints_mimic_or_have_no_range_says_so(tmp_path):
    text = urdf().replace('lower="-0.9" upper="0.9" ', "")
    text = text.replace('type="revolute">', 'type="revolute"><mimic joint="other"/>', 1)
    notes = load_robot(written(tmp_path, text, "robot.urdf")).notes
    assert "joints without a range turn without end: FL_joint0, FR_joint0, RL_joint0, RR_joint0" in notes
    assert "left out: mimic of joints, which move freely: FL_joint0" in notes


def test_units_of_joint_ranges_and_speeds_are_looked_at(tmp_path):
    fast = urdf().replace('velocity="25', 'velocity="1430')
    assert "that of built robots 7 to 50" in " ".join(check_own_robot(own_robot_at(tmp_path, fast)).problems)
    wide = urdf().replace('lower="-0.9" upper="0.9"', 'lower="-51" upper="51"')
    assert "ranges have to be in radians" in " ".join(check_own_robot(own_robot_at(tmp_path, wide)).problems)


def own_robot_at(folder, text):
    return read_own_robot(written(folder, text, "robot.urdf"))


def _heavier(factor):
    """The made robot with all masses and moments of inertia times a factor."""

    def scaled(found):
        values = [float(value) * factor for value in found[2].split()]
        return f'{found[1]}="{" ".join(map(str, values))}"'

    return re.sub(r'(mass|diaginertia)="([^"]+)"', scaled, Make().text())


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ('<option gravity="0 0 -1.62"/>', "gravity of 0 0 -1.62 m/s^2; walks have 9.81 m/s^2 along -z"),
        ('<option gravity="0 -9.81 0"/>', "gravity of 0 -9.81 0 m/s^2"),
        ('<option><flag gravity="disable"/></option>', "gravity of 0 0 0 m/s^2"),
        ('<option density="1000"/>', "what the file moves in (option density, viscosity)"),
        ('<option wind="0 3 0"/>', "left out: wind"),
    ],
)
def test_forces_of_a_file_that_a_walk_has_not_are_said(head, words, tmp_path):
    assert not any(
        "left out" in note for note in read_own_robot(written(tmp_path, Make().text())).model.notes
    )
    said = [
        note
        for note in read_own_robot(written(tmp_path, Make(head=head).text())).model.notes
        if "left out" in note
    ]
    assert len(said) == 1
    assert words in said[0]


def test_links_that_float_in_the_file_weigh_what_they_weigh_and_it_is_said(tmp_path):
    text = Make().text().replace('<body name="', '<body gravcomp="1" name="')
    robot = read_own_robot(written(tmp_path, text)).model
    assert any("gravcomp, which carries links" in note for note in robot.notes)
    assert not robot.load_mujoco().body_gravcomp.any()
    assert robot.mass == pytest.approx(MASS, abs=1e-4)


def _scaled_inertia(factor):
    def scaled(found):
        return f'diaginertia="{" ".join(str(float(x) * factor) for x in found[1].split())}"'

    return re.sub(r'diaginertia="([^"]+)"', scaled, Make().text())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (_heavier(20.0), "280 kg with legs of 0.42 m; built quadrupeds with such legs weigh 5.2 to 23 kg"),
        (_heavier(1e-2), "lengths have to be in metres, masses in kg"),
        (_scaled_inertia(1e3), "they have to be in kg m^2"),
        (_scaled_inertia(1e-6), "they have to be in kg m^2"),
        (Make().text().replace('mass="0.7"', 'mass="7"', 1), "leg FL weighs 8.3 kg, leg FR 2 kg"),
        (Make(geom='friction="0 0 0"').text(), "friction of the feet is 0: they slip"),
        (
            Make().text().replace('frictionloss="0.2"', 'frictionloss="100"'),
            "takes more than half of its 30 N m",
        ),
        (Make().text().replace('damping="0.1"', 'damping="1000"'), "(1000 N m s/rad, at 1 rad/s) takes more"),
    ],
)
def test_figures_that_hardly_any_robot_has_are_said(text, words, tmp_path):
    found = implausible(read_own_robot(written(tmp_path, text)).skeleton)
    assert len(found) == 1
    assert words in found[0]
    assert implausible(read_own_robot(written(tmp_path, Make().text())).skeleton) == []


def test_lengths_in_millimetres_are_refused(tmp_path):
    text = Make().text()
    for pos in set(re.findall(r'pos="([^"]*)"', text)):
        text = text.replace(f'pos="{pos}"', f'pos="{row([1000 * float(v) for v in pos.split()])}"')
    with pytest.raises(ValueError, match="420 m long: lengths have to be in metres"):
        load_robot(written(tmp_path, text))


def corners(count):
    return {f"L{i}": (1 - i, side) for i in range(count // 2) for side in (1, -1)} if count == 2 else {
        f"{'LR'[side < 0]}{i}": (1 - i, side) for i in range(count // 2) for side in (1, -1)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (Make(legs=corners(6)).text(), "found 6 limbs: 3 hinges from 'L0_joint0'"),
        (Make(legs={"L": (0, 1), "R": (0, -1)}).text(), "found 2 limbs: 3 hinges from 'L_joint0'"),
        (Make().text().replace('name="FL_joint2"', 'type="slide" name="FL_joint2"'), "not all hinges"),
        (Make(legs={"A": (1, 0), "B": (0, 1), "C": (-1, 0), "D": (0, -1)}).text(), "four corners"),
        ("<mujoco/>", "no joint that moves"),
        ("<mujoco><worldbody><body>", "is not XML"),
        ("", "is not XML"),
        ("<sdf/>", "found <sdf>"),
        ("<mujocoinclude/>", "is a part that other files include"),
        (
            '<robot xmlns:xacro="http://ros.org/xacro"><xacro:include filename="a"/></robot>',
            r"run `xacro robot\.xml > robot\.urdf` first",
        ),
        ('<robot name="r"><link name="a"/></robot>', "no joint that moves"),
        (Make().text().replace('mass="0.2"', 'mass="oops"'), "MuJoCo cannot read it"),
        (Make().text().replace('mass="0.2"', 'mass="-0.2"'), "is -0.2 kg: it has to be above 0"),
        (Make(ranges=((-0.9, 0.9), (-0.1, 0.1), (-0.1, 0.0))).text(), "no pose was found in which it stands"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence_with_the_file(text, words, tmp_path):
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=words) as caught:
        load_robot(path)
    message = str(caught.value)
    assert message.startswith(f"robot {path}: ")
    assert "\n" not in message
    assert len(message) < 700
