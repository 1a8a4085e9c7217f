"""The one-dimensional system with which GoSafeOpt was first shown: one gain, two islands of safe gains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from safebo.robots.evaluation.margins import to_go
from safebo.types import EvaluatorInfo, Measurement, Monitor, ParameterInfo, QuantityInfo, Trial

STEPS = 1000
NOISE = 1e-4
"""Standard deviation of what is added to the state and to its measurement in every step."""
LIMIT = 0.9
"""Largest allowed |x|."""
REPORTED = 20
"""States of a trial that are reported: it settles within ten steps."""


class SquareRootEvaluator:
    """Trials of `x+ = 1.01 sqrt|x| - 0.2 sqrt|k (x + w)| + v` from x = 0, with noise v and w of 1e-4.

    The state leaves 0, where it could stay, by its noise, and settles at `(1.01 - 0.2 sqrt|k|)^2`. The objective is
    minus the sum of x^2 over the trial, the margin `0.81 - max x^2`: unsafe are the gains of |k| below 0.094, between
    the islands, and the larger |k| the better. The noise belongs to the system: a trial's values are true as they are.

    Source: example `mod_sys_swarm` of the published code of GoSafeOpt (Sukhija et al. 2023).

    Args:
        options: none are known.

    Raises:
        ValueError: an option was given.
    """

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        if options:
            raise ValueError(f"the square-root system has no options, got {', '.join(options)}")

    def info(self) -> EvaluatorInfo:
        """The gain, the objective, the margin and the state."""
        return EvaluatorInfo(
            name="square_root",
            parameters=(ParameterInfo("k", "", 1.0, -100.0, 100.0, "gain on the measured state"),),
            objectives=(QuantityInfo("cost", "", "minus the sum of the squared state"),),
            margins=(QuantityInfo("state", "", "0.81 minus the largest squared state"),),
            states=(QuantityInfo("x", "", "the state"),),
            repeatable=True,
            monitored=True,
            margins_to_go=True,
        )

    def evaluate(self, trial: Trial, monitor: Monitor | None = None) -> Measurement:
        """Run one trial; a monitor sees the state before every step and may put another gain in place, once."""
        gain = float(trial.parameters["k"])
        noise = NOISE * np.random.default_rng(trial.seed).standard_normal((STEPS, 2))
        x = np.zeros(STEPS + 1)
        switched: int | None = None
        for t in range(STEPS):
            if monitor is not None and switched is None:
                chosen = monitor.check(x[t : t + 1])
                if chosen >= 0:
                    switched, gain = t, float(monitor.backups[chosen]["k"])
            seen = x[t] + noise[t, 0]
            x[t + 1] = 1.01 * math.sqrt(abs(x[t])) - 0.2 * math.sqrt(abs(gain * seen)) + noise[t, 1]
        margins = LIMIT**2 - x**2
        margin, states = {"state": float(margins.min())}, x[:REPORTED, None].copy()
        if switched is not None:
            return Measurement(
                outcome="backup",
                margins=margin,
                true_margins=margin,
                states=states,
                backup_time=float(switched),
                backup_state=x[switched : switched + 1].copy(),
                duration=float(STEPS),
            )
        cost = -float((x**2).sum())
        return Measurement(
            outcome="completed",
            objective=cost,
            true_objective=cost,
            margins=margin,
            true_margins=margin,
            states=states,
            margins_to_go={"state": to_go(margins)[:REPORTED]},
            duration=float(STEPS),
        )
