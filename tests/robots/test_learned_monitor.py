"""A monitor that is learned in simulation, kept in a file, and watches a walk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from safebo.boundary.margin_to_go import MarginMonitor, recent
from safebo.boundary.monitor_file import load_monitor, save_monitor
from safebo.errors import FileError
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.evaluation.shown import PresentMargins, shown_margins
from safebo.robots.evaluation.watching import RAMP_TICKS
from safebo.study import Study
from safebo.study.evaluator_checks import with_defaults
from safebo.tuner.encoding import StudyEncoding
from safebo.tuner.learning import MonitorLearning
from safebo.types import FloatArray, Trial

FIRM = {"joint.hip.kp": 70.0, "joint.thigh.kp": 70.0, "joint.calf.kp": 70.0}
WEAK = {"joint.hip.kp": 5.0, "joint.thigh.kp": 5.0, "joint.calf.kp": 5.0}
OPTIONS = {"seconds": 0.2, "disturbance": "paper"}


def study() -> Study:
    bounds = {"bounds": [5, 25], "scale": "log"}
    return Study.model_validate(
        {
            "name": "short",
            "evaluator": {"name": "legged", "options": OPTIONS},
            "parameters": [{"name": name, **bounds} for name in FIRM],
            "objective": {"name": "tracking"},
            "constraints": [{"name": "tracking", "prior_std": 0.1}],
            "seeds": [{"parameters": FIRM}],
            "tuner": {
                "method": "gosafeopt",
                "backup": {
                    "rule": "margin_to_go",
                    "fit": 10,
                    "calibration": 9,
                    "alpha": 0.1,
                    "horizon": 0.05,
                },
            },
        }
    )


@pytest.fixture(scope="module")
def monitor() -> MarginMonitor:
    walker = LeggedEvaluator(OPTIONS)
    return MonitorLearning(
        StudyEncoding(with_defaults(study(), walker.info())),
        Trial(3, {}, {}, "default", "global", 1, certified=False),
        [FIRM],
        lambda plans: [walker.try_switches(*plan) for plan in plans],
    ).learn()


def test_weak_gains_are_stopped_and_the_backup_s_are_not(monitor: MarginMonitor) -> None:
    walker = LeggedEvaluator(OPTIONS)
    unwatched = walker.walk(WEAK, {}, 5)
    assert walker.measure(unwatched, {}).margins["tracking"] < 0
    watched = walker.walk(WEAK, {}, 5, monitor)
    assert watched.backup == 0
    assert monitor.ramp == RAMP_TICKS
    at = watched.backup_row - watched.walk_start
    tracking = 0.1 - np.square(unwatched.desired_position - unwatched.measured_position).sum(axis=1)
    shown = recent(tracking[unwatched.walk_start :, None], np.arange(at + 1))
    states = unwatched.states[unwatched.walk_start :]
    assert monitor.shown == ("tracking",)
    asked = [monitor.check(states[t], t * 0.002 / 0.5 % 1.0, shown[t]) for t in range(at + 1)]
    assert asked == [-1] * at + [0]
    assert walker.measure(watched, {}).outcome == "backup"
    assert walker.measure(watched, {}).margins["tracking"] > walker.measure(unwatched, {}).margins["tracking"]
    assert walker.walk(FIRM, {}, 5, monitor).backup == -1


@pytest.mark.parametrize(
    "conditions", [{}, {"velocity": [{"seconds": 0.1, "forward": 0.3}, {"seconds": 0.1, "forward": 0.6}]}]
)
def test_margins_are_shown_as_far_as_they_are_known_in_a_tick(conditions: dict[str, Any]) -> None:
    walker, names = LeggedEvaluator(OPTIONS), ("torque", "tracking", "velocity", "height")
    walk = walker.begin(WEAK, {}, 5, conditions=conditions)
    gait, scoring = walker.gait({}), walker.scoring.under(walker.world(conditions, {}))
    present, live = PresentMargins(scoring, gait, names), []

    def look(state: FloatArray) -> int:
        live.append(present(walk.record, walk.row))
        return -1

    walk._watch = look
    record = walk.to_end()
    course = scoring.margins_over_time(scoring.seen(record, False, gait), len(record) - record.walk_start)
    after = shown_margins(course, (*names, "some formula"), scoring)
    assert tuple(after) == names
    np.testing.assert_array_equal(np.array(live), np.column_stack(list(after.values())))
    np.testing.assert_array_equal(after["torque"][1:], course["torque"][:-1])


def test_a_monitor_from_its_file_watches_alike(monitor: MarginMonitor, tmp_path: Path) -> None:
    save_monitor(monitor, tmp_path / "one.npz")
    again = load_monitor(tmp_path / "one.npz")
    save_monitor(again, tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert again.calibration == monitor.calibration
    assert again.shown == monitor.shown
    np.testing.assert_array_equal(again.units, monitor.units)
    assert again.backups == monitor.backups
    walker = LeggedEvaluator(OPTIONS)
    one, two = (walker.walk(WEAK, {}, 6, watching) for watching in (monitor, again))
    assert one.backup_row == two.backup_row
    np.testing.assert_array_equal(one.states, two.states)


def test_files_that_are_no_monitor_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none\.npz: cannot be read"):
        load_monitor(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("kp: 3")
    np.savez(tmp_path / "other.npz", rows=np.zeros(3))
    for name in ("text", "other"):
        with pytest.raises(FileError, match=f"{name}.npz: no monitor of the margin to go"):
            load_monitor(tmp_path / f"{name}.npz")
