"""Runs that go on: with --resume to the same trials, wherever they were cut, and with more than one worker."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bowl_runs import STUDY, Safebo, safebo

from safebo.experiments.robustness.killed_runs import comparable
from safebo.runs.runner import run
from safebo.storage.journal import Journal
from safebo.study.reading import load_study, parse_study, study_hash
from safebo.study.tuner_checks import with_trust

pytestmark = pytest.mark.slow

__all__ = ["safebo"]  # the fixture


def test_a_run_is_resumed_and_extended(safebo: Safebo, tmp_path: Path) -> None:
    first = safebo("tune", "bowl.yaml", "--trials", "3", "--out", "here", "--resume")
    assert first.code == 0
    again = safebo("tune", "bowl.yaml", "--trials", "5", "--out", "here")
    assert again.code == 2
    assert "already holds a run. Go on with it with --resume" in again.err
    more = safebo("tune", "bowl.yaml", "--trials", "5", "--out", "here", "--resume")
    assert more.code == 0
    assert "trial   4/5" in more.out
    assert "trial   3" not in more.out
    finished = safebo("tune", "bowl.yaml", "--out", "here", "--resume")
    assert finished.code == 0
    assert "All 5 trials are done already." in finished.out


def trials_of(folder: Path) -> list[Any]:
    with Journal.open(folder, read_only=True) as journal:
        return [comparable(record) for record in journal.records()]


def test_two_workers_give_the_same_trials_every_time(safebo: Safebo, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert safebo("tune", "bowl.yaml", "--out", name, "--workers", "2", "--trials", "5").code == 0
    assert trials_of(tmp_path / "a") == trials_of(tmp_path / "b")


@pytest.mark.filterwarnings("ignore:so does this")
@pytest.mark.parametrize("workers", [1, 2])
def test_the_tuner_resumes_to_the_same_trials_wherever_it_was_cut(
    safebo: Safebo, tmp_path: Path, workers: int
) -> None:
    """The whole chain with the real tuner: journal, restore, the rest of the round."""
    file = load_study(tmp_path / "bowl.yaml")
    with ThreadPoolExecutor(workers) as executor:
        run(file, tmp_path / "whole", trials=7, workers=workers, executor=executor)
        whole = trials_of(tmp_path / "whole")
        with Journal.open(tmp_path / "whole", read_only=True) as journal:
            records = journal.records()
        steps = []
        for first in range(0, 7, workers):
            members = list(range(first, min(first + workers, 7)))
            steps += [("ask", i) for i in members] + [("tell", i) for i in reversed(members)]
        for cut in np.random.default_rng(workers).choice(len(steps), 3, replace=False):
            folder = tmp_path / f"cut{cut}"
            folder.mkdir()
            declared = parse_study(STUDY).study
            study = with_trust(declared)
            with Journal.create(
                folder, study=study, declared=declared, study_text=STUDY, study_hash=study_hash(declared),
                source="here", seed=0, trials=7, workers=workers,
            ) as journal:  # fmt: skip
                for action, index in steps[:cut]:
                    measurement = records[index].measurement
                    if action == "ask":
                        journal.ask(records[index].trial, records[index].round)
                    elif measurement is not None:
                        journal.tell(records[index].trial.id, measurement)
            run(file, folder, resume=True, executor=executor)
            assert trials_of(folder) == whole, f"cut after {cut} steps"
