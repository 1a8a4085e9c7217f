"""What repeated trials say of their length."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from test_horizon import study

from safebo.console.trial_table import trial_summary
from safebo.report.data import ReportData
from safebo.report.summary import summarize
from safebo.runs.length_advice import length_advice
from safebo.storage.records import Record
from safebo.types import Measurement, Strides, Trial


def records(
    between: float, within: float, trials: int = 40, strides: int = 10, kp: float = 0.5
) -> list[Record]:
    rng = np.random.default_rng(0)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    found = []
    for i in range(1, trials + 1):
        values = 1.0 + between * rng.normal() + within * rng.normal(size=strides)
        m = Measurement(
            "completed",
            float(values.mean()),
            {"height": 0.1},
            duration=6.0,
            strides=Strides(0.5, 1.0, tuple(values.tolist())),
        )
        trial = Trial(i, {"kp": kp}, {}, "default", "seed", i, True)
        found.append(Record(trial=trial, measurement=m, asked_at=now, told_at=now, round=i))
    return found


def test_noise_between_trials_asks_for_more_trials_and_noise_within_for_longer_ones() -> None:
    # Var = 0.09 + 0.1 / 10: 90 %; n* = sqrt(1 s x 0.1 / (0.5 s x 0.09)) = 1.5, so two strides after 1 s.
    said = length_advice(records(0.3, 0.1**0.5), study())
    share = int(said.split(" %")[0].split()[-1])
    assert share == pytest.approx(90, abs=5)
    assert "more trials help, longer ones hardly" in said
    assert "about 2 s" in said
    # Var = 0.01 + 1 / 10: 9 %.
    said = length_advice(records(0.1, 1.0), study())
    assert int(said.split(" %")[0].split()[-1]) < 35
    assert "longer trials help" in said


def test_without_repeats_or_strides_nothing_is_said() -> None:
    assert length_advice(records(0.3, 0.1, trials=2), study()) == ""
    assert length_advice([], study()) == ""
    few = [
        replace(r, trial=replace(r.trial, parameters={"kp": 0.01 * i}))
        for i, r in enumerate(records(0.3, 0.1))
    ]
    assert length_advice(few, study()) == ""
    bare = [replace(r, measurement=replace(r.measurement, strides=None)) for r in records(0.3, 0.1)]  # type: ignore[type-var]
    assert length_advice(bare, study()) == ""


def test_trials_and_report_end_with_it() -> None:
    told = records(0.3, 0.1)
    said = length_advice(told, study())
    assert said
    assert trial_summary(told, study())[-1] == said
    assert summarize(ReportData(study(), tuple(told), ())).sentence.endswith(said)
