"""What simulated trials teach of the margin to go: what a monitor was shown in some ticks, and what came of it.

A tick teaches what is left if a backup takes over `wait` ticks later: the least of the trial's own margins until then,
and of those under the backup from there on. Who waits so long with a trial that is lost has waited too long, and a safe
one has shown by then that its margins turn: the farther the two are apart, the less has to be stopped in vain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from safebo.boundary.margin_to_go import LAGS, Episode, features, moves, recent
from safebo.types import FloatArray, SwitchedTrial

Margins = Mapping[str, FloatArray]

WAIT_S = 0.016
"""Seconds that a monitor looks ahead before a backup would take over."""

FIT_TICKS = 3
"""Random ticks of a trial in which backups are tried to learn from."""

LATE_TICKS = 5
LATE_S = 0.1
"""Further ones of a trial that breaks a margin, and in how many seconds before that."""

LOW_TICKS = 60
OTHER_TICKS = 15
"""Ticks of a trial that teach without a switch: of the third with the least margins, and of all."""


@dataclass(frozen=True)
class Shown:
    """What a monitor was shown in some ticks of a trial.

    Args:
        states: unscaled, `n x k`.
        phase: share of the stride that had passed, `n`.
        margins: those that are shown, in these ticks and some before, `n x (1 + L) x q`
            (`safebo.boundary.margin_to_go.recent`).
    """

    states: FloatArray
    phase: FloatArray
    margins: FloatArray

    @classmethod
    def of(cls, found: SwitchedTrial, ticks: Sequence[int]) -> Shown:
        """Of a simulated trial."""
        at, n = np.asarray(ticks, dtype=np.int64), len(found.states)
        phase = found.phase if len(found.phase) else np.zeros(n)
        margins = np.column_stack(list(found.shown.values())) if found.shown else np.zeros((n, 0))
        return cls(found.states[at], phase[at], recent(margins, at))

    def features(self, scale: FloatArray, units: FloatArray) -> FloatArray:
        """As the model takes them, `n x (k + 2 + (1 + L) q)`."""
        return features(self.states, self.phase, scale, self.margins, units)


@dataclass(frozen=True)
class Taught:
    """What one trial teaches.

    Args:
        tried: what was shown `wait` ticks before the switches that were tried, `m` ticks.
        to_go: what was left then, by margin, `m` times the number of backups.
        free: what was shown in further ticks, `f`.
        own: by margin the least of the trial's own until a backup would have come in, for both, `m + f`.
        certain: of the further ticks those after which the trial broke a margin before a backup would have taken over.
    """

    tried: Shown
    to_go: Margins
    free: Shown
    own: Margins
    certain: NDArray[np.bool_]

    def episode(
        self, scale: FloatArray, units: FloatArray, tried: FloatArray, own: FloatArray, agrees: bool
    ) -> Episode:
        """For the model.

        Args:
            scale: of the states.
            units: of the margins shown.
            tried: margins to go in the ticks that were tried, scaled, `m x p`.
            own: those of the trial's own gains in the further ones, `f x p`.
            agrees: whether the further ones all teach, or the certain ones alone.
        """
        rows = np.ones(len(own), dtype=np.bool_) if agrees else self.certain
        return Episode(
            np.concatenate([self.tried.features(scale, units), self.free.features(scale, units)[rows]]),
            np.concatenate([tried, own[rows]]),
        )


def tried_ticks(found: SwitchedTrial, kept: int, broke: bool, seed: int) -> list[int]:
    """Ticks of a trial in which backups are tried, in their order.

    Args:
        found: the trial, unwatched.
        kept: ticks before a margin was broken.
        broke: whether one was.
        seed: of the choice.
    """
    rng, n = np.random.default_rng([seed, 1]), max(1, kept)
    ticks = rng.integers(0, n, FIT_TICKS).tolist()
    if broke:
        ticks += rng.integers(max(0, n - round(LATE_S / found.period)), n, LATE_TICKS).tolist()
    return sorted(set(ticks))


def taught(
    found: SwitchedTrial,
    own: Margins,
    units: Mapping[str, float],
    ticks: Sequence[int],
    to_go: Margins,
    seed: int,
) -> Taught:
    """What one trial teaches.

    Args:
        found: the trial, unwatched.
        own: its margins in every tick, above the threshold, on the modelled scale.
        units: by which they are compared with each other.
        ticks: in which backups were tried; may be none.
        to_go: what was left from there on, of every tick and backup, on the same scale.
        seed: of what is drawn.
    """
    wait = round(WAIT_S / found.period)
    ahead = {name: _ahead(values, wait + found.ramp) for name, values in own.items()}
    lowest = np.min([values / units[name] for name, values in ahead.items()], axis=0)
    waited = np.min([_ahead(values, wait + 1) for values in own.values()], axis=0)
    free = _free_ticks(lowest, waited, seed)
    before = [max(0, tick - wait) for tick in ticks]
    places = [*before, *free.tolist()]
    return Taught(
        Shown.of(found, before),
        {name: _with_wait(values, own[name], before, ticks) for name, values in to_go.items()},
        Shown.of(found, free.tolist()),
        {name: values[places] for name, values in ahead.items()},
        waited[free] < 0.0,
    )


def _free_ticks(lowest: FloatArray, waited: FloatArray, seed: int) -> NDArray[np.int64]:
    """Ticks that teach without a switch: random ones among the lowest and among all, and those just before a margin was
    broken.
    """
    rng, n = np.random.default_rng([seed, 2]), len(lowest)
    third = np.argsort(lowest, kind="stable")[: max(1, n // 3)]
    drawn = [rng.permutation(third)[:LOW_TICKS], rng.integers(0, n, OTHER_TICKS)]
    return np.unique(np.concatenate([*drawn, np.flatnonzero(waited < 0.0)[:LOW_TICKS]]))


def _with_wait(to_go: FloatArray, own: FloatArray, before: Sequence[int], ticks: Sequence[int]) -> FloatArray:
    """Margins to go from some ticks before the switches on, `m` times the number of backups."""
    waited = [float(own[start : tick + 1].min()) for start, tick in zip(before, ticks, strict=True)]
    backups = len(to_go) // max(1, len(ticks))
    return np.asarray(np.minimum(to_go, np.repeat(waited, backups)))


def _ahead(values: FloatArray, ticks: int) -> FloatArray:
    """The least of some values over so many ticks from each on, `n`; fewer at the end."""
    padded = np.concatenate([values, np.full(ticks - 1, np.inf)])
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, ticks).min(axis=1))


def shown_units(seen: Sequence[Shown]) -> FloatArray:
    """Standard deviations of the margins shown and of their changes, `(1 + L) x q`."""
    spread = np.std(np.concatenate([moves(one.margins) for one in seen]), axis=0)
    return np.where(spread > 0.0, spread, 1.0).reshape(1 + len(LAGS), -1)
