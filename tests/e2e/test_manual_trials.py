"""What a person does with trials: enters some, says what became of others, edits those that wait."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from bowl_runs import Safebo, safebo

from safebo.storage.journal import Journal
from safebo.types import Measurement

pytestmark = pytest.mark.slow

__all__ = ["safebo"]  # the fixture


def test_a_trial_of_ones_own_is_learned_from_and_resumes_exactly(safebo: Safebo, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("{p: 4.0, d: 1.1}")
    (tmp_path / "seen.yaml").write_text("{objective: -0.4, margins: {height: 4.0}}")
    entry = ("tell", "a", "--parameters", "mine.yaml", "--measurement", "seen.yaml")
    safebo("tune", "bowl.yaml", "--out", "a", "--trials", "3")
    told = safebo(*entry)
    assert (told.code, told.err) == (0, "")
    assert told.out.startswith("trial 4 is recorded; before it, its parameters were")
    shutil.copytree("a", "b")
    safebo("tune", "bowl.yaml", "--out", "a", "--trials", "7", "--resume")
    safebo("tune", "bowl.yaml", "--out", "b", "--trials", "5", "--resume")
    safebo("tune", "bowl.yaml", "--out", "b", "--trials", "7", "--resume")
    a, b = (json.loads(safebo("show", folder, "--json").out)["trials"] for folder in "ab")
    assert [t["parameters"] for t in a] == [t["parameters"] for t in b]
    assert [t["phase"] for t in a[2:5]] == ["local", "manual", "local"]
    assert a[3]["objective"] == -0.4
    assert a[4]["predicted"]["height"]["mean"] > 0  # near p = 4 the surrogate has only the person's trial

    before = safebo("show", "a", "--json").out
    (tmp_path / "out.yaml").write_text("{p: 40.0, d: 1.1}")
    (tmp_path / "half.yaml").write_text("{objective: .nan}")
    for wrong, message in (
        ((*entry, "--context", "tort"), "unknown context 'tort': known are default"),
        ((*entry[:3], "out.yaml", *entry[4:]), "p = 40 lies outside its bounds [0, 10]"),
        ((*entry[:5], "half.yaml"), "objective: must be a finite number, not .nan"),
        ((*entry[:3], "nowhere.yaml", *entry[4:]), "nowhere.yaml: no such file"),
    ):
        answer = safebo(*wrong)
        assert answer.code == 2
        assert message in answer.err
    assert safebo("show", "a", "--json").out == before


def test_a_fall_without_an_objective_loses_no_run(safebo: Safebo, tmp_path: Path) -> None:
    """From the evaluator, from a person, and in a journal that an earlier version wrote."""
    text = Path("bowl.yaml").read_text()
    Path("falls.yaml").write_text(text.replace("my_robot:walk", "my_robot:falls"))
    assert safebo("tune", "falls.yaml", "--out", "a", "--trials", "3").code == 0
    with Journal.open("a") as journal:
        last = journal.records()[-1].trial
        journal.ask(dataclasses.replace(last, id=4, seed=5), 3)
        journal.mark_unknown(4, "lost")
        journal.ask(dataclasses.replace(last, id=5, seed=6), 4)
        journal.tell(5, Measurement("completed", None, {"height": -0.2}, fell=True))
    Path("fell.yaml").write_text("{fell: true, margins: {height: -0.2}}")
    assert safebo("resolve", "a", "4", "--measurement", "fell.yaml").code == 0
    assert safebo("tune", "falls.yaml", "--out", "a", "--trials", "6", "--resume").code == 0
    trials = json.loads(safebo("show", "a", "--json").out)["trials"]
    assert [trial["fell"] for trial in trials] == [False, *[True] * 5]
    assert [trial["outcome"] for trial in trials[1:4]] == ["aborted"] * 3
    assert safebo("best", "a", "--json").code == 0
    assert safebo("report", "a").code == 0


def test_a_waiting_proposal_is_edited_and_runs_so(safebo: Safebo, tmp_path: Path) -> None:
    safebo("tune", "bowl.yaml", "--out", "a", "--trials", "2")
    with Journal.open("a") as journal:  # as a run that was killed leaves it
        last = journal.records()[-1].trial
        journal.ask(dataclasses.replace(last, id=3, seed=5), 2)
    far = safebo("edit", "a", "3", "--set", "p=9.5")
    assert far.code == 0
    assert "trial 3 is NOT certified any more" in far.out
    near = safebo("edit", "a", "3", "--set", "p=2.1", "--set", "d=1.05")
    assert "trial 3 is still certified" in near.out
    for wrong, message in (
        (("edit", "a", "3", "--set", "p"), "expected NAME=VALUE"),
        (("edit", "a", "3", "--set", "q=1"), "unknown q"),
        (("edit", "a", "2", "--set", "p=2"), "trial 2 cannot be changed: it was told already"),
        (("edit", "a", "9", "--set", "p=2"), "unknown trial 9"),
    ):
        answer = safebo(*wrong)
        assert answer.code == 2
        assert message in answer.err
    waiting = safebo("tell", "a", "--parameters", "bowl.yaml", "--measurement", "bowl.yaml")
    assert waiting.code == 2
    assert "trial 3 still waits for its result" in waiting.err
    assert safebo("tune", "bowl.yaml", "--out", "a", "--trials", "3", "--resume").code == 0
    third = json.loads(safebo("show", "a", "--json").out)["trials"][2]
    assert (third["phase"], third["parameters"]) == ("manual", {"p": 2.1, "d": 1.05})
    with Journal.open("a", read_only=True) as journal:
        edits = [event for event in journal.events() if event.kind == "edited"]
    assert [event.data["after"]["certified"] for event in edits] == [False, True]
