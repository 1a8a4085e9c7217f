"""What a run says and keeps of its priors: earned, withdrawn, refuted, and an alarm that pauses it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from safebo.errors import ModelAlarmError
from safebo.runs.evidence_events import changes
from safebo.runs.progress import Silent
from safebo.runs.runner import run
from safebo.storage.journal import Journal
from safebo.study.reading import parse_study
from safebo.types import Evidence

CAUTIOUS = Evidence("lengthscale x 0.5", 0.0, -0.2)
EARNED = replace(CAUTIOUS, prior="declared", log_evidence=4.0)
REFUTED = replace(CAUTIOUS, log_refutation=3.5, refuted_by="noise x 3")
ALARM = replace(REFUTED, alarm="lengthscale x 0.5, noise x 3")

STUDY = """\
name: scattered
evaluator: {name: "test_evidence_events:plant", options: {repeatable: true}}
parameters:
  - {name: a, bounds: [0, 1]}
objective: {name: reward, noise_std: 0.02}
constraints:
  - {name: margin, unit: m, noise_std: 0.02}
seeds:
  - parameters: {a: 0.5}
surrogate: {lengthscale: 0.4, alarm: 0.2}
tuner: {method: safe_ucb, beta: 2, search: {domain: grid, grid_points: 3}}
trials: 14
"""


def plant(parameters: Mapping[str, float], context: Mapping[str, float], seed: int = 0) -> Any:
    """A margin that scatters ten times as much as the study says."""
    noise = 0.2 * np.random.default_rng(seed).standard_normal()
    return {"objective": -abs(parameters["a"] - 0.5), "margins": {"margin": max(1.5 + noise, 0.1)}}


class Heard(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize(
    ("before", "now", "kinds"),
    [
        (None, CAUTIOUS, []),
        (CAUTIOUS, replace(CAUTIOUS, log_evidence=1.0), []),
        (CAUTIOUS, EARNED, ["prior-earned"]),
        (EARNED, EARNED, []),
        (EARNED, CAUTIOUS, ["prior-withdrawn"]),
        (EARNED, REFUTED, ["prior-refuted"]),
        (REFUTED, REFUTED, []),
        (CAUTIOUS, ALARM, ["model-alarm", "prior-refuted"]),
        (ALARM, replace(ALARM, alarm="noise x 3"), []),
    ],
)
def test_what_is_new_is_said_once(before: Evidence | None, now: Evidence, kinds: list[str]) -> None:
    found = list(changes("margin", before, now))
    assert [kind for kind, _ in found] == kinds
    assert all("margin" in text for _, text in found)


def test_an_alarm_pauses_the_run_once_and_is_kept(tmp_path: Path) -> None:
    file, heard = parse_study(STUDY.replace("alarm: 0.2", "alarm: 0.2, on_alarm: pause")), Heard()
    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(ModelAlarmError, match=r"ALARM margin: .*noise x (3|10).* --resume") as caught:
            run(file, tmp_path / "run", executor=executor, progress=heard)
        assert caught.value.exit_code == 3
        with Journal.open(tmp_path / "run", read_only=True) as journal:
            events = {event.kind: event.data for event in journal.events()}
            assert len(journal.records()) < 14
        assert events["model-alarm"]["function"] == "margin"
        assert any(note.startswith("ALARM margin") for note in heard.notes)
        assert run(file, tmp_path / "run", resume=True, executor=executor).told == 14
        # In simulation nobody has to look: the run goes on, with the alternative certifying as well.
        plain = parse_study(STUDY)
        assert run(plain, tmp_path / "plain", executor=executor).told == 14
    trials = {}
    for name in ("run", "plain"):
        with Journal.open(tmp_path / name, read_only=True) as journal:
            trials[name] = [(r.trial.parameters, r.trial.evidence) for r in journal.records()]
    assert trials["run"] == trials["plain"]
    assert trials["run"][-1][1]["margin"].alarm
