"""A robot as `safebo.types` sees one, for tests of a run's supervision: it keeps every step, moves, and remembers.

`WORLDS` holds what each robot did and what shall happen to it, by the name in the evaluator's options, so that it
outlives the evaluator as a robot outlives the process that moves it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safebo.types import (
    Check,
    EvaluatorInfo,
    Ledger,
    Measurement,
    Monitor,
    NotStartedError,
    ParameterInfo,
    QuantityInfo,
    Trial,
    trial_hash,
)

STUDY = """\
name: robot
evaluator:
  name: robot_in_tests:Robot
  options: {world: WORLD}
parameters:
  - {name: p, unit: N, bounds: [0, 10]}
  - {name: d, unit: s, bounds: [0.1, 10], scale: log}
objective: {name: speed, unit: m/s, prior_std: 9}
constraints:
  - {name: height, unit: m}
seeds:
  - parameters: {p: 2, d: 1}
trials: 3
"""


@dataclass
class World:
    """One robot.

    Args:
        robot, serial: what it says it is.
        checks: what it says before the first trial.
        before: called with the name of what comes next: `check`, `arm`, `move`, `score`; may raise.
        motions: ids and gains of the walks it made.
    """

    robot: str = "virtual"
    serial: str = "1-1"
    checks: list[Check] = field(default_factory=lambda: [Check("robot", True, "it is here")])
    before: Callable[[str], None] = lambda what: None
    outcome: str = "completed"
    motions: list[tuple[int, Mapping[str, float]]] = field(default_factory=list)


WORLDS: dict[str, World] = {}


def shown(parameters: Mapping[str, float], outcome: str = "completed") -> Measurement:
    p, d = parameters["p"], parameters["d"]
    if outcome == "aborted":
        return Measurement("aborted", margins={"height": -0.5}, message="it crossed a limit")
    return Measurement("completed", objective=-((p - 6) ** 2) - d, margins={"height": 8 - p})


class Robot:
    def __init__(self, options: Mapping[str, Any]) -> None:
        self.world = WORLDS[options["world"]]

    def info(self) -> EvaluatorInfo:
        return EvaluatorInfo(
            name="robot",
            parameters=(
                ParameterInfo("p", "N", 2.0, 0.0, 10.0),
                ParameterInfo("d", "s", 1.0, 0.1, 10.0),
            ),
            objectives=(QuantityInfo("speed", "m/s"),),
            margins=(QuantityInfo("height", "m"),),
            robot=self.world.robot,  # type: ignore[arg-type]
            serial=self.world.serial,
        )

    def record_into(self, folder: Path, relative_to: Path) -> None:
        self.folder = folder

    def supervise(self, ledger: Ledger, stops: Callable[[], int]) -> None:
        self.ledger = ledger

    def preflight(self) -> list[Check]:
        self.world.before("check")
        return self.world.checks

    def evaluate(self, trial: Trial, monitor: Monitor | None = None) -> Measurement:
        state, data = self.ledger.last(trial.id)
        if state != "APPROVED" or data["hash"] != trial_hash(trial):
            raise NotStartedError("these gains were not approved")
        self.world.before("arm")
        self.ledger.commit(trial.id, "ARMED")
        self.ledger.commit(trial.id, "RUNNING")
        self.world.before("move")
        self.world.motions.append((trial.id, dict(trial.parameters)))
        self.folder.mkdir(exist_ok=True)
        file = self.folder / f"trial-{trial.id}.json"
        file.write_text(json.dumps({"parameters": dict(trial.parameters), "outcome": self.world.outcome}))
        sha = hashlib.sha256(file.read_bytes()).hexdigest()
        self.ledger.commit(trial.id, "ENDED", file=file.name, sha256=sha)
        measurement = self.score(trial, {"file": file.name})
        self.ledger.commit(trial.id, "SCORED")
        return measurement

    def score(self, trial: Trial, ended: Mapping[str, Any]) -> Measurement:
        self.world.before("score")
        raw = json.loads((self.folder / ended["file"]).read_text())
        return shown(raw["parameters"], raw["outcome"])
