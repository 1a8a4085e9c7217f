"""Runs whose objective is a person's preference: who answers, what is kept, and that nothing is made up."""

from __future__ import annotations

import csv
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from in_process import in_process
from rich.console import Console

from safebo.errors import InputError, JournalError, RunStoppedError
from safebo.report import build_report
from safebo.report.run import read_run
from safebo.runs.opened import open_run
from safebo.runs.preferences import PageJudge, answer_question, waiting_card
from safebo.runs.recommend import recommend
from safebo.runs.runner import run
from safebo.storage.journal import Journal
from safebo.storage.questions import QuestionFile
from safebo.study import Study
from safebo.types import PreferenceQuestion, PreferenceWord, TrialRecord

STUDY = """\
name: bowl
evaluator: {name: "closed_form_runs:bowl", options: {repeatable: true}}
parameters: [{name: p, unit: N, bounds: [0, 10]}, {name: d, unit: s, bounds: [0.1, 10], scale: log}]
objective: {name: look, kind: preference, repeats: 0.3}
constraints: [{name: height, unit: m, prior_std: 3}]
seeds: [{parameters: {p: 2, d: 1}}]
tuner: {search: {swarm_size: 16, swarm_iterations: 2, restarts: 1}}
"""


class Knows:
    """Somebody who prefers what the evaluator calls its objective."""

    def prefer(
        self, question: PreferenceQuestion, study: Study, left: TrialRecord, right: TrialRecord
    ) -> tuple[PreferenceWord, str]:
        values = [r.measurement.extra["objective"] for r in (left, right) if r.measurement is not None]
        return ("left" if values[0] > values[1] else "right"), "Ada"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    file = tmp_path / "bowl.yaml"
    file.write_text(STUDY)
    return file


@pytest.mark.slow
def test_a_run_keeps_every_answer_and_goes_on_as_if_it_had_not_stopped(study: Path, tmp_path: Path) -> None:
    run(study, tmp_path / "whole", trials=5, judge=Knows())
    parts = tmp_path / "parts"
    with pytest.raises(
        RunStoppedError, match=r"question 1: whether trial . \(left\) or . \(right\) is better.*nobody"
    ):
        run(study, parts, trials=5)
    assert {waiting_card(parts).left.trial, waiting_card(parts).right.trial} == {1, 2}
    run(study, parts, trials=4, resume=True, judge=Knows())
    run(study, parts, trials=5, resume=True, judge=Knows())
    with pytest.raises(InputError, match="no two walks wait"):
        answer_question(parts, "left")
    first, second = open_run(tmp_path / "whole"), open_run(parts)
    assert [r.trial for r in second.records] == [r.trial for r in first.records]
    assert [k.answer for k in second.answers] == [k.answer for k in first.answers]
    assert {k.by for k in second.answers} == {"Ada"}
    assert len(first.answers) == 5  # four pairs, and one of them twice
    assert second.tuner().best() == first.tuner().best()


def test_what_was_answered_while_the_run_stands_still_counts_for_its_recommendation(
    study: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "still"
    with pytest.raises(RunStoppedError):
        run(study, folder, trials=2)
    before = recommend(folder).best[0][1]
    shown = in_process(capfd, "answer", folder)
    assert "trial 1" in shown.out
    assert "height" in shown.out
    wrong = in_process(capfd, "answer", folder, "lefft")
    assert wrong.code == 2
    assert "did you mean 'left'" in wrong.err
    done = in_process(capfd, "answer", folder, "left")
    assert "question 1: left is recorded" in done.out
    after = recommend(folder).best[0][1]
    assert before is not None
    assert after is not None
    assert after.objective.mean > before.objective.mean
    with Journal.open(folder, read_only=True) as journal:
        assert [k.answer.word for k in journal.answers()] == ["left"]
        assert journal.answers()[0].by == "safebo answer"
    over = run(study, folder, trials=2, resume=True)
    assert over.told == 2
    with sqlite3.connect(folder / "journal.sqlite") as base:
        base.execute("UPDATE answers SET word = 'right'")
    with pytest.raises(JournalError, match="answers 1 was changed by another program"):
        open_run(folder)


def test_an_answer_from_another_terminal_reaches_the_run_that_waits(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "waits"
    judge = PageJudge(Console(quiet=True), QuestionFile(folder), folder, waits=True)
    said: list[PreferenceQuestion] = []

    def other_terminal() -> None:
        questions = QuestionFile(folder)
        for _ in range(1000):
            asked = questions.open_question()
            if asked is not None:
                assert set(asked.card) == {"number", "context", "title", "left", "right"}
                said.append(answer_question(folder, "right", by="Grace"))
                return
            time.sleep(0.02)

    thread = threading.Thread(target=other_terminal)
    thread.start()
    run(study, folder, trials=2, judge=judge)
    thread.join()
    assert [(k.answer.question, k.answer.word, k.by) for k in open_run(folder).answers] == [
        (said[0], "right", "Grace")
    ]


def test_a_measured_run_has_no_question(tmp_path: Path, study: Path) -> None:
    study.write_text(STUDY.replace("look, kind: preference, repeats: 0.3", "speed"))
    run(study, tmp_path / "measured", trials=1)
    with pytest.raises(InputError, match="objective of this run is measured"):
        answer_question(tmp_path / "measured", "left")
    # A journal that was written before there were answers.
    with sqlite3.connect(tmp_path / "measured" / "journal.sqlite") as base:
        base.execute("DROP TABLE answers")
    assert open_run(tmp_path / "measured").answers == ()


@pytest.mark.slow
def test_the_report_shows_pairs_utilities_and_how_consistent_the_answers_are(
    study: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "seen"
    run(study, folder, trials=5, judge=Knows())
    data = read_run(folder)
    assert data.preference is not None
    assert [pair[:3] for pair in data.preference.pairs] == [
        (k.answer.question.number, k.answer.question.left, k.answer.question.right)
        for k in open_run(folder).answers
    ]
    assert "1 pair asked twice, 0 answered otherwise" in data.preference.consistency
    utilities = data.preference.utilities
    assert (utilities[0].trial, utilities[0].mean) == (1, 0.0)
    best = max(utilities, key=lambda u: u.mean).trial
    measured = {
        r.trial.id: r.measurement.extra["objective"] for r in open_run(folder).records if r.measurement
    }
    assert best == max(measured, key=lambda i: measured[i])
    page = build_report(folder).read_text()
    assert "What was preferred" in page
    assert "those that the answers speak for" in page
    assert 'alt="Utility over the first walk' in page
    exported = in_process(capfd, "export", folder, "--answers", tmp_path / "answers.csv")
    assert exported.code == 0
    with (tmp_path / "answers.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["better"]) for row in rows] == [k.answer.better for k in open_run(folder).answers]
    assert {row["by"] for row in rows} == {"Ada"}


def test_check_measures_the_seeds_margins_alone(
    study: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(study.parent)
    done = in_process(capfd, "check", "bowl.yaml")
    assert done.code == 0
    assert "look is a person's preference: nothing of it is measured" in done.out
    assert "measured safe, 3 of 3 times" in done.out
