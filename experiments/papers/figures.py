"""Figures of the papers in shape: means over seeds with bands of one standard error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator

from safebo.experiments.papers.runs import mean_and_error
from safebo.experiments.tasks.task import FloatArray
from safebo.report.figures.style import CONTEXT_COLOURS, INK, MUTED, new_figure, styled

DASHES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Panel:
    """One set of axes.

    Args:
        title: above.
        y: label of the vertical axis.
        curves: name to `seeds x T`.
        log: whether the vertical axis is logarithmic; numbers below `floor` are drawn there.
        floor: smallest number drawn on a logarithmic axis.
        marks: horizontal lines by name.
        x: label of the horizontal axis.
    """

    title: str
    y: str
    curves: Mapping[str, FloatArray]
    log: bool = False
    floor: float = 1e-3
    marks: Mapping[str, float] | None = None
    x: str = "trial"


def looks(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A colour and a dash for every name."""
    n = len(CONTEXT_COLOURS)
    return {name: (CONTEXT_COLOURS[i % n], DASHES[(i // n) % len(DASHES)]) for i, name in enumerate(names)}


def draw(path: Path, panels: Sequence[Panel], across: int = 3) -> Path:
    """Panels in one PNG with one legend.

    Args:
        path: of the file.
        panels: in reading order.
        across: panels in a row.
    """
    names = list(dict.fromkeys(name for panel in panels for name in panel.curves))
    look = looks(names)
    columns = min(across, len(panels))
    rows = -(-len(panels) // columns)
    with styled():
        figure = new_figure(3.9 * columns, 2.9 * rows + 0.6)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        lines = {}
        for axis, panel in zip(axes, panels, strict=False):
            for name, values in panel.curves.items():
                mean, error = mean_and_error(values)
                if panel.log:
                    mean = np.where(np.isfinite(mean), np.maximum(mean, panel.floor), mean)
                trials = np.arange(1, len(mean) + 1)
                colour, dash = look[name]
                (lines[name],) = axis.plot(trials, mean, color=colour, linestyle=dash, label=name)
                low = np.maximum(mean - error, panel.floor) if panel.log else mean - error
                axis.fill_between(trials, low, mean + error, color=colour, alpha=0.15, linewidth=0)
            for name, height in (panel.marks or {}).items():
                axis.axhline(height, color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
                axis.annotate(
                    name,
                    (1.0, height),
                    xycoords=("axes fraction", "data"),
                    ha="right",
                    va="bottom",
                    fontsize=6.5,
                    color=INK,
                )
            if panel.log:
                axis.set_yscale("log")
            axis.set(title=panel.title, xlabel=panel.x, ylabel=panel.y)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=min(6, len(lines)))
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)
    return path
