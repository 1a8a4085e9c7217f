"""The tuner: ask for a trial, tell what it showed. Pure: no files, no clock, no randomness but the seed's.

The same study, seed and records give the same proposals bit for bit. All state is the history of records; the
surrogate and everything else are computed from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from safebo.acquisition import configured
from safebo.errors import StudyError
from safebo.models.interval_split import IntervalSplit
from safebo.models.norms import NormCheck
from safebo.models.preferences import Consistency
from safebo.models.prior_models import PriorReport
from safebo.models.surrogate import Surrogate
from safebo.study import Study
from safebo.study.preference_checks import prefers
from safebo.study.reading import StudyFile
from safebo.tuner.arguments import (
    asked_record,
    check_prior,
    checked_readings,
    checked_records,
    checked_seed,
    checked_study,
    checked_time,
    checked_told,
    raw_rows,
)
from safebo.tuner.backups import CertifiedBackup
from safebo.tuner.encoding import StudyEncoding
from safebo.tuner.history import History
from safebo.tuner.intervals import interval_splits, intervals_at
from safebo.tuner.planner import Planner
from safebo.tuner.preferences import Questions
from safebo.tuner.proposer import Proposal
from safebo.tuner.recommended import best_certified, best_pair, best_walk, predicted
from safebo.tuner.schedule import scheduled_context
from safebo.tuner.threads import one_thread
from safebo.tuner.tolerance import Tolerances, tolerances
from safebo.tuner.trace import AskTrace, SearchLog, trace_of
from safebo.tuner.trials import proposed_trial, trial_at
from safebo.types import (
    Certificate,
    Evidence,
    Measurement,
    PreferenceAnswer,
    PreferenceQuestion,
    PreferenceWord,
    Recommendation,
    Trial,
)

if TYPE_CHECKING:
    # with numba, which only global trials need
    from safebo.boundary.margin_to_go import MarginMonitor
    from safebo.boundary.monitor import BoundaryMonitor


class Tuner:
    """Proposes trials that are safe with high probability.

    Args:
        study: what to tune and how, or a study file that was read. Scales of backup states are taken from
            `tuner.backup.state_scale` in its order.
        seed: of everything random; None takes the study's.
        prior: trials and measurements of another run of the study, usually in simulation. They inform the
            surrogate as the study's `surrogate.prior_data` says and are trials of this run in no other respect:
            seeds are tried all the same, and nothing is certified in a context in which this run has not
            measured anything yet.

    Raises:
        StudyError: for a study that cannot be run safely.
        InputError: for something else than a study, or a seed that is no whole number of at least 0.
        MeasurementError: for a prior that could not have been told.

    Example:
        >>> from safebo import load_study
        >>> tuner = Tuner(load_study("pendulum"), seed=0)
        >>> trial = tuner.ask()
        >>> trial.phase, trial.parameters
        ('seed', {'kp': 3.0, 'kd': 4.8})
        >>> tuner.tell(trial, {"objective": -0.4, "margins": {"speed": 2.0}})
        >>> tuner.certify(trial.parameters, "default").certified
        True
    """

    def __init__(
        self,
        study: Study | StudyFile,
        seed: int | None = None,
        prior: Sequence[tuple[Trial, Measurement | None]] = (),
    ) -> None:
        study = checked_study(study)
        self.study = study = study.model_copy(update={"tuner": configured(study.tuner)})
        self.seed = study.seed if seed is None else checked_seed(seed)
        self.encoding = StudyEncoding(study)
        self.history = History()
        self._planner = Planner(self.encoding, self.history, self.seed)
        self._state, self._watching = self._planner.state, self._planner.watching
        self._questions = Questions(study, self.history, self._planner.rng)
        if prior:
            self.take_prior(prior)

    def __repr__(self) -> str:
        return f"Tuner({self.study.name!r}, {self.study.tuner.method}, seed {self.seed}, {len(self.history)} trials)"

    # -- the loop ----------------------------------------------------------------------------------------

    def ask(
        self,
        context: str | None = None,
        operating_time: float | None = None,
        readings: Mapping[str, float] | None = None,
    ) -> Trial:
        """The next trial.

        Args:
            context: name of the context; None follows the study's schedule.
            operating_time: of the robot when the trial will begin, in seconds, pauses included; the trial keeps it.
                Needed where the study declares `surrogate.time`: it is certified for then.
            readings: of context variables that are `measured`, by name, in their units; needed where there are some.

        Raises:
            InputError: no operating time or reading where one is needed, a time before that of a trial asked already,
                or a reading outside its bounds.
            UnknownNameError: for a context that does not exist.
            UnsafeSeedError: when a seed of the context was measured unsafe.
            EmptySafeSetError: when nothing can be certified although the seeds were measured safe.
        """
        return self._asked(context, operating_time, readings)[0]

    def ask_traced(
        self,
        context: str | None = None,
        operating_time: float | None = None,
        readings: Mapping[str, float] | None = None,
    ) -> tuple[Trial, AskTrace]:
        """The next trial, the same as that of `ask`, with the table of what the ask looked at.

        Args and errors are those of `ask`. The table has at most 1,000 candidates of every search: the 500 of the
        largest value, and 500 of the others, drawn by the tuner's seed.
        """
        log = self._planner.proposer.log = SearchLog()
        try:
            trial, plan = self._asked(context, operating_time, readings)
        finally:
            self._planner.proposer.log = None
        with one_thread():
            return trial, trace_of(self.encoding, log, trial, plan, self._planner.rng("trace", trial.id))

    def _asked(
        self, context: str | None, operating_time: float | None, readings: Mapping[str, float] | None
    ) -> tuple[Trial, Proposal]:
        name = self.scheduled_context() if context is None else context
        self.encoding.context(name)
        operating_time = checked_time(self.study, self.history, operating_time)
        with one_thread(), self._state.at(operating_time, checked_readings(self.study, readings)):
            plan = self._planner.plan(name)
            trial = proposed_trial(self._state, self.seed, name, plan)
        trial = replace(trial, operating_time=operating_time)
        self.history.add(trial)
        return trial, plan

    def tell(self, trial: Trial | int, measurement: Measurement | Mapping[str, Any]) -> None:
        """What a trial showed.

        Args:
            trial: it, as it was asked or edited, or its id.
            measurement: a `Measurement`, or a mapping with its fields: `{"objective": 1.2, "margins": {"tilt": 0.1}}`.

        Raises:
            UnknownNameError: for a trial that was never asked.
            InputError: for a trial that was asked with other parameters or in another context than it has now.
            MeasurementError: for a trial told before, a missing or non-finite value, or an unknown outcome.
        """
        record = asked_record(self.history, trial)
        self.history.tell(record.trial.id, checked_told(self.study, record.trial, measurement))

    def tell_manual(
        self,
        parameters: Mapping[str, float],
        context: str,
        measurement: Measurement | Mapping[str, Any],
        operating_time: float | None = None,
        readings: Mapping[str, float] | None = None,
    ) -> Trial:
        """Enter a trial of a person's own choosing together with what it showed; its phase is `manual`.

        `operating_time` is that of the robot when the trial began, `readings` what was read then; see `ask`.
        """
        row = self.encoding.space.vector(parameters)
        operating_time = checked_time(self.study, self.history, operating_time)
        with one_thread(), self._state.at(operating_time, checked_readings(self.study, readings)):
            trial = trial_at(self._state, self.seed, context, row, "manual", "chosen by a person")
        told = checked_told(self.study, trial, measurement)
        trial = replace(trial, operating_time=operating_time, scenarios=tuple(told.scenarios))
        self.history.add(trial, told)
        return trial

    def edit(self, trial_id: int, parameters: Mapping[str, float]) -> Trial:
        """Replace a pending proposal's parameters; `certified` of the result says whether it still is.

        The trial keeps its id and becomes a `manual` one. A global proposal that is edited is no longer
        watched by the boundary condition.
        """
        old = self.history.record(trial_id).trial
        row = self.encoding.space.vector(parameters)
        read = {name: old.context[name] for name in self.encoding.measured}
        with one_thread(), self._state.at(old.operating_time, read):
            new = trial_at(
                self._state, self.seed, old.context_name, row, "manual", "edited by a person", trial_id
            )
        new = replace(new, operating_time=old.operating_time, scenarios=old.scenarios)
        self.history.replace(new)
        return new

    # -- preferences -------------------------------------------------------------------------------------

    def question(self) -> PreferenceQuestion | None:
        """Which two walks a person should compare next; None where all were compared, and for measured objectives.

        A pure function of study, seed, records and answers.
        """
        if not prefers(self.study):
            return None
        with one_thread():
            return self._questions.next(partial(best_walk, self._state), partial(best_pair, self._state))

    def tell_preference(
        self, question: PreferenceQuestion | tuple[int, int], word: PreferenceWord
    ) -> PreferenceAnswer:
        """What a person said of two walks.

        Args:
            question: as `question` gave it, or the ids of two told trials of one context, the left and the right one.
            word: `left` or `right` for the better one, `same`, or `unacceptable` for neither.

        Raises:
            InputError: the objective is measured, a word that does not exist, trials that were not told or are of
                different contexts.
            UnknownNameError: a trial that was never asked.

        Example:
            >>> tuner = Tuner(my_preference_study)  # doctest: +SKIP
            >>> tuner.tell_preference((2, 1), "left")  # doctest: +SKIP
        """
        return self._questions.answered(question, word)

    def restore_preferences(self, answers: Sequence[PreferenceAnswer]) -> None:
        """Take over the answers of an interrupted run; each counts from when both of its trials are told, so that it
        may be given before `restore`.
        """
        self._questions.restore(answers)

    def consistency(self) -> Consistency | None:
        """What the answers say of how consistent a person is (lambda); None for a measured objective."""
        utility = self._state.utility
        if utility is None:
            return None
        with one_thread():
            return utility.consistency(self._state.surrogate().posteriors[0])

    # -- trials of other runs ----------------------------------------------------------------------------

    def take_prior(self, records: Sequence[tuple[Trial, Measurement | None]]) -> None:
        """Let another run's trials inform this one's surrogate, as the argument `prior` does.

        Raises:
            StudyError: when this tuner has trials already, or the study has an objective or a horizon of which another
                run's trials say nothing.
            MeasurementError: for measurements that could not have been told.
        """
        check_prior(self.study, self.history)
        observed = self.encoding.observations(checked_records(self.study, records))
        self._state.models.take_prior(observed)

    def restore(self, records: Sequence[tuple[Trial, Measurement | None]]) -> None:
        """Take over the trials and measurements of an interrupted run; the next ask is the one it would have made.

        Raises:
            StudyError: when this tuner has trials already.
            MeasurementError: for measurements that could not have been told.
        """
        if len(self.history):
            raise StudyError("restore needs a new tuner; this one has trials already")
        for record in checked_records(self.study, records):
            self.history.add(record.trial, record.measurement)

    # -- what is known -----------------------------------------------------------------------------------

    def certify(
        self, parameters: Mapping[str, float], context: str, operating_time: float | None = None
    ) -> Certificate:
        """Whether parameters are certified in a context now.

        Args:
            parameters: in their own units.
            context: its name.
            operating_time: now, in seconds, for a study with `surrogate.time`; None: when the last trial ended.
        """
        row = self.encoding.space.vector(parameters)
        with one_thread(), self._state.at(operating_time):
            found = self._state.certificate(row, context)
            return replace(found, until=self._state.expires(row, context))

    def best(self, context: str | None = None, operating_time: float | None = None) -> Recommendation | None:
        """The certified parameters with the largest lower bound of the objective, tried or not.

        The whole box is searched. Where the objective is a preference it is the certified tried ones with the largest
        mean utility, as answers say how walks differ and not where all of them lie. None when nothing is certified in
        the context. `operating_time` is that of `certify`.
        """
        with one_thread(), self._state.at(operating_time):
            return best_certified(self._planner, self._named(context))

    def predict(self, context: str | None = None) -> Recommendation:
        """Where the objective's posterior mean is largest and every margin's mean is at least 0; never certified.

        For contexts that were never tried, from what the surrogate learned in others.
        """
        name = self._named(context)
        with one_thread():
            return predicted(self._planner, name)

    def bounds(self, parameters: ArrayLike, context: str) -> NDArray[np.float64]:
        """Lower bound, mean and upper bound of every function at raw parameters (`n x d`), `n x m x 3`.

        In the functions' own units, the objective first; for pictures of the safe set. Outside their bounds the model
        is asked all the same.

        Raises:
            InputError: for rows of another length than there are parameters, or numbers that are not finite.
        """
        rows = raw_rows(parameters, self.encoding.space.names)
        with one_thread():
            return intervals_at(self._state, rows, context)

    def monitor(self, trial: Trial) -> BoundaryMonitor | MarginMonitor | None:
        """The boundary condition for a global trial of GoSafeOpt; None for trials that need none.

        Raises:
            NoBackupError: when no backup with certified gains is known, or `tuner.backup.rule` has a monitor learned
                and none was taken (`take_monitor`).
        """
        if trial.phase != "global" or not self._state.explores:
            return None
        with one_thread():
            return self._watching.monitor_of(trial)

    def take_monitor(self, context: str, monitor: MarginMonitor) -> None:
        """Watch global trials of a context with a monitor that was learned, for `tuner.backup.rule: margin_to_go`.

        It changes no proposal.

        Raises:
            UnknownNameError: the context does not exist.
        """
        self.encoding.context(context)
        self._watching.learned[context] = monitor

    def backups(self, context: str) -> tuple[CertifiedBackup, ...]:
        """Gains that may take over in global trials of a context now, those with the largest lower bound first; gains
        that several trials tried once.
        """
        self.encoding.context(context)
        with one_thread():
            return self._watching.certified(context)

    def intervals(
        self, parameters: Mapping[str, Any], context: str, operating_time: float | None = None
    ) -> tuple[IntervalSplit, ...]:
        """What every function's interval at parameters consists of, the objective first: what more trials there shrink,
        what longer trials do, and what nothing does. Arguments are those of `certify`.
        """
        row = self.encoding.space.vector(parameters)
        self.encoding.context(context)
        with one_thread(), self._state.at(operating_time):
            return interval_splits(self._state, row, context)

    def tolerances(
        self, parameters: Mapping[str, Any], context: str, operating_time: float | None = None
    ) -> Tolerances | None:
        """How far each gain may move alone, the others held, before a margin's lower bound reaches 0 or the objective
        has lost 5 % of its gain over the seed (`safebo.tuner.tolerance`); None where the gains are not certified.
        Arguments are those of `certify`.
        """
        row = self.encoding.space.vector(parameters)
        self.encoding.context(context)
        with one_thread(), self._state.at(operating_time):
            return tolerances(self._state, row, context)

    def surrogate(self) -> Surrogate:
        """The posteriors given everything told."""
        with one_thread():
            return self._state.surrogate()

    def prior_report(self) -> PriorReport | None:
        """What became of the prior's trials: whether they are believed, and how far the two runs agree.

        None without a prior.
        """
        with one_thread():
            return self._state.models.report(self._state.observations())

    def evidence(self) -> dict[str, Evidence]:
        """What the measurements say of every constraint's prior, by name; empty where priors are declared."""
        with one_thread():
            return self._state.evidence()

    def residuals(self) -> dict[str, NDArray[np.float64]]:
        """Standardized one-step residuals by function, `n` each: how far measurements lay from their predictions.

        Standard normal and independent where the model is right. Under the priors that certify now; functions with
        sampled hyperparameters are left out.
        """
        with one_thread():
            return self._state.residuals()

    def outliers(self) -> dict[int, dict[str, float]]:
        """By trial and function, with how many times its `noise_std` a measurement counts that is taken as an outlier,
        where `noise_degrees` are declared; it may change with every further trial.
        """
        with one_thread():
            return self._state.outliers()

    def norms(self) -> dict[str, NormCheck]:
        """How much of the declared norm every function's measurements need, by name; empty for schedules of none."""
        with one_thread():
            return self._state.norms()

    def beyond_horizon(self) -> dict[int, str]:
        """Trials that do not certify as far as the study's `horizon`, and why, in words."""
        return self.encoding.beyond_horizon(self.history)

    def scheduled_context(self) -> str:
        """The context whose turn it is.

        By the study's schedule; without one, the contexts that have seeds take turns. Trials of a person's
        own choosing do not count. After the schedule's end its last context goes on.
        """
        return scheduled_context(self.study, self.history)

    def _named(self, context: str | None) -> str:
        name = self.study.seeds[0].context if context is None else context
        self.encoding.context(name)
        return name
