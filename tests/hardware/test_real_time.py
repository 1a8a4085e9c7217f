"""Punctual ticks: what is asked of the system, how times are counted, why one was late, what a physical robot needs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safebo.hardware.constants import HISTOGRAM_BIN_S, LATE_REPORT_S
from safebo.hardware.errors import HardwareError, HardwareInputError
from safebo.hardware.guardian import guarding, pace, tick_times
from safebo.hardware.guardian.announcer import Announcer
from safebo.hardware.guardian.options import GuardianOptions
from safebo.hardware.guardian.pace import OwnPace
from safebo.hardware.guardian.real_time import NOT_ASKED, Grant, RealTime, chosen_core, cores
from safebo.hardware.guardian.still_robot import StillRobot
from safebo.hardware.guardian.tick_check import verdict
from safebo.hardware.guardian.tick_times import Moment, TickTimes, TickWatch
from safebo.robots.descriptions.model import load_robot

PROBE = """
import os, threading
from safebo.hardware.guardian.real_time import follow, request_real_time
found = request_real_time(0)
scheduled = os.sched_getscheduler(0) == os.SCHED_FIFO
assert scheduled == found.grants[0].got, found
locked = int(next(l for l in open("/proc/self/status") if l.startswith("VmLck")).split()[1])
assert (locked > 0) == found.grants[1].got, found
found.lead()
assert os.sched_getaffinity(0) == {0}
priority = os.sched_getparam(0).sched_priority
def beside():
    follow()
    if scheduled:
        assert os.sched_getaffinity(0) == set(range(os.cpu_count())), os.sched_getaffinity(0)
        assert 0 < os.sched_getparam(0).sched_priority < priority
    print("well")
thread = threading.Thread(target=beside)
thread.start()
thread.join()
print(*found.grants, sep="\\n")
"""


def probe(*before: str) -> str:
    done = subprocess.run([*before, sys.executable, "-c", PROBE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("well"), done.stdout + done.stderr
    return done.stdout


def test_what_is_said_to_be_granted_is_granted() -> None:
    probe()


def test_without_privilege_it_is_said_and_where_help_is() -> None:
    if os.geteuid() != 0 or not Path("/usr/bin/setpriv").exists():
        pytest.skip("privileges are taken away with setpriv, by root")
    said = probe("setpriv", "--bounding-set=-sys_nice,-ipc_lock", "prlimit", "--memlock=65536")
    assert "no SCHED_FIFO (Operation not permitted)" in said
    assert "not locked" in said
    assert said.count("docs/real-time.md") == 2


@pytest.mark.parametrize(
    ("text", "found"), [("", ()), ("\n", ()), ("3", (3,)), ("0-2,5\n", (0, 1, 2, 5)), ("1,7-8", (1, 7, 8))]
)
def test_lists_of_cores(text: str, found: tuple[int, ...]) -> None:
    assert cores(text) == found


@pytest.mark.parametrize(
    ("allowed", "isolated", "core"),
    [([0], [], None), ([0, 1], [], 1), ([0, 1, 2, 3], [1, 2], 2), ([0, 3], [1], 3), ([2], [2], 2)],
)
def test_the_loops_core(allowed: list[int], isolated: list[int], core: int | None) -> None:
    assert chosen_core(allowed, isolated) == core


@given(st.lists(st.floats(0.0, 0.09), min_size=1, max_size=60), st.sampled_from([0.5, 0.9, 0.999, 1.0]))
def test_quantiles_are_those_of_the_times_to_a_bin(seconds: list[float], share: float) -> None:
    times = TickTimes()
    for value in seconds:
        times.take(value)
    exact = float(np.quantile(seconds, share, method="inverted_cdf"))
    assert exact - 1e-12 <= times.quantile(share) <= exact + HISTOGRAM_BIN_S + 1e-12
    assert times.worst == max(seconds)
    assert times.total == len(seconds)


def test_a_time_beyond_the_histogram_is_not_lost() -> None:
    times = TickTimes()
    times.take(0.002)
    times.take(2.5)
    assert times.quantile(0.999) == 2.5
    assert times.over(0.01) == 1
    assert any("100.0 .." in line for line in times.histogram())


def late(monkeypatch: pytest.MonkeyPatch, *moments: tuple[float, float, int, int]) -> str:
    """What is said of the second tick: moments of its begin and end before, and its own begin."""
    waiting = [Moment(*moment) for moment in moments]
    monkeypatch.setattr(tick_times.Moment, "now", classmethod(lambda _cls: waiting.pop(0)))
    watch = TickWatch(0.002)
    assert watch.begin() == ""
    watch.end()
    return watch.begin()


@pytest.mark.parametrize(
    ("end", "begin", "words"),
    [
        ((10.0005, 1.0005, 0, 0), (10.002, 1.001, 0, 0), ""),
        (
            (10.0005, 1.0005, 0, 0),
            (10.02, 1.001, 0, 0),
            "20.0 ms after the one before: it was woken 18.0 ms late",
        ),
        ((10.009, 1.009, 0, 0), (10.009, 1.009, 0, 0), "the work of that took 9.0 ms"),
        ((10.009, 1.009, 7, 0), (10.009, 1.009, 7, 0), "took 9.0 ms, with 7 page faults"),
        ((10.009, 1.001, 0, 3), (10.009, 1.001, 0, 3), "held up for 8.0 ms: put off its core 3 times"),
        ((10.009, 1.001, 4, 0), (10.009, 1.001, 4, 0), "held up for 8.0 ms: 4 page faults"),
        ((10.009, 1.001, 0, 0), (10.009, 1.001, 0, 0), "another thread"),
    ],
)
def test_why_a_tick_was_late(
    end: tuple[float, float, int, int],
    begin: tuple[float, float, int, int],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = late(monkeypatch, (10.0, 1.0, 0, 0), end, begin)
    assert words in said
    assert bool(words) == bool(said)


def test_late_ticks_are_told_once_a_second_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(tick_times.Moment, "now", classmethod(lambda _cls: Moment(clock[0], 0.0, 0, 0)))
    watch, said = TickWatch(0.002), []
    for _ in range(round(LATE_REPORT_S / 0.01) + 2):
        said.append(watch.begin())
        watch.end()
        clock[0] += 0.01
    told = [line for line in said if line]
    assert len(told) == 2
    assert watch.late == len(said) - 1
    assert f"; {watch.late - 2} more" in told[1]


def test_our_own_pace_keeps_its_period_and_makes_up_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks are due a period apart, whatever their work took; after one that came late, a period after that."""
    clock, link = [5.0], StillRobot(load_robot("go1"))

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(pace, "time", SimpleNamespace(sleep=sleep))
    own = OwnPace(0.002, lambda: clock[0])
    times = []
    for work in (0.0, 0.0015, 0.0019, 0.05, 0.0, 0.001):
        times.append(own.next(link)[0])
        clock[0] += work
    assert times == pytest.approx([5.002, 5.004, 5.006, 5.008, 5.058, 5.060])


