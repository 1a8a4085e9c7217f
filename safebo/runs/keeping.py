"""A run's files of certified gains, kept fresh as it goes on at a small part of its time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from safebo.errors import SafeboError
from safebo.runs.best_gains import BestGains
from safebo.runs.clock import OperatingClock
from safebo.runs.recommendation import is_default, keep_best, origin
from safebo.runs.tuner_protocol import TunerLike
from safebo.storage.journal import Journal


class BestKeeper:
    """Writes the certified gains of one run, and notices how long that takes.

    Args:
        folder: the run's folder.
        journal: of the run.
        tuner: is asked for them.
        clock: of the run, for certificates that expire.
    """

    def __init__(self, folder: Path, journal: Journal, tuner: TunerLike, clock: OperatingClock) -> None:
        self._folder, self._journal, self._tuner, self._clock = folder, journal, tuner, clock
        self._kept_at = 0.0
        self._cost = 0.0

    def keep(
        self, contexts: Sequence[str], whole: bool = False
    ) -> tuple[dict[str, BestGains], dict[str, Path]]:
        """Write each context's certified gains.

        Args:
            contexts: names of the contexts.
            whole: whether the tuner was told all that the journal holds.

        Returns:
            Gains and files by context; contexts for which nothing is certified are missing.

        Raises:
            OtherFileError: the run did not write a file that is there. OSError: one cannot be written.
        """
        start = time.monotonic()
        computed_from = origin(self._journal) if whole and is_default(self._tuner) else ""
        study = self._journal.run.study
        best, files = keep_best(self._tuner, self._folder, study, contexts, computed_from, self._clock)
        self._kept_at = time.monotonic()
        self._cost = self._kept_at - start
        return best, files

    def keep_sometimes(self, context: str) -> None:
        """Keep a context's file fresh at no more than a twentieth of the run's time."""
        if time.monotonic() - self._kept_at < 20 * self._cost:
            return
        with contextlib.suppress(OSError, SafeboError):
            self.keep([context])
