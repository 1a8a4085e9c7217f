"""A round's trials on their way through the workers: started, awaited, begun again where a process died, recorded."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from typing import NoReturn

from safebo.errors import RunStoppedError, UnknownTrialError, short_text
from safebo.evaluators.gate import disk_is_full
from safebo.evaluators.scenarios import combined, parts_of
from safebo.runs.in_progress import Round, RunInProgress, interrupted, unknown_trials
from safebo.types import Measurement, NotStartedError, Trial, TrialUnknownError

_POLL_SECONDS = 0.2
_DAMP_SECONDS = 3.0  # for a worker to damp a robot's joints before it is ended


class RoundEvaluation:
    """Runs what a round has not measured yet; a worker that dies costs only the walk it ran.

    Args:
        run: that the round belongs to.
        current: the round; what its trials show is entered there.
        told: number of trials told before it.
    """

    def __init__(self, run: RunInProgress, current: Round, told: int) -> None:
        self._run, self._current, self._told = run, current, told
        self._study = run.workers.file.study
        self._whole = {trial.id: trial for trial in current.trials}
        open_trials = [trial for trial in current.trials if trial.id not in current.measured]
        self._waiting = [part for trial in open_trials for part in parts_of(trial, self._study)]
        self._running: dict[Future[Measurement], tuple[int, Trial]] = {}
        self._attempts: dict[tuple[int, str], int] = {}
        self._walked: dict[int, dict[str, Measurement]] = {}
        self._lost: dict[int, str] = {}
        self._unkept: dict[int, OSError] = {}
        self._damped_at: float | None = None

    def evaluate(self) -> None:
        """Run it to its end.

        Raises:
            InterruptedRunError: it was asked to stop at once.
            UnknownTrialError: nobody knows how a trial ended that may not run twice.
            RunStoppedError: a trial could not be started, or its result not be kept.
        """
        while self._running or self._waiting:
            self._start_waiting()
            done, _ = wait(self._running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            if self._run.supervision is not None:
                self._run.supervision.tell_news(self._run.journal)
            if self._run.stop.at_once:
                self._leave(bool(done))
            for future in done:
                slot, walk = self._running.pop(future)
                measurement = self._shown(future, slot, walk)
                if measurement is not None:
                    self._keep(walk, measurement)
        if self._unkept:
            self._stop_without_room(self._unkept)
        if self._lost:
            raise unknown_trials(self._run.workers, sorted(self._lost), self._lost)

    def _start_waiting(self) -> None:
        """Give every free process a walk that waits.

        A round that more workers began is longer than there are processes now. None gets two trials, as one that dies
        would take the other with it.
        """
        while self._waiting and len(self._running) < self._run.workers.size:
            walk = self._waiting.pop(0)
            if walk.id not in self._lost:
                busy = {slot for slot, _ in self._running.values()}
                self._start(min(set(range(self._run.workers.size)) - busy), walk)

    def _start(self, slot: int, walk: Trial) -> None:
        run = self._run
        skipped = run.clock.expired(walk)
        if skipped is None and run.supervision is not None:
            # While a person thinks about it, a certificate may expire.
            skipped = run.supervision.approve(run.journal, walk) or run.clock.expired(walk)
        if skipped is not None:
            self._enter(walk, skipped)
            return
        if walk.scenario is None or walk.scenario.name == walk.scenarios[0]:
            run.progress.asked(self._whole[walk.id])
        self._attempts[_key(walk)] = self._attempts.get(_key(walk), 0) + 1
        monitor = run.tuner.monitor(walk)
        if monitor is not None and not run.info.monitored:
            raise RunStoppedError(
                f"trial {walk.id} must be watched by a monitor, and evaluator {run.info.name!r} takes none"
            )
        try:
            future = run.workers.pool.submit(slot, run.clock.timed(walk), monitor)
        except (BrokenExecutor, RuntimeError) as error:
            raise RunStoppedError(
                f"trial {walk.id} could not be started: the executor takes no more work ({short_text(error)}). "
                "Mend that and go on with --resume"
            ) from error
        self._running[future] = (slot, walk)

    def _leave(self, done: bool) -> None:
        """Leave what runs, once nothing has just ended and a robot's worker had time to damp its joints.

        Raises:
            InterruptedRunError: names what did not finish.
        """
        if self._run.supervision is not None:
            self._damped_at = time.monotonic() if self._damped_at is None else self._damped_at
            if time.monotonic() - self._damped_at <= _DAMP_SECONDS:
                return
        if done:
            return
        self._run.workers.pool.close(at_once=True)
        left = [walk.id for walk in [*(walk for _, walk in self._running.values()), *self._waiting]]
        raise interrupted(self._told, list(dict.fromkeys(left)), self._run.info)

    # -- what a walk showed ------------------------------------------------------------------------------

    def _shown(self, future: Future[Measurement], slot: int, walk: Trial) -> Measurement | None:
        """What a walk showed; None where it was started again, or where that is not known or could not be kept."""
        try:
            return future.result()
        except BrokenExecutor:
            return self._after_death(slot, walk)
        except TrialUnknownError as error:
            self._lose(walk, str(error))
            return None
        except NotStartedError as error:
            raise RunStoppedError(
                f"trial {walk.id} was not started: {error}. Its gains moved nothing; mend that and go on "
                "with --resume"
            ) from error
        except Exception as error:
            if isinstance(error, OSError) and disk_is_full(error):
                self._unkept[walk.id] = error
                return None
            # A study's evaluator cannot raise here; a caller's executor or an unpicklable answer can.
            text = f"its answer did not arrive: {short_text(error)}"
            if not self._run.info.repeatable:
                self._lose(walk, text)
                return None
            return Measurement(outcome="failed", message=text)

    def _after_death(self, slot: int, walk: Trial) -> Measurement | None:
        """Start a walk again whose process died, as often as the study says; what counts where that is over."""
        run, tries = self._run, self._study.evaluator.tries
        death = run.workers.pool.restart(slot)
        died = run.workers.death_message(death)
        if not run.info.repeatable:
            self._lose(walk, died)
            return None
        scenario = "" if walk.scenario is None else f", scenario {walk.scenario.name}"
        message, attempt = f"trial {walk.id}{scenario}: {died}", self._attempts[_key(walk)]
        run.journal.note("worker-died", message, walk.id)
        run.progress.note(message + ("" if death.over_limit else f"; attempt {attempt} of {tries}"))
        if death.over_limit:
            return Measurement(outcome="failed", message=died)
        if attempt < tries:
            self._start(slot, walk)
            return None
        times = "once" if tries == 1 else f"{tries} times"
        return Measurement(outcome="failed", message=f"its worker process died {times}; it {death.words}")

    def _lose(self, walk: Trial, why: str) -> None:
        self._run.journal.mark_unknown(walk.id, why)
        self._run.progress.note(f"trial {walk.id}: {why}")
        self._lost[walk.id] = why

    def _keep(self, walk: Trial, measurement: Measurement) -> None:
        """Keep what a walk showed; once it was the trial's last, record the trial."""
        run = self._run
        if walk.id in self._lost:
            return  # another walk of it is not known, so neither is it
        trial = self._whole[walk.id]
        if walk.scenario is not None:
            walks = self._walked.setdefault(walk.id, {})
            walks[walk.scenario.name] = measurement
            if len(walks) < len(trial.scenarios):
                return
            measurement = combined({name: walks[name] for name in trial.scenarios}, self._study)
        if run.supervision is not None:
            run.supervision.tell_news(run.journal)
            measurement = run.supervision.judge(run.journal, trial, measurement)
        self._enter(trial, run.clock.measured(trial, measurement))

    def _enter(self, trial: Trial, measurement: Measurement) -> None:
        self._run.recorder.record(trial, measurement)
        self._current.measured[trial.id] = measurement

    def _stop_without_room(self, unkept: Mapping[int, OSError]) -> NoReturn:
        """Stop for a disk on which evaluators found no room; what they would have shown is not known."""
        run, ids = self._run, sorted(unkept)
        error = unkept[ids[0]]
        text = (
            f"{run.workers.folder}: the disk is full: trial {', '.join(map(str, ids))} could not keep what it recorded "
            f"({' '.join(str(error).split())}). Free some space. Every trial told before this is kept"
        )
        if run.info.repeatable:
            raise RunStoppedError(f"{text}; then go on with --resume, and it will be evaluated again")
        for trial_id in ids:
            run.journal.mark_unknown(trial_id, "the disk was full when its evaluator wrote")
        raise UnknownTrialError(f"{text}. {unknown_trials(run.workers, ids)}")


def _key(walk: Trial) -> tuple[int, str]:
    """Which walk a trial, or the part of one that walks a scenario, is."""
    return walk.id, "" if walk.scenario is None else walk.scenario.name
