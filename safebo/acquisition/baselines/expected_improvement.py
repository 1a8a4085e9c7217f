"""Expected improvement, without constraints and weighted by the probability of feasibility. Baselines.

The incumbent is the largest posterior mean of the objective at parameters that were tried in the context, not
the largest measured value: of noisy measurements the largest is mostly a lucky one, and an incumbent that no
parameters reach again ends exploration where it should begin.

Both take logarithms, which change no order: values and gradients stay finite where an improvement is all but
impossible (Ament et al., NeurIPS 2023; BoTorch's implementation over our posterior). Pending trials count as
observed at their posterior means: variances shrink, means and the incumbent stay.
"""

from __future__ import annotations

import torch
from botorch.acquisition.analytic import (
    LogConstrainedExpectedImprovement,
    LogExpectedImprovement,
    LogProbabilityOfFeasibility,
)
from torch import Tensor

from safebo.acquisition.base import AcquisitionContext
from safebo.acquisition.baselines.baseline import Baseline
from safebo.acquisition.registry import register
from safebo.models.botorch_model import SurrogateModel


@register("ei")
class ExpectedImprovement(Baseline):
    """`log E[max(f(x) - f_best, 0)] = log(s (phi(u) + u Phi(u)))`, `u = (m(x) - f_best) / s`, to be maximised.

    m and s are the objective's posterior mean and standard deviation, `f_best` the largest m among the
    parameters tried in the context (the prior mean before the first). Constraints are not looked at; a trial
    without an objective (a fall) counts as the worst objective seen.

    Source: Jones, Schonlau, Welch, Journal of Global Optimization 1998. Guarantee: none about safety.

    Args:
        ctx: what to look at; `told` gives the tried parameters.
    """

    falls_are_worst = True

    def __init__(self, ctx: AcquisitionContext) -> None:
        super().__init__(ctx)
        model = SurrogateModel(ctx.fantasized, ctx.context).subset_output([0])
        tried = ctx.told.points
        if len(tried):
            with torch.no_grad():
                incumbent = model.posterior(tried.unsqueeze(-2)).mean.max()
        else:
            incumbent = torch.tensor(ctx.fantasized.posteriors[0].prior_mean, dtype=torch.float64)
        self.rule = LogExpectedImprovement(model, best_f=incumbent)


@register("constrained_ei")
class ConstrainedExpectedImprovement(Baseline):
    """`log E[max(f(x) - f_best, 0)] + sum_i log Phi((m_i(x) - h_i) / s_i)`, to be maximised.

    The second term is the logarithm of the probability that every constraint i, with posterior mean m_i and
    standard deviation s_i, is at least its threshold h_i (where its margin is 0); functions are independent.
    `f_best` is the largest posterior mean of the objective among the parameters tried in the context whose
    objective was measured and whose constraints' posterior means reach their thresholds. While there are none,
    the probability of feasibility alone is maximised.

    Source: Schonlau, Welch, Jones 1998; Gardner et al., ICML 2014. Guarantee: none about safety; the
    probability is a factor, not a bound.

    Args:
        ctx: what to look at; `told` gives the tried parameters.
    """

    def __init__(self, ctx: AcquisitionContext) -> None:
        super().__init__(ctx)
        model = SurrogateModel(ctx.fantasized, ctx.context)
        # As 0-dim tensors: BoTorch would round Python floats to single precision.
        bounds = {i: (h, None) for i, h in zip(ctx.constrained, ctx.thresholds, strict=True)}
        incumbent = feasible_incumbent(model, ctx)
        self.rule = (
            LogProbabilityOfFeasibility(model, bounds)
            if incumbent is None
            else LogConstrainedExpectedImprovement(model, incumbent, 0, bounds)
        )


def feasible_incumbent(model: SurrogateModel, ctx: AcquisitionContext) -> Tensor | None:
    """The largest posterior mean of the objective among tried parameters feasible in the posterior mean."""
    told = ctx.told
    measured = told.points[~told.values[:, 0].isnan()] if len(told.points) else told.points
    if len(measured) == 0:
        return None
    with torch.no_grad():
        mean = model.posterior(measured.unsqueeze(-2)).mean.squeeze(-2)
    feasible = (mean[:, ctx.constrained] >= ctx.thresholds).all(-1)
    return mean[feasible, 0].max() if bool(feasible.any()) else None
