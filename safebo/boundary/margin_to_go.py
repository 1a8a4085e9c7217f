"""The smallest margin still to come if a backup takes over a few ticks from now, when it is nearly too late: a model
learned from simulated trials, and the monitor that triggers by it.

A backup is known by what became of the robot when its gains took over in many states, of which some went wrong.
Whether waiting goes wrong is told by the state, by the phase of the stride, and, where an evaluator shows them, by the
margins themselves and how they changed in the last ticks: a margin that falls fast is lost sooner than a smaller one
that has turned. The model is a Gaussian process with prior mean 0, the limit: where nothing was seen, nothing is
promised. Its bound, the mean less a standard deviation, ranks ticks; at which bound the monitor triggers is not taken
from the model, but measured on trials that it did not learn from (`safebo.boundary.calibration`).

Numpy and numba alone: a robot's side imports it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from safebo.boundary.calibration import Calibration
from safebo.boundary.compiled import njit
from safebo.boundary.kernels import radial_kernel
from safebo.boundary.subset import informative_rows

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

JITTER = 1e-8

ROWS = 300
"""States that the model keeps. All backups together are then decided in 22 microseconds a tick on one core, with 400 in
37."""

LENGTHSCALES = (2.0, 4.0, 8.0, 12.0)
NOISES = (0.03, 0.1, 0.3)
"""Tried in the fit: lengthscales in units of scaled distance, and noise as a share of the prior's deviation."""


CAUTION = 1.0
"""Standard deviations that a bound lies under the mean."""

LAGS = (1, 3, 6)
"""Ticks over which a monitor sees how the margins that it is shown have changed."""


@dataclass(frozen=True)
class Episode:
    """What one simulated trial shows of the margin to go.

    Args:
        features: of the ticks in which switches were tried, see `features`, `n x k`.
        margins: smallest margin from there on if backup b takes over, over all constraints, scaled so that 0 is the
            limit and 1 is ample, `n x p`.
    """

    features: FloatArray
    margins: FloatArray

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or self.margins.ndim != 2 or len(self.features) != len(self.margins):
            raise ValueError(
                "an episode has features n x k and margins n x p, got shapes "
                f"{self.features.shape} and {self.margins.shape}"
            )
        if not (np.isfinite(self.features).all() and np.isfinite(self.margins).all()):
            raise ValueError("an episode's features and margins must be finite")


def recent(shown: FloatArray, ticks: Sequence[int] | IntArray | int) -> FloatArray:
    """Margins in some ticks and those of `LAGS` ticks before, `1 + L` rows each.

    Args:
        shown: margins in every tick of a trial from its first, `n x q`.
        ticks: a number, or `m`.

    Returns:
        `(1 + L) x q`, or `m x (1 + L) x q`; before the trial the margins were those of its first tick.
    """
    back = np.asarray(ticks)[..., None] - np.array((0, *LAGS))
    return np.asarray(shown[np.maximum(back, 0)])


def moves(recent_margins: FloatArray) -> FloatArray:
    """Margins and their changes since `LAGS` ticks before, of the shape of what `recent` returns."""
    now = recent_margins[..., :1, :]
    return np.concatenate([now, now - recent_margins[..., 1:, :]], axis=-2)


def features(
    states: FloatArray,
    phase: FloatArray | float,
    scale: FloatArray,
    recent_margins: FloatArray | None = None,
    units: FloatArray | None = None,
) -> FloatArray:
    """What the margin to go depends on: scaled states, the sine and cosine of the gait's phase, and scaled margins with
    their changes, where they are shown.

    Args:
        states: as a monitor sees them, `k` or `n x k`.
        phase: share of the stride that has passed, 0 to 1, a number or `n`.
        scale: change of every coordinate that counts as one unit of distance, `k`; infinite where it does not count.
        recent_margins: as `recent` returns them, of the same ticks.
        units: of the margins and of their changes, `(1 + L) x q`.

    Returns:
        `k + 2 + (1 + L) q` numbers, or as many columns of `n` rows.
    """
    states = np.asarray(states, dtype=np.float64)
    lags, units = 1 + len(LAGS), np.ones((1 + len(LAGS), 0)) if units is None else units
    rows = states.reshape(-1, states.shape[-1])
    phases = np.broadcast_to(np.asarray(phase, dtype=np.float64).reshape(-1), len(rows))
    shown = np.zeros((len(rows), lags, 0)) if recent_margins is None else recent_margins
    shown = shown.reshape(len(rows), lags, units.shape[1])
    out = np.empty((len(rows), rows.shape[1] + 2 + units.size))
    for row, turn, margins, into in zip(rows, phases, shown, out, strict=True):
        _fill(row, scale, turn, margins, units, into)
    return out.reshape(*states.shape[:-1], out.shape[1])


