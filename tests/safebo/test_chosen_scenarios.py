"""Scenarios of which a trial walks some: bounds over all of them, the choice of the next, and what is refused."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import loaded_carts
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from present import present
from test_scenarios import HERE, NAMES, data, drive, dumped, problems, recorded, study

from safebo.acquisition.scenarios import ScenarioContext, next_scenario, next_scenarios
from safebo.errors import MeasurementError
from safebo.runs.runner import run
from safebo.storage.journal import Journal
from safebo.study import Study
from safebo.study.aggregation import aggregated
from safebo.study.reading import check_study, parse_study
from safebo.study.scenarios import scaled_features
from safebo.study.space import WarpMap
from safebo.tuner import Tuner

CONDITIONS = list(loaded_carts.STUDY["scenarios"]["values"].values())


def chosen(rule: str = "worst", margins: str = "worst", walks: int = 2, **changes: Any) -> Study:
    rules = {"objective": rule, "margins": margins, "walked": "chosen", "walks": walks}
    return study(**{**changes, "scenarios": rules | changes.pop("scenarios", {})})


def context_of(tuner: Tuner) -> ScenarioContext:
    found = tuner._state.acquisition_context("default")
    assert isinstance(found, ScenarioContext)
    return found


def told(found: Study, trials: int = 5) -> Tuner:
    tuner = Tuner(found, seed=1)
    drive(tuner, trials)
    return tuner


def bounds_one_by_one(tuner: Tuner, x: torch.Tensor) -> tuple[Any, Any]:
    """Lower and upper bounds at one point by scenario and function, from the posterior of each scenario's input."""
    ctx, features = context_of(tuner), scaled_features(present(tuner.study.scenarios))
    lower, upper = [], []
    for name in NAMES:
        place = torch.cat([x, torch.tensor(features[name], dtype=torch.float64)]).unsqueeze(0)
        rows = []
        for posterior, beta in zip(ctx.surrogate.posteriors, ctx.beta.tolist(), strict=True):
            mean, variance = posterior.mean_variance(place)
            rows.append((float(mean), beta * math.sqrt(float(variance))))
        lower.append([mean - half for mean, half in rows])
        upper.append([mean + half for mean, half in rows])
    return lower, upper


LOG = {"objective": {"warp": {"kind": "log", "scale": 1.0, "upper": 0.0, "clip": 6.0}, "prior_mean": 1.5}}


@pytest.mark.parametrize("rule", ["worst", "mean", "cvar(0.5)"])
@pytest.mark.parametrize("changes", [{}, LOG])
def test_bounds_are_those_of_the_scenarios_aggregated_in_the_functions_units(
    rule: str, changes: dict[str, Any]
) -> None:
    tuner = told(chosen(rule, rule, **changes), 3)
    X = torch.rand(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        found = context_of(tuner).bounds_at(X)
    functions = [tuner.study.objective, *tuner.study.constraints]
    for row, x in enumerate(X):
        for mine, theirs in zip(
            (found.certain.lower, found.certain.upper), bounds_one_by_one(tuner, x), strict=True
        ):
            for i, f in enumerate(functions):
                warp = WarpMap(f.warp)
                raw = [float(warp.inverse(scenario[i])) for scenario in theirs]
                assert float(warp.inverse(float(mine[row, i]))) == pytest.approx(
                    aggregated(rule, raw), abs=1e-9
                )


def test_gains_are_certified_where_every_scenario_certifies_them() -> None:
    tuner = told(chosen())
    X = torch.rand(60, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    ctx = context_of(tuner)
    with torch.no_grad():
        certified = ctx.certified(ctx.bounds_at(X)).tolist()
    expected = []
    for x in X:
        lower, _ = bounds_one_by_one(tuner, x)
        expected.append(min(min(row[1:]) for row in lower) >= 0)
    assert certified == expected
    assert 0 < sum(expected) < len(expected)


@pytest.mark.parametrize("rule", ["worst", "mean", "cvar(0.5)"])
def test_the_next_gains_are_those_of_the_largest_aggregated_upper_bound_that_is_certified(rule: str) -> None:
    tuner = told(chosen(rule))
    axis = np.linspace(0.0, 1.0, 21)
    best, value = None, -math.inf
    for x in product(axis, axis):
        lower, upper = bounds_one_by_one(tuner, torch.tensor(x, dtype=torch.float64))
        score = aggregated(rule, [row[0] for row in upper])
        if min(min(row[1:]) for row in lower) >= 1e-7 and score > value:
            best, value = x, score
    asked = tuner.ask()
    assert (asked.parameters["p"] / 10.0, asked.parameters["d"] / 4.0) == pytest.approx(best)
    assert 1 <= len(asked.scenarios) <= 2


def choice_by_loops(ctx: ScenarioContext, lower: Any, upper: Any) -> tuple[int, int]:
    """The rule of `next_scenario`, scenario by scenario and margin by margin."""
    std = ctx.surrogate.prior_std.tolist()
    objective = sorted(range(len(lower)), key=lambda z: lower[z][0])[: ctx.kept[0]]
    widest = max(objective, key=lambda z: upper[z][0] - lower[z][0])
    found, width = (widest, 0), (upper[widest][0] - lower[widest][0]) / std[0]
    for z in range(len(lower)):
        for i in range(1, len(std)):
            wide = upper[z][i] - lower[z][i]
            if lower[z][i] < wide and wide / std[i] > width:
                found, width = (z, i), wide / std[i]
    return found


@pytest.mark.parametrize("rule", ["worst", "mean", "cvar(0.5)"])
def test_the_next_scenario_is_the_one_that_the_rule_names(rule: str) -> None:
    tuner = told(chosen(rule), 6)
    ctx, seen = context_of(tuner), set()
    for x in torch.rand(40, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)):
        expected = choice_by_loops(ctx, *bounds_one_by_one(tuner, x))
        assert next_scenario(ctx, x) == expected
        seen.add(expected)
    assert len({scenario for scenario, _ in seen}) > 1


def test_without_a_margin_in_danger_the_worst_scenario_comes_next() -> None:
    """StableOpt's own rule: the smallest lower bound of the objective."""
    tuner = told(chosen(), 6)
    ctx = replace(context_of(tuner), thresholds=torch.tensor([-50.0, -50.0], dtype=torch.float64))
    for x in torch.rand(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2)):
        lower, _ = bounds_one_by_one(tuner, x)
        assert next_scenario(ctx, x) == (int(np.argmin([row[0] for row in lower])), 0)


