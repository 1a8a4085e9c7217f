"""A measurement: what a trial showed, as a whole and stride by stride, and a trial together with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from safebo.types.arrays import FloatArray
from safebo.types.trial import Trial

Outcome = Literal["completed", "backup", "aborted", "failed"]
Status = Literal["asked", "told", "unknown"]
OUTCOMES: tuple[Outcome, ...] = ("completed", "backup", "aborted", "failed")

OPERATING_TIME = "operating_time"
"""What `Measurement.extra` calls the operating time, where an evaluator gives it there."""

WATCHED_PREFIX = "watched."
"""How names in `Measurement.extra` begin that a report watches: measured, larger is better, not tuned."""

Ended = Literal["", "unsafe", "settled", "dominated"]
ENDED: tuple[Ended, ...] = ("", "unsafe", "settled", "dominated")


@dataclass(frozen=True)
class Strides:
    """How a periodic trial went on, stride by stride: what says how much of its noise a longer trial would average
    out, and how far its margins may still fall.

    Args:
        period: time of one stride, s.
        start: time at which the first of them begins, s from the start of the trial: whole strides only, the ramp of
            the command left out.
        objective: the objective of every stride in the objective's unit, so that the trial's is about their mean,
            `n`; empty where it has none.
        margins: the minimum of every margin within every stride, by the names of a measurement's margins, `n` each.

    Example:
        >>> Strides(0.5, 1.0, (-3.1, -3.0), {"height": (0.05, 0.06)}).count
        2
    """

    period: float
    start: float = 0.0
    objective: tuple[float, ...] = ()
    margins: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of strides."""
        return max([len(self.objective), *(len(values) for values in self.margins.values())])


@dataclass(frozen=True)
class Measurement:
    """What one trial showed.

    Args:
        outcome: `completed`; `backup` (the monitor switched gains); `aborted` (ended early, a fall included);
            `failed` (no valid measurement exists: recorded, never modelled).
        objective: observed objective, to be maximised; None where the trial has none (a fall, a failure).
        margins: observed margin of every constraint, by name; safe when >= 0. Empty when the trial failed.
        fell: whether the robot fell.
        states: visited states, `n x k`, in the evaluator's state units (not scaled); None when not recorded.
        margins_to_go: for every visited state, the smallest margin from there to the end of the trial, by the names
            of `margins`, `n` each; None when not recorded. The boundary condition `cost_to_go` learns from it.
        backup_time: when the monitor switched gains, in seconds from the start of the walk.
        backup_state: the state in which it did, `k`.
        true_objective: the objective without sensor noise, where the evaluator knows it.
        true_margins: the margins without sensor noise, where the evaluator knows them.
        telemetry: path of the recorded trajectory, when one was saved.
        duration: seconds of robot time.
        message: for people: why the trial was aborted or failed.
        extra: further named numbers worth keeping (real-time factor, ...); those whose names begin with `watched.`
            are not tuned, and a report says where they get worse (larger is better).
        operating_time: of the robot at the trial's start, in seconds, by its own clock; None where it has none, then
            the trial's counts.
        strides: objective and margins of every stride, where the trial is periodic and they were recorded.
        ended: why a completed trial ended before its time: `unsafe` (a margin below 0), `settled` (its objective was
            known well enough), `dominated` (other gains are certainly better); empty where it did not.
        scenarios: what every scenario showed that the trial walked, by name; objective, margins and the rest are then
            theirs, aggregated as the study says.

    Example:
        >>> Measurement("completed", objective=0.8, margins={"height": 0.05})
        ... # doctest: +ELLIPSIS
        Measurement(outcome='completed', objective=0.8, margins={'height': 0.05}, fell=False, ...)
    """

    outcome: Outcome
    objective: float | None = None
    margins: Mapping[str, float] = field(default_factory=dict)
    fell: bool = False
    states: FloatArray | None = None
    margins_to_go: Mapping[str, FloatArray] | None = None
    backup_time: float | None = None
    backup_state: FloatArray | None = None
    true_objective: float | None = None
    true_margins: Mapping[str, float] | None = None
    telemetry: str | None = None
    duration: float = 0.0
    message: str = ""
    extra: Mapping[str, float] = field(default_factory=dict)
    operating_time: float | None = None
    strides: Strides | None = None
    ended: Ended = ""
    scenarios: Mapping[str, Measurement] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialRecord:
    """One trial and what it showed; None while it is pending. Only a person can say how an `unknown` one ended."""

    trial: Trial
    measurement: Measurement | None = None
    unknown: bool = False

    @property
    def status(self) -> Status:
        """What became of it."""
        if self.measurement is not None:
            return "told"
        return "unknown" if self.unknown else "asked"

    @property
    def pending(self) -> bool:
        """Asked and not yet told."""
        return self.measurement is None

    @property
    def operating_time(self) -> float | None:
        """Of the robot at the trial's start, in seconds: as the evaluator reported it, else as it was asked."""
        reported = None if self.measurement is None else self.measurement.operating_time
        return self.trial.operating_time if reported is None else reported
