"""The page's slices: they are the tuner's bounds; the process that draws them may die."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from closed_form_runs import STUDY
from new_journal import new_journal

from safebo.console.reading import RunReader, Snapshot
from safebo.console.slices import Drawn, SliceDrawer, drawn_from
from safebo.errors import SafeboError
from safebo.runs.runner import run
from safebo.storage.journal import Journal
from safebo.study.reading import parse_study

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("run") / "run"
    run(parse_study(STUDY), path, trials=4)
    return path


@pytest.fixture
def drawer(folder: Path) -> Iterator[SliceDrawer]:
    made = SliceDrawer(folder)
    yield made
    made.close()


def drawn(drawer: SliceDrawer, seen: Snapshot) -> Drawn:
    """What a page gets that asks until it is there."""
    while (found := drawer.draw(seen)) is None:
        time.sleep(0.02)
    return found


def test_slices_are_the_tuners_bounds(folder: Path, drawer: SliceDrawer) -> None:
    seen = RunReader("run", folder).snapshot()
    from safebo.tuner import Tuner  # not in the processes that import this module

    assert drawer.draw(seen) is None  # no request waits for a drawing
    note, slices = drawn(drawer, seen)
    assert note.endswith("after 4 trials.")
    with Journal.open(folder, read_only=True) as journal:
        study, records = journal.run.study, journal.records()
        tuner = Tuner(study, 0)
        tuner.restore([(record.trial, record.measurement) for record in records])
    assert [name for name, _ in slices] == [p.name for p in study.parameters]
    best = tuner.best("default")
    assert best is not None
    for i, (_, charts) in enumerate(slices):
        lower = charts[-1].series[0]
        points = np.tile([float(best.parameters[p.name]) for p in study.parameters], (len(lower.x), 1))
        points[:, i] = lower.x
        np.testing.assert_allclose(lower.y, tuner.bounds(points, "default")[:, -1, 0], rtol=1e-9, atol=1e-9)
        assert charts[-1].limit == 0.0
    assert drawer.draw(seen) == (note, slices)
    drawer._key = "fewer trials"
    assert drawer.draw(seen, begun=True) == (note, slices)  # whoever asked before gets what was drawn since
    assert drawer.draw(seen) is None
    assert drawn(drawer, seen) == (note, slices)


def test_that_the_drawing_process_died_is_said(
    folder: Path, drawer: SliceDrawer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("safebo.console.slices.drawn_from", die)
    seen = RunReader("run", folder).snapshot()
    with pytest.raises(SafeboError, match="dies: is there enough memory"):
        drawn(drawer, seen)
    assert drawer._pool is None


def die(_: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_run_without_a_result_has_no_slices(tmp_path: Path, folder: Path, drawer: SliceDrawer) -> None:
    study = parse_study(STUDY).study
    place = tmp_path / "empty"
    new_journal(place, study, trials=3).close()
    assert drawn_from(place) == ("No trial has a result yet, so there is no model to draw.", [])