def test_further_scenarios_are_chosen_as_if_those_before_were_known() -> None:
    tuner = told(chosen(), 3)
    ctx = context_of(tuner)
    x = torch.tensor([0.7, 0.6], dtype=torch.float64)
    first, *others = next_scenarios(ctx, x, 3)
    assert first == next_scenario(ctx, x)
    known = ctx.surrogate.fantasized(ctx.stacked(x.unsqueeze(0))[first[0] : first[0] + 1])
    assert others[0] == next_scenario(replace(ctx, fantasized=known), x)
    assert len({scenario for scenario, _ in (first, *others)}) == 1 + len(others)
    assert next_scenarios(ctx, x, 1) == [first]


@cache
def some_context() -> ScenarioContext:
    return context_of(Tuner(chosen()))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.floats(-3, 3), min_size=3, max_size=3), min_size=3, max_size=3),
    st.lists(st.lists(st.floats(0, 2), min_size=3, max_size=3), min_size=3, max_size=3),
    st.sampled_from([(1, 1, 1), (3, 3, 3), (2, 1, 2)]),
    st.booleans(),
)
def test_aggregated_bounds_keep_their_order(lower: Any, width: Any, kept: Any, log: bool) -> None:
    low = torch.tensor(lower, dtype=torch.float64).unsqueeze(1)
    high = low + torch.tensor(width, dtype=torch.float64).unsqueeze(1)
    ctx = replace(some_context(), kept=kept, logarithmic=(log, False, log))
    assert bool((ctx.aggregated(low) <= ctx.aggregated(high) + 1e-12).all())
    assert bool((low.amin(0) <= ctx.aggregated(low) + 1e-12).all())


# -- the tuner and the run -------------------------------------------------------------------------------


def test_few_walks_a_trial_keep_every_scenario_safe() -> None:
    tuner = Tuner(chosen())
    asked = drive(tuner, 14)
    assert asked[0].scenarios == NAMES
    assert sum(len(one.scenarios) for one in asked[1:]) <= 2 * 13
    assert {name for one in asked[1:] for name in one.scenarios} == set(NAMES)
    for one in asked:
        assert min(min(loaded_carts.truth(one.parameters, each)[1:]) for each in CONDITIONS) >= 0
    best = present(tuner.best())
    reached, seed = (
        min(loaded_carts.truth(gains, each)[0] for each in CONDITIONS)
        for gains in (best.parameters, {"p": 4.0, "d": 1.5})
    )
    assert reached > seed
    assert best.bounds["speed"].lower <= reached
    lower, *_ = tuner.bounds([[best.parameters["p"], best.parameters["d"]]], "default")[0]
    assert lower[0] == pytest.approx(best.bounds["speed"].lower)


def test_a_fall_in_one_scenario_keeps_the_gains_out_of_the_certified_set() -> None:
    tuner = told(chosen(), 3)
    gains = {"p": 4.0, "d": 1.5}
    assert tuner.certify(gains, "default").certified
    fallen = {"outcome": "aborted", "fell": True, "margins": {"grip": 0.3, "tilt": 0.3}}
    tuner.tell_manual(gains, "default", {"scenarios": {"slippery": fallen}})
    assert not tuner.certify(gains, "default").certified
    rows = tuner.encoding.observations(tuner.history)
    assert rows[-1].values[0] is None
    assert max(value for value in rows[-1].values[1:] if value is not None) <= -0.5
    nominal, loaded, slippery = rows[:3]  # of the seed: what the others showed stands
    assert min(present(row.values[1]) for row in (nominal, loaded)) > 0
    assert present(slippery.values[1]) <= -0.5


