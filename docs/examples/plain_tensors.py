"""Without a study: acquisition functions over plain arrays and gpytorch kernels, side by side.

Run it: `python docs/examples/plain_tensors.py` (30 trials a rule; SAFEBO_EXAMPLE_TRIALS=5 makes it short).
"""

import os

import numpy as np
from gpytorch.kernels import RBFKernel, ScaleKernel

from safebo.acquisition import GridTuner

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "30"))
GRID = np.stack(np.meshgrid(*[np.linspace(0, 1, 40)] * 2), -1).reshape(-1, 2)


def functions(x):
    """Objective and constraint, `n x 2`; safe where the constraint is at least 0."""
    value = np.exp(-((x[:, 0] - 0.8) ** 2 + (x[:, 1] - 0.7) ** 2) / 0.15)
    return np.stack([value, 0.9 - (x[:, 0] - 0.3) ** 2 * 2.2 - (x[:, 1] - 0.3) ** 2 * 2.2], -1)


truth = functions(GRID)
best_safe = truth[truth[:, 1] >= 0, 0].max()
print(f"rule        unsafe  regret of the best certified point after {TRIALS} trials")
for rule in ("safe_ucb", "itl", "vtl", "ise", "safeopt"):
    rng = np.random.default_rng(0)
    kernels = []
    for scale in (0.5, 1.0):  # hyperparameters stay as they are
        kernel = ScaleKernel(RBFKernel())
        kernel.base_kernel.lengthscale, kernel.outputscale = 0.3, scale**2
        kernels.append(kernel)
    tuner = GridTuner(
        rule, kernels, noise_variances=[1e-4, 1e-4], grid=GRID, thresholds=[-np.inf, 0.0], beta=3.0
    )
    x, unsafe = np.array([0.3, 0.3]), 0  # the safe seed
    for _ in range(TRIALS):
        shown = functions(x[None])[0]
        unsafe += shown[1] < 0
        tuner.tell(x, shown + 0.01 * rng.standard_normal(2))
        x = np.asarray(tuner.ask().x)
    print(f"{rule:11s} {unsafe:6d}  {best_safe - functions(np.asarray(tuner.best().x)[None])[0, 0]:.3f}")
