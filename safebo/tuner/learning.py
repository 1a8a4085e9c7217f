"""A monitor of the margin to go for one context: learned and calibrated in trials whose backups can be tried.

Trials are drawn evenly from the box of the gains, by the scale of every parameter. The first `fit` of them teach the
model (`safebo.tuner.taught`): in each, all backups are tried in a few random ticks before a margin was broken, and in a
few more just before that, where it is decided whether a backup still saves the trial. Every other tick teaches for
nothing, where that agrees with what was tried: while gains are ramped the trial's own still act, so the margin to go is
hardly more than the least of its own until the ramp's end, and hardly less where backups recover. Where the first
trials show that it agrees, no further switch is tried to learn from.

Further trials calibrate (`safebo.boundary.calibration`): they are walked unwatched, and in those that break a margin
the backup of the moment is tried in the ticks in which the monitor would trigger, level by level. They are drawn until
`calibration` of them count.

Everything random follows from the seed of the trial before which the monitor is learned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from safebo.boundary.calibration import LEVELS, Calibration, conformal_quantile, least_level, trigger_ticks
from safebo.boundary.margin_to_go import CAUTION, Episode, MarginModel, MarginMonitor
from safebo.errors import SafeboError
from safebo.study import quantity_of
from safebo.study.space import Space
from safebo.tuner.backups import CertifiedBackup, state_scale
from safebo.tuner.encoding import StudyEncoding
from safebo.tuner.taught import Shown, Taught, shown_units, taught, tried_ticks
from safebo.types import FloatArray, SwitchedTrial, SwitchPlan, Trial

Walk = Callable[[Sequence[tuple[Trial, SwitchPlan]]], Sequence[SwitchedTrial]]
"""Walks some trials, each with its plan; what they showed in their order."""

Say = Callable[[str, int, int], None]
"""Is told what is done, how much of it, and of how much."""

AGREES = 1.0
"""They do where they are off from what was tried by at most this share of its standard deviation (root mean square): at
1 they say more of it than its mean does."""

AMPLE = 0.5
"""Share of the margin that backups typically keep from which on more of it counts alike: it is not near the limit."""

BATCH = 16
"""Trials of a calibration that are walked before it is looked at whether they suffice, whatever walks them."""

MOST_DRAWN = 20
"""Trials that are drawn for a calibration at most, for each that it needs."""

FEW = 10
"""Safe trials of a calibration under which it is no fault that a monitor ends all of them."""

MAX_DRAWS = 1000
"""Points of the box drawn for one trial until one keeps the study's linear constraints."""


MOST_BACKUPS = 3
"""That a monitor is learned for: each costs as many switches as the first."""


