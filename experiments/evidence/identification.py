"""Is the robot found again from its walks?

    python -m safebo.experiments.evidence.identification FOLDER [--draws 10] [--outside 10] [--suggested 10]

Each draw is a simulated Go1 with a disturbance that nobody told, default sensors, and two walks of 3 s: trot at 0.5 and
1.0 m/s. Printed are how many of the draws have every parameter within its tolerance, and how often the 90 % intervals
hold the truth. Then come robots whose fault is in no parameter, a calf bent about its knee and a joint whose friction
depends on its angle, and how often that was said. Last, after a walk in place a second is chosen among in place, 0.3,
0.5 and 1.0 m/s; printed is the trace of the parameters' covariance, weighed by the tracking cost's gradient, after it
over that after the walk in place once more. Every fit is kept in FOLDER as a line of JSON, so a run that was
interrupted goes on where it was; the tables are printed after each.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from safebo.robots.descriptions.model import RobotModel, load_robot
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.identification.fit import Fit, fit
from safebo.robots.identification.gap_file import section
from safebo.robots.identification.information import information, suggest, task_weight
from safebo.robots.identification.parameters import Family
from safebo.robots.identification.walks import WalkLog
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.gains import robot_gains
from safebo.robots.quadruped.gait import robot_gait
from safebo.robots.quadruped.interface import JointCommand
from safebo.robots.simulation.disturbance import Disturbance
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.rollout import rollout
from safebo.types import FloatArray

SPEEDS = (0.5, 1.0)
"""m/s of the two walks."""
SECONDS = 3.0
SECOND = (0.0, 0.3, 0.5, 1.0)
"""m/s of the walks among which a second one is chosen; the first of them repeats the first walk."""
TASK_DRAWS = 2
NORMAL_90 = 1.645
# field: least and most of what is hidden, of every entry
HIDDEN: dict[str, tuple[float, float]] = {
    "payload_mass": (0.25, 2.5),
    "payload_position.x": (-0.04, 0.04),
    "payload_position.y": (-0.02, 0.02),
    "payload_position.z": (0.02, 0.1),
    "torque_factor": (0.8, 1.05),
    "joint_damping": (0.03, 0.3),
    "joint_friction": (0.1, 0.5),
    "armature": (0.006, 0.018),
    "foot_friction": (0.55, 0.95),
}
TOLERANCES: dict[str, Callable[[float], float]] = {
    "payload_mass": lambda _: 0.25,
    "torque_factor": lambda _: 0.03,
    "joint_friction": lambda truth: max(0.25 * truth, 0.05),
    "armature": lambda truth: 0.15 * truth,
    "foot_friction": lambda _: 0.05,
}
BENT = (0.03, 0.08)
"""rad of a bent calf."""
STICKY = (0.8, 1.6)
"""N m more in a sticky joint on one side of the middle of its angles in a walk."""


class StickyJoint(Simulation):
    """A plant one of whose joints rubs more beyond an angle, rad: by `extra`, N m."""

    joint, angle, extra, plain = 4, 0.9, 0.0, -1.0

    def apply(self, command: JointCommand) -> None:
        """One tick, with the friction of the angle."""
        dof = self.index.dof[self.joint]
        if self.plain < 0.0:
            self.plain = float(self.model.dof_frictionloss[dof])
        beyond = self.true_joint_position[self.joint] > self.angle
        self.model.dof_frictionloss[dof] = self.plain + (self.extra if beyond else 0.0)
        super().apply(command)


def hidden(family: Family, number: int) -> FloatArray:
    """Parameters of a draw, `p`; the motors of all legs are alike."""
    random = np.random.default_rng([17, number])
    values = []
    for parameter in family.parameters:
        low, high = HIDDEN.get(parameter.name, HIDDEN.get(parameter.field, (0.0, 0.0)))
        values.append(random.uniform(low, high))
    legs = [i for i, p in enumerate(family.parameters) if p.field == "torque_factor"]
    found = np.array(values)
    found[legs] = found[legs[0]]
    return found


def bent(robot: RobotModel, leg: str, angle: float) -> RobotModel:
    """The robot with one calf bent about its knee, rad."""
    begin = f'<body name="{leg}_calf" '
    turn = f'{begin}quat="{math.cos(angle / 2)} 0 {math.sin(angle / 2)} 0" '
    return replace(robot, mjcf=robot.mjcf.replace(begin, turn))


def walks(
    robot: RobotModel, make: Callable[[int], Simulation], speeds: Sequence[float] = SPEEDS
) -> list[WalkLog]:
    """Walks on plants that are made for each with a seed.

    Raises:
        ValueError: the robot fell.
    """
    found = []
    for number, speed in enumerate(speeds):
        gait = robot_gait(robot, "trot")
        controller = Controller(robot, robot_gains(robot, {}), gait, VelocityRamp(speed))
        record = rollout(make(number), controller, SECONDS)
        found.append(WalkLog.of(record, f"trot {speed:g} m/s", gait.stride_duration))
    return found


def cases(
    robot: RobotModel, family: Family, draws: int, outside: int
) -> Iterator[tuple[str, FloatArray, Any]]:
    """Name, parameters and a maker of plants of every case; the latter takes the number of the walk."""
    for number in range(draws):
        truth = hidden(family, number)
        gap = replace(family.disturbance(truth), control_delay=number % 3)
        yield (
            f"draw {number}",
            truth,
            lambda walk, gap=gap, number=number: Simulation(robot, gap, 100 * number + walk),
        )
    middle: FloatArray | None = None
    for number in range(outside):
        truth, random = hidden(family, 1000 + number), np.random.default_rng([18, number])
        gap, joint = family.disturbance(truth), int(random.integers(12))
        if number % 2 == 0:
            changed = bent(robot, robot.legs[joint // 3], random.choice([-1, 1]) * random.uniform(*BENT))
            yield (
                f"bent calf {number}",
                truth,
                lambda walk, r=changed, gap=gap, number=number: Simulation(
                    r, gap, 9000 + 100 * number + walk
                ),
            )
        else:
            joint = 3 * (joint // 3) + 1 + joint % 2  # a thigh or a calf
            extra = random.uniform(*STICKY)
            if middle is None:
                middle = np.median(walks(robot, lambda _: Simulation(robot))[0].joint_position, axis=0)
            yield (
                f"sticky joint {number}",
                truth,
                _sticky(robot, gap, joint, float(middle[joint]), extra, 9000 + 100 * number),
            )


def _sticky(robot: RobotModel, gap: Disturbance, joint: int, angle: float, extra: float, seed: int) -> Any:
    def made(walk: int) -> Simulation:
        plant = StickyJoint(robot, gap, seed + walk)
        plant.joint, plant.angle, plant.extra = joint, angle, extra
        return plant

    return made


def row_of(name: str, truth: FloatArray, found: Fit, seconds: float) -> dict[str, Any]:
    """What is kept of a fit."""
    return {
        "case": name,
        "truth": truth.tolist(),
        "values": found.values.tolist(),
        "errors": found.errors.tolist(),
        "inflation": found.inflation.tolist(),
        "delay": found.delay,
        "cost": found.cost,
        "ratios": found.ratios.tolist(),
        "outside": found.outside,
        "joint": found.torques[0].joint,
        "score": found.torques[0].score,
        "cpu": seconds,
    }


def second_walk(robot: RobotModel, family: Family, number: int) -> dict[str, Any]:
    """What the walk that is suggested after one in place would leave unknown, over what another one in place would."""
    truth = hidden(family, number)
    gap = family.disturbance(truth)
    first = walks(robot, lambda walk: Simulation(robot, gap, 5000 + number), (0.0,))
    found = fit(robot, first, family, delays=(0,))

    def objective(values: FloatArray) -> float:
        given = {
            "disturbance": section(replace(found, values=values)),
            "seconds": SECONDS,
            "velocity": [0.5, 0, 0],
        }
        evaluator = LeggedEvaluator(given)
        value = evaluator.measure(evaluator.walk({}, {}, 1), {}).true_objective
        return math.nan if value is None else float(value)

    plant = family.disturbance(found.values)
    simulated = walks(robot, lambda walk: Simulation(robot, plant, 6000 + walk), SECOND)
    added = {log.name: information(robot, family, found.values, log) for log in simulated}
    steps = np.maximum(found.errors, family.steps)
    known = np.asarray(np.linalg.inv(found.covariance))
    left = {}
    for name, weight in (
        ("task", task_weight(family, found.draws(TASK_DRAWS), steps, objective)),
        ("prior units", np.diag(family.spread**-2)),
    ):
        chosen = suggest(known, added, weight)
        left[name] = {
            "chosen": chosen.order[0],
            "share": chosen.left[chosen.order[0]] / chosen.left[simulated[0].name],
        }
    return {"case": f"second walk {number}", "left": left}


def suggestions_table(rows: list[dict[str, Any]]) -> list[str]:
    """What suggested walks leave, over what a walk in place once more leaves."""
    some, lines = [row["left"] for row in rows if "left" in row], []
    for name in some[0] if some else ():
        shares = [row[name]["share"] for row in some]
        chosen = ", ".join(sorted({row[name]["chosen"] for row in some}))
        lines.append(
            f"second walk weighed by {name}: leaves {np.median(shares):.2f} of what a repeated one leaves (largest "
            f"{max(shares):.2f}); at most half in {sum(s <= 0.5 for s in shares)} of {len(shares)}; chosen: {chosen}"
        )
    return lines


def table(rows: list[dict[str, Any]], family: Family) -> str:
    """What the rows come to so far."""
    lines, draws = [], [row for row in rows if row["case"].startswith("draw")]
    if draws:
        truth, values, errors = (np.array([row[k] for row in draws]) for k in ("truth", "values", "errors"))
        off = np.abs(values - truth)
        for field, tolerance in TOLERANCES.items():
            which = [i for i, p in enumerate(family.parameters) if p.field == field]
            good = [all(off[n, i] <= tolerance(truth[n, i]) for i in which) for n in range(len(draws))]
            lines.append(
                f"{field}: within tolerance in {sum(good)} of {len(draws)}; largest {off[:, which].max():.3g}"
            )
        inside = off <= NORMAL_90 * errors
        lines.append(
            f"90 % intervals hold the truth in {100 * inside.mean():.0f} % of {inside.size} parameter-draws"
        )
        right = sum(row["delay"] == int(row["case"].split()[1]) % 3 for row in draws)
        lines.append(
            f"delay right in {right} of {len(draws)}; said to be outside the parameters: "
            f"{sum(bool(row['outside']) for row in draws)}"
        )
    for kind in ("bent calf", "sticky joint"):
        some = [row for row in rows if row["case"].startswith(kind)]
        if some:
            said = sum(bool(row["outside"]) for row in some)
            lines.append(f"{kind}: said to be outside the parameters in {said} of {len(some)}")
    cpu = [row["cpu"] for row in rows if "cpu" in row]
    if cpu:
        lines.append(f"a fit takes {np.median(cpu):.0f} s of one core (most {max(cpu):.0f} s)")
    lines += suggestions_table(rows)
    return "\n".join(lines)


def main(
    folder: Annotated[Path, typer.Argument(help="Where fits are kept.")],
    draws: Annotated[int, typer.Option(min=0, help="Hidden robots.")] = 10,
    outside: Annotated[int, typer.Option(min=0, help="Robots with a fault in no parameter.")] = 10,
    suggested: Annotated[int, typer.Option(min=0, help="Robots for which a second walk is chosen.")] = 10,
) -> None:
    """Fit what is not there yet, and print the tables."""
    folder.mkdir(parents=True, exist_ok=True)
    file, robot = folder / "fits.jsonl", load_robot("go1")
    family = Family.of(robot.size)
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    begin = time.perf_counter()
    for name, truth, make in cases(robot, family, draws, outside):
        if any(row["case"] == name for row in rows):
            continue
        try:
            logs = walks(robot, make)
        except ValueError as error:
            print(f"{name}: {error}; left out")
            continue
        before = time.process_time()
        rows.append(row_of(name, truth, fit(robot, logs, family), time.process_time() - before))
        with file.open("a") as out:
            out.write(json.dumps(rows[-1]) + "\n")
        print(f"{table(rows, family)}\n{(time.perf_counter() - begin) / 3600:.2f} h\n", flush=True)
    for number in range(suggested):
        if not any(row["case"] == f"second walk {number}" for row in rows):
            rows.append(second_walk(robot, family, number))
            with file.open("a") as out:
                out.write(json.dumps(rows[-1]) + "\n")
            print("\n".join(suggestions_table(rows)), flush=True)
    if rows:
        print(table(rows, family))


if __name__ == "__main__":
    typer.run(main)
