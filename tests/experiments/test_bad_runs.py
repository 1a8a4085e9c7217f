"""A run that went badly says so in its first three sentences, and one that went well does not."""

from __future__ import annotations

import html
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from safebo.experiments.evidence.bad_runs import CASES, make
from safebo.report.data import RunView
from safebo.report.findings import findings, gain_over_seed, shortened, view_of
from safebo.report.page import Pictures, render
from safebo.report.picture import Picture
from safebo.report.run import read_run
from safebo.storage.journal import Journal
from safebo.study.reading import load_study, resolve_study

pytestmark = pytest.mark.slow

SAID = {
    "lengthscale": ("neither the declared prior nor the cautious one", "lengthscale"),
    "prior-std": ("priors cannot be right", "Correct the study"),
    "bounds": ("kp at its upper bound 80 N m/rad", "--continue"),
    "noise": ("noise x 10", "more noise"),
    "drift": ("robot changes with time", "surrogate.time"),
    "failures": ("3 of 14 trials failed", "--resume --trials"),
    "seed": ("seed is barely safe", "more margin"),
}
"""What the first three sentences say, and what the last line says to do."""


def viewed(folder: Path) -> RunView:
    with Journal.open(folder, read_only=True) as journal:
        return view_of(folder, journal)


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bad")
    for name in CASES:
        make(name, out)
    return out


@pytest.mark.parametrize("name", CASES)
def test_a_bad_run_says_so_at_once(bad: Path, name: str) -> None:
    found = findings(viewed(bad / name))
    sentences = [one.text for one in found if one.topic != "next"][:3]
    words, remedy = SAID[name]
    assert any(words in text for text in sentences), sentences
    assert found[-1].topic == "next"
    assert remedy in f"{found[-1].text} {found[-1].command}"
    assert found[-1].command.startswith("safebo ")
    assert [one.text for one in shortened(found)] == sentences


def test_noise_is_measured_by_repeats_and_not_said_of_a_right_one(bad: Path) -> None:
    said = [one.text for one in findings(viewed(bad / "noise")) if one.kind == "noise"]
    assert any("the study says 0.01 m/s" in text for text in said)
    assert not [one for one in findings(viewed(bad / "bounds")) if one.kind in ("noise", "prior", "failures")]


def test_the_gain_has_an_interval_and_less_than_noise_is_said_so(bad: Path) -> None:
    run = viewed(bad / "bounds")
    best = run.best["default"]
    assert best is not None
    gain = gain_over_seed(run, "default", best)
    assert gain is not None
    assert gain.lower < gain.mean < gain.upper
    assert gain.mean == pytest.approx(best.objective.mean - gain.seed)
    assert gain.lower < best.objective.lower - gain.seed  # the seed's own noise counts as well
    seed = next(e for e in run.records if e.trial.phase == "seed")
    assert seed.measurement is not None
    raised = replace(seed, measurement=replace(seed.measurement, objective=best.objective.mean - 0.001))
    changed = replace(run, records=(raised, *run.records[1:]))
    assert findings(changed)[0].kind == "noise"
    assert "better than noise" in findings(changed)[0].text


def test_predictions_that_rest_on_an_impossibly_bad_objective_are_not_to_be_relied_on(bad: Path) -> None:
    run = viewed(bad / "bounds")
    assert "not to be relied on" not in " ".join(one.text for one in findings(run))
    changed = next(e for e in run.records if e.trial.phase == "local" and e.measurement is not None)
    assert changed.measurement is not None
    far = replace(changed, measurement=replace(changed.measurement, objective=-1e300))
    said = findings(replace(run, records=tuple(far if e is changed else e for e in run.records)))
    assert "the best measured in" in said[0].text
    worst = next(one for one in said if one.topic == "limits")
    assert f"of trial {changed.trial.id} lies" in worst.text
    assert "outcome: failed" in worst.remedy


def test_the_report_has_the_same_sentences(bad: Path) -> None:
    folder = bad / "bounds"
    assert read_run(folder).findings == findings(viewed(folder))


def test_the_page_shows_the_sentences_the_command_and_the_tolerances(bad: Path) -> None:
    data, name = read_run(bad / "bounds"), "default"
    drawn: dict[str, Any] = {"planes": {name: None}, "lines": {name: []}, "tracking": {name: None}}
    nothing = Pictures(**drawn, intervals={name: Picture("x", b"", b"", "x")})
    page = html.unescape(render(data, nothing, {"default": "best.yaml"}))
    places = [page.index(one.text) for one in data.findings if one.topic != "next"]
    assert places == sorted(places)
    assert places[-1] < page.index("<nav")
    assert f"<code>{data.findings[-1].command}</code>" in page
    assert "may rise to" in page
    assert "5 % of the gain over the seed" in page


def test_a_run_of_a_study_in_python_is_told_python(bad: Path) -> None:
    run = viewed(bad / "bounds")
    run = replace(run, source=f"study {run.study.name!r}")
    assert run.command("resume", trials=9).endswith("resume=True, trials=9)")
    assert run.command("new").startswith("safebo.run(study, ")


def test_a_shipped_study_is_changed_in_a_copy(bad: Path) -> None:
    run = viewed(bad / "bounds")
    file = load_study("pendulum")
    run = replace(run, source=str(resolve_study("pendulum")), study=file.study)
    assert run.command("resume").startswith("safebo tune pendulum --out ")
    assert run.command("check") == "safebo check pendulum"
    copied, changed = run.command("continue").split("  # change it, then: ")
    assert copied == f"cp {resolve_study('pendulum')} pendulum.yaml"
    assert changed.startswith("safebo tune pendulum.yaml --continue ")
    own = replace(run, source="mine/pendulum.yaml")
    assert own.command("continue").startswith("safebo tune mine/pendulum.yaml --continue ")
