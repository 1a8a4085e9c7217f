"""BoTorch's own loop on a benchmark task: one fitted SingleTaskGP per function, and an acquisition of BoTorch's."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.acquisition.objective import GenericMCObjective
from botorch.exceptions.warnings import BotorchWarning
from botorch.fit import fit_gpytorch_mll
from botorch.generation.sampling import ConstrainedMaxPosteriorSampling
from botorch.models import ModelListGP, SingleTaskGP
from botorch.models.transforms.outcome import Standardize
from botorch.optim import optimize_acqf
from botorch.sampling import SobolQMCNormalSampler
from botorch.utils.sampling import manual_seed
from gpytorch.mlls import ExactMarginalLogLikelihood
from linear_operator.utils.warnings import NumericalWarning
from torch import Tensor

from safebo.acquisition.baselines.noisy_expected_improvement import ITERATIONS, RAW_SAMPLES, RESTARTS, SAMPLES
from safebo.acquisition.baselines.scbo import trust_region_candidates
from safebo.acquisition.baselines.trust_region import merits, replayed, total_violation
from safebo.experiments.bench.external_observed import Observed, axis_points
from safebo.experiments.tasks.task import FloatArray, Task


class BotorchProposals(Observed):
    """Every ask fits `SingleTaskGP`s with standardised outputs to all data, inputs in the unit cube.

    `botorch_qlognei` maximises qLogNoisyExpectedImprovement with the constraints by `optimize_acqf`; `botorch_scbo`
    draws once with `ConstrainedMaxPosteriorSampling` among candidates of SCBO's trust region. Fitting needs two data:
    with fewer a point is drawn at random, and SCBO's regions begin with `2 d` such points, seeds among them. On a
    grid a proposal is moved to the nearest point. Samples, restarts and candidates are as many as our own `qlognei`
    and `scbo` have, which differ from these two in the model: theirs is the task's own prior.

    Args:
        task: what is maximised, and the thresholds.
        name: `botorch_qlognei` or `botorch_scbo`.
        seed: of fits, restarts and samples.
    """

    def __init__(self, task: Task, name: str, seed: int) -> None:
        super().__init__(task, name, seed)
        self._low, self._span = task.bounds[0], task.bounds[1] - task.bounds[0]

    def ask(self, trial: int) -> FloatArray:
        """The next input, `d`."""
        rng = np.random.default_rng([self._seed, trial])
        with _seeded(int(rng.integers(2**31))):
            unit = self._scbo(rng) if self._name == "botorch_scbo" else self._qlognei(rng)
        return nearest_on_grid(self._task, self._low + self._span * unit)

    def _data(self) -> tuple[Tensor, Tensor]:
        unit = (self.x - self._low) / self._span
        return torch.tensor(unit), torch.tensor(self.y)

    def _qlognei(self, rng: np.random.Generator) -> FloatArray:
        x, y = self._data()
        if len(x) < 2:
            return rng.random(self._task.dimension)
        task = self._task
        rule = qLogNoisyExpectedImprovement(
            model=_fitted(x, y),
            X_baseline=x.unique(dim=0),
            sampler=SobolQMCNormalSampler(torch.Size([SAMPLES]), seed=int(rng.integers(2**31))),
            objective=GenericMCObjective(_objective),
            constraints=[_shortfall(i, task.thresholds[i]) for i in task.constraints],
            prune_baseline=True,
        )
        found, _ = optimize_acqf(
            rule,
            bounds=torch.tensor([[0.0], [1.0]], dtype=torch.float64).expand(2, task.dimension),
            q=1,
            num_restarts=RESTARTS,
            raw_samples=RAW_SAMPLES,
            options={"maxiter": ITERATIONS, "sample_around_best": True},
        )
        return found[0].clamp(0.0, 1.0).numpy()

    def _scbo(self, rng: np.random.Generator) -> FloatArray:
        x, y = self._data()
        d, lacking = self._task.dimension, torch.tensor(self.shortfalls)
        history = merits(y[:, 0], total_violation(-lacking, torch.zeros(lacking.shape[1])))
        region = replayed(history, d)
        if len(x) < 2 or region.centre is None or region.designing(d):
            return rng.random(d)
        kept = slice(region.first, None)  # as published, a region knows its own trials alone
        rows = x[kept]
        candidates = trust_region_candidates(x[region.centre[0]], region.length, rng)
        sampling = ConstrainedMaxPosteriorSampling(
            model=_fitted(rows, y[kept, :1]).models[0],
            constraint_model=_fitted(rows, lacking[kept]),
            replacement=False,
        )
        with torch.no_grad():
            return sampling(candidates, num_samples=1)[0].numpy()


def nearest_on_grid(task: Task, x: FloatArray) -> FloatArray:
    """The grid's point nearest to an input in units of the grid's own steps; the input itself in a box."""
    if task.lattice is None:
        return x
    axes = [axis_points(task, axis) for axis in range(task.dimension)]
    return np.array([points[np.argmin(np.abs(points - v))] for points, v in zip(axes, x, strict=True)])


def _fitted(x: Tensor, y: Tensor) -> ModelListGP:
    """One `SingleTaskGP` per column, hyperparameters by BoTorch's own priors and fit."""
    models = []
    for column in y.unbind(-1):
        model = SingleTaskGP(x, column.unsqueeze(-1), outcome_transform=Standardize(m=1))
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        models.append(model)
    return ModelListGP(*models)


def _objective(samples: Tensor, X: Tensor | None = None) -> Tensor:
    return samples[..., 0]


def _shortfall(index: int, threshold: float) -> Callable[[Tensor], Tensor]:
    """How far a constraint's samples lie below its threshold."""

    def shortfall(samples: Tensor) -> Tensor:
        return threshold - samples[..., index]

    return shortfall


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """BoTorch's draws seeded, and without its advice about infeasible data and hard fits."""
    with manual_seed(seed), warnings.catch_warnings():
        warnings.simplefilter("ignore", BotorchWarning)
        warnings.simplefilter("ignore", NumericalWarning)
        yield
