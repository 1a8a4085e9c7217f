"""Random studies and random measurements, for every safe method: right priors and wrong ones, well and badly behaved.

Every choice is drawn from the generator that is given, so that a problem is a function of its seed.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from safebo.acquisition.registry import SAFE
from safebo.errors import StudyError
from safebo.study import FunctionSpec, Study
from safebo.study.reading import check_study
from safebo.types import Measurement, Outcome, Trial

METHODS = (*SAFE, "real_beta_safeopt", "losbo", "los_gp_ucb", "gosafeopt")
"""Every method that certifies what it tries in local phases."""

TARGETS = (
    "potential_maximizers", "potential_expanders", "thompson", "lite", "optimistic", "domain", "region",
)  # fmt: skip
SCHEDULES = ("posterior", "srinivas2010", "sui2015", "chowdhury2017", "fiedler2024", "logarithmic")
KERNELS = ("matern12", "matern32", "matern52", "rbf")

TRANSDUCTIVE = ("itl", "vtl", "ctl", "ctl_squared", "mm_itl")


def choice(rng: np.random.Generator, values: Sequence[Any]) -> Any:
    """One of some values, as it is."""
    return values[int(rng.integers(len(values)))]


def random_study(rng: np.random.Generator, method: str) -> Study:
    """A random study that `check_study` lets pass: of those that contradict themselves another one is drawn."""
    for _ in range(100):
        study = _drawn_study(rng, method)
        with contextlib.suppress(StudyError):
            check_study(study)
            return study
    raise AssertionError(f"no study of method {method} passes its checks")


def _drawn_study(rng: np.random.Generator, method: str) -> Study:
    """A study with 1 to 4 parameters, up to 3 constraints and 2 context variables, and all else there is to ask."""
    dimension, constraints = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    parameters = [_parameter(rng, j) for j in range(dimension)]
    variables = [_variable(rng, j) for j in range(choice(rng, (0, 0, 1, 2)))]
    values = {
        name: {v["name"]: float(rng.uniform(*v["bounds"])) for v in variables}
        for name in (("one", "other") if variables else ("one",))
    }
    schedule = "constant" if method == "real_beta_safeopt" else choice(rng, (*["constant"] * 3, *SCHEDULES))
    noise = {"sui2015": (1e-5, 1e-4)}.get(schedule, (3e-3, 3e-2))
    surrogate = _surrogate(rng, [p["name"] for p in parameters], bool(variables))
    search, finite = _search(rng, method, parameters, schedule == "srinivas2010")
    fitted = schedule == "constant" and method != "real_beta_safeopt" and rng.random() < 0.08
    if fitted:
        surrogate |= {"hyperparameters": "map", "refit_every": 3}
    if fitted and not finite and rng.random() < 0.5:
        surrogate |= {"hyperparameters": "bayes", "samples": 2}
    if schedule == "constant" and not fitted and rng.random() < 0.3:
        surrogate["prior_data"] = {
            "correlation": choice(rng, (0.0, 1.0, float(rng.uniform(0.0, 1.0)))),
            "std_ratio": float(rng.uniform(0.5, 2.0)),
            "discrepancy_lengthscale": choice(rng, (1.0, 0.5, 2.0)),
            "inflation": float(rng.uniform(1.0, 2.0)),
        }
    tuner: dict[str, Any] = {
        "method": choice(rng, (method, method.replace("_", "-"))),
        "beta": float(rng.uniform(1.0, 4.0)),
        "epsilon": choice(rng, (0.0, 0.05, 0.3)),
        "expander_rule": choice(rng, ("all", "any")),
        "optimism": choice(rng, (None, None, 0.0, 1.0)),
        "stage_trials": choice(rng, (None, 2)),
        "confidence": {
            "schedule": schedule,
            "delta": float(rng.uniform(0.01, 0.3)),
            "norm": float(rng.uniform(0.5, 2.0)),
            "intersect": bool(rng.random() < 0.4) and not fitted,
        },
        "search": search,
    }
    if method in TRANSDUCTIVE:
        tuner["transductive"] = _transductive(rng, parameters)
    certificate = "measured"
    if method not in ("losbo", "los_gp_ucb"):
        certificate = choice(rng, ("bounds", "bounds", "bounds", "lipschitz", "measured"))
    if certificate != "bounds" or rng.random() < 0.2:
        tuner["lipschitz"] = [float(10.0 ** rng.uniform(-1, 1)) for _ in range(constraints)]
    if certificate != "bounds":
        tuner["certificate"] = certificate
    if certificate == "measured":
        tuner["measured_noise"] = [float(rng.uniform(0.0, 0.1)) for _ in range(constraints)]
    if method == "gosafeopt":
        tuner["local_method"] = choice(rng, ("safeopt", "safe_ucb", "itl", "stageopt"))
        tuner["exploration"] = {"local_steps": 2, "global_steps": 2, "patience": 1}
    seeds = [
        {"context": name, "parameters": _seed(rng, parameters, search)}
        for name in values
        for _ in range(choice(rng, (1, 1, 2)))
    ]
    return Study.model_validate(
        {
            "name": "random",
            "evaluator": {"name": "none"},
            "parameters": parameters,
            "context": {"variables": variables, "values": values},
            "objective": _function(rng, "reward", noise, 0.0),
            "constraints": [
                _function(rng, f"margin{i}", noise, -float(rng.uniform(0.0, 0.5))) for i in range(constraints)
            ],
            "seeds": seeds,
            "surrogate": surrogate,
            "tuner": tuner,
        }
    )


def random_measurement(rng: np.random.Generator, study: Study, trial: Trial) -> Measurement | None:
    """What a trial showed; None for one whose result is still to come.

    Seeds are safe by a wide margin. Elsewhere some margins follow a smooth function of the parameters and some
    nothing at all.
    """
    if trial.phase != "seed":
        fate = rng.random()
        if fate < 0.15:
            return None
        if fate < 0.25:
            return Measurement("failed", message="no telemetry")
        if fate < 0.3 and trial.phase == "global":
            return Measurement("backup", backup_time=1.0, backup_state=rng.uniform(-1, 1, 1))
    smooth = rng.random() < 0.7
    margins = {}
    for f in study.constraints:
        if trial.phase == "seed":
            level = float(rng.uniform(0.5, 1.0))
        elif smooth:
            level = _landscape(study, trial)
        else:
            level = float(rng.uniform(-0.3, 1.0))
        margins[f.name] = _measured(f, level + float(rng.normal()) * f.noise_std / f.prior_std)
    outcome: Outcome = "aborted" if trial.phase != "seed" and rng.random() < 0.1 else "completed"
    objective = _measured(study.objective, float(rng.normal())) if outcome == "completed" else None
    states = rng.uniform(-0.5, 0.5, (3, 1))
    return Measurement(outcome, objective, margins, fell=outcome == "aborted", states=states)


def random_simulation(rng: np.random.Generator, study: Study) -> list[tuple[Trial, Measurement]]:
    """Trials of another run, for studies that say how to believe them; some agree with the robot and some do not."""
    if study.surrogate.prior_data is None:
        return []
    records = []
    for number in range(1, int(rng.integers(3, 9))):
        name = choice(rng, list(study.context.values))
        row = {p.name: _within(rng, {"bounds": p.bounds}) for p in study.parameters}
        trial = Trial(number, row, study.context.values[name], name, "local", 0, True)
        measurement = random_measurement(rng, study, trial)
        if measurement is not None:
            records.append((trial, measurement))
    return records


def _landscape(study: Study, trial: Trial) -> float:
    """A margin in prior standard deviations that falls from the first seed."""
    seed, squared = study.seeds[0].parameters, 0.0
    for p in study.parameters:
        a, b, (low, high) = trial.parameters[p.name], seed[p.name], p.bounds
        if p.scale == "log":
            a, b, low, high = math.log(a), math.log(b), math.log(low), math.log(high)
        squared += ((a - b) / (high - low)) ** 2
    return 0.8 - 3.0 * squared


def _measured(f: FunctionSpec, level: float) -> float:
    """From prior standard deviations above the margin 0 to the function's own unit."""
    warped = level * f.prior_std
    if f.warp.kind == "identity":
        return warped * f.warp.scale
    return f.warp.upper - f.warp.upper * math.exp(-warped)


