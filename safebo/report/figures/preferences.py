"""Utility over trials, where the objective is a person's preference."""

from __future__ import annotations

from matplotlib.figure import Figure

from safebo.report.data import ReportData
from safebo.report.figures.style import CONTEXT_COLOURS, MUTED, WIDTH, new_figure


def utility_figure(data: ReportData) -> Figure:
    """How much better than the first walk of its context every compared walk is, with bounds."""
    figure = new_figure(WIDTH, 3.0)
    ax = figure.subplots()
    found = () if data.preference is None else data.preference.utilities
    ax.axhline(0.0, color=MUTED, lw=0.8, ls="--", zorder=1, gid="first")
    for i, name in enumerate(dict.fromkeys(u.context for u in found)):
        own = [u for u in found if u.context == name]
        mean = [u.mean for u in own]
        ax.errorbar(
            [u.trial for u in own],
            mean,
            yerr=[[m - u.lower for m, u in zip(mean, own, strict=True)], [u.upper - u.mean for u in own]],
            fmt="o",
            ms=4,
            lw=1.0,
            color=CONTEXT_COLOURS[i % len(CONTEXT_COLOURS)],
            label=name,
        )
    if len({u.context for u in found}) > 1:
        ax.legend(loc="best", fontsize=7)
    ax.set_xlabel("trial")
    ax.set_ylabel("utility over the first walk's")
    return figure
