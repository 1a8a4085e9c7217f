"""The person beside a robot: goes through the checks, approves every trial before it runs, judges it afterwards."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from safebo.runs.cards import MeasuredCard, ProposalCard, measured_card, proposal_card
from safebo.runs.nearest import Nearest
from safebo.study import Study
from safebo.study.axis import value_text
from safebo.text.printable import one_line
from safebo.text.screen import literal
from safebo.text.signals import ending_signals_to
from safebo.text.typed_ahead import TYPED_AHEAD, drop_typed_ahead
from safebo.types import Check, Measurement, Trial

MOST_ANSWERS = 50
"""To one question: whoever types more that it does not know is no person."""

Judgement = Literal["accepted", "contaminated", "unsafe"]


@dataclass(frozen=True)
class Decision:
    """What a person says before a trial.

    Args:
        answer: `run` it, `skip` it (recorded, never modelled), or `stop` the run before it.
        words: why, where it is not run.
    """

    answer: Literal["run", "skip", "stop"]
    words: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a person says after a trial.

    Args:
        judgement: `accepted`: as measured. `contaminated`: something disturbed it, so it says nothing about the
            gains and is not modelled. `unsafe`: whatever was measured, it was not safe.
        words: why.
    """

    judgement: Judgement
    words: str = ""


@dataclass(frozen=True)
class Account:
    """What a person says of a trial whose result is not known.

    Args:
        answer: `fell` and `unsafe`: no margin speaks for its gains. `failed`: nothing is known of them. `completed`:
            its raw file says what it showed. `later`: nothing is said now.
        words: what was seen.
    """

    answer: Literal["fell", "unsafe", "failed", "completed", "later"]
    words: str = ""


APPROVAL = (
    (
        "yes",
        "the robot gets up and walks with the proposed gains; the approval holds for these gains, a minute",
    ),
    ("skip", "the trial is recorded with your reason and never modelled; another one is proposed"),
    ("stop", "the run ends here, and a robot that stands lies down; --resume goes on with it later"),
    ("safe seed", "what was known to be safe before the run"),
    ("bounds", "what the study allows at all"),
    (
        "0.05 .. 0.2",
        "of a margin: where it lies with the study's probability, if its prior is right. A trial is certified when the "
        "lower end of every margin is at least 0",
    ),
    (
        "nearest tried",
        "how far these gains are from gains that walked. A large change there, a lower end near 0, or a trial that is "
        "not certified: look twice",
    ),
)
JUDGEMENT = (
    ("accept", "what was measured counts as it is"),
    (
        "contaminated",
        "something else disturbed the walk (a person, a cable, the floor): it says nothing of the gains",
    ),
    (
        "unsafe",
        "whatever was measured, what you saw was not safe: every margin counts as broken, and nothing near these gains "
        "is certified by this trial",
    ),
)
RESOLUTION = (
    ("fell", "it fell or lies where it should not: as unsafe, and counted as a fall"),
    (
        "unsafe",
        "it stands, and what you saw was not safe, or somebody had to stop it: every margin counts as broken, and "
        "these gains and those near them are not certified",
    ),
    (
        "failed",
        "it says nothing about its gains, for a reason that is not theirs: it is not modelled, and the same gains may "
        "be proposed again",
    ),
    ("completed", "it walked to its end: its raw file is scored, and you judge that"),
    ("later", "look at the robot first; the run ends here, and `safebo resolve` or --resume ask again"),
)
"""What answers and the words of a card mean, for `?`."""


class Operator(Protocol):
    """Who decides."""

    def look(self, checks: Sequence[Check]) -> None:
        """See the checks that were made before the first trial."""
        ...

    def approve(
        self, trial: Trial, study: Study, before: Mapping[str, Any] | None, nearest: Nearest | None
    ) -> Decision:
        """Decide on a trial. `before`: the gains of the last trial that ran; `nearest`: of all that ran here."""
        ...

    def judge(self, trial: Trial, study: Study, measurement: Measurement) -> Verdict:
        """Judge a trial that ran."""
        ...

    def resolve(self, trial: Trial, why: str, scorable: bool) -> Account:
        """Say what became of a trial whose result is not known. `scorable`: its raw file was kept."""
        ...

    def alarm(self, words: str) -> None:
        """See at once what happened to the robot, whatever is asked or computed; called from any thread."""
        ...


