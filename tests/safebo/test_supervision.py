"""A person's part in a run on a robot: approvals, checks and verdicts.

Run, journal and the operator at the terminal are the real ones; only the robot is made up.
"""

from __future__ import annotations

import io
import re
import signal
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from closed_form_runs import HashTuner
from rich.console import Console
from robot_in_tests import shown
from supervised_runs import (
    TEXT,
    WHOLE,
    Killed,
    Person,
    agreeing,
    everything,
    in_order,
    killed_when,
    measured,
    statuses,
    steps,
    tune,
    world,
)

from safebo.errors import InputError, InterruptedRunError, RunStoppedError
from safebo.evaluators.source import EvaluatorSource
from safebo.runs.manual import edit_trial
from safebo.runs.operators import trial_card
from safebo.runs.verdicts import unsafe
from safebo.storage.journal import Journal
from safebo.study.reading import parse_study
from safebo.types import Bounds, Check, Measurement, NotStartedError, Trial, trial_hash

__all__ = ["world"]  # the fixture

# -- approvals ----------------------------------------------------------------------------------------------


def test_a_person_sees_what_is_proposed_and_every_yes_runs_it(tmp_path, world, monkeypatch) -> None:
    person = Person(monkeypatch, agreeing)
    assert tune(tmp_path, person.operator).told == 3
    assert [number for number, _ in world.motions] == [1, 2, 3]
    for number in (1, 2, 3):
        assert steps(tmp_path, number) == [*WHOLE, "ACCEPTED"]
    assert "ok robot: it is here" in person.saw
    assert "Trial 1: seed, context default" in person.saw
    assert re.search(r"p\W+2\W+2\W+0 \.\. 10\W+N", person.saw)  # seed, proposed, bounds, unit
    assert "height: 0 .. 2, expected 1 m (safe is >= 0)" in person.saw
    assert "Certified by the study's certificate" in person.saw
    assert len(person.questions) == 6


def test_the_card_shows_what_was_before_and_what_is_not_certified() -> None:
    study = parse_study(TEXT).study
    trial = Trial(
        2, {"p": 3.5, "d": 1.25}, {}, "default", "global", 0, False, {"speed": Bounds(-1, 0, 1)}, "why not"
    )
    screen = io.StringIO()
    Console(file=screen, width=160, color_system=None).print(trial_card(trial, study, {"p": 2.5, "d": 1.0}))
    said = " ".join(screen.getvalue().split())
    assert "Trial 2: global" in said
    assert re.search(r"p\W+2\W+2\.5\W+3\.5\W+0 \.\. 10", said)
    assert "Why: why not" in said
    assert "speed: -1 .. 1, expected 0 m/s" in said
    assert said.endswith("NOT certified")


@pytest.mark.parametrize("mumbling", ["", "no", "y", "YES please"])
def test_nothing_but_yes_runs_a_trial(tmp_path, world, monkeypatch, mumbling) -> None:
    person = Person(monkeypatch, in_order(mumbling, "stop", "the gantry is not there"))
    with pytest.raises(
        RunStoppedError, match="stopped by the operator before trial 1: the gantry is not there"
    ):
        tune(tmp_path, person.operator)
    assert (
        "Please type one of: yes, skip, stop, or ? for what they mean. Return alone decides nothing."
        in person.saw
    )
    assert world.motions == []
    assert steps(tmp_path) == []


def test_a_skipped_trial_is_recorded_and_never_modelled(tmp_path, world, monkeypatch) -> None:
    person = Person(monkeypatch, in_order("yes", "accept", "SKIP", "too stiff", "yes", "accept"))
    tune(tmp_path, person.operator)
    assert steps(tmp_path, 2) == ["SKIPPED"]
    assert [number for number, _ in world.motions] == [1, 3]
    assert (measured(tmp_path, 2).outcome, measured(tmp_path, 2).margins) == ("failed", {})
    assert measured(tmp_path, 2).message == "skipped by the operator: too stiff"


def test_stopping_keeps_the_proposal_which_is_asked_for_again_on_resuming(
    tmp_path, world, monkeypatch
) -> None:
    with pytest.raises(RunStoppedError, match="before trial 2: lunch"):
        tune(tmp_path, Person(monkeypatch, in_order("yes", "accept", "stop", "lunch")).operator)
    assert statuses(tmp_path) == [("told", "completed"), ("asked", "")]
    person = Person(monkeypatch, agreeing)
    tune(tmp_path, person.operator, resume=True)
    assert "Trial 2: local" in person.saw
    assert "Trial 1:" not in person.saw
    assert [number for number, _ in world.motions] == [1, 2, 3]


def test_nobody_at_the_terminal_moves_nothing(tmp_path, world, monkeypatch) -> None:
    with pytest.raises(
        RunStoppedError, match=r"trial 1 was not approved: nobody answers at this terminal.*--approve-all"
    ):
        tune(tmp_path, Person(monkeypatch, in_order(None)).operator)
    assert world.motions == []
    assert statuses(tmp_path) == [("asked", "")]


