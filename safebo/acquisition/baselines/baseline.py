"""What the baselines share: rules that certify nothing and read posteriors rather than confidence bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.acquisition.base import SafeAcquisition
from safebo.safety.safe_set import PointBounds


class Baseline(SafeAcquisition):
    """A rule of constrained optimisation, not of safe one. Guarantee: none about safety.

    Subclasses give `rule`, an acquisition of BoTorch's, or `value` itself.

    Args:
        ctx: what to look at.
    """

    certified_only = False

    rule: Callable[[Tensor], Tensor]

    chunk: ClassVar[int] = 4096
    """How many points of a grid are valued at once."""

    def value(self, X: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """The value to maximise at X."""
        return self.rule(X.unsqueeze(-2))

    def values(self, X: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """The value at X, computed in parts."""
        return torch.cat([self.value(part) for part in X.split(self.chunk)]) if len(X) else X.new_zeros(0)

    def score(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Float[Tensor, " n"]:
        """The value; the bounds are not looked at."""
        return self.values(X)

    def grid_scores(self) -> Float[Tensor, " p"]:
        """The value of the whole pool, without its bounds."""
        return self.values(self.ctx.pool)

    def evaluate(
        self, X: Float[Tensor, "n d"], admission: bool = True
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """The value and a slack of +inf, as nothing is certified; without the bounds, which would cost time."""
        value = self.values(X)
        return value, torch.full_like(value, torch.inf)
