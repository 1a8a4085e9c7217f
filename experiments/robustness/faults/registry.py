"""All faults that are made in lock-step, in the order of the list."""

from __future__ import annotations

from safebo.experiments.robustness.faults import body, network, sensors, states, stopping, stream, tuner
from safebo.experiments.robustness.faults.report import FAULTS, Fault

HOMES = (states, body, tuner, stopping, sensors, stream, network)
"""Where they are defined."""

NUMBERS = range(1, 60)
"""Of the list of faults that a bridge to a robot must survive."""


def lock_step() -> list[Fault]:
    """Every fault made in lock-step."""
    return sorted(FAULTS, key=lambda fault: fault.number)
