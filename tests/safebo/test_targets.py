"""Target spaces against their definitions, and through a transductive rule."""

from __future__ import annotations

import pytest
import torch
from botorch.models import ModelListGP, SingleTaskGP

from safebo.acquisition.transductive import ITL, select_batch
from safebo.acquisition.transductive import targets as t
from safebo.errors import InputError

DTYPE = torch.float64
POINTS = torch.linspace(0, 1, 61, dtype=DTYPE).unsqueeze(1)


def model() -> ModelListGP:
    x = torch.tensor([[0.1], [0.3], [0.45], [0.9]], dtype=DTYPE)
    gps = [SingleTaskGP(x, y, outcome_transform=None) for y in (torch.sin(6 * x), 0.7 - x)]
    for gp in gps:
        gp.covar_module.lengthscale = torch.tensor(0.2, dtype=DTYPE)
        gp.likelihood.noise = torch.tensor(1e-3, dtype=DTYPE)
    return ModelListGP(*gps).eval()


def at() -> t.TargetBounds:
    return t.target_bounds(model(), POINTS, 2.0, (1,))


def test_the_sets_are_those_of_their_definitions() -> None:
    posterior = model().posterior(POINTS)
    mean, std = posterior.mean.detach(), posterior.variance.detach().sqrt()
    lower, upper = mean - 2 * std, mean + 2 * std
    safe = [i for i in range(61) if lower[i, 1] >= 0]
    possible = [i for i in range(61) if upper[i, 1] >= 0]
    assert 0 < len(safe) < len(possible) < 61
    best = max(float(lower[i, 0]) for i in safe)
    expected = {
        t.whole_domain: list(range(61)),
        t.potential_maximizers: [i for i in possible if upper[i, 0] >= best],
        t.potential_expanders: [i for i in possible if i not in safe],
        t.optimistic_point: [max(possible, key=lambda i: float(upper[i, 0]))],
        t.region(torch.tensor([0.19]), torch.tensor([0.41])): [
            i for i in range(61) if 0.19 <= i / 60 <= 0.41
        ],
    }
    for space, rows in expected.items():
        assert space(at()).nonzero().flatten().tolist() == rows


@pytest.mark.parametrize("draw", [t.thompson_maximizers, t.lite_maximizers])
def test_drawn_maximizers_repeat_with_their_seed_and_are_plausible(draw) -> None:
    v = at()
    kwargs = {"jitter": 1e-8} if draw is t.thompson_maximizers else {}
    masks = [draw(torch.Generator().manual_seed(4), 50, **kwargs)(v) for _ in range(2)]
    assert torch.equal(*masks)
    assert 1 <= int(masks[0].sum()) <= 50
    # At three standard deviations nearly every plausible maximum lies among the potential maximizers.
    wide = t.potential_maximizers(t.target_bounds(model(), POINTS, 3.0, (1,)))
    assert int((masks[0] & ~wide).sum()) <= 1


def test_one_function_may_be_objective_and_constraint() -> None:
    v = t.target_bounds(model(), POINTS, 2.0, (0,), torch.tensor([0.2], dtype=DTYPE))
    assert torch.equal(v.safe, v.lower() >= 0.2)


def test_a_space_feeds_a_rule_over_the_certified_set() -> None:
    v = at()
    targets = t.targets_of(t.potential_maximizers, v)[::3]
    pool = POINTS[v.safe]
    batch = select_batch(model(), pool, targets, 2, "vtl")
    assert bool(v.safe[[int((pool[i] == POINTS).nonzero()[0, 0]) for i in batch.indices]].all())
    score = ITL(model(), targets, jitter=1e-8)(pool.unsqueeze(1))
    assert bool((score >= 0).all())


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="holds none of the 61 points"):
        t.targets_of(t.region(torch.tensor([2.0]), torch.tensor([3.0])), at())
    with pytest.raises(InputError, match="allowed are 0 to 1"):
        t.target_bounds(model(), POINTS, 2.0, (2,))
    with pytest.raises(InputError, match="2 thresholds for 1 constraints"):
        t.target_bounds(model(), POINTS, 2.0, (1,), torch.zeros(2, dtype=DTYPE))
