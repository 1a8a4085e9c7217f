"""Going on with a run: what became of trials that an earlier process left, and the tuner put where it was.

It is put where the uninterrupted run would have been: restored from the journal, with the round that was in progress.
"""

from __future__ import annotations

from collections.abc import Sequence

from safebo.evaluators.seeds import refuse_seed
from safebo.runs.evaluator_workers import EvaluatorWorkers
from safebo.runs.in_progress import Round, unknown_trials
from safebo.runs.prior_run import with_answers
from safebo.runs.progress import Progress
from safebo.runs.recommendation import versions
from safebo.runs.supervision import Supervision
from safebo.runs.tuner_protocol import TunerLike, restorable
from safebo.storage.journal import Journal
from safebo.storage.records import TAKEN_ROUND, Record
from safebo.study import Study
from safebo.text.counted import counted
from safebo.types import EvaluatorInfo


def ask_unknown(journal: Journal, workers: EvaluatorWorkers, supervision: Supervision | None) -> None:
    """Ask what became of trials of which nobody knows how they ended.

    Raises:
        UnknownTrialError: nobody says, or nobody can be asked.
    """
    if supervision is not None:
        supervision.resolve(journal)
    waiting = [r.trial.id for r in journal.records(states=False) if r.status == "unknown"]
    if waiting:
        raise unknown_trials(workers, waiting)


def refuse_unknown(
    journal: Journal,
    records: Sequence[Record],
    workers: EvaluatorWorkers,
    info: EvaluatorInfo,
    supervised: bool,
) -> None:
    """Trials of which nobody knows how they ended wait for a person where they may not run again.

    Raises:
        UnknownTrialError: there are some.
    """
    unknown = [record.trial.id for record in records if record.status == "unknown"]
    if not info.repeatable and not supervised:
        for record in records:
            if record.status == "asked":
                journal.mark_unknown(record.trial.id, "the run ended before the result was recorded")
                unknown.append(record.trial.id)
    if unknown:
        raise unknown_trials(workers, sorted(unknown))


def refuse_seeds(records: Sequence[Record], study: Study) -> None:
    """Refuse to go on after a declared seed that was not safe.

    Raises:
        UnsafeSeedError: there is one.
    """
    for record in records:
        refuse_seed(record.trial, record.measurement, study)


def settle(journal: Journal, supervision: Supervision) -> None:
    """Trials of a robot that an earlier process left: told, marked unknown, or left to be approved again."""
    while True:
        records = journal.records()
        found = supervision.sort_out(journal, records)
        for record in records:
            if record.trial.id in found:
                journal.tell(record.trial.id, found[record.trial.id])
        if not supervision.resolve(journal):
            return


def restored_round(
    tuner: TunerLike, journal: Journal, records: Sequence[Record], workers: int, round_size: int
) -> tuple[int, Round]:
    """Put the tuner where it was.

    Args:
        tuner: a new one.
        journal: of the run.
        records: its trials.
        workers: trials that run at the same time now.
        round_size: trials of a round now.

    Returns:
        How many trials it was told, and the round in progress or a new one.
    """
    with_answers(tuner, journal)
    if not records:
        return 0, Round(0)
    last = records[-1].round
    members = [record for record in records if record.round == last]
    # A smaller total may have cut the last round short. It is opened again: its other trials are asked as they
    # would have been, before these are told. A trial of a person's own is a round of its own.
    same = workers == journal.run.workers
    short = same and len(members) < round_size and members[0].trial.phase != "manual" and last != TAKEN_ROUND
    if all(record.status == "told" for record in members) and not short:
        tuner.restore(restorable(records))
        return len(records), Round(last + 1)
    # The round's measurements are told again in the order of the ids, as they would have been.
    before = [record for record in records if record.round < last]
    tuner.restore(restorable(before) + [(record.trial, None) for record in members])
    measured = {r.trial.id: r.measurement for r in members if r.measurement is not None}
    trials = [record.trial for record in members]
    return len(before), Round(last, trials, measured, open=short or not measured)


def note_resumed(journal: Journal, progress: Progress, told: int, workers: int, round_size: int) -> None:
    """Note that a run goes on, and what has changed since that may change its trials.

    Args:
        journal: of the run.
        progress: is told what has changed.
        told: number of trials told before.
        workers: trials that run at the same time now.
        round_size: trials of a round now.
    """
    journal.note("resumed", f"after {counted(told, 'trial')}")
    now = versions()
    changed = [
        f"{name} {old} -> {now.get(name, 'gone')}"
        for name, old in journal.run.versions.items()
        if now.get(name) != old
    ]
    if changed:
        text = f"versions changed since the run began ({', '.join(changed)}): trials may differ"
        journal.note("versions", text)
        progress.note(text)
    if workers != journal.run.workers and round_size == workers:
        text = f"workers changed ({journal.run.workers} -> {workers}): rounds, so trials, will differ"
        journal.note("workers", text)
        progress.note(text)
