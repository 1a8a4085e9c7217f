"""A dynamical toy whose safe gains lie in two islands: a scalar state that some gains let grow."""

from __future__ import annotations

from typing import Any

import numpy as np

from safebo.protocol import Measurement, Monitor, Trial
from safebo.study import Study

STEPS = 20
START = 0.5
"""First state; the margin is `1 - max |s|`, so no gains have more than 0.5."""

FASTEST = 0.06
"""The state moves at most so far in one step while it is safe: what the study declares as inter_sample."""


def island_study(method: str = "gosafeopt", rule: str = "lipschitz", **tuner: Any) -> Study:
    """Gains k and d; the seed's island is k < 0.427, the better one k > 0.573."""
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
                "backup": {"rule": rule, "lipschitz": 1.0, "inter_sample": FASTEST, "sigma": 0.25},
                "exploration": {"local_steps": 6, "global_steps": 4, "patience": 3},
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
    states = [[s]]
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
    reward = -((trial.parameters["k"] - 0.8) ** 2) - 0.3 * (trial.parameters["d"] - 0.5) ** 2
    return (
        Measurement(
            "completed" if margin > -1 else "aborted",
            objective=reward + 0.01 * rng.standard_normal() if margin > -1 else None,
            margins={"margin": margin + 0.01 * rng.standard_normal()},
            fell=margin <= -1,
            states=np.array(states),
        ),
        margin,
    )
