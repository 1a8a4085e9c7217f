"""Trials, what they showed, events and answers as rows of their tables, and back.

JSON keeps Python's floats to the last bit, so a trial read back is the trial that was asked.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import sqlalchemy as sa

from safebo.errors import JournalError
from safebo.storage import tables
from safebo.storage.database import to_json
from safebo.storage.records import Event, KeptAnswer, Record
from safebo.types import (
    OPERATING_TIME,
    Bounds,
    Evidence,
    FloatArray,
    Measurement,
    Outcome,
    Phase,
    PreferenceAnswer,
    PreferenceQuestion,
    PreferenceWord,
    Status,
    Strides,
    Trial,
)

TIMES = ""
"""Among the predictions of a trial: what else is known of it (`_times`). No function's name is blank."""


def now() -> datetime:
    """When something is recorded."""
    return datetime.now(UTC)


def trial_row(trial: Trial, round: int, status: Status) -> dict[str, Any]:
    """A trial that is recorded now, in its round, as a row."""
    asked = {"id": trial.id, "round": round, "status": status, "asked_at": now().isoformat()}
    return {**asked, **trial_columns(trial)}


def trial_columns(trial: Trial) -> dict[str, Any]:
    """A trial as the columns of its row."""
    return {
        "parameters": to_json(dict(trial.parameters)),
        "context": to_json(dict(trial.context)),
        "context_name": trial.context_name,
        "phase": trial.phase,
        "seed": trial.seed,
        "certified": trial.certified,
        "predicted": to_json({name: _predicted(trial, name) for name in trial.predicted} | _times(trial)),
        "reason": trial.reason,
        "trigger_rule": trial.trigger_rule,
        "trigger_guarantee": trial.trigger_guarantee,
    }


def trial_from_row(row: Mapping[Any, Any]) -> Trial:
    """The trial that a row stands for."""
    predicted = json.loads(row["predicted"])
    times = predicted.pop(TIMES, {})
    scenarios = tuple(times.pop("scenarios", ()))
    evidence = {name: bounds.pop("evidence", None) for name, bounds in predicted.items()}
    return Trial(
        id=row["id"],
        parameters=json.loads(row["parameters"]),
        context=json.loads(row["context"]),
        context_name=row["context_name"],
        phase=cast(Phase, row["phase"]),
        seed=row["seed"],
        certified=bool(row["certified"]),
        predicted={name: Bounds(**bounds) for name, bounds in predicted.items()},
        reason=row["reason"],
        trigger_rule=row["trigger_rule"],
        trigger_guarantee=bool(row["trigger_guarantee"]),
        evidence={name: Evidence(**found) for name, found in evidence.items() if found is not None},
        scenarios=scenarios,
        **times,
    )


def _times(trial: Trial) -> dict[str, Any]:
    """Operating times of a trial, the objective that dominates it, and the scenarios that it walks, under a name that
    no function has; nothing where there are none.
    """
    times = {
        "operating_time": trial.operating_time,
        "certified_until": trial.certified_until,
        "dominated": trial.dominated,
    }
    kept: dict[str, Any] = {key: _number(value) for key, value in times.items() if value is not None}
    if trial.scenarios:
        kept["scenarios"] = list(trial.scenarios)
    return {TIMES: kept} if kept else {}


def _predicted(trial: Trial, name: str) -> dict[str, Any]:
    """Bounds of one function, with the evidence for its prior where there is some."""
    evidence = trial.evidence.get(name)
    if evidence is None:
        return asdict(trial.predicted[name])
    kept = {key: value for key, value in asdict(evidence).items() if value is not None}
    return asdict(trial.predicted[name]) | {"evidence": kept}


def measurement_rows(trial_id: int, measurement: Measurement) -> Iterator[tuple[sa.Table, dict[str, Any]]]:
    """What a trial showed, told now, as rows with their tables: visited states have one of their own."""
    told = {"trial": trial_id, "told_at": now().isoformat(), **measurement_columns(measurement)}
    yield tables.measurements, told
    if measurement.states is not None and np.size(measurement.states):
        yield tables.states, {"trial": trial_id, **_state_columns(measurement)}


def measurement_columns(measurement: Measurement) -> dict[str, Any]:
    """A measurement as the columns of its row, without visited states."""
    true_margins, backup_state = measurement.true_margins, measurement.backup_state
    return {
        "outcome": measurement.outcome,
        "objective": _number(measurement.objective),
        "margins": to_json(dict(measurement.margins)),
        "fell": bool(measurement.fell),
        "backup_time": _number(measurement.backup_time),
        "backup_state": None if backup_state is None else to_json(np.ravel(backup_state).astype(np.float64)),
        "true_objective": _number(measurement.true_objective),
        "true_margins": None if true_margins is None else to_json(dict(true_margins)),
        "telemetry": measurement.telemetry,
        "duration": float(measurement.duration),
        "message": measurement.message,
        "extra": to_json({**measurement.extra, **_more(measurement)}),
    }


def measurement_from_row(row: Mapping[Any, Any], visited: Mapping[Any, Any] | None) -> Measurement:
    """The measurement that a row stands for, with its visited states where they were loaded."""
    margins: dict[str, float] = json.loads(row["margins"])
    states, to_go = (None, None) if visited is None else _states_from_row(visited, tuple(margins))
    backup_state = None if row["backup_state"] is None else np.array(json.loads(row["backup_state"]))
    extra = json.loads(row["extra"])
    more = extra[_TRIAL] if isinstance(extra.get(_TRIAL), dict) else {}
    return Measurement(
        outcome=cast(Outcome, row["outcome"]),
        objective=row["objective"],
        margins=margins,
        fell=bool(row["fell"]),
        states=states,
        margins_to_go=to_go,
        backup_time=row["backup_time"],
        backup_state=backup_state,
        true_objective=row["true_objective"],
        true_margins=None if row["true_margins"] is None else json.loads(row["true_margins"]),
        telemetry=row["telemetry"],
        duration=row["duration"],
        message=row["message"],
        extra={name: value for name, value in extra.items() if not isinstance(value, dict)},
        strides=_strides_of(more.get("strides")),
        ended=more.get("ended", ""),
        operating_time=more.get(OPERATING_TIME),
        scenarios={name: Measurement(**kept) for name, kept in more.get("scenarios", {}).items()},
    )


