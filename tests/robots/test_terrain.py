"""The floor of a walk: steps, rough ground, strips of friction; and delays that change from tick to tick."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebo.robots.descriptions.model import load_robot
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.gains import Gains
from safebo.robots.quadruped.gait import gait_named
from safebo.robots.quadruped.interface import JointCommand
from safebo.robots.simulation.contacts import is_upright
from safebo.robots.simulation.disturbance import Disturbance
from safebo.robots.simulation.floor import (
    check_start,
    floor_rise,
    floor_under,
    model_on_floor,
    slope_quaternion,
)
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.rollout import rollout
from safebo.robots.simulation.terrain import (
    FrictionPatch,
    RoughGround,
    Step,
    friction_at,
    height_field,
    parse_patches,
    parse_rough,
    parse_steps,
)

ROBOT = load_robot("go1")
STEPS = (Step(0.8, 0.04, 1.0), Step(1.1, 0.08, 0.4))
ROUGH = RoughGround(0.05, 0.3, seed=3)
FLOORS = {
    "steps": Disturbance(steps=STEPS),
    "rough": Disturbance(rough=ROUGH),
    "all": Disturbance(slope=(8.0, -4.0), steps=STEPS, rough=ROUGH),
}


class OnlyFloor:
    """A ball that can only go up and down, over a floor: what `model_on_floor` puts there, without a robot."""

    mjcf = """<mujoco><option timestep="0.001"/><asset><material name="floor"/></asset><worldbody>
      <geom name="floor" type="plane" size="0 0 1" contype="1" conaffinity="0"/>
      <body name="ball"><joint type="slide" axis="0 0 1" damping="2"/>
      <geom name="ball" type="sphere" size="0.02" mass="0.05" contype="0" conaffinity="1" condim="1"
        solref="0.004 1" solimp="0.99 0.999 0.0001"/></body>
      </worldbody></mujoco>"""

    def load_spec(self, drawn: bool = False) -> Any:
        return mujoco.MjSpec.from_string(self.mjcf)

    def mujoco_index(self, model: Any) -> Any:
        return type("Index", (), {"floor_geoms": np.array([0])})


@cache
def ball_on(name: str) -> Any:
    return model_on_floor(FLOORS[name], OnlyFloor())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FLOORS)
def test_the_floor_is_as_high_as_a_ray_from_above_says(name: str) -> None:
    gap, model = FLOORS[name], ball_on(name)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(-2.0, 4.0, 300), rng.uniform(-3.0, 3.0, 300), np.zeros(300)])
    ball, hit = model.body("ball").id, np.zeros(1, np.int32)
    seen = np.array(
        [
            5.0 - mujoco.mj_ray(model, data, [x, y, 5.0], [0.0, 0.0, -1.0], None, 1, ball, hit)
            for x, y, _ in points
        ]
    )
    wrong = np.abs(seen - floor_rise(gap, points)) > 1e-5
    # On a slope a riser leans: straight above one there are two answers.
    assert wrong.sum() <= (3 if any(gap.slope) else 0)


def test_the_floor_in_a_picture_is_the_one_walked_on() -> None:
    """Drawn is only a part of rough ground, in its place, and the plane a little under it."""
    gap = FLOORS["rough"]
    model = model_on_floor(gap, ROBOT, drawn=True, along=(0.9, 2.2))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    hit = np.zeros(1, np.int32)
    for x, y in ((1.0, 0.3), (1.7, -1.1), (2.1, 2.0)):
        far = mujoco.mj_ray(model, data, [x, y, 5.0], [0.0, 0.0, -1.0], None, 1, -1, hit)
        assert 5.0 - far == pytest.approx(float(floor_rise(gap, np.array([x, y, 0.0]))), abs=1e-5)
    assert mujoco.mj_ray(model, data, [-2.0, 0.0, 5.0], [0.0, 0.0, -1.0], None, 1, -1, hit) > 5.0


@pytest.mark.parametrize("name", FLOORS)
def test_a_ball_rests_where_it_touches_the_surface(name: str) -> None:
    """The oracle: the lowest place of the centre is the highest point of the surface, widened by the ball."""
    gap, model = FLOORS[name], ball_on(name)
    data, radius = mujoco.MjData(model), 0.02
    around = np.linspace(-radius, radius, 81)
    dx, dy = np.meshgrid(around, around)
    inside = dx**2 + dy**2 < radius**2
    reach = np.sqrt(radius**2 - dx[inside] ** 2 - dy[inside] ** 2)
    body = model.body("ball").id
    for x, y in ((0.1, 0.1), (0.9, 0.3), (1.2, -1.0), (1.25, 2.0), (2.3, 0.7)):
        points = np.column_stack([x + dx[inside], y + dy[inside], 0.0 * reach])
        expected = float((floor_rise(gap, points) + reach).max())
        model.body_pos[body] = [x, y, 0.0]
        mujoco.mj_resetData(model, data)
        data.qpos[0] = expected + 0.001
        for _ in range(400):
            mujoco.mj_step(model, data)
        assert abs(data.qvel[0]) < 1e-3
        assert data.qpos[0] == pytest.approx(expected, abs=4e-4)


def test_a_stair_is_as_many_steps_each_on_the_one_before() -> None:
    stair = parse_steps({"at": 1.0, "height": 0.05, "length": 0.3, "count": 3})
    rise = floor_rise(Disturbance(steps=stair), np.array([[x, 0.0, 0.0] for x in (0.9, 1.1, 1.4, 1.7, 9.0)]))
    assert rise == pytest.approx([0.0, 0.05, 0.10, 0.15, 0.15])


@settings(max_examples=6, deadline=None)
@given(st.floats(0.01, 0.1), st.floats(0.2, 2.0), st.integers(0, 2**32 - 1))
def test_rough_ground_has_the_range_that_it_says_and_is_drawn_by_its_seed(
    amplitude: float, correlation: float, seed: int
) -> None:
    rough = RoughGround(amplitude, correlation, seed)
    field = height_field(rough)
    assert field.heights.min() == 0.0
    assert field.heights.max() == pytest.approx(amplitude)
    height_field.cache_clear()
    assert np.array_equal(field.heights, height_field(rough).heights)
    assert not np.array_equal(
        field.heights, height_field(RoughGround(amplitude, correlation, seed ^ 1)).heights
    )
    turn = np.linspace(0.0, 2.0 * np.pi, 40)
    start = 0.9 * (rough.level - 1.5 * field.cell[0]) if rough.level > 1.5 * field.cell[0] else 0.0
    assert not field.rise(start * np.cos(turn), start * np.sin(turn)).any()


def test_heights_of_rough_ground_are_even_and_correlated_as_asked() -> None:
    field = height_field(RoughGround(1.0 / 4, 0.25, seed=5))
    away = field.heights[:, 130:] * 4.0  # 1.5 m from the start on
    assert np.quantile(away, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.03)
    normal = np.sqrt(2.0) * np.array(
        [_inverse_erf(v) for v in 2.0 * np.clip(away, 1e-4, 1 - 1e-4).ravel() - 1.0]
    )
    normal = normal.reshape(away.shape)
    for cells in (3, 5, 8):
        found = float(np.mean(normal[:, cells:] * normal[:, :-cells]) / np.mean(normal**2))
        assert found == pytest.approx(math.exp(-((cells * field.cell[0] / 0.25) ** 2)), abs=0.05)


def _inverse_erf(value: float) -> float:
    from scipy.special import erfinv

    return float(erfinv(value))


def test_the_height_of_the_trunk_counts_from_where_the_feet_belong() -> None:
    gap, level = Disturbance(steps=(Step(1.0, 0.06),)), np.array([1.0, 0.0, 0.0, 0.0])
    places = np.array([[0.5, 0.0, 0.3], [1.0, 0.0, 0.3], [1.5, 0.0, 0.3]])
    found = floor_under(gap, ROBOT, places, np.tile(level, (3, 1)))
    assert found == pytest.approx([0.0, 0.03, 0.06])
    across = np.array([math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)])  # with its side to the step
    assert float(floor_under(gap, ROBOT, np.array([1.05, 0.0, 0.3]), across)) == pytest.approx(0.03)
    slope = Disturbance(slope=(7.0, 3.0))
    assert np.array_equal(
        floor_under(slope, ROBOT, places, np.tile(level, (3, 1))), floor_rise(slope, places)
    )


@cache
def walk(gap: Disturbance, seed: int = 3, seconds: float = 1.0) -> Any:
    controller = Controller(ROBOT, Gains(), gait_named("trot"), VelocityRamp(0.4, 0.0, 0.0))
    return rollout(Simulation(ROBOT, gap, seed), controller, seconds)


def test_a_floor_beyond_the_walk_changes_no_bit_of_it() -> None:
    plain = walk(Disturbance(), seconds=0.5)
    far = Disturbance(steps=(Step(50.0, 0.1),), friction_patches=(FrictionPatch(50.0, 1.0, 0.1),))
    there = walk(far, seconds=0.5)
    for name in ("base_position", "joint_velocity", "applied_torque", "foot_force"):
        assert np.array_equal(getattr(plain, name), getattr(there, name)), name


def test_a_robot_stands_on_rough_ground_with_its_weight() -> None:
    gap = Disturbance(rough=RoughGround(0.03))
    record = walk(gap, seconds=0.02)
    force = record.foot_force[record.walk_start - 50 : record.walk_start].sum(axis=1).mean()
    assert force == pytest.approx(ROBOT.mass * 9.81, rel=0.02)


def test_friction_on_a_strip_bounds_the_force_along_the_floor() -> None:
    """A robot that is pushed slides on a strip of 0.2, with the tangential forces that Coulomb's law has there."""
    gap = Disturbance(
        friction_patches=(FrictionPatch(-0.05, 5.0, 0.2),), foot_friction_factor=(1.0, 0.5, 1.0, 1.0)
    )
    plant = Simulation(ROBOT, gap.without_noise())
    joints, zero = ROBOT.home_joints, np.zeros(12)
    stiff = JointCommand(joints, zero, zero, np.full(12, 120.0), np.full(12, 4.0))
    ratios: dict[int, list[float]] = {leg: [] for leg in range(4)}
    force = np.zeros(6)
    feet = plant.index.foot_geom.tolist()
    for tick in range(150):
        plant.apply(stiff)
        plant.data.xfrc_applied[plant.index.base_body, 1] = 60.0 if tick > 50 else 0.0
        mujoco.mj_forward(plant.model, plant.data)
        for i in range(plant.data.ncon):
            (leg,) = (feet.index(g) for g in plant.data.contact.geom[i] if g in feet)
            mujoco.mj_contactForce(plant.model, plant.data, i, force)
            if force[0] > 2.0:
                ratios[leg].append(float(np.hypot(force[1], force[2]) / force[0]))
    front, rear = (0.2, 0.1), plant.model.geom_friction[feet[2], 0]
    for leg in (0, 1):  # on the strip, with the leg's own factor
        assert max(ratios[leg]) == pytest.approx(front[leg], rel=0.02)
    assert rear > 0.3  # behind its beginning
    assert 0.2 < max(ratios[2] + ratios[3]) <= rear * 1.02


