"""What a person is shown of two walks that are compared: plain text by fields, for terminals and pages alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from safebo.evaluators.outcome import margin_of
from safebo.study import Study
from safebo.study.axis import brief
from safebo.text.screen import literal
from safebo.types import PreferenceQuestion, TrialRecord


@dataclass(frozen=True)
class Walk:
    """One side of a question, as it is shown.

    Args:
        trial: id.
        gains: name, value and unit of every gain.
        margins: the same of every margin that was measured.
        telemetry: file of its recording; empty without one.
    """

    trial: int
    gains: tuple[tuple[str, str, str], ...]
    margins: tuple[tuple[str, str, str], ...]
    telemetry: str = ""


@dataclass(frozen=True)
class PreferenceCard:
    """What a person is shown of a question.

    Args:
        number: of the question.
        context: its name.
        title: in one line.
        left, right: the two walks.
    """

    number: int
    context: str
    title: str
    left: Walk
    right: Walk


def preference_card(
    question: PreferenceQuestion, study: Study, left: TrialRecord, right: TrialRecord
) -> PreferenceCard:
    """What a person is shown of a question; not which walk is new, which would sway."""
    again = "" if question.repeats is None else " (asked once more)"
    where = f", context {question.context_name}" if len(study.context.values) > 1 else ""
    return PreferenceCard(
        question.number,
        question.context_name,
        f"Question {question.number}{where}: which of two walks is better{again}?",
        _walk(study, left),
        _walk(study, right),
    )


def _walk(study: Study, record: TrialRecord) -> Walk:
    m = record.measurement
    assert m is not None  # only told walks are compared
    measured = [(c, margin_of(m, c)) for c in study.constraints]
    return Walk(
        record.trial.id,
        tuple((p.name, brief(record.trial.parameters[p.name], p), p.unit) for p in study.parameters),
        tuple((c.name, f"{v:.4g}", c.unit) for c, v in measured if v is not None),
        m.telemetry or "",
    )


def drawn_question(card: PreferenceCard) -> Table:
    """A question at a terminal."""
    table = Table(title=literal(card.title), title_justify="left")
    for title in ("", f"left: trial {card.left.trial}", f"right: trial {card.right.trial}", "unit"):
        table.add_column(literal(title), justify="left" if title in ("", "unit") else "right")
    rows: Sequence[tuple[tuple[tuple[str, str, str], ...], ...]] = (
        (card.left.gains, card.right.gains),
        (card.left.margins, card.right.margins),
    )
    for ours, theirs in rows:
        other = {name: value for name, value, _ in theirs}
        for name, value, unit in ours:
            table.add_row(literal(name), literal(value), literal(other.get(name, "")), literal(unit))
    if card.left.telemetry or card.right.telemetry:
        table.add_row("recording", literal(card.left.telemetry), literal(card.right.telemetry), "")
    return table
