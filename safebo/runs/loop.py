"""The rounds of a run: ask, record, evaluate, record, tell; what stops them and what remains then.

With `n` workers a run goes in rounds: `n` trials are asked, they run at the same time, and they are told in
the order of their ids, so the result does not depend on which finished first. A trial that walks several scenarios is
as many tasks for the workers, and where every trial walks all of them a round is one trial, whatever `n`. A measurement
is in the journal as soon as it is whole. Resuming puts the tuner where the uninterrupted run would have been: it is
restored from the journal, an unfinished round is finished first, and only then is anything new asked.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn, Protocol

from safebo.errors import (
    EvaluatorError,
    EvaluatorOptionError,
    InputError,
    InterruptedRunError,
    JournalError,
    OtherFileError,
    RunStoppedError,
    SafeboError,
    UnknownTrialError,
    short_text,
)
from safebo.evaluators.gate import disk_is_full, refuse_seed, remarks_on, was_unsafe
from safebo.evaluators.scenarios import combined, parts_of
from safebo.evaluators.source import SUBPROCESS, EvaluatorSource
from safebo.files.writing import remove_draft
from safebo.runs.asking import next_trial, refuse_interval
from safebo.runs.best_gains import BestGains, read_best_gains
from safebo.runs.clock import OperatingClock
from safebo.runs.deadline import EVENT, Deadline
from safebo.runs.learned_monitors import LearnedMonitors
from safebo.runs.news import RunNews
from safebo.runs.operators import Operator
from safebo.runs.preferences import Comparisons, Judge
from safebo.runs.prior_run import tuner_of, with_answers
from safebo.runs.progress import Progress
from safebo.runs.recommendation import best_file, is_default, keep_best, note_code, origin, versions
from safebo.runs.supervision import Supervision
from safebo.runs.trace import TraceWriter
from safebo.storage.journal import Journal, Record
from safebo.storage.records import TAKEN_ROUND
from safebo.study import Study
from safebo.study.reading import StudyFile
from safebo.types import (
    EvaluatorInfo,
    Measurement,
    Monitor,
    NotStartedError,
    RobotAddress,
    Trial,
    TrialUnknownError,
)
from safebo.workers.interrupt import StopRequest
from safebo.workers.pool import UNGUARDED, Death, WorkerPool

LOG_FILE = "run.log"

_STOPPING = "Finishing the trials that run; Ctrl-C again stops now."
_STOPPING_ROBOT = (
    "Ending the trial: baseline gains, then the robot lies down; Ctrl-C again damps its joints at once."
)

_POLL_SECONDS = 0.2
_LEAVE_SECONDS = 20.0  # for a robot to lie down
_DAMP_SECONDS = 3.0  # for a worker to damp a robot's joints before it is ended


class TunerLike(Protocol):
    """What the loop needs of a tuner; see `safebo.tuner.Tuner`."""

    def ask(self, context: str | None = None) -> Trial:
        """The next trial."""

    def tell(self, trial: Trial, measurement: Measurement) -> None:
        """What a trial showed."""

    def monitor(self, trial: Trial) -> Monitor | None:
        """What watches a trial, if anything does."""

    def restore(self, records: list[tuple[Trial, Measurement | None]]) -> None:
        """Take the place of the tuner that asked and was told these."""

    def best(self, context: str | None = None) -> Any:
        """Certified recommendation for a context, or None."""


MakeTuner = Callable[[Study, int], TunerLike]


@dataclass(frozen=True)
class RunResult:
    """What a run left behind.

    Args:
        folder: the run's folder.
        told: number of trials told.
        best: certified gains by context; contexts for which nothing is certified are missing.
        files: where they are kept, by context.
        unsafe: ids of certified trials that fell or measured a negative margin: the model was wrong there.
        left: why trials are left; empty where all are done.
    """

    folder: Path
    told: int
    best: dict[str, BestGains] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    unsafe: tuple[int, ...] = ()
    left: str = ""


def restorable(records: Sequence[Record]) -> list[tuple[Trial, Measurement | None]]:
    """The trials of a journal as `Tuner.restore` takes them."""
    return [(record.trial, record.measurement) for record in records]


class RunLoop:
    """One run's loop: owns the workers, knows the round in progress.

    Args:
        file: the study.
        folder: the run's folder; it must exist.
        workers: size of a round.
        progress: is told what happens.
        executor: evaluates the trials instead of processes of our own; None for processes.
        max_failures: so many failed trials in a row stop the run.
        operator: who approves and judges trials that move a robot.
        robot: where that robot is; None for evaluators that move none.
        deadline: after which no trial begins; None for none.
        trace: whether what every ask looked at is kept in the folder.
        judge: who says which of two walks is better, where the objective is a preference.
    """

    def __init__(
        self,
        file: StudyFile,
        folder: Path,
        workers: int,
        progress: Progress,
        executor: Executor | None,
        max_failures: int,
        operator: Operator | None = None,
        robot: RobotAddress | None = None,
        deadline: Deadline | None = None,
        trace: bool = False,
        judge: Judge | None = None,
    ) -> None:
        note_code()
        self.judge = judge
        self.trace = trace
        self.deadline = deadline
        self.file, self.folder, self.workers = file, folder, workers
        all_walked = file.study.scenarios is not None and file.study.scenarios.walked == "all"
        self.round_size = 1 if all_walked else workers
        self.progress, self.max_failures = progress, max_failures
        self.log = folder / LOG_FILE if executor is None else None
        self.source = EvaluatorSource.of_file(file, folder, robot)
        self.pool = WorkerPool(self.source, workers, self.log, executor)
        self.clock: OperatingClock | None = None
        self.supervision: Supervision | None = None
        if operator is not None:
            self.supervision = Supervision(operator, file.study, self.pool, progress)
        self.failures_in_row = 0
        self.best_cost = 0.0
        self.best_at = 0.0
        self.told = 0
        self._remarks: set[str] = set()

    def close(self) -> None:
        """End the workers at once; a robot lies down first."""
        if self.supervision is not None:
            for words in self.pool.finish(_LEAVE_SECONDS):
                self.progress.note(words)
            self.supervision.close()
        self.pool.close(at_once=True)

    def start_evaluator(self) -> Future[EvaluatorInfo]:
        """Start the first worker on making the evaluator."""
        return self.pool.describe()

    def check_evaluator(self, described: Future[EvaluatorInfo]) -> EvaluatorInfo:
        """What the evaluator accepts, once the study has been checked against it."""
        name = self.file.study.evaluator.name
        try:
            info = described.result()
        except EvaluatorOptionError as error:
            raise self.file.option_error(error) from error
        except EvaluatorError as error:
            raise EvaluatorError(f"{error}{self._printed()}") from error
        except BrokenExecutor as error:
            death = self.pool.restart(0)
            if death.code == UNGUARDED:
                raise InputError(unguarded()) from None
            raise RunStoppedError(
                f"evaluator {name!r}: its process {death.words} while it started{self._printed()}"
            ) from error
        except SafeboError:
            raise
        except Exception as error:
            raise EvaluatorError(
                f"evaluator {name!r}: what its info() returned did not arrive: {short_text(error)}{self._printed()}"
            ) from error
        if self.log is None and self.file.study.evaluator.time_limit is not None and name != SUBPROCESS:
            raise InputError(
                "evaluator.time_limit needs worker processes of safebo's own, and an executor was given: leave one of "
                "them out, and limit the time where the executor is made"
            )
        self.file.check_evaluator(info)
        if self.file.study.surrogate.time is not None:
            refuse_interval(self.file, info)
        return info

    def finished_already(self, journal: Journal, make_tuner: MakeTuner) -> RunResult:
        """A finished run asks for nothing; its gains are written again only where they are missing or older."""
        records = journal.records()
        self._refuse_seeds(journal, records)
        self.told = len(records)
        self.progress.begin(journal.run, records)
        contexts = contexts_of(records, journal.run.study)
        files = {name: best_file(self.folder, name, journal.run.study) for name in contexts}
        for path in files.values():
            remove_draft(path)
        ended = _noted_end(journal)
        if ended and all(path.exists() for path in files.values()):
            # Files that this run did not write are refused before.
            best = {name: read_best_gains(path) for name, path in files.items()}
        else:
            tuner: TunerLike = tuner_of(journal, make_tuner)
            tuner.restore(restorable(records))
            best, files = self.keep_best(tuner, journal, contexts, whole=True)
        if not ended:
            self._note_end(journal)
        self.progress.note(f"All {len(records)} trials are done already.")
        self.progress.end()
        return self._result(journal, best, files)

    def _result(self, journal: Journal, best: dict[str, BestGains], files: dict[str, Path]) -> RunResult:
        broken = [
            r.trial.id
            for r in journal.records(states=False)
            if r.trial.certified
            and r.measurement is not None
            and was_unsafe(r.measurement, journal.run.study)
        ]
        return RunResult(self.folder, self.told, best, files, tuple(broken))

    def run(self, journal: Journal, tuner: TunerLike, info: EvaluatorInfo, resumed: bool) -> RunResult:
        """Rounds until all trials are told; whatever ends them, the certified gains are written."""
        records = journal.records()
        if self.supervision is not None:
            self.supervision.watch(self.source)
            self._sort_out(journal, self.supervision, records)
            while self.supervision.resolve(journal):
                self._sort_out(journal, self.supervision, journal.records())
            records = journal.records()
        self._refuse_unknown(journal, records, info)
        self._refuse_seeds(journal, records)
        self.clock = OperatingClock(journal, records)
        current = self._restore(tuner, journal, records)
        self.progress.begin(journal.run, [record for record in records if record.status == "told"])
        self._note_start(journal, resumed)
        if self.deadline is not None:
            journal.note(EVENT, self.deadline.announced)
            self.progress.note(self.deadline.announced)
        news = RunNews(journal, tuner, self.progress, supervised=self.supervision is not None)
        news.begin()
        stop = StopRequest(
            lambda: self.progress.note(_STOPPING if self.supervision is None else _STOPPING_ROBOT),
            self.pool.request_stop,
        )
        try:
            with stop:
                if self.supervision is not None:
                    self.supervision.check(journal)
                self._rounds(journal, tuner, info, current, stop, news)
        except Exception as error:
            self._note_stop(journal, tuner, error)
            raise
        finally:
            self.progress.end()
        try:
            best, files = self.keep_best(tuner, journal, self._asked_contexts(journal), whole=True)
        except (OSError, OtherFileError) as error:
            why = error.strerror or error if isinstance(error, OSError) else error
            raise RunStoppedError(
                f"{self.folder}: all {self.told} trials are done and kept, but their best gains cannot be "
                f"written: {why}. `safebo best {self.folder}` prints them"
            ) from error
        left = ""
        if self.told < journal.run.trials:
            assert self.deadline is not None
            left = self.deadline.ended(self.told, journal.run.trials)
            journal.note("stopped", left)
        else:
            self._note_end(journal)
        return replace(self._result(journal, best, files), left=left)

    # -- rounds ------------------------------------------------------------------------------------------

    def _rounds(
        self,
        journal: Journal,
        tuner: TunerLike,
        info: EvaluatorInfo,
        current: _Round,
        stop: StopRequest,
        news: RunNews,
    ) -> None:
        assert self.clock is not None
        asked = self.told + len(current.trials)
        trace = TraceWriter(self.folder, tuner) if self.trace else None
        monitors = self._learned(journal, tuner, info, stop)
        comparisons = Comparisons(self.folder, journal, tuner, self.progress, self.judge)
        while True:
            if not current.trials:
                comparisons.ask_all()
            over = self.deadline is not None and self.deadline.over
            if not current.trials and (asked >= journal.run.trials or over):
                news.end()
                return
            if stop.soon:
                raise self._interrupted()
            while current.open and len(current.trials) < self.round_size and asked < journal.run.trials:
                trial = next_trial(tuner, self.clock, self.pool, self.file.study, trace)
                self.clock.asked(trial, journal.ask(trial, current.number))
                current.trials.append(trial)
                asked += 1
            monitors.ready([trial for trial in current.trials if trial.id not in current.measured])
            self._evaluate(journal, tuner, info, current, stop)
            for trial in current.trials:
                tuner.tell(trial, current.measured[trial.id])
                self.told += 1
            news.told()
            for trial in current.trials:
                refuse_seed(trial, current.measured[trial.id], self.file.study)
                self._count_failures(trial, current.measured[trial.id])
            news.checked()
            self._keep_best_sometimes(tuner, journal, current.trials[-1].context_name)
            current = _Round(current.number + 1)

    def _learned(
        self, journal: Journal, tuner: TunerLike, info: EvaluatorInfo, stop: StopRequest
    ) -> LearnedMonitors:
        """The monitors that are learned before trials; nothing of that is kept when the run is asked to stop."""

        def stopped(left: Sequence[int]) -> None:
            if stop.soon:
                self.pool.close(at_once=True)
                raise self._interrupted(left, info)

        return LearnedMonitors(journal, self.folder, tuner, self.pool, self.workers, self.progress, stopped)

    def _evaluate(
        self, journal: Journal, tuner: TunerLike, info: EvaluatorInfo, current: _Round, stop: StopRequest
    ) -> None:
        """Run what the round has not measured yet; a worker that dies costs only the walk it ran."""
        slots: dict[Future[Measurement], tuple[int, Trial]] = {}
        attempts: dict[tuple[int, str], int] = {}
        walked: dict[int, dict[str, Measurement]] = {}
        lost: dict[int, str] = {}
        tries = self.file.study.evaluator.tries
        unkept: dict[int, OSError] = {}
        assert self.clock is not None
        clock = self.clock
        damped_at: float | None = None

        def start(slot: int, trial: Trial) -> None:
            skipped = clock.expired(trial)
            if skipped is None and self.supervision is not None:
                # While a person thinks about it, a certificate may expire.
                skipped = self.supervision.approve(journal, trial) or clock.expired(trial)
            if skipped is not None:
                self._record(journal, trial, skipped, info)
                current.measured[trial.id] = skipped
                return
            if trial.scenario is None or trial.scenario.name == trial.scenarios[0]:
                self.progress.asked(whole[trial.id])
            attempts[_walk(trial)] = attempts.get(_walk(trial), 0) + 1
            monitor = tuner.monitor(trial)
            if monitor is not None and not info.monitored:
                raise RunStoppedError(
                    f"trial {trial.id} must be watched by a monitor, and evaluator {info.name!r} takes none"
                )
            try:
                slots[self.pool.submit(slot, clock.timed(trial), monitor)] = (slot, trial)
            except (BrokenExecutor, RuntimeError) as error:
                raise RunStoppedError(
                    f"trial {trial.id} could not be started: the executor takes no more work ({short_text(error)}). "
                    "Mend that and go on with --resume"
                ) from error

        def lose(trial: Trial, why: str) -> None:
            journal.mark_unknown(trial.id, why)
            self.progress.note(f"trial {trial.id}: {why}")
            lost[trial.id] = why

        def showed(part: Trial, measurement: Measurement) -> None:
            """Keep what a walk showed; once it was the trial's last, record the trial."""
            if part.id in lost:
                return  # another walk of it is not known, so neither is it
            trial = whole[part.id]
            if part.scenario is not None:
                walks = walked.setdefault(part.id, {})
                walks[part.scenario.name] = measurement
                if len(walks) < len(trial.scenarios):
                    return
                measurement = combined({name: walks[name] for name in trial.scenarios}, self.file.study)
            if self.supervision is not None:
                self.supervision.tell_news(journal)
                measurement = self.supervision.judge(journal, trial, measurement)
            measurement = clock.measured(trial, measurement)
            self._record(journal, trial, measurement, info)
            current.measured[trial.id] = measurement

        whole = {trial.id: trial for trial in current.trials}
        open_trials = [trial for trial in current.trials if trial.id not in current.measured]
        waiting = [part for trial in open_trials for part in parts_of(trial, self.file.study)]
        while slots or waiting:
            # A round that more workers began is longer than there are processes now. None gets two trials, as one
            # that dies would take the other with it.
            while waiting and len(slots) < self.workers:
                trial = waiting.pop(0)
                if trial.id in lost:
                    continue
                start(min(set(range(self.workers)) - {slot for slot, _ in slots.values()}), trial)
            done, _ = wait(slots, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            if self.supervision is not None:
                self.supervision.tell_news(journal)
                if stop.at_once and damped_at is None:
                    damped_at = time.monotonic()
            waited = self.supervision is None or (
                damped_at is not None and time.monotonic() - damped_at > _DAMP_SECONDS
            )
            if stop.at_once and not done and waited:
                self.pool.close(at_once=True)
                left = [trial.id for trial in [*(trial for _, trial in slots.values()), *waiting]]
                raise self._interrupted(list(dict.fromkeys(left)), info)
            for future in done:
                slot, trial = slots.pop(future)
                try:
                    measurement = future.result()
                except BrokenExecutor:
                    death = self.pool.restart(slot)
                    died = self._words(death)
                    if not info.repeatable:
                        lose(trial, died)
                        continue
                    words = f"trial {trial.id}{_in_scenario(trial)}: {died}"
                    journal.note("worker-died", words, trial.id)
                    count = f"attempt {attempts[_walk(trial)]} of {tries}"
                    self.progress.note(words + ("" if death.over_limit else f"; {count}"))
                    if attempts[_walk(trial)] < tries and not death.over_limit:
                        start(slot, trial)
                        continue
                    if not death.over_limit:
                        times = "once" if tries == 1 else f"{tries} times"
                        died = f"its worker process died {times}; it {death.words}"
                    measurement = Measurement(outcome="failed", message=died)
                except TrialUnknownError as error:
                    lose(trial, str(error))
                    continue
                except NotStartedError as error:
                    raise RunStoppedError(
                        f"trial {trial.id} was not started: {error}. Its gains moved nothing; mend that and go on "
                        "with --resume"
                    ) from error
                except Exception as error:
                    if isinstance(error, OSError) and disk_is_full(error):
                        unkept[trial.id] = error
                        continue
                    # A study's evaluator cannot raise here; a caller's executor or an unpicklable answer can.
                    text = f"its answer did not arrive: {short_text(error)}"
                    if not info.repeatable:
                        lose(trial, text)
                        continue
                    measurement = Measurement(outcome="failed", message=text)
                showed(trial, measurement)
        if unkept:
            self._stop_without_room(journal, info, unkept)
        if lost:
            raise self.unknown(sorted(lost), lost)

    def _words(self, death: Death) -> str:
        """How the process of a trial ended."""
        limit = self.file.study.evaluator.time_limit
        if death.over_limit and limit is not None:
            return f"it did not end within evaluator.time_limit ({limit:g} s), and its process was ended"
        return f"its worker process {death.words}"

    def _printed(self) -> str:
        """Where to read what the evaluator printed, if it printed anything that is kept."""
        with contextlib.suppress(OSError):
            if self.log is not None and self.log.stat().st_size:
                return f". What the evaluator printed is in {self.log}"
        return ""

    def _stop_without_room(
        self, journal: Journal, info: EvaluatorInfo, unkept: Mapping[int, OSError]
    ) -> NoReturn:
        """Stop for a disk on which evaluators found no room; what they would have shown is not known."""
        ids = sorted(unkept)
        error = unkept[ids[0]]
        text = (
            f"{self.folder}: the disk is full: trial {', '.join(map(str, ids))} could not keep what it recorded "
            f"({' '.join(str(error).split())}). Free some space. Every trial told before this is kept"
        )
        if info.repeatable:
            raise RunStoppedError(f"{text}; then go on with --resume, and it will be evaluated again")
        for trial_id in ids:
            journal.mark_unknown(trial_id, "the disk was full when its evaluator wrote")
        raise UnknownTrialError(f"{text}. {self.unknown(ids)}")

    def _record(self, journal: Journal, trial: Trial, measurement: Measurement, info: EvaluatorInfo) -> None:
        try:
            journal.tell(trial.id, measurement)
        except JournalError as error:
            if info.repeatable:
                raise JournalError(f"{error} Trial {trial.id} will be evaluated again.") from error
            seen = {"objective": measurement.objective, "margins": dict(measurement.margins)}
            raise JournalError(
                f"{error} Trial {trial.id} ran and showed {json.dumps(seen)}, outcome {measurement.outcome}: "
                f"write that to a file and say `safebo resolve {self.folder} {trial.id} --measurement FILE`."
            ) from error
        self.progress.told(trial, measurement)
        remarks = [remark for remark in remarks_on(measurement) if remark not in self._remarks]
        self._remarks.update(remarks)
        for remark in remarks:
            self.progress.note(f"trial {trial.id}: {remark}")

    def _count_failures(self, trial: Trial, measurement: Measurement) -> None:
        self.failures_in_row = self.failures_in_row + 1 if measurement.outcome == "failed" else 0
        if self.failures_in_row >= self.max_failures:
            raise RunStoppedError(
                f"{self.failures_in_row} trials in a row failed; the last, trial {trial.id}: "
                f"{measurement.message}. Mend that and go on with --resume{self._printed()}"
            )

    # -- resuming ----------------------------------------------------------------------------------------

    def ask_unknown(self, journal: Journal) -> None:
        """Ask at once, before anything is loaded, what became of trials of which nobody knows how they ended.

        Raises:
            UnknownTrialError: nobody says, or nobody can be asked.
        """
        if self.supervision is not None:
            self.supervision.resolve(journal)
        waiting = [r.trial.id for r in journal.records(states=False) if r.status == "unknown"]
        if waiting:
            raise self.unknown(waiting)

    def _refuse_unknown(self, journal: Journal, records: Sequence[Record], info: EvaluatorInfo) -> None:
        """Trials of which nobody knows how they ended wait for a person where they may not run again."""
        unknown = [record.trial.id for record in records if record.status == "unknown"]
        if not info.repeatable and self.supervision is None:
            for record in records:
                if record.status == "asked":
                    journal.mark_unknown(record.trial.id, "the run ended before the result was recorded")
                    unknown.append(record.trial.id)
        if unknown:
            raise self.unknown(sorted(unknown))

    def _sort_out(self, journal: Journal, supervision: Supervision, records: Sequence[Record]) -> None:
        """Trials of a robot that an earlier process left: told, marked unknown, or left to be approved again."""
        found = supervision.sort_out(journal, records)
        for record in records:
            if record.trial.id in found:
                journal.tell(record.trial.id, found[record.trial.id])

    def _refuse_seeds(self, journal: Journal, records: Sequence[Record]) -> None:
        for record in records:
            refuse_seed(record.trial, record.measurement, journal.run.study)

    def unknown(self, ids: Sequence[int], why: Mapping[int, str] | None = None) -> UnknownTrialError:
        """What to do about trials of which nobody knows how they ended; `why`, where that is known."""
        first = ids[0]
        which = f"trial {first}" if len(ids) == 1 else f"trials {', '.join(map(str, ids))}"
        because = f" ({why[first]})" if why else ""
        return UnknownTrialError(
            f"{self.folder}: {which}: asked, but how it ended is not known{because}, and evaluator "
            f"{self.file.study.evaluator.name!r} may not run a trial twice. Look at the robot, then say "
            f"what happened: `safebo resolve {self.folder} {first} --as WORD` with `fell` or `unsafe` (its gains "
            "are not certified any more) or `failed` (it says nothing about them), or `--measurement FILE` (what it "
            "showed); then go on with --resume"
        )

    def _restore(self, tuner: TunerLike, journal: Journal, records: Sequence[Record]) -> _Round:
        """Put the tuner where it was; returns the round in progress, or a new one."""
        with_answers(tuner, journal)
        if not records:
            return _Round(0)
        last = records[-1].round
        members = [record for record in records if record.round == last]
        # A smaller total may have cut the last round short. It is opened again: its other trials are asked as they
        # would have been, before these are told. A trial of a person's own is a round of its own.
        same = self.workers == journal.run.workers
        short = same and len(members) < self.round_size and members[0].trial.phase != "manual"
        short = short and last != TAKEN_ROUND
        if all(record.status == "told" for record in members) and not short:
            tuner.restore(restorable(records))
            self.told = len(records)
            return _Round(last + 1)
        # The round's measurements are told again in the order of the ids, as they would have been.
        before = [record for record in records if record.round < last]
        tuner.restore(restorable(before) + [(record.trial, None) for record in members])
        self.told = len(before)
        measured = {r.trial.id: r.measurement for r in members if r.measurement is not None}
        trials = [record.trial for record in members]
        return _Round(last, trials, measured, open=short or not measured)

    def _note_start(self, journal: Journal, resumed: bool) -> None:
        if not resumed:
            journal.note("started", f"{journal.run.trials} trials, {self.workers} at a time")
            return
        journal.note("resumed", f"after {self.told} trials")
        now = versions()
        changed = [
            f"{name} {old} -> {now.get(name, 'gone')}"
            for name, old in journal.run.versions.items()
            if now.get(name) != old
        ]
        if changed:
            text = f"versions changed since the run began ({', '.join(changed)}): trials may differ"
            journal.note("versions", text)
            self.progress.note(text)
        if self.workers != journal.run.workers and self.round_size == self.workers:
            text = (
                f"workers changed ({journal.run.workers} -> {self.workers}): rounds, so trials, will differ"
            )
            journal.note("workers", text)
            self.progress.note(text)

    def _note_end(self, journal: Journal) -> None:
        journal.note("finished", f"{self.told} trials")

    # -- stopping ----------------------------------------------------------------------------------------

    def _interrupted(
        self, left: Sequence[int] = (), info: EvaluatorInfo | None = None
    ) -> InterruptedRunError:
        text = f"stopped after {self.told} trials; go on with --resume"
        if left:
            again = "will be evaluated again" if info is None or info.repeatable else "will need a person"
            which = "trial" if len(left) == 1 else "trials"
            text += f" ({which} {', '.join(map(str, left))} did not finish and {again})"
            if info is not None and info.robot:
                text += ". Whether the robot has stopped was not seen: look at it"
        return InterruptedRunError(text)

    def _note_stop(self, journal: Journal, tuner: TunerLike, error: Exception) -> None:
        """Say in the journal and the folder what remains; none of it may hide why the run stopped."""
        with contextlib.suppress(Exception):
            journal.note("stopped", str(error) or type(error).__name__)
        with contextlib.suppress(Exception):
            records = journal.records(states=False)
            whole = [record.status for record in records] == ["told"] * self.told
            self.keep_best(tuner, journal, contexts_of(records, journal.run.study), whole)

    def _asked_contexts(self, journal: Journal) -> list[str]:
        return contexts_of(journal.records(states=False), journal.run.study)

    def _keep_best_sometimes(self, tuner: TunerLike, journal: Journal, context: str) -> None:
        """Keep the file of certified gains fresh at no more than a twentieth of the run's time."""
        if time.monotonic() - self.best_at < 20 * self.best_cost:
            return
        with contextlib.suppress(OSError, SafeboError):
            self.keep_best(tuner, journal, [context])

    def keep_best(
        self, tuner: TunerLike, journal: Journal, contexts: Sequence[str], whole: bool = False
    ) -> tuple[dict[str, BestGains], dict[str, Path]]:
        """Write each context's certified gains and notice how long that takes.

        Args:
            tuner: is asked for them.
            journal: of the run.
            contexts: names of the contexts.
            whole: whether the tuner was told all that the journal holds.
        """
        start = time.monotonic()
        computed_from = origin(journal) if whole and is_default(tuner) else ""
        clock = self.clock or OperatingClock(journal, journal.records(states=False))
        best, files = keep_best(tuner, self.folder, journal.run.study, contexts, computed_from, clock)
        self.best_at = time.monotonic()
        self.best_cost = self.best_at - start
        return best, files


@dataclass
class _Round:
    """Trials that are asked before the first of them is told. An open round may still be filled."""

    number: int
    trials: list[Trial] = field(default_factory=list)
    measured: dict[int, Measurement] = field(default_factory=dict)
    open: bool = True


def _walk(trial: Trial) -> tuple[int, str]:
    """Which walk a trial, or the part of one that walks a scenario, is."""
    return trial.id, "" if trial.scenario is None else trial.scenario.name


def _in_scenario(trial: Trial) -> str:
    return "" if trial.scenario is None else f", scenario {trial.scenario.name}"


def unguarded() -> str:
    """What to say of a script that starts a run whenever it is imported."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return (
        f"{Path(script).name if script else 'this script'} calls safebo.run() outside "
        '`if __name__ == "__main__":`; worker processes import it again, so put the call under that line'
    )


def _noted_end(journal: Journal) -> bool:
    """Whether the files of best gains are of all trials: a process that was killed may have left older ones."""
    kinds = [event.kind for event in journal.events() if event.kind in ("started", "resumed", "finished")]
    return kinds[-1:] == ["finished"]


def contexts_of(records: Sequence[Record], study: Study) -> list[str]:
    """Names of the contexts that were asked for, in the study's order."""
    asked = {record.trial.context_name for record in records}
    return [name for name in study.context.values if name in asked]
