"""How another run that served as prior and this one agree, function by function."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from safebo.report.data import Agreement, ReportData, functions
from safebo.report.figures.style import (
    CONTEXT_COLOURS,
    INK,
    MUTED,
    WIDTH,
    new_figure,
    number,
    robust_limits,
    scale_of,
    with_unit,
)
from safebo.study import FunctionSpec

COLUMNS = 4


def agreement_figure(data: ReportData) -> Figure:
    """What the prior let expect against what was measured, one panel for each function that has pairs."""
    shown = [] if data.prior is None else [a for a in data.prior.agreements if a.trials]
    specs = {f.name: f for f in functions(data.study)}
    columns = min(COLUMNS, max(len(shown), 1))
    rows = -(-max(len(shown), 1) // columns)
    figure = new_figure(WIDTH * columns / COLUMNS, 2.7 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in panels[len(shown) :]:
        ax.set_axis_off()
    for ax, agreement in zip(panels, shown, strict=False):
        _panel(ax, specs[agreement.function], agreement)
    return figure


def _panel(ax: Axes, spec: FunctionSpec, agreement: Agreement) -> None:
    scale = scale_of(spec)
    values = [*agreement.expected, *agreement.measured]
    low, high = robust_limits(scale, values, always=values)
    scale.apply(ax, low, high, count=4)
    ax.set_xscale("function", functions=(scale.forward, scale.inverse))
    ax.set_xlim(low, high)
    ax.xaxis.set_major_locator(FixedLocator(scale.ticks(low, high, 4)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 4)))
    ax.plot([low, high], [low, high], color=MUTED, lw=0.8, ls="--", zorder=1.5, gid="equal")
    ax.plot(
        agreement.expected,
        agreement.measured,
        "o",
        color=CONTEXT_COLOURS[0],
        ms=4.5,
        mec="white",
        mew=0.5,
        gid="pairs",
    )
    for trial, x, y in zip(agreement.trials, agreement.expected, agreement.measured, strict=True):
        ax.annotate(str(trial), (x, y), xytext=(3, 3), textcoords="offset points", fontsize=6.0, color=INK)
    ax.set_title(spec.name)
    ax.set_xlabel(with_unit("prior lets expect", spec.unit))
    ax.set_ylabel(with_unit("measured", spec.unit))
