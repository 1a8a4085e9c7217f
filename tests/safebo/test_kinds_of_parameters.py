"""Whole numbers, steps, choices and linear constraints between gains: every proposal is allowed, certified and kept."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from safebo.acquisition.allowed import AllowedPoints
from safebo.errors import ParameterError, StudyError
from safebo.experiments.robustness.kinds_of_parameters import GAITS, asked, broken, measured, mixed_study
from safebo.integrations.optuna import Prior, SafeSampler
from safebo.runs.best_gains import read_best_gains
from safebo.runs.manual import tell_trial
from safebo.runs.recommendation import as_best_gains
from safebo.runs.runner import run
from safebo.storage.journal import Journal
from safebo.study import Study
from safebo.study.linear import read_constraint
from safebo.study.reading import check_study
from safebo.study.space import Space
from safebo.tuner import Tuner
from safebo.types import Measurement, Trial

QUICK = {"swarm_size": 20, "swarm_iterations": 3, "restarts": 1}

SEED = {"kp": 40.0, "kd": 1.0, "horizon": 10, "duty": 0.6, "gait": "trot"}


def changed(**changes: Any) -> Study:
    return Study.model_validate({**mixed_study().model_dump(), **changes})


def parameter(index: int, **changes: Any) -> Study:
    data = mixed_study().model_dump(exclude_unset=True)
    data["parameters"][index] = {"name": data["parameters"][index]["name"], **changes}
    return Study.model_validate(data)


# -- proposals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "search"),
    [
        ("safe_ucb", {}),
        ("safeopt", {}),
        ("random_safe", {}),
        ("itl", {}),
        ("safe_ucb", {"lines": {"direction": "random", "points": 60}}),
        ("safe_ucb", {"domain": "grid", "grid_points": 5}),
        ("random", {}),
        ("scbo", {}),
        ("constrained_ei", {}),
    ],
)
def test_every_proposal_is_allowed_and_certified_by_a_second_program(
    method: str, search: dict[str, Any]
) -> None:
    trials, faults = asked(mixed_study(method, search={**QUICK, **search}), 5)
    assert faults == []
    assert len({tuple(t.parameters.values()) for t in trials}) > 3


@pytest.mark.slow
def test_the_search_reaches_other_values_and_the_edge_of_a_constraint() -> None:
    trials, faults = asked(mixed_study(search={"swarm_size": 40, "swarm_iterations": 5, "restarts": 1}), 20)
    assert faults == []
    assert len({t.parameters["horizon"] for t in trials}) > 3
    assert len({t.parameters["gait"] for t in trials}) > 1
    assert min(1.0 - t.parameters["kd"] / (0.1 * t.parameters["kp"]) for t in trials) < 1e-3


def test_a_restored_tuner_asks_what_the_first_would_have() -> None:
    study = mixed_study()
    first, known = Tuner(study, seed=3), []
    for _ in range(5):
        trial = first.ask()
        first.tell(trial, measured(trial))
        known.append((trial, measured(trial)))
    second = Tuner(study, seed=3)
    second.restore(known)
    assert second.ask() == first.ask()


# -- values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"horizon": 10.5}, "horizon = 10.5 is not a whole number; the nearest is 10"),
        ({"duty": 0.62}, "duty = 0.62 is not 0.4 plus a multiple of 0.05; the nearest is 0.6"),
        ({"gait": "walk"}, r"gait = walk is not a choice \(allowed: trot, bound, pace\)"),
        ({"gait": 1}, "gait = 1 is not a choice"),
        ({"kp": "forty"}, "kp = forty is not a number"),
        ({"kp": True}, "kp = True is not a number"),
        ({"kp": 5.0}, r"kp = 5 lies outside its bounds \[10, 100\]"),
        ({"kd": 4.5}, r"kd = 4.5, kp = 40 break the constraint kd <= 0.1 \* kp"),
    ],
)
def test_values_of_a_person_are_checked(values: dict[str, Any], message: str) -> None:
    tuner = Tuner(mixed_study(), seed=0)
    for call in (
        lambda p: tuner.certify(p, "default"),
        lambda p: tuner.tell_manual(p, "default", {"objective": 0.0, "margins": {"margin": 0.1}}),
    ):
        with pytest.raises(ParameterError, match=message):
            call({**SEED, **values})


def test_a_seed_on_the_edge_of_a_constraint_is_inside() -> None:
    for kp, kd in ((70.0, 7.0), (30.0, 3.0), (12.0, 1.2)):
        study = changed(seeds=[{"parameters": {**SEED, "kp": kp, "kd": kd}}])
        check_study(study)
        assert Tuner(study).ask().parameters["kd"] == kd


@pytest.mark.parametrize(
    ("study", "message"),
    [
        (changed(parameter_constraints=["kd <= kp * kd"]), "term 'kp * kd' is not linear"),
        (
            changed(parameter_constraints=["kd <= 0.1 * kq"]),
            "unknown parameter 'kq' (allowed: kp, kd, horizon, duty)",
        ),
        (changed(parameter_constraints=["gait <= 2"]), "term 'gait' is a choice"),
        (
            changed(parameter_constraints=["kd <= 0.01 * kp"]),
            "seeds[0].parameters: kd = 1, kp = 40 break the constraint",
        ),
        (changed(seeds=[{"parameters": {**SEED, "gait": "walk"}}]), "walk is not a choice"),
        (changed(seeds=[{"parameters": {**SEED, "horizon": 9.5}}]), "9.5 is not a whole number"),
        (parameter(4, choices=["trot", "trot", "pace"]), "'trot' is there already"),
        (parameter(4, choices=["trot", "pace"], scale="log"), "scale is for numbers"),
        (parameter(4, choices=["trot", "pace"], bounds=(0, 5)), "choices have no bounds"),
        (parameter(2, bounds=(4.5, 20), type="integer"), "of type: integer must be whole"),
        (parameter(2, bounds=(4, 20), type="integer", step=0.5), "of type: integer must be whole"),
        (parameter(3, bounds=(0.4, 0.8), step=0.5), "0.5 is larger than the bounds are apart"),
        (parameter(3, bounds=(0.4, 0.8), step=1e-9), "makes 400,000,001 values"),
        (changed(constraints=[]), "method safe_ucb certifies constraints"),
    ],
)
def test_studies_that_contradict_themselves_are_refused(study: Study, message: str) -> None:
    with pytest.raises(StudyError, match=re.escape(message)):
        check_study(study)


# -- linear constraints --------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(-9, 9), min_size=3, max_size=3),
    st.lists(st.floats(-5, 5).map(lambda v: round(v, 3)), min_size=3, max_size=3),
    st.sampled_from(["<=", ">="]),
)
def test_a_constraint_means_what_python_means(factors: list[int], values: list[float], sign: str) -> None:
    a, b, c = factors
    text = f"{a} * x - (y - {b} * joint.z) / 2 {sign} {c} + x * 0.5 - -1"
    x, y, z = values
    found = read_constraint(text, ["x", "y", "joint.z"])
    left, right = a * x - (y - b * z) / 2, c + x * 0.5 + 1
    if abs(left - right) > 1e-9:
        assert found[0].holds({"x": x, "y": y, "joint.z": z}) == (
            left <= right if sign == "<=" else left >= right
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kd", "is not an inequality"),
        ("kd <= ", "is not an inequality"),
        ("kd == kp", "an equation leaves nothing to choose"),
        ("kd < kp", "joined by <= or >="),
        ("kd <= kp ** 2", "term 'kp ** 2' is not linear"),
        ("1 / kp <= 3", "term '1 / kp' is not linear"),
        ("kp / 0 <= 3", "term 'kp / 0' is not linear"),
        ("abs(kp) <= 3", "term 'abs(kp)' is not linear"),
        ("__import__('os').system('x') <= kp", "is not linear"),
        ("kp - kp <= 3", "has no parameter left"),
        ("kp <= 1e999", "term '1e999' is too large"),
        ("kp <= True", "term 'True' is not linear"),
        ("(" * 500 + "kp" + ")" * 500 + " <= 1", "is not an inequality"),
    ],
)
def test_what_is_no_linear_constraint_is_refused_by_its_term(text: str, message: str) -> None:
    with pytest.raises(StudyError, match=re.escape(message)):
        read_constraint(text, ["kp", "kd"])


def test_a_chain_is_several_constraints() -> None:
    low, high = read_constraint("0.1 * kp <= kd <= 0.3 * kp", ["kp", "kd"])
    assert low.holds({"kp": 10, "kd": 2})
    assert not low.holds({"kp": 10, "kd": 0.9})
    assert not high.holds({"kp": 10, "kd": 3.1})


@given(st.integers(0, 10_000))
def test_points_are_placed_where_rounding_keeps_the_constraints(seed: int) -> None:
    space = Space.of_parameters(
        changed(parameter_constraints=["kd <= 0.1 * kp", "kp + 2 * horizon <= 120", "kd >= 0.02 * kp"])
    )
    allowed = AllowedPoints(space, space.vector(SEED))
    points = allowed.place(torch.tensor(np.random.default_rng(seed).random((40, space.dimension)))).numpy()
    rows = space.proposals(points)
    assert space.keep(rows).all()
    for row in rows:
        space.vector(space.named(row))
    np.testing.assert_allclose(allowed.place(torch.tensor(points)).numpy(), points, atol=1e-12)


def test_choices_are_equally_far_from_each_other() -> None:
    space = Space.of_parameters(mixed_study())
    units = [space.to_unit(space.vector({**SEED, "gait": gait})) for gait in GAITS]
    distances = {round(float(np.linalg.norm(a - b)), 12) for a in units for b in units if a is not b}
    assert distances == {round(math.sqrt(2.0), 12)}


# -- runs ----------------------------------------------------------------------------------------------------

STUDY = """
name: mixed
evaluator: {name: "mixed_robot:walk", options: {repeatable: true}}
parameters:
  - {name: kp, bounds: [10, 100]}
  - {name: kd, bounds: [0.1, 10], scale: log}
  - {name: horizon, bounds: [4, 20], type: integer}
  - {name: gait, choices: [trot, bound, "off"], lengthscale: 5}
