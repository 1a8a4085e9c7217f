"""A trial as an action of ROS 2, against a server that shares no code with safebo."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from in_process import in_process

pytest.importorskip("cyclonedds", reason="Cyclone DDS is not installed")

from safebo.evaluators.subprocess_evaluator import SubprocessEvaluator
from safebo.hardware.dds import Participant
from safebo.hardware.errors import LinkError, WireError
from safebo.hardware.ros2.interfaces import DEFINITIONS
from safebo.hardware.ros2.network import join
from safebo.hardware.ros2.trial_action import (
    RUN_TRIAL,
    Status,
    TrialAction,
    goal_of,
    measurement_of,
    run_trial,
)
from safebo.study.reading import parse_study
from safebo.types import Trial

DOMAIN = 20 + (os.getpid() + 60) % 200  # other test runs on this machine have their own
PEER = Path(__file__).with_name("ros2_action_peer.py")
TRIAL = {
    "id": 3,
    "parameters": {"kp": 60.5, "kd": 3.25},
    "context": {"speed": 0.4},
    "context_name": "slow",
    "phase": "local",
    "seed": 2**63,
}
COMMAND = [sys.executable, "-m", "safebo", "robot", "ros2", "trial", "/run_trial", "--domain", str(DOMAIN)]
STUDY = f"""\
name: by-action
evaluator:
  name: subprocess
  options: {{command: {json.dumps(COMMAND)}}}
