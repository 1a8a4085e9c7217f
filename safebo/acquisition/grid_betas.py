"""Beta on a grid: a number, a function of the number of observations, or a schedule for every function its own."""

from __future__ import annotations

import math
from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from safebo.errors import InputError
from safebo.models.schedules import BetaSchedule
from safebo.models.surrogate import Surrogate
from safebo.study import ConfidenceSpec


class GridBetas:
    """Multipliers of standard deviations, now and in the past.

    Args:
        beta: as `GridTuner` takes it.
        schedule: that the method prescribes; None where it leaves the choice.
        noise: variances of the functions, `m`.
        grid: `n x d`.

    Raises:
        InputError: a schedule is needed, or is not one.
    """

    def __init__(
        self,
        beta: float | Callable[[int], float] | ConfidenceSpec,
        schedule: str | None,
        noise: Float[Tensor, " m"],
        grid: Float[Tensor, "n d"],
    ) -> None:
        self._beta, self._grid, self._functions = beta, grid, len(noise)
        self._schedule: BetaSchedule | None = None
        if isinstance(beta, ConfidenceSpec):
            if beta.schedule == "constant" and schedule is None:
                raise InputError("a constant schedule is a number: give beta itself (and settings.intersect)")
            spec = beta if schedule is None else beta.model_copy(update={"schedule": schedule})
            self._schedule = BetaSchedule(spec, 0.0, len(noise), tuple(noise.sqrt().tolist()), len(grid))
        elif schedule is not None:
            raise InputError(f"this method takes beta from the schedule {schedule}: give a ConfidenceSpec")

    @property
    def spec(self) -> ConfidenceSpec | None:
        """What the schedule rests on; None for a number or a function."""
        return None if self._schedule is None else self._schedule.spec

    def now(
        self, surrogate: Surrogate, inputs: Float[Tensor, "r D"], pending: int = 0
    ) -> Float[Tensor, " m"]:
        """Beta of every function after the observations of `inputs`, with so many trials pending.

        Raises:
            InputError: a beta that is none, or points beyond the unit cube of which the schedule knows nothing.
        """
        if self._schedule is None:
            return self._grid.new_full((self._functions,), self._after(len(inputs)))
        self._check_units(inputs)
        trials = len(inputs) + pending
        now = [self._schedule.now(p, i, trials) for i, p in enumerate(surrogate.posteriors)]
        return self._grid.new_tensor(now)

    def past(self, surrogate: Surrogate, count: int) -> list[Tensor]:
        """Beta of every function after 0, 1, ... `count` observations."""
        if self._schedule is None:
            history = self._grid.new_tensor([self._after(n) for n in range(count + 1)])
            return [history] * self._functions
        return [self._schedule.history(p, i) for i, p in enumerate(surrogate.posteriors)]

    def _after(self, count: int) -> float:
        """The number that was given for so many observations."""
        beta = float(self._beta(count) if callable(self._beta) else self._beta)  # type: ignore[arg-type]
        if not (math.isfinite(beta) and beta >= 0):
            raise InputError(f"beta must be finite and at least 0, got {beta} at {count} observations")
        return beta

    def _check_units(self, inputs: Float[Tensor, "r D"]) -> None:
        """Two schedules know the largest information gain of the unit cube alone."""
        if self.spec is None or self.spec.schedule not in ("sui2015", "chowdhury2017"):
            return
        for name, X in (("grid", self._grid), ("told inputs", inputs)):
            if len(X) and (float(X.min()) < 0.0 or float(X.max()) > 1.0):
                raise InputError(
                    f"the schedule {self.spec.schedule} bounds the information gain of the unit cube, and the {name} "
                    f"reach from {float(X.min()):g} to {float(X.max()):g}: scale inputs, contexts and lengthscales to "
                    "[0, 1], or use fiedler2024, posterior or srinivas2010"
                )
