"""The rounds of a run: ask, record, evaluate, record, tell; what stops them and what remains then.

With `n` workers a run goes in rounds: `n` trials are asked, they run at the same time, and they are told in
the order of their ids, so the result does not depend on which finished first. A trial that walks several scenarios is
as many tasks for the workers, and where every trial walks all of them a round is one trial, whatever `n`. A measurement
is in the journal as soon as it is whole. Resuming puts the tuner where the uninterrupted run would have been: it is
restored from the journal, an unfinished round is finished first, and only then is anything new asked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

from safebo.errors import OtherFileError, RunStoppedError
from safebo.evaluators.seeds import refuse_seed
from safebo.files.writing import remove_draft
from safebo.runs.asking import next_trial
from safebo.runs.best_gains import read_best_gains
from safebo.runs.clock import OperatingClock
from safebo.runs.deadline import EVENT, Deadline
from safebo.runs.evaluator_workers import EvaluatorWorkers
from safebo.runs.in_progress import Round, RunInProgress, interrupted
from safebo.runs.keeping import BestKeeper
from safebo.runs.learned_monitors import LearnedMonitors
from safebo.runs.news import RunNews
from safebo.runs.operators import Operator
from safebo.runs.preferences import Comparisons, Judge
from safebo.runs.prior_run import tuner_of
from safebo.runs.progress import Progress
from safebo.runs.recommendation import best_file, note_code
from safebo.runs.recorder import TrialRecorder
from safebo.runs.result import RunResult, contexts_of, failed_trials, unsafe_trials
from safebo.runs.resuming import (
    ask_unknown,
    note_resumed,
    refuse_seeds,
    refuse_unknown,
    restored_round,
    settle,
)
from safebo.runs.round_evaluation import RoundEvaluation
from safebo.runs.supervision import Supervision
from safebo.runs.trace import TraceWriter
from safebo.runs.tuner_protocol import MakeTuner, TunerLike, restorable
from safebo.storage.journal import Journal
from safebo.study.reading import StudyFile
from safebo.text.counted import counted
from safebo.types import EvaluatorInfo, Measurement, RobotAddress, Trial
from safebo.workers.interrupt import StopRequest

_STOPPING = "Finishing the trials that run; Ctrl-C again stops now."
_STOPPING_ROBOT = (
    "Ending the trial: baseline gains, then the robot lies down; Ctrl-C again damps its joints at once."
)

_LEAVE_SECONDS = 20.0  # for a robot to lie down


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
        self.file, self.folder, self.progress = file, folder, progress
        self.workers = EvaluatorWorkers(file, folder, workers, executor, robot)
        self.max_failures, self.deadline, self.trace, self.judge = max_failures, deadline, trace, judge
        all_walked = file.study.scenarios is not None and file.study.scenarios.walked == "all"
        self.round_size = 1 if all_walked else workers
        self.supervision: Supervision | None = None
        if operator is not None:
            self.supervision = Supervision(operator, file.study, self.workers.pool, progress)
        self.failures_in_row = 0
        self.told = 0

    def close(self) -> None:
        """End the workers at once; a robot lies down first."""
        if self.supervision is not None:
            for message in self.workers.pool.finish(_LEAVE_SECONDS):
                self.progress.note(message)
            self.supervision.close()
        self.workers.pool.close(at_once=True)

    def ask_unknown(self, journal: Journal) -> None:
        """Ask at once, before anything is loaded, what became of trials of which nobody knows how they ended.

        Raises:
            UnknownTrialError: nobody says, or nobody can be asked.
        """
        ask_unknown(journal, self.workers, self.supervision)

    def finished_already(self, journal: Journal, make_tuner: MakeTuner) -> RunResult:
        """A finished run asks for nothing; its gains are written again only where they are missing or older."""
        records, study = journal.records(), journal.run.study
        refuse_seeds(records, study)
        self.told = len(records)
        self.progress.begin(journal.run, records)
        contexts = contexts_of(records, study)
        files = {name: best_file(self.folder, name, study) for name in contexts}
        for path in files.values():
            remove_draft(path)
        ended = _noted_end(journal)
        if ended and all(path.exists() for path in files.values()):
            # Files that this run did not write are refused before.
            best = {name: read_best_gains(path) for name, path in files.items()}
        else:
            tuner: TunerLike = tuner_of(journal, make_tuner)
            tuner.restore(restorable(records))
            keeper = BestKeeper(self.folder, journal, tuner, OperatingClock(journal, records))
            best, files = keeper.keep(contexts, whole=True)
        if not ended:
            self._note_end(journal)
        self.progress.note(f"All {len(records)} trials are done already.")
        self.progress.end()
        unsafe, failed = unsafe_trials(records, study), failed_trials(records)
        return RunResult(self.folder, self.told, best, files, unsafe, failed=failed)

    def run(self, journal: Journal, tuner: TunerLike, info: EvaluatorInfo, resumed: bool) -> RunResult:
        """Rounds until all trials are told; whatever ends them, the certified gains are written."""
        if self.supervision is not None:
            self.supervision.watch(self.workers.source)
            settle(journal, self.supervision)
        records = journal.records()
        refuse_unknown(journal, records, self.workers, info, supervised=self.supervision is not None)
        refuse_seeds(records, journal.run.study)
        run = RunInProgress(
            workers=self.workers,
            journal=journal,
            tuner=tuner,
            info=info,
            clock=OperatingClock(journal, records),
            recorder=TrialRecorder(journal, self.folder, info, self.progress),
            progress=self.progress,
            supervision=self.supervision,
            stop=StopRequest(
                lambda: self.progress.note(_STOPPING if self.supervision is None else _STOPPING_ROBOT),
                self.workers.pool.request_stop,
            ),
        )
        size = self.workers.size
        self.told, current = restored_round(tuner, journal, records, size, self.round_size)
        self.progress.begin(journal.run, [record for record in records if record.status == "told"])
        if resumed:
            note_resumed(journal, self.progress, self.told, size, self.round_size)
        else:
            journal.note("started", f"{counted(journal.run.trials, 'trial')}, {size} at a time")
        if self.deadline is not None:
            journal.note(EVENT, self.deadline.announced)
            self.progress.note(self.deadline.announced)
        news = RunNews(journal, tuner, self.progress, supervised=self.supervision is not None)
        news.begin()
        keeper = BestKeeper(self.folder, journal, tuner, run.clock)
        try:
            with run.stop:
                if self.supervision is not None:
                    self.supervision.check(journal)
                self._rounds(run, current, news, keeper)
        except Exception as error:
            self._note_stop(journal, keeper, error)
            raise
        finally:
            self.progress.end()
        return self._finish(journal, keeper)

    # -- rounds ------------------------------------------------------------------------------------------

    def _rounds(self, run: RunInProgress, current: Round, news: RunNews, keeper: BestKeeper) -> None:
        study, planned = self.file.study, run.journal.run.trials
        asked = self.told + len(current.trials)
        trace = TraceWriter(self.folder, run.tuner) if self.trace else None
        monitors = self._learned(run)
        comparisons = Comparisons(self.folder, run.journal, run.tuner, self.progress, self.judge)
        while True:
            if not current.trials:
                comparisons.ask_all()
            over = self.deadline is not None and self.deadline.over
            if not current.trials and (asked >= planned or over):
                news.end()
                return
            if run.stop.soon:
                raise interrupted(self.told)
            while current.open and len(current.trials) < self.round_size and asked < planned:
                trial = next_trial(run.tuner, run.clock, self.workers.pool, study, trace)
                run.clock.asked(trial, run.journal.ask(trial, current.number))
                current.trials.append(trial)
                asked += 1
            monitors.ready([trial for trial in current.trials if trial.id not in current.measured])
            RoundEvaluation(run, current, self.told).evaluate()
            for trial in current.trials:
                run.tuner.tell(trial, current.measured[trial.id])
                self.told += 1
            news.told()
            for trial in current.trials:
                refuse_seed(trial, current.measured[trial.id], study)
                self._count_failures(trial, current.measured[trial.id])
            news.checked()
            keeper.keep_sometimes(current.trials[-1].context_name)
            current = Round(current.number + 1)

    def _learned(self, run: RunInProgress) -> LearnedMonitors:
        """The monitors that are learned before trials; nothing of that is kept when the run is asked to stop."""

        def stopped(left: Sequence[int]) -> None:
            if run.stop.soon:
                self.workers.pool.close(at_once=True)
                raise interrupted(self.told, left, run.info)

        workers = self.workers
        return LearnedMonitors(
            run.journal, self.folder, run.tuner, workers.pool, workers.size, self.progress, stopped
        )

    def _count_failures(self, trial: Trial, measurement: Measurement) -> None:
        self.failures_in_row = self.failures_in_row + 1 if measurement.outcome == "failed" else 0
        if self.failures_in_row >= self.max_failures:
            raise RunStoppedError(
                f"{self.failures_in_row} trials in a row failed; the last, trial {trial.id}: "
                f"{measurement.message}. Mend that and go on with --resume{self.workers.printed()}"
            )

    # -- the end -----------------------------------------------------------------------------------------

    def _finish(self, journal: Journal, keeper: BestKeeper) -> RunResult:
        """Write the certified gains of a run whose rounds are over, and note that they are."""
        records, study = journal.records(states=False), journal.run.study
        try:
            best, files = keeper.keep(contexts_of(records, study), whole=True)
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
        unsafe, failed = unsafe_trials(records, study), failed_trials(records)
        return RunResult(self.folder, self.told, best, files, unsafe, left, failed)

    def _note_end(self, journal: Journal) -> None:
        journal.note("finished", counted(self.told, "trial"))

    def _note_stop(self, journal: Journal, keeper: BestKeeper, error: Exception) -> None:
        """Say in the journal and the folder what remains; none of it may hide why the run stopped."""
        with contextlib.suppress(Exception):
            journal.note("stopped", str(error) or type(error).__name__)
        with contextlib.suppress(Exception):
            records = journal.records(states=False)
            whole = [record.status for record in records] == ["told"] * self.told
            keeper.keep(contexts_of(records, journal.run.study), whole)


def _noted_end(journal: Journal) -> bool:
    """Whether the files of best gains are of all trials: a process that was killed may have left older ones."""
    kinds = [event.kind for event in journal.events() if event.kind in ("started", "resumed", "finished")]
    return kinds[-1:] == ["finished"]
