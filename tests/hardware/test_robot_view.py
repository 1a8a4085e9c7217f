"""A robot as a page sees it: at rest only when it is seen so, and nothing at all when its guardian is silent."""

from __future__ import annotations

from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import pytest

from safebo.hardware.constants import REST_TIME_S, VIEW_SILENT_S
from safebo.hardware.errors import LinkError
from safebo.hardware.guardian.states import State
from safebo.hardware.link.messages import StateMessage
from safebo.hardware.tuning.viewing import GuardianView


def seen(**changes: Any) -> StateMessage:
    numbers: dict[str, Any] = {item.name: 0 for item in fields(StateMessage)}
    numbers |= dict.fromkeys(("position", "velocity", "torque", "target"), (0.0,) * 12)
    numbers |= {"attitude": (0.0, 0.0), "height": (0.1,), "message": "", "battery": 255, "hottest": 41}
    return StateMessage(**(numbers | changes))


def test_a_latched_stop_is_not_a_robot_at_rest_and_silence_shows_nothing() -> None:
    now = [0.0]

    def no_socket() -> Any:
        raise OSError("no network")

    view = GuardianView(no_socket, bytes(32), clock=lambda: now[0])
    view._ended.set()
    view._thread.join()
    client: Any = SimpleNamespace(
        welcome=SimpleNamespace(virtual=True, robot="go2", serial="1-1"), state=None
    )
    view._client = client

    def show(state: StateMessage) -> Any:
        client.state = state
        view._see(state)
        return view.look()

    moving = seen(state=int(State.DAMP_LATCHED), latch=3, velocity=(0.0,) * 11 + (4.0,), time=1.0)
    status = show(moving)
    assert (status.latched, status.stopped) == (True, False)
    assert "turns at 4.0 rad/s" in status.why_not
    still = replace(moving, velocity=(0.0,) * 12)
    assert not show(replace(still, time=1.1)).stopped
    assert show(replace(still, time=1.1 + REST_TIME_S + 0.01)).stopped
    assert not show(replace(still, time=1.5, state=int(State.HOLD))).stopped
    assert (status.battery, status.hottest) == (None, 41)
    now[0] += VIEW_SILENT_S + 0.1
    with pytest.raises(LinkError, match="nothing was heard"):
        view.look()
    view.close()
