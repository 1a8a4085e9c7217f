"""A parameter that is a name: which of three filters, tuned together with its gain.

Run it: `python docs/examples/choices.py` (20 trials; SAFEBO_EXAMPLE_TRIALS=6 makes it short).

No choice is nearer to one than to another, so what one filter showed says little of the others: a seed for each
says that it is safe to begin with.
"""

import os

import safebo

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "20"))
DELAY = {"none": 0.0, "low-pass": 0.3, "notch": 0.1}
NOISE = {"none": 0.9, "low-pass": 0.15, "notch": 0.35}


def servo(filter: str, gain: float) -> dict[str, object]:
    """Bandwidth minus noise, and the phase margin over 30 degrees."""
    return {
        "objective": gain - NOISE[filter] * gain**2 / 2,
        "margins": {"phase": (40 - 14 * gain * (1 + 2 * DELAY[filter])) / 10},
    }


study = safebo.Study.model_validate(
    {
        "name": "filters",
        "evaluator": {"name": "nobody"},
        "parameters": [{"name": "filter", "choices": list(DELAY)}, {"name": "gain", "bounds": [0.1, 4]}],
        "objective": {"name": "quality", "prior_std": 1.5, "noise_std": 0.02},
        "constraints": [{"name": "phase", "prior_std": 3.0, "noise_std": 0.03}],
        "seeds": [{"parameters": {"filter": name, "gain": 0.5}} for name in DELAY],
        "surrogate": {"lengthscale": 0.7, "trust": "earned"},
    }
)
tuner, unsafe = safebo.Tuner(study, seed=0), 0
counts = dict.fromkeys(DELAY, 0)
for _ in range(TRIALS):
    trial = tuner.ask()
    shown = servo(**trial.parameters)
    counts[trial.parameters["filter"]] += 1
    unsafe += shown["margins"]["phase"] < 0
    tuner.tell(trial, shown)
best = tuner.best()
print("trials:", ", ".join(f"{count} with {name}" for name, count in counts.items()), f"; {unsafe} unsafe")
quality = servo(**best.parameters)["objective"]
print(
    f"certified: {best.parameters['filter']} with gain {best.parameters['gain']:.2f}, quality {quality:.2f}"
)
