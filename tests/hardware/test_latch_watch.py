"""A latch is told at once, with the whole command to clear it, and so is a guardian that is silent."""

from __future__ import annotations

import queue
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from safebo.hardware.errors import LinkError
from safebo.hardware.guardian.states import LATCHED, State
from safebo.hardware.link.connecting import RobotCommands
from safebo.hardware.link.messages import StateMessage
from safebo.hardware.tuning.risen import RisenWatch
from safebo.hardware.tuning.watching import LatchWatch

COMMANDS = RobotCommands("10.0.0.7:4750", Path("a folder/link.key"))


@pytest.fixture(scope="module")
def state() -> StateMessage:
    numbers: dict[str, Any] = {item.name: 0 for item in fields(StateMessage)}
    numbers |= dict.fromkeys(("position", "velocity", "torque", "target"), (0.0,) * 12)
    return StateMessage(**{**numbers, "attitude": (0.0, 0.0), "height": (0.1,), "message": ""})


def latched(state: StateMessage, latch: int, what: State = State.HOLD_LATCHED) -> StateMessage:
    return replace(state, state=what, latch=latch, message="no new robot state (state_age: limit 0.1 s)")


class Robot:
    """A guardian as a client sees it: what it says next comes from a queue; it can be away."""

    def __init__(self) -> None:
        self.says: queue.SimpleQueue[StateMessage] = queue.SimpleQueue()
        self.away = threading.Event()
        self.sessions = 0

    @contextmanager
    def connect(self) -> Iterator[Any]:
        if self.away.is_set():
            raise LinkError("no guardian answered")
        self.sessions += 1
        client = SimpleNamespace(state=None, counters=SimpleNamespace(states=0))

        def pump(seconds: float) -> None:
            try:
                client.state = self.says.get(timeout=seconds)
                client.counters.states += 1
            except queue.Empty:
                return

        client.pump = pump
        yield client


@pytest.fixture
def watched(monkeypatch) -> Iterator[tuple[Robot, queue.SimpleQueue[str]]]:
    monkeypatch.setattr("safebo.hardware.tuning.watching.GUARDIAN_SILENT_S", 0.15)
    monkeypatch.setattr("safebo.hardware.tuning.watching.WATCH_RETRY_S", 0.02)
    robot, told = Robot(), queue.SimpleQueue[str]()
    watch = LatchWatch(robot.connect, COMMANDS, told.put).start()
    yield robot, told
    watch.close()
    assert not watch._thread.is_alive()


def test_a_command_is_whole_and_can_be_pasted_anywhere() -> None:
    words = shlex.split(COMMANDS.clear)
    assert words[:4] == ["safebo", "robot", "clear", "10.0.0.7:4750"]
    assert words[4:] == ["--key", str(Path("a folder/link.key").resolve())]
    assert shlex.split(RobotCommands("h:1").stop) == ["safebo", "robot", "stop", "h:1"]


def test_each_latch_is_told_once_with_its_cause_and_command(state) -> None:
    told: list[str] = []
    watch = LatchWatch(lambda: None, COMMANDS, told.append)  # type: ignore[arg-type, return-value]
    watch.look(state)
    assert told == []
    for what in LATCHED:
        watch.look(latched(state, 1, what))
    (said,) = told  # one latch, whatever becomes of it
    assert "LATCHED, " in said
    assert "no new robot state (state_age: limit 0.1 s)" in said
    assert said.endswith(COMMANDS.clear)
    watch.look(latched(state, 2, State.SIT_LATCHED))
    assert told[1].startswith("LATCHED, SIT_LATCHED: ")
    watch.look(state)  # cleared, and a guardian that was started anew counts anew
    watch.look(latched(state, 2))
    assert len(told) == 3


def test_it_is_told_from_a_thread_of_its_own_and_silence_too(watched, state) -> None:
    robot, told = watched
    robot.says.put(latched(state, 4))
    assert "LATCHED, HOLD_LATCHED" in told.get(timeout=10.0)
    said = told.get(timeout=10.0)  # nothing more comes
    assert "SILENT" in said
    assert "remote (L2+B)" in said
    assert COMMANDS.stop in said
    robot.says.put(state)
    assert told.get(timeout=10.0) == "The guardian is heard again: DISCONNECTED."
    assert robot.sessions >= 2  # a guardian that was started anew knows the old session no more
    robot.away.set()
    assert "SILENT" in told.get(timeout=10.0)
    robot.away.clear()
    robot.says.put(latched(state, 1))
    assert "heard again: HOLD_LATCHED" in told.get(timeout=10.0)
    assert "LATCHED, HOLD_LATCHED" in told.get(timeout=10.0)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ([State.REST], ""),
        ([State.HOLD, State.SIT_LATCHED], ""),  # it stood before
        (
            [State.REST, State.STANDING_UP, State.SIT_LATCHED],
            ". The robot had begun to get up for it, with",
        ),
        (
            [State.STANDING_UP, State.HOLD, State.LYING_DOWN],
            ". The robot had got up for it, with",
        ),
    ],
)
def test_how_far_a_robot_got_up_for_a_trial_that_did_not_start_is_said(state, seen, words: str) -> None:
    client: Any = SimpleNamespace(on_state=None)
    risen = RisenWatch()
    with risen.watching(client):
        for one in seen:
            client.on_state(replace(state, state=one))
    assert client.on_state is None
    assert risen.words.startswith(words)
    assert bool(risen.words) == bool(words)
