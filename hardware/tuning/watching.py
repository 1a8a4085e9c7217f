"""Tells a person at once what a guardian has latched, and that it has fallen silent, whatever else goes on.

It has a session of its own, without lease, in a thread of its own: nothing that the tuner, its journal, its worker or a
question at the terminal waits for holds it up.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from safebo.hardware.constants import GUARDIAN_SILENT_S, HEARTBEAT_S, WATCH_RETRY_S
from safebo.hardware.errors import HardwareError
from safebo.hardware.guardian.states import LATCHED, State
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.connecting import RobotCommands
from safebo.hardware.link.messages import StateMessage
from safebo.hardware.link.stopped import REMOTE

Connect = Callable[[], AbstractContextManager[GuardianClient]]


class LatchWatch:
    """Follows one guardian's States.

    Args:
        connect: opens a session and closes it.
        commands: as they are typed for this guardian.
        tell: is told what a person has to know; called from this watch's thread.
    """

    def __init__(self, connect: Connect, commands: RobotCommands, tell: Callable[[str], None]) -> None:
        self._connect, self._commands, self._tell = connect, commands, tell
        self._ended = threading.Event()
        self._latch = 0  # that was told
        self._silent = False
        self._thread = threading.Thread(target=self._run, name="latch-watch", daemon=True)

    def start(self) -> LatchWatch:
        """Begin."""
        self._thread.start()
        return self

    def close(self) -> None:
        """End."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def look(self, seen: StateMessage) -> None:
        """Use a newer State."""
        if self._silent:
            self._silent = False
            self._tell(f"The guardian is heard again: {State(seen.state).name}.")
        if seen.state not in LATCHED:
            self._latch = 0
        elif seen.latch != self._latch:
            self._latch = seen.latch
            self._tell(
                f"LATCHED, {State(seen.state).name}: {seen.message}. No trial runs before somebody has looked at the "
                f"robot and cleared it: {self._commands.clear}"
            )

    def silence(self, seconds: float) -> bool:
        """Nothing was heard for so long; whether that counts as silence."""
        if seconds > GUARDIAN_SILENT_S and not self._silent:
            self._silent = True
            self._tell(
                f"The guardian has been SILENT for {GUARDIAN_SILENT_S:g} s: nothing is known of the robot. Look at it. "
                f"To stop it, {REMOTE}; and once the guardian answers: {self._commands.stop}"
            )
        return self._silent

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                with self._connect() as client:
                    self._latch = 0  # a guardian that was started anew counts its latches anew
                    self._follow(client)
            except HardwareError:  # nobody answers: ask again
                self.silence(math.inf)
            self._ended.wait(WATCH_RETRY_S)

    def _follow(self, client: GuardianClient) -> None:
        """Until it has been silent for long: a guardian that was started anew knows this session no more."""
        count, heard = 0, time.monotonic()
        while not self._ended.is_set():
            client.pump(HEARTBEAT_S)
            now = time.monotonic()
            if client.state is not None and client.counters.states > count:
                count, heard = client.counters.states, now
                self.look(client.state)
            elif self.silence(now - heard):
                return
