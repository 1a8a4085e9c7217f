"""What people are told of a run's prior: where it came from, how it agrees with the robot, whether it was dropped.

Each piece of news is said once and kept as an event of the journal: `prior`, `prior-correlation`, `prior-dropped`, and
`prior-kept`, the correlations that are not refuted where they are earned. What
a run that was killed had not said yet is said when it is resumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from safebo.storage.journal import Journal
from safebo.storage.prior_trials import PriorTrials
from safebo.study import Study
from safebo.study.tuner_checks import prior_data
from safebo.text.counted import counted

if TYPE_CHECKING:
    from safebo.runs.progress import Progress

FIRST_PAIRS = 4
"""The correlation is said at so many pairs, the fewest with an interval, and whenever their number has doubled."""

_KEYS_SHOWN = 6


class PriorNews:
    """Says and keeps what becomes of a run's prior; a run without one has no news.

    Args:
        journal: of the run.
        tuner: that was given the prior.
        progress: is told.
    """

    def __init__(self, journal: Journal, tuner: Any, progress: Progress) -> None:
        self._journal, self._tuner, self._progress = journal, tuner, progress
        self._prior = journal.prior()
        events = [] if self._prior is None else journal.events()
        self._begun = any(event.kind == "prior" for event in events)
        self._dropped = any(event.kind == "prior-dropped" for event in events)
        self._kept: dict[str, list[float]] = next(
            (dict(event.data["functions"]) for event in reversed(events) if event.kind == "prior-kept"), {}
        )
        self._pairs = max(
            (event.data["pairs"] for event in events if event.kind == "prior-correlation"), default=0
        )

    def begin(self) -> None:
        """Say where the prior comes from, and what an earlier process had no time to say."""
        if self._prior is None:
            return
        text = opening(self._prior, self._journal.run.study, self._journal.run.declared)
        self._progress.note(text)
        if not self._begun:
            data = {
                "source": self._prior.source,
                "run": self._prior.run,
                "trials": len(self._prior.rows),
                "digest": self._prior.digest,
                "differences": list(self._prior.differences),
            }
            self._journal.note("prior", text, None, data)
            self._begun = True
        self.tell()

    def tell(self, last: bool = False) -> None:
        """Say what the trials told so far have shown of the prior, if it is new.

        Args:
            last: no more trials come, so the correlation is said as it is.
        """
        if self._prior is None:
            return
        report = self._tuner.prior_report()
        if report is None:
            return
        found = report.contradiction
        if found is not None and not self._dropped:
            text = (
                f"trial {report.dropped_by}: {found}. From here on only trials of this run count, and beta is not "
                "inflated"
            )
            data = {
                "function": found.function,
                "test": found.test,
                "observations": found.trials,
                "statistic": found.statistic,
                "limit": found.limit,
            }
            self._say("prior-dropped", text, report.dropped_by, data)
            self._dropped = True
        kept = {name: list(found.kept) for name, found in report.correlations.items()}
        if report.observed and _ends(kept) != _ends(self._kept):
            self._say("prior-kept", kept_words(report.correlations), None, {"functions": kept})
            self._kept = kept
        pairs = max(len(pairing.rows) for pairing in report.pairings.values())
        due = max(FIRST_PAIRS, 2 * self._pairs)
        if pairs >= due or (last and pairs > max(self._pairs, FIRST_PAIRS - 1)):
            data = {"pairs": pairs, "functions": correlations(report.pairings)}
            words = "; ".join(f"{name} {text}" for name, text in correlation_words(report.pairings).items())
            self._say("prior-correlation", f"correlation of prior and this run: {words}", None, data)
            self._pairs = pairs

    def _say(self, kind: str, text: str, trial: int | None, data: Mapping[str, Any]) -> None:
        self._journal.note(kind, text, trial, data)
        self._progress.note(text)


def opening(prior: PriorTrials, study: Study, declared: Study) -> str:
    """Where the prior comes from and how it is believed, in two or three sentences.

    Args:
        prior: the copied trials.
        study: the study as it runs.
        declared: the study as its file declares it.
    """
    spec = prior_data(study)
    if spec.correlation == "earned":
        how = (
            "their correlation with this run is earned: a constraint is certified by the lowest bound of all "
            "correlations that its own measurements have not refuted, 0 among them at first."
        )
    else:
        how = (
            f"correlation {spec.correlation:g} is declared, beta is multiplied by {spec.inflation:g} while they are "
            f"believed, and the first {spec.checked} trials here test them."
        )
    text = (
        f"{len(prior.rows)} trials of {prior.source} serve as prior: {how} Nothing is certified before the seed was "
        "measured here."
    )
    if declared.surrogate.prior_data is None and spec.correlation != "earned":
        text += (
            " The study has no surrogate.prior_data, so these numbers are its defaults: careful ones, which save "
            "little. Declare the correlation that was measured."
        )
    keys = list(dict.fromkeys(line.split(":")[0] for line in prior.differences))
    if keys:
        more = f" and {len(keys) - _KEYS_SHOWN} more keys" if len(keys) > _KEYS_SHOWN else ""
        text += f" Its study differs in {', '.join(keys[:_KEYS_SHOWN])}{more}."
    return text


def _ends(kept: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, float]]:
    """The smallest and the largest of every function's kept correlations, of which there are news."""
    return {name: (found[0], found[-1]) for name, found in kept.items()}


