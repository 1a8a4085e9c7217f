"""What early and late contact are worth: walks over uneven floors with the option `adaptive_contact` and without it.

    python -m safebo.experiments.evidence.contact_timing --out runs/contact-timing [--walks 4] [--only go1]

Every case is walked `--walks` times both ways, with the same seeds: over a step up and down again (3 to 9 cm for a
Go1, others to scale; each walk meets it at another phase of the stride), over rough ground, up and down a slope, with
pushes from the side, with joints that have other friction than the model's, and on a level floor. Printed are falls,
largest and rms tilt, the objective (`tracking`, of the walks that ended on their feet both ways) and the largest force
on a foot over the robot's weight.

Of the walks with the option the second table says how true what is felt is, from the third second on, against MuJoCo's
contacts: swings, early contacts and those among them without any, late feet and those that touched nevertheless, and
how long a foot that was in the air is loaded with 12 % of the weight before it is felt. Everything is kept in `--out`;
what is there is not made again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from safebo.experiments.papers.claims import grid
from safebo.experiments.papers.runs import command
from safebo.robots.descriptions.model import load_robot
from safebo.robots.evaluation.evaluator import PERIOD, LeggedEvaluator
from safebo.robots.quadruped.contact_timing import EARLY, LATE
from safebo.robots.quadruped.controller import Controller
from safebo.robots.quadruped.interface import GRAVITY
from safebo.robots.quadruped.touch import ON
from safebo.robots.simulation.recording import WalkRecording

LASTING = 10
"""Ticks in the air before a touch, and in which one that is felt has to lie."""
SPEEDS = {"crawl": 0.25}
"""m/s; 0.4 in other gaits."""
SECONDS = {"crawl": 9.0}
"""Length of a walk; 6 in other gaits."""


@dataclass(frozen=True)
class Case:
    """What is walked.

    Args:
        robot, gait, law: names.
        floor: `level`, `step 3` (cm), `rough 3` (cm), `slope 8` (degrees).
        gap: preset on top of it.
        pushed: whether the trunk is pushed from the side.
    """

    robot: str
    gait: str
    floor: str
    law: str = "whole-body"
    gap: str = "nominal"
    pushed: bool = False

    @property
    def name(self) -> str:
        """For people, and as a key."""
        law = "" if self.law == "whole-body" else self.law
        gap = "" if self.gap == "nominal" else self.gap
        parts = self.robot, self.gait, self.floor, law, gap, "pushed" if self.pushed else ""
        return " ".join(filter(None, parts))

    def disturbance(self, number: int) -> dict[str, Any]:
        """The study's option of a walk."""
        length = load_robot(self.robot).size.length
        kind, _, amount = self.floor.partition(" ")
        gap: dict[str, Any] = {"preset": self.gap}
        if kind == "step":
            at = (0.6 + 0.05 * number) * length**0.5
            height = 0.01 * float(amount) * length
            gap["steps"] = [{"at": at, "height": height, "length": 0.8 * length**0.5}]
        elif kind == "rough":
            level = 0.6 * max(1.0, length)
            rough = {"amplitude": 0.01 * float(amount) * length, "correlation": 0.15, "level": level}
            gap["rough"] = {**rough, "seed": number}
        elif kind == "slope":
            gap["slope"] = float(amount)
        if self.pushed:
            force = 50.0 * load_robot(self.robot).size.mass
            times = (2.0 + 0.07 * number, 4.0 + 0.07 * number)
            gap["pushes"] = [
                {"time": time, "duration": 0.15, "force": [0.0, sign * force, 0.0]}
                for time, sign in zip(times, (1.0, -1.0), strict=True)
            ]
        return gap


def _cases() -> Iterator[Case]:
    for gait in ("trot", "crawl"):
        yield Case("go1", gait, "level")
        for height in (3, 5, 7, 9):
            yield Case("go1", gait, f"step {height}")
        for amount in (3, 5):
            yield Case("go1", gait, f"rough {amount}")
        yield Case("go1", gait, "slope 8")
        yield Case("go1", gait, "slope -8")
        yield Case("go1", gait, "level", pushed=True)
        yield Case("go1", gait, "step 5", pushed=True)
    for gap in ("paper", "go2_identified", "heavy_and_weak"):
        yield Case("go1", "trot", "level", gap=gap)
        yield Case("go1", "trot", "step 5", gap=gap)
    for law in ("jacobian-transpose", "nonlinear-mpc"):
        yield Case("go1", "trot", "step 5", law=law)
    for gait in ("flying-trot", "walking-trot", "pace", "bound"):
        yield Case("go1", gait, "step 3")
    for robot in ("go2", "a1", "anymal_c", "mini_cheetah"):
        yield Case(robot, "trot", "level")
        yield Case(robot, "trot", "step 5")


CASES = tuple(_cases())


def walk_once(case: Case, number: int, adaptive: bool) -> dict[str, Any]:
    """One walk, and what was felt in it."""
    evaluator = LeggedEvaluator(
        {
            "robot": case.robot,
            "gait": case.gait,
            "velocity": [SPEEDS.get(case.gait, 0.4), 0.0, 0.0],
            "seconds": SECONDS.get(case.gait, 6.0),
            "controller": case.law,
            "disturbance": case.disturbance(number),
            "adaptive_contact": adaptive,
        }
    )
    walk = evaluator.begin({}, {}, number + 1)
    controller = walk.controller
    assert isinstance(controller, Controller)
    modes, felt = np.zeros((walk.rows, 4), int), np.zeros((walk.rows, 4), bool)
    going = True
    while going:
        row = walk.row
        going = walk.tick()
        modes[row], felt[row] = controller.contacts.mode, controller.contacts.touching
    record = walk.recording()
    return {**figures(record, evaluator), **sense(record, modes, felt, evaluator.robot.mass * GRAVITY)}


