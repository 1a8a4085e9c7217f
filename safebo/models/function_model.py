"""The prior of one function, and the priors that a study declares: structure, periods and hyperparameters."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.models.kernels import CoregionalKernel, DriftingKernel, Kernel, StationaryKernel
from safebo.models.posterior import Posterior
from safebo.study import Study
from safebo.study.prior_kernel import PriorKernel, Terms


@dataclass(frozen=True)
class TaskPrior:
    """How a simulation's function and the robot's belong together before any observation.

    With `f_r` the robot's function, `f_s` the simulation's, both with the same prior mean, and `rho` their
    correlation: `f_r - mean = rho / ratio (f_s - mean) + d`, where the discrepancy d is independent of `f_s`,
    explains the remaining part `1 - rho^2` of the robot's variance and has lengthscales of its own. This is a
    linear model of coregionalisation of rank two (auto-regressive: Kennedy and O'Hagan 2000); with
    `discrepancy_lengthscale` 1 it is the intrinsic one, `k(x, x') B[s, s']`.

    Args:
        correlation: of the two functions at one input, in [0, 1].
        std_ratio: the simulation's prior standard deviation over the robot's.
        discrepancy_lengthscale: the discrepancy's lengthscales over the function's.
    """

    correlation: float
    std_ratio: float = 1.0
    discrepancy_lengthscale: float = 1.0

    def kernel(self, robot: StationaryKernel) -> CoregionalKernel:
        """The joint covariance; task 0 is the robot, whose own covariance is a mixture of two lengthscales."""
        rho, ratio = self.correlation, self.std_ratio
        like = robot.lengthscale
        shared = like.new_tensor([[rho * rho, rho * ratio], [rho * ratio, ratio * ratio]])
        own = like.new_tensor([[1.0 - rho * rho, 0.0], [0.0, 0.0]])
        if self.discrepancy_lengthscale == 1.0:
            parts: tuple[tuple[Kernel, Tensor], ...] = ((robot, shared + own),)
        else:
            discrepancy = replace(robot, lengthscale=like * self.discrepancy_lengthscale)
            parts = ((robot, shared), (discrepancy, own))
        return CoregionalKernel(parts, len(like))


@dataclass(frozen=True)
class FunctionModel:
    """Prior of one function on its warped scale.

    Args:
        name: of the function, for messages.
        kind: kernel family.
        lengthscale: `D` lengthscales in the unit cube.
        mean: constant prior mean.
        variance: prior variance.
        noise_variance: variance of the observation noise.
        period: `D` periods in the unit cube, infinite where there is none; None when there is none at all.
        terms: structure of the kernel over groups of columns; None for one kernel over all columns.
        tasks: relation to a simulation whose observations are rows with a further column 1; None without one.
        memory: seconds after which knowledge is worth 1/e, where observations are rows with the operating time as a
            further column; infinite where they are and the function does not change; None where rows have no time.
        noise_degrees: degrees of freedom of noise with a Student distribution (`safebo.models.student_noise`); None
            where it is Gaussian.
    """

    name: str
    kind: str
    lengthscale: tuple[float, ...]
    mean: float
    variance: float
    noise_variance: float
    period: tuple[float, ...] | None = None
    terms: Terms | None = None
    tasks: TaskPrior | None = None
    memory: float | None = None
    noise_degrees: float | None = None

    def kernel(self, device: torch.device | str = "cpu") -> Kernel:
        """The prior covariance."""
        lengthscale = torch.tensor(self.lengthscale, dtype=torch.float64, device=device)
        return self.kernel_of(lengthscale, self.variance)

    def kernel_of(self, lengthscale: Float[Tensor, " D"], variance: float) -> Kernel:
        """The prior covariance with other hyperparameters, differentiable in the lengthscales."""
        period = None if self.period is None else lengthscale.new_tensor(self.period)
        kernel = StationaryKernel(self.kind, lengthscale, variance, period, self.terms)
        if self.memory is not None:
            return DriftingKernel(kernel, len(self.lengthscale), self.memory)
        return kernel if self.tasks is None else self.tasks.kernel(kernel)

    def prior(self, device: torch.device | str = "cpu") -> Posterior:
        """The posterior of no observations."""
        columns = len(self.lengthscale) + (self.tasks is not None) + (self.memory is not None)
        return Posterior.prior(self.kernel(device), self.mean, self.noise_variance, columns, device)


def function_models(study: Study) -> tuple[FunctionModel, ...]:
    """Priors of the objective and then of every constraint, as the study declares them, without a simulation."""
    prior, time = PriorKernel.of_study(study), study.surrogate.time
    return tuple(
        FunctionModel(
            name=f.name,
            kind=prior.kind,
            lengthscale=prior.lengthscale,
            mean=f.prior_mean,
            variance=f.prior_std**2,
            noise_variance=f.noise_std**2,
            period=prior.period if any(map(math.isfinite, prior.period)) else None,
            terms=prior.terms,
            memory=None if time is None else time.memory_of(f.name),
            noise_degrees=f.noise_degrees,
        )
        for f in (study.objective, *study.constraints)
    )
