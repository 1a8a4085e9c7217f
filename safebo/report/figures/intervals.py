"""What every function's interval consists of: one stacked bar each, at the recommended gains and at the seed."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from safebo.models.interval_split import PARTS, Part
from safebo.report.data import ContextReport
from safebo.report.figures.labels import legend
from safebo.report.figures.style import INK, WIDTH, new_figure, wrapped
from safebo.report.intervals import shown_parts
from safebo.text.printable import printable

COLOURS: dict[Part, str] = {
    "unknown": "#0072b2",
    "doubt": "#d55e00",
    "between": "#5b5b5b",
    "within": "#56b4e9",
    "noise": "#a9b1ba",
}
"""Okabe and Ito's, and greys for what nothing shrinks or is not told apart."""

DARK = ("unknown", "doubt", "between")
"""Parts whose shares are written in white."""

LABELLED = 0.06
"""Shares from which the number stands in the bar."""


def intervals_figure(context: ContextReport) -> Figure:
    """Shares of the variance of a next measurement, one panel per point."""
    points = context.intervals
    functions = max(len(p.splits) for p in points)
    figure = new_figure(WIDTH, 0.95 + 0.32 * functions)
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(w_pad=0.12)
    panels = figure.subplots(1, len(points), sharey=True, squeeze=False)[0]
    shown = shown_parts([split for p in points for split in p.splits])
    for ax, point in zip(panels, points, strict=True):
        left = [0.0] * len(point.splits)
        for part in shown:
            for row, split in enumerate(point.splits):
                share = split.shares.get(part, 0.0)
                if share == 0.0:
                    continue
                ax.barh(
                    row, share, left=left[row], height=0.66, color=COLOURS[part], ec="white", lw=0.6, gid=part
                )
                if share >= LABELLED:
                    ax.text(
                        left[row] + 0.5 * share,
                        row,
                        f"{100.0 * share:.0f}",
                        ha="center",
                        va="center",
                        fontsize=7.0,
                        color="white" if part in DARK else INK,
                    )
                left[row] += share
        ax.set_xlim(0.0, 1.0)
        ax.set_ylim(functions - 0.5, -0.5)
        ax.set_yticks(
            range(len(point.splits)), [wrapped(printable(s.function), "", 26) for s in point.splits]
        )
        ax.tick_params(axis="y", length=0)
        ax.grid(visible=False, axis="y")
        ax.set_xticks([0.0, 0.25, 0.5, 0.75, 1.0])
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100.0 * value:.0f} %"))
        ax.set_title(point.point)
        ax.set_xlabel("of the variance of a next measurement")
    legend(figure, [Patch(color=COLOURS[part], label=PARTS[part]) for part in shown])
    return figure