def test_ctrl_c_at_a_question_is_a_stop_by_ctrl_c(tmp_path, world, monkeypatch) -> None:
    def interrupt(question: str) -> str:
        signal.raise_signal(signal.SIGINT)
        return "yes"

    with pytest.raises(InterruptedRunError, match="trial 1 was not approved: interrupted at the question"):
        tune(tmp_path, Person(monkeypatch, interrupt).operator)
    assert world.motions == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_happens_to_the_robot_is_told_at_every_question_which_is_then_asked_again(
    tmp_path, world, monkeypatch
) -> None:
    class Watch:
        tell: Callable[[str], None]
        closed = 0

        def close(self) -> None:
            self.closed += 1

    watch, asked = Watch(), list[str]()

    def watched(source: EvaluatorSource, tell: Callable[[str], None]) -> Watch:
        watch.tell = tell
        return watch

    def say(question: str) -> str:
        told = threading.Thread(target=watch.tell, args=[f"LATCHED {len(asked)}: {command}"])
        told.start()
        told.join()
        *_, alarm, again = person.screen.getvalue().splitlines()
        assert alarm == f"! LATCHED {len(asked)}: {command}"  # in one piece, on a line of its own
        assert question.endswith(again.strip())  # nothing echoes the end of a line that was typed
        asked.append(again.strip())
        return answers.pop(0)

    monkeypatch.setattr(EvaluatorSource, "watch_robot", watched)
    command = f"safebo robot clear 127.0.0.1:4750 --key {'/a/long/folder' * 20}/link.key"
    answers = ["yes", "contaminated", "it stumbled", "skip", "too stiff", "stop", "lunch"]
    person = Person(monkeypatch, say)
    with pytest.raises(RunStoppedError, match="lunch"):
        tune(tmp_path, person.operator)
    assert [question.split(" (")[0] for question in asked] == [
        *("Run this trial?", "Your verdict?", "What happened?"),
        *("Run this trial?", "Why?", "Run this trial?", "Why?"),
    ]
    assert watch.closed == 1
    before = len(person.screen.getvalue())
    person.operator.alarm("LATCHED while nothing is asked")
    assert person.screen.getvalue()[before:] == "! LATCHED while nothing is asked\n"


def test_an_approval_is_bound_to_these_gains_and_to_now(tmp_path, world) -> None:
    seen = []

    def look(what: str) -> None:
        if what == "arm":
            with Journal.open(tmp_path, read_only=True) as journal:
                seen.append((journal.records()[-1].trial, journal.events()[-1].data))

    world.before = look
    tune(tmp_path, everything(), trials=1)
    ((trial, data),) = seen
    assert data["hash"] == trial_hash(trial)
    for changed in (
        replace(trial, id=2),
        replace(trial, parameters={**trial.parameters, "p": 2.0000001}),
        replace(trial, context={"load": 1.0}),
    ):
        assert trial_hash(changed) != data["hash"]
    assert (
        trial_hash(replace(trial, parameters=dict(reversed(list(trial.parameters.items()))))) == data["hash"]
    )


def test_a_proposal_that_was_changed_after_its_approval_needs_another(tmp_path, world, monkeypatch) -> None:
    def lost(what: str) -> None:
        raise NotStartedError("the approval is 61 s old; it holds for 60 s")

    world.before = lambda what: lost(what) if what == "arm" else None
    with pytest.raises(
        RunStoppedError, match=r"trial 1 was not started: the approval is 61 s old.*Its gains moved nothing"
    ):
        tune(tmp_path, everything())
    assert steps(tmp_path) == ["APPROVED"]
    world.before = lambda what: None
    edit_trial(tmp_path, 1, {"p": 3.0}, make_tuner=Editing)
    person = Person(monkeypatch, agreeing)
    tune(tmp_path, person.operator, trials=1, resume=True)
    assert "Trial 1: manual" in person.saw
    assert world.motions == [(1, {"p": 3.0, "d": 1.0})]
    with Journal.open(tmp_path, read_only=True) as journal:
        hashes = [e.data["hash"] for e in journal.events() if e.data.get("state") == "APPROVED"]
        assert hashes[1] == trial_hash(journal.records()[0].trial) != hashes[0]


class Editing(HashTuner):
    def edit(self, trial_id: int, parameters: dict[str, float]) -> Trial:
        return replace(self.records[trial_id][0], parameters=parameters, phase="manual")


def test_a_trial_that_has_run_cannot_be_changed_any_more(tmp_path, world) -> None:
    """Else its measurement would be taken for that of other gains."""
    with pytest.raises(Killed), killed_when(lambda kind, at: at == "ENDED", behind=True):
        tune(tmp_path, everything())
    assert (steps(tmp_path)[-1], statuses(tmp_path)) == ("ENDED", [("asked", "")])
    with pytest.raises(InputError, match="trial 1 cannot be changed: it has run"):
        edit_trial(tmp_path, 1, {"p": 3.0}, make_tuner=Editing)


# -- checks -------------------------------------------------------------------------------------------------


