"""The landscape of a study: random gains evaluated with full knowledge.

    python -m safebo.experiments.evidence.landscape go1-trot --samples 2000 --workers 2

prints how many are safe, how many fall, the quantiles of objective and margins, the best safe gains (what a person
would get who could try everything without risk), and what the seed loses against them. Gains of a study with scenarios
walk one scenario after another, the last of the list first, until one is unsafe. With `--out FILE.parquet` the table is
kept as it grows: the same command goes on where it was stopped, and a larger `--samples` adds to it.
"""

from __future__ import annotations

import hashlib
import math
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from safebo.errors import InputError
from safebo.experiments.evidence.truth import is_safe, noise_free, process_pool, random_gains, truth
from safebo.study import Study, quantity_of
from safebo.study.reading import load_study
from safebo.types import Measurement

BATCH = 50
"""Gains between two writings of the table."""

_MARK = b"safebo.landscape"
_MARGIN = "margin."


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
            **{f"{_MARGIN}{k}": v for k, v in m.margins.items()},
        }
        for g, m in zip(gains, measurements, strict=True)
    ]
    return pa.Table.from_pylist(rows)


def measurements_of(rows: pa.Table) -> list[Measurement]:
    """What the rows of a table show."""
    return [
        Measurement(
            outcome=row["outcome"],
            objective=row["objective"],
            fell=row["fell"],
            margins={
                key.removeprefix(_MARGIN): value
                for key, value in row.items()
                if key.startswith(_MARGIN) and value is not None
            },
        )
        for row in rows.to_pylist()
    ]


def landscape(
    study: Study, context: str, gains: list[dict[str, float]], out: Path | None = None, workers: int = 1
) -> list[Measurement]:
    """The noise-free truth of many gains, kept in a file as it grows.

    Args:
        study: the study.
        context: name of the context.
        gains: of every row, in their order.
        out: Parquet file with the rows that are there already; None keeps nothing.
        workers: processes.

    Raises:
        InputError: the file is of another study, context or other gains.
    """
    mark = hashlib.sha256(f"{noise_free(study)} {context} {gains[:1]}".encode()).hexdigest().encode()
    found: list[Measurement] = []
    if out is not None and out.exists():
        kept = pq.read_table(out)
        if (kept.schema.metadata or {}).get(_MARK) != mark:
            raise InputError(f"{out} is the landscape of another study, context or seed: give another --out")
        found = measurements_of(kept)[: len(gains)]
    with process_pool(workers) if workers > 1 else nullcontext() as pool:
        while len(found) < len(gains):
            batch = gains[len(found) : len(found) + BATCH]
            found += truth(study, context, batch, pool, least=-math.inf)
            if out is not None:
                rows = table(gains[: len(found)], found)
                out.parent.mkdir(parents=True, exist_ok=True)
                partial = out.with_suffix(".partial")
                pq.write_table(rows.replace_schema_metadata({_MARK: mark}), partial)
                partial.replace(out)
    return found


def told(study: Study, gains: list[dict[str, float]], found: list[Measurement]) -> list[str]:
    """What a landscape is like, in lines for people."""
    safe = np.array([is_safe(study, m) for m in found])
    objective = np.array([np.nan if m.objective is None else m.objective for m in found])
    lines = [f"  violate: {1.0 - safe.mean():.1%}   fall: {np.mean([m.fell for m in found]):.1%}"]
    for name in found[0].margins:
        margin = np.array([m.margins[name] for m in found if name in m.margins])
        used = " (a constraint)" if any(quantity_of(c) == name for c in study.constraints) else ""
        quantiles = "  ".join(f"{q:.4g}" for q in np.quantile(margin, [0.05, 0.25, 0.5, 0.75, 0.95]))
        lines.append(
            f"  margin {name}{used}: >= 0 for {np.mean(margin >= 0):.1%}, quantiles 5/25/50/75/95 %: {quantiles}"
        )
    if np.isfinite(objective).any():
        quantiles = "  ".join(
            f"{q:.4g}" for q in np.nanquantile(objective, [0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0])
        )
        lines.append(f"  objective quantiles 0/5/25/50/75/95/100 %: {quantiles}")
    if safe.any():
        inside = "  ".join(f"{q:.4g}" for q in np.quantile(objective[safe], [0.05, 0.5, 0.95]))
        best = best_safe(study, found)
        lines += [
            f"  objective of the safe 5/50/95 %: {inside}",
            f"  best safe: {objective[best]:.4g} at { {k: float(f'{v:.3g}') for k, v in gains[best].items()} }",
            f"    margins { {k: round(v, 5) for k, v in found[best].margins.items()} }",
        ]
    return lines


def seed_told(study: Study, shown: Measurement, best: float | None) -> str:
    """What a seed is worth, and how much of its cost the best safe gains do without."""
    line = f"  seed: objective {shown.objective}, safe {is_safe(study, shown)}, margins "
    line += str({k: round(v, 5) for k, v in shown.margins.items()})
    if best is not None and shown.objective is not None and shown.objective < 0:
        line += f"; the best safe gains cut its cost by {1.0 - best / shown.objective:.1%}"
    return line


def main(
    study: Annotated[str, typer.Argument(help="name or path of the study")],
    samples: int = 2000,
    workers: int = 2,
    seed: int = 12345,
    context: Annotated[str | None, typer.Option(help="default: the first of the schedule")] = None,
    out: Annotated[Path | None, typer.Option(help="keep the table as Parquet, and go on with it")] = None,
) -> None:
    """Evaluate random gains of a study without noise and print what the landscape is like."""
    loaded = load_study(study).study
    where = context or loaded.context.schedule[0].context
    gains = random_gains(loaded, samples, seed)
    found = landscape(loaded, where, gains, out, workers)
    print(f"{loaded.name}, {where}: {samples} random gains")
    print("\n".join(told(loaded, gains, found)))
    index = best_safe(loaded, found)
    best = found[index].objective if is_safe(loaded, found[index]) else None
    for start in (s for s in loaded.seeds if s.context == where):
        print(seed_told(loaded, truth(loaded, where, [start.parameters])[0], best))


if __name__ == "__main__":
    typer.run(main)
