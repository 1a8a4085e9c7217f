"""States of the guardian and how each answers each event: one table.

By severity the responses are baseline gains (hold), stand down, joint damping. What is latched stays until a
person clears it in two steps, acknowledge and clear; neither starts motion.
"""

from __future__ import annotations

from enum import IntEnum


class Response(IntEnum):
    """How severe a response is; of several the most severe wins."""

    NONE = 0
    REFUSE = 1
    """No new trial."""
    HOLD = 2
    """Baseline gains; brake, stand and keep balance."""
    SIT = 3
    """Stand down, then joint damping."""
    DAMP = 4
    """Joint damping at once."""


class State(IntEnum):
    """What the guardian does. The numbers go over the link."""

    DISCONNECTED = 0
    """No sustained stream of robot states. Damping."""
    REST = 1
    """The robot lies, joints damped."""
    STANDING_UP = 2
    """Folds its legs, then rises, by itself."""
    HOLD = 3
    """Stands on baseline gains."""
    ARMED = 4
    """Stands on baseline gains; a verified trial may start."""
    RUNNING = 5
    """The trial's gains or its backup at work."""
    LYING_DOWN = 6
    """Stands down because it was asked to."""
    HOLD_LATCHED = 7
    """Stands on baseline gains because of trouble."""
    SIT_LATCHED = 8
    """Stands down because of trouble."""
    DAMP_LATCHED = 9
    """Joint damping because of trouble."""
    HOLD_ACKNOWLEDGED = 10
    """A person has seen the latch; the second step is missing."""
    DAMP_ACKNOWLEDGED = 11
    """The same, with the joints damped."""


class GuardianEvent(IntEnum):
    """What can happen. Requests are refused where the table has no entry; the rest always has an answer."""

    STREAM = 0
    """Robot states have come for long enough."""
    STREAM_LOST = 1
    """None for so long that the robot counts as gone."""
    STAND = 2
    STOOD = 3
    """The stand-up motion is over."""
    LIE_DOWN = 4
    LAIN = 5
    """The stand-down motion is over."""
    ARM = 6
    DISARM = 7
    """By request, or because arming expired."""
    START = 8
    END = 9
    """The trial's time is over, or it was aborted."""
    HOLD_FAULT = 10
    SIT_FAULT = 11
    DAMP_FAULT = 12
    ACKNOWLEDGE = 13
    CLEAR = 14


REQUESTED = frozenset(
    {
        GuardianEvent.STAND,
        GuardianEvent.LIE_DOWN,
        GuardianEvent.ARM,
        GuardianEvent.DISARM,
        GuardianEvent.START,
        GuardianEvent.ACKNOWLEDGE,
        GuardianEvent.CLEAR,
    }
)
"""Events that come from a person or the tuner and may be refused."""

FAULTS = {
    Response.HOLD: GuardianEvent.HOLD_FAULT,
    Response.SIT: GuardianEvent.SIT_FAULT,
    Response.DAMP: GuardianEvent.DAMP_FAULT,
}
"""The event by which a response comes about."""

LATCHED = frozenset(
    {
        State.HOLD_LATCHED,
        State.SIT_LATCHED,
        State.DAMP_LATCHED,
        State.HOLD_ACKNOWLEDGED,
        State.DAMP_ACKNOWLEDGED,
    }
)
MOTION = frozenset({State.STANDING_UP, State.ARMED, State.RUNNING})
"""States in which the robot starts to move, or may do so without a person."""

DAMPED = frozenset({State.DISCONNECTED, State.REST, State.DAMP_LATCHED, State.DAMP_ACKNOWLEDGED})
"""States in which the joints are damped."""

STANDING = frozenset({State.STANDING_UP, State.HOLD, State.ARMED, State.RUNNING})
"""States that need somebody who holds the lease and lives."""

_SHORT = {
    "DISC": State.DISCONNECTED,
    "REST": State.REST,
    "UP": State.STANDING_UP,
    "HOLD": State.HOLD,
    "ARMED": State.ARMED,
    "RUN": State.RUNNING,
    "DOWN": State.LYING_DOWN,
    "HOLD!": State.HOLD_LATCHED,
    "SIT!": State.SIT_LATCHED,
    "DAMP!": State.DAMP_LATCHED,
    "HOLD?": State.HOLD_ACKNOWLEDGED,
    "DAMP?": State.DAMP_ACKNOWLEDGED,
}

# Columns as in `Event`. "-" refuses a request, "." ignores what does not matter here. A latch is "!", a latch
# that a person has acknowledged "?". A robot that lies has no baseline gains to go to: any fault damps it.
# Half-way up it goes back down: standing still there is no rest.
_TABLE = """
       STREAM LOST  STAND STOOD DOWN  LAIN   ARM    DISARM START END   HOLDF  SITF   DAMPF  ACK    CLEAR
DISC   REST   .     -     .     -     .      -      -      -     .     DAMP!  DAMP!  DAMP!  -      -
REST   .      DISC  UP    .     -     .      -      -      -     .     DAMP!  DAMP!  DAMP!  -      -
UP     .      SIT!  -     HOLD  DOWN  .      -      -      -     .     SIT!   SIT!   DAMP!  -      -
HOLD   .      SIT!  -     .     DOWN  .      ARMED  -      -     .     HOLD!  SIT!   DAMP!  -      -
ARMED  .      SIT!  -     .     DOWN  .      -      HOLD   RUN   .     HOLD!  SIT!   DAMP!  -      -
RUN    .      SIT!  -     .     DOWN  .      -      -      -     HOLD  HOLD!  SIT!   DAMP!  -      -
DOWN   .      SIT!  -     .     -     REST   -      -      -     .     SIT!   SIT!   DAMP!  -      -
HOLD!  .      SIT!  -     .     SIT!  .      -      -      -     .     HOLD!  SIT!   DAMP!  HOLD?  -
SIT!   .      .     -     .     -     DAMP!  -      -      -     .     SIT!   SIT!   DAMP!  -      -
DAMP!  .      .     -     .     -     .      -      -      -     .     DAMP!  DAMP!  DAMP!  DAMP?  -
HOLD?  .      SIT!  -     .     SIT!  .      -      -      -     .     HOLD!  SIT!   DAMP!  HOLD?  HOLD
DAMP?  .      DAMP! -     .     -     .      -      -      -     .     DAMP!  DAMP!  DAMP!  DAMP?  REST
"""


def _read_table(text: str) -> dict[State, dict[GuardianEvent, State | None]]:
    rows = [line.split() for line in text.strip().splitlines()[1:]]
    table: dict[State, dict[GuardianEvent, State | None]] = {}
    for name, *cells in rows:
        state = _SHORT[name]
        table[state] = {}
        for event, cell in zip(GuardianEvent, cells, strict=True):
            if cell == "." and event in REQUESTED:
                raise ValueError(f"state table: {name} ignores the request {event.name}")
            table[state][event] = None if cell == "-" else state if cell == "." else _SHORT[cell]
    return table


TABLE: dict[State, dict[GuardianEvent, State | None]] = _read_table(_TABLE)
"""The next state for every state and event; None: refused."""