parameters: [{{name: kp, bounds: [10, 90]}}, {{name: kd, bounds: [0, 9]}}]
objective: {{name: speed, prior_std: 1}}
constraints: [{{name: tilt, prior_std: 1}}, {{name: torque, prior_std: 1}}]
seeds: [{{parameters: {{kp: 60.5, kd: 3.25}}}}]
"""


@contextmanager
def server(behaviour: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, str(PEER), str(DOMAIN), behaviour], stdout=subprocess.PIPE, text=True
    ) as peer:
        try:
            assert peer.stdout is not None
            assert peer.stdout.readline() == "ready\n"
            yield peer
        finally:
            peer.terminate()


@pytest.fixture(scope="module")
def participant() -> Iterator[Participant]:
    made = join("lo", DOMAIN)
    yield made
    made.close()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def client(participant: Participant, said: list[str]) -> TrialAction:
    return TrialAction(participant, "/run_trial", said.append)


def line(peer: subprocess.Popen[str]) -> str:
    assert peer.stdout is not None
    return peer.stdout.readline()


def test_a_trial_is_asked_for_once_followed_and_measured(client: TrialAction, said: list[str]) -> None:
    with server("walk") as peer:
        measured = run_trial(client, TRIAL, 10.0)
        goal = line(peer)
    assert measured == {
        "margins": {"tilt": 0.25, "torque": 60.5},
        "outcome": "completed",
        "fell": False,
        "objective": 63.75,
        "message": "as asked",
    }
    assert goal == (
        "goal Goal(trial=3, names=['kp', 'kd'], values=[60.5, 3.25], context='slow', context_names=['speed'], "
        f"context_values=[0.4], seed={2**63})\n"
    )
    assert said == ["0.5 s: walks False"]


@pytest.mark.parametrize(
    ("behaviour", "error", "words"),
    [
        ("reject", LinkError, "the server rejected trial 3: it did not begin"),
        ("abort", LinkError, "the server aborted the trial: no battery"),
        ("torn", WireError, "the result names 2 margins and has 1 values"),
    ],
)
def test_what_is_no_measurement_is_said_in_words(
    client: TrialAction, behaviour: str, error: type[Exception], words: str
) -> None:
    with server(behaviour), pytest.raises(error, match=words):
        run_trial(client, TRIAL, 10.0)


def test_a_fall_is_a_measurement(client: TrialAction) -> None:
    with server("fall"):
        measured = run_trial(client, TRIAL, 10.0)
    assert measured == {
        "margins": {"tilt": -0.5, "torque": 1.0},
        "outcome": "aborted",
        "fell": True,
        "message": "it lies",
    }


def wait(what: Callable[[], Any]) -> Any:
    end = time.monotonic() + 10.0
    while (found := what()) is None:
        assert time.monotonic() < end
    return found


def test_a_trial_is_cancelled_and_a_server_may_refuse(client: TrialAction, said: list[str]) -> None:
    with server("hang") as peer:
        client.begin(TRIAL, 10.0)
        assert client.ended(0.1) is None
        client.cancel()
        with pytest.raises(LinkError, match="the trial was cancelled: somebody cancelled it"):
            wait(lambda: client.ended(0.1))
        assert [line(peer)[:4], line(peer)] == ["goal", "cancel 0\n"]
    assert said == ["the trial is being cancelled"]
    said.clear()
    with server("stubborn"):
        client.begin(TRIAL, 10.0)
        client.cancel()
    assert said == ["the server goes on with the trial: it refuses to cancel it"]


def test_a_server_that_is_not_there_is_said() -> None:
    elsewhere = join("lo", DOMAIN + 1)
    with pytest.raises(LinkError, match=r"nobody offers the action /run_trial \(0.1 s waited\)"):
        TrialAction(elsewhere, "/run_trial", print).begin(TRIAL, 0.1)
    elsewhere.close()


def test_a_server_that_goes_is_said_and_waited_for(client: TrialAction, said: list[str]) -> None:
    with server("hang"):
        client.begin(TRIAL, 10.0)
    wait(lambda: said or client.ended(0.1))
    assert "the server is gone; nobody knows how the trial ends. Look at the robot" in said[0]


@pytest.mark.parametrize("status", [Status.UNKNOWN, Status.EXECUTING, 17])
def test_an_end_that_is_none(status: int) -> None:
    result = {
        "margin_names": [],
        "margins": [],
        "message": "",
        "outcome": "",
        "fell": False,
        "objective": 0.0,
    }
    with pytest.raises(LinkError, match="which is no end"):
        measurement_of({"status": status, "result": result}, "/run_trial")
    with pytest.raises(WireError, match=r"outcome 'fine' .allowed: completed"):
        measurement_of({"status": Status.SUCCEEDED, "result": result | {"outcome": "fine"}}, "/run_trial")


TOLD = Trial(3, {"kp": 60.5, "kd": 3.25}, {}, "default", "local", 5, True)


def test_a_study_walks_its_trials_by_the_action() -> None:
    study = parse_study(STUDY).study
    with server("walk"):
        measured = SubprocessEvaluator(study, study.evaluator.options).evaluate(TOLD)
    assert (measured.outcome, measured.objective) == ("completed", 63.75)
    assert measured.margins == {"tilt": 0.25, "torque": 60.5}


def test_whoever_is_told_to_end_cancels_the_trial() -> None:
    with (
        server("hang") as peer,
        subprocess.Popen([*COMMAND, "--wait", "60"], stdin=subprocess.PIPE, text=True) as program,
    ):
        assert program.stdin is not None
        program.stdin.write(json.dumps(TRIAL))
        program.stdin.close()
        assert line(peer).startswith("goal")
        program.terminate()
        assert line(peer) == "cancel 0\n"
        assert program.wait(30) == 130


def test_what_cannot_be_asked_is_refused_at_the_command(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for action, stdin, words in (
        ("run trial", "{}", "is no name of ROS 2"),
        ("/run_trial", "[]", "expected a trial as one JSON object"),
        ("/run_trial", json.dumps({"id": 1}), "expected a trial as one JSON object ('parameters')"),
    ):
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        done = in_process(capfd, "robot", "ros2", "trial", action)
        assert (done.code, words in done.err, done.out) == (2, True, ""), done.err


def test_the_actions_file_says_what_is_sent() -> None:
    file = PEER.parents[2] / "docs" / "examples" / "ros2_trial_action" / "RunTrial.action"
    parts: list[list[str]] = [[]]
    for text in file.read_text().splitlines():
        field = " ".join(text.partition("#")[0].split())
        if field == "---":
            parts.append([])
        elif field:
            parts[-1].append(field)
    for part, fields in zip(("Goal", "Result", "Feedback"), parts, strict=True):
        assert DEFINITIONS[f"{RUN_TRIAL}_{part}"] == "; ".join(fields)


def test_gains_keep_their_order() -> None:
    goal = goal_of({"id": 1, "parameters": {"b": 1, "a": 2}})
    assert (goal["names"], goal["values"], goal["seed"]) == (["b", "a"], [1.0, 2.0], 0)
