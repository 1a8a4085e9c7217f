"""What a person is asked, and what the answers say of the latent utility.

Walks are compared within their context. Every walk that ran to its end with no margin below 0 is shown once beside the
best one so far that is certified; then earlier walks are compared with each other, those whose better one is expected
to be best (`objective.pairs_per_walk`); a tenth of the pairs (`objective.repeats`) is shown again. Which walk is on
which side is drawn by the tuner's seed. Margins and certificates know nothing of all this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import combinations

import numpy as np
import torch

from safebo.errors import InputError
from safebo.evaluators.outcome import was_unsafe
from safebo.models.posterior import Posterior
from safebo.models.preferences import Consistency, Judgements, most_consistent, utility_posterior
from safebo.models.surrogate import Surrogate
from safebo.study import Study
from safebo.study.preference_checks import prefers
from safebo.tuner.encoding import StudyEncoding
from safebo.tuner.history import History
from safebo.types import (
    PREFERENCE_WORDS,
    PreferenceAnswer,
    PreferenceQuestion,
    PreferenceWord,
    Trial,
    TrialRecord,
)

RANDOM = "random_safe"
"""The method under which a walk is shown beside one that is drawn, as a baseline."""


class Utility:
    """The latent utility of one tuner's answers.

    Args:
        encoding: of its study.
        history: its records and answers; it may grow.
    """

    def __init__(self, encoding: StudyEncoding, history: History) -> None:
        self.encoding, self.history = encoding, history
        self._known: tuple[tuple[PreferenceAnswer, ...], Posterior | None, Consistency] | None = None
        self._composed: tuple[Surrogate, Posterior, Surrogate] | None = None

    def consistency(self, prior: Posterior) -> Consistency:
        """What the answers say of lambda, with the number of pairs that were asked twice."""
        return self._found(prior)[1]

    def surrogate(self, measured: Surrogate) -> Surrogate:
        """A surrogate with the utility as its first function, given the answers."""
        utility = self._found(measured.posteriors[0])[0]
        if utility is None:
            return measured
        if self._composed is None or self._composed[0] is not measured or self._composed[1] is not utility:
            found = Surrogate((utility, *measured.posteriors[1:]), measured.inflation)
            self._composed = (measured, utility, found)
        return self._composed[2]

    def _found(self, prior: Posterior) -> tuple[Posterior | None, Consistency]:
        answers = self.history.known_answers()
        if self._known is None or self._known[0] != answers:
            self._known = (answers, *self._computed(prior, answers))
        return self._known[1:]

    def _computed(
        self, prior: Posterior, answers: Sequence[PreferenceAnswer]
    ) -> tuple[Posterior | None, Consistency]:
        spec = self.encoding.study.objective
        if not answers:
            return None, Consistency(spec.noise_std, spec.noise_std, spec.noise_std)
        ids = list(dict.fromkeys(i for a in answers for i in (a.question.left, a.question.right)))
        X = torch.stack([self.encoding.row(self.history.record(i).trial) for i in ids])
        place = {number: row for row, number in enumerate(ids)}
        judged = Judgements.of([(place[a.question.left], place[a.question.right], a.word) for a in answers])
        K = prior.kernel(X, X).numpy()
        found, consistency = most_consistent(K, judged, spec.noise_std, spec.indifference or spec.noise_std)
        return utility_posterior(prior, X, found), replace(consistency, **repeated(answers))


def repeated(answers: Sequence[PreferenceAnswer]) -> dict[str, int]:
    """How many pairs were asked twice, and how many of these were answered otherwise."""
    first = {a.question.number: a for a in answers}
    again = [(first[a.question.repeats], a) for a in answers if a.question.repeats in first]
    return {"repeats": len(again), "differing": sum(_said(a) != _said(b) for a, b in again)}


def _said(answer: PreferenceAnswer) -> int | str:
    """What was said of a pair whichever walk was on which side."""
    return answer.word if answer.better is None else answer.better


class Questions:
    """What a person is asked next, and what was answered.

    Args:
        study: says how many pairs are asked twice.
        history: records and answers; it may grow.
        rng: gives a generator of its own for every purpose and number.
    """

    def __init__(
        self, study: Study, history: History, rng: Callable[[str, int], np.random.Generator]
    ) -> None:
        self.study, self.history, self.rng = study, history, rng

    @cached_property
    def _drawn_partner(self) -> bool:
        return self.study.tuner.method == RANDOM

    def next(
        self,
        best: Callable[[str, Sequence[Trial]], Trial | None],
        best_pair: Callable[[Sequence[tuple[Trial, Trial]]], tuple[Trial, Trial]],
    ) -> PreferenceQuestion | None:
        """The question that waits; None where as many pairs were compared as there are to be.

        Args:
            best: of trials of a context, the certified one of the largest mean utility, None where none is certified.
            best_pair: of pairs of trials, the one whose better one is expected to be best.
        """
        answers = self.history.answers
        number = len(answers) + 1
        pairs = [a.question for a in answers if a.question.repeats is None]
        due = int(self.study.objective.repeats * len(pairs) + 1e-9) - (len(answers) - len(pairs))
        if due > 0:
            known = {a.question.repeats for a in answers}
            left = [q for q in pairs if q.number not in known]
            if left:
                chosen = left[int(self.rng("again", number).integers(len(left)))]
                return self._sided(number, chosen.left, chosen.right, chosen.context_name, chosen.number)
        shown = {i for q in pairs for i in (q.left, q.right)}
        for record in self.history:
            if record.trial.id in shown or not self.presentable(record):
                continue
            name = record.trial.context_name
            earlier = [
                r.trial
                for r in self.history.of_context(name)
                if r.trial.id < record.trial.id and self.presentable(r)
            ]
            partner = self._partner(number, name, earlier, best)
            if partner is not None:
                return self._sided(number, record.trial.id, partner.id, name, None)
        return self._further(number, pairs, best_pair)

    def _further(
        self,
        number: int,
        asked: Sequence[PreferenceQuestion],
        best_pair: Callable[[Sequence[tuple[Trial, Trial]]], tuple[Trial, Trial]],
    ) -> PreferenceQuestion | None:
        """A pair of walks that were shown already, in the first context in which there are too few pairs for them."""
        shown = [self.history.record(i).trial for i in sorted({i for q in asked for i in (q.left, q.right)})]
        for name in dict.fromkeys(trial.context_name for trial in shown):
            walks = [trial for trial in shown if trial.context_name == name]
            known = {frozenset((q.left, q.right)) for q in asked if q.context_name == name}
            left = [pair for pair in combinations(walks, 2) if frozenset(t.id for t in pair) not in known]
            if left and len(known) < self.study.objective.pairs_per_walk * (len(walks) - 1):
                drawn = left[int(self.rng("pair", number).integers(len(left)))]
                a, b = drawn if self._drawn_partner else best_pair(left)
                return self._sided(number, a.id, b.id, name, None)
        return None

    def answered(
        self, question: PreferenceQuestion | tuple[int, int], word: PreferenceWord
    ) -> PreferenceAnswer:
        """Keep what a person said of two walks; see `Tuner.tell_preference`."""
        self._refuse_measured()
        if word not in PREFERENCE_WORDS:
            raise InputError(f"answer {word!r} does not exist (allowed: {', '.join(PREFERENCE_WORDS)})")
        if not isinstance(question, PreferenceQuestion):
            left, right = (self.history.record(i).trial for i in question)
            number = len(self.history.answers) + 1
            question = PreferenceQuestion(number, left.id, right.id, left.context_name)
        sides = [self.history.record(i) for i in (question.left, question.right)]
        if sides[0].trial.id == sides[1].trial.id or any(record.pending for record in sides):
            raise InputError(
                f"trials {question.left} and {question.right}: two trials that were told are compared"
            )
        if len({record.trial.context_name for record in sides}) > 1:
            raise InputError(f"trials {question.left} and {question.right} are of different contexts")
        answer = PreferenceAnswer(question, word)
        self.history.answers.append(answer)
        return answer

    def restore(self, answers: Sequence[PreferenceAnswer]) -> None:
        """Take over the answers of an interrupted run."""
        if answers:
            self._refuse_measured()
        self.history.answers = list(answers)

    def _refuse_measured(self) -> None:
        if not prefers(self.study):
            raise InputError(
                "the objective is measured (objective.kind), so that no preference says anything of it"
            )

    def _partner(
        self,
        number: int,
        name: str,
        earlier: Sequence[Trial],
        best: Callable[[str, Sequence[Trial]], Trial | None],
    ) -> Trial | None:
        if earlier and self._drawn_partner:
            return earlier[int(self.rng("partner", number).integers(len(earlier)))]
        return best(name, earlier) if earlier else None

    def presentable(self, record: TrialRecord) -> bool:
        """Whether a walk may be shown: it ran to its end, and nothing about it was unsafe."""
        m = record.measurement
        return m is not None and m.outcome == "completed" and not was_unsafe(m, self.study)

    def _sided(self, number: int, a: int, b: int, name: str, repeats: int | None) -> PreferenceQuestion:
        if self.rng("sides", number).random() < 0.5:
            a, b = b, a
        return PreferenceQuestion(number, a, b, name, repeats)
