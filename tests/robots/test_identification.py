"""The plant found again from walks: replay, elimination of what a window does not know, fit and intervals."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from safebo.experiments.evidence.identification import StickyJoint
from safebo.robots.descriptions.model import RobotModel, load_robot
from safebo.robots.descriptions.robot import RobotSize
from safebo.robots.identification.equations import (
    LONG,
    LONG_SPREAD,
    SHORT,
    SHORT_SPREAD,
    Linear,
    Normal,
    Unknowns,
    linearise,
    normal_equations,
)
from safebo.robots.identification.fit import MAX_SCORE, TYPICAL_COST, Fit, fit
from safebo.robots.identification.gap_file import gap_text, told
from safebo.robots.identification.information import information, suggest, task_weight
from safebo.robots.identification.leftover import (
    FEATURES,
    LARGEST,
    JointTorque,
    by_torque,
    features,
    joint_torques,
)
from safebo.robots.identification.parameters import Family
from safebo.robots.identification.replay import CHANNELS, GROUPS, Replayer, difference, states_of
from safebo.robots.identification.walks import WalkLog
from safebo.robots.identification.windows import Windows, cut, sensor_noise
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.gains import robot_gains
from safebo.robots.quadruped.gait import robot_gait
from safebo.robots.simulation.disturbance import Disturbance
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.recording import WalkRecording
from safebo.robots.simulation.rollout import rollout
from safebo.types import FloatArray

FEW = ("payload_mass", "joint_damping.calf")
TRUTH = np.array([1.6, 0.25])
STICKS = JointTorque("FL_calf_joint", -1.9, (0.0, 0.7, -0.1, 0.2), score=40.0)


@cache
def go1() -> RobotModel:
    return load_robot("go1")


def family() -> Family:
    return replace(Family.of(names=FEW), base=Disturbance(joint_damping=(0.1, 0.1, 0.1)))


@cache
def walk(delay: int = 0, seconds: float = 1.2) -> WalkRecording:
    gap = replace(family().disturbance(TRUTH), control_delay=delay)
    controller = Controller(go1(), robot_gains(go1(), {}), robot_gait(go1(), "trot"), VelocityRamp(0.5))
    return rollout(Simulation(go1(), gap, seed=3), controller, seconds)


def log(record: WalkRecording) -> WalkLog:
    return WalkLog.of(record, "walk", 0.5)


@cache
def found() -> Fit:
    return fit(go1(), [log(walk(1))], family(), delays=(0, 1), threads=1)


# -- replay ---------------------------------------------------------------------------------------------


def test_from_the_true_states_the_replay_is_the_recorded_motion() -> None:
    record = walk()
    true = replace(
        log(record),
        joint_position=record.joint_position,
        joint_velocity=record.joint_velocity,
        orientation=record.base_orientation,
        rate=record.base_rate,
        velocity=record.base_velocity,
        height=record.base_position[:, 2],
    )
    windows = cut([true], 20)
    motion = Replayer(go1(), family(), record.period, 1).run([TRUTH], [windows.start], windows.acting(0))[0]
    wrong = np.abs(difference(windows.measured, motion))
    assert len(windows) > 30
    assert wrong.max() < 1e-3
    assert np.median(wrong) < 1e-9


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_state_moved_by_a_change_differs_by_it(seed: int) -> None:
    random = np.random.default_rng(seed)
    motion = random.normal(size=(3, 35))
    motion[:, 1:5] /= np.linalg.norm(motion[:, 1:5], axis=1, keepdims=True)
    change = 1e-3 * random.normal(size=(3, CHANNELS))
    moved = states_of(motion).moved(change)
    assert difference(moved.motion(), motion) == pytest.approx(change, abs=1e-8)


# -- what a window does not know ------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_elimination_gives_what_one_least_squares_for_all_unknowns_gives(seed: int) -> None:
    """Against a dense solution over parameters, offsets and starts at once; residuals are small: Huber does nothing."""
    random, kind, noise = np.random.default_rng(seed), family(), np.full(CHANNELS, 0.5)
    n, ticks, p, own = 3, 2, len(FEW), CHANNELS + len(SHORT)
    linear = Linear(
        random.uniform(-0.9, 0.9, (n, ticks, CHANNELS)),
        random.normal(size=(n, ticks, CHANNELS, p)),
        random.normal(size=(n, ticks, CHANNELS, CHANNELS)),
    )
    empty = np.zeros((n, 1, 1))
    walks = np.array([0, 1, 1])
    windows = Windows(states_of(np.zeros((n, 35))), empty, empty, empty, walks, walks)
    at = Unknowns.at(kind.mean, windows)
    normal = normal_equations(linear, windows, at, noise)
    prior = np.concatenate([np.full(p, 1.0), np.tile(LONG_SPREAD, 2)])
    change = np.linalg.solve(normal.matrix.sum(axis=0) + np.diag(prior**-2), normal.vector.sum(axis=0))

    columns, rows, right = p + 2 * len(LONG) + n * own, [], []
    identity = np.eye(CHANNELS)
    for w in range(n):
        for t in range(ticks):
            block = np.zeros((CHANNELS, columns))
            offset = identity - linear.by_start[w, t]
            block[:, :p] = linear.by_value[w, t]
            at_long = p + len(LONG) * walks[w]
            block[:, at_long : at_long + len(LONG)] = offset[:, LONG]
            first = p + 2 * len(LONG) + own * w
            block[:, first : first + CHANNELS] = linear.by_start[w, t]
            block[:, first + CHANNELS : first + own] = offset[:, SHORT]
            rows.append(block / noise[:, None])
            right.append(linear.residual[w, t] / noise)
    spreads = np.concatenate([prior, np.tile(np.concatenate([noise, SHORT_SPREAD]), n)])
    rows.append(np.diag(1.0 / spreads))
    right.append(np.zeros(columns))
    whole = np.linalg.lstsq(np.vstack(rows), np.concatenate(right), rcond=None)[0]
    assert change == pytest.approx(whole[: len(change)], abs=1e-7)
    mine = normal.own[0] + normal.own[1] @ change
    assert mine.ravel() == pytest.approx(whole[len(change) :], abs=1e-7)


def test_sensor_noise_is_seen_in_a_walk() -> None:
    noise = sensor_noise([log(walk())])
    assert noise[GROUPS["joint position"]][0] == pytest.approx(0.002, rel=0.1)
    assert noise[GROUPS["joint velocity"]][0] == pytest.approx(0.04, rel=0.2)
    assert noise[GROUPS["rate"]][0] == pytest.approx(0.01, rel=0.2)


# -- the fit --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_parameters_and_delay_are_found_within_their_intervals() -> None:
    assert found().delay == 1
    assert np.abs((found().values - TRUTH) / found().errors).max() < 3.5
    assert found().values == pytest.approx(TRUTH, rel=0.15)
    assert (found().errors < 0.2 * found().family.spread).all()
    assert (found().inflation >= 1.0).all()


def test_residuals_of_a_plant_in_the_family_are_the_sensors_noise() -> None:
    assert found().cost < 1.3
    assert found().ratios.max() < 1.5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        (
            {"ratios": np.where(np.arange(CHANNELS) == 22, 2.6, 1.0)},
            "left over of joint velocity is 2.6 times",
        ),
        (
            {"torques": (STICKS,)},
            "FL_calf_joint resists above -1.90 rad by about 0.70 N m more than the parameters",
        ),
        (
            {"torques": (STICKS, replace(STICKS, score=16.0), replace(STICKS, score=5.0))},
            "; 1 more about as clearly",
        ),
        (
            {"torques": (replace(STICKS, score=400.0), replace(STICKS, score=40.0))},
            "more than the parameters say",
        ),
        ({"torques": (replace(STICKS, score=5.0),)}, ""),
        ({"cost": 1.44 * TYPICAL_COST}, "left over is 1.20 times the sensors' noise"),
        ({"inflation": np.array([1.8, 2.2]), "strides": 12}, "strides contradict one another"),
        ({"inflation": np.array([1.8, 2.2]), "strides": 4}, ""),
    ],
)
def test_what_no_parameter_explains_is_said(change: dict[str, object], words: str) -> None:
    fitted = replace(found(), **change)  # type: ignore[arg-type]
    assert words in fitted.outside if words else fitted.outside == ""
    lines = told(fitted)
    assert ("NOT AMONG THESE" in lines[-1]) is bool(words)
    assert any(line.startswith(fitted.family.names[0]) for line in lines) is not bool(words)
    if words:
        with pytest.raises(ValueError, match="not among the parameters"):
            gap_text(fitted, "go1", ["walk"])


def missing_torques(plant: Simulation) -> list[JointTorque]:
    """Of a walk of a plant, around the parameters that the rest of it has."""
    controller = Controller(go1(), robot_gains(go1(), {}), robot_gait(go1(), "trot"), VelocityRamp(0.5))
    kind, own = family(), log(rollout(plant, controller, 1.2))
    windows, noise = cut([own], 10), sensor_noise([own])
    windows = windows.some(np.arange(0, len(windows), 2))
    replayer = Replayer(go1(), kind, own.period, 1)
    at = Unknowns.at(TRUTH, windows).guessed(windows, replayer, 0)
    linear = linearise(replayer, windows, 0, at)
    offsets = len(LONG) * windows.walks
    prior = np.diag(np.concatenate([kind.spread**-2, np.tile(LONG_SPREAD**-2, windows.walks)]))

    def normal_of(some: Linear) -> Normal:
        return normal_equations(some, windows, at, noise)

    added = by_torque(go1(), replayer, windows, 0, at)
    return joint_torques(go1(), windows, linear, added, (prior, np.zeros(len(kind) + offsets)), normal_of)


def test_a_joint_that_sticks_on_one_side_is_named_and_a_plant_of_the_family_asks_for_no_torque() -> None:
    gap = family().disturbance(TRUTH)
    plant = StickyJoint(go1(), gap, seed=3)
    plant.joint, plant.angle, plant.extra = 4, 0.98, 1.2
    clearest, *others = missing_torques(plant)
    assert clearest.joint == go1().joint_names[4]
    assert int(np.argmax(clearest.torques)) == FEATURES.index("resists above")
    assert 0.4 < clearest.torques[1] < 1.4
    assert clearest.score > MAX_SCORE
    assert clearest.score > 3.0 * others[0].score
    assert missing_torques(Simulation(go1(), gap, seed=3))[0].score < 0.5 * MAX_SCORE


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_added_torques_are_those_of_one_least_squares_for_all_unknowns(seed: int) -> None:
    """Each joint's own, beside parameters and offsets, without what a window's start hides."""
    random, n, p = np.random.default_rng(seed), 6, len(FEW)
    start = random.normal(size=(n, 35))
    empty, walks = np.zeros((n, 1, 1)), np.zeros(n, dtype=int)
    windows = Windows(states_of(start), empty, empty, empty, walks, walks)
    linear = Linear(
        random.uniform(-0.4, 0.4, (n, 2, CHANNELS)),
        random.normal(size=(n, 2, CHANNELS, p)),
        np.zeros((n, 2, CHANNELS, CHANNELS)),
    )
    added, prior, pull = (
        random.normal(size=(n, 2, CHANNELS, 12)),
        random.uniform(1, 2, p),
        random.normal(size=p),
    )

    def normal_of(some: Linear) -> Normal:
        flat = some.by_value.reshape(n, 2 * CHANNELS, -1)
        matrix = np.einsum("nri,nrj->nij", flat, flat)
        return Normal(matrix, np.einsum("nri,nr->ni", flat, some.residual.reshape(n, -1)), (empty, empty))

    for found in joint_torques(go1(), windows, linear, added, (np.diag(prior), pull), normal_of):
        joint = go1().joint_names.index(found.joint)
        columns = added[..., joint, None] * features(windows)[:, None, None, joint]
        flat = np.concatenate([linear.by_value, columns], axis=-1).reshape(-1, p + len(FEATURES))
        believed = np.concatenate(
            [prior, np.full(len(FEATURES), (LARGEST * go1().torque_limit[joint]) ** -2)]
        )
        right = flat.T @ linear.residual.ravel() + np.concatenate([pull, np.zeros(len(FEATURES))])
        whole = np.linalg.solve(flat.T @ flat + np.diag(believed), right)
        assert found.torques == pytest.approx(whole[p:], abs=1e-9)


def test_the_file_holds_the_disturbance_that_was_found_and_how_sure_it_is() -> None:
    data = yaml.safe_load(gap_text(found(), "go1", ["walk"]))
    expected = replace(found().family.disturbance(found().values), control_delay=1)
    read = Disturbance.from_dict(data["disturbance"])
    assert read.payload_mass == pytest.approx(expected.payload_mass, rel=1e-4)
    assert read.joint_damping == pytest.approx(expected.joint_damping, rel=1e-4)
    assert read.control_delay == 1
    errors = np.sqrt(np.diag(data["identified"]["covariance"]))
    assert errors == pytest.approx(data["identified"]["standard_errors"], rel=1e-3)


def test_plants_that_the_robot_could_be_have_the_intervals_spread_and_no_negative_mass() -> None:
    drawn = found().draws(2000)
    assert drawn.mean(axis=0) == pytest.approx(found().values, abs=4 * found().errors.max() / 40)
    assert drawn.std(axis=0) == pytest.approx(found().errors, rel=0.1)
    wide = replace(found(), covariance=100.0 * np.eye(2))
    assert wide.draws(50).min() >= 0.0


# -- the next walk --------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=6), st.floats(0.1, 10.0))
def test_the_walk_that_tells_most_is_first_by_the_closed_form_of_one_parameter(
    added: list[float], known: float
) -> None:
    walks = {f"walk {i}": np.array([[f]]) for i, f in enumerate(added)}
    chosen = suggest(np.array([[known]]), walks, np.eye(1))
    for i, f in enumerate(added):
        assert chosen.left[f"walk {i}"] == pytest.approx(known / (known + f))
    assert chosen.left[chosen.order[0]] == min(chosen.left.values())
    assert chosen.shrinkage[0] == pytest.approx(np.sqrt(known / (known + max(added))))


def test_what_matters_decides_which_walk_is_first() -> None:
    walks = {"payload": np.diag([100.0, 0.0]), "damping": np.diag([0.0, 100.0])}
    assert suggest(np.eye(2), walks, np.diag([1.0, 0.01])).order[0] == "payload"
    assert suggest(np.eye(2), walks, np.diag([0.01, 1.0])).order[0] == "damping"
    with pytest.raises(ValueError, match="no walk to choose from"):
        suggest(np.eye(2), {}, np.eye(2))


def test_what_matters_for_a_task_is_its_gradient_squared() -> None:
    slope, plants = np.array([2.0, -3.0]), np.array([[1.0, 0.2], [2.0, 0.5]])
    steps = np.array([0.1, 0.01])
    weight = task_weight(family(), plants, steps, lambda values: float(slope @ values))
    assert weight == pytest.approx(np.outer(slope, slope), rel=1e-9)
    half = task_weight(
        family(), plants, steps, lambda values: np.nan if values[0] > 1.5 else float(slope @ values)
    )
    assert half == pytest.approx(weight, rel=1e-9)
    with pytest.raises(ValueError, match="fails on every plant"):
        task_weight(family(), plants, steps, lambda values: np.nan)


def test_a_walk_is_expected_to_tell_what_its_fit_then_knew() -> None:
    """The information of the walk that was fitted, against the fit's own standard errors."""
    shifted = replace(log(walk(1)), torque=np.roll(walk(1).commanded_torque, 1, axis=0))
    told_by = information(go1(), family(), found().values, shifted, threads=1)
    expected = np.sqrt(np.diag(np.linalg.inv(told_by + family().precision)))
    ratio = expected / (found().errors / found().inflation)
    assert (ratio > 0.7).all()
    assert (ratio < 3.0).all()


