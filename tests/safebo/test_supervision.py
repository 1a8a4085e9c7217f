"""A person's part in a run on a robot: checks, approvals, verdicts, resuming; and that no crash repeats a trial.

Run, journal, ledger and the operator at the terminal are the real ones; only the robot is made up.
"""

from __future__ import annotations

import io
import json
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from closed_form_runs import HashTuner
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from robot_in_tests import STUDY, WORLDS, World, shown

from safebo.cli.main import main
from safebo.cli.robot_options import robot_options
from safebo.errors import InputError, InterruptedRunError, JournalError, RunStoppedError, UnknownTrialError
from safebo.evaluators.source import EvaluatorSource
from safebo.runs.manual import edit_trial, resolve_trial
from safebo.runs.operators import (
    Account,
    ApprovesAll,
    NobodyThereError,
    Operator,
    TerminalOperator,
    trial_card,
)
from safebo.runs.runner import RunResult, run
from safebo.runs.supervision import check_allowed, check_meant
from safebo.runs.verdicts import unsafe
from safebo.storage.journal import Journal
from safebo.storage.trial_log import KIND, JournalLedger
from safebo.study.reading import parse_study
from safebo.types import Bounds, Check, EvaluatorInfo, Measurement, NotStartedError, Trial, trial_hash
from safebo.workers import worker

TEXT = STUDY.replace("WORLD", "it")


@pytest.fixture
def world() -> World:
    WORLDS["it"] = World()
    return WORLDS["it"]


