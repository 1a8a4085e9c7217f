"""Speed of proposals in continuous boxes: one ask after one tell, one objective and one constraint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from safebo.experiments.speed.measure import SpeedCase, TellAndAsk
from safebo.study import Study
from safebo.tuner import Tuner
from safebo.types import Measurement, Trial

CONTEXT = "now"


def box_study(
    gains: int,
    contexts: int = 0,
    method: str = "safeopt",
    lengthscale: float | None = None,
    **search: Any,
) -> Study:
    """A study of `gains` parameters and `contexts` context numbers in unit boxes; `hill` below is its robot.

    Args:
        gains: parameters d.
        contexts: context numbers c.
        method: `tuner.method`.
        lengthscale: in the unit cube; None for one that grows with the cube's diagonal.
        search: keys of `tuner.search`.
    """
    names = [f"gain_{i}" for i in range(gains)]
    variables = [f"context_{i}" for i in range(contexts)]
    scale = 0.32 * gains**0.5 if lengthscale is None else lengthscale
    return Study.model_validate(
        {
            "name": "box",
            "evaluator": {"name": "closed-form"},
            "parameters": [{"name": name, "bounds": [0.0, 1.0]} for name in names],
            "context": {
                "variables": [{"name": name, "bounds": [0.0, 1.0]} for name in variables],
                "values": {CONTEXT: dict.fromkeys(variables, 0.4)},
            },
            "objective": {"name": "reward", "prior_mean": -2.0, "prior_std": 2.0, "noise_std": 0.02},
            "constraints": [{"name": "margin", "prior_mean": -0.5, "prior_std": 2.0, "noise_std": 0.02}],
            "seeds": [{"context": CONTEXT, "parameters": dict.fromkeys(names, 0.5)}],
            "surrogate": {"kernel": "matern52", "lengthscale": scale},
            "tuner": {"method": method, "beta": 3.0, "search": search},
        }
    )


def hill(parameters: Mapping[str, float]) -> tuple[float, float]:
    """Reward and margin, quadratic; the best safe point lies on the border. The seed's reward is -0.625 and its
    margin 0.59 in any dimension.
    """
    x = np.array(list(parameters.values()))
    target = np.where(np.arange(len(x)) % 2 == 0, 0.7, 0.35)
    weight = 20.0 / len(x)
    return -weight * float(((x - target) ** 2).sum()), 0.6 - weight * float(((x - 0.48) ** 2).sum())


def measured(parameters: Mapping[str, float], rng: np.random.Generator) -> Measurement:
    """`hill` with noise."""
    reward, margin = hill(parameters)
    noise = 0.02 * rng.normal(size=2)
    return Measurement("completed", objective=reward + noise[0], margins={"margin": margin + noise[1]})


def records_around_seed(
    study: Study, observations: int, rng: np.random.Generator | None = None
) -> list[tuple[Trial, Measurement | None]]:
    """Random safe trials around the seed of a study of `box_study`."""
    rng = np.random.default_rng(0) if rng is None else rng
    d = len(study.parameters)
    records: list[tuple[Trial, Measurement | None]] = []
    for i in range(observations):
        move = rng.normal(size=d)
        x = 0.5 + (0.0 if i == 0 else 0.11 * d**0.5 * rng.random()) * move / np.linalg.norm(move)
        trial = Trial(
            id=i + 1,
            parameters={p.name: float(v) for p, v in zip(study.parameters, x.clip(0, 1), strict=True)},
            context=study.context.values[CONTEXT],
            context_name=CONTEXT,
            phase="seed" if i == 0 else "local",
            seed=i,
            certified=True,
        )
        records.append((trial, measured(trial.parameters, rng)))
    return records


def tell_and_ask(study: Study, observations: int) -> TellAndAsk:
    """One ask after one tell, in a study of `box_study` that was told random safe trials around the seed."""
    tuner, rng = Tuner(study, 0), np.random.default_rng(0)
    tuner.restore(records_around_seed(study, observations, rng))
    return TellAndAsk(tuner, lambda trial: tuner.tell(trial, measured(trial.parameters, rng)))


def _cases(
    name: str, what: str, bar: float, observations: int, repeats: int, box: Callable[[str], Study]
) -> tuple[SpeedCase, ...]:
    def prepared(method: str) -> Callable[[], Callable[[], Any]]:
        return lambda: tell_and_ask(box(method), observations - 3)

    text = f"one ask after one tell at {observations} observations, {what}"
    return (
        SpeedCase(name, f"SafeOpt, {text}", bar, prepared("safeopt"), repeats),
        SpeedCase(f"{name}_ucb", f"safe UCB, {text}", bar, prepared("safe_ucb"), repeats),
    )


def _earned(method: str) -> Study:
    """The first study with priors that must be earned."""
    study = box_study(6, 5, method=method)
    surrogate = study.surrogate.model_copy(update={"trust": "earned"})
    return study.model_copy(update={"surrogate": surrogate})


def _lines(method: str) -> Study:
    return box_study(40, method=method, lines={"direction": "random", "count": 8})


CASES = (
    *_cases(
        "continuous_6_5", "6 gains and 5 context numbers", 0.3, 200, 15, lambda m: box_study(6, 5, method=m)
    ),
    *_cases(
        "earned_6_5",
        "6 gains and 5 context numbers, earned priors: at most 2.5 times the case above",
        0.75,
        200,
        15,
        _earned,
    ),
    *_cases("continuous_20d", "20 gains", 2.0, 300, 7, lambda m: box_study(20, method=m)),
    *_cases("lines_40d", "40 gains, 8 random lines", 2.0, 300, 15, _lines),
)
