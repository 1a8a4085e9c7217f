"""Gaits: who stands when."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebo.robots.descriptions.model import load_robot
from safebo.robots.quadruped.contact_timing import Contacts
from safebo.robots.quadruped.feet import Feet, FootParameters, measure_feet, update_feet
from safebo.robots.quadruped.gait import (
    GAITS,
    Gait,
    contact,
    gait_named,
    next_change,
    stance_phases,
    stance_time,
    stride_and_phase,
)
from safebo.robots.quadruped.interface import BaseState
from safebo.robots.quadruped.kinematics import leg_geometry
from safebo.robots.quadruped.mpc.problem import MpcProblem
from safebo.robots.quadruped.mpc.reference import BaseReference, divide_horizon, plan_contacts

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


ROBOT = load_robot("go1")
STEPS, STEP = 3, 0.03


def parameters(timing):
    return FootParameters(timing, leg_geometry(ROBOT), 0.002, 0.1, (0.05, 3.0))


def contacts_of_the_feet(time, timing):
    feet = Feet.standing()
    zero, joints = np.zeros(3), ROBOT.home_joints
    measure_feet(ROBOT.chains, joints, np.zeros(12), feet)
    known = parameters(timing), BaseState.at_rest(), np.zeros(12), zero
    update_feet(time, True, *known, feet, Contacts.standing())
    return feet.stance


def plan_of_the_mpc(time, timing):
    problem = MpcProblem.allocate(STEPS)
    feet = Feet.standing()
    feet.stance[:] = [contact(time, leg, timing)[0] for leg in range(4)]
    contacts = Contacts.standing()
    contacts.planned[:] = feet.stance
    still = np.zeros(3), feet, BaseReference.at_rest(), contacts
    divide_horizon(time, STEP, timing, problem.ends)
    plan_contacts(time, parameters(timing), *still, problem)
    return problem


def contacts_of_the_estimator(time, timing):
    phases = np.zeros(4)
    stance_phases(time, timing, phases)
    assert np.all((phases == -1.0) | ((phases >= 0.0) & (phases <= 1.0)))
    return phases >= 0.0


@st.composite
def times(draw, gait):
    """Anywhere, before the start, and within some units in the last place of lift-offs and touchdowns."""
    offset = draw(st.sampled_from(list(gait.offsets(LEGS))))
    edge = draw(st.sampled_from([0.0, gait.duty_factor, 1.0]))
    boundary = (draw(st.integers(0, 200)) + edge - offset) * gait.stride_duration
    ulps = draw(st.integers(-4, 4)) * np.spacing(abs(boundary))
    anywhere = st.floats(-1.0, 100.0) | st.sampled_from([0.0, -0.0, -1e-9, -1e-300, -1.0])
    return float(draw(anywhere | st.just(boundary + ulps) | st.just(boundary + draw(st.floats(-1e-8, 1e-8)))))


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(st.data(), gaits | st.sampled_from(list(GAITS.values())))
def test_all_who_ask_agree_on_who_stands(data, gait):
    time, timing = data.draw(times(gait)), gait.timing(LEGS)
    stance = gait.stance(time, LEGS)
    np.testing.assert_array_equal(contacts_of_the_feet(time, timing), stance)
    np.testing.assert_array_equal(contacts_of_the_estimator(time, timing), stance)
    np.testing.assert_array_equal(plan_of_the_mpc(time, timing).durations[0] > 0, stance)


@settings(deadline=None, max_examples=50)
@given(st.data(), gaits | st.sampled_from(list(GAITS.values())), st.floats(0.0, 50.0), st.floats(0.001, 2.0))
def test_the_time_that_a_foot_stands_is_the_integral_of_its_contact(data, gait, start, length):
    timing, samples = gait.timing(LEGS), 4000
    times = start + (np.arange(samples) + 0.5) / samples * length
    for leg in range(4):
        stands = np.array([contact(t, leg, timing)[0] for t in times])
        lasts, middle = stance_time(start, start + length, leg, timing)
        changes = 2 + 2 * length / gait.stride_duration
        assert lasts == pytest.approx(stands.mean() * length, abs=changes * length / samples)
        if lasts > 0.05 * length:
            tolerance = 2 * changes * length / samples / 0.05
            assert start + middle == pytest.approx(times[stands].mean(), abs=tolerance)


@settings(deadline=None, max_examples=50)
@given(gaits, st.floats(0.0, 50.0))
def test_nothing_changes_in_the_first_step_of_a_plan_and_its_horizon_is_always_as_long(gait, start):
    timing = gait.timing(LEGS)
    problem = plan_of_the_mpc(start, timing)
    soon = next_change(start, timing)
    now = gait.stance(start, LEGS)
    if soon > 1e-6:
        np.testing.assert_array_equal(gait.stance(start + 0.999 * soon, LEGS), now)
    if gait.duty_factor < 0.999:
        assert np.any(gait.stance(start + soon + 1e-7, LEGS) != now)
    elif gait.duty_factor == 1.0:
        assert soon == math.inf
    assert problem.ends[0] == pytest.approx(min(STEP, max(soon, 0.0005)))
    assert problem.ends[-1] == (STEPS - 1) * STEP
    assert np.all(np.diff(problem.ends) >= 0)


@settings(deadline=None, max_examples=100)
@given(st.data(), gaits | st.sampled_from(list(GAITS.values())))
def test_a_foot_stands_while_its_exact_phase_is_below_the_duty_factor(data, gait):
    time = data.draw(times(gait))
    for stands, offset in zip(gait.stance(time, LEGS), gait.offsets(LEGS), strict=True):
        turns = Fraction(time) / Fraction(gait.stride_duration) + Fraction(offset)
        phase, tolerance = turns - math.floor(turns), Fraction(1, 10**8)
        duty = Fraction(gait.duty_factor)
        if time < 0 or duty == 1 or phase < duty - tolerance or phase > 1 - Fraction(1, 10**10):
            assert stands
        elif duty + tolerance < phase < 1 - tolerance:
            assert not stands


@settings(deadline=None, max_examples=100)
@given(st.data(), gaits)
def test_a_stride_is_counted_when_its_phase_starts_again(data, gait):
    time, timing = data.draw(times(gait)), gait.timing(LEGS)
    for leg in range(4):
        stride, phase = stride_and_phase(time, leg, timing)
        assert 0.0 <= phase < 1.0
        turns = Fraction(time) / Fraction(gait.stride_duration) + Fraction(timing.offsets[leg])
        assert abs(stride + Fraction(phase) - turns) < Fraction(2, 10**9)


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
        gait_named("hop")
