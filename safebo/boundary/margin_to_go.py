"""The smallest margin still to come if a backup takes over now: a model learned from simulated switches, a bound on it
that holds for whole episodes, and the monitor that triggers by it.

A backup is known by what became of the robot when its gains took over in many states, of which some went wrong.
The model is a Gaussian process on the most informative of those states, with prior mean 0, the limit: where nothing was
seen, nothing is promised. How far it may be off is not taken from its own variance, but measured on episodes that it
did not learn from (split conformal prediction, one score an episode): for an episode exchangeable with the `N` of the
calibration, the bound is at most the true margin in every tick of the grid and for every backup at once, with
probability at least `1 - alpha`. A real robot, or gains drawn otherwise, are exchangeable with them only as far as the
simulator is right.

Numpy and numba alone: a robot's side imports it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from safebo.boundary.compiled import njit
from safebo.boundary.kernels import radial_kernel
from safebo.boundary.subset import informative_rows

FloatArray = NDArray[np.float64]

ROWS = 400
"""States that the model keeps. All backups together are then decided in 40 microseconds a tick, with 500 in 45."""

LENGTHSCALES = (1.5, 3.0, 6.0, 12.0)
NOISES = (0.03, 0.1, 0.3)
"""Tried in the fit: lengthscales in units of scaled distance, and noise as a share of the prior's deviation."""


@dataclass(frozen=True)
class Episode:
    """What one simulated walk shows of the margin to go.

    Args:
        features: of its ticks, see `features`, `n x k`.
        margins: smallest margin from a tick on if backup b takes over there, over all constraints, warped, above the
            threshold; nan in ticks where no switch was tried, `n x p`.
    """

    features: FloatArray
    margins: FloatArray

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or self.margins.ndim != 2 or len(self.features) != len(self.margins):
            raise ValueError(
                "an episode has features n x k and margins n x p, got shapes "
                f"{self.features.shape} and {self.margins.shape}"
            )
        if not np.isfinite(self.features).all():
            raise ValueError("an episode's features must be finite")
        if not self.tried.any():
            raise ValueError("an episode needs a tick in which every backup was tried")

    @property
    def tried(self) -> NDArray[np.bool_]:
        """Ticks with a margin of every backup, `n`."""
        return np.asarray(np.isfinite(self.margins).all(axis=1))


def features(states: FloatArray, phase: FloatArray | float, scale: FloatArray) -> FloatArray:
    """What the margin to go depends on: scaled states, and the sine and cosine of the gait's phase.

    Args:
        states: as a monitor sees them, `k` or `n x k`.
        phase: share of the stride that has passed, 0 to 1, a number or `n`.
        scale: change of every coordinate that counts as one unit of distance, `k`.

    Returns:
        `k + 2` or `n x (k + 2)`.
    """
    angle = 2.0 * math.pi * np.asarray(phase)
    turn = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    return np.concatenate([np.asarray(states) / scale, turn], axis=-1)


