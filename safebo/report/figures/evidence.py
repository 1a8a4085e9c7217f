"""What the measurements say for and against the declared priors, trial by trial."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from safebo.models.trust import TrustRule
from safebo.report.data import ReportData
from safebo.report.figures.history import trial_axis
from safebo.report.figures.labels import legend
from safebo.report.figures.style import MUTED, UNSAFE, WIDTH, context_colours, new_figure, wrapped
from safebo.text.printable import printable

LARGEST = 600.0
"""Logarithms of ratios are drawn up to this size, as far as a double reaches."""


def evidence_figure(data: ReportData, rule: TrustRule) -> Figure:
    """Likelihood ratios of every constraint: for the declared prior above, against it below; limits are dashed."""
    names = [c.name for c in data.study.constraints]
    colours = context_colours(names)
    figure = new_figure(WIDTH, 4.2)
    above, below = figure.subplots(2, 1, sharex=True)
    for ax, key, limit, words, colour in (
        (above, "log_evidence", rule.evidence, "declared over cautious", MUTED),
        (below, "log_refutation", 1.0 / rule.refute, "alternatives over declared", UNSAFE),
    ):
        for name in names:
            found = [(e.trial.id, e.trial.evidence[name]) for e in data.entries if name in e.trial.evidence]
            ratios = [math.exp(max(-LARGEST, min(LARGEST, getattr(one, key)))) for _, one in found]
            ax.plot(
                [i for i, _ in found],
                ratios,
                color=colours[name],
                lw=1.3,
                label=printable(name),
                gid=f"{key}",
            )
        ax.axhline(limit, color=colour, lw=1.0, ls="--", gid=f"{key} limit")
        ax.set_yscale("log")
        ax.set_ylabel(wrapped(words, "", 18))
    trial_axis(below, data.entries)
    handles, _ = above.get_legend_handles_labels()
    legend(figure, handles)
    return figure
