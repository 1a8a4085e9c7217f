"""Waiting for a robot's states: one is no proof of a link, a steady stream is."""

from __future__ import annotations

import time
from collections.abc import Callable

from safebo.hardware.constants import STEADY_GAP_S, STEADY_STATES
from safebo.hardware.errors import LinkError
from safebo.hardware.robot_link import RobotLink


def wait_for_stream(
    link: RobotLink,
    timeout: float,
    states: int = STEADY_STATES,
    ask: Callable[[], None] | None = None,
) -> str:
    """Wait until `states` states have come without a gap of more than `STEADY_GAP_S`.

    Args:
        link: the robot; it is read here, so nobody else sees these states.
        timeout: seconds.
        states: how many make a stream steady.
        ask: called every 2 ms, for robots that send a state only when they hear something.

    Returns:
        What was seen, for people.

    Raises:
        safebo.hardware.errors.LinkError: no steady stream within `timeout`.
    """
    start = time.monotonic()
    end = start + timeout
    first = seen = link.counters.accepted
    last = start
    while time.monotonic() < end:
        if ask is not None:
            ask()
        link.read()
        now = time.monotonic()
        if link.counters.accepted > seen:
            seen, last = link.counters.accepted, now
            if seen - first >= states:
                return f"{seen - first} states in {now - start:.2f} s"
        elif now - last > STEADY_GAP_S:
            first = seen
        time.sleep(0.002)
    counters = link.counters
    if not counters.received:
        raise LinkError(
            f"no steady stream of states within {timeout:g} s: nothing came at all. Is the robot on (or "
            "`safebo-virtual-robot` running), and is this its network, address and domain?"
        )
    raise LinkError(
        f"no steady stream of states within {timeout:g} s: {counters.received} packets came, {counters.accepted} were "
        f"news, {counters.damaged} damaged, {counters.duplicate} with the newest tick again"
    )
