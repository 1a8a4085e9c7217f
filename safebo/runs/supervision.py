"""What a run does otherwise when its trials move a robot: checks, approvals, verdicts, and no trial run twice.

Nothing here moves anything. An approval is a committed row that names exactly what was approved, by its hash, and
is void after a minute; whoever moves the robot reads that row first.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace

from safebo.errors import InputError, InterruptedRunError, RunStoppedError
from safebo.evaluators.source import EvaluatorSource
from safebo.runs.nearest import nearest_tried
from safebo.runs.operators import InterruptedQuestionError, NobodyThereError, Operator, Verdict
from safebo.runs.progress import Progress
from safebo.storage.journal import Journal, Record
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
            RunStoppedError: something is not as it must be; nothing has moved.
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
                ended = _ended(journal, trial.id)
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

    def _score(self, trial: Trial, ended: Mapping[str, object]) -> Measurement:
        future: Future[Measurement] = self._pool.score(trial, dict(ended))
        return future.result(CHECKS)


def _ended(journal: Journal, trial_id: int) -> Mapping[str, object]:
    for event in reversed(journal.events()):
        if event.kind == KIND and event.trial == trial_id and event.data["state"] == "ENDED":
            return event.data
    return {}


def words_of(error: BaseException) -> str:
    """An error of the robot's side for people; of a process that died or does not answer there is only the kind."""
    return str(error) or type(error).__name__


def judged(measurement: Measurement, study: Study, verdict: Verdict) -> Measurement:
    """A measurement as it counts after a verdict."""
    if verdict.judgement == "contaminated":
        words = f"contaminated: {verdict.words}".rstrip(": ")
        return replace(measurement, outcome="failed", objective=None, message=words)
    return unsafe(measurement, study, verdict.words) if verdict.judgement == "unsafe" else measurement


def unsafe(measurement: Measurement, study: Study, words: str) -> Measurement:
    """A measurement that a person calls unsafe: no margin of the study may speak for it any more."""
    below = dict(measurement.margins)
    for constraint in study.constraints:
        for name in (constraint.name, constraint.quantity):
            if name in below:
                # as far under the limit as it was above it, and at least the noise's share of it
                below[name] = min(below[name], -abs(below[name]), -1e-3)
    said = f"unsafe, says the operator: {words}".rstrip(": ")
    return replace(measurement, outcome="aborted", objective=None, margins=below, message=said)


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