@dataclass(frozen=True)
class MarginModel:
    """Mean and standard deviation of the margin to go of every backup.

    Make one with `fit`. All backups share rows and kernel, so that one tick costs them one kernel vector.

    Args:
        rows: features, `m x k`.
        weights: of the mean, `m x p`.
        inverse: of the lower Cholesky factor of the rows' correlations and noise, `m x m`.
        lengthscale: in units of scaled distance.
        std: of the prior.
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
        """A Gaussian process (squared exponential, prior mean 0) on the most informative ticks of some episodes.

        The mean is that of the projected process (deterministic training conditional), which every tick informs; the
        standard deviation is that of the kept rows alone. The prior's is the margins' root mean square. Lengthscale and
        noise are those of `LENGTHSCALES` and `NOISES` with which every other episode makes the rest likeliest.

        Raises:
            ValueError: no tick, or episodes of different widths.
        """
        return cls.fit_best([episodes], rows)[1]

    @classmethod
    def fit_best(cls, variants: Sequence[Sequence[Episode]], rows: int = ROWS) -> tuple[int, MarginModel]:
        """The model of those episodes, of several ways to describe the same ones, that explain each other best: which
        way, and the model; see `fit`.

        Raises:
            ValueError: as `fit`.
        """
        found = [cls._hyperparameters(episodes, rows) for episodes in variants]
        best = max(range(len(found)), key=lambda i: found[i][0])
        x, y = _ticks(variants[best])
        _, lengthscale, noise = found[best]
        kept = np.sort(informative_rows(x, rows, lengthscale, spared=0.0).rows)
        return best, cls._at(x, y, kept, lengthscale, _prior(y), noise)

    @classmethod
    def _hyperparameters(cls, episodes: Sequence[Episode], rows: int) -> tuple[float, float, float]:
        """How likely every other episode makes the rest at best, and the lengthscale and noise with which it does."""
        episodes = [e for e in episodes if len(e.features)]
        if not episodes:
            raise ValueError("a model of the margin to go needs an episode")
        if len({(e.features.shape[1], e.margins.shape[1]) for e in episodes}) > 1:
            raise ValueError("all episodes must have the same features and backups")
        std = _prior(_ticks(episodes)[1])
        half, (others, margins) = _ticks(episodes[::2]), _ticks(episodes[1::2] or episodes)
        found = []
        for lengthscale in LENGTHSCALES:
            kept = np.sort(informative_rows(half[0], rows, lengthscale, spared=0.0).rows)
            for noise in NOISES:
                model = cls._at(*half, kept, lengthscale, std, noise)
                mean, deviation = model.predict(others)
                error = (margins - mean) / deviation[:, None]
                likely = -float(np.mean(0.5 * np.square(error) + np.log(deviation[:, None])))
                found.append((likely, lengthscale, noise))
        return max(found, key=lambda one: one[0])

    @classmethod
    def _at(
        cls, x: FloatArray, y: FloatArray, kept: IntArray, lengthscale: float, std: float, noise: float
    ) -> MarginModel:
        """The model of all ticks through the kept ones, at one choice of hyperparameters."""
        correlation = radial_kernel("rbf").correlation
        rows = np.ascontiguousarray(x[kept])
        among = correlation(_distances(rows, rows) / lengthscale, np)
        across = correlation(_distances(rows, x) / lengthscale, np)
        variance, eye = noise * noise, np.eye(len(rows))
        # The jitter is far below the noise; without it rows that nearly coincide have no factor.
        root = np.linalg.cholesky(among + JITTER * eye)
        spread = np.linalg.solve(root, across)
        inner = np.linalg.solve(variance * eye + spread @ spread.T, spread @ y)
        weights = np.ascontiguousarray(np.linalg.solve(root.T, inner))
        factor = np.linalg.cholesky(among + variance * eye)
        inverse: FloatArray = np.linalg.solve(factor, eye).astype(np.float64)
        return cls(rows, weights, inverse, lengthscale, std, noise)

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


def _prior(margins: FloatArray) -> float:
    """Standard deviation of a process with mean 0 that has these margins: their root mean square."""
    return max(float(np.sqrt(np.mean(np.square(margins)))), 1e-6)


def _ticks(episodes: Sequence[Episode]) -> tuple[FloatArray, FloatArray]:
    """Features and margins of all ticks of some episodes."""
    return np.concatenate([e.features for e in episodes]), np.concatenate([e.margins for e in episodes])


def _distances(a: FloatArray, b: FloatArray) -> FloatArray:
    """Between rows of two arrays, `m x n`, without the memory of all differences."""
    squared = np.square(a).sum(1)[:, None] + np.square(b).sum(1)[None] - 2.0 * (a @ b.T)
    return np.sqrt(np.maximum(squared, 0.0))


class MarginMonitor:
    """Triggers as soon as no backup's bound on the margin to go lies above the level of its calibration. Picklable.

    Args:
        model: of the margin to go.
        calibration: of the monitor's triggers.
        backups: the gains, `p`.
        scale: of the states, `k`.
        ramp: ticks in which gains went to the backup's in the switches that the model learned from.
        shown: names of the margins that it has to be shown in every tick, `q`.
        units: of these margins and of their changes since `LAGS` ticks before, `(1 + L) x q`.

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
        shown: Sequence[str] = (),
        units: FloatArray | None = None,
    ) -> None:
        moving = (1 + len(LAGS)) * len(shown)
        width = model.rows.shape[1] - 2 - moving
        if len(backups) != model.weights.shape[1] or len(scale) != width:
            raise ValueError(
                f"the model is of {model.weights.shape[1]} backups and states of {width} numbers, "
                f"got {len(backups)} backups and {len(scale)} scales"
            )
        self.units = np.ones((1 + len(LAGS), 0)) if units is None else np.asarray(units, dtype=np.float64)
        if self.units.shape != (1 + len(LAGS), len(shown)) or not (self.units > 0.0).all():
            raise ValueError(
                f"units of {len(shown)} margins shown are {1 + len(LAGS)} x {len(shown)} numbers > 0, "
                f"got shape {self.units.shape}"
            )
        self.model, self.calibration = model, calibration
        self.backups: tuple[Mapping[str, float], ...] = tuple(dict(b) for b in backups)
        self.scale = np.asarray(scale, dtype=np.float64)
        self.ramp, self.shown, self._parts = ramp, tuple(shown), model.parts
        self._features, self._nothing = np.empty(model.rows.shape[1]), np.zeros((1 + len(LAGS), 0))
        self._bounds = np.empty(len(backups))

    def bounds(self, state: FloatArray, phase: float, recent_margins: FloatArray | None = None) -> FloatArray:
        """Bound of every backup's margin to go, 0 at the limit, `p`; the array is filled again by the next call.

        Args:
            state: unscaled, `k`.
            phase: share of the stride that has passed, 0 to 1.
            recent_margins: those of `shown`, in this tick and some before, as `recent` returns them, `(1 + L) x q`.

        Raises:
            ValueError: the monitor needs margins and was shown none.
        """
        if recent_margins is None:
            if self.shown:
                raise ValueError(
                    f"this monitor has to be shown margins in every tick: {', '.join(self.shown)}"
                )
            recent_margins = self._nothing
        _fill(state, self.scale, phase, recent_margins, self.units, self._features)
        std = _predict(self._features, *self._parts, self._bounds)
        self._bounds -= CAUTION * std
        return self._bounds

    def check(self, state: FloatArray, phase: float = 0.0, recent_margins: FloatArray | None = None) -> int:
        """-1 to go on, otherwise the index in `backups` of the gains to switch to, those with the largest bound.

        A state that is not finite triggers. Of a trial without a stride the phase is always 0. For the margins see
        `bounds`.
        """
        bounds = self.bounds(state, phase, recent_margins)
        best = int(np.argmax(bounds))
        # A comparison with a number that is not finite must trigger, too.
        return -1 if bounds[best] > self.calibration.level else best


@njit(cache=True)
def _fill(
    state: FloatArray,
    scale: FloatArray,
    phase: float,
    recent_margins: FloatArray,
    units: FloatArray,
    out: FloatArray,
) -> None:
    """The features of one tick, into `out`; see `features`."""
    k, count = len(scale), units.shape[1]
    for i in range(k):
        out[i] = state[i] / scale[i]
    out[k], out[k + 1] = math.sin(2.0 * math.pi * phase), math.cos(2.0 * math.pi * phase)
    for j in range(count):
        out[k + 2 + j] = recent_margins[0, j] / units[0, j]
        for lag in range(1, len(units)):
            out[k + 2 + lag * count + j] = (recent_margins[0, j] - recent_margins[lag, j]) / units[lag, j]


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
        near[i] = np.exp(-0.5 * total / (lengthscale * lengthscale))
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
