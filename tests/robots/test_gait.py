"""Gaits: who stands when."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebo.robots.quadruped.gait import GAITS, Gait, gait_named

LEGS = ("FL", "FR", "RL", "RR")
TIMES = np.arange(0, 6.0, 0.002) + 0.001


def stances(gait):
    return np.array([gait.stance(t, LEGS) for t in TIMES])


def test_trot_moves_diagonal_pairs_together_and_one_pair_always_stands():
    stance = stances(GAITS["trot"])
    np.testing.assert_array_equal(stance[:, 0], stance[:, 3])
    np.testing.assert_array_equal(stance[:, 1], stance[:, 2])
    np.testing.assert_array_equal(stance[:, 0], ~stance[:, 1])


def test_crawl_keeps_three_feet_down_and_lifts_every_leg_in_turn():
    stance = stances(GAITS["crawl"])
    assert np.all(stance.sum(axis=1) == 3)
    lifted = np.argmin(stance, axis=1)
    order = [LEGS[leg] for leg in lifted[np.flatnonzero(np.diff(lifted, prepend=-1))]]
    start = order.index("RL")
    assert order[start : start + 4] == ["RL", "FL", "RR", "FR"]


def test_flying_trot_has_flight_phases_and_pronk_moves_all_feet_together():
    assert 0.15 < np.mean(stances(GAITS["flying-trot"]).sum(axis=1) == 0) < 0.25
    stance = stances(GAITS["pronk"])
    assert np.all((stance.sum(axis=1) == 4) | (stance.sum(axis=1) == 0))


gaits = st.builds(
    Gait,
    st.floats(0.05, 1.0),
    st.floats(0.1, 3.0),
    st.floats(-2.0, 2.0),
    st.floats(-2.0, 2.0),
    st.floats(-2.0, 2.0),
)


@settings(deadline=None)
@given(gaits)
def test_every_foot_stands_for_the_duty_factor_of_a_stride(gait):
    times = (np.arange(400) + 0.5) / 400 * gait.stride_duration
    share = np.mean([gait.stance(t, LEGS) for t in times], axis=0)
    np.testing.assert_allclose(share, gait.duty_factor, atol=1.01 / 400)
    assert gait.stance_duration + gait.swing_duration == pytest.approx(gait.stride_duration)


@settings(deadline=None)
@given(gaits, st.floats(0, 10), st.floats(0.005, 0.1))
def test_the_schedule_is_the_stance_at_the_middle_of_every_step(gait, time, step):
    schedule = gait.schedule(time, step, 10, LEGS)
    for k in range(10):
        phases = gait.phases(time + (k + 0.5) * step, LEGS)
        clear = np.abs(phases - gait.duty_factor) > 1e-6
        np.testing.assert_array_equal(schedule[k][clear], (phases < gait.duty_factor)[clear])


@pytest.mark.parametrize(
    ("numbers", "word"),
    [
        ((0, 0.5, 0, 0, 0), "duty"),
        ((1.1, 0.5, 0, 0, 0), "duty"),
        ((0.5, 0, 0, 0, 0), "stride"),
        ((0.5, 0.5, float("nan"), 0, 0), "offset_fl"),
    ],
)
def test_impossible_gaits_are_refused(numbers, word):
    with pytest.raises(ValueError, match=word):
        Gait(*numbers)


def test_an_unknown_gait_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="trot, crawl, flying-trot, pronk"):
        gait_named("gallop")
