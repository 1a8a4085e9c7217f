"""Robots beside the page: found by the study's bridge, looked at without disturbing who tunes them, and stopped."""

from __future__ import annotations

import importlib.metadata
import threading
from collections.abc import Callable
from typing import Any

from safebo.errors import EvaluatorError, SafeboError, short_text
from safebo.evaluators.source import BRIDGES
from safebo.types import RobotAddress, RobotStatus, RobotView

READY_S = 10.0
"""For a bridge to be loaded, before a stop says that it cannot reach the robot."""

MakeWatch = Callable[[RobotAddress], RobotView]


def bridge_watch(evaluator: str) -> MakeWatch:
    """What looks at a robot of an evaluator.

    Raises:
        EvaluatorError: it has no bridge, or one that cannot watch.
    """
    points = importlib.metadata.entry_points(group=BRIDGES, name=evaluator)
    for point in points:
        try:
            found: Any = point.load()
        except Exception as error:
            raise EvaluatorError(f"bridge {evaluator!r} cannot be loaded: {short_text(error)}") from error
        watch = getattr(found, "view", None)
        if watch is None:
            raise EvaluatorError(
                f"bridge {evaluator!r} has no `view(address)`: its robot is not seen, and cannot be stopped, from here"
            )
        made: MakeWatch = watch
        return made
    raise EvaluatorError(f"evaluator {evaluator!r} has no bridge to a robot")


class Robot:
    """One robot, whose bridge is loaded in the background.

    Args:
        evaluator: name in the study.
        address: of its guardian.
        find: how to look at a robot of an evaluator.
    """

    def __init__(
        self, evaluator: str, address: RobotAddress, find: Callable[[str], MakeWatch] = bridge_watch
    ) -> None:
        self.address = address
        self._watch: RobotView | None = None
        self._trouble = "the robot's bridge is being loaded"
        self._ready = threading.Event()
        self._rested = True

        def load() -> None:
            try:
                self._watch = find(evaluator)(address)
            except Exception as error:
                self._trouble = short_text(error)
            self._ready.set()

        threading.Thread(target=load, name="robot bridge", daemon=True).start()

    def look(self) -> tuple[RobotStatus | None, str]:
        """How it stands, or why that is not known."""
        if self._watch is None:
            return None, self._trouble
        try:
            status = self._watch.look()
        except Exception as error:  # a bridge is another package's, with errors of its own
            return None, str(error)
        self._rested = status.stopped
        return status, ""

    def needs_nobody(self) -> bool:
        """Whether it is seen at rest with nothing to clear, or was when its guardian was heard last."""
        status, _ = self.look()
        return self._rested if status is None else status.stopped and not status.latched

    def watch(self) -> RobotView:
        """What speaks to it, once it is there.

        Raises:
            SafeboError: it is not.
        """
        self._ready.wait(READY_S)
        if self._watch is None:
            raise SafeboError(
                f"The robot cannot be reached from here: {self._trouble}. Use its remote or switch NOW."
            )
        return self._watch

    def close(self) -> None:
        """Look no more."""
        if self._watch is not None:
            self._watch.close()
