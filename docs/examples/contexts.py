"""Contexts: a conveyor's gains for light and heavy loads, and a load between them that is never tried.

Run it: `python docs/examples/contexts.py` (24 trials; SAFEBO_EXAMPLE_TRIALS=6 makes it short).

What is learned with one load informs the next: the heavy one begins with its own safe seed, and needs fewer trials.
`predict` names a load for which gains are only predicted, and never certified.
"""

import os

import safebo

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "24"))


def stop(kp: float, kd: float, load: float) -> dict[str, object]:
    """Stop a box of `load` kg at a line: the error, and how far its deceleration stays from tipping it."""
    wanted = 4.0 + 1.5 * load
    error = ((kp - wanted) / 8) ** 2 + ((kd - 0.4 * wanted) / 4) ** 2
    return {"objective": -error, "margins": {"tipping": 1.0 - 0.04 * kp - 0.03 * load + 0.05 * min(kd, 4.0)}}


study = safebo.Study.model_validate(
    {
        "name": "conveyor",
        "evaluator": {"name": "nobody"},
        "parameters": [
            {"name": "kp", "unit": "1/s", "bounds": [1, 30]},
            {"name": "kd", "bounds": [0, 10]},
        ],
        "context": {
            "variables": [{"name": "load", "unit": "kg", "bounds": [0, 10], "lengthscale": 1.5}],
            "values": {"light": {"load": 1}, "heavy": {"load": 5}, "middle": {"load": 3}},
            "schedule": [
                {"context": "light", "trials": TRIALS - TRIALS // 3},
                {"context": "heavy", "trials": TRIALS // 3},
            ],
            "predict": ["middle"],
        },
        "objective": {"name": "accuracy", "prior_mean": -2, "prior_std": 2.0, "noise_std": 0.02},
        "constraints": [{"name": "tipping", "prior_std": 0.6, "noise_std": 0.01}],
        "seeds": [
            {"context": "light", "parameters": {"kp": 3, "kd": 1}},
            {"context": "heavy", "parameters": {"kp": 6, "kd": 2}},
        ],
        "surrogate": {"lengthscale": 0.7, "trust": "earned"},
    }
)
tuner = safebo.Tuner(study, seed=0)
for _ in range(TRIALS):
    trial = tuner.ask()
    shown = stop(**trial.parameters, **trial.context)
    tuner.tell(trial, shown)
    accuracy, tipping = shown["objective"], shown["margins"]["tipping"]
    print(f"{trial.context_name:6s} {trial.phase:6s} accuracy {accuracy:+.3f}  tipping {tipping:+.2f}")
for name, load in {"light": 1, "heavy": 5, "middle": 3}.items():
    found = tuner.predict(name) if name == "middle" else tuner.best(name)
    how = "certified" if found.certified else "predicted"
    gains = {key: round(value, 1) for key, value in found.parameters.items()}
    print(f"{name:6s} {how}: {gains}, accuracy {stop(**found.parameters, load=load)['objective']:+.3f}")