parameter_constraints: ["kd <= 0.1 * kp"]
objective: {name: reward, prior_mean: -0.5, prior_std: 0.6, noise_std: 0.02}
constraints: [{name: margin, prior_mean: -0.3, prior_std: 0.5, noise_std: 0.02}]
seeds: [{parameters: {kp: 40, kd: 1, horizon: 10, gait: trot}}]
surrogate: {lengthscale: 0.5}
tuner: {beta: 2, search: {swarm_size: 20, swarm_iterations: 3, restarts: 1}}
trials: 4
"""

ROBOT = """
def walk(parameters, context):
    assert type(parameters["horizon"]) is int and parameters["gait"] in ("trot", "bound", "off")
    kp = parameters["kp"] / 100
    reward = -(kp - 0.6) ** 2 + 0.05 * (parameters["gait"] == "off")
    return {"objective": reward, "margins": {"margin": 0.5 - (kp - 0.4) ** 2}}
"""


@pytest.mark.slow
def test_a_run_keeps_prints_and_resumes_all_kinds(tmp_path: Path) -> None:
    (tmp_path / "mixed_robot.py").write_text(ROBOT)
    (tmp_path / "study.yaml").write_text(STUDY)
    file, whole, cut = tmp_path / "study.yaml", tmp_path / "whole", tmp_path / "cut"
    run(file, whole)
    run(file, cut, trials=2)
    run(file, cut, trials=4, resume=True)
    asked_for = []
    for folder in (whole, cut):
        with Journal.open(folder, read_only=True) as journal:
            asked_for.append([r.trial.parameters for r in journal.records()])
    assert asked_for[0] == asked_for[1]
    assert all(type(p["horizon"]) is int and isinstance(p["gait"], str) for p in asked_for[0])
    best = read_best_gains(whole / "best.yaml").gains
    assert (type(best["horizon"]), type(best["gait"])) == (int, str)
    mine, seen = tmp_path / "mine.yaml", tmp_path / "seen.yaml"
    mine.write_text("{kp: 41, kd: 1, horizon: 11, gait: 'off'}")
    seen.write_text("{objective: 0.1, margins: {margin: 0.4}}")
    assert tell_trial(whole, mine, None, seen).parameters == {
        "kp": 41.0,
        "kd": 1.0,
        "horizon": 11,
        "gait": "off",
    }
    mine.write_text("{kp: 41, kd: 1, horizon: 11, gait: run}")
    with pytest.raises(ParameterError, match="is not a choice"):
        tell_trial(whole, mine, None, seen)


@pytest.mark.slow
def test_a_study_without_constraints_is_for_methods_that_promise_nothing() -> None:
    for method in ("gp_ucb", "ei", "constrained_ei", "qlognei", "scbo", "random"):
        tuner = Tuner(
            changed(constraints=[], tuner={**mixed_study().tuner.model_dump(), "method": method}), seed=0
        )
        for _ in range(4):
            trial = tuner.ask()
            assert broken(trial) == []
            tuner.tell(trial, Measurement("completed", objective=measured(trial).objective))
        best = as_best_gains(tuner.best(), tuner.study, "default")
        assert best is not None
        assert (best.certified, best.kind) == (False, "best gains (no constraints, nothing is certified)")


# -- Optuna --------------------------------------------------------------------------------------------------


def test_optuna_gets_ints_steps_and_its_own_choices() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    named: dict[Any, str] = {"trot": "trot", None: "bound", 3: "pace"}
    space = {
        "kp": FloatDistribution(10.0, 100.0),
        "kd": FloatDistribution(0.1, 10.0, log=True),
        "horizon": IntDistribution(4, 20),
        "duty": FloatDistribution(0.4, 0.8, step=0.05),
        "gait": CategoricalDistribution(list(named)),
    }

    def walk(trial: optuna.Trial) -> float:
        p = {
            "kp": trial.suggest_float("kp", 10.0, 100.0),
            "kd": trial.suggest_float("kd", 0.1, 10.0, log=True),
            "horizon": trial.suggest_int("horizon", 4, 20),
            "duty": trial.suggest_float("duty", 0.4, 0.8, step=0.05),
            "gait": named[trial.suggest_categorical("gait", list(named))],
        }
        shown = measured(Trial(1, p, {}, "default", "local", 0, True))
        assert broken(Trial(1, p, {}, "default", "local", 0, True))[:1] in ([], ["kp + 2 horizon <= 120"])
        trial.set_user_attr("risk", -shown.margins["margin"])
        return -float(shown.objective or 0.0)

    def sampler() -> SafeSampler:
        return SafeSampler(
            space,
            lambda trial: [trial.user_attrs["risk"]],
            [{"kp": 40, "kd": 1.0, "horizon": 10, "duty": 0.6, "gait": "trot"}],
            objective=Prior(std=0.6, noise_std=0.02, mean=0.5),
            constraints={"risk": Prior(std=0.5, noise_std=0.02, mean=0.3)},
            lengthscale={"kp": 0.5, "kd": 0.5, "horizon": 0.5, "duty": 0.5, "gait": 5.0},
            beta=2.0,
            parameter_constraints=["kd <= 0.1 * kp"],
        )

    study = optuna.create_study(sampler=sampler())
    study.optimize(walk, n_trials=6)
    assert all(t.user_attrs["risk"] <= 0 for t in study.trials)
    assert len({t.params["gait"] for t in study.trials}) > 1
    again = optuna.create_study(sampler=sampler())
    for trial in study.trials[:4]:
        again.add_trial(trial)
    assert again.ask(sampler().search_space).params == study.trials[4].params