class NobodyThereError(Exception):
    """A person was asked, and the terminal has no end that answers."""


class InterruptedQuestionError(NobodyThereError):
    """A person was asked, and answered with Ctrl-C."""


class TerminalOperator:
    """Asks at the terminal.

    Args:
        console: where to print and ask.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._question = ""  # that stands now

    def look(self, checks: Sequence[Check]) -> None:
        """Print the list."""
        print_checks(self._console, checks)

    def alarm(self, words: str) -> None:
        """Print it, and the question that stands once more: what was typed so far still counts."""
        question = self._question
        print_alarm(self._console, words, f"{question} " if question else "")

    def approve(
        self, trial: Trial, study: Study, before: Mapping[str, Any] | None, nearest: Nearest | None
    ) -> Decision:
        """Print the trial and ask."""
        self._console.print(trial_card(trial, study, before, nearest))
        self._console.print(
            "Is the area clear, is the remote in somebody's hand, does the robot stand or lie as it should?"
        )
        answer = self._ask("Run this trial?", ("yes", "skip", "stop"), APPROVAL)
        if answer == "yes":
            return Decision("run")
        return Decision("skip" if answer == "skip" else "stop", self._line("Why?"))

    def judge(self, trial: Trial, study: Study, measurement: Measurement) -> Verdict:
        """Print what was measured and ask."""
        self._console.print(drawn_measurement(measured_card(trial, study, measurement)))
        answer = self._ask("Your verdict?", ("accept", "contaminated", "unsafe"), JUDGEMENT)
        if answer == "accept":
            return Verdict("accepted")
        words = self._line("What happened?")
        return Verdict("contaminated" if answer == "contaminated" else "unsafe", words)

    def resolve(self, trial: Trial, why: str, scorable: bool) -> Account:
        """Print which trial it is, and ask."""
        self._console.print(unknown_trial(trial, why))
        answers = ("fell", "unsafe", "failed", *(("completed",) if scorable else ()), "later")
        explained = [row for row in RESOLUTION if row[0] in answers]
        answer = self._ask("What became of it?", answers, explained)
        words = "" if answer in ("completed", "later") else self._line("What did you see?")
        return Account(cast(Any, answer), words)

    def _ask(self, question: str, answers: tuple[str, ...], explained: Sequence[tuple[str, str]]) -> str:
        if drop_typed_ahead():
            self._console.print(TYPED_AHEAD)
        for _ in range(MOST_ANSWERS):
            given = self._line(f"{question} ({' / '.join(answers)} / ?)").lower()
            if given in answers:
                return given
            if given in ("?", "help"):
                self._console.print(explanation(explained))
                continue
            self._console.print(
                f"Please type one of: {', '.join(answers)}, or ? for what they mean. Return alone decides nothing."
            )
        raise NobodyThereError(
            f"{question} {MOST_ANSWERS} answers in a row are none of {', '.join(answers)}: no person answers so"
        )

    def _line(self, question: str) -> str:
        self._question = question
        try:
            # A question must not outlive a signal, which elsewhere only asks the run to end.
            with ending_signals_to(signal.default_int_handler):
                return self._console.input(literal(f"{question} ", "bold")).strip()
        except KeyboardInterrupt:
            raise InterruptedQuestionError("interrupted at the question") from None
        except EOFError:
            raise NobodyThereError(
                "nobody answers at this terminal. Trials on a robot need a person; `--approve-all` works with a "
                "virtual robot only"
            ) from None
        finally:
            self._question = ""


class ApprovesAll:
    """Approves every trial and accepts what was measured. For virtual robots, which nobody can get hurt by."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def look(self, checks: Sequence[Check]) -> None:
        """Print the list."""
        print_checks(self._console, checks)

    def approve(
        self, trial: Trial, study: Study, before: Mapping[str, Any] | None, nearest: Nearest | None
    ) -> Decision:
        """Yes."""
        return Decision("run", "by --approve-all")

    def judge(self, trial: Trial, study: Study, measurement: Measurement) -> Verdict:
        """As measured."""
        return Verdict("accepted", "by --approve-all")

    def resolve(self, trial: Trial, why: str, scorable: bool) -> Account:
        """Nothing: only who looked at the robot knows."""
        return Account("later")

    def alarm(self, words: str) -> None:
        """Print it."""
        print_alarm(self._console, words)


