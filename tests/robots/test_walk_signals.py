"""Signals of a walk by name: against the plant's own numbers, and what an evaluator makes of written margins."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from present import present

from safebo.robots.descriptions.model import load_robot
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.evaluation.margins import to_go
from safebo.robots.evaluation.signals import WalkTrace, signals_of
from safebo.robots.simulation.rollout import WalkRecording
from safebo.types import EarlyEnd, Measurement, Trial

ERROR = "norm(velocity.x - command.x, velocity.y - command.y)"
RECOVER = f"always ({ERROR} > 0.3 m/s implies eventually[0 s, 1 s] always[0 s, 0.2 s] {ERROR} <= 0.05 m/s)"
OPTIONS = {
    "seconds": 2.5,
    "state_choice": "even",
    "disturbance": {"preset": "weak_motors", "pushes": [{"time": 1.1, "duration": 0.1, "force": [0, 60, 0]}]},
    "margins": [
        {"name": "recover", "stl": RECOVER},
        {"name": "upright", "stl": "always eventually[0 s, 0.2 s] max(abs(roll), abs(pitch)) <= 20 deg"},
        {"name": "high", "stl": "always[0.5 s, end] height >= 0.18 m"},
    ],
}
TRIAL = Trial(2, {}, {}, "default", "local", seed=5, certified=True)


@pytest.fixture(scope="module")
def evaluator() -> LeggedEvaluator:
    return LeggedEvaluator({**OPTIONS, "objective": "cost_of_transport"})


@pytest.fixture(scope="module")
def record(evaluator: LeggedEvaluator) -> WalkRecording:
    return evaluator.walk({}, {}, 5)


@pytest.fixture(scope="module")
def measured(evaluator: LeggedEvaluator, record: WalkRecording) -> Measurement:
    return evaluator.measure(record, {})


def traces(evaluator: LeggedEvaluator, record: WalkRecording) -> tuple[WalkTrace, WalkTrace]:
    gait = evaluator.gait({})
    observed, true = (evaluator.scoring.seen(record, t, gait).trace for t in (False, True))
    return observed, true


def test_feet_are_where_mujoco_has_them_and_roll_without_slipping(evaluator, record) -> None:
    robot, (_, trace) = evaluator.robot, traces(evaluator, record)
    model, index = robot.load_mujoco(), None
    data, index = mujoco.MjData(model), robot.mujoco_index(model)
    for row in (100, 700, 1100):
        at = record.walk_start + row
        base, dof = index.base_qpos, index.base_dof
        data.qpos[base : base + 7] = np.append(record.base_position[at], record.base_orientation[at])
        data.qpos[index.qpos] = record.joint_position[at]
        data.qvel[dof : dof + 6] = np.append(record.base_velocity[at], record.base_rate[at])
        data.qvel[index.dof] = record.joint_velocity[at]
        mujoco.mj_forward(model, data)
        for leg, geom in enumerate(index.foot_geom):
            centre, velocity = data.geom_xpos[geom], np.zeros(6)
            mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_GEOM, geom, velocity, 0)
            rate, linear = velocity[:3], velocity[3:]
            low = linear + np.cross(rate, [0.0, 0.0, -robot.foot_radius])
            assert trace["foot.height"][row, leg] == pytest.approx(centre[2] - robot.foot_radius, abs=1e-9)
            assert trace["foot.speed"][row, leg] == pytest.approx(np.linalg.norm(linear), abs=1e-9)
            if trace["foot.contact"][row, leg]:
                assert trace["foot.slip"][row, leg] == pytest.approx(np.hypot(*low[:2]), abs=1e-9)
    standing = trace["foot.contact"] > 0
    assert np.median(trace["foot.slip"][standing]) < 0.01
    assert not trace["foot.slip"][~standing].any()


def test_parts_of_a_signal_are_columns_of_it(evaluator, record) -> None:
    trace = traces(evaluator, record)[0]
    assert trace["torque.rl.thigh"].tolist() == trace["torque"][:, 7].tolist()
    np.testing.assert_array_equal(trace["joint.velocity.fr"], trace["joint.velocity"][:, 3:6])
    np.testing.assert_array_equal(trace["power.calf"], trace["power"][:, 2::3])
    np.testing.assert_array_equal(trace["foot.height.rr"], trace["foot.height"][:, 3])
    known = signals_of(evaluator.robot)
    assert known["power.calf"].parts == ("fl.calf", "fr.calf", "rl.calf", "rr.calf")
    for name, info in known.items():
        if info.value is None:
            assert trace[name].shape == ((len(trace), len(info.parts)) if info.parts else (len(trace),)), name
            assert np.isfinite(trace[name]).all(), name


def test_signals_that_add_up_and_signals_that_are_seen_twice(evaluator, record) -> None:
    observed, true = traces(evaluator, record)
    driving = np.maximum(true["torque"] * true["joint.velocity"], 0).sum(axis=1)
    assert true["work"][-1] == pytest.approx(driving.sum() * 0.002)
    assert true["distance"][-1] == pytest.approx(0.5 * 2.25, rel=0.2)
    assert not np.array_equal(observed["roll"], true["roll"])
    assert np.array_equal(observed["torque"], true["torque"])
    assert true["command.x"][[0, 125, 600]].tolist() == [0.0, 0.25, 0.5]
    assert np.abs(observed["torque_share"]).max() <= 1.0
    # The ground carries the robot, on average over whole strides, and pushes only where it is touched.
    force = true["foot.force"]
    assert force[250:500].sum(axis=1).mean() == pytest.approx(evaluator.robot.mass * 9.81, rel=0.03)
    assert not force[1:][(true["foot.contact"][:-1] == 0) & (true["foot.contact"][1:] == 0)].any()


def test_a_study_is_told_names_units_and_what_they_say(evaluator) -> None:
    info = evaluator.info()
    margins = {q.name: q for q in info.margins}
    assert list(margins)[-3:] == ["recover", "upright", "high"]
    assert margins["recover"].unit == "1"
    assert RECOVER in margins["recover"].description
    assert (info.objectives[0].name, info.objectives[0].unit) == ("cost_of_transport", "1")
    assert info.margins_to_go
    reach = LeggedEvaluator(
        {**OPTIONS, "margins": [{"name": "reach", "stl": "eventually[1 s, 2 s] distance >= 0.3 m"}]}
    )
    assert not reach.info().margins_to_go
    measured = reach.evaluate(TRIAL)
    assert measured.margins["reach"] > 0
    assert measured.margins_to_go is None
    assert "reach" not in present(measured.strides).margins


def test_a_written_margin_goes_on_over_time_like_any_other(evaluator, record, measured) -> None:
    assert measured.outcome == "completed"
    assert measured.margins["recover"] < 0  # the push throws it to 0.6 m/s and more
    assert "recover" in measured.message
    assert measured.extra["recover.comparison"] in (1.0, 2.0)
    assert 1.1 < measured.extra["recover.time"] < 2.5
    assert measured.true_margins.keys() == measured.margins.keys()
    observed = evaluator.scoring.seen(record, False, evaluator.gait({}))
    course = evaluator.scoring.margins_over_time(observed, len(observed.trace))
    for name in ("recover", "upright", "high"):
        on = present(measured.margins_to_go)[name]
        assert on[0] == measured.margins[name]
        assert (np.diff(on) >= 0).all()
        np.testing.assert_array_equal(on, to_go(course[name])[::10])
    # Windows of 1.2 s: the first strides in which each has closed begin at 1.5 s.
    strides = present(measured.strides)
    assert strides.start == 1.5
    assert min(strides.margins["recover"]) == measured.margins["recover"]
    assert strides.count == 2
    assert measured.extra["objective.cost_of_transport"] == measured.objective
    assert -1.0 < present(measured.objective) < -0.2


def test_a_fall_leaves_no_written_margin_above_minus_one() -> None:
    soft = {f"joint.{k}.{g}": v for k in ("hip", "thigh", "calf") for g, v in (("kp", 8.0), ("kd", 0.3))}
    gap = {"preset": "paper", "joint_impedance": [-40, -1]}
    fallen = LeggedEvaluator({**OPTIONS, "disturbance": gap}).evaluate(replace(TRIAL, parameters=soft))
    assert fallen.outcome == "aborted"
    for margins in (fallen.margins, present(fallen.true_margins)):
        assert all(
            np.isfinite(margins[name]) and margins[name] <= -1 for name in ("recover", "upright", "high")
        )


def test_a_walk_ends_once_a_written_margin_cannot_be_kept_and_not_before(measured) -> None:
    soon = {
        "name": "soon",
        "stl": f"always ({ERROR} > 0.3 m/s implies eventually[0 s, 0.1 s] {ERROR} <= 0.05 m/s)",
    }
    options = {**OPTIONS, "margins": [soon], "seconds": 4.0}
    full = LeggedEvaluator(options).evaluate(TRIAL)
    rule = EarlyEnd(("soon",))
    short = LeggedEvaluator(options).evaluate(replace(TRIAL, early_end=rule))
    assert (short.outcome, short.ended) == ("completed", "unsafe")
    assert short.duration == pytest.approx(1.5)  # the push comes after 1.1 s, strides end every half second
    assert 0 > short.margins["soon"] >= full.margins["soon"]
    assert present(short.margins_to_go)["soon"][0] == short.margins["soon"]
    # One that is no constraint ends nothing.
    other = LeggedEvaluator(options).evaluate(replace(TRIAL, early_end=EarlyEnd(("height",))))
    assert (other.ended, other.margins) == ("", full.margins)
    # While another has not closed once, nothing ends: what it is worth could not be told.
    slow = {"name": "slow", "stl": "always eventually[0 s, 2.2 s] roll <= 20 deg"}
    later = LeggedEvaluator({**options, "margins": [soon, slow]}).evaluate(replace(TRIAL, early_end=rule))
    assert later.ended == "unsafe"
    assert later.duration == pytest.approx(2.5)


def test_a_written_cost_ends_a_walk_as_a_built_in_one_does() -> None:
    costly = {"name": "tilted", "minimise": "mean(norm(roll, pitch)) / (1 deg)"}
    options = {"seconds": 3.0, "disturbance": "paper", "objective": costly}
    rule = EarlyEnd(("height",), dominated=-1e-6)
    assert LeggedEvaluator(options).evaluate(replace(TRIAL, early_end=rule)).ended == "dominated"
    # The same, as something to maximise that may be gained back: never dominated.
    gain = {"name": "gained", "maximise": "mean(0.001 rad - norm(roll, pitch))"}
    kept = LeggedEvaluator({**options, "objective": gain}).evaluate(replace(TRIAL, early_end=rule))
    assert kept.ended == ""


def test_a_walk_too_short_for_a_window_is_refused_before_it_begins() -> None:
    with pytest.raises(ValueError, match=r"margin 'recover': .*walk of 1 s.*it takes 1.202 s"):
        LeggedEvaluator({**OPTIONS, "seconds": 1.0})
    strides = [{"name": "calm", "stl": "always eventually[0 s, 2 stride] roll <= 20 deg"}]
    evaluator = LeggedEvaluator({**OPTIONS, "margins": strides})
    with pytest.raises(ValueError, match=r"strides of 2 s\): it takes 4.002 s"):
        evaluator.walk({}, {"gait.stride_duration": 2.0}, 0)
    worst = {"name": "stride", "minimise": "mean(largest(abs(roll), per stride))"}
    with pytest.raises(ValueError, match=r"objective 'stride': no whole stride of 1\.2 s in 1 s"):
        LeggedEvaluator({"seconds": 1.0, "gait": "crawl", "objective": worst})


def test_what_only_a_simulation_records_is_known() -> None:
    slip = LeggedEvaluator({"margins": [{"name": "foot_slip"}], "objective": "energy"})
    assert slip.scoring.simulated == ("foot.slip",)
    assert LeggedEvaluator(OPTIONS).scoring.simulated == ()
    assert load_robot("go1").name == slip.robot.name
