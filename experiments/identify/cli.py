"""Find out what a robot is like from trials that it walked, and which walk would tell more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from safebo.errors import InputError, SafeboError
from safebo.files.writing import check_place, write_whole
from safebo.text.command import keep_details_in, say

if TYPE_CHECKING:
    from safebo.experiments.identify.trials import ReadTrials
    from safebo.robots.identification.fit import Fit

app = typer.Typer(add_completion=False)


@app.command()
def identify(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of runs of one robot.")],
    trial: Annotated[
        list[int] | None,
        typer.Option(metavar="N", help="A trial of the runs; may be repeated. [default: 4, over each run]"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write what was found, as a `disturbance` for studies (YAML). With --ensemble: the chosen gains.",
        ),
    ] = None,
    suggest: Annotated[
        bool, typer.Option("--suggest", help="Say which certified walk would tell most next.")
    ] = False,
    for_task: Annotated[
        bool,
        typer.Option("--for-task", help="With --suggest: weigh parameters by what they do to the objective."),
    ] = False,
    ensemble: Annotated[
        bool,
        typer.Option(
            "--ensemble",
            help="With --suggest: without a model of the plant, by how far small models of its states disagree.",
        ),
    ] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads. [default: one per processor]")
    ] = None,
) -> None:
    """Find out what a robot is like from trials that it walked.

    The recorded torques of short pieces of walks are replayed in simulation from the measured states. Payload and
    its place, motor strength, joint damping and friction, armature, foot friction and delay are changed until the
    motion is the recorded one. It prints every estimate with its 90 % interval, what these walks did not tell, and
    whether the gap is among these parameters at all. Trials are taken that were completed, with their states
    recorded: `telemetry: true` of the study, and every trial on a robot.

    With `--suggest` the study's safe seeds and certified gains are simulated on the robot as identified, and the
    walk that would leave least unknown is named. It is then walked as any trial is; nothing is walked here.

    Trials of an evaluator of your own have no plant to identify. Where they report `states`, `--suggest --ensemble`
    learns small models of them and names the certified trial on which these disagree most.

    For example `safebo identify runs/go1-trot --out gap.yaml`, or with two trials of a robot `safebo identify
    runs/robot --trial 3 --trial 4 --suggest`.

    Exit codes: 0 identified, or suggested; 1 the gap is not among the parameters, and no estimate is given; 2 no
    trial tells of the plant.
    """
    keep_details_in(folders[0])
    if for_task and not suggest:
        raise InputError("--for-task: goes with --suggest")
    if ensemble:
        if not suggest:
            raise InputError("--ensemble: goes with --suggest")
        if for_task or trial or jobs or len(folders) > 1:
            raise InputError(
                "--ensemble: takes one run, all its trials, and none of --trial, --for-task, --jobs"
            )
        _suggest_by_ensemble(folders[0], out)
        return
    from safebo.experiments.identify.trials import read_trials
    from safebo.experiments.replay.runs import NoWalksError
    from safebo.robots.identification.gap_file import INTERVAL, gap_text

    if out is not None:
        check_place(out, INTERVAL, "--out")
    try:
        read = read_trials(folders, trial or [])
    except NoWalksError as error:
        raise InputError(
            f"{error}. Without a model of the plant, `safebo identify {folders[0]} --suggest --ensemble` says which "
            "certified trial to make next, where trials report `states`"
        ) from error
    found, robot = identified(read, jobs), read.run.evaluator.robot
    if found.outside:
        unwritten = "" if out is None else f"; {out} was not written"
        raise SafeboError(f"the robot's gap is not among the parameters that are looked for{unwritten}")
    if out is not None:
        try:
            write_whole(out, gap_text(found, robot.name, [log.name for log in read.walks]))
        except OSError as error:
            raise InputError(f"--out {out}: {error.strerror or error}") from error
        say(f"Written: {out}; its `disturbance` goes under evaluator.options of a study")
    if suggest:
        _suggest_by_information(read, found, for_task, jobs)


def identified(read: ReadTrials, jobs: int | None) -> Fit:
    """What recorded walks tell of the plant, told to people as well.

    Args:
        read: the walks.
        jobs: threads; None: one per processor.

    Raises:
        InputError: they cannot be fitted together; says why.
    """
    from safebo.robots.identification.fit import fit
    from safebo.robots.identification.gap_file import told
    from safebo.robots.identification.parameters import Family

    robot = read.run.evaluator.robot
    for line in read.passed_over[:3]:
        say(f"note: {line}")
    say(f"{robot.name}, from {', '.join(log.name for log in read.walks)}")
    try:
        found = fit(robot, read.walks, Family.of(robot.size), threads=jobs, tell=say)
    except ValueError as error:
        raise InputError(str(error)) from error
    for line in told(found):
        say(line)
    return found


def _suggest_by_information(read: ReadTrials, found: Fit, for_task: bool, jobs: int | None) -> None:
    from safebo.experiments.identify.candidates import next_walk

    try:
        chosen, fell = next_walk(read.run, found, for_task, jobs)
    except ValueError as error:
        raise InputError(f"--suggest: {error}") from error
    for line in fell:
        say(f"note: left out: {line}")
    say("next walk, by what it leaves of the unknown (1: nothing is learned):")
    for name in chosen.order:
        say(f"  {chosen.left[name]:.3f}  {name}")
    shrunk = ", ".join(
        f"{name} x {factor:.2f}" for name, factor in zip(found.family.names, chosen.shrinkage, strict=True)
    )
    say(f"after {chosen.order[0]}, expected standard errors: {shrunk}")


def _suggest_by_ensemble(folder: Path, out: Path | None) -> None:
    from safebo.experiments.identify.ensemble import suggest_by_ensemble, told_lines, write_gains
    from safebo.files.reading import usable_path

    if out is not None:
        check_place(out, "\ngains:", "--out")
    found = suggest_by_ensemble(usable_path(folder))
    for line in told_lines(found):
        say(line)
    if found.told.nothing_left:
        if out is not None:
            say(f"{out} was not written")
        return
    first = found.order[0]
    if out is not None:
        write_gains(out, first)
    say(
        f"Nothing was moved. Make {first.name} as any trial, then enter what it showed: safebo tell {folder} "
        f"--parameters {out or 'GAINS'} --measurement FILE --context {first.context_name}"
    )
