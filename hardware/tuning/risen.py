"""Whether a robot got up for a trial that was then not started: what a person reads must say so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from safebo.hardware.guardian.states import State
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.messages import StateMessage


class RisenWatch:
    """Looks at a guardian's States while a trial is prepared."""

    def __init__(self) -> None:
        self._moved = self._stood = False

    @property
    def words(self) -> str:
        """For people, after what kept a trial from being started; empty where the robot did not move."""
        if not self._moved:
            return ""
        return (
            f". The robot had {'got' if self._stood else 'begun to get'} up for it, with its baseline gains"
        )

    @contextmanager
    def watching(self, client: GuardianClient) -> Iterator[None]:
        """Look at every State while the block runs."""
        before, client.on_state = client.on_state, self._look
        try:
            yield
        finally:
            client.on_state = before

    def _look(self, state: StateMessage) -> None:
        self._moved = self._moved or state.state == State.STANDING_UP
        self._stood = self._stood or (self._moved and state.state == State.HOLD)
