"""A folder with a study and its robot, and the command in it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from in_process import CommandOutput, in_process

STUDY = """\
name: bowl
evaluator:
  name: my_robot:walk
  options: {repeatable: true}
parameters:
  - {name: p, unit: N, bounds: [0, 10]}
  - {name: d, unit: s, bounds: [0.1, 10], scale: log}
objective: {name: speed, unit: m/s}
constraints:
  - {name: height, unit: m}
seeds:
  - parameters: {p: 2, d: 1}
trials: 6
"""

ROBOT = """\
import math, warnings
import numpy as np
def walk(parameters, context, seed=0):
    print("this goes to the run's log")
    warnings.warn("so does this")
    p, d = parameters["p"], parameters["d"]
    return {"objective": -(p - 6) ** 2 / 10 - math.log(d) ** 2, "margins": {"height": 8 - p},
            "true_objective": 0.5, "true_margins": {"height": 8 - p}}
def blind(parameters, context):
    return {"objective": 1.0, "margins": {"height": float("nan")}}
def unsafe(parameters, context):
    return {"objective": 1.0, "margins": {"height": -1.0}}
def falls(parameters, context):
    good = (parameters["p"], parameters["d"]) == (2.0, 1.0)
    return walk(parameters, context) if good else {"fell": True, "margins": {"height": -0.2}}
def heavy(parameters, context, seed=0):
    states = np.random.default_rng(seed).random((2000, 8))
    return {"objective": 1.0, "margins": {"height": 1.0}, "states": states}
"""

Safebo = Callable[..., CommandOutput]


@pytest.fixture
def safebo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Safebo:
    """The command in a folder with a study and its robot; a printed traceback fails the test."""
    (tmp_path / "bowl.yaml").write_text(STUDY)
    (tmp_path / "my_robot.py").write_text(ROBOT)
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> CommandOutput:
        return in_process(capfd, *arguments)

    return command


def write(tmp_path: Path, old: str, new: str) -> None:
    assert old in STUDY
    (tmp_path / "bowl.yaml").write_text(STUDY.replace(old, new, 1))
