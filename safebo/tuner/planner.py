"""Which trial comes next in a context: a seed, a local one, a global one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from safebo.acquisition import AcquisitionContext, acquisition_class, method
from safebo.acquisition.discrimination import MOST_TRIALS, ModelDiscrimination, thinned, worth_a_trial
from safebo.errors import EmptySafeSetError
from safebo.optim import LineBundle
from safebo.optim.swarm import Candidates
from safebo.tuner.encoding import StudyEncoding
from safebo.tuner.goals import Goals
from safebo.tuner.history import History
from safebo.tuner.phases import ExplorationProgress, ExplorationRegion, progress
from safebo.tuner.proposer import Proposal, Proposer
from safebo.tuner.seeds import Seeds
from safebo.tuner.state import TunerState
from safebo.tuner.watching import Watching
from safebo.types import Trial

FOR_EVIDENCE = "for evidence"
"""How the reasons of such trials begin; by it they are counted."""


class Planner:
    """Plans trials of one study.

    Args:
        encoding: spaces and functions.
        history: the records.
        seed: of everything random.
    """

    def __init__(self, encoding: StudyEncoding, history: History, seed: int) -> None:
        self.encoding = encoding
        self.spec = encoding.study.tuner
        self.seed = seed
        self.history = history
        self.method = method(self.spec.method)
        self.local_name = self.method.local or self.spec.local_method
        self.local = acquisition_class(self.local_name)
        self.state = TunerState(encoding, history, explores=self.method.exploration is not None)
        self.watching = Watching(self.state)
        self.proposer = Proposer(encoding, self.spec)
        self.seeds = Seeds(self.state)
        self.goals = Goals(self.state, self.proposer)

    def plan(self, name: str) -> Proposal:
        """The next trial in a context.

        Raises:
            StudyError, UnsafeSeedError, EmptySafeSetError: see `safebo.tuner.seeds`.
        """
        row = self.seeds.due(name)
        if row is not None:
            return Proposal(row, phase="seed", reason="declared safe by the study")
        if self.seeds.after_pause():
            nearest = self.seeds.nearest(name, self._context(name))
            return Proposal(nearest, phase="seed", reason=self.seeds.pause_reason())
        if not self.local.certified_only:
            return self._uncertified(name)
        ctx = self._drawn(self._context(name, self.state.visited()))
        if self.local.needs_told:
            ctx = replace(ctx, told=self.state.told(name))
        known = self.state.points.known()
        starts = self.proposer.certified_starts(ctx, known)
        if self.proposer.grid is None and len(starts) == 0:
            return self._seed_again(name, ctx)
        found = self.goals.next(name, ctx, starts, self.rng)
        if found is not None:
            return found
        if self.method.exploration is None:
            return self._local(name, ctx, self._search(name, ctx, starts, known), starts)
        return self._explore(name, ctx, starts)

    def best(self, name: str) -> Proposal | None:
        """The certified point of the box with the largest lower bound of the objective; None if there is none.

        A function of what was measured alone: trials that failed or are pending change nothing.
        """
        ctx = self._context(name)
        points = self.state.points.known(modelled=True)
        starts = self.proposer.certified_starts(ctx, points)
        acquisition = acquisition_class("best_lower_bound")(ctx)
        return self.proposer.propose(acquisition, starts, self.rng("best", len(points)))

    def predicted(self, name: str) -> Proposal | None:
        """The point with the largest posterior mean of the objective among those of non-negative mean margins."""
        ctx = self._context(name)
        acquisition = acquisition_class("posterior_mean")(ctx)
        points = self.state.points.known(modelled=True)
        starts = self._by_score("posterior_mean", ctx, points)
        return self.proposer.propose(acquisition, starts, self.rng("predict", len(points)))

    def rng(self, purpose: str, number: int | None = None) -> np.random.Generator:
        """A generator of its own for every purpose and trial."""
        key = [self.seed, self.history.next_id if number is None else number, *purpose.encode()]
        return np.random.default_rng(key)

    def _context(
        self, name: str, visited: Sequence[Trial] = (), falls_count: bool = False
    ) -> AcquisitionContext:
        """What an acquisition may look at, on the study's grid where it has one; exact there."""
        searched = self.proposer.domain is None
        return self.proposer.placed(
            self.state.acquisition_context(name, visited, falls_count, searched=searched)
        )

    def _drawn(self, ctx: AcquisitionContext) -> AcquisitionContext:
        draw = ctx.allowed.drawn(self.rng("draw"), ctx.dimension)
        return replace(ctx, draw=draw, seed=int(self.rng("method").integers(2**31)))

    def _seed_again(self, name: str, ctx: AcquisitionContext) -> Proposal:
        row = self.seeds.again(name, ctx.exactly())
        return Proposal(row, phase="seed", reason=self.seeds.again_reason(name))

    def _local(
        self, name: str, ctx: AcquisitionContext, found: Proposal | None, starts: Float[Tensor, "k d"]
    ) -> Proposal:
        if found is not None:
            chosen = replace(found, reason=f"{self.local_name}: score {found.score:.4g}")
            return self._for_evidence(name, ctx, chosen, starts)
        # The rule admits nothing that the search can find, although something may be certified.
        fallback = acquisition_class("safe_ucb")(ctx)
        found = self.proposer.propose(fallback, starts, self.rng("search"))
        if found is None:
            return self._seed_again(name, ctx)
        return replace(
            found, reason=f"safe_ucb, as {self.local_name} admits nothing: score {found.score:.4g}"
        )

    def _for_evidence(
        self, name: str, ctx: AcquisitionContext, chosen: Proposal, starts: Float[Tensor, "k d"]
    ) -> Proposal:
        """A local trial as its method chose it, or one that tells the declared prior from the cautious one."""
        spent = sum(r.trial.reason.startswith(FOR_EVIDENCE) for r in self.history)
        if not ctx.rivals or chosen.phase != "local" or spent >= MOST_TRIALS:
            return chosen
        lines = self._lines(name, ctx, self.state.points.known())
        ctx = self.proposer.with_pool(ctx, ModelDiscrimination.pool_kind, starts, self.rng("evidence"), lines)
        acquisition = ModelDiscrimination(ctx)
        points = torch.cat([self.encoding.unit(chosen.row[None]), ctx.pool[thinned(len(ctx.pool))]])
        with torch.no_grad():
            value, slack = acquisition.evaluate(points)
        found = self.proposer.choose(acquisition, Candidates.ordered(points[1:], value[1:], slack[1:]))
        if found is None or not worth_a_trial(float(value[0]), found.score):
            return chosen
        factor = math.exp(min(found.score, 700.0))
        reason = f"{FOR_EVIDENCE}: a factor of {factor:.3g} expected if the declared prior is right"
        return replace(found, reason=reason)

    def _uncertified(self, name: str) -> Proposal:
        """A trial of a method that certifies nothing: it counts as global, as it may leave the safe set."""
        falls = self.local.falls_are_worst
        ctx = self._drawn(self._context(name, self.state.visited(), falls_count=falls))
        ctx = replace(ctx, told=self.state.told(name))
        starts = self._by_score(self.local_name, ctx, self.state.points.known())[:32]
        found = self.proposer.propose(self.local(ctx), starts, self.rng("search"))
        if found is None:
            raise EmptySafeSetError(f"context {name}: the search of the whole box found nothing to propose")
        return replace(found, phase="global", reason=f"{self.local_name}, without a certificate")

    def _by_score(
        self, name: str, ctx: AcquisitionContext, points: Float[Tensor, "n d"]
    ) -> Float[Tensor, "n d"]:
        """Points in the order of an acquisition's score, best first."""
        if len(points) == 0:
            return points
        with torch.no_grad():
            score, _ = acquisition_class(name)(ctx).evaluate(points)
        return points[torch.argsort(score, descending=True, stable=True)]

    def _search(
        self, name: str, ctx: AcquisitionContext, starts: Float[Tensor, "k d"], known: Float[Tensor, "n d"]
    ) -> Proposal | None:
        """The best local trial from certified `starts`; lines pass through one of `known`, in the order told."""
        lines = self._lines(name, ctx, known)
        ctx, starts = self.proposer.with_incumbent(ctx, starts, lines)
        ctx = self.proposer.with_pool(ctx, self.local.pool_kind, starts, self.rng("pool"), lines)
        return self.proposer.propose(self.local(ctx), starts, self.rng("search"), lines)

    def _lines(self, name: str, ctx: AcquisitionContext, known: Float[Tensor, "n d"]) -> LineBundle | None:
        if self.spec.search.lines is None:
            return None
        number = len(self.history.of_context(name)) // self.spec.search.lines.trials
        return self.proposer.lines(ctx, known, number, self.rng("lines", number))

    def _explore(self, name: str, ctx: AcquisitionContext, starts: Float[Tensor, "k d"]) -> Proposal:
        """GoSafeOpt: a local trial in the current region or a global one, as the phases say."""
        stage = progress(self.history.of_context(name), self.encoding, self.spec.exploration)
        found, left = self._next(name, ctx, starts, stage), stage.left
        if stage.phase == "local" and stage.region.exhausted and found.phase == "global":
            left = stage.region
        lapsed = self.state.lapsed(name)
        if left is not None:
            first = self.history.record(left.trials[0]).trial
            note = f"; the gains of trial {first.id} are given up: {self.state.own_statement(first)}"
        elif lapsed is not None:
            note = f"; the gains of trial {lapsed.id} are certified no longer: {self.state.own_statement(lapsed)}"
        else:
            return found
        return replace(found, reason=found.reason + note)

    def _next(
        self, name: str, ctx: AcquisitionContext, starts: Float[Tensor, "k d"], stage: ExplorationProgress
    ) -> Proposal:
        """The next trial of a context at this stage."""
        watched = self.watching.possible(name)
        if stage.phase == "local":
            known = self._region_points(name, stage)
            region = self.proposer.certified_starts(ctx, known)
            waits = stage.current > 0 and stage.region.waits and len(region) == 0 and watched
            if waits and not stage.region.exhausted and not self._pending(stage.region):
                first = self.history.record(stage.region.trials[0]).trial
                reason = (
                    f"repeats trial {first.id}, which is not certified yet: {self.state.own_statement(first)}"
                )
                return Proposal(self.state.points.raw(first), phase="global", reason=reason, watched=True)
            if len(region) == 0:
                region, known = starts, self.state.points.known()
            if not waits:
                found = self._search(name, ctx, region, known)
                converged = self.local_name == "safeopt" and (
                    found is None or found.score is None or found.score < self.spec.epsilon
                )
                if not (converged and watched):
                    return self._local(name, ctx, found, starts)
        if watched:
            found = self._search_outside(name, starts)
            if found is not None:
                reason = f"{self.spec.exploration.rule}: score {found.score:.4g}"
                return replace(found, phase="global", reason=reason, watched=True)
        found = self._search(name, ctx, starts, self.state.points.known())
        return self._local(name, ctx, found, starts)

    def _pending(self, region: ExplorationRegion) -> bool:
        return any(self.history.record(i).pending for i in region.trials)

    def _search_outside(self, name: str, starts: Float[Tensor, "k d"]) -> Proposal | None:
        """A point outside the safe set and, as far as it has a volume, the failed set."""
        failed = self.watching.failed_set(name)
        ctx = self._context(name, [*self.state.visited(), *failed])
        ctx, starts = self.proposer.with_incumbent(ctx, starts)
        told = self.state.told(name)
        if failed:
            rows = self.encoding.unit(np.stack([self.state.points.raw(trial) for trial in failed]))
            told = replace(told, visited=torch.cat([told.visited, rows]))
        acquisition = acquisition_class(self.spec.exploration.rule)(replace(ctx, told=told))
        return self.proposer.propose(acquisition, starts, self.rng("explore"))

    def _region_points(self, name: str, stage: ExplorationProgress) -> Float[Tensor, "n d"]:
        """Parameters tried in the current region of a context, `n x d` in the unit cube.

        Those that trials of other contexts tried lie in the seeds' region: what is certified of them, because the
        surrogate says that contexts are alike, was opened by no global trial of this one. So do those of regions
        that were given up: should the surrogate come to certify them, they are explored all the same.
        """
        regions = [stage.region]
        if stage.current == 0:
            regions += [region for region in stage.regions if region.given_up]
        trials = [self.history.record(i).trial for region in regions for i in region.trials]
        if stage.current == 0:
            trials += [r.trial for r in self.history if not r.pending and r.trial.context_name != name]
        rows = [self.state.points.raw(trial) for trial in trials if self.state.points.inside(trial)]
        return self.encoding.unit(np.stack(rows)) if rows else self.state.points.known()[:0]
