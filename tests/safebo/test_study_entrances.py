"""Every entrance checks a study alike: what a file is refused for, `Tuner` and Optuna's sampler are refused for."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from tuner_cases import hill_study

from safebo.errors import StudyError
from safebo.models.function_model import function_models
from safebo.models.schedules import BetaSchedule
from safebo.study import Study
from safebo.study.methods import first_beta
from safebo.study.reading import check_study, parse_study, study_in_python
from safebo.tuner import Tuner

REFUSED: dict[str, dict[str, Any]] = {
    "posterior with intersect": {"tuner": {"confidence": {"schedule": "posterior", "intersect": True}}},
    "posterior with lipschitz": {
        "tuner": {"confidence": {"schedule": "posterior"}, "certificate": "lipschitz", "lipschitz": [1.0]}
    },
    "map with a prior mean above 0": {
        "surrogate": {"hyperparameters": "map"},
        "constraints": [{"name": "margin", "prior_mean": 0.1}],
    },
    "negative Lipschitz constant": {"tuner": {"certificate": "lipschitz", "lipschitz": [-5.0]}},
    "Lipschitz constant of nan": {"tuner": {"certificate": "lipschitz", "lipschitz": [math.nan]}},
    "negative noise": {"tuner": {"method": "losbo", "lipschitz": [1.0], "measured_noise": [-1.0]}},
    "log warp with upper other than scale": {
        "constraints": [{"name": "margin", "warp": {"kind": "log", "scale": 1.0, "upper": 2.0}}]
    },
    "infinite bounds": {
        "parameters": [{"name": "kp", "bounds": [0.0, math.inf]}, {"name": "kd", "bounds": [0.1, 10]}]
    },
    "infinite noise": {"constraints": [{"name": "margin", "noise_std": math.inf}]},
    "infinite beta": {"tuner": {"beta": math.inf}},
    "reversed bounds": {
        "parameters": [{"name": "kp", "bounds": [10, 0]}, {"name": "kd", "bounds": [0.1, 10]}]
    },
    "certain prior under a schedule": {
        "constraints": [{"name": "margin", "prior_mean": 20.0}],
        "tuner": {"confidence": {"schedule": "chowdhury2017"}},
    },
    "a grid of too many points": {"tuner": {"search": {"domain": "grid", "grid_points": 3000}}},
    "a grid of one point": {"tuner": {"search": {"domain": "grid", "grid_points": 1}}},
    "prior mean 0 where beta starts at 0": {
        "constraints": [{"name": "margin"}],
        "tuner": {"confidence": {"schedule": "logarithmic"}},
    },
}


def changed(change: dict[str, Any]) -> Study:
    """The hill study with keys replaced, past the checks of the types where those allow it."""
    data = hill_study().model_dump()
    for key, value in change.items():
        data[key] = {**data[key], **value} if isinstance(value, dict) else value
    return Study.model_validate(data)


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_no_file_may_say_no_tuner_takes(name: str) -> None:
    study = changed(REFUSED[name])
    with pytest.raises(StudyError, match="has 1 problem") as told:
        Tuner(study)
    with pytest.raises(StudyError) as said:
        study_in_python(study)
    assert str(said.value) == str(told.value)
    with pytest.raises(StudyError):
        parse_study(json.dumps(study.model_dump()).replace("NaN", ".nan").replace("Infinity", ".inf"))


@pytest.mark.parametrize(
    "update", [{"trials": -1}, {"seed": -2}, {"parameters": []}, {"constraints": []}, {"seeds": []}]
)
def test_copies_that_skip_the_types_are_checked_again(update: dict[str, Any]) -> None:
    with pytest.raises(StudyError):
        Tuner(hill_study().model_copy(update=update))


def test_a_study_that_passes_is_left_as_it_is() -> None:
    study = hill_study()
    check_study(study)
    assert study == hill_study()


@pytest.mark.parametrize("noise_bound", [None, 0.3])
@pytest.mark.parametrize(
    "schedule",
    ["constant", "posterior", "srinivas2010", "sui2015", "chowdhury2017", "fiedler2024", "logarithmic"],
)
def test_first_beta_is_the_schedule_over_the_prior(schedule: str, noise_bound: float | None) -> None:
    """The closed form against the schedule applied to the posterior of no data."""
    confidence = {"schedule": schedule, "norm": 1.7, "noise_bound": noise_bound, "delta": 0.07}
    search = {"domain": "grid", "grid_points": 9} if schedule == "srinivas2010" else {}
    study = changed({"tuner": {"confidence": confidence, "search": search}})
    functions = (study.objective, *study.constraints)
    size = 9 ** len(study.parameters) if search else None
    noise = tuple(f.noise_std for f in functions)
    whole = BetaSchedule(study.tuner.confidence, study.tuner.beta, len(functions), noise, size)
    for i, model in enumerate(function_models(study)):
        assert first_beta(study, i) == pytest.approx(whole.now(model.prior(), i), rel=1e-9)
