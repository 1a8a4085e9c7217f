"""What intervals consist of, as rows of a table."""

from __future__ import annotations

from dataclasses import dataclass

from safebo.models.interval_split import PARTS, IntervalSplit, Part
from safebo.report.data import ContextReport
from safebo.report.figures.style import number


@dataclass(frozen=True)
class IntervalRow:
    """One function's interval at one point.

    Args:
        point: which point.
        function: name of the function.
        unit: its unit.
        cells: by shown part, its standard deviation and its share, or a dash where it is not told apart.
        of_mean: interval of the mean.
        of_next: interval of a next measurement.
        words: what to do, and what is odd.
    """

    point: str
    function: str
    unit: str
    cells: tuple[str, ...]
    of_mean: str
    of_next: str
    words: str


@dataclass(frozen=True)
class IntervalTable:
    """The intervals of one context.

    Args:
        context: its name.
        parts: titles of the columns of parts: those that some function has.
        rows: one per point and function.
        beta: multiples of the standard deviation that the intervals reach.
    """

    context: str
    parts: tuple[str, ...]
    rows: tuple[IntervalRow, ...]
    beta: str


def interval_table(context: ContextReport) -> IntervalTable | None:
    """The table of one context; None where nothing was measured."""
    shown = shown_parts([split for p in context.intervals for split in p.splits])
    rows = tuple(_row(p.point, split, shown) for p in context.intervals for split in p.splits)
    if not rows:
        return None
    betas = {number(split.beta) for p in context.intervals for split in p.splits}
    return IntervalTable(
        context.name,
        tuple(PARTS[part] for part in shown),
        rows,
        " or ".join(sorted(betas, key=lambda text: float(text.replace("−", "-")))),
    )


def shown_parts(splits: list[IntervalSplit]) -> tuple[Part, ...]:
    """The parts that some function has, in their order; doubt where there is some."""
    found = {part for s in splits for part, value in s.variances.items() if value > 0 or part != "doubt"}
    return tuple(part for part in PARTS if part in found)


def _row(point: str, split: IntervalSplit, shown: tuple[Part, ...]) -> IntervalRow:
    deviations, shares = split.deviations, split.shares
    return IntervalRow(
        point,
        split.function,
        split.unit,
        tuple(
            f"{number(deviations[part], 2)} ({100.0 * shares[part]:.0f} %)" if part in shares else "–"
            for part in shown
        ),
        f"{number(split.of_mean.lower)} to {number(split.of_mean.upper)}",
        f"{number(split.of_next.lower)} to {number(split.of_next.upper)}",
        f"{split.advice} {split.note}".rstrip(),
    )
