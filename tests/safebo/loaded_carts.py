"""Evaluators that know scenarios, and a study of them: a cart that carries something, on a floor that slips."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent

STUDY: dict[str, Any] = {
    "name": "cart",
    "evaluator": {"name": "loaded_carts:cart", "options": {"repeatable": True}},
    "parameters": [
        {"name": "p", "unit": "N/m", "bounds": [0.0, 10.0]},
        {"name": "d", "unit": "N s/m", "bounds": [0.0, 4.0]},
    ],
    "objective": {"name": "speed", "unit": "m/s", "prior_mean": -0.5, "prior_std": 0.6, "noise_std": 0.02},
    "constraints": [
        {"name": "grip", "unit": "N", "prior_mean": -0.3, "prior_std": 0.5, "noise_std": 0.02},
        {"name": "tilt", "unit": "rad", "prior_mean": -0.3, "prior_std": 0.5, "noise_std": 0.02},
    ],
    "scenarios": {
        "values": {
            "nominal": {"mass": 0.0, "slip": 0.0},
            "loaded": {"mass": 1.0, "slip": 0.0},
            "slippery": {"mass": 0.0, "slip": 0.5},
        }
    },
    "seeds": [{"parameters": {"p": 4.0, "d": 1.5}}],
    "surrogate": {"lengthscale": 0.4, "context_lengthscale": 1.0, "trust": "declared"},
    "tuner": {"beta": 2.5, "search": {"domain": "grid", "grid_points": 21}},
    "trials": 6,
}


def truth(parameters: Mapping[str, Any], conditions: Mapping[str, Any]) -> tuple[float, float, float]:
    """Speed, grip and tilt without noise: the load and the floor move the optimum and the limits."""
    p, d = parameters["p"] / 10.0, parameters["d"] / 4.0
    mass, slip = conditions.get("mass", 0.0), conditions.get("slip", 0.0)
    speed = -1.5 * (p - 0.65 + 0.2 * slip) ** 2 - (d - 0.5 - 0.1 * mass) ** 2
    return speed, 0.5 - (p - 0.3) ** 2 - 0.5 * slip * p, 0.4 - (d - 0.5) ** 2 - 0.3 * mass * p


def measured(parameters: Mapping[str, Any], conditions: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """What a walk shows, with noise."""
    speed, grip, tilt = truth(parameters, conditions)
    noise = 0.01 * np.random.default_rng(seed).standard_normal(3)
    return {
        "objective": speed + noise[0],
        "margins": {"grip": grip + noise[1], "tilt": tilt + noise[2]},
        "duration": 2.0,
    }


def _seed(parameters: Mapping[str, Any]) -> bool:
    return [parameters["p"], parameters["d"]] == [4.0, 1.5]


def cart(
    parameters: Mapping[str, Any],
    context: Mapping[str, Any],
    seed: int = 0,
    scenario: str = "",
    conditions: Mapping[str, Any] | None = None,
) -> Any:
    return measured(parameters, conditions or {}, seed)


def _check(conditions: Mapping[str, Any]) -> None:
    for name in conditions:
        if name not in ("mass", "slip"):
            raise ValueError(f"unknown condition {name!r}: known are mass, slip")


cart.check_conditions = _check  # type: ignore[attr-defined]


def falls_loaded(parameters: Mapping[str, Any], context: Mapping[str, Any], seed: int, scenario: str) -> Any:
    """With a load it falls."""
    found = measured(parameters, {}, seed)
    if scenario == "loaded":
        return {
            "outcome": "aborted",
            "margins": {"grip": -0.4, "tilt": 0.1},
            "fell": True,
            "message": "toppled",
        }
    return found


def raises_slippery(
    parameters: Mapping[str, Any], context: Mapping[str, Any], seed: int, scenario: str
) -> Any:
    """On the slippery floor nothing is measured, but for the seed's gains."""
    if scenario == "slippery" and not _seed(parameters):
        raise RuntimeError("the sensor is wet")
    return measured(parameters, {}, seed)


def dies_loaded(
    parameters: Mapping[str, Any],
    context: Mapping[str, Any],
    seed: int,
    scenario: str,
    conditions: Mapping[str, Any],
    marker: str = "",
) -> Any:
    """Kills its process once, with a load, and leaves a line for every walk."""
    with Path(marker).open("a") as file:
        file.write(f"{scenario}\n")
    if scenario == "loaded" and "died" not in Path(marker).read_text():
        with Path(marker).open("a") as file:
            file.write("died\n")
        os.kill(os.getpid(), signal.SIGKILL)
    return measured(parameters, conditions, seed)


def waits_loaded(
    parameters: Mapping[str, Any],
    context: Mapping[str, Any],
    seed: int,
    scenario: str,
    conditions: Mapping[str, Any],
    marker: str = "",
) -> Any:
    """With a load it waits for the marker, but for the seed's gains."""
    while scenario == "loaded" and not _seed(parameters) and not Path(marker).exists():
        Path(marker + ".reached").touch()
        time.sleep(0.05)
    return measured(parameters, conditions, seed)


def knows_none(parameters: Mapping[str, Any], context: Mapping[str, Any]) -> Any:
    return measured(parameters, {}, 0)
