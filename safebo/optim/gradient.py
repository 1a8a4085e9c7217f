"""Multi-start gradient ascent that never leaves the feasible set."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.acquisition.base import SafeAcquisition
from safebo.optim.swarm import Candidates, feasible

FIRST_STEP, SMALLEST_STEP = 0.03, 1e-5
GROW, SHRINK = 1.7, 0.35
PUSH = 0.15
"""Share of the step along an active bound that points inwards, since the bound is curved."""


def _gradients(
    acquisition: SafeAcquisition, X: Float[Tensor, "n d"]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Score, slack and their gradients at X."""
    x = X.detach().requires_grad_(True)
    score, slack = acquisition.evaluate(x)
    bounded = bool(torch.isfinite(slack).any())
    finite = torch.where(torch.isfinite(score), score, 0.0)
    (g,) = torch.autograd.grad(finite.sum(), x, retain_graph=bounded)
    h = torch.autograd.grad(slack.sum(), x)[0] if bounded else torch.zeros_like(g)
    return score.detach(), slack.detach(), torch.nan_to_num(g), torch.nan_to_num(h)


def refine(acquisition: SafeAcquisition, starts: Float[Tensor, "n d"], iterations: int) -> Candidates:
    """Ascend from every start at once; a step is taken only to a feasible point with a better score.

    Where the step would lower the slack below 0, the gradient's part against the slack's gradient is removed,
    so that the ascent follows the border of the safe set.
    """
    if len(starts) == 0:
        return Candidates(starts, starts.new_zeros(0))
    x = starts.clone()
    score, slack, g, h = _gradients(acquisition, x)
    step = torch.full((len(x), 1), FIRST_STEP, dtype=x.dtype)
    for _ in range(iterations):
        outward = ((x <= 0) & (g < 0)) | ((x >= 1) & (g > 0))
        d = torch.where(outward, 0.0, g)
        d = d / d.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        h_norm = h.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        inward = h / h_norm
        against = (d * inward).sum(-1, keepdim=True)
        leaves = (against < 0) & (slack.unsqueeze(-1) + step * against * h_norm < 0)
        along = d - against * inward
        along = along / along.norm(dim=-1, keepdim=True).clamp_min(1e-12) + PUSH * inward
        d = torch.where(leaves, along, d)
        trial = (x + step * d).clamp(0.0, 1.0)
        t_score, t_slack, t_g, t_h = _gradients(acquisition, trial)
        taken = (feasible(t_slack) & (t_score > score)).unsqueeze(-1)
        x, g, h = (torch.where(taken, new, old) for new, old in ((trial, x), (t_g, g), (t_h, h)))
        row = taken.squeeze(-1)
        score, slack = torch.where(row, t_score, score), torch.where(row, t_slack, slack)
        step = torch.where(taken, step * GROW, step * SHRINK)
        if bool((step < SMALLEST_STEP).all()):
            break
    return Candidates.ordered(x, score, slack)