def test_a_check_that_fails_starts_nothing_and_is_said(tmp_path, world, monkeypatch) -> None:
    world.checks = [Check("robot", True, "here"), Check("battery", False, "12 % charge")]
    person = Person(monkeypatch, agreeing)
    with pytest.raises(RunStoppedError, match="not started: battery: see the list above"):
        tune(tmp_path, person.operator)
    assert "FAILED battery: 12 % charge" in person.saw
    assert (world.motions, person.questions) == ([], [])
    world.checks = [Check("robot", True, "here")]
    assert tune(tmp_path, person.operator, resume=True).told == 3


def test_checks_that_cannot_be_made_are_said_in_words(tmp_path, world) -> None:
    def lost(what: str) -> None:
        raise RuntimeError("no guardian answers at 127.0.0.1:1")

    world.before = lost
    with pytest.raises(
        RunStoppedError,
        match=r"checks before the first trial could not be made: no guardian answers",
    ):
        tune(tmp_path, everything())
    assert world.motions == []


# -- verdicts -----------------------------------------------------------------------------------------------


def test_a_contaminated_trial_says_nothing_about_its_gains(tmp_path, world, monkeypatch) -> None:
    person = Person(monkeypatch, in_order("yes", "maybe", "contaminated", "it slipped on the line"))
    tune(tmp_path, person.operator, trials=1)
    assert "Please type one of: accept, contaminated, unsafe" in person.saw
    assert re.search(r"height\W+6\W+0 \.\. 2\W+m", person.saw)  # measured, expected, unit
    assert steps(tmp_path) == [*WHOLE, "CONTAMINATED"]
    seen = measured(tmp_path)
    assert (seen.outcome, seen.objective) == ("failed", None)
    assert seen.message == "contaminated: it slipped on the line"


def test_unsafe_by_a_persons_word_counts_as_below_every_limit(tmp_path, world, monkeypatch) -> None:
    said = in_order("yes", "accept", "yes", "unsafe", "it shook", "yes", "accept")
    tune(tmp_path, Person(monkeypatch, said).operator)
    assert steps(tmp_path, 2) == [*WHOLE, "UNSAFE"]
    seen, raw = measured(tmp_path, 2), shown(world.motions[1][1])
    assert (seen.outcome, seen.objective) == ("aborted", None)
    assert seen.margins["height"] == -raw.margins["height"] < 0
    assert seen.message == "unsafe, says the operator: it shook"


@pytest.mark.parametrize("margin", [2.0, 1e-5, 0.0, -0.3])
def test_no_margin_speaks_for_a_trial_called_unsafe(margin) -> None:
    study = parse_study(TEXT).study
    seen = unsafe(Measurement("completed", 1.0, {"height": margin, "other": 5.0}), study, "")
    assert seen.margins["height"] <= min(margin, -1e-3)
    assert seen.margins["other"] == 5.0
    assert seen.message == "unsafe, says the operator"


def test_accepting_a_trial_that_crossed_a_limit_does_not_make_it_safe(tmp_path, world, monkeypatch) -> None:
    def say(question: str) -> str:
        world.outcome = "aborted" if len(world.motions) == 1 else "completed"
        return agreeing(question)

    tune(tmp_path, Person(monkeypatch, say).operator)
    assert steps(tmp_path, 1)[-1] == "ACCEPTED"
    assert steps(tmp_path, 2)[-1] == "UNSAFE"
    assert measured(tmp_path, 2).outcome == "aborted"


def test_a_verdict_that_nobody_gave_is_asked_for_again(tmp_path, world, monkeypatch) -> None:
    with pytest.raises(RunStoppedError, match=r"trial 1 ran and was not judged.*--resume asks again"):
        tune(tmp_path, Person(monkeypatch, in_order("yes", None)).operator, trials=1)
    assert (steps(tmp_path)[-1], statuses(tmp_path)) == ("SCORED", [("asked", "")])
    person = Person(monkeypatch, in_order("contaminated", "gone"))
    tune(tmp_path, person.operator, trials=1, resume=True)
    assert len(world.motions) == 1
    assert measured(tmp_path).message == "contaminated: gone"


@pytest.mark.parametrize(
    ("answer", "outcome"), [("accept", "completed"), ("contaminated", "failed"), ("unsafe", "aborted")]
)
def test_a_verdict_is_given_once_even_if_the_run_dies_behind_it(
    tmp_path, world, monkeypatch, answer, outcome
) -> None:
    said = in_order("yes", "accept", "yes", answer, "why")
    with pytest.raises(Killed), killed_when(lambda kind, state: kind == "tell", after_others=1):
        tune(tmp_path, Person(monkeypatch, said).operator, trials=2)
    assert steps(tmp_path, 2)[-1] in ("ACCEPTED", "CONTAMINATED", "UNSAFE")
    person = Person(monkeypatch, in_order())
    tune(tmp_path, person.operator, trials=2, resume=True)
    assert person.questions == []
    assert measured(tmp_path, 2).outcome == outcome
    assert answer == "accept" or "why" in measured(tmp_path, 2).message
    assert len(world.motions) == 2
