"""Conditions of a walk: what a scenario changes, what a context changes, and what is refused."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from present import present

from safebo.robots.evaluation.conditions import TICK, Segment, VelocityProfile, walk_conditions
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.simulation.disturbance import PRESETS, Disturbance
from safebo.robots.simulation.floor import floor_rise
from safebo.robots.simulation.plant import Simulation
from safebo.runs.runner import run
from safebo.storage.journal import Journal
from safebo.study import Study
from safebo.study.reading import load_study, study_in_python
from safebo.types import Scenario, Trial

FIRM = {
    f"joint.{kind}.{gain}": value
    for kind in ("hip", "thigh", "calf")
    for gain, value in (("kp", 70.0), ("kd", 3.2))
}
PAPER = PRESETS["paper"]
EVALUATOR = LeggedEvaluator({"seconds": 1.4, "disturbance": "paper"})


def world(conditions: dict[str, Any], context: dict[str, float] | None = None) -> Any:
    return walk_conditions(conditions, context or {}, PAPER, (0.5, 0.0, 0.0), 5.0)


@cache
def nominal() -> Any:
    return walked({})


def walked(conditions: dict[str, Any] | None, context: dict[str, float] | None = None) -> Any:
    scenario = None if conditions is None else Scenario("one", conditions)
    return EVALUATOR.evaluate(Trial(1, FIRM, context or {}, "default", "manual", 3, False, scenario=scenario))


def test_conditions_go_over_the_studys_own_gap_and_leave_the_rest_of_it() -> None:
    assert world({}).disturbance == PAPER
    found = world({"payload_mass": 2.0, "foot_friction": 0.4, "sensor_noise": False}).disturbance
    assert (found.payload_mass, found.foot_friction) == (2.0, 0.4)
    assert found.torque_factor == PAPER.torque_factor
    assert not np.any(found.sensor_noise.channel_std())
    pushed = world({"disturbance": "pushed", "torque_factor": 0.8}).disturbance
    assert pushed.pushes == PRESETS["pushed"].pushes
    assert pushed.joint_impedance == PAPER.joint_impedance  # a preset changes what it names
    assert pushed.torque_factor == (0.8,) * 4
    own = world({"disturbance": {"preset": "slippery", "control_delay": 0}}).disturbance
    assert (own.foot_friction, own.control_delay) == (PRESETS["slippery"].foot_friction, 0)


def test_delays_may_be_times_that_are_whole_ticks() -> None:
    assert Simulation(EVALUATOR.robot).period == TICK
    assert world({"control_delay": 3}).disturbance.control_delay == 3
    assert world({"command_delay": "4 ms"}).disturbance.command_delay == 2
    assert world({"command_delay": "0.006 s"}).disturbance.command_delay == 3
    with pytest.raises(ValueError, match=r"3 ms is 1.5 control ticks of 2 ms.*give 2 ms or 4 ms"):
        world({"control_delay": "3 ms"})
    with pytest.raises(ValueError, match=r"whole number of ticks, at least 0, got 1\.5"):
        world({"control_delay": 1.5})


@pytest.mark.parametrize(
    ("conditions", "why"),
    [
        (
            {"paylod_mass": 1.0},
            "unknown condition 'paylod_mass'; did you mean 'payload_mass'? (allowed: disturbance",
        ),
        ({"payload_mass": -1.0}, "payload_mass must be at least 0 kg"),
        ({"disturbance": "icy"}, "unknown preset 'icy'"),
        ({"disturbance": 3}, "must be a preset's name or a mapping"),
        ({"slope": 60}, "slope must be at most 45 degrees"),
        ({"velocity": [0.5, 0.0]}, "velocity must be [forward"),
        (
            {"velocity": [{"seconds": 2, "forwards": 0.3}]},
            "velocity[0]: unknown key 'forwards'; did you mean 'forward'",
        ),
        ({"velocity": [{"forward": 0.3}]}, "velocity[0]: seconds must be a number > 0, got None"),
        ({"velocity": [{"seconds": 9.0}]}, "its segments take 9 s, and a walk lasts 5 s"),
        ({"velocity": [9.0, 0.0, 0.0]}, "velocity[0] must be a number from -5 to 5"),
        ({"plant": "robots/mine.xml"}, "give a robot's name or an absolute path"),
        ({"plant": "spot"}, "spot"),
    ],
)
def test_what_cannot_be_is_refused_with_what_is_allowed(conditions: dict[str, Any], why: str) -> None:
    evaluator = LeggedEvaluator({"seconds": 5.0})
    with pytest.raises(ValueError) as error:
        evaluator.check_conditions(conditions)
    assert why in str(error.value)


def test_a_velocity_profile_is_linear_between_its_segments() -> None:
    profile = VelocityProfile((Segment(2.0, 0.4), Segment(1.0, 0.0, 0.2), Segment(1.0, yaw_rate=0.5)), 0.5)
    assert profile(0.25) == pytest.approx((0.2, 0.0, 0.0))
    assert profile(1.9) == pytest.approx((0.4, 0.0, 0.0))
    assert profile(2.25) == pytest.approx((0.2, 0.1, 0.0))
    assert profile(60.0) == pytest.approx((0.0, 0.0, 0.5))
    time = np.array([0.5, 2.0, 3.5, 9.0])
    assert profile.settled(time) == pytest.approx([0.5, 0.0, 0.5, 6.0])
    assert profile.course(time, 0.3) == pytest.approx(np.array([[0.3, 0], [0.3, 0], [0, 0], [0, 0]]))


def test_a_profile_is_what_the_robot_walks_and_what_it_is_measured_against() -> None:
    segments = [{"seconds": 0.7, "forward": 0.3}, {"seconds": 0.7}]
    stopping = EVALUATOR.walk(FIRM, {}, 3, conditions={"velocity": segments})
    going = EVALUATOR.walk(FIRM, {}, 3, conditions={"velocity": [0.3, 0.0, 0.0]})
    speed = [float(r.base_velocity[-100:, 0].mean()) for r in (stopping, going)]
    assert speed[0] < 0.5 * speed[1]
    assert np.array_equal(
        stopping.base_position[: stopping.walk_start + 350], going.base_position[: going.walk_start + 350]
    )


def test_a_context_does_what_the_condition_does() -> None:
    names = {c.name for c in EVALUATOR.info().contexts}
    assert {"payload.mass", "foot_friction", "velocity.forward", "gait.duty_factor"} <= names
    for conditions, context in (
        ({"payload_mass": 2.0}, {"payload.mass": 2.0}),
        ({"foot_friction": 0.4}, {"foot_friction": 0.4}),
        ({"velocity": [0.3, 0.0, 0.0]}, {"velocity.forward": 0.3}),
    ):
        as_scenario, as_context = walked(conditions), walked(None, context)
        assert as_scenario.objective == as_context.objective
        assert as_scenario.margins == as_context.margins
        assert as_scenario.objective != nominal().objective
    assert nominal().objective == walked(None).objective


def test_the_floor_rises_as_much_as_it_says_and_the_robot_starts_on_it() -> None:
    gap = Disturbance(slope=(10.0, 0.0))
    assert floor_rise(gap, np.array([2.0, 0.3, 0.0])) == pytest.approx(2.0 * math.tan(math.radians(10.0)))
    simulation = Simulation(EVALUATOR.robot, Disturbance(slope=(10.0, 5.0)))
    feet = simulation.data.geom_xpos[simulation.index.foot_geom]
    normal = simulation.data.geom_xmat[simulation.index.floor_geoms[0]].reshape(3, 3)[:, 2]
    assert (feet @ normal).min() == pytest.approx(EVALUATOR.robot.foot_radius, abs=1e-6)
    over = feet - normal * EVALUATOR.robot.foot_radius
    assert over[:, 2].min() - floor_rise(simulation.disturbance, over[np.argmin(feet @ normal)]) <= 0.2
    level = feet - np.outer(feet @ normal, normal)
    assert level[:, 2] == pytest.approx(floor_rise(simulation.disturbance, level), abs=1e-9)


def test_uphill_the_robot_climbs_and_its_height_is_over_the_floor() -> None:
    found = walked({"slope": 5})
    assert found.outcome == "completed"
    level = nominal()
    assert present(found.true_margins)["height"] == pytest.approx(
        present(level.true_margins)["height"], abs=0.02
    )
    record = EVALUATOR.walk(FIRM, {}, 3, conditions={"slope": 5})
    way = record.base_position[-1] - record.base_position[record.walk_start]
    assert way[2] == pytest.approx(way[0] * math.tan(math.radians(5.0)), abs=0.02)
    assert way[0] > 0.2


def test_another_robot_walks_as_plant() -> None:
    found, own = walked({"plant": "go2"}), nominal()
    assert found.outcome == "completed"
    assert found.objective != own.objective


def test_every_scenario_has_its_own_trajectory(tmp_path: Any) -> None:
    evaluator = LeggedEvaluator({"seconds": 0.4, "telemetry": True})
    evaluator.record_into(tmp_path, tmp_path)
    files = []
    for name in ("nominal", "loaded"):
        trial = Trial(4, FIRM, {}, "default", "manual", 3, False, scenario=Scenario(name, {}))
        files.append(evaluator.evaluate(trial).telemetry)
    assert files == ["trial-00004-nominal.parquet", "trial-00004-loaded.parquet"]
    assert all((tmp_path / file).exists() for file in files)


def test_a_study_of_two_scenarios_is_tuned(tmp_path: Path) -> None:
    options = {"seconds": 1.2, "telemetry": False, "objective_after": 0.0}
    document = load_study("go1-trot").study.model_dump(mode="json")
    document["evaluator"]["options"] |= options
    document["scenarios"] = {"values": {"nominal": {}, "loaded": {"payload_mass": 1.0}}}
    document["trials"] = 3
    file = study_in_python(Study.model_validate(document))
    with ThreadPoolExecutor(1) as executor:
        run(file, tmp_path / "run", seed=1, executor=executor)
    with Journal.open(tmp_path / "run", read_only=True) as journal:
        records = journal.records()
    assert len(records) == 3
    for record in records:
        shown = present(record.measurement)
        walks = shown.scenarios
        assert set(walks) == {"nominal", "loaded"}
        assert shown.objective == min(present(walk.objective) for walk in walks.values())
        assert walks["nominal"].objective != walks["loaded"].objective
        assert shown.duration == pytest.approx(2.4)
