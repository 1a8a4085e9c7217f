"""Covariances with fixed hyperparameters, fast and differentiable: two calls, `kernel(a, b)` and `diagonal(a)`.

`StationaryKernel` holds every structure of a study file as a sum of products of one radial kernel over groups of
columns. Periodic columns are points on a circle; `CoregionalKernel` makes several related functions one.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from itertools import chain
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.boundary.kernels import radial_kernel
from safebo.study.prior_kernel import Columns, Terms


class Kernel(Protocol):
    """A prior covariance."""

    def __call__(self, a: Float[Tensor, "*b n D"], b: Float[Tensor, "*b m D"]) -> Float[Tensor, "*b n m"]:
        """Covariance of the rows of `a` and `b`."""

    def diagonal(self, a: Float[Tensor, "*b n D"]) -> Float[Tensor, "*b n"]:
        """Prior variance at the rows of `a`."""

    def to(self, device: torch.device | str) -> Kernel:
        """The same kernel on another device."""


@dataclass(frozen=True)
class StationaryKernel:
    """`variance * mean over terms of products over groups g of rho(||(x_g - x'_g) / lengthscale_g||)`.

    Without `terms` it is one radial kernel over all columns. Its prior variance is `variance` whatever the terms.

    A column with period P enters as the point `P / (2 pi) (cos(2 pi x / P), sin(2 pi x / P))` of a circle, so that
    near points are as far apart as on the line and the farthest ones `P / pi`: a radial kernel of these chords is
    positive definite (MacKay 1998), which one of the distance along the circle is not.

    Args:
        kind: name of the radial kernel, see `safebo.boundary.kernels`.
        lengthscale: `D`, in the unit cube.
        variance: the prior variance.
        period: `D`, in the unit cube, infinite for columns that are not periodic; None when none is.
        terms: groups of columns of every product of the sum; None for one group of all columns.

    Raises:
        UnknownNameError: there is no kernel of that name.
    """

    kind: str
    lengthscale: Float[Tensor, " D"]
    variance: float = 1.0
    period: Float[Tensor, " D"] | None = None
    terms: Terms | None = None

    def __post_init__(self) -> None:
        radial_kernel(self.kind)

    def correlation(self, a: Float[Tensor, "*b n D"], b: Float[Tensor, "*b m D"]) -> Float[Tensor, "*b n m"]:
        """The kernel over its variance."""
        if self.terms is None:
            return self._radial(a, b, None)
        known = {columns: self._radial(a, b, columns) for columns in dict.fromkeys(chain(*self.terms))}
        products = [reduce(torch.mul, [known[columns] for columns in groups]) for groups in self.terms]
        return reduce(torch.add, products) / len(self.terms)

    def _radial(self, a: Tensor, b: Tensor, columns: Columns | None) -> Tensor:
        # Distances from differences, not from the expanded square: exact for coincident points, and autograd
        # gives a zero gradient there.
        r = torch.cdist(
            self._coordinates(a, columns),
            self._coordinates(b, columns),
            compute_mode="donot_use_mm_for_euclid_dist",
        )
        return radial_kernel(self.kind).correlation(r, torch)

    def _coordinates(self, x: Tensor, columns: Columns | None) -> Tensor:
        """Columns in lengthscales, periodic ones as two coordinates on a circle."""
        lengthscale, period = self.lengthscale, self.period
        if columns is not None:
            chosen = list(columns)
            x, lengthscale = x[..., chosen], lengthscale[chosen]
            period = None if period is None else period[chosen]
        if period is None:
            return x / lengthscale
        circular = torch.isfinite(period)
        angle = 2.0 * math.pi * x[..., circular] / period[circular]
        radius = period[circular] / (2.0 * math.pi * lengthscale[circular])
        straight = x[..., ~circular] / lengthscale[~circular]
        return torch.cat([straight, radius * angle.cos(), radius * angle.sin()], -1)

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Covariance of the rows of `a` (`n x D`) and `b` (`m x D`), `n x m`."""
        return self.variance * self.correlation(a, b)

    def diagonal(self, a: Float[Tensor, "*b n D"]) -> Float[Tensor, "*b n"]:
        """Prior variance at the rows of `a`."""
        return a.new_ones(a.shape[:-1]) * self.variance

    def same_correlation(self, other: StationaryKernel) -> bool:
        """Whether the other kernel is this one but for its variance."""
        if (self.kind, self.terms, self.period is None) != (other.kind, other.terms, other.period is None):
            return False
        same_period = self.period is None or other.period is None or torch.equal(self.period, other.period)
        return same_period and torch.equal(self.lengthscale, other.lengthscale)

    def to(self, device: torch.device | str) -> StationaryKernel:
        """The same kernel on another device."""
        period = None if self.period is None else self.period.to(device)
        return replace(self, lengthscale=self.lengthscale.to(device), period=period)


