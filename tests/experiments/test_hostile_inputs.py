"""Hostile inputs: a small share of what `python -m safebo.experiments.robustness.inputs` hands to the product."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from safebo.experiments.robustness.inputs.page import page, summary
from safebo.experiments.robustness.inputs.record import FAULTS, Row, faults_of
from safebo.experiments.robustness.inputs.study_files import CHANGES, WHOLE, changed, refused_study
from safebo.experiments.robustness.inputs.values import generated_answers

QUICK = [what for what in WHOLE if what not in ("100,000 unknown keys", "300,000 numbers in a list", "11 MB")]
NEEDS_EVALUATOR = (
    "yes where true or false",
    "a program that",
    "an evaluator",
    "a module",
    "a function",
    "an option that is not",
)


@pytest.mark.parametrize("what", QUICK)
def test_a_file_that_is_no_study_is_answered_in_one_message(tmp_path: Path, what: str) -> None:
    content, said = WHOLE[what]
    row = refused_study("", what, content, tmp_path, [said])
    assert not row.faults, row.happened


@pytest.mark.parametrize("what", [what for what in CHANGES if not what.startswith(NEEDS_EVALUATOR)])
def test_a_wrong_value_is_answered_with_file_and_key(tmp_path: Path, what: str) -> None:
    old, new, key = CHANGES[what]
    row = refused_study("", what, changed(old, new), tmp_path, [key])
    assert not row.faults, row.happened


def test_whatever_an_evaluator_answers_becomes_a_trial(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as executor:
        rows = list(generated_answers(15, tmp_path, executor))
    assert len(rows) == 30
    assert [row for row in rows if row.faults] == []
    assert {row.happened.split(":")[0] for row in rows} >= {"completed", "failed"}


def test_the_page_counts_what_must_not_be_and_shows_every_text_literally() -> None:
    rows = [
        Row("A", "a | b", "exit 2: `x`\n\x1b[2J <script>", faults=("left",)),
        Row("A", "c", "y" * 1000),
        Row("B", "d", "exit 0", "the trial"),
    ]
    text = page(rows)
    assert "3 inputs of 2 kinds." in text
    assert f"- {FAULTS['left']}: 1" in list(summary(rows))
    assert r"| a \| b | exit 2: \`x\` \\x1b\[2J &lt;script&gt; | nothing |" in text
    assert text.count("## ") == 2
    assert max(map(len, text.splitlines())) < 300


def test_a_bad_message_is_seen() -> None:
    assert list(faults_of("internal error: x", ["study.yaml"])) == ["internal", "misleading"]
    assert list(faults_of("Traceback (most recent call last):\nstudy.yaml", ["study.yaml"])) == ["traceback"]
    assert list(faults_of("s" * 2001)) == ["misleading"]
