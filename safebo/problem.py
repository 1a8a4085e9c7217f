"""A study in the optimizer's numbers: spaces, warps, thresholds, and measurements as rows of observations."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from safebo.errors import MeasurementError, StudyError, UnknownNameError
from safebo.measurement_checks import negative_margins
from safebo.protocol import OUTCOMES, Measurement, Trial
from safebo.space import Space, WarpMap, context_row
from safebo.study import FunctionSpec, Study
from safebo.surrogate import Surrogate


@dataclass(frozen=True)
class Observation:
    """One row of the surrogate's data: inputs in the unit cube and warped values, None where not observed."""

    trial: int
    x: Float[Tensor, " D"]
    values: tuple[float | None, ...]


class Problem:
    """The study's functions and boxes.

    Args:
        study: the study.

    Raises:
        StudyError: when a constraint's prior would certify parameters that nobody has tried, when a warp
        hides
            the margin 0, or when names are given twice.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        self.space = Space.of_parameters(study.parameters)
        self.context_space = Space.of_context(study.context.variables)
        self.functions: tuple[FunctionSpec, ...] = (study.objective, *study.constraints)
        self.names = tuple(f.name for f in self.functions)
        if len(set(self.names)) < len(self.names):
            raise StudyError(f"functions need different names, got {', '.join(self.names)}")
        self.warps = tuple(WarpMap(f.warp, f.name) for f in self.functions)
        self.thresholds = torch.tensor([w.threshold() for w in self.warps[1:]], dtype=torch.float64)
        for f, threshold in zip(study.constraints, self.thresholds.tolist(), strict=True):
            if f.prior_mean - study.tuner.beta * f.prior_std >= threshold:
                raise StudyError(
                    f"constraint {f.name}: prior_mean = {f.prior_mean:g} lies beta = {study.tuner.beta:g} "
                    f"prior standard deviations ({f.prior_std:g}) above the margin 0, so everything would be "
                    "certified untried; a constraint's prior must be pessimistic: lower prior_mean, or raise "
                    "prior_std or beta"
                )
        if study.tuner.lipschitz is not None and len(study.tuner.lipschitz) != len(study.constraints):
            raise StudyError(
                f"tuner.lipschitz needs one constant per constraint: {len(study.constraints)}, "
                f"got {len(study.tuner.lipschitz)}"
            )
        self.contexts = {
            name: torch.tensor(self.context_space.to_unit(context_row(study, name, self.context_space)))
            for name in study.context.values
        }
        for seed in study.seeds:
            if seed.context not in self.contexts:
                raise UnknownNameError("context of a seed", seed.context, sorted(self.contexts))
            self.space.vector(seed.parameters, where=f"seed of context {seed.context}")

    def context(self, name: str) -> Float[Tensor, " c"]:
        """A named context in the unit cube."""
        if name not in self.contexts:
            raise UnknownNameError("context", name, sorted(self.contexts))
        return self.contexts[name]

    def unit(self, raw: NDArray[np.float64]) -> Float[Tensor, "n d"]:
        """Raw parameters to the unit cube, as a tensor of its own."""
        return torch.tensor(self.space.to_unit(raw), dtype=torch.float64)

    def row(self, trial: Trial) -> Float[Tensor, " D"]:
        """A trial's parameters and context in the unit cube."""
        parameters = self.space.to_unit(self.space.vector(trial.parameters, within=False))
        context = self.context_space.to_unit(self.context_space.vector(trial.context, within=False))
        return torch.tensor(np.concatenate([parameters, context]), dtype=torch.float64)

    def margin(self, measurement: Measurement, f: FunctionSpec) -> float | None:
        """A measured margin under the function's name or its quantity's."""
        value = measurement.margins.get(f.name)
        return measurement.margins.get(f.quantity) if value is None and f.quantity else value

    def negative_margins(self, measurement: Measurement) -> list[tuple[str, float]]:
        """Constraints measured below 0, with their margins."""
        return negative_margins(measurement, self.study)

    def check(self, trial: Trial, measurement: Measurement) -> None:
        """Raises `MeasurementError` for a measurement that could not be modelled as its outcome says."""
        where = f"trial {trial.id}"
        if measurement.outcome not in OUTCOMES:
            raise MeasurementError(
                f"{where}: outcome {measurement.outcome!r} does not exist; allowed are {', '.join(OUTCOMES)}"
            )
        if measurement.outcome in ("failed", "backup"):
            return
        if measurement.outcome == "completed":
            if measurement.objective is None:
                raise MeasurementError(f"{where}: completed, but its objective is missing")
            _finite(where, self.names[0], measurement.objective)
        for f in self.functions[1:]:
            value = self.margin(measurement, f)
            if value is None:
                known = ", ".join(measurement.margins) or "none"
                raise MeasurementError(f"{where}: margin {f.name!r} is missing; measured were {known}")
            _finite(where, f.name, value)

    def observation(self, trial: Trial, measurement: Measurement) -> Observation | None:
        """What is modelled: all of a completed trial, the margins of an aborted one, nothing of the others.

        A trial in which the monitor switched gains says nothing about either gains; a failed one nothing at
        all.
        """
        if measurement.outcome in ("failed", "backup"):
            return None
        objective: float | None = None
        if measurement.outcome == "completed" and measurement.objective is not None:
            objective = float(self.warps[0].forward(measurement.objective))
        margins = [
            float(w.forward(self.margin(measurement, f) or 0.0))
            for w, f in zip(self.warps[1:], self.functions[1:], strict=True)
        ]
        return Observation(trial.id, self.row(trial), (objective, *margins))

    def raw_bounds(self, surrogate: Surrogate, X: Float[Tensor, "n D"], beta: float) -> NDArray[np.float64]:
        """Lower bound, mean and upper bound of every function at X in its own unit, `n x m x 3`."""
        with torch.no_grad():
            p = surrogate.predict(X)
        mean, reach = p.mean.numpy(), beta * p.std.numpy()
        result = np.empty((*mean.shape, 3))
        for i, warp in enumerate(self.warps):
            for j, warped in enumerate((mean - reach, mean, mean + reach)):
                result[:, i, j] = warp.inverse(warped[:, i])
        return result


def _finite(where: str, name: str, value: float) -> None:
    if not math.isfinite(value):
        raise MeasurementError(f"{where}: {name} = {value} is not a finite number")
