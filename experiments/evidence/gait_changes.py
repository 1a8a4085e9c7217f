"""How many changes of gait end in a fall, with a table of allowed changes and without it?

    python -m safebo.experiments.evidence.gait_changes --out runs/gait-changes [--changes 200]

A Go1 with its default gains on slippery floors, kicked in a random direction within the first second of a change.
First changes are tried as `safebo robots gait-changes` does it, and a table is made from them. Then changes are wanted
at random: from any gait to any other, at a random phase and speed, on other floors and with other kicks. Each is walked
three times with the same seed: as it is wanted; as the table allows it, later or more slowly, or not at all where it
refuses the change and the robot walks on; and with no change. The kick comes as long after the beginning of the change
in each, or after the moment at which it was wanted where there is none. A fall within 2.5 s of that moment counts, and
one while the robot waits or slows down. A walk that fell before its change was wanted is drawn again.

Also printed is what speed and phase have to do with it. Everything is kept in `--out`; what is there is not made again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from safebo.experiments.papers.claims import grid
from safebo.experiments.papers.runs import command
from safebo.robots.descriptions.model import load_robot
from safebo.robots.quadruped.controller import Controller
from safebo.robots.quadruped.gains import robot_gains
from safebo.robots.quadruped.gait import robot_gait
from safebo.robots.quadruped.gait_changes import GaitSchedule
from safebo.robots.quadruped.gait_table import GaitTable
from safebo.robots.simulation.gait_choice import gait_table
from safebo.robots.simulation.gait_trials import (
    APPROACH,
    ChangePlan,
    TriedChange,
    batches,
    begin_walk,
    drawn_push,
    gait_limits,
    hopeless,
    pushed,
    tried_changes,
    walk_until,
)

ROBOT = load_robot("go1")
GAINS = robot_gains(ROBOT)
TRIED = ("trot", "crawl", "flying-trot", "pace", "bound")
FASTEST = 1.5
"""m/s that are commanded at most."""
PATIENCE = 6.0
"""Seconds after which a change that has not begun counts as not made."""
ARMS = ("without", "with", "on")


def kept(file: Path) -> list[dict[str, Any]]:
    """The lines of a file, none where there is none."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def keep(file: Path, line: Mapping[str, Any]) -> None:
    """Add a line to a file."""
    with file.open("a") as stream:
        stream.write(json.dumps(line) + "\n")


def tries_of(plan: ChangePlan, file: Path, say: Callable[[str], None]) -> list[TriedChange]:
    """The tries of a plan, those from its file where they are."""
    key = repr(plan)
    walked = {tuple(line["batch"]): line for line in kept(file) if line["key"] == key}
    tries: list[TriedChange] = []
    begin, every = time.monotonic(), batches(ROBOT, GAINS, plan)
    left = sum(batch not in walked for batch in every)
    made = 0
    for batch in every:
        if batch not in walked:
            found = list(tried_changes(ROBOT, GAINS, plan, batch, hopeless(tries)))
            walked[batch] = {"key": key, "batch": batch, "tries": [one.plain() for one in found]}
            keep(file, walked[batch])
            made += 1
            hours = (time.monotonic() - begin) / made * (left - made) / 3600
            say(f"tried {batch[0]} at {batch[1]:g} m/s: {len(found)} changes, about {hours:.2f} h left")
        tries += [TriedChange(**one) for one in walked[batch]["tries"]]
    return tries


def wanted(plan: ChangePlan, table: GaitTable, number: int) -> dict[str, Any] | None:
    """One change that is wanted, walked in every way; None where the robot fell before."""
    draw = np.random.default_rng([plan.seed, 1, number])
    old, new = draw.choice(plan.gaits, 2, replace=False)
    limits = gait_limits(ROBOT, GAINS, plan.gaits)
    speed = draw.uniform(0.2, 1.0) * min(limits[old], FASTEST)
    phase = draw.random()
    floor, seed = draw.uniform(*plan.friction), int(draw.integers(1 << 31))
    push = drawn_push(ROBOT, plan.push, draw)
    gaits = robot_gait(ROBOT, str(old)), robot_gait(ROBOT, str(new))
    stride = gaits[0].stride_duration
    moment = (np.ceil(APPROACH / stride) + phase) * stride
    row: dict[str, Any] = {"from": str(old), "to": str(new), "speed": float(speed), "phase": float(phase)}
    for arm in ARMS:
        try:
            rules = table if arm == "with" else None
            changes = () if arm == "on" else ((float(moment), gaits[1]),)
            schedule = GaitSchedule(gaits[0], changes, rules)
        except ValueError:
            row.update({"with": None, "waited": None})
            continue
        walk = begin_walk(ROBOT, GAINS, schedule, speed, floor, seed)
        if not walk_until(walk, moment):
            return None
        controller = walk.controller
        assert isinstance(controller, Controller)
        stands = True
        while (
            stands and changes and not controller.changing and walk.record.time[walk.row] < moment + PATIENCE
        ):
            stands = walk.tick()
        row[arm] = not stands or pushed(walk, push)[1]
        if arm == "with":
            row["waited"] = float(walk.record.time[min(walk.row, walk.rows - 1)] - moment)
    return row


