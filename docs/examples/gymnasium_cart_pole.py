"""A Gymnasium environment as the plant: two gains of `CartPole-v1`'s cart, tuned without letting the pole fall.

Run it: `pip install gymnasium`, then `python docs/examples/gymnasium_cart_pole.py` (15 trials).

The environment's push has one size; the controller's sign decides its direction. An episode is 250 steps from four
different starts. Good is a cart that stays in the middle; safe is a pole within 10 degrees (the environment ends at
12).
"""

import math
import os

import gymnasium
import numpy as np

import safebo

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "15"))
LIMIT = math.radians(10)


def episode(position, speed):
    """Mean distance from the middle and margin of the angle, the worst of four starts."""
    environment = gymnasium.make("CartPole-v1").unwrapped
    costs, margins = [], []
    for start in range(4):
        state, _ = environment.reset(seed=start)
        offsets, largest = [], 0.0
        for _ in range(250):
            x, v, a, w = state
            push = 10 * a + 3 * w + position * x + speed * v
            state, _, over, _, _ = environment.step(int(push > 0))
            offsets.append(abs(float(state[0])))
            largest = max(largest, abs(float(state[2])))
            if over:
                break
        costs.append(np.mean(offsets))
        margins.append(LIMIT - largest)
    return {"objective": -float(np.mean(costs)), "margins": {"angle": min(margins)}}


study = safebo.Study.model_validate(
    {
        "name": "gymnasium-cart-pole",
        "evaluator": {"name": "nobody"},
        "parameters": [
            {"name": "position", "bounds": [0, 2]},
            {"name": "speed", "bounds": [0, 4]},
        ],
        "objective": {"name": "offset", "unit": "m", "warp": {"kind": "log", "scale": 0.2}, "noise_std": 0.1},
        "constraints": [
            {"name": "angle", "unit": "rad", "warp": {"scale": LIMIT}, "prior_std": 1.0, "noise_std": 0.1}
        ],
        "seeds": [{"parameters": {"position": 0.2, "speed": 0.5}}],
        "surrogate": {"lengthscale": 0.4, "trust": "earned"},
    }
)
tuner = safebo.Tuner(study, seed=0)
told = []
for _ in range(TRIALS):
    trial = tuner.ask()
    told.append(episode(**trial.parameters))
    tuner.tell(trial, told[-1])
best = tuner.best()
print(f"{TRIALS} trials of four episodes, {sum(t['margins']['angle'] < 0 for t in told)} unsafe")
print(
    f"mean offset: seed {-told[0]['objective']:.3f} m, certified {-episode(**best.parameters)['objective']:.3f} m with"
)
print({name: round(value, 2) for name, value in best.parameters.items()})
