"""Charts of a run as SVG, without a library: what every trial showed, with limits, and evidence over trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from safebo.report.data import best_so_far, finite_margin, objective_of
from safebo.storage.records import Record
from safebo.study import Study

WIDTH, HEIGHT = 720, 150
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 12, 24
MAX_POINTS = 600
"""In a chart; of more trials every so-manieth block shows its lowest and its highest."""


@dataclass(frozen=True)
class Series:
    """Points of one kind: `dots` or a `line`, with a class for the style sheet; nan is a gap."""

    kind: str
    style: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Chart:
    """A chart.

    Args:
        title: with the unit.
        path: what lies in it, as elements of `figures` below.
        limit: value at which a line is drawn; None for none.
    """

    title: str
    series: Sequence[Series]
    limit: float | None = None
    limit_name: str = ""

    @property
    def words(self) -> str:
        """What it shows, for who does not see it."""
        values = [v for s in self.series for v in s.y if math.isfinite(v)]
        if not values:
            return f"{self.title}: nothing measured yet"
        count = max(len(s.x) for s in self.series)
        return f"{self.title}: from {min(values):.4g} to {max(values):.4g} over {count} trials"

    @property
    def figures(self) -> Figures:
        """Coordinates for the template."""
        return Figures(self)


class Figures:
    """Coordinates of a chart in its picture.

    Attributes:
        marks: dots as (style, x, y).
        lines: polylines as (style, points).
        ticks_x, ticks_y: (position, label).
        limit: y of the limit line; None where it lies outside or there is none.
    """

    width, height = WIDTH, HEIGHT
    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM

    def __init__(self, chart: Chart) -> None:
        xs = [x for s in chart.series for x in s.x]
        ys = [y for s in chart.series for y in s.y if math.isfinite(y)]
        if chart.limit is not None:
            ys.append(chart.limit)
        self._x = _span(xs or [0.0, 1.0], 0.01)
        self._y = _span(ys or [0.0, 1.0], 0.08)
        self.marks: list[tuple[str, str, str]] = []
        self.lines: list[tuple[str, str]] = []
        for s in chart.series:
            if s.kind == "dots":
                self.marks += [
                    (s.style, f"{self._h(x):.1f}", f"{self._v(y):.1f}")
                    for x, y in zip(*thinned(s.x, s.y), strict=True)
                    if math.isfinite(y)
                ]
            else:
                self.lines += [(s.style, part) for part in self._parts(*thinned(s.x, s.y))]
        self.ticks_y = [(f"{self._v(v):.1f}", f"{v:.4g}") for v in _ticks(*self._y, 4)]
        self.ticks_x = [(f"{self._h(v):.1f}", f"{v:.0f}") for v in _ticks(*self._x, 8) if v == round(v)]
        self.limit = None if chart.limit is None else f"{self._v(chart.limit):.1f}"

    def _h(self, x: float) -> float:
        low, high = self._x
        return LEFT + (x - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def _v(self, y: float) -> float:
        low, high = self._y
        return HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def _parts(self, xs: Sequence[float], ys: Sequence[float]) -> list[str]:
        parts: list[list[str]] = [[]]
        for x, y in zip(xs, ys, strict=True):
            if math.isfinite(y):
                parts[-1].append(f"{self._h(x):.1f},{self._v(y):.1f}")
            elif parts[-1]:
                parts.append([])
        return [" ".join(part) for part in parts if part]


def trial_charts(records: Sequence[Record], study: Study, context: str) -> list[Chart]:
    """Objective and every margin over the trials of a context."""
    own = [r for r in records if r.trial.context_name == context and r.measurement is not None]
    ids = [float(r.trial.id) for r in own]
    best_x, best_y = best_so_far(tuple(own), study, context)
    unit = f" [{study.objective.unit}]" if study.objective.unit else ""
    charts = [
        Chart(
            f"objective {study.objective.name}{unit}",
            [
                Series("line", "best", [float(x) for x in best_x], best_y),
                Series("dots", "measured", ids, [_or_nan(objective_of(r)) for r in own]),
            ],
        )
    ]
    for c in study.constraints:
        values = [_or_nan(finite_margin(r, c)) for r in own]
        lower = [r.trial.predicted[c.name].lower if c.name in r.trial.predicted else math.nan for r in own]
        unit = f" [{c.unit}]" if c.unit else ""
        below = [v if v < 0 else math.nan for v in values]
        charts.append(
            Chart(
                f"margin {c.name}{unit}",
                [
                    Series("line", "predicted", ids, lower),
                    Series("dots", "measured", ids, values),
                    Series("dots", "below", ids, below),
                ],
                limit=0.0,
                limit_name="safe is at least 0",
            )
        )
    return charts


def evidence_charts(records: Sequence[Record], study: Study) -> list[Chart]:
    """Of every constraint, the log likelihood ratio of its declared prior, and of what refutes it, over the trials."""
    charts = []
    for c in study.constraints:
        found = [(float(r.trial.id), e) for r in records if (e := r.trial.evidence.get(c.name)) is not None]
        if not found:
            continue
        ids = [x for x, _ in found]
        charts.append(
            Chart(
                f"evidence for {c.name} (log likelihood ratios)",
                [
                    Series("line", "best", ids, [e.log_evidence for _, e in found]),
                    Series("line", "refutes", ids, [e.log_refutation for _, e in found]),
                ],
                limit=0.0,
                limit_name="neither prior is likelier",
            )
        )
    return charts


def thinned(x: Sequence[float], y: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """At most about `MAX_POINTS`: of every block of trials the lowest and the highest, so that no excess is lost."""
    if len(x) <= MAX_POINTS:
        return x, y
    kept: list[int] = []
    for block in np.array_split(np.arange(len(x)), MAX_POINTS // 2):
        values = np.array([y[i] for i in block])
        if np.all(np.isnan(values)):
            kept.append(int(block[0]))
            continue
        kept += sorted({int(block[np.nanargmin(values)]), int(block[np.nanargmax(values)])})
    return [x[i] for i in kept], [y[i] for i in kept]


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _span(values: Sequence[float], room: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    apart = (high - low) or max(abs(low), 1.0) * 0.1
    return low - room * apart, high + room * apart


def _ticks(low: float, high: float, count: int) -> list[float]:
    """Round values between two ends."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(f for f in (1.0, 2.0, 5.0, 10.0) if f * power >= raw)
    first = math.ceil(low / step)
    return [i * step for i in range(first, math.floor(high / step) + 1)]
