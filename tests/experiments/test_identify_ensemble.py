"""`safebo identify --suggest --ensemble`: the certified trial of which least is known, without a model of the plant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from safebo.errors import InputError
from safebo.experiments.identify.cli import app
from safebo.experiments.identify.ensemble import STARTS, EnsembleSuggestion, suggest_by_ensemble
from safebo.models.dynamics_ensemble import DynamicsEnsemble, StatePath
from safebo.storage.journal import Journal
from safebo.study.reading import load_study, study_hash
from safebo.types import FloatArray, Measurement, Phase, Trial

RUN = CliRunner()
STUDY = """\
name: swing
evaluator: {name: "swing:swing"}
parameters:
  - {name: stiffness, unit: N m/rad, bounds: [5, 15], lengthscale: 0.3}
  - {name: damping, unit: N m s/rad, bounds: [0.5, 3], lengthscale: 0.3}
context:
  variables:
    - {name: mass, unit: kg, bounds: [0, 2], lengthscale: 0.5}
  values:
    light: {mass: 0}
    heavy: {mass: 2}
objective: {name: error, unit: rad, noise_std: 0.01}
constraints:
  - {name: speed, unit: rad/s, noise_std: 0.02}
seeds:
  - {parameters: {stiffness: 7, damping: 1.5}, context: light}
  - {parameters: {stiffness: 14, damping: 1.5}, context: light}
  - {parameters: {stiffness: 7, damping: 1.5}, context: heavy}
"""
TRIED = [(7.0, 1.5), (6.5, 1.4), (7.4, 1.7), (7.2, 1.3)]
UNSEEN = (14.0, 1.5)


def swing(stiffness: float, damping: float, seed: int, steps: int = 80) -> FloatArray:
    """A joint whose mounting gives way above 11 N m/rad, measured with noise."""
    rng = np.random.default_rng(seed)
    angle, speed, states = 0.6 + 0.05 * rng.standard_normal(), 0.0, []
    for _ in range(steps):
        states.append((angle, speed))
        soft = 6.0 * max(0.0, stiffness - 11.0) * np.sin(4.0 * angle)
        speed += 0.02 * (soft - stiffness * angle - damping * speed)
        angle += 0.02 * speed
    return np.array(states) + 5e-4 * rng.standard_normal((steps, 2))


def path(gains: tuple[float, float], seed: int) -> StatePath:
    """A trial of these gains, with gains as the study's unit cube has them."""
    return StatePath(np.array([(gains[0] - 5) / 10, (gains[1] - 0.5) / 2.5]), swing(*gains, seed))


def make_run(
    folder: Path, states: Sequence[Any], evaluator: Mapping[str, Any] | None = None, unsafe: bool = False
) -> Path:
    """A run of one trial in `light` for each of these states."""
    (folder / "study.yaml").write_text(STUDY)
    file = load_study(folder / "study.yaml")
    study = file.study
    if evaluator is not None:
        study = study.model_copy(update={"evaluator": study.evaluator.model_copy(update=evaluator)})
    whole: dict[str, Any] = {
        "study": study,
        "declared": study,
        "study_text": file.text,
        "source": file.source,
    }
    (folder / "run").mkdir()
    journal = Journal.create(folder / "run", study_hash=study_hash(study), seed=0, trials=9, **whole)
    for number, visited in enumerate(states, 1):
        gains = dict(zip(("stiffness", "damping"), TRIED[number - 1], strict=True))
        phase: Phase = "seed" if number == 1 else "local"
        journal.ask(Trial(number, gains, {"mass": 0.0}, "light", phase, seed=number, certified=True), number)
        margin = -1.0 if unsafe else 2.0
        journal.tell(number, Measurement("completed", -0.2, {"speed": margin}, states=visited))
    journal.close()
    return folder / "run"


def tried_states() -> list[FloatArray]:
    return [swing(*gains, seed) for seed, gains in enumerate(TRIED)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("swing"), tried_states())


@pytest.fixture(scope="module")
def found(folder: Path) -> EnsembleSuggestion:
    return suggest_by_ensemble(folder)


def test_the_trial_in_the_unseen_part_is_chosen_and_the_models_are_most_wrong_there(
    found: EnsembleSuggestion,
) -> None:
    gains = [tuple(candidate.parameters.values()) for candidate in found.order]
    assert gains[0] == UNSEEN
    assert len([c for c in found.order if c.name.startswith("untried")]) >= 5
    # What the plant really does there, which nothing above has seen.
    ensemble = DynamicsEnsemble([path(g, seed) for seed, g in enumerate(TRIED)])
    wrong = [ensemble.one_step_error(path(g, 99)) for g in gains]
    assert wrong[0] > 3 * max(wrong[1:])
    assert not found.told.nothing_left
    assert found.left_out == ("seed 3 in heavy: no trial of context heavy recorded states",)


def test_the_same_run_gives_the_same_suggestion(folder: Path, found: EnsembleSuggestion) -> None:
    again = suggest_by_ensemble(folder)
    assert found.order == again.order
    assert np.array_equal(found.told.score, again.told.score)


