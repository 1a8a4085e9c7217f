"""gpytorch kernels with fixed hyperparameters as covariances that `safebo.models.posterior` can evaluate.

Those that the table of radial kernels knows, scaled or not, become ours: their distances come from differences, which
gpytorch's expanded squares lose for near points (a Matern 1/2 covariance is then off by 1e-8). Every other
kernel, products, sums and active dimensions included, is evaluated by gpytorch as it is.
"""

from __future__ import annotations

import copy
from pkgutil import resolve_name
from typing import Any

import torch

from safebo.boundary.kernels import KERNELS, RadialKernel
from safebo.errors import InputError
from safebo.models.kernels import GenericKernel, Kernel, StationaryKernel


def fixed_kernel(kernel: Any, dimension: int) -> Kernel:
    """The covariance of a gpytorch kernel over `dimension` columns, float64, hyperparameters as they are now.

    The kernel itself is copied: changing it later changes nothing here.

    Raises:
        InputError: not a gpytorch kernel, one with a batch shape, or one for another number of columns.
    """
    from gpytorch.kernels import Kernel as GPyTorchKernel

    if not isinstance(kernel, GPyTorchKernel):
        raise InputError(f"kernels must be gpytorch kernels, got {type(kernel).__name__}")
    if len(kernel.batch_shape):
        raise InputError(f"kernels must have no batch shape, got {tuple(kernel.batch_shape)}")
    fixed = copy.deepcopy(kernel).double().eval().requires_grad_(False)
    probe = torch.zeros(2, dimension, dtype=torch.float64)
    with torch.no_grad():
        try:
            shape = tuple(fixed(probe, probe[:1]).to_dense().shape)
        except (RuntimeError, IndexError, ValueError) as error:
            raise InputError(f"a kernel cannot be evaluated on {dimension} columns: {error}") from error
        if shape != (2, 1):
            raise InputError(f"a kernel's matrix of 2 x 1 points has shape {shape}")
        scales = [k.lengthscale for k in fixed.modules() if getattr(k, "has_lengthscale", False)]
        if any(s.shape[-1] > dimension for s in scales):
            raise InputError(f"a kernel has more lengthscales than the {dimension} columns")
        return _stationary(fixed, dimension) or GenericKernel(fixed)


def _stationary(kernel: Any, dimension: int) -> StationaryKernel | None:
    from gpytorch.kernels import ScaleKernel

    variance, base = 1.0, kernel
    if type(kernel) is ScaleKernel:
        if kernel.active_dims is not None:
            return None
        variance, base = float(kernel.outputscale), kernel.base_kernel
    if getattr(base, "active_dims", None) is not None:
        return None
    known = next((kernel for kernel in KERNELS.values() if _counterpart(base, kernel)), None)
    if known is None:
        return None
    lengthscale = base.lengthscale.detach().reshape(-1).expand(dimension).clone()
    return StationaryKernel(known.name, lengthscale, variance)


def _counterpart(kernel: Any, ours: RadialKernel) -> bool:
    """Whether a gpytorch kernel is one of ours but for its lengthscale."""
    if ours.gpytorch is None or type(kernel) is not resolve_name(ours.gpytorch):
        return False
    return all(float(getattr(kernel, name)) == value for name, value in ours.attributes.items())
