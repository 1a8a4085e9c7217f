"""Identify a robot from its trials, tune in that simulation, and write the study with which the robot is tuned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from safebo.errors import InputError, SafeboError, UnsafeSeedError
from safebo.text.command import keep_details_in, say
from safebo.text.file_names import file_name

if TYPE_CHECKING:
    from safebo.experiments.identify.trials import ReadTrials
    from safebo.experiments.transfer.folder import TransferFolder
    from safebo.study.reading import StudyFile

app = typer.Typer(add_completion=False)
DRAWS = 8
SEARCH = 400


@app.command()
def transfer(
    study: Annotated[
        str,
        typer.Argument(metavar="STUDY", help="Study of the robot: a file, or a name of `safebo studies`."),
    ],
    run: Annotated[
        list[Path],
        typer.Option("--from", metavar="RUN", help="Run of that robot, states recorded; may be repeated."),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the transfer. [default: runs/NAME-transfer]")
    ] = None,
    trial: Annotated[
        list[int] | None,
        typer.Option(metavar="N", help="A trial of the runs; may be repeated. [default: 4, over each run]"),
    ] = None,
    draws: Annotated[
        int, typer.Option(min=1, max=100, help="Robots that it may be, the estimate among them.")
    ] = DRAWS,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws and the sensors' noise.")] = 0,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trials in simulation, seeds included. [default: the study's]")
    ] = None,
    search: Annotated[
        int,
        typer.Option(min=0, help="Gains of a context that are tried in simulation without any certificate."),
    ] = SEARCH,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Walks that are simulated at the same time. [default: 1]")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Threads of the identification. [default: one per processor]"),
    ] = None,
) -> None:
    """Identify a robot from its trials, tune in that simulation, and write the study for the robot.

    What `safebo identify` finds in the recorded trials is drawn from, within its uncertainty: robots that yours may
    be. The study is tuned in all of them at once, safe in each and good in their mean. DIR then holds `gap.yaml` (what
    was identified), `simulation.yaml` and `simulated` (study and run in simulation), and `robot.yaml`, the study for
    the robot. The command that tunes the robot is printed, with the simulated run as prior, whose correlation the
    robot's own trials have to earn. The gains that were tuned in simulation are its goals: trials go there over gains
    that are certified on the robot.
    The best gains of each context are in `tuned-CONTEXT.yaml`: after the certified trials a search tries `--search`
    gains from the whole box, since nothing breaks in simulation, and gains between the seed and the best ones are
    simulated, so that the robot's trials on that way can show how much the simulation is worth.
    Nothing here moves a robot.

    For example `safebo transfer go2-trot --from runs/robot --out runs/transfer`. The same command goes on where it was
    stopped.

    Exit codes: 0 robot.yaml is written; 1 the gap is not among the parameters, a seed is not safe in every drawn
    robot, or stopped; 2 study, run, folder or an option is wrong.
    """
    from safebo.experiments.transfer.folder import TransferFolder
    from safebo.experiments.transfer.studies import ESTIMATE, refuse, simulation_study
    from safebo.files.reading import read_text
    from safebo.study.reading import load_study, study_hash

    file = load_study(study)
    refuse(file)
    path = out if out is not None else Path("runs") / f"{file_name(file.study.name)}-transfer"
    planned = TransferFolder(path)
    simulation_study(file, {ESTIMATE: {}}, planned.simulation, [])  # refused before anything is computed
    begun = planned.simulation.exists()
    read = None if begun else _read(file, run, trial or [])
    folder = TransferFolder.begun(
        path,
        {
            "study": file.study.name,
            "hash": study_hash(file.study),
            "from": [str(one.resolve()) for one in run],
            "trial": trial or [],
            "draws": draws,
            "seed": seed,
        },
    )
    keep_details_in(folder.path)
    if read is not None:
        _identify(file, read, folder, draws, seed, jobs)
    else:
        for line in read_text(folder.gap).splitlines():
            if line.startswith("# "):
                say(line[2:])
    simulation = load_study(folder.simulation)
    _tuned(simulation, folder, trials, workers)
    _searched(simulation, folder, search, seed)
    _walk_between(simulation, folder, seed)
    _write_robot(file, simulation, folder, seed, _moved_a_robot(run[0]))


def _read(file: StudyFile, runs: list[Path], trials: list[int]) -> ReadTrials:
    """The recorded walks, of the study's robot.

    Raises:
        InputError: they are of another one, or there are none.
    """
    from safebo.experiments.identify.trials import read_trials
    from safebo.experiments.transfer.studies import robot_of

    robot, read = robot_of(file), read_trials(runs, trials)
    other = read.run.evaluator.robot
    if other.mjcf != robot.mjcf:
        raise InputError(
            f"--from {runs[0]}: its robot is {other.name}, and {file.source} is of {robot.name}: what is identified of "
            "one robot says nothing of another"
        )
    return read


def _moved_a_robot(run: Path) -> bool:
    """Whether trials of a run moved a robot behind a guardian."""
    from safebo.storage.journal import Journal
    from safebo.storage.trial_log import all_steps

    with Journal.open(run, read_only=True) as journal:
        return bool(all_steps(journal))


def _identify(
    file: StudyFile, read: ReadTrials, folder: TransferFolder, draws: int, seed: int, jobs: int | None
) -> None:
    """Write what was identified and the study in simulation."""
    from safebo.experiments.identify.cli import identified
    from safebo.experiments.transfer.studies import drawn, simulation_study
    from safebo.robots.identification.gap_file import gap_text
    from safebo.robots.simulation.disturbance import Disturbance

    robot, names = read.run.evaluator.robot, [log.name for log in read.walks]
    found = identified(read, jobs)
    if found.outside:
        raise SafeboError(
            "the robot's gap is not among the parameters that are looked for: no simulation of it can be drawn"
        )
    gap = Disturbance.from_dict(file.study.evaluator.options.get("disturbance", {}), robot.size)
    heading = [f"Robots that the {robot.name} of {file.study.name} may be, by {', '.join(names)}."]
    simulation = simulation_study(file, drawn(found, gap, draws, seed), folder.simulation, heading)
    folder.write(folder.gap, gap_text(found, robot.name, names))
    folder.write(folder.simulation, simulation.text)


def _tuned(simulation: StudyFile, folder: TransferFolder, trials: int | None, workers: int | None) -> None:
    """The run in simulation, begun or gone on with."""
    from safebo.runs.progress import progress_for
    from safebo.runs.runner import run
    from safebo.text.screen import Screen

    try:
        run(
            simulation,
            folder.simulated,
            trials=trials,
            workers=workers,
            resume=True,
            progress=progress_for(Screen()),
        )
    except UnsafeSeedError as error:
        raise SafeboError(
            f"{error}. That robot is drawn from what the trials leave open, and yours may be it: a walk that tells "
            "more narrows them (`safebo identify RUN --suggest`), or begin from a seed that is safe in all"
        ) from error
    except SafeboError as error:
        if "--resume" not in str(error):
            raise
        say(str(error).replace("--resume", "the same command"), error=True)
        raise typer.Exit(error.exit_code) from error


def _searched(simulation: StudyFile, folder: TransferFolder, count: int, seed: int) -> None:
    """Better gains that no certificate leads to, of every context that has none yet; told to the simulated run.

    So the robot's tuner, of which that run is the prior, knows of them.
    """
    from safebo.experiments.transfer.search import searched
    from safebo.files.reading import read_file
    from safebo.runs.manual import enter_trial
    from safebo.runs.recommend import recommend

    certified = {name: best.gains for name, best in recommend(folder.simulated).best if best is not None}
    for given in simulation.study.seeds:
        name = given.context
        if folder.tuned(name).exists():
            folder.tuned_gains(simulation.study, name)
            before = read_file(folder.tuned(name)).get("searched", count)
            if before != count:
                say(f"{folder.tuned(name)} is what {before} gains showed; remove it to try {count}")
            continue
        say(f"context {name}: {count} gains are tried in simulation that nothing certifies")
        start = certified.get(name, given.parameters)
        found = searched(simulation.study, name, start, count, seed, say)
        gains = dict(start) if found is None else found[0]
        if found is not None and gains != dict(start):
            enter_trial(folder.simulated, gains, name, found[1])
        heading = f"# The best gains that were found in simulation, safe in every drawn robot there (context {name})."
        if found is None:
            say(
                f"context {name}: no gains were safe in every drawn robot; those that the search began with are kept"
            )
            heading = (
                f"# Where the search began: it found no gains that are safe in every drawn robot ({name})."
            )
        folder.write(
            folder.tuned(name),
            heading + "\n" + yaml.safe_dump({"gains": gains, "searched": count}, sort_keys=False),
        )


def _walk_between(simulation: StudyFile, folder: TransferFolder, number: int) -> None:
    """Tell the simulated run of gains between every seed and the tuned ones; what it knows already is not walked."""
    from safebo.experiments.evidence.truth import truth
    from safebo.experiments.transfer.between import between
    from safebo.runs.manual import enter_trial
    from safebo.storage.journal import Journal

    with Journal.open(folder.simulated, read_only=True) as journal:
        known = [(r.trial.context_name, dict(r.trial.parameters)) for r in journal.records(states=False)]
    for seed in simulation.study.seeds:
        name, tuned = seed.context, folder.tuned_gains(simulation.study, seed.context)
        left = [g for g in between(simulation.study, seed.parameters, tuned) if (name, g) not in known]
        if left:
            say(f"context {name}: {len(left)} gains between the seed and the tuned ones are simulated")
        for gains in left:
            enter_trial(folder.simulated, gains, name, truth(simulation.study, name, [gains], seed=number)[0])


def _write_robot(
    file: StudyFile, simulation: StudyFile, folder: TransferFolder, number: int, on_robot: bool
) -> None:
    """Write the robot's study and say what came of the simulation."""
    from safebo.experiments.transfer import studies
    from safebo.experiments.transfer.figures import in_drawn_robots, smallest_at_seeds
    from safebo.files.reading import read_text

    study = simulation.study
    tuned = {s.context: folder.tuned_gains(study, s.context) for s in study.seeds}
    rows = in_drawn_robots(study, tuned, number)
    at_seeds = smallest_at_seeds(study, [seed for seed, _ in rows], studies.QUANTILE)
    heading = [
        f"{file.study.name}, begun with what {folder.simulated} showed. To tune the robot:",
        f"  {folder.next_command(on_robot)}",
    ]
    robot = studies.robot_study(file, at_seeds, tuned, folder.robot, heading)
    kept = folder.robot.exists() and read_text(folder.robot) != robot.text
    if not kept:
        folder.write(folder.robot, robot.text)
    count = len(study.scenarios.values) if study.scenarios is not None else 0
    for seed, best in rows:
        say(f"context {seed.context}, in {count} robots that it may be:")
        say(f"  {seed.line(study)}")
        say(f"  {best.line(study)}")
    for line in studies.lowered(file.study, robot.study):
        say(line)
    said = "was changed since, and is left as it is" if kept else "is written"
    say(f"{folder.robot} {said}. Next: {folder.next_command(on_robot)}")
