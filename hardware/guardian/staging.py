"""The next trial as the tuner has sent it so far: nothing of it is at work before it is armed and started."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Protocol

from safebo.boundary.monitor import BoundaryMonitor
from safebo.hardware.constants import MAX_POLICIES, MAX_STATES, MAX_WIDTH
from safebo.hardware.guardian.bounds import ControllerGains
from safebo.hardware.guardian.walker import Walk, Walker
from safebo.hardware.link.arrays import build_monitor, size
from safebo.hardware.link.digest import MonitorDescription, WalkDescription, trial_digest
from safebo.hardware.link.messages import PIECE
from safebo.robots.quadruped.gait import Gait
from safebo.robots.quadruped.interface import SensorReading

Gains = tuple[float, ...]
MAX_UPLOAD_BYTES = size(MAX_STATES // 4, MAX_WIDTH // 2, MAX_POLICIES)
"""Bytes of an upload at most: about 26 MB."""


@dataclass(frozen=True)
class TrialPlan:
    """A complete, verified trial.

    Args:
        number: the tuner's number of it.
        gains: in table order.
        backups: the gains the monitor may switch to.
        walk: gait and speed.
        monitor: None without a boundary condition.
    """

    number: int
    gains: Gains
    backups: tuple[Gains, ...]
    walk: Walk
    monitor: BoundaryMonitor | None


class Preparation(Protocol):
    """Brings gains into a controller that cannot take them within a tick. Nothing here blocks."""

    def poll(self, now: float, reading: SensorReading | None, walking: bool, resting: bool) -> str:
        """One control tick; why the controller counts as failed, or empty.

        Args:
            now: s.
            reading: the robot's newest state; None before the first.
            walking: the walker is at work.
            resting: no trial is armed or runs, and the walker is not at work: gains may change.
        """
        ...

    def prepare(self, now: float, plan: TrialPlan) -> str:
        """Have a trial's gains brought in; why that is not so yet, or empty when they are.

        Raises:
            ValueError: they cannot be, and why.
        """
        ...

    def holds(self, values: Gains) -> bool:
        """Whether the controller is known to hold these gains now."""
        ...

    def events(self) -> list[str]:
        """What happened since the last call, for people."""
        ...


@dataclass(frozen=True)
class GuardedController:
    """What walks.

    Args:
        walker: the locomotion controller.
        table: its gains, hard bounds and baseline.
        preparation: brings gains into a controller that cannot take them within a tick; None where it can.
    """

    walker: Walker
    table: ControllerGains
    preparation: Preparation | None = None


class Staging:
    """Collects gains, walk and monitor.

    Args:
        table: the controller's gains and their hard bounds.
        width: numbers in a monitored state.
        executor: builds monitors, which takes up to a few tenths of a second, beside the control loop.
    """

    def __init__(self, table: ControllerGains, width: int, executor: Executor) -> None:
        self._table = table
        self._width = width
        self._executor = executor
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.gains: dict[int, Gains] = {}
        self.walk: Walk | None = None
        self._walk_description: WalkDescription | None = None
        self._monitor_description: MonitorDescription | None = None
        self._building: Future[BoundaryMonitor] | None = None
        self._upload = bytearray()
        self._missing: set[int] = set()

    def set_gains(self, slot: int, values: Gains) -> str:
        """All or none; why not, or empty."""
        if slot > MAX_POLICIES:
            return f"gain slot {slot}: there are slots 0 to {MAX_POLICIES}"
        problem = self._table.problem(values)
        if not problem:
            self.gains[slot] = values
        return problem

    def set_walk(self, description: WalkDescription) -> None:
        """Gait and speed.

        Raises:
            ValueError: a gait or speed that the guardian does not allow.
        """
        forward, leftward, yaw = description.velocity
        self.walk = Walk(
            Gait(*description.gait), (forward, leftward, yaw), description.ramp, description.settle
        )
        self._walk_description = description

    def take_piece(self, total: int, offset: int, data: bytes) -> None:
        """A piece of an upload; one of another total size begins a new upload.

        Raises:
            ValueError: a whole that is too large, or a piece that is not the one which begins there.
        """
        if not 0 < total <= MAX_UPLOAD_BYTES:
            raise ValueError(f"upload: {total} bytes; allowed are 1 to {MAX_UPLOAD_BYTES}")
        if offset % PIECE or offset >= total or len(data) != min(PIECE, total - offset):
            raise ValueError(
                f"upload: pieces begin at multiples of {PIECE} and have that length, the last one what remains"
            )
        if len(self._upload) != total:
            self._upload, self._missing = bytearray(total), set(range(0, total, PIECE))
        self._upload[offset : offset + len(data)] = data
        self._missing.discard(offset)

    def set_monitor(self, description: MonitorDescription) -> None:
        """Begin to build the monitor.

        Raises:
            ValueError: the upload is not complete, or its states are not what the walker's states are.
        """
        if not self._upload or self._missing:
            raise ValueError(f"monitor: the upload lacks {len(self._missing)} pieces")
        if description.width != self._width:
            raise ValueError(f"monitor: states have {self._width} numbers here, got {description.width}")
        self._monitor_description = description
        self._building = self._executor.submit(build_monitor, bytes(self._upload), description)

    def digest(self) -> bytes | None:
        """Of what is here; None while something is missing."""
        if self._walk_description is None or 0 not in self.gains:
            return None
        policies = self._monitor_description.policies if self._monitor_description else 0
        if any(slot not in self.gains for slot in range(1, policies + 1)):
            return None
        backups = [self.gains[slot] for slot in range(1, policies + 1)]
        return trial_digest(
            self._table.identity, self.gains[0], backups, self._walk_description, self._monitor_description
        )

    def plan(self, number: int) -> TrialPlan | None:
        """The complete trial; None while its monitor is still being built.

        Raises:
            ValueError: the monitor that was sent cannot be built.
        """
        monitor = None
        if self._building is not None:
            if not self._building.done():
                return None
            try:
                monitor = self._building.result()
            except Exception as error:
                raise ValueError(f"monitor: {error}") from error
        policies = self._monitor_description.policies if self._monitor_description else 0
        backups = tuple(self.gains[slot] for slot in range(1, policies + 1))
        assert self.walk is not None
        return TrialPlan(number, self.gains[0], backups, self.walk, monitor)
