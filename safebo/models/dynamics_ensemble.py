"""What the next state is, learned by a few small models; where they disagree, a trial would tell something.

Members predict x[t+1] - x[t] from the state and from what was set in the trial. Each is a linear regression on the
inputs and on random Fourier features of its own (Rahimi and Recht 2007), pulled towards random weights of its own
(randomized prior functions, Osband et al. 2018, arXiv 1806.03335): a draw from the regression's posterior, so that
members agree where there are data and differ elsewhere. A trial is scored by the information that OPAX (Sukhija et al.
2023, arXiv 2306.12371) and SoftAE (Zheng et al. 2025, arXiv 2510.27428) maximise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from safebo.types import FloatArray

MEMBERS = 5
FEATURES = 200
"""Random features of a member."""
LENGTHSCALES = (0.5, 1.0, 2.0)
"""Among these, times the root of the number of inputs, the marginal likelihood chooses."""
POINT_SCALE = 4.0
"""A quarter of a parameter's range counts as much as one standard deviation of a state."""
MAX_ROWS = 8_000
"""Steps that are learned from, evenly over all."""
MAX_STEPS = 500
"""Steps of a predicted trial."""
LEAST_NOISE = 0.01
"""Noise of a step, of the steps' standard deviation, below which a plant counts as free of noise."""
NOISE_ROUNDS = 30
NOTHING_LEFT = 0.1
"""Members that differ by less, of the steps' standard deviation, have nothing left to learn."""


@dataclass(frozen=True)
class StatePath:
    """States of one trial, at equal steps of time.

    Args:
        point: parameters and context in the unit cube, `p`.
        states: `n x k`, in the evaluator's units, n >= 2.
    """

    point: FloatArray
    states: FloatArray


@dataclass(frozen=True)
class Disagreement:
    """What trials at some points would tell.

    Args:
        score: mean over the predicted trial of sum_d log(1 + sigma_d^2 / noise_d^2), nats a step, `c`.
        std: mean of sigma_d over the steps' standard deviation, `c`.
    """

    score: FloatArray
    std: FloatArray

    @property
    def nothing_left(self) -> bool:
        """Whether the members agree on all of them."""
        return bool((self.std < NOTHING_LEFT).all())


