"""What the measurements say of a declared norm, said and kept when it is nearly used up or refuted, and at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from safebo.errors import ModelAlarmError
from safebo.runs.progress import Progress
from safebo.storage.journal import Journal

NEAR, REFUTED, LAST = "norm-near", "norm-refuted", "norm"


class NormNews:
    """Says and keeps how much of the declared norm the measurements need; a run of other schedules has no news.

    Args:
        journal: of the run.
        tuner: that was told the trials.
        progress: is told.
        pause: a refuted norm stops the run, once.
        heeded: a larger norm takes the place of a refuted one.
    """

    def __init__(self, journal: Journal, tuner: Any, progress: Progress, pause: bool, heeded: bool) -> None:
        self._journal, self._progress, self._pause, self._heeded = journal, progress, pause, heeded
        self._norms: Callable[[], Mapping[str, Any]] = getattr(tuner, "norms", dict)
        self._said: dict[str, set[str]] = {NEAR: set(), REFUTED: set()}
        for event in journal.events() if self._norms() else []:
            if event.kind in self._said:
                self._said[event.kind] |= set(event.data)

    def tell(self, last: bool = False) -> None:
        """Say what is new after the trials told so far.

        Args:
            last: no more trials come, so that it is kept as it is.

        Raises:
            ModelAlarmError: a refuted norm, where it stops the run.
        """
        found = self._norms()
        if not found:
            return
        data = {name: {"least": one.least, "declared": one.declared} for name, one in found.items()}
        refuted = [n for n, one in found.items() if one.refuted and n not in self._said[REFUTED]]
        near = [n for n, one in found.items() if one.near and not one.refuted and n not in self._said[NEAR]]
        if last:
            self._journal.note(LAST, norm_words(data), None, data)
        if near:
            text = f"{norm_words({n: data[n] for n in near})}: hardly any function of that norm fits"
            self._say(NEAR, text, {n: data[n] for n in near})
        if refuted:
            then = (
                "from here on a norm 1.25 times as large as needed takes its place"
                if self._heeded
                else "certificates go on with the declared one (surrogate.on_alarm: caution takes a larger one)"
            )
            text = (
                f"ALARM {norm_words({n: data[n] for n in refuted})}: tuner.confidence.norm is refuted, or the noise "
                f"is larger than declared; {then}"
            )
            self._say(REFUTED, text, {n: data[n] for n in refuted})
            if self._pause:
                raise ModelAlarmError(
                    f"{text}. The run stops here, with what was certified before. Look at the study; --resume goes on"
                )

    def _say(self, kind: str, text: str, data: Mapping[str, Any]) -> None:
        self._journal.note(kind, text, None, data)
        self._progress.note(text)
        self._said[kind] |= set(data)


def norm_words(found: Mapping[str, Mapping[str, float]]) -> str:
    """How much of the declared norm the measurements need: `norm: height needs at least 0.83 of the declared 2`."""
    words = [
        f"{name} needs at least {one['least'] / one['declared']:.2g} of the declared {one['declared']:g}"
        for name, one in found.items()
    ]
    return f"norm: {'; '.join(words)}"


def norm_line(journal: Journal) -> str | None:
    """What the journal says of the declared norm; None where nothing was said."""
    said = [event for event in journal.events() if event.kind in (LAST, NEAR, REFUTED)]
    return said[-1].text if said else None
