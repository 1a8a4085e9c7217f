"""What watches a context's global trials: its certified backups, the monitor made of them, and what it would stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from safebo.errors import NoBackupError
from safebo.safety.safe_set import smallest
from safebo.study import LEARNED_RULE
from safebo.tuner.backups import Backup, CertifiedBackup, backup_of, boundary_monitor
from safebo.tuner.phases import progress
from safebo.tuner.state import TunerState
from safebo.types import Trial

if TYPE_CHECKING:
    # with numba, which only global trials need
    from safebo.boundary.margin_to_go import MarginMonitor
    from safebo.boundary.monitor import BoundaryMonitor


class Watching:
    """Backups and monitors of one tuner's contexts, from its state.

    Args:
        state: certifies the backups' gains.
    """

    def __init__(self, state: TunerState) -> None:
        self.state = state
        self.learned: dict[str, MarginMonitor] = {}
        """Monitors that were learned in simulation, by context."""
        self._known: dict[int, Backup | None] = {}
        self._monitors: tuple[object, BoundaryMonitor] | None = None

    def failed_set(self, name: str) -> list[Trial]:
        """Global trials in which the monitor switched, without those whose state it would let pass today.

        The failing parameters, not the backup's; computed anew before every global step. A monitor that was learned
        lets nothing pass that it once stopped.
        """
        stopped = [
            r
            for r in self.state.history.of_context(name)
            if r.trial.phase == "global" and r.measurement is not None and r.measurement.outcome == "backup"
        ]
        if not stopped:
            return []
        if self.state.study.tuner.backup.rule == LEARNED_RULE:
            return [r.trial for r in stopped]
        monitor = self.monitor(name)
        failed = []
        for r in stopped:
            visited = None if r.measurement is None else r.measurement.backup_state
            if visited is None or not monitor.covered(np.asarray(visited, dtype=np.float64)):
                failed.append(r.trial)
        return failed

    def possible(self, name: str) -> bool:
        """Whether a global trial in this context could be watched: some backup's gains are certified."""
        return bool(self.backups(name)[0])

    def monitor_of(self, trial: Trial) -> BoundaryMonitor | MarginMonitor:
        """What watches a global trial: the monitor that was learned for its context, or the boundary condition.

        Raises:
            NoBackupError: no backup with certified gains is known, or no monitor was learned.
        """
        if self.state.study.tuner.backup.rule != LEARNED_RULE:
            return self.monitor(trial.context_name)
        learned = self.learned.get(trial.context_name)
        if learned is None:
            raise NoBackupError(
                f"trial {trial.id}: tuner.backup.rule {LEARNED_RULE} watches with a monitor that is learned in "
                f"simulation, and this tuner has none for context {trial.context_name!r}: a run learns it; from "
                "Python, give it with take_monitor (safebo.tuner.learning)"
            )
        return learned

    def monitor(self, name: str) -> BoundaryMonitor:
        """The boundary condition of a context from its backups.

        Raises:
            NoBackupError: when no backup with certified gains is known.
        """
        told = tuple(r.trial.id for r in self.state.history.told())
        if self._monitors is None or self._monitors[0] != (name, told):
            found, lower = self.backups(name)
            spec, visited = self.state.study.tuner.backup, self._uncertified_states(name)
            self._monitors = ((name, told), boundary_monitor(found, lower, spec, visited))
        return self._monitors[1]

    def _uncertified_states(self, name: str) -> list[NDArray[np.float64]]:
        """Finite states that the context's global trials visited, `m x k` each."""
        measured = [r.measurement for r in self.state.history.of_context(name) if r.trial.phase == "global"]
        paths = [np.asarray(m.states, dtype=np.float64) for m in measured if m and m.states is not None]
        return [path for path in paths if np.isfinite(path).all()]

    def backups(self, name: str) -> tuple[list[Backup], NDArray[np.float64]]:
        """Backups of the context whose gains are certified now, and the lower bounds of their smallest margins."""
        found = []
        for r in self.state.history.of_context(name):
            if r.pending:
                continue
            if r.trial.id not in self._known:
                self._known[r.trial.id] = backup_of(r, self.state.encoding)
            backup = self._known[r.trial.id]
            if backup is not None:
                found.append(backup)
        if not found:
            return [], np.zeros(0)
        ctx = self.state.acquisition_context(name)
        rows = np.stack([self.state.encoding.space.vector(b.parameters) for b in found])
        with torch.no_grad():
            bounds = ctx.bounds_at(self.state.encoding.unit(rows))
        kept = ctx.certified(bounds).numpy()
        lower = smallest(bounds.margins).numpy()
        return [b for b, keep in zip(found, kept, strict=True) if keep], lower[kept]

    def certified(self, name: str) -> tuple[CertifiedBackup, ...]:
        """Backups of the context whose gains are certified now, those with the largest lower bound first; gains that
        several trials tried once.
        """
        found, lower = self.backups(name)
        study = self.state.study
        stage = progress(self.state.history.of_context(name), self.state.encoding, study.tuner.exploration)
        region = {trial: number for number, one in enumerate(stage.regions) for trial in one.trials}
        once: dict[tuple[Any, ...], CertifiedBackup] = {}
        for backup, bound in zip(found, lower.tolist(), strict=True):
            once.setdefault(
                tuple(backup.parameters.values()),
                CertifiedBackup(backup.parameters, bound, backup.trial, region.get(backup.trial, 0)),
            )
        return tuple(sorted(once.values(), key=lambda one: (-one.lower, one.trial)))
