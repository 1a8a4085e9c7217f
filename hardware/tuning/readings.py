"""Context variables that the robot itself says before a trial (`measured` in a study)."""

from __future__ import annotations

from collections.abc import Mapping

from safebo.hardware.constants import UNKNOWN_BYTE
from safebo.hardware.link.messages import StateMessage
from safebo.types import QuantityInfo

READINGS = (
    QuantityInfo("robot.battery", "%", "state of charge"),
    QuantityInfo("robot.hottest_motor", "deg C", "temperature of the hottest motor"),
)


def readings_of(state: StateMessage) -> dict[str, float]:
    """What a State says of them, by name; without what the robot does not say."""
    said = zip(READINGS, (state.battery, state.hottest), strict=True)
    return {reading.name: float(value) for reading, value in said if value != UNKNOWN_BYTE}


def without_readings(context: Mapping[str, float]) -> dict[str, float]:
    """What of a context is set on the robot, and not read from it."""
    read = {reading.name for reading in READINGS}
    return {name: value for name, value in context.items() if name not in read}
