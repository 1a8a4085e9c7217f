"""Which trial comes next in a context: a seed, a local one, a global one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from safebo.acquisition import Situation, acquisition_class, method
from safebo.errors import EmptySafeSetError, StudyError
from safebo.tuner.encoding import Problem
from safebo.tuner.history import History
from safebo.tuner.phases import MOST_REPEATS, Progress, progress
from safebo.tuner.proposer import Proposal, Proposer
from safebo.tuner.seeds import Seeds
from safebo.tuner.state import Knowledge
from safebo.types import Phase, Trial


@dataclass(frozen=True)
class Plan:
    """Raw parameters (`d`) of the next trial, its phase, why, and whether a monitor must watch it."""

    row: NDArray[np.float64]
    phase: Phase
    reason: str
    watched: bool = False


class Planner:
    """Plans trials of one study.

    Args:
        problem: spaces and functions.
        history: the records.
        seed: of everything random.
    """

    def __init__(self, problem: Problem, history: History, seed: int) -> None:
        self.problem = problem
        self.spec = problem.study.tuner
        self.seed = seed
        self.history = history
        self.method = method(self.spec.method)
        self.local_name = self.method.local or self.spec.local_method
        self.local = acquisition_class(self.local_name)
        if self.spec.search.lines is not None and not self.local.certified_only:
            raise StudyError(
                f"tuner.search.lines: {self.local_name} certifies nothing and is searched in the whole box; lines are "
                "for safe methods: drop the key lines or change tuner.method"
            )
        self.knowledge = Knowledge(problem, history, explores=self.method.exploration is not None)
        self.proposer = Proposer(problem, self.spec)
        self.seeds = Seeds(self.knowledge)

    def plan(self, name: str) -> Plan:
        """The next trial in a context.

        Raises:
            StudyError, UnsafeSeedError, EmptySafeSetError: see `safebo.tuner.seeds`.
        """
        row = self.seeds.due(name)
        if row is not None:
            return Plan(row, "seed", "declared safe by the study")
        if not self.local.certified_only:
            return self._uncertified(name)
        situation = self._drawn(self._situation(name, self.knowledge.visited()))
        if self.knowledge.borrowed(name):
            return self._seed_again(name, situation)
        known = self.knowledge.known_points()
        starts = self.proposer.certified_starts(situation, known)
        if self.proposer.grid is None and len(starts) == 0:
            return self._seed_again(name, situation)
        if self.method.exploration is None:
            return self._local(name, situation, self._search(name, situation, starts, known), starts)
        return self._explore(name, situation, starts)

    def best(self, name: str) -> Proposal | None:
        """The certified point of the box with the largest lower bound of the objective; None if there is none.

        A function of what was measured alone: trials that failed or are pending change nothing.
        """
        situation = self._situation(name)
        points = self.knowledge.known_points(modelled=True)
        starts = self.proposer.certified_starts(situation, points)
        acquisition = acquisition_class("best_lower_bound")(situation)
        return self.proposer.propose(acquisition, starts, self.rng("best", len(points)))

    def predicted(self, name: str) -> Proposal | None:
        """The point with the largest posterior mean of the objective among those of non-negative mean margins."""
        situation = self._situation(name)
        acquisition = acquisition_class("posterior_mean")(situation)
        points = self.knowledge.known_points(modelled=True)
        starts = self._by_score("posterior_mean", situation, points)
        return self.proposer.propose(acquisition, starts, self.rng("predict", len(points)))

    def rng(self, purpose: str, number: int | None = None) -> np.random.Generator:
        """A generator of its own for every purpose and trial."""
        key = [self.seed, self.history.next_id if number is None else number, *purpose.encode()]
        return np.random.default_rng(key)

    def _situation(self, name: str, visited: Sequence[Trial] = (), falls_count: bool = False) -> Situation:
        """What an acquisition may look at, on the study's grid where it has one."""
        return self.proposer.placed(self.knowledge.situation(name, visited, falls_count))

    def _drawn(self, situation: Situation) -> Situation:
        draw = torch.tensor(self.rng("draw").random(situation.dimension))
        return replace(situation, draw=draw, seed=int(self.rng("method").integers(2**31)))

    def _seed_again(self, name: str, situation: Situation) -> Plan:
        return Plan(self.seeds.again(name, situation), "seed", "repeated: nothing is certified yet")

    def _local(
        self, name: str, situation: Situation, found: Proposal | None, starts: Float[Tensor, "k d"]
    ) -> Plan:
        if found is not None:
            return Plan(found.raw, "local", f"{self.local_name}: score {found.score:.4g}")
        # The rule admits nothing that the search can find, although something may be certified.
        fallback = acquisition_class("safe_ucb")(situation)
        found = self.proposer.propose(fallback, starts, self.rng("search"))
        if found is None:
            return self._seed_again(name, situation)
        return Plan(
            found.raw, "local", f"safe_ucb, as {self.local_name} admits nothing: score {found.score:.4g}"
        )

    def _uncertified(self, name: str) -> Plan:
        """A trial of a method that certifies nothing: it counts as global, as it may leave the safe set."""
        falls = self.local.falls_are_worst
        situation = self._drawn(self._situation(name, self.knowledge.visited(), falls_count=falls))
        situation = replace(situation, told=self.knowledge.told(name))
        starts = self._by_score(self.local_name, situation, self.knowledge.known_points())[:32]
        found = self.proposer.propose(self.local(situation), starts, self.rng("search"))
        if found is None:
            raise EmptySafeSetError(f"context {name}: the search of the whole box found nothing to propose")
        return Plan(found.raw, "global", f"{self.local_name}, without a certificate")

    def _by_score(
        self, name: str, situation: Situation, points: Float[Tensor, "n d"]
    ) -> Float[Tensor, "n d"]:
        """Points in the order of an acquisition's score, best first."""
        if len(points) == 0:
            return points
        with torch.no_grad():
            score, _ = acquisition_class(name)(situation).evaluate(points)
        return points[torch.argsort(score, descending=True, stable=True)]

    def _search(
        self, name: str, situation: Situation, starts: Float[Tensor, "k d"], known: Float[Tensor, "n d"]
    ) -> Proposal | None:
        """The best local trial from certified `starts`; lines pass through one of `known`, in the order told."""
        lines = None
        if self.spec.search.lines is not None:
            number = len(self.history.of_context(name)) // self.spec.search.lines.trials
            lines = self.proposer.lines(situation, known, number, self.rng("lines", number))
        situation, starts = self.proposer.with_incumbent(situation, starts, lines)
        situation = self.proposer.with_pool(situation, self.local.pool_kind, starts, self.rng("pool"), lines)
        return self.proposer.propose(self.local(situation), starts, self.rng("search"), lines)

    def _explore(self, name: str, situation: Situation, starts: Float[Tensor, "k d"]) -> Plan:
        """GoSafeOpt: a local trial in the current region or a global one, as the phases say."""
        state = progress(self.history.of_context(name), self.problem, self.spec.exploration)
        watched = self.knowledge.watched(name)
        if state.phase == "local":
            again = self._uncertified_origin(name, state, situation)
            if again is not None and watched:
                return Plan(again, "global", "repeats a safe global trial until it is certified", True)
            known = self._region_points(name, state)
            region = self.proposer.certified_starts(situation, known)
            if len(region) == 0:
                region, known = starts, self.knowledge.known_points()
            found = self._search(name, situation, region, known)
            converged = self.local_name == "safeopt" and (found is None or found.score < self.spec.epsilon)
            if not (converged and watched):
                return self._local(name, situation, found, starts)
        if watched:
            found = self._search_outside(name, starts)
            if found is not None:
                reason = f"{self.spec.exploration.rule}: score {found.score:.4g}"
                return Plan(found.raw, "global", reason, True)
        found = self._search(name, situation, starts, self.knowledge.known_points())
        return self._local(name, situation, found, starts)

    def _search_outside(self, name: str, starts: Float[Tensor, "k d"]) -> Proposal | None:
        """A point outside the safe set and, as far as it has a volume, the failed set."""
        failed = self.knowledge.failed_set(name)
        situation = self._situation(name, [*self.knowledge.visited(), *failed])
        situation, starts = self.proposer.with_incumbent(situation, starts)
        told = self.knowledge.told(name)
        if failed:
            rows = self.problem.unit(np.stack([self.knowledge.raw(trial) for trial in failed]))
            told = replace(told, visited=torch.cat([told.visited, rows]))
        acquisition = acquisition_class(self.spec.exploration.rule)(replace(situation, told=told))
        return self.proposer.propose(acquisition, starts, self.rng("explore"))

    def _uncertified_origin(
        self, name: str, state: Progress, situation: Situation
    ) -> NDArray[np.float64] | None:
        """The parameters of a new region that the surrogate does not certify yet, if they may be repeated."""
        region = state.region
        if state.current == 0 or region.local_steps or len(region.trials) > MOST_REPEATS:
            return None
        if len(self.proposer.certified_starts(situation, self._region_points(name, state))):
            return None
        return self.knowledge.raw(self.history.record(region.trials[0]).trial)

    def _region_points(self, name: str, state: Progress) -> Float[Tensor, "n d"]:
        """Parameters tried in the current region of a context, `n x d` in the unit cube.

        Those that trials of other contexts tried lie in the seeds' region: what is certified of them, because the
        surrogate says that contexts are alike, was opened by no global trial of this one.
        """
        trials = [self.history.record(i).trial for i in state.region.trials]
        if state.current == 0:
            trials += [r.trial for r in self.history if not r.pending and r.trial.context_name != name]
        return self.problem.unit(np.stack([self.knowledge.raw(trial) for trial in trials]))
