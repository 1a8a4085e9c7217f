"""SafeOpt and Safe-UCB on a finite grid, from plain tensors: the published algorithm, exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from safebo.acquisition.grid_settings import GridSettings
from safebo.acquisition.grid_tuner import GridChoice, GridTuner
from safebo.acquisition.safeopt import SafeOpt
from safebo.errors import InputError

Rule = Literal["safeopt", "safe_ucb"]


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
class GridProposal(GridChoice):
    """What to try next.

    Args:
        width: largest width of a confidence interval there, in prior standard deviations.
        kind: `maximizer` or `expander`; `safe_ucb` under that rule.
    """

    width: float
    kind: Literal["maximizer", "expander", "safe_ucb"]


class GridSafeOpt(GridTuner):
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

    A `GridTuner` in the terms of the publication; that one has every other method.

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

    Example:
        >>> from gpytorch.kernels import RBFKernel, ScaleKernel
        >>> kernels = [ScaleKernel(RBFKernel()).double() for _ in range(2)]  # objective, constraint
        >>> grid = [[i / 20] for i in range(21)]
        >>> safeopt = GridSafeOpt(kernels, [1e-3, 1e-3], grid, [-float("inf"), 0.0], beta=2.0)
        >>> safeopt.tell([0.5], [0.2, 1.0])
        >>> safeopt.ask().kind in ("maximizer", "expander")
        True
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
        if not (math.isfinite(min_width) and min_width >= 0):
            raise InputError(f"min_width must be at least 0, got {min_width!r}")
        settings = GridSettings(
            lipschitz=lipschitz, minimal_width=float(min_width), strict=True, ties="lowest"
        )
        self.rule = rule
        super().__init__(rule, kernels, noise_variances, grid, thresholds, beta, context_dims, settings)

    def ask(self, context: Any = None, pending: Any = None) -> GridProposal:
        """The next point; arguments and errors as `GridTuner.ask`."""
        ctx = self.acquisition_context(context, pending)
        choice = self.decide(ctx)
        with torch.no_grad():
            bounds = ctx.pool_bounds
            row = choice.index
            scale = ctx.prior_scale(ctx.pool[row : row + 1])
            width = float((bounds.certain.width[row] / scale).max())
            kind: Literal["maximizer", "expander", "safe_ucb"] = "safe_ucb"
            if self.rule == "safeopt":
                reaches = float(bounds.certain.upper[row, 0]) >= ctx.incumbent
                kind = "maximizer" if reaches else "expander"
        return GridProposal(**vars(choice), width=width, kind=kind)

    def sets(self, context: Any = None) -> GridSets:
        """Safe set, maximizers, expanders and bounds in a context; the same for both rules.

        Raises:
            EmptySafeSetError: no point of the grid is safe in this context.
        """
        with torch.no_grad():
            ctx = self.acquisition_context(context)
            self.certified(ctx)
            acquisition = SafeOpt(ctx)
            safe, best, expander = acquisition.grid_sets()
            bounds = ctx.pool_bounds.certain
        expanders = torch.zeros_like(safe)
        if expander is not None:
            expanders[expander] = True
        return GridSets(safe, best, expanders, bounds.lower, bounds.upper, acquisition.tests)
