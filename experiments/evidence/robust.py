"""Gains that were tuned under scenarios, walked under conditions that no trial had, beside gains that were not.

    python -m safebo.experiments.evidence.tuning go1-robust --trials 40 --seeds 10 --checkpoints 40 --keep runs/robust
    python -m safebo.experiments.evidence.tuning go1-trot --trials 40 --seeds 10 --checkpoints 40 --keep runs/trot
    python -m safebo.experiments.evidence.robust runs/robust --beside runs/trot --best trot=-4.6,crawl=-2.5

lets the gains that each kept seed of a study with scenarios recommended last walk once under each of 59 conditions
drawn from what the scenarios span (`safebo.experiments.evidence.scenarios`), in every context, and prints falls,
violations, the upper bound of their probability (Clopper and Pearson, 95 %), the share of the possible gap (`--best`,
from `safebo.experiments.evidence.landscape`), and how many more ticks of torque delay they bear. `--beside` has the
kept seeds of another study, whose gains walk under the same draws. What was walked is kept in the folder, so that the
same command goes on where it was stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from pydantic import BaseModel, ConfigDict

from safebo.errors import InputError
from safebo.evaluators.source import EvaluatorSource
from safebo.experiments.evidence.failure_rate import failure_rate_bound
from safebo.experiments.evidence.scenarios import DRAWS, walk_unseen
from safebo.experiments.evidence.truth import truth
from safebo.experiments.evidence.tuning import SeedSummary, objective_of
from safebo.robots.evaluation.delay_margin import delay_margin
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.study import Study, quantity_of

MOST_TICKS = 3
"""Extra ticks of delay that are tried."""


class Walked(BaseModel):
    """What came of one seed's gains in one context."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    study: str
    gains: dict[str, Any]
    context: str
    draws: int
    walks: int
    falls: int
    violations: int
    delay_ticks: int
    """Extra ticks up to which every limit held, in walks without any other condition."""
    delay_broke: str
    """What broke at the next; empty where nothing did up to `MOST_TICKS`."""


def kept_seeds(folder: Path) -> list[SeedSummary]:
    """The seeds that `safebo.experiments.evidence.tuning` kept in a folder.

    Raises:
        InputError: there is none.
    """
    found = [SeedSummary.model_validate_json(path.read_text()) for path in sorted(folder.glob("seed-*.json"))]
    if not found:
        raise InputError(
            f"{folder} has no seeds: run safebo.experiments.evidence.tuning with --keep {folder}"
        )
    return found


def last_gains(summary: SeedSummary, context: str) -> dict[str, Any] | None:
    """What a run recommended last for a context; for one that it never tuned, what it did for its first."""
    by_context = summary.gains[max(summary.gains)]
    return by_context[context] if context in by_context else next(iter(by_context.values()))


def walked(study: Study, gains: Mapping[str, Any], context: str, draws: int, seed: int, keep: Path) -> Walked:
    """Let gains walk under drawn conditions and with more and more delay, or read what is kept of it.

    Args:
        study: its scenarios say from what is drawn, its constraints what a violation is.
        gains: by name.
        context: name of the context.
        draws: how many.
        seed: of conditions and noise.
        keep: file.
    """
    asked: dict[str, Any] = {
        "study": study.model_dump_json(),
        "gains": dict(gains),
        "context": context,
        "draws": draws,
    }
    if keep.exists():
        found = Walked.model_validate_json(keep.read_text())
        if found.model_dump(include=set(asked)) == asked:
            return found
    unseen = walk_unseen(study, None, gains, context, draws, seed)
    evaluator = EvaluatorSource(study).make()
    assert isinstance(evaluator, LeggedEvaluator)
    names = [quantity_of(c) for c in study.constraints]
    margin = delay_margin(evaluator, gains, study.context.values[context], names, MOST_TICKS, seed=seed)
    found = Walked(
        **asked,
        walks=unseen.walks,
        falls=unseen.falls,
        violations=unseen.violations,
        delay_ticks=margin.ticks,
        delay_broke=margin.broke,
    )
    keep.write_text(found.model_dump_json())
    return found


