"""Acquisition functions by name; each module is one family and registers its own."""

from safebo.acquisition import gosafeopt, gp_ucb, random, recommend, safe_ucb, safeopt
from safebo.acquisition.base import SafeAcquisition, Situation, View
from safebo.acquisition.registry import METHODS, Method, acquisition_class, method, register

__all__ = [
    "METHODS",
    "Method",
    "SafeAcquisition",
    "Situation",
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
