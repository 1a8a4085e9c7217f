"""A robot beside its trials: where it is, how it stands, who looks at it, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Check:
    """One line of a list that is gone through before the first trial.

    Args:
        name: what was looked at.
        passed: whether the run may begin.
        message: what was seen and, where it did not pass, what to do.
    """

    name: str
    passed: bool
    message: str


@dataclass(frozen=True)
class RobotAddress:
    """Where a robot's guardian is, and what may be there.

    Args:
        host, port: of the guardian.
        key: file of the key shared with it; None for the default.
        serial: of the physical robot that is meant; None: only a virtual one will do.
        clears: whether latches are cleared without a person; for virtual robots.
        trials: how many may still come, to see whether there is room for their records.
    """

    host: str
    port: int
    key: str | None = None
    serial: str | None = None
    clears: bool = False
    trials: int = 1


class RobotWatch(Protocol):
    """Tells a person what happens to a robot while nobody looks at it, from a thread of its own."""

    def close(self) -> None:
        """No more."""
        ...


@dataclass(frozen=True)
class StudyIdentity:
    """Which study a run is of.

    Args:
        name: of the study.
        hash: SHA-256, hexadecimal, of everything in it that decides what is tried.
        text: of its file.
    """

    name: str
    hash: str
    text: str


@dataclass(frozen=True)
class RobotStatus:
    """How a robot stands, as its guardian says and its own sensors show.

    Args:
        robot: `virtual` or `physical`, model and serial, in words.
        state: of the guardian, one word.
        message: why, in words.
        latched: whether a person has to clear something before it moves again.
        latch: number of what is latched; 0 for nothing.
        acknowledged: whether the first of two steps of clearing was taken.
        stopped: whether it is SEEN not to move: joints damped, and the robot itself says that it rests.
        why_not: why it is not seen so.
        age: of the newest state of the robot, s.
        silent: since when nothing was heard of the guardian, s.
        missed, rejected, overruns: control ticks without a new state, states refused, ticks that took too long, counted
            since the guardian's start.
        battery: per cent; None where unknown.
        hottest: motor, degrees Celsius; None where unknown.
        roll, pitch: rad.
        height: of the trunk above its lowest foot, m.
        lease: whether somebody tunes it.
        trial: that is armed, runs or ran last; 0 for none.
        elapsed: s since the walk of the running trial began.
        limits: thresholds of the guardian that are known: `tilt` (rad), `height` (m, from below), `state_age` (s),
            `battery_low` (per cent, from below: no trial begins).
    """

    robot: str
    state: str
    message: str = ""
    latched: bool = False
    latch: int = 0
    acknowledged: bool = False
    stopped: bool = False
    why_not: str = ""
    age: float = 0.0
    silent: float = 0.0
    missed: int = 0
    rejected: int = 0
    overruns: int = 0
    battery: int | None = None
    hottest: int | None = None
    roll: float = 0.0
    pitch: float = 0.0
    height: float = 0.0
    lease: bool = False
    trial: int = 0
    elapsed: float = 0.0
    limits: Mapping[str, float] = field(default_factory=dict)


class RobotView(Protocol):
    """Looks at a robot beside its tuner, and stops it. A bridge's `view(address)` makes one."""

    def look(self) -> RobotStatus:
        """How it stands now; returns at once.

        Raises:
            SafeboError: nothing is heard of its guardian; the message says since when.
        """
        ...

    def stop(self, reason: str) -> str:
        """Software stop, joint damping, latched; what the guardian says to it, in words.

        Raises:
            SafeboError: the guardian has not confirmed it.
        """
        ...

    def baseline(self, reason: str) -> str:
        """Baseline gains: it brakes, stands and keeps balance, latched; what the guardian says to it.

        Raises:
            SafeboError: the guardian has not confirmed it.
        """
        ...

    def acknowledge(self, latch: int) -> None:
        """First step of clearing, for a person who has looked at the robot and at the latch of this number.

        Raises:
            SafeboError: the guardian refuses it.
        """
        ...

    def clear(self) -> None:
        """Second step. Nothing moves.

        Raises:
            SafeboError: the guardian refuses it.
        """
        ...

    def close(self) -> None:
        """Look no more."""
        ...


class Ledger(Protocol):
    """Keeps what becomes of a trial on a robot, each step on disk before it is taken."""

    def study(self) -> StudyIdentity:
        """The study of the run whose trials these are."""
        ...

    def commit(self, trial_id: int, state: str, text: str = "", **data: Any) -> None:
        """Keep one step; returns once it is on disk, and raises when it cannot be kept."""
        ...

    def last(self, trial_id: int) -> tuple[str, Mapping[str, Any]]:
        """The newest step of a trial and its data; an empty name where there is none."""
        ...