_TRIAL = "safebo.trial"
"""Where a trial's strides, why it ended early, the robot's operating time, and what its scenarios showed stand among
its further numbers: in a mapping, which no other of them is. An older version reads such a journal too, and so does
this one an older journal."""


def _more(measurement: Measurement) -> dict[str, Any]:
    """What stands in the column of further numbers beside them."""
    found: dict[str, Any] = {}
    if measurement.strides is not None:
        found["strides"] = asdict(measurement.strides)
    if measurement.ended:
        found["ended"] = measurement.ended
    if measurement.operating_time is not None:
        found[OPERATING_TIME] = float(measurement.operating_time)
    if measurement.scenarios:
        found["scenarios"] = {name: _walk(m) for name, m in measurement.scenarios.items()}
    return {_TRIAL: found} if found else {}


_WALK = (
    "outcome",
    "objective",
    "margins",
    "fell",
    "true_objective",
    "true_margins",
    "telemetry",
    "duration",
    "message",
    "extra",
    "operating_time",
    "ended",
)
"""What is kept of one scenario of a trial; what is empty is left out."""


def _walk(m: Measurement) -> dict[str, Any]:
    kept = {name: getattr(m, name) for name in _WALK}
    some = {name: v for name, v in kept.items() if not (v is None or v is False or v == "" or v == {})}
    return {name: dict(v) if isinstance(v, Mapping) else v for name, v in some.items()}


def _strides_of(kept: Any) -> Strides | None:
    if not isinstance(kept, dict):
        return None
    margins = {name: tuple(values) for name, values in kept["margins"].items()}
    return Strides(kept["period"], kept["start"], tuple(kept["objective"]), margins)


def _state_columns(measurement: Measurement) -> dict[str, Any]:
    """Visited states and margins to go as the columns of their row.

    Raises:
        JournalError: when margins to go and margins, or their lengths and the states, do not belong together.
    """
    array = np.atleast_2d(np.ascontiguousarray(measurement.states, dtype="<f8"))
    data = array.tobytes()
    to_go = measurement.margins_to_go
    if to_go is not None:
        wrong = set(to_go) != set(measurement.margins)
        if wrong or any(np.shape(values) != (len(array),) for values in to_go.values()):
            raise JournalError(
                f"margins_to_go must hold one number for each of {len(array)} states under the names of the "
                f"margins ({', '.join(measurement.margins)})"
            )
        data += b"".join(np.asarray(to_go[name], dtype="<f8").tobytes() for name in measurement.margins)
    return {"rows": array.shape[0], "columns": array.shape[1], "data": zlib.compress(data, 1)}


def _states_from_row(
    row: Mapping[Any, Any], margins: tuple[str, ...]
) -> tuple[FloatArray, dict[str, FloatArray] | None]:
    flat = np.frombuffer(zlib.decompress(row["data"]), dtype="<f8").astype(np.float64)
    count, size = row["rows"], row["rows"] * row["columns"]
    states = flat[:size].reshape(count, row["columns"])
    if len(flat) == size:
        return states, None
    values = flat[size:].reshape(len(margins), count)
    return states, dict(zip(margins, values, strict=True))


def _number(value: float | None) -> float | None:
    """A plain float, or None."""
    return None if value is None else float(value)


def record_from_rows(
    trial: Mapping[Any, Any], told: Mapping[Any, Any] | None, visited: Mapping[Any, Any] | None
) -> Record:
    """The record that the rows of a trial, its measurement and its visited states stand for; None: there is none."""
    return Record(
        trial=trial_from_row(trial),
        measurement=None if told is None else measurement_from_row(told, visited),
        unknown=trial["status"] == "unknown",
        asked_at=datetime.fromisoformat(trial["asked_at"]),
        told_at=None if told is None else datetime.fromisoformat(told["told_at"]),
        round=trial["round"],
    )


def event_row(kind: str, text: str, trial_id: int | None, data: Mapping[str, Any]) -> dict[str, Any]:
    """An event that happens now as a row."""
    return {"at": now().isoformat(), "kind": kind, "trial": trial_id, "text": text, "data": to_json(data)}


def event_from_row(row: Mapping[Any, Any]) -> Event:
    """The event that a row stands for."""
    at, data = datetime.fromisoformat(row["at"]), json.loads(row["data"])
    return Event(at, row["kind"], row["trial"], row["text"], data)


def answer_row(answer: PreferenceAnswer, by: str) -> dict[str, Any]:
    """An answer that is given now, and who gave it, as a row."""
    return {**asdict(answer.question), "word": answer.word, "by": by, "at": now().isoformat()}


def answer_from_row(row: Mapping[Any, Any]) -> KeptAnswer:
    """The answer that a row stands for, with who gave it and when."""
    names = ("number", "left", "right", "context_name", "repeats")
    question = PreferenceQuestion(**{name: row[name] for name in names})
    answer = PreferenceAnswer(question, cast(PreferenceWord, row["word"]))
    return KeptAnswer(answer, row["by"], datetime.fromisoformat(row["at"]))
