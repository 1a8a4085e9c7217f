"""A dynamical toy whose safe gains lie in two islands: a scalar state that some gains let grow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from safebo.study import Study
from safebo.types import (
    EvaluatorInfo,
    Measurement,
    Monitor,
    ParameterInfo,
    Phase,
    QuantityInfo,
    SwitchedTrial,
    SwitchPlan,
    Trial,
)

STEPS = 20
START = 0.5
"""First state; the margin is `1 - max |s|`, so no gains have more than 0.5."""

FASTEST = 0.06
"""The state moves at most so far in one step while it is safe: what the study declares as inter_sample."""


BACKUP: dict[str, Any] = {
    "lipschitz": 1.0,
    "inter_sample": FASTEST,
    "sigma": 0.25,
    "state_lengthscale": 0.4,
    "pessimism": 1.0,
}
"""Numbers of all four boundary conditions."""


def island_study(
    method: str = "gosafeopt", rule: str = "lipschitz", global_rule: str = "widest_outside", **tuner: Any
) -> Study:
    """Gains k and d; the seed's island is k < 0.427, the better one k > 0.573."""
    exploration = {"rule": global_rule, "local_steps": 6, "global_steps": 4, "patience": 3}
    return Study.model_validate(
        {
            "name": "islands",
            "evaluator": {"name": "closed-form"},
            "parameters": [{"name": "k", "bounds": [0, 1]}, {"name": "d", "bounds": [0, 1]}],
            "objective": {"name": "reward", "prior_mean": -0.2, "prior_std": 0.3, "noise_std": 0.01},
            "constraints": [{"name": "margin", "prior_mean": -0.1, "prior_std": 0.4, "noise_std": 0.01}],
            "seeds": [{"parameters": {"k": 0.2, "d": 0.5}}],
            "surrogate": {"lengthscale": 0.15},
            "tuner": {
                "method": method,
                "beta": 3.0,
                "epsilon": 0.05,
                "backup": {"rule": rule, **BACKUP},
                "exploration": exploration,
                "search": {"swarm_size": 40, "swarm_iterations": 8, "restarts": 3},
                **tuner,
            },
        }
    )


def growth(k: float) -> float:
    """Relative change of the state per step under gain k."""
    return float(-0.02 + 0.08 * np.exp(-(((k - 0.5) / 0.12) ** 2)))


def roll_out(trial: Trial, monitor: Monitor | None, rng: np.random.Generator) -> tuple[Measurement, float]:
    """What was measured, and the true margin of the whole trial."""
    k = trial.parameters["k"]
    s, peak = START, START
    states, margins = [[s]], [1.0 - abs(s)]
    switched: tuple[float, float] | None = None
    for step in range(STEPS):
        if monitor is not None and switched is None:
            index = monitor.check(np.array([s]))
            if index >= 0:
                switched = (float(step), s)
                k = monitor.backups[index]["k"]
        s = min(s * (1.0 + growth(k)), 10.0)
        peak = max(peak, abs(s))
        states.append([s])
        margins.append(1.0 - abs(s))
    margin = max(1.0 - peak, -1.0)
    if switched is not None:
        return (
            Measurement(
                "backup",
                margins={"margin": margin},
                backup_time=switched[0],
                backup_state=np.array([switched[1]]),
                states=np.array(states),
            ),
            margin,
        )
    noise = 0.01 * rng.standard_normal(2)
    to_go = np.minimum.accumulate(margins[::-1])[::-1]
    reward = -((trial.parameters["k"] - 0.8) ** 2) - 0.3 * (trial.parameters["d"] - 0.5) ** 2
    return (
        Measurement(
            "completed" if margin > -1 else "aborted",
            objective=reward + noise[0] if margin > -1 else None,
            margins={"margin": margin + noise[1]},
            fell=margin <= -1,
            states=np.array(states),
            margins_to_go={"margin": to_go + noise[1]},
        ),
        margin,
    )


def trial_of(number: int, phase: Phase, k: float, context: str = "default") -> Trial:
    """A trial with that k, as it would have been asked."""
    return Trial(number, {"k": k, "d": 0.5}, {}, context, phase, 0, True)


def completed(reward: float, margin: float = 0.4, states: list[float] | None = None) -> Measurement:
    """A trial that ran to its end, with its states."""
    path = None if states is None else np.array(states)[:, None]
    return Measurement("completed", reward, {"margin": margin}, states=path)


class IslandEvaluator:
    """The toy as an evaluator that can put a trial back.

    Args:
        options: `simulated: false` declares that it cannot.
    """

    walked = 0
    """Trials in which switches were tried, of all evaluators."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._simulated = bool(options.get("simulated", True))

    def info(self) -> EvaluatorInfo:
        return EvaluatorInfo(
            "islands",
            parameters=tuple(ParameterInfo(name, "", 0.5, 0.0, 1.0) for name in ("k", "d")),
            objectives=(QuantityInfo("reward", ""),),
            margins=(QuantityInfo("margin", ""),),
            states=(QuantityInfo("s", "", scale=0.2),),
            repeatable=True,
            monitored=True,
            margins_to_go=True,
            tries_switches=self._simulated,
        )

    def evaluate(self, trial: Trial, monitor: Monitor | None = None) -> Measurement:
        return roll_out(trial, monitor, np.random.default_rng(trial.seed))[0]

    def try_switches(self, trial: Trial, plan: SwitchPlan) -> SwitchedTrial:
        IslandEvaluator.walked += 1
        s = path(START, trial.parameters["k"], STEPS)
        found = [
            1.0 - path(s[tick], plan.backups[backup]["k"], STEPS - tick).max() for tick, backup in plan.tried
        ]
        return SwitchedTrial(
            s[:-1, None], {"margin": 1.0 - s[:-1]}, {"margin": np.array(found)}, period=plan.horizon / STEPS
        )


def path(start: float, k: float, steps: int) -> np.ndarray:
    """States from one on under gain k, `steps + 1`."""
    return np.asarray(np.minimum(start * (1.0 + growth(k)) ** np.arange(steps + 1), 10.0))
