"""What a report says of a person's preferences."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from safebo.models.preferences import Consistency
from safebo.report.data import PreferenceStory, WalkUtility
from safebo.storage.journal import Journal
from safebo.tuner import Tuner
from safebo.types import PREFERENCE_WORDS


def preference_story(journal: Journal, tuner: Tuner) -> PreferenceStory | None:
    """What the answers of a run say; None where its objective is measured.

    Args:
        journal: of the run.
        tuner: that was told its trials and answers.
    """
    consistency = tuner.consistency()
    if consistency is None:
        return None
    pairs = tuple(
        (
            kept.answer.question.number,
            kept.answer.question.left,
            kept.answer.question.right,
            PREFERENCE_WORDS[kept.answer.word],
            kept.by,
            kept.answer.question.repeats,
        )
        for kept in journal.answers()
    )
    return PreferenceStory(consistency_words(consistency, len(pairs)), tuple(_utilities(tuner)), pairs)


def consistency_words(found: Consistency, answers: int) -> str:
    """How consistent the answers are, in a sentence."""
    if not answers:
        return "Nobody has been asked yet."
    said = f"{answers} answer{'s' * (answers > 1)}"
    asked = (
        "no pair was asked twice yet, so that says mostly what was declared"
        if not found.repeats
        else f"{found.repeats} pair{'s' * (found.repeats > 1)} asked twice, {found.differing} answered otherwise"
    )
    return (
        f"{said}. A person's judgement of one walk varies by lambda = {found.value:.3g}, with 90 % between "
        f"{found.lower:.3g} and {found.upper:.3g}, in units of the utility ({asked})."
    )


def _utilities(tuner: Tuner) -> Iterator[WalkUtility]:
    """Bounds of every compared walk's utility less that of the first compared one of its context."""
    answers = tuner.history.known_answers()
    ids = sorted({i for a in answers for i in (a.question.left, a.question.right)})
    utility, beta = tuner.surrogate().posteriors[0], tuner.study.tuner.beta
    first: dict[str, int] = {}
    for number in ids:
        trial = tuner.history.record(number).trial
        start = first.setdefault(trial.context_name, number)
        rows = torch.stack([tuner.encoding.row(tuner.history.record(i).trial) for i in (number, start)])
        with torch.no_grad():
            mean, covariance = utility.joint(rows)
        difference = float(mean[0] - mean[1])
        variance = float(covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1])
        reach = beta * max(variance, 0.0) ** 0.5
        yield WalkUtility(number, trial.context_name, difference - reach, difference, difference + reach)
