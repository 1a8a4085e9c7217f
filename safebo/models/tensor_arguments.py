"""Numbers that people hand over as lists, arrays or tensors, checked and made float64 tensors."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.errors import InputError


def array(
    values: Any, name: str, finite: bool = True, device: torch.device | str = "cpu"
) -> Float[Tensor, "..."]:
    """Numbers as float64 on a device, detached from whoever gave them."""
    try:
        here = values.device if isinstance(values, Tensor) else "cpu"
        result = torch.as_tensor(values, dtype=torch.float64, device=here).detach().clone().to(device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} must be numbers: {error}") from error
    if finite and not bool(torch.isfinite(result).all()):
        raise InputError(f"{name} must be finite")
    return result


def per_function(
    values: Any, name: str, functions: int, infinite: bool = False, device: torch.device | str = "cpu"
) -> Float[Tensor, " m"]:
    """One number for each function."""
    result = array(values, name, not infinite, device)
    if result.shape != (functions,) or bool(result.isnan().any()):
        raise InputError(f"{name} must have one number for each of {functions} functions, got {values!r}")
    return result
