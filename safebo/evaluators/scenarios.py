"""A trial that walks several scenarios: the part of each, and the one measurement that they become."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np

from safebo.errors import EvaluatorOptionError
from safebo.study import Study, quantity_of
from safebo.study.aggregation import aggregated
from safebo.study.scenario_model import ScenariosSpec
from safebo.types import Measurement, Outcome, Scenario, Trial

_SEVERITY: tuple[Outcome, ...] = ("aborted", "failed", "backup", "completed")
"""Of several outcomes the first of these is the trial's."""


def scenario_trial(trial: Trial, study: Study, name: str) -> Trial:
    """The part of a trial that walks one scenario, under a seed of its own: a function of the trial's and the name."""
    assert study.scenarios is not None
    seed = int(np.random.SeedSequence([trial.seed, *name.encode()]).generate_state(1)[0])
    return replace(trial, scenario=Scenario(name, study.scenarios.values[name]), seed=seed)


def parts_of(trial: Trial, study: Study) -> tuple[Trial, ...]:
    """The walks that a trial is made of, one for every scenario that it names; the trial itself without any."""
    return tuple(scenario_trial(trial, study, name) for name in trial.scenarios) or (trial,)


def check_scenarios(evaluator: Any, study: Study) -> None:
    """Let the evaluator look at the conditions of every scenario.

    Raises:
        EvaluatorOptionError: it does not know scenarios, or not these conditions.
    """
    spec = study.scenarios
    if spec is None:
        return
    check = getattr(evaluator, "check_conditions", None)
    if not callable(check):
        raise EvaluatorOptionError(
            f"evaluator {study.evaluator.name!r} does not know scenarios: it needs a method check_conditions, "
            "a function an argument `conditions`, a program the option `scenarios: true`; see docs/scenarios.md",
            "scenarios",
        )
    for name, conditions in spec.values.items():
        try:
            check(dict(conditions))
        except (ValueError, TypeError) as error:
            raise EvaluatorOptionError(str(error), f"scenarios.values.{name}") from error


def combined(parts: Mapping[str, Measurement], study: Study) -> Measurement:
    """What the walks of a trial come to: its objective and margins, aggregated, and what went wrong where.

    A fall or an abort in one scenario is the trial's. So is a failure, as nobody knows what it would have shown; but
    where another scenario was unsafe and the margins are those of the worst, that is known, and the trial counts as
    aborted. Arrays of states are not kept.

    Args:
        parts: what every walked scenario showed, checked.
        study: says how to aggregate.
    """
    spec = study.scenarios
    assert spec is not None
    kept = {name: _slim(part) for name, part in parts.items()}
    walks = list(kept.values())
    outcome = next(o for o in _SEVERITY if any(m.outcome == o for m in walks))
    unsafe = spec.margins == "worst" and any(_margin_below_zero(m, study) for m in walks)
    if outcome == "failed" and unsafe:
        outcome = "aborted"
    shown = [m for m in walks if m.outcome != "failed"]
    whole = outcome == "completed"
    times = [m.operating_time for m in walks if m.operating_time is not None]
    return Measurement(
        outcome=outcome,
        objective=_one(spec.objective, [m.objective for m in walks]) if whole else None,
        margins=_named(spec, [m.margins for m in shown]) if outcome != "failed" else {},
        fell=any(m.fell for m in walks),
        true_objective=_one(spec.objective, [m.true_objective for m in walks]) if whole else None,
        true_margins=_named(spec, [m.true_margins or {} for m in shown]) or None,
        duration=math.fsum(m.duration for m in walks),
        message="; ".join(_said(kept.items())),
        operating_time=min(times, default=None),
        ended=next((m.ended for m in walks if m.ended), "") if whole else "",
        scenarios=kept,
    )


def below_zero(measurement: Measurement, constraint: str, quantity: str) -> tuple[str, ...]:
    """The scenarios in which a margin was below 0."""
    return tuple(
        s
        for s, m in measurement.scenarios.items()
        if m.margins.get(constraint, m.margins.get(quantity, 0.0)) < 0
    )


def _margin_below_zero(m: Measurement, study: Study) -> bool:
    names = {name for c in study.constraints for name in (c.name, quantity_of(c))}
    return m.outcome in ("completed", "aborted") and any(m.margins.get(name, 0.0) < 0 for name in names)


def _slim(m: Measurement) -> Measurement:
    """A walk without what belongs to single walks alone."""
    return replace(m, states=None, margins_to_go=None, backup_state=None, strides=None, scenarios={})


def _one(rule: str, values: list[float | None]) -> float | None:
    """One number of several; None where one of them is missing."""
    known = [value for value in values if value is not None]
    return aggregated(rule, known) if known and len(known) == len(values) else None


def _named(spec: ScenariosSpec, given: list[Mapping[str, float]]) -> dict[str, float]:
    """Margins that every scenario has, aggregated."""
    names = [name for name in given[0] if all(name in margins for margins in given)] if given else []
    return {name: aggregated(spec.margins, [margins[name] for margins in given]) for name in names}


def _said(parts: Iterable[tuple[str, Measurement]]) -> list[str]:
    """What happened in scenarios that were not simply completed."""
    found = []
    for name, m in parts:
        if m.outcome != "completed" or m.fell:
            what = ", ".join([*(["FELL"] if m.fell else []), *([m.message] if m.message else [])])
            found.append(f"scenario {name} {cast(str, m.outcome)}{': ' if what else ''}{what}")
        elif m.ended:
            found.append(f"scenario {name} ended after {m.duration:.3g} s: {m.ended}")
    return found
