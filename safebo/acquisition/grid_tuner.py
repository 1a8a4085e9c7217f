"""Every method on a finite grid from plain tensors: kernels, noise, grid, thresholds; no study file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from safebo.acquisition.base import AcquisitionContext, Told
from safebo.acquisition.certificate import lipschitz_certificate
from safebo.acquisition.discrimination import MOST_TRIALS, ModelDiscrimination, thinned, worth_a_trial
from safebo.acquisition.grid_betas import GridBetas
from safebo.acquisition.grid_settings import GridSettings
from safebo.acquisition.registry import acquisition_class, method
from safebo.acquisition.ties import first
from safebo.errors import EmptySafeSetError, InputError, MeasurementError
from safebo.models.discrimination import Rivals
from safebo.models.earned_priors import EarnedPriors
from safebo.models.finite_domain import FiniteDomain
from safebo.models.gpytorch_kernels import fixed_kernel
from safebo.models.posterior import Posterior
from safebo.models.student_noise import student_noises
from safebo.models.surrogate import Surrogate
from safebo.models.tensor_arguments import array, per_function
from safebo.models.trust import FunctionTrust
from safebo.safety.certificates import StricterCertificate
from safebo.study import ConfidenceSpec
from safebo.study.noise_checks import needs_gaussian


@dataclass(frozen=True)
class GridChoice:
    """A point of the grid to try, or to use.

    Args:
        index: row of the grid.
        x: that row, `d`, without context.
        score: the method's score there; of the best point the lower bound.
        certified: whether the point is certified.
        lower: lower bound of the objective there.
        upper: upper bound of the objective there.
    """

    index: int
    x: Float[Tensor, " d"]
    score: float
    certified: bool
    lower: float
    upper: float


class GridTuner:
    """Ask and tell on a finite grid, for any registered method.

    Args:
        name: of the method, as in studies (`safeopt`, `itl`, `mm-itl`, ...).
        kernels: gpytorch kernels with fixed hyperparameters, one per function, the objective first; each
            is applied as given to all `d + context_dims` columns.
        noise_variances: of the observations, one per function, used exactly.
        grid: candidates, `n x d`, in any order, without context columns.
        thresholds: one per function. A function is a constraint exactly when its threshold is finite (the
            objective may be one); `-inf` for the others.
        beta: multiplier of the standard deviation, a function of the number of all observations so far, or a
            schedule of `safebo.models.schedules`, for every function its own.
        context_dims: number of context columns, appended to the grid's.
        settings: prior means, seed, device, and what only some methods read.

    Raises:
        InputError: arguments that do not fit each other.
        UnknownNameError: an unknown method.

    Example:
        >>> from gpytorch.kernels import RBFKernel, ScaleKernel
        >>> kernels = [ScaleKernel(RBFKernel()).double() for _ in range(2)]  # objective, constraint
        >>> grid = [[i / 20] for i in range(21)]
        >>> tuner = GridTuner("safe_ucb", kernels, [1e-3, 1e-3], grid, [-float("inf"), 0.0], beta=2.0)
        >>> tuner.tell([0.5], [0.2, 1.0])
        >>> tuner.ask().certified
        True
    """

    def __init__(
        self,
        name: str,
        kernels: Sequence[Any],
        noise_variances: Sequence[float] | Tensor,
        grid: Any,
        thresholds: Sequence[float] | Tensor,
        beta: float | Callable[[int], float] | ConfidenceSpec,
        context_dims: int = 0,
        settings: GridSettings | None = None,
    ) -> None:
        chosen = method(name)
        if chosen.local is None or chosen.exploration is not None:
            raise InputError(
                f"method {name!r} watches trials while they run and needs a study; a grid has none"
            )
        self.acquisition = acquisition_class(chosen.local)
        if isinstance(context_dims, bool) or not isinstance(context_dims, int) or context_dims < 0:
            raise InputError(f"context_dims must be a whole number of at least 0, got {context_dims!r}")
        self.settings = settings = settings or GridSettings()
        self.certificate = chosen.certificate or self.settings.certificate
        self.context_dims, self.seed, self.device = context_dims, settings.seed, torch.device(settings.device)
        self.grid = array(grid, "grid", device=self.device)
        if self.grid.ndim != 2 or 0 in self.grid.shape:
            raise InputError(f"grid must be n x d with at least one row, got {tuple(self.grid.shape)}")
        self.dimension = self.grid.shape[1] + context_dims
        if not isinstance(kernels, (list, tuple)) or not kernels:
            raise InputError("kernels must be a list with one gpytorch kernel per function")
        m = len(kernels)
        noise = per_function(noise_variances, "noise_variances", m)
        if bool((noise < 0).any()):
            raise InputError(f"noise_variances must not be negative, got {noise.tolist()}")
        declared = [0.0] * m if settings.prior_means is None else settings.prior_means
        means = per_function(declared, "prior_means", m).tolist()
        self.thresholds = per_function(thresholds, "thresholds", m, True, self.device)
        if bool((self.thresholds == math.inf).any()):
            raise InputError("thresholds must be finite, or -inf for a function that is no constraint")
        self._constraints = [i for i in range(m) if math.isfinite(self.thresholds[i])]
        self.lipschitz = self._constants("lipschitz", m)
        self.measured_noise = self._constants("measured_noise", m)
        if self.certificate != "bounds" and self.lipschitz is None:
            raise InputError(f"certificate {self.certificate!r} needs lipschitz, one constant per function")
        if self.certificate == "measured" and self.measured_noise is None:
            raise InputError("certificate 'measured' needs measured_noise, one bound per function")
        self._surrogate = Surrogate(
            [
                Posterior.prior(fixed_kernel(kernel, self.dimension), float(mean), float(v), self.dimension)
                for kernel, mean, v in zip(kernels, means, noise, strict=True)
            ]
        ).to(self.device)
        self._betas = GridBetas(beta, chosen.schedule, noise, self.grid)
        self._noises = student_noises(settings.noise_degrees, m)
        spec = self._betas.spec
        if any(self._noises) and (why := needs_gaussian(self.certificate, spec)):
            raise InputError(f"noise_degrees: {why}")
        self._intersect = settings.intersect or (spec is not None and spec.intersect)
        if self._intersect and (why := settings.not_intersected(spec)):
            raise InputError(f"intersect: {why}")
        if any(own is not None and v == 0 for own, v in zip(self._noises, noise, strict=True)):
            raise InputError("noise_degrees needs noise_variances above 0")
        self._robust: tuple[int, Surrogate] = (0, self._surrogate)
        self._earned: EarnedPriors | None = None
        if settings.trust is not None:
            self._earned = EarnedPriors(settings.trust, self._surrogate, self._constraints, self._noises)
        self._evidence_trials = 0
        self._asked_for_evidence: tuple[int, Tensor] | None = None
        self._inputs = self.grid.new_zeros(0, self.dimension)
        self._values = self.grid.new_zeros(0, m)
        self._domain = FiniteDomain(self.grid)
        self.beta  # noqa: B018  (an impossible beta is refused here, not at the first ask)

    @property
    def functions(self) -> int:
        """Number of functions."""
        return self._surrogate.functions

    @property
    def count(self) -> int:
        """Number of observations, in all contexts."""
        return len(self._values)

    @property
    def beta(self) -> float:
        """Confidence multiplier now; the largest of all functions under a schedule."""
        return float(self.betas().max())

    @property
    def trust(self) -> tuple[FunctionTrust, ...]:
        """What is believed of every constraint's prior; empty where priors are taken as given."""
        return () if self._earned is None else self._earned.judged()

    def betas(self, pending: int = 0) -> Float[Tensor, " m"]:
        """Confidence multiplier of every function now, with so many trials pending."""
        return self._betas.now(self._surrogate, self._inputs, pending)

    def _with_noise(self) -> Surrogate:
        """The surrogate in which outliers count with more noise."""
        if not any(self._noises):
            return self._surrogate
        if self._robust[0] != self.count:
            counted = torch.ones(self.count, dtype=torch.bool)
            found = [
                p if noise is None else noise.robust(p, self._values[:, i], counted)
                for i, (p, noise) in enumerate(zip(self._surrogate.posteriors, self._noises, strict=True))
            ]
            self._robust = (self.count, Surrogate(found))
        return self._robust[1]

    def tell(self, x: Any, y: Any) -> None:
        """Add an observation, or several rows.

        Args:
            x: `d + context_dims`, context last, on the grid or not; or `k x (d + context_dims)`.
            y: one value per function, `m`; or `k x m`.

        Raises:
            InputError: shapes that do not fit.
            MeasurementError: a value that is not finite; nothing was then told.
        """
        x_ = array(x, "x", False, self.device)
        y_ = array(y, "y", False, self.device)
        rows = x_.reshape(1, -1) if x_.ndim < 2 else x_
        values = y_.reshape(-1, self.functions) if y_.numel() == len(rows) * self.functions else y_
        if rows.ndim != 2 or rows.shape[1] != self.dimension:
            raise InputError(f"x must have {self.dimension} columns (context last), got {tuple(x_.shape)}")
        if values.shape != (len(rows), self.functions):
            raise InputError(f"y must have {self.functions} values per row of x, got {tuple(y_.shape)}")
        if not bool(torch.isfinite(rows).all() and torch.isfinite(values).all()):
            raise MeasurementError("x and y must be finite")
        if self._asked_for_evidence is not None and self._asked_for_evidence[0] == self.count:
            d = self.grid.shape[1]
            self._evidence_trials += bool((rows[0, :d] == self._asked_for_evidence[1]).all())
        with torch.no_grad():
            for row, value in zip(rows, values, strict=True):
                self._surrogate = self._surrogate.observed(row, value.tolist())
                if self._earned is not None:
                    self._earned.observe(row, value.tolist())
        self._inputs = torch.cat([self._inputs, rows])
        self._values = torch.cat([self._values, values])

    def ask(self, context: Any = None, pending: Any = None) -> GridChoice:
        """The next point; nothing is registered.

        Args:
            context: `context_dims` numbers; None without contexts.
            pending: points being tried now, `p x (d + context_dims)`; they narrow intervals in the rule, invent
                no value and certify nothing.

        Raises:
            EmptySafeSetError: no point of the grid is safe in this context, for a method that certifies.
        """
        return self.decide(self.acquisition_context(context, pending))

    def decide(self, ctx: AcquisitionContext) -> GridChoice:
        """The next point in an acquisition context; errors as `ask`."""
        with torch.no_grad():
            if self.acquisition.certified_only:
                self.certified(ctx)
            scores = self.acquisition(ctx).grid_scores()
            return self._for_evidence(ctx, self._chosen(ctx, scores))

    def _for_evidence(self, ctx: AcquisitionContext, chosen: GridChoice) -> GridChoice:
        """The method's choice, or where that brings no evidence a certified point that does."""
        self._asked_for_evidence = None
        if not (ctx.rivals and self.acquisition.certified_only and self._evidence_trials < MOST_TRIALS):
            return chosen
        safe = torch.nonzero(ctx.certified(ctx.pool_bounds)).squeeze(-1)
        rows = torch.cat([safe.new_tensor([chosen.index]), safe[thinned(len(safe))]])
        value = ModelDiscrimination(ctx).score(self.grid[rows], ctx.pool_bounds)
        if not worth_a_trial(float(value[0]), float(value[1:].max())):
            return chosen
        scores = torch.full_like(self.grid[:, 0], -torch.inf).index_copy(0, rows[1:], value[1:])
        found = self._chosen(ctx, scores)
        self._asked_for_evidence = self.count, found.x
        return found

    def best(self, context: Any = None) -> GridChoice:
        """The safe point whose objective has the largest lower bound.

        Raises:
            EmptySafeSetError: no point of the grid is safe in this context.
        """
        with torch.no_grad():
            ctx = self.acquisition_context(context)
            lower = ctx.pool_bounds.certain.lower[:, 0]
            return self._chosen(ctx, torch.where(self.certified(ctx), lower, -torch.inf))

    def _chosen(self, ctx: AcquisitionContext, scores: Float[Tensor, " n"]) -> GridChoice:
        """The row with the largest score.

        Raises:
            EmptySafeSetError: no row has one.
        """
        if not bool((scores > -torch.inf).any()):
            raise EmptySafeSetError("the method admits no point of the grid")
        index, bounds = first(scores, self.grid, ctx.ties), ctx.pool_bounds
        return GridChoice(
            index,
            self.grid[index].clone(),
            float(scores[index]),
            bool(ctx.certified(bounds)[index]),
            float(bounds.certain.lower[index, 0]),
            float(bounds.certain.upper[index, 0]),
        )

    @torch.no_grad()
    def acquisition_context(self, context: Any = None, pending: Any = None) -> AcquisitionContext:
        """What an acquisition may look at in a context."""
        values = array(() if context is None else context, "context", device=self.device).reshape(-1)
        if len(values) != self.context_dims:
            raise InputError(f"context must have {self.context_dims} values, got {len(values)}")
        surrogate, also = self._with_noise(), None
        rivals: Rivals = ()
        if self._earned is not None:
            surrogate, also = self._earned.composed(surrogate)
            rivals = self._earned.rivals()
        fantasized, waiting = surrogate, self._inputs[:0]
        if pending is not None:
            waiting = array(pending, "pending", device=self.device).reshape(-1, self.dimension)
            fantasized = fantasized if len(waiting) == 0 else fantasized.fantasized(waiting)
        chosen, s = self._constraints, self.settings
        rng = np.random.default_rng([self.seed, self.count])
        low = self.grid.amin(0)
        ctx = AcquisitionContext(
            surrogate=surrogate,
            fantasized=fantasized,
            told=self._told(values, waiting),
            context=values,
            dimension=self.grid.shape[1],
            thresholds=self.thresholds[chosen],
            beta=self.betas(len(waiting)),
            past_betas=self._betas.past(self._surrogate, self.count) if self._intersect else None,
            optimism=s.optimism,
            constraints=tuple(chosen),
            pool=self.grid,
            domain=self._domain,
            rule=s.rule,
            lipschitz=None if self.lipschitz is None else self.lipschitz[chosen],
            epsilon=s.epsilon,
            minimal_width=s.minimal_width,
            strict=s.strict,
            expanding=s.stage_trials is None or self.count < s.stage_trials,
            transductive=s.transductive,
            draw=low + (self.grid.amax(0) - low) * self.grid.new_tensor(rng.random(self.grid.shape[1])),
            seed=(drawn := int(rng.integers(2**31))),
            ties=drawn if s.ties == "seed" else None,
            rivals=rivals,
        )
        if self.certificate != "bounds":
            noise = None if self.measured_noise is None else self.measured_noise[chosen]
            rule = lipschitz_certificate(ctx, ctx.told, noise if self.certificate == "measured" else None)
            ctx = replace(ctx, certificate=rule)
        if also is not None:
            ctx = replace(ctx, certificate=StricterCertificate(ctx.certificate, replace(ctx, surrogate=also)))
        bounds = ctx.pool_bounds
        safe = ctx.certified(bounds)
        if bool(safe.any()):
            object.__setattr__(ctx, "incumbent", float(bounds.certain.lower[safe, 0].max()))
        return ctx

    def _in_context(self, inputs: Float[Tensor, "r D"], context: Float[Tensor, " c"]) -> Bool[Tensor, " r"]:
        return (inputs[:, self.grid.shape[1] :] == context).all(-1)

    def _told(self, context: Float[Tensor, " c"], waiting: Float[Tensor, "p D"]) -> Told:
        d, here = self.grid.shape[1], self._in_context(self._inputs, context)
        return Told(
            self._inputs[here, :d],
            self._values[here],
            waiting[self._in_context(waiting, context), :d],
        )

    def certified(self, ctx: AcquisitionContext) -> Bool[Tensor, " n"]:
        """Certified rows of the grid.

        Raises:
            EmptySafeSetError: when there are none.
        """
        safe = ctx.certified(ctx.pool_bounds)
        if not bool(safe.any()):
            raise EmptySafeSetError(
                f"no point of the grid is safe: after {self.count} observations no lower bound lies above "
                f"the thresholds {ctx.thresholds.tolist()}; tell safe points, or look at kernels, "
                "noise and beta"
            )
        return safe

    def _constants(self, name: str, functions: int) -> Tensor | None:
        values = getattr(self.settings, name)
        if values is None:
            return None
        result = per_function(values, name, functions, device=self.device)
        if bool((result < 0).any()):
            raise InputError(f"{name} must not be negative, got {result.tolist()}")
        return result
