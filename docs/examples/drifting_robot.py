"""A robot that changes while it is tuned: certificates that expire, and the seed again after a break.

Run it: `python docs/examples/drifting_robot.py` (18 trials; SAFEBO_EXAMPLE_TRIALS=6 makes it short).

A motor weakens by 2 % an hour. `surrogate.time` says after how long what was measured is worth 1/e; every ask is told
the robot's operating time.
"""

import os

import safebo

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "18"))


def lift(gain: float, seconds: float) -> dict[str, object]:
    """Height and what is left of the current's limit, with a motor that has run for so long."""
    strength = 1 - 0.02 * seconds / 3600
    return {"objective": strength * gain * (2 - gain), "margins": {"current": 1.0 - 0.8 * gain**2 / strength}}


study = safebo.Study.model_validate(
    {
        "name": "weakening-motor",
        "evaluator": {"name": "nobody"},
        "parameters": [{"name": "gain", "bounds": [0, 1.5]}],
        "objective": {"name": "height", "prior_std": 1.0, "noise_std": 0.01},
        "constraints": [{"name": "current", "prior_std": 1.0, "noise_std": 0.01}],
        "seeds": [{"parameters": {"gain": 0.3}}],
        "surrogate": {"lengthscale": 0.5, "trust": "earned", "time": {"memory": "20 h", "lead": 30}},
    }
)
tuner, seconds, unsafe = safebo.Tuner(study, seed=0), 0.0, 0
for number in range(TRIALS):
    if number == TRIALS // 2:
        seconds += 3 * 3600
        print("a break of three hours")
    trial = tuner.ask(operating_time=seconds)
    shown = lift(trial.parameters["gain"], seconds)
    unsafe += shown["margins"]["current"] < 0
    tuner.tell(trial, {**shown, "operating_time": seconds})
    until = "" if trial.certified_until is None else f", certified until {trial.certified_until / 60:.0f} min"
    gain, height = trial.parameters["gain"], shown["objective"]
    print(f"{seconds / 60:4.0f} min {trial.phase:6s} gain {gain:.2f} height {height:.3f}{until}")
    seconds += 120.0
best = tuner.best(operating_time=seconds)
print(
    f"{unsafe} of {TRIALS} unsafe; now certified: gain {best.parameters['gain']:.2f}, until {best.until / 60:.0f} min"
)