def test_walks_of_different_control_rates_are_refused() -> None:
    other = replace(log(walk()), period=0.004)
    with pytest.raises(ValueError, match=r"control periods of 0\.002 s, 0\.004 s"):
        fit(go1(), [log(walk()), other], family())


# -- parameters -----------------------------------------------------------------------------------------


def test_parameters_become_the_disturbance_that_studies_know() -> None:
    whole = Family.of()
    values = whole.mean.copy()
    values[whole.names.index("joint_friction.calf")] = 0.7
    values[whole.names.index("torque_factor.RL")] = 0.8
    gap = whole.disturbance(values)
    assert gap.joint_friction == (0.2, 0.2, 0.7)
    assert gap.torque_factor == (1.0, 1.0, 0.8, 1.0)
    assert gap.payload_position == (0.0, 0.0, 0.06)


def test_what_is_believed_of_the_legs_is_that_they_are_alike() -> None:
    whole = Family.of(names=["torque_factor"])
    covariance: FloatArray = np.asarray(np.linalg.inv(whole.precision))
    assert np.sqrt(np.diag(covariance)) == pytest.approx(whole.spread)
    difference = np.array([1.0, -1.0, 0.0, 0.0])
    assert difference @ covariance @ difference == pytest.approx(2 * 0.05**2)


