"""The commands with which a person steps into a run: `answer`, and `resolve`, `tell`, `edit` while it stands still."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from safebo.cli.output import RunFolder, work_on
from safebo.errors import InputError
from safebo.text.command import say


def resolve(
    folder: RunFolder,
    trial: Annotated[int, typer.Argument(metavar="TRIAL", help="Id of the trial.")],
    account: Annotated[
        Literal["fell", "unsafe", "failed", "completed"] | None,
        typer.Option(
            "--as",
            help="`unsafe`, or `fell` where it fell: every margin counts as broken, so its gains and those near "
            "them are not certified. `failed`: it says nothing about its gains, which may be proposed again. "
            "`completed`: its raw file is scored, and judged, when the run is resumed.",
        ),
    ] = None,
    measurement: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="YAML or JSON with `objective`, `margins` and, if need be, `outcome`."
        ),
    ] = None,
    words: Annotated[
        str, typer.Option(metavar="TEXT", help="What was seen; kept with the trial. Goes with --as.")
    ] = "",
) -> None:
    """Say what became of a trial that was asked and whose result was never recorded.

    A physical robot may not repeat a trial, so after a crash such a trial waits for a person who looks at the
    robot. Say what happened, or give what the trial showed; then go on with `safebo tune ... --resume`, which asks the
    same question at a terminal.

    To try:

        safebo resolve runs/monday 12 --as fell --words "it lies on its left side"

        safebo resolve runs/monday 12 --measurement trial12.yaml
    """
    from safebo.runs.manual import resolve_trial
    from safebo.runs.operators import Account

    work_on(folder)
    if (account is None) == (measurement is None):
        raise InputError("say either --as fell, unsafe, failed or completed, or --measurement FILE")
    if account is None:
        assert measurement is not None
        if words:
            raise InputError("--words goes with --as; a measurement has its own `message`")
        told = resolve_trial(folder, trial, measurement)
    else:
        told = resolve_trial(folder, trial, Account(account, words))
    if told is None:
        say(
            f"trial {trial} is scored from its raw file, and judged, when the run goes on: `safebo tune ... --resume`"
        )
    else:
        fell = " (it fell)" if told.fell else ""
        say(f"trial {trial} is recorded as {told.outcome}{fell}")


def answer(
    folder: RunFolder,
    word: Annotated[
        str | None,
        typer.Argument(
            metavar="WORD",
            help="`left` or `right` is better, `same`, or `unacceptable`: neither is. [default: show the question]",
        ),
    ] = None,
) -> None:
    """Say which of two walks is better, where a run's objective is a person's preference.

    It answers the question with which the run waits: that of a `safebo tune` in another terminal, or of a run that
    stopped because nobody was there. Without a WORD the two walks are shown: gains, margins, recordings.

    To try:

        safebo answer runs/looks

        safebo answer runs/looks left
    """
    from safebo.runs.preference_cards import drawn_question
    from safebo.runs.preferences import answer_question, waiting_card
    from safebo.text.screen import Screen

    work_on(folder)
    if word is None:
        Screen().print(drawn_question(waiting_card(folder)))
        return
    question = answer_question(folder, word)
    say(
        f"question {question.number}: {word} is recorded (left: trial {question.left}, right: trial {question.right})"
    )


def tell(
    folder: RunFolder,
    parameters: Annotated[
        Path,
        typer.Option(metavar="FILE", help="YAML or JSON: every parameter and its value (or such `gains`)."),
    ],
    measurement: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="YAML or JSON with `objective`, `margins` and, if need be, `outcome`."
        ),
    ],
    context: Annotated[
        str | None, typer.Option(metavar="NAME", help="Its context. [default: the study's only one]")
    ] = None,
) -> None:
    """Enter a trial of your own choosing and what it showed: the tuner learns from it as from any other.

    Its phase is `manual`; it counts towards the run's total. The run must stand still, and resumes from there.

    To try:

        safebo tell runs/monday --parameters mine.yaml --measurement seen.yaml --context trot
    """
    from safebo.runs.manual import tell_trial

    work_on(folder)
    trial = tell_trial(folder, parameters, context, measurement)
    before = "were certified" if trial.certified else "were NOT certified"
    say(f"trial {trial.id} is recorded; before it, its parameters {before} in {trial.context_name}")


def edit(
    folder: RunFolder,
    trial: Annotated[int, typer.Argument(metavar="TRIAL", help="Id of a trial that still waits.")],
    set_: Annotated[
        list[str], typer.Option("--set", metavar="NAME=VALUE", help="A parameter; may be repeated.")
    ],
) -> None:
    """Change a proposal before it runs, and hear whether it is still certified safe.

    A run that was stopped in the middle of a trial leaves that trial waiting. The change takes effect with
    `safebo tune ... --resume`; the trial keeps its id, its phase becomes `manual`.

    To try:

        safebo edit runs/monday 12 --set joint.hip.kp=60 --set joint.hip.kd=3
    """
    from safebo.runs.manual import edit_trial

    work_on(folder)
    changes: dict[str, Any] = {}
    for pair in set_:
        name, _, text = pair.partition("=")
        if not text.strip():
            raise InputError(f"--set {pair!r}: expected NAME=VALUE, for example joint.hip.kp=60")
        try:
            changes[name.strip()] = float(text)
        except ValueError:
            changes[name.strip()] = text.strip()  # the name of a choice
    new = edit_trial(folder, trial, changes)
    state = "is still certified" if new.certified else "is NOT certified any more"
    bounds = ", ".join(f"{name} at least {b.lower:.4g}" for name, b in new.predicted.items())
    say(f"trial {trial} {state} ({bounds}); it runs so with --resume")
