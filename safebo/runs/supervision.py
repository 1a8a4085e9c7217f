"""What a run does otherwise when its trials move a robot: checks, approvals, verdicts, and no trial run twice.

Nothing here moves anything. An approval is a committed row that names exactly what was approved, by its hash, and
is void after a minute; whoever moves the robot reads that row first.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from safebo.errors import InputError, InterruptedRunError, RunStoppedError
from safebo.evaluators.source import EvaluatorSource
from safebo.runs.nearest import nearest_tried
from safebo.runs.operators import InterruptedQuestionError, NobodyThereError, Operator, Verdict
from safebo.runs.progress import Progress
from safebo.runs.verdicts import judged, keep_account, raw_record
from safebo.storage.journal import Journal
from safebo.storage.records import Record
from safebo.storage.trial_log import KIND, MOVED, OVER, VERDICTS, last_step
from safebo.study import Study
from safebo.study.methods import METHODS, canonical
from safebo.types import Check, EvaluatorInfo, Measurement, RobotWatch, Trial, trial_hash
from safebo.workers.pool import WorkerPool

ROBOT = "robot"
CHECKS = 60.0  # s for the checks before the first trial


class Supervision:
    """A person's part in one run.

    Args:
        operator: who decides.
        study: the run's study.
        pool: whose worker moves the robot.
        progress: is told what the robot does.
    """

    def __init__(self, operator: Operator, study: Study, pool: WorkerPool, progress: Progress) -> None:
        self._operator, self._study, self._pool, self._progress = operator, study, pool, progress
        self._before: Mapping[str, float] | None = None
        self._told = 0
        self._watch: RobotWatch | None = None

    def watch(self, source: EvaluatorSource) -> None:
        """From now on the person is told at once what happens to the robot, whatever the run waits for or computes.

        Raises:
            EvaluatorError: the robot's side cannot be loaded.
        """
        self._watch = source.watch_robot(self._operator.alarm)

    def close(self) -> None:
        """Tell nothing more."""
        if self._watch is not None:
            self._watch.close()

    def check(self, journal: Journal) -> None:
        """Have everything checked before the first trial.

        Raises:
            RunStoppedError: something is not as it must be; no trial has begun.
        """
        self._told = len(journal.events())
        try:
            checks: Sequence[Check] = self._pool.preflight().result(CHECKS)
        except Exception as error:
            raise RunStoppedError(
                f"not started: the checks before the first trial could not be made: {words_of(error)}. Mend that and "
                "go on with --resume"
            ) from error
        with self._progress.asking():
            self._operator.look(checks)
        failed = [check for check in checks if not check.passed]
        journal.note(
            "checks",
            f"{len(checks) - len(failed)} of {len(checks)} passed",
            data={check.name: [check.passed, check.message] for check in checks},
        )
        if failed:
            names = ", ".join(check.name for check in failed)
            raise RunStoppedError(
                f"not started: {names}: see the list above. Mend that and go on with --resume"
            )

    def approve(self, journal: Journal, trial: Trial) -> Measurement | None:
        """Ask for a trial; what is recorded instead of running it where the answer is no.

        Raises:
            RunStoppedError: the person wants no more, or nobody is there.
        """
        try:
            nearest = nearest_tried(self._study, trial, journal.records(states=False))
            with self._progress.asking():
                decision = self._operator.approve(trial, self._study, self._before, nearest)
        except InterruptedQuestionError as error:
            raise InterruptedRunError(f"trial {trial.id} was not approved: {error}") from error
        except NobodyThereError as error:
            raise RunStoppedError(f"trial {trial.id} was not approved: {error}") from error
        if decision.answer == "stop":
            raise RunStoppedError(
                f"stopped by the operator before trial {trial.id}: {decision.words}".rstrip(": ")
            )
        if decision.answer == "skip":
            journal.note(KIND, decision.words, trial.id, {"state": "SKIPPED"})
            words = f"skipped by the operator: {decision.words}".rstrip(": ")
            return Measurement(outcome="failed", message=words)
        data = {"state": "APPROVED", "hash": trial_hash(trial), "monotonic": time.monotonic()}
        journal.note(KIND, decision.words, trial.id, data)
        self._before = dict(trial.parameters)
        return None

    def judge(self, journal: Journal, trial: Trial, measurement: Measurement) -> Measurement:
        """The measurement as it counts, after the person's verdict."""
        if measurement.outcome == "failed":
            self._step(journal, trial, "CONTAMINATED", measurement.message)
            return measurement
        try:
            with self._progress.asking():
                verdict = self._operator.judge(trial, self._study, measurement)
        except NobodyThereError as error:
            stopped = InterruptedRunError if isinstance(error, InterruptedQuestionError) else RunStoppedError
            raise stopped(
                f"trial {trial.id} ran and was not judged: {error}. Its raw file is kept; --resume asks again"
            ) from error
        measurement = judged(measurement, self._study, verdict)
        state = "UNSAFE" if measurement.outcome == "aborted" else verdict.judgement.upper()
        self._step(journal, trial, state, verdict.words, judgement=verdict.judgement)
        return measurement

    def _step(self, journal: Journal, trial: Trial, state: str, words: str, **data: str) -> None:
        journal.note(KIND, words, trial.id, {"state": state, "words": words, **data})

    def tell_news(self, journal: Journal) -> None:
        """Say what the robot's side has recorded since the last call."""
        events = journal.events()
        for event in events[self._told :]:
            if event.kind == KIND and event.data["state"] in ("ARMED", "RUNNING", "ENDED", "REFUSED"):
                words = f"trial {event.trial}: {str(event.data['state']).lower()}"
                self._progress.note(f"{words}, {event.text}" if event.text else words)
        self._told = len(events)

    def sort_out(self, journal: Journal, records: Sequence[Record]) -> dict[int, Measurement]:
        """Trials that an earlier process asked and did not finish.

        A trial that was only proposed or approved has moved nothing and may be approved again. One that ended is
        scored from its raw file and judged, or counts as it was judged before. One that was armed or running waits for
        a person, and so does one whose raw file cannot be scored.

        Returns:
            Measurements of trials that ended, to be told.
        """
        found: dict[int, Measurement] = {}
        for record in records:
            if record.status != "asked":
                continue
            trial = record.trial
            state, data = last_step(journal, trial.id)
            if state in MOVED:
                journal.mark_unknown(trial.id, f"the run ended while this trial was {state.lower()}")
            elif state in OVER:
                ended = raw_record(journal.events(), trial.id)
                if not ended:  # it failed without a raw file, and that was kept
                    found[trial.id] = Measurement(outcome="failed", message=str(data.get("words", "")))
                    continue
                try:
                    measurement = self._score(trial, ended)
                except Exception as error:
                    words = f"it ended, and its raw file cannot be scored: {words_of(error)}"
                    journal.mark_unknown(trial.id, words)
                    self._progress.note(f"trial {trial.id}: {words}")
                    continue
                self._progress.note(f"trial {trial.id} had ended: scored from {ended.get('file')}")
                if state not in VERDICTS:
                    measurement = self.judge(journal, trial, measurement)
                elif measurement.outcome != "failed":
                    measurement = judged(measurement, self._study, Verdict(data["judgement"], data["words"]))
                found[trial.id] = measurement
        return found

    def resolve(self, journal: Journal) -> bool:
        """Ask what became of trials of which nobody knows, and keep the answers.

        What is not answered, because nobody is there or wants to look first, stays as it is.

        Returns:
            Whether a trial waits to be scored from its raw file (`sort_out`).

        Raises:
            InterruptedRunError: the person answered with Ctrl-C.
        """
        scored = False
        for record in journal.records(states=False):
            if record.status != "unknown":
                continue
            trial, why = record.trial, why_unknown(journal, record.trial.id)
            try:
                with self._progress.asking():
                    account = self._operator.resolve(
                        trial, why, scorable=bool(raw_record(journal.events(), trial.id))
                    )
            except InterruptedQuestionError as error:
                raise InterruptedRunError(
                    f"how trial {trial.id} ended is still not known: {error}"
                ) from error
            except NobodyThereError:
                break
            if account.answer != "later":
                keep_account(journal, trial, self._study, account)
                scored = scored or account.answer == "completed"
        return scored

    def _score(self, trial: Trial, ended: Mapping[str, object]) -> Measurement:
        future: Future[Measurement] = self._pool.score(trial, dict(ended))
        return future.result(CHECKS)