def _parameter(rng: np.random.Generator, number: int) -> dict[str, Any]:
    low = float(10.0 ** rng.uniform(-2, 1))
    parameter: dict[str, Any] = {"name": f"p{number}", "bounds": [low, low * float(rng.uniform(3, 100))]}
    if rng.random() < 0.4:
        parameter["scale"] = "log"
    elif rng.random() < 0.15:
        low, high = parameter["bounds"]
        parameter["period"] = (high - low) * float(rng.uniform(1.0, 2.0))
    if rng.random() < 0.3:
        parameter["lengthscale"] = float(rng.uniform(0.1, 1.0))
    return parameter


def _variable(rng: np.random.Generator, number: int) -> dict[str, Any]:
    low = float(rng.uniform(-5, 5))
    return {"name": f"c{number}", "bounds": [low, low + float(rng.uniform(0.5, 4.0))]}


def _function(
    rng: np.random.Generator, name: str, noise: tuple[float, float], prior_mean: float
) -> dict[str, Any]:
    std = float(10.0 ** rng.uniform(-0.7, 0.7))
    function: dict[str, Any] = {
        "name": name,
        "prior_mean": prior_mean * std,
        "prior_std": std,
        "noise_std": std * float(np.exp(rng.uniform(*np.log(noise)))),
        "warp": {"scale": float(10.0 ** rng.uniform(-1, 1))},
    }
    if name != "reward" and rng.random() < 0.3:
        upper = float(10.0 ** rng.uniform(-1, 1))
        function["warp"] = {"kind": "log", "upper": upper, "scale": upper, "clip": 20.0 * std}
    return function


