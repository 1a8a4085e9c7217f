"""Trials that a run has walked for a monitor which is not learned yet, in its folder: an interrupted learning goes on.

One file a trial, named by a hash of the trial and of what was to be tried in it; gone once the monitor is kept.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from safebo.files.writing import write_whole
from safebo.types import FloatArray, SwitchedTrial, SwitchPlan, Trial

GROUPS = ("margins", "to_go", "shown")
"""What of a simulated trial is there by margin."""


class LearnedWalks:
    """The trials of one learning.

    Args:
        folder: of these trials; made with the first.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __len__(self) -> int:
        """How many were kept."""
        return len(list(self._folder.glob("*.npz")))

    def kept(self, trial: Trial, plan: SwitchPlan) -> SwitchedTrial | None:
        """What a trial showed; None where it was not walked, or its file is damaged."""
        try:
            with np.load(self._path(trial, plan), allow_pickle=False) as file:
                about: dict[str, Any] = json.loads(str(file["about"]))
                told: dict[str, Any] = {
                    group: {name: file[f"{group}.{i}"] for i, name in enumerate(about.pop(group))}
                    for group in GROUPS
                }
                return SwitchedTrial(states=file["states"], phase=file["phase"], **told, **about)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            return None

    def keep(self, trial: Trial, plan: SwitchPlan, found: SwitchedTrial) -> None:
        """Keep what a trial showed.

        Raises:
            OSError: it cannot be written.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        about: dict[str, Any] = {"period": found.period, "fell": bool(found.fell), "ramp": found.ramp}
        arrays: dict[str, FloatArray] = {"states": found.states, "phase": found.phase}
        for group in GROUPS:
            values = getattr(found, group)
            about[group] = list(values)
            arrays |= {f"{group}.{i}": np.asarray(course) for i, course in enumerate(values.values())}
        out = io.BytesIO()
        np.savez_compressed(out, about=np.array(json.dumps(about)), **arrays)  # type: ignore[arg-type]
        write_whole(self._path(trial, plan), out.getvalue())

    def forget(self) -> None:
        """Remove them all."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, trial: Trial, plan: SwitchPlan) -> Path:
        scenario = trial.scenario
        words = [
            sorted(trial.parameters.items()),
            sorted(trial.context.items()),
            trial.seed,
            trial.operating_time,
            None if scenario is None else [scenario.name, scenario.conditions],
            [sorted(backup.items()) for backup in plan.backups],
            [plan.margins, plan.tried, plan.horizon],
        ]
        return (
            self._folder / f"{hashlib.sha256(json.dumps(words, default=float).encode()).hexdigest()[:24]}.npz"
        )