class Person:
    """Answers the questions on a terminal: `say(question)` gives the line, None closes the terminal."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, say: Callable[[str], str | None]) -> None:
        self.screen = io.StringIO()
        self.questions: list[str] = []
        self._say = say
        self.operator = TerminalOperator(Console(file=self.screen, width=160, color_system=None))
        monkeypatch.setattr(sys, "stdin", self)

    def readline(self) -> str:
        self.questions.append(self.screen.getvalue().splitlines()[-1].strip())
        said = self._say(self.questions[-1])
        return "" if said is None else said + "\n"

    @property
    def saw(self) -> str:
        return " ".join(self.screen.getvalue().split())


def agreeing(question: str) -> str:
    return "yes" if question.startswith("Run this trial?") else "accept"


def in_order(*answers: str | None) -> Callable[[str], str | None]:
    rest = list(answers)
    return lambda question: rest.pop(0)


def everything() -> Operator:
    return ApprovesAll(Console(file=io.StringIO()))


def tune(folder: Path, operator: Operator | None, text: str = TEXT, **changes: Any) -> RunResult:
    """One process's part of a run: the robot's side begins anew, as after a start."""
    worker._made = None
    with ThreadPoolExecutor(1) as executor:
        return run(
            parse_study(text),
            folder,
            **{"make_tuner": HashTuner, "executor": executor, "seed": 3, "operator": operator, **changes},
        )


def steps(folder: Path, trial: int = 1) -> list[str]:
    with Journal.open(folder, read_only=True) as journal:
        return [str(e.data["state"]) for e in journal.events() if e.kind == KIND and e.trial == trial]


def statuses(folder: Path) -> list[tuple[str, str]]:
    with Journal.open(folder, read_only=True) as journal:
        return [(r.status, r.measurement.outcome if r.measurement else "") for r in journal.records()]


def measured(folder: Path, trial: int = 1) -> Measurement:
    with Journal.open(folder, read_only=True) as journal:
        found = {r.trial.id: r.measurement for r in journal.records()}[trial]
    assert found is not None
    return found


WHOLE = ["APPROVED", "ARMED", "RUNNING", "ENDED", "SCORED"]


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


# -- which robot --------------------------------------------------------------------------------------------


def test_a_physical_robot_is_named_and_nobody_approves_everything() -> None:
    study = parse_study(TEXT).study
    physical = EvaluatorInfo("robot", (), (), (), robot="physical", serial="12-345")
    virtual = replace(physical, robot="virtual", serial="1-1")
    with pytest.raises(
        InputError, match=r"serial 12-345 is there.*virtual one was asked for.*--physical 12-345"
    ):
        check_meant(physical, None)
    with pytest.raises(InputError, match=r"serial 12-345 is there, and the physical one with serial 12-346"):
        check_meant(physical, "12-346")
    with pytest.raises(InputError, match=r"a virtual robot with serial 1-1 is there"):
        check_meant(virtual, "12-345")
    check_meant(physical, "12-345")
    check_meant(virtual, None)
    with pytest.raises(InputError, match="--approve-all works only with a virtual robot"):
        check_allowed(physical, study, approve_all=True, global_trials=False)
    check_allowed(physical, study, approve_all=False, global_trials=False)
    check_allowed(virtual, study, approve_all=True, global_trials=False)


@pytest.mark.parametrize(
    ("method", "robot", "asked", "refusal"),
    [
        ("safe_ucb", "physical", False, None),
        ("safeopt", "physical", False, None),
        ("gosafeopt", "virtual", False, "--global-trials"),
        ("gosafeopt", "physical", False, "--global-trials"),
        ("gosafeopt", "physical", True, None),
        ("random", "physical", True, "promises nothing; it is not for a physical robot"),
        ("random", "virtual", False, "--global-trials"),
        ("random", "virtual", True, None),
    ],
)
def test_trials_outside_the_certified_set_have_to_be_asked_for_by_name(method, robot, asked, refusal) -> None:
    study = parse_study(TEXT + f"tuner: {{method: {method}}}\n").study
    info = EvaluatorInfo("robot", (), (), (), robot=robot)
    if refusal is None:
        check_allowed(info, study, approve_all=False, global_trials=asked)
    else:
        with pytest.raises(InputError, match=refusal):
            check_allowed(info, study, approve_all=False, global_trials=asked)


def test_nothing_is_made_for_a_run_that_is_refused(tmp_path, world) -> None:
    world.robot = "physical"
    with pytest.raises(InputError, match="--approve-all"):
        tune(tmp_path / "run", everything(), approve_all=True)
    with pytest.raises(InputError, match="its trials need an operator"):
        tune(tmp_path / "run", None)
    assert not (tmp_path / "run").exists()
    assert world.motions == []


def test_a_run_keeps_to_the_robot_it_began_with(tmp_path, world) -> None:
    tune(tmp_path, everything(), trials=1)
    world.serial = "1-2"
    with pytest.raises(
        InputError, match=r"begun with a virtual robot, serial 1-1; here is a virtual robot, serial 1-2"
    ):
        tune(tmp_path, everything(), trials=2, resume=True)
    world.robot, world.serial = "physical", "1-1"
    with pytest.raises(InputError, match="begun with a virtual robot, serial 1-1; here is a physical robot"):
        tune(tmp_path, everything(), trials=2, resume=True)
    world.robot = ""
    with pytest.raises(InputError, match="here is a simulation"):
        tune(tmp_path, None, trials=2, resume=True)
    world.robot = "virtual"
    assert tune(tmp_path, everything(), trials=2, resume=True).told == 2


def test_a_simulated_run_is_not_gone_on_with_on_a_robot(tmp_path, world) -> None:
    world.robot = ""
    with pytest.raises(RunStoppedError):  # the robot in these tests moves only when it is approved
        tune(tmp_path, None, trials=3)
    world.robot = "virtual"
    with pytest.raises(InputError, match=r"begun with a simulation; here is a virtual robot.*--prior"):
        tune(tmp_path, everything(), trials=4, resume=True)


# -- options ------------------------------------------------------------------------------------------------


def options(robot: str | None = "127.0.0.1:4750", **changes: Any):
    given: dict[str, Any] = {
        "physical": None,
        "key": None,
        "approve_all": False,
        "global_trials": False,
        "dry_run": False,
        **changes,
    }
    return robot_options(robot, **given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"robot": "robot"}, "expected HOST:PORT, for example 127.0.0.1:4750"),
        ({"robot": "host:"}, "expected HOST:PORT"),
        ({"robot": ":4750"}, "expected HOST:PORT"),
        ({"robot": "host:0"}, "expected HOST:PORT"),
        ({"robot": "host:65536"}, "expected HOST:PORT"),
        ({"robot": "host:x"}, "expected HOST:PORT"),
        ({"dry_run": True, "physical": "1-2"}, "--dry-run is for a virtual robot; leave --physical out"),
        ({"approve_all": True, "physical": "1-2"}, "--approve-all works only with a virtual robot"),
        ({"robot": None, "physical": "1-2"}, "--physical goes with --robot"),
        ({"robot": None, "key": Path("key")}, "--key goes with --robot"),
        ({"robot": None, "approve_all": True}, "--approve-all goes with --robot"),
        ({"robot": None, "global_trials": True}, "--global-trials goes with --robot"),
        ({"robot": None, "dry_run": True, "key": Path("key")}, "--key goes with --robot"),
    ],
)
def test_options_that_contradict_each_other_are_refused(given, words) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        options(**given)


def test_the_options_make_the_address_the_operator_and_the_words_to_go_on_with(tmp_path) -> None:
    plain = options(None)
    assert (plain.robot, plain.words(), plain.operator(Console(), Path())) == (None, [], None)
    named = options("robot.local:4751", physical="12-345", key=tmp_path / "key")
    assert named.robot is not None
    assert (named.robot.host, named.robot.port, named.robot.serial, named.robot.clears) == (
        "robot.local", 4751, "12-345", False,
    )  # fmt: skip
    assert named.words() == [
        "--robot",
        "robot.local:4751",
        "--key",
        str(tmp_path / "key"),
        "--physical",
        "12-345",
    ]
    assert isinstance(named.operator(Console(), Path()), TerminalOperator)
    rehearsal = options(None, approve_all=True, global_trials=True, dry_run=True)
    assert rehearsal.rehearse
    assert rehearsal.words() == ["--dry-run", "--approve-all"]
    free = options(approve_all=True, dry_run=True)
    assert free.words() == ["--robot", "127.0.0.1:4750", "--approve-all"]
    assert free.robot is not None
    assert free.robot.clears
    assert isinstance(free.operator(Console(), Path()), ApprovesAll)


def test_the_command_line_refuses_before_anything_is_made(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["tune", "go2-trot", "--approve-all", "--physical", "1-2", "--robot", "h:1"])
    assert ended.value.code == 2
    assert "--approve-all works only with a virtual robot" in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


# -- crashes ------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process is dead: from here on nothing is written."""


