"""What an earlier run certified and a run that goes on from it does not: said before its first trial."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safebo.errors import JournalError, NotARunError, ParameterError
from safebo.runs.prior_run import tuner_of
from safebo.runs.progress import Progress
from safebo.runs.tuner_protocol import MakeTuner, restorable
from safebo.storage.journal import Journal
from safebo.study.axis import value_text
from safebo.types import Certificate, Trial

CONTINUED, TAKEN = "continued", "taken"


@dataclass(frozen=True)
class _Known:
    """Gains that the earlier run certified.

    Args:
        trial: here.
        id: of its trial there.
        best: whether they were the best that it certified in the context.
    """

    trial: Trial
    id: int
    best: bool


def begins_with_another(journal: Journal) -> bool:
    """Whether a run began with an earlier one's trials, and what lapsed was not said yet."""
    kinds = {event.kind for event in journal.events()}
    return TAKEN in kinds and CONTINUED not in kinds


def say_lapses(journal: Journal, tuner: Any, make_tuner: MakeTuner, progress: Progress) -> None:
    """Say once which gains of the earlier run are certified no longer; nothing for a run that began on its own.

    Args:
        journal: of the run that goes on.
        tuner: restored from it.
        make_tuner: makes the earlier run's.
        progress: is told.
    """
    if not begins_with_another(journal) or not hasattr(tuner, "certify"):
        return
    taken = next(event for event in journal.events() if event.kind == TAKEN)
    try:
        known = list(_certified_before(Path(taken.data["source"]), taken.data, journal, make_tuner))
    except (NotARunError, JournalError) as error:
        text = f"What {taken.data['source']} certified is not known any more: {error}"
        _say(journal, progress, text, {})
        return
    words, lapsed, holds = [], [], 0
    for one in known:
        why = _why_not(tuner, one.trial)
        if why is None:
            holds += 1
            continue
        lapsed.append(one.id)
        if one.best:
            gains = ", ".join(f"{k} {value_text(v)}" for k, v in one.trial.parameters.items())
            words.append(
                f"the best gains of context {one.trial.context_name}, trial {one.id} there ({gains}): {why}"
            )
    others = [i for i in lapsed if not any(one.id == i and one.best for one in known)]
    if others:
        words.append(f"those of trial{'s' if len(others) > 1 else ''} {', '.join(map(str, others))} there")
    held = f"{holds} of {len(known)} gains that {taken.data['source']} certified are certified here"
    text = f"{held}. Certified no longer: {'; '.join(words)}." if lapsed else f"{held}."
    _say(journal, progress, text, {"lapsed": lapsed, "certified": holds})


def _say(journal: Journal, progress: Progress, text: str, data: dict[str, Any]) -> None:
    journal.note(CONTINUED, text, None, data)
    progress.note(text)


def _certified_before(folder: Path, data: Any, journal: Journal, make_tuner: MakeTuner) -> Iterator[_Known]:
    """Gains of taken trials that the earlier run's surrogate certified in the end, each once."""
    with Journal.open(folder, read_only=True) as there:
        if there.run.run != data["run"]:
            raise NotARunError(f"{folder}: holds another run by now")
        records = there.records()
        tuner: Any = tuner_of(there, make_tuner)
    tuner.restore(restorable(records))
    was = {record.trial.id: record.trial for record in records}
    best = {name: tuner.best(name) for name in {trial.context_name for trial in was.values()}}
    seen = set()
    for record in journal.records(states=False):
        number = data["trials"].get(str(record.trial.id))
        trial = None if number is None else was.get(number)
        if trial is None:
            continue
        key = (trial.context_name, tuple(trial.parameters.values()))
        if key in seen or not _certificate(tuner, trial).certified:
            continue
        seen.add(key)
        recommended = best[trial.context_name]
        chosen = recommended is not None and recommended.parameters == dict(trial.parameters)
        yield _Known(record.trial, trial.id, chosen)


def _certificate(tuner: Any, trial: Trial) -> Certificate:
    found: Certificate = tuner.certify(trial.parameters, trial.context_name)
    return found


def _why_not(tuner: Any, trial: Trial) -> str | None:
    """Why gains are not certified; None where they are."""
    if trial.context_name not in tuner.study.context.values:
        return "the study has no such context"
    try:
        found = _certificate(tuner, trial)
    except ParameterError as error:
        return f"they cannot be tried any more, {error}"
    if found.certified:
        return None
    names = [c.name for c in tuner.study.constraints]
    worst = min(names, key=lambda name: found.bounds[name].lower)
    unit = next(c.unit for c in tuner.study.constraints if c.name == worst)
    return f"{worst} is at least {found.bounds[worst].lower:.3g} {unit}".rstrip()
