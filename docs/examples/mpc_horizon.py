"""The horizon of a cart-pole's MPC, a whole number, tuned together with one of its weights.

Run it: `python docs/examples/mpc_horizon.py` (15 trials; SAFEBO_EXAMPLE_TRIALS=5 makes it short).

A longer horizon controls better and takes longer to solve; the plant reacts by one period later for every 10 steps of
horizon. Safe is a pole within 0.35 rad. `type: integer` makes every proposal a whole number.
"""

import os

import numpy as np

import safebo

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "15"))
PERIOD, GRAVITY, LENGTH = 0.02, 9.81, 0.5  # s, m/s^2, m
A = np.eye(4) + PERIOD * np.array([[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, GRAVITY / LENGTH, 0]])
B = PERIOD * np.array([[0], [1.0], [0], [-1.0 / LENGTH]])


def first_move(horizon, weight):
    """Feedback of the finite-horizon problem's first move, by its Riccati recursion."""
    Q = np.diag([weight, 0.1, 10.0, 0.1])
    P = Q
    for _ in range(horizon):
        K = np.linalg.solve(np.array([[0.01]]) + B.T @ P @ B, B.T @ P @ A)
        P = Q + A.T @ P @ (A - B @ K)
    return K[0]


def balance(horizon, weight):
    """4 s from 0.1 rad, the cart accelerated by the controller, late by the time that solving takes."""
    gains, state = first_move(horizon, weight), np.array([0.3, 0.0, 0.1, 0.0])
    late, cost, largest = [0.0] * (horizon // 10), 0.0, 0.0
    for _ in range(200):
        late.append(float(np.clip(-gains @ state, -20, 20)))
        push = late.pop(0)
        x, v, a, w = state
        turn = (GRAVITY * np.sin(a) - push * np.cos(a)) / LENGTH
        state = state + PERIOD * np.array([v, push, w, turn])
        cost += PERIOD * (x * x + 0.01 * push * push)
        largest = max(largest, abs(state[2]))
        if largest > 0.8:
            return {"outcome": "aborted", "fell": True, "margins": {"angle": -0.45}}
    return {"objective": -cost, "margins": {"angle": 0.35 - largest}}


study = safebo.Study.model_validate(
    {
        "name": "mpc-horizon",
        "evaluator": {"name": "nobody"},
        "parameters": [
            {"name": "horizon", "type": "integer", "bounds": [15, 60]},
            {"name": "weight", "bounds": [0.1, 100], "scale": "log"},
        ],
        "objective": {"name": "cost", "warp": {"kind": "log", "scale": 0.3}, "noise_std": 0.05},
        "constraints": [
            {"name": "angle", "unit": "rad", "warp": {"scale": 0.35}, "prior_std": 0.7, "noise_std": 0.02}
        ],
        "seeds": [{"parameters": {"horizon": 40, "weight": 0.5}}],
        "surrogate": {"lengthscale": 0.5, "trust": "earned"},
    }
)
tuner = safebo.Tuner(study, seed=0)
told = []
for _ in range(TRIALS):
    trial = tuner.ask()
    told.append(balance(**trial.parameters))
    tuner.tell(trial, told[-1])
    horizon, weight = trial.parameters["horizon"], trial.parameters["weight"]
    print(f"horizon {horizon:2d}, weight {weight:6.2f}: {told[-1].get('objective', 'fell')}")
best = tuner.best()
assert isinstance(best.parameters["horizon"], int)
unsafe = sum(t["margins"]["angle"] < 0 for t in told)
print(f"{unsafe} of {TRIALS} unsafe; seed's cost {-told[0]['objective']:.3f}")
print(f"certified: {dict(best.parameters)}, cost {-balance(**best.parameters).get('objective', np.nan):.3f}")
