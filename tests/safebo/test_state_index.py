"""The exact search of stored states: every part against brute force, and what is ruled out is never read."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from safebo.boundary.state_index import (
    LANES,
    UNIT_ROUNDOFF,
    StateIndex,
    _block_distances,
    _block_order,
    _box_distances,
    _codes_reach,
    _exact_distance,
    _largest_per_block,
    _least,
)

FloatArray = NDArray[np.float64]


def f32(values: object) -> NDArray[np.float32]:
    return np.ascontiguousarray(values, dtype=np.float32)


def index_of(states: FloatArray, radii: FloatArray | None = None) -> StateIndex:
    radii = np.zeros(len(states)) if radii is None else radii
    return StateIndex.build(states, radii, np.zeros(len(states)))


@pytest.mark.parametrize("lane", [0, 1, 30, LANES - 1])
def test_the_least_of_all_lanes_is_found_wherever_it_is(lane: int) -> None:
    acc = f32(np.arange(LANES) + 5.0)
    acc[lane] = 1.0
    assert _least(acc) == 1.0


@pytest.mark.parametrize("width", [1, 2, 7])
def test_the_exact_distance_is_euclids(width: int) -> None:
    a, b = np.random.default_rng(width).standard_normal((2, width))
    assert _exact_distance(a, b) == pytest.approx(math.dist(a, b), rel=1e-15)


@pytest.mark.parametrize("width", [1, 10, 11, 12, 23])
def test_a_block_gives_all_its_distances_up_to_the_limit_and_none_beyond(width: int) -> None:
    rng = np.random.default_rng(width)
    block, s = f32(rng.integers(-9, 9, (width, LANES))), f32(rng.integers(-9, 9, width))
    expected = ((block - s[:, None]) ** 2).sum(0)
    acc = f32(np.full(LANES, 777.0))  # what an earlier block left behind
    assert _block_distances(block, s, expected.min(), acc)
    np.testing.assert_array_equal(acc, expected)
    assert not _block_distances(block, s, np.float32(expected.min() - 1), acc)


def test_a_block_is_left_after_the_coordinates_that_rule_it_out() -> None:
    block, s = f32(np.ones((40, LANES))), f32(np.zeros(40))
    acc = f32(np.zeros(LANES))
    assert not _block_distances(block, s, np.float32(5.0), acc)
    assert acc.max() < 20.0  # of 40: the rest was not added


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 6, 7, 8, 11])
def test_codes_reach_up_to_the_limit_and_not_beyond(width: int) -> None:
    rng = np.random.default_rng(width)
    codes, s = rng.integers(0, 30, (width, LANES)).astype(np.uint8), f32(rng.integers(-40, 9, width))
    acc = f32(np.full(LANES, 777.0))
    least = np.float32(((codes.astype(float) - s[:, None]) ** 2).sum(0).min())
    assert _codes_reach(codes, s, least, acc)
    assert not _codes_reach(codes, s, np.float32(least - 1), acc)


def test_the_distance_to_a_box_is_that_to_its_nearest_point() -> None:
    low, high = f32([[0, 0], [2, -3], [-9, 5]]), f32([[1, 4], [4, -2], [-5, 6]])
    for s in ([0.5, 2.0], [-1.0, 5.0], [3.0, 0.0], [1.5, -2.5]):
        out = f32(np.full(3, 99.0))
        _box_distances(f32(s), low, high, out)
        nearest = np.clip(s, low, high)
        np.testing.assert_allclose(out, ((nearest - s) ** 2).sum(1), rtol=1e-6)


@pytest.mark.parametrize("count", [1, LANES - 1, LANES, LANES + 1, 2 * LANES + 3])
def test_the_largest_radius_of_every_block(count: int) -> None:
    radii = (
        np.random.default_rng(count).standard_normal(count) - 10.0
    )  # all negative: a padding of 0 would show
    expected = [radii[start : start + LANES].max() for start in range(0, count, LANES)]
    assert _largest_per_block(radii).tolist() == expected


@pytest.mark.parametrize("last", [LANES, LANES - 5])
def test_states_that_are_near_each_other_share_a_block(last: int) -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [100.0, 0.0], [0.0, 90.0], [100.0, 130.0]])
    sizes = [LANES, LANES, LANES, last]
    cluster = np.repeat(np.arange(4), sizes)
    states = centres[cluster] + rng.standard_normal((len(cluster), 2))
    shuffled = rng.permutation(len(cluster))
    order = _block_order(states[shuffled])
    assert sorted(order) == list(range(len(cluster)))
    for start in range(0, len(cluster), LANES):
        assert len(set(cluster[shuffled][order[start : start + LANES]])) == 1


@pytest.mark.parametrize("count", [1, 2, LANES, LANES + 1, 3 * LANES + 7])
def test_an_index_holds_what_its_search_relies_on(count: int) -> None:
    rng = np.random.default_rng(count)
    states = rng.standard_normal((count, 5)) * np.array([1.0, 30.0, 0.1, 5.0, 2.0]) - 7.0
    radii, preference = rng.standard_normal(count), rng.random(count)
    index = StateIndex.build(states, radii, preference)
    np.testing.assert_array_equal(index.stored.states, states[index.order])
    np.testing.assert_array_equal(index.stored.radii, radii[index.order])
    np.testing.assert_array_equal(index.stored.preference, preference[index.order])
    assert index.largest == np.abs(states).max()
    if count > 2:
        assert index.coordinates.tolist() == np.argsort(-states.var(axis=0)).tolist()
    blocks = -(-count // LANES)
    assert index.stored.blocks.shape == index.stored.codes.shape == (blocks, 5, LANES)
    for b in range(blocks):
        rows = index.stored.states[b * LANES : (b + 1) * LANES][:, index.coordinates]
        kept = index.stored.blocks[b].T[: len(rows)]
        np.testing.assert_allclose(kept, rows, rtol=1e-6)
        np.testing.assert_allclose(index.stored.low[b], rows.min(0), rtol=1e-6)
        np.testing.assert_allclose(index.stored.high[b], rows.max(0), rtol=1e-6)
        coded = index.offset + index.stored.step * index.stored.codes[b].T[: len(rows)]
        assert np.abs(coded - rows).max() <= (0.5 + 1e-9) * index.stored.step
        assert index.stored.radius[b] == radii[index.order][b * LANES : (b + 1) * LANES].max()
    span = np.ptp(states, axis=0).max()
    assert index.stored.step == pytest.approx(span / 255.0 if span > 0 else 1.0)


def best(states: FloatArray, radii: FloatArray, preference: FloatArray, s: FloatArray) -> tuple[int, float]:
    excess = np.sqrt(((states - s) ** 2).sum(1)) - radii
    rows = np.flatnonzero(excess == excess.min())
    return int(rows[np.argmax(preference[rows])]), float(excess.min())


@pytest.mark.parametrize("count", [1, LANES - 1, LANES, LANES + 1, 4 * LANES + 9])
@pytest.mark.parametrize("width", [1, 5, 12])
def test_a_search_finds_the_smallest_excess(count: int, width: int) -> None:
    rng = np.random.default_rng(count + width)
    states = rng.standard_normal((count, width))
    radii, preference = 0.4 * rng.standard_normal(count), rng.random(count)
    index = StateIndex.build(states, radii, preference)
    for k in range(6):
        s = states[rng.integers(count)] + (0.05, 3.0)[k % 2] * rng.standard_normal(width)
        row, value = best(states, radii, preference, s)
        for first in (0, count - 1):
            found, position, excess = index.search(s, first, False)
            assert (found, index.order[position]) == (row, row)
            assert excess == pytest.approx(value, abs=1e-12)
            any_row, _, excess = index.search(s, first, True)
            own = math.dist(s, states[any_row]) - radii[any_row]
            assert excess == pytest.approx(own, abs=1e-12)
            assert (excess <= 0.0) == (value <= 0.0)
            assert excess == pytest.approx(value, abs=1e-12) or excess <= 0.0
            for most in (value + 0.1, value - 0.1):
                _, _, excess = index.search(s, first, False, most)
                assert excess == pytest.approx(value, abs=1e-12) if value <= most else excess > most


def test_of_equal_rows_the_preferred_one_is_answered_wherever_it_lies() -> None:
    """Whole blocks of copies of two states at the same distance, and radii that make no difference."""
    rng = np.random.default_rng(0)
    states = np.repeat([[1.0, 0.0], [-1.0, 0.0]], [2 * LANES, 2 * LANES], axis=0)
    for favourite in (0, 5, LANES, 3 * LANES - 1, 4 * LANES - 1):
        preference = rng.random(len(states))
        preference[favourite] = 2.0
        index = StateIndex.build(states, np.full(len(states), 0.25), preference)
        for first in (0, LANES, 4 * LANES - 1):
            assert index.search(np.zeros(2), first, False) == (
                favourite,
                *index.search(np.zeros(2), first, False)[1:],
            )


def test_other_radii_are_numbered_as_the_states_were_given() -> None:
    rng = np.random.default_rng(4)
    states, radii = rng.standard_normal((3 * LANES, 2)), rng.random(3 * LANES)
    changed, made = index_of(states).with_radii(radii), index_of(states, radii)
    np.testing.assert_array_equal(changed.stored.radii, made.stored.radii)
    np.testing.assert_array_equal(changed.stored.radius, made.stored.radius)
    s = rng.standard_normal(2)
    assert changed.search(s, 0, False) == made.search(s, 0, False)


@pytest.fixture
def far() -> tuple[StateIndex, int]:
    """One block at the origin, one 100 away; the position of the first."""
    states = np.concatenate([np.zeros((LANES, 3)), np.full((LANES, 3), 100.0)])
    states += 0.01 * np.random.default_rng(1).standard_normal(states.shape)
    index = index_of(states, np.full(2 * LANES, 0.5))
    return index, int(np.argmin(np.abs(index.stored.low).max(1)))


def forged(index: StateIndex, block: int, **names: object) -> StateIndex:
    """The states of a block as if they were all at the origin, in what is read only when it was not ruled out."""
    states, blocks = index.stored.states.copy(), index.stored.blocks.copy()
    states[block * LANES : (block + 1) * LANES] = 0.0
    blocks[block] = 0.0
    stored = index.stored._replace(states=states, blocks=blocks, **names)  # type: ignore[arg-type]
    return replace(index, stored=stored)


def test_a_block_that_its_box_rules_out_is_not_read(far: tuple[StateIndex, int]) -> None:
    index, near = far
    s = np.full(3, 0.3)
    codes = index.stored.codes.copy()
    codes[1 - near] = codes[near]
    liar = forged(index, 1 - near, codes=codes)
    truth = index.search(s, near * LANES, False)
    assert liar.search(s, near * LANES, False) == truth
    assert truth[1] // LANES == near


def test_a_block_that_its_codes_rule_out_is_not_read(far: tuple[StateIndex, int]) -> None:
    index, near = far
    s = np.full(3, 0.3)
    low = index.stored.low.copy()
    low[1 - near] = index.stored.low[near]  # a box as large as everything says nothing
    liar = forged(index, 1 - near, low=low)
    assert liar.search(s, near * LANES, False) == index.search(s, near * LANES, False)


def test_a_search_that_may_stop_begins_where_it_last_ended() -> None:
    states = np.concatenate([np.zeros((LANES, 1)), np.full((LANES, 1), 0.2)])
    index = index_of(states, np.full(2 * LANES, 1.0))
    for first in (3, LANES + 9):
        assert index.search(np.array([0.1]), first, True)[1] == first
    at_border = index_of(np.zeros((1, 1)), np.ones(1))
    assert at_border.search(np.array([1.0]), 0, True)[2] == 0.0


def test_a_row_that_covers_to_the_last_bit_ends_a_search_that_may_stop() -> None:
    """At a distance of exactly its radius, though another row is nearer."""
    index = index_of(np.array([[0.0], [0.75]]), np.ones(2))
    for row in (0, 1):
        position = int(np.flatnonzero(index.order == row)[0])
        s = np.array([1.0 if row == 0 else 1.75])
        assert index.search(s, position, True) == (row, position, 0.0)


def three_blocks(positions: tuple[float, float, float], radius: float = 0.0) -> tuple[StateIndex, list[int]]:
    """Blocks of one point each on the first of three axes, and which block is which."""
    states = np.zeros((3 * LANES, 3))
    states[:, 0] = np.repeat(positions, LANES)
    index = index_of(states, np.full(3 * LANES, radius))
    return index, [int(np.flatnonzero(index.stored.low[:, 0] == np.float32(p))[0]) for p in positions]


@pytest.mark.parametrize("beyond", [1.01, 3.0])
def test_a_block_a_hundredth_further_than_the_best_is_not_read(beyond: float) -> None:
    """Nor is it for what would do at most: the error of single precision is far smaller."""
    index, (near, middle, _) = three_blocks((1.0, -beyond, 100.0))
    codes = index.stored.codes.copy()
    codes[middle] = codes[near]
    liar = forged(index, middle, codes=codes)
    assert liar.search(np.zeros(3), near * LANES, False)[2] == 1.0
    reach = forged(index, near, codes=codes)  # no row is at or under 0.9: the nearest one is not looked for
    assert reach.search(np.zeros(3), middle * LANES, False, 0.9)[2] == beyond


def test_a_block_whose_codes_lie_further_is_not_read() -> None:
    """Codes err by half a step in every coordinate, not by more."""
    index, (near, middle, _) = three_blocks((1.0, -1.7, 100.0))
    low, high = index.stored.low.copy(), index.stored.high.copy()
    low[middle], high[middle] = (
        np.float32(-1000.0),
        np.float32(1000.0),
    )  # a box as large as everything says nothing
    assert 4.2 < 1.7 / index.stored.step < 4.3  # steps to its codes; the best and the error are 2.5 + 0.9
    liar = forged(index, middle, low=low, high=high)
    assert liar.search(np.zeros(3), near * LANES, False)[2] == 1.0


def test_codes_that_err_as_much_as_they_can_rule_nothing_out() -> None:
    """Every coordinate lies half a step from its code, on the side of s."""
    width = 16
    states = np.zeros((2 * LANES, width))
    states[:LANES] = 100.5  # the step is 1, and a half is rounded to the even code
    states[LANES:] = 255.0
    states[-1] = 0.0
    s = np.full(width, 101.5)
    distance = 1.0 * np.sqrt(width)
    for index in (index_of(states, np.full(2 * LANES, distance + 1e-6)),):
        assert index.stored.step == 1.0
        outside = int(np.flatnonzero((index.stored.states == 255.0).all(1))[0])
        found = index.search(s, outside, True)
        assert found[2] == pytest.approx(-1e-6, abs=1e-12)


def test_the_nearest_block_is_read_before_the_others() -> None:
    """So that its states rule out what lies further, whatever the search begins with."""
    index, (near, middle, far) = three_blocks((-1.0, 3.0, 4.0))
    assert (near, middle, far) == (0, 1, 2)
    liar = forged(index, middle)
    assert liar.search(np.zeros(3), far * LANES, False)[2] == 1.0


def test_a_block_that_its_states_rule_out_does_not_end_the_search() -> None:
    """Its box holds s, its codes may lie as near as the best, its states do not; what covers is further away."""
    ring = np.tile([[0.0, 1.002], [1.002, 0.0]], (LANES // 2, 1))
    states = np.concatenate([np.full((LANES, 2), [0.0, -1.0]), ring, np.full((LANES, 2), [-3.0, 0.0])])
    radii = np.repeat([0.0, 0.0, 2.9], LANES)
    index = StateIndex.build(states, radii, np.zeros(len(states)))
    first = int(np.flatnonzero(index.order == 0)[0])
    row, _, value = index.search(np.zeros(2), first, False)
    assert row >= 2 * LANES
    assert value == pytest.approx(0.1)


def test_a_row_that_covers_ends_a_search_that_may_stop() -> None:
    """Though a block that is further away holds one that covers better."""
    states = np.repeat([[2.0], [1.0], [-3.0]], LANES, axis=0)
    index = StateIndex.build(states, np.repeat([0.0, 1.0, 5.0], LANES), np.zeros(len(states)))
    first = int(np.flatnonzero(index.order == 0)[0])
    assert index.search(np.zeros(1), first, True)[2] == 0.0
    assert index.search(np.zeros(1), first, False)[2] == -2.0


def test_blocks_of_a_line_are_its_stretches() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        line = rng.permutation(4 * LANES).astype(float)[:, None]
        blocks = line[_block_order(line)].reshape(4, LANES)
        assert (np.sort(blocks, axis=1) == np.arange(4.0 * LANES).reshape(4, LANES)).all()


def test_a_coordinate_of_a_blocks_codes_is_one_cache_line() -> None:
    assert index_of(np.zeros((1, 3))).stored.codes[0, 0].nbytes == 64


def test_among_rows_equal_in_everything_a_search_stays_where_it_began() -> None:
    index = index_of(np.zeros((2 * LANES, 2)))
    for first in (0, 7, LANES, 2 * LANES - 1):
        assert index.search(np.ones(2), first, False)[1] == first


@pytest.mark.parametrize("far", [1e3, 1e6])
@pytest.mark.parametrize("width", [1, 16, 33])
def test_errors_of_single_precision_rule_nothing_out(far: float, width: int) -> None:
    """The best so far misses by a billionth of the size; what covers is in another block, as far from the origin."""
    rng = np.random.default_rng(width)
    for _ in range(12):
        s = far * rng.uniform(0.5, 1.0, width)
        one, other = rng.standard_normal((2, width))
        one, other = one / np.linalg.norm(one), other / np.linalg.norm(other)
        misses, covers = s + (1.0 + 4e-9 * far) * one, s + (1.0 - 4e-9 * far) * other
        states = np.concatenate([np.repeat(misses[None], LANES, 0), np.repeat(covers[None], LANES, 0)])
        index = index_of(states, np.ones(2 * LANES))
        first = int(np.flatnonzero(index.order == 0)[0])
        assert index.search(s, first, True)[2] <= 0.0
        small = StateIndex.build(states - far, np.ones(2 * LANES), np.zeros(2 * LANES))
        assert small.search(s - far, first, True)[2] <= 0.0


def test_an_index_does_not_change() -> None:
    index = index_of(np.zeros((1, 1)))
    with pytest.raises(FrozenInstanceError):
        index.largest = 2.0  # type: ignore[misc]
    assert float(UNIT_ROUNDOFF) == np.finfo(np.float32).eps / 2
