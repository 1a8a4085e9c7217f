"""A walk's strides against a loop over its ticks."""

from __future__ import annotations

import numpy as np
import pytest

from safebo.robots.evaluation.strides import strides_of

TICK = 0.002


@pytest.mark.parametrize(("period", "seconds"), [(0.5, 5.0), (0.437, 4.0), (3.0, 6.5), (0.5, 1.5)])
def test_every_whole_stride_after_the_ramp_is_there(period: float, seconds: float) -> None:
    rng = np.random.default_rng(0)
    n = round(seconds / TICK)
    margin, cost = rng.normal(size=n), rng.normal(size=n)
    found = strides_of(cost, {"height": margin}, TICK, period, ramp=1.0)
    assert found is not None
    # The first boundary at or after 1 s, then stride by stride while there is time.
    number = next(i for i in range(10) if i * period >= 1.0)
    assert found.start == pytest.approx(number * period)
    least, means = [], []
    while (number + 1) * period <= seconds + 1e-9:
        ticks = [
            i for i in range(n) if round(number * period / TICK) <= i < round((number + 1) * period / TICK)
        ]
        least.append(min(margin[i] for i in ticks))
        means.append(sum(cost[i] for i in ticks) / len(ticks))
        number += 1
    assert found.count == len(least)
    np.testing.assert_array_equal(found.margins["height"], least)
    np.testing.assert_allclose(found.objective, means, rtol=0, atol=1e-12)


def test_a_walk_without_a_whole_stride_after_the_ramp_has_none() -> None:
    values = np.zeros(600)
    assert strides_of(values, {"height": values}, TICK, 0.5, ramp=1.0) is None
    assert strides_of(values, {"height": values}, TICK, 3.0, ramp=1.0) is None


def test_an_objective_that_is_no_mean_is_left_out() -> None:
    found = strides_of(None, {"height": np.zeros(1000)}, TICK, 0.5, ramp=1.0)
    assert found is not None
    assert found.objective == ()
    assert found.count == 2
