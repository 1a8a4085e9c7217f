"""The run in a few numbers and sentences: what a reader wants to know first."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from safebo.report.data import ContextReport, ReportData, finite_margin, objective_of
from safebo.report.figures.style import number
from safebo.runs.length_advice import length_advice
from safebo.text.counted import counted
from safebo.types import OUTCOMES, TrialRecord


@dataclass(frozen=True)
class SmallestMargin:
    """The smallest measured margin of one constraint over a set of trials."""

    constraint: str
    unit: str
    value: float
    trial: int


@dataclass(frozen=True)
class ContextSummary:
    """One context in numbers; None where there is nothing to say.

    Args:
        name: the context.
        tried: False where it was only predicted.
        trials: trials in it.
        seed_objective: mean measured objective of its seed trials.
        best: mean of the objective at the recommended gains.
        best_lower: lower confidence bound there.
        best_upper: upper confidence bound there.
        change: percent of the seed's magnitude by which `best` exceeds the seed.
        sentence: the same in words.
    """

    name: str
    tried: bool
    trials: int
    seed_objective: float | None
    best: float | None
    best_lower: float | None
    best_upper: float | None
    change: float | None
    sentence: str


@dataclass(frozen=True)
class Summary:
    """The run in numbers.

    Args:
        trials: trials asked.
        outcomes: how many trials ended in each outcome, those without a result under `no result`.
        falls: trials that fell.
        violations: trials, of any phase, that measured a margin below zero.
        local_violations: those among them in seed and local phases.
        backups: trials in which a backup fired.
        smallest: smallest margin of every constraint in seed and local phases.
        robot_time: seconds of robot time.
        sentence: all of this in words.
        contexts: one item per context.
    """

    trials: int
    outcomes: dict[str, int]
    falls: int
    violations: int
    local_violations: int
    backups: int
    smallest: tuple[SmallestMargin, ...]
    robot_time: float
    sentence: str
    contexts: tuple[ContextSummary, ...]


def summarize(data: ReportData) -> Summary:
    """Count and compare; a failed trial has no margins and takes no part in them."""
    told = [e.measurement for e in data.entries if e.measurement is not None]
    outcomes = Counter[str](m.outcome for m in told)
    counts: dict[str, int] = {name: outcomes[name] for name in OUTCOMES if outcomes[name]}
    if len(told) < len(data.entries):
        counts["no result"] = len(data.entries) - len(told)
    falls = sum(m.fell for m in told)
    backups = len(backup_entries(data))
    local = [e for e in data.entries if e.trial.phase in ("seed", "local")]
    violated = [e for e in data.entries if _violates(data, e)]
    local_violated = [e for e in violated if e.trial.phase in ("seed", "local")]
    smallest = _smallest_margins(data, local)
    contexts = tuple(_context_summary(data, c) for c in data.contexts)
    summary = Summary(
        trials=len(data.entries),
        outcomes=counts,
        falls=falls,
        violations=len(violated),
        local_violations=len(local_violated),
        backups=backups,
        smallest=smallest,
        robot_time=float(sum(m.duration for m in told)),
        sentence="",
        contexts=contexts,
    )
    sentence = f"{_sentence(data, summary)} {length_advice(data.entries, data.study)}".rstrip()
    return Summary(**{**summary.__dict__, "sentence": sentence})


def backup_entries(data: ReportData) -> tuple[TrialRecord, ...]:
    """The trials in which a backup fired."""
    return tuple(
        e
        for e in data.entries
        if e.measurement is not None
        and (e.measurement.outcome == "backup" or e.measurement.backup_time is not None)
    )


def _violates(data: ReportData, entry: TrialRecord) -> bool:
    margins = [finite_margin(entry, c) for c in data.study.constraints]
    return any(value is not None and value < 0 for value in margins)


def _smallest_margins(data: ReportData, entries: list[TrialRecord]) -> tuple[SmallestMargin, ...]:
    found = []
    for c in data.study.constraints:
        values = [(v, e.trial.id) for e in entries if (v := finite_margin(e, c)) is not None]
        if values:
            found.append(SmallestMargin(c.name, c.unit, *min(values)))
    return tuple(found)


def _context_summary(data: ReportData, context: ContextReport) -> ContextSummary:
    entries = [e for e in data.entries if e.trial.context_name == context.name]
    seeds = [v for e in entries if e.trial.phase == "seed" and (v := objective_of(e)) is not None]
    seed = float(np.mean(seeds)) if seeds else None
    best = context.best
    change = None
    if best is not None and seed is not None and seed != 0:
        change = 100.0 * (best.objective.mean - seed) / abs(seed)
    unit = f" {data.study.objective.unit}" if data.study.objective.unit else ""
    if best is None:
        sentence = (
            "no gains are certified safe, so there is no best."
            if context.tried
            else "the run made no prediction for it."
        )
    elif not context.tried:
        sentence = (
            f"never tried; predicted objective {number(best.objective.mean)}{unit} "
            f"(bounds {number(best.objective.lower)} to {number(best.objective.upper)}), not certified."
        )
    else:
        sentence = (
            f"objective at the {best.kind} {number(best.objective.mean)}{unit}, "
            f"at least {number(best.objective.lower)}{', ' if best.holds else ''}{best.holds}"
        )
        if seed is not None:
            sentence += f", against {number(seed)} with the seed gains"
        if change is not None:
            direction = "better" if change >= 0 else "worse"
            sentence += f": {abs(change):.0f} % {direction}"
        sentence += "."
        if validity := best.validity():
            sentence += f" {validity[0].upper()}{validity[1:]}."
    return ContextSummary(
        name=context.name,
        tried=context.tried,
        trials=len(entries),
        seed_objective=seed,
        best=None if best is None else best.objective.mean,
        best_lower=None if best is None else best.objective.lower,
        best_upper=None if best is None else best.objective.upper,
        change=change,
        sentence=sentence,
    )


def _sentence(data: ReportData, summary: Summary) -> str:
    ends = ", ".join(f"{count} {name}" for name, count in summary.outcomes.items())
    parts = [f"{counted(summary.trials, 'trial')}{f' ({ends})' if ends else ''}"]
    parts.append("no fall" if not summary.falls else counted(summary.falls, "fall"))
    parts.append("no backup fired" if not summary.backups else f"{counted(summary.backups, 'backup')} fired")
    text = ", ".join(parts) + ". "
    if not summary.smallest:
        return text + "No margin was measured in a local phase."
    if summary.local_violations:
        unsafe = counted(summary.local_violations, "trial")
        text += f"{unsafe} of the seed and local phases measured a margin below zero. "
    else:
        text += "No margin fell below zero in a seed or local phase. "
    if summary.violations > summary.local_violations:
        other = summary.violations - summary.local_violations
        text += f"{counted(other, 'trial')} of other phases did. "
    tightest = "; ".join(
        f"{s.constraint} {number(s.value)}{f' {s.unit}' if s.unit else ''} in trial {s.trial}"
        for s in summary.smallest
    )
    return text + f"Smallest there: {tightest}."
