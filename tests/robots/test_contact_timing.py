"""Early and late contact: the modes of a leg, how a late foot is led down, and what the controller makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebo.robots.descriptions.model import load_robot
from safebo.robots.quadruped.contact_timing import (
    ASSUMED,
    EARLY,
    LATE,
    STANCE,
    SWING,
    ContactRules,
    Contacts,
    advance_contact,
    count_from_mean,
    counted_on,
    lower,
    raise_swing,
    trusted_phases,
)
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.feet import Feet, FootParameters, measure_feet, update_feet
from safebo.robots.quadruped.gains import LAWS, robot_gains
from safebo.robots.quadruped.gait import GAITS, Gait, contact, robot_gait
from safebo.robots.quadruped.interface import BaseState
from safebo.robots.quadruped.kinematics import leg_geometry
from safebo.robots.quadruped.mpc.problem import MpcProblem
from safebo.robots.quadruped.mpc.reference import BaseReference, divide_horizon, plan_contacts
from safebo.robots.simulation.disturbance import Disturbance
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.rollout import rollout

ROBOT = load_robot("go1")
PERIOD = 0.002
RULES = ContactRules(adaptive=True)
gaits = st.builds(
    Gait, st.floats(0.3, 0.95), st.floats(0.1, 1.5), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)
)
FELT = {"touching": (True, False), "between": (False, False), "empty": (False, True)}
"""What is felt of a foot: that it touches, and that it carries nothing."""
feelings = st.lists(st.tuples(st.sampled_from(sorted(FELT)), st.integers(1, 60)), min_size=1, max_size=25)


def felt_ticks(runs):
    return [FELT[name] for name, ticks in runs for _ in range(ticks)]


def walked(gait, runs, rules=RULES, known=True):
    """Mode before, mode, planned before, planned and share of its phase of one leg, tick by tick."""
    timing, contacts = gait.timing(ROBOT.legs), Contacts.standing()
    contacts.known[:] = known
    for tick, (touching, empty) in enumerate(felt_ticks(runs)):
        contacts.touching[:], contacts.empty[:] = touching, empty
        before, was_planned = int(contacts.mode[1]), bool(contacts.planned[1])
        progress = advance_contact(tick * PERIOD, 1, timing, PERIOD, rules, contacts)
        yield before, int(contacts.mode[1]), was_planned, bool(contacts.planned[1]), progress, touching, empty


@given(gaits, feelings)
@settings(max_examples=200, deadline=None)
def test_modes_go_by_the_clock_and_by_what_is_felt(gait, runs):
    free = False
    for before, mode, was_planned, planned, progress, touching, empty in walked(gait, runs):
        free = (free or not touching) and not (planned or was_planned)
        if planned:
            assert mode in (ASSUMED, STANCE, LATE)
            assert mode != LATE or not touching
        else:
            assert mode in (SWING, EARLY, LATE)
            assert not was_planned or mode == SWING, "the clock lifts feet"
        if mode == EARLY and before == SWING:
            assert touching
            assert free
            assert RULES.earliest <= progress <= 1.0 - RULES.clear
        if mode == LATE and before != LATE:
            assert not touching
            assert before == EARLY or empty
        if before == LATE and touching and planned == was_planned:
            assert counted_on(mode), "a late foot that touches stands"


@given(gaits, feelings)
@settings(max_examples=50, deadline=None)
def test_a_foot_that_is_felt_all_the_time_it_should_stand_goes_by_the_clock(gait, runs):
    timing, contacts = gait.timing(ROBOT.legs), Contacts.standing()
    for tick in range(len(felt_ticks(runs))):
        stands, _ = contact(tick * PERIOD, 2, timing)
        contacts.touching[:] = stands
        advance_contact(tick * PERIOD, 2, timing, PERIOD, RULES, contacts)
        assert contacts.mode[2] == (STANCE if stands else SWING)


@given(gaits, feelings, st.booleans())
@settings(max_examples=50, deadline=None)
def test_without_it_or_knowledge_nothing_that_is_felt_counts(gait, runs, adaptive):
    for _, mode, _, planned, _, _, _ in walked(gait, runs, ContactRules(adaptive), known=not adaptive):
        assert mode == (STANCE if planned else SWING)


@given(
    st.floats(-0.3, 0.3),
    st.floats(-0.1, 0.1),
    st.floats(0.01, 3.0),
    st.floats(0.0, 0.3),
    st.integers(2, 400),
)
@settings(deadline=None)
def test_a_late_foot_is_led_down_at_a_bounded_speed_to_a_bounded_depth(height, planned, speed, depth, ticks):
    rules, lowered = RULES._replace(speed=speed, depth=depth), np.zeros(4)
    assert lower(3, height, planned, True, PERIOD, rules, lowered) == 0.0
    assert lowered[3] == height
    for _ in range(ticks):
        before = lowered[3]
        wanted = lower(3, 7.0, planned, False, PERIOD, rules, lowered)
        assert wanted in (0.0, -speed)
        assert 0.0 <= before - lowered[3] <= speed * PERIOD + 1e-12
        assert lowered[3] >= min(height, planned - depth)
    expected = max(min(height, planned - depth), height - ticks * speed * PERIOD)
    assert lowered[3] == pytest.approx(expected, abs=1e-9)


@given(gaits, st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_a_leg_never_both_follows_a_path_and_is_counted_on(gait, seed):
    """Every tick of a planner that is fed random touches: feet, estimator and MPC agree who stands."""
    random, timing = np.random.default_rng(seed), gait.timing(ROBOT.legs)
    parameters = FootParameters(timing, leg_geometry(ROBOT), PERIOD, 0.1, (0.05, 3.0), RULES)
    feet, contacts, phases = Feet.standing(), Contacts.standing(), np.zeros(4)
    base = BaseState(np.array([0.0, 0.0, 0.27]), np.array([1.0, 0, 0, 0]), np.zeros(3), np.zeros(3))
    zero, problem, ground = np.zeros(3), MpcProblem.allocate(6), ROBOT.foot_radius
    for tick in range(150):
        time = tick * PERIOD
        if tick % 5 == 0:
            contacts.touching[:] = random.random(4) < 0.5
            contacts.empty[:] = ~contacts.touching & (random.random(4) < 0.8)
        trusted_phases(time, timing, contacts, phases)
        trusted = phases >= 0.0
        for leg in range(4):
            planned = contact(time, leg, timing)[0]
            assert trusted[leg] == (contacts.mode[leg] != LATE if planned else False) or (
                not planned and contacts.mode[leg] == EARLY and not contacts.planned[leg]
            )
        measure_feet(ROBOT.chains, ROBOT.home_joints, np.zeros(12), feet)
        before = feet.wanted.copy()
        update_feet(time, tick == 0, parameters, base, np.zeros(12), zero, feet, contacts)
        divide_horizon(time, 0.03, timing, problem.ends)
        plan_contacts(time, parameters, zero, feet, BaseReference.at_rest(), contacts, problem)
        for leg in range(4):
            mode = int(contacts.mode[leg])
            assert feet.stance[leg] == counted_on(mode)
            assert (problem.durations[0, leg] > 0.0) == (bool(feet.stance[leg]) and problem.ends[0] > 0.0005)
            if counted_on(mode):
                np.testing.assert_array_equal(feet.wanted[leg], feet.target[leg])
                assert not feet.wanted_velocity[leg].any()
                assert not feet.wanted_acceleration[leg].any()
            if mode == LATE:
                assert feet.wanted_velocity[leg, 2] >= -RULES.speed
                np.testing.assert_array_equal(feet.wanted[leg, :2], feet.target[leg, :2])
                lowest = ground + contacts.ground[leg] - contacts.level[0] - 0.002 - RULES.depth
                assert feet.wanted[leg, 2] >= min(lowest, feet.world[leg, 2], before[leg, 2]) - 1e-12


def plan_of(mode, time, gait="trot"):
    """What the MPC is told of leg 0 in a mode."""
    timing, feet, contacts = GAITS[gait].timing(ROBOT.legs), Feet.standing(), Contacts.standing()
    parameters = FootParameters(timing, leg_geometry(ROBOT), PERIOD, 0.1, (0.05, 3.0), RULES)
    problem = MpcProblem.allocate(11)
    contacts.planned[:] = [contact(time, leg, timing)[0] for leg in range(4)]
    contacts.mode[:] = np.where(contacts.planned, STANCE, SWING)
    contacts.mode[0] = mode
    contacts.ground[0] = 0.04
    feet.stance[:] = [counted_on(int(one)) for one in contacts.mode]
    divide_horizon(time, 0.03, timing, problem.ends)
    plan_contacts(time, parameters, np.zeros(3), feet, BaseReference.at_rest(), contacts, problem)
    return problem


def test_the_mpc_keeps_a_foot_that_stands_early_and_does_not_count_on_one_that_is_late():
    # leg 0 of a trot (FL, offset 1/2) swings until 0.25 s and stands until 0.5 s
    lengths = np.diff(plan_of(EARLY, 0.19).ends, prepend=0.0)
    early, swings = plan_of(EARLY, 0.19).durations[:, 0], plan_of(SWING, 0.19).durations[:, 0]
    assert early[:10] == pytest.approx(lengths[:10])
    assert not swings[:2].any()
    late, stands = plan_of(LATE, 0.3).durations[:, 0], plan_of(STANCE, 0.3).durations[:, 0]
    assert late[0] == 0.0 < stands[0]
    assert late[1:] == pytest.approx(stands[1:])
    assert plan_of(EARLY, 0.19).points[0, 0, 2] == 0.04


def test_a_swing_clears_what_feet_ahead_of_it_found():
    contacts = Contacts.standing()
    contacts.ground[:] = [0.0, 0.05, 0.08, -0.03]
    start, target = np.array([0.2, 0.1, 0.0]), np.array([0.4, 0.1, 0.0])
    places = np.array([[0.4, 0.1, 0], [0.3, -0.1, 0], [-0.2, 0.1, 0], [-0.2, -0.1, 0]])
    raise_swing(0, start, target, places, RULES, contacts)
    assert contacts.lift[0] == 0.05, "not what lies behind"
    contacts.ground[1] = 1.0
    raise_swing(0, start, target, places, RULES, contacts)
    assert contacts.lift[0] == RULES.depth
    contacts.ground[1] = -0.05
    raise_swing(0, start, target, places, RULES, contacts)
    assert contacts.lift[0] == 0.0


def test_heights_come_to_count_from_the_mean():
    contacts = Contacts.standing()
    contacts.ground[:] = [0.04, 0.08, 0.0, 0.0]
    rises = [count_from_mean(PERIOD, RULES, contacts) for _ in range(1000)]
    assert min(rises) >= 0.0
    assert contacts.level[0] == pytest.approx(sum(rises)) == pytest.approx(0.03, abs=1e-3)
    contacts.known[1] = False
    for _ in range(4000):
        count_from_mean(PERIOD, RULES, contacts)
    assert contacts.ground == pytest.approx([0.04, 0.04 / 3, 0.0, 0.0], abs=1e-3), (
        "of no foot that is not known"
    )


def trot(law, adaptive, gap=None, seconds=1.0, disturb=None, estimator="kalman", gait="trot"):
    chain = Controller(
        ROBOT,
        robot_gains(ROBOT),
        robot_gait(ROBOT, gait),
        VelocityRamp(0.4),
        law=law,
        adaptive_contact=adaptive,
        estimator=estimator,
    )
    if disturb is not None:
        disturb(chain)
    return rollout(Simulation(ROBOT, gap, seed=2), chain, seconds), chain


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS)
def test_without_it_nothing_of_it_enters_a_walk(law):
    """Whatever is felt, and whatever the rules besides their switch say: the same walk, bit for bit."""

    def feel_nonsense(chain):
        random, plan = np.random.default_rng(5), chain._plan

        def disturbed(*args):
            chain.contacts.touching[:], chain.contacts.empty[:] = random.random((2, 4)) < 0.5
            chain.contacts.lowered[:] = random.normal(size=4)
            return plan(*args)

        chain._plan = disturbed

    plain, chain = trot(law, False)
    nonsense, other = trot(law, False, disturb=feel_nonsense)
    for name in ("desired_position", "desired_velocity", "commanded_torque", "estimated_position", "states"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(nonsense, name))
    for one in (chain, other):
        clock = [contact(max(0.0, t) if t >= -1e-9 else -1.0, 0, one._gaits.timing)[0] for t in plain.time]
        np.testing.assert_array_equal(plain.planned_contact[:, 0], clock)
        for heights in (one.contacts.ground, one.contacts.level, one.contacts.lift):
            assert not heights.any()


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("estimator", ["kalman", "truth"])
def test_it_walks_level_over_a_step_that_tilts_a_walk_by_the_clock(law, estimator):
    """Up by 5 cm and down again; the trunk over the plan's floor is as high as on a level one."""
    gap = Disturbance.from_dict({"steps": [{"at": 0.6, "height": 0.05, "length": 0.8}]})
    tilts = []
    for adaptive in (False, True):
        record, chain = trot(law, adaptive, gap, 5.0, estimator=estimator)
        assert not record.fell, record.stop_reason
        tilts.append(np.sqrt(np.mean(record.states[record.walk_start :, :2] ** 2)))
    assert tilts[1] < 0.6 * tilts[0]
    assert record.base_position[-1, 0] > 1.6
    assert chain.base.position[2] == pytest.approx(ROBOT.nominal_height, abs=0.02)
