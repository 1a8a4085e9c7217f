"""An Optuna study whose trials are certified: the sampler is safebo's, everything else Optuna's.

Run it: `pip install 'safebo[optuna]'`, then `python docs/examples/optuna_sampler.py` (15 trials).

The same problem is given to Optuna's own TPE, which learns what is infeasible by trying it.
"""

import os
import warnings

import optuna
from optuna.distributions import FloatDistribution

from safebo.integrations.optuna import Prior, SafeSampler

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "15"))
warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
optuna.logging.set_verbosity(optuna.logging.ERROR)


def settling(trial):
    """Seconds until a servo has settled; its overshoot is kept beside it."""
    kp, kd = trial.suggest_float("kp", 1, 100, log=True), trial.suggest_float("kd", 0, 2)
    trial.set_user_attr("overshoot", 0.02 * kp**0.5 - 0.15 * kd + 0.1 * kd**2)
    return 1 / kp + 0.1 * kd


def too_much(trial):
    """Feasible when <= 0: overshoot over 0.1 breaks the gearbox."""
    return [trial.user_attrs["overshoot"] - 0.1]


def tried(sampler):
    """Best feasible value, and how many trials were infeasible."""
    study = optuna.create_study(sampler=sampler)
    study.optimize(settling, n_trials=TRIALS)
    feasible = [t.value for t in study.trials if too_much(t)[0] <= 0]
    return min(feasible), TRIALS - len(feasible)


safe = SafeSampler(
    {"kp": FloatDistribution(1, 100, log=True), "kd": FloatDistribution(0, 2)},
    constraints_func=too_much,
    safe_seeds=[{"kp": 4.0, "kd": 0.5}],
    objective=Prior(std=0.3, noise_std=0.01, mean=0.3),
    constraints={"overshoot": Prior(std=0.1, noise_std=0.005, mean=0.05)},
)
for name, sampler in {
    "SafeSampler": safe,
    "TPE": optuna.samplers.TPESampler(seed=0, constraints_func=too_much),
}.items():
    value, broken = tried(sampler)
    print(f"{name:12s} best {value:.3f} s, {broken} of {TRIALS} trials broke the gearbox")
