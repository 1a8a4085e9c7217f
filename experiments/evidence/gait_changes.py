"""How many changes of gait end in a fall, with a table of allowed changes and without it?

    python -m safebo.experiments.evidence.gait_changes --out runs/gait-changes [--changes 200]

A Go1 with its default gains on slippery floors, kicked in a random direction within the first second of a change.
First changes are tried as `safebo robots gait-changes` does it, and a table is made from them. Then changes are wanted
at random: from one gait to another, at a random phase and speed, on other floors and with other kicks. Each is walked
three times with the same seed: as it is wanted; as the table allows it, later or more slowly, or not at all where it
refuses the change and the robot walks on; and with no change. The kick comes as long after the beginning of the change
in each, or after the moment at which it was wanted where there is none. A fall within 2.5 s of that moment counts, and
one while the robot waits or slows down. A walk that fell before its change was wanted is drawn again. Out of a flying
trot no change is wanted: on these floors the robot falls in it without one.

Also printed is what speed and phase have to do with it. Everything is kept in `--out`; what is there is not made again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from safebo.robots.simulation.disturbance import Push
from safebo.robots.simulation.gait_choice import RISK, gait_table
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
from safebo.robots.simulation.rollout import Walk
from safebo.robots.simulation.saved import SavedWalk

ROBOT = load_robot("go1")
GAINS = robot_gains(ROBOT)
TRIED = ("trot", "crawl", "flying-trot", "pace", "bound")
NEVER_FROM = ("flying-trot",)
FASTEST = 1.5
"""m/s that are commanded at most."""
PATIENCE = 6.0
"""Seconds after which a change that has not begun counts as not made."""


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
    known = {tuple(line["batch"]): line for line in kept(file) if line["key"] == key}
    tries: list[TriedChange] = []
    begin, every = time.monotonic(), batches(ROBOT, GAINS, plan)
    left = sum(batch not in known for batch in every)
    made = 0
    for batch in every:
        if batch not in known:
            found = list(tried_changes(ROBOT, GAINS, plan, batch, hopeless(tries)))
            known[batch] = {"key": key, "batch": batch, "tries": [one.plain() for one in found]}
            keep(file, known[batch])
            made += 1
            hours = (time.monotonic() - begin) / made * (left - made) / 3600
            say(f"tried {batch[0]} at {batch[1]:g} m/s: {len(found)} changes, about {hours:.2f} h left")
        tries += [TriedChange(**one) for one in known[batch]["tries"]]
    return tries


@dataclass(frozen=True)
class Wanted:
    """A change that is wanted.

    Args:
        old, new: names of the gaits.
        speed: command, m/s.
        phase: share of the stride that has passed. moment: s since the start of the walk.
        floor: friction under the feet.
        seed: of the sensors' noise.
        push: timed from the beginning of the change.
    """

    old: str
    new: str
    speed: float
    phase: float
    moment: float
    floor: float
    seed: int
    push: Push

    @classmethod
    def drawn(cls, plan: ChangePlan, number: int) -> Wanted:
        """The same for a plan and a number."""
        draw = np.random.default_rng([plan.seed, 1, number])
        starts = [gait for gait in plan.gaits if gait not in NEVER_FROM]
        old = str(draw.choice(starts))
        new = str(draw.choice([gait for gait in plan.gaits if gait != old]))
        speed = draw.uniform(0.2, 1.0) * min(gait_limits(ROBOT, GAINS, plan.gaits)[old], FASTEST)
        stride, phase = robot_gait(ROBOT, old).stride_duration, draw.random()
        moment = (np.ceil(APPROACH / stride) + phase) * stride
        floor, seed = draw.uniform(*plan.friction), int(draw.integers(1 << 31))
        return cls(
            old, new, float(speed), phase, float(moment), floor, seed, drawn_push(ROBOT, plan.push, draw)
        )

    def begun(self, table: GaitTable | None) -> tuple[Walk, Controller] | None:
        """Walked to the moment of the change; None where the robot fell before."""
        schedule = GaitSchedule(robot_gait(ROBOT, self.old), table=table)
        walk = begin_walk(ROBOT, GAINS, schedule, self.speed, self.floor, self.seed)
        assert isinstance(walk.controller, Controller)
        return (walk, walk.controller) if walk_until(walk, self.moment) else None


def changed(walk: Walk, controller: Controller, want: Wanted) -> tuple[bool, float]:
    """Whether a change that is wanted now ends in a fall, and how long it waited, s."""
    controller.want_gait(robot_gait(ROBOT, want.new))
    while walk.tick():
        waited = float(walk.record.time[walk.row]) - want.moment
        if controller.changing or waited > PATIENCE:
            return pushed(walk, want.push)[1], waited
    return True, 0.0


def walked(plan: ChangePlan, table: GaitTable, number: int) -> dict[str, Any] | None:
    """One change that is wanted, walked in every way; None where the robot fell before."""
    want = Wanted.drawn(plan, number)
    begun = want.begun(None)
    if begun is None:
        return None
    walk, controller = begun
    saved, row = SavedWalk(walk.simulation, controller), walk.row
    without = changed(walk, controller, want)[0]
    saved.restore()
    walk.row, walk.record.fell = row, False
    on = pushed(walk, want.push)[1]
    held: dict[str, Any] = {"with": None, "waited": None}
    if table.changes[want.old, want.new].fastest > 0.0:
        planned = want.begun(table)
        assert planned is not None
        held["with"], held["waited"] = changed(*planned, want)
    asked = {"from": want.old, "to": want.new, "speed": want.speed, "phase": want.phase}
    return {**asked, "without": without, "on": on, **held}


def made_rows(plan: ChangePlan, table: GaitTable, number: int, file: Path) -> Iterator[dict[str, Any]]:
    """Rows of the wanted changes, as many as asked for."""
    key = {"plan": repr(plan), "table": table.rows()}
    known = {line["number"]: line["row"] for line in kept(file) if line["key"] == key}
    got = place = 0
    while got < number:
        if place not in known:
            known[place] = walked(plan, table, place)
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
    risk: Annotated[float, typer.Option(help="share of tries that may be lost")] = RISK,
    push: Annotated[tuple[float, float], typer.Option(help="least and greatest kick, m/s")] = ChangePlan.push,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Make what is missing, and print the tables as they grow."""
    out.mkdir(parents=True, exist_ok=True)
    plan = ChangePlan(tuple(gait or TRIED), walks=walks, push=push, seed=seed)
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
