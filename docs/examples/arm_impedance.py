"""Impedance gains of an arm that presses on a wall: firm contact, no force that breaks something.

Run it: `python docs/examples/arm_impedance.py` (20 trials; SAFEBO_EXAMPLE_TRIALS=5 makes it short).

One axis of the tool: 3 kg, a wall of 8 kN/m at 5 cm, a target 2 cm behind it, 10 ms of delay in the drive. Good is
a contact force near 10 N soon; safe are a peak under 60 N and a rebound under 5 mm.
"""

import os

import numpy as np

import safebo

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "20"))
MASS, WALL, PLACE, TARGET, STEP = 3.0, 8000.0, 0.05, 0.07, 0.001  # kg, N/m, m, m, s


def press(stiffness, damping):
    """One approach of 1.5 s: how far the force is from 10 N (N, mean), peak force (N), rebound (m)."""
    x = v = 0.0
    forces, places, drive = [], [], [0.0] * 10
    for _ in range(1500):
        drive.append(stiffness * (TARGET - x) - damping * v)
        contact = max(0.0, WALL * (x - PLACE) + 20.0 * v) if x > PLACE else 0.0
        v += (drive.pop(0) - contact) / MASS * STEP
        x += v * STEP
        forces.append(contact)
        places.append(x)
    force, place = np.array(forces), np.array(places)
    touched = int(np.argmax(force > 0)) if force.any() else len(force)
    rebound = max(0.0, PLACE - place[touched:].min()) if touched < len(force) else 0.0
    return float(np.abs(force - 10.0).mean()), float(force.max()), float(rebound)


study = safebo.Study.model_validate(
    {
        "name": "arm-contact",
        "evaluator": {"name": "nobody"},
        "parameters": [
            {"name": "stiffness", "unit": "N/m", "bounds": [50, 2000], "scale": "log"},
            {"name": "damping", "unit": "N s/m", "bounds": [20, 300], "scale": "log"},
        ],
        "objective": {
            "name": "force_error",
            "unit": "N",
            "warp": {"kind": "log", "scale": 8},
            "noise_std": 0.05,
        },
        "constraints": [
            {"name": "peak", "unit": "N", "warp": {"scale": 60}, "prior_std": 0.7, "noise_std": 0.02},
            {"name": "rebound", "unit": "mm", "warp": {"scale": 5}, "prior_std": 0.7, "noise_std": 0.02},
        ],
        "seeds": [{"parameters": {"stiffness": 120, "damping": 100}}],
        "surrogate": {"lengthscale": 0.5, "trust": "earned"},
    }
)
tuner = safebo.Tuner(study, seed=0)
trials = []
for _ in range(TRIALS):
    trial = tuner.ask()
    error, peak, rebound = press(**trial.parameters)
    trials.append((error, 60 - peak, 5 - 1000 * rebound))
    tuner.tell(trial, {"objective": -error, "margins": {"peak": 60 - peak, "rebound": 5 - 1000 * rebound}})
best = tuner.best()
error, peak, rebound = press(**best.parameters)
print(
    f"{TRIALS} approaches, {sum(min(t[1:]) < 0 for t in trials)} unsafe; force error of the seed {trials[0][0]:.1f} N"
)
print(
    f"certified stiffness {best.parameters['stiffness']:.0f} N/m, damping {best.parameters['damping']:.0f} N s/m:"
)
print(f"force error {error:.1f} N, peak {peak:.0f} N, rebound {1000 * rebound:.1f} mm")
