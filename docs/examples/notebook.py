# %% [markdown]
# # A safe set, as it grows
#
# A notebook in jupytext's percent format: `jupytext --to ipynb notebook.py` makes an .ipynb of it, editors run it
# cell by cell, and `python docs/examples/notebook.py` runs it from top to bottom. It saves `safe_set.png`.

# %%
import os

import matplotlib
import numpy as np

import safebo

matplotlib.use("Agg")  # leave this line out in a notebook
import matplotlib.pyplot as plt

TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "18"))

# %% [markdown]
# One gain; the objective rises towards the right, where the margin falls below zero.


# %%
def truth(x):
    """Objective and margin at a gain between 0 and 1."""
    return np.sin(3 * x) - 0.4 * (x - 0.2) ** 2, 0.8 - 1.3 * x**2 + 0.15 * np.cos(9 * x)


study = safebo.Study.model_validate(
    {
        "name": "one-gain",
        "evaluator": {"name": "nobody"},
        "parameters": [{"name": "gain", "bounds": [0, 1]}],
        "objective": {"name": "value", "prior_std": 1.0, "noise_std": 0.02},
        "constraints": [{"name": "margin", "prior_std": 1.0, "noise_std": 0.02}],
        "seeds": [{"parameters": {"gain": 0.1}}],
        "surrogate": {"lengthscale": 0.3, "trust": "earned"},
        "tuner": {"method": "safeopt"},
    }
)

# %% [markdown]
# Ask, measure, tell; three pictures on the way. Green is what is certified at that moment.

# %%
tuner, rng = safebo.Tuner(study, seed=0), np.random.default_rng(0)
line = np.linspace(0, 1, 200)
shown_after = sorted({2, TRIALS // 2, TRIALS})
figure, axes = plt.subplots(1, len(shown_after), figsize=(11, 3.4), sharey=True, layout="constrained")
tried = []
for number in range(1, TRIALS + 1):
    trial = tuner.ask()
    value, margin = np.array(truth(trial.parameters["gain"])) + 0.02 * rng.standard_normal(2)
    tuner.tell(trial, {"objective": value, "margins": {"margin": margin}})
    tried.append((trial.parameters["gain"], margin))
    if number in shown_after:
        ax = axes[shown_after.index(number)]
        lower, mean, upper = tuner.bounds(line[:, None], "default")[:, 1].T
        ax.fill_between(line, lower, upper, color="0.85")
        ax.fill_between(line, -1, 1.5, where=lower >= 0, color="tab:green", alpha=0.2)
        ax.plot(line, truth(line)[1], "k--", line, mean, "tab:blue")
        ax.plot(*zip(*tried, strict=True), "k.")
        ax.set(title=f"{number} trials", xlabel="gain", ylim=(-1, 1.5))
axes[0].set_ylabel("margin")
figure.savefig("safe_set.png", dpi=110)

# %%
best = tuner.best()
unsafe = sum(truth(gain)[1] < 0 for gain, _ in tried)
print(f"{unsafe} of {TRIALS} trials were unsafe; certified up to a gain of {line[lower >= 0].max():.2f}")
print(
    f"recommended gain {best.parameters['gain']:.3f}, value at least {best.bounds['value'].lower:.2f}; safe_set.png"
)
