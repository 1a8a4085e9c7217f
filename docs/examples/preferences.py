"""What looks better has no sensor: a chair's damping tuned by a person's answers, never softer than it may be.

Run it: `python docs/examples/preferences.py` (a simulated person answers), or with `--ask` to answer yourself.
"""

import os
import sys

import safebo

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "12"))

STUDY = {
    "name": "rocking-chair",
    "evaluator": {"name": "by-hand"},  # nothing runs here but what this file calls
    "parameters": [
        {"name": "stiffness", "unit": "N/mm", "bounds": [2, 20], "scale": "log"},
        {"name": "damping", "unit": "N s/mm", "bounds": [0.1, 2], "scale": "log"},
    ],
    "objective": {"name": "comfort", "kind": "preference", "noise_std": 0.1},
    "constraints": [
        {"name": "travel", "unit": "mm", "warp": {"scale": 20}, "prior_std": 1, "noise_std": 0.02}
    ],
    "seeds": [{"parameters": {"stiffness": 12, "damping": 1}}],
    "tuner": {"beta": 3},
}


def measured_travel(gains: dict) -> float:
    """Millimetres left before the chair reaches its stop: what is safe is measured."""
    return 60 - 180 / gains["stiffness"] - 8 / gains["damping"]


def comfort(gains: dict) -> float:
    """What the simulated person feels, and nobody measures."""
    return -(((gains["stiffness"] - 6) / 6) ** 2) - (gains["damping"] - 0.5) ** 2


def answer(left: dict, right: dict) -> str:
    """`left`, `right`, `same` or `unacceptable`."""
    if "--ask" in sys.argv:
        return input(f"left {left}, right {right}: which is better? ")
    difference = comfort(left) - comfort(right)
    return "same" if abs(difference) < 0.02 else "left" if difference > 0 else "right"


tuner = safebo.Tuner(safebo.Study.model_validate(STUDY), seed=1)
tried = {}
for _ in range(TRIALS):
    trial = tuner.ask()
    tried[trial.id] = trial.parameters
    tuner.tell(trial, {"margins": {"travel": measured_travel(trial.parameters)}})
    while (question := tuner.question()) is not None:
        said = answer(tried[question.left], tried[question.right])
        tuner.tell_preference(question, said)
        again = "" if question.repeats is None else f" (as question {question.repeats})"
        print(f"question {question.number}{again}: trial {question.left} or {question.right}? {said}")
best, seed = tuner.best(), STUDY["seeds"][0]["parameters"]
assert best is not None
print(f"comfortable and certified: { ({n: round(v, 2) for n, v in best.parameters.items()}) }")
print(f"comfort {comfort(best.parameters):.2f}, of the seed {comfort(seed):.2f}")
print(f"travel left at least {min(measured_travel(gains) for gains in tried.values()):.1f} mm in every trial")
print(f"lambda, how far one judgement varies: {tuner.consistency().value:.2g}")
