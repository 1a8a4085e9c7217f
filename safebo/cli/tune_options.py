"""The options of `safebo tune`, and its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HELP = """Tune the gains of a study until its trials are done.

Every trial is recorded before it runs and again when it is measured, so a run that is killed loses
nothing that was measured. Ctrl-C finishes the trial that runs; a second Ctrl-C stops at once. Either way
`--resume` goes on as if nothing had happened: same trials, same order.

The objective is maximised; a margin is safe when it is >= 0, in the unit that the study gives.

To try:

    safebo tune go1-trot

    safebo tune my-robot.yaml --out runs/monday --trials 40 --workers 2

    safebo tune go1-trot --trials 80 --resume

    safebo tune go2-trot --dry-run

    safebo tune go2-trot --robot 127.0.0.1:4750

With `--dry-run`, all of what follows is rehearsed on a virtual robot that comes and goes with this command.

With `--robot`, trials move the robot that `safebo-guardian` guards at that address. What is seen before the first
trial is listed; every trial is approved at the terminal before it runs and judged after it; each step is recorded
before it is taken. Ctrl-C ends the trial and lets the robot lie down, a second one damps its joints at once. That
is a software stop: the emergency stop is the robot's own remote or switch, in somebody's hand.

With `--prior`, the trials of another run serve as prior as the study's `surrogate.prior_data` says: beta is
inflated while they are believed, they are dropped when the first trials here contradict them, and seeds are
measured first all the same. They are copied into the new run's journal, so `--resume` needs neither the other
folder nor the option.

    safebo tune go1-trot --prior runs/simulated --out runs/measured

With `--continue`, a new run begins with the trials of an earlier one whose study had other bounds, limits or gains:
they count as measured, and --trials more follow. Gains that the earlier run certified and this one does not are
named before the first trial. A gain that is new had the evaluator's default, or what the seeds say; one that is
gone is fixed there. Where the evaluator's options changed, `--moved tilt=0.05` says that the limit of margin tilt
is that much further away now, `--moved nothing` that no margin moved.

    safebo tune go1-trot.yaml --continue runs/monday --out runs/tuesday

    safebo tune go1-trot.yaml --continue runs/tuesday --robot-changed "new feet" --out runs/wednesday

Where the study's objective is a preference (`objective.kind`), the run asks after every walk from the second on
which of two is better: at this terminal, by `safebo answer DIR`, or in the page of `safebo console DIR`. Where
nobody can answer it stops and says so; it makes up no answer.

With `--trace`, every ask leaves a Parquet file in the run's folder `trace`: the candidates (at most 1,000 of a
search: the 500 of the largest value and 500 others), their bounds, whether each is certified, the acquisition's
value, and the trial with its reason. Trials are the same with it and without it. `--resume` goes on without it
unless it is said again.

    safebo tune go1-trot --out runs/seen --trace

Exit codes: 0 all trials are done, or the --minutes are over; 2 the study, the folder or an option is wrong;
1 stopped or failed, or every trial failed; 130 stopped by Ctrl-C on a robot.
"""
"""What the command says of itself."""

StudyName = Annotated[
    str, typer.Argument(metavar="STUDY", help="Name of a shipped study, or path of a study file.")
]
Out = Annotated[Path | None, typer.Option(help="Folder of the run. [default: runs/NAME]")]
Trials = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Total number of trials, seeds included, also on resume; with --continue those that follow. "
        "[default: the study's]",
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        help="No trial begins later than so many minutes from now; `--resume` goes on with the rest."
    ),
]
Seed = Annotated[int | None, typer.Option(min=0, help="Same seed, same trials. [default: the study's]")]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Trials that run at the same time, asked in rounds. [default: 1]"),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")]
JournalUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Database for a new run's journal. [default: SQLite in the folder]"),
]
RobotHost = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Run the trials on the robot behind this guardian instead of in simulation.",
    ),
]
Physical = Annotated[
    str | None,
    typer.Option(
        metavar="SERIAL", help="The physical robot that is meant; without it only a virtual one will do."
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Key shared with the guardian. [default: ~/.config/safebo/link.key]"),
]
ApproveAll = Annotated[
    bool, typer.Option("--approve-all", help="Ask nobody before and after a trial. Virtual robots only.")
]
GlobalTrials = Annotated[
    bool,
    typer.Option(
        "--global-trials",
        help="On a robot: also trials outside the certified set, if the method makes any.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Rehearse on a virtual robot, which this command starts with its guardian. With --robot: on the one "
        "there, and refuse any that is not virtual.",
    ),
]
InConsole = Annotated[
    bool,
    typer.Option(
        "--console",
        help="On a robot: trials are approved and judged in the page of `safebo console DIR`, or at this terminal, "
        "whichever answers first. With a preference objective: so are walks compared, in simulation as well.",
    ),
]
Prior = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="A run of the same study, usually in simulation, whose trials inform a new run.",
    ),
]
Trace = Annotated[
    bool,
    typer.Option(
        "--trace",
        help="Keep what every ask looked at (candidates, bounds, values, the decision) as tables in the folder "
        "`trace`.",
    ),
]
Continue = Annotated[
    Path | None,
    typer.Option(
        "--continue",
        metavar="DIR",
        help="An earlier run of the same robot that goes on in a new one, under changed bounds, limits or gains.",
    ),
]
RobotChanged = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="With --continue: what changed of the robot since (foot, firmware, payload). Its earlier trials are "
        "then another robot's, and seeds come first.",
    ),
]
Moved = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MARGIN=AMOUNT",
        help="With --continue: how much larger a margin is by the new limits than it was measured, or nothing.",
    ),
]
