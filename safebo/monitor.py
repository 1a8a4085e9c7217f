"""The boundary condition: watches a trial at control rate and names the gains to switch to.

Numpy and numba only: a robot receives a `BoundaryMonitor` as an object and must start without torch.

Both rules come down to "the state is covered by stored state j when their distance is at most radius_j":

`lipschitz` (Algorithm 3 of Widmer et al. 2023, in the bracketed form that protects the time between samples):
trigger when for every stored backup `min_i l_i(theta_j) - L (||s - s_j|| + Xi) < 0`, so
`radius_j = min_i l_i / L - Xi`; on a trigger the backup with the largest `min_i l_i - L ||s - s_j||`
(equation 22).

`gaussian_tail` (their Appendix F.1, a heuristic): covered when `P(|x| >= distance) > tau`, `x ~ N(0,
sigma^2)`, with one tau for interior and one for marginal backups; on a trigger the closest backup.

The search is exact. Single precision serves only to rule stored states out, with a proven bound on its
error; what is not ruled out is decided in double precision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import ndtri

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LANES = 64
"""States per block; a block is one vectorised step of the search."""

CHUNK = 11
"""Coordinates between two looks at whether a block can be ruled out."""

UNIT_ROUNDOFF = 2.0**-24


@dataclass(frozen=True)
class TriggerRule:
    """A boundary condition in the numbers that the study declares, on the warped scale of the constraints.

    Args:
        name: `lipschitz` or `gaussian_tail`.
        lipschitz: L, change of the lower bound per unit of scaled state distance.
        inter_sample: Xi, how far the scaled state moves in one control period.
        sigma: of the Gaussian tail.
        tau_interior: probability above which an interior backup covers.
        tau_marginal: the same for a marginal one; at least `tau_interior`.
        interior_lower_bound: lower bound from which a backup is interior.
        marginal_lower_bound: lower bound from which it is marginal; under it, it covers nothing.
    """

    name: Literal["lipschitz", "gaussian_tail"] = "lipschitz"
    lipschitz: float = 1.0
    inter_sample: float = 0.0
    sigma: float = 2.0
    tau_interior: float = 0.2
    tau_marginal: float = 0.6
    interior_lower_bound: float = 0.5
    marginal_lower_bound: float = 0.0

    @property
    def guarantee(self) -> bool:
        """Whether the rule protects when its constants are true bounds."""
        return self.name == "lipschitz"

    def radii(self, lower: FloatArray) -> FloatArray:
        """Distance up to which a backup of that lower bound covers, `p -> p`; negative: nothing."""
        if self.name == "lipschitz":
            return lower / self.lipschitz - self.inter_sample
        interior = np.nextafter(self.sigma * ndtri(1.0 - 0.5 * self.tau_interior), -np.inf)
        marginal = np.nextafter(self.sigma * ndtri(1.0 - 0.5 * self.tau_marginal), -np.inf)
        return np.where(
            lower >= self.interior_lower_bound,
            interior,
            np.where(lower >= self.marginal_lower_bound, marginal, -1.0),
        )


class BoundaryMonitor:
    """Watches one trial against stored backup states. Picklable.

    Args:
        states: visited states of the backups, `m x k`, unscaled.
        policy: index of every state's gains in `backups`, `m`.
        lower: lower bound of every policy's smallest margin on the warped scale, `p`.
        backups: the gains, `p` of them.
        rule: the boundary condition.
        scale: change of every state coordinate that counts as one unit of distance, `k`.

    Raises:
        ValueError: for shapes that do not fit, no state, or values that are not finite.
    """

    def __init__(
        self,
        states: FloatArray,
        policy: IntArray,
        lower: FloatArray,
        backups: Sequence[Mapping[str, float]],
        rule: TriggerRule,
        scale: FloatArray,
    ) -> None:
        states = np.ascontiguousarray(states, dtype=np.float64)
        if states.ndim != 2 or len(states) == 0 or states.shape[1] == 0:
            raise ValueError(f"backup states must be m x k with m, k >= 1, got shape {states.shape}")
        if len(policy) != len(states) or len(lower) != len(backups):
            raise ValueError("one policy per state and one lower bound per policy")
        if len(scale) != states.shape[1] or not np.all(np.asarray(scale) > 0):
            raise ValueError(f"state scales must be {states.shape[1]} positive numbers, got {list(scale)}")
        if not (np.isfinite(states).all() and np.isfinite(lower).all()):
            raise ValueError("backup states and lower bounds must be finite")
        self.rule = rule
        self.scale = np.asarray(scale, dtype=np.float64)
        self.backups: tuple[Mapping[str, float], ...] = tuple(dict(b) for b in backups)
        self.lower = np.asarray(lower, dtype=np.float64)
        policy = np.asarray(policy, dtype=np.int64)
        # What covers, and what is chosen on a trigger, are both a smallest `distance - radius`; the Gaussian
        # tail chooses the closest, which is the same with radii of zero.
        order = _block_order(states / self.scale)
        self.states = (states / self.scale)[order]
        self.policy = policy[order]
        self.radii = self.rule.radii(self.lower)[self.policy]
        self._index = _BlockIndex.build(self.states, self.radii)
        self._no_radii = np.zeros_like(self.radii)
        self._closest = self._index if rule.guarantee else _BlockIndex.build(self.states, self._no_radii)
        self._last = 0

    def __repr__(self) -> str:
        return (
            f"BoundaryMonitor({self.rule.name}, {len(self.states)} states of {self.states.shape[1]} numbers, "
            f"{len(self.backups)} backups)"
        )

    def check(self, state: FloatArray) -> int:
        """-1 to go on, otherwise the index in `backups` of the gains to switch to (state: `k`, unscaled).

        A state that is not finite triggers, with the backup of the largest lower bound.
        """
        raw = np.asarray(state, dtype=np.float64)
        if raw.shape != self.scale.shape:
            raise ValueError(f"a state has {len(self.scale)} numbers, got shape {raw.shape}")
        s = raw / self.scale
        if not np.isfinite(s).all():
            return int(np.argmax(self.lower))
        # The closest of a Gaussian tail is another search, so its first one may stop short of the smallest excess.
        most = np.inf if self.rule.guarantee else 0.0
        nearest, excess = self._index.search(s, self.states, self.radii, self._last, True, most)
        if excess > 0.0 and not self.rule.guarantee:
            nearest, _ = self._closest.search(s, self.states, self._no_radii, nearest, False, np.inf)
        self._last = nearest
        return -1 if excess <= 0.0 else int(self.policy[nearest])

    def covered(self, state: FloatArray) -> bool:
        """Whether the boundary condition lets this state pass."""
        return self.check(state) < 0


def thinned(counts: Sequence[int], capacity: int) -> list[IntArray]:
    """Which states of every trial to keep so that at most `capacity` remain in all.

    Dropping a stored state can only shrink what is covered, so triggers only become more frequent. Every
    trial keeps an even share of its path; the first state always stays, because every trial starts near it.

    Args:
        counts: number of states of every trial.
        capacity: of all together; at least one per trial is kept while it lasts, newest trials first.
    """
    kept = [np.zeros(0, dtype=np.int64) for _ in counts]
    room = capacity
    # Short paths first, so that what they do not use is shared among the long ones.
    order = sorted(range(len(counts)), key=lambda i: (counts[i], -i))
    if len(counts) > capacity:
        order = sorted(range(len(counts) - capacity, len(counts)), key=lambda i: (counts[i], -i))
    for position, i in enumerate(order):
        share = min(counts[i], room // (len(order) - position))
        if share > 0:
            kept[i] = np.unique(np.linspace(0, counts[i] - 1, share).astype(np.int64))
        room -= len(kept[i])
    return kept


@dataclass(frozen=True)
class _BlockIndex:
    """Stored states in blocks of `LANES`, coordinate by coordinate, with a box around every block."""

    codes: NDArray[np.uint8]
    offset: FloatArray
    step: float
    blocks: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    radius: FloatArray
    coordinates: IntArray
    largest: float

    @classmethod
    def build(cls, states: FloatArray, radii: FloatArray) -> _BlockIndex:
        """Index of scaled states (`m x k`, already in block order) and their radii."""
        m, k = states.shape
        coordinates = np.argsort(-states.var(axis=0), kind="stable")
        count = -(-m // LANES)
        padded = np.concatenate([states, np.repeat(states[-1:], count * LANES - m, axis=0)])
        by_block = padded[:, coordinates].reshape(count, LANES, k)
        offset = padded[:, coordinates].min(axis=0)
        step = float(np.ptp(padded, axis=0).max()) / 255.0 or 1.0
        codes = np.clip(np.rint((by_block - offset) / step), 0, 255).astype(np.uint8)
        rows = np.concatenate([radii, np.repeat(radii[-1:], count * LANES - m)]).reshape(count, LANES)
        return cls(
            codes=np.ascontiguousarray(codes.transpose(0, 2, 1)),
            offset=offset,
            step=step,
            blocks=np.ascontiguousarray(by_block.transpose(0, 2, 1).astype(np.float32)),
            low=by_block.min(axis=1).astype(np.float32),
            high=by_block.max(axis=1).astype(np.float32),
            radius=rows.max(axis=1),
            coordinates=coordinates,
            largest=float(np.abs(states).max()),
        )

    def search(
        self,
        s: FloatArray,
        states: FloatArray,
        radii: FloatArray,
        first: int,
        stop_when_covered: bool,
        most: float,
    ) -> tuple[int, float]:
        """Index and value of the smallest `distance - radius`; any at or under 0 when asked to stop there.

        Where none is at or under `most`, the value is only known to lie above it.
        """
        index, value = _search(
            s,
            s[self.coordinates].astype(np.float32),
            ((s[self.coordinates] - self.offset) / self.step).astype(np.float32),
            self.codes,
            self.step,
            self.blocks,
            self.low,
            self.high,
            self.radius,
            states,
            radii,
            first,
            max(self.largest, float(np.abs(s).max())),
            stop_when_covered,
            most,
        )
        return int(index), float(value)


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
            d = max(max(low[b, j] - s[j], s[j] - high[b, j]), zero)
            total += d * d
        out[b] = total


@njit(cache=True)
def _search(
    s: FloatArray,
    s32: NDArray[np.float32],
    coded: NDArray[np.float32],
    codes: NDArray[np.uint8],
    step: float,
    blocks: NDArray[np.float32],
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    radius: FloatArray,
    states: FloatArray,
    radii: FloatArray,
    first: int,
    magnitude: float,
    stop_when_covered: bool,
    most: float,
) -> tuple[int, float]:
    """Branch and bound for the smallest `||s - s_j|| - radius_j`.

    A difference computed in single precision errs by at most `4 u magnitude` (u = 2^-24: two conversions, one
    subtraction of numbers up to 2 magnitude), so a norm over k of them by `4 u magnitude sqrt(k)`; a sum of
    k squares errs by a relative `(k + 2) u`. A block is ruled out only when its single-precision distance
    exceeds the present best by more than both.

    Before that it is looked at in eight bits, a quarter of the memory: a code is off its state by at most half a
    step in every coordinate, so the distance to it is off by at most `sqrt(k) / 2` steps.
    """
    m, k = states.shape
    nb = blocks.shape[0]
    u = UNIT_ROUNDOFF
    absolute = 5.0 * u * magnitude * np.sqrt(k)
    relative = 1.0 + 2.0 * (k + 4) * u
    furthest = 255.0
    for j in range(k):
        furthest = max(furthest, abs(coded[j]))
    off = (0.5 + 1e-6) * np.sqrt(k) + 5.0 * u * furthest * np.sqrt(k)
    best = first
    value = _exact_distance(s, states[first]) - radii[first]
    if stop_when_covered and value <= 0.0:
        return best, value
    boxes = np.empty(nb, dtype=np.float32)
    _box_distances(s32, low, high, boxes)
    acc = np.empty(LANES, dtype=np.float32)
    # The block whose box is nearest first: it is likely to hold the best, and then rules out most others.
    start = np.argmin(boxes)
    for position in range(nb):
        b = position
        if position == 0:
            b = int(start)
        elif position == start:
            b = 0
        reach = radius[b] + min(value, most) + absolute
        if reach < 0.0:
            continue
        limit = np.float32(reach * reach * relative * relative * (1.0 + 4.0 * u))
        if boxes[b] > limit:
            continue
        steps = (reach / step + off) * relative
        if not _codes_reach(codes[b], coded, np.float32(steps * steps * (1.0 + 4.0 * u)), acc):
            continue
        if not _block_distances(blocks[b], s32, limit, acc):
            continue
        for lane in range(LANES):
            j = b * LANES + lane
            if j >= m or acc[lane] > limit:
                continue
            excess = _exact_distance(s, states[j]) - radii[j]
            if excess < value:
                best, value = j, excess
                if stop_when_covered and value <= 0.0:
                    return best, value
    return best, value
