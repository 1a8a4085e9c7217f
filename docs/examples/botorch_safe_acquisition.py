# %% [markdown]
# # Safe acquisition functions for BoTorch users
#
# You have a BoTorch model of an objective and of a margin that must stay at or above zero, and every evaluation
# may break something. This notebook shows safebo's acquisition functions on such a model: no study file, no
# tuner, only tensors, `optimize_acqf` and `optimize_acqf_discrete`. Every trial it makes lies where the model
# certifies the margin.
#
# Run it cell by cell, or as a script: `python docs/examples/botorch_safe_acquisition.py`. It saves one figure,
# `safe_acquisition.png`, in the current folder.
#
# Three conventions. The objective is maximised. A margin is safe when it is at least 0. `beta` multiplies the
# standard deviation: the certified set is where `mean - beta * std >= 0`.

# %%
import os

import matplotlib
import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import ModelListGP, SingleTaskGP
from botorch.optim import optimize_acqf, optimize_acqf_discrete
from gpytorch.kernels import RBFKernel, ScaleKernel
from gpytorch.means import ZeroMean
from gpytorch.mlls import ExactMarginalLogLikelihood

from safebo.acquisition import GridSafeOpt
from safebo.acquisition.information import ISE, ISEBO, MES, sample_optima
from safebo.acquisition.transductive import ITL, select_batch
from safebo.acquisition.transductive.targets import (
    TargetBounds,
    potential_maximizers,
    region,
    target_bounds,
    targets_of,
)

matplotlib.use("Agg")  # no window; leave this line out in a notebook
import matplotlib.pyplot as plt

DTYPE = torch.float64
TRIALS = int(os.environ.get("SAFEBO_EXAMPLE_TRIALS", "25"))
BETA = 3.0
NOISE = 0.02  # standard deviation of the measurements

# %% [markdown]
# ## A task
#
# Two gains in the unit square. The reward grows towards the right; the margin falls below zero outside a bent valley,
# and the best safe point lies on its border. One trial at the lower left is known to be safe.


# %%
def true_values(X: torch.Tensor) -> torch.Tensor:
    """Reward and margin at X (`n x 2`), `n x 2`."""
    reward = 1.0 - 1.6 * ((X - torch.tensor([0.9, 0.5], dtype=DTYPE)) ** 2).sum(-1)
    bend = X[..., 1] - 0.25 - 0.7 * X[..., 0] ** 2
    margin = 0.45 - 5.0 * bend**2 - 1.2 * (X[..., 0] - 0.35) ** 2
    return torch.stack([reward, margin], -1)


def measure(X: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """What a trial shows: the values with noise."""
    return true_values(X) + NOISE * torch.randn(len(X), 2, dtype=DTYPE, generator=generator)


def square_grid(side: int) -> torch.Tensor:
    """A grid over the unit square, `side^2 x 2`."""
    axis = torch.linspace(0, 1, side, dtype=DTYPE)
    return torch.cartesian_prod(axis, axis)


SEED = torch.tensor([[0.2, 0.25]], dtype=DTYPE)
GRID = square_grid(41)
COARSE = square_grid(15)
BOUNDS = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=DTYPE)
truth = true_values(GRID)
best_safe = float(truth[truth[:, 1] >= 0, 0].max())
print(
    f"safe share of the square {float((truth[:, 1] >= 0).double().mean()):.2f}, best safe reward {best_safe:.3f}"
)

# %% [markdown]
# ## The model: fit what may be wrong without harm, declare what safety rests on
#
# A maximum-likelihood fit to five trials in one corner may find a lengthscale far too long, and a margin that
# looks flat certifies everything. So the margin's kernel is declared, from what is known of the robot or from
# simulation, and only the reward's is fitted. The reward decides what is tried first, never what is safe.


# %%
def declared(X: torch.Tensor, y: torch.Tensor, lengthscale: float, scale: float) -> SingleTaskGP:
    """A GP with zero mean and fixed kernel and noise."""
    noise = torch.full_like(y, NOISE**2)
    model = SingleTaskGP(
        X, y, noise, covar_module=ScaleKernel(RBFKernel()), mean_module=ZeroMean(), outcome_transform=None
    )
    model.covar_module.base_kernel.lengthscale = torch.tensor(lengthscale, dtype=DTYPE)
    model.covar_module.outputscale = torch.tensor(scale**2, dtype=DTYPE)
    return model.eval()


def fit(X: torch.Tensor, Y: torch.Tensor, fitted: bool = True) -> ModelListGP:
    """The reward's GP with its fitted kernel, and the margin's with the declared one."""
    reward = declared(X, Y[:, :1], 0.4, 0.7)
    if fitted:
        reward = SingleTaskGP(X, Y[:, :1], torch.full_like(Y[:, :1], NOISE**2))
        fit_gpytorch_mll(ExactMarginalLogLikelihood(reward.likelihood, reward))
    return ModelListGP(reward, declared(X, Y[:, 1:], 0.3, 0.6)).eval()