def kept_words(found: Mapping[str, Any]) -> str:
    """Which correlations are believed: `simulation's correlation: height 0.8 to 0.95 kept (0.9 fits best)`."""
    words = [f"{name} {one} kept ({one.likeliest:g} fits best)" for name, one in found.items()]
    return f"simulation's correlation: {'; '.join(words)}"


def correlations(pairings: Mapping[str, Any]) -> dict[str, Any]:
    """Pairs, correlation and its interval by function, as plain data; None where too few pairs say nothing."""
    return {
        name: {"pairs": len(p.rows), "correlation": p.correlation, "interval": p.interval}
        for name, p in pairings.items()
    }


def correlation_words(pairings: Mapping[str, Any]) -> dict[str, str]:
    """The same in words by function: `0.93 (0.71 to 0.98 with 90 % confidence, 8 pairs)`."""
    words = {}
    for name, p in pairings.items():
        number = counted(len(p.rows), "pair")
        if p.correlation is None:
            words[name] = f"not known ({number})"
        elif p.interval is None:
            words[name] = f"{p.correlation:.2f} ({number})"
        else:
            low, high = p.interval
            words[name] = f"{p.correlation:.2f} ({low:.2f} to {high:.2f} with 90 % confidence, {number})"
    return words


def prior_state(journal: Journal) -> dict[str, Any] | None:
    """What the journal says of a run's prior, as plain data; None without one.

    `source`, `trials`, `dropped` (text and trial, or None), `correlation` (pairs and functions, or None: the newest
    that was said) and `kept` (correlations that are not refuted, likewise).
    """
    prior = journal.prior()
    if prior is None:
        return None
    newest = {event.kind: event for event in journal.events() if event.kind.startswith("prior-")}
    dropped, agreed = newest.get("prior-dropped"), newest.get("prior-correlation")
    kept = newest.get("prior-kept")
    return {
        "source": prior.source,
        "study": prior.study,
        "trials": len(prior.rows),
        "digest": prior.digest,
        "dropped": None
        if dropped is None
        else {"trial": dropped.trial, "text": dropped.text, **dropped.data},
        "correlation": None if agreed is None else {"text": agreed.text, **agreed.data},
        "kept": None if kept is None else {"text": kept.text, **kept.data},
    }


def prior_lines(state: Mapping[str, Any]) -> list[str]:
    """The same in lines for a person."""
    lines = [f"prior: {state['trials']} trials of {state['source']}"]
    lines += [state[key]["text"] for key in ("dropped", "kept", "correlation") if state[key] is not None]
    return lines
