"""A question to a person ends with Ctrl-C, SIGTERM, and a program that answers it without an end."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest
from rich.console import Console
from robot_in_tests import STUDY

from safebo.runs.operators import MOST_ANSWERS, InterruptedQuestionError, NobodyThereError, TerminalOperator
from safebo.study.reading import parse_study
from safebo.types import Measurement, Trial
from safebo.workers.interrupt import StopRequest

STUDY_OF_TESTS = parse_study(STUDY).study
TRIAL = Trial(3, {"p": 1.0, "d": 2.0}, {}, "default", "local", 0, certified=True)
MEASURED = Measurement("completed", objective=0.0, margins={"height": 1.0})


def judge(monkeypatch: pytest.MonkeyPatch, answer: Any) -> Any:
    console = Console(quiet=True)
    monkeypatch.setattr(console, "input", answer)
    return TerminalOperator(console).judge(TRIAL, STUDY_OF_TESTS, MEASURED)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_question_that_is_else_only_a_request(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def sent(prompt: Any) -> str:
        os.kill(os.getpid(), number)
        time.sleep(5.0)  # as input does, the sleep goes on where a handler only took note
        return "accept"

    with StopRequest() as stop:
        with pytest.raises(InterruptedQuestionError):
            judge(monkeypatch, sent)
        assert stop.requests == 0
        os.kill(os.getpid(), number)
        assert stop.soon


def test_a_program_that_answers_without_an_end_is_no_person(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def yes(prompt: Any) -> str:
        given.append(prompt)
        return "yes"

    with pytest.raises(
        NobodyThereError, match="50 answers in a row are none of accept, contaminated, unsafe"
    ):
        judge(monkeypatch, yes)
    assert len(given) == MOST_ANSWERS == 50
