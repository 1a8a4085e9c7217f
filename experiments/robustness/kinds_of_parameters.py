"""A study with a whole number, a choice, a step and a linear constraint: is every proposal allowed and certified?

    python -m safebo.experiments.robustness.kinds_of_parameters --asks 200 --method safe_ucb

The closed-form problem is a controller with two gains, a horizon and two gaits. Every proposal is looked at by plain
arithmetic and certified a second time by `independent_certificate`.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from typing import Any

from safebo.experiments.robustness.independent_certificate import Judge
from safebo.study import Study
from safebo.tuner import Tuner
from safebo.types import Measurement, Trial

GAITS = {"trot": 0.0, "bound": -0.04, "pace": 0.03}
"""What each choice adds to the reward."""

ROUND_OFF = 1e-9


def mixed_study(method: str = "safe_ucb", **tuner: Any) -> Study:
    """Gains of a controller with a predictive horizon."""
    return Study.model_validate(
        {
            "name": "mixed",
            "evaluator": {"name": "closed-form"},
            "parameters": [
                {"name": "kp", "bounds": (10.0, 100.0)},
                {"name": "kd", "bounds": (0.1, 10.0), "scale": "log"},
                {"name": "horizon", "bounds": (4.0, 20.0), "type": "integer"},
                {"name": "duty", "bounds": (0.4, 0.8), "step": 0.05},
                {"name": "gait", "choices": list(GAITS), "lengthscale": 5.0},
            ],
            "parameter_constraints": ["kd <= 0.1 * kp", "kp + 2 * horizon <= 120"],
            "objective": {"name": "reward", "prior_mean": -0.5, "prior_std": 0.6, "noise_std": 0.02},
            "constraints": [{"name": "margin", "prior_mean": -0.3, "prior_std": 0.5, "noise_std": 0.02}],
            "seeds": [{"parameters": {"kp": 40.0, "kd": 1.0, "horizon": 10.0, "duty": 0.6, "gait": "trot"}}],
            "surrogate": {"lengthscale": 0.5},
            "tuner": {
                "method": method,
                "beta": 2.0,
                "search": {"swarm_size": 40, "swarm_iterations": 8, "restarts": 3},
                **tuner,
            },
        }
    )


def measured(trial: Trial) -> Measurement:
    """Reward rises with damping up to the constraint; the margin is largest near the seed."""
    p = trial.parameters
    kp, kd, horizon = (p["kp"] - 10) / 90, math.log(p["kd"] / 0.1) / math.log(100), (p["horizon"] - 4) / 16
    reward = (
        -((kp - 0.6) ** 2)
        - (kd - 0.9) ** 2
        - (horizon - 0.7) ** 2
        - (p["duty"] - 0.7) ** 2
        + GAITS[p["gait"]]
    )
    margin = (
        0.6
        - 1.2 * (kp - 0.4) ** 2
        - 0.8 * (kd - 0.5) ** 2
        - 0.6 * (horizon - 0.4) ** 2
        - (p["duty"] - 0.6) ** 2
    )
    return Measurement(
        "completed", objective=reward, margins={"margin": margin - (0.1 if p["gait"] == "pace" else 0.0)}
    )


def broken(trial: Trial) -> list[str]:
    """What a trial's parameters break, by plain arithmetic."""
    p = trial.parameters
    steps = (p["duty"] - 0.4) / 0.05
    rules = {
        "kp": 10 <= p["kp"] <= 100,
        "kd": 0.1 <= p["kd"] <= 10,
        "horizon": type(p["horizon"]) is int and 4 <= p["horizon"] <= 20,
        "duty": 0.4 <= p["duty"] <= 0.8
        and abs(steps - round(steps)) < ROUND_OFF
        and len(repr(p["duty"])) <= 4,
        "gait": p["gait"] in GAITS,
        "kd <= 0.1 kp": p["kd"] <= 0.1 * p["kp"],
        "kp + 2 horizon <= 120": p["kp"] + 2 * p["horizon"] <= 120,
    }
    return [name for name, kept in rules.items() if not kept]


def asked(study: Study, count: int, seed: int = 0) -> tuple[list[Trial], list[str]]:
    """So many trials, and everything wrong with them."""
    tuner, judge = Tuner(study, seed=seed), Judge(study)
    known: list[tuple[Trial, Measurement | None]] = []
    faults = []
    certifies = study.tuner.method in ("safe_ucb", "safeopt", "goose", "itl", "random_safe", "stageopt")
    for _ in range(count):
        trial = tuner.ask()
        faults += [f"trial {trial.id} breaks {name}: {dict(trial.parameters)}" for name in broken(trial)]
        if certifies and trial.phase == "local":
            margin = float(judge.margins(known, trial).min())
            if margin < 0 or not trial.certified:
                faults.append(f"trial {trial.id} is not certified: {margin:.2e}")
        shown = measured(trial)
        tuner.tell(trial, shown)
        known.append((trial, shown))
    return [trial for trial, _ in known], faults


def main() -> int:
    """Print what was tried; 1 where something is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--asks", type=int, default=200)
    parser.add_argument("--method", default="safe_ucb")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    trials, faults = asked(mixed_study(options.method), options.asks, options.seed)
    for name in ("horizon", "duty", "gait"):
        print(f"{name}: {dict(sorted(Counter(t.parameters[name] for t in trials).items()))}")
    room = [1.0 - t.parameters["kd"] / (0.1 * t.parameters["kp"]) for t in trials]
    print(f"{sum(r < 1e-3 for r in room)} of {len(room)} trials lie within 0.1 % of kd = 0.1 kp")
    best = max(trials, key=lambda t: measured(t).objective or -math.inf)
    print(f"best: {measured(best).objective:.4f} at {dict(best.parameters)}")
    print(*faults, sep="\n")
    print(f"{len(trials)} asks of {options.method}, {len(faults)} faults")
    return int(bool(faults))


if __name__ == "__main__":
    raise SystemExit(main())
