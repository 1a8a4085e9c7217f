"""What a tuner answers when asked about gains rather than for a trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from safebo.protocol import Bounds


@dataclass(frozen=True)
class Certificate:
    """Whether parameters are certified in a context now, and the bounds that say so.

    Args:
        certified: every margin's lower bound is at least 0.
        bounds: of every function in its own unit, by name.
    """

    certified: bool
    bounds: Mapping[str, Bounds]


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
    """

    parameters: Mapping[str, float]
    context_name: str
    context: Mapping[str, float]
    certified: bool
    bounds: Mapping[str, Bounds]
    trial: int | None = None
