"""Several robots at once: trials that are still running are pending, and the next proposal keeps away from them.

Run it: `python docs/examples/several_at_once.py` (18 trials; SAFEBO_EXAMPLE_TRIALS=6 makes it short).

Ask as often as there are robots, tell in any order. A pending trial narrows what is still unknown and invents no
value: certificates rest on measurements alone. A robot that broke down tells `outcome: failed`, which teaches
nothing.
"""

import os
import random

import safebo

TRIALS, ROBOTS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "18")), 3


def walk(step: float, lift: float) -> dict[str, object]:
    """Speed and clearance of a hopping robot."""
    return {
        "objective": step * (1.4 - step) + 0.2 * lift,
        "margins": {"clearance": 0.12 + 0.5 * lift - 0.45 * step * step},
    }


study = safebo.Study.model_validate(
    {
        "name": "three-robots",
        "evaluator": {"name": "nobody"},
        "parameters": [{"name": "step", "bounds": [0, 1]}, {"name": "lift", "bounds": [0, 0.5]}],
        "objective": {"name": "speed", "prior_std": 0.5, "noise_std": 0.01},
        "constraints": [{"name": "clearance", "prior_std": 0.4, "noise_std": 0.01}],
        "seeds": [{"parameters": {"step": 0.1, "lift": 0.1}}],
        "surrogate": {"lengthscale": 0.7, "trust": "earned"},
    }
)
tuner, chance, running, unsafe = safebo.Tuner(study, seed=0), random.Random(0), [], 0
first = tuner.ask()  # the seed, alone: nothing is certified before it is measured
tuner.tell(first, walk(**first.parameters))
asked = told = 1
while told < TRIALS:
    while len(running) < ROBOTS and asked < TRIALS:
        running.append(tuner.ask())
        asked += 1
    trial = running.pop(chance.randrange(len(running)))  # whoever is ready first
    shown = walk(**trial.parameters)
    broke_down = told == TRIALS // 2
    tuner.tell(trial, {"outcome": "failed", "message": "battery empty"} if broke_down else shown)
    told += 1
    unsafe += shown["margins"]["clearance"] < 0
    others = ", ".join(str(other.id) for other in running) or "none"
    speed, clearance = shown["objective"], shown["margins"]["clearance"]
    said = "failed" if broke_down else f"speed {speed:.3f}, clearance {clearance:+.3f}"
    print(f"told {trial.id:2d}: {said}; running: {others}")
best = tuner.best()
gains = {name: round(value, 2) for name, value in best.parameters.items()}
print(f"{unsafe} of {TRIALS} unsafe; certified {gains}, speed {walk(**best.parameters)['objective']:.3f}")
