"""The tuner: ask for a trial, tell what it showed. Pure: no files, no clock, no randomness but the seed's.

The same study, seed and records give the same proposals bit for bit. All state is the history of records; the
surrogate and everything else are computed from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from safebo.acquisition import Situation, acquisition_class, method
from safebo.answers import Certificate, Recommendation
from safebo.backups import Backup, backup_of, boundary_monitor, trigger_rule
from safebo.errors import (
    EmptySafeSetError,
    MeasurementError,
    StudyError,
    UnknownNameError,
    UnsafeSeedError,
)
from safebo.exploration import MOST_REPEATS, Progress, progress, succeeded
from safebo.history import History, Record
from safebo.model_cache import ModelCache
from safebo.monitor import BoundaryMonitor
from safebo.problem import Observation, Problem
from safebo.proposal import Proposal, Proposer
from safebo.protocol import Bounds, Measurement, Phase, Trial
from safebo.study import Study
from safebo.surrogate import Surrogate

MOST_SEED_REPEATS = 5
"""How often seeds are repeated in a context, beyond once each, before its safe set counts as empty."""


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread, so that sums have one order; the caller's setting comes back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Tuner:
    """Proposes trials that are safe with high probability.

    Args:
        study: what to tune and how. Scales of backup states are taken from `tuner.backup.state_scale` in
        its order. seed: of everything random; None takes the study's.

    Raises:
        StudyError: for a study that cannot be run safely.
    """

    def __init__(self, study: Study, seed: int | None = None) -> None:
        self.study = study
        self.seed = study.seed if seed is None else seed
        self.problem = Problem(study)
        self.method = method(study.tuner.method)
        self.local = acquisition_class(self.method.local or study.tuner.local_method)
        if study.tuner.lipschitz is not None and len(study.tuner.lipschitz) != len(study.constraints):
            raise StudyError(
                f"tuner.lipschitz needs one constant per constraint: {len(study.constraints)}, "
                f"got {len(study.tuner.lipschitz)}"
            )
        self.history = History()
        self._proposer = Proposer(self.problem, study.tuner)
        self._models = ModelCache(study)
        self._observations: dict[int, Observation | None] = {}
        self._known_backups: dict[int, Backup | None] = {}
        self._monitors: tuple[object, BoundaryMonitor] | None = None

    def __repr__(self) -> str:
        return f"Tuner({self.study.name!r}, {self.method.name}, seed {self.seed}, {len(self.history)} trials)"

    # -- the loop ----------------------------------------------------------------------------------------

    def ask(self, context: str | None = None) -> Trial:
        """The next trial.

        Args:
            context: name of the context; None follows the study's schedule.

        Raises:
            UnknownNameError: for a context that does not exist.
            UnsafeSeedError: when a seed of the context was measured unsafe.
            EmptySafeSetError: when nothing can be certified although the seeds were measured safe.
        """
        name = self.scheduled_context() if context is None else context
        self.problem.context(name)
        with one_thread():
            trial = self._next_trial(name)
        self.history.add(trial)
        return trial

    def tell(self, trial: Trial | int, measurement: Measurement) -> None:
        """What a trial showed.

        Raises:
            UnknownNameError: for a trial that was never asked.
            MeasurementError: for a trial told before, a missing or non-finite value, or an unknown outcome.
        """
        record = self.history.record(trial if isinstance(trial, int) else trial.id)
        self.problem.check(record.trial, measurement)
        self.history.tell(record.trial.id, measurement)

    def tell_manual(self, parameters: Mapping[str, float], context: str, measurement: Measurement) -> Trial:
        """Enter a trial of a person's own choosing together with what it showed; its phase is `manual`."""
        row = self.problem.space.vector(parameters)
        with one_thread():
            trial = self._trial(context, row, "manual", "chosen by a person")
        self.problem.check(trial, measurement)
        self.history.add(trial, measurement)
        return trial

    def edit(self, trial_id: int, parameters: Mapping[str, float]) -> Trial:
        """Replace a pending proposal's parameters; `certified` of the result says whether it still is.

        The trial keeps its id and becomes a `manual` one. A global proposal that is edited is no longer
        watched by the boundary condition.
        """
        old = self.history.record(trial_id).trial
        row = self.problem.space.vector(parameters)
        with one_thread():
            new = self._trial(old.context_name, row, "manual", "edited by a person", trial_id)
        self.history.replace(new)
        return new

    def restore(self, records: Sequence[tuple[Trial, Measurement | None]]) -> None:
        """Take over the trials and measurements of an interrupted run; the next ask is the one it would
        have made.

        Raises:
            StudyError: when this tuner has trials already.
            MeasurementError: for measurements that could not have been told.
        """
        if len(self.history):
            raise StudyError("restore needs a new tuner; this one has trials already")
        for trial, measurement in records:
            if measurement is not None:
                self.problem.check(trial, measurement)
            self.history.add(trial, measurement)

    # -- what is known -----------------------------------------------------------------------------------

    def certify(self, parameters: Mapping[str, float], context: str) -> Certificate:
        """Whether parameters are certified in a context now."""
        row = self.problem.space.vector(parameters)
        with one_thread():
            return self._certificate(row, context)

    def best(self, context: str | None = None) -> Recommendation | None:
        """The certified parameters with the largest lower bound of the objective, tried or not.

        The whole box is searched. None when nothing is certified in the context.
        """
        name = self._named(context)
        with one_thread():
            situation = self._situation(name, self._surrogate())
            starts = self._proposer.certified_starts(situation, self._known_points())
            acquisition = acquisition_class("best_lower_bound")(situation)
            found = self._proposer.propose(acquisition, starts, self._rng("best", len(self.history)))
            # Certified trials themselves, those of safe global trials included.
            rows = [self._raw(r.trial) for r in self.history.of_context(name) if not r.pending]
            rows += [] if found is None else [found.raw]
            certificates = list(zip(rows, self._certificates(rows, name), strict=True))
        valid = [(row, c) for row, c in certificates if c.certified]
        if not valid:
            return None
        objective = self.problem.names[0]
        row, certificate = max(valid, key=lambda pair: pair[1].bounds[objective].lower)
        return self._recommendation(row, name, certificate)

    def predict(self, context: str | None = None) -> Recommendation:
        """Where the objective's posterior mean is largest and every margin's mean is at least 0; never
        certified.

        For contexts that were never tried, from what the surrogate learned in others.
        """
        name = self._named(context)
        with one_thread():
            situation = self._situation(name, self._surrogate())
            acquisition = acquisition_class("posterior_mean")(situation)
            starts = self._known_points()
            if len(starts):
                with torch.no_grad():
                    score, _ = acquisition.evaluate(starts)
                starts = starts[torch.argsort(score, descending=True, stable=True)]
            found = self._proposer.propose(acquisition, starts, self._rng("predict", len(self.history)))
            if found is None:
                raise EmptySafeSetError(f"context {name}: nothing can be predicted")
            certificate = replace(self._certificate(found.raw, name), certified=False)
        return self._recommendation(found.raw, name, certificate)

    def bounds(self, parameters: ArrayLike, context: str) -> NDArray[np.float64]:
        """Lower bound, mean and upper bound of every function at raw parameters (`n x d`), `n x m x 3`.

        In the functions' own units, the objective first; for pictures of the safe set.
        """
        unit = self.problem.unit(np.atleast_2d(np.asarray(parameters, dtype=np.float64)))
        with one_thread():
            X = torch.cat([unit, self.problem.context(context).expand(len(unit), -1)], -1)
            return self.problem.raw_bounds(self._surrogate(), X, self.study.tuner.beta)

    def monitor(self, trial: Trial) -> BoundaryMonitor | None:
        """The boundary condition for a global trial of GoSafeOpt; None for trials that need none.

        Raises:
            NoBackupError: when no backup with certified gains is known.
        """
        if trial.phase != "global" or self.method.exploration is None:
            return None
        with one_thread():
            return self._monitor(trial.context_name, self._surrogate())

    def surrogate(self) -> Surrogate:
        """The posteriors given everything told."""
        with one_thread():
            return self._surrogate()

    def scheduled_context(self) -> str:
        """The context whose turn it is.

        By the study's schedule; without one, the contexts that have seeds take turns. Trials of a person's
        own choosing do not count. After the schedule's end its last context goes on.
        """
        count: dict[str, int] = {}
        for record in self.history:
            if record.trial.phase != "manual":
                count[record.trial.context_name] = count.get(record.trial.context_name, 0) + 1
        schedule = self.study.context.schedule
        if not schedule:
            seeded = list(dict.fromkeys(seed.context for seed in self.study.seeds))
            return min(seeded, key=lambda name: count.get(name, 0))
        due: dict[str, int] = {}
        for entry in schedule:
            due[entry.context] = due.get(entry.context, 0) + entry.trials
            if count.get(entry.context, 0) < due[entry.context]:
                return entry.context
        return schedule[-1].context

    # -- proposing ---------------------------------------------------------------------------------------

    def _next_trial(self, name: str) -> Trial:
        records = self.history.of_context(name)
        seed = self._seed_due(name, records)
        if seed is not None:
            return self._trial(name, seed, "seed", "declared safe by the study")
        surrogate = self._surrogate()
        if not self.local.certified_only:
            return self._unsafe_trial(name, surrogate)
        situation = self._situation(name, surrogate, self._visited())
        starts = self._proposer.certified_starts(situation, self._known_points())
        if self._proposer.grid is None and len(starts) == 0:
            return self._seed_again(name, records, situation)
        if self.method.exploration is None:
            found = self._local_proposal(situation, starts)
            return self._local_trial(name, records, situation, found)
        return self._exploring_trial(name, records, situation, starts)

    def _local_trial(
        self, name: str, records: Sequence[Record], situation: Situation, found: Proposal | None
    ) -> Trial:
        if found is None:
            return self._seed_again(name, records, situation)
        return self._trial(name, found.raw, "local", f"{self._local_name}: score {found.score:.4g}")

    def _unsafe_trial(self, name: str, surrogate: Surrogate) -> Trial:
        """A trial of a method that certifies nothing: it counts as global, as it may leave the safe set."""
        situation = self._situation(name, surrogate, self._visited(), falls_count=True)
        acquisition = self.local(situation)
        starts = self._known_points()
        if len(starts):
            with torch.no_grad():
                score, _ = acquisition.evaluate(starts)
            starts = starts[torch.argsort(score, descending=True, stable=True)][:32]
        found = self._proposer.propose(acquisition, starts, self._rng("search"))
        if found is None:
            raise EmptySafeSetError(f"context {name}: the search of the whole box found nothing to propose")
        return self._trial(name, found.raw, "global", f"{self._local_name}, without a certificate")

    def _local_proposal(self, situation: Situation, starts: Float[Tensor, "k d"]) -> Proposal | None:
        situation = self._proposer.with_incumbent(situation, starts)
        if self._local_name == "safeopt":
            situation = self._proposer.with_targets(situation, starts, self._rng("targets"))
        return self._proposer.propose(self.local(situation), starts, self._rng("search"))

    def _exploring_trial(
        self, name: str, records: Sequence[Record], situation: Situation, starts: Float[Tensor, "k d"]
    ) -> Trial:
        """GoSafeOpt: a local trial in the current region or a global one, as the phases say."""
        state = progress(records, self.problem, self.study.tuner.exploration)
        watched = self._watched(name, situation.surrogate)
        if state.phase == "local":
            again = self._uncertified_origin(name, state, situation)
            if again is not None and watched:
                return self._global_trial(name, again, "repeats a safe global trial until it is certified")
            region = self._proposer.certified_starts(situation, self._region_points(state))
            found = self._local_proposal(situation, region if len(region) else starts)
            converged = found is None or found.score < self.study.tuner.epsilon
            if not (converged and watched and self._local_name == "safeopt"):
                return self._local_trial(name, records, situation, found)
        if watched:
            failed = self._failed_set(name, situation.surrogate)
            situation = self._situation(name, situation.surrogate, [*self._visited(), *failed])
            situation = self._proposer.with_incumbent(situation, starts)
            acquisition = acquisition_class(self.method.exploration or "")(situation)
            found = self._proposer.propose(acquisition, starts, self._rng("explore"))
            if found is not None:
                return self._global_trial(
                    name, found.raw, f"{self.method.exploration}: score {found.score:.4g}"
                )
        return self._local_trial(name, records, situation, self._local_proposal(situation, starts))

    def _global_trial(self, name: str, row: NDArray[np.float64], reason: str) -> Trial:
        rule = trigger_rule(self.study.tuner.backup)
        trial = self._trial(name, row, "global", reason)
        return replace(trial, trigger_rule=rule.name, trigger_guarantee=rule.guarantee)

    @property
    def _local_name(self) -> str:
        return self.method.local or self.study.tuner.local_method

    # -- seeds -------------------------------------------------------------------------------------------

    def _seed_due(self, name: str, records: Sequence[Record]) -> NDArray[np.float64] | None:
        """The first declared seed of the context that has no valid measurement and is not pending."""
        declared = [s for s in self.study.seeds if s.context == name]
        if not declared:
            seeded = sorted({s.context for s in self.study.seeds})
            raise StudyError(
                f"context {name!r} has no seed: safe tuning needs parameters known to be safe in every "
                f"context that is tuned; contexts with seeds: {', '.join(seeded)}"
            )
        tried = [r for r in records if r.trial.phase == "seed"]
        for record in tried:
            self._refuse_unsafe(record, name)
        for seed in declared:
            row = self.problem.space.vector(seed.parameters)
            mine = [r for r in tried if np.array_equal(self._raw(r.trial), row)]
            failures = [r.measurement for r in mine if r.measurement and r.measurement.outcome == "failed"]
            if len(mine) > len(failures):
                continue
            if len(failures) > MOST_SEED_REPEATS:
                raise EmptySafeSetError(
                    f"context {name}: the seed failed {len(failures)} times without a valid measurement"
                    + (f"; the last one said: {failures[-1].message}" if failures[-1].message else "")
                )
            return row
        return None

    def _refuse_unsafe(self, record: Record, name: str) -> None:
        m = record.measurement
        if m is None or m.outcome == "failed":
            return
        negative = self.problem.negative_margins(m)
        if not negative and not m.fell:
            return
        shown = ", ".join(f"{n} = {v:.4g}" for n, v in negative) or "it fell"
        gains = ", ".join(f"{k} {v:g}" for k, v in record.trial.parameters.items())
        raise UnsafeSeedError(
            f"the seed of context {name} is not safe: trial {record.trial.id} measured {shown} "
            f"(safe is >= 0{'; the robot fell' if m.fell and negative else ''}) with {gains}. "
            "Give the study a seed that is safe on this robot"
        )

    def _seed_again(self, name: str, records: Sequence[Record], situation: Situation) -> Trial:
        """Repeat the seed that is nearest to certification, a bounded number of times."""
        rows = [self.problem.space.vector(s.parameters) for s in self.study.seeds if s.context == name]
        tried = [r for r in records if r.trial.phase == "seed"]
        if len(tried) - len(rows) >= MOST_SEED_REPEATS and not any(r.pending for r in tried):
            raise EmptySafeSetError(self._why_empty(name, rows))
        with torch.no_grad():
            slack = situation.slack(situation.view(self.problem.unit(np.stack(rows))).certain)
        row = rows[int(torch.argmax(slack))]
        return self._trial(name, row, "seed", "repeated: nothing is certified yet")

    def _why_empty(self, name: str, rows: Sequence[NDArray[np.float64]]) -> str:
        parts = []
        certificates = self._certificates(rows, name)
        for f in self.study.constraints:
            best = max((c.bounds[f.name] for c in certificates), key=lambda b: b.lower)
            parts.append(f"{f.name}: mean {best.mean:.4g}, lower bound {best.lower:.4g} {f.unit}".rstrip())
        return (
            f"context {name}: nothing is certified, not even the seed after {MOST_SEED_REPEATS} repeats "
            f"({'; '.join(parts)}; certified is a lower bound >= 0). The seed's margin is too small for "
            f"beta = {self.study.tuner.beta:g} and the declared noise_std: give a seed with more margin, a "
            "smaller noise_std if the measurements are that good, or a smaller beta"
        )

    # -- sets per context --------------------------------------------------------------------------------

    def _lifted(self, name: str) -> list[Record]:
        """Safe global trials of the context: by what they showed, their lower bounds are at least 0."""
        if self.method.exploration is None:
            return []
        return [r for r in self.history.of_context(name) if succeeded(r, self.problem)]

    def _uncertified_origin(
        self, name: str, state: Progress, situation: Situation
    ) -> NDArray[np.float64] | None:
        """The parameters of a new region that the surrogate does not certify yet, if they may be repeated."""
        region = state.region
        if state.current == 0 or region.local_steps or len(region.trials) > MOST_REPEATS:
            return None
        points = self._region_points(state)
        if len(self._proposer.certified_starts(situation, points)):
            return None
        return self._raw(self.history.record(region.trials[0]).trial)

    def _region_points(self, state: Progress) -> Float[Tensor, "n d"]:
        trials = [self.history.record(i).trial for i in state.region.trials]
        return self.problem.unit(np.stack([self._raw(t) for t in trials]))

    def _failed_set(self, name: str, surrogate: Surrogate) -> list[Trial]:
        """Global trials in which the monitor switched, without those whose state it would let pass today.

        The failing parameters, not the backup's; computed anew before every global step.
        """
        stopped = [
            r
            for r in self.history.of_context(name)
            if r.trial.phase == "global" and r.measurement is not None and r.measurement.outcome == "backup"
        ]
        if not stopped:
            return []
        monitor = self._monitor(name, surrogate)
        failed = []
        for r in stopped:
            state = None if r.measurement is None else r.measurement.backup_state
            if state is None or not monitor.covered(np.asarray(state, dtype=np.float64)):
                failed.append(r.trial)
        return failed

    def _watched(self, name: str, surrogate: Surrogate) -> bool:
        """Whether a global trial in this context could be watched: some backup's gains are certified."""
        return bool((self._backups(name, surrogate)[1] >= 0).any())

    def _monitor(self, name: str, surrogate: Surrogate) -> BoundaryMonitor:
        told = tuple(r.trial.id for r in self.history if not r.pending)
        if self._monitors is None or self._monitors[0] != (name, told):
            found, lower = self._backups(name, surrogate)
            self._monitors = ((name, told), boundary_monitor(found, lower, self.study.tuner.backup))
        return self._monitors[1]

    def _backups(self, name: str, surrogate: Surrogate) -> tuple[list[Backup], NDArray[np.float64]]:
        """Backups of the context and the present lower bounds of their smallest margins."""
        found = []
        for r in self.history.of_context(name):
            if r.pending:
                continue
            if r.trial.id not in self._known_backups:
                self._known_backups[r.trial.id] = backup_of(r, self.problem)
            backup = self._known_backups[r.trial.id]
            if backup is not None:
                found.append(backup)
        return found, self._policy_lower_bounds(found, name, surrogate)

    def _policy_lower_bounds(
        self, found: Sequence[Backup], name: str, surrogate: Surrogate
    ) -> NDArray[np.float64]:
        """Present lower bound of every backup's smallest margin, warped, above its threshold."""
        if not found:
            return np.zeros(0)
        rows = np.stack([self.problem.space.vector(b.parameters) for b in found])
        situation = self._situation(name, surrogate)
        with torch.no_grad():
            lower = situation.view(self.problem.unit(rows)).certain.lower[:, 1:]
        smallest = (lower - self.problem.thresholds).min(-1).values.numpy()
        lifted = {r.trial.id for r in self._lifted(name)}
        return np.array(
            [max(v, 0.0) if b.trial in lifted else v for b, v in zip(found, smallest, strict=True)]
        )

    # -- small things ------------------------------------------------------------------------------------

    def _surrogate(self) -> Surrogate:
        rows = []
        for r in self.history:
            if r.measurement is None:
                continue
            if r.trial.id not in self._observations:
                self._observations[r.trial.id] = self.problem.observation(r.trial, r.measurement)
            observation = self._observations[r.trial.id]
            if observation is not None:
                rows.append(observation)
        return self._models.surrogate(rows)

    def _visited(self) -> list[Trial]:
        """Trials whose place counts as seen by acquisitions, although nothing was measured there (yet)."""
        return [r.trial for r in self.history if r.measurement is None or r.measurement.outcome == "failed"]

    def _situation(
        self, name: str, surrogate: Surrogate, visited: Sequence[Trial] = (), falls_count: bool = False
    ) -> Situation:
        dimension = self.problem.space.dimension
        X = [self.problem.row(trial) for trial in visited]
        falls = [
            self.problem.row(r.trial)
            for r in self.history
            if falls_count and r.measurement is not None and r.measurement.outcome == "aborted"
        ]
        empty = torch.zeros(0, dimension + self.problem.context_space.dimension, dtype=torch.float64)
        imagined = self._models.imagined(
            surrogate,
            torch.stack(X) if X else empty,
            torch.stack(falls) if falls else empty,
            self._worst_objective() if falls else 0.0,
        )
        lipschitz = self.study.tuner.lipschitz
        return Situation(
            surrogate=surrogate,
            imagined=imagined,
            context=self.problem.context(name),
            dimension=dimension,
            thresholds=self.problem.thresholds,
            beta=self.study.tuner.beta,
            rule=self.study.tuner.expander_rule,
            lipschitz=None if lipschitz is None else torch.tensor(lipschitz, dtype=torch.float64),
            draw=torch.tensor(self._rng("draw").random(dimension)),
        )

    def _worst_objective(self) -> float:
        spec = self.study.objective
        seen = [
            float(self.problem.warps[0].forward(r.measurement.objective))
            for r in self.history
            if r.measurement is not None
            and r.measurement.outcome == "completed"
            and r.measurement.objective is not None
        ]
        return min(seen, default=spec.prior_mean - 2.0 * spec.prior_std)

    def _known_points(self) -> Float[Tensor, "n d"]:
        """Parameters of every told trial of every context, in the unit cube, in the order of the ids."""
        rows = [self._raw(r.trial) for r in self.history if not r.pending]
        if not rows:
            return torch.zeros(0, self.problem.space.dimension, dtype=torch.float64)
        return self.problem.unit(np.stack(rows))

    def _raw(self, trial: Trial) -> NDArray[np.float64]:
        return self.problem.space.vector(trial.parameters, within=False)

    def _rng(self, purpose: str, number: int | None = None) -> np.random.Generator:
        """A generator of its own for every purpose and trial."""
        key = [self.seed, self.history.next_id if number is None else number, *purpose.encode()]
        return np.random.default_rng(key)

    def _named(self, context: str | None) -> str:
        name = self.study.seeds[0].context if context is None else context
        self.problem.context(name)
        return name

    def _certificate(self, row: NDArray[np.float64], name: str) -> Certificate:
        return self._certificates([row], name)[0]

    def _certificates(self, rows: Sequence[NDArray[np.float64]], name: str) -> list[Certificate]:
        """Certificates of raw rows (`d` each) in a context; those of safe global trials are lifted to 0."""
        if not rows:
            return []
        surrogate = self._surrogate()
        situation = self._situation(name, surrogate)
        unit = self.problem.unit(np.stack(rows))
        with torch.no_grad():
            slack = situation.slack(situation.view(unit).certain).tolist()
        raw = self.problem.raw_bounds(surrogate, situation.inputs(unit), self.study.tuner.beta)
        lifted = {tuple(self._raw(r.trial)) for r in self._lifted(name)}
        result = []
        for row, value, numbers in zip(rows, slack, raw, strict=True):
            if value < 0 and tuple(row) in lifted:
                numbers[1:] = np.maximum(numbers[1:], 0.0)
                value = 0.0
            bounds = {n: Bounds(*map(float, b)) for n, b in zip(self.problem.names, numbers, strict=True)}
            result.append(Certificate(value >= 0, bounds))
        return result

    def _trial(
        self,
        name: str,
        row: NDArray[np.float64],
        phase: Phase,
        reason: str,
        trial_id: int | None = None,
    ) -> Trial:
        if name not in self.problem.contexts:
            raise UnknownNameError("context", name, sorted(self.problem.contexts))
        number = self.history.next_id if trial_id is None else trial_id
        certificate = self._certificate(row, name)
        return Trial(
            id=number,
            parameters=self.problem.space.named(row),
            context=dict(self.study.context.values[name]),
            context_name=name,
            phase=phase,
            seed=int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0]),
            certified=certificate.certified,
            predicted=certificate.bounds,
            reason=reason,
        )

    def _recommendation(
        self, row: NDArray[np.float64], name: str, certificate: Certificate
    ) -> Recommendation:
        same = [r.trial.id for r in self.history.of_context(name) if np.array_equal(self._raw(r.trial), row)]
        return Recommendation(
            parameters=self.problem.space.named(row),
            context_name=name,
            context=dict(self.study.context.values[name]),
            certified=certificate.certified,
            bounds=certificate.bounds,
            trial=same[-1] if same else None,
        )


__all__ = ["Certificate", "MeasurementError", "Recommendation", "Tuner"]