def _surrogate(rng: np.random.Generator, names: list[str], contexts: bool) -> dict[str, Any]:
    structure = choice(
        rng, ("joint", "joint", "joint", "additive", *(("product", "sum") if contexts else ()))
    )
    surrogate: dict[str, Any] = {
        "kernel": choice(rng, KERNELS),
        "lengthscale": float(rng.uniform(0.1, 0.8)),
        "context_lengthscale": float(rng.uniform(0.2, 1.5)),
        "structure": structure,
    }
    if structure == "additive" and len(names) > 1 and rng.random() < 0.5:
        surrogate["groups"] = [names[:2], names[1:]] if len(names) > 2 else [names]
    return surrogate


def _search(
    rng: np.random.Generator, method: str, parameters: list[dict[str, Any]], finite: bool
) -> tuple[dict[str, Any], bool]:
    """The search section, and whether it is over a finite domain."""
    search: dict[str, Any] = {
        "swarm_size": 16,
        "swarm_iterations": 3,
        "restarts": choice(rng, (0, 0, 1, 2)),
    }
    kind = choice(rng, ("grid", "pool") if finite else ("box", "box", "lines", "grid", "pool"))
    if kind == "grid":
        search |= {"domain": "grid", "grid_points": {1: 60, 2: 12, 3: 6, 4: 4}[len(parameters)]}
    elif kind == "pool":
        rows = [{p["name"]: _within(rng, p) for p in parameters} for _ in range(80)]
        search |= {"domain": "pool", "pool": rows}
    elif kind == "lines":
        search["lines"] = {
            "direction": choice(rng, ("coordinate", "random", "ascent")),
            "count": int(rng.integers(1, len(parameters) + 1)),
            "points": 32,
            "anchor": choice(rng, ("best", "last")),
        }
    return search, kind in ("grid", "pool")


def _seed(
    rng: np.random.Generator, parameters: list[dict[str, Any]], search: dict[str, Any]
) -> dict[str, float]:
    """Any parameters of the box; of a finite domain mostly one of its points, or nothing is ever certified there."""
    if rng.random() < 0.1 or "domain" not in search:
        return {p["name"]: _within(rng, p) for p in parameters}
    if search["domain"] == "pool":
        row: dict[str, float] = choice(rng, search["pool"])
        return row
    point = {}
    for p in parameters:
        low, high = p["bounds"]
        share = int(rng.integers(search["grid_points"])) / (search["grid_points"] - 1)
        log = p.get("scale") == "log"
        value = low * (high / low) ** share if log else low + share * (high - low)
        point[p["name"]] = _printed(value, p)
    return point


def _transductive(rng: np.random.Generator, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    targets = choice(rng, TARGETS)
    spec: dict[str, Any] = {"targets": targets, "count": 32, "samples": 4}
    if targets == "region":
        sides = sorted([_within(rng, parameters[0]), _within(rng, parameters[0])])
        spec["region"] = {parameters[0]["name"]: sides}
    return spec


def _within(rng: np.random.Generator, parameter: dict[str, Any]) -> float:
    return _printed(float(rng.uniform(*parameter["bounds"])), parameter)


def _printed(value: float, parameter: dict[str, Any]) -> float:
    """With six digits, within the bounds."""
    low, high = parameter["bounds"]
    return min(max(float(f"{value:.6g}"), low), high)
