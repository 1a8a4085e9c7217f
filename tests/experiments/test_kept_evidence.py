"""Evidence that is kept as it grows: landscapes and seeds go on where they were stopped, scenarios included."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from safebo.errors import InputError
from safebo.experiments.evidence import robust
from safebo.experiments.evidence.landscape import landscape, seed_told, told
from safebo.experiments.evidence.truth import random_gains, truth
from safebo.experiments.evidence.tuning import SeedSummary, summaries
from safebo.study import Study
from safebo.study.reading import parse_study

CART = """
calls = []


def kept_cart(parameters, context, conditions, noise_free=False):
    calls.append(conditions["mass"])
    grip = 1.0 - 0.1 * parameters["p"] * conditions["mass"]
    return {"objective": 0.1 * parameters["p"] - conditions["mass"], "margins": {"grip": grip}, "fell": grip < -0.5}


kept_cart.repeatable = True
"""
STUDY = {
    "name": "cart",
    "evaluator": {"name": "kept_cart:kept_cart"},
    "parameters": [{"name": "p", "bounds": [0.0, 10.0]}],
    "objective": {"name": "speed"},
    "constraints": [{"name": "grip", "noise_std": 0.01}],
    "scenarios": {"values": {"empty": {"mass": 0.0}, "half": {"mass": 1.0}, "loaded": {"mass": 2.0}}},
    "context": {"values": {"default": {}}, "schedule": [{"context": "default", "trials": 4}]},
    "seeds": [{"parameters": {"p": 2.0}}],
    "trials": 4,
}

LEGGED = {
    "name": "legs",
    "evaluator": {"name": "legged", "options": {"robot": "go1", "seconds": 0.5}},
    "parameters": [{"name": "joint.hip.kd", "bounds": [0.2, 8.0]}],
    "objective": {"name": "cost", "quantity": "tracking"},
    "constraints": [{"name": "tracking", "noise_std": 0.01}],
    "scenarios": {"values": {"empty": {"payload_mass": 0.0}, "loaded": {"payload_mass": 1.0}}},
    "context": {"values": {"trot": {}}, "schedule": [{"context": "trot", "trials": 4}]},
    "seeds": [{"context": "trot", "parameters": {"joint.hip.kd": 2.0}}],
    "trials": 4,
}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    (tmp_path / "kept_cart.py").write_text(CART)
    monkeypatch.syspath_prepend(str(tmp_path))
    return parse_study(yaml.safe_dump(STUDY)).study


def walked() -> list[float]:
    import kept_cart  # type: ignore[import-not-found]  # written by the fixture

    found: list[float] = kept_cart.calls[:]
    kept_cart.calls.clear()
    return found


def test_the_truth_of_several_scenarios_is_that_of_the_worst(study: Study) -> None:
    walked()
    (found,) = truth(study, "default", [{"p": 4.0}])
    assert found.objective == pytest.approx(0.4 - 2.0)
    assert found.margins["grip"] == pytest.approx(1.0 - 0.8)
    assert walked() == [0.0, 1.0, 2.0]
    (found,) = truth(study, "default", [{"p": 6.0}], least=-math.inf)
    assert found.margins["grip"] == pytest.approx(1.0 - 1.2)
    assert walked() == [2.0]
    (found,) = truth(study, "default", [{"p": 4.0}], least=0.4 - 1.5)
    assert len(found.scenarios) == len(walked()) == 1
    (found,) = truth(study, "default", [{"p": 4.0}], least=0.4 - 2.0)
    assert found.objective == pytest.approx(0.4 - 2.0)
    assert walked() == [2.0, 1.0, 0.0]


def test_a_landscape_goes_on_where_it_was_stopped(study: Study, tmp_path: Path) -> None:
    out, gains = tmp_path / "made" / "cart.parquet", random_gains(study, 30, 1)
    walked()
    first = landscape(study, "default", gains[:20], out)
    asked = len(walked())
    again = landscape(study, "default", gains, out)
    assert again[:20] == first or [m.margins for m in again[:20]] == [m.margins for m in first]
    assert 0 < len(walked()) < asked
    assert [m.margins for m in landscape(study, "default", gains, out)] == [m.margins for m in again]
    assert walked() == []
    with pytest.raises(InputError, match="another study, context or seed"):
        landscape(study, "default", random_gains(study, 30, 2), out)
    lines = "\n".join(told(study, gains, again))
    broken = sum(g["p"] > 5.0 for g in gains)
    assert f"violate: {broken / 30:.1%}" in lines
    assert f"best safe: {max(0.1 * g['p'] - 2.0 for g in gains if g['p'] <= 5.0):.4g} at" in lines


def test_a_seed_is_told_with_what_the_best_gains_do_without(study: Study) -> None:
    (found,) = truth(study, "default", [{"p": 0.0}])
    assert "cut its cost by 25.0%" in seed_told(study, found, -1.5)


def test_seeds_that_are_kept_are_not_run_again(study: Study, tmp_path: Path) -> None:
    first = list(summaries(study, [0, 1], 4, [4], 1, tmp_path / "kept"))
    assert [f.seed for f in first] == [0, 1]
    assert all((f.trials, f.walks, f.unsafe, f.falls) == (4, 12, 0, 0) for f in first)
    assert all(f.safe[4]["default"] for f in first)
    walked()
    more = list(summaries(study, [0, 1, 2], 4, [4], 1, tmp_path / "kept"))
    assert more[:2] == first
    assert len(walked()) == 12 + 3  # one run of four trials, and the truth of its recommendation
    with pytest.raises(InputError, match="other trials"):
        list(summaries(study, [0], 5, [4], 1, tmp_path / "kept"))


def test_gains_walk_beside_those_of_another_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = parse_study(yaml.safe_dump(LEGGED)).study
    good = {"joint.hip.kd": 1.5}
    bad = {f"joint.{kind}.kd": 60.0 for kind in ("hip", "thigh", "calf")}
    for name, gains in (("tuned", good), ("other", bad)):
        (tmp_path / name).mkdir()
        summary = SeedSummary(
            study=study.model_dump_json(),
            seed=0,
            trials=4,
            unsafe=0,
            unsafe_local=0,
            falls=0,
            backups=0,
            walks=9,
            objective={4: {"trot": -2.0}},
            safe={4: {"trot": True}},
            gains={4: {"trot": gains}},
        )
        (tmp_path / name / "seed-0000.json").write_text(summary.model_dump_json())
    command = typer.Typer()
    command.command()(robust.main)
    arguments = [str(tmp_path / "tuned"), "--beside", str(tmp_path / "other"), "--draws", "2"]
    first = CliRunner().invoke(command, arguments, catch_exceptions=False).stdout.splitlines()
    assert first[0].startswith("seed 0, trot: 2 draws, 0 falls, 0 violations (at most 77.6 % fail)")
    assert "delay margin 3 or more ticks" in first[0]
    assert first[1].startswith(
        "seed 0, trot tuned without scenarios: 2 draws, 0 falls, 2 violations (at most 100.0 %"
    )
    assert "delay margin -1 ticks" in first[1]
    assert "1 seeds, 4 trials, 0 unsafe, 0 falls, 2.25 walks a trial" in first[2]
    assert CliRunner().invoke(command, arguments, catch_exceptions=False).stdout.splitlines() == first


def test_gains_that_are_unsafe_close_no_gap() -> None:
    summary = SeedSummary(
        study="",
        seed=0,
        trials=4,
        unsafe=0,
        unsafe_local=0,
        falls=0,
        backups=0,
        walks=4,
        objective={2: {"a": -1.0}, 4: {"a": -2.0, "b": -1.0, "c": None}},
        safe={2: {"a": True}, 4: {"a": True, "b": False}},
    )
    initial, best = {"a": -4.0, "b": -4.0, "c": -4.0}, {"a": -1.0, "b": -1.0, "c": -1.0}
    assert robust.shares(summary, initial, best) == pytest.approx({"a": 2 / 3, "b": 0.0, "c": 0.0})
