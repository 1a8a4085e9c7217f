"""Do fewer stored states take the same decisions in global trials, and does it matter which are kept?

    python -m safebo.experiments.evidence.kept_states --out runs/kept-states [--walks 200]

The simulated Go1 of `safebo.experiments.papers.go1` in trot, with its rule and scales. Gains near the initial ones are
walked and their states in every control tick become backup states; then gains drawn from the whole box, certified by
nobody, are walked unwatched and recorded once. Every recording is replayed tick by tick against the monitor of all
states, and against those that keep a share of the states: those that decided in earlier walks of the box first, as a
run chooses them (`safebo.tuner.thinning`, from every tenth tick until all states trigger); those that say most about
their path (`safebo.boundary.subset`); and one tick like the other. Counted are walks in which the monitor triggers
within 20 ms of that of all states, or like it never. Recordings and answers are kept in `--out`; what is there is not
made again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from safebo.boundary.monitor import BoundaryMonitor
from safebo.boundary.subset import kept_rows
from safebo.experiments.evidence.truth import with_evaluator_options
from safebo.experiments.papers.claims import grid
from safebo.experiments.papers.go1 import trot_then_crawl
from safebo.experiments.papers.go1_boundary import Walks
from safebo.experiments.papers.runs import command
from safebo.robots.evaluation.evaluator import PERIOD
from safebo.robots.simulation.recording import STATE_NAMES
from safebo.tuner.backups import boundary_monitor, state_scale
from safebo.types import FloatArray, IntArray

GAIT = "trot"
SAME = 0.02
"""Seconds within which two triggers count as the same decision."""

WAYS = ("all", "decided", "informative", "even")
NEVER = -1
STATE_EVERY = 10
"""Ticks of which a trial reports one state."""


def rows_kept(states: FloatArray, way: str, share: float) -> IntArray:
    """Which of a backup's states (`n x 33`, scaled as in the monitor) one way keeps."""
    count = round(share * len(states))
    if way == "all":
        return np.arange(len(states))
    if way == "even":
        return np.linspace(0, len(states) - 1, count).astype(np.int64)
    return kept_rows(states, count)


def first_trigger(monitor: BoundaryMonitor, states: FloatArray) -> int:
    """The tick in which a recorded walk (`n x 33`) is no longer covered, or `NEVER`."""
    return next((tick for tick, state in enumerate(states) if monitor.check(state) >= 0), NEVER)


def same_decision(tick: int, reference: int) -> bool:
    """Whether two walks are triggered within `SAME` seconds of each other, or neither."""
    if NEVER in (tick, reference):
        return tick == reference
    return abs(tick - reference) * PERIOD <= SAME + 1e-9


def monitors(
    walks: Walks, backups: int, share: float, seed: int, earlier: Sequence[FloatArray]
) -> dict[str, BoundaryMonitor]:
    """The monitor of all states of the same backups, and those that keep a share of the states.

    Args:
        walks: of the study.
        backups: number of walks near the initial gains.
        share: of the states.
        seed: of the backups.
        earlier: states of walks of the box, `n x 33` each.
    """
    certified = walks.certified(backups, np.random.default_rng(seed))
    spec = walks.study.tuner.backup
    scale = state_scale(spec, len(STATE_NAMES))
    made = {}
    for way in WAYS:
        if way == "decided":
            capacity = round(share * sum(len(backup.states) for backup, _ in certified))
            less = spec.model_copy(update={"capacity": capacity})
            bounds = np.array([lower for _, lower in certified])
            made[way] = boundary_monitor(
                [backup for backup, _ in certified], bounds, less, [path[::STATE_EVERY] for path in earlier]
            )
            continue
        kept = []
        for backup, lower in certified:
            rows = rows_kept(backup.states / scale, way, share)
            gain = None if backup.gain is None else backup.gain[rows]
            kept.append((replace(backup, states=backup.states[rows], gain=gain), lower))
        made[way] = walks.boundary(kept)
    return made


def recorded(walks: Walks, folder: Path, seed: int, number: int, stream: int = 1) -> FloatArray:
    """States of an unwatched walk with gains from the whole box, `n x 33`, from its file where there is one."""
    name = "walk" if stream == 1 else "earlier"
    file = folder / f"{name}-{seed}-{number:04d}.npz"
    if not file.exists():
        point = np.random.default_rng([seed, stream, number]).random(len(walks.study.parameters))
        measured = walks.walk(point, 1000 + number, "local").measurement
        assert measured is not None
        states = np.zeros((0, len(STATE_NAMES))) if measured.states is None else measured.states
        np.savez_compressed(file, states=states.astype(np.float32))
    with np.load(file) as kept:
        return np.asarray(kept["states"], dtype=np.float64)


def table(rows: Sequence[Mapping[str, Any]], stored: Mapping[str, int]) -> str:
    """What is there so far."""
    lines = []
    for way in WAYS:
        ticks = [(row["ticks"][way], row["ticks"]["all"]) for row in rows]
        same = sum(same_decision(*pair) for pair in ticks)
        missed = sum(tick == NEVER != reference for tick, reference in ticks)
        lines.append(
            [
                way,
                str(stored[way]),
                f"{sum(tick != NEVER for tick, _ in ticks)} of {len(ticks)}",
                f"{same} of {len(ticks)} ({100 * same / len(ticks):.1f} %)",
                str(missed),
            ]
        )
    return grid(["states kept", "number", "triggered", "within 20 ms of all", "never, unlike all"], lines)


def main(
    out: Annotated[Path, typer.Option(help="folder of the results")] = Path("runs/kept-states"),
    walks: Annotated[int, typer.Option(min=1, help="of gains from the whole box")] = 200,
    backups: Annotated[int, typer.Option(min=1, help="walks near the initial gains")] = 12,
    share: Annotated[float, typer.Option(min=0.001, max=1.0, help="of the backups' states")] = 0.2,
    earlier: Annotated[int, typer.Option(min=1, help="walks of the box that say which states decide")] = 50,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Make what is missing, and print the table as it grows."""
    out.mkdir(parents=True, exist_ok=True)
    case = {"backups": backups, "share": share, "seed": seed, "scale": "monitor", "earlier": earlier}
    file = out / "decisions.jsonl"
    kept = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    rows = [row for row in kept if row["case"] == case and row["walk"] < walks]
    left = sorted(set(range(walks)) - {row["walk"] for row in rows})
    robot = Walks(with_evaluator_options(trot_then_crawl(), {"state_every": 1}), GAIT)
    before = [recorded(robot, out, seed, number, 2) for number in range(earlier)]
    watching = monitors(robot, backups, share, seed, before)
    stored = {way: len(monitor.states) for way, monitor in watching.items()}
    began = time.monotonic()
    for made, number in enumerate(left, start=1):
        states = recorded(robot, out, seed, number)
        ticks = {way: first_trigger(monitor, states) for way, monitor in watching.items()}
        rows.append({"case": case, "walk": number, "ticks": ticks})
        with file.open("a") as stream:
            stream.write(json.dumps(rows[-1]) + "\n")
        if made % 20 == 0:
            hours = (time.monotonic() - began) / made * (len(left) - made) / 3600
            print(
                f"\n{len(rows)} of {walks} walks, about {hours:.2f} h left\n{table(rows, stored)}", flush=True
            )
    print(table(rows, stored))


if __name__ == "__main__":
    command(main)
