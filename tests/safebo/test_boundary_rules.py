"""The rules of the boundary at their borders, and what a monitor refuses and answers there."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import gamma, kv
from scipy.stats import norm

from safebo.boundary.kernels import BUILT_IN, RadialKernel, radial_kernel
from safebo.boundary.monitor import LAST_CHOICE, BoundaryMonitor
from safebo.boundary.rules import (
    CostToGoRule,
    GaussianTailRule,
    KernelCovarianceRule,
    LipschitzRule,
    TriggerRule,
    correlation_distance,
)
from safebo.tuner.backups import TRIGGER_RULES

FloatArray = NDArray[np.float64]


def radius(rule: TriggerRule, lower: float, gain: float = 0.0, width: int = 1) -> float:
    return float(rule.radii(np.array([lower]), np.array([gain]), width)[0])


# -- radii -----------------------------------------------------------------------------------------------


def test_a_lipschitz_bound_reaches_as_far_as_its_margin_lasts() -> None:
    assert radius(LipschitzRule(), 0.6) == 0.6
    assert radius(LipschitzRule(lipschitz=2.0, inter_sample=0.1), 0.6) == pytest.approx(0.2)
    assert radius(LipschitzRule(), 0.0) == 0.0
    assert radius(LipschitzRule(), -0.1) < 0.0
    assert radius(LipschitzRule(), 0.6, gain=5.0) == 0.6


def test_a_cost_to_go_adds_what_the_path_gained() -> None:
    assert radius(CostToGoRule(), 0.6, 0.2) == pytest.approx(0.8)
    assert radius(CostToGoRule(pessimism=2.0, inter_sample=0.1), 0.6, 0.2) == pytest.approx(0.3)


@pytest.mark.parametrize("width", [1, 4])
def test_a_gaussian_tail_reaches_to_its_probability_and_is_strict_there(width: int) -> None:
    rule = GaussianTailRule()
    for lower, tau in ((0.7, 0.2), (0.2, 0.6)):
        reach = radius(rule, lower, width=width)
        assert 2.0 * norm.sf(reach / 2.0) == pytest.approx(tau, rel=1e-12)
        border = 2.0 * norm.ppf(1.0 - tau / 2.0)
        assert reach < border
        assert reach == pytest.approx(border, rel=1e-15)


def test_a_kernels_covariance_reaches_to_its_correlation_over_the_root_of_the_coordinates() -> None:
    rule = KernelCovarianceRule()
    for lower, correlation in ((0.7, 0.88), (0.2, 0.95)):
        for width in (1, 9):
            r = math.sqrt(width) * radius(rule, lower, width=width)
            assert (1 + math.sqrt(3) * r) * math.exp(-math.sqrt(3) * r) == pytest.approx(
                correlation, rel=1e-12
            )


@pytest.mark.parametrize("rule", [GaussianTailRule(), KernelCovarianceRule()])
def test_bands_begin_on_their_bounds(rule: Any) -> None:
    """Interior from 0.5 on, marginal from 0 on, and under that nothing, not even the state itself."""
    interior, marginal = rule.reach(3)
    assert interior > marginal > 0.0
    for lower, expected in ((0.5, interior), (math.nextafter(0.5, 0), marginal), (0.0, marginal)):
        assert radius(rule, lower, width=3) == expected
    assert radius(rule, -1e-300, width=3) < 0.0
    assert rule.interior(np.array([0.4, 0.5, 0.6])).tolist() == [False, True, True]


def test_bands_begin_where_the_study_says() -> None:
    rule = GaussianTailRule(interior_lower_bound=0.7, marginal_lower_bound=0.1)
    interior, marginal = rule.reach(1)
    found = rule.radii(np.array([0.7, 0.6, 0.1, 0.05]), np.zeros(4), 1)
    assert found[:3].tolist() == [interior, marginal, marginal]
    assert found[3] < 0.0


def test_rules_without_bands_count_every_state_as_interior() -> None:
    assert LipschitzRule().interior(np.array([-1.0, 0.0])).tolist() == [True, True]


def value_at(kernel: RadialKernel, r: float) -> float:
    return float(kernel.correlation(r, math))


@pytest.mark.parametrize("kernel", BUILT_IN, ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("correlation", [0.05, 0.5, 0.88, 0.999])
def test_the_distance_of_a_correlation_is_the_last_that_still_has_it(
    kernel: RadialKernel, correlation: float
) -> None:
    r = correlation_distance(kernel.name, correlation)
    assert value_at(kernel, r) >= correlation > value_at(kernel, math.nextafter(r, math.inf))


def test_correlations_begin_at_one_and_are_those_of_their_kernels() -> None:
    assert all(value_at(kernel, 0.0) == 1.0 for kernel in BUILT_IN)
    assert value_at(radial_kernel("matern12"), 2.0) == pytest.approx(math.exp(-2.0))
    assert value_at(radial_kernel("matern32"), 1 / math.sqrt(3)) == pytest.approx(2.0 * math.exp(-1.0))
    assert value_at(radial_kernel("matern52"), 3 / math.sqrt(5)) == pytest.approx(7.0 * math.exp(-3.0))
    assert value_at(radial_kernel("rbf"), 2.0) == pytest.approx(math.exp(-2.0))


def test_what_rules_are() -> None:
    said = {name: (kind.guarantee, kind.needs_gain, kind.choice) for name, kind in TRIGGER_RULES.items()}
    assert said == {
        "lipschitz": (True, False, "largest bound"),
        "gaussian_tail": (False, False, "closest"),
        "kernel_covariance": (False, False, "closest interior"),
        "cost_to_go": (False, True, "largest bound"),
    }
    for name, kind in TRIGGER_RULES.items():
        assert kind.name == name
        with pytest.raises(FrozenInstanceError):
            kind().lipschitz = 2.0  # type: ignore[attr-defined]
    base = TriggerRule()
    assert (base.guarantee, base.needs_gain) == (False, False)
    with pytest.raises(NotImplementedError):
        base.radii(np.ones(1), np.ones(1), 1)
    with pytest.raises(FrozenInstanceError):
        base.name = "x"  # type: ignore[misc]


def test_a_matern_kernel_is_the_general_one_of_its_smoothness() -> None:
    """What GPyTorch's class of the kernel has to have for this correlation, by Bessel functions."""
    smooth = {k.name: k.attributes["nu"] for k in BUILT_IN if k.attributes}
    assert len(smooth) == 3
    for name, nu in smooth.items():
        for r in (0.1, 0.7, 2.0):
            x = math.sqrt(2.0 * nu) * r
            general = 2.0 ** (1.0 - nu) / gamma(nu) * x**nu * kv(nu, x)
            assert radial_kernel(name).correlation(r, math) == pytest.approx(general, rel=1e-12)
    with pytest.raises(FrozenInstanceError):
        BUILT_IN[0].name = "x"  # type: ignore[misc]


