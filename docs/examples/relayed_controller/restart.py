"""Restarts the example controller: what `gain_port.restart` in the controller file runs.

On a robot this is one line, such as `systemctl --user restart my_controller`.

    python restart.py GAINS PORT
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

CONTROLLER = Path(__file__).with_name("controller.py")
PATIENCE = 3.0  # s for the old one to end


def ours(pid: int) -> bool:
    """Whether that process is there and is our controller, not another that got its number since."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return str(CONTROLLER).encode() in command


def main(gains: Path, port: str) -> None:
    """End the one that runs, if any, and leave a new one behind."""
    note = gains.with_suffix(".pid")
    if note.exists() and ours(pid := int(note.read_text())):
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + PATIENCE
        while ours(pid):
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
    with gains.with_suffix(".log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, str(CONTROLLER), str(gains), "--port", port],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    note.write_text(str(process.pid))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
