"""Whether the control loop has to wait until another program's call into the kernel has ended.

Linux lets a due real-time thread interrupt such a call only where the kernel is built or booted for it: `full`, `lazy`
(which defers ordinary threads alone) and PREEMPT_RT do, `none` and `voluntary` let the call go on for milliseconds, the
end of a large process or a flush to disk, say. A kernel built as PREEMPT_DYNAMIC takes the mode from its command line.
"""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

AT_ONCE = ("rt", "full", "lazy")
"""Modes in which a real-time thread that is due need not wait."""

_BUILT = {"PREEMPT_RT": "rt", "PREEMPT": "full", "PREEMPT_LAZY": "lazy", "PREEMPT_VOLUNTARY": "voluntary"}
_BUILT |= {"PREEMPT_NONE": "none"}


@dataclass(frozen=True)
class KernelFacts:
    """What a system says of its kernel; empty where it does not.

    Args:
        version: as `uname -v` prints it.
        command_line: with which it was booted.
        config: with which it was built: lines `CONFIG_...=y`.
        scheduler: modes to choose from, the present one in brackets: debugfs, `sched/preempt`.
    """

    version: str = ""
    command_line: str = ""
    config: str = ""
    scheduler: str = ""

    @classmethod
    def of_this_machine(cls) -> KernelFacts:
        """Those that this process may read."""
        system = os.uname()
        config = _read(lambda: gzip.decompress(Path("/proc/config.gz").read_bytes()).decode())
        return cls(
            system.version,
            _read(Path("/proc/cmdline").read_text),
            config or _read(Path(f"/boot/config-{system.release}").read_text),
            _read(Path("/sys/kernel/debug/sched/preempt").read_text),
        )


def preemption(facts: KernelFacts) -> str:
    """`rt`, `full`, `lazy`, `voluntary` or `none`; empty where nothing tells."""
    if "PREEMPT_RT" in facts.version:
        return "rt"
    if now := re.search(r"\((\w+)\)", facts.scheduler):
        return now[1]
    built = next((mode for name, mode in _BUILT.items() if f"CONFIG_{name}=y\n" in f"{facts.config}\n"), "")
    if "PREEMPT_DYNAMIC" in facts.version:
        asked = re.findall(r"(?:^|\s)preempt=(none|voluntary|full|lazy)(?=\s|$)", facts.command_line)
        return asked[-1] if asked else built
    if built:
        return built
    return "full" if re.search(r"\bPREEMPT\b", facts.version) else ""


def advice(facts: KernelFacts, mode: str) -> str:
    """How the kernel may be had in a mode of `AT_ONCE`."""
    if "PREEMPT_DYNAMIC" in facts.version:
        return "boot it with preempt=full"
    return "take one built with PREEMPT_DYNAMIC (and preempt=full) or PREEMPT_RT" if mode else ""


def _read(read: Callable[[], str]) -> str:
    try:
        return read()
    except (OSError, ValueError, EOFError):
        return ""