# -- the monitor -----------------------------------------------------------------------------------------


def monitor(
    states: Any, lower: Any, rule: TriggerRule | None = None, policy: Any = None, **more: Any
) -> BoundaryMonitor:
    states, lower = np.asarray(states, dtype=float), np.asarray(lower, dtype=float)
    policy = np.arange(len(states)) if policy is None else np.asarray(policy)
    scale = more.pop("scale", np.ones(states.shape[-1]))
    return BoundaryMonitor(states, policy, lower, [{}] * len(lower), rule or LipschitzRule(), scale, **more)


def test_the_border_itself_is_covered_and_the_next_number_is_not() -> None:
    watched = monitor([[0.0]], [1.0])
    assert watched.check(np.array([1.0])) == -1
    assert watched.covered(np.array([1.0]))
    assert watched.check(np.array([math.nextafter(1.0, 2.0)])) == 0
    assert not watched.covered(np.array([math.nextafter(1.0, 2.0)]))


def test_states_and_scales_are_compared_in_the_same_unit() -> None:
    watched = monitor([[10.0, 0.0]], [1.0], scale=np.array([10.0, 0.1]))
    assert watched.check(np.array([20.0, 0.0])) == -1
    assert watched.check(np.array([20.1, 0.0])) == 0
    assert watched.check(np.array([10.0, 0.1])) == -1
    assert watched.check(np.array([10.0, 0.101])) == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1])
def test_one_number_that_is_not_finite_is_enough(value: float, place: int) -> None:
    state = np.zeros(2)
    state[place] = value
    watched = monitor([[0.0, 0.0]] * 3, [0.2, 0.9, 0.4])
    assert watched.check(state) == 1
    assert not watched.covered(state)


def test_who_takes_over_where_two_are_equally_good() -> None:
    for lower, expected in (([0.3, 0.2], 0), ([0.2, 0.3], 1)):
        closest = monitor([[1.0], [-1.0]], lower, GaussianTailRule(sigma=0.01))
        assert closest.check(np.zeros(1)) == expected


def test_of_two_states_in_the_same_place_the_better_one_takes_over() -> None:
    """On the very state, where both cover nothing: a distance of 0 ends no search for the best."""
    rule = GaussianTailRule(marginal_lower_bound=0.2)
    for lower, expected in (([0.1, 0.15], 1), ([0.15, 0.1], 0)):
        assert monitor([[1.0], [1.0]], lower, rule).check(np.ones(1)) == expected


def test_a_covering_state_is_found_in_another_block() -> None:
    """It covers by less than 1, and the search begins with a state that does not."""
    states = np.concatenate([np.full((64, 1), 50.0), np.zeros((64, 1))])
    for rule in (GaussianTailRule(sigma=1.0), KernelCovarianceRule(), LipschitzRule()):
        for order in (states, states[::-1]):
            watched = monitor(order, [0.6], rule, policy=np.zeros(128, int))
            assert watched.check(np.array([0.2])) == -1
            assert watched.check(np.array([49.9])) == -1
            assert watched.check(np.array([20.0])) == 0
            assert watched.check(np.array([0.2])) == -1


