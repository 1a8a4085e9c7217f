"""Are gains that were tuned in the simulation that was identified good on the robot, and before its first trial?

    python -m safebo.experiments.evidence.identified_transfer FOLDER [--robots 10] [--trials 15]

Each robot is a simulated Go1 with a disturbance that nobody told, drawn as in
`safebo.experiments.evidence.identification`, and default sensors. It makes the first two trials of `go1-trot`, of 3 s
each; `safebo transfer` identifies it, tunes in simulation and writes the study with which it is then tuned.
Beside it the same robot is tuned from the same seed without any of that. What gains are worth is the mean of their
objective, by the plant's true states, over some walks with the robot's sensors; nothing if one of these is unsafe. What
counts as the whole gap is the best that a search finds on the robot which may try everything without risk (`--search`
gains, random ones and then about the best; those that both runs found count as well). Printed are the share of that
gap of the simulation's gains before any trial, which is measured aside, and of the best safe trial after each number of
trials; trials with a negative true margin, and falls. Everything is kept in FOLDER, so the same command goes on where
it was stopped.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from safebo.errors import SafeboError
from safebo.experiments.evidence.hidden_robot import hidden_study
from safebo.experiments.evidence.prior_run import outcome_of
from safebo.experiments.evidence.truth import truth
from safebo.experiments.transfer.cli import DRAWS, SEARCH, transfer
from safebo.experiments.transfer.search import searched
from safebo.files.reading import read_file
from safebo.runs.runner import run
from safebo.storage.journal import Journal
from safebo.study import Study
from safebo.study.reading import StudyFile, load_study, parse_study
from safebo.types import Measurement

STUDY, CONTEXT = "go1-trot", "trot"
WALKS, SECONDS = 2, 3.0
"""Certified trials from which the robot is identified, and how long each is."""
JUDGED = range(1000, 1008)
"""Seeds of the sensors' noise in the walks that say what gains are worth; no search has them."""
ENOUGH_BEFORE, ENOUGH_AFTER = 0.8, 0.95
"""Shares of the gap that are asked for, before the first trial and at the end."""


def tuned(file: StudyFile, folder: Path, seed: int, trials: int, prior: Path | None = None) -> None:
    """A run in this process, or what is left of it."""
    with ThreadPoolExecutor(1) as executor:
        run(file, folder, seed=seed, trials=trials, executor=executor, prior=prior, resume=True)


def best_of(study: Study, file: Path, count: int, seed: int) -> dict[str, Any]:
    """The best gains that a search over so many finds; kept in a file."""
    if file.exists():
        return dict(json.loads(file.read_text()))
    start = study.seeds[0].parameters
    found = searched(study, CONTEXT, start, count, seed)
    gains = dict(start) if found is None else found[0]
    file.write_text(json.dumps(gains))
    return gains


def worth(study: Study, gains: Sequence[Mapping[str, Any]]) -> list[float]:
    """What gains are worth on the robot; see above. Minus infinity where a walk is unsafe."""
    walks = [truth(study, CONTEXT, gains, seed=number) for number in JUDGED]
    return [float(np.mean([_value(m) for m in of_one])) for of_one in zip(*walks, strict=True)]


def _value(measurement: Measurement) -> float:
    margins = (measurement.margins if measurement.true_margins is None else measurement.true_margins).values()
    value = measurement.objective if measurement.true_objective is None else measurement.true_objective
    safe = measurement.outcome == "completed" and min(margins, default=0.0) >= 0.0
    return -np.inf if value is None or not safe else float(value)


def best_after(study: Study, folder: Path) -> list[float]:
    """What the best gains of a run are worth after each of its trials, unsafe ones aside."""
    with Journal.open(folder, read_only=True) as journal:
        tried = [(r.trial.parameters, r.measurement) for r in journal.records(states=False)]
    values = worth(study, [gains for gains, _ in tried])
    safe = [m is not None and _value(m) > -np.inf for _, m in tried]
    return list(np.maximum.accumulate(np.where(safe, values, -np.inf)))