def figures(record: WalkRecording, evaluator: LeggedEvaluator) -> dict[str, Any]:
    """How well a walk went: tilt in degrees against the horizontal, force over the weight."""
    rows = slice(record.walk_start, len(record))
    x, y = record.base_orientation[rows, 1:3].T
    tilt = np.degrees(np.arccos(np.clip(1.0 - 2.0 * (x * x + y * y), -1.0, 1.0)))
    weight = evaluator.robot.mass * GRAVITY
    return {
        "fell": bool(record.fell),
        "tilt": float(tilt.max()),
        "rms": float(np.sqrt(np.mean(tilt**2))),
        "force": float(record.foot_force[rows].max() / weight),
        "objective": evaluator.measure(record, {}).objective,
    }


def sense(record: WalkRecording, modes: Any, felt: Any, weight: float) -> dict[str, Any]:
    """How true is what was felt, of complete rows of a walk from its third second on."""
    first, last = record.walk_start + round(2.0 / PERIOD), len(record)
    true, modes, felt = record.contact[:last], modes[:last], felt[:last]
    found: dict[str, Any] = {"swings": 0, "early": 0, "false_early": 0, "late": 0, "false_late": 0}
    latency = list[float]()
    for leg in range(4):
        touches, mode = true[:, leg], modes[:, leg]
        found["swings"] += int((np.diff((mode[first:] == 0).astype(int)) == 1).sum())
        for name, one in (("early", EARLY), ("late", LATE)):
            for row in np.flatnonzero((mode[1:] == one) & (mode[:-1] != one)) + 1:
                if row < first:
                    continue
                found[name] += 1
                real = touches[row - LASTING // 2 : row + 1].any() if one == EARLY else not touches[row]
                found[f"false_{name}"] += int(not real)
        loads = record.foot_force[:last, leg] > ON * weight
        for row in np.flatnonzero(loads[1:] & ~loads[:-1]) + 1:
            if first <= row < last - 50 and not touches[row - 2 * LASTING : row].all():
                after = np.flatnonzero(felt[row : row + 50, leg])
                if not felt[row - 1, leg]:
                    latency.append(1e3 * PERIOD * (after[0] if len(after) else 50))
    return {**found, "latency": latency}


def made(case: Case, walks: int, file: Path) -> list[dict[str, Any]]:
    """The walks of a case, those from its file where they are."""
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    key = json.dumps(asdict(case))
    known = {(line["number"], line["adaptive"]): line for line in lines if line["case"] == key}
    for number in range(walks):
        for adaptive in (False, True):
            if (number, adaptive) not in known:
                line = {"case": key, "number": number, "adaptive": adaptive}
                line |= walk_once(case, number, adaptive)
                known[number, adaptive] = line
                with file.open("a") as stream:
                    stream.write(json.dumps(line) + "\n")
    return [line for (number, _), line in sorted(known.items()) if number < walks]


def compared(case: Case, lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """A row of the first table: by the clock, then adaptive."""
    row = [case.name]
    arms = [[line for line in lines if line["adaptive"] == adaptive] for adaptive in (False, True)]
    both = [
        number
        for number in range(len(arms[0]))
        if not any(line["fell"] for line in lines if line["number"] == number)
    ]
    row.append(" / ".join(f"{sum(line['fell'] for line in arm)}" for arm in arms) + f" of {len(arms[0])}")
    for name, digits in (("tilt", 1), ("rms", 2), ("force", 2)):
        row.append(" / ".join(f"{np.mean([line[name] for line in arm]):.{digits}f}" for arm in arms))
    values = [[line["objective"] for line in arm if line["number"] in both] for arm in arms]
    row.append(" / ".join(f"{np.mean(value):.3f}" if value else "-" for value in values))
    return row


def felt_row(name: str, lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """A row of the second table."""
    own = [line for line in lines if line["adaptive"]]
    total = {key: sum(line[key] for line in own) for key in ("swings", "early", "false_early", "late")}
    false_late = sum(line["false_late"] for line in own)
    latency = [value for line in own for value in line["latency"]]
    quantiles = "-"
    if latency:
        half, most = np.percentile(latency, (50, 95))
        quantiles = f"{half:.0f} / {most:.0f}"
    return [name, *(str(value) for value in total.values()), str(false_late), quantiles]


def main(
    out: Annotated[Path, typer.Option(help="folder of the results")] = Path("runs/contact-timing"),
    walks: Annotated[int, typer.Option(min=1, help="of every case, both ways")] = 4,
    only: Annotated[str, typer.Option(help="cases whose name begins so")] = "",
) -> None:
    """Make what is missing, and print the tables."""
    out.mkdir(parents=True, exist_ok=True)
    rows, felt, level = list[list[str]](), list[list[str]](), list[dict[str, Any]]()
    for case in CASES:
        if not case.name.startswith(only):
            continue
        lines = made(case, walks, out / "walks.jsonl")
        rows.append(compared(case, lines))
        felt.append(felt_row(case.name, lines))
        if case.floor == "level" and case.gap == "nominal" and not case.pushed:
            level += lines
        print(" | ".join([*rows[-1], *felt[-1][1:]]), flush=True)
    if level:
        felt.append(felt_row("all nominal walks", level))
    heading = ["by the clock / adaptive", "falls", "largest tilt, deg", "rms tilt, deg"]
    print("\n" + grid([*heading, "largest force / weight", "objective"], rows))
    heading = ["adaptive", "swings", "early", "without a touch", "late", "though touching"]
    print("\n" + grid([*heading, "ms until felt, median / 95 %"], felt))


if __name__ == "__main__":
    command(main)
