import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safebo.models.kernels import StationaryKernel
from safebo.models.posterior import Posterior
from safebo.models.posterior_stack import PosteriorStack
from safebo.models.prior_variants import ALTERNATIVES, DECLARED


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 40), st.sampled_from(["rbf", "matern32"]), st.booleans())
def test_a_stack_is_its_posteriors_one_by_one(seed: int, n: int, kind: str, repeated: bool) -> None:
    """The same equations row by row; densities by the normal distribution of what the rows before predict."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.rand(n, 2, generator=generator, dtype=torch.float64)
    y = torch.randn(n, generator=generator, dtype=torch.float64)
    if repeated:
        X[n // 2 :] = X[0]
    declared = Posterior.prior(StationaryKernel(kind, X.new_tensor([0.3, 0.5]), 1.7), 0.4, 0.01, 2)
    variants = (DECLARED, *ALTERNATIVES)
    alone = [v.of_prior(declared) for v in variants]
    stack, densities, earlier = PosteriorStack(alone), [], None
    for t in range(n):
        for i, v in enumerate(variants):
            row = v.timed(X[t], t)
            mean, variance = alone[i].mean_variance(row.reshape(1, -1))
            spread = math.sqrt(float(variance[0]) + alone[i].noise_variance)
            densities.append(float(torch.distributions.Normal(mean[0], spread).log_prob(y[t])))
            alone[i] = alone[i].extended(row, float(y[t]))
        stack.observe([v.timed(X[t], t) for v in variants], float(y[t]))
        if t == n // 2:
            earlier = stack.posteriors[0], stack.posteriors[0].inverse_factor.clone()
    for one, own in zip(stack.posteriors, alone, strict=True):
        assert torch.equal(one.inputs, own.inputs)
        torch.testing.assert_close(one.inverse_factor, own.inverse_factor, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(one.weights, own.weights, rtol=1e-7, atol=1e-7)
    assert stack.log_predictive.T.flatten().tolist() == pytest.approx(densities, rel=1e-6, abs=1e-6)
    assert earlier is not None
    assert torch.equal(earlier[0].inverse_factor, earlier[1])  # further rows leave earlier posteriors alone