def test_strips_are_what_their_ends_say() -> None:
    patches = (FrictionPatch(0.5, 0.5, 0.3), FrictionPatch(1.0, math.inf, 0.1))
    x = np.array([0.4, 0.6, 2.0, 1e3])
    assert friction_at(patches, x, np.full(4, 0.8)).tolist() == [0.8, 0.3, 0.1, 0.1]


def test_jitter_has_the_declared_range_and_is_drawn_by_the_seed() -> None:
    gap = Disturbance(control_delay=1, delay_jitter=2).without_noise()
    plant = Simulation(ROBOT, gap, seed=4)

    def run(seed: int | None = None) -> tuple[list[int], np.ndarray, np.ndarray]:
        plant.reset(seed=seed)
        ages, told, acted = [], [], []
        for tick in range(600):
            feedforward = np.full(12, 1e-3 * (tick + 1))
            none = np.zeros(12)
            plant.apply(JointCommand(none, none, feedforward, none, none))
            ages.append(plant.torque_age)
            told.append(plant.commanded_torque[0])
            acted.append(plant.torques[1, 0])
        return ages, np.array(told), np.array(acted)

    ages, told, acted = run()
    assert set(ages) == {1, 2, 3}
    sent = np.arange(600) - np.array(ages)
    assert (np.diff(sent) >= 0).all()  # none acts after one that was sent later
    late = slice(3, None)
    assert acted[late] == pytest.approx(told[sent[late]], abs=1e-12)
    assert ages.count(1) / 600 == pytest.approx(1 / 3, abs=0.07)
    assert ages.count(3) / 600 == pytest.approx(
        2 / 3 * 1 / 3, abs=0.07
    )  # neither it nor the next one came sooner
    assert run()[0] == ages
    assert run(seed=5)[0] != ages
    without = Simulation(ROBOT, Disturbance(control_delay=1))
    assert without.torque_age == 1


