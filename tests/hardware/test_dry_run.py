"""A guardian has loaded all that it runs before it is ready, and ticks are measured with its whole work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from safebo.experiments.robustness.guardian_world import go1
from safebo.hardware.guardian.bounds import quadruped_table
from safebo.hardware.guardian.dry_run import AtOnce, DryRun, StandingWalker, warm_up
from safebo.hardware.guardian.guarding import ending_at_once
from safebo.hardware.guardian.staging import GuardedController
from safebo.hardware.guardian.states import State

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parent / "loaded_late.py"


def test_nothing_is_compiled_loaded_or_imported_once_it_is_ready(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("LATE")] == []
    assert lines[-4:] == [
        "walked: completed",
        "watched: ended by trouble that says nothing about the gains: the inertial unit is frozen: attitude "
        "(imu_frozen: limit 0.03 s)",
        "cleared: REST",
        "stopped: DAMP_LATCHED",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_is_loaded_ends_it_at_once(number: signal.Signals) -> None:
    # the exception of a Ctrl-C would come in the middle of the compiler, and leave it broken
    child = os.fork()
    if child == 0:
        with ending_at_once():
            os.kill(os.getpid(), number)
            sum(range(10_000))
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


class Untouchable:
    """A controller in a process of its own, which nobody is to ask before there is a robot."""

    state_names = ("one",)

    def __getattr__(self, name: str) -> Any:
        pytest.fail(f"the controller was asked: {name}")


def test_a_controller_of_ones_own_is_not_asked_for_it() -> None:
    asked: Any = Untouchable()
    warm_up(go1(), GuardedController(asked, quadruped_table(), preparation=asked))


def test_what_is_measured_is_a_walk_that_a_monitor_watches() -> None:
    robot = go1()
    run = DryRun(robot, GuardedController(StandingWalker(robot), quadruped_table()), AtOnce())
    run.stand()
    times = run.measured(0.3, 20)
    guardian = run.process.guardian
    assert guardian.state is State.RUNNING
    assert guardian.run.plan is not None
    assert guardian.run.plan.monitor is not None
    assert guardian.run.backup < 0  # so it is asked in every tick
    assert guardian.measures.sensors.found.size
    assert times.total > 20
    assert guardian.latch.number == 0