def print_alarm(console: Console, words: str, question: str = "") -> None:
    """A line that nobody misses, in one piece for a command in it to be copied; then the question that stands."""
    text = Text.assemble(
        "\n" if question else "", literal(f"! {words}", "bold red"), "\n", literal(question, "bold")
    )
    console.print(text, soft_wrap=True, end="")
    console.bell()


def print_checks(console: Console, checks: Sequence[Check]) -> None:
    """The list of checks, a line each."""
    console.print("Before the first trial:")
    for check in checks:
        mark = ("ok    ", "green") if check.passed else ("FAILED", "red")
        console.print(
            Text.assemble("  ", mark, f"  {one_line(f'{check.name}: {check.message}')}"), soft_wrap=True
        )


def unknown_trial(trial: Trial, why: str) -> Text:
    """Which trial it is of which nobody knows how it ended, and why."""
    gains = ", ".join(f"{name} {value_text(value)}" for name, value in trial.parameters.items())
    lines = (
        f"Trial {trial.id} ({trial.phase}, context {trial.context_name}) was begun, and how it ended is not known"
        + (f": {why}" if why else "")
        + ".",
        f"Its gains: {gains}. Look at the robot.",
    )
    return Text("\n").join(literal(one_line(line)) for line in lines)


def explanation(rows: Sequence[tuple[str, str]]) -> Table:
    """Words and what they mean, side by side."""
    table = Table.grid(padding=(0, 2))
    for word, meaning in rows:
        table.add_row(literal(word, "bold"), literal(meaning))
    return table


def trial_card(
    trial: Trial, study: Study, before: Mapping[str, Any] | None, nearest: Nearest | None = None
) -> Group:
    """What is proposed, what it was before and may be at all, what is expected of it, and how far it is from there."""
    return drawn_proposal(proposal_card(trial, study, before, nearest))


def drawn_proposal(card: ProposalCard) -> Group:
    """A proposal at a terminal."""
    table = Table(title=literal(card.title), title_justify="left")
    for title in ("gain", "safe seed", "last trial", "proposed", "bounds", "unit", "change"):
        table.add_column(title, justify="left" if title in ("gain", "unit") else "right")
    for row in card.gains:
        cells = (literal(row.name), literal(row.seed), literal(row.last), literal(row.proposed, "bold"))
        table.add_row(*cells, literal(row.bounds), literal(row.unit), literal(row.change))
    lines = [f"Why: {card.why}"] if card.why else []
    for e in card.expected:
        limit = " (safe is >= 0)" if e.margin else ""
        prior = f", by the prior: {e.prior}" if e.prior else ""
        lines.append(f"{e.name}: {e.lower} .. {e.upper}, expected {e.mean} {e.unit}{limit}".rstrip() + prior)
    lines += [f"Nearest tried: {card.nearest}", card.certificate]
    return Group(table, *(literal(one_line(line)) for line in lines))


def drawn_measurement(card: MeasuredCard) -> Group:
    """What a trial showed, at a terminal."""
    table = Table(title=card.title, title_justify="left")
    for name in ("measured", "value", "expected", "unit"):
        table.add_column(name, justify="left" if name in ("measured", "unit") else "right")
    for row in card.rows:
        table.add_row(literal(row.name), row.value, row.expected, literal(row.unit))
    return Group(table, literal(card.message)) if card.message else Group(table)
