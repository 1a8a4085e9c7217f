"""A run for people and programs: trials as plain data, recommendations as a table or likewise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from safebo.runs.best_gains import BestGains
from safebo.storage.records import Record
from safebo.study import Study, quantity_of
from safebo.study.axis import brief
from safebo.text.screen import literal
from safebo.types import Bounds, Measurement


def trial_data(record: Record, study: Study) -> dict[str, Any]:
    """One trial as plain data for JSON. Margins of the study's constraints carry the constraints' names.

    Numbers that do not exist or are not finite are None.
    """
    trial, measurement = record.trial, record.measurement
    data: dict[str, Any] = {
        "id": trial.id,
        "phase": trial.phase,
        "context": trial.context_name,
        "context_values": _numbers(trial.context),
        "parameters": dict(trial.parameters),
        "status": record.status,
        "outcome": None,
        "fell": None,
        "objective": None,
        "margins": {},
        "true_objective": None,
        "true_margins": None,
        "predicted": {name: _bounds(bounds) for name, bounds in trial.predicted.items()},
        "certified": trial.certified,
        "reason": trial.reason,
        "trigger_rule": trial.trigger_rule,
        "trigger_guarantee": trial.trigger_guarantee,
        "seed": trial.seed,
        "round": record.round,
        "asked_at": record.asked_at.isoformat(),
        "told_at": record.told_at.isoformat() if record.told_at else None,
    }
    if record.operating_time is not None:
        data |= {"operating_time": record.operating_time, "certified_until": trial.certified_until}
    if measurement is not None:
        true_margins = measurement.true_margins
        backup_state = measurement.backup_state
        data |= {
            "outcome": measurement.outcome,
            "fell": measurement.fell,
            "objective": _number(measurement.objective),
            "margins": _margins(measurement.margins, study),
            "true_objective": _number(measurement.true_objective),
            "true_margins": None if true_margins is None else _margins(true_margins, study),
            "backup_time": _number(measurement.backup_time),
            "backup_state": None if backup_state is None else [_number(v) for v in backup_state],
            "telemetry": measurement.telemetry,
            "duration": _number(measurement.duration),
            "message": measurement.message,
            "extra": _numbers(measurement.extra),
            "ended": measurement.ended,
        }
        if measurement.scenarios:
            data["scenarios"] = {name: _walk_data(m, study) for name, m in measurement.scenarios.items()}
    return data


def _walk_data(m: Measurement, study: Study) -> dict[str, Any]:
    """What one scenario of a trial showed."""
    return {
        "outcome": m.outcome,
        "fell": m.fell,
        "objective": _number(m.objective),
        "margins": _margins(m.margins, study),
        "telemetry": m.telemetry,
        "duration": _number(m.duration),
        "message": m.message,
        "extra": _numbers(m.extra),
        "ended": m.ended,
    }


def gains_data(best: BestGains) -> dict[str, Any]:
    """A recommendation as plain data for JSON."""
    return {
        "study": best.study,
        "context": best.context,
        "context_values": _numbers(best.context_values),
        "certified": best.certified,
        "certified_for_seconds": best.horizon,
        "trials_lasted_seconds": best.lasted,
        "parameters": dict(best.gains),
        "objective": {"name": best.objective_name, "unit": best.objective_unit, **_bounds(best.objective)},
        "margins": {name: _bounds(bounds) for name, bounds in best.margins.items()},
        **_until(best),
        **({"advice": best.advice} if best.advice else {}),
    }


def _until(best: BestGains) -> dict[str, Any]:
    """When the certificate expires; nothing where it does not."""
    if best.certified_until is None:
        return {}
    return {
        "certified_until": best.certified_until_clock or None,
        "certified_until_operating_time": best.certified_until,
    }


def nothing_data(study: Study, context: str) -> dict[str, Any]:
    """The same where nothing is certified."""
    return {
        "study": study.name,
        "context": context,
        "context_values": _numbers(study.context.values[context]),
        "certified": False,
        "parameters": None,
        "objective": None,
        "margins": {},
    }


def gains_table(best: BestGains, study: Study) -> Table:
    """A recommendation as a table: gains with units, then what is expected of them."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, justify in (("", "left"), ("value", "right"), ("lower", "right"), ("upper", "right")):
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    table.add_column("unit")
    parameters = {parameter.name: parameter for parameter in study.parameters}
    for gain, value in best.gains.items():
        p = parameters.get(gain)
        shown = cell(value) if p is None else literal(brief(value, p))
        table.add_row(literal(gain), shown, "", "", literal("" if p is None else p.unit))
    table.add_section()
    o = best.objective
    name, unit = literal(f"objective {best.objective_name}"), literal(best.objective_unit)
    table.add_row(name, *map(cell, (o.mean, o.lower, o.upper)), unit)
    units = {constraint.name: constraint.unit for constraint in study.constraints}
    for margin, b in best.margins.items():
        name, unit = literal(f"margin {margin}"), literal(units.get(margin, ""))
        table.add_row(name, *map(cell, (b.mean, b.lower, b.upper)), unit)
    return table


def _margins(margins: Mapping[str, float], study: Study) -> dict[str, float | None]:
    """Margins of the study's constraints first, by the constraints' names, then the evaluator's others."""
    named: dict[str, float | None] = {}
    used = set()
    for constraint in study.constraints:
        for name in (constraint.name, quantity_of(constraint)):
            if name in margins and constraint.name not in named:
                named[constraint.name] = _number(margins[name])
                used.add(name)
    return named | {
        name: _number(value) for name, value in margins.items() if name not in used and name not in named
    }


def _bounds(bounds: Bounds) -> dict[str, float | None]:
    return {"lower": _number(bounds.lower), "mean": _number(bounds.mean), "upper": _number(bounds.upper)}


def _numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in values.items()}


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def cell(value: float | None) -> str:
    """A number in a table; empty where there is none."""
    return "" if value is None else f"{value:.4g}"