def test_once_it_was_tried_the_models_agree_there() -> None:
    paths = [path(gains, seed) for seed, gains in enumerate(TRIED)]
    there, starts = path(UNSEEN, 7), [range(STARTS)]
    before = DynamicsEnsemble(paths).disagreement(there.point[None], starts)
    after = DynamicsEnsemble([*paths, there]).disagreement(there.point[None], starts)
    assert after.score[0] < 0.3 * before.score[0]
    assert after.std[0] < 0.5 * before.std[0]


def test_where_everything_was_tried_nothing_is_left_to_learn() -> None:
    grid = [(stiffness, damping) for stiffness in np.linspace(5, 10, 6) for damping in (0.8, 1.6, 2.4)]
    ensemble = DynamicsEnsemble([path(gains, seed) for seed, gains in enumerate(grid)])
    within = np.array([path(gains, 0).point for gains in ((5.5, 1.0), (7.3, 1.2), (9.1, 2.0))])
    assert ensemble.disagreement(within, [range(STARTS)] * 3).nothing_left
    beside = np.array([*within, path((15.0, 3.0), 0).point])
    assert not ensemble.disagreement(beside, [range(STARTS)] * 4).nothing_left


def test_noise_is_that_of_the_measured_steps() -> None:
    # White noise s of the states is sqrt(2) s of their differences, which no model of one state explains away wholly.
    noise = DynamicsEnsemble([path(gains, seed) for seed, gains in enumerate(TRIED * 3)]).noise
    assert noise == pytest.approx(np.full(2, np.sqrt(2) * 5e-4), rel=0.4)


def test_the_command_names_the_gains_and_how_they_are_entered(folder: Path, tmp_path: Path) -> None:
    said = RUN.invoke(app, [str(folder), "--suggest", "--ensemble", "--out", str(tmp_path / "gains.yaml")])
    assert said.exit_code == 0, said.output
    assert "learned from the states of 4 trials" in said.output
    assert "safebo tell" in said.output
    written = yaml.safe_load((tmp_path / "gains.yaml").read_text())
    assert written == {"context": "light", "gains": {"stiffness": 14, "damping": 1.5}}


def test_gains_that_were_measured_unsafe_are_no_candidates(tmp_path: Path) -> None:
    found = suggest_by_ensemble(make_run(tmp_path, tried_states(), unsafe=True))
    assert [c.name for c in found.order] == ["seed 2 in light"]


NAN = np.array([[0.0, np.nan], [0.0, 1.0]])


@pytest.mark.parametrize(
    ("states", "evaluator", "message"),
    [
        ([None] * 4, None, r"no completed trial recorded states\. The evaluator returns them .* as `states`"),
        (tried_states()[:2], None, "2 completed trials with states, and at least 3 are needed"),
        (
            [*tried_states()[:3], np.zeros((5, 3))],
            None,
            "states of trial 4 have 3 numbers, those of trial 1 2",
        ),
        (tried_states(), {"name": "legged"}, r"not equally spaced in time; .*state_choice: even"),
    ],
)
def test_what_cannot_be_learned_from_is_said(
    tmp_path: Path, states: Sequence[Any], evaluator: Mapping[str, Any] | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        suggest_by_ensemble(make_run(tmp_path, states, evaluator))


def test_states_that_are_not_finite_are_refused_by_trial(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safebo.experiments.identify import ensemble

    run = ensemble.open_run(folder)
    record = run.records[1]
    assert record.measurement is not None
    broken = replace(record, measurement=replace(record.measurement, states=NAN))
    with pytest.raises(InputError, match="trial 2: states hold a number that is not finite"):
        ensemble.read_paths(replace(run, records=(run.records[0], broken, *run.records[2:])))


def test_options_that_do_not_go_together_and_runs_without_a_plant_are_said(folder: Path) -> None:
    assert "goes with --suggest" in str(RUN.invoke(app, [str(folder), "--ensemble"]).exception)
    both = RUN.invoke(app, [str(folder), "--suggest", "--ensemble", "--trial", "1"])
    assert "takes one run, all its trials" in str(both.exception)


@pytest.mark.parametrize("suggest", [[], ["--suggest", "--ensemble"]])
def test_a_file_that_identify_did_not_write_is_refused_before_anything_is_computed(
    folder: Path, tmp_path: Path, suggest: list[str]
) -> None:
    study = tmp_path / "study.yaml"
    study.write_text("name: mine\nevaluator: {name: legged, options: {gains: {}}}\n")
    asked = RUN.invoke(app, [str(folder), *suggest, "--out", str(study)])
    assert "is there already, and this command did not write it" in str(asked.exception)
    assert study.read_text().startswith("name: mine")


def test_without_a_plant_identify_says_what_to_use(tmp_path: Path) -> None:
    program = {"name": "subprocess", "options": {"command": ["./swing"]}}
    folder = make_run(tmp_path, tried_states()[:1], program)
    said = str(RUN.invoke(app, [str(folder)]).exception)
    assert f"`safebo identify {folder} --suggest --ensemble` says which certified trial" in said
