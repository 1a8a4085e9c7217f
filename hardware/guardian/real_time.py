"""What lets a control loop keep its time on a Linux machine that does other work too: asked for, and said what was got.

    scheduling   SCHED_FIFO: the loop runs as soon as it is due, whatever else wants the core
    memory       mlockall: no page of this process is ever fetched from a disk in the middle of a tick
    core         the loop stays on one core, an isolated one (`isolcpus`) where there is one
    idle states  /dev/cpu_dma_latency held at 0: the cores wake at once
    kernel       not asked for, only looked at: whether it lets the loop interrupt others' calls into it

Every thread of the process is SCHED_FIFO, the loop above the others: a thread that holds the interpreter's lock and has
to wait for other programs would make the loop wait with it. None of it needs root; what it needs stands in
docs/real-time.md.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safebo.hardware.constants import BACKGROUND_PRIORITY, LINK_PRIORITY, LOOP_PRIORITY, SWITCH_INTERVAL_S
from safebo.hardware.guardian.kernel_preemption import AT_ONCE, KernelFacts, advice, preemption

PAGE = "docs/real-time.md says how this user may have it"
MCL_CURRENT_AND_FUTURE = 1 | 2
ISOLATED = Path("/sys/devices/system/cpu/isolated")
WAKE_LATENCY = Path("/dev/cpu_dma_latency")


@dataclass(frozen=True)
class Grant:
    """One thing that was asked of the system.

    Args:
        name: what.
        got: whether it was granted.
        message: what holds now, or why it does not.
        needed: a physical robot is not guarded without it.
    """

    name: str
    got: bool
    message: str
    needed: bool = False

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"


@dataclass(frozen=True)
class RealTime:
    """What was granted.

    Args:
        grants: all that was asked for.
        core: on which the control loop stays; None for any.
    """

    grants: tuple[Grant, ...]
    core: int | None

    @property
    def missing(self) -> tuple[Grant, ...]:
        """What a physical robot's guardian needs and did not get."""
        return tuple(grant for grant in self.grants if grant.needed and not grant.got)

    def lead(self) -> None:
        """Put this thread, the control loop, on its core and above the other threads of the process."""
        _prioritise(LOOP_PRIORITY)
        if self.core is not None:
            os.sched_setaffinity(0, {self.core})


NOT_ASKED = RealTime((), None)
"""For a loop that runs as any program does."""


def request_real_time(core: int | None = None) -> RealTime:
    """Ask for all of it. Before threads are started that carry the robot's packets; they have it too.

    Args:
        core: for the control loop; None for an isolated one, else the last one that this process may use, and without
            SCHED_FIFO for any: on one core it would wait longer for others.

    Raises:
        ValueError: a core that this process may not use.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if core is not None and core not in allowed:
        raise ValueError(f"core {core} is not one of those that this process may use: {allowed}")
    isolated = cores(ISOLATED.read_text()) if ISOLATED.exists() else ()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    scheduling = _scheduling()
    own = chosen_core(allowed, isolated) if core is None and scheduling.got else core
    grants = scheduling, _memory(), _own_core(own, isolated), _wake_latency(), _kernel()
    return RealTime(grants, own)


def follow() -> None:
    """Put this thread, which works beside the control loop, below it and on any core."""
    if _prioritise(BACKGROUND_PRIORITY):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


def _prioritise(priority: int) -> bool:
    if os.sched_getscheduler(0) != os.SCHED_FIFO:
        return False
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    return True


def _scheduling() -> Grant:
    name = "scheduling"
    try:
        for priority in (LOOP_PRIORITY, LINK_PRIORITY):  # the limit of a user may lie between them
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError as error:
        return Grant(
            name, False, f"no SCHED_FIFO ({error.strerror}): other programs delay ticks; {PAGE}", True
        )
    return Grant(name, True, f"SCHED_FIFO, priority {LOOP_PRIORITY}", True)


def _memory() -> Grant:
    library = ctypes.CDLL(None, use_errno=True)
    if library.mlockall(MCL_CURRENT_AND_FUTURE):
        reason = os.strerror(ctypes.get_errno())
        return Grant("memory", False, f"not locked ({reason}): a page may have to be fetched; {PAGE}", True)
    return Grant("memory", True, "locked", True)


def cores(text: str) -> tuple[int, ...]:
    """Cores of a list as the kernel writes it: `0-3,6`."""
    found: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def chosen_core(allowed: Sequence[int], isolated: Sequence[int]) -> int | None:
    """The last isolated core that may be used, else the last one; None where there is only one."""
    own = [core for core in isolated if core in allowed] or (list(allowed) if len(allowed) > 1 else [])
    return max(own, default=None)


def _own_core(core: int | None, isolated: Sequence[int]) -> Grant:
    if core is None:
        return Grant(
            "core", False, "any; one of its own helps with real-time scheduling and a second core only"
        )
    alone = "isolated" if core in isolated else "not isolated: other programs run there while the loop sleeps"
    return Grant("core", True, f"{core}, {alone}")


def _wake_latency() -> Grant:
    name = "idle states"
    try:
        held = os.open(WAKE_LATENCY, os.O_WRONLY)
        os.write(
            held, (0).to_bytes(4, "little")
        )  # holds for as long as the file is open: until the process ends
    except OSError as error:
        return Grant(name, False, f"as the system sets them ({WAKE_LATENCY}: {error.strerror})")
    return Grant(name, True, "cores wake at once")


def _kernel() -> Grant:
    facts = KernelFacts.of_this_machine()
    mode = preemption(facts)
    if mode in AT_ONCE:
        return Grant(
            "kernel", True, f"preemption `{mode}`: the loop waits for no other program's call into it"
        )
    known = (
        f"preemption `{mode}`: the loop waits until"
        if mode
        else "preemption not known; it may be that the loop waits until"
    )
    help_ = f"; {how}" if (how := advice(facts, mode)) else ""
    return Grant("kernel", False, f"{known} another program's call into it has ended{help_}")
