"""Several margins with units of their own, and which of them ends the search.

Run it: `python docs/examples/several_margins.py` (20 trials; SAFEBO_EXAMPLE_TRIALS=6 makes it short).

A saw's feed and blade speed: fast is good; heat, noise and vibration have limits. `warp.scale` brings each to numbers
of about one, so that one prior serves all.
"""

import os

import safebo

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "20"))
LIMITS = {"heat": ("K", 40.0), "noise": ("dB", 85.0), "vibration": ("mm/s", 7.0)}


def saw(feed: float, speed: float) -> dict[str, object]:
    """Metres a minute, and what is left to every limit."""
    heat = 8 + 3.0 * feed + 0.25 * speed
    noise = 62 + 0.35 * speed + 0.4 * feed
    vibration = 1.0 + 60 * feed**1.5 / speed
    values = {"heat": heat, "noise": noise, "vibration": vibration}
    return {"objective": feed, "margins": {name: LIMITS[name][1] - value for name, value in values.items()}}


study = safebo.Study.model_validate(
    {
        "name": "saw",
        "evaluator": {"name": "nobody"},
        "parameters": [
            {"name": "feed", "unit": "m/min", "bounds": [0.5, 8]},
            {"name": "speed", "unit": "m/s", "bounds": [20, 80]},
        ],
        "objective": {
            "name": "rate",
            "unit": "m/min",
            "warp": {"scale": 3},
            "prior_mean": 1.3,
            "noise_std": 0.01,
        },
        "constraints": [
            {"name": name, "unit": unit, "warp": {"scale": limit / 4}, "prior_std": 1.5, "noise_std": 0.02}
            for name, (unit, limit) in LIMITS.items()
        ],
        "seeds": [{"parameters": {"feed": 1, "speed": 50}}],
        "surrogate": {"lengthscale": 0.7, "trust": "earned"},
    }
)
tuner = safebo.Tuner(study, seed=0)
unsafe = 0
for _ in range(TRIALS):
    trial = tuner.ask()
    shown = saw(**trial.parameters)
    unsafe += min(shown["margins"].values()) < 0
    tuner.tell(trial, shown)
best = tuner.best()
feed, speed = best.parameters["feed"], best.parameters["speed"]
print(f"{TRIALS} trials, {unsafe} unsafe; {feed:.2f} m/min at {speed:.0f} m/s certified")
for name, (unit, limit) in LIMITS.items():
    bounds = best.bounds[name]
    print(f"{name:10s} limit {limit:g} {unit}: {bounds.lower:.2f} to {bounds.upper:.2f} {unit} are left")
binding = min(LIMITS, key=lambda name: best.bounds[name].lower / LIMITS[name][1])
print(f"{binding} is what ends the search")
