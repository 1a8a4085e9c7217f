"""The evidence of drift: studies that differ in one key, what counts as a violation, a table of what is there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from safebo.experiments.evidence import drift
from safebo.study.reading import check_study
from safebo.types import Measurement


def test_the_two_studies_differ_in_the_time_alone() -> None:
    static, timed = (drift.robot_study(t, drift.DRIFT) for t in (False, True))
    check_study(timed)
    assert static.surrogate.time is None
    assert timed.surrogate.time is not None
    assert timed.surrogate.time.memory == 6000.0
    bare = timed.surrogate.model_copy(update={"time": None})
    assert timed.model_copy(update={"surrogate": bare}) == static


def test_a_violation_is_one_by_the_truth() -> None:
    lucky = Measurement("completed", 1.0, {"tracking": 0.1}, true_margins={"tracking": -0.01})
    unlucky = Measurement("completed", 1.0, {"tracking": -0.01}, true_margins={"tracking": 0.01})
    fallen = Measurement("aborted", None, {"tracking": 0.1}, fell=True, true_margins={"tracking": 0.1})
    assert [drift.violates(m) for m in (lucky, unlucky, fallen)] == [True, False, True]


def test_drawn_functions_forget_as_fast_as_they_are_declared_to() -> None:
    f = drift.drawn(0, 40)
    assert f.shape == (2, 40, drift.POINTS)
    assert f[1, :, drift.POINTS // 2].min() > 0.5
    steps = np.concatenate([drift.drawn(seed, 40)[0] for seed in range(6)])
    now, later = steps.reshape(6, 40, -1)[:, :-10].ravel(), steps.reshape(6, 40, -1)[:, 10:].ravel()
    assert abs(float(np.mean((now - later) ** 2) / 2) - (1 - np.exp(-1 / 6))) < 0.1


def test_runs_are_kept_and_counted(tmp_path: Path) -> None:
    row = drift.function_run(True, 0, 5)
    assert set(row) == {"violating", "regret", "stopped"}
    trials = [{"phase": "seed", "violates": False, "margin": 0.1, "objective": -1.0}] * 11
    bad = [*trials, {"phase": "local", "violates": True, "margin": -0.1, "objective": None}]
    lines = [
        {"name": "go1 static", "seed": 0, "trials": bad, "stopped": ""},
        {"name": "go1 static", "seed": 1, "trials": trials, "stopped": "EmptySafeSetError: nothing"},
        {"name": "functions expiring", "seed": 0, **row},
        {"name": "references", "seed": 0, "seed_objective": -1.0, "best": -0.5},
        {"name": "step", "seed": 0, "violating": 0, "after": [-0.5, -0.6, None, -0.9, -0.6, -0.52, -0.5]},
    ]
    file = tmp_path / "runs.jsonl"
    file.write_text(
        "\n".join(json.dumps(line) for line in lines) + '\n{"name": "go1 st'
    )  # killed while it wrote
    found = drift.read(file)
    assert sorted(found) == [
        ("functions expiring", 0),
        ("go1 static", 0),
        ("go1 static", 1),
        ("references", 0),
        ("step", 0),
    ]
    words = drift.table(found).splitlines()[1].split()
    assert "5 trials after the step: 0.96" in drift.table(found)
    assert "at least 0.9 of it: 5" in drift.table(found)
    assert words[:6] == ["go1", "static", "2", "1", "1", "11"]
