"""A disk that is slow holds no heartbeat; one that hangs does in the end, and nothing is lost or out of order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from safebo.hardware.tuning.disk import Disk


class Heart:
    """A client of which only the heartbeats are looked at; its clock goes by `pace` seconds a pump."""

    def __init__(self, pace: float = 0.02) -> None:
        self.pace, self.now, self.beats = pace, 0.0, 0
        self.threads: set[int] = set()

    def time(self) -> float:
        return self.now

    def pump(self, seconds: float) -> None:
        self.beats += 1
        self.now += self.pace
        self.threads.add(threading.get_ident())
        time.sleep(0.001)


def test_heartbeats_go_on_while_a_disk_is_slow() -> None:
    heart: Any = Heart()
    disk, written = Disk(), threading.Event()

    def slow() -> int:
        while heart.beats < 50:  # as long as fifty heartbeats take
            time.sleep(0.001)
        written.set()
        return 7

    assert disk.during(heart, slow) == 7
    assert written.is_set()
    assert heart.beats >= 50
    assert heart.threads == {threading.get_ident()}  # one thread uses the client
    disk.close()


def test_a_disk_that_hangs_stops_the_heart() -> None:
    """Beyond the patience nobody says any more that the tuner is well."""
    heart: Any = Heart(pace=1.0)
    disk, freed = Disk(), threading.Event()
    threading.Timer(0.3, freed.set).start()
    disk.during(heart, lambda: freed.wait(10.0))
    assert 25 <= heart.beats <= 31
    disk.close()


@pytest.mark.parametrize("beside", [True, False])
def test_work_is_done_in_order_and_says_what_went_wrong(beside: bool) -> None:
    heart: Any = Heart()
    disk, done = Disk(beside), []

    def keep(number: int) -> Callable[[], None]:
        def work() -> None:
            time.sleep(0.001 * (number % 3))
            done.append(number)

        return work

    def full() -> None:
        raise OSError("no space left")

    for number in range(20):
        disk.later(keep(number))
    disk.during(heart, keep(20))
    with pytest.raises(OSError, match="no space left"):
        disk.during(heart, full)
    disk.do(keep(21))
    disk.later(keep(22))
    disk.close()
    assert done == list(range(23))