def why_unknown(journal: Journal, trial_id: int) -> str:
    """Why it is not known how a trial ended, as it was kept."""
    found = [e.text for e in journal.events() if e.kind == "unknown" and e.trial == trial_id]
    return found[-1] if found else ""


def words_of(error: BaseException) -> str:
    """An error of the robot's side for people; of a process that died or does not answer there is only the kind."""
    return str(error) or type(error).__name__


def check_meant(info: EvaluatorInfo, serial: str | None) -> None:
    """Refuse another robot than the one that is meant, before anything is recorded.

    Args:
        info: of the evaluator that moves it.
        serial: of the physical robot that is meant; None: a virtual one.

    Raises:
        InputError: says which is there and how to name it.
    """
    there = f"a {info.robot} robot with serial {info.serial} is there"
    if info.robot == "physical" and serial is None:
        raise InputError(
            f"{there}, and a virtual one was asked for. To move it, name it: --physical {info.serial}"
        )
    if serial is not None and (info.robot != "physical" or info.serial != serial):
        raise InputError(f"{there}, and the physical one with serial {serial} was asked for")


def check_allowed(info: EvaluatorInfo, study: Study, approve_all: bool, global_trials: bool) -> None:
    """Refuse what must not happen on a robot.

    Raises:
        InputError: approving everything on a physical robot; trials outside the certified set that nobody asked for.
    """
    if approve_all and info.robot == "physical":
        raise InputError(
            "--approve-all works only with a virtual robot: a person approves what moves a physical one"
        )
    method = METHODS.get(canonical(study.tuner.method))
    if method is None:
        return
    if method.safety == "baseline" and info.robot == "physical":
        raise InputError(f"tuner.method: {method.name!r} promises nothing; it is not for a physical robot")
    if method.safety != "certified" and not global_trials:
        raise InputError(
            f"tuner.method: {method.name!r} also makes trials outside the certified set. On a robot only local, "
            "certified trials run unless you ask for the others by name: --global-trials"
        )


