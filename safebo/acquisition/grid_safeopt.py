"""SafeOpt and Safe-UCB on a finite grid, from plain tensors: the published algorithm, exactly."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from safebo.confidence import ConfidenceBounds, Prediction, confidence_bounds
from safebo.errors import EmptySafeSetError, InputError, MeasurementError
from safebo.expander_search import Constrained, HallucinatedSearch, LipschitzSearch
from safebo.gpytorch_kernels import fixed_kernel
from safebo.grid_posterior import GridPosterior
from safebo.posterior import Posterior
from safebo.sets import maximizers, safe_set

Rule = Literal["safeopt", "safe_ucb"]

CACHED_CONTEXTS = 8
CACHED_BYTES = 2**31
"""Contexts whose grids are kept: so many, and so much memory; the present one always."""


@dataclass(frozen=True)
class GridSets:
    """Masks and bounds over the grid in one context.

    Args:
        safe: points whose every constraint's lower bound lies above its threshold, `n`.
        maximizers: safe points that may be the best, `n`.
        expanders: the first true expander, or nothing, `n`.
        lower: lower bounds of all functions, `n x m`.
        upper: upper bounds of all functions, `n x m`.
        expander_tests: how many candidates were tested.
    """

    safe: Bool[Tensor, " n"]
    maximizers: Bool[Tensor, " n"]
    expanders: Bool[Tensor, " n"]
    lower: Float[Tensor, "n m"]
    upper: Float[Tensor, "n m"]
    expander_tests: int = 0


@dataclass(frozen=True)
class GridProposal:
    """What to try next.

    Args:
        index: row of the grid.
        x: that row, `d`, without context.
        width: largest width of a confidence interval there, in prior standard deviations.
        kind: `maximizer` or `expander`; `safe_ucb` under that rule.
    """

    index: int
    x: Float[Tensor, " d"]
    width: float
    kind: Literal["maximizer", "expander", "safe_ucb"]


@dataclass(frozen=True)
class GridBest:
    """What to use: the safe point with the largest lower bound of the objective.

    Args:
        index: row of the grid.
        x: that row, `d`, without context.
        lower: lower bound of the objective there.
        upper: upper bound of the objective there.
    """

    index: int
    x: Float[Tensor, " d"]
    lower: float
    upper: float


class GridSafeOpt:
    r"""SafeOpt on a grid, `argmax over G_n union M_n of max_i w_n(x, i) / s_i`, or Safe-UCB.

    With `l_n, u_n = mean -/+ beta std` of the present posterior (zero prior mean, intervals never
    intersected) and `s_i` the prior standard deviation of function i:

    - safe set `S_n`: `l_n(x, i) > h_i` for every constraint; nothing is safe by declaration;
    - maximizers `M_n`: `x in S_n` with `u_n(x, 0) >= max over S_n of l_n(., 0)`;
    - possible expanders: `x in S_n \ M_n` whose largest scaled width exceeds the largest scaled objective
      width in `M_n` and where some function's standard deviation exceeds `min_width / 2`;
    - `G_n`: by falling width, the first of them at which observing all constraints' upper bounds would lift
      every lower bound of one unsafe point to its threshold or above; with Lipschitz constants, the first
      from which `u_n(x, i) - L_i ||x - x'|| >= h_i` at some unsafe `x'`, for every constraint separately.

    Safe-UCB is `argmax over S_n of u_n(x, 0)`. Ties go to the lowest row of the grid.

    Source: Sui et al. 2015; several constraints and the hallucinated test Berkenkamp et al. 2016 (MLJ 2021);
    contexts Krause and Ong 2011. Guarantee: every proposal satisfies its constraints with the probability
    with which the confidence bounds hold; Lipschitz constants decide about expansion alone.

    Args:
        kernels: gpytorch kernels with fixed hyperparameters, one per function, the objective first; each
            is applied as given to all `d + context_dims` columns.
        noise_variances: of the observations, one per function, used exactly.
        grid: candidates, `n x d`, in any order, without context columns.
        thresholds: one per function. A function is a constraint exactly when its threshold is finite (the
            objective may be one); `-inf` for the others.
        beta: multiplier of the standard deviation, or a function of the number of all observations so far.
        min_width: no expander is sought where every function is known more precisely than this.
        lipschitz: Lipschitz constants in the units of the grid, one per function, for the expander test.
        rule: `safeopt` or `safe_ucb`.
        context_dims: number of context columns, appended to the grid's.

    Raises:
        InputError: arguments that do not fit each other.
    """

    def __init__(
        self,
        kernels: Sequence[Any],
        noise_variances: Sequence[float] | Tensor,
        grid: Any,
        thresholds: Sequence[float] | Tensor,
        beta: float | Callable[[int], float],
        min_width: float = 0.0,
        lipschitz: Sequence[float] | Tensor | None = None,
        rule: Rule = "safeopt",
        context_dims: int = 0,
    ) -> None:
        if rule not in ("safeopt", "safe_ucb"):
            raise InputError(f"rule must be 'safeopt' or 'safe_ucb', got {rule!r}")
        if isinstance(context_dims, bool) or not isinstance(context_dims, int) or context_dims < 0:
            raise InputError(f"context_dims must be a whole number of at least 0, got {context_dims!r}")
        self.rule, self.context_dims, self._beta = rule, context_dims, beta
        self.grid = _array(grid, "grid")
        if self.grid.ndim != 2 or 0 in self.grid.shape:
            raise InputError(f"grid must be n x d with at least one row, got {tuple(self.grid.shape)}")
        self.dimension = self.grid.shape[1] + context_dims
        if not isinstance(kernels, (list, tuple)) or not kernels:
            raise InputError("kernels must be a list with one gpytorch kernel per function")
        m = len(kernels)
        noise = _per_function(noise_variances, "noise_variances", m)
        if bool((noise < 0).any()):
            raise InputError(f"noise_variances must not be negative, got {noise.tolist()}")
        self.thresholds = _per_function(thresholds, "thresholds", m, infinite=True)
        if bool((self.thresholds == math.inf).any()):
            raise InputError("thresholds must be finite, or -inf for a function that is no constraint")
        self.min_width = float(min_width)
        if not self.min_width >= 0:
            raise InputError(f"min_width must be at least 0, got {min_width!r}")
        self.lipschitz = None if lipschitz is None else _per_function(lipschitz, "lipschitz", m)
        if self.lipschitz is not None and bool((self.lipschitz < 0).any()):
            raise InputError(f"lipschitz must not be negative, got {self.lipschitz.tolist()}")
        self._posteriors = [
            Posterior.prior(fixed_kernel(kernel, self.dimension), 0.0, float(v), self.dimension)
            for kernel, v in zip(kernels, noise, strict=True)
        ]
        self._values = torch.zeros(0, m, dtype=torch.float64)
        self._caches: OrderedDict[tuple[float, ...], list[GridPosterior]] = OrderedDict()
        self._constraints = [i for i in range(m) if math.isfinite(self.thresholds[i])]
        self.beta  # noqa: B018  (an impossible beta is refused here, not at the first ask)

    @property
    def functions(self) -> int:
        """Number of functions."""
        return len(self._posteriors)

    @property
    def count(self) -> int:
        """Number of observations, in all contexts."""
        return len(self._values)

    @property
    def beta(self) -> float:
        """Confidence multiplier now."""
        beta = float(self._beta(self.count) if callable(self._beta) else self._beta)
        if not (math.isfinite(beta) and beta >= 0):
            raise InputError(f"beta must be finite and at least 0, got {beta} at {self.count} observations")
        return beta

    def tell(self, x: Any, y: Any) -> None:
        """Add an observation, or several rows.

        Args:
            x: `d + context_dims`, context last, on the grid or not; or `k x (d + context_dims)`.
            y: one value per function, `m`; or `k x m`.

        Raises:
            InputError: shapes that do not fit.
            MeasurementError: a value that is not finite; nothing was then told.
        """
        x_ = _array(x, "x", finite=False)
        y_ = _array(y, "y", finite=False)
        rows = x_.reshape(1, -1) if x_.ndim < 2 else x_
        values = y_.reshape(-1, self.functions) if y_.numel() == len(rows) * self.functions else y_
        if rows.ndim != 2 or rows.shape[1] != self.dimension:
            raise InputError(f"x must have {self.dimension} columns (context last), got {tuple(x_.shape)}")
        if values.shape != (len(rows), self.functions):
            raise InputError(f"y must have {self.functions} values per row of x, got {tuple(y_.shape)}")
        if not bool(torch.isfinite(rows).all() and torch.isfinite(values).all()):
            raise MeasurementError("x and y must be finite")
        with torch.no_grad():
            for row, value in zip(rows, values, strict=True):
                self._posteriors = [
                    p.extended(row, float(v)) for p, v in zip(self._posteriors, value, strict=True)
                ]
        self._values = torch.cat([self._values, values])

    def ask(self, context: Any = None) -> GridProposal:
        """The next point; nothing is registered.

        Args:
            context: `context_dims` numbers; None without contexts.

        Raises:
            EmptySafeSetError: no point of the grid is safe in this context.
        """
        with torch.no_grad():
            grids = self._grids(context)
            bounds = self._bounds(grids)
            safe = self._safe(bounds)
            width = self._scaled_width(bounds, grids)
            kind: Literal["maximizer", "expander", "safe_ucb"] = "safe_ucb"
            if self.rule == "safe_ucb":
                index = self._first_largest(bounds.upper[:, 0], safe)
            else:
                best, expander, _ = self._interesting(grids, bounds, safe, width)
                wanted = best if expander is None else best.clone().index_fill_(0, torch.tensor(expander), 1)
                index = self._first_largest(width, wanted)
                kind = "maximizer" if bool(best[index]) else "expander"
        return GridProposal(index, self.grid[index].clone(), float(width[index]), kind)

    def sets(self, context: Any = None) -> GridSets:
        """Safe set, maximizers, expanders and bounds in a context; the same for both rules.

        Raises:
            EmptySafeSetError: no point of the grid is safe in this context.
        """
        with torch.no_grad():
            grids = self._grids(context)
            bounds = self._bounds(grids)
            safe = self._safe(bounds)
            best, expander, tests = self._interesting(grids, bounds, safe, self._scaled_width(bounds, grids))
        expanders = torch.zeros_like(safe)
        if expander is not None:
            expanders[expander] = True
        return GridSets(safe, best, expanders, bounds.lower, bounds.upper, tests)

    def best(self, context: Any = None) -> GridBest:
        """The safe point whose objective has the largest lower bound.

        Raises:
            EmptySafeSetError: no point of the grid is safe in this context.
        """
        with torch.no_grad():
            bounds = self._bounds(self._grids(context))
            index = self._first_largest(bounds.lower[:, 0], self._safe(bounds))
        return GridBest(
            index, self.grid[index].clone(), float(bounds.lower[index, 0]), float(bounds.upper[index, 0])
        )

    def _grids(self, context: Any) -> list[GridPosterior]:
        """The cached grid of every function in a context, up to date."""
        values = _array(() if context is None else context, "context").reshape(-1)
        if len(values) != self.context_dims:
            raise InputError(f"context must have {self.context_dims} values, got {len(values)}")
        key = tuple(values.tolist())
        if key not in self._caches:
            points = torch.cat([self.grid, values.expand(len(self.grid), -1)], 1)
            self._caches[key] = [GridPosterior(points) for _ in self._posteriors]
        self._caches.move_to_end(key)
        while len(self._caches) > 1 and (
            len(self._caches) > CACHED_CONTEXTS
            or sum(g.nbytes for grids in self._caches.values() for g in grids) > CACHED_BYTES
        ):
            self._caches.popitem(last=False)
        grids = self._caches[key]
        for grid, posterior, y in zip(grids, self._posteriors, self._values.T, strict=True):
            grid.update(posterior, y)
        return grids

    def _bounds(self, grids: Sequence[GridPosterior]) -> ConfidenceBounds:
        mean = torch.stack([g.mean for g in grids], -1)
        std = torch.stack([g.variance for g in grids], -1).sqrt_()
        return confidence_bounds(Prediction(mean, std), self.beta)

    def _safe(self, bounds: ConfidenceBounds) -> Bool[Tensor, " n"]:
        chosen = self._constraints
        safe = safe_set(bounds.lower[:, chosen], self.thresholds[chosen], strict=True)
        if not bool(safe.any()):
            raise EmptySafeSetError(
                f"no point of the grid is safe: after {self.count} observations no lower bound lies above "
                f"the thresholds {self.thresholds[chosen].tolist()}; tell safe points, or look at kernels, "
                "noise and beta"
            )
        return safe

    def _scaled_width(
        self, bounds: ConfidenceBounds, grids: Sequence[GridPosterior], objective: bool = False
    ) -> Float[Tensor, " n"]:
        """Largest width over the functions, or the objective's, in prior standard deviations."""
        result = torch.zeros(len(self.grid), dtype=torch.float64)
        for i, g in enumerate(grids[:1] if objective else grids):
            width = bounds.upper[:, i] - bounds.lower[:, i]
            torch.maximum(result, width / g.prior_variance.clamp_min(1e-300).sqrt(), out=result)
        return result

    def _interesting(
        self,
        grids: Sequence[GridPosterior],
        bounds: ConfidenceBounds,
        safe: Bool[Tensor, " n"],
        width: Float[Tensor, " n"],
    ) -> tuple[Bool[Tensor, " n"], int | None, int]:
        """Maximizers, the first true expander and the number of tests."""
        best = maximizers(bounds.lower[:, 0], bounds.upper[:, 0], safe)
        widest = self._scaled_width(bounds, grids, objective=True)[best].max()
        possible = torch.nonzero(safe & ~best & (width > widest)).squeeze(-1)
        if len(possible) == 0 or not self._constraints:
            return best, None, 0
        std = torch.stack([g.variance_at(possible) for g in grids], -1).sqrt()
        possible = possible[(std > 0.5 * self.min_width).any(-1)]
        order = possible[torch.argsort(width[possible], descending=True, stable=True)]
        chosen = self._constraints
        lower, upper = bounds.lower[:, chosen], bounds.upper[:, chosen]
        search: HallucinatedSearch | LipschitzSearch
        if self.lipschitz is None:
            constraints = [
                Constrained(self._posteriors[i], grids[i], float(self.thresholds[i])) for i in chosen
            ]
            search = HallucinatedSearch(constraints, safe, lower, upper, self.beta)
        else:
            search = LipschitzSearch(self.grid, safe, upper, self.thresholds[chosen], self.lipschitz[chosen])
        position = search.first(order)
        return best, None if position is None else int(order[position]), search.tests

    def _first_largest(self, score: Float[Tensor, " n"], admitted: Bool[Tensor, " n"]) -> int:
        """Lowest admitted row with the largest score; equal rows of the grid are never told apart."""
        score = torch.where(admitted, score, -torch.inf)
        index = int((score == score.max()).int().argmax())
        # Matrix products may treat the last columns differently, by round-off.
        near = torch.nonzero(score >= score[index] - 1e-9 * abs(float(score[index]))).squeeze(-1)
        return int(near[(self.grid[near] == self.grid[index]).all(-1)][0])


def _array(values: Any, name: str, finite: bool = True) -> Float[Tensor, "..."]:
    """Numbers as float64, detached from whoever gave them."""
    try:
        result = torch.as_tensor(values, dtype=torch.float64).detach().cpu().clone()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} must be numbers: {error}") from error
    if finite and not bool(torch.isfinite(result).all()):
        raise InputError(f"{name} must be finite")
    return result


def _per_function(values: Any, name: str, functions: int, infinite: bool = False) -> Float[Tensor, " m"]:
    result = _array(values, name, finite=not infinite)
    if result.shape != (functions,) or bool(result.isnan().any()):
        raise InputError(f"{name} must have one number for each of {functions} functions, got {values!r}")
    return result
