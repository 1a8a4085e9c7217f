"""A trial's strides: what the gate keeps, and that a journal gives it back."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from journals import create, trial

from safebo.evaluators.gate import checked_measurement
from safebo.evaluators.strides import MAX_STRIDES, checked_strides
from safebo.storage.journal import Journal
from safebo.study import Study
from safebo.types import Measurement, Strides

STUDY = Study.model_validate(
    {
        "name": "hop",
        "evaluator": {"name": "m:f"},
        "parameters": [{"name": "kp", "bounds": [0, 1]}],
        "objective": {"name": "speed"},
        "constraints": [{"name": "height"}],
        "seeds": [{"parameters": {"kp": 0.5}}],
    }
)
GOOD: dict[str, Any] = {
    "period": 0.5,
    "start": 1,
    "objective": [0.1234567891, 2],
    "margins": {"height": [0.2, 0.1]},
}
RIGHT = Strides(0.5, 1.0, (0.1234568, 2.0), {"height": (0.2, 0.1)})


def told(strides: Any) -> Measurement:
    return checked_measurement({"objective": 1.0, "margins": {"height": 0.1}, "strides": strides}, STUDY)


@pytest.mark.parametrize("value", [GOOD, Strides(**GOOD), json.loads(json.dumps(GOOD))])
def test_the_gate_keeps_strides_as_plain_numbers(value: Any) -> None:
    assert told(value).strides == RIGHT
    assert checked_strides(RIGHT) == RIGHT


def test_an_objective_or_margins_alone_will_do() -> None:
    assert told({"period": 1, "margins": {"height": [1, 2]}}).strides == Strides(
        1.0, 0.0, (), {"height": (1.0, 2.0)}
    )
    assert told({"period": 1, "objective": [1, 2]}).strides == Strides(1.0, 0.0, (1.0, 2.0), {})


@pytest.mark.parametrize(
    "change",
    [
        {"period": 0},
        {"period": None},
        {"period": "0.5"},
        {"period": math.inf},
        {"start": -1},
        {"start": "soon"},
        {"objective": [1.0]},
        {"objective": "12"},
        {"objective": 3},
        {"objective": [[1.0, 2.0]]},
        {"margins": [1.0, 2.0]},
        {"margins": {"height": [1.0, math.nan]}},
        {"margins": {"height": ["a", "b"]}},
        {"margins": {"height": [0.2, 0.1], "torque": [1.0]}},
        {"margins": {"height": [0.2, 0.1], "torque": []}},
        {"objective": [], "margins": {}},
        {"objective": [], "margins": {"height": [0.0] * (MAX_STRIDES + 1)}},
        {"speed": 1},
    ],
)
def test_a_wrong_kind_spoils_itself_and_not_the_trial(change: dict[str, Any]) -> None:
    found = told({**GOOD, **change})
    assert found == Measurement("completed", 1.0, {"height": 0.1})


@pytest.mark.parametrize(
    ("value", "kept"),
    [("unsafe", "unsafe"), ("settled", "settled"), ("bored", ""), (3, ""), (["unsafe"], ""), (None, "")],
)
def test_why_a_trial_ended_is_kept_where_it_is_a_reason(value: Any, kept: str) -> None:
    answer = {"objective": 1.0, "margins": {"height": -0.1}, "ended": value}
    assert checked_measurement(answer, STUDY).ended == kept
    assert checked_measurement({**answer, "outcome": "aborted"}, STUDY).ended == ""


@pytest.mark.parametrize("value", ["x", 3, [1], True])
def test_strides_that_are_no_mapping_are_left_out(value: Any) -> None:
    assert told(value).strides is None


def test_a_journal_gives_strides_back_and_keeps_them_apart_from_further_numbers(tmp_path: Path) -> None:
    measured = replace(told(GOOD), extra={"objective.speed": 2.0}, ended="unsafe")
    bare = replace(told(None), extra={"safebo.trial": 3.0})
    with create(tmp_path / "run") as journal:
        for number, measurement in ((1, measured), (2, bare)):
            journal.ask(trial(number), round=0)
            journal.tell(number, measurement)
    with Journal.open(tmp_path / "run", read_only=True) as journal:
        assert [r.measurement for r in journal.records()] == [measured, bare]
