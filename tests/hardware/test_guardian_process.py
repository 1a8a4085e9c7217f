"""The guardian as a process: its command line, its files, its clock beside a virtual robot, and how it ends."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from hardware.guardian.pace import RobotPace

PERIOD, PATIENCE = 0.002, 0.012


class LossyLink:
    """States of a robot that waits for a command before every tick, as a virtual one does; some are lost.

    `wall` is the wall clock; waiting for a state that was lost takes as long as the guardian is willing to wait.
    """

    def __init__(self, lost) -> None:
        self.wall = self.robot = 0.0
        self._lost = lost
        self._asked = False

    def clock(self) -> float:
        return self.wall

    def read(self):
        if self._asked:
            return None
        self._asked = True
        self.robot += PERIOD
        return (
            None
            if self._lost(self.robot)
            else SimpleNamespace(reading=SimpleNamespace(time=self.robot), restarts=0)
        )

    def wait(self, seconds: float) -> bool:
        self.wall += seconds
        return False

    def tick(self, pace: RobotPace) -> tuple[float, bool]:
        self._asked = False
        now, state = pace.next(self)
        return now, state is not None


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_lost_states_do_not_make_the_guardians_clock_run_ahead_of_the_robots(share) -> None:
    random = np.random.default_rng(0)
    link = LossyLink(lambda _: random.random() < share)
    pace = RobotPace(PERIOD, PATIENCE, link.clock)
    times = [link.tick(pace)[0] for _ in range(2500)]
    assert min(np.diff(times)) >= 0.0
    assert max(np.diff(times)) < 0.02  # or the guardian would blame itself for a gap between commands
    assert times[-1] == pytest.approx(link.robot, rel=0.02)


def test_a_silent_robot_ages_by_the_wall_clock() -> None:
    link = LossyLink(lambda now: now > 1.0)
    pace = RobotPace(PERIOD, PATIENCE, link.clock)
    heard = 0.0
    for _ in range(600):
        now, fresh = link.tick(pace)
        if fresh:
            heard, since = now, link.wall
        elif link.wall - since > 0.09:
            assert now - heard == pytest.approx(link.wall - since, abs=2 * PATIENCE)
    assert now - heard > 0.5
