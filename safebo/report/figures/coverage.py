"""Where measurements fell in their predicted distributions: histograms of the probability integral transform."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import binom

from safebo.report.coverage import transform
from safebo.report.data import ReportData
from safebo.report.figures.style import INK, MUTED, WIDTH, new_figure
from safebo.text.printable import printable

BINS = 10
COLUMNS = 4


def coverage_figure(data: ReportData) -> Figure:
    """One histogram per function; the band holds 95 % of a bin's counts where the model is right."""
    shown = {name: values for name, values in data.residuals.items() if len(values)}
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = new_figure(WIDTH, 0.5 + 1.5 * rows)
    axes = np.atleast_1d(figure.subplots(rows, columns, sharex=True, squeeze=False)).ravel()
    for ax, (name, values) in zip(axes, shown.items(), strict=False):
        n = len(values)
        low, high = binom.interval(0.95, n, 1.0 / BINS)
        ax.axhspan(low, high, color=MUTED, alpha=0.18, lw=0, gid="band")
        ax.axhline(n / BINS, color=MUTED, lw=0.8, ls="--")
        ax.hist(transform(values), BINS, range=(0.0, 1.0), color=INK, alpha=0.75, rwidth=0.85)
        ax.set_title(f"{printable(name)}, n = {n}")
        ax.set_xlim(0.0, 1.0)
        ax.yaxis.get_major_locator().set_params(integer=True)
    for ax in axes[len(shown) :]:
        ax.set_visible(False)
    for ax in axes[max(0, len(shown) - columns) : len(shown)]:
        ax.set_xlabel("quantile of the prediction")
    return figure