# %% [markdown]
# ## The certified set, and a first acquisition: ITL
#
# `target_bounds` holds the marginals of a model over given points: which are certified (`safe`), which could
# still turn out safe. `potential_maximizers` are the points that could be the best safe one. ITL scores a
# candidate by what an observation there tells about all of them together (Hübotter et al., NeurIPS 2024): it
# learns beyond the border of the certified set without stepping over it.
#
# The noise is read from the model's likelihood. With fixed noise, as here, give it: `noise=NOISE**2`.

# %%
generator = torch.Generator().manual_seed(0)
X = SEED + 0.05 * (torch.rand(5, 2, dtype=DTYPE, generator=generator) - 0.5)
Y = measure(X, generator)
model = fit(X, Y)
at = target_bounds(model, GRID, BETA, constraints=(1,))
targets = targets_of(potential_maximizers, target_bounds(model, COARSE, BETA, constraints=(1,)))
itl = ITL(model, targets, noise=NOISE**2)
certified = GRID[at.safe]
x, value = optimize_acqf_discrete(itl, q=1, choices=certified)
print(f"certified {len(certified)} of {len(GRID)} points; {len(targets)} targets")
print(f"ITL tries {x[0].tolist()}: {float(value):.2f} nats about the targets")

# %% [markdown]
# ## In the continuous box
#
# `optimize_acqf` takes the certificate as a nonlinear constraint and starts from certified points, which are
# there for the asking. An optimizer may leave a constraint by its tolerance, so it is given a reserve, and the
# result is checked.


# %%
RESERVE = 1e-3


def slack(model: ModelListGP, X: torch.Tensor) -> torch.Tensor:
    """Lower bound of the margin: certified where it is at least 0."""
    posterior = model.models[1].posterior(X.unsqueeze(-2))
    return (posterior.mean - BETA * posterior.variance.sqrt()).reshape(X.shape[:-1])


score = itl(certified.unsqueeze(1)).detach()
starts = certified[score.topk(4).indices].unsqueeze(1)
x, value = optimize_acqf(
    itl,
    BOUNDS,
    q=1,
    num_restarts=len(starts),
    nonlinear_inequality_constraints=[(lambda x: slack(model, x.unsqueeze(0))[0] - RESERVE, True)],
    batch_initial_conditions=starts,
    options={"maxiter": 40},
)
held = bool(slack(model, x) >= 0)
assert held
print(f"continuous: {[round(v, 3) for v in x[0].tolist()]}, {float(value):.2f} nats, certified: {held}")

# %% [markdown]
# ## Several at once
#
# A point that is being tried is pending: it shrinks variances and invents no value. BoTorch sets it between
# the points of a sequence, and certification still rests on measurements alone.

# %%
batch, _ = optimize_acqf_discrete(itl, q=3, choices=certified)
print("three robots try", [[round(v, 3) for v in row] for row in batch.tolist()])

# %% [markdown]
# ## A whole run, with three rules
#
# - **ITL**, as above.
# - **ISE-BO** (Bottero et al.): the larger of what is learned about the margin's sign and about the maximum.
# - **SafeOpt** on the grid: `GridSafeOpt` takes gpytorch kernels and plain tensors and keeps its own posterior,
#   so the same declared kernels are used for both functions.
#
# All three try certified points alone.


# %%
def itl_rule(model: ModelListGP, at: TargetBounds, generator: torch.Generator) -> ITL:
    """Information about the potential maximizers."""
    targets = targets_of(potential_maximizers, target_bounds(model, COARSE, BETA, constraints=(1,)))
    return ITL(model, targets, noise=NOISE**2)


def ise_bo_rule(model: ModelListGP, at: TargetBounds, generator: torch.Generator) -> ISEBO:
    """The larger of what is learned about the margin's sign and about the maximum."""
    optima = sample_optima(model, COARSE, generator=generator, jitter=1e-6)
    return ISEBO(ISE(model, COARSE, [1], noise=NOISE**2), MES(model, optima))


def run(rule, seed: int) -> tuple[torch.Tensor, ModelListGP]:
    """Trials of one rule (`n x 2`) and the last model; every trial is a certified point of the grid."""
    generator = torch.Generator().manual_seed(seed)
    X = SEED.clone()
    Y = measure(X, generator)
    for _ in range(TRIALS - 1):
        model = fit(X, Y, fitted=False)
        at = target_bounds(model, GRID, BETA, constraints=(1,))
        x, _ = optimize_acqf_discrete(rule(model, at, generator), q=1, choices=GRID[at.safe])
        X, Y = torch.cat([X, x]), torch.cat([Y, measure(x, generator)])
    return X, fit(X, Y, fitted=False)


