"""A constraint on the gains themselves, known beforehand: no trial is proposed beyond it.

Run it: `python docs/examples/parameter_constraint.py` (15 trials; SAFEBO_EXAMPLE_TRIALS=5 makes it short).

A filter's two corner frequencies must keep their order, and their sum must stay under what the sampling allows. Such
inequalities need no measurement and no margin: `parameter_constraints` keeps them exactly.
"""

import math
import os

import safebo

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "15"))


def band(low: float, high: float) -> dict[str, object]:
    """Signal kept minus noise let through, in dB, and how far the phase stays from 60 degrees of lag."""
    kept = -3 * math.exp(-(high - low) / 40)
    noise = 4 * math.log10(1 + high / 20) - 2 * math.log10(1 + low / 5)
    lag = 25 + 0.3 * low + 1500 / high
    return {"objective": kept - noise, "margins": {"lag": 90 - lag}}


study = safebo.Study.model_validate(
    {
        "name": "band-pass",
        "evaluator": {"name": "nobody"},
        "parameters": [
            {"name": "low", "unit": "Hz", "bounds": [1, 80]},
            {"name": "high", "unit": "Hz", "bounds": [10, 150]},
        ],
        "parameter_constraints": ["low + 10 <= high", "low + high <= 160"],
        "objective": {"name": "quality", "unit": "dB", "prior_mean": -4, "prior_std": 2, "noise_std": 0.02},
        "constraints": [{"name": "lag", "unit": "deg", "warp": {"scale": 30}, "noise_std": 0.02}],
        "seeds": [{"parameters": {"low": 5, "high": 100}}],
        "surrogate": {"lengthscale": 0.6, "trust": "earned"},
    }
)
tuner = safebo.Tuner(study, seed=0)
unsafe = 0
for _ in range(TRIALS):
    trial = tuner.ask()
    low, high = trial.parameters["low"], trial.parameters["high"]
    assert low + 10 <= high + 1e-9
    assert low + high <= 160 + 1e-9
    shown = band(low, high)
    unsafe += shown["margins"]["lag"] < 0
    tuner.tell(trial, shown)
    print(
        f"{low:5.1f} to {high:5.1f} Hz: {shown['objective']:+.2f} dB, lag {shown['margins']['lag']:+.1f} deg"
    )
best = tuner.best()
print(
    f"{unsafe} of {TRIALS} unsafe; certified {best.parameters['low']:.1f} to {best.parameters['high']:.1f} Hz"
)
