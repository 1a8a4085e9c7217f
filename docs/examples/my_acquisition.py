"""A new acquisition function with its row in the leaderboard: copy this file, change `score`, and run

    safebo bench run synthetic-core --methods safe,docs/examples/my_acquisition.py --out runs/mine
    safebo bench report runs/mine

A file registers one acquisition and puts one method on the list, both by names that are not taken.
"""

from jaxtyping import Float
from torch import Tensor

from safebo.acquisition.base import PointBounds, SafeAcquisition
from safebo.acquisition.registry import register
from safebo.study.methods import Method, register_method


@register("bold_and_wide")
class BoldAndWide(SafeAcquisition):
    """Among certified inputs: the objective's upper bound plus the width of its interval."""

    def score(self, X: Float[Tensor, "n d"], bounds: PointBounds) -> Float[Tensor, " n"]:
        """The larger, the sooner an input is tried; certification is not this function's business.

        X has inputs in the unit cube, `n x d`; `bounds` the bounds there: `bounds.fantasized.lower` and `.upper` are
        `n x m`, the objective first, constraints after it, each satisfied when it is at least 0.
        """
        lower, upper = bounds.fantasized.lower[..., 0], bounds.fantasized.upper[..., 0]
        return upper + 0.5 * (upper - lower)


# safety: what the method promises, which is what it will be held to. "certified" (each trial is certified safe)
# or "baseline" (nothing); a rule that sets `certified_only = False` proposes any input and promises nothing.
register_method(
    Method(
        name="bold_and_wide",
        summary="upper bound of the objective plus half its interval, among certified inputs",
        local="bold_and_wide",
        safety="certified",
    )
)
