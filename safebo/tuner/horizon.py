"""Margins as they are told to the model where the study has a horizon: what longer walks may bring is taken off them.

Every constraint's minima within strides, pooled over the trials of the same gains and context, say by how much the
margin may still fall until the horizon (`safebo.trial_length.extremes`). A trial is told as

    min(what it measured, the 5 % quantile of the minimum over the horizon),

on the modelled scale, with the variance that this number has under a bootstrap of the strides as further noise: k
times of it for each of the k trials of the same gains, which share one extrapolation, so that together they are as
sure of it as it is. Where nothing can be extrapolated (the margin falls with time, swings more and more, too few
strides, a horizon beyond ten times their time) the trial does not certify beyond its own duration: it counts as at
most 0, the limit itself, and is no evidence for a prior. What was measured stays on record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from safebo.evaluators.outcome import margin_of
from safebo.evaluators.strides import stride_minima
from safebo.study import FunctionSpec, Study
from safebo.study.space import WarpMap
from safebo.trial_length.extremes import Extrapolation, Refusal, extrapolated
from safebo.types import Measurement, TrialRecord

WHY: Mapping[Refusal, str] = {
    "strides": "it has too few strides to say what longer trials bring",
    "short": "its strides are too short a time for that horizon",
    "falls": "it falls with time by more than its noise",
    "grows": "what it swings by grows with time, so the trial had not settled",
}
"""Why a margin is not extrapolated."""


@dataclass(frozen=True)
class ToldMargin:
    """One margin of one trial on the modelled scale.

    Args:
        value: what the model is told; None where it was not measured.
        noise: variance beyond the declared noise's.
        refusal: why nothing was extrapolated; empty where it was, or needed not to be.
    """

    value: float | None
    noise: float = 0.0
    refusal: Refusal = ""


class HorizonMargins:
    """The margins of trials up to the study's horizon, which has one.

    Args:
        study: with `horizon`.
        warps: of the constraints.
    """

    def __init__(self, study: Study, warps: Sequence[WarpMap]) -> None:
        self.study, self.warps = study, tuple(warps)
        self._known: dict[tuple[int, ...], tuple[tuple[TrialRecord, ...], list[Extrapolation]]] = {}

    def told(self, records: Sequence[TrialRecord]) -> dict[int, tuple[ToldMargin, ...]]:
        """What completed trials of the same gains and context are told as, by trial."""
        records = [r for r in records if r.measurement is not None and r.measurement.outcome == "completed"]
        horizon = self.study.horizon
        assert horizon is not None
        if not any(_shorter(r.measurement, horizon) for r in records):
            found: list[Extrapolation] = []
        else:
            found = self._extrapolations(tuple(records), horizon)
        return {
            r.trial.id: tuple(
                self._told(i, r.measurement, found[i] if found else None, len(records))
                for i in range(len(self.warps))
            )
            for r in records
            if r.measurement is not None
        }

    def _told(
        self, index: int, measurement: Measurement, found: Extrapolation | None, trials: int
    ) -> ToldMargin:
        warp = self.warps[index]
        measured = margin_of(measurement, self.study.constraints[index])
        if measured is None:
            return ToldMargin(None)
        value = float(warp.forward(measured))
        if found is None or not _shorter(measurement, self.study.horizon):
            return ToldMargin(value)
        if found.refusal:
            return ToldMargin(min(value, warp.threshold()), refusal=found.refusal)
        samples = np.minimum(value, np.asarray(warp.forward(np.array(found.samples))))
        return ToldMargin(min(value, float(warp.forward(found.value))), trials * float(samples.var()))

    def _extrapolations(self, records: tuple[TrialRecord, ...], horizon: float) -> list[Extrapolation]:
        """Of every constraint; kept, as most trials of an earlier look are those of this one."""
        ids = tuple(r.trial.id for r in records)
        known = self._known.get(ids)
        if known is None or any(a is not b for a, b in zip(known[0], records, strict=True)):
            known = (
                records,
                [self._extrapolation(i, c, records, horizon) for i, c in enumerate(self.study.constraints)],
            )
            self._known[ids] = known
        return known[1]

    def _extrapolation(
        self, index: int, constraint: FunctionSpec, records: Sequence[TrialRecord], horizon: float
    ) -> Extrapolation:
        minima, periods = [], []
        for record in records:
            m = record.measurement
            values = None if m is None else stride_minima(m, constraint)
            if m is not None and m.strides is not None and values is not None:
                minima.append(np.array(values))
                periods.append(m.strides.period)
        if not minima:
            return Extrapolation(refusal="strides")
        seed = np.random.SeedSequence([self.study.seed, records[0].trial.id, index]).generate_state(1)[0]
        return extrapolated(minima, float(np.mean(periods)), horizon, len(self.study.constraints), int(seed))

    def words(self, trial: int, told: Sequence[ToldMargin]) -> str:
        """What a person should know of a trial that does not certify up to the horizon; empty for the others."""
        parts = [
            f"margin {c.name}: {WHY[t.refusal]}"
            for c, t in zip(self.study.constraints, told, strict=True)
            if t.refusal
        ]
        if not parts:
            return ""
        return (
            f"Trial {trial} says nothing about trials of {self.study.horizon:g} s (horizon): {'; '.join(parts)}. It "
            "counts as at the limit, not above it; what it measured stays on record"
        )


def _shorter(measurement: Measurement | None, horizon: float | None) -> bool:
    return measurement is None or horizon is None or measurement.duration < horizon * (1.0 - 1e-9)
