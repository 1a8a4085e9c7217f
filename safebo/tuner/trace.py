"""What one ask looked at, as a table: candidates, their bounds and values, and the decision with its reason.

It is computed beside the ask, from the same acquisition, and draws from a generator of its own, so that a traced ask
proposes what an untraced one does, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from safebo.acquisition import SafeAcquisition
from safebo.acquisition.registry import name_of
from safebo.acquisition.safeopt import TARGETS, ExpanderAcquisition
from safebo.optim.swarm import Candidates
from safebo.tuner.encoding import StudyEncoding
from safebo.tuner.proposer import Proposal
from safebo.types import Trial

MAX_BEST = 500
"""Candidates of one search that are kept for their value, the best."""

MAX_SAMPLED = 500
"""Candidates of one search that are kept beside the best, drawn by the run's seed from the others."""


@dataclass(frozen=True)
class AskTrace:
    """The table of one ask, one row a candidate; the last row is the trial itself, as it was rounded and proposed.

    Args:
        trial: id of the trial that was asked.
        columns: arrays of `n` each, by name: `trial`, `context`, `phase`, `rule` (the acquisition that was searched),
            `source` (`grid`, `search`, `pool` or `decision`), `chosen`; `parameters.NAME`; `bounds.NAME.lower`,
            `.mean` and `.upper` of every function in its own unit; `certified`; `maximizer` and `expander` (1, 0, NaN
            where the rule has no such set); `acquisition` (NaN where the rule does not admit the candidate, and for
            trials that no rule chose); `reason`, empty but for the decision.
        units: by column, where there is one.
        considered: number of candidates before any were left out.
    """

    trial: int
    columns: Mapping[str, NDArray[Any]]
    units: Mapping[str, str]
    considered: int


@dataclass
class SearchLog:
    """The searches of one ask, in their order; a proposer that has one adds to it.

    Args:
        found: every acquisition that was searched with what was found, best first.
    """

    found: list[tuple[SafeAcquisition, Candidates]] = field(default_factory=list)

    def __call__(self, acquisition: SafeAcquisition, found: Candidates) -> None:
        """Keep a search and what it found."""
        self.found.append((acquisition, found))


def trace_of(
    encoding: StudyEncoding, log: SearchLog, trial: Trial, plan: Proposal, rng: np.random.Generator
) -> AskTrace:
    """The table of an ask.

    Args:
        encoding: of the study.
        log: its searches.
        trial: what was asked.
        plan: the proposal that it was made of.
        rng: of the sample, where there are too many candidates.
    """
    parts, considered = [], 0
    for acquisition, found in log.found:
        part, seen = _search_columns(encoding, acquisition, found, rng)
        parts.append(part)
        considered += seen
    parts.append(_decision(encoding, trial, plan.score))
    names = list(parts[-1])
    columns: dict[str, NDArray[Any]] = {name: np.concatenate([p[name] for p in parts]) for name in names}
    rows = len(columns["chosen"])
    first = {"trial": np.full(rows, trial.id)}
    first |= {"context": np.full(rows, trial.context_name), "phase": np.full(rows, trial.phase)}
    units = {f"parameters.{p.name}": p.unit for p in encoding.study.parameters}
    units |= {
        f"bounds.{f.name}.{end}": f.unit for f in encoding.functions for end in ("lower", "mean", "upper")
    }
    return AskTrace(trial.id, first | columns, {n: u for n, u in units.items() if u}, considered)