@dataclass(frozen=True)
class _Statistics:
    """Of `n` rows of features Phi (`n x f`) and targets Y (`n x k`): eigenvalues of Phi'Phi, `f`, its eigenvectors as
    columns, Phi'Y in their basis, `f x k`, and sums of squares of Y, `k`.
    """

    eigenvalues: FloatArray
    basis: FloatArray
    projected: FloatArray
    squares: FloatArray
    rows: int

    @classmethod
    def of(cls, features: FloatArray, targets: FloatArray) -> _Statistics:
        values, basis = np.linalg.eigh(features.T @ features)
        squares = np.square(targets).sum(0)
        return cls(np.maximum(values, 0.0), basis, basis.T @ (features.T @ targets), squares, len(targets))

    def noise(self) -> FloatArray:
        """Variance of the one-step residuals, `k`, by the fixed point of the evidence (MacKay 1992)."""
        variance, values = 0.1 * self.squares / self.rows, self.eigenvalues[:, None]
        for _ in range(NOISE_ROUNDS):
            variance = np.maximum(variance, LEAST_NOISE**2)
            weights = self.projected / (values + variance)
            left = self.squares - (weights * (2.0 * self.projected - values * weights)).sum(0)
            variance = left / np.maximum(self.rows - (values / (values + variance)).sum(0), 1.0)
        return np.asarray(np.maximum(variance, LEAST_NOISE**2))

    def log_evidence(self, noise: FloatArray) -> float:
        """Log marginal likelihood of all targets, but for a constant."""
        shrunk = self.eigenvalues[:, None] + noise
        fit = (self.squares - (self.projected**2 / shrunk).sum(0)) / noise
        volume = np.log(shrunk).sum(0) + (self.rows - len(shrunk)) * np.log(noise)
        return -0.5 * float((fit + volume).sum())

    def draw(self, noise: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Weights from the posterior, `f x k`, by fitting perturbed targets towards random weights."""
        values, shape = self.eigenvalues[:, None], self.projected.shape
        start, perturbed = rng.standard_normal(shape), rng.standard_normal(shape)
        gap = self.projected + np.sqrt(values * noise) * perturbed - values * start
        return np.asarray(self.basis @ (start + gap / (values + noise)))


def _features(inputs: FloatArray, frequencies: FloatArray, phases: FloatArray) -> FloatArray:
    """A constant, the inputs, and cosines; weights are standard normal beforehand."""
    waves = np.cos(inputs @ frequencies + phases) * np.sqrt(2.0 / FEATURES)
    return np.hstack([np.ones((len(inputs), 1)), inputs / np.sqrt(inputs.shape[1]), waves])


class DynamicsEnsemble:
    """Small models of one plant's steps. The same paths and seed give the same members, bit for bit.

    Args:
        paths: of trials, all with the same `p` and `k`.
        seed: of the members.

    Raises:
        ValueError: no paths, or paths of different widths, too short, or not finite.

    Example:
        >>> swing = [[0.9**t] for t in range(40)]
        >>> paths = [StatePath(np.array([0.2]), np.array(swing))] * 3
        >>> found = DynamicsEnsemble(paths).disagreement(np.array([[0.2], [1.0]]))
        >>> bool(found.score[1] > found.score[0])
        True
    """

    def __init__(self, paths: Sequence[StatePath], seed: int = 0) -> None:
        _check(paths)
        self.paths = tuple(paths)
        states = np.concatenate([path.states for path in paths])
        steps = np.concatenate([np.diff(path.states, axis=0) for path in paths])
        self.low, self.high = states.min(0), states.max(0)
        self._mean, self._scale = states.mean(0), _spread(states)
        self._step_scale = _spread(steps)
        inputs = np.concatenate([self._inputs(path.states[:-1], path.point) for path in paths])
        rows = np.linspace(0, len(steps) - 1, min(len(steps), MAX_ROWS)).round().astype(int)
        self._fit(inputs[rows], steps[rows] / self._step_scale, seed)

    def _fit(self, inputs: FloatArray, targets: FloatArray, seed: int) -> None:
        width, members, noises = inputs.shape[1], list[tuple[FloatArray, ...]](), list[FloatArray]()
        lengthscale, most = 1.0, -np.inf
        normal = np.random.default_rng([seed, MEMBERS]).standard_normal((width, FEATURES))
        phases = np.random.default_rng([seed, MEMBERS + 1]).uniform(0.0, 2.0 * np.pi, FEATURES)
        for factor in LENGTHSCALES:
            found = _Statistics.of(_features(inputs, normal / (factor * np.sqrt(width)), phases), targets)
            if (evidence := found.log_evidence(found.noise())) > most:
                lengthscale, most = factor * np.sqrt(width), evidence
        for number in range(MEMBERS):
            rng = np.random.default_rng([seed, number])
            frequencies = rng.standard_normal((width, FEATURES)) / lengthscale
            phases = rng.uniform(0.0, 2.0 * np.pi, FEATURES)
            statistics = _Statistics.of(_features(inputs, frequencies, phases), targets)
            noises.append(statistics.noise())
            members.append((frequencies, phases, statistics.draw(noises[-1], rng)))
        frequencies, phases, self._weights = (np.stack(parts) for parts in zip(*members, strict=True))
        self._frequencies, self._phases = np.hstack(tuple(frequencies)), phases.reshape(-1)
        self._noise = np.asarray(np.mean(noises, axis=0))

    def _inputs(self, states: FloatArray, points: FloatArray) -> FloatArray:
        """States (`n x k`) and points (`p` or `n x p`) as the members' inputs."""
        shown = np.broadcast_to(POINT_SCALE * points, (len(states), np.shape(points)[-1]))
        return np.hstack([(states - self._mean) / self._scale, shown])

    def _predicted(self, states: FloatArray, points: FloatArray) -> FloatArray:
        """Every member's steps over their standard deviation, `m x n x k`."""
        inputs = self._inputs(states, points)
        plain, linear = self._weights[:, :-FEATURES], inputs / np.sqrt(inputs.shape[1])
        # Cosines of single precision take a tenth of the time.
        waves = np.cos((inputs @ self._frequencies + self._phases).astype(np.float32))
        by_member = waves.reshape(len(inputs), MEMBERS, FEATURES).transpose(1, 0, 2)
        curved = by_member @ (np.sqrt(2.0 / FEATURES) * self._weights[:, -FEATURES:]).astype(np.float32)
        return np.asarray(plain[:, :1] + linear @ plain[:, 1:] + curved)

    @property
    def noise(self) -> FloatArray:
        """Standard deviation of a step that no member explains, in the states' units, `k`."""
        return np.asarray(np.sqrt(self._noise) * self._step_scale)

    def one_step_error(self, path: StatePath) -> float:
        """How far the members' mean was from the steps of a trial: root mean square, over the steps' standard
        deviation.
        """
        mean = self._predicted(path.states[:-1], path.point).mean(0)
        off = mean - np.diff(path.states, axis=0) / self._step_scale
        return float(np.sqrt(np.square(off).mean()))

    def disagreement(self, points: FloatArray, starts: Sequence[Sequence[int]] | None = None) -> Disagreement:
        """What trials at points would tell, before they are made.

        Every member predicts a trial from measured first states; on each of these trajectories all members are
        compared. States are kept within what was measured, so that no prediction runs away.

        Args:
            points: `c x p`.
            starts: for each of them the numbers of the paths from whose first states it starts, as many for each;
                None: all.
        """
        chosen = [range(len(self.paths))] * len(points) if starts is None else starts
        first = np.array([[self.paths[i].states[0] for i in some] for some in chosen])  # c x s x k
        lengths = [len(self.paths[i].states) - 1 for some in chosen for i in some]
        c, s, k = first.shape
        states = np.repeat(first[:, :, None], MEMBERS, axis=2).reshape(-1, k)
        shown, own = np.repeat(points, s * MEMBERS, axis=0), np.arange(len(states)) % MEMBERS
        steps = min(MAX_STEPS, int(np.median(lengths)))
        score, std = np.zeros(len(states)), np.zeros(len(states))
        for _ in range(steps):
            predicted = self._predicted(states, shown)
            variance = predicted.var(axis=0, ddof=1)
            score += np.log1p(variance / self._noise).sum(1)
            std += np.sqrt(variance).mean(1)
            moved = states + predicted[own, np.arange(len(states))] * self._step_scale
            states = np.clip(moved, self.low, self.high)
        return Disagreement(*(total.reshape(c, -1).mean(1) / steps for total in (score, std)))


def _spread(values: FloatArray) -> FloatArray:
    """Standard deviation by column, 1 where nothing changes."""
    found = values.std(0)
    return np.where(found > 1e-12 * np.maximum(1.0, np.abs(values).max(0)), found, 1.0)


def _check(paths: Sequence[StatePath]) -> None:
    if not paths:
        raise ValueError("no paths of states to learn from")
    for path in paths:
        same = (path.states.shape[1:], path.point.shape) == (paths[0].states.shape[1:], paths[0].point.shape)
        if path.states.ndim != 2 or len(path.states) < 2 or not same:
            raise ValueError("paths of states must be n x k with n >= 2, of one k and one p")
        if not (np.isfinite(path.states).all() and np.isfinite(path.point).all()):
            raise ValueError("paths of states must be finite")
