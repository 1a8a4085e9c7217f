"""What becomes of the priors of a run, said and kept when it changes: earned, refuted, and the alarm that none fits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from safebo.errors import ModelAlarmError
from safebo.runs.progress import Progress
from safebo.storage.journal import Journal
from safebo.types import DRIFT, Evidence

DECLARED = "declared"

SHOWN = math.log(20.0)
"""Likelihood ratio by which a drift is shown, or shown not to be, as a logarithm: wrong with a probability of 0.05."""

KINDS = (
    "prior-earned",
    "prior-withdrawn",
    "prior-refuted",
    "model-alarm",
    "margin-capped",
    "drift-shown",
    "drift-not-seen",
)


class EvidenceNews:
    """Says and keeps what the measurements say of the constraints' priors; a run of declared priors has no news.

    Args:
        journal: of the run.
        tuner: that was told the trials.
        progress: is told.
        pause: an alarm stops the run, once.
    """

    def __init__(self, journal: Journal, tuner: Any, progress: Progress, pause: bool) -> None:
        self._journal, self._progress, self._pause = journal, progress, pause
        earned = journal.run.study.surrogate.trust == "earned"
        self._evidence = getattr(tuner, "evidence", dict) if earned else dict
        self._said: dict[str, Evidence] = {}
        if earned:
            for event in journal.events():
                if event.kind in KINDS:
                    self._said[event.data["function"]] = Evidence(**event.data["evidence"])

    def tell(self) -> None:
        """Say what is new after the trials told so far.

        Raises:
            ModelAlarmError: an alarm, where it stops the run.
        """
        alarms = []
        for name, now in self._evidence().items():
            for kind, text in changes(name, self._said.get(name), now):
                self._journal.note(kind, text, None, {"function": name, "evidence": asdict(now)})
                self._progress.note(text)
                self._said[name] = now
                if kind == "model-alarm":
                    alarms.append(text)
        if alarms and self._pause:
            raise ModelAlarmError(
                f"{' '.join(alarms)} The run stops here, with what was certified before. Look at the robot and the "
                "study; --resume goes on with the alternative certifying as well"
            )


def changes(name: str, before: Evidence | None, now: Evidence) -> Iterator[tuple[str, str]]:
    """Kinds and words of what is new about one constraint's prior.

    Args:
        name: of the constraint.
        before: what was said last; None at the beginning.
        now: what the measurements say now.
    """
    was = before or Evidence("", 0.0, 0.0)
    if now.alarm and not was.alarm and now.drifts:
        if now.log_drift is None:
            advice = (
                "Battery, heat, wear, a screw that comes loose? Declare how fast with surrogate.time (memory: the time "
                "after which a trial is worth 1/e), so that certificates expire"
            )
        else:
            advice = "Declare a shorter memory in surrogate.time"
        yield (
            "model-alarm",
            f"ALARM {name}: the robot changes with time, the measurements fit no prior that stays as it is; "
            f"{now.alarm} fits better and must certify as well from here on. {advice}",
        )
    elif now.alarm and not was.alarm:
        yield (
            "model-alarm",
            f"ALARM {name}: the measurements fit neither the declared prior nor the cautious one; {now.alarm} fits "
            "better and must certify as well from here on. Is the unit right, the noise, the sensor?",
        )
    if now.disjoint and not was.disjoint:
        yield (
            "model-alarm",
            f"ALARM {name}: intervals of different trials have nothing in common, so one of them was wrong; the "
            "present one counts alone from here on. Does the robot change, is the noise larger than declared?",
        )
    if now.capped.bit_length() > was.capped.bit_length():  # the first, second, fourth, eighth, ...
        yield (
            "margin-capped",
            f"{name}: measured far better than the model predicts, {now.capped} times so far. A lucky outlier must not "
            "certify its neighbours: it counts as three standard deviations above the prediction",
        )
    if now.log_drift is not None:
        yield from _drift(name, was.log_drift or 0.0, now.log_drift)
    if now.refuted_by and not was.refuted_by:
        yield (
            "prior-refuted",
            f"{name}: the declared prior is refuted, {times(now.log_refutation)} against it ({now.refuted_by} fits "
            f"better); certified with {now.prior}. {remedy(now.refuted_by, now.log_drift)}",
        )
    elif now.prior == DECLARED and was.prior != DECLARED:
        yield (
            "prior-earned",
            f"{name}: the declared prior is earned, {times(now.log_evidence)} for it against the cautious one; it "
            "certifies from here on",
        )
    elif was.prior == DECLARED and now.prior != DECLARED:
        yield (
            "prior-withdrawn",
            f"{name}: the measurements no longer speak for the declared prior; certified with {now.prior} again",
        )


def _drift(name: str, before: float, now: float) -> Iterator[tuple[str, str]]:
    """What the measurements say of a declared time of drift against no drift at all."""
    if now >= SHOWN > before:
        yield (
            "drift-shown",
            f"{name}: that nothing drifts is refuted, {times(now)} for the declared memory or a third of it",
        )
    if now <= -SHOWN < before:
        yield (
            "drift-not-seen",
            f"{name}: the measurements speak against a drift as fast as declared, {times(now)} for none at all; a "
            "longer surrogate.time.memory would certify more",
        )


def remedy(winner: str, log_drift: float | None) -> str:
    """What to declare otherwise, by the alternative that fits better."""
    if DRIFT not in winner:
        return "Declare shorter lengthscales, more noise or a larger scale"
    if log_drift is None:
        return "The robot changes with time: declare how fast with surrogate.time"
    return "The robot changes faster than declared: shorten surrogate.time.memory"


def times(log_ratio: float) -> str:
    """A likelihood ratio in words."""
    ratio = math.exp(min(abs(log_ratio), 20.0))
    return f"likelihood ratio {ratio:,.0f}{' or more' if abs(log_ratio) > 20.0 else ''}"
