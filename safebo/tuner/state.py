"""What the records say: the surrogate, certificates, and the sets of every context.

Every answer is a function of the records alone; what is kept between calls only saves work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace

import numpy as np
import torch
from numpy.typing import NDArray

from safebo.acquisition import AcquisitionContext, Told, acquisition_class
from safebo.acquisition.allowed import AllowedPoints
from safebo.acquisition.certificate import lipschitz_certificate
from safebo.acquisition.scenarios import ScenarioContext, next_scenarios, scenario_contexts
from safebo.evaluators.seeds import impossible_values
from safebo.models.growing import Observation
from safebo.models.model_cache import ModelCache
from safebo.models.norms import NormCheck
from safebo.models.searched import SearchedSurrogates
from safebo.models.surrogate import Surrogate
from safebo.models.trust import FunctionTrust
from safebo.safety.certificates import CertificateRule, StricterCertificate
from safebo.safety.expiry import remaining_validity
from safebo.safety.measured_points import MeasuredPoints
from safebo.study.aggregation import kept
from safebo.study.preference_checks import prefers
from safebo.tuner.betas import Betas
from safebo.tuner.encoding import StudyEncoding
from safebo.tuner.history import History
from safebo.tuner.opened import at_point, opened_points, own_statement
from safebo.tuner.points import TrialPoints
from safebo.tuner.preferences import Utility
from safebo.tuner.schedule import optimism_now
from safebo.types import Bounds, Certificate, Evidence, Trial

PROMISING = 256
"""Points out of many that are judged exactly."""


class TunerState:
    """The state of one tuner, computed from its records.

    Args:
        encoding: spaces and functions of the study.
        history: the records; it may grow.
        explores: whether points that safe global trials opened may be certified by their own measurements (GoSafeOpt).
    """

    def __init__(self, encoding: StudyEncoding, history: History, explores: bool) -> None:
        self.encoding = encoding
        self.study = encoding.study
        self.history = history
        self.explores = explores
        self.points = TrialPoints(encoding, history)
        self.models = ModelCache(encoding.study)
        self._searched = SearchedSurrogates()
        self._betas = Betas(encoding, history, self.models.declared)
        self.utility = Utility(encoding, history) if prefers(encoding.study) else None
        self._asked_about: float | None = None
        self._readings: Mapping[str, float] | None = None
        self._observations: tuple[tuple[int, ...], list[Observation]] | None = None
        self._opened: dict[str, tuple[tuple[int, ...], MeasuredPoints]] = {}

    @property
    def now(self) -> float:
        """The operating time that is asked about, in seconds: the latest known one but within `at`."""
        return self.history.latest() if self._asked_about is None else self._asked_about

    @property
    def readings(self) -> Mapping[str, float]:
        """Values of measured context variables that are asked about: those of the last trial but within `at`."""
        if not self.encoding.measured:
            return {}
        if self._readings is not None:
            return self._readings
        last = self.history.last()
        return {} if last is None else {name: last.trial.context[name] for name in self.encoding.measured}

    def context_values(self, name: str) -> dict[str, float]:
        """Values of a context's variables, in their units, at the present readings."""
        return {**self.study.context.values[name], **self.readings}

    @contextmanager
    def at(self, time: float | None, readings: Mapping[str, float] | None = None) -> Iterator[None]:
        """Ask about an operating time and readings of measured context variables; None leaves them."""
        before = self._asked_about, self._readings
        self._asked_about = before[0] if time is None else time
        self._readings = before[1] if readings is None else readings
        try:
            yield
        finally:
            self._asked_about, self._readings = before

    def models_now(self) -> ModelCache:
        """The models, asked about `now`."""
        if self.study.surrogate.time is not None:
            self.models.now = self.now
        return self.models

    def surrogate(self) -> Surrogate:
        """The posteriors given everything told, in the order of the ids."""
        found = self.models_now().surrogate(self.observations())
        return found if self.utility is None else self.utility.surrogate(found)

    def trust(self) -> dict[str, FunctionTrust]:
        """What is believed of every constraint's prior; empty where priors are declared."""
        return self.models_now().trust(self.observations())

    def residuals(self) -> dict[str, NDArray[np.float64]]:
        """Standardized one-step residuals of every function's measurements; see `ModelCache.residuals`."""
        return {name: z.numpy() for name, z in self.models.residuals(self.observations()).items()}

    def outliers(self) -> dict[int, dict[str, float]]:
        """Measurements that are taken as outliers; see `ModelCache.outliers`."""
        return self.models_now().outliers(self.observations())

    def norms(self) -> dict[str, NormCheck]:
        """What the measurements say of every function's declared norm; empty for schedules of none."""
        return self._betas.norms(self.observations())

    def evidence(self) -> dict[str, Evidence]:
        """What a trial keeps of every constraint's prior; empty where nothing of it has to be earned."""
        found = {name: trust.record() for name, trust in self.trust().items()}
        for name, believed in self.models.correlations(self.observations()).items():
            if name in self.encoding.names[1:]:
                record = found.get(name, Evidence("declared", 0.0, 0.0))
                found[name] = replace(record, correlation=str(believed))
        apart = self._betas.disjoint(self.surrogate(), self.observations()) if found else ()
        return {n: replace(e, disjoint=self.encoding.names.index(n) in apart) for n, e in found.items()}

    def observations(self) -> list[Observation]:
        """What is modelled of everything told, in the order of the ids."""
        told = tuple(r.trial.id for r in self.history.told())
        if self._observations is None or self._observations[0] != told:
            self._observations = (told, self.encoding.observations(self.history))
        return self._observations[1]

    def acquisition_context(
        self,
        name: str,
        visited: Sequence[Trial] = (),
        falls_count: bool = False,
        searched: bool = False,
    ) -> AcquisitionContext:
        """What an acquisition may look at in a context.

        Args:
            name: of the context.
            visited: trials whose place counts as seen, in variances only.
            falls_count: falls count as the worst objective seen, for methods that certify nothing.
            searched: it may be approximated where observations are many; what decides is then its `exact`.
        """
        surrogate = self.surrogate()
        seen = self._searched.condensed(surrogate) if searched else surrogate
        exact = None if seen is surrogate else self.acquisition_context(name, visited)
        dimension = self.encoding.space.dimension
        X = [row for trial in visited for row in self.encoding.rows(trial)]
        falls = [
            self.encoding.row(r.trial)
            for r in self.history
            if falls_count and r.measurement is not None and r.measurement.outcome == "aborted"
        ]
        empty = torch.zeros(0, self.encoding.columns, dtype=torch.float64)
        fantasized = self._searched.fantasized(
            seen,
            torch.stack(X) if X else empty,
            torch.stack(falls) if falls else empty,
            self._worst_objective() if falls else 0.0,
        )
        spec = self.study.tuner
        ctx = AcquisitionContext(
            surrogate=seen,
            fantasized=fantasized,
            exact=exact,
            context=self.encoding.context(name, self.readings),
            dimension=dimension,
            thresholds=self.encoding.thresholds,
            beta=self._betas.now(surrogate, self.observations()),
            optimism=optimism_now(self.study, self.history, name),
            past_betas=self._betas.past(surrogate, self.observations()) if exact is None else None,
            rule=spec.expander_rule,
            lipschitz=None if spec.lipschitz is None else torch.tensor(spec.lipschitz, dtype=torch.float64),
            epsilon=spec.epsilon,
            expanding=self._expanding(name),
            transductive=spec.transductive,
            region=self.encoding.region,
            measured=self.opened(name),
            void=self.void(name),
            rivals=self.models_now().rivals(self.observations()),
            allowed=AllowedPoints(self.encoding.space, self._anchor(name)),
        )
        if self.encoding.features:
            ctx = self._over_scenarios(ctx)
        return replace(ctx, certificate=self._certificate(name, ctx))

    def _over_scenarios(self, ctx: AcquisitionContext) -> ScenarioContext:
        """A context in which every function is an aggregate over the study's scenarios."""
        spec = self.study.scenarios
        assert spec is not None
        places = scenario_contexts(ctx.context, list(self.encoding.features.values()))
        rules = (spec.objective, *(spec.margins for _ in self.study.constraints))
        given = {f.name: getattr(ctx, f.name) for f in fields(ctx)} | {"context": places[0]}
        return ScenarioContext(
            **given,
            scenarios=places,
            kept=tuple(kept(rule, len(places)) for rule in rules),
            logarithmic=tuple(f.warp.kind == "log" for f in self.encoding.functions),
        )

    def next_scenarios(self, row: NDArray[np.float64], name: str) -> dict[str, str]:
        """The scenarios to walk with a raw row (`d`) in a context, where they are chosen, and each one's function."""
        ctx = self.acquisition_context(name, self.visited())
        assert isinstance(ctx, ScenarioContext)
        assert self.study.scenarios is not None
        known, functions = list(self.encoding.features), self.encoding.names
        found = next_scenarios(ctx, self.encoding.unit(row[None])[0], self.study.scenarios.walks)
        return {known[scenario]: functions[function] for scenario, function in found}

    def _anchor(self, name: str) -> NDArray[np.float64] | None:
        """Values that keep the linear constraints between parameters: a seed's, of the context where it has one."""
        if self.encoding.space.plain:
            return None
        seeds = sorted(self.study.seeds, key=lambda seed: seed.context != name)
        return self.encoding.space.vector(seeds[0].parameters)

    def _expanding(self, name: str) -> bool:
        """Whether a staged method still expands, by the number of trials of the context."""
        last = self.study.tuner.stage_trials
        return last is None or len(self.history.of_context(name)) < last

    def _certificate(self, name: str, ctx: AcquisitionContext) -> CertificateRule:
        """The study's certificate, from the measured trials of a context, and what must certify as well."""
        spec, rule = self.study.tuner, ctx.certificate
        if spec.certificate != "bounds":
            measured = spec.certificate == "measured"
            noise = torch.tensor(spec.measured_noise, dtype=torch.float64) if measured else None
            rule = lipschitz_certificate(ctx, self.told(name), noise)
        also = self.models_now().stricter(self.observations())
        return rule if also is None else StricterCertificate(rule, replace(ctx, surrogate=also))

    def void(self, name: str) -> bool:
        """Whether nothing may be certified in a context: all that is known of it comes from another run, or a seed
        showed that the priors are wrong.
        """
        if any(impossible_values(r.trial, r.measurement, self.study) for r in self.history):
            return True
        return bool(self.models.prior.simulation) and len(self.told(name).points) == 0

    def told(self, name: str) -> Told:
        """Parameters and warped measurements of one context's trials."""
        d, m = self.encoding.space.dimension, len(self.encoding.functions)
        modelled = {o.trial: o for o in self.observations()}
        rows, visited = [], []
        for r in self.history.of_context(name):
            if r.trial.id in modelled:
                rows.append(modelled[r.trial.id])
            elif r.measurement is None or r.measurement.outcome == "failed":
                visited.append(self.encoding.row(r.trial)[:d])
        nan = float("nan")
        values = [[nan if v is None else v for v in row.values] for row in rows]
        return Told(
            torch.stack([row.x[:d] for row in rows]) if rows else torch.zeros(0, d, dtype=torch.float64),
            torch.tensor(values, dtype=torch.float64).reshape(-1, m),
            torch.stack(visited) if visited else torch.zeros(0, d, dtype=torch.float64),
        )

    def _worst_objective(self) -> float:
        spec = self.study.objective
        seen = [
            float(self.encoding.warps[0].forward(r.measurement.objective))
            for r in self.history
            if r.measurement is not None
            and r.measurement.outcome == "completed"
            and r.measurement.objective is not None
        ]
        return min(seen, default=spec.prior_mean - 2.0 * spec.prior_std)

    def visited(self) -> list[Trial]:
        """Trials whose place counts as seen by acquisitions, although nothing was measured there (yet)."""
        return [r.trial for r in self.history if r.measurement is None or r.measurement.outcome == "failed"]

    def certificate(self, row: NDArray[np.float64], name: str) -> Certificate:
        """Certificate of one raw row (`d`) in a context."""
        return self.certificates([row], name)[0]

    def certificates(self, rows: Sequence[NDArray[np.float64]], name: str) -> list[Certificate]:
        """Certificates of raw rows (`d` each) in a context, by the context's safe set with its exceptions."""
        if not rows:
            return []
        ctx = self.acquisition_context(name)
        with torch.no_grad():
            bounds = ctx.bounds_at(self.encoding.unit(np.stack(rows)))
        raw = self.encoding.raw_bounds(ctx, bounds)
        return [
            Certificate(
                holds, {n: Bounds(*map(float, b)) for n, b in zip(self.encoding.names, numbers, strict=True)}
            )
            for holds, numbers in zip(ctx.certified(bounds).tolist(), raw, strict=True)
        ]

    def expires(self, row: NDArray[np.float64], name: str) -> float | None:
        """Operating time, in seconds, at which the certificate of a raw row (`d`) in a context ends, if nothing more is
        measured; None where it has no end or there is none now.
        """
        time = self.study.surrogate.time
        if time is None or not self.study.constraints:
            return None
        point, now = self.encoding.unit(row[None]), self.now

        def holds(delay: float) -> bool:
            with self.at(now + delay), torch.no_grad():
                ctx = self.acquisition_context(name)
                return bool(ctx.certified(ctx.bounds_at(point)))

        memory = max(time.memory_of(f.name) for f in self.study.constraints)
        validity = remaining_validity(holds, memory)
        return None if validity is None else now + validity

    def promising(self, rows: Sequence[NDArray[np.float64]], name: str) -> list[NDArray[np.float64]]:
        """Those of raw rows (`d` each) to look at for the best certified one: all, or `PROMISING` of them where exact
        bounds at all would take long.
        """
        ctx = self.acquisition_context(name, searched=True)
        if ctx.exact is None or len(rows) <= PROMISING:
            return list(rows)
        acquisition = acquisition_class("best_lower_bound")(ctx)
        with torch.no_grad():
            value = acquisition(self.encoding.unit(np.stack(rows)).unsqueeze(1))
        return [rows[i] for i in torch.argsort(value, descending=True, stable=True)[:PROMISING].tolist()]

    def opened(self, name: str) -> MeasuredPoints:
        """Points that safe global trials of the context opened; none for methods without such trials."""
        if not self.explores:
            return MeasuredPoints()
        told = self.history.told()
        numbers = tuple(r.trial.id for r in told)
        known = self._opened.get(name)
        if known is None or known[0] != numbers:
            known = self._opened[name] = (numbers, opened_points(name, told, self.encoding))
        return known[1]

    def own_statement(self, trial: Trial) -> str:
        """What all trials at a trial's point say of it, in words."""
        beta = self._betas.now(self.surrogate(), self.observations())
        return own_statement(trial, self.history.told(), self.encoding, beta)

    def lapsed(self, name: str) -> Trial | None:
        """The first trial at a point that its own measurements certified until the last told one, and nothing now."""
        told = self.history.told()
        here = at_point(told[-1].trial, told, self.encoding) if self.explores and told else []
        before = here[:-1]
        if not before:
            return None
        ctx = self.acquisition_context(name)
        point = self.encoding.row(here[-1].trial)[: ctx.dimension].unsqueeze(0)
        with torch.no_grad():
            now = ctx.bounds_at(point)
            ctx = replace(ctx, measured=opened_points(name, before, self.encoding))
            own = ctx.bounds_from(point, now.certain, now.certain)
        held = own.exceptions is not None and bool(own.exceptions >= 0)
        return before[0].trial if held and not bool(ctx.certified(now)) else None
