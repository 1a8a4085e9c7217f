"""The boundary conditions by name: how far every stored backup state reaches.

All come down to one question, answered at control rate by `safebo.boundary.monitor`: the present state is covered by
stored state j when their scaled distance is at most `radius_j`. A rule turns what is known of the backups into
radii, and says which backup takes over when no state covers.

| name | carries a guarantee |
|---|---|
| `lipschitz` | yes, when its two constants are true bounds |
| `gaussian_tail` | no, a heuristic |
| `kernel_covariance` | no, a heuristic |
| `cost_to_go` | no, a heuristic |

Numpy alone: a robot receives a monitor as an object and must start without torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from safebo.boundary.kernels import radial_kernel

FloatArray = NDArray[np.float64]
Choice = Literal["largest bound", "closest", "closest interior"]

NOWHERE = -1.0
"""The radius of a state that covers nothing."""


@dataclass(frozen=True)
class TriggerRule:
    """A boundary condition in the numbers that the study declares.

    Lower bounds and gains are on the warped scale of the constraints, above their thresholds; distances are
    between scaled states.
    """

    name: ClassVar[str]
    guarantee: ClassVar[bool] = False
    """Whether the rule protects when its constants are true bounds."""
    choice: ClassVar[Choice]
    """Who takes over: the backup with the largest `radius - distance`, or with the closest state."""
    needs_gain: ClassVar[bool] = False
    """Whether backups must say how the margin still to come grows along their path."""

    def radii(self, lower: FloatArray, gain: FloatArray, width: int) -> FloatArray:
        """Distance up to which every stored state covers, `m`; negative: not at all.

        Args:
            lower: lower bound of the smallest margin of the state's gains, `m`.
            gain: what that margin has gained when only the path from this state on counts, `m`, at least 0.
            width: number of state coordinates, `k`.
        """
        raise NotImplementedError

    def interior(self, lower: FloatArray) -> NDArray[np.bool_]:
        """Which stored states count as interior, `m`."""
        return np.ones(len(lower), dtype=np.bool_)


@dataclass(frozen=True)
class LipschitzRule(TriggerRule):
    """Covered when `min_i l_i(theta_j) - L (||s - s_j|| + Xi) >= 0` for some stored (theta_j, s_j).

    Source: Algorithm 3 of Widmer et al. 2023, in the bracketed form that protects the time between samples;
    the backup is that of their equation 22, the largest `min_i l_i(theta_j) - L ||s - s_j||`.

    Guarantee: it protects the trial with the probability with which the lower bounds hold, when L and Xi are
    true bounds.

    Args:
        lipschitz: L, change of the margin per unit of scaled distance between the states a backup starts from.
        inter_sample: Xi, how far the scaled state moves in one control period.
    """

    lipschitz: float = 1.0
    inter_sample: float = 0.0

    name = "lipschitz"
    guarantee = True
    choice = "largest bound"

    def radii(self, lower: FloatArray, gain: FloatArray, width: int) -> FloatArray:
        """`min_i l_i / L - Xi`."""
        return lower / self.lipschitz - self.inter_sample


@dataclass(frozen=True)
class _TwoBands(TriggerRule):
    """Interior backups, with a lower bound well inside, reach further than marginal ones.

    Args:
        interior_lower_bound: lower bound from which a backup is interior.
        marginal_lower_bound: lower bound from which it is marginal; under it, it covers nothing.
    """

    interior_lower_bound: float = 0.5
    marginal_lower_bound: float = 0.0

    def reach(self, width: int) -> tuple[float, float]:
        """Radii of interior and of marginal backups."""
        raise NotImplementedError

    def radii(self, lower: FloatArray, gain: FloatArray, width: int) -> FloatArray:
        """One radius for interior and one for marginal backups."""
        interior, marginal = self.reach(width)
        band = np.where(lower >= self.marginal_lower_bound, marginal, NOWHERE)
        return np.where(self.interior(lower), interior, band)

    def interior(self, lower: FloatArray) -> NDArray[np.bool_]:
        """Those whose lower bound is at least `interior_lower_bound`."""
        return np.asarray(lower >= self.interior_lower_bound)


@dataclass(frozen=True)
class GaussianTailRule(_TwoBands):
    """Covered when `P(|x| >= ||s - s_j||) > tau`, `x ~ N(0, sigma^2)`, for some interior or marginal backup.

    Source: Appendix F.1 of Widmer et al. 2023; the closest backup takes over. Guarantee: none, a heuristic.

    Args:
        sigma: of the Gaussian, in units of scaled distance.
        tau_interior: the probability that an interior backup's distance must exceed.
        tau_marginal: the same for a marginal one; at least `tau_interior`.
    """

    sigma: float = 2.0
    tau_interior: float = 0.2
    tau_marginal: float = 0.6

    name = "gaussian_tail"
    choice = "closest"

    def reach(self, width: int) -> tuple[float, float]:
        """Largest distances whose tail still exceeds tau."""
        # The condition is strict; the largest float below the border is the last distance that meets it.
        interior = np.nextafter(self.sigma * ndtri(1.0 - 0.5 * self.tau_interior), -np.inf)
        marginal = np.nextafter(self.sigma * ndtri(1.0 - 0.5 * self.tau_marginal), -np.inf)
        return float(interior), float(marginal)


@dataclass(frozen=True)
class KernelCovarianceRule(_TwoBands):
    r"""Covered when `sum_d ((s_d - s_jd) / rho_d)^2 <= 1`, `rho_d = lengthscale_d r / sqrt(k)`, `kappa(r) = c`.

    kappa is the correlation of the state kernel as a function of the distance in lengthscales, and c is
    `correlation_interior` for interior backups and the larger `correlation_marginal` for marginal ones. A
    lengthscale is `state_lengthscale` times the coordinate's scale.

    Source: the practical variant of Sukhija et al. 2023 as its authors published it: one radius per coordinate
    by solving for the correlation, over the root of the number of coordinates; the closest interior backup takes
    over (the closest of all where none is interior). Guarantee: none, a heuristic. Since every radius is divided
    by that root, a state that is covered correlates by at least c, and in many dimensions by far more.

    Args:
        state_kernel: family of the state kernel.
        state_lengthscale: in units of scaled distance.
        correlation_interior: least correlation with an interior backup (0.88 there).
        correlation_marginal: least correlation with a marginal one (0.95 there).
    """

    state_kernel: str = "matern32"
    state_lengthscale: float = 1.0
    correlation_interior: float = 0.88
    correlation_marginal: float = 0.95

    name = "kernel_covariance"
    choice = "closest interior"

    def reach(self, width: int) -> tuple[float, float]:
        """Distances at which the kernel has fallen to the two correlations, over the root of `k`."""
        unit = self.state_lengthscale / math.sqrt(width)
        return (
            unit * correlation_distance(self.state_kernel, self.correlation_interior),
            unit * correlation_distance(self.state_kernel, self.correlation_marginal),
        )


@dataclass(frozen=True)
class CostToGoRule(TriggerRule):
    """Covered while some backup's pessimistic margin-to-go keeps the budget:
    `max_j l(theta_j) + g_j - lambda (||s - s_j|| + Xi) >= 0`.

    `l(theta_j)` is the lower bound of the smallest margin of backup j's gains over a whole trial, and `g_j >= 0`
    what its recorded trajectory says beyond that: the smallest margin measured from s_j on, minus the smallest of
    the whole trial. A robot that has left its worst moment behind has more margin to go. The switch is to the
    backup with the largest value. The constraint is a minimum over time, so what was spent so far does not enter:
    a margin that was kept leaves the whole budget, one that was broken cannot be bought back.

    Source: our analogue of the switch of SOOPER (Wendl, As et al. 2026), which stops when cost so far plus
    pessimistic cost-to-go under the prior policy reaches the budget; the distance to what was recorded stands in
    for its model's uncertainty. Guarantee: none. SOOPER's does not carry over: gains are measured once, with
    noise, and until the end of a finite trial only, so late states promise much; and lambda is a chosen
    pessimism, not the uncertainty of a calibrated model.

    Args:
        pessimism: lambda, margin taken away per unit of scaled distance to the recorded state.
        inter_sample: Xi, how far the scaled state moves in one control period.
    """

    pessimism: float = 1.0
    inter_sample: float = 0.0

    name = "cost_to_go"
    choice = "largest bound"
    needs_gain = True

    def radii(self, lower: FloatArray, gain: FloatArray, width: int) -> FloatArray:
        """`(l + g) / lambda - Xi`."""
        return (lower + gain) / self.pessimism - self.inter_sample


def correlation_distance(kernel: str, correlation: float) -> float:
    """The distance in lengthscales at which a kernel's correlation has fallen to a value in (0, 1).

    Bisection to the last bit, rounded to the side on which the correlation is still at least that value.
    """
    rho = radial_kernel(kernel).correlation
    low, high = 0.0, 1.0
    while rho(high, math) >= correlation:
        low, high = high, 2.0 * high
    while True:
        middle = 0.5 * (low + high)
        if not low < middle < high:
            return low
        low, high = (middle, high) if rho(middle, math) >= correlation else (low, middle)
