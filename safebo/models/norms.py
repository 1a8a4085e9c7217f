"""A declared norm that is told too small is refuted where the measurements show it.

Schedules of a declared norm (`safebo.models.schedules`) promise intervals for functions f with `||f - mean|| <= B` in
the space of their kernel. Whatever f is, its norm is at least that of the smoothest function through what was measured,

    B_low^2 = min alpha' K alpha    subject to    |K alpha + mean - y_i| <= e_i for all i

with noise that is e_i at most, `e_i = R sqrt(2 ln(pi^2 i^2 / (3 delta)))` of the i-th measurement: of sub-Gaussian
noise all of them hold, for ever, with a probability of at least 1 - delta, so that a right B is ever refuted by
`B_low > B` with a probability of at most delta (ours, from the definition and a union bound; no measurement can show
that B is large enough).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from safebo.errors import SafeboError
from safebo.models.kernels import Kernel

NEAR = 0.8
"""Of the declared norm; from here on it is said that it is nearly used up."""

RESERVE = 1.25
"""By which a norm exceeds what the measurements need, where it takes the place of a refuted one."""

MAX_MEASUREMENTS = 500
"""That are weighed: a dense quadratic program of so many variables takes a second."""

_JITTER = 1e-10
"""Added to the kernel matrix, over its variance; it can only make the least norm smaller."""


@dataclass(frozen=True)
class NormCheck:
    """What the measurements of one function say of its declared norm.

    Args:
        least: B_low.
        declared: B.
    """

    least: float
    declared: float

    @property
    def ratio(self) -> float:
        """B_low / B."""
        return self.least / self.declared

    @property
    def refuted(self) -> bool:
        """Whether no function of the declared norm fits."""
        return self.ratio > 1.0

    @property
    def near(self) -> bool:
        """Whether hardly any does."""
        return self.ratio >= NEAR

    @property
    def enough(self) -> float:
        """The declared norm, or one that fits with a reserve."""
        return max(self.declared, RESERVE * self.least) if self.refuted else self.declared


def noise_bounds(bound: float, delta: float, count: int) -> NDArray[np.float64]:
    """Largest noise of every measurement, `n`, all of them with a probability of at least 1 - delta.

    Args:
        bound: R, sub-Gaussian.
        delta: see above.
        count: n.
    """
    i = np.arange(1, count + 1, dtype=np.float64)
    return bound * np.sqrt(2.0 * np.log(math.pi**2 * i**2 / (3.0 * delta)))


def least_norm(
    kernel: Kernel, X: Float[Tensor, "n D"], residual: NDArray[np.float64], reach: NDArray[np.float64]
) -> float:
    """The least norm of a function within `reach` (`n`) of measurements less their prior mean (`n`) at X.

    With `K = L L'` and `f = L z` the norm of f is that of z: a least-distance problem, solved by DAQP (Arnstrom,
    Bemporad and Axehill 2022).

    Raises:
        SafeboError: the solver found no solution.
    """
    import daqp  # only schedules of a declared norm need it

    n = len(residual)
    if n == 0:
        return 0.0
    with torch.no_grad():
        K = kernel(X, X)
        K = K + _JITTER * float(kernel.diagonal(X).max()) * torch.eye(n, dtype=K.dtype)
        factor, failed = torch.linalg.cholesky_ex(K)
    if bool(failed):
        return 0.0  # too ill-conditioned to say anything
    rows = np.ascontiguousarray(factor.numpy())
    z, _, flag, _ = daqp.solve(
        np.eye(n), np.zeros(n), rows, residual + reach, residual - reach, np.zeros(n, dtype=np.int32)
    )
    if flag < 1:
        raise SafeboError(f"the least norm of {n} measurements was not found: the solver ended with {flag}")
    return float(np.linalg.norm(z))


def checked_norm(
    kernel: Kernel,
    X: Float[Tensor, "n D"],
    residual: NDArray[np.float64],
    bound: float,
    delta: float,
    declared: float,
) -> NormCheck:
    """What the first measurements of a function, less their prior mean, say of its declared norm.

    Args:
        kernel: of the function.
        X: inputs.
        residual: measurements less the prior mean, `n`.
        bound: R of the noise.
        delta: probability of refuting a right norm.
        declared: B.
    """
    X, residual = X[:MAX_MEASUREMENTS], residual[:MAX_MEASUREMENTS]
    reach = noise_bounds(bound, delta, len(residual))
    return NormCheck(least_norm(kernel, X, residual, reach), declared)
