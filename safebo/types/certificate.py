"""What is certified and by which prior: bounds, evidence, certificates and recommendations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OR = " (or "
"""Before a further prior in the name of an alarm."""

DRIFT = "drift"
"""What names a prior that changes with time among those that `Evidence` mentions."""


@dataclass(frozen=True)
class Bounds:
    """What the surrogate expected of one function at one trial, in that function's own unit.

    Example:
        >>> Bounds(lower=-0.1, mean=0.2, upper=0.5).lower >= 0  # what certifies a margin
        False
    """

    lower: float
    mean: float
    upper: float


@dataclass(frozen=True)
class Evidence:
    """Which prior a function was certified by at one trial, and what the measurements said for the declared one.

    Args:
        prior: `declared`, or what the cautious one changes.
        log_evidence: log of the likelihood ratio of the declared prior to the cautious one; of several steps the least.
        log_refutation: log of the likelihood ratio of the alternatives' mixture to the declared prior.
        refuted_by: the likeliest alternative, once the declared prior was refuted; else empty.
        alarm: the prior that certifies as well since no cautious one fits; else empty.
        suspected: without an alarm, an alternative that is likelier than the cautious prior and certifies as well as
            long as it is; else empty.
        capped: measurements so far that were far better than predicted and count as less.
        log_drift: log of the likelihood ratio of the declared time of drift (and a third of it) to no drift at all;
            None where the study declares none (`surrogate.time`).
        correlation: with the simulation, as far as it is not refuted (`0.8 to 0.95`), where it is earned; else empty.
        disjoint: intersected intervals had nothing in common at one of the trials, so that one of them was wrong.

    Example:
        >>> Evidence("lengthscale x 0.5", log_evidence=2.1, log_refutation=-0.7).prior
        'lengthscale x 0.5'
    """

    prior: str
    log_evidence: float
    log_refutation: float
    refuted_by: str = ""
    alarm: str = ""
    suspected: str = ""
    capped: int = 0
    log_drift: float | None = None
    correlation: str = ""
    disjoint: bool = False

    @property
    def drifts(self) -> bool:
        """Whether the alarm is that of a prior which changes with time, and clearly so."""
        return DRIFT in self.alarm and OR not in self.alarm

    @property
    def certifying(self) -> str:
        """The prior that certifies, and what must certify as well."""
        also = self.alarm or self.suspected
        words = f"{self.prior}; as well {also}" if also else self.prior
        return f"{words}; simulation's correlation: {self.correlation} kept" if self.correlation else words


@dataclass(frozen=True)
class Certificate:
    """Whether parameters are certified in a context now, and the bounds that say so.

    Args:
        certified: every margin's lower bound is at least 0.
        bounds: of every function in its own unit, by name.
        until: operating time, in seconds, at which it expires; None where it does not.

    Example:
        >>> Certificate(True, {"height": Bounds(0.01, 0.05, 0.09)}).certified
        True
    """

    certified: bool
    bounds: Mapping[str, Bounds]
    until: float | None = None


@dataclass(frozen=True)
class Recommendation:
    """Parameters to use in a context.

    Args:
        parameters: in their own units.
        context_name: name of the context.
        context: values of the context variables.
        certified: whether they lie in the certified safe set of the context.
        bounds: of every function in its own unit, by name.
        trial: id of a trial that ran exactly these parameters in this context; None when none did.
        priors: by constraint, the prior that certifies it, where priors are earned.
        until: operating time, in seconds, at which the certificate expires; None where it does not.
        horizon: seconds for which they are certified, where the study says; None: as long as trials lasted.
        lasted: seconds that the trials of the context lasted, their median; None where it was not measured.
        advice: one sentence on what would narrow an interval there; empty where nobody said.

    Example:
        >>> found = Recommendation({"kp": 55.0}, "default", {}, True, {"speed": Bounds(0.7, 0.8, 0.9)})
        >>> found.bounds["speed"].lower  # reached with the study's confidence
        0.7
    """

    parameters: Mapping[str, Any]
    context_name: str
    context: Mapping[str, float]
    certified: bool
    bounds: Mapping[str, Bounds]
    trial: int | None = None
    priors: Mapping[str, str] = field(default_factory=dict)
    until: float | None = None
    horizon: float | None = None
    lasted: float | None = None
    advice: str = ""
