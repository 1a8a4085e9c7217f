"""What the page's routes share: the runs, who may do what, the robots, what is being drawn."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from safebo.console.access import TAKE_OVER_S, Access, Session
from safebo.console.parts import robot_part
from safebo.console.reading import RunReader, Runs
from safebo.console.replays import ReplayDrawer
from safebo.console.resolving import unknown_trial
from safebo.console.robots import MakeWatch, Robot, bridge_watch
from safebo.console.slices import SliceDrawer
from safebo.errors import SafeboError
from safebo.types import RobotAddress

MAX_DRAWINGS = 4
"""Videos that are asked for at a time: each keeps one of the server's threads, and a stop needs one too."""


@dataclass
class Console:
    """What the routes share.

    Args:
        runs: that are shown.
        access: sessions.
        address: of a robot's guardian, instead of the one that a run's tuner names.
        find: how to look at a robot of an evaluator.

    Attributes:
        addresses: of robots by the run that was seen to move them.
    """

    runs: Runs
    access: Access
    address: RobotAddress | None = None
    find: Callable[[str], MakeWatch] = bridge_watch
    robots: dict[tuple[str, int], Robot] = field(default_factory=dict)
    addresses: dict[str, RobotAddress] = field(default_factory=dict)
    slices: dict[str, SliceDrawer] = field(default_factory=dict)
    replays: dict[str, ReplayDrawer] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    drawings: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MAX_DRAWINGS))

    def load_robots(self) -> None:
        """Load the bridges of robots now: whoever opens a page may want to stop one at once."""
        for reader in self.runs.all():
            with suppress(SafeboError):  # a run that cannot be read says so on its page
                self.robot(reader)

    def robot(self, reader: RunReader) -> Robot | None:
        """The robot of a run, or the one that was named; None for a simulation.

        A run that was seen to go on has one until that needs nobody any more: a tuner that is killed leaves it moving.
        """
        address = self.address or self._address(reader)
        if address is None:
            return None
        key = (address.host, address.port)
        with self.lock:
            if key not in self.robots:
                evaluator = reader.snapshot().run.study.evaluator.name
                self.robots[key] = Robot(evaluator, address, self.find)
            return self.robots[key]

    def _address(self, reader: RunReader) -> RobotAddress | None:
        name = reader.name
        if reader.running():
            address = reader.questions.robot()
            if address is not None:
                self.addresses[name] = address
            return address
        address = self.addresses.get(name)
        if address is not None:
            robot = self.robots.get((address.host, address.port))
            if robot is None or robot.needs_nobody():
                self.addresses.pop(name, None)
                return None
        return address

    def event(self, reader: RunReader, session: Session) -> dict[str, Any]:
        """What a page is told five times a second."""
        state, question = reader.state(), reader.question()
        robot = self.robot(reader)
        seen, trouble = (None, "") if robot is None else robot.look()
        silent = self.access.owner_silent()
        owner = "you" if self.access.owns(session) else "none" if silent is None else "other"
        if owner == "other" and silent is not None and silent >= TAKE_OVER_S:
            owner = "silent"
        return {
            "state": state.kind,
            "text": state.text,
            "version": reader.snapshot().version,
            "question": None if question is None else question.id,
            "unknown": unknown_trial(reader),
            "owner": owner,
            "may_own": session.role == "owner",
            "has_robot": robot is not None,
            "robot": None if seen is None else robot_part(seen),
            "robot_trouble": trouble,
        }

    def close(self) -> None:
        """Look at no robot any more, and draw nothing."""
        for robot in self.robots.values():
            robot.close()
        for slices in self.slices.values():
            slices.close()
        for replays in self.replays.values():
            replays.close()
