"""A robot as a page sees it: at rest only when it is seen so, and nothing at all when its guardian is silent."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import pytest

from safebo.console.parts import robot_part
from safebo.hardware.constants import REST_TIME_S, VIEW_SILENT_S
from safebo.hardware.errors import LinkError
from safebo.hardware.guardian.bounds import quadruped_table
from safebo.hardware.guardian.description import description
from safebo.hardware.guardian.states import State
from safebo.hardware.guardian.thresholds import read_limits
from safebo.hardware.link.messages import StateMessage, Welcome
from safebo.hardware.tuning.viewing import GuardianView, limits_of
from safebo.types import RobotStatus


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


def test_the_page_shows_the_limits_that_the_guardian_goes_by() -> None:
    told = description(read_limits(None, ["tilt=0.3"]), quadruped_table(), Welcome(robot="go2"))
    status = RobotStatus("virtual go2", "HOLD", battery=80, limits=limits_of(json.loads(json.dumps(told))))
    shown = robot_part(status)
    assert [(name, limit) for name, _, limit, _ in shown["strips"]] == [
        ("roll", 0.3),
        ("pitch", 0.3),
        ("height", 0.16),
        ("state age", 100.0),
    ]
    assert ("battery", "80 % (no trial below 30 %)", False) in shown["facts"]
    older = robot_part(RobotStatus("virtual go2", "HOLD"))
    assert [limit for _, _, limit, _ in older["strips"]] == [None] * 4
