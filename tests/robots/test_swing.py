"""Footholds and swing trajectories."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebo.robots.quadruped.swing import MAX_STEP, PEAK_SWING_SPEED, foothold, swing_point

START = np.array([0.1, -0.2, 0.023])


def point(phase, target, duration=0.25, apex=0.06, fastest=3.0):
    out = np.zeros((3, 3))
    swing_point(START, np.asarray(target, float), phase, duration, (apex, fastest), out[0], out[1], out[2])
    return out


def test_a_swing_leaves_and_lands_at_rest_and_clears_the_ground_by_the_apex():
    target = START + np.array([0.15, 0.02, -0.002])
    np.testing.assert_allclose(point(0, target), np.array([START, np.zeros(3), np.zeros(3)]), atol=1e-12)
    np.testing.assert_allclose(point(1, target), np.array([target, np.zeros(3), np.zeros(3)]), atol=1e-12)
    heights = [point(p, target)[0, 2] for p in np.linspace(0, 1, 201)]
    assert max(heights) == pytest.approx(START[2] + 0.06, abs=0.002)
    assert point(0.5, target)[0, 2] == pytest.approx(START[2] + 0.06 - 0.001)


@settings(deadline=None)
@given(st.floats(0.01, 0.99), st.floats(0.05, 0.5), st.floats(-0.2, 0.2), st.floats(0, 0.1))
def test_speed_and_acceleration_are_the_derivatives_of_the_path(phase, duration, way, apex):
    h = 1e-5
    target = START + np.array([way, -0.5 * way, -0.002])
    before, now, after = (point(phase + d, target, duration, apex) for d in (-h, 0, h))
    np.testing.assert_allclose((after[0] - before[0]) / (2 * h * duration), now[1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose((after[1] - before[1]) / (2 * h * duration), now[2], rtol=1e-3, atol=1e-3)


def test_a_foot_never_travels_faster_than_it_can():
    far = START + np.array([5.0, 0, 0])
    for fastest in (3.0, 1.2):
        assert point(1.0, far, duration=0.1, fastest=fastest)[0, 0] - START[0] == pytest.approx(0.1 * fastest)
    mean = point(1.0, START + np.array([0.2, 0, 0]))[0, 0] - START[0]
    peak = max(point(p, START + np.array([0.2, 0, 0]))[1, 0] for p in np.linspace(0, 1, 201))
    assert peak == pytest.approx(PEAK_SWING_SPEED * mean / 0.25, rel=1e-3)


def step(velocity, command, hip=(0.2, 0.1, 0.0), yaw=0.0, remaining=0.0, gain=0.15):
    return foothold(
        np.zeros(3),
        np.array(velocity, float),
        yaw,
        np.array(command, float),
        np.array(hip),
        remaining,
        0.25,
        gain,
    )


def test_a_foot_lands_ahead_of_the_hip_by_half_of_the_way_of_a_stance():
    np.testing.assert_allclose(step([0.5, 0, 0], [0.5, 0, 0]), [0.2 + 0.5 * 0.125, 0.1])
    np.testing.assert_allclose(step([0, 0, 0], [0, 0, 0], remaining=0.1), [0.2, 0.1])


def test_too_fast_a_body_is_caught_further_ahead_and_the_correction_is_clipped():
    assert step([0.7, 0, 0], [0.5, 0, 0])[0] - step([0.5, 0, 0], [0.5, 0, 0])[0] == pytest.approx(0.15 * 0.2)
    assert step([9.0, 0, 0], [0.5, 0, 0])[0] == pytest.approx(0.2 + MAX_STEP)


def test_turning_by_a_quarter_turns_the_foothold_with_it():
    ahead = step([0.5, 0, 0], [0.5, 0, 0])
    turned = step([0, 0.5, 0], [0.5, 0, 0], yaw=np.pi / 2)
    np.testing.assert_allclose(turned, [-ahead[1], ahead[0]], atol=1e-12)


def test_feet_of_a_turn_on_the_spot_land_on_the_circle_of_their_hip_ahead_of_it():
    out = step([0, 0, 0], [0, 0, 1.0], remaining=0.0)
    np.testing.assert_allclose(out, [0.2 - 0.125 * 0.1, 0.1 + 0.125 * 0.2])
