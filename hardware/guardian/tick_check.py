"""Measure ticks without a robot: all that a guardian does in a walk, every period, for some seconds."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path

from safebo.hardware.constants import CONTROL_RATE_HZ, MAX_TICK_S, PUNCTUAL_SHARE, WARM_TICKS
from safebo.hardware.guardian.bounds import quadruped_table
from safebo.hardware.guardian.dry_run import DryRun, warm_up
from safebo.hardware.guardian.staging import GuardedController
from safebo.hardware.guardian.tick_times import TickTimes
from safebo.hardware.guardian.walker import QuadrupedWalker
from safebo.robots.descriptions.model import RobotModel

STATISTICS = Path("/proc/stat")


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """So many programs that want a core all the time, at ordinary priority."""
    spin = [sys.executable, "-c", "while True: pass"]
    running = [subprocess.Popen(spin) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def measure_ticks(
    robot: RobotModel,
    seconds: float,
    executor: Executor,
    lead: Callable[[], None],
    heard: Callable[[str], None] = lambda _message: None,
    rate: float = CONTROL_RATE_HZ,
) -> TickTimes:
    """Tick for some seconds as for a robot that walks and is watched by a monitor, on our own clock.

    Args:
        robot: its model.
        seconds: how long.
        executor: the guardian's.
        lead: called once the threads are there, by the thread that ticks.
        heard: told of late ticks, and why, as they come.
        rate: ticks per second.
    """
    controller = GuardedController(QuadrupedWalker(robot, rate), quadruped_table())
    warm_up(robot, controller, rate)
    run = DryRun(robot, controller, executor, rate, heard)
    run.stand()
    lead()
    gc.collect()
    gc.disable()
    try:
        return run.measured(seconds, WARM_TICKS)
    finally:
        gc.enable()


def stolen_s() -> float:
    """Seconds of all cores that the host of this virtual machine gave to others since the start; 0 where unknown."""
    try:
        fields = STATISTICS.read_text().splitlines()[0].split()
        return int(fields[8]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0


def verdict(times: TickTimes) -> tuple[bool, str]:
    """Whether a physical robot may be guarded by such ticks, and the figures in a sentence."""
    high = times.quantile(PUNCTUAL_SHARE)
    message = (
        f"{times.total} ticks: {100 * PUNCTUAL_SHARE:g} % within {1e3 * high:.2f} ms (at most {1e3 * MAX_TICK_S:g}), "
        f"the longest {1e3 * times.worst:.2f} ms, {times.over(0.01)} over 10 ms"
    )
    return high <= MAX_TICK_S, message
