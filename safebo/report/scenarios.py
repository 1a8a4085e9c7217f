"""What the scenarios of a run showed: per trial the worst one of every margin, per scenario what came of its walks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from safebo.evaluators.outcome import margin_of
from safebo.study import FunctionSpec, Study
from safebo.study.scenarios import scenario_names
from safebo.text.counted import counted
from safebo.types import Measurement, TrialRecord


@dataclass(frozen=True)
class ScenarioMargin:
    """One margin in one scenario.

    Args:
        smallest: that any walk measured; None where none did.
        trial: in which it did.
        worst: how many trials that walked several scenarios measured their smallest here.
    """

    smallest: float | None
    trial: int | None
    worst: int


@dataclass(frozen=True)
class ScenarioRow:
    """One scenario over a run.

    Args:
        name: of the scenario.
        walks: told walks.
        falls: among them.
        failures: walks without a valid measurement.
        unsafe: walks that fell or measured a margin below 0.
        margins: of every constraint, in the study's order.
    """

    name: str
    walks: int
    falls: int
    failures: int
    unsafe: int
    margins: tuple[ScenarioMargin, ...]


def worst_in(measurement: Measurement | None, constraint: FunctionSpec) -> str:
    """The scenario in which a trial's margin was smallest; empty where it walked none, or only one."""
    if measurement is None or len(measurement.scenarios) < 2:
        return ""
    known = {s: v for s, m in measurement.scenarios.items() if (v := margin_of(m, constraint)) is not None}
    return min(known, key=known.__getitem__) if known else ""


def scenario_rows(entries: Iterable[TrialRecord], study: Study) -> tuple[ScenarioRow, ...]:
    """Every scenario of a study over a run's trials; none for a study without scenarios."""
    told = [(e.trial.id, e.measurement) for e in entries if e.measurement is not None]
    rows = []
    for name in scenario_names(study):
        walks = [(i, m.scenarios[name]) for i, m in told if name in m.scenarios]
        rows.append(
            ScenarioRow(
                name,
                len(walks),
                sum(m.fell for _, m in walks),
                sum(m.outcome == "failed" for _, m in walks),
                sum(m.fell or any((margin_of(m, c) or 0.0) < 0 for c in study.constraints) for _, m in walks),
                tuple(_margin(name, walks, [m for _, m in told], c) for c in study.constraints),
            )
        )
    return tuple(rows)


def scenario_lines(entries: Sequence[TrialRecord], study: Study) -> list[str]:
    """The same as lines of text."""
    lines = []
    for row in scenario_rows(entries, study):
        happened = [counted(row.walks, "walk")]
        happened += [f"{row.falls} fell"] if row.falls else []
        happened += [f"{row.failures} failed"] if row.failures else []
        happened += [f"{row.unsafe} unsafe"] if row.unsafe else []
        margins = [
            f"{c.name} {m.smallest:.4g} {c.unit}".rstrip() + f" (trial {m.trial}, worst in {m.worst})"
            for c, m in zip(study.constraints, row.margins, strict=True)
            if m.smallest is not None
        ]
        smallest = f"; smallest margins: {', '.join(margins)}" if margins else ""
        lines.append(f"scenario {row.name}: {', '.join(happened)}{smallest}")
    return lines


def _margin(
    name: str,
    walks: Sequence[tuple[int, Measurement]],
    told: Sequence[Measurement],
    constraint: FunctionSpec,
) -> ScenarioMargin:
    known = [(v, i) for i, m in walks if (v := margin_of(m, constraint)) is not None]
    smallest, trial = min(known) if known else (None, None)
    return ScenarioMargin(smallest, trial, sum(worst_in(m, constraint) == name for m in told))
