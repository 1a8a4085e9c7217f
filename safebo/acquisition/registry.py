"""Acquisitions and methods by name.

An acquisition is one rule; a method is what a study asks for: the rule of its local phases and, where it
explores globally, the rule of its global phases.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from safebo.acquisition.base import SafeAcquisition
from safebo.errors import StudyError, UnknownNameError

_ACQUISITIONS: dict[str, type[SafeAcquisition]] = {}


@dataclass(frozen=True)
class Method:
    """What `tuner.method` names.

    Args:
        name: of the method.
        local: acquisition of the local phases; None when the study's `tuner.local_method` chooses it.
        exploration: acquisition of the global phases; None for a method without them.
    """

    name: str
    local: str | None
    exploration: str | None = None


METHODS: dict[str, Method] = {
    "safe_ucb": Method("safe_ucb", "safe_ucb"),
    "safeopt": Method("safeopt", "safeopt"),
    "gosafeopt": Method("gosafeopt", None, "widest_outside"),
    "gp_ucb": Method("gp_ucb", "gp_ucb"),
    "random": Method("random", "random"),
    "random_safe": Method("random_safe", "random_safe"),
}


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


def method(name: str) -> Method:
    """The method of that name."""
    if name not in METHODS:
        raise UnknownNameError("tuner.method", name, sorted(METHODS))
    return METHODS[name]
