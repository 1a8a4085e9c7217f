"""Simulated trials as a prior: what a simulation showed counts as far as the robot's own trials speak for it.

Run it: `python docs/examples/prior_from_simulation.py` (20 simulated, 8 real trials).

The simulation is a pendulum without friction, "the robot" one with some and a motor that is a fifth weaker.
"""

import os

import numpy as np

import safebo

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "8"))


def swing(kp, kd, friction, motor):
    """Hold a pendulum at 1 rad against gravity for 3 s: error and the overshoot that is left to 0.3 rad."""
    angle = speed = 0.0
    errors, largest = [], 0.0
    for _ in range(600):
        torque = motor * (kp * (1.0 - angle) - kd * speed)
        speed += 0.005 * (torque - 4.0 * np.sin(angle) - friction * speed)
        angle += 0.005 * speed
        errors.append(abs(1.0 - angle))
        largest = max(largest, angle)
    return {"objective": -float(np.mean(errors)), "margins": {"overshoot": 1.3 - largest}}


study = safebo.Study.model_validate(
    {
        "name": "pendulum-hold",
        "evaluator": {"name": "nobody"},
        "parameters": [
            {"name": "kp", "bounds": [5, 200], "scale": "log"},
            {"name": "kd", "bounds": [0.5, 20], "scale": "log"},
        ],
        "objective": {
            "name": "error",
            "unit": "rad",
            "warp": {"kind": "log", "scale": 0.2},
            "noise_std": 0.03,
        },
        "constraints": [
            {"name": "overshoot", "unit": "rad", "warp": {"scale": 0.3}, "prior_std": 0.8, "noise_std": 0.02}
        ],
        "seeds": [{"parameters": {"kp": 12, "kd": 5}}],
        "surrogate": {"lengthscale": 0.5, "trust": "earned"},
    }
)


def tune(trials, friction, motor, prior=()):
    """Tune one plant; its trials with what they showed, and the best certified gains."""
    tuner = safebo.Tuner(study, seed=0, prior=prior)
    records = []
    for _ in range(trials):
        trial = tuner.ask()
        shown = swing(**trial.parameters, friction=friction, motor=motor)
        tuner.tell(trial, shown)
        records.append((trial, safebo.Measurement("completed", shown["objective"], shown["margins"])))
    return records, tuner


simulated, _ = tune(2 * TRIALS + 4, friction=0.0, motor=1.0)
for name, prior in {"alone": (), "with the simulation": simulated}.items():
    records, tuner = tune(TRIALS, friction=0.4, motor=0.8, prior=prior)
    gains = tuner.best().parameters
    error = -swing(**gains, friction=0.4, motor=0.8)["objective"]
    unsafe = sum(m.margins["overshoot"] < 0 for _, m in records)
    print(f"{name:20s} after {TRIALS} real trials: error {error:.3f} rad, {unsafe} unsafe")
report = tuner.prior_report()
for name, known in report.correlations.items():
    print(f"correlations of {name} that are not refuted: {known.kept[0]:g} to {known.kept[-1]:g}")
