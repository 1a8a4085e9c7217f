"""What a robot's evaluator reads before a trial: battery and motors, as the guardian says them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from safebo.hardware.tuning.evaluator import RobotEvaluator
from safebo.hardware.tuning.readings import without_readings
from safebo.types import RobotAddress


class Guardian:
    """A session with a guardian that says nothing but its status."""

    background = False

    def __init__(self, battery: int, hottest: int) -> None:
        self.seen = SimpleNamespace(battery=battery, hottest=hottest)

    def open(self) -> Any:
        return SimpleNamespace(virtual=True, serial="v1", rate=500.0)

    @contextmanager
    def client(self) -> Iterator[Any]:
        yield SimpleNamespace(status=lambda: self.seen)


@pytest.mark.parametrize(
    ("battery", "hottest", "said"),
    [
        (83, 41, {"robot.battery": 83.0, "robot.hottest_motor": 41.0}),
        (255, 41, {"robot.hottest_motor": 41.0}),
    ],
)
def test_battery_and_motors_are_read_and_what_is_unknown_is_left_out(
    battery: int, hottest: int, said: dict[str, float]
) -> None:
    session: Any = Guardian(battery, hottest)
    evaluator = RobotEvaluator({}, RobotAddress("here", 1), session)
    info = evaluator.info()
    assert evaluator.read_context() == said
    assert info.reads == ("robot.battery", "robot.hottest_motor")
    assert set(info.reads) <= {quantity.name for quantity in info.contexts}
    assert without_readings({"gait.duty_factor": 0.5, **said}) == {"gait.duty_factor": 0.5}
