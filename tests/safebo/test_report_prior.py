"""The report of a run with a prior: where it came from, how both agree, whether it was dropped."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from test_prior_run import DECLARED, STUDY, plant, text_of, tune

from safebo.report import build_report
from safebo.report.figures.prior import agreement_figure
from safebo.report.run import read_run
from safebo.storage.journal import Journal

pytestmark = pytest.mark.slow


def warped(text: str) -> str:
    """Margins are modelled in half metres."""
    return text.replace("unit: m, prior_mean", "unit: m, warp: {kind: identity, scale: 0.5}, prior_mean")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    tune(folder / "simulated", warped(STUDY), trials=12)
    tune(folder / "agrees", text_of(warped(DECLARED), gap=0.2), prior=folder / "simulated")
    tune(folder / "contradicts", text_of(warped(DECLARED), sign=-1.0), prior=folder / "simulated", trials=3)
    return folder


def test_the_page_tells_the_prior(runs: Path) -> None:
    html = build_report(runs / "agrees").read_text()
    section = re.search(r'<section id="prior">.*?</section>', html, re.DOTALL)
    assert section is not None
    assert f"12 trials of {runs / 'simulated'} serve as prior" in section[0]
    assert "Kept: the first 5 trials did not contradict it" in section[0]
    assert '<span class="tag">kept</span>' in section[0]
    found = re.search(r"speed</td><td>(.*?) \((.*?) to (.*?) with 90 % confidence, 6 pairs\)", section[0])
    assert found is not None
    low, middle, high = float(found[2]), float(found[1]), float(found[3])
    assert 0.5 < low < middle <= high <= 1.0
    assert "data:image/svg+xml" in section[0]
    assert "No lengthscales" not in html
    assert (runs / "agrees" / "report" / "prior.png").exists()


def test_the_page_tells_that_the_prior_was_dropped(runs: Path) -> None:
    data = read_run(runs / "contradicts")
    assert data.prior is not None
    assert data.prior.dropped
    assert data.prior.verdict.startswith("Dropped at trial 1: simulation dropped: ")


def test_a_run_without_prior_has_no_such_section(runs: Path) -> None:
    assert read_run(runs / "simulated").prior is None
    assert 'id="prior"' not in build_report(runs / "simulated").read_text()


def test_pairs_are_drawn_in_the_functions_own_units(runs: Path) -> None:
    """Twelve simulated trials without noise: between them the prior expects nearly what the simulation would show."""
    data = read_run(runs / "agrees")
    assert data.prior is not None
    with Journal.open(runs / "agrees", read_only=True) as journal:
        records = journal.records()
    for agreement, key in zip(data.prior.agreements, ("objective", "height"), strict=True):
        assert agreement.trials == tuple(r.trial.id for r in records)
        simulated = [plant(r.trial.parameters, {}) for r in records]
        truth = [s["objective"] if key == "objective" else s["margins"]["height"] for s in simulated]
        np.testing.assert_allclose(agreement.expected, truth, atol=0.25)
        shown = [
            None
            if r.measurement is None
            else r.measurement.objective
            if key == "objective"
            else r.measurement.margins[key]
            for r in records
        ]
        np.testing.assert_allclose(agreement.measured, np.array(shown, dtype=float), atol=1e-12)
    figure = agreement_figure(data)
    points = [line for ax in figure.axes for line in ax.lines if line.get_gid() == "pairs"]
    assert [np.size(line.get_xdata()) for line in points] == [6, 6]
    np.testing.assert_array_equal(points[0].get_xdata(), data.prior.agreements[0].expected)