def _search_columns(
    encoding: StudyEncoding, acquisition: SafeAcquisition, found: Candidates, rng: np.random.Generator
) -> tuple[dict[str, NDArray[Any]], int]:
    """The columns of one search, and how many candidates it had."""
    with torch.no_grad():
        points, value, source = _candidates(acquisition, found)
        kept = _kept(value, rng)
        points, value = points[kept], value[kept]
        ctx = acquisition.ctx.exactly()
        bounds = ctx.bounds_at(points)
        certified = ctx.certified(bounds)
        maximizer = np.full(len(points), math.nan)
        if math.isfinite(ctx.incumbent):
            maximizer = (certified & (bounds.certain.upper[:, 0] >= ctx.incumbent)).numpy().astype(np.float64)
        expander = np.full(len(points), math.nan)
        if isinstance(acquisition, ExpanderAcquisition):
            near = acquisition.targets[:TARGETS]
            expander = acquisition.expanders(points, bounds, certified, near).numpy().astype(np.float64)
    columns = {
        "rule": np.full(len(points), name_of(acquisition)),
        "source": source[kept.numpy()],
        "chosen": np.zeros(len(points), dtype=np.bool_),
        **_parameters(encoding, encoding.space.from_unit(points.numpy())),
        **_bounds(encoding, encoding.raw_bounds(ctx, bounds)),
        "certified": certified.numpy(),
        "maximizer": maximizer,
        "expander": expander,
        "acquisition": torch.where(torch.isfinite(value), value, torch.nan).numpy(),
        "reason": np.full(len(points), ""),
    }
    return columns, len(source)


def _candidates(
    acquisition: SafeAcquisition, found: Candidates
) -> tuple[Float[Tensor, "n d"], Float[Tensor, " n"], NDArray[np.str_]]:
    """What a search considered: the grid, or what it found and the sample of the box that the rule looked at."""
    ctx = acquisition.ctx
    if ctx.domain is not None:
        return ctx.pool, acquisition.grid_scores(), np.full(len(ctx.pool), "grid")
    if len(ctx.pool) == 0:
        return found.points, found.scores, np.full(len(found.points), "search")
    value, _ = acquisition.evaluate(ctx.pool)
    source = np.array(["search"] * len(found.points) + ["pool"] * len(ctx.pool), dtype=np.str_)
    return torch.cat([found.points, ctx.pool]), torch.cat([found.scores, value]), source


def _kept(value: Float[Tensor, " n"], rng: np.random.Generator) -> Int[Tensor, " k"]:
    """Rows that are kept, in their order: the best by value, and a sample of the others."""
    if len(value) <= MAX_BEST + MAX_SAMPLED:
        return torch.arange(len(value))
    order = torch.argsort(value, descending=True, stable=True)
    drawn = rng.choice(len(value) - MAX_BEST, MAX_SAMPLED, replace=False)
    return torch.cat([order[:MAX_BEST], order[MAX_BEST:][torch.from_numpy(drawn)]]).sort().values


def _decision(encoding: StudyEncoding, trial: Trial, score: float) -> dict[str, NDArray[Any]]:
    """The row of the trial itself: bounds and certificate as the trial carries them."""
    nan = math.nan
    known = [trial.predicted.get(name) for name in encoding.names]
    bounds = np.array([[(nan,) * 3 if b is None else (b.lower, b.mean, b.upper) for b in known]])
    return {
        "rule": np.array([""]),
        "source": np.array(["decision"]),
        "chosen": np.array([True]),
        **{f"parameters.{name}": np.array([trial.parameters[name]]) for name in encoding.space.names},
        **_bounds(encoding, bounds),
        "certified": np.array([trial.certified]),
        "maximizer": np.array([nan]),
        "expander": np.array([nan]),
        "acquisition": np.array([score], dtype=np.float64),
        "reason": np.array([trial.reason]),
    }


def _parameters(encoding: StudyEncoding, raw: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """Candidates in the parameters' units, choices by name."""
    rows: Sequence[Mapping[str, Any]] = [encoding.space.named(row) for row in raw]
    return {f"parameters.{n}": np.array([row[n] for row in rows]) for n in encoding.space.names}


def _bounds(encoding: StudyEncoding, bounds: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    """Columns of bounds, `n x m x 3`."""
    ends = ("lower", "mean", "upper")
    return {
        f"bounds.{name}.{end}": bounds[:, i, j]
        for i, name in enumerate(encoding.names)
        for j, end in enumerate(ends)
    }
