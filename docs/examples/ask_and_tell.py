"""Ask and tell, for those who know Ax: a problem as a dictionary, one proposal at a time, safety beside the objective.

Run it: `python docs/examples/ask_and_tell.py` (15 trials; SAFEBO_EXAMPLE_TRIALS=5 makes it short).

    Ax                                        here
    client.configure_experiment(...)          safebo.Study.model_validate({...})
    client.configure_optimization(...)        objective is maximised; constraints are margins, safe when >= 0
    client.get_next_trials(1)                 tuner.ask()
    client.complete_trial(index, data)        tuner.tell(trial, {...})
    client.mark_trial_failed(index)           tuner.tell(trial, {"outcome": "failed"})
    client.get_best_parameterization()        tuner.best()

What Ax has not: the first trial is a seed that somebody knows to be safe, and no later one is proposed that the
model does not certify.
"""

import math
import os

import safebo

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "15"))


def heater(power: float, fan: float) -> dict[str, float]:
    """Comfort, and degrees that are left to the limit of 60."""
    temperature = 20 + 55 * power - 18 * fan
    return {"comfort": math.exp(-(((temperature - 52) / 15) ** 2)) - 0.2 * fan, "headroom": 60 - temperature}


study = safebo.Study.model_validate(
    {
        "name": "heater",
        "evaluator": {"name": "nobody"},  # asked and told by hand: no evaluator is loaded
        "parameters": [{"name": "power", "bounds": [0, 1]}, {"name": "fan", "bounds": [0, 1]}],
        "objective": {"name": "comfort", "prior_std": 0.5, "noise_std": 0.01},
        "constraints": [
            {"name": "headroom", "unit": "K", "warp": {"scale": 20}, "prior_std": 1.0, "noise_std": 0.02}
        ],
        "seeds": [{"parameters": {"power": 0.2, "fan": 0.5}}],
        "surrogate": {"lengthscale": 0.6, "trust": "earned"},
    }
)
tuner = safebo.Tuner(study, seed=0)
unsafe = 0
for _ in range(TRIALS):
    trial = tuner.ask()
    shown = heater(**trial.parameters)
    unsafe += shown["headroom"] < 0
    tuner.tell(trial, {"objective": shown["comfort"], "margins": {"headroom": shown["headroom"]}})
    gains = ", ".join(f"{name} {value:.2f}" for name, value in trial.parameters.items())
    print(
        f"{trial.id:3d} {trial.phase:7s} {gains}  comfort {shown['comfort']:.3f}  headroom {shown['headroom']:+.1f} K"
    )

best = tuner.best()
assert best is not None
print(f"{unsafe} of {TRIALS} trials were unsafe")
print(f"best certified: {dict(best.parameters)}, comfort at least {best.bounds['comfort'].lower:.3f}")
