"""Acquisitions by name. Methods, what studies name, are in `safebo.study.methods`."""

from __future__ import annotations

from collections.abc import Callable

from safebo.acquisition.base import SafeAcquisition
from safebo.errors import StudyError, UnknownNameError
from safebo.study.methods import (
    ALIASES,
    BASELINES,
    METHODS,
    SAFE,
    Method,
    configured,
    method,
    register_method,
)

__all__ = [
    "ALIASES",
    "BASELINES",
    "METHODS",
    "SAFE",
    "Method",
    "acquisition_class",
    "configured",
    "method",
    "name_of",
    "register",
    "register_method",
]

_ACQUISITIONS: dict[str, type[SafeAcquisition]] = {}


def register(name: str) -> Callable[[type[SafeAcquisition]], type[SafeAcquisition]]:
    """Class decorator that gives an acquisition its name; a name is taken once."""

    def enter(cls: type[SafeAcquisition]) -> type[SafeAcquisition]:
        if name in _ACQUISITIONS:
            raise StudyError(f"acquisition {name!r} is registered twice")
        _ACQUISITIONS[name] = cls
        return cls

    return enter


def acquisition_class(name: str) -> type[SafeAcquisition]:
    """The acquisition of that name."""
    if name not in _ACQUISITIONS:
        raise UnknownNameError("acquisition", name, sorted(_ACQUISITIONS))
    return _ACQUISITIONS[name]


def name_of(acquisition: SafeAcquisition) -> str:
    """The name under which an acquisition is registered; that of its class for one that is not."""
    cls = type(acquisition)
    return next((name for name, known in _ACQUISITIONS.items() if known is cls), cls.__name__)
