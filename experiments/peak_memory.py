"""The largest resident memory of this process."""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path


def forget_peak() -> bool:
    """Forget the largest resident memory of this process so far; False where the system cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak_bytes() -> int:
    """Largest resident memory since `forget_peak`, in bytes; of the process's life where the system cannot say."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
