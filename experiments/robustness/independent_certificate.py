"""Whether a trial was certified, worked out a second time from the study's declared numbers and the records.

Scales, warps, priors, beta and certificates are written here from their definitions; of `safebo` only the study and
the records are read. What is pending or failed is left out: certification rests on measurements alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from safebo.errors import InputError
from safebo.experiments.robustness.independent_posterior import (
    BetaRule,
    FloatArray,
    FunctionPrior,
    Groups,
    Relation,
    intersected_interval,
    lipschitz_margins,
    mixture_moments,
)
from safebo.study import ContextVariable, FunctionSpec, Parameter, Study
from safebo.types import Measurement, Trial

Records = Sequence[tuple[Trial, Measurement | None]]

Told = Sequence[tuple[Trial, Measurement]]

SAMPLE = 512
"""Points among which schedules seek the largest information gain, as `safebo.models.schedules` says."""

PROMISED = {"real_beta_safeopt": "fiedler2024"}
CERTIFIED_BY_MEASUREMENTS = ("losbo", "los_gp_ucb")


def gain_sample(dimension: int) -> FloatArray:
    """The points of the unit cube among which schedules seek the largest information gain, `SAMPLE x D`."""
    sobol = torch.quasirandom.SobolEngine(dimension, scramble=True, seed=0)
    return sobol.draw(SAMPLE, dtype=torch.float64).numpy()


class Judge:
    """Certifies parameters of one study.

    Args:
        study: with fixed hyperparameters, unless `margins` is given others.
        simulation: trials of another run that inform this one.
    """

    def __init__(self, study: Study, simulation: Records = ()) -> None:
        self.study = study
        self.simulation = _measured(simulation)
        self.functions = (study.objective, *study.constraints)
        self.thresholds = np.array([_threshold(f) for f in study.constraints])
        self.declared = [[_prior(study, f)] for f in self.functions]
        method = study.tuner.method.replace("-", "_")
        self.certificate = "measured" if method in CERTIFIED_BY_MEASUREMENTS else study.tuner.certificate
        dimension = sum(map(_width, study.parameters)) + len(study.context.variables)
        spec, search = study.tuner.confidence, study.tuner.search
        grid = math.prod(_grid_values(p, search.grid_points) for p in study.parameters)
        sizes = {"grid": grid, "pool": len(search.pool)}
        self.beta = BetaRule(
            schedule=PROMISED.get(method, spec.schedule),
            constant=study.tuner.beta,
            delta=spec.delta / len(self.functions),
            norm=spec.norm,
            noise=spec.noise_bound,
            domain_size=sizes.get(search.domain),
            sample=gain_sample(dimension),
        )
        self._betas: dict[tuple[object, ...], float] = {}

    def margins(
        self,
        records: Records,
        trial: Trial,
        priors: Sequence[Sequence[FunctionPrior]] | None = None,
        believed: bool = True,
    ) -> FloatArray:
        """How far every constraint lies above what certifies it, in prior standard deviations, `c`.

        Args:
            records: trials and what they showed, in the order of their ids.
            trial: to be judged.
            priors: hyperparameters of every function, several for an average over them; None for the study's.
            believed: whether the simulation counts.
        """
        priors = self.declared if priors is None else priors
        parameters, whole = self._row(trial)
        told = _measured(records)
        before = self.simulation if believed else []
        scale = np.array([f.prior_std for f in self.study.constraints])
        if self.certificate == "bounds":
            lower = self._lower(before, told, whole[None], priors)[0]
            return (lower - self.thresholds) / scale
        here = [(t, m) for t, m in told if t.context_name == trial.context_name]
        tried = np.array([self._row(t)[0] for t, _ in here]).reshape(-1, len(parameters))
        if self.certificate == "measured":
            values = [[_warped(f, m.margins[f.name]) for f in self.study.constraints] for _, m in here]
            noise = np.array(self.study.tuner.measured_noise)
            reference = np.array(values).reshape(-1, len(scale)) - noise
        else:
            rows = np.array([self._row(t)[1] for t, _ in here]).reshape(-1, len(whole))
            reference = self._lower(before, told, rows, priors)
        constants = np.array(self.study.tuner.lipschitz)
        return lipschitz_margins(parameters[None], tried, reference, constants, self.thresholds)[0] / scale

    def _lower(
        self, before: Told, told: Told, Z: FloatArray, priors: Sequence[Sequence[FunctionPrior]]
    ) -> FloatArray:
        """Lower bounds of the constraints at Z, warped, `k x c`. Aborted trials have margins too."""
        X = np.array([self._row(t)[1] for t, _ in [*before, *told]]).reshape(-1, Z.shape[1])
        inflation, spec = 1.0, self.study.surrogate.prior_data
        if before and spec is not None:
            task = np.array([1.0] * len(before) + [0.0] * len(told))
            X, Z = np.column_stack([X, task]), np.column_stack([Z, np.zeros(len(Z))])
            if not isinstance(spec.correlation, float) or spec.inflation is None:
                raise InputError(
                    "surrogate.prior_data: only declared correlations and inflations are checked"
                )
            relation = Relation(spec.correlation, spec.std_ratio, spec.discrepancy_lengthscale)
            priors = [[replace(p, relation=relation) for p in samples] for samples in priors]
            inflation = spec.inflation
        columns = []
        for i, f in enumerate(self.study.constraints):
            y = np.concatenate([_modelled(f, before), _modelled(f, told)])
            samples = priors[i + 1]
            if self.study.tuner.confidence.intersect:
                betas = [inflation * self._beta(samples[0], X[:n]) for n in range(len(X) + 1)]
                columns.append(intersected_interval(samples[0], X, y, Z, betas)[0])
                continue
            mean, std = mixture_moments(samples, X, y, Z)
            columns.append(mean - inflation * self._beta(samples[0], X) * std)
        return np.array(columns).T.reshape(len(Z), -1)

    def _beta(self, prior: FunctionPrior, X: FloatArray) -> float:
        key = (id(prior), X.tobytes())
        if key not in self._betas:
            self._betas[key] = self.beta.after(prior, X)
        return self._betas[key]

    def _row(self, trial: Trial) -> tuple[FloatArray, FloatArray]:
        """Parameters, and parameters with the context, in the unit cube."""
        gains = []
        for p in self.study.parameters:
            value, (low, high) = trial.parameters[p.name], p.bounds
            if p.choices:
                gains += [float(value == name) for name in p.choices]
                continue
            if p.scale == "log":
                value, low, high = math.log(value), math.log(low), math.log(high)
            gains.append((value - low) / (high - low))
        context = [
            (trial.context[v.name] - v.bounds[0]) / (v.bounds[1] - v.bounds[0])
            for v in self.study.context.variables
        ]
        return np.array(gains), np.array(gains + context)


def _measured(records: Records) -> Told:
    """The trials that were measured."""
    return [(t, m) for t, m in records if m is not None and m.outcome in ("completed", "aborted")]


def _modelled(f: FunctionSpec, records: Told) -> FloatArray:
    """Margins as they are modelled: of gains that fell or were aborted at most one `prior_std` below the threshold."""
    places = [(tuple(t.parameters.values()), tuple(t.context.values())) for t, _ in records]
    early = {place for place, (_, m) in zip(places, records, strict=True) if m.fell or m.outcome == "aborted"}
    values = []
    for place, (_, m) in zip(places, records, strict=True):
        ceiling = _threshold(f) - f.prior_std if place in early else math.inf
        values.append(min(_warped(f, m.margins[f.name]), ceiling))
    return np.array(values)


def _warped(f: FunctionSpec, value: float) -> float:
    """A measured value on the scale on which it is modelled."""
    warp = f.warp
    if warp.kind == "identity":
        result = value / warp.scale
    else:
        left = warp.upper - value
        result = math.inf if left <= 0 else math.log(warp.scale) - math.log(left)
    return min(max(result, warp.ends[0]), warp.ends[1])


def _threshold(f: FunctionSpec) -> float:
    return 0.0 if f.warp.kind == "identity" else math.log(f.warp.scale / f.warp.upper)


def _prior(study: Study, f: FunctionSpec) -> FunctionPrior:
    spec = study.surrogate
    axes: list[Parameter | ContextVariable] = [*study.parameters, *study.context.variables]
    defaults = [spec.lengthscale] * len(study.parameters) + [spec.context_lengthscale] * len(
        study.context.variables
    )
    lengthscale, period = [], []
    for axis, default in zip(axes, defaults, strict=True):
        lengthscale += [axis.lengthscale or default] * _width(axis)
        whole = math.inf if axis.period is None else axis.period / (axis.bounds[1] - axis.bounds[0])
        period += [whole] * _width(axis)
    return FunctionPrior(
        spec.kernel,
        np.array(lengthscale),
        f.prior_std,
        f.noise_std,
        f.prior_mean,
        _groups(study),
        np.array(period),
    )


def _width(axis: Parameter | ContextVariable) -> int:
    """Coordinates of one parameter: a choice has one for each of its names."""
    return len(axis.choices or [0]) if isinstance(axis, Parameter) else 1


def _grid_values(p: Parameter, points: int) -> int:
    """The most values that a grid has of a parameter."""
    step = 1.0 if p.type == "integer" and p.step is None else p.step
    if p.choices or step is None:
        return len(p.choices) if p.choices else points
    return min(points, math.floor((p.bounds[1] - p.bounds[0]) / step * (1 + 1e-12)) + 1)


def _groups(study: Study) -> Groups | None:
    spec = study.surrogate
    columns: dict[str, list[int]] = {}
    for p in study.parameters:
        first = sum(map(len, columns.values()))
        columns[p.name] = list(range(first, first + _width(p)))
    gains = tuple(range(sum(map(len, columns.values()))))
    context = tuple(range(len(gains), len(gains) + len(study.context.variables)))
    if spec.structure == "product":
        return ((gains, context),)
    if spec.structure == "sum":
        return ((gains,), (context,))
    if spec.structure == "additive":
        groups = [
            tuple(i for n in group for i in columns[n]) for group in spec.groups or [[n] for n in columns]
        ]
        return tuple((group, context) if context else (group,) for group in groups)
    return None