@dataclass(frozen=True)
class GenericKernel:
    """Any gpytorch kernel (sums, products, additive ones) behind the same two calls."""

    kernel: Callable[..., object]

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Covariance of the rows of `a` and `b`."""
        return self.kernel(a, b).to_dense()  # type: ignore[attr-defined]

    def diagonal(self, a: Tensor) -> Tensor:
        """Prior variance at the rows of `a`."""
        return self.kernel(a, diag=True)  # type: ignore[return-value]

    def to(self, device: torch.device | str) -> GenericKernel:
        """A copy on another device."""
        return GenericKernel(copy.deepcopy(self.kernel).to(device))  # type: ignore[attr-defined]


@dataclass(frozen=True)
class AverageKernel:
    """The mean of several kernels: the prior covariance of a mixture with one mean."""

    kernels: tuple[Kernel, ...]

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Covariance of the rows of `a` and `b`."""
        return torch.stack([k(a, b) for k in self.kernels]).mean(0)

    def diagonal(self, a: Tensor) -> Tensor:
        """Prior variance at the rows of `a`."""
        return torch.stack([k.diagonal(a) for k in self.kernels]).mean(0)

    def to(self, device: torch.device | str) -> AverageKernel:
        """The same kernels on another device."""
        return AverageKernel(tuple(k.to(device) for k in self.kernels))


@dataclass(frozen=True)
class CoregionalKernel:
    """The linear model of coregionalisation: `k((x, s), (x', s')) = sum over q of k_q(x, x') B_q[s, s']`.

    Several related functions (tasks) as one over inputs with a further last column, the task's number. Rows
    without that column are of task 0, so that whoever asks about task 0 need not know of the others.
    Source: Journel and Huijbregts 1978; Alvarez, Rosasco and Lawrence 2012, section 4.2.

    Args:
        parts: kernels over `dimension` columns with their coregionalisation matrices, `t x t`, symmetric and
            positive semidefinite.
        dimension: columns without the task's.
    """

    parts: tuple[tuple[Kernel, Float[Tensor, "t t"]], ...]
    dimension: int

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Covariance of the rows of `a` and `b`, each with or without the task's column."""
        (x, s), (z, t) = self._split(a), self._split(b)
        pairs = s.unsqueeze(-1), t.unsqueeze(-2)
        return reduce(torch.add, [kernel(x, z) * weights[pairs] for kernel, weights in self.parts])

    def diagonal(self, a: Tensor) -> Tensor:
        """Prior variance at the rows of `a`."""
        x, s = self._split(a)
        return torch.stack([kernel.diagonal(x) * weights[s, s] for kernel, weights in self.parts]).sum(0)

    def _split(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs, and the numbers of their tasks."""
        if a.shape[-1] == self.dimension:
            return a, torch.zeros(a.shape[:-1], dtype=torch.long, device=a.device)
        return a[..., : self.dimension], a[..., self.dimension].detach().round().long()

    def to(self, device: torch.device | str) -> CoregionalKernel:
        """The same kernel on another device."""
        return CoregionalKernel(tuple((k.to(device), w.to(device)) for k, w in self.parts), self.dimension)


@dataclass(frozen=True)
class DriftingKernel:
    """A function that changes with time: `k((x, t), (x', t')) = k(x, x') exp(-|t - t'| / memory)`.

    Inputs have a further last column, the time; rows without it are asked about now. Source: Bogunovic, Scarlett and
    Cevher 2016, with continuous time.

    Args:
        kernel: over `dimension` columns.
        dimension: columns without the time.
        memory: time after which knowledge is worth 1/e.
        now: the time at which rows without one are asked about.
    """

    kernel: Kernel
    dimension: int
    memory: float
    now: float = 0.0

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Covariance of the rows of `a` and `b`, each with or without the time."""
        (x, s), (z, t) = self._split(a), self._split(b)
        apart = (s.unsqueeze(-1) - t.unsqueeze(-2)).abs()
        return self.kernel(x, z) * torch.exp(-apart / self.memory)

    def diagonal(self, a: Tensor) -> Tensor:
        """Prior variance at the rows of `a`."""
        return self.kernel.diagonal(self._split(a)[0])

    def _split(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and times."""
        if a.shape[-1] == self.dimension:
            return a, a.new_full(a.shape[:-1], self.now)
        return a[..., : self.dimension], a[..., self.dimension]

    def to(self, device: torch.device | str) -> DriftingKernel:
        """The same kernel on another device."""
        return replace(self, kernel=self.kernel.to(device))