def check_same_robot(journal: Journal, info: EvaluatorInfo) -> None:
    """A run's trials are all of one robot, or all of a simulation.

    Raises:
        InputError: the run was begun on something else.
    """
    found = robots_of(journal)
    if not found and not journal.records(states=False):
        note_robot(journal, info)
        return
    began = robot_words(found[0]["robot"], found[0]["serial"]) if found else robot_words("", "")
    now = robot_words(info.robot, info.serial)
    if began != now:
        raise InputError(
            f"this run was begun with {began}; here is {now}. A run keeps to one of them: start another with --out"
            + (", to which --prior can give this one's trials" if not found else "")
        )


def robots_of(journal: Journal) -> list[Mapping[str, str]]:
    """`robot` and `serial` of the robot that a run is of; empty for a simulation."""
    return [event.data for event in journal.events() if event.kind == ROBOT]


def note_robot(journal: Journal, info: EvaluatorInfo) -> None:
    """Keep which robot a new run is of."""
    if info.robot:
        words = robot_words(info.robot, info.serial)
        journal.note(ROBOT, words, data={"robot": info.robot, "serial": info.serial})


def robot_words(robot: str, serial: str) -> str:
    """What trials are made with."""
    return f"a {robot} robot, serial {serial or 'unknown'}" if robot else "a simulation"
