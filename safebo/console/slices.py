"""Slices of a run's model for the page: the model is restored once, and kept as long as nothing new was told."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from safebo.console.charts import Chart, Series
from safebo.console.reading import Snapshot
from safebo.errors import SafeboError

Drawn = list[tuple[str, list[Chart]]]


class SliceDrawer:
    """Draws slices of one run.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._key: object = None
        self._tuner: Any = None
        self._drawn: tuple[str, Drawn] = ("", [])

    def draw(self, seen: Snapshot) -> tuple[str, Drawn]:
        """A sentence on what the slices pass through, and charts along every gain.

        Raises:
            SafeboError: the model cannot be restored.
        """
        key = (seen.run.run, sum(record.measurement is not None for record in seen.records))
        with self._lock:
            if key != self._key:
                self._drawn = self._made(seen)
                self._key = key
            return self._drawn

    def _made(self, seen: Snapshot) -> tuple[str, Drawn]:
        # With torch, which nothing else in the page needs.
        from safebo.report.data import Band, functions
        from safebo.report.slicing import make_slices
        from safebo.runs.prior_run import tuner_of
        from safebo.storage.journal import Journal
        from safebo.tuner import Tuner

        study = seen.run.study
        told = [record for record in seen.records if record.measurement is not None]
        if not told:
            return "No trial has a result yet, so there is no model to draw.", []
        context = told[-1].trial.context_name
        with Journal.open(self._folder, read_only=True) as journal:
            tuner: Tuner = tuner_of(journal, Tuner)
            tuner.restore([(r.trial, r.measurement) for r in journal.records()])
        try:
            best = tuner.best(context)
        except SafeboError:
            best = None
        seeds = [s.parameters for s in study.seeds if s.context == context]
        if best is None and not seeds:
            return "Nothing is certified and the study has no seed, so there is no point to draw around.", []
        anchor = best.parameters if best is not None else seeds[0]
        kind = "the best certified gains" if best is not None else "the safe seed"

        def predict(X: Any, name: str) -> dict[str, Band]:
            bounds = tuner.bounds(X, name)
            return {f.name: Band(*bounds[:, i].T) for i, f in enumerate(functions(study))}

        slices = make_slices(study, context, anchor, kind, predict, None, len(told), planes=False)
        drawn: Drawn = []
        for line in slices.lines:
            charts = []
            for f in functions(study):
                band, x = line.bands[f.name], line.values.tolist()
                series = [
                    Series("line", "bound", x, band.lower.tolist()),
                    Series("line", "bound", x, band.upper.tolist()),
                    Series("line", "best", x, band.mean.tolist()),
                ]
                margin = f is not study.objective
                unit = f" [{f.unit}]" if f.unit else ""
                limit_name = "safe is at least 0" if margin else ""
                charts.append(Chart(f"{f.name}{unit}", series, 0.0 if margin else None, limit_name))
            drawn.append((line.parameter, charts))
        return f"Context {context}, through {kind}; after {len(told)} trials.", drawn