@contextmanager
def killed_when(when: Callable[[str, str], bool], after_others: int = 0, behind: bool = False):
    """Let the process die at a row of the journal, before or behind its commit.

    Args:
        when: told the journal's method and, for a step, its state.
        after_others: so many such rows are let through.
        behind: die once it is committed.
    """
    left, dead = [after_others], [False]
    originals = {name: getattr(Journal, name) for name in ("ask", "tell", "note", "mark_unknown")}

    def dying(name: str) -> Callable[..., Any]:
        def write(self: Journal, *arguments: Any, **keywords: Any) -> Any:
            if dead[0]:
                raise Killed
            data = arguments[3] if len(arguments) > 3 else keywords.get("data", {})
            hit = when(name, data.get("state", "") if isinstance(data, dict) else "")
            if hit:
                left[0] -= 1
                dead[0] = left[0] < 0
            if dead[0] and not behind:
                raise Killed
            written = originals[name](self, *arguments, **keywords)
            if dead[0]:
                raise Killed
            return written

        return write

    with pytest.MonkeyPatch.context() as patched:
        for name in originals:
            patched.setattr(Journal, name, dying(name))
        yield


@pytest.mark.parametrize("state", ["ARMED", "RUNNING"])
def test_a_trial_that_may_have_moved_waits_for_a_person(tmp_path, world, state) -> None:
    with pytest.raises(Killed), killed_when(lambda kind, at: at == state, after_others=1, behind=True):
        tune(tmp_path, everything())
    assert steps(tmp_path, 2)[-1] == state
    for _ in range(2):
        with pytest.raises(
            UnknownTrialError, match=r"trial 2: asked, but how it ended is not known.*safebo resolve"
        ):
            tune(tmp_path, everything(), resume=True)
    assert statuses(tmp_path) == [("told", "completed"), ("unknown", "")]
    resolve_trial(tmp_path, 2, Account("failed"))
    tune(tmp_path, everything(), resume=True)
    assert statuses(tmp_path) == [("told", "completed"), ("told", "failed"), ("told", "completed")]
    assert [number for number, _ in world.motions] == [1, 3]


def test_a_trial_whose_raw_file_is_gone_waits_for_a_person(tmp_path, world) -> None:
    with pytest.raises(Killed), killed_when(lambda kind, at: at == "SCORED"):
        tune(tmp_path, everything())
    (tmp_path / "trajectories" / "trial-1.json").unlink()
    with pytest.raises(UnknownTrialError, match="trial 1"):
        tune(tmp_path, everything(), resume=True)
    with Journal.open(tmp_path, read_only=True) as journal:
        (event,) = [e for e in journal.events() if e.kind == "unknown"]
    assert event.text.startswith("it ended, and its raw file cannot be scored: ")
    assert len(world.motions) == 1


crashes = st.lists(st.tuples(st.integers(0, 24), st.booleans()), max_size=4)


