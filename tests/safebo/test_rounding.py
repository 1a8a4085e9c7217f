"""Rounding relative to the range: the same trials wherever the bounds lie; older runs go on with their own rule."""

from __future__ import annotations

import json
import sqlite3
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from closed_form_runs import as_older

from safebo.errors import StudyChangedError
from safebo.experiments.robustness.ranges import UNIT, Range, difference, ranges, refusal, too_narrow, tuned
from safebo.runs.runner import run
from safebo.storage.journal import Journal
from safebo.study.axis import PROPOSAL_STEPS
from safebo.types import Trial

STUDY = """
name: bowl
evaluator: {name: "bowl_robot:walk", options: {repeatable: true}}
parameters:
  - {name: kp, bounds: [0, 7]}
  - {name: kd, bounds: [0.1, 10], scale: log}
objective: {name: reward, prior_mean: -0.5, prior_std: 0.6, noise_std: 0.02}
constraints: [{name: margin, prior_mean: -0.3, prior_std: 0.5, noise_std: 0.02}]
seeds: [{parameters: {kp: 3, kd: 1}}]
surrogate: {lengthscale: 0.5}
tuner: {beta: 2, search: {swarm_size: 30, swarm_iterations: 5, restarts: 2}}
trials: 4
"""

ROBOT = """
def walk(parameters, context):
    kp = parameters["kp"] / 7
    return {"objective": -(kp - 0.6) ** 2, "margins": {"margin": 0.5 - (kp - 0.4) ** 2}}
"""

NEW_KEYS = {"type", "choices", "step", "rounding", "parameter_constraints"}


@cache
def on_unit_interval() -> list[tuple[Trial, float]]:
    return tuned(UNIT, 4)


@pytest.mark.parametrize("where", [*ranges()[:2], *ranges()[6::16]])
def test_a_study_is_tuned_as_on_the_unit_interval(where: Range) -> None:
    assert difference(on_unit_interval(), where, 4) <= 1.0 / PROPOSAL_STEPS


@pytest.mark.parametrize("where", too_narrow())
def test_ranges_that_hold_too_few_numbers_are_refused_in_one_sentence(where: Range) -> None:
    assert "parameters[0].bounds" in refusal(where)
    assert "is too narrow" in refusal(where)


def as_before(folder: Path) -> None:
    """The journal as a version wrote it that knew none of the new keys."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(item) for key, item in value.items() if key not in NEW_KEYS}
        return [without(item) for item in value] if isinstance(value, list) else value

    with sqlite3.connect(folder / "journal.sqlite") as database:
        for column in ("study", "declared"):
            (text,) = database.execute(f"SELECT {column} FROM runs").fetchone()
            database.execute(f"UPDATE runs SET {column} = ?", (json.dumps(without(json.loads(text))),))
        database.execute("UPDATE runs SET study_hash = 'of another version'")
    database.close()
    as_older(folder)


def parameters_of(folder: Path) -> list[Any]:
    with Journal.open(folder, read_only=True) as journal:
        return [dict(r.trial.parameters) for r in journal.records()]


@pytest.mark.slow
def test_an_older_run_goes_on_with_six_significant_digits(tmp_path: Path) -> None:
    (tmp_path / "bowl_robot.py").write_text(ROBOT)
    file, digits, explicit = (tmp_path / name for name in ("study.yaml", "digits.yaml", "range.yaml"))
    file.write_text(STUDY)
    digits.write_text(STUDY.replace("beta: 2", "beta: 2, rounding: digits"))
    explicit.write_text(STUDY.replace("beta: 2", "beta: 2, rounding: range"))
    run(digits, tmp_path / "whole")
    run(file, tmp_path / "new")
    run(digits, tmp_path / "old", trials=2)
    as_before(tmp_path / "old")
    with pytest.raises(StudyChangedError, match=r"tuner\.rounding: 'digits' -> 'range'"):
        run(explicit, tmp_path / "old", trials=4, resume=True)
    run(file, tmp_path / "old", trials=4, resume=True)
    assert parameters_of(tmp_path / "old") == parameters_of(tmp_path / "whole")
    assert parameters_of(tmp_path / "new") != parameters_of(tmp_path / "whole")
