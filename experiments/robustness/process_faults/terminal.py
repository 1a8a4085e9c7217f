"""An operator's terminal, read from the other end."""

from __future__ import annotations

import os
import select
import time

from safebo.experiments.robustness.process_faults.chain import StepMissedError


class Screen:
    """What a terminal shows, read piece by piece.

    Args:
        terminal: file descriptor of our end.
    """

    def __init__(self, terminal: int) -> None:
        self._terminal, self._rest = terminal, b""

    def until(self, text: str, patience: float = 90.0) -> str:
        """What comes up to a text, and the text, without line breaks and spaces.

        Raises:
            StepMissedError: it does not come.
        """
        wanted, end = "".join(text.split()).encode(), time.monotonic() + patience
        while wanted not in self._rest:
            try:
                if not select.select([self._terminal], [], [], max(0.0, end - time.monotonic()))[0]:
                    raise TimeoutError
                self._rest += b"".join(os.read(self._terminal, 4096).split())
            except OSError as error:
                raise StepMissedError(f"{text!r} is not on the terminal: {self._rest[-600:]!r}") from error
        at = self._rest.index(wanted) + len(wanted)
        shown, self._rest = self._rest[:at], self._rest[at:]
        return shown.decode(errors="replace")
