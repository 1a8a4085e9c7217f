"""The Optuna sampler through Optuna's own loop, storages and trial states."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, Trial, TrialState
from tuner_cases import direct_posterior, hill_study, measured

from safebo.errors import (
    InputError,
    MeasurementError,
    ParameterError,
    SafeboError,
    StudyError,
    UnsafeSeedError,
)
from safebo.integrations.optuna import Prior, SafeSampler
from safebo.tuner import Tuner

pytestmark = pytest.mark.slow

SPACE: dict[str, BaseDistribution] = {
    "kp": FloatDistribution(0.0, 10.0),
    "kd": FloatDistribution(0.1, 10.0, log=True),
}
SEED = {"kp": 3.0, "kd": 0.6}
RISK = Prior(std=0.5, noise_std=0.02, mean=0.3)
BETA, LENGTHSCALE = 3.0, 0.35


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def risk(trial: FrozenTrial) -> list[float]:
    return [trial.user_attrs["risk"]]


def sampler(**changes: Any) -> SafeSampler:
    arguments: dict[str, Any] = {
        "search_space": SPACE,
        "constraints_func": risk,
        "safe_seeds": [SEED],
        "objective": Prior(std=0.6, noise_std=0.02, mean=0.5),
        "constraints": {"risk": RISK},
        "lengthscale": LENGTHSCALE,
        "beta": BETA,
        **changes,
    }
    return SafeSampler(**arguments)


def unit(parameters: dict[str, Any]) -> list[float]:
    return [parameters["kp"] / 10.0, math.log(parameters["kd"] / 0.1) / math.log(100.0)]


def true_values(parameters: dict[str, Any]) -> tuple[float, float]:
    """Cost and risk (feasible when <= 0); the cheapest point lies near the border of the feasible set."""
    kp, kd = unit(parameters)
    return 2 * (kp - 0.72) ** 2 + 1.5 * (kd - 0.55) ** 2, 2.2 * (kp - 0.42) ** 2 + 2 * (kd - 0.45) ** 2 - 0.2


def cost(trial: Trial) -> float:
    trial.suggest_float("kp", 0.0, 10.0)
    trial.suggest_float("kd", 0.1, 10.0, log=True)
    value, danger = true_values(trial.params)
    noise = np.random.default_rng(trial.number).normal(0, 0.02, 2)
    trial.set_user_attr("risk", danger + noise[1])
    return value + float(noise[0])


def params(study: optuna.Study) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


def proposal(trial: FrozenTrial) -> dict[str, Any]:
    found: dict[str, Any] = trial.system_attrs["safebo:proposal"]
    return found


def upper_bound(told: list[FrozenTrial], parameters: dict[str, Any]) -> float:
    """The risk's upper confidence bound by one dense solve from Optuna's own records."""
    mean, covariance = direct_posterior(
        "matern32",
        np.full(2, LENGTHSCALE),
        RISK.std**2,
        RISK.mean,
        RISK.noise_std**2,
        np.array([unit(t.params) for t in told]),
        np.array([t.system_attrs["constraints"][0] for t in told]),
        np.array([unit(parameters)]),
    )
    return float(mean[0] + BETA * math.sqrt(covariance[0, 0]))


@pytest.mark.parametrize(("method", "count"), [("safe_ucb", 20), ("safeopt", 10), ("goose", 10)])
def test_trials_start_at_the_seed_stay_certified_never_violate_and_improve(method: str, count: int) -> None:
    study = optuna.create_study(sampler=sampler(method=method))
    study.optimize(cost, n_trials=count)
    trials = study.trials
    assert trials[0].params == SEED
    for i, trial in enumerate(trials):
        assert true_values(trial.params)[1] <= 0
        if proposal(trial)["phase"] == "local":
            assert upper_bound(trials[:i], trial.params) <= 1e-9
            predicted = proposal(trial)["predicted"]["risk"]
            assert predicted["upper"] == pytest.approx(upper_bound(trials[:i], trial.params), abs=1e-8)
    assert sum(proposal(t)["phase"] == "local" for t in trials) >= count - 3
    # The best feasible cost by brute force.
    kp, kd = np.meshgrid(np.linspace(0, 1, 201), np.linspace(0, 1, 201))
    grid = 2 * (kp - 0.72) ** 2 + 1.5 * (kd - 0.55) ** 2
    best = grid[2.2 * (kp - 0.42) ** 2 + 2 * (kd - 0.45) ** 2 <= 0.2].min()
    start, found = true_values(SEED)[0], true_values(study.best_trial.params)[0]
    assert found - best <= (0.3 if count == 20 else 0.7) * (start - best)


def test_a_pickled_sampler_goes_on() -> None:
    whole, halves = optuna.create_study(sampler=sampler()), optuna.create_study(sampler=sampler())
    whole.optimize(cost, n_trials=4)
    halves.optimize(cost, n_trials=2)
    halves.sampler = pickle.loads(pickle.dumps(halves.sampler))
    halves.optimize(cost, n_trials=2)
    assert params(halves) == params(whole)


def test_maximizing_the_negative_is_the_same() -> None:
    low = optuna.create_study(sampler=sampler())
    low.optimize(cost, n_trials=5)
    high = optuna.create_study(
        direction="maximize", sampler=sampler(objective=Prior(std=0.6, noise_std=0.02, mean=-0.5))
    )
    high.optimize(lambda trial: -cost(trial), n_trials=5)
    assert params(low) == params(high)
    assert low.best_value == -high.best_value


def test_a_study_loaded_again_goes_on_as_the_uninterrupted_one(tmp_path: Path) -> None:
    whole = optuna.create_study(sampler=sampler())
    whole.optimize(cost, n_trials=6)
    url = f"sqlite:///{tmp_path}/study.db"
    optuna.create_study(study_name="s", storage=url, sampler=sampler()).optimize(cost, n_trials=4)
    # What another process does: everything comes from the file.
    again = optuna.load_study(study_name="s", storage=url, sampler=sampler())
    again.optimize(cost, n_trials=2)
    assert params(again) == params(whole)
    assert [t.system_attrs["constraints"] for t in again.trials] == [
        list(t.system_attrs["constraints"]) for t in whole.trials
    ]
    other = optuna.create_study(sampler=sampler(method="random_safe", seed=1))
    other.optimize(cost, n_trials=3)
    assert params(other)[2:] != params(whole)[2:3]


def test_a_pruner_that_hides_trials_does_not_hide_what_is_known() -> None:
    def reporting(trial: Trial) -> float:
        value = cost(trial)
        trial.report(value, 1)
        trial.should_prune()  # Hyperband makes its brackets here
        return value

    plain = optuna.create_study(sampler=sampler(), pruner=optuna.pruners.NopPruner())
    hyperband = optuna.create_study(sampler=sampler(), pruner=optuna.pruners.HyperbandPruner(1, 27))
    for study in (plain, hyperband):
        study.optimize(reporting, n_trials=6)
    assert params(plain) == params(hyperband)


def test_running_trials_are_pending_for_every_process() -> None:
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(study_name="s", storage=storage, sampler=sampler())
    first, second = study.ask(SPACE), study.ask(SPACE)
    assert first.params == second.params == SEED  # nothing is certified yet
    for trial in (first, second):
        study.tell(trial, cost(trial))
    sequential = study.ask(SPACE)
    other = optuna.load_study(study_name="s", storage=storage, sampler=sampler())
    pending = other.ask(SPACE)
    assert pending.params != sequential.params
    told = study.get_trials(states=[TrialState.COMPLETE])
    for trial in (sequential, pending):
        assert upper_bound(told, trial.params) <= 0
    tuner = sampler().tuner(study)
    assert [r.trial.id for r in tuner.history.pending()] == [3, 4]
    # Failed trials are remembered as seen, not as measured.
    before = tuner.certify(SEED, "default").bounds
    for trial in (sequential, pending):
        study.tell(trial, state=TrialState.FAIL)
    tuner = sampler().tuner(study)
    assert tuner.certify(SEED, "default").bounds == before
    assert study.ask(SPACE).params not in (sequential.params, pending.params)


def test_threads_see_each_others_proposals() -> None:
    study = optuna.create_study(sampler=sampler())
    study.optimize(cost, n_trials=2)
    study.optimize(cost, n_trials=6, n_jobs=3)
    assert len(study.trials) == 8
    assert all(t.state == TrialState.COMPLETE and true_values(t.params)[1] <= 0 for t in study.trials)
    rows = {tuple(t.params.values()) for t in study.trials[2:]}
    assert len(rows) >= 5


def stopped(danger: float) -> Callable[[Trial], float]:
    def objective(trial: Trial) -> float:
        cost(trial)
        if trial.number != 3:
            return cost(trial)
        trial.set_user_attr("risk", danger)
        raise optuna.TrialPruned

    return objective


def outcome(study: optuna.Study, trial_id: int) -> str:
    measurement = sampler().tuner(study).history.record(trial_id).measurement
    assert measurement is not None
    return measurement.outcome


def test_a_pruned_trial_teaches_only_what_it_broke() -> None:
    broken, early = optuna.create_study(sampler=sampler()), optuna.create_study(sampler=sampler())
    broken.optimize(stopped(0.4), n_trials=4)
    early.optimize(stopped(-0.4), n_trials=4)
    assert (outcome(broken, 4), outcome(early, 4)) == ("aborted", "failed")
    point = broken.trials[3].params
    assert point == early.trials[3].params
    risks = [sampler().tuner(s).certify(point, "default").bounds["risk"].lower for s in (broken, early)]
    assert risks[0] < -0.1 <= 0 <= risks[1]
    assert broken.best_trial.number != 3


def test_an_infinite_value_teaches_its_constraints_alone() -> None:
    study = optuna.create_study(sampler=sampler())
    study.optimize(lambda trial: cost(trial) if trial.number != 2 else cost(trial) + math.inf, n_trials=4)
    assert [outcome(study, i) for i in (1, 2, 3, 4)] == ["completed", "completed", "aborted", "completed"]


def test_what_a_person_enqueues_is_tried_and_told_about(caplog: pytest.LogCaptureFixture) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.logging.enable_propagation()
    study = optuna.create_study(sampler=sampler())
    study.enqueue_trial(SEED)
    study.enqueue_trial({"kp": 9.9, "kd": 9.0})
    study.optimize(cost, n_trials=2)
    optuna.logging.disable_propagation()
    (warning,) = {r.message for r in caplog.records if "not certified" in r.message}
    assert warning.startswith("Trial 1 was enqueued")
    history = sampler().tuner(study).history
    assert [r.trial.phase for r in history] == ["seed", "manual"]
    study.enqueue_trial({"kp": 3.0})
    with pytest.raises(ParameterError, match="enqueued with kp but without kd"):
        study.optimize(cost, n_trials=1)


def test_trials_of_an_earlier_study_warm_start() -> None:
    old = optuna.create_study(sampler=sampler())
    old.optimize(cost, n_trials=6)
    new = optuna.create_study(sampler=sampler())
    new.add_trials(old.trials)
    old.optimize(cost, n_trials=1)
    new.optimize(cost, n_trials=1)
    assert params(new) == params(old)
    # One without constraint values teaches nothing and is not an error.
    new.add_trial(optuna.create_trial(params={"kp": 1.0, "kd": 1.0}, distributions=SPACE, value=0.1))
    new.optimize(cost, n_trials=1)
    assert outcome(new, 8) == "failed"


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"search_space": {}}, StudyError, "search_space is empty"),
        ({"search_space": {"mode": CategoricalDistribution(["a"])}}, StudyError, "single value a"),
        ({"search_space": {"n": IntDistribution(5, 5)}}, StudyError, "single value 5"),
        (
            {"search_space": {**SPACE, "n": CategoricalDistribution(["1", 1])}},
            StudyError,
            "'1' is there already",
        ),
        ({"safe_seeds": [{"kp": "three", "kd": 1.0}]}, StudyError, "kp = 'three' is not a number"),
        ({"parameter_constraints": ["kd <= kp * kp"]}, StudyError, r"term 'kp \* kp' is not linear"),
        ({"search_space": {"n": FloatDistribution(1, 1)}}, StudyError, "single value 1"),
        ({"safe_seeds": []}, StudyError, "safe_seeds is empty"),
        ({"safe_seeds": [{"kp": 3.0}]}, StudyError, "gives no value for kd"),
        ({"safe_seeds": [{"kp": 30.0, "kd": 1.0}]}, StudyError, "30 is outside the bounds"),
        ({"constraints": {}}, StudyError, "constraints is empty"),
        ({"constraints": {"risk": Prior(0.5, 0.02, -2.0)}}, StudyError, "certified untried"),
        ({"constraints_func": None}, InputError, "give a function"),
        ({"lengthscale": {"ki": 0.2}}, StudyError, "lengthscale names ki"),
        ({"method": "gosafeopt"}, StudyError, "tries what is not certified"),
        ({"method": "random"}, StudyError, "tries what is not certified"),
        ({"method": "elk"}, InputError, "known are"),
        ({"beta": -1.0}, StudyError, "beta"),
    ],
)
def test_what_cannot_be_certified_is_refused_at_once(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        sampler(**changes)


def test_a_prior_needs_positive_deviations() -> None:
    for arguments in ({"std": 0.0, "noise_std": 0.1}, {"std": 1.0, "noise_std": math.nan}):
        with pytest.raises(InputError, match="std"):
            Prior(**arguments)


def undeclared(trial: Trial) -> float:
    cost(trial)
    return trial.suggest_float("ki", 0, 1)


def narrower(trial: Trial) -> float:
    return trial.suggest_float("kp", 5.0, 10.0)


def forgotten(trial: Trial) -> float:
    trial.set_user_attr("risk", -1.0)
    return trial.suggest_float("kp", 0.0, 10.0)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (undeclared, "suggests 'ki', which search_space does not declare"),
        (narrower, "does not hold the certified proposal"),
        (forgotten, "suggested no kd"),
    ],
)
def test_an_objective_must_suggest_what_is_declared(
    objective: Callable[[Trial], float], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        optuna.create_study(sampler=sampler()).optimize(objective, n_trials=1)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([0.1, 0.2], "returned 2 values, expected are 1: risk"),
        ([math.nan], "returned risk = nan"),
        ([math.inf], "returned risk = inf"),
        (None, "not a sequence of numbers"),
        (["low"], "not a sequence of numbers"),
    ],
)
def test_constraint_values_must_be_numbers(returned: Any, message: str) -> None:
    study = optuna.create_study(sampler=sampler(constraints_func=lambda trial: returned))
    with pytest.raises(MeasurementError, match=message):
        study.optimize(cost, n_trials=1)
    # Optuna keeps the trial; it is infeasible there and teaches nothing here, and the study can go on.
    with pytest.raises(ValueError, match="feasible"):
        study.best_trial  # noqa: B018
    study.sampler = sampler()
    study.optimize(cost, n_trials=2)
    assert outcome(study, 1) == "failed"
    assert params(study)[:2] == [SEED, SEED]


def test_an_infeasible_seed_stops_the_study() -> None:
    study = optuna.create_study(sampler=sampler(safe_seeds=[{"kp": 10.0, "kd": 10.0}]))
    study.optimize(cost, n_trials=1)
    with pytest.raises(UnsafeSeedError, match="is not safe"):
        study.optimize(cost, n_trials=1)


def test_a_seed_that_always_fails_stops_the_study() -> None:
    study = optuna.create_study(sampler=sampler())

    def failing(trial: Trial) -> float:
        cost(trial)
        raise RuntimeError("no link")

    with pytest.raises(SafeboError, match="failed 6 times"):
        study.optimize(failing, n_trials=10, catch=(RuntimeError,))
    assert all(t.params == SEED for t in study.trials[:6])


def test_several_objectives_are_refused() -> None:
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler())
    with pytest.raises(ValueError, match="multi-objective"):
        study.optimize(lambda trial: (cost(trial), 0.0), n_trials=1)


def test_a_safebo_study_proposes_what_its_tuner_does() -> None:
    declared = hill_study()
    with pytest.raises(StudyError, match="context is not given"):
        SafeSampler.from_study(declared, risk)
    with pytest.raises(StudyError, match="context 'unseen' has no seed"):
        SafeSampler.from_study(declared, risk, context="unseen")
    adapter = SafeSampler.from_study(declared, risk, context="fast", seed=3)
    study = optuna.create_study(direction="maximize", sampler=adapter)
    tuner = Tuner(declared, seed=3)
    rng = np.random.default_rng(0)
    for _ in range(6):
        asked, ours = study.ask(adapter.search_space), tuner.ask("fast")
        assert asked.params == dict(ours.parameters)
        measurement = measured(ours, rng)
        tuner.tell(ours, measurement)
        asked.set_user_attr("risk", -measurement.margins["margin"])
        study.tell(asked, measurement.objective)
    best, ours_best = adapter.tuner(study).best("fast"), tuner.best("fast")
    assert best is not None
    assert ours_best is not None
    assert asdict(best) == asdict(ours_best)
