"""A campaign that goes on under a changed study, as a person asks for it at the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from bowl_runs import Safebo, safebo

pytestmark = pytest.mark.slow

__all__ = ["safebo"]  # the fixture

ROBOT = """
import math
def walk(parameters, context, seed=0, limit=1.0, foot=0.0):
    p, d = parameters["p"], parameters.get("d", 2.0)
    return {
        "objective": -(p - 6) ** 2 / 10 - (d - 2) ** 2 / 4,
        "margins": {"height": limit - (p - 4) ** 2 / 12 - (d - 2) ** 2 / 9 + foot},
    }
"""
STUDY = """\
name: bench
evaluator:
  name: my_robot:walk
  options: {repeatable: true}
parameters:
  - {name: p, unit: N, bounds: [0, 10], lengthscale: 0.7}
  - {name: d, unit: s, bounds: [1, 4]}
objective: {name: speed, unit: m/s, prior_mean: -1, prior_std: 1, noise_std: 0.02}
constraints:
  - {name: height, unit: m, prior_mean: 0, prior_std: 1.5, noise_std: 0.02}
seeds:
  - parameters: {p: 3, d: 2}
surrogate: {trust: declared}
tuner: {beta: 3, search: {domain: grid, grid_points: 21}}
trials: 6
"""
WITHOUT_D = STUDY.replace("  - {name: d, unit: s, bounds: [1, 4]}\n", "").replace("{p: 3, d: 2}", "{p: 3}")


@pytest.fixture
def robot(safebo: Safebo, tmp_path: Path) -> Safebo:
    (tmp_path / "my_robot.py").write_text(ROBOT)
    (tmp_path / "both.yaml").write_text(STUDY)
    (tmp_path / "one.yaml").write_text(WITHOUT_D)
    assert safebo("tune", "one.yaml", "--out", "runs/monday").code == 0
    return safebo


def trials(robot: Safebo, name: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(robot("show", f"runs/{name}", "--json").out)["trials"]
    return found


def test_a_gain_is_added_and_nothing_is_lost(robot: Safebo, tmp_path: Path) -> None:
    done = robot("tune", "both.yaml", "--continue", "runs/monday", "--out", "runs/tuesday", "--trials", "3")
    assert (done.code, done.err) == (0, "")
    first, second, third, *_ = done.out.splitlines()
    assert first == (
        f"6 of 6 trials of {tmp_path / 'runs/monday'}; d is new and was 2, as in the seeds. They go on here as the "
        "first 6."
    )
    assert second.endswith(f"gains that {tmp_path / 'runs/monday'} certified are certified here.")
    assert third.split()[:3] == ["trial", "7/9", "local"]
    before, after = trials(robot, "monday"), trials(robot, "tuesday")
    assert len(after) == 9
    for was, now in zip(before, after, strict=False):
        assert now["parameters"] == {**was["parameters"], "d": 2.0}  # type: ignore[dict-item]
        for key in ("objective", "margins", "outcome", "phase", "certified", "predicted", "seed"):
            assert now[key] == was[key]
        assert str(now["reason"]).startswith(f"trial {was['id']} of an earlier run: ")
    # The other folder is needed no more.
    shutil.rmtree(tmp_path / "runs/monday")
    again = robot("tune", "both.yaml", "--out", "runs/tuesday", "--resume", "--trials", "10")
    assert again.code == 0
    assert "certified here" not in again.out
    refused = robot("tune", "both.yaml", "--out", "runs/tuesday", "--resume", "--continue", "runs/monday")
    assert refused.code == 2
    assert "--continue: the run in this folder has begun" in refused.err


def test_a_gain_is_fixed_and_bounds_are_narrowed(robot: Safebo, tmp_path: Path) -> None:
    assert (
        robot("tune", "both.yaml", "--continue", "runs/monday", "--out", "runs/two", "--trials", "4").code
        == 0
    )
    varied = robot("tune", "one.yaml", "--continue", "runs/two", "--out", "runs/no")
    assert varied.code == 2
    assert "parameters.d is gone, its trials had " in varied.err
    assert not (tmp_path / "runs/no").exists()
    (tmp_path / "narrow.yaml").write_text(WITHOUT_D.replace("[0, 10]", "[2.5, 3.5]"))
    done = robot("tune", "narrow.yaml", "--continue", "runs/monday", "--out", "runs/narrow", "--trials", "3")
    assert done.code == 0
    assert "outside of the bounds inform the surrogate and are not proposed" in done.out
    assert "Certified no longer: " in done.out
    assert "they cannot be tried any more, parameter p = " in done.out
    for trial in trials(robot, "narrow")[6:]:
        assert 2.5 <= trial["parameters"]["p"] <= 3.5  # type: ignore[index]
    best = yaml.safe_load((tmp_path / "runs/narrow/best.yaml").read_text())
    assert 2.5 <= best["gains"]["p"] <= 3.5
    assert "functions are taken to be rougher in p, by a factor of 10" in done.out


def test_a_limit_moves_and_what_lapses_is_named(robot: Safebo, tmp_path: Path) -> None:
    (tmp_path / "strict.yaml").write_text(
        WITHOUT_D.replace("repeatable: true", "repeatable: true, limit: 0.3")
    )
    unsaid = robot("tune", "strict.yaml", "--continue", "runs/monday", "--out", "runs/strict")
    assert unsaid.code == 2
    assert "evaluator.options.limit None -> 0.3: does that change what a trial measures?" in unsaid.err
    words = ("tune", "strict.yaml", "--continue", "runs/monday", "--out", "runs/strict", "--trials", "2")
    done = robot(*words, "--moved", "height=-0.7")
    assert done.code == 0
    assert "margin height is -0.7 of what was measured" in done.out
    assert "Certified no longer: " in done.out
    lapsed = next(line for line in done.out.splitlines() if "Certified no longer" in line)
    assert done.out.index(lapsed) < done.out.index("trial   7/8")
    before, after = trials(robot, "monday"), trials(robot, "strict")
    for was, now in zip(before, after, strict=False):
        assert now["margins"]["height"] == pytest.approx(was["margins"]["height"] - 0.7)  # type: ignore[index]
    for trial in after[6:]:
        assert trial["margins"]["height"] >= 0  # type: ignore[index]
    for word, says in (
        ("tilt=0.1", "'tilt' is no constraint of the study (height)"),
        ("height", "expected MARGIN=AMOUNT"),
        ("height=nan", "expected MARGIN=AMOUNT"),
    ):
        refused = robot(*words[:4], "--out", "runs/no", "--moved", word)
        assert refused.code == 2
        assert says in refused.err


def test_a_changed_robot_measures_its_seeds_first(robot: Safebo, tmp_path: Path) -> None:
    (tmp_path / "foot.yaml").write_text(WITHOUT_D.replace("repeatable: true", "repeatable: true, foot: -0.1"))
    done = robot(
        "tune", "foot.yaml", "--continue", "runs/monday", "--robot-changed", "new foot", "--out", "runs/foot"
    )
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("The robot was changed (new foot): 6 of 6 trials of ")
    assert "their correlation with this run is earned" in lines[1]
    assert lines[2].split()[:3] == ["trial", "1/6", "seed"]
    assert any(line.startswith("simulation's correlation: ") for line in lines)


def test_a_prior_goes_on_too_and_rounds_begin_anew(robot: Safebo, tmp_path: Path) -> None:
    """Of a run that had a prior, and with two workers, where the last taken trial must not be a round cut short."""
    words = ("tune", "one.yaml", "--prior", "runs/monday", "--out", "runs/informed", "--trials", "3")
    assert robot(*words).code == 0
    both = ("--continue", "runs/informed", "--out", "runs/more", "--trials", "4", "--workers", "2")
    refused = robot("tune", "both.yaml", *both, "--prior", "runs/monday")
    assert refused.code == 2
    assert "--prior runs/monday: " in refused.err
    done = robot("tune", "both.yaml", *both)
    assert (done.code, done.err) == (0, "")
    assert "6 trials of " in done.out  # the prior of the earlier run
    found = trials(robot, "more")
    assert [t["round"] for t in found] == [-1, -1, -1, 0, 0, 1, 1]
    shown = json.loads(robot("show", "runs/more", "--json").out)
    assert shown["prior"]["trials"] == 6
    assert all("d" in dict(t["parameters"]) for t in found)  # type: ignore[call-overload]


def test_what_does_not_fit_is_said_in_sentences(robot: Safebo, tmp_path: Path) -> None:
    cases = {
        "unit": (WITHOUT_D.replace("unit: N", "unit: kN"), "parameters.p.unit: 'N' there, 'kN' here"),
        "objective": (WITHOUT_D.replace("name: speed", "name: pace"), "objective: 'pace' is not there"),
        "margin": (
            WITHOUT_D.replace("seeds:", "  - {name: tilt, unit: rad}\nseeds:"),
            "trial 1 did not measure all that this study models",
        ),
        "evaluator": (
            WITHOUT_D.replace("my_robot:walk", "my_robot:other"),
            "evaluator.name: 'my_robot:walk' there, 'my_robot:other' here; say --robot-changed TEXT",
        ),
    }
    (tmp_path / "my_robot.py").write_text(ROBOT + "other = walk\n")
    for name, (text, says) in cases.items():
        (tmp_path / f"{name}.yaml").write_text(text)
        refused = robot("tune", f"{name}.yaml", "--continue", "runs/monday", "--out", "runs/no")
        assert refused.code == 2, refused.err
        assert says in refused.err
        assert "Traceback" not in refused.err
        assert not (tmp_path / "runs/no").exists()
    for words, says in (
        (("--continue", "runs/nowhere"), "no such folder"),
        (("--robot-changed", "foot"), "--robot-changed goes with --continue DIR"),
        (("--moved", "height=1"), "--moved goes with --continue DIR"),
        (("--continue", "runs/monday", "--robot-changed", " "), "say in a few words what changed"),
        (("--continue", "runs/monday", "--out", "runs/monday"), "already holds a run"),
    ):
        out = () if "--out" in words else ("--out", "runs/no")
        refused = robot("tune", "one.yaml", *words, *out)
        assert refused.code == 2
        assert says in refused.err


def test_contexts_keep_their_values(robot: Safebo, tmp_path: Path) -> None:
    context = "context: {variables: [{name: load, unit: kg, bounds: [0, 5]}], values: {light: {load: 1}}}\n"
    text = WITHOUT_D.replace("parameters: {p: 3}", "context: light\n    parameters: {p: 3}") + context
    (tmp_path / "light.yaml").write_text(text)
    (tmp_path / "heavy.yaml").write_text(text.replace("load: 1", "load: 2"))
    missing = robot("tune", "light.yaml", "--continue", "runs/monday", "--out", "runs/no")
    assert "context.variables: 'load' is not there (it has none)" in missing.err
    assert robot("tune", "light.yaml", "--out", "runs/light").code == 0
    other = robot("tune", "heavy.yaml", "--continue", "runs/light", "--out", "runs/no")
    assert "context.values.light.load: 1.0 there, 2.0 here; give the new context another name" in other.err
    done = robot("tune", "light.yaml", "--continue", "runs/light", "--out", "runs/more", "--trials", "1")
    assert done.code == 0
    assert "7/7" in done.out
