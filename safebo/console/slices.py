"""Slices of a run's model for the page: drawn in a process of their own, and kept as long as nothing new was told.

The page's own process carries the stop: nothing that computes for long, or that loads torch, belongs there.
"""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from safebo.console.charts import Chart, Series
from safebo.console.reading import Snapshot
from safebo.errors import SafeboError

Drawn = tuple[str, list[tuple[str, list[Chart]]]]
"""A sentence on what the slices pass through, and charts along every gain."""

NICE = 5
"""How far the drawing process steps back behind a run, a page and a guardian on the same machine."""


class SliceDrawer:
    """Draws slices of one run.

    Args:
        folder: the run's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._key: object = None
        self._drawn: Future[Drawn] | None = None
        self._deaths = 0

    def draw(self, seen: Snapshot, begun: bool = False) -> Drawn | None:
        """The slices after all that was told; None while they are being drawn: nothing waits here.

        Args:
            seen: what was told.
            begun: whether it was asked before, and what was drawn since will do though more was told meanwhile.

        Raises:
            SafeboError: the model cannot be restored, or the process that draws dies.
        """
        key = (seen.run.run, sum(record.measurement is not None for record in seen.records))
        try:
            drawing = self._drawing(key, begun)
            drawn = drawing.result() if drawing.done() else None
        except BrokenProcessPool:  # it may have died while it had nothing to do
            self.close()
            self._deaths += 1
            if self._deaths < 2:
                return self.draw(seen)
            self._deaths = 0
            raise SafeboError(
                "the process that draws the slices dies: is there enough memory for it?"
            ) from None
        self._deaths = 0 if drawn else self._deaths
        return drawn

    def _drawing(self, key: object, begun: bool) -> Future[Drawn]:
        with self._lock:
            old = self._drawn is not None and self._drawn.done() and key != self._key and not begun
            if self._drawn is None or old:
                if self._pool is None:
                    self._pool = ProcessPoolExecutor(1, get_context("spawn"), _begin, (os.getpid(),))
                self._key, self._drawn = key, self._pool.submit(drawn_from, self._folder)
            return self._drawn

    def close(self) -> None:
        """End the process that draws."""
        with self._lock:
            pool, self._pool, self._drawn = self._pool, None, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)


def _begin(parent: int) -> None:
    """Make the process that draws a quiet one, which ends with the page's."""
    from safebo.evaluators.supervisor import die_with_parent

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(parent)
    os.nice(NICE)


def drawn_from(folder: Path) -> Drawn:
    """Draw the slices of a run through its best certified gains, else through the safe seed.

    Raises:
        SafeboError: the model cannot be restored.
    """
    from safebo.report.data import Band, functions
    from safebo.report.slicing import make_slices
    from safebo.runs.prior_run import tuner_of
    from safebo.runs.recommend import recommend
    from safebo.runs.tuner_protocol import restorable
    from safebo.storage.journal import Journal
    from safebo.tuner import Tuner

    with Journal.open(folder, read_only=True) as journal:
        study, records = journal.run.study, journal.records(states=False)
        told = [record for record in records if record.measurement is not None]
        if not told:
            return "No trial has a result yet, so there is no model to draw.", []
        tuner: Tuner = tuner_of(journal, Tuner)
        tuner.restore(restorable(records))
    context = told[-1].trial.context_name
    try:
        best = recommend(folder, context).best[0][1]  # kept by the run's end: to compute it takes seconds
    except SafeboError:
        best = None
    seeds = [seed.parameters for seed in study.seeds if seed.context == context]
    if best is None and not seeds:
        return "Nothing is certified and the study has no seed, so there is no point to draw around.", []
    anchor = best.gains if best is not None else seeds[0]
    kind = "the best certified gains" if best is not None else "the safe seed"

    def predict(X: Any, name: str) -> dict[str, Band]:
        bounds = tuner.bounds(X, name)
        return {f.name: Band(*bounds[:, i].T) for i, f in enumerate(functions(study))}

    slices = make_slices(study, context, anchor, kind, predict, None, len(told), planes=False)
    drawn: list[tuple[str, list[Chart]]] = []
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
