"""Trials from a table of last month: told to the tuner before its first own trial.

Run it: `python docs/examples/previous_trials_csv.py` (8 trials; SAFEBO_EXAMPLE_TRIALS=3 makes it short).

`tell_manual` enters a trial of a person's own choosing with what it showed. It counts like one of the run's own, so
only trials of this robot, as it is now, belong there; for those of another one or of a simulation see
`prior_from_simulation.py`.
"""

import csv
import io
import os

import safebo

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "8"))

TABLE = """\
date,kp,kd,settling_s,overshoot_deg
2024-03-04,20,2,1.45,0.9
2024-03-04,25,2,1.30,1.6
2024-03-05,25,3,1.38,0.6
2024-03-07,35,3,1.17,1.9
2024-03-07,45,2,0.98,6.8
"""


def servo(kp, kd):
    """Settling time, s, and overshoot, degrees."""
    return 4.2 / kp**0.4 + 0.06 * kd, max(0.0, 0.0042 * kp**2 - 0.9 * kd + 1.0)


def told(settling, overshoot):
    """As the tuner wants it: larger is better, a margin is safe from 0 on; the limit is 5 degrees."""
    return {"objective": -float(settling), "margins": {"overshoot": 5.0 - float(overshoot)}}


study = safebo.Study.model_validate(
    {
        "name": "servo",
        "evaluator": {"name": "nobody"},
        "parameters": [
            {"name": "kp", "bounds": [10, 100], "scale": "log"},
            {"name": "kd", "bounds": [0, 10]},
        ],
        "objective": {
            "name": "settling",
            "unit": "s",
            "prior_mean": -1.2,
            "prior_std": 0.4,
            "noise_std": 0.02,
        },
        "constraints": [{"name": "overshoot", "unit": "deg", "warp": {"scale": 5}, "noise_std": 0.05}],
        "seeds": [{"parameters": {"kp": 20, "kd": 2}}],
        "surrogate": {"lengthscale": 0.5, "trust": "earned"},
    }
)
tuner = safebo.Tuner(study, seed=0)
for row in csv.DictReader(io.StringIO(TABLE)):
    gains = {"kp": float(row["kp"]), "kd": float(row["kd"])}
    tuner.tell_manual(gains, "default", told(row["settling_s"], row["overshoot_deg"]))
print("after the table alone:", {k: round(v, 1) for k, v in tuner.best().parameters.items()})

unsafe = 0
for _ in range(TRIALS):
    trial = tuner.ask()  # the seed first: gains that are safe today
    settling, overshoot = servo(**trial.parameters)
    unsafe += overshoot > 5
    tuner.tell(trial, told(settling, overshoot))
    kp, kd = trial.parameters["kp"], trial.parameters["kd"]
    print(f"kp {kp:5.1f}, kd {kd:4.1f}: {settling:.2f} s, {overshoot:.1f} deg")
best = tuner.best()
settling, overshoot = servo(**best.parameters)
gains = {name: round(value, 2) for name, value in best.parameters.items()}
print(f"{unsafe} of {TRIALS} unsafe; certified {gains}: {settling:.2f} s, {overshoot:.1f} deg")
