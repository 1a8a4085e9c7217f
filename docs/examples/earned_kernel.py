"""A kernel of one's own, and lengthscales that have to be earned: which prior certifies after each trial.

Run it: `python docs/examples/earned_kernel.py` (20 trials; SAFEBO_EXAMPLE_TRIALS=5 makes it short).

With `trust: earned` a constraint is certified with half of its lengthscale until its own measurements are 40 times
likelier under the declared one. So a lengthscale declared too long costs trials and no safety. The kernel is a sum
of two Matern-like decays, registered by name for this process.
"""

import os

import numpy as np

import safebo
from safebo.boundary.kernels import RadialKernel, register_kernel

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "20"))
register_kernel(
    RadialKernel(
        "two_scales",
        lambda r, xp: 0.5 * (1 + 1.7 * r) * xp.exp(-1.7 * r) + 0.5 * (1 + 0.6 * r) * xp.exp(-0.6 * r),
    )
)


def plant(a, b):
    """A smooth objective and a smooth margin."""
    return {
        "objective": a + 0.6 * b - 0.3 * a * b,
        "margins": {"margin": 1.0 - 0.8 * a**2 - 0.9 * b**2 + 0.1 * np.sin(3 * a)},
    }


study = safebo.Study.model_validate(
    {
        "name": "earned",
        "evaluator": {"name": "nobody"},
        "parameters": [{"name": "a", "bounds": [0, 1]}, {"name": "b", "bounds": [0, 1]}],
        "objective": {"name": "value", "noise_std": 0.01},
        "constraints": [{"name": "margin", "prior_std": 1.0, "noise_std": 0.01}],
        "seeds": [{"parameters": {"a": 0.1, "b": 0.1}}],
        "surrogate": {"kernel": "two_scales", "lengthscale": 0.8, "trust": "earned"},
    }
)
tuner = safebo.Tuner(study, seed=0)
unsafe = 0
for _ in range(TRIALS):
    trial = tuner.ask()
    shown = plant(**trial.parameters)
    unsafe += shown["margins"]["margin"] < 0
    tuner.tell(trial, shown)
    found = tuner.evidence()["margin"]
    margin, evidence = shown["margins"]["margin"], found.log_evidence
    print(
        f"{trial.id:3d} margin {margin:+.2f}, certified by the {found.prior} prior, evidence {evidence:+.1f}"
    )
best = tuner.best()
print(f"{unsafe} of {TRIALS} unsafe; certified { ({k: round(v, 2) for k, v in best.parameters.items()}) }")
