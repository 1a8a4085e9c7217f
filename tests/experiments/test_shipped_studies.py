"""The studies that are shipped: each fits its evaluator, and its seed is safe on the robot."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from safebo.evaluators.scenarios import parts_of
from safebo.evaluators.source import EvaluatorSource
from safebo.experiments import studies
from safebo.experiments.evidence.truth import from_unit, is_safe, truth, with_evaluator_options
from safebo.experiments.evidence.tuning import run_seed, unsafe
from safebo.experiments.speed import __main__ as speed
from safebo.experiments.studies.cautious import cautious
from safebo.study.reading import load_study, registered_studies
from safebo.study.scenarios import one_walk
from safebo.study.tuner_checks import with_trust
from safebo.tuner import Tuner
from safebo.types import Trial

NAMES = ("go1-trot", "go1-gaits", "go1-mpc", "go1-push", "go2-trot", "go2-mpc", "go2-stand-up", "pendulum")
ROBUST = str(studies.go1_robust)
SHAKER = str(studies.go1_shaker)


def test_all_are_registered() -> None:
    assert set(NAMES) <= set(registered_studies())


def test_every_shipped_file_has_an_entry_point() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    declared = project["project"]["entry-points"]["safebo.studies"]
    files = {path.stem for path in Path(studies.__file__).parent.glob("*.yaml")}
    assert set(declared) == files - {"gosafeopt-toy"}  # a system to compare methods on, which benchmarks load
    for name, entry in declared.items():
        assert entry == f"safebo.experiments.studies:{name.replace('-', '_')}"
        assert getattr(studies, name.replace("-", "_")).stem == name


@pytest.mark.parametrize("name", [*NAMES, ROBUST, SHAKER])
def test_every_name_in_the_study_is_known_to_its_evaluator(name: str) -> None:
    file = load_study(name)
    file.check_evaluator(EvaluatorSource.of_file(file).make().info())


@pytest.mark.parametrize("name", ["go1-trot", "go1-gaits", "go1-mpc", "go2-mpc", "go1-push", SHAKER])
def test_the_initial_gains_are_safe_with_noise_and_without(name: str) -> None:
    study = load_study(name).study
    evaluator = EvaluatorSource(study).make()
    for seed in study.seeds:
        context = study.context.values[seed.context]
        trial = Trial(1, seed.parameters, context, seed.context, "seed", 7, True)
        assert is_safe(study, evaluator.evaluate(trial))
        assert is_safe(study, truth(study, seed.context, [seed.parameters])[0])


@pytest.mark.parametrize("name", ["go1-mpc", "go2-mpc"])
def test_the_mpc_studies_start_from_the_controllers_defaults(name: str) -> None:
    study = load_study(name).study
    defaults = {p.name: p.default for p in EvaluatorSource(study).make().info().parameters}
    assert dict(study.seeds[0].parameters) == {p.name: defaults[p.name] for p in study.parameters}


def test_go1_robust_asks_for_two_more_ticks_and_its_seed_bears_them() -> None:
    study = load_study(ROBUST).study
    assert study.scenarios is not None
    conditions = study.scenarios.values
    assert {c["extra_delay"] for c in conditions.values()} == {0, 1, 2}
    evaluator = EvaluatorSource(study).make()
    for seed in study.seeds:
        context = study.context.values[seed.context]
        trial = Trial(
            1, seed.parameters, context, seed.context, "seed", 7, True, scenarios=("late-2", "all-at-once")
        )
        for part in parts_of(trial, study):
            assert is_safe(one_walk(study), evaluator.evaluate(part)), part.scenario


@pytest.mark.parametrize(("name", "walks"), [("go1-mpc", [1, 1, 1]), (ROBUST, [8, 2, 2])])
def test_a_short_run_certifies_every_trial_and_stays_safe(name: str, walks: list[int]) -> None:
    short = with_evaluator_options(load_study(name).study, {"seconds": 1.6, "telemetry": False})
    result = run_seed(short.model_dump_json(), 3, 3, [])
    assert [t.phase for t, _ in result.records] == ["seed", "local", "local"]
    assert all(max(1, len(m.scenarios)) <= most for (_, m), most in zip(result.records, walks, strict=True))
    assert all(t.certified and not unsafe(m, short) for t, m in result.records[1:])


def test_go1_trot_is_the_declared_problem() -> None:
    study = load_study("go1-trot").study
    bounds = {p.name: p.bounds for p in study.parameters}
    assert set(bounds) == {f"joint.{j}.{k}" for j in ("hip", "thigh", "calf") for k in ("kp", "kd")}
    assert all(b == ((5, 150) if name.endswith("kp") else (0.2, 8)) for name, b in bounds.items())
    assert {v for k, v in study.seeds[0].parameters.items() if k.endswith("kp")} == {70}
    assert {v for k, v in study.seeds[0].parameters.items() if k.endswith("kd")} == {3.2}


def test_a_cautious_study_declares_what_certifies_before_anything_is_earned() -> None:
    study = load_study("go1-trot").study
    earned, declared = with_trust(study), cautious(study)
    assert (earned.surrogate.trust, declared.surrogate.trust) == ("earned", "declared")
    assert declared.surrogate.lengthscale == 0.4
    seed = study.seeds[0]
    measurement = {"objective": -2.4, "margins": {"tracking": 0.08}}
    points = np.array([list(seed.parameters.values())]) * np.linspace(0.9, 1.1, 9)[:, None]
    lower = []
    for one in (earned, declared):
        tuner = Tuner(one, 0)
        tuner.tell(tuner.ask(), measurement)
        lower.append(tuner.bounds(points, seed.context)[:, 1, 0])
    np.testing.assert_allclose(lower[0], lower[1], atol=1e-12)


def test_points_of_the_unit_cube_are_gains_on_their_declared_scales() -> None:
    study = load_study("go1-trot").study
    low, middle, high = (from_unit(study, np.full(6, u)) for u in (0.0, 0.5, 1.0))
    assert low["joint.hip.kp"] == pytest.approx(5)
    assert high["joint.hip.kp"] == pytest.approx(150)
    assert middle["joint.hip.kp"] == pytest.approx(np.sqrt(5 * 150))
    assert middle["joint.hip.kd"] == pytest.approx(4.1)


def test_the_speed_command_prints_only_json(capsys: pytest.CaptureFixture[str]) -> None:
    command = typer.Typer()
    command.command()(speed.main)
    done = CliRunner().invoke(command, ["grid_10k", "--json"], catch_exceptions=False)
    (row,) = json.loads(done.stdout)["speed"]
    assert row["name"] == "grid_10k"
    assert row["median_seconds"] > 0
    assert row["repeats"] == speed.CASES["grid_10k"].repeats
    with pytest.raises(typer.Exit) as ended:
        speed.main(["nothing"])
    assert ended.value.exit_code == 2
    assert "unknown name 'nothing'" in capsys.readouterr().err
