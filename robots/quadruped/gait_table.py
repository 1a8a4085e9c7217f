"""Which changes of gait a robot may make, at which phase of the stride and up to which speed; kept in a file.

A table is made from simulated changes (`safebo.robots.simulation.gait_trials`) and asked by `GaitSequencer`: a change
waits for a phase that is allowed and slows down to a speed that is; one that is never allowed is refused before the
walk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from safebo.errors import FileError
from safebo.files.problems import listed, shown
from safebo.files.reading import read_file
from safebo.files.writing import write_whole
from safebo.robots.descriptions.robot import RobotModel
from safebo.robots.quadruped.gait import GAITS, Gait, robot_gait

FORMAT = "safebo gait changes 1"
_NOTHING = 1e-9


@dataclass(frozen=True)
class AllowedChange:
    """One change of gait, and what was seen of it.

    Args:
        speeds: greatest speed at which it may begin, m/s, for every phase of the old gait's stride: of `n` equal parts,
            the first from where the front right foot lands. 0 where it may not begin.
        tries: simulated changes. falls: how many of them ended in a fall.
        margin: smallest share of the way to a fall that was left in those that did not; 1 is upright at full height.
        lost: estimated share of such changes that end in a fall or nearly so, at the slowest speed in the best phase.
    """

    speeds: tuple[float, ...]
    tries: int = 0
    falls: int = 0
    margin: float = 1.0
    lost: float = 0.0

    @property
    def seen(self) -> str:
        """What was seen of it, in words; few tries leave a large estimate where none fell."""
        if not self.tries:
            return "it was not tried, as both gaits walk at none of the speeds (--speed) or the robot fell before"
        text = (
            f"{self.falls} of {self.tries} fell; an estimated {100 * self.lost:.2g} % are lost or nearly so"
        )
        return text if self.falls or self.fastest > 0.0 else f"{text} (more --walks may lower that)"

    @property
    def fastest(self) -> float:
        """Greatest speed at which it may begin in the best phase, m/s; 0 where it may not."""
        return max(self.speeds)

    def permits(self, phase: float, speed: float) -> bool:
        """Whether it may begin at a phase (share of the stride, 0 to 1) and a speed (m/s)."""
        part = min(int(phase * len(self.speeds)), len(self.speeds) - 1)
        return 0.0 < self.speeds[part] >= speed - _NOTHING


@dataclass(frozen=True)
class GaitTable:
    """The changes of gait of one robot. Into a stand and out of one every change is allowed.

    Args:
        robot: its name.
        gaits: the gaits by name, as that robot walks them.
        changes: by the names of the old gait and the new one.
        made_from: what it depends on, for people: hashes of robot and gains, conditions, seed.
        checked: changes that half of the tries allowed and the other half tried: `tries`, `falls`, and `most`, the
            upper 95 % bound on the share that falls.
        source: where it was read from, for messages.
    """

    robot: str
    gaits: Mapping[str, Gait]
    changes: Mapping[tuple[str, str], AllowedChange]
    made_from: Mapping[str, Any] = field(default_factory=dict)
    checked: Mapping[str, float] = field(default_factory=dict)
    source: str = "table of gait changes"

    def find(self, old: Gait, new: Gait) -> AllowedChange | None:
        """What is allowed of a change; None where every one is.

        Raises:
            ValueError: it is refused, and why.
        """
        if old == new or 1.0 in (old.duty_factor, new.duty_factor):
            return None
        names = {gait: name for name, gait in self.gaits.items()}
        for gait in (old, new):
            if gait not in names:
                known = next((name for name, one in GAITS.items() if one == gait), gait)
                raise ValueError(f"{self.source} knows no gait {known}; its gaits are {listed(self.gaits)}")
        pair = names[old], names[new]
        if pair not in self.changes:
            raise ValueError(f"{self.source}: the change from {pair[0]} to {pair[1]} was never tried")
        found = self.changes[pair]
        if found.fastest <= 0.0:
            others = [b for (a, b), change in self.changes.items() if a == pair[0] and change.fastest > 0.0]
            raise ValueError(
                f"{self.source} refuses the change from {pair[0]} to {pair[1]}: {found.seen}. "
                f"From {pair[0]} it allows {listed(others)}"
            )
        return found

    def rows(self) -> list[dict[str, Any]]:
        """The changes as plain data."""
        return [
            {
                "from": old,
                "to": new,
                "speeds": list(change.speeds),
                "tries": change.tries,
                "falls": change.falls,
                "margin": change.margin,
                "lost": change.lost,
            }
            for (old, new), change in self.changes.items()
        ]

    def save(self, path: Path) -> None:
        """Write it, with the SHA-256 of its rows; the same one gives the same bytes.

        Raises:
            OSError: the file cannot be written.
        """
        head = {
            "format": FORMAT,
            "robot": self.robot,
            "made_from": dict(self.made_from),
            "checked": dict(self.checked),
            "sha256": digest(self.rows()),
        }
        text = yaml.safe_dump(head, sort_keys=False, width=120)
        # A row a line, which a person can read.
        lines = [f"- {json.dumps(row)}\n" for row in self.rows()]
        write_whole(path, f"{text}changes:\n{''.join(lines)}" if lines else f"{text}changes: []\n")


def digest(data: Any) -> str:
    """SHA-256 of plain data, or of a text."""
    text = data if isinstance(data, str) else json.dumps(data, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_gait_table(path: str | Path, robot: RobotModel) -> GaitTable:
    """The table of a file, for a robot.

    Raises:
        FileError: the file cannot be read, is no such table, was changed, or is of another robot.
    """
    data = read_file(path)
    if not isinstance(data, Mapping) or data.get("format") != FORMAT:
        raise FileError(
            f"{path}: is no table of gait changes ({FORMAT}), as `safebo robots gait-changes` writes"
        )
    try:
        rows, made_from = list(data["changes"]), dict(data["made_from"])
        changes = {(str(row["from"]), str(row["to"])): _change(row) for row in rows}
        table = GaitTable(
            str(data["robot"]),
            {name: robot_gait(robot, name) for name in GAITS if any(name in pair for pair in changes)},
            changes,
            made_from,
            dict(data["checked"]),
            str(path),
        )
        written = str(data["sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path}: is a broken table of gait changes: {shown(str(error))}") from None
    if digest(table.rows()) != written:
        raise FileError(f"{path}: its rows are not those that were written (sha256); make it anew")
    if made_from.get("robot") != digest(robot.mjcf):
        raise FileError(
            f"{path}: was made for a robot {table.robot}, which differs from {robot.name}; make one with `safebo "
            f"robots gait-changes {robot.name}`"
        )
    return table


def _change(row: Mapping[str, Any]) -> AllowedChange:
    speeds = tuple(float(speed) for speed in row["speeds"])
    if not speeds or min(speeds) < 0.0:
        raise ValueError(f"speeds {row['speeds']!r}")
    return AllowedChange(
        speeds, int(row["tries"]), int(row["falls"]), float(row["margin"]), float(row["lost"])
    )