def test_a_walk_over_a_step_is_measured_from_the_step() -> None:
    evaluator = LeggedEvaluator({"seconds": 2.4, "velocity": [0.5, 0.0, 0.0]})
    conditions = {"steps": [{"at": 0.3, "height": 0.05}]}
    record = evaluator.walk({}, {}, 3, conditions=conditions)
    shown = evaluator.measure(record, {}, None, conditions)
    assert shown.outcome == "completed"
    climbed = record.base_position[-1, 2] - record.base_position[record.walk_start, 2]
    assert climbed == pytest.approx(0.05, abs=0.015)
    level = evaluator.measure(evaluator.walk({}, {}, 3), {})
    assert shown.true_margins is not None
    assert level.true_margins is not None
    assert shown.true_margins["height"] == pytest.approx(level.true_margins["height"], abs=0.02)


def test_a_robot_lower_than_its_floor_allows_has_fallen() -> None:
    plant = Simulation(ROBOT, Disturbance(steps=(Step(0.5, 0.2),)))
    bounds = 0.8, 0.15, False
    assert is_upright(plant.memory, plant.velocity, *bounds)
    plant.data.qpos[plant.index.base_qpos] = 2.0  # on the step without being higher
    plant.apply(JointCommand(*(np.zeros(12) for _ in range(5))))
    assert plant.floor_height() == pytest.approx(0.2)
    assert not is_upright(plant.memory, plant.velocity, *bounds)


