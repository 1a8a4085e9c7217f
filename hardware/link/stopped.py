"""Whether a robot is seen to have stopped: its guardian damps it, and the robot itself says that it rests.

What a guardian has latched is a promise; whether the robot keeps it is read from the robot's own states: they are
news, no joint turns, none holds a torque, the trunk does not tip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from safebo.hardware.constants import (
    DAMPED_TIMEOUT_S,
    GUARDIAN_SILENT_S,
    LYING_HEIGHT_M,
    REST_AGE_S,
    REST_SPEED,
    REST_TIME_S,
    REST_TORQUE,
    REST_TURN,
    SAT_TIMEOUT_S,
)
from safebo.hardware.errors import LinkError
from safebo.hardware.guardian.states import DAMPED, Response, State
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.messages import StateMessage
from safebo.hardware.unitree.joints import JOINT_NAMES

REMOTE = "use the robot's remote (L2+B) or its switch NOW"


class NotStoppedError(LinkError):
    """A robot was not seen to stop; the message says what was seen and what to do."""


def unrest(seen: StateMessage) -> str:
    """Why this State shows no robot at rest; empty when it does."""
    age = seen.age * 1e-6
    if age > REST_AGE_S:
        never = seen.age == 0xFFFFFFFF
        return (
            "nothing was ever heard of the robot" if never else f"the robot's newest state is {age:.1f} s old"
        )
    if seen.state not in DAMPED:
        return f"the guardian is in state {State(seen.state).name}"
    for values, most, words in (
        (seen.velocity, REST_SPEED, "turns at {:.1f} rad/s"),
        (seen.torque, REST_TORQUE, "holds {:.1f} N m"),
    ):
        sizes = [math.inf if math.isnan(value) else abs(value) for value in values]
        if max(sizes) > most:
            return f"joint {JOINT_NAMES[sizes.index(max(sizes))]} {words.format(max(sizes))}"
    return ""


class RestWatch:
    """Sees in State after State whether a robot has come to rest.

    Attributes:
        why: why it is not seen at rest yet; empty once it is.
        since: when the present rest began, by the guardian's clock, s; nan while there is none.
    """

    def __init__(self) -> None:
        self.why = "nothing was seen"
        self.since = math.nan
        self._attitude: tuple[float, ...] = ()

    def look(self, seen: StateMessage) -> bool:
        """Use a newer State; whether the robot has rested for long enough by now."""
        self.why = unrest(seen)
        if self.why:
            self.since = math.nan
            return False
        turned = max((abs(a - b) for a, b in zip(seen.attitude, self._attitude, strict=False)), default=0.0)
        if math.isnan(self.since) or turned > REST_TURN:
            self.since, self._attitude = seen.time, seen.attitude
        if seen.time - self.since < REST_TIME_S - 1e-9:
            self.why = f"it has not been at rest for {REST_TIME_S:g} s"
        return not self.why


@dataclass(frozen=True)
class Stopped:
    """A robot that was seen to have stopped.

    Args:
        seen: the State that shows it.
        first: the guardian's state once it had the stop.
        latched: seconds from asking to the State of the guardian that shows it.
        rested: seconds from asking to the moment since which the robot has been at rest.
    """

    seen: StateMessage
    first: State
    latched: float
    rested: float

    def __str__(self) -> str:
        last = State(self.seen.state)
        then = "" if last is self.first else f"{last.name}, "
        return (
            f"stopped: {self.first.name} after {self.latched:.3f} s; {then}joints damped and at rest after "
            f"{self.rested:.2f} s; {posture(self.seen)}"
        )


def posture(seen: StateMessage) -> str:
    """How a damped robot is, for people."""
    height = f"its trunk is {seen.height[0]:.2f} m above its lowest foot"
    tilt = max(map(abs, seen.attitude))
    if tilt > 0.5:
        return f"it does NOT lie level: tilted by {tilt:.1f} rad; {height}"
    return f"it lies, {height}" if seen.height[0] < LYING_HEIGHT_M else f"it does not lie: {height}"


def stop_and_see(client: GuardianClient, level: Response, reason: str) -> Stopped:
    """Stop a robot, and watch until it is seen to have stopped. Needs no lease.

    Args:
        client: connected.
        level: `SIT`, stand down first, or `DAMP`, joint damping at once.
        reason: for the guardian's log.

    Raises:
        NotStoppedError: the guardian did not confirm it, or the robot was not seen at rest in time.
    """
    begin = client.time()
    if not client.stop(level, reason):
        raise NotStoppedError(f"the guardian has not confirmed the stop: {REMOTE}")
    assert client.state is not None
    first, latched = State(client.state.state), client.time() - begin
    try:
        seen, since = see_rest(client, DAMPED_TIMEOUT_S if level is Response.DAMP else SAT_TIMEOUT_S)
    except NotStoppedError as error:
        name = State(client.state.state).name
        raise NotStoppedError(
            f"the guardian has confirmed the stop and is in state {name}, but the robot is NOT seen to have stopped: "
            f"{error}. Look at it, and {REMOTE}"
        ) from None
    return Stopped(seen, first, latched, since - begin)


def see_rest(client: GuardianClient, timeout: float) -> tuple[StateMessage, float]:
    """The State in which a robot has been seen at rest for long enough, and since when by the client's clock.

    Args:
        client: connected.
        timeout: s of the guardian's clock, which is slow where a virtual robot's is.

    Raises:
        NotStoppedError: it was not, in time; the message says what was seen instead.
    """
    watch, first, heard, rested = RestWatch(), math.nan, client.time(), math.nan
    count = client.counters.states
    while client.time() - heard <= GUARDIAN_SILENT_S:
        client.pump(REST_TIME_S / 10)
        seen = client.state
        if seen is None or client.counters.states == count:
            continue
        count, heard = client.counters.states, client.time()
        first = seen.time if math.isnan(first) else first
        since = watch.since
        if watch.look(seen):
            return seen, rested
        if watch.since != since:
            rested = heard
        if seen.time - first > timeout:
            raise NotStoppedError(f"{watch.why}, {timeout:g} s later")
    raise NotStoppedError(f"the guardian has been silent for {GUARDIAN_SILENT_S:g} s")
