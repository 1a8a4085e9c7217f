"""The guardian's State as a JSON message: a name for every joint, and what is a number in a table in words as well."""

from __future__ import annotations

from typing import Any

from safebo.hardware.guardian.limits import LIMITS
from safebo.hardware.guardian.states import Response, State
from safebo.hardware.guardian.telemetry import JOINTS
from safebo.hardware.link.layout import Part
from safebo.hardware.link.messages import StateMessage
from safebo.hardware.records.foxglove import Body, dumped
from safebo.hardware.records.row_format import json_schema, nested

OUTCOMES = ("not over", "completed", "ended on request", "ended by trouble")
_PARTS: dict[str, tuple[str, ...]] = {
    "attitude": ("roll", "pitch"),
    **dict.fromkeys(("position", "velocity", "torque", "target"), JOINTS),
}
_CAUSES = {limit.number: limit.name for limit in LIMITS}
_WORDS = ("state_name", "response_name", "cause_name", "outcome_name")


def _names() -> list[tuple[str, Part]]:
    """Every value of a State: its name in the message, and the field it comes from."""
    found = []
    for part in StateMessage.parts():
        ends = _PARTS.get(part.name)
        found += [(part.name, part)] if ends is None else [(f"{part.name}.{end}", part) for end in ends]
    return found


_NAMES = _names()


def state_schema() -> Body:
    """JSON schema of the messages."""
    leaves = [{"type": _kind(part), "description": part.meaning} for _, part in _NAMES]
    names = [name for name, _ in _NAMES]
    return json_schema("safebo/State", [*names, *_WORDS], [*leaves, *({"type": "string"} for _ in _WORDS)])


def _kind(part: Part) -> str:
    return "string" if part.code[-1] == "t" else "number" if part.code[-1] in "fd" else "integer"


def state_body(state: StateMessage) -> Body:
    """One message."""
    values: list[Any] = []
    for part in StateMessage.parts():
        value = getattr(state, part.name)
        values += value if isinstance(value, tuple) else [value]
    words = (
        _name(State, state.state),
        _name(Response, state.response),
        _CAUSES.get(state.cause, ""),
        OUTCOMES[state.outcome] if state.outcome < len(OUTCOMES) else str(state.outcome),
    )
    return nested([*(name for name, _ in _NAMES), *_WORDS], [*values, *words])


def _name(table: type[State] | type[Response], number: int) -> str:
    """Of a number in a table; the number itself where the table has no such."""
    return table(number).name if number in list(table) else str(number)


def dumped_state(state: StateMessage) -> bytes:
    """One message's bytes."""
    return dumped(state_body(state))
