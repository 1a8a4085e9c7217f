"""What trials of the same gains say of a function's noise: how much of it is between trials and how much within one.

On the modelled scale, the transient left out. Trials of the same gains and context count as repeats; trials that ended
before their time do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from safebo.evaluators.outcome import margin_of
from safebo.evaluators.strides import stride_minima
from safebo.study import FunctionSpec, Study
from safebo.study.space import WarpMap
from safebo.trial_length.variance import VarianceComponents, components, transient
from safebo.types import FloatArray, Measurement, TrialRecord

FEWEST = 3
"""Trials of the same gains, at least, of which a split of the noise is worth saying."""


@dataclass(frozen=True)
class RepeatedStrides:
    """The strides of completed trials, by gains and context, and how long a trial was.

    Args:
        groups: for every set of gains its trials, each the values of its strides after the transient.
        strides: of a trial after the transient, the median.
        period: of a stride, s, the median.
        start: seconds before the first stride, the median.
    """

    groups: tuple[tuple[FloatArray, ...], ...]
    strides: float = 0.0
    period: float = 0.0
    start: float = 0.0

    @property
    def split(self) -> VarianceComponents | None:
        """Components of variance; None where no gains were tried `FEWEST` times."""
        if max(map(len, self.groups), default=0) < FEWEST:
            return None
        found = components([group for group in self.groups if len(group) > 1])
        return None if found is None or found.between is None else found


@dataclass(frozen=True)
class TrialNoise:
    """The noise of one measurement of a function, as variances on its modelled scale.

    Args:
        between: from trial to trial, `s_b^2`; None where it is not told apart from what is within one.
        within: of strides within one trial; None likewise.
        whole: all of it.
        why: it is not told apart, in words; else empty.
        strides: of a trial after the transient.
        period: of a stride, s.
        start: seconds before the first stride.
        averaged: the function is a mean over strides, so that longer trials average the part within one out; a margin
            is their least value instead, and is not.
    """

    between: float | None
    within: float | None
    whole: float
    why: str = ""
    strides: float = 0.0
    period: float = 0.0
    start: float = 0.0
    averaged: bool = True

    def seconds(self, factor: float = 1.0) -> float:
        """How long a trial of `factor` times as many strides is, s."""
        return self.start + factor * self.strides * self.period


def trial_noise(
    records: Iterable[TrialRecord], study: Study, spec: FunctionSpec, declared: float
) -> TrialNoise:
    """The noise of one measurement of a function, split as far as repeated trials with strides tell.

    Of the objective `s_b^2 + s_s^2 (1 + 2 sum rho_k) / n` (`safebo.trial_length.variance`). A margin is the least value
    of a trial, whose variance over repeats is measured directly; `s_b^2`, by which all strides of a trial move
    together, is the part of it between trials.

    Args:
        records: trials that were told.
        study: theirs.
        spec: the function, of the study.
        declared: its noise variance in the model, taken where repeats do not tell.
    """
    told = [(r, r.measurement) for r in records if r.measurement is not None]
    objective = spec.name == study.objective.name
    if study.horizon is not None and not objective:
        return TrialNoise(None, None, declared, "margins are extrapolated to the horizon", averaged=False)
    found = repeated_strides((r for r, _ in told), study, spec)
    split = found.split
    if split is None or split.between is None:
        why = f"no gains were tried {FEWEST} times" if found.groups else "no strides recorded"
        return TrialNoise(None, None, declared, why, averaged=objective)
    if objective:
        between, within = split.between, split.per_stride / found.strides
    else:
        whole = _variance_of_minima(told, spec)
        between = min(split.between, whole)
        within = whole - between
    return TrialNoise(
        between,
        within,
        between + within,
        strides=found.strides,
        period=found.period,
        start=found.start,
        averaged=objective,
    )


def repeated_strides(records: Iterable[TrialRecord], study: Study, spec: FunctionSpec) -> RepeatedStrides:
    """The strides of a function in completed trials: of the objective their values, of a constraint their minima."""
    warp = WarpMap(spec.warp, spec.name)
    groups: dict[tuple[object, ...], list[FloatArray]] = {}
    periods, starts, lengths = [], [], []
    for record, m in _completed(records):
        if m.strides is None:
            continue
        series = m.strides.objective if spec.name == study.objective.name else stride_minima(m, spec)
        if not series:
            continue
        values = np.asarray(warp.forward(np.array(series)))
        values = values[transient(values) :]
        groups.setdefault(_place(record), []).append(values)
        periods.append(m.strides.period)
        starts.append(m.strides.start)
        lengths.append(len(values))
    if not groups:
        return RepeatedStrides(())
    return RepeatedStrides(
        tuple(tuple(group) for group in groups.values()),
        float(np.median(lengths)),
        float(np.median(periods)),
        float(np.median(starts)),
    )


def _completed(records: Iterable[TrialRecord]) -> Iterator[tuple[TrialRecord, Measurement]]:
    for record in records:
        m = record.measurement
        if m is not None and m.outcome == "completed" and not m.ended:
            yield record, m


def _place(record: TrialRecord) -> tuple[object, ...]:
    return (*record.trial.parameters.values(), record.trial.context_name)


def _variance_of_minima(told: Iterable[tuple[TrialRecord, Measurement]], spec: FunctionSpec) -> float:
    """Variance of a margin over trials of the same gains, pooled, on the modelled scale."""
    warp, groups = WarpMap(spec.warp, spec.name), dict[tuple[object, ...], list[float]]()
    for record, m in _completed(r for r, _ in told):
        value = margin_of(m, spec)
        if m.strides is not None and value is not None:
            groups.setdefault(_place(record), []).append(float(warp.forward(value)))
    repeated = [np.array(group) for group in groups.values() if len(group) > 1]
    freedom = sum(len(group) - 1 for group in repeated)
    return sum(float(((group - group.mean()) ** 2).sum()) for group in repeated) / freedom if freedom else 0.0
