"""See a trial of a run again, from its record: as a video, alone or beside another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safebo.errors import InputError, SafeboError
from safebo.text.command import keep_details_in, say

if TYPE_CHECKING:
    from safebo.robots.simulation.footage import Footage
    from safebo.robots.simulation.show import Outlets

app = typer.Typer(add_completion=False)


@app.command()
def replay(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    trial: Annotated[int, typer.Argument(metavar="TRIAL", help="Number of one of its trials.")],
    beside: Annotated[
        int | None, typer.Option(metavar="TRIAL", help="Another trial, shown beside it on the same clock.")
    ] = None,
    beside_run: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="The run of that trial; its robot may be another. [default: RUN]"),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Which of a trial's walks. [default: the one in which it did worst]"
        ),
    ] = None,
    video: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The MP4. [default: trial-N.mp4 in RUN; none with --view or --rerun]"
        ),
    ] = None,
    size: Annotated[str, typer.Option(metavar="WxH", help="Pixels of the video.")] = "1280x720",
    speed: Annotated[
        float, typer.Option(help="Seconds of the walk per second that is shown; 0.25 is slow motion.")
    ] = 1.0,
    view: Annotated[bool, typer.Option("--view", help="Open MuJoCo's viewer.")] = False,
    rerun: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a recording for Rerun (extra `rerun`).")
    ] = None,
) -> None:
    """Show a trial of a run again, from its record.

    Where its states were recorded (`telemetry: true`, and every trial on a robot) they are drawn; else the walk is made
    again with the recorded gains, context, scenario and seed, and compared with what was recorded. A trial on a robot
    is drawn as the robot itself saw it: measured joints and the estimated pose of the trunk.

    For example `safebo replay runs/go1-trot 12`, or `safebo replay runs/go1-trot 1 --beside 40 --video both.mp4`.

    Exit codes: 0 shown, 2 no such run or trial, or it cannot be shown, 1 nothing can be drawn here.
    """
    if beside is None and beside_run is not None:
        raise InputError(f"--beside-run {beside_run}: which of its trials? Give --beside TRIAL too")
    keep_details_in(folder)
    from safebo.experiments.replay.runs import SeenRun
    from safebo.experiments.replay.takes import take_of
    from safebo.robots.simulation.show import Outlets

    try:
        default = folder / f"trial-{trial:05d}{'' if beside is None else f'-beside-{beside:05d}'}.mp4"
        only = video is None and (view or rerun is not None)
        outlets = Outlets.chosen(None if only else video or default, size, speed, view, rerun)
    except ValueError as error:
        raise InputError(str(error)) from error
    run = SeenRun.open(folder)
    takes = [take_of(run, trial, scenario)]
    if beside is not None:
        other = run if beside_run is None else SeenRun.open(beside_run)
        named = scenario if scenario is None or scenario in other.record(beside).trial.scenarios else None
        takes.append(take_of(other, beside, named))
    for take in takes:
        for line in take.said:
            say(line)
    footages = [take.footage for take in takes]
    _show(footages, outlets)


def _show(footages: list[Footage], outlets: Outlets) -> None:
    from safebo.robots.simulation.show import NotShown, show

    try:
        for line in show(footages, outlets):
            say(line)
    except NotShown as error:
        raise SafeboError(str(error)) from error
    except ValueError as error:
        raise InputError(str(error)) from error
    except OSError as error:
        raise InputError(f"{error.filename or outlets.video}: {error.strerror or error}") from error
