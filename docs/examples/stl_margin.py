"""A margin as a formula of signal temporal logic, over signals of one's own: "warm within 100 s, never over 75 deg C".

Run it: `python docs/examples/stl_margin.py` (15 trials; SAFEBO_EXAMPLE_TRIALS=5 makes it short).

The robustness of the formula is the margin: how far the record is from breaking it, in units of each comparison's
scale. Signals are in SI units; in formulas any unit may stand.
"""

import os

import numpy as np

import safebo
from safebo.robots.evaluation.formulas import one_margin, words
from safebo.robots.evaluation.stl.tree import SignalInfo
from safebo.robots.evaluation.stl.units import Unit
from safebo.robots.evaluation.stl.values import ArrayTrace

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "15"))
SIGNALS = {"temperature": SignalInfo(Unit())}  # deg C, as a plain number
WARM = one_margin(
    "warm",
    "always[0 s, 300 s] temperature <= 75 scale 10 and "
    "eventually[0 s, 100 s] always[0 s, 20 s] temperature >= 50 scale 10",
    SIGNALS,
    "complete",
)


def brew(kp: float, ki: float) -> ArrayTrace:
    """400 s of a boiler under PI control, one sample a second: temperature in deg C."""
    water, heater, integral = 20.0, 20.0, 0.0
    temperatures = []
    for _ in range(400):
        error = 60.0 - water
        integral = float(np.clip(integral + ki * error, 0, 1500))
        power = float(np.clip(kp * error + integral, 0, 1500))
        heater += power / 600 - (heater - water) * 0.25
        water += (heater - water) * 0.06 - (water - 20.0) * 0.002
        temperatures.append(water)
    return ArrayTrace({"temperature": np.array(temperatures)}, period=1.0)


study = safebo.Study.model_validate(
    {
        "name": "boiler",
        "evaluator": {"name": "nobody"},
        "parameters": [
            {"name": "kp", "unit": "W/K", "bounds": [5, 300], "scale": "log"},
            {"name": "ki", "unit": "W/(K s)", "bounds": [0.05, 3], "scale": "log"},
        ],
        "objective": {"name": "error", "unit": "K", "warp": {"kind": "log", "scale": 6}, "noise_std": 0.05},
        "constraints": [{"name": "warm", "prior_std": 1.0, "noise_std": 0.02}],
        "seeds": [{"parameters": {"kp": 40, "ki": 0.3}}],
        "surrogate": {"lengthscale": 0.5, "trust": "earned"},
    }
)
tuner = safebo.Tuner(study, seed=0)
unsafe = 0
for _ in range(TRIALS):
    trial = tuner.ask()
    record = brew(**trial.parameters)
    error, margin = float(np.abs(record["temperature"] - 60).mean()), float(WARM.upper(record))
    unsafe += margin < 0
    tuner.tell(trial, {"objective": -error, "margins": {"warm": margin}})
    print(f"{trial.id:3d} error {error:5.2f} K  {words(WARM, margin, record)}")
best = tuner.best()
gains = {name: round(value, 2) for name, value in best.parameters.items()}
print(f"{TRIALS} trials, {unsafe} unsafe; certified {gains}")
