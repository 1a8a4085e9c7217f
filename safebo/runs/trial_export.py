"""The trials of a run as a table for other programs: CSV, and pandas where it is installed."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safebo.errors import InputError, OtherFileError
from safebo.evaluators.outcome import margin_of
from safebo.files.writing import write_whole
from safebo.storage.records import KeptAnswer, Record
from safebo.study import Study

Cell = float | int | str | bool | None


@dataclass(frozen=True)
class TrialTable:
    """One row a trial, in the order asked (of answers, one row a question).

    Args:
        columns: their names: `trial`, `phase`, `context`, `status`, `outcome`, `fell`, `certified`; `parameters.NAME`;
            `context_values.NAME`; `objective.NAME`; `margins.NAME`; `bounds.NAME.lower`, `.mean` and `.upper` of every
            function as they were when the trial was proposed; `prior.NAME` that certified a constraint; `seed`,
            `round`, `asked_at`, `told_at` (ISO 8601), `duration` and `operating_time` (s), `reason`, `message`.
        rows: as many cells each; None where a number does not exist or is not finite.
        units: by column, where there is one.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    units: Mapping[str, str]


def trial_cells(records: Sequence[Record], study: Study) -> TrialTable:
    """The table of a run's trials.

    Args:
        records: the trials.
        study: theirs.
    """
    functions = (study.objective, *study.constraints)
    units = {f"parameters.{p.name}": p.unit for p in study.parameters}
    units |= {f"context_values.{v.name}": v.unit for v in study.context.variables}
    units[f"objective.{study.objective.name}"] = study.objective.unit
    units |= {f"margins.{c.name}": c.unit for c in study.constraints}
    for f in functions:
        units |= {f"bounds.{f.name}.{end}": f.unit for end in ("lower", "mean", "upper")}
    first = ("trial", "phase", "context", "status", "outcome", "fell", "certified")
    priors = tuple(f"prior.{c.name}" for c in study.constraints)
    last = ("seed", "round", "asked_at", "told_at", "duration", "operating_time", "reason", "message")
    rows = tuple(tuple(_row(record, study)) for record in records)
    units = {name: unit for name, unit in {**units, "duration": "s", "operating_time": "s"}.items() if unit}
    columns = (
        *first,
        *(f"parameters.{p.name}" for p in study.parameters),
        *(f"context_values.{v.name}" for v in study.context.variables),
        f"objective.{study.objective.name}",
        *(f"margins.{c.name}" for c in study.constraints),
        *(f"bounds.{f.name}.{end}" for f in functions for end in ("lower", "mean", "upper")),
        *priors,
        *last,
    )
    return TrialTable(columns, rows, units)


def answer_cells(answers: Sequence[KeptAnswer]) -> TrialTable:
    """The table of what people said of pairs of walks, one row a question."""
    columns = ("question", "left", "right", "context", "repeats", "said", "better", "by", "at")
    rows = tuple(
        (
            k.answer.question.number,
            k.answer.question.left,
            k.answer.question.right,
            k.answer.question.context_name,
            k.answer.question.repeats,
            k.answer.word,
            k.answer.better,
            k.by,
            k.at.isoformat(),
        )
        for k in answers
    )
    return TrialTable(columns, rows, {})


def _row(record: Record, study: Study) -> list[Cell]:
    trial, m = record.trial, record.measurement
    row: list[Cell] = [trial.id, trial.phase, trial.context_name, record.status]
    row += [None, None] if m is None else [m.outcome, m.fell]
    row.append(trial.certified)
    row += [_plain(trial.parameters.get(p.name)) for p in study.parameters]
    row += [_plain(trial.context.get(v.name)) for v in study.context.variables]
    row.append(None if m is None else _plain(m.objective))
    row += [None if m is None else _plain(margin_of(m, c)) for c in study.constraints]
    for f in (study.objective, *study.constraints):
        b = trial.predicted.get(f.name)
        row += [None] * 3 if b is None else [_plain(b.lower), _plain(b.mean), _plain(b.upper)]
    row += [
        trial.evidence[c.name].certifying if c.name in trial.evidence else None for c in study.constraints
    ]
    row += [trial.seed, record.round, record.asked_at.isoformat()]
    row.append(None if record.told_at is None else record.told_at.isoformat())
    row += [None if m is None else _plain(m.duration), _plain(record.operating_time), trial.reason]
    return [*row, None if m is None else m.message]


def _plain(value: Any) -> Cell:
    """A cell: a whole number, a name, or a finite float."""
    if value is None or isinstance(value, str | int):
        return value
    return float(value) if math.isfinite(value) else None


def csv_text(table: TrialTable) -> str:
    """A table as CSV (RFC 4180, UTF-8): a heading with units in brackets, true and false, empty where nothing is."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(_heading(table))
    for row in table.rows:
        writer.writerow(
            [str(cell).lower() if isinstance(cell, bool) else "" if cell is None else cell for cell in row]
        )
    return stream.getvalue()


def _heading(table: TrialTable) -> list[str]:
    return [f"{name} [{table.units[name]}]" if name in table.units else name for name in table.columns]


def write_csv(path: Path, table: TrialTable) -> None:
    """Write a table as CSV, whole or not at all.

    Raises:
        OtherFileError: a file is there that is no table of such a run.
        InputError: it cannot be written.
    """
    try:
        if path.exists():
            with path.open(encoding="utf-8", errors="replace", newline="") as file:
                there = next(csv.reader(file), [])
            if there != _heading(table):
                raise OtherFileError(
                    f"{path}: is there already and no table of this study's trials; move it or name another file"
                )
        write_whole(path, csv_text(table))
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def data_frame(table: TrialTable, study: str) -> Any:
    """A table as `pandas.DataFrame`, indexed by trial; `attrs` has `study` and `units` by column.

    Raises:
        InputError: pandas is not installed.
    """
    try:
        import pandas  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as error:
        raise InputError(
            "pandas is not installed, and safebo does not need it otherwise: `pip install pandas`, or write the table "
            "with `safebo export DIR --csv FILE`"
        ) from error
    frame = pandas.DataFrame([list(row) for row in table.rows], columns=list(table.columns)).set_index(
        "trial"
    )
    for name in ("asked_at", "told_at"):
        frame[name] = pandas.to_datetime(frame[name], format="ISO8601")
    frame.attrs = {"study": study, "units": dict(table.units)}
    return frame
