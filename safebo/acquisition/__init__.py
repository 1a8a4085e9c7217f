"""Acquisition functions by name; each module is one family and registers its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safebo.acquisition import gosafeopt, gp_ucb, random, recommend, safe_ucb, safeopt
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
    "gosafeopt",
    "gp_ucb",
    "method",
    "random",
    "recommend",
    "register",
    "safe_ucb",
    "safeopt",
]


def __getattr__(name: str) -> Any:
    """`GridSafeOpt` is loaded when it is asked for: studies do not need it."""
    if name == "GridSafeOpt":
        from safebo.acquisition.grid_safeopt import GridSafeOpt

        return GridSafeOpt
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
