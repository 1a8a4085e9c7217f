"""One row of a surrogate's data."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Observation:
    """One row of the surrogate's data: inputs in the unit cube and warped values, None where not observed."""

    trial: int
    x: Float[Tensor, " D"]
    values: tuple[float | None, ...]