def test_a_held_terminal_does_not_hold_the_loop() -> None:
    held, printed = threading.Event(), []

    def say(line: str) -> None:
        held.wait(10.0)
        printed.append(line)

    announcer = Announcer(say)
    for number in range(1500):
        announcer(str(number))  # returns though nothing is printed
    held.set()
    announcer.close()
    assert printed[:3] == ["0", "1", "2"]
    assert 900 < len(printed) < 1500


def measured(*seconds: float) -> TickTimes:
    times = TickTimes()
    for value in seconds:
        times.take(value)
    return times


MISSING = RealTime((Grant("scheduling", False, "no SCHED_FIFO", needed=True),), None)


@pytest.mark.parametrize(
    ("real_time", "ticks", "words"),
    [
        (NOT_ASKED, [0.002] * 2000, ""),
        (MISSING, [0.002] * 2000, "scheduling: no SCHED_FIFO"),
        (NOT_ASKED, [0.002] * 900 + [0.02] * 2, "99.9 % within 20.00 ms"),
    ],
)
def test_a_physical_robot_needs_punctual_ticks(
    real_time: RealTime, ticks: list[float], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarding, "request_real_time", lambda _core: real_time)
    monkeypatch.setattr(guarding, "measure_ticks", lambda *_: measured(*ticks))
    robot: Any = load_robot("go2")
    assert guarding.prepare_real_time(robot, GuardianOptions()) == NOT_ASKED  # a virtual one's clock waits
    assert guarding.prepare_real_time(robot, GuardianOptions(own_clock=True)) == real_time
    options = GuardianOptions(physical=True)
    if not words:
        assert guarding.prepare_real_time(robot, options) == real_time
        return
    with pytest.raises(HardwareError, match=words) as refused:
        guarding.prepare_real_time(robot, options)
    assert "--accept-jitter" in str(refused.value)
    accepted = GuardianOptions(physical=True, accept_jitter="on a stand, feet in the air")
    assert guarding.prepare_real_time(robot, accepted) == real_time


def test_a_core_is_for_a_loop_in_real_time() -> None:
    with pytest.raises(HardwareInputError, match="--core goes with --physical or --own-clock"):
        GuardianOptions(core=0).read()


def test_the_bar_is_at_3_ms() -> None:
    assert verdict(measured(*[0.0029] * 1000))[0]
    assert not verdict(measured(*[0.0031] * 1000))[0]
