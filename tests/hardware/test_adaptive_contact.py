"""Adaptive contact behind the guardian: both ends have it or none."""

from __future__ import annotations

import numpy as np
import pytest

from safebo.hardware.errors import HardwareInputError
from safebo.hardware.guardian.bounds import quadruped_table
from safebo.hardware.guardian.options import ControllerKind, GuardianOptions
from safebo.hardware.guardian.walker import QuadrupedWalker, Walk
from safebo.hardware.link.key import make_key
from safebo.hardware.link.messages import Welcome
from safebo.hardware.tuning.preflight import same_table
from safebo.robots.descriptions.model import load_robot
from safebo.robots.quadruped.gait import GAITS
from safebo.robots.quadruped.interface import SensorReading


@pytest.mark.parametrize("guardian", [False, True])
@pytest.mark.parametrize("study", [False, True])
def test_a_guardian_of_the_other_kind_is_refused_in_words(guardian, study):
    ours, theirs = quadruped_table(adaptive_contact=study), quadruped_table(adaptive_contact=guardian)
    check = same_table(Welcome(table=theirs.identity, gains=len(theirs.names)), ours)
    assert check.passed == (guardian == study)
    if not check.passed:
        started = "started with --adaptive-contact" if guardian else "started without --adaptive-contact"
        assert started in check.message
        assert "adaptive_contact: true" in check.message


def test_other_gains_are_still_said_to_be_others():
    check = same_table(Welcome(table=7, gains=3), quadruped_table())
    assert not check.passed
    assert "another table of 3 gains" in check.message


def test_the_option_is_for_the_built_in_controller(tmp_path):
    file, key = tmp_path / "own.yaml", tmp_path / "link.key"
    make_key(key)
    relay = ControllerKind.RELAY
    options = GuardianOptions(key=key, adaptive_contact=True, controller=relay, controller_file=file)
    with pytest.raises(HardwareInputError, match="--adaptive-contact is for the built-in controller"):
        options.read()
    settings = GuardianOptions(key=key, adaptive_contact=True).read()
    assert settings.table.identity == quadruped_table(adaptive_contact=True).identity


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_guardians_walker_has_it(adaptive):
    robot = load_robot("go1")
    walker = QuadrupedWalker(robot, adaptive_contact=adaptive)
    reading = SensorReading(joint_position=robot.home_joints.copy())
    reading.linear_acceleration[:] = np.array([0.0, 0.0, 9.81])
    walker.begin(reading, Walk(GAITS["trot"], (0.0, 0.0, 0.0), 0.0, 0.0), {})
    walker.step(reading)
    assert (walker._active()._touch is not None) == adaptive
