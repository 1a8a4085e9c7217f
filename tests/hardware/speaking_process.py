"""A process of which a test keeps what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

from present import present

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "OMP_NUM_THREADS": "1"}


class SpeakingProcess(subprocess.Popen[str]):
    """`python -m` with both its outputs in `out`, and the lines read of them in `said`."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(
            [sys.executable, "-m", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=ENVIRONMENT,
        )
        self.said: list[str] = []

    @property
    def out(self) -> IO[str]:
        return present(self.stdout)