@pytest.mark.slow
@settings(max_examples=8, deadline=None, derandomize=True)
@given(crashes)
def test_no_sequence_of_crashes_runs_a_trial_twice_or_loses_one(plan) -> None:
    world = WORLDS["it"] = World()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def go_on() -> None:
            try:
                tune(folder, everything(), resume=True, max_failures=99)
            except UnknownTrialError:
                with Journal.open(folder, read_only=True) as journal:
                    waiting = [r.trial.id for r in journal.records() if r.status == "unknown"]
                assert waiting
                for number in waiting:
                    resolve_trial(folder, number, Account("failed"))

        for row, behind in plan:
            try:
                with killed_when(lambda kind, state: True, after_others=row, behind=behind):
                    go_on()
            except Killed:
                continue
        for _ in range(3):
            go_on()
            if [status for status, _ in statuses(folder)] == ["told"] * 3:
                break

        assert [status for status, _ in statuses(folder)] == ["told"] * 3
        ran = [number for number, _ in world.motions]
        assert len(set(ran)) == len(ran)
        for number in (1, 2, 3):
            line = "".join(f"{state} " for state in steps(folder, number))
            assert re.fullmatch("(APPROVED )+(ARMED (RUNNING (ENDED (SCORED )?(ACCEPTED )?)?)?)?", line), line
            seen = measured(folder, number)
            if "ENDED" not in line:
                assert (seen.outcome, seen.message) == ("failed", "resolved by a person as failed")
            else:
                raw = shown(dict(world.motions)[number])
                assert (seen.objective, dict(seen.margins)) == (raw.objective, raw.margins)
        with Journal.open(folder, read_only=True) as journal:
            for record in journal.records():
                gains = [g for number, g in world.motions if number == record.trial.id]
                assert gains in ([], [record.trial.parameters])


# -- the ledger ---------------------------------------------------------------------------------------------


@pytest.fixture
def ledger(tmp_path, world) -> JournalLedger:
    with pytest.raises(RunStoppedError):
        tune(tmp_path, StopsAtOnce(Console(file=io.StringIO())))
    return JournalLedger(tmp_path)


class StopsAtOnce(ApprovesAll):
    def approve(self, trial: Trial, study: Any, before: Any, nearest: Any) -> Any:
        raise NobodyThereError("gone")


FOLLOWS = {
    "": set(),
    "APPROVED": {"ARMED"},
    "ARMED": {"REFUSED", "RUNNING"},
    "RUNNING": {"ENDED"},
    "ENDED": {"SCORED"},
    "SCORED": set(),
    "REFUSED": set(),
}


@pytest.mark.parametrize("before", list(FOLLOWS))
def test_the_robots_side_takes_one_step_after_the_other(tmp_path, ledger, before) -> None:
    for state in ("ARMED", "REFUSED", "RUNNING", "ENDED", "SCORED"):
        if before:
            with Journal.open(tmp_path) as journal:
                journal.note(KIND, "", 1, {"state": before})
        if state in FOLLOWS[before]:
            ledger.commit(1, state, "words", file="a")
            assert ledger.last(1)[0] == state
            assert dict(ledger.last(1)[1]) == {"state": state, "file": "a"}
        else:
            with pytest.raises(
                JournalError, match=f"trial 1 is {before or 'not approved'}: it cannot be {state} now"
            ):
                ledger.commit(1, state)
            assert ledger.last(1)[0] == before


def test_what_was_done_is_offered_again_to_a_locked_journal_and_what_was_not_is_not_done(
    tmp_path, ledger, monkeypatch
) -> None:
    clock, note = [0.0], Journal.note
    times = SimpleNamespace(monotonic=lambda: clock[0], sleep=lambda s: clock.__setitem__(0, clock[0] + s))
    monkeypatch.setattr("safebo.storage.trial_log.time", times)

    def locked_until(end: float) -> None:
        def write(self: Journal, *arguments: Any, **keywords: Any) -> None:
            if clock[0] < end:
                raise JournalError("another program keeps it locked")
            note(self, *arguments, **keywords)

        monkeypatch.setattr(Journal, "note", write)

    with Journal.open(tmp_path) as journal:
        journal.note(KIND, "", 1, {"state": "APPROVED"})
        ledger.commit(1, "ARMED")
        locked_until(20.0)
        with pytest.raises(JournalError, match="locked"):
            ledger.commit(1, "RUNNING")
        assert clock[0] == 0.0
        note(journal, KIND, "", 1, {"state": "RUNNING"})
        ledger.commit(1, "ENDED")
        assert 20.0 <= clock[0] < 21.0
        locked_until(clock[0] + 40.0)
        with pytest.raises(JournalError, match="locked"):
            ledger.commit(1, "SCORED")
        assert clock[0] >= 50.0
    assert json.dumps(steps(tmp_path)) == '["APPROVED", "ARMED", "RUNNING", "ENDED"]'
