"""Acquisitions and methods by name.

An acquisition is one rule; a method is what a study asks for: the rule of its local phases and, where it
explores globally, the rule of its global phases.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from safebo.acquisition.base import SafeAcquisition
from safebo.errors import StudyError, UnknownNameError
from safebo.study import TunerSpec

_ACQUISITIONS: dict[str, type[SafeAcquisition]] = {}


@dataclass(frozen=True)
class Method:
    """What `tuner.method` names.

    Args:
        name: of the method.
        local: acquisition of the local phases; None when the study's `tuner.local_method` chooses it.
        exploration: acquisition of the global phases unless `tuner.exploration.rule` names another; None for a
            method without them.
        certificate: the certificate that belongs to the method; None when the study's counts.
        schedule: likewise of beta.
    """

    name: str
    local: str | None
    exploration: str | None = None
    certificate: Literal["measured"] | None = None
    schedule: Literal["fiedler2024"] | None = None


SAFE = (
    "safe_ucb", "safeopt", "stageopt", "goose", "itl", "vtl", "ctl", "ctl_squared", "mm_itl", "undirected", "ise",
    "ise_bo", "mes", "random_safe",
)  # fmt: skip
"""Methods that are one acquisition over the certified set."""

YARDSTICKS = ("gp_ucb", "ei", "constrained_ei", "qlognei", "scbo", "random")
"""Methods that certify nothing."""

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        *[Method(name, name) for name in SAFE],
        Method("real_beta_safeopt", "safeopt", schedule="fiedler2024"),
        Method("losbo", "safeopt", certificate="measured"),
        Method("los_gp_ucb", "safe_ucb", certificate="measured"),
        Method("gosafeopt", None, "widest_outside"),
        *[Method(name, name) for name in YARDSTICKS],
    )
}

ALIASES = {"ucb": "gp_ucb"}


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
    """The method of that name; hyphens count as underscores (`mm-itl`), and `ucb` is `gp_ucb`."""
    name = name.replace("-", "_")
    name = ALIASES.get(name, name)
    if name not in METHODS:
        raise UnknownNameError("tuner.method", name, sorted(METHODS))
    return METHODS[name]


def configured(spec: TunerSpec) -> TunerSpec:
    """The tuner section with the certificate and the schedule that its method brings along."""
    chosen = method(spec.method)
    update: dict[str, object] = {"method": chosen.name}
    if chosen.certificate is not None:
        update["certificate"] = chosen.certificate
    if chosen.schedule is not None:
        update["confidence"] = spec.confidence.model_copy(update={"schedule": chosen.schedule})
    return spec.model_copy(update=update)
