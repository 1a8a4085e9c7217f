"""A trial that ends early: a press stops itself when its force leaves the limit, and says so.

Run it: `python docs/examples/early_end.py` (15 trials; SAFEBO_EXAMPLE_TRIALS=5 makes it short).

Margins are minima over a trial, so a margin below zero is known before the trial is over and nothing is gained by
going on. `outcome: aborted` says that it ended there: its margins are learned, an objective that it no longer has
is left out. The method here is `gp_ucb`, which certifies nothing and so meets the limit; with the default no trial
would end early.
"""

import os

import safebo

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "15"))
LIMIT = 900.0  # N


def press(speed: float, hold: float) -> dict[str, object]:
    """1 s in steps of 1 ms: the force rises by speed and creeps while held."""
    force = largest = 0.0
    for tick in range(1000):
        goal = 400 + 300 * hold + 250 * speed
        force += (goal - force) * 0.002 * (1 + 4 * speed)
        largest = max(largest, force)
        if largest > LIMIT:
            left = LIMIT - largest
            return {
                "outcome": "aborted",
                "margins": {"force": left - 50.0 * speed},  # what the press still travels while it stops
                "message": f"stopped after {tick} ms",
                "duration": tick / 1000,
            }
    return {"objective": force / 100, "margins": {"force": LIMIT - largest}, "duration": 1.0}


def study(method: str) -> safebo.Study:
    """The same problem for one method."""
    return safebo.Study.model_validate(
        {
            "name": "press",
            "evaluator": {"name": "nobody"},
            "parameters": [{"name": "speed", "bounds": [0, 1]}, {"name": "hold", "bounds": [0, 1]}],
            "objective": {"name": "work", "prior_mean": 6, "prior_std": 2, "noise_std": 0.02},
            "constraints": [{"name": "force", "unit": "N", "warp": {"scale": 300}, "noise_std": 0.02}],
            "seeds": [{"parameters": {"speed": 0.2, "hold": 0.2}}],
            "surrogate": {"lengthscale": 0.7},
            "tuner": {"method": method},
        }
    )


for method in ("gp_ucb", "safe_ucb"):
    tuner, ended, seconds = safebo.Tuner(study(method), seed=0), 0, 0.0
    for _ in range(TRIALS):
        trial = tuner.ask()
        shown = press(**trial.parameters)
        tuner.tell(trial, shown)
        seconds += shown["duration"]
        if shown.get("outcome") == "aborted":
            ended += 1
            print(f"{method}: trial {trial.id} {shown['message']}")
    work = tuner.best().bounds["work"].mean
    print(
        f"{method}: {ended} of {TRIALS} trials ended early, {seconds:.1f} s pressed; certified work {work:.2f}"
    )
