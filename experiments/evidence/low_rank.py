"""How good the choices of ITL and VTL with thousands of targets are: the speed case's problem on 20,000 points.

    python -m safebo.experiments.evidence.low_rank

scores all candidates exactly (minutes and a few GB: the targets' covariance is factorized) and as on a million
points (features of low rank, cells), and prints the exact score of the chosen point over the best exact score.
"""

from __future__ import annotations

from typing import Annotated

import torch
import typer

from safebo.acquisition.transductive.scores import exact_scores
from safebo.acquisition.transductive.target_forms import LOW_RANK_RULES
from safebo.experiments.speed.transductive_cases import TransductiveRun

CELLS = {"exact_pairs": 0, "max_candidates": 500, "max_targets": 500, "scored_at_once": 80}
"""So that the way of a million points is taken on a small grid: about one candidate in a hundred is scored itself."""

ONE_BY_ONE = {"exact_pairs": 0, "max_candidates": 10**9, "max_targets": 10**9}


def main(
    points: int = 20_000,
    observations: Annotated[list[int] | None, typer.Option(help="numbers of observations")] = None,
) -> None:
    """Run and print."""
    for count in observations or [20, 60, 200]:
        run = TransductiveRun("vtl", points, count, **CELLS)
        variances = torch.stack([m.variance for m in run.marginals], -1)
        candidates, targets = run.candidates, run.targets
        for rule in LOW_RANK_RULES:
            with torch.no_grad():
                exact = torch.stack(
                    [
                        exact_scores(rule, p, run.points, variances[:, i], candidates, targets)
                        for i, p in enumerate(run.posteriors)
                    ]
                ).sum(0)
            for options in (CELLS, ONE_BY_ONE):
                for name, value in options.items():
                    setattr(run.grid, name, value)
                found = run.grid.scores(rule, run.posteriors, variances, candidates, targets)
                values = found.values[candidates]
                ratio = float(exact[values.argmax()] / exact.max())
                worst = float((values - exact).abs().max() / exact.max())
                print(
                    f"{rule} {count:>4} observations, {len(exact):,} candidates, {int(targets.sum()):,} targets, "
                    f"{found.method:<8} ({found.scored:,} scored one by one): chosen / best {ratio:.6f}, "
                    f"largest error of any score {worst:.1e} of the best",
                    flush=True,
                )


if __name__ == "__main__":
    typer.run(main)
