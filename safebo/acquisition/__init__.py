"""Acquisition functions by name; each module is one family and registers its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safebo.acquisition import (
    expected_improvement,
    gosafeopt,
    gp_ucb,
    noisy_expected_improvement,
    random,
    recommend,
    safe_ucb,
    safeopt,
    scbo,
)
from safebo.acquisition.base import SafeAcquisition, Situation, Told, View
from safebo.acquisition.registry import METHODS, Method, acquisition_class, method, register

if TYPE_CHECKING:
    from safebo.acquisition.grid_safeopt import GridSafeOpt

__all__ = [
    "METHODS",
    "GridSafeOpt",
    "Method",
    "SafeAcquisition",
    "Situation",
    "Told",
    "View",
    "acquisition_class",
    "expected_improvement",
    "gosafeopt",
    "gp_ucb",
    "method",
    "noisy_expected_improvement",
    "random",
    "recommend",
    "register",
    "safe_ucb",
    "safeopt",
    "scbo",
]


def __getattr__(name: str) -> Any:
    """`GridSafeOpt` is loaded when it is asked for: studies do not need it."""
    if name == "GridSafeOpt":
        from safebo.acquisition.grid_safeopt import GridSafeOpt

        return GridSafeOpt
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
