"""The boundary condition against brute force, and what thinning may do to it."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm

from safebo.monitor import LANES, BoundaryMonitor, TriggerRule, thinned

FloatArray = NDArray[np.float64]


def brute_force(
    state: FloatArray, states: FloatArray, policy: NDArray[np.int64], lower: FloatArray, rule: TriggerRule
) -> int:
    """Algorithm 3 and equation 22, or Appendix F.1, word for word; states scaled."""
    distance = np.sqrt(((states - state) ** 2).sum(1))
    bound = lower[policy]
    if rule.name == "lipschitz":
        if (bound - rule.lipschitz * (distance + rule.inter_sample) >= 0).any():
            return -1
        return int(policy[np.argmax(bound - rule.lipschitz * distance)])
    tail = 2 * norm.sf(distance / rule.sigma)
    interior = bound >= rule.interior_lower_bound
    marginal = (bound >= rule.marginal_lower_bound) & ~interior
    if (tail[interior] > rule.tau_interior).any() or (tail[marginal] > rule.tau_marginal).any():
        return -1
    return int(policy[np.argmin(distance)])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    count=st.integers(1, 4 * LANES),
    width=st.integers(1, 35),
    name=st.sampled_from(["lipschitz", "gaussian_tail"]),
    size=st.sampled_from([1e-3, 1.0, 1e4]),
)
def test_checks_are_exact(seed: int, count: int, width: int, name: str, size: float) -> None:
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.5, 2.0, width) * size
    states = rng.standard_normal((count, width)) * scale
    policy = rng.integers(0, 3, count)
    lower = rng.uniform(0.1, 1.0, 3) * np.sqrt(width)
    rule = TriggerRule(name=name, lipschitz=0.8, inter_sample=0.05, sigma=np.sqrt(width))  # type: ignore[arg-type]
    backups = [{"kp": float(i)} for i in range(3)]
    monitor = BoundaryMonitor(states, policy, lower, backups, rule, scale)
    copy = pickle.loads(pickle.dumps(monitor))
    for _ in range(12):
        near = states[rng.integers(count)] / scale
        state = (near + rng.uniform(0, 2.0) * rng.standard_normal(width)) * scale
        expected = brute_force(state / scale, states / scale, policy, lower, rule)
        assert monitor.check(state) == expected
        assert copy.check(state) == expected


@pytest.mark.parametrize("kind", ["even", "wide axes", "far away", "one outlier", "all the same"])
@pytest.mark.parametrize("name", ["lipschitz", "gaussian_tail"])
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
        rule = TriggerRule(name=name, sigma=np.sqrt(width))  # type: ignore[arg-type]
        monitor = BoundaryMonitor(states, policy, lower, [{}] * 40, rule, np.ones(width))
        for reach in (1e-6, 1e-3, 0.3, 1.0, 2.0, 1e3):
            for row in rng.integers(0, len(states), 5):
                state = states[row] + reach * rng.standard_normal(width)
                expected = brute_force(state, states, policy, lower, rule)
                found = monitor.check(state)
                if kind == "all the same" and found >= 0 and name == "gaussian_tail":
                    continue  # every state is the closest
                assert found == expected


@pytest.mark.parametrize("width", [1, 33])
def test_the_border_is_decided_in_double_precision(width: int) -> None:
    """Single precision would get these wrong: distances that differ from the radius by 1e-12 of it."""
    rng = np.random.default_rng(0)
    base = 1e3 * rng.standard_normal((500, width))
    direction = rng.standard_normal(width)
    direction /= np.linalg.norm(direction)
    monitor = BoundaryMonitor(base, np.zeros(500, int), np.array([1.0]), [{}], TriggerRule(), np.ones(width))
    wrong = 0
    for state in base[:50]:
        assert monitor.check(state + (1.0 - 1e-9) * direction) == -1
        inside = state + (1.0 + 1e-9) * direction
        wrong += monitor.check(inside) != brute_force(
            inside, base, np.zeros(500, int), np.array([1.0]), TriggerRule()
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
            TriggerRule(),
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
    monitor = BoundaryMonitor(path, policy, lower, [{}] * 4, TriggerRule(), np.ones(33))
    drift = np.linspace(0, 0.4, 2000)[:, None] * rng.standard_normal(33)
    walked = path + drift
    followed = [monitor.check(s) for s in walked]
    assert followed == [brute_force(s, path, policy, lower, TriggerRule()) for s in walked]
    assert -1 in followed
    assert max(followed) >= 0


def test_states_that_are_not_finite_trigger() -> None:
    monitor = BoundaryMonitor(
        np.zeros((3, 2)), np.array([0, 1, 1]), np.array([0.2, 0.7]), [{}, {}], TriggerRule(), np.ones(2)
    )
    assert monitor.check(np.array([np.nan, 0.0])) == 1
    assert monitor.check(np.array([np.inf, 0.0])) == 1
    assert monitor.check(np.array([0.1, 0.0])) == -1
    with pytest.raises(ValueError, match="2 numbers"):
        monitor.check(np.zeros(3))


def test_wrong_shapes_are_refused() -> None:
    good = (np.zeros((3, 2)), np.zeros(3, int), np.array([0.5]), [{}], TriggerRule(), np.ones(2))
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
            BoundaryMonitor(*changed)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=6),
    st.integers(1, 120),
    st.integers(0, 10_000),
    st.sampled_from(["lipschitz", "gaussian_tail"]),
)
def test_thinning_only_makes_triggers_more_frequent(
    counts: list[int], capacity: int, seed: int, name: str
) -> None:
    rng = np.random.default_rng(seed)
    paths = [rng.standard_normal((n, 3)).cumsum(0) for n in counts]
    lower = rng.uniform(0.0, 2.0, len(counts))
    rule = TriggerRule(name=name, sigma=1.0)  # type: ignore[arg-type]
    kept = thinned(counts, capacity)
    assert sum(len(rows) for rows in kept) <= capacity
    if capacity >= sum(counts):
        assert [len(rows) for rows in kept] == counts
    elif capacity >= len(counts):
        assert all(len(rows) and rows[0] == 0 for rows in kept)

    def monitor(rows: list[NDArray[np.int64]]) -> BoundaryMonitor:
        states = np.concatenate([p[r] for p, r in zip(paths, rows, strict=True)])
        policy = np.concatenate([np.full(len(r), i) for i, r in enumerate(rows)])
        return BoundaryMonitor(states, policy, lower, [{}] * len(counts), rule, np.ones(3))

    full, thin = monitor([np.arange(n) for n in counts]), monitor(kept)
    for _ in range(20):
        state = paths[rng.integers(len(paths))][0] + 2.0 * rng.standard_normal(3)
        if full.check(state) >= 0:
            assert thin.check(state) >= 0


def test_rules_say_what_they_guarantee() -> None:
    assert TriggerRule(name="lipschitz").guarantee
    assert not TriggerRule(name="gaussian_tail").guarantee
    radii = TriggerRule(name="gaussian_tail").radii(np.array([0.6, 0.2, -0.1]))
    assert radii[0] > radii[1] > 0 > radii[2]


def test_the_border_rooms_load_no_torch() -> None:
    code = "import sys, safebo, safebo.protocol, safebo.monitor; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