def told(name: str, found: list[Walked]) -> str:
    """One line of walks that belong together."""
    walks, falls, bad = (sum(getattr(f, key) for f in found) for key in ("walks", "falls", "violations"))
    ticks = sorted({f"{f.delay_ticks}{'' if f.delay_broke else ' or more'}" for f in found})
    bound = f"at most {100.0 * failure_rate_bound(bad, walks):.1f} % fail" if walks else "no walks"
    return f"{name}: {walks} draws, {falls} falls, {bad} violations ({bound}); delay margin {', '.join(ticks)} ticks"


def shares(summary: SeedSummary, initial: Mapping[str, float], best: Mapping[str, float]) -> dict[str, float]:
    """Share of the gap between initial and best gains that a run closed, by context whose best is known.

    Gains that are unsafe, and no gains, close nothing.
    """
    last = max(summary.objective)
    closed = {}
    for context, value in best.items():
        reached = summary.objective[last].get(context)
        if reached is None or not summary.safe[last].get(context, False):
            closed[context] = 0.0
        else:
            closed[context] = (reached - initial[context]) / (value - initial[context])
    return closed


def _best(text: str) -> Iterator[tuple[str, float]]:
    for item in text.split(",") if text else []:
        name, _, value = item.partition("=")
        try:
            yield name.strip(), float(value)
        except ValueError:
            raise InputError(f"--best takes context=objective, separated by commas, got {item!r}") from None


def main(
    folder: Annotated[Path, typer.Argument(help="kept seeds of a study with scenarios")],
    beside: Annotated[Path | None, typer.Option(help="kept seeds of another study")] = None,
    draws: Annotated[int, typer.Option(min=1, help="conditions a seed and context")] = DRAWS,
    best: Annotated[
        str, typer.Option(help="objective that counts as the whole gap: trot=-4.6,crawl=-2")
    ] = "",
) -> None:
    """Walk recommended gains under unseen conditions, and count."""
    tuned, others = kept_seeds(folder), [] if beside is None else kept_seeds(beside)
    study, limit = Study.model_validate_json(tuned[0].study), dict(_best(best))
    contexts = list(dict.fromkeys(phase.context for phase in study.context.schedule))
    if unknown := set(limit) - set(contexts):
        raise InputError(f"--best: no context {min(unknown)!r} (the study has {', '.join(contexts)})")
    initial = {
        c: objective_of(truth(study, c, [s.parameters])[0])
        for c in limit
        for s in study.seeds
        if s.context == c
    }
    totals: dict[str, list[Walked]] = {}
    closed: dict[str, list[float]] = {}
    for index, each in enumerate(tuned):
        share = shares(each, initial, limit)
        for context in contexts:
            rows = [("", each)] + (
                [(" tuned without scenarios", others[index])] if index < len(others) else []
            )
            for name, source in rows:
                gains = last_gains(source, context)
                if gains is None:
                    print(f"seed {each.seed}, {context}{name}: nothing is certified")
                    continue
                file = folder / f"unseen-{each.seed:04d}-{context}{'-beside' if name else ''}.json"
                found = walked(study, gains, context, draws, 1000 * each.seed + 1, file)
                totals.setdefault(f"{context}{name}", []).append(found)
                line = told(f"seed {each.seed}, {context}{name}", [found])
                if not name and context in share:
                    closed.setdefault(context, []).append(share[context])
                    line += f"; {share[context]:.0%} of the possible gap"
                print(line, flush=True)
    trials = sum(s.trials for s in tuned)
    print(
        f"{study.name}: {len(tuned)} seeds, {trials} trials, {sum(s.unsafe for s in tuned)} unsafe, "
        f"{sum(s.falls for s in tuned)} falls, {sum(s.walks for s in tuned) / trials:.2f} walks a trial"
    )
    for name, all_walked in totals.items():
        print(told(f"all seeds, {name}", all_walked))
    for context, values in closed.items():
        print(
            f"share of the possible gap, {context}: median {np.median(values):.0%}, least {min(values):.0%}"
        )


if __name__ == "__main__":
    typer.run(main)
