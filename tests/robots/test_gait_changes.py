"""From one gait into another within a walk: contacts, speeds, and walks that stay up."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebo.robots.descriptions.model import load_robot
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.gains import Gains
from safebo.robots.quadruped.gait import GAITS, contact
from safebo.robots.quadruped.gait_changes import BRAKING, GaitSchedule, GaitSequencer, phase_shifts
from safebo.robots.quadruped.speed import speed_limit
from safebo.robots.simulation.disturbance import Disturbance
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.rollout import rollout

LEGS, TICK = ("FL", "FR", "RL", "RR"), 0.002
GO1 = load_robot("go1")
STEPPING = [name for name in GAITS if name != "stand"]


def sequencer(*names_and_times, first):
    changes = tuple((time, GAITS[name]) for name, time in names_and_times)
    return GaitSequencer(
        GaitSchedule(GAITS[first], changes), LEGS, TICK, lambda gait: speed_limit(GO1, gait, 3.0)
    )


def run(gaits, seconds, speed=0.2):
    """Contacts `n x 4` and followed speeds `n`, tick by tick."""
    stands, speeds = [], []
    for tick in range(round(seconds / TICK)):
        forward, _, _ = gaits.advance(tick * TICK, speed, 0.0, 0.3)
        stands.append([contact(tick * TICK, leg, gaits.timing)[0] for leg in range(4)])
        speeds.append(forward)
    return np.array(stands), np.array(speeds)


def spans(stands, value):
    """Lengths (s) of the whole stretches in which a foot stands or swings."""
    edges = np.flatnonzero(np.diff(stands.astype(int))) + 1
    return [TICK * (b - a) for a, b in itertools.pairwise(edges) if stands[a] == value]


@pytest.mark.parametrize(("old", "new"), list(itertools.permutations(STEPPING, 2)))
def test_no_swing_is_cut_short_and_the_new_gait_is_reached(old, new):
    gaits = sequencer((new, 1.01), first=old)
    stands, _ = run(gaits, 6.0)
    a, b = GAITS[old], GAITS[new]
    shortest = min(a.swing_duration, b.swing_duration)
    least = min(a.stance_duration, b.stance_duration)
    for leg in range(4):
        assert min(spans(stands[:, leg], False)) >= 0.8 * shortest - 2 * TICK
        assert max(spans(stands[:, leg], False)) <= 1.3 * max(a.swing_duration, b.swing_duration)
        assert min(spans(stands[:, leg], True)) >= 0.7 * least - 2 * TICK
    assert gaits.gait == b
    relative = gaits.timing.offsets - gaits.timing.offsets[1] - b.offsets(LEGS)
    np.testing.assert_allclose(relative - np.round(relative), 0.0, atol=1e-9)


@pytest.mark.parametrize(("old", "new"), [("trot", "flying-trot"), ("trot", "bound"), ("pace", "crawl")])
@pytest.mark.parametrize("time", [1.0, 1.13, 1.249, 1.3])
def test_contacts_go_on_as_they_would_have_when_a_change_begins(old, new, time):
    changed, _ = run(sequencer((new, time), first=old), time + 0.05, speed=0.0)
    unchanged, _ = run(sequencer(first=old), time + 0.05, speed=0.0)
    differ = np.flatnonzero(np.any(changed != unchanged, axis=1))
    # what differs are lift-offs and touchdowns by a few milliseconds, where one was due anyway
    due = np.any(np.diff(unchanged[round(time / TICK) - 1 :].astype(int), axis=0) != 0)
    assert len(differ) == 0 or (due and len(differ) <= 6)


def test_into_a_stand_every_foot_stays_where_it_stands_or_lands_next():
    gaits = sequencer(("stand", 1.1), ("trot", 4.0), first="trot")
    stands, speeds = run(gaits, 6.0, speed=0.5)
    brakes = round((1.1 + 0.5 / BRAKING) / TICK)
    assert np.all(np.diff(speeds[round(1.1 / TICK) : brakes]) <= 0.0)
    assert speeds[brakes + 1] == pytest.approx(0.0, abs=1e-9)
    after = stands[brakes + 5 : round(4.0 / TICK)]
    lifts = np.diff(after.astype(int), axis=0) < 0
    assert not lifts.any()
    assert after[round(0.3 / TICK) :].all()
    again = stands[round(4.0 / TICK) + 2]
    np.testing.assert_array_equal(again, GAITS["trot"].stance(0.0, LEGS))
    assert np.all(np.diff(speeds[round(4.0 / TICK) :]) <= BRAKING * TICK + 1e-9)
    assert speeds[-1] == pytest.approx(0.5)


def test_a_faster_command_waits_for_the_faster_gait_and_slows_down_before_a_slower_one():
    gaits = sequencer(("trot", 1.0), ("pronk", 6.0), first="crawl")
    _, speeds = run(gaits, 10.0, speed=1.2)
    crawl, pronk = (speed_limit(GO1, GAITS[name], 3.0).speed for name in ("crawl", "pronk"))
    assert speeds[round(0.9 / TICK)] == speeds[round(2.0 / TICK)] == pytest.approx(crawl)
    assert speeds[round(5.9 / TICK)] == pytest.approx(1.2)
    assert speeds[-1] == pytest.approx(pronk)
    assert np.abs(np.diff(speeds)).max() <= BRAKING * TICK + 1e-9


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0.0, 0.999), min_size=8, max_size=8))
def test_phases_move_by_as_little_as_possible(numbers):
    old, new = np.array(numbers[:4]), np.array(numbers[4:])
    shift = phase_shifts(old, new)
    turn = old + shift - new
    common = turn - turn[0]
    np.testing.assert_allclose(common - np.round(common), 0.0, atol=1e-9)
    least = min(np.abs((new - old - c + 0.5) % 1.0 - 0.5).max() for c in np.linspace(0.0, 1.0, 2001))
    assert np.abs(shift).max() <= least + 1e-3
    assert np.abs(shift).max() <= 0.375 + 1e-6


@pytest.mark.parametrize("times", [(2.0, 1.0), (-1.0,), (math.nan,)])
def test_changes_come_one_after_another(times):
    with pytest.raises(ValueError, match="one after another"):
        GaitSchedule(GAITS["trot"], tuple((time, GAITS["crawl"]) for time in times))


@pytest.mark.parametrize(
    ("gaits", "speed"),
    [
        (("trot", "flying-trot", "stand", "bound"), 0.8),
        (("pace", "crawl", "gallop", "stand"), 0.4),
    ],
)
def test_a_robot_walks_through_changes_of_gait(gaits, speed):
    changes = tuple((2.0 * (i + 1), GAITS[name]) for i, name in enumerate(gaits[1:]))
    controller = Controller(
        GO1, Gains(), GaitSchedule(GAITS[gaits[0]], changes), VelocityRamp(speed), control_rate=500.0
    )
    plant = Simulation(GO1, Disturbance(control_delay=1), 0)
    record = rollout(plant, controller, 2.0 * len(gaits) + 3.0)
    assert not record.fell, record.stop_reason
    assert controller.gait == GAITS[gaits[-1]]
    again = rollout(plant, controller, 1.0)
    np.testing.assert_array_equal(again.joint_position, record.joint_position[: len(again)])


def test_a_scenario_changes_the_gait_and_is_scored_by_what_may_be_walked():
    evaluator = LeggedEvaluator({"seconds": 4.5})
    profile = [{"seconds": 2, "forward": 0.5}, {"seconds": 2.5, "forward": 0.5, "gait": "stand"}]
    evaluator.check_conditions({"velocity": profile})
    record = evaluator.walk({}, {}, 0, conditions={"velocity": profile})
    assert record.contact[-200:].all()
    assert np.abs(record.base_velocity[-100:]).max() < 0.02
    measured = evaluator.measure(record, {}, conditions={"velocity": profile})
    assert measured.margins["velocity"] > 0.0
    assert measured.outcome == "completed"
    with pytest.raises(ValueError, match=r"velocity\[1\]: unknown gait 'hop': known are trot"):
        evaluator.check_conditions({"velocity": [profile[0], {"seconds": 1, "gait": "hop"}]})
