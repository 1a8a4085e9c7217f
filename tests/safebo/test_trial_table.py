"""The table of `safebo show`: whole numbers on any terminal, and what a run comes to under it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from rich.cells import cell_len

from safebo.console.trial_table import trial_summary, trial_table
from safebo.storage.records import Record
from safebo.study import Study
from safebo.types import Measurement, Trial

GAINS = ["joint.hip.kp", "joint.hip_pitch.kd", "步态", "x"]


def study(contexts: tuple[str, ...] = ("default",)) -> Study:
    return Study.model_validate(
        {
            "name": "legs",
            "evaluator": {"name": "python"},
            "parameters": [{"name": name, "unit": "N m/rad", "bounds": [0, 200]} for name in GAINS],
            "objective": {"name": "tracking", "unit": "rad^2 + rad^2/s^2"},
            "constraints": [{"name": "tilt_angle", "unit": "rad"}, {"name": "height"}],
            "context": {"values": {name: {} for name in contexts}},
            "seeds": [{"context": name, "parameters": dict.fromkeys(GAINS, 100)} for name in contexts],
        }
    )


def record(number: int, objective: float, margin: float, context: str = "default", **how: Any) -> Record:
    trial = Trial(
        number, dict.fromkeys(GAINS, 100 + number / 7), {}, context, "local", 1, certified=True, predicted={}
    )
    margins = {"tilt_angle": margin, "height": 1.0}
    told: dict[str, Any] = {"outcome": "completed", "objective": objective, "margins": margins, **how}
    measured = Measurement(**told)
    return Record(trial, measured, asked_at=datetime.now(UTC), told_at=None, round=0)


RECORDS = [record(i, -1.2345 * i, 0.12345 * (3 - i)) for i in range(1, 8)]


@pytest.mark.parametrize("width", [None, 10, *range(30, 200, 7)])
def test_numbers_are_whole_and_lines_fit_at_any_width(width: int | None) -> None:
    lines = trial_table(RECORDS, study(), width).plain.splitlines()
    rows = [line.split() for line in lines if "completed" in line]
    assert [row[0] for row in rows] == [str(i) for i in range(1, 8)]
    for i, row in enumerate(rows, 1):
        ending = [f"{-1.2345 * i:.4g}", f"{0.12345 * (3 - i):.4g}", "1", "completed"]
        gains = [f"{100 + i / 7:.4g}"] * 4
        assert row in ([str(i), "local", *gains, *ending], [str(i), "local", *ending])
    left_out = lines[-1].startswith("The gains need ")
    assert left_out == (len(rows[0]) < 10)
    if width is None:
        assert not left_out
        assert "joint.hip_pitch.kd [N m/rad]" in lines[0]
    if left_out:
        needed = int(lines[-1].split()[3])
        assert width is not None
        assert width < needed
        assert not trial_table(RECORDS, study(), needed).plain.splitlines()[-1].startswith("The gains")
    elif width is not None:
        assert max(map(cell_len, lines)) <= width
    ends = {cell_len(line[: line.index("completed")]) for line in lines if "completed" in line}
    assert len(ends) == 1


def test_a_long_table_repeats_its_heading() -> None:
    lines = trial_table(RECORDS, study(), 300, 5).plain.splitlines()
    assert lines[0] == lines[-1]
    assert len(trial_table(RECORDS, study(), 300, 7).plain.splitlines()) == len(lines) - 1


def test_unsafe_and_failed_trials_stand_out() -> None:
    trials = [
        record(1, 1, 1),
        record(2, 1, -0.1),
        record(3, 1, 1, fell=True),
        record(4, 1, 1, outcome="failed"),
    ]
    text = trial_table(trials, study())
    shown = {str(span.style): text.plain[span.start : span.end] for span in text.spans if span.style}
    assert [line.split()[0] for line in shown["red"].splitlines()] == ["2", "3"]
    assert [line.split()[0] for line in shown["yellow"].splitlines()] == ["4"]


def test_a_summary_names_what_was_unsafe_and_the_best_of_every_context() -> None:
    trials = [
        record(1, 1.0, 0.5, "a"),
        record(2, 9.0, -0.5, "a"),
        record(3, 2.0, 0.5, "a"),
        record(4, 3.0, 0.5, "b", fell=True),
        record(5, 2.5, 0.5, "b", outcome="backup"),
        record(6, 2.4, 0.5, "b"),
    ]
    assert trial_summary(trials, study(("a", "b", "c"))) == [
        "6 told: 5 completed, 1 backup; a margin below 0 or a fall in 2 (trial 2, 4)",
        "best safe trial in context a: 3, tracking 2 rad^2 + rad^2/s^2",
        "best safe trial in context b: 6, tracking 2.4 rad^2 + rad^2/s^2",
    ]
    assert trial_summary([], study()) == ["0 told: none yet; no margin below 0"]
