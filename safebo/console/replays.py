"""Videos of trials for the page, each drawn by `safebo replay` in a process of its own, one at a time, and kept."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from safebo.console.slices import NICE
from safebo.errors import SafeboError
from safebo.text.printable import one_line

SIZE = "640x360"
"""Pixels: a page asks for a quick look, `safebo replay` for a film."""

PATIENCE_S = 300.0
"""For one video."""


class ReplayDrawer:
    """Draws videos of one run's trials.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._kept: tempfile.TemporaryDirectory[str] | None = None

    def video(self, trial: int) -> Path:
        """The MP4 of a trial.

        Raises:
            SafeboError: it cannot be drawn, in the words of `safebo replay`.
        """
        with self._lock:
            if self._kept is None:
                self._kept = tempfile.TemporaryDirectory(prefix="safebo-replay-")
            file = Path(self._kept.name) / f"trial-{trial}.mp4"
            if not file.exists():
                self._draw(trial, file)
            return file

    def _draw(self, trial: int, file: Path) -> None:
        draft = file.with_name(f"draft-{file.name}")
        command = [sys.executable, "-m", "safebo", "replay", str(self._folder), str(trial)]
        command += ["--video", str(draft), "--size", SIZE]
        quiet = os.environ | {"OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                ["nice", "-n", str(NICE), *command],
                env=quiet,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PATIENCE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SafeboError(f"trial {trial} was not drawn within {PATIENCE_S:g} s") from None
        if done.returncode or not draft.exists():
            said = (done.stderr.strip() or done.stdout.strip() or "nothing was said").splitlines()[-1]
            raise SafeboError(f"trial {trial} cannot be drawn: {one_line(said).removeprefix('error: ')}")
        draft.replace(file)

    def close(self) -> None:
        """Take the videos away."""
        if self._kept is not None:
            self._kept.cleanup()
