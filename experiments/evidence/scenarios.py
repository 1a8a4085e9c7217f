"""Do gains that were certified in a study's scenarios hold under conditions that were never walked?

    python -m safebo.experiments.evidence.scenarios runs/go1-scenarios-0 runs/go1-scenarios-1 [--draws 59] [--initial]

draws conditions from what the scenarios of each run span, lets the run's recommended gains walk once under each, and
prints per run how often the robot fell, how often a margin was below 0 (the plant's true one where the evaluator knows
it), and the upper bound of the probability of either, with 95 % confidence: after 59 walks without one it is under
5 %. Conditions are drawn anew for every run (`--seed`), so that runs are independent.

For every condition that a scenario has: it is drawn with the share of scenarios that have it, a number uniformly
between the smallest and the largest that stand there (a whole one where all are), anything else as one of those that
stand there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from safebo.errors import InputError
from safebo.evaluators.gate import evaluate_safely
from safebo.evaluators.outcome import margin_of, negative_margins
from safebo.evaluators.source import EvaluatorSource
from safebo.experiments.evidence.failure_rate import failure_rate_bound
from safebo.runs.recommend import recommend
from safebo.study import Study
from safebo.study.scenario_model import ScenariosSpec
from safebo.study.scenarios import is_number, one_walk
from safebo.types import Measurement, Scenario, Trial

DRAWS = 59
"""Walks without a failure after which, with 95 % confidence, at most 5 % fail."""


@dataclass(frozen=True)
class UnseenWalks:
    """What came of gains under conditions that no trial had.

    Args:
        walks: their number.
        falls: walks in which the robot fell.
        violations: walks that fell or broke a margin.
        failed: walks without a measurement; they count as neither.
        worst: the smallest margin of every constraint.
    """

    walks: int
    falls: int
    violations: int
    failed: int
    worst: Mapping[str, float]

    @property
    def bound(self) -> float:
        """Upper bound of the probability of a violation, 95 %."""
        return failure_rate_bound(self.violations, self.walks)


def unseen_conditions(spec: ScenariosSpec, rng: np.random.Generator) -> dict[str, Any]:
    """Conditions drawn from what the scenarios span."""
    found: dict[str, Any] = {}
    for key in dict.fromkeys(key for conditions in spec.values.values() for key in conditions):
        given = [conditions[key] for conditions in spec.values.values() if key in conditions]
        if rng.random() >= len(given) / len(spec.values):
            continue
        if not all(is_number(value) for value in given):
            found[key] = given[rng.integers(len(given))]
        elif all(isinstance(value, int) for value in given):
            found[key] = int(rng.integers(min(given), max(given) + 1))
        else:
            found[key] = float(rng.uniform(min(given), max(given)))
    return found


def walk_unseen(
    study: Study, folder: str | None, gains: Mapping[str, Any], context: str, draws: int, seed: int
) -> UnseenWalks:
    """Let gains walk once under each of so many drawn conditions.

    Args:
        study: as it ran.
        folder: where modules beside its file are; None for nowhere.
        gains: by name.
        context: name of the context.
        draws: how many.
        seed: of conditions and noise.
    """
    spec, single = study.scenarios, one_walk(study)
    if spec is None:
        raise InputError(f"study {study.name!r} has no scenarios to draw from")
    evaluator, rng = EvaluatorSource(study, folder).make(), np.random.default_rng(seed)
    shown = []
    for number in range(1, draws + 1):
        scenario = Scenario(f"drawn-{number}", unseen_conditions(spec, rng))
        noise = int(rng.integers(2**31))
        trial = Trial(
            number, gains, study.context.values[context], context, "manual", noise, False, scenario=scenario
        )
        shown.append(as_true(evaluate_safely(evaluator, trial, None, study)))
    measured = [m for m in shown if m.outcome != "failed"]
    return UnseenWalks(
        len(measured),
        sum(m.fell for m in measured),
        sum(m.fell or bool(negative_margins(m, single)) for m in measured),
        len(shown) - len(measured),
        {
            c.name: min(found for m in measured if (found := margin_of(m, c)) is not None)
            for c in study.constraints
            if measured
        },
    )


def as_true(m: Measurement) -> Measurement:
    """A measurement with the true margins in place of the observed ones, where they are known."""
    return m if m.true_margins is None else replace(m, margins=m.true_margins)


def told(name: str, found: UnseenWalks) -> str:
    """A line for people."""
    if not found.walks:
        return f"{name}: all {found.failed} walks failed"
    worst = ", ".join(f"{margin} {value:.3g}" for margin, value in found.worst.items())
    failed = f", {found.failed} more failed" if found.failed else ""
    return (
        f"{name}: {found.walks} unseen conditions{failed}: {found.falls} falls, {found.violations} violations; at most "
        f"{100.0 * found.bound:.1f} % of walks fail (95 %); smallest margins: {worst}"
    )


def main(
    runs: Annotated[list[Path], typer.Argument(help="Folders of tuned runs of studies with scenarios.")],
    draws: Annotated[int, typer.Option(min=1, help="Conditions that are drawn.")] = DRAWS,
    seed: Annotated[int, typer.Option(help="Of conditions and noise; a run later gets the next one.")] = 0,
    initial: Annotated[bool, typer.Option("--initial", help="The study's first seed as well.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Where modules beside the study file are.")] = None,
) -> None:
    """Walk recommended gains under unseen conditions, and count."""
    beside = None if folder is None else str(folder.resolve())
    for index, run in enumerate(runs):
        found = recommend(run)
        for name, best in found.best:
            if best is None:
                print(f"{run} {name}: nothing is certified")
                continue
            print(
                told(f"{run} {name}", walk_unseen(found.study, beside, best.gains, name, draws, seed + index))
            )
            if initial:
                seeds = [s.parameters for s in found.study.seeds if s.context == name]
                shown = walk_unseen(found.study, beside, seeds[0], name, draws, seed + index)
                print(told(f"{run} {name}, seed gains", shown))


if __name__ == "__main__":
    typer.run(main)
