"""A monitor that is learned in simulation, kept in a file, and watches a walk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from safebo.boundary.margin_to_go import MarginMonitor
from safebo.boundary.monitor_file import load_monitor, save_monitor
from safebo.errors import FileError
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.evaluation.learning import learn_monitor

FIRM = {"joint.hip.kp": 70.0, "joint.thigh.kp": 70.0, "joint.calf.kp": 70.0}
WEAK = {"joint.hip.kp": 5.0, "joint.thigh.kp": 5.0, "joint.calf.kp": 5.0}
OPTIONS = {"seconds": 0.2, "disturbance": "paper"}


def drawn(number: int) -> dict[str, float]:
    rng = np.random.default_rng(number)
    return {name: float(np.exp(rng.uniform(np.log(5.0), np.log(100.0)))) for name in FIRM}


@pytest.fixture(scope="module")
def monitor() -> MarginMonitor:
    said: list[str] = []
    found = learn_monitor(
        LeggedEvaluator(OPTIONS), [FIRM], {}, drawn, {"tracking": 0.1}, 4, 19, horizon=0.05, say=said.append
    )
    assert said[-1] == "23 of 23 walks with switches"
    return found


def test_weak_gains_are_stopped_and_the_backup_s_are_not(monitor: MarginMonitor) -> None:
    walker = LeggedEvaluator(OPTIONS)
    unwatched = walker.walk(WEAK, {}, 5)
    assert walker.measure(unwatched, {}).margins["tracking"] < 0
    watched = walker.walk(WEAK, {}, 5, monitor)
    assert watched.backup == 0
    at = watched.backup_row - watched.walk_start
    assert monitor.check(unwatched.states[watched.backup_row], at * 0.002 / 0.5) == 0
    assert walker.measure(watched, {}).outcome == "backup"
    assert walker.measure(watched, {}).margins["tracking"] > walker.measure(unwatched, {}).margins["tracking"]
    assert walker.walk(FIRM, {}, 5, monitor).backup == -1


def test_a_monitor_from_its_file_watches_alike(monitor: MarginMonitor, tmp_path: Path) -> None:
    save_monitor(monitor, tmp_path / "one.npz")
    again = load_monitor(tmp_path / "one.npz")
    save_monitor(again, tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert again.calibration == monitor.calibration
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
