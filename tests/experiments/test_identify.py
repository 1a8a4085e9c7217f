"""`safebo identify`: from the trials of a run to a disturbance and the next walk, and sentences where it cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from safebo.errors import InputError
from safebo.experiments.identify.cli import app
from safebo.experiments.identify.trials import read_trials, robot_walk
from safebo.hardware.guardian.telemetry import COLUMNS
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.simulation.disturbance import Disturbance
from safebo.storage.journal import Journal
from safebo.study.reading import load_study, study_hash
from safebo.types import Trial

RUN = CliRunner()
PAYLOAD = 1.6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three trials: recorded, not recorded, and one that was pushed."""
    folder = tmp_path_factory.mktemp("run")
    file = load_study("go1-trot")
    document = file.study.model_dump(mode="json")
    document["evaluator"]["options"] |= {"seconds": 1.2, "disturbance": {"payload_mass": PAYLOAD}}
    study = type(file.study).model_validate(document)
    journal = Journal.create(
        folder,
        study=study,
        declared=study,
        study_text=file.text,
        study_hash=study_hash(study),
        source=file.source,
        seed=0,
        trials=2,
    )
    options = study.evaluator.options
    recording, plain = LeggedEvaluator(options), LeggedEvaluator({**options, "telemetry": False})
    recording.record_into(folder / "trajectories", folder)
    seed, context = study.seeds[0], study.context.values["trot"]
    for number, evaluator in ((1, recording), (2, plain)):
        trial = Trial(
            number, dict(seed.parameters), dict(context), "trot", "seed", seed=number, certified=True
        )
        journal.ask(trial, number)
        journal.tell(number, evaluator.evaluate(trial))
    journal.close()
    return folder


@pytest.mark.slow
def test_the_payload_is_found_written_and_a_walk_is_suggested(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, fewer in (("fit.SCANNED", 8), ("fit.FITTED", 30), ("information.LOOKED_AT", 6)):
        monkeypatch.setattr(f"safebo.robots.identification.{name}", fewer)
    monkeypatch.setattr("safebo.experiments.identify.candidates.SECONDS", 1.2)
    out = tmp_path / "gap.yaml"
    said = RUN.invoke(app, [str(folder), "--out", str(out), "--suggest", "--jobs", "1"])
    assert said.exit_code == 0, said.output
    assert "trial 2: its states were not recorded" in said.output
    assert "seed 1 in trot" in said.output
    found = Disturbance.from_dict(yaml.safe_load(out.read_text())["disturbance"])
    assert found.payload_mass == pytest.approx(PAYLOAD, abs=0.4)
    assert found.control_delay == 0


def test_a_trial_without_its_states_is_refused_by_name(folder: Path) -> None:
    with pytest.raises(InputError, match=r"trial 2: its states were not recorded; set .*telemetry: true"):
        read_trials([folder], [2])


def test_no_walk_counts_twice(folder: Path) -> None:
    with pytest.raises(InputError, match="trial 1 is given twice: every walk counts once"):
        read_trials([folder], [1, 1])
    with pytest.raises(InputError, match=r"run .* is given twice"):
        read_trials([folder, folder / ".." / folder.name], [1])


def test_an_option_that_needs_another_says_so(folder: Path) -> None:
    assert "goes with --suggest" in str(RUN.invoke(app, [str(folder), "--for-task"]).exception)


def test_torques_of_a_robot_are_those_of_its_motors_a_tick_later_and_lost_ticks_are_left_out(
    folder: Path,
) -> None:
    read = read_trials([folder], [1])
    evaluator = read.run.evaluator
    trial = read.run.record(1).trial
    record = evaluator.walk(trial.parameters, trial.context, 1)
    rows = np.zeros((len(record), len(COLUMNS)))
    rows[:, COLUMNS.index("tick")] = 2.0 * np.arange(len(record))
    rows[:, COLUMNS.index("fresh")] = 1.0
    rows[300, COLUMNS.index("fresh")] = 0.0
    measured = record.applied_torque.copy()
    log = robot_walk(record, rows, "trial", 0.5)
    assert np.array_equal(log.torque[:-1], measured[1:])
    assert not log.whole[300]
    assert not log.whole[-1]
    assert log.whole[1:300].all()
