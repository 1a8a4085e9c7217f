"""The best in a context: parameters that are certified, those that the model predicts, the walk of most utility."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from safebo.acquisition.eubo import expected_best
from safebo.errors import EmptySafeSetError
from safebo.models.interval_split import headline
from safebo.study.preference_checks import prefers
from safebo.tuner.intervals import interval_splits
from safebo.tuner.planner import Planner
from safebo.tuner.state import TunerState
from safebo.types import Certificate, Recommendation, Trial


def best_certified(planner: Planner, name: str) -> Recommendation | None:
    """The certified parameters of a context with the largest lower bound of the objective; of a preference, the tried
    ones with the largest mean utility. None where nothing is certified.
    """
    state, study = planner.state, planner.state.study
    found = None if prefers(study) else planner.best(name)
    # Certified trials themselves, those of safe global trials included.
    rows = [
        state.points.raw(r.trial)
        for r in state.history.of_context(name)
        if r.measurement is not None and r.measurement.outcome == "completed" and state.points.inside(r.trial)
    ]
    rows = state.promising(rows, name) + ([] if found is None else [found.row])
    certificates = list(zip(rows, state.certificates(rows, name), strict=True))
    valid = [(row, c) for row, c in certificates if c.certified]
    if not valid:
        return None
    objective, by = state.encoding.names[0], "mean" if prefers(study) else "lower"
    row, certificate = max(valid, key=lambda pair: float(getattr(pair[1].bounds[objective], by)))
    best = _recommendation(state, row, name, replace(certificate, until=state.expires(row, name)))
    return replace(best, advice=headline(interval_splits(state, row, name)))


def predicted(planner: Planner, name: str) -> Recommendation:
    """Where the objective's posterior mean is largest and every margin's mean is at least 0; never certified.

    Raises:
        EmptySafeSetError: there is no such place.
    """
    found = planner.predicted(name)
    if found is None:
        raise EmptySafeSetError(f"context {name}: nothing can be predicted")
    certificate = replace(planner.state.certificate(found.row, name), certified=False)
    return _recommendation(planner.state, found.row, name, certificate)


def best_walk(state: TunerState, name: str, trials: Sequence[Trial]) -> Trial | None:
    """The certified one of a context's trials with the largest mean utility, the first of equal ones; None where none
    is certified.
    """
    certificates = state.certificates([state.points.raw(trial) for trial in trials], name)
    with torch.no_grad():
        means = state.surrogate().posteriors[0].mean(torch.stack([state.encoding.row(t) for t in trials]))
    kept = [i for i, certificate in enumerate(certificates) if certificate.certified]
    return trials[max(kept, key=lambda i: float(means[i]))] if kept else None


def best_pair(state: TunerState, pairs: Sequence[tuple[Trial, Trial]]) -> tuple[Trial, Trial]:
    """The pair whose better one is expected to be best, `E max(u_a, u_b)`, the first of equal ones; see `eubo`."""
    trials = list(dict.fromkeys(trial.id for pair in pairs for trial in pair))
    row = {number: i for i, number in enumerate(trials)}
    a, b = (torch.tensor([row[pair[side].id] for pair in pairs]) for side in (0, 1))
    with torch.no_grad():
        X = torch.stack([state.encoding.row(state.history.record(number).trial) for number in trials])
        mean, covariance = state.surrogate().posteriors[0].joint(X)
        variance = covariance.diagonal()[a] + covariance.diagonal()[b] - 2.0 * covariance[a, b]
        return pairs[int(expected_best(mean[a], mean[b], variance).argmax())]


def _recommendation(
    state: TunerState, row: NDArray[np.float64], name: str, certificate: Certificate
) -> Recommendation:
    same = [
        r.trial.id for r in state.history.of_context(name) if np.array_equal(state.points.raw(r.trial), row)
    ]
    return Recommendation(
        parameters=state.encoding.space.named(row),
        context_name=name,
        context=state.context_values(name),
        certified=certificate.certified,
        bounds=certificate.bounds,
        trial=same[-1] if same else None,
        priors={n: found.certifying for n, found in state.evidence().items()},
        until=certificate.until,
        horizon=state.study.horizon,
        lasted=_lasted(state, name),
    )


def _lasted(state: TunerState, name: str) -> float | None:
    """How long the completed trials of a context lasted, their median in seconds; None where nobody said."""
    told = [r.measurement for r in state.history.of_context(name) if r.measurement is not None]
    known = [m.duration for m in told if m.outcome == "completed" and m.duration > 0]
    return float(np.median(known)) if known else None
