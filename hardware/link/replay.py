"""Which sequence numbers of a session have been seen: nothing is acted on twice."""

from __future__ import annotations

from safebo.hardware.constants import REPLAY_WINDOW


class ReplayWindow:
    """Sequence numbers of one session and direction.

    A packet is *newest* when it is ahead of all others; *late* when it was overtaken but not seen before;
    otherwise it is a repetition, or too old to tell.
    """

    __slots__ = ("_newest", "_seen")

    def __init__(self) -> None:
        self._newest = 0
        self._seen = 0  # bit i: sequence `newest - i` was seen

    def admit(self, sequence: int) -> str:
        """`newest`, `late` or `repeated`; remembers the number."""
        if sequence > self._newest:
            shift = sequence - self._newest
            self._seen = (
                ((self._seen << shift) | 1) & ((1 << REPLAY_WINDOW) - 1) if shift < REPLAY_WINDOW else 1
            )
            self._newest = sequence
            return "newest"
        behind = self._newest - sequence
        if sequence < 1 or behind >= REPLAY_WINDOW or self._seen >> behind & 1:
            return "repeated"
        self._seen |= 1 << behind
        return "late"