def one_robot(folder: Path, number: int, trials: int, simulated: int, search: int) -> dict[str, Any]:
    """Everything of one robot.

    Raises:
        SafeboError: it could not be identified, or its seed is not safe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, began = folder / "hidden.yaml", _cpu()
    path.write_text(hidden_study(STUDY, number))
    walks = folder / "walks"
    tuned(parse_study(hidden_study(STUDY, number, {"seconds": SECONDS})), walks, 300 + number, WALKS)
    transfer(
        str(path), [walks], out=folder / "transfer", trial=None, draws=DRAWS, seed=number, trials=simulated,
        search=SEARCH, workers=1, jobs=1,
    )  # fmt: skip
    alone, robot = load_study(path), load_study(folder / "transfer" / "robot.yaml")
    tuned(robot, folder / "with", 100 + number, trials, folder / "transfer" / "simulated")
    tuned(alone, folder / "alone", 100 + number, trials)
    study = alone.study
    tuned_in_simulation = read_file(folder / "transfer" / f"tuned-{CONTEXT}.yaml")["gains"]
    first_seed = study.seeds[0].parameters
    aside = [first_seed, tuned_in_simulation, best_of(study, folder / "best.json", search, number)]
    start, before, sought = worth(study, aside)
    after = {name: best_after(study, folder / name) for name in ("with", "alone")}
    best = max(sought, before, *(values[-1] for values in after.values()))

    def share(value: float) -> float:
        return 0.0 if value == -np.inf else (value - start) / (best - start)

    outcomes = {"walks": outcome_of(walks)} | {name: outcome_of(folder / name) for name in after}
    return {
        "robot": number,
        "seed": start,
        "best": best,
        "before": share(before),
        "shares": {name: [share(v) for v in values] for name, values in after.items()},
        "unsafe": {name: o.unsafe for name, o in outcomes.items()},
        "falls": {name: o.falls for name, o in outcomes.items()},
        "cpu": _cpu() - began,
    }


def _cpu() -> float:
    """CPU seconds of this process and those that it started and that have ended."""
    return float(sum(os.times()[:4]))


def table(rows: list[dict[str, Any]], trials: int) -> list[str]:
    """What the robots come to so far."""
    before = np.array([row["before"] for row in rows])
    lines = [
        f"before the first trial: median {np.median(before):.0%} of the gap, least {before.min():.0%}; at least "
        f"{ENOUGH_BEFORE:.0%} in {int((before >= ENOUGH_BEFORE).sum())} of {len(rows)}"
    ]
    for name in ("with", "alone"):
        for n in sorted({min(n, trials) for n in (5, 10, trials)}):
            at = np.array([row["shares"][name][min(n, len(row["shares"][name])) - 1] for row in rows])
            lines.append(
                f"{name:5s} after {n:2d}: median {np.median(at):.0%}, least {at.min():.0%}; at least "
                f"{ENOUGH_AFTER:.0%} in {int((at >= ENOUGH_AFTER).sum())} of {len(rows)}"
            )
    for name in ("with", "alone", "walks"):
        unsafe, falls = (sum(row[key][name] for row in rows) for key in ("unsafe", "falls"))
        lines.append(f"{name:5s} trials with a negative true margin {unsafe}, falls {falls}")
    return lines


def main(
    folder: Annotated[Path, typer.Argument(help="Where everything is kept.")],
    robots: Annotated[int, typer.Option(min=1, help="Hidden robots.")] = 10,
    trials: Annotated[int, typer.Option(min=1, help="On each robot.")] = 15,
    simulated: Annotated[int, typer.Option(min=1, help="Trials in simulation.")] = 40,
    search: Annotated[int, typer.Option(min=2, help="Gains of the search for the best.")] = 400,
) -> None:
    """Go through the robots that are not there yet, and print the table after each."""
    folder.mkdir(parents=True, exist_ok=True)
    file, began, done = folder / f"robots-{trials}-{simulated}.jsonl", time.perf_counter(), 0
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    for number in range(robots):
        if any(row["robot"] == number for row in rows):
            continue
        try:
            row = one_robot(folder / f"robot-{number:02d}", number, trials, simulated, search)
        except SafeboError as error:
            print(f"robot {number}: {error}; left out", flush=True)
            continue
        rows.append(row)
        done += 1
        with file.open("a") as out:
            out.write(json.dumps(row) + "\n")
        hours = (time.perf_counter() - began) / 3600.0 / done
        print("\n".join(table(rows, trials)))
        left = hours * (robots - number - 1)
        print(f"{row['cpu']:.0f} s of CPU; {hours:.2f} h a robot, {left:.1f} h are left\n", flush=True)
    if rows:
        print("\n".join(table(rows, trials)))


if __name__ == "__main__":
    typer.run(main)
