"""A study in the optimizer's numbers: spaces, warps, thresholds, and measurements as rows of observations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from safebo.acquisition.base import AcquisitionContext
from safebo.errors import MeasurementError, UnknownNameError
from safebo.evaluators.outcome import ended_early, margin_of, margins_of, negative_margins
from safebo.evaluators.unvarying import SharedValue, shared_values
from safebo.models.growing import Observation
from safebo.models.schedules import BetaSchedule
from safebo.safety.safe_set import PointBounds
from safebo.study import FunctionSpec, Study
from safebo.study.axis import domain_size
from safebo.study.preference_checks import prefers
from safebo.study.scenarios import scaled_features, walks_chosen
from safebo.study.space import Space, WarpMap, context_row
from safebo.trial_length.variance import components
from safebo.tuner.horizon import HorizonMargins, ToldMargin
from safebo.types import Measurement, Trial, TrialRecord


class StudyEncoding:
    """The study's functions and boxes.

    Args:
        study: the study; it has passed `safebo.study.reading.check_study`.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.space = Space.of_parameters(study)
        self.context_space = Space.of_context(study.context.variables)
        self.functions: tuple[FunctionSpec, ...] = (study.objective, *study.constraints)
        self.names = tuple(f.name for f in self.functions)
        self.warps = tuple(WarpMap(f.warp, f.name) for f in self.functions)
        self.thresholds = torch.tensor([w.threshold() for w in self.warps[1:]], dtype=torch.float64)
        tuner, confidence = study.tuner, study.tuner.confidence
        if study.surrogate.trust == "earned":  # the other half of delta is spent on promotions
            confidence = confidence.model_copy(update={"delta": 0.5 * confidence.delta})
        self.schedule = BetaSchedule(
            confidence,
            tuner.beta,
            len(self.functions),
            tuple(f.noise_std for f in self.functions),
            domain_size(study),
        )
        self.measured = tuple(v.name for v in study.context.variables if v.measured)
        self.region = self._region(tuner.transductive.region)
        self.contexts = {
            name: torch.tensor(self.context_space.to_unit(context_row(study, name, self.context_space)))
            for name in study.context.values
        }
        self.features: dict[str, Tensor] = {}
        if walks_chosen(study) and study.scenarios is not None:
            scaled = scaled_features(study.scenarios)
            self.features = {n: torch.tensor(row, dtype=torch.float64) for n, row in scaled.items()}
        self._horizon = None if study.horizon is None else HorizonMargins(study, self.warps[1:])
        # By trial and scenario, of the last record, and what later trials of the same gains changed.
        self._known: dict[tuple[int, str], tuple[TrialRecord, tuple[Any, ...], Observation]] = {}

    def context(self, name: str, readings: Mapping[str, float] | None = None) -> Float[Tensor, " c"]:
        """A named context in the unit cube, at readings of its measured variables."""
        if not isinstance(name, str) or name not in self.contexts:
            raise UnknownNameError("context", name, sorted(self.contexts))
        if not readings:
            return self.contexts[name]
        row = self.context_space.vector(
            {**self.study.context.values[name], **readings}, where="what was read"
        )
        return torch.tensor(self.context_space.to_unit(row))

    def unit(self, raw: NDArray[np.float64]) -> Float[Tensor, "n d"]:
        """Raw parameters to the unit cube, as a tensor of its own."""
        return torch.tensor(self.space.to_unit(raw), dtype=torch.float64)

    def row(self, trial: Trial) -> Float[Tensor, " D"]:
        """A trial's parameters and context in the unit cube."""
        parameters = self.space.to_unit(self.space.vector(trial.parameters, within=False))
        context = self.context_space.to_unit(self.context_space.vector(trial.context, within=False))
        return torch.tensor(np.concatenate([parameters, context]), dtype=torch.float64)

    @property
    def columns(self) -> int:
        """Number of the surrogate's inputs, an operating time left out."""
        beside = next((len(each) for each in self.features.values()), 0)
        return self.space.dimension + self.context_space.dimension + beside

    def rows(self, trial: Trial) -> list[Tensor]:
        """A trial's rows in the unit cube, `D` each: one, or one for every scenario that it walks where those are told
        apart.
        """
        row = self.row(trial)
        return [torch.cat([row, self.features[n]]) for n in trial.scenarios] if self.features else [row]

    def timed(self, trial: Trial, time: float) -> Float[Tensor, " E"]:
        """A trial's row with an operating time, in seconds, as last entry."""
        row = self.row(trial)
        return torch.cat([row, row.new_tensor([time])])

    @staticmethod
    def time_of(record: TrialRecord) -> float:
        """When a trial began, in seconds of operation.

        Raises:
            MeasurementError: nobody said when.
        """
        if record.operating_time is None:
            raise MeasurementError(
                f"trial {record.trial.id}: has no operating time, and surrogate.time needs one: ask with "
                "operating_time=SECONDS, or tell a measurement with the key operating_time"
            )
        return record.operating_time

    def negative_margins(self, measurement: Measurement) -> list[tuple[str, float]]:
        """Constraints measured below 0, with their margins."""
        return negative_margins(measurement, self.study)

    def observations(self, records: Iterable[TrialRecord]) -> list[Observation]:
        """What is modelled of some records: all of a completed trial, the margins of an aborted one, of others nothing.

        A trial in which the monitor switched gains says nothing about either gains; a failed one nothing at
        all unless it fell. A fall or an abort never certifies, whatever its margins were up to then: each counts as at
        most one `prior_std` below its threshold on the modelled scale, in every trial of the same gains and context.
        With a horizon, margins are those of so long a trial (`safebo.tuner.horizon`). A margin's value that different
        gains share to the last digit is capped or rounded: it is no evidence for a prior, as a clipped one is none.
        """
        measured = [r for r in records if r.measurement is not None]
        told = [
            (r, walk, name, (*self._place(r.trial), name)) for r in measured for name, walk in self._walks(r)
        ]
        early = {place for _, m, _, place in told if ended_early(m)}
        further = self._further(measured)
        shared = shared_values(((record.trial.parameters, m) for record, m, _, _ in told), self.study)
        return [
            self._observation(
                record, m, name, place in early, further.get(record.trial.id), self._tied(m, shared)
            )
            for record, m, name, place in told
            if m.outcome in ("completed", "aborted") or (m.outcome == "failed" and m.fell)
        ]

    def _tied(self, m: Measurement, shared: Mapping[str, SharedValue]) -> tuple[bool, ...]:
        """Which margins of a measurement have the value that different gains share."""
        values = margins_of(self.study, m) if shared else {}
        return tuple(
            f.name in shared and values.get(f.name) == shared[f.name].value for f in self.functions[1:]
        )

    def beyond_horizon(self, records: Iterable[TrialRecord]) -> dict[int, str]:
        """Trials that do not certify as far as the study's horizon, and why, in words."""
        found = self._further([r for r in records if r.measurement is not None])
        words = (
            {} if self._horizon is None else {i: self._horizon.words(i, told) for i, told in found.items()}
        )
        return {trial: text for trial, text in words.items() if text}

    def _further(self, told: Sequence[TrialRecord]) -> dict[int, tuple[ToldMargin, ...]]:
        """Margins up to the horizon, by trial; empty without one."""
        if self._horizon is None:
            return {}
        same: dict[tuple[Any, ...], list[TrialRecord]] = {}
        for record in told:
            same.setdefault(self._place(record.trial), []).append(record)
        return {i: margins for group in same.values() for i, margins in self._horizon.told(group).items()}

    def _walks(self, record: TrialRecord) -> list[tuple[str, Measurement]]:
        """What is modelled of a told trial: itself, or each scenario that it walked where those are told apart."""
        assert record.measurement is not None
        return list(record.measurement.scenarios.items()) if self.features else [("", record.measurement)]

    def _observation(
        self,
        record: TrialRecord,
        m: Measurement,
        scenario: str,
        early: bool,
        told: tuple[ToldMargin, ...] | None,
        tied: tuple[bool, ...],
    ) -> Observation:
        known = self._known.get((record.trial.id, scenario))
        if known is None or known[0] is not record or known[1] != (early, told, tied):
            time = self.time_of(record) if self.study.surrogate.time is not None else None
            found = self._modelled(record.trial, m, early, told, tied, time)
            if scenario:
                found = replace(found, x=torch.cat([found.x, self.features[scenario]]))
            known = (record, (early, told, tied), found)
            self._known[record.trial.id, scenario] = known
        return known[2]

    def _modelled(
        self,
        trial: Trial,
        m: Measurement,
        early: bool,
        told: tuple[ToldMargin, ...] | None,
        tied: tuple[bool, ...],
        time: float | None,
    ) -> Observation:
        objective = m.objective if m.outcome == "completed" and not prefers(self.study) else None
        margins = [margin_of(m, f) for f in self.functions[1:]]
        values = [
            None if y is None else float(w.forward(y))
            for w, y in zip(self.warps, (objective, *margins), strict=True)
        ]
        added = [0.0 if not m.ended else self._shorter_noise(m), *(0.0 for _ in margins)]
        if told is not None:
            values[1:] = [t.value for t in told]
            added[1:] = [t.noise for t in told]
        elif m.ended:
            # What was left of the trial would have told the least of the other margins.
            values[1:] = [
                None if y is None or y >= 0 else v for y, v in zip(margins, values[1:], strict=True)
            ]
        if early:
            ceilings = [
                w.threshold() - f.prior_std for w, f in zip(self.warps[1:], self.functions[1:], strict=True)
            ]
            values[1:] = [c if v is None else min(v, c) for v, c in zip(values[1:], ceilings, strict=True)]
        clipped = [v is not None and w.clipped(v) for v, w in zip(values, self.warps, strict=True)]
        lowered = (
            False,
            *(early or tied[i] or (told is not None and bool(told[i].refusal)) for i in range(len(margins))),
        )
        exact = tuple(not (cut or low) for cut, low in zip(clipped, lowered, strict=True))
        return Observation(
            trial.id,
            self.row(trial) if time is None else self.timed(trial, time),
            tuple(values),
            exact,
            tuple(added) if any(added) else (),
        )

    def _shorter_noise(self, m: Measurement) -> float:
        """Variance that the objective of a trial that ended early has beyond the declared: `s_s^2 / n` of its strides,
        on the modelled scale; with fewer than three strides, the prior's.
        """
        series = () if m.strides is None else m.strides.objective
        found = components([[self.warps[0].forward(np.array(series))]])
        return self.functions[0].prior_std ** 2 if found is None else found.per_stride / len(series)

    @staticmethod
    def _place(trial: Trial) -> tuple[Any, ...]:
        return (*trial.parameters.values(), *trial.context.values())

    def raw_bounds(
        self, ctx: AcquisitionContext, bounds: PointBounds, mean: Tensor | None = None
    ) -> NDArray[np.float64]:
        """Lower bound, mean and upper bound of every function at given points in its own unit, `n x m x 3`.

        A constraint's lower bound is what its certificate promises; at points that their own measurements certify, all
        three numbers are what those say. `mean` is that of the surrogate if known already.
        """
        with torch.no_grad():
            mean = ctx.mean_at(bounds.points) if mean is None else mean
            lower, upper = bounds.certain.lower.clone(), bounds.certain.upper
            lower[:, 1:] = bounds.margins + self.thresholds
            upper = torch.maximum(upper, lower)
            if bounds.exceptions is not None:
                at = torch.nonzero(bounds.exceptions >= 0).squeeze(-1)
                own = ctx.own_bounds(bounds.exceptions[at])
                mean = mean.clone()
                mean[at, 1:] = ctx.measured.posterior.mean[bounds.exceptions[at]]
                upper[at, 1:] = own.upper
        result = np.empty((*mean.shape, 3))
        for i, warp in enumerate(self.warps):
            for j, warped in enumerate((lower, mean, upper)):
                result[:, i, j] = warp.inverse(warped[:, i].numpy())
        return result

    def _region(self, bounds: Mapping[str, tuple[float, float]]) -> tuple[Tensor, Tensor] | None:
        """Corners of a fixed target region in the unit cube; parameters that it leaves out are free."""
        if not bounds:
            return None
        low = torch.zeros(self.space.dimension, dtype=torch.float64)
        high = torch.ones(self.space.dimension, dtype=torch.float64)
        for axis, columns in zip(self.space.axes, self.space.columns, strict=True):
            if axis.name in bounds:
                low[columns], high[columns] = map(float, axis.to_unit(bounds[axis.name]))
        return low, high
