"""Robots that strangers bring: which of them walk with no edit by hand, and why the others do not.

    python -m safebo.experiments.evidence.foreign_robots --folder DESCRIPTIONS [--folder MORE] [--page PAGE.md]

takes every MJCF and URDF file below the folders, writes a robot file for it as `safebo robots add` does, and lets the
robot of that file trot with the estimator and noisy sensors. A fall is no walk, nor is one slower than 0.3 m/s.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree

import typer

from safebo.experiments.evidence.walking import figures
from safebo.robots.descriptions.check import check_own_robot
from safebo.robots.descriptions.model import own_robot
from safebo.robots.descriptions.robot_file import write_robot_file
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.gains import robot_gains
from safebo.robots.quadruped.gait import robot_gait
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.rollout import rollout
from safebo.text.command import say

SLOWEST = 0.3
"""m/s; what is slower is not walking."""
_KINDS = (".xml", ".mjcf", ".urdf", ".xacro")


@dataclass(frozen=True)
class ForeignRobot:
    """What became of one file.

    Args:
        file: below its folder.
        mass: kg; 0 where it was refused.
        leg: length of its legs, m.
        agreement: largest relative difference between the engines and the file.
        walked: seconds.
        speed: mean, m/s.
        fell: why; empty where it did not.
        refused: the sentence; empty where it was accepted.
        notes: what was assumed.
    """

    file: str
    mass: float = 0.0
    leg: float = 0.0
    agreement: float = 0.0
    walked: float = 0.0
    speed: float = 0.0
    fell: str = ""
    refused: str = ""
    notes: tuple[str, ...] = ()

    @property
    def walks(self) -> bool:
        """Whether it walked to the end and fast enough."""
        return not self.refused and not self.fell and self.walked > 0 and self.speed >= SLOWEST

    def verdict(self) -> str:
        """In a few words."""
        if self.refused:
            return f"refused: {self.refused}"
        if self.fell:
            return f"fell after {self.walked:.1f} s: {self.fell}"
        return f"{'walks' if self.walks else 'too slow'}: {self.speed:.3f} m/s"


def descriptions(folder: Path) -> Iterator[Path]:
    """MJCF and URDF files below a folder; other XML is passed over."""
    for path in sorted(folder.rglob("*")):
        if path.suffix not in _KINDS or not path.is_file():
            continue
        try:
            tag = ElementTree.parse(path).getroot().tag
        except (ElementTree.ParseError, OSError, ValueError):
            tag = "robot" if path.suffix in (".urdf", ".mjcf") else ""
        if tag in ("mujoco", "robot"):
            yield path


def try_robot(path: Path, name: str, velocity: float, seconds: float, seed: int) -> ForeignRobot:
    """Check one file, write its robot file, and walk with that."""
    try:
        found = own_robot(path)
        agreement = max(check_own_robot(found, seed).differences.values())
        with tempfile.TemporaryDirectory() as folder:
            robot = own_robot(write_robot_file(found, "robot", Path(folder))).model
    except ValueError as error:
        return ForeignRobot(name, refused=str(error).removeprefix(f"robot {path}: "))
    command = VelocityRamp(velocity)
    controller = Controller(robot, robot_gains(robot), robot_gait(robot, "trot"), command)
    record = rollout(Simulation(robot, seed=seed), controller, seconds)
    walked = (len(record) - record.walk_start) * record.period
    speed = figures(record)["speed"] if walked > 1.5 else 0.0
    fell = record.stop_reason if record.fell else ""
    return ForeignRobot(
        name, robot.mass, robot.leg_length, agreement, walked, speed, fell, notes=found.model.notes
    )


def page(robots: list[ForeignRobot], velocity: float, seconds: float, whose: str) -> str:
    """The table as Markdown; `whose` says whose descriptions they are."""
    taken = [robot for robot in robots if not robot.refused]
    walking = sum(robot.walks for robot in taken)
    lines = [
        "# Robots of other makes",
        "",
        f"Every MJCF and URDF file of {whose}, written into a robot file and let walk with that, as a stranger would",
        "([a robot of your own](robots.md)). Sensors are noisy, the base is estimated; a fall is no walk, nor is less",
        f"than {SLOWEST:g} m/s. Again with",
        "`python -m safebo.experiments.evidence.foreign_robots --folder DESCRIPTIONS --page docs/foreign-robots.md`.",
        "",
        f"{len(robots)} files: {len(taken)} quadrupeds with three driven hinges in each leg, of which {walking} trot "
        f"{seconds:g} s at {velocity:g} m/s with no edit by hand; {len(robots) - len(taken)} refused.",
        "",
        "| file | mass | legs | engines and file agree to | trot |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {robot.file} | {robot.mass:.1f} kg | {robot.leg:.3f} m | {robot.agreement:.0e} | {robot.verdict()} |"
        for robot in taken
    ]
    lines += ["", "| refused | why |", "|---|---|"]
    lines += [f"| {robot.file} | {robot.refused.replace('|', '/')} |" for robot in robots if robot.refused]
    return "\n".join(lines) + "\n"


def main(
    folder: Annotated[list[Path], typer.Option(help="Folder of descriptions; may be repeated.")],
    velocity: float = 0.4,
    seconds: float = 10.0,
    seed: int = 0,
    whose: Annotated[str, typer.Option(help="Whose descriptions these are, for the page.")] = "a collection",
    page_file: Annotated[Path | None, typer.Option("--page", help="Markdown file for the table.")] = None,
) -> None:
    """Try every description and print what became of it."""
    robots = []
    for root in folder:
        for path in descriptions(root):
            robot = try_robot(path, str(path.relative_to(root)), velocity, seconds, seed)
            robots.append(robot)
            say(f"{robot.file}: {robot.verdict()}")
    text = page(robots, velocity, seconds, whose)
    if page_file is None:
        say(text)
    else:
        page_file.write_text(text, encoding="utf-8")
    taken = [robot for robot in robots if not robot.refused]
    say(
        f"{sum(robot.walks for robot in taken)} of {len(taken)} quadrupeds walk; {len(robots) - len(taken)} refused"
    )


if __name__ == "__main__":
    typer.run(main)
