"""Measure ticks without a robot: the guardian's own work and its controller's, every period, for some seconds."""

from __future__ import annotations

import gc
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from random import SystemRandom

from safebo.hardware.constants import CONTROL_RATE_HZ, MAX_TICK_S, PUNCTUAL_SHARE, WARM_TICKS
from safebo.hardware.guardian.bounds import quadruped_table
from safebo.hardware.guardian.core import Guardian
from safebo.hardware.guardian.observation import observe
from safebo.hardware.guardian.pace import OwnPace
from safebo.hardware.guardian.service import GuardianService
from safebo.hardware.guardian.staging import GuardedController
from safebo.hardware.guardian.still_robot import StillRobot
from safebo.hardware.guardian.tick_times import TickTimes, TickWatch
from safebo.hardware.guardian.walker import QuadrupedWalker, Walk
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.gains import Gains
from safebo.robots.quadruped.gait import gait_named

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
    """Tick for some seconds as for a robot that walks, on our own clock.

    Args:
        robot: its model.
        seconds: how long.
        executor: the guardian's.
        lead: called once the threads are there, by the thread that ticks.
        heard: told of late ticks, and why, as they come.
        rate: ticks per second.
    """
    walker, link = QuadrupedWalker(robot, rate), StillRobot(robot)
    controller = GuardedController(walker, quadruped_table())
    guardian = Guardian(robot, controller, executor, SystemRandom(), time.perf_counter, rate=rate)
    service = GuardianService(guardian, secrets.token_bytes(32), 1, True, rate=rate)
    walker.begin(link.read().reading, Walk(gait_named("trot"), (0.3, 0.0, 0.0), 0.5, 0.1), Gains())
    watch, pace = TickWatch(1.0 / rate), OwnPace(1.0 / rate)

    def tick() -> str:
        now, state = pace.next(link)
        late = watch.begin()
        assert state is not None
        service.tick(now, observe(state, False))
        walker.step(state.reading)
        walker.state(state.reading)
        watch.end()
        return late

    lead()
    gc.collect()
    gc.disable()
    try:
        for _ in range(WARM_TICKS):
            tick()
        watch = TickWatch(1.0 / rate)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            late = tick()
            if late:
                heard(late)
    finally:
        gc.enable()
    return watch.times


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
