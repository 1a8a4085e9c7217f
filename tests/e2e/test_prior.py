"""A simulation's run as prior of a robot's, as a person asks for it at the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from bowl_runs import ROBOT, STUDY, Safebo, safebo

pytestmark = pytest.mark.slow

__all__ = ["safebo"]  # the fixture

# Margins of several metres are nothing strange to the model.
BOWL = STUDY.replace("name: height, unit: m", "name: height, unit: m, prior_std: 4")

REAL = """
def real(parameters, context, seed=0):
    seen = walk(parameters, context, seed)
    seen["objective"] -= 0.2 * math.sin(parameters["p"])
    seen["margins"]["height"] -= 0.3
    return seen
def upside_down(parameters, context, seed=0):
    p, d = parameters["p"], parameters["d"]
    return {"objective": (p - 6) ** 2 / 10 + math.log(d) ** 2, "margins": {"height": 6.0}}
"""


@pytest.fixture
def robot(safebo: Safebo, tmp_path: Path) -> Safebo:
    (tmp_path / "my_robot.py").write_text(ROBOT + REAL)
    (tmp_path / "bowl.yaml").write_text(BOWL)
    for name in ("real", "upside_down"):
        (tmp_path / f"{name}.yaml").write_text(BOWL.replace("my_robot:walk", f"my_robot:{name}"))
    with (tmp_path / "upside_down.yaml").open("a") as file:
        file.write("surrogate: {prior_data: {correlation: 0.8}}\n")
    assert safebo("tune", "bowl.yaml", "--out", "runs/simulated", "--trials", "8").code == 0
    return safebo


def test_a_run_begins_with_another_and_goes_on_without_its_folder(robot: Safebo, tmp_path: Path) -> None:
    whole = robot("tune", "real.yaml", "--prior", "runs/simulated", "--out", "runs/whole")
    assert whole.code == 0
    assert whole.err == ""
    first, second, *_ = whole.out.splitlines()
    assert first.startswith(
        f"8 trials of {tmp_path / 'runs/simulated'} serve as prior: their correlation with this run is earned"
    )
    assert "Its study differs in evaluator.name" in first
    assert second.split()[:3] == ["trial", "1/6", "seed"]
    assert "correlation of prior and this run: speed " in whole.out

    done = robot("tune", "real.yaml", "--prior", "runs/simulated", "--out", "runs/cut", "--trials", "3")
    assert done.code == 0
    shutil.rmtree(tmp_path / "runs/simulated")
    assert robot("tune", "real.yaml", "--out", "runs/cut", "--trials", "6", "--resume").code == 0
    shown = [json.loads(robot("show", f"runs/{name}", "--json").out) for name in ("whole", "cut")]
    keys = ("parameters", "objective", "margins", "predicted", "reason", "seed")
    assert [[t[key] for key in keys] for t in shown[0]["trials"]] == [
        [t[key] for key in keys] for t in shown[1]["trials"]
    ]
    assert shown[0]["prior"]["trials"] == 8
    assert shown[0]["prior"]["dropped"] is None
    table = robot("show", "runs/whole").out.splitlines()
    assert table[1].startswith("prior: 8 trials of ")
    assert table[2].startswith("simulation's correlation: speed 0")
    assert table[2] in whole.out.splitlines()
    assert table[3].startswith("correlation of prior and this run: ")
    assert "s correlation: 0 to 0.995 kept" in (tmp_path / "runs/whole/best.yaml").read_text()


def test_a_prior_that_is_wrong_is_dropped_aloud(robot: Safebo) -> None:
    done = robot("tune", "upside_down.yaml", "--prior", "runs/simulated", "--out", "runs/robot")
    assert done.code == 0
    (line,) = [line for line in done.out.splitlines() if "simulation dropped" in line]
    assert line.startswith("trial ")
    assert "From here on only trials of this run count" in line
    state = json.loads(robot("show", "runs/robot", "--json").out)["prior"]
    assert state["dropped"]["text"] == line
    assert line in robot("show", "runs/robot").out


def test_a_prior_of_another_study_is_refused(robot: Safebo, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(BOWL.replace("name: height", "name: tilt"))
    refused = robot("tune", "other.yaml", "--prior", "runs/simulated", "--out", "runs/robot")
    assert refused.code == 2
    assert "--prior runs/simulated: is a run of another study ('bowl')" in refused.err
    assert "constraints: 'tilt' is not there (it has height)" in refused.err
    assert not (tmp_path / "runs/robot").exists()
    missing = robot("tune", "real.yaml", "--prior", "runs/nowhere", "--out", "runs/robot")
    assert missing.code == 2
    assert "runs/nowhere: no such folder" in missing.err