def test_earned_priors_and_contexts_go_with_scenarios() -> None:
    variables = {"variables": [{"name": "speed", "bounds": [0.0, 1.0]}], "values": {"a": {"speed": 0.2}}}
    found = chosen(
        surrogate={"trust": "earned"},
        context=variables,
        seeds=[{"context": "a", "parameters": {"p": 4.0, "d": 1.5}}],
    )
    check_study(found)
    tuner = Tuner(found)
    asked = drive(tuner, 6)
    assert all(one.evidence for one in asked)
    for one in asked:
        assert min(min(loaded_carts.truth(one.parameters, each)[1:]) for each in CONDITIONS) >= 0


def test_a_trial_is_told_the_scenarios_that_it_walked() -> None:
    tuner = told(chosen(walks=1), 2)
    asked = tuner.ask()
    (name,) = asked.scenarios
    other = next(n for n in NAMES if n != name)
    walk = {"objective": -0.1, "margins": {"grip": 0.2, "tilt": 0.2}}
    with pytest.raises(MeasurementError, match=f"walked {name}, and scenario {name} is missing"):
        tuner.tell(asked, {"scenarios": {other: walk}})
    tuner.tell(asked, {"scenarios": {name: walk}})


def test_a_run_resumes_bit_for_bit(tmp_path: Path) -> None:
    rules = {"walked": "chosen"}

    def go(folder: Path, trials: int, resume: bool = False) -> None:
        file = parse_study(dumped(data(scenarios=rules, trials=trials)), HERE / "cart.yaml")
        with ThreadPoolExecutor(2) as executor:
            run(file, folder, resume=resume, executor=executor, seed=3)

    go(tmp_path / "whole", 6)
    go(tmp_path / "cut", 3)
    with Journal.open(tmp_path / "cut") as journal:
        journal.set_trials(6)
    go(tmp_path / "cut", 3, resume=True)
    assert recorded(tmp_path / "cut") == recorded(tmp_path / "whole")
    with Journal.open(tmp_path / "whole", read_only=True) as journal:
        trials = [record.trial for record in journal.records()]
    tuner = Tuner(parse_study(dumped(data(scenarios=rules)), HERE / "cart.yaml").study, seed=3)
    assert tuner.ask().scenarios == trials[0].scenarios == NAMES
    assert all(0 < len(trial.scenarios) <= 2 for trial in trials[1:])


# -- what is refused -------------------------------------------------------------------------------------


def test_methods_and_certificates_of_single_points_are_refused() -> None:
    for method in ("safeopt", "itl", "ei", "goose"):
        assert "use method safe_ucb or random_safe" in problems(
            scenarios={"walked": "chosen"}, tuner={"method": method}
        )
    lipschitz = {"certificate": "lipschitz", "lipschitz": [1.0, 1.0]}
    assert "use certificate: bounds" in problems(scenarios={"walked": "chosen"}, tuner=lipschitz)
    check_study(chosen(tuner={"method": "random_safe"}))


def test_features_must_tell_scenarios_apart_and_be_known_of_each() -> None:
    rules = {"walked": "chosen"}
    lacking = {"nominal": {}, "loaded": {"mass": 2.0}}
    assert "nothing says mass of scenario nominal" in problems(scenarios={**rules, "values": lacking})
    otherwise = {"mass": {"otherwise": 0.0}}
    found = study(scenarios={**rules, "values": lacking, "features": otherwise})
    check_study(found)
    assert scaled_features(present(found.scenarios)) == {"nominal": (0.0,), "loaded": (1.0,)}
    pushed = {"nominal": {"mass": 0.0}, "loaded": {"mass": 2.0}, "pushed": {"mass": 0.0, "push": "hard"}}
    assert "has the same features as nominal (mass)" in problems(scenarios={**rules, "values": pushed})
    told_apart = {"mass": {}, "push": {"values": {"pushed": 1.0}, "otherwise": 0.0}}
    check_study(study(scenarios={**rules, "values": pushed, "features": told_apart}))
    same = {"a": {"mass": 1.0, "slip": 0.0}, "b": {"mass": 1.0, "slip": 0.2}}
    assert "mass is the same in all scenarios" in problems(scenarios={**rules, "values": same})
    unknown = {"mass": {"values": {"lodaed": 1.0}, "otherwise": 0.0}}
    assert "did you mean 'loaded'" in problems(scenarios={**rules, "values": lacking, "features": unknown})
