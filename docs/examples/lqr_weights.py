"""Weights of an LQR, tuned on the plant that it does not know: a cart-pole whose pole is longer than the model's.

Run it: `python docs/examples/lqr_weights.py` (20 trials; SAFEBO_EXAMPLE_TRIALS=5 makes it short).

The model says 0.5 m, the plant has 0.8 m and friction. Good is a cart that comes back soon after a push; safe are a
pole within 0.3 rad and a force within 20 N.
"""

import os

import numpy as np
from scipy.linalg import solve_continuous_are

import safebo

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "20"))
CART, POLE, GRAVITY, STEP = 1.0, 0.2, 9.81, 0.005  # kg, kg, m/s^2, s


def lqr(position, angle, effort):
    """State feedback for the linear model with a pole of 0.5 m."""
    length = 0.5
    A = np.zeros((4, 4))
    A[0, 1] = A[2, 3] = 1
    A[1, 2], A[3, 2] = -POLE * GRAVITY / CART, (CART + POLE) * GRAVITY / (CART * length)
    B = np.array([[0], [1 / CART], [0], [-1 / (CART * length)]])
    P = solve_continuous_are(A, B, np.diag([position, 0.1, angle, 0.1]), np.array([[effort]]))
    return (B.T @ P / effort)[0]


def balance(position, angle, effort):
    """5 s after a push of 0.6 m/s: objective and margins."""
    gains, state = lqr(position, angle, effort), np.array([0.0, 0.6, 0.0, 0.0])
    length, cost, largest, strongest = 0.8, 0.0, 0.0, 0.0
    for _ in range(1000):
        x, v, a, w = state
        force = float(np.clip(-gains @ state, -60, 60))
        total, s, c = CART + POLE, np.sin(a), np.cos(a)
        push = (force - 0.5 * v + POLE * length * w * w * s) / total
        turn = (GRAVITY * s - c * push) / (length * (4 / 3 - POLE * c * c / total))
        state = state + STEP * np.array([v, push - POLE * length * turn * c / total, w, turn])
        cost += STEP * min(abs(x), 5.0)
        largest, strongest = max(largest, abs(a)), max(strongest, abs(force))
        if largest > 1.0:
            return {"outcome": "aborted", "fell": True, "margins": {"angle": -0.7, "force": 20 - strongest}}
    return {"objective": -cost, "margins": {"angle": 0.3 - largest, "force": 20 - strongest}}


study = safebo.Study.model_validate(
    {
        "name": "lqr",
        "evaluator": {"name": "nobody"},
        "parameters": [
            {"name": "position", "bounds": [0.1, 300], "scale": "log"},
            {"name": "angle", "bounds": [1, 300], "scale": "log"},
            {"name": "effort", "bounds": [0.01, 10], "scale": "log"},
        ],
        "objective": {"name": "offset", "unit": "m s", "warp": {"kind": "log"}, "noise_std": 0.03},
        "constraints": [
            {"name": "angle", "unit": "rad", "warp": {"scale": 0.3}, "prior_std": 0.7, "noise_std": 0.02},
            {"name": "force", "unit": "N", "warp": {"scale": 20}, "prior_std": 0.7, "noise_std": 0.02},
        ],
        "seeds": [{"parameters": {"position": 1, "angle": 10, "effort": 1}}],
        "surrogate": {"lengthscale": 0.5, "trust": "earned"},
    }
)
tuner = safebo.Tuner(study, seed=0)
told = []
for _ in range(TRIALS):
    trial = tuner.ask()
    told.append(balance(**trial.parameters))
    tuner.tell(trial, told[-1])
best = tuner.best()
weights = {name: round(value, 2) for name, value in best.parameters.items()}
print(f"{TRIALS} pushes, {sum(min(t['margins'].values()) < 0 for t in told)} unsafe")
print(f"certified weights {weights}")
print(
    f"offset {-balance(**best.parameters)['objective']:.2f} m s, the seed's {-told[0]['objective']:.2f} m s"
)
