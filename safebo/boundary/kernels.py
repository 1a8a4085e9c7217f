"""Radial kernels by name, for posteriors and for boundary conditions. Loads no torch.

A kernel is a correlation as a function of the distance in lengthscales, `rho(r)` with `rho(0) = 1`. One of your own is
one file that calls `register_kernel`, named by the entry point `safebo.kernels` of its package or imported by whoever
needs it:

    register_kernel(RadialKernel("rational_quadratic", lambda r, xp: 1.0 / (1.0 + 0.5 * r * r)))
"""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from safebo.errors import StudyError, UnknownNameError

ENTRY_POINTS = "safebo.kernels"


@dataclass(frozen=True)
class RadialKernel:
    """A correlation that depends on the distance in lengthscales alone.

    Args:
        name: as studies have it.
        correlation: `rho(r, xp)`, with the module `xp`, `torch` where `r` is a tensor and `math` where it is a number,
            for functions like `xp.exp`; falling in `r`, and positive definite in every dimension.
        gpytorch: the class of the same kernel there, `module:Class`, if there is one: gpytorch kernels of that class
            are computed as this one.
        attributes: what such a kernel has for this correlation, beside its lengthscale.
    """

    name: str
    correlation: Callable[[Any, Any], Any]
    gpytorch: str | None = None
    attributes: Mapping[str, float] = field(default_factory=dict)


def _matern32(r: Any, xp: Any) -> Any:
    s = math.sqrt(3.0) * r
    return (1.0 + s) * xp.exp(-s)


def _matern52(r: Any, xp: Any) -> Any:
    s = math.sqrt(5.0) * r
    return (1.0 + s + s * s / 3.0) * xp.exp(-s)


_MATERN = "gpytorch.kernels:MaternKernel"

BUILT_IN = (
    RadialKernel("matern12", lambda r, xp: xp.exp(-r), _MATERN, {"nu": 0.5}),
    RadialKernel("matern32", _matern32, _MATERN, {"nu": 1.5}),
    RadialKernel("matern52", _matern52, _MATERN, {"nu": 2.5}),
    RadialKernel("rbf", lambda r, xp: xp.exp(-0.5 * r * r), "gpytorch.kernels:RBFKernel"),
)

KERNELS: dict[str, RadialKernel] = {kernel.name: kernel for kernel in BUILT_IN}
"""Every kernel by its name; those of entry points from the first time that one is looked for."""


def register_kernel(kernel: RadialKernel) -> None:
    """Put a kernel of your own on the list, for this process.

    Raises:
        StudyError: a kernel has that name, or its correlation is not 1 at distance 0.
    """
    if kernel.name in KERNELS:
        raise StudyError(f"kernel {kernel.name!r}: the name is taken")
    if not math.isclose(kernel.correlation(0.0, math), 1.0):
        raise StudyError(f"kernel {kernel.name!r}: its correlation at distance 0 must be 1")
    KERNELS[kernel.name] = kernel


def known_kernels(name: str) -> dict[str, RadialKernel]:
    """All kernels, with those of installed packages when `name` is none of the others.

    Raises:
        StudyError: an entry point that cannot be loaded.
    """
    if name not in KERNELS:
        for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
            try:
                point.load()
            except Exception as error:
                raise StudyError(
                    f"kernel {point.name!r} ({point.value}) cannot be loaded: {error}"
                ) from error
    return KERNELS


def radial_kernel(name: str) -> RadialKernel:
    """The kernel of that name.

    Raises:
        UnknownNameError: there is none.
    """
    known = known_kernels(name)
    if name not in known:
        raise UnknownNameError("kernel", name, sorted(known))
    return known[name]
