"""The record of gains: names, bounds, composition, files."""

import numpy as np
import pytest
import yaml

from safebo.robots.quadruped.gains import GAINS, Gains

LEGS = ("FL", "FR", "RL", "RR")


def test_every_gain_is_described_and_its_default_lies_inside_its_bounds():
    assert len({gain.name for gain in GAINS}) == len(GAINS)
    for gain in GAINS:
        assert gain.lower <= gain.default <= gain.upper, gain.name
        assert gain.lower < gain.upper, gain.name
        assert gain.description, gain.name


def test_an_unknown_name_is_refused_with_the_closest_ones():
    with pytest.raises(ValueError, match=r"unknown gain 'joint.hipp.kp'; did you mean joint\.hip\.kp"):
        Gains({"joint.hipp.kp": 40})


@pytest.mark.parametrize("value", [-1.0, 1e9, float("nan"), float("inf"), "40", True, None])
def test_a_value_that_makes_no_sense_is_refused_by_name(value):
    with pytest.raises(ValueError, match=r"joint\.hip\.kp"):
        Gains({"joint.hip.kp": value})


def test_joint_gains_are_the_value_of_the_type_times_the_factor_of_the_leg():
    gains = Gains({"joint.thigh.kp": 30, "joint.rl.kp_scale": 2, "joint.fr.kd_scale": 0.5})
    kp, kd = gains.joint_stiffness(LEGS).reshape(4, 3), gains.joint_damping(LEGS).reshape(4, 3)
    base = np.array([gains["joint.hip.kp"], 30, gains["joint.calf.kp"]])
    np.testing.assert_allclose(kp, np.outer([1, 1, 2, 1], base))
    np.testing.assert_allclose(kd[1], 0.5 * kd[0])
    # the order of the legs is the caller's
    np.testing.assert_allclose(gains.joint_stiffness(("RL", "FL", "FR", "RR")).reshape(4, 3)[0], 2 * base)


def test_a_file_gives_its_gains_and_what_is_beside_them_is_ignored(tmp_path):
    gains = Gains({"joint.hip.kp": 41.25, "mpc.weight.roll": 3})
    path = tmp_path / "best.yaml"
    for values in (gains.changed(), dict(gains)):
        path.write_text(yaml.safe_dump({"gains": values, "certified": True, "objective_mean": -3.0}))
        assert Gains.load(path) == gains


@pytest.mark.parametrize(
    "text", ["[1, 2]", "gain: {a: 1}", "gains: [1]", "gains: {joint.hp.kp: 3}", "a: b: c"]
)
def test_a_bad_file_is_refused_with_its_name(tmp_path, text):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"broken\.yaml"):
        Gains.load(path)
