"""PID gains of a drone's height: quick, and never over the ceiling nor with motors at their limit.

Run it: `python docs/examples/drone_pid.py` (25 trials; SAFEBO_EXAMPLE_TRIALS=5 makes it short).

A quadrotor of 1.2 kg climbs 1 m; its thrust follows the command with 50 ms and ends at 20 N. What is good is the
integral of the height's error; what is safe is an overshoot under 0.15 m and at least 10 % of thrust in reserve on
average over any 0.1 s.
"""

import os

import numpy as np

import safebo

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "25"))
MASS, GRAVITY, LAG, THRUST, STEP = 1.2, 9.81, 0.05, 20.0, 0.002  # kg, m/s^2, s, N, s


def climb(kp: float, ki: float, kd: float) -> dict[str, object]:
    """Fly it: objective and margins of one climb of 4 s."""
    height = speed = integral = 0.0
    thrust = MASS * GRAVITY
    heights, thrusts = [], []
    for _ in range(int(4 / STEP)):
        error = 1.0 - height
        integral += error * STEP
        wanted = MASS * (GRAVITY + kp * error + ki * integral - kd * speed)
        thrust += (np.clip(wanted, 0, THRUST) - thrust) * STEP / LAG
        speed += (thrust / MASS - GRAVITY) * STEP
        height += speed * STEP
        heights.append(height)
        thrusts.append(thrust)
    track, force = np.array(heights), np.array(thrusts)
    within = np.convolve(force, np.full(50, 1 / 50), "valid").max()
    return {
        "objective": -float(np.abs(1 - track).sum() * STEP),
        "margins": {
            "ceiling": float(1.15 - track.max()),
            "reserve": float(0.9 - within / THRUST),
        },
    }


study = safebo.Study.model_validate(
    {
        "name": "drone-height",
        "evaluator": {"name": "nobody"},
        "parameters": [
            {"name": "kp", "unit": "1/s^2", "bounds": [1, 20], "scale": "log"},
            {"name": "ki", "unit": "1/s^3", "bounds": [0.01, 4], "scale": "log"},
            {"name": "kd", "unit": "1/s", "bounds": [1, 10], "scale": "log"},
        ],
        "objective": {
            "name": "error",
            "unit": "m s",
            "prior_mean": -1.0,
            "prior_std": 0.5,
            "noise_std": 0.01,
        },
        "constraints": [
            {"name": "ceiling", "unit": "m", "prior_std": 0.2, "noise_std": 0.003},
            {"name": "reserve", "prior_std": 0.3, "noise_std": 0.005},
        ],
        "seeds": [{"parameters": {"kp": 2, "ki": 0.1, "kd": 3}}],
        "surrogate": {"lengthscale": 0.5, "trust": "earned"},
    }
)
tuner = safebo.Tuner(study, seed=0)
shown = []
for _ in range(TRIALS):
    trial = tuner.ask()
    shown.append(climb(**trial.parameters))
    tuner.tell(trial, shown[-1])
best = tuner.best()
assert best is not None
unsafe = sum(min(flight["margins"].values()) < 0 for flight in shown)
gains = {name: round(value, 2) for name, value in best.parameters.items()}
print(f"{TRIALS} climbs, {unsafe} unsafe; error of the seed {-shown[0]['objective']:.2f} m s")
print(f"certified {gains}: error {-climb(**best.parameters)['objective']:.2f} m s")
