"""The Lipschitz certificate of a context, from what was tried there."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from safebo.acquisition.base import AcquisitionContext, Told
from safebo.safety.certificates import LipschitzCertificate


def lipschitz_certificate(
    ctx: AcquisitionContext, told: Told, noise: Float[Tensor, " c"] | None
) -> LipschitzCertificate:
    """What tried points promise by the context's Lipschitz constants.

    Args:
        ctx: the context; it must have such constants.
        told: what was tried in it.
        noise: the largest possible one of every constraint, for the certificate `measured`; None where lower confidence
            bounds are the reference.
    """
    assert ctx.lipschitz is not None
    if noise is None:
        with torch.no_grad():
            reference = ctx.bounds_at(told.points).certain.lower[:, ctx.constrained]
    else:
        reference = told.values[:, ctx.constrained] - noise
    return LipschitzCertificate(told.points, torch.nan_to_num(reference, nan=-torch.inf), ctx.lipschitz)
