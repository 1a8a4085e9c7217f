"""The commands with which a person steps into a run that stands still: `resolve`, `tell`, `edit`."""

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
    outcome: Annotated[
        Literal["failed"] | None,
        typer.Option(
            "--as", help="`failed`: no valid measurement exists; it is recorded and never modelled."
        ),
    ] = None,
    measurement: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="YAML or JSON with `objective`, `margins` and, if need be, `outcome`."
        ),
    ] = None,
) -> None:
    """Say what became of a trial that was asked and whose result was never recorded.

    A physical robot may not repeat a trial, so after a crash such a trial waits for a person who looks at the
    robot. Give what the trial showed, or that it has failed; then go on with `safebo tune ... --resume`.

    To try:

        safebo resolve runs/monday 12 --as failed

        safebo resolve runs/monday 12 --measurement trial12.yaml
    """
    from safebo.runs.manual import resolve_trial

    work_on(folder)
    if (outcome is None) == (measurement is None):
        raise InputError("say either --as failed or --measurement FILE")
    told = resolve_trial(folder, trial, measurement)
    say(f"trial {trial} is recorded as {told.outcome}")


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