def run_safeopt(seed: int) -> tuple[torch.Tensor, ModelListGP]:
    """The same with SafeOpt."""
    generator = torch.Generator().manual_seed(seed)
    X = SEED.clone()
    Y = measure(X, generator)
    prior = fit(X, Y, fitted=False)
    kernels = [gp.covar_module for gp in prior.models]
    tuner = GridSafeOpt(kernels, [NOISE**2] * 2, GRID, thresholds=[-torch.inf, 0.0], beta=BETA)
    tuner.tell(X[0], Y[0])
    for _ in range(TRIALS - 1):
        x = tuner.ask().x.unsqueeze(0)
        y = measure(x, generator)
        tuner.tell(x[0], y[0])
        X, Y = torch.cat([X, x]), torch.cat([Y, y])
    return X, fit(X, Y, fitted=False)


def recommended(model: ModelListGP) -> torch.Tensor:
    """The certified point of the grid with the largest lower bound of the reward, `2`."""
    at = target_bounds(model, GRID, BETA, constraints=(1,))
    return at.points[torch.where(at.safe, at.lower(), -torch.inf).argmax()]


runs = {"ITL": run(itl_rule, 0), "ISE-BO": run(ise_bo_rule, 0), "SafeOpt": run_safeopt(0)}
results = {}
print(f"{'rule':8} violations  regret of the recommended point after {TRIALS} trials")
for name, (tried, last) in runs.items():
    violations = int((true_values(tried)[:, 1] < 0).sum())
    regret = best_safe - float(true_values(recommended(last).unsqueeze(0))[0, 0])
    results[name] = (violations, regret)
    print(f"{name:8} {violations:10d}  {regret:.3f}")

# %% [markdown]
# ## The picture
#
# Grey: truly unsafe. Blue: contours of the reward. Green: border of what the model certifies after the run. Points:
# trials, later ones darker. Star: the recommended point.

# %%
figure, axes = plt.subplots(1, 3, figsize=(11, 3.9), sharey=True, layout="constrained")
side = int(len(GRID) ** 0.5)
square = GRID.reshape(side, side, 2)
for ax, (name, (tried, last)) in zip(axes, runs.items(), strict=True):
    margin = truth[:, 1].reshape(side, side)
    ax.contourf(square[..., 0], square[..., 1], margin, levels=[-10, 0], colors=["0.82"])
    ax.contour(
        square[..., 0], square[..., 1], truth[:, 0].reshape(side, side), 8, cmap="Blues", linewidths=0.8
    )
    lower = slack(last, GRID).detach().reshape(side, side)
    ax.contour(square[..., 0], square[..., 1], lower, levels=[0], colors=["tab:green"], linewidths=2)
    ax.scatter(
        *tried.T, c=range(len(tried)), cmap="Reds", edgecolors="k", linewidths=0.5, s=28, zorder=3, vmin=-8
    )
    ax.plot(*recommended(last), "*", color="gold", markeredgecolor="k", markersize=15, zorder=4)
    ax.set(title=f"{name}: {results[name][0]} violations, regret {results[name][1]:.3f}", xlabel="gain 1")
axes[0].set_ylabel("gain 2")
figure.savefig("safe_acquisition.png", dpi=110)

# %% [markdown]
# ## Outside safe optimization: choose a few points that teach most about others
#
# A pool of possible experiments, a region that matters, a budget of eight. `select_batch` chooses greedily, each
# given that those before it are being observed, and builds no matrix over the pool. Here the pool ends
# where the region begins; what counts is how little uncertainty is left in the region.

# %%
pool = GRID[(GRID < 0.7).all(-1)]
wanted = target_bounds(model, COARSE, BETA, constraints=(1,))
corner = region(torch.tensor([0.5, 0.5], dtype=DTYPE), torch.tensor([0.9, 0.9], dtype=DTYPE))
about = targets_of(corner, wanted)
start = fit(X, Y, fitted=False)


def left_over(chosen: torch.Tensor) -> float:
    """Mean posterior standard deviation of the margin in the region once the chosen points are observed."""
    gp = declared(torch.cat([X, chosen]), torch.zeros(len(X) + len(chosen), 1, dtype=DTYPE), 0.3, 0.6)
    return gp.posterior(about).variance.sqrt().mean().item()


at_random = left_over(pool[torch.randperm(len(pool), generator=generator)[:8]])
remaining = {"nothing more": left_over(pool[:0]), "8 at random": at_random}
for rule in ("undirected", "itl", "vtl"):
    chosen = pool[select_batch(start, pool, about, q=8, rule=rule, noise=NOISE**2, jitter=1e-8).indices]
    remaining[f"8 by {rule}"] = left_over(chosen)
for name, deviation in remaining.items():
    print(f"{name:16} mean deviation left in the region {deviation:.3f}")
