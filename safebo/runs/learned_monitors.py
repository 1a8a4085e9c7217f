"""Monitors that a run learns before its global trials (`tuner.backup.rule: margin_to_go`): when, and where kept.

A monitor is learned before the first global trial of a context, on the run's workers. It is learned anew when one of
its backups is certified no longer, because gains without a certificate must not take over, and when gains of a region
are certified in which there were none. It is kept in the folder, and the journal says for which trial it was learned: a
resumed run takes it from there. A learning that was interrupted goes on with the trials that it has walked
(`safebo.runs.learned_walks`).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safebo.errors import EvaluatorError, FileError, RunStoppedError, SafeboError
from safebo.runs.learned_walks import LearnedWalks
from safebo.runs.progress import Progress
from safebo.storage.journal import Journal
from safebo.study import LEARNED_RULE
from safebo.types import SwitchedTrial, SwitchPlan, Trial
from safebo.workers.pool import WorkerPool

if TYPE_CHECKING:
    from safebo.boundary.margin_to_go import MarginMonitor
    from safebo.tuner.backups import CertifiedBackup

EVENT = "monitor"
FOLDER = "monitors"
_POLL_SECONDS = 0.2


class LearnedMonitors:
    """The monitors of one run. A run of other rules never has one.

    Args:
        journal: of the run.
        folder: of the run.
        tuner: that is given them.
        pool: whose workers walk.
        workers: how many.
        progress: is told.
        stopped: raises when the run was asked to stop.
    """

    def __init__(
        self,
        journal: Journal,
        folder: Path,
        tuner: Any,
        pool: WorkerPool,
        workers: int,
        progress: Progress,
        stopped: Callable[[Sequence[int]], None],
    ) -> None:
        self._journal, self._folder, self._tuner, self._pool = journal, folder, tuner, pool
        self._workers, self._progress, self._stopped = workers, progress, stopped
        self._tries = journal.run.study.evaluator.tries
        self._known: dict[str, dict[str, Any]] | None = None

    def ready(self, trials: Sequence[Trial]) -> None:
        """Have a monitor for every trial that needs one, learned now where there is none that may still be used.

        Raises:
            RunStoppedError: none can be learned; the trial was not started.
            InterruptedRunError: the run was asked to stop.
        """
        for trial in trials:
            if trial.trigger_rule == LEARNED_RULE and trial.phase == "global":
                self._ready(trial)

    def _ready(self, trial: Trial) -> None:
        if self._known is None:
            self._known = self._from_journal()
        found = self._tuner.backups(trial.context_name)
        kept = self._known.get(trial.context_name)
        why = "" if kept is None else _outdated(kept, found)
        if kept is None or why:
            self._learn(trial, found, why)

    def _from_journal(self) -> dict[str, dict[str, Any]]:
        """What was learned last for every context; the tuner is given it. A file that is gone is learned again."""
        known = {e.data["context"]: dict(e.data) for e in self._journal.events() if e.kind == EVENT}
        for context, told in list(known.items()):
            try:
                self._tuner.take_monitor(context, _kept(self._folder, told))
            except FileError as error:
                self._progress.note(f"{error}: the monitor of context {context} is learned again")
                del known[context]
        return known

    def _learn(self, trial: Trial, found: Sequence[CertifiedBackup], why: str) -> None:
        from safebo.boundary.monitor_file import save_monitor
        from safebo.tuner.learning import MonitorLearning, chosen_backups

        encoding, context = self._tuner.encoding, trial.context_name
        if not found:
            raise RunStoppedError(
                f"trial {trial.id} was not started: in context {context} no gains that could take over are certified"
            )
        chosen = chosen_backups(found, encoding.space)
        backups = [one.parameters for one in chosen]
        self._progress.note(
            f"{why}Before trial {trial.id} a monitor is learned for context {context}, whose backups are the gains of "
            f"{_trials(chosen)}."
        )
        walks = LearnedWalks(self._folder / FOLDER / f"trial-{trial.id:05d}-walks")
        if len(walks):
            self._progress.note(f"An interrupted learning goes on with {len(walks)} simulated trials.")
        steps = _Steps(self._progress)
        begin = time.monotonic()
        try:
            monitor = MonitorLearning(
                encoding, trial, backups, lambda plans: self._walked(trial, plans, walks), steps.tell
            ).learn()
        except RunStoppedError:
            raise
        except SafeboError as error:
            raise RunStoppedError(f"trial {trial.id} was not started: {error}") from error
        file = f"{FOLDER}/trial-{trial.id:05d}.npz"
        path = self._folder / file
        try:
            path.parent.mkdir(exist_ok=True)
            save_monitor(monitor, path)
        except OSError as error:
            raise RunStoppedError(
                f"trial {trial.id} was not started: {path} cannot be written: {error.strerror}. Mend that and go on "
                "with --resume"
            ) from error
        told = {
            "context": context,
            "file": file,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "backups": [dict(b) for b in backups],
            "regions": sorted({one.region for one in found}),
        }
        bound = monitor.calibration
        text = (
            f"monitor of context {context}, from trial {trial.id} on, with the gains of {_trials(chosen)} as backups: "
            f"{bound.guarantee}. It triggers where the bound is {bound.level:g} or less (0 is the limit, 1 ample); "
            f"{bound.counts}"
        )
        self._journal.note(EVENT, text, trial.id, told)
        self._progress.note(f"{text}. Learned in {time.monotonic() - begin:.0f} s; kept in {path}")
        walks.forget()
        # From the file, so that a resumed run watches with the same one.
        self._tuner.take_monitor(context, _kept(self._folder, told))
        assert self._known is not None
        self._known[context] = told

    def _walked(
        self, trial: Trial, plans: Sequence[tuple[Trial, SwitchPlan]], walks: LearnedWalks
    ) -> list[SwitchedTrial]:
        """What trials with switches showed, in their order; a worker that dies costs one of them."""
        known = {number: walks.kept(*plan) for number, plan in enumerate(plans)}
        found = {number: one for number, one in known.items() if one is not None}
        attempts = [0] * len(plans)
        waiting = [number for number in range(len(plans)) if number not in found]
        slots = dict[Future[SwitchedTrial], tuple[int, int]]()
        while waiting or slots:
            while waiting and len(slots) < self._workers:
                free = min(set(range(self._workers)) - {slot for slot, _ in slots.values()})
                number = waiting.pop(0)
                attempts[number] += 1
                slots[self._pool.try_switches(free, *plans[number])] = (free, number)
            done, _ = wait(slots, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            self._stopped([trial.id])
            for future in done:
                slot, number = slots.pop(future)
                try:
                    found[number] = future.result()
                    walks.keep(*plans[number], found[number])
                except BrokenExecutor as error:
                    death = self._pool.restart(slot)
                    if attempts[number] >= self._tries:
                        raise self._not_started(trial, f"its worker process {death.words}") from error
                    waiting.insert(0, number)
                except EvaluatorError as error:
                    raise self._not_started(trial, str(error)) from error
                except OSError as error:
                    raise self._not_started(
                        trial,
                        f"a trial could not be kept in {self._folder / FOLDER}: {error.strerror or error}",
                    ) from error
        return [found[number] for number in range(len(plans))]

    def _not_started(self, trial: Trial, why: str) -> RunStoppedError:
        return RunStoppedError(
            f"trial {trial.id} was not started: its monitor could not be learned: {why}. Mend that and go on with "
            "--resume"
        )


class _Steps:
    """Says how far the learning is, and about how long the present part of it takes."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._part = progress, ""
        self._began = self._last = time.monotonic()

    def tell(self, what: str, done: int, of: int) -> None:
        """A line."""
        if what != self._part:
            self._part, self._began = what, self._last
        self._last = time.monotonic()
        left = (self._last - self._began) / max(1, done) * (of - done)
        minutes, rest = divmod(round(left), 60)
        eta = f", about {minutes}:{rest:02d} left" if 0 < done < of else ""
        self._progress.note(f"{what}: {done} of {of} trials{eta}")


