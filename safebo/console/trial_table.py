"""The trials of a run as lines of text: thousands of them at once, and never a number cut short."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from operator import itemgetter

from rich.cells import cell_len
from rich.text import Text

from safebo.console.run_view import cell
from safebo.evaluators.outcome import what_happened
from safebo.report.data import finite_margin, is_safe, objective_of
from safebo.report.scenarios import scenario_lines, worst_in
from safebo.runs.length_advice import length_advice
from safebo.storage.records import Record
from safebo.study import Study
from safebo.study.axis import brief
from safebo.study.scenarios import scenario_names, walks_chosen
from safebo.text.printable import one_line, printable

GAP = "  "
COUNTED = 24
"""Columns of a terminal that the outcome is given; a longer message goes on in the next line."""


@dataclass(frozen=True)
class _Column:
    heading: str
    cells: Sequence[str]
    right: bool = True
    gain: bool = False
    folded: bool = False

    @cached_property
    def head(self) -> list[str]:
        """Lines of the heading: broken after a dot or an underscore where it is folded."""
        if not self.folded:
            return [self.heading]
        lines: list[str] = []
        width = max(map(_width, [*self.cells, *_pieces(self.heading)]))
        for piece in _pieces(self.heading):
            if lines and _width(lines[-1] + piece) <= width:
                lines[-1] += piece
            else:
                lines.append(piece.lstrip())
        return lines

    @cached_property
    def width(self) -> int:
        return max(map(_width, [*self.head, *self.cells]))

    def lines(self, height: int) -> list[str]:
        """Every line of the column, filled up to its width; the heading ends in line `height`."""
        texts = [*[""] * (height - len(self.head)), *self.head, *self.cells]
        filled = [" " * (self.width - _width(text)) for text in texts]
        pairs = zip(filled, texts, strict=True) if self.right else zip(texts, filled, strict=True)
        return [a + b for a, b in pairs]


def trial_table(
    records: Sequence[Record], study: Study, width: int | None = None, height: int | None = None
) -> Text:
    """Trials as lines with units; unsafe and failed ones stand out.

    Args:
        records: the trials.
        study: the study as it runs.
        width: columns of the terminal; None for no limit. Where they are too few, headings are folded, and where that
            is not enough the gains are left out, which the last line says.
        height: lines of the terminal; a longer table has its heading under it once more.
    """
    columns = _columns(records, study)
    left_out = ""
    if not _fits(columns, width):
        columns = [replace(column, folded=True) for column in columns]
    if not _fits(columns, width):
        left_out = f"The gains need {_needed(columns)} columns; `| less -S` shows them, or `--json`.\n"
        columns = [column for column in columns if not column.gain]
    above = max(len(column.head) for column in columns)
    parts = zip(*(column.lines(above) for column in columns), strict=True)
    lines = [GAP.join(part).rstrip() + "\n" for part in parts]
    heading = "".join(lines[:above])
    text = Text()
    text.append(heading, "bold")
    styles = [_style(record, study) for record in records]
    for style, rows in groupby(zip(styles, lines[above:], strict=True), key=itemgetter(0)):
        text.append("".join(line for _, line in rows), style)
    if height is not None and len(records) > height:
        text.append(heading, "bold")
    text.append(left_out)
    text.rstrip()
    return text


def trial_summary(records: Sequence[Record], study: Study) -> list[str]:
    """What the trials come to: how they ended, how many were unsafe, and the best that was measured."""
    told = [record for record in records if record.measurement is not None]
    outcomes = Counter(record.measurement.outcome for record in told if record.measurement is not None)
    unsafe = [str(record.trial.id) for record in told if _unsafe(record, study)]
    shown = ", ".join(unsafe[:10]) + (", ..." if len(unsafe) > 10 else "")
    lines = [
        f"{len(told)} told: {', '.join(f'{n} {name}' for name, n in outcomes.most_common()) or 'none yet'}"
        + (f"; a margin below 0 or a fall in {len(unsafe)} (trial {shown})" if unsafe else "")
        + ("; no margin below 0" if study.constraints and not unsafe else "")
    ]
    several = len(study.context.values) > 1
    for name in study.context.values:
        good = [
            (objective, record.trial.id)
            for record in told
            if record.trial.context_name == name and is_safe(record, study)
            # The objective of a trial in which the monitor switched gains is not that of its gains.
            if record.measurement is not None and record.measurement.outcome == "completed"
            if (objective := objective_of(record)) is not None
        ]
        if good:
            value, trial = max(good)
            where = f" in context {name}" if several else ""
            shown = f"{study.objective.name} {cell(value)} {study.objective.unit}".rstrip()
            lines.append(f"best{' safe' if study.constraints else ''} trial{where}: {trial}, {shown}")
    lines += scenario_lines(records, study)
    advice = length_advice(records, study)
    lines += [advice] if advice else []
    return [one_line(line) for line in lines]


def _columns(records: Sequence[Record], study: Study) -> list[_Column]:
    trials, known = [record.trial for record in records], scenario_names(study)
    columns = [
        _Column("trial", [str(trial.id) for trial in trials]),
        _Column("phase", [trial.phase for trial in trials], right=False),
    ]
    if len(study.context.values) > 1:
        columns.append(_Column("context", [one_line(t.context_name) for t in trials], right=False))
    for p in study.parameters:
        values = [trial.parameters.get(p.name) for trial in trials]
        cells = ["" if value is None else one_line(brief(value, p)) for value in values]
        columns.append(_Column(_head(p.name, p.unit), cells, gain=True))
    if walks_chosen(study):
        walked = [", ".join(t.scenarios) if len(t.scenarios) < len(known) else "all" for t in trials]
        columns.append(_Column("scenario", walked, right=False))
    heading = _head(study.objective.name, study.objective.unit)
    columns.append(_Column(heading, [cell(objective_of(record)) for record in records]))
    for c in study.constraints:
        worst = [worst_in(record.measurement, c) for record in records]
        margins = [
            f"{cell(finite_margin(record, c))} {where}".rstrip()
            for record, where in zip(records, worst, strict=True)
        ]
        columns.append(_Column(_head(f"margin {c.name}", c.unit), margins))
    return [*columns, _Column("outcome", [one_line(outcome(record)) for record in records], right=False)]


def outcome(record: Record) -> str:
    """How a trial ended, in a few words."""
    measurement = record.measurement
    if measurement is None:
        return {"asked": "not told yet", "unknown": "UNKNOWN: needs a person"}.get(record.status, "")
    return ", ".join([measurement.outcome, *what_happened(measurement)])


def _unsafe(record: Record, study: Study) -> bool:
    if record.measurement is None:
        return False
    margins = (finite_margin(record, constraint) for constraint in study.constraints)
    return record.measurement.fell or any(margin is not None and margin < 0 for margin in margins)


def _style(record: Record, study: Study) -> str:
    failed = record.measurement is not None and record.measurement.outcome == "failed"
    if failed or record.status == "unknown":
        return "yellow"
    return "red" if _unsafe(record, study) else ""


def _width(text: str) -> int:
    """Columns of a terminal that a text takes."""
    return len(text) if text.isascii() else cell_len(text)


def _needed(columns: Sequence[_Column]) -> int:
    *most, last = (column.width for column in columns)
    return sum(most) + len(GAP) * len(most) + min(last, COUNTED)


def _fits(columns: Sequence[_Column], width: int | None) -> bool:
    return width is None or _needed(columns) <= width


def _pieces(heading: str) -> Iterator[str]:
    """A heading in parts between which it may be broken; those after a space begin with it."""
    for word in heading.split():
        first, *rest = re.split(r"(?<=[._])(?=.)", word)
        yield f" {first}"
        yield from rest


def _head(name: str, unit: str) -> str:
    return printable(one_line(f"{name} [{unit}]" if unit else name))
