"""Exact search of stored states at control rate: the smallest `distance - radius` over all of them.

Single precision and eight-bit codes serve only to rule states out, with a proven bound on their error; what is
not ruled out is decided in double precision. Numpy and numba only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from safebo.boundary.compiled import njit

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LANES = 64
"""States per block; a block is one vectorised step of the search."""

CHUNK = 11
"""Coordinates between two looks at whether a block can be ruled out."""

UNIT_ROUNDOFF = 2.0**-24


class Stored(NamedTuple):
    """What the search reads of an index: of every block codes, states, box and largest radius; of every state itself,
    its radius and its preference.
    """

    codes: NDArray[np.uint8]
    step: float
    blocks: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    radius: FloatArray
    states: FloatArray
    radii: FloatArray
    preference: FloatArray


class _Query(NamedTuple):
    """A state in the three precisions of the search, and the largest number in it or in any stored state."""

    s: FloatArray
    s32: NDArray[np.float32]
    coded: NDArray[np.float32]
    magnitude: float


@dataclass(frozen=True)
class StateIndex:
    """Stored states in blocks of `LANES`, coordinate by coordinate, with a box around every block.

    Make one with `build`. Rows are numbered as they were given; inside they lie in block order.
    """

    order: IntArray
    coordinates: IntArray
    offset: FloatArray
    largest: float
    stored: Stored

    @classmethod
    def build(cls, states: FloatArray, radii: FloatArray, preference: FloatArray) -> StateIndex:
        """Index of scaled states.

        Args:
            states: `m x k`.
            radii: `m`.
            preference: which of several equally good rows to answer, the largest first, `m`.
        """
        m, k = states.shape
        order = _block_order(states)
        states = np.ascontiguousarray(states[order])
        coordinates = np.argsort(-states.var(axis=0), kind="stable")
        count = -(-m // LANES)
        padded = np.concatenate([states, np.repeat(states[-1:], count * LANES - m, axis=0)])
        by_block = padded[:, coordinates].reshape(count, LANES, k)
        offset = padded[:, coordinates].min(axis=0)
        step = float(np.ptp(padded, axis=0).max()) / 255.0 or 1.0
        codes = np.clip(np.rint((by_block - offset) / step), 0, 255).astype(np.uint8)
        stored = Stored(
            codes=np.ascontiguousarray(codes.transpose(0, 2, 1)),
            step=step,
            blocks=np.ascontiguousarray(by_block.transpose(0, 2, 1).astype(np.float32)),
            low=by_block.min(axis=1).astype(np.float32),
            high=by_block.max(axis=1).astype(np.float32),
            radius=_largest_per_block(radii[order]),
            states=states,
            radii=radii[order],
            preference=preference[order],
        )
        return cls(order, coordinates, offset, float(np.abs(states).max()), stored)

    def with_radii(self, radii: FloatArray) -> StateIndex:
        """The same states with other radii (`m`, as numbered when built)."""
        ordered = radii[self.order]
        stored = self.stored._replace(radii=ordered, radius=_largest_per_block(ordered))
        return replace(self, stored=stored)

    def search(
        self, s: FloatArray, first: int, stop_when_covered: bool, most: float = np.inf
    ) -> tuple[int, int, float]:
        """The row of the smallest `distance - radius`, its position inside, and the value.

        Args:
            s: scaled state, `k`.
            first: position inside at which to begin, such as the last answer's.
            stop_when_covered: whether any row at or under 0 will do.
            most: where no row is at or under it, the value is only known to lie above it.
        """
        ordered = s[self.coordinates]
        query = _Query(
            s,
            ordered.astype(np.float32),
            ((ordered - self.offset) / self.stored.step).astype(np.float32),
            max(self.largest, float(np.abs(s).max())),
        )
        position, value = _search(self.stored, query, first, stop_when_covered, most)
        return int(self.order[position]), int(position), float(value)


def _largest_per_block(radii: FloatArray) -> FloatArray:
    count = -(-len(radii) // LANES)
    padded = np.concatenate([radii, np.repeat(radii[-1:], count * LANES - len(radii))])
    return np.asarray(padded.reshape(count, LANES).max(axis=1))


def _block_order(states: FloatArray) -> IntArray:
    """An order in which every `LANES` consecutive states are near each other (median splits)."""
    order = np.arange(len(states))
    pending = [(0, len(states))]
    while pending:
        start, stop = pending.pop()
        if stop - start <= LANES:
            continue
        part = order[start:stop]
        axis = int(np.argmax(np.ptp(states[part], axis=0)))
        # Whole blocks on the left, so that the last block alone may be short.
        half = -(-(stop - start) // (2 * LANES)) * LANES
        if half >= stop - start:
            half = LANES
        order[start:stop] = part[np.argpartition(states[part, axis], half - 1)]
        pending += [(start, start + half), (start + half, stop)]
    return order


@njit(cache=True, fastmath={"contract", "reassoc", "nsz", "nnan"})
def _least(acc: NDArray[np.float32]) -> np.float32:
    smallest = acc[0]
    for lane in range(1, LANES):
        smallest = min(smallest, acc[lane])
    return smallest


@njit(cache=True, fastmath={"contract", "reassoc", "nsz", "nnan"})
def _block_distances(
    block: NDArray[np.float32], s: NDArray[np.float32], limit: np.float32, acc: NDArray[np.float32]
) -> bool:
    """Squared distances of a block's states to s, in `acc`; False as soon as all exceed `limit`."""
    k = block.shape[0]
    for lane in range(LANES):
        acc[lane] = np.float32(0.0)
    c = 0
    while c < k:
        stop = min(c + CHUNK, k)
        for j in range(c, stop):
            sj = s[j]
            # Sums over coordinates only grow, so a block may be left as soon as all of them exceed the limit.
            for lane in range(LANES):
                d = block[j, lane] - sj
                acc[lane] += d * d
        if _least(acc) > limit:
            return False
        c = stop
    return True


