"""Is a virtual robot found again from the trials that a guardian recorded of it?

    python -m safebo.experiments.evidence.virtual_identification FOLDER [--draws 10]

As `safebo.experiments.evidence.identification`, through the whole chain: each draw is a virtual Go2 in a process of its
own, with a disturbance that only that process knows, behind its vendor's messages and a guardian. `safebo tune go2-trot
--dry-run` makes two certified trials of 3 s, and what was recorded (MCAP) is read as `safebo identify` reads it. Every
fit is kept in FOLDER as a line of JSON, so that the same command goes on where it was stopped; the table is printed
after each.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from safebo.experiments.evidence.hidden_robot import hidden_study
from safebo.experiments.evidence.identification import hidden, row_of, table
from safebo.experiments.identify.trials import read_trials
from safebo.robots.descriptions.model import load_robot
from safebo.robots.identification.fit import fit
from safebo.robots.identification.parameters import Family

STUDY, SECONDS, TRIALS = "go2-trot", 3.0, 2


def walked(folder: Path, text: str) -> Path:
    """The run of the trials of a virtual robot, made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    study, run = folder / "hidden.yaml", folder / "run"
    study.write_text(text)
    command = [sys.executable, "-m", "safebo", "tune", str(study), "--dry-run", "--approve-all"]
    command += ["--trials", str(TRIALS), "--out", str(run), *(["--resume"] if run.exists() else [])]
    with (folder / "tune.log").open("a") as log:
        subprocess.run(command, stdout=log, stderr=log, check=True)
    return run


def main(
    folder: Annotated[Path, typer.Argument(help="Where runs and fits are kept.")],
    draws: Annotated[int, typer.Option(min=1, help="Hidden robots.")] = 10,
) -> None:
    """Walk and fit what is not there yet, and print the table."""
    folder.mkdir(parents=True, exist_ok=True)
    file, robot = folder / "fits.jsonl", load_robot("go2")
    family, begin = Family.of(robot.size), time.perf_counter()
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    for number in range(draws):
        name = f"draw {number}"
        if any(row["case"] == name for row in rows):
            continue
        place = folder / f"robot-{number:02d}"
        try:
            run = walked(place, hidden_study(STUDY, number, {"seconds": SECONDS}))
        except subprocess.CalledProcessError:
            print(f"{name}: its trials were not made, see {place / 'tune.log'}; left out", flush=True)
            continue
        read, before = read_trials([run], []), time.process_time()
        found = fit(robot, read.walks, family)
        rows.append(row_of(name, hidden(family, number), found, time.process_time() - before))
        with file.open("a") as out:
            out.write(json.dumps(rows[-1]) + "\n")
        print(f"{table(rows, family)}\n{(time.perf_counter() - begin) / 3600:.2f} h\n", flush=True)


if __name__ == "__main__":
    typer.run(main)
