"""Numbers that people hand over as lists, arrays or tensors, checked and made float64 tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from safebo.errors import InputError


def array(
    values: Any, name: str, finite: bool = True, device: torch.device | str = "cpu"
) -> Float[Tensor, "..."]:
    """Numbers as float64 on a device, detached from whoever gave them."""
    if np.ma.is_masked(values) or _boolean(values):
        raise InputError(f"{name} must be numbers, neither masked nor true or false")
    try:
        here = values.device if isinstance(values, Tensor) else "cpu"
        result = torch.as_tensor(values, dtype=torch.float64, device=here).detach().clone().to(device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} must be numbers: {error}") from error
    if finite and not bool(torch.isfinite(result).all()):
        raise InputError(f"{name} must be finite")
    return result


def _boolean(values: Any) -> bool:
    """Whether values are true or false, which torch takes for 1 and 0."""
    if isinstance(values, Tensor):
        return values.dtype == torch.bool
    if isinstance(values, np.ndarray):
        return values.dtype == np.bool_
    return isinstance(values, list | tuple) and any(isinstance(each, bool | np.bool_) for each in values)


def per_function(
    values: Any, name: str, functions: int, infinite: bool = False, device: torch.device | str = "cpu"
) -> Float[Tensor, " m"]:
    """One number for each function."""
    result = array(values, name, not infinite, device)
    if result.shape != (functions,) or bool(result.isnan().any()):
        raise InputError(f"{name} must have one number for each of {functions} functions, got {values!r}")
    return result
