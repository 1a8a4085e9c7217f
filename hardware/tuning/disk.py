"""What waits for a disk, beside what must not: journal and raw files in one thread, heartbeats in another.

A commit returns once it is on disk, and a disk may take seconds for that (another program's fsync, a card that
collects its garbage, a network file system). The guardian hears nothing of it: whoever waits keeps the session alive.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from safebo.hardware.constants import DISK_PATIENCE_S, PUMP_TIME_S
from safebo.hardware.link.client import GuardianClient

_T = TypeVar("_T")


class Disk:
    """One trial's work on disks, done in order.

    Args:
        beside: in a thread of its own; without it at once, for sessions whose clock stands still between ticks.
    """

    def __init__(self, beside: bool = True) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="disk") if beside else None

    def later(self, work: Callable[[], object]) -> None:
        """Do it when what came before is done; whoever wants to know how it went keeps that in the work itself."""
        if self._executor is None:
            work()
        else:
            self._executor.submit(work)

    def do(self, work: Callable[[], _T]) -> _T:
        """Do it after what came before, and wait; whatever it raises is raised here."""
        return work() if self._executor is None else self._executor.submit(work).result()

    def during(self, client: GuardianClient, work: Callable[[], _T]) -> _T:
        """As `do`, and keep the client's session alive meanwhile, for `DISK_PATIENCE_S` at most.

        After that the guardian takes the tuner for gone, as it is, and lays the robot down.
        """
        if self._executor is None:
            return work()
        future: Future[_T] = self._executor.submit(work)
        end = client.time() + DISK_PATIENCE_S
        while not wait([future], 0.0).done and client.time() < end:
            client.pump(PUMP_TIME_S)
        return future.result()

    def close(self) -> None:
        """Wait until all is done."""
        if self._executor is not None:
            self._executor.shutdown()
