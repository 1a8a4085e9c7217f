"""From a journal on disk to the page: the real tuner, the real journal, a closed-form robot."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from new_journal import new_journal
from report_samples import make_study, truth

from safebo.errors import NotARunError
from safebo.files.writing import draft_of
from safebo.report import build_report
from safebo.report.page import GENERATOR
from safebo.report.run import read_run
from safebo.runs.best_gains import BestGains, read_best_gains, write_best_gains
from safebo.runs.recommend import recommend
from safebo.study import Study
from safebo.study.reading import study_hash
from safebo.tuner import Tuner
from safebo.types import Bounds, Measurement, Trial

pytestmark = pytest.mark.slow

TRIALS = 8


def measured(study: Study, trial: Trial, telemetry: str | None) -> Measurement:
    values = {
        name: float(v[0]) for name, v in truth(study, np.array([list(trial.parameters.values())])).items()
    }
    margins = {c.name: values[c.name] for c in study.constraints}
    return Measurement("completed", values["joint_tracking"], margins, telemetry=telemetry, duration=5.0)


def write_trajectory(path: Path, error: float) -> None:
    time = np.linspace(0.0, 2.0, 201)
    fields = [("time", "s"), ("joint_position.hip", "rad"), ("joint_position_desired.hip", "rad")]
    schema = pa.schema([pa.field(name, pa.float64(), metadata={"unit": unit}) for name, unit in fields])
    pq.write_table(pa.table([time, np.sin(time) + error, np.sin(time)], schema=schema), path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    study = make_study(contexts=2, parameters=2, predict=True)
    schedule = [p.model_copy(update={"trials": TRIALS // 2}) for p in study.context.schedule]
    study = study.model_copy(update={"context": study.context.model_copy(update={"schedule": schedule})})
    tuner = Tuner(study, 3)
    with new_journal(folder, study, seed=3, trials=TRIALS) as journal:
        for i in range(TRIALS):
            trial = tuner.ask()
            journal.ask(trial, i)
            telemetry = None
            if trial.context_name == "trot":
                telemetry = f"trial-{trial.id}.parquet"
                write_trajectory(folder / telemetry, 0.2 / (1 + trial.id))
            measurement = measured(study, trial, telemetry)
            tuner.tell(trial, measurement)
            journal.tell(trial.id, measurement)
    return folder


def test_report_of_a_run(finished: Path) -> None:
    page = build_report(finished)
    assert page == finished / "report.html"
    html = page.read_text(encoding="utf-8")
    assert html.count('<tr><td class="n">') >= TRIALS
    assert "No trajectory was saved in this context" in html  # crawl has none
    assert (finished / "report" / "tracking-trot.png").exists()
    for name in ("trot", "crawl"):
        best = read_best_gains(finished / f"best-{name}.yaml")
        assert best.certified
        assert min(b.lower for b in best.margins.values()) >= 0
    assert not read_best_gains(finished / "predicted-pronk.yaml").certified


def test_gains_that_a_report_writes_are_those_that_best_would_keep(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_report(finished)
    monkeypatch.setattr(Tuner, "restore", None)  # `recommend` reads the files and restores no tuner
    assert [name for name, _ in recommend(finished).best] == ["trot", "crawl"]


def test_a_report_that_is_cut_short_leaves_the_page_that_was_there(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = finished / "report.html"
    page.write_bytes(GENERATOR)
    draft_of(page).write_text("<!doctype html> half a pa")  # of one that was killed
    replace = Path.replace

    def stop(draft: Path, path: Path) -> Path:
        if path == page:
            raise KeyboardInterrupt
        return replace(draft, path)

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        build_report(finished)
    assert page.read_bytes() == GENERATOR
    assert list(finished.rglob("*.part")) == []


def test_read_run_agrees_with_a_tuner_told_the_same(finished: Path) -> None:
    data = read_run(finished)
    tuner = Tuner(data.study, 3)
    tuner.restore([(e.trial, e.measurement) for e in data.entries])
    trot = data.contexts[0]
    recommendation = tuner.best("trot")
    assert recommendation is not None
    assert trot.best is not None
    assert dict(trot.best.gains) == dict(recommendation.parameters)
    assert trot.slices is not None
    line = trot.slices.lines[0]
    row = {**trot.best.gains, line.parameter: float(line.values[17])}
    bounds = tuner.bounds(np.array([[row[p.name] for p in data.study.parameters]]), "trot")[0]
    for i, name in enumerate(("joint_tracking", "joint_error", "attitude")):
        band = line.bands[name]
        np.testing.assert_allclose([band.lower[17], band.mean[17], band.upper[17]], bounds[i])
    assert data.lengthscales["attitude"] == {
        "joint.hip.kp": 0.3, "joint.hip.kd": 0.3, "duty": 0.5, "stride": 0.5,
    }  # fmt: skip
    assert data.provenance["study hash"] == study_hash(data.study)


def test_tracking_compares_the_seed_with_the_nearest_recorded_trial(finished: Path) -> None:
    data = read_run(finished)
    trot, crawl, pronk = data.contexts
    assert trot.before is not None
    assert trot.after is not None
    assert trot.best is not None
    assert trot.before.trial == 1
    low = np.array([p.bounds[0] for p in data.study.parameters])
    span = np.array([p.bounds[1] for p in data.study.parameters]) - low
    best = np.array(list(trot.best.gains.values()))
    others = [e for e in data.entries if e.trial.context_name == "trot" and e.trial.id != 1]
    distance = [np.max(np.abs(np.array(list(e.trial.parameters.values())) - best) / span) for e in others]
    assert trot.after.trial == others[int(np.argmin(distance))].trial.id
    assert f"trial {trot.after.trial}" in trot.tracking_note
    assert crawl.before is None
    assert not pronk.tried


def test_lost_telemetry_is_said_and_costs_nothing_else(finished: Path) -> None:
    lost = finished / "trial-1.parquet"
    lost.rename(finished / "elsewhere.parquet")
    try:
        data = read_run(finished)
    finally:
        (finished / "elsewhere.parquet").rename(lost)
    assert data.contexts[0].before is None
    assert "trial-1.parquet does not exist" in data.contexts[0].tracking_note
    assert data.contexts[0].best is not None


def test_an_unsafe_seed_still_has_a_report(tmp_path: Path) -> None:
    study = make_study(parameters=2)
    tuner = Tuner(study)
    with new_journal(tmp_path, study, trials=5) as journal:
        trial = tuner.ask()
        journal.ask(trial, 0)
        unsafe = dataclasses.replace(
            measured(study, trial, None), margins={"joint_error": -0.2, "attitude": 0.1}
        )
        journal.tell(trial.id, unsafe)
    html = build_report(tmp_path).read_text(encoding="utf-8")
    assert "1 trial of the seed and local phases measured a margin below zero" in html
    assert not (tmp_path / "best.yaml").exists()


def test_a_run_that_asked_and_was_told_nothing(tmp_path: Path) -> None:
    study = make_study(parameters=2)
    new_journal(tmp_path, study, trials=5).close()
    assert "No trial has been told yet." in build_report(tmp_path).read_text(encoding="utf-8")


def test_no_run_no_report(tmp_path: Path) -> None:
    with pytest.raises(NotARunError):
        build_report(tmp_path)


def test_a_run_that_goes_on_keeps_its_newer_gains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(parameters=2)
    tuner = Tuner(study)
    with new_journal(tmp_path, study, trials=5) as journal:
        trial = tuner.ask()
        journal.ask(trial, 0)
        journal.tell(trial.id, measured(study, trial, None))
        data = read_run(tmp_path)  # the report reads here, and the run goes on
        tuner.tell(trial, measured(study, trial, None))
        trial = tuner.ask()
        journal.ask(trial, 1)
        journal.tell(trial.id, measured(study, trial, None))
    monkeypatch.setattr("safebo.report.run.read_run", lambda folder: data)
    newer = BestGains("default", {"x": 1.0}, True, Bounds(0.0, 1.0, 2.0), study=study.name)
    write_best_gains(tmp_path / "best.yaml", newer)
    build_report(tmp_path)
    assert read_best_gains(tmp_path / "best.yaml") == newer
    monkeypatch.undo()
    build_report(tmp_path)
    assert set(read_best_gains(tmp_path / "best.yaml").gains) == {p.name for p in study.parameters}
