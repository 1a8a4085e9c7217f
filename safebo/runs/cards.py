"""What a person is shown of a trial before and after it runs: plain text by fields, for terminals and pages alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from safebo.evaluators.outcome import margin_of
from safebo.runs.nearest import Nearest
from safebo.study import FunctionSpec, Study
from safebo.study.axis import brief, value_text
from safebo.study.duration import duration_text
from safebo.study.space import Space
from safebo.types import Measurement, Trial


@dataclass(frozen=True)
class GainRow:
    """One gain of a proposal; every field as it is shown, empty where there is nothing.

    Args:
        name, unit: of the gain.
        seed: known to be safe before the run.
        last: of the trial that ran last.
        proposed: now.
        bounds: what the study allows.
        change: from the last trial, or from the safe seed before the first, in per cent of the range.
    """

    name: str
    seed: str
    last: str
    proposed: str
    bounds: str
    unit: str
    change: str


@dataclass(frozen=True)
class ExpectedRow:
    """What is expected of the objective or of a margin.

    Args:
        name, unit: of the function.
        lower, mean, upper: confidence bounds.
        prior: which one certified it, where priors are earned.
        margin: whether it is a margin, safe when at least 0.
        close: whether a margin's lower bound is below 0.
    """

    name: str
    lower: str
    mean: str
    upper: str
    unit: str
    prior: str
    margin: bool
    close: bool


@dataclass(frozen=True)
class ProposalCard:
    """A proposed trial."""

    title: str
    why: str
    gains: tuple[GainRow, ...]
    expected: tuple[ExpectedRow, ...]
    nearest: str
    certificate: str
    certified: bool


@dataclass(frozen=True)
class MeasuredRow:
    """What a trial showed of one function, and what had been expected; `below`: a margin below 0."""

    name: str
    value: str
    expected: str
    unit: str
    below: bool


@dataclass(frozen=True)
class MeasuredCard:
    """A trial that ran."""

    title: str
    rows: tuple[MeasuredRow, ...]
    message: str


def proposal_card(
    trial: Trial, study: Study, before: Mapping[str, Any] | None, nearest: Nearest | None = None
) -> ProposalCard:
    """What is proposed, what it was before and may be at all, what is expected of it, and how far it is from there.

    Args:
        trial: the proposal.
        study: it is of.
        before: the gains of the last trial that ran; None before the first.
        nearest: of all that ran in its context.
    """
    return ProposalCard(
        title=f"Trial {trial.id}: {trial.phase}, context {trial.context_name}",
        why=trial.reason,
        gains=_gains(trial, study, before),
        expected=_expected(trial, study),
        nearest=str(nearest or "nothing in this context yet"),
        certificate=_certificate(trial),
        certified=trial.certified,
    )


def measured_card(trial: Trial, study: Study, measurement: Measurement) -> MeasuredCard:
    """What a trial showed, beside what was expected of it."""
    rows: list[tuple[FunctionSpec, float | None, bool]] = [(study.objective, measurement.objective, False)]
    rows += [(c, margin_of(measurement, c), True) for c in study.constraints]
    found = []
    for function, value, margin in rows:
        bounds = trial.predicted.get(function.name)
        expected = "" if bounds is None else f"{bounds.lower:.4g} .. {bounds.upper:.4g}"
        shown = "none" if value is None else f"{value:.4g}"
        below = margin and value is not None and not value >= 0
        found.append(MeasuredRow(function.name, shown, expected, function.unit, below))
    title = f"Trial {trial.id}: {measurement.outcome}{', FELL' if measurement.fell else ''}"
    return MeasuredCard(title, tuple(found), measurement.message)


def _gains(trial: Trial, study: Study, before: Mapping[str, Any] | None) -> tuple[GainRow, ...]:
    seeds = [s.parameters for s in study.seeds if s.context == trial.context_name]
    seed = seeds[0] if seeds else {}
    changes = _changes(trial, study, seed if before is None else before)
    rows = []
    for p in study.parameters:
        value = trial.parameters[p.name]
        bounds = (
            ", ".join(p.choices) if p.choices else f"{value_text(p.bounds[0])} .. {value_text(p.bounds[1])}"
        )
        rows.append(
            GainRow(
                p.name,
                brief(seed[p.name], p) if p.name in seed else "",
                "" if before is None else brief(before.get(p.name, value), p),
                brief(value, p),
                bounds,
                p.unit,
                changes.get(p.name, ""),
            )
        )
    return tuple(rows)


def _changes(trial: Trial, study: Study, reference: Mapping[str, Any]) -> dict[str, str]:
    """Signed changes by gain, in per cent of the range on its scale; `other` for another choice."""
    if any(p.name not in reference for p in study.parameters):
        return {}
    space = Space.of_parameters(study)
    now, then = (
        space.to_unit(space.vector(values, within=False)) for values in (trial.parameters, reference)
    )
    shown = {}
    for p, columns in zip(study.parameters, space.columns, strict=True):
        apart = (now - then)[columns]
        if p.choices:
            shown[p.name] = "other" if np.any(apart) else "none"
        else:
            shown[p.name] = f"{100.0 * float(apart[0]):+.2g} %" if apart[0] else "none"
    return shown


def _expected(trial: Trial, study: Study) -> tuple[ExpectedRow, ...]:
    rows = []
    for function in (study.objective, *study.constraints):
        bounds = trial.predicted.get(function.name)
        if bounds is None:
            continue
        found = trial.evidence.get(function.name)
        margin = function is not study.objective
        lower, mean, upper = (f"{value:.4g}" for value in (bounds.lower, bounds.mean, bounds.upper))
        prior = "" if found is None else found.prior
        close = margin and not bounds.lower >= 0
        rows.append(ExpectedRow(function.name, lower, mean, upper, function.unit, prior, margin, close))
    return tuple(rows)


def _certificate(trial: Trial) -> str:
    words = "Certified by the study's certificate" if trial.certified else "NOT certified"
    if trial.phase == "seed" and not trial.certified:
        words = "Not certified: a seed is safe because the study says so"
    if trial.certified_until is not None and trial.operating_time is not None:
        left = duration_text(trial.certified_until - trial.operating_time)
        words += f"; the certificate expires {left} after the latest time at which the trial may begin"
    return words