@njit(cache=True, fastmath={"contract", "reassoc", "nsz", "nnan"})
def _codes_reach(
    codes: NDArray[np.uint8], s: NDArray[np.float32], limit: np.float32, acc: NDArray[np.float32]
) -> bool:
    """Whether the squared distance of s to any of a block's codes is at most `limit`, all in code units."""
    k = codes.shape[0]
    for lane in range(LANES):
        acc[lane] = np.float32(0.0)
    j = 0
    while j + 4 <= k:  # four coordinates at a time, so that sums are loaded and stored less often
        a, b, c, d = s[j], s[j + 1], s[j + 2], s[j + 3]
        for lane in range(LANES):
            da = np.float32(codes[j, lane]) - a
            db = np.float32(codes[j + 1, lane]) - b
            dc = np.float32(codes[j + 2, lane]) - c
            dd = np.float32(codes[j + 3, lane]) - d
            acc[lane] += (da * da + db * db) + (dc * dc + dd * dd)
        j += 4
    while j < k:
        a = s[j]
        for lane in range(LANES):
            da = np.float32(codes[j, lane]) - a
            acc[lane] += da * da
        j += 1
    return bool(_least(acc) <= limit)


@njit(cache=True)
def _exact_distance(a: FloatArray, b: FloatArray) -> float:
    total = 0.0
    for j in range(a.shape[0]):
        d = a[j] - b[j]
        total += d * d
    return np.sqrt(total)


@njit(cache=True, fastmath={"contract", "reassoc", "nsz", "nnan"})
def _box_distances(
    s: NDArray[np.float32], low: NDArray[np.float32], high: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """Squared distance of s to every box, `nb`."""
    zero = np.float32(0.0)
    for b in range(low.shape[0]):
        total = np.float32(0.0)
        for j in range(low.shape[1]):
            # The distance to [low, high] along one coordinate; 0 inside.
            d = max(max(low[b, j] - s[j], s[j] - high[b, j]), zero)
            total += d * d
        out[b] = total


@njit(cache=True)
def _search(
    stored: Stored, query: _Query, first: int, stop_when_covered: bool, most: float
) -> tuple[int, float]:
    """Branch and bound for the smallest `||s - s_j|| - radius_j`.

    A difference computed in single precision errs by at most `4 u magnitude` (u = 2^-24: two conversions, one
    subtraction of numbers up to 2 magnitude), so a norm over k of them by `4 u magnitude sqrt(k)`; a sum of
    k squares errs by a relative `(k + 2) u`. A block is ruled out only when its single-precision distance
    exceeds the present best by more than both.

    Before that it is looked at in eight bits, a quarter of the memory: a code is off its state by at most half a
    step in every coordinate, so the distance to it is off by at most `sqrt(k) / 2` steps.

    Of equal values the one with the largest preference is answered; a block that could hold one is never ruled
    out, because the errors above are strictly positive.
    """
    states, radii, preference = stored.states, stored.radii, stored.preference
    m, k = states.shape
    nb = stored.blocks.shape[0]
    u = UNIT_ROUNDOFF
    # |computed - true| <= absolute for the norm of k differences; a sum of k squares errs by less than the factor
    # `relative`.
    absolute = 5.0 * u * query.magnitude * np.sqrt(k)
    relative = 1.0 + 2.0 * (k + 4) * u
    furthest = 255.0
    for j in range(k):
        furthest = max(furthest, abs(query.coded[j]))
    # In steps: sqrt(k) / 2 for codes that are rounded states, and the single precision of a state in steps.
    off = (0.5 + 1e-6) * np.sqrt(k) + 5.0 * u * furthest * np.sqrt(k)
    best = first
    value = _exact_distance(query.s, states[first]) - radii[first]
    if stop_when_covered and value <= 0.0:
        return best, value
    boxes = np.empty(nb, dtype=np.float32)
    _box_distances(query.s32, stored.low, stored.high, boxes)
    acc = np.empty(LANES, dtype=np.float32)
    # The block whose box is nearest first: it is likely to hold the best, and then rules out most others.
    start = np.argmin(boxes)
    for position in range(nb):
        b = position
        if position == 0:
            b = int(start)
        elif position == start:
            b = 0
        # A state j of the block beats the best only if ||s - s_j|| < radius_j + value <= reach.
        reach = stored.radius[b] + min(value, most) + absolute
        if reach < 0.0:
            continue
        limit = np.float32(reach * reach * relative * relative * (1.0 + 4.0 * u))
        if boxes[b] > limit:
            continue
        # The same in steps of the codes: ||code - s / step|| <= reach / step + off.
        steps = (reach / stored.step + off) * relative
        if not _codes_reach(stored.codes[b], query.coded, np.float32(steps * steps * (1.0 + 4.0 * u)), acc):
            continue
        if not _block_distances(stored.blocks[b], query.s32, limit, acc):
            continue
        for lane in range(LANES):
            j = b * LANES + lane
            if j >= m or acc[lane] > limit:
                continue
            excess = _exact_distance(query.s, states[j]) - radii[j]
            if excess < value or (excess == value and preference[j] > preference[best]):
                best, value = j, excess
                if stop_when_covered and value <= 0.0:
                    return best, value
    return best, value