def test_a_larger_robot_is_believed_to_carry_more() -> None:
    small, large = Family.of(), Family.of(RobotSize(4.0, 2.0))
    at = small.names.index("armature.hip")
    assert large.spread[0] == pytest.approx(4.0 * small.spread[0])
    assert large.spread[at] == pytest.approx(16.0 * small.spread[at])


def test_an_unknown_parameter_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="unknown parameter 'mass': known are payload_mass, "):
        Family.of(names=["mass"])


# -- walks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fell": True, "stop_reason": "roll 0.90 rad beyond 0.8"}, r"the robot fell \(roll 0.90"),
        ({"walk_start": 700}, "walked for less than 1 s"),
        ({"commanded_torque": np.zeros((750, 12))}, "holds no commanded torques"),
        ({"estimated_position": np.zeros((750, 3))}, "holds no estimated height"),
        ({"measured_position": np.full((750, 12), np.nan)}, "not finite"),
    ],
)
def test_a_walk_that_tells_nothing_is_refused_in_words(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        log(replace(walk(), **change))  # type: ignore[arg-type]


def test_no_window_goes_over_a_gap() -> None:
    whole = np.ones(750, dtype=bool)
    whole[400] = False
    gapless, gapped = (cut([replace(log(walk()), whole=w)]) for w in (np.ones(750, bool), whole))
    assert len(gapless) - len(gapped) in (3, 4)
    whole[::25] = False
    with pytest.raises(ValueError, match="follow one another without a gap"):
        cut([replace(log(walk()), whole=whole)])
