"""Acquisition functions by name; each module is one family and registers its own."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from safebo.acquisition import eubo, goose, gosafeopt, information_methods, recommend, safe_ucb, safeopt
from safebo.acquisition.base import AcquisitionContext, SafeAcquisition, Told
from safebo.acquisition.baselines import (
    expected_improvement,
    gp_ucb,
    noisy_expected_improvement,
    random,
    scbo,
)
from safebo.acquisition.registry import (
    METHODS,
    Method,
    acquisition_class,
    configured,
    method,
    register,
    register_method,
)
from safebo.acquisition.transductive import methods as transductive_methods
from safebo.safety.safe_set import PointBounds

if TYPE_CHECKING:
    from safebo.acquisition.grid_safeopt import GridSafeOpt
    from safebo.acquisition.grid_settings import GridSettings
    from safebo.acquisition.grid_tuner import GridTuner
    from safebo.acquisition.model_context import context_of_model

__all__ = [
    "METHODS",
    "AcquisitionContext",
    "GridSafeOpt",
    "GridSettings",
    "GridTuner",
    "Method",
    "PointBounds",
    "SafeAcquisition",
    "Told",
    "acquisition_class",
    "configured",
    "context_of_model",
    "eubo",
    "expected_improvement",
    "goose",
    "gosafeopt",
    "gp_ucb",
    "information_methods",
    "method",
    "noisy_expected_improvement",
    "random",
    "recommend",
    "register",
    "register_method",
    "safe_ucb",
    "safeopt",
    "scbo",
    "transductive_methods",
]


_LAZY = {
    "GridSafeOpt": "grid_safeopt",
    "GridSettings": "grid_settings",
    "GridTuner": "grid_tuner",
    "context_of_model": "model_context",
}
"""Names from modules that studies do not need: loaded when they are asked for."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