def test_radii_are_those_of_the_number_of_coordinates() -> None:
    rule = KernelCovarianceRule()
    made = monitor(np.zeros((2, 5)), [0.7, 0.2], rule)
    assert made.radii.tolist() == rule.radii(np.array([0.7, 0.2]), np.zeros(2), 5).tolist()


def test_the_closest_interior_state_takes_over_before_any_marginal_one() -> None:
    rule = KernelCovarianceRule(state_lengthscale=0.01)
    far_interior = monitor([[1.0], [100.0]], [0.1, 0.9], rule)
    assert far_interior.check(np.zeros(1)) == 1
    none_interior = monitor([[1.0], [100.0]], [0.1, 0.2], rule)
    assert none_interior.check(np.zeros(1)) == 0
    all_interior = monitor([[1.0], [100.0]], [0.6, 0.7], rule)
    assert all_interior.check(np.zeros(1)) == 0
    assert LAST_CHOICE < -1e99


def test_while_the_last_answers_state_covers_no_other_is_looked_for() -> None:
    watched = monitor([[0.0], [0.5]], [1.0, 1.0])
    began = watched._last
    assert watched.check(np.array([0.4])) == -1
    assert watched._last == began


def test_many_checks_in_a_row_answer_as_the_first() -> None:
    watched = monitor([[0.0], [5.0], [9.0]], [1.0, 0.5, 0.25])
    for position, expected in (
        (0.9, -1),
        (5.4, -1),
        (5.6, 1),
        (9.2, -1),
        (7.4, 2),
        (6.9, 1),
        (-1.5, 0),
        (0.0, -1),
    ):
        assert watched.check(np.array([position])) == expected


def test_gains_of_policies_are_copies_and_numbers_are_doubles() -> None:
    backup = {"kp": 1.0}
    made = BoundaryMonitor(
        np.zeros((1, 1), dtype=np.float32),
        np.zeros(1, int),
        np.ones(1),
        [backup],
        LipschitzRule(),
        np.ones(1),
    )
    backup["kp"] = 2.0
    assert made.backups == ({"kp": 1.0},)
    assert made.states.dtype == made.lower.dtype == made.gain.dtype == np.float64
    assert made.gain.tolist() == [0.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"states": np.zeros(3)}, "m x k"),
        ({"states": np.zeros((1, 3, 1))}, "m x k"),
        ({"states": np.zeros((0, 1))}, "m x k"),
        ({"states": np.zeros((3, 0)), "scale": np.ones(0)}, "m x k"),
        ({"policy": np.zeros(2, int)}, "one policy per state"),
        ({"policy": np.zeros(4, int)}, "one policy per state"),
        ({"lower": np.zeros(1)}, "one lower bound per policy"),
        ({"scale": np.ones(2)}, "1 positive numbers"),
        ({"scale": np.zeros(1)}, "1 positive numbers"),
        ({"scale": -np.ones(1)}, "1 positive numbers"),
        ({"scale": np.array([math.nan])}, "1 positive numbers"),
        ({"states": np.zeros((3, 2)), "scale": np.array([1.0, 0.0])}, "2 positive numbers"),
        ({"states": np.array([[0.0], [math.inf], [0.0]])}, "must be finite"),
        ({"states": np.array([[math.nan], [0.0], [0.0]])}, "must be finite"),
        ({"lower": np.array([0.0, math.nan])}, "must be finite"),
        ({"lower": np.array([math.inf, 0.0])}, "must be finite"),
        ({"gain": np.zeros(2)}, "gains must be finite"),
        ({"gain": np.array([0.0, math.nan, 0.0])}, "gains must be finite"),
        ({"gain": np.array([0.0, math.inf, 0.0])}, "gains must be finite"),
        ({"gain": np.array([0.0, 0.0, -1e-300])}, "at least 0"),
        ({"rule": CostToGoRule()}, "cost_to_go needs the gain"),
    ],
)
def test_a_monitor_that_cannot_watch_is_not_made(change: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {
        "states": np.zeros((3, 1)),
        "policy": np.array([0, 1, 1]),
        "lower": np.array([0.5, 0.6]),
        "backups": [{}, {}],
        "rule": LipschitzRule(),
        "scale": np.ones(1),
    }
    assert BoundaryMonitor(**good).check(np.zeros(1)) == -1
    assert BoundaryMonitor(**{**good, "rule": CostToGoRule(), "gain": np.zeros(3)}).check(np.zeros(1)) == -1
    with pytest.raises(ValueError, match=message):
        BoundaryMonitor(**{**good, **change})


@pytest.mark.parametrize("state", [np.zeros(1), np.zeros(3), np.zeros((1, 2)), np.float64(0.0)])
def test_a_state_of_another_width_is_refused(state: Any) -> None:
    with pytest.raises(ValueError, match="a state has 2 numbers"):
        monitor([[0.0, 0.0]], [1.0]).check(state)
