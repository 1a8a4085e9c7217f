"""What becomes of the priors of a run, said and kept when it changes: earned, refuted, and the alarm that none fits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from safebo.errors import ModelAlarmError
from safebo.runs.progress import Progress
from safebo.storage.journal import Journal
from safebo.types import Evidence

DECLARED = "declared"

KINDS = ("prior-earned", "prior-withdrawn", "prior-refuted", "model-alarm")


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
    if now.alarm and not was.alarm:
        yield (
            "model-alarm",
            f"ALARM {name}: the measurements fit neither the declared prior nor the cautious one; {now.alarm} fits "
            "better and must certify as well from here on. Is the unit right, the noise, the sensor?",
        )
    if now.refuted_by and not was.refuted_by:
        yield (
            "prior-refuted",
            f"{name}: the declared prior is refuted, {times(now.log_refutation)} against it ({now.refuted_by} fits "
            f"better); certified with {now.prior}. Declare shorter lengthscales, more noise or a larger scale",
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


def times(log_ratio: float) -> str:
    """A likelihood ratio in words."""
    ratio = math.exp(min(abs(log_ratio), 20.0))
    return f"likelihood ratio {ratio:,.0f}{' or more' if abs(log_ratio) > 20.0 else ''}"