def made_rows(plan: ChangePlan, table: GaitTable, number: int, file: Path) -> Iterator[dict[str, Any]]:
    """Rows of the wanted changes, as many as asked for."""
    key = {"plan": repr(plan), "table": table.rows()}
    known = {line["number"]: line["row"] for line in kept(file) if line["key"] == key}
    got = place = 0
    while got < number:
        if place not in known:
            known[place] = wanted(plan, table, place)
            keep(file, {"key": key, "number": place, "row": known[place]})
        if known[place] is not None:
            got += 1
            yield known[place]
        place += 1


def falls(rows: Sequence[Mapping[str, Any]]) -> str:
    """What is known of the wanted changes."""
    made = [row for row in rows if row["with"] is not None]
    refused = [row for row in rows if row["with"] is None]

    def count(some: Sequence[Mapping[str, Any]], arm: str) -> str:
        fell = sum(bool(row[arm]) for row in some)
        return f"{fell} of {len(some)}" + (f" ({100 * fell / len(some):.1f} %)" if some else "")

    lines = [
        [
            "as wanted, without the table",
            count(rows, "without"),
            count(made, "without"),
            count(refused, "without"),
        ],
        ["with the table", "", count(made, "with"), "none is made"],
        ["no change, the robot walks on", count(rows, "on"), count(made, "on"), count(refused, "on")],
    ]
    both = sum(bool(row["with"]) for row in made), sum(bool(row["on"]) for row in refused)
    lines[1][1] = f"{both[0]} in changes and {both[1]} walking on, of {len(rows)}"
    return grid(["falls", "all", "changes that the table makes", "changes that it refuses"], lines)


def influences(rows: Sequence[Mapping[str, Any]]) -> str:
    """Falls without the table by phase, speed and new gait."""
    lines = []
    for what, group in (
        ("phase", lambda row: f"{int(4 * row['phase']) / 4:g} to {int(4 * row['phase']) / 4 + 0.25:g}"),
        (
            "speed, m/s",
            lambda row: f"{0.4 * int(row['speed'] / 0.4):.1f} to {0.4 * int(row['speed'] / 0.4) + 0.4:.1f}",
        ),
        ("into", lambda row: row["to"]),
    ):
        for name in sorted({group(row) for row in rows}):
            own = [row for row in rows if group(row) == name]
            lines.append([what, name, f"{sum(row['without'] for row in own)} of {len(own)}"])
    return grid(["without the table", "", "falls"], lines)


def main(
    out: Annotated[Path, typer.Option(help="folder of the results")] = Path("runs/gait-changes"),
    changes: Annotated[int, typer.Option(min=1, help="that are wanted")] = 200,
    gait: Annotated[
        list[str] | None, typer.Option(help=f"may be repeated; {', '.join(TRIED)} if left out")
    ] = None,
    walks: Annotated[int, typer.Option(min=1, help="to try changes in, of every gait and speed")] = 2,
    risk: Annotated[float, typer.Option(help="share of tries that may be lost")] = 0.1,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Make what is missing, and print the tables as they grow."""
    out.mkdir(parents=True, exist_ok=True)
    plan = ChangePlan(tuple(gait or TRIED), walks=walks, seed=seed)
    tries = tries_of(plan, out / "tries.jsonl", lambda line: print(line, flush=True))
    table = gait_table(ROBOT, GAINS, plan, tries, risk)
    table.save(out / "table.yaml")
    print(f"{len(tries)} tries; held against the other half: {table.checked}")
    rows: list[dict[str, Any]] = []
    begin = time.monotonic()
    for row in made_rows(plan, table, changes, out / "wanted.jsonl"):
        rows.append(row)
        if len(rows) % 20 == 0 and len(rows) < changes:
            hours = (time.monotonic() - begin) / len(rows) * (changes - len(rows)) / 3600
            print(f"\n{len(rows)} of {changes}, about {hours:.2f} h left\n{falls(rows)}", flush=True)
    print(f"\n{falls(rows)}\n\n{influences(rows)}")


if __name__ == "__main__":
    command(main)