def chosen_backups(found: Sequence[CertifiedBackup], space: Space) -> list[CertifiedBackup]:
    """Few backups of which a monitor is learned: of every region the one with the largest lower bound, then those of
    the better half that lie farthest from the chosen ones, by the distance in the unit cube.

    Args:
        found: those with the largest lower bound first, at least one.
        space: of the gains.
    """
    unit = {one.trial: space.to_unit(space.vector(one.parameters, within=False)) for one in found}
    first = {one.region: one for one in reversed(found)}
    chosen = sorted(first.values(), key=found.index)[:MOST_BACKUPS]
    left = [one for one in found[: max(MOST_BACKUPS, (len(found) + 1) // 2)] if one not in chosen]

    def distance(one: CertifiedBackup) -> float:
        return min(float(np.linalg.norm(unit[one.trial] - unit[c.trial])) for c in chosen)

    while left and len(chosen) < MOST_BACKUPS:
        chosen.append(max(left, key=distance))
        left.remove(chosen[-1])
    return chosen


class MonitorLearning:
    """Learns one monitor.

    Args:
        encoding: of the study.
        trial: before which it is learned: its context, time and seed.
        backups: gains that may take over.
        walk: walks trials with switches.
        say: is told how far it is.
    """

    def __init__(
        self,
        encoding: StudyEncoding,
        trial: Trial,
        backups: Sequence[Mapping[str, Any]],
        walk: Walk,
        say: Say = lambda what, done, of: None,
    ) -> None:
        self._encoding, self._trial, self._walk, self._say = encoding, trial, walk, say
        self._spec = encoding.study.tuner.backup
        constraints = encoding.study.constraints
        self._names = tuple(quantity_of(c) for c in constraints)
        self._warps = dict(zip(self._names, encoding.warps[1:], strict=True))
        self._units = {quantity_of(c): c.prior_std for c in constraints}
        self._plan = SwitchPlan(
            tuple(dict(b) for b in backups), tuple(dict.fromkeys(self._names)), (), self._spec.horizon
        )

    def learn(self) -> MarginMonitor:
        """The monitor.

        Raises:
            SafeboError: what was drawn does not suffice, or no level saves enough trials but the highest.
            MeasurementError: states are not as wide as the study's scales say.
        """
        monitor = self._fit()
        monitor.calibration = self._calibrate(monitor)
        return monitor

    # -- what is drawn ---------------------------------------------------------------------------------------

    def _drawn(self, stream: int, number: int) -> Trial:
        """A trial with gains drawn evenly from the box."""
        space = self._encoding.space
        rng = np.random.default_rng([self._trial.seed, stream, number])
        for _ in range(MAX_DRAWS):
            row = space.proposals(rng.random((1, space.dimension)))[0]
            if space.keep([row])[0]:
                return replace(
                    self._trial,
                    parameters=space.named(row),
                    seed=int(np.random.SeedSequence([self._trial.seed, stream, number]).generate_state(1)[0]),
                )
        raise SafeboError(
            f"tuner.backup.rule margin_to_go: of {MAX_DRAWS} points of the box none keeps parameter_constraints, so "
            "that no trial can be drawn to learn from; narrow the bounds, or choose another rule"
        )

    def _margins(self, values: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Of every constraint, above the threshold, on the modelled scale."""
        return {
            name: np.asarray(warp.forward(values[name])) - warp.threshold()
            for name, warp in self._warps.items()
        }

    def _kept(self, found: SwitchedTrial) -> tuple[int, bool]:
        """Ticks before a margin was broken, and whether one was."""
        smallest = np.min([found.margins[name] for name in self._plan.margins], axis=0)
        broken = np.flatnonzero(smallest < 0.0)
        return (int(broken[0]), True) if len(broken) else (len(smallest), found.fell)

    # -- fit -------------------------------------------------------------------------------------------------

    def _fit(self) -> MarginMonitor:
        """The monitor, not calibrated."""
        found, names, ramp = self._taught()
        scale = state_scale(self._spec, found[0].tried.states.shape[1])
        units = shown_units([part for one in found for part in (one.tried, one.free)])
        # Margins that are shown may say all there is to know; then states would hide what counts.
        scales = [scale, np.full_like(scale, np.inf)] if names else [scale]
        agrees = self._agrees(found)
        way, model = MarginModel.fit_best(
            [[self._episode(one, s, units, agrees) for one in found] for s in scales]
        )
        nothing = Calibration(0.0, 0, self._spec.alpha, self._spec.horizon)
        return MarginMonitor(model, nothing, self._plan.backups, scales[way], ramp, names, units)

    def _taught(self) -> tuple[list[Taught], tuple[str, ...], int]:
        """What the trials taught that were drawn to learn from, the margins shown in them, and the ramp of switches."""
        drawn = [self._drawn(0, number) for number in range(self._spec.fit)]
        found, agrees, names, ramp = list[Taught](), False, tuple[str, ...](), 1
        for some in _batches(drawn):
            unwatched = self._walk([(trial, self._plan) for trial in some])
            ticks = [
                [] if agrees else tried_ticks(u, *self._kept(u), t.seed)
                for u, t in zip(unwatched, some, strict=True)
            ]
            plans = [replace(self._plan, tried=self._pairs(chosen)) for chosen in ticks]
            tried = unwatched if agrees else self._walk(list(zip(some, plans, strict=True)))
            for u, chosen, switched, trial in zip(unwatched, ticks, tried, some, strict=True):
                own, to_go = self._margins(u.margins), self._margins(switched.to_go)
                found.append(taught(u, own, self._units, chosen, to_go, trial.seed))
                names, ramp = tuple(u.shown), u.ramp
            if not agrees:
                self._units = {name: self._ample(name, [one.to_go for one in found]) for name in self._names}
                agrees = self._agrees(found)
            self._say("learning", len(found), len(drawn))
        return found, names, ramp

    def _agrees(self, found: Sequence[Taught]) -> bool:
        """Whether the trials' own margins say what is left where backups were tried."""
        truth = np.concatenate([self._scaled(one.to_go) for one in found])
        own = np.concatenate([self._repeated(one.own, len(one.tried.states)) for one in found])
        return float(np.sqrt(np.mean(np.square(own - truth)))) <= AGREES * float(truth.std())

    def _repeated(self, own: Mapping[str, FloatArray], count: int) -> FloatArray:
        """Margins of the trial's own gains, scaled, of its first `count` rows, once for every backup, `count x p`."""
        backups = len(self._plan.backups)
        return self._scaled({name: np.repeat(values[:count], backups) for name, values in own.items()})

    def _episode(self, one: Taught, scale: FloatArray, units: FloatArray, agrees: bool) -> Episode:
        tried, free = len(one.tried.states), len(one.free.states)
        own = self._repeated(one.own, tried + free)[tried:]
        return one.episode(scale, units, self._scaled(one.to_go), own, agrees)

    def _pairs(self, ticks: Sequence[int]) -> tuple[tuple[int, int], ...]:
        return tuple((tick, backup) for tick in ticks for backup in range(len(self._plan.backups)))

    def _ample(self, name: str, to_go: Sequence[Mapping[str, FloatArray]]) -> float:
        """The margin that counts as ample: a share of what the best backup typically keeps where it saves."""
        best = np.concatenate([t[name].reshape(-1, len(self._plan.backups)).max(axis=1) for t in to_go])
        kept = best[best > 0.0]
        return AMPLE * float(np.median(kept)) if len(kept) else self._units[name]

    def _scaled(self, to_go: Mapping[str, FloatArray]) -> FloatArray:
        """Smallest of all constraints, `n x p`: 0 at the limit, 1 where it is ample, not beyond 1 and -1."""
        smallest = np.min([to_go[name] / self._units[name] for name in self._names], axis=0)
        return np.clip(smallest.reshape(-1, len(self._plan.backups)), -1.0, 1.0)

    # -- calibration -----------------------------------------------------------------------------------------

    def _calibrate(self, monitor: MarginMonitor) -> Calibration:
        """The level at which the monitor triggers.

        Raises:
            SafeboError: too few trials break a margin, or too many are lost at every level but the highest.
        """
        spec, scores, lowest, lost, drawn = self._spec, list[float](), list[float](), 0, 0
        while len(scores) < spec.calibration:
            if drawn >= max(MOST_DRAWN * spec.calibration, BATCH):
                raise SafeboError(self._too_few(len(scores), lost, drawn))
            for score in self._scores(monitor, drawn):
                drawn += 1
                if isinstance(score, _Safe):
                    lowest.append(score.lowest)
                elif score is None:
                    lost += 1
                else:
                    scores.append(score)
                if len(scores) == spec.calibration:
                    break
            self._say("calibrating", len(scores), spec.calibration)
        level = conformal_quantile(scores, spec.alpha)
        stopped = sum(one <= level for one in lowest)
        if not np.isfinite(level) or stopped == len(lowest) >= FEW:
            raise SafeboError(
                f"tuner.backup.rule margin_to_go: the monitor that was learned would end all of {len(lowest)} trials "
                f"that were safe: triggered later it loses more than {spec.alpha:g} of those that could be saved. Let "
                f"it learn from more trials (tuner.backup.fit, now {spec.fit}), allow more losses "
                "(tuner.backup.alpha), or choose another rule"
            )
        return Calibration(level, len(scores), spec.alpha, spec.horizon, lost, len(lowest), stopped)

    def _too_few(self, found: int, lost: int, drawn: int) -> str:
        why = (
            f"{lost} more broke one and no backup would have saved them"
            if lost > found
            else "nearly all gains of the box are safe, and a run without global trials (safe_ucb, safeopt) may do"
        )
        return (
            f"tuner.backup.rule margin_to_go: of {drawn} drawn trials {found} broke a margin and could be saved, and "
            f"tuner.backup.calibration asks for {self._spec.calibration}: {why}. Ask for fewer, or choose another rule"
        )

    def _scores(self, monitor: MarginMonitor, first: int) -> Iterator[float | _Safe | None]:
        """What a batch of trials says: a score, None where nothing saves it, or how low the bounds of a safe one go."""
        some = [self._drawn(1, number) for number in range(first, first + BATCH)]
        unwatched = self._walk([(trial, self._plan) for trial in some])
        triggers = [self._triggers(monitor, found) for found in unwatched]
        broken = [i for i, found in enumerate(unwatched) if self._kept(found)[1]]
        tried = self._walk([(some[i], replace(self._plan, tried=triggers[i][1])) for i in broken])
        switched = dict(zip(broken, tried, strict=True))
        for i, (ticks, pairs, lowest) in enumerate(triggers):
            if i not in switched:
                yield _Safe(lowest)
                continue
            margins = self._margins(switched[i].to_go)
            saves = np.min([margins[name] for name in self._names], axis=0) >= 0.0
            saved = {tick: bool(kept) for (tick, _), kept in zip(pairs, saves, strict=True)}
            yield least_level([saved.get(tick, False) for tick in ticks])

    def _triggers(
        self, monitor: MarginMonitor, found: SwitchedTrial
    ) -> tuple[list[int], tuple[tuple[int, int], ...], float]:
        """Tick of every level in which the monitor triggers before a margin is broken, or -1; those with their backup;
        and the lowest bound.
        """
        kept = max(1, self._kept(found)[0])
        seen = Shown.of(found, range(kept)).features(monitor.scale, monitor.units)
        mean, std = monitor.model.predict(seen)
        bounds = mean - CAUTION * std[:, None]
        best = bounds.max(axis=1)
        ticks = trigger_ticks(best, LEVELS).tolist()
        pairs = tuple((t, int(np.argmax(bounds[t]))) for t in sorted(set(ticks) - {-1}))
        return ticks, pairs, float(best.min())


class _Safe:
    """A trial that broke no margin: how low the best backup's bound got."""

    def __init__(self, lowest: float) -> None:
        self.lowest = lowest


def _batches(trials: Sequence[Trial]) -> Iterator[Sequence[Trial]]:
    for start in range(0, len(trials), BATCH):
        yield trials[start : start + BATCH]
