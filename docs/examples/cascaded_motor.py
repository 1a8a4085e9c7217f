"""Cascaded control of a motor: current loop inside, speed loop outside, both PI, tuned together.

Run it: `python docs/examples/cascaded_motor.py` (20 trials; SAFEBO_EXAMPLE_TRIALS=5 makes it short).

A DC motor (0.5 ohm, 1 mH, 0.05 N m/A, 2e-4 kg m^2) at 24 V, current loop at 5 kHz, one period of delay; the benchmark
`motor` has the same plant. Good is a speed that follows a step to 200 rad/s and a load of 0.3 N m; safe are currents
under 20 A and an overshoot under 20 rad/s.
"""

import os

import numpy as np

import safebo
from safebo.robots.benchmarks.motor import step_responses

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "20"))


def step_response(current_kp, current_ki, speed_kp, speed_ki):
    """A step at 0 s, a load from 0.15 s on, 0.3 s in all: speed's error and margins."""
    (speeds,), (currents,) = step_responses([current_kp, current_ki, speed_kp, speed_ki])
    peak = min(np.abs(currents).max(), 100.0)
    over = min(speeds.max() - 200.0, 200.0)
    return {
        "objective": -min(float(np.abs(200.0 - speeds).mean()), 200.0),
        "margins": {"current": float(20.0 - peak), "overshoot": float(20.0 - over)},
    }


study = safebo.Study.model_validate(
    {
        "name": "cascaded-motor",
        "evaluator": {"name": "nobody"},
        "parameters": [
            {"name": "current_kp", "unit": "V/A", "bounds": [0.2, 6], "scale": "log"},
            {"name": "current_ki", "unit": "V/(A s)", "bounds": [10, 3000], "scale": "log"},
            {"name": "speed_kp", "unit": "A s/rad", "bounds": [0.02, 1], "scale": "log"},
            {"name": "speed_ki", "unit": "A/rad", "bounds": [0.1, 30], "scale": "log"},
        ],
        "objective": {
            "name": "error",
            "unit": "rad/s",
            "warp": {"kind": "log", "scale": 40},
            "noise_std": 0.03,
        },
        "constraints": [
            {"name": name, "unit": unit, "warp": {"scale": 20}, "prior_std": std, "noise_std": 0.01}
            for name, unit, std in (("current", "A", 0.5), ("overshoot", "rad/s", 1.0))
        ],
        "seeds": [{"parameters": {"current_kp": 0.6, "current_ki": 100, "speed_kp": 0.08, "speed_ki": 0.2}}],
        "surrogate": {"lengthscale": 0.6, "trust": "earned"},
    }
)
tuner = safebo.Tuner(study, seed=0)
told = []
for _ in range(TRIALS):
    trial = tuner.ask()
    told.append(step_response(**trial.parameters))
    tuner.tell(trial, told[-1])
best = tuner.best()
after = step_response(**best.parameters)
unsafe = sum(min(t["margins"].values()) < 0 for t in told)
print(f"{TRIALS} steps, {unsafe} unsafe; mean error of the seed {-told[0]['objective']:.1f} rad/s")
print("certified", {name: float(f"{value:.3g}") for name, value in best.parameters.items()})
left = {name: round(value, 1) for name, value in after["margins"].items()}
print(f"mean error {-after['objective']:.1f} rad/s, left to the limits: {left}")