@pytest.mark.parametrize(
    ("conditions", "why"),
    [
        ({"steps": 0.05}, "steps must be a list of {at, height, length}, or a stair"),
        ({"steps": [{"at": 1.0}]}, "steps[0] needs at, height, and may have length; it lacks height"),
        ({"steps": [{"at": 1.0, "height": 0.1, "lenght": 1.0}]}, "steps[0]: unknown key 'lenght'"),
        ({"steps": [{"at": 1.0, "height": "5 cm"}]}, "steps[0].height must be a finite number"),
        (
            {"steps": [{"at": 1.0, "height": 0.1}, {"at": 2.0, "height": -1}]},
            "steps[1].height must be more than 0",
        ),
        (
            {"steps": [{"at": 0.1, "height": 0.1}]},
            "steps[0] begins 0.1 m ahead, and the feet of go1 reach 0.21 m",
        ),
        (
            {"steps": {"at": 1, "height": 0.1, "length": 0.3, "count": 2.5}},
            "steps.count must be a whole number",
        ),
        ({"rough": math.nan}, "rough must be a finite number"),
        ({"rough": {"amplitude": 0.02, "seed": 1.5}}, "rough: seed must be a whole number"),
        ({"rough": {"amplitude": 0.1, "correlation": 0.06}}, "at most the correlation length, 0.06 m"),
        ({"rough": {"amplitude": 0.02, "level": 0.1}}, "rough.level is 0.1 m, and the feet of go1 reach"),
        ({"friction_patches": {}}, "friction_patches must be a list"),
        (
            {"friction_patches": [{"at": 0, "length": 1, "friction": 0}]},
            "friction_patches[0].friction must be positive",
        ),
        (
            {
                "friction_patches": [
                    {"at": 0, "length": 1, "friction": 0.3},
                    {"at": 0.5, "length": 1, "friction": 0.3},
                ]
            },
            "the one at 0.5 m begins on the one at 0 m",
        ),
        ({"delay_jitter": "3 ms"}, "delay_jitter: 3 ms is 1.5 control ticks"),
        ({"delay_jitter": -1}, "delay_jitter must be a whole number of ticks, at least 0"),
    ],
)
def test_what_cannot_be_is_refused_with_what_is_allowed(conditions: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError) as error:
        LeggedEvaluator({}).check_conditions(conditions)
    assert why in str(error.value)


def test_fields_come_from_what_a_study_says() -> None:
    assert parse_rough(0.03) == RoughGround(0.03)
    assert parse_rough(None) is None
    assert parse_patches([{"at": -1, "length": 2, "friction": 0.3}]) == (FrictionPatch(-1.0, 2.0, 0.3),)
    world = LeggedEvaluator({}).world({"delay_jitter": "4 ms", "disturbance": "rough"}, {}).disturbance
    assert (world.delay_jitter, world.rough) == (2, RoughGround(0.03))
    check_start(world, load_robot("anymal_c"))
    assert not world.same_everywhere
    assert Disturbance().same_everywhere
    assert slope_quaternion(Disturbance()).tolist() == [1.0, 0.0, 0.0, 0.0]