@dataclass(frozen=True)
class MarginModel:
    """Mean and standard deviation of the margin to go of every backup.

    Make one with `fit`. All backups share rows and kernel, so that one tick costs them one kernel vector.

    Args:
        rows: features, `m x k`.
        weights: of the mean, `m x p`.
        inverse: of the lower Cholesky factor of the rows' correlations and noise, `m x m`.
        lengthscale: in units of scaled distance.
        std: of the prior, warped.
        noise: of what the rows say, as a share of `std`.
    """

    rows: FloatArray
    weights: FloatArray
    inverse: FloatArray
    lengthscale: float
    std: float
    noise: float

    @classmethod
    def fit(cls, episodes: Sequence[Episode], rows: int = ROWS) -> MarginModel:
        """A Gaussian process (Matern 3/2, prior mean 0) on the most informative ticks of some episodes.

        Its standard deviation is the margins' root mean square. Its lengthscale and noise are those of `LENGTHSCALES`
        and `NOISES` with which every other episode makes the rest likeliest.

        Raises:
            ValueError: no episode, or episodes of different widths.
        """
        if not episodes:
            raise ValueError("a model of the margin to go needs an episode")
        if len({(e.features.shape[1], e.margins.shape[1]) for e in episodes}) > 1:
            raise ValueError("all episodes must have the same features and backups")
        x, y = _ticks(episodes)
        std = max(float(np.sqrt(np.mean(np.square(y)))), 1e-6)
        half, (others, margins) = _ticks(episodes[::2]), _ticks(episodes[1::2] or episodes)
        best, chosen = -math.inf, (LENGTHSCALES[0], NOISES[0])
        for lengthscale in LENGTHSCALES:
            kept = np.sort(informative_rows(half[0], rows, lengthscale, spared=0.0).rows)
            for noise in NOISES:
                model = cls._at(half[0][kept], half[1][kept], lengthscale, std, noise)
                mean, deviation = model.predict(others)
                error = (margins - mean) / deviation[:, None]
                found = -float(np.mean(0.5 * np.square(error) + np.log(deviation[:, None])))
                if found > best:
                    best, chosen = found, (lengthscale, noise)
        kept = np.sort(informative_rows(x, rows, chosen[0], spared=0.0).rows)
        return cls._at(x[kept], y[kept], chosen[0], std, chosen[1])

    @classmethod
    def _at(cls, x: FloatArray, y: FloatArray, lengthscale: float, std: float, noise: float) -> MarginModel:
        """The model of some rows, at one choice of hyperparameters."""
        across = np.sqrt(np.square(x[:, None] - x[None]).sum(-1))
        matrix = radial_kernel("matern32").correlation(across / lengthscale, np)
        factor = np.linalg.cholesky(matrix + noise * noise * np.eye(len(x)))
        inverse: FloatArray = np.linalg.solve(factor, np.eye(len(x))).astype(np.float64)
        weights = np.ascontiguousarray(inverse.T @ (inverse @ y))
        return cls(np.ascontiguousarray(x), weights, inverse, lengthscale, std, noise)

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self.rows)

    @property
    def parts(self) -> tuple[FloatArray, FloatArray, FloatArray, float, float, float]:
        """All of it, as compiled functions take it."""
        return self.rows, self.weights, self.inverse, self.lengthscale, self.std, self.noise

    def predict(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Means `n x p` and standard deviations, noise included, `n` at features `n x k`."""
        x = np.ascontiguousarray(x, dtype=np.float64)
        mean, std = np.empty((len(x), self.weights.shape[1])), np.empty(len(x))
        for i in range(len(x)):
            std[i] = _predict(x[i], *self.parts, mean[i])
        return mean, std


def _ticks(episodes: Sequence[Episode]) -> tuple[FloatArray, FloatArray]:
    """Features and margins of all ticks of some episodes in which switches were tried."""
    x = np.concatenate([e.features[e.tried] for e in episodes])
    return x, np.concatenate([e.margins[e.tried] for e in episodes])


@dataclass(frozen=True)
class Calibration:
    """How far a model of the margin to go may be off, measured on episodes that it did not learn from.

    Make one with `calibrated`.

    Args:
        quantile: of the scores, standard deviations to take from the mean.
        reserve: what the bound of one backup must exceed for the trial to go on, warped.
        episodes: of the calibration.
        alpha: largest share of episodes in which the bound is above the margin.
    """

    quantile: float
    reserve: float
    episodes: int
    alpha: float

    @property
    def guarantee(self) -> str:
        """What the bound promises, for messages."""
        return (
            f"in a whole episode, with probability {1.0 - self.alpha:g}, the bound is at most the margin to go of "
            f"every backup, if the episode is exchangeable with the {self.episodes} simulated ones of the calibration"
        )


def conformal_quantile(scores: FloatArray, alpha: float) -> float:
    """The `ceil((1 - alpha) (N + 1))`-th smallest of `N` scores: a new exchangeable one exceeds it with probability at
    most `alpha`.

    Raises:
        ValueError: alpha outside 0 to 1, or too few scores for it.
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must be between 0 and 1, got {alpha:g}")
    n = len(scores)
    place = math.ceil((1.0 - alpha) * (n + 1) - 1e-9)
    if place > n:
        least = math.ceil(1.0 / alpha - 1e-9) - 1
        raise ValueError(f"alpha {alpha:g} needs at least {least} episodes of calibration, got {n}")
    return float(np.sort(scores)[place - 1])


def calibrated(
    model: MarginModel, episodes: Sequence[Episode], alpha: float = 0.05, delay: int = 0
) -> Calibration:
    """Calibrate a model on episodes disjoint from those of its fit.

    Score of an episode: the largest `(mean - margin) / std` over its ticks and backups. The reserve is the largest that
    the best backup's bound was in any tick of these episodes `delay + 1` ticks before it was negative: a robot whose
    bound keeps it still has a bound of at least 0 when the backup's first torque acts.

    Args:
        model: fitted.
        episodes: not those of the fit.
        alpha: share of episodes in which the bound may be above the margin.
        delay: ticks between the state that is judged and the first torque of the backup.

    Raises:
        ValueError: too few episodes for alpha.
    """
    told = [model.predict(episode.features) for episode in episodes]
    scores = np.array(
        [
            np.max((mean[e.tried] - e.margins[e.tried]) / std[e.tried, None])
            for e, (mean, std) in zip(episodes, told, strict=True)
        ]
    )
    quantile = conformal_quantile(scores, alpha)
    reserve = 0.0
    for mean, std in told:
        bound = np.max(mean - quantile * std[:, None], axis=1)
        before, after = bound[: -(delay + 1)], bound[delay + 1 :]
        reserve = max(reserve, float(np.max(before, initial=0.0, where=after < 0.0)))
    return Calibration(quantile, reserve, len(episodes), alpha)


class MarginMonitor:
    """Triggers as soon as no backup's bound on the margin to go keeps the reserve. Picklable.

    Args:
        model: of the margin to go.
        calibration: of that model.
        backups: the gains, `p`.
        scale: of the states, `k`.
        ramp: ticks in which gains went to the backup's in the switches that the model learned from.

    Raises:
        ValueError: shapes that do not fit.
    """

    def __init__(
        self,
        model: MarginModel,
        calibration: Calibration,
        backups: Sequence[Mapping[str, float]],
        scale: FloatArray,
        ramp: int = 10,
    ) -> None:
        if len(backups) != model.weights.shape[1] or len(scale) + 2 != model.rows.shape[1]:
            raise ValueError(
                f"the model is of {model.weights.shape[1]} backups and states of {model.rows.shape[1] - 2} numbers, "
                f"got {len(backups)} backups and {len(scale)} scales"
            )
        self.model, self.calibration = model, calibration
        self.backups: tuple[Mapping[str, float], ...] = tuple(dict(b) for b in backups)
        self.scale = np.asarray(scale, dtype=np.float64)
        self.ramp, self._parts = ramp, model.parts
        self._features = np.empty(len(scale) + 2)
        self._bounds = np.empty(len(backups))

    def bounds(self, state: FloatArray, phase: float) -> FloatArray:
        """Lower bound of every backup's margin to go, warped, `p`; the array is filled again by the next call.

        Args:
            state: unscaled, `k`.
            phase: share of the stride that has passed, 0 to 1.
        """
        np.divide(state, self.scale, out=self._features[:-2])
        self._features[-2], self._features[-1] = math.sin(2 * math.pi * phase), math.cos(2 * math.pi * phase)
        std = _predict(self._features, *self._parts, self._bounds)
        self._bounds -= self.calibration.quantile * std
        return self._bounds

    def check(self, state: FloatArray, phase: float) -> int:
        """-1 to go on, otherwise the index in `backups` of the gains to switch to, those with the largest bound.

        A state that is not finite triggers.
        """
        bounds = self.bounds(state, phase)
        best = int(np.argmax(bounds))
        # A comparison with a number that is not finite must trigger, too.
        return -1 if bounds[best] > self.calibration.reserve else best


@njit(cache=True, fastmath={"contract", "reassoc", "nsz"})
def _predict(
    x: FloatArray,
    rows: FloatArray,
    weights: FloatArray,
    inverse: FloatArray,
    lengthscale: float,
    prior: float,
    noise: float,
    mean: FloatArray,
) -> float:
    """Standard deviation at one row of features, and the means in `mean`."""
    m, k = rows.shape
    near = np.empty(m)
    for i in range(m):
        total = 0.0
        for j in range(k):
            d = x[j] - rows[i, j]
            total += d * d
        r = np.sqrt(3.0 * total) / lengthscale
        near[i] = (1.0 + r) * np.exp(-r)
    for p in range(mean.shape[0]):
        total = 0.0
        for i in range(m):
            total += near[i] * weights[i, p]
        mean[p] = total
    explained = 0.0
    for i in range(m):
        total = 0.0
        for j in range(i + 1):
            total += inverse[i, j] * near[j]
        explained += total * total
    return prior * np.sqrt(max(1.0 - explained, 0.0) + noise * noise)
