"""The tables of the page, as plain rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from safebo.report.data import ContextReport, ReportData, finite_margin, functions, objective_of
from safebo.report.figures.history import events_of
from safebo.report.figures.style import number
from safebo.report.scenarios import worst_in
from safebo.report.summary import backup_entries
from safebo.study import Parameter, Study
from safebo.study.axis import Axis, brief
from safebo.study.space import Space

if TYPE_CHECKING:
    from safebo.tuner.tolerance import Tolerances  # with torch, which `safebo show` needs not


@dataclass(frozen=True)
class GainRow:
    """One gain before and after; positions are 0 at the lower bound and 1 at the upper."""

    name: str
    unit: str
    lower: str
    upper: str
    seed: str
    best: str
    change: str
    seed_position: float | None
    best_position: float

    @property
    def spoken(self) -> str:
        """The position within the bounds in words, for screen readers."""
        before = "" if self.seed_position is None else f"seed at {100 * self.seed_position:.0f} %, "
        return f"{before}best at {100 * self.best_position:.0f} % of the bounds"


@dataclass(frozen=True)
class ToleranceRow:
    """How far one gain may move alone, in its unit; what is lost beyond, or `bound`."""

    name: str
    unit: str
    lowest: str
    lower_by: str
    best: str
    highest: str
    upper_by: str


@dataclass(frozen=True)
class FunctionRow:
    """One function at the seed (measured) and at the best gains (bounds)."""

    name: str
    unit: str
    seed: float | None
    lower: float
    mean: float
    upper: float


@dataclass(frozen=True)
class GainTable:
    """The gains of one context; `rows` is empty where there is no best."""

    context: str
    context_text: str
    rows: tuple[GainRow, ...]
    functions: tuple[FunctionRow, ...]
    file: str
    notes: tuple[str, ...]
    tolerances: tuple[ToleranceRow, ...] = ()
    tolerance_words: str = ""


@dataclass(frozen=True)
class BackupRow:
    """One trial in which a backup fired."""

    id: int
    phase: str
    context: str
    time: float | None
    rule: str
    guarantee: str
    margin: float | None
    state: tuple[str, ...]


@dataclass(frozen=True)
class TrialRow:
    """One trial; `bad` marks a fall, a failure, or a margin below zero."""

    id: int
    phase: str
    context: str
    parameters: tuple[str, ...]
    objective: float | None
    margins: tuple[float | None, ...]
    outcome: str
    certified: str
    duration: float | None
    words: str
    bad: bool


def gain_table(data: ReportData, context: ContextReport, file: str) -> GainTable:
    """Seed and recommended gains of a context with their place within the bounds."""
    units = {v.name: v.unit for v in data.study.context.variables}
    text = ", ".join(
        f"{name} {number(value)}{f' {units[name]}' if units.get(name) else ''}"
        for name, value in context.values.items()
    )
    if context.best is None:
        return GainTable(context.name, text, (), (), file, context.notes)
    axes = Space.of_parameters(data.study).axes
    rows = []
    for parameter, axis in zip(data.study.parameters, axes, strict=True):
        best = context.best.gains[parameter.name]
        seed = None if context.seed is None else context.seed.get(parameter.name)
        rows.append(
            GainRow(
                name=parameter.name,
                unit=parameter.unit,
                lower="–" if axis.choices else _said(parameter.bounds[0], parameter),
                upper="–" if axis.choices else _said(parameter.bounds[1], parameter),
                seed="–" if seed is None else _said(seed, parameter),
                best=_said(best, parameter),
                change=_change(seed, best),
                seed_position=None if seed is None else _position(axis, seed),
                best_position=_position(axis, best),
            )
        )
    bounds = {data.study.objective.name: context.best.objective, **context.best.margins}
    measured = _seed_measurements(data, context.name)
    functions_rows = tuple(
        FunctionRow(f.name, f.unit, measured.get(f.name), b.lower, b.mean, b.upper)
        for f in functions(data.study)
        if (b := bounds.get(f.name)) is not None
    )
    allowed = tolerance_rows(data.study, context.best.gains, context.tolerances)
    words = "" if context.tolerances is None else tolerance_words(data.study, context.tolerances)
    return GainTable(context.name, text, tuple(rows), functions_rows, file, context.notes, allowed, words)


def tolerance_rows(
    study: Study, gains: Mapping[str, Any], found: Tolerances | None
) -> tuple[ToleranceRow, ...]:
    """How far each of some gains may move alone; nothing where that is not known."""
    if found is None:
        return ()
    rows = []
    for parameter, one in zip(study.parameters, found.gains, strict=True):
        said = _said(gains[parameter.name], parameter)
        if one.lower is None or one.upper is None:
            others = ", ".join(one.choices) or "no other"
            rows.append(ToleranceRow(parameter.name, parameter.unit, others, "", said, "", ""))
            continue
        ends = (one.lower, one.upper)
        low, high = (_said(end.value, parameter) for end in ends)
        low_by, high_by = (end.by or "its bound" for end in ends)
        rows.append(ToleranceRow(parameter.name, parameter.unit, low, low_by, said, high, high_by))
    return tuple(rows)


def tolerance_words(study: Study, found: Tolerances) -> str:
    """What a table of tolerances means."""
    loss = f"{number(found.loss)} {study.objective.unit}".rstrip()
    share = (
        "5 % of the gain over the seed" if found.of_gain else "5 % of the objective, as nothing was gained"
    )
    return (
        "How far each gain may move alone, the others held, by what is known: beyond, the margin that is named has a "
        f"lower bound below 0, or the mean of {study.objective.name} has lost {loss} ({share}). Two gains that move "
        "together may lose more."
    )


def _said(value: Any, parameter: Parameter) -> str:
    """A gain for people; a minus sign as in the other tables."""
    return value if isinstance(value, str) else brief(value, parameter).replace("-", "−")


def _position(axis: Axis, value: Any) -> float:
    """Place between the bounds, of a choice among its names, in [0, 1]."""
    raw = axis.raw(value)
    return raw / (axis.width - 1) if axis.choices else float(np.clip(axis.to_unit(raw), 0, 1))


def _change(seed: Any, best: Any) -> str:
    """The change in percent of the seed value, or as a difference where the seed is zero; a choice changes or not."""
    if seed is None:
        return "–"
    if seed == best:
        return "same" if isinstance(best, str) else "0 %"
    if isinstance(best, str):
        return "other"
    if seed == 0:
        return ("+" if best > 0 else "") + number(best)
    percent = 100.0 * (best - seed) / abs(seed)
    return f"{'+' if percent >= 0 else '−'}{abs(percent):.0f} %"


def _seed_measurements(data: ReportData, context: str) -> Mapping[str, float]:
    """Means of what the seed trials of a context measured, by function name."""
    seeds = [e for e in data.entries if e.trial.context_name == context and e.trial.phase == "seed"]
    columns: dict[str, list[float]] = {
        data.study.objective.name: [v for e in seeds if (v := objective_of(e)) is not None]
    }
    for c in data.study.constraints:
        columns[c.name] = [v for e in seeds if (v := finite_margin(e, c)) is not None]
    return {name: float(np.mean(values)) for name, values in columns.items() if values}


def backup_rows(data: ReportData) -> tuple[BackupRow, ...]:
    """Every trial in which a backup fired, with the rule that fired it."""
    rows = []
    for e in backup_entries(data):
        m = e.measurement
        assert m is not None  # backup_entries keeps only told trials
        margins = [v for c in data.study.constraints if (v := finite_margin(e, c)) is not None]
        rule = e.trial.trigger_rule
        rows.append(
            BackupRow(
                id=e.trial.id,
                phase=e.trial.phase,
                context=e.trial.context_name,
                time=m.backup_time,
                rule=(rule or "not recorded").replace("_", " "),
                guarantee="yes" if e.trial.trigger_guarantee else "no",
                margin=min(margins) if margins else None,
                state=_state_words(data, m.backup_state),
            )
        )
    return tuple(rows)


def _state_words(data: ReportData, state: object) -> tuple[str, ...]:
    if state is None:
        return ()
    values = np.asarray(state, dtype=float).ravel()
    names = (
        data.state_names
        if len(data.state_names) == len(values)
        else [f"x{i + 1}" for i in range(len(values))]
    )
    return tuple(f"{name} {number(value)}" for name, value in zip(names, values, strict=True))


def trial_rows(data: ReportData) -> tuple[TrialRow, ...]:
    """Every trial, in the order asked."""
    rows = []
    for e in data.entries:
        m = e.measurement
        margins = tuple(finite_margin(e, c) for c in data.study.constraints)
        negative = any(v is not None and v < 0 for v in margins)
        outcome = e.status if m is None else m.outcome + (", fell" if m.fell else "")
        worst = {c.name: where for c in data.study.constraints if (where := worst_in(m, c))}
        places = ", ".join(f"{name} in {where}" for name, where in worst.items())
        words = [e.trial.reason, "" if m is None else m.message, f"worst: {places}" if places else ""]
        if e.trial.scenarios and m is not None and len(m.scenarios) == 1:
            words.append(f"scenario {next(iter(m.scenarios))}")
        rows.append(
            TrialRow(
                id=e.trial.id,
                phase=e.trial.phase,
                context=e.trial.context_name,
                parameters=tuple(_said(e.trial.parameters[p.name], p) for p in data.study.parameters),
                objective=objective_of(e),
                margins=margins,
                outcome=outcome,
                certified="yes" if e.trial.certified else "no",
                duration=None if m is None else m.duration,
                words=". ".join(w.rstrip(".") for w in words if w),
                bad=negative or bool({"fell", "failed", "aborted"} & set(events_of(e))),
            )
        )
    return tuple(rows)