def _kept(folder: Path, told: Mapping[str, Any]) -> MarginMonitor:
    """A monitor as its event in the journal names it.

    Raises:
        FileError: the file is gone, or another one.
    """
    from safebo.boundary.monitor_file import load_monitor

    path = folder / told["file"]
    monitor = load_monitor(path)
    if hashlib.sha256(path.read_bytes()).hexdigest() != told["sha256"]:
        raise FileError(f"{path}: is not what this run wrote")
    return monitor


def take_kept(journal: Journal, folder: Path, tuner: Any, trial: Trial) -> None:
    """Give a tuner the monitor that watches a trial of a run, where the run learned one.

    Args:
        journal: of the run.
        folder: of the run.
        tuner: of the run's study.
        trial: of the run.

    Raises:
        FileError: its file is gone, or another one.
    """
    told = [e for e in journal.events() if e.kind == EVENT and e.trial is not None and e.trial <= trial.id]
    for event in told[::-1]:
        if event.data["context"] == trial.context_name:
            tuner.take_monitor(trial.context_name, _kept(folder, event.data))
            return


def _outdated(kept: dict[str, Any], found: Sequence[CertifiedBackup]) -> str:
    """Why a monitor may not be used any longer, as the beginning of a message; empty where it may."""
    certified = [dict(one.parameters) for one in found]
    if any(backup not in certified for backup in kept["backups"]):
        return "A backup of the monitor is certified no longer. "
    if {one.region for one in found} - set(kept["regions"]):
        return "Gains of a new region are certified. "
    return ""


def _trials(chosen: Sequence[CertifiedBackup]) -> str:
    words = ", ".join(str(one.trial) for one in chosen)
    return f"trial {words}" if len(chosen) == 1 else f"trials {words}"


def monitor_lines(journal: Journal) -> list[str]:
    """What the journal says of monitors that were learned."""
    return [event.text for event in journal.events() if event.kind == EVENT]
