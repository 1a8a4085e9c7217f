"""From an acquisition to the parameters of a trial: starts, search, rounding, and the final certificate."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from safebo.acquisition import AcquisitionContext, SafeAcquisition, acquisition_class
from safebo.models.finite_domain import FiniteDomain
from safebo.optim import LineBundle, line_bundle, search_box, search_grid, search_lines, unit_grid
from safebo.optim.gradient import refine
from safebo.optim.lines import evaluated
from safebo.optim.swarm import Candidates, initial_particles
from safebo.safety.safe_set import PROPOSAL_RESERVE, PointBounds
from safebo.study import SearchSpec, TunerSpec
from safebo.tuner.encoding import StudyEncoding
from safebo.types import Phase

FINAL_CANDIDATES = 64
JUDGED_CANDIDATES = 256
"""Candidates of an approximate search whose exact scores and bounds decide."""

APPROXIMATE_SEARCH = {"swarm_size": 64, "swarm_iterations": 25, "restarts": 6}
"""Sizes of an approximate search at most: more of it finds hardly more, as the approximation is the limit."""
POOL_STARTS = 16


@dataclass(frozen=True)
class Proposal:
    """The parameters of the next trial.

    Args:
        row: raw parameters, `d`.
        score: the acquisition's value there; not a number where none was asked.
        phase: of the trial.
        reason: why these.
        watched: whether a monitor must watch the trial.
    """

    row: NDArray[np.float64]
    score: float = math.nan
    phase: Phase = "local"
    reason: str = ""
    watched: bool = False


class Proposer:
    """Searches one study's box or grid.

    Args:
        encoding: spaces and functions.
        spec: the tuner section of the study.
    """

    def __init__(self, encoding: StudyEncoding, spec: TunerSpec) -> None:
        self.encoding = encoding
        self.spec = spec
        self.pool = [
            self.encoding.space.vector(row, where=f"tuner.search.pool[{i}]")
            for i, row in enumerate(spec.search.pool)
        ]
        self.grid = self._finite(spec.search)
        self.domain = None if self.grid is None else FiniteDomain(self.grid)
        self.log: Callable[[SafeAcquisition, Candidates], None] | None = None  # is told every search

    def _finite(self, spec: SearchSpec) -> Float[Tensor, "n d"] | None:
        """The candidates of a finite domain in the unit cube; None for a box."""
        space = self.encoding.space
        if spec.domain == "grid" and space.plain:
            return unit_grid(space.dimension, spec.grid_points)
        if spec.domain == "grid":
            return torch.from_numpy(space.grid(spec.grid_points))
        return self.encoding.unit(np.stack(self.pool)) if spec.domain == "pool" else None

    def placed(self, ctx: AcquisitionContext) -> AcquisitionContext:
        """The context with the finite domain as its pool, where there is one."""
        if self.domain is None:
            return ctx
        return replace(ctx, pool=self.domain.points, domain=self.domain)

    def certified_starts(self, ctx: AcquisitionContext, points: Float[Tensor, "n d"]) -> Float[Tensor, "k d"]:
        """The certified ones among known points, largest upper bound of the objective first, no repeats."""
        if len(points) == 0:
            return points
        points = torch.unique(points, dim=0)
        bounds, keep = self._certified(ctx, points)
        order = torch.argsort(bounds.certain.upper[keep, 0], descending=True, stable=True)
        return points[keep][order]

    def _certified(
        self, ctx: AcquisitionContext, points: Float[Tensor, "n d"]
    ) -> tuple[PointBounds, Bool[Tensor, " n"]]:
        """Bounds at points, and which are certified; that none is, is never said by an approximation."""
        with torch.no_grad():
            bounds = ctx.bounds_at(points)
        keep = ctx.certified(bounds, PROPOSAL_RESERVE)
        if ctx.exact is not None and not bool(keep.any()):
            return self._certified(ctx.exact, points)
        return bounds, keep

    def lines(
        self, ctx: AcquisitionContext, known: Float[Tensor, "n d"], number: int, rng: np.random.Generator
    ) -> LineBundle | None:
        """The lines along which a study asks for the search; None for other studies and without a certified point.

        Args:
            ctx: of the trial.
            known: known points in the order told.
            number: of the bundle of lines in its context.
            rng: of the directions.
        """
        spec = self.spec.search.lines
        if spec is None or len(known) == 0:
            return None
        bounds, keep = self._certified(ctx, known)
        if not bool(keep.any()):
            return None
        return line_bundle(ctx, known[keep], bounds.certain.lower[keep, 0], spec, number, rng)

    def with_incumbent(
        self, ctx: AcquisitionContext, starts: Float[Tensor, "k d"], lines: LineBundle | None = None
    ) -> tuple[AcquisitionContext, Float[Tensor, "k d"]]:
        """The context with the best lower bound of the objective in the safe set, or in what lines show of it.

        The starts come back with the point of that bound before them, which is a maximizer: a search from it
        never finds none.
        """
        acquisition = acquisition_class("best_lower_bound")(ctx)
        if self.domain is not None:
            found = search_grid(acquisition, wanted=1)
        elif lines is not None:
            with torch.no_grad():
                found = Candidates.ordered(lines.domain, *evaluated(acquisition, lines.domain))
        elif len(starts):
            with torch.no_grad():
                score, slack = acquisition.evaluate(starts)
            ranked = Candidates.ordered(starts, score, slack)
            found = refine(acquisition, ranked.points[:6], 20)
        else:
            return ctx, starts
        if len(found.scores) == 0:
            return ctx, starts
        starts = torch.cat([found.points[:1], starts])
        return replace(ctx, incumbent=float(found.scores[0])), starts

    def with_pool(
        self,
        ctx: AcquisitionContext,
        kind: Literal["none", "near", "wide"],
        starts: Float[Tensor, "k d"],
        rng: np.random.Generator,
        lines: LineBundle | None = None,
    ) -> AcquisitionContext:
        """The context with the sample of a continuous box that a rule needs; a grid is its own pool.

        Points around the safe set at many radii, for `wide` as many of the whole box as well, and the certified
        known points themselves. Where the search is along lines, their points and the certified known ones.
        """
        if self.domain is not None or kind == "none":
            return ctx
        if lines is not None:
            return replace(ctx, pool=lines.domain)
        size = max(512, 2 * self.spec.search.swarm_size)
        points = ctx.allowed.varied(initial_particles(starts, size, ctx.dimension, rng, False), rng)
        if kind == "wide":
            points = torch.cat(
                [starts, points, ctx.allowed.place(torch.tensor(rng.random((size, ctx.dimension))))]
            )
        return replace(ctx, pool=points)

    def search(
        self,
        acquisition: SafeAcquisition,
        starts: Float[Tensor, "k d"],
        rng: np.random.Generator,
        lines: LineBundle | None = None,
    ) -> Candidates:
        """Feasible candidates, best first."""
        prescribed = acquisition.candidates(rng, self.grid)
        if prescribed is not None:
            if not acquisition.ctx.allowed.whole_cube and self.grid is None:
                prescribed = torch.unique(acquisition.ctx.allowed.place(prescribed), dim=0)
            with torch.no_grad():
                return Candidates.ordered(prescribed, *acquisition.evaluate(prescribed))
        if self.domain is not None:
            return search_grid(acquisition)
        if lines is not None:
            return search_lines(acquisition, lines)
        pool = acquisition.ctx.pool
        if len(pool):
            # What the rule admits may lie away from every known point.
            with torch.no_grad():
                pooled = Candidates.ordered(pool, *acquisition.evaluate(pool))
            starts = torch.cat([pooled.points[:POOL_STARTS], starts])
        spec = self.spec.search
        if acquisition.ctx.exact is not None:
            sizes = {key: min(size, getattr(spec, key)) for key, size in APPROXIMATE_SEARCH.items()}
            spec = spec.model_copy(update=sizes)
        return search_box(acquisition, starts, rng, spec)

    def choose(self, acquisition: SafeAcquisition, found: Candidates) -> Proposal | None:
        """The best candidate that keeps certificate and linear constraints when rounded as it will be printed.

        Where the search was approximate, exact bounds certify and exact scores choose.
        """
        if self.log is not None:
            self.log(acquisition, found)
        ctx = acquisition.ctx.exactly()
        approximate = ctx is not acquisition.ctx
        points = found.points[: JUDGED_CANDIDATES if approximate else FINAL_CANDIDATES]
        scores = found.scores[: len(points)]
        if len(points) == 0:
            return None
        space = self.encoding.space
        if self.grid is not None and self.pool and self.spec.rounding == "range":
            # Candidates of a pool run as they were given.
            raw = np.stack([self.pool[int((self.grid == point).all(-1).int().argmax())] for point in points])
        else:
            raw = space.proposals(points.numpy())
        unit = self.encoding.unit(raw)
        kept = torch.from_numpy(space.keep(raw))
        if acquisition.certified_only:
            with torch.no_grad():
                bounds = ctx.bounds_at(unit)
                kept &= ctx.certified(bounds, PROPOSAL_RESERVE)
                if approximate:
                    scores = type(acquisition)(ctx).score(unit, bounds)
        if not bool(kept.any()):
            return None
        first = (
            int(torch.where(kept, scores, -torch.inf).argmax()) if approximate else int(kept.int().argmax())
        )
        return Proposal(raw[first], float(scores[first]))

    def propose(
        self,
        acquisition: SafeAcquisition,
        starts: Float[Tensor, "k d"],
        rng: np.random.Generator,
        lines: LineBundle | None = None,
    ) -> Proposal | None:
        """Search and choose; a certified method without a start has nothing to propose.

        An approximate search that ends with nothing is made again exactly.
        """
        if acquisition.certified_only and self.grid is None and len(starts) == 0:
            return None
        found = self.choose(acquisition, self.search(acquisition, starts, rng, lines))
        if found is None and acquisition.ctx.exact is not None:
            return self.propose(type(acquisition)(acquisition.ctx.exactly()), starts, rng, lines)
        return found
