"""The boundary condition against brute force, and what thinning may do to it."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import gamma, kv
from scipy.stats import norm

from safebo.boundary.monitor import BoundaryMonitor
from safebo.boundary.rules import (
    CostToGoRule,
    GaussianTailRule,
    KernelCovarianceRule,
    LipschitzRule,
    TriggerRule,
    correlation_distance,
)
from safebo.boundary.state_index import LANES
from safebo.tuner.backups import TRIGGER_RULES
from safebo.tuner.thinning import deciding_rows, thinned

FloatArray = NDArray[np.float64]
NAMES = tuple(TRIGGER_RULES)


def matern(distance: FloatArray, kernel: str) -> FloatArray:
    """The general Matern correlation by its Bessel function, or the squared exponential."""
    if kernel == "rbf":
        return np.exp(-(distance**2) / 2)
    nu = {"matern12": 0.5, "matern32": 1.5, "matern52": 2.5}[kernel]
    x = np.maximum(np.sqrt(2 * nu) * np.asarray(distance), 1e-12)
    return 2 ** (1 - nu) / gamma(nu) * x**nu * kv(nu, x)


def margin_of_condition(
    state: FloatArray, states: FloatArray, bound: FloatArray, gain: FloatArray, rule: TriggerRule
) -> FloatArray:
    """The condition of every rule as its docstring prints it, per stored state: go on when some value is >= 0."""
    distance = np.sqrt(((states - state) ** 2).sum(1))
    if isinstance(rule, LipschitzRule):
        return bound - rule.lipschitz * (distance + rule.inter_sample)
    if isinstance(rule, CostToGoRule):
        return bound + gain - rule.pessimism * (distance + rule.inter_sample)
    assert isinstance(rule, (GaussianTailRule, KernelCovarianceRule))
    interior = bound >= rule.interior_lower_bound
    if isinstance(rule, GaussianTailRule):
        tail = 2 * norm.sf(distance / rule.sigma)
        value = tail - np.where(interior, rule.tau_interior, rule.tau_marginal)
        value[value == 0] = -1e-12  # a strict inequality
    else:
        # One radius per coordinate, over the root of their number: the distance at which the kernel's correlation
        # has fallen to the threshold is where the correlation at that many times the distance has.
        stretched = distance * np.sqrt(len(state)) / rule.state_lengthscale
        value = matern(stretched, rule.state_kernel) - np.where(
            interior, rule.correlation_interior, rule.correlation_marginal
        )
    return np.where(bound >= rule.marginal_lower_bound, value, -1.0)


def brute_force(
    state: FloatArray,
    states: FloatArray,
    policy: NDArray[np.int64],
    lower: FloatArray,
    rule: TriggerRule,
    gain: FloatArray | None = None,
) -> int:
    """The conditions word for word, and the backup that takes over; states scaled."""
    bound = lower[policy]
    gain = np.zeros(len(states)) if gain is None else gain
    condition = margin_of_condition(state, states, bound, gain, rule)
    if (condition >= 0).any():
        return -1
    distance = np.sqrt(((states - state) ** 2).sum(1))
    if isinstance(rule, (LipschitzRule, CostToGoRule)):
        return int(policy[np.argmax(condition)])
    allowed = np.ones(len(states), dtype=bool)
    if isinstance(rule, KernelCovarianceRule) and (bound >= rule.interior_lower_bound).any():
        allowed = bound >= rule.interior_lower_bound
    nearest = allowed & (distance == distance[allowed].min())
    return int(policy[np.flatnonzero(nearest)[np.argmax(bound[nearest])]])


def rule_named(name: str, **numbers: float) -> TriggerRule:
    """A rule with those of the numbers that it has."""
    kind = TRIGGER_RULES[name]
    return kind(**{f.name: numbers[f.name] for f in fields(kind) if f.name in numbers})


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    count=st.integers(1, 4 * LANES),
    width=st.integers(1, 35),
    name=st.sampled_from(NAMES),
    kernel=st.sampled_from(["matern12", "matern32", "matern52", "rbf"]),
    size=st.sampled_from([1e-3, 1.0, 1e4]),
)
def test_checks_are_exact(seed: int, count: int, width: int, name: str, kernel: str, size: float) -> None:
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.5, 2.0, width) * size
    states = rng.standard_normal((count, width)) * scale
    policy = rng.integers(0, 3, count)
    lower = rng.uniform(0.1, 1.0, 3) * np.sqrt(width)
    gain = rng.exponential(0.3, count) * rng.integers(0, 2, count)
    rule = rule_named(
        name,
        lipschitz=0.8,
        pessimism=0.8,
        inter_sample=0.05,
        sigma=np.sqrt(width),
        state_lengthscale=2.0 * width,
        interior_lower_bound=0.5 * np.sqrt(width),
        marginal_lower_bound=0.3 * np.sqrt(width),
    )
    if isinstance(rule, KernelCovarianceRule):
        rule = replace(rule, state_kernel=kernel)
    backups = [{"kp": float(i)} for i in range(3)]
    monitor = BoundaryMonitor(states, policy, lower, backups, rule, scale, gain)
    copy = pickle.loads(pickle.dumps(monitor))
    for _ in range(12):
        near = states[rng.integers(count)] / scale
        state = (near + rng.uniform(0, 2.0) * rng.standard_normal(width)) * scale
        expected = brute_force(state / scale, states / scale, policy, lower, rule, gain)
        assert monitor.check(state) == expected
        assert copy.check(state) == expected


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    count=st.integers(1, 90),
    width=st.integers(1, 6),
    name=st.sampled_from(NAMES),
    numbers=st.fixed_dictionaries(
        {
            "lipschitz": st.floats(0.05, 20.0),
            "pessimism": st.floats(0.05, 20.0),
            "inter_sample": st.floats(0.0, 0.5),
            "sigma": st.floats(0.05, 5.0),
            "tau_interior": st.floats(0.01, 0.5),
            "tau_marginal": st.floats(0.5, 0.99),
            "state_lengthscale": st.floats(0.1, 10.0),
            "correlation_interior": st.floats(0.3, 0.9),
            "correlation_marginal": st.floats(0.9, 0.99),
            "interior_lower_bound": st.floats(0.2, 1.0),
            "marginal_lower_bound": st.floats(0.0, 0.2),
        }
    ),
)
def test_no_monitor_goes_on_where_its_condition_fails(
    seed: int, count: int, width: int, name: str, numbers: dict[str, float]
) -> None:
    """On states at the borders of the covered set, where rounding decides, and far from all; 1e-9 is forgiven."""
    rng = np.random.default_rng(seed)
    states = rng.standard_normal((count, width))
    policy = rng.integers(0, 4, count)
    lower = rng.uniform(0.0, 1.5, 4)
    gain = np.maximum(rng.normal(0.0, 0.5, count), 0.0)
    rule = rule_named(name, **numbers)
    monitor = BoundaryMonitor(states, policy, lower, [{}] * 4, rule, np.ones(width), gain)
    for row in rng.integers(0, count, 10):
        direction = rng.standard_normal(width)
        direction /= np.linalg.norm(direction)
        for reach in (max(monitor.radii[row], 0.0), *rng.exponential(2.0, 3)):
            state = states[row] + reach * (1 + rng.choice([-1, 0, 1]) * 1e-8) * direction
            condition = margin_of_condition(state, states, lower[policy], gain, rule)
            if monitor.check(state) < 0:
                assert condition.max() >= -1e-9
            else:
                assert condition.max() < 1e-9


@pytest.mark.parametrize("kind", ["even", "wide axes", "far away", "one outlier", "all the same"])
@pytest.mark.parametrize("name", NAMES)
def test_coarse_codes_rule_nothing_out_that_is_near(kind: str, name: str) -> None:
    """Eight bits over the whole range say little about states that lie close together; none may be lost."""
    rng = np.random.default_rng(2)
    for width in (1, 5, 33):
        states = rng.standard_normal((12 * LANES, width))
        if kind == "wide axes":
            states *= 10 ** rng.uniform(-3, 3, width)
        elif kind == "far away":
            states = 1e4 + 1e-3 * states
        elif kind == "one outlier":
            states[7] *= 1e5
        elif kind == "all the same":
            states[:] = states[0]
        policy = rng.integers(0, 40, len(states))
        lower = rng.uniform(0.0, 1.5, 40) * np.sqrt(width) * (1e-3 if kind == "far away" else 1.0)
        rule = rule_named(name, sigma=np.sqrt(width), state_lengthscale=2.0 * width)
        gain = rng.exponential(0.2, len(states))
        monitor = BoundaryMonitor(states, policy, lower, [{}] * 40, rule, np.ones(width), gain)
        for reach in (1e-6, 1e-3, 0.3, 1.0, 2.0, 1e3):
            for row in rng.integers(0, len(states), 5):
                state = states[row] + reach * rng.standard_normal(width)
                assert monitor.check(state) == brute_force(state, states, policy, lower, rule, gain)


@pytest.mark.parametrize("width", [1, 33])
def test_the_border_is_decided_in_double_precision(width: int) -> None:
    """Single precision would get these wrong: distances that differ from the radius by 1e-12 of it."""
    rng = np.random.default_rng(0)
    base = 1e3 * rng.standard_normal((500, width))
    direction = rng.standard_normal(width)
    direction /= np.linalg.norm(direction)
    monitor = BoundaryMonitor(
        base, np.zeros(500, int), np.array([1.0]), [{}], LipschitzRule(), np.ones(width)
    )
    wrong = 0
    for state in base[:50]:
        assert monitor.check(state + (1.0 - 1e-9) * direction) == -1
        inside = state + (1.0 + 1e-9) * direction
        wrong += monitor.check(inside) != brute_force(
            inside, base, np.zeros(500, int), np.array([1.0]), LipschitzRule()
        )
    assert wrong == 0


def test_rounding_never_hides_a_state_that_covers() -> None:
    """The best found so far misses by 1e-9; the one that covers is in another block, 1e3 from the origin."""
    rng = np.random.default_rng(3)
    spread = 1e-7 * np.arange(LANES)[:, None]
    for _ in range(40):
        state = 1e3 * rng.standard_normal(33)
        one, other = rng.standard_normal((2, 33))
        one, other = one / np.linalg.norm(one), other / np.linalg.norm(other)
        misses = state + (1.0 + 1e-9 + spread) * one
        covers = state + (1.0 - 1e-9 + spread) * other
        monitor = BoundaryMonitor(
            np.concatenate([misses, covers]),
            np.zeros(2 * LANES, int),
            np.array([1.0]),
            [{}],
            LipschitzRule(),
            np.ones(33),
        )
        assert monitor.check(state + one) == -1
        assert monitor.check(state) == -1


def test_a_walk_is_followed_and_the_answer_does_not_depend_on_it() -> None:
    rng = np.random.default_rng(1)
    t = np.linspace(0, 20, 2000)[:, None]
    path = np.sin(t * rng.uniform(0.5, 3.0, 33) + rng.uniform(0, 6, 33))
    policy = (np.arange(2000) // 500).astype(int)
    lower = np.array([0.6, 0.9, 0.3, 0.0])
    monitor = BoundaryMonitor(path, policy, lower, [{}] * 4, LipschitzRule(), np.ones(33))
    drift = np.linspace(0, 0.4, 2000)[:, None] * rng.standard_normal(33)
    walked = path + drift
    followed = [monitor.check(s) for s in walked]
    assert followed == [brute_force(s, path, policy, lower, LipschitzRule()) for s in walked]
    assert -1 in followed
    assert max(followed) >= 0


def test_states_that_are_not_finite_trigger() -> None:
    monitor = BoundaryMonitor(
        np.zeros((3, 2)), np.array([0, 1, 1]), np.array([0.2, 0.7]), [{}, {}], LipschitzRule(), np.ones(2)
    )
    assert monitor.check(np.array([np.nan, 0.0])) == 1
    assert monitor.check(np.array([np.inf, 0.0])) == 1
    assert monitor.check(np.array([0.1, 0.0])) == -1
    with pytest.raises(ValueError, match="2 numbers"):
        monitor.check(np.zeros(3))


def test_wrong_shapes_are_refused() -> None:
    good: tuple[Any, ...] = (
        np.zeros((3, 2)),
        np.zeros(3, int),
        np.array([0.5]),
        [{}],
        LipschitzRule(),
        np.ones(2),
    )
    BoundaryMonitor(*good)
    for position, bad, message in (
        (0, np.zeros((0, 2)), "m x k"),
        (1, np.zeros(2, int), "one policy per state"),
        (2, np.array([np.nan]), "finite"),
        (5, np.array([1.0, 0.0]), "positive"),
    ):
        changed = [*good]
        changed[position] = bad
        with pytest.raises(ValueError, match=message):
            BoundaryMonitor(*changed)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=6),
    st.integers(1, 120),
    st.integers(0, 10_000),
    st.sampled_from(NAMES),
)
def test_thinning_only_makes_triggers_more_frequent(
    counts: list[int], capacity: int, seed: int, name: str
) -> None:
    rng = np.random.default_rng(seed)
    paths = [rng.standard_normal((n, 3)).cumsum(0) for n in counts]
    lower = rng.uniform(0.0, 2.0, len(counts))
    rule = rule_named(name, sigma=1.0, state_lengthscale=3.0)
    gains = [rng.exponential(0.3, n) for n in counts]
    radii = [rule.radii(np.full(len(p), b), g, 3) for p, b, g in zip(paths, lower, gains, strict=True)]
    visited = [p[0] + 2.0 * rng.standard_normal((30, 3)).cumsum(0) for p in paths[: seed % 3]]
    kept = thinned(paths, capacity, radii, visited)
    assert sum(len(rows) for rows in kept) <= capacity
    if capacity >= sum(counts):
        assert [len(rows) for rows in kept] == counts
    elif capacity >= len(counts):
        assert all(len(rows) and rows[0] == 0 for rows in kept)

    def monitor(rows: list[NDArray[np.int64]]) -> BoundaryMonitor:
        states = np.concatenate([p[r] for p, r in zip(paths, rows, strict=True)])
        policy = np.concatenate([np.full(len(r), i) for i, r in enumerate(rows)])
        gain = np.concatenate([g[r] for g, r in zip(gains, rows, strict=True)])
        return BoundaryMonitor(states, policy, lower, [{}] * len(counts), rule, np.ones(3), gain)

    full, thin = monitor([np.arange(n) for n in counts]), monitor(kept)
    for _ in range(20):
        state = paths[rng.integers(len(paths))][0] + 2.0 * rng.standard_normal(3)
        if full.check(state) >= 0:
            assert thin.check(state) >= 0


def test_states_that_covered_others_from_far_are_kept_first() -> None:
    rng = np.random.default_rng(0)
    circle = 10.0 * np.stack([np.cos(np.arange(400.0)), np.sin(np.arange(400.0))], axis=1)
    paths, radii = [circle[:200], circle[200:]], [np.full(200, 1.0), np.full(200, 0.4)]
    states, reach = np.concatenate(paths), np.concatenate(radii)
    # outwards over the border of what is covered, and inwards through the middle, beyond which nothing counts
    visited = [states[i] * np.linspace(1.0, 1.2, 20)[:, None] for i in rng.integers(0, 400, 10)]
    visited.append(states[3] * np.linspace(1.0, -1.0, 40)[:, None])
    far: dict[int, float] = {}
    for path in visited:
        for state in path:
            excess = np.linalg.norm(states - state, axis=1) - reach
            row = int(np.argmin(excess))
            if excess[row] > -0.5 * reach[row]:
                far[row] = max(far.get(row, -9.0), float(excess[row]))
            if excess[row] > 0.0:
                break
    found = deciding_rows(paths, radii, visited, 400)
    assert [*found[0], *(found[1] + 200)] == sorted(far)
    fewer = deciding_rows(paths, radii, visited, 4)
    assert {*fewer[0], *(fewer[1] + 200)} == set(sorted(far, key=lambda row: -far[row])[:4])
    kept = thinned(paths, 60, radii, visited)
    assert all(set(first) <= set(rows) for first, rows in zip(found, kept, strict=True))
    assert 40 <= sum(map(len, kept)) <= 60


def test_rules_say_what_they_guarantee() -> None:
    assert [name for name, rule in TRIGGER_RULES.items() if rule.guarantee] == ["lipschitz"]
    for rule in (GaussianTailRule(), KernelCovarianceRule()):
        radii = rule.radii(np.array([0.6, 0.2, -0.1]), np.zeros(3), 1)
        assert radii[0] > radii[1] > 0 > radii[2]
    for kind in TRIGGER_RULES.values():
        assert "Guarantee:" in (kind.__doc__ or "")
        assert "Source:" in (kind.__doc__ or "")


@pytest.mark.parametrize("kernel", ["matern12", "matern32", "matern52", "rbf"])
@pytest.mark.parametrize("correlation", [0.999, 0.95, 0.88, 0.5, 0.01])
def test_the_distance_of_a_correlation_solves_its_equation(kernel: str, correlation: float) -> None:
    r = correlation_distance(kernel, correlation)
    assert float(matern(np.array(r), kernel)) == pytest.approx(correlation, abs=1e-9)


def test_per_coordinate_radii_shrink_with_the_root_of_their_number() -> None:
    rule = KernelCovarianceRule(state_kernel="rbf", state_lengthscale=2.0)
    r = 2.0 * np.sqrt(-2 * np.log(0.88))
    for width in (1, 4, 33):
        assert rule.radii(np.ones(1), np.zeros(1), width)[0] == pytest.approx(r / np.sqrt(width))


def test_what_a_path_gained_lets_later_states_reach_further() -> None:
    """Margins to go 0.3, 0.3, 0.8 of a trial certified to 0.2: 0.5 more to lose from the last state on."""
    states, policy = np.array([[0.0], [5.0], [10.0]]), np.zeros(3, int)
    made = partial(
        BoundaryMonitor, states, policy, np.array([0.2]), [{}], CostToGoRule(pessimism=0.5), np.ones(1)
    )
    monitor = made(gain=np.array([0.0, 0.0, 0.5]))
    for state, expected in ((0.39, -1), (0.41, 0), (5.41, 0), (11.39, -1), (11.41, 0)):
        assert monitor.check(np.array([state])) == expected
    with pytest.raises(ValueError, match="cost_to_go needs the gain"):
        made()
    with pytest.raises(ValueError, match="at least 0"):
        made(gain=np.array([0.0, -0.1, 0.5]))


def test_the_closest_backup_may_be_one_that_covers_nothing() -> None:
    """Whole blocks of states under the marginal bound, the closest among them."""
    low, interior = np.full((LANES, 1), 2.0), np.full((LANES, 1), -2.5)
    policy = np.repeat([0, 1], LANES)
    states, lower = np.concatenate([low, interior]), np.array([0.1, 0.9])
    rule = GaussianTailRule(sigma=1.0, marginal_lower_bound=0.2)
    monitor = BoundaryMonitor(states, policy, lower, [{}] * 2, rule, np.ones(1))
    assert monitor.radii.min() < 0
    assert monitor.check(np.zeros(1)) == 0


def test_the_closest_interior_backup_takes_over_where_there_is_one() -> None:
    states, policy = np.array([[0.0], [1.0], [3.0]]), np.array([0, 1, 2])
    rule = KernelCovarianceRule(state_lengthscale=0.1)

    def chosen(*lower: float) -> int:
        monitor = BoundaryMonitor(states, policy, np.array(lower), [{}] * 3, rule, np.ones(1))
        return monitor.check(np.array([0.4]))

    assert chosen(0.1, 0.1, 0.9) == 2
    assert chosen(0.1, 0.9, 0.9) == 1
    assert chosen(0.1, 0.2, 0.3) == 0


def test_the_border_rooms_load_no_torch() -> None:
    code = "import sys, safebo.types, safebo.boundary.monitor, safebo.boundary.rules; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
