"""The landscape of a study: random gains evaluated with full knowledge.

    python -m safebo.experiments.evidence.landscape go1-trot --samples 2000 --workers 2

prints how many are safe, how many fall, the quantiles of objective and margins, and the best safe gains: what
a person would get who could try everything without risk. With `--out FILE.parquet` the table is kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from safebo.experiments.evidence.truth import is_safe, process_pool, random_gains, truth
from safebo.study import Study
from safebo.study.reading import load_study
from safebo.types import Measurement


def best_safe(study: Study, measurements: list[Measurement]) -> int:
    """Index of the safe measurement with the highest objective."""
    values = [m.objective if is_safe(study, m) and m.objective is not None else -np.inf for m in measurements]
    return int(np.argmax(values))


def table(gains: list[dict[str, float]], measurements: list[Measurement]) -> pa.Table:
    """One row per gains: parameters, outcome, objective and margins."""
    rows = [
        {
            **g,
            "outcome": m.outcome,
            "fell": m.fell,
            "objective": m.objective,
            **{f"margin.{k}": v for k, v in m.margins.items()},
        }
        for g, m in zip(gains, measurements, strict=True)
    ]
    return pa.Table.from_pylist(rows)


def main(
    study: Annotated[str, typer.Argument(help="name or path of the study")],
    samples: int = 2000,
    workers: int = 2,
    seed: int = 12345,
    context: Annotated[str | None, typer.Option(help="default: the first of the schedule")] = None,
    out: Annotated[Path | None, typer.Option(help="keep the table as Parquet")] = None,
) -> None:
    """Evaluate random gains of a study without noise and print what the landscape is like."""
    loaded = load_study(study).study
    where = context or loaded.context.schedule[0].context
    gains = random_gains(loaded, samples, seed)
    seeds = [dict(s.parameters) for s in loaded.seeds if s.context == where]
    with process_pool(workers) as pool:
        measured = truth(loaded, where, seeds + gains, pool)
    initial, measurements = measured[: len(seeds)], measured[len(seeds) :]
    if out is not None:
        pq.write_table(table(gains, measurements), out)
    safe = np.array([is_safe(loaded, m) for m in measurements])
    objective = np.array([np.nan if m.objective is None else m.objective for m in measurements])
    print(f"{loaded.name}, {where}: {samples} random gains")
    print(f"  fall: {np.mean([m.fell for m in measurements]):.1%}   safe: {safe.mean():.1%}")
    for name in measurements[0].margins:
        margin = np.array([m.margins[name] for m in measurements])
        print(f"  margin {name}: >= 0 for {np.mean(margin >= 0):.1%}, quantiles 5/25/50/75/95 %:", end=" ")
        print("  ".join(f"{q:.4g}" for q in np.quantile(margin, [0.05, 0.25, 0.5, 0.75, 0.95])))
    quantiles = np.nanquantile(objective, [0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0])
    print("  objective quantiles 0/5/25/50/75/95/100 %:", "  ".join(f"{q:.4g}" for q in quantiles))
    if safe.any():
        inside = np.quantile(objective[safe], [0.05, 0.5, 0.95])
        print("  objective of the safe 5/50/95 %:", "  ".join(f"{q:.4g}" for q in inside))
        best = best_safe(loaded, measurements)
        print(f"  best safe: {objective[best]:.4g} at", {k: round(v, 3) for k, v in gains[best].items()})
        print("    margins", {k: round(v, 5) for k, v in measurements[best].margins.items()})
    for m in initial:
        print(
            f"  seed: objective {m.objective}, safe {is_safe(loaded, m)}, margins",
            {k: round(v, 5) for k, v in m.margins.items()},
        )


if __name__ == "__main__":
    typer.run(main)
