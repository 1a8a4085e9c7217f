"""Tracking before and after: how closely recorded signals followed what was asked of them."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from safebo.report.data import Recording, Signal
from safebo.report.figures.labels import legend
from safebo.report.figures.style import INK, MUTED, WIDTH, new_figure, number, with_unit, wrapped

BEFORE_COLOUR = "#d55e00"
AFTER_COLOUR = "#0072b2"
TRACES = 3
WINDOW = 1.5
"""Seconds of the traces: two or three strides can be read, ten cannot."""


def tracking_figure(before: Recording, after: Recording) -> Figure:
    """RMS error of every signal before and after, and the traces of the signals that were worst before.

    Raises:
        ValueError: the two recordings have no signal in common.
    """
    later = {s.name: s for s in after.signals}
    common = [(s, later[s.name]) for s in before.signals if s.name in later]
    if not common:
        raise ValueError("the recordings before and after have no tracked signal in common")
    unit = _leading_unit([s for s, _ in common])
    common = [(a, b) for a, b in common if a.unit == unit]
    figure = new_figure(WIDTH, max(3.2, 1.0 + 0.2 * len(common)))
    parts = np.asarray(figure.subfigures(1, 2, width_ratios=[0.85, 2.0]))
    left, right = parts[0], parts[1]

    ax = left.subplots()
    rows = np.arange(len(common))
    errors = [(a.rms_error, b.rms_error) for a, b in common]
    ax.hlines(rows, [min(e) for e in errors], [max(e) for e in errors], color=MUTED, lw=0.9, zorder=1)
    ax.scatter(
        [e[0] for e in errors], rows, s=22, color=BEFORE_COLOUR, marker="o", zorder=2, gid="rms before"
    )
    ax.scatter([e[1] for e in errors], rows, s=22, color=AFTER_COLOUR, marker="D", zorder=3, gid="rms after")
    ax.set_yticks(rows, [_short(a.name, common) for a, _ in common])
    ax.invert_yaxis()
    ax.set_xlim(left=0)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(with_unit("rms tracking error", unit))

    worst = sorted(common, key=lambda pair: -pair[0].rms_error)[:TRACES]
    axes = np.asarray(right.subplots(len(worst), 2, sharey="row", sharex="col", squeeze=False))
    for row, (a, b) in enumerate(worst):
        for column, (recording, signal, colour) in enumerate(
            ((before, a, BEFORE_COLOUR), (after, b, AFTER_COLOUR))
        ):
            trace = axes[row, column]
            shown = recording.time >= recording.time[-1] - WINDOW
            time = recording.time[shown]
            trace.plot(time, signal.actual[shown], color=colour, lw=1.1, gid="actual")
            trace.plot(time, signal.desired[shown], color=INK, lw=0.9, ls=(0, (3, 1.5)), gid="desired")
            trace.set_xlim(time[0], time[-1])
            if row == 0:
                kind = "before" if column == 0 else "after"
                trace.set_title(f"{kind}: trial {recording.trial}")
            if column == 0:
                trace.set_ylabel(wrapped(_short(signal.name, common), signal.unit, 18))
            if row == len(worst) - 1:
                trace.set_xlabel("time [s]")
    handles = [
        Line2D([], [], color=BEFORE_COLOUR, marker="o", ms=5, lw=1.1, label=f"before: trial {before.trial}"),
        Line2D([], [], color=AFTER_COLOUR, marker="D", ms=4.5, lw=1.1, label=f"after: trial {after.trial}"),
        Line2D([], [], color=INK, lw=0.9, ls=(0, (3, 1.5)), label="desired"),
    ]
    legend(figure, handles, handlelength=1.8, columnspacing=1.6)
    return figure


def tracking_sentence(before: Recording, after: Recording) -> str:
    """Total RMS error before and after, over the signals of the leading unit."""
    unit = _leading_unit(list(before.signals))
    totals = []
    for recording in (before, after):
        squares = [s.rms_error**2 for s in recording.signals if s.unit == unit]
        totals.append(float(np.sqrt(np.mean(squares))) if squares else float("nan"))
    change = 100.0 * (totals[1] / totals[0] - 1.0)
    return (
        f"RMS tracking error over all signals in {unit or 'their own unit'}: {number(totals[0])} before, "
        f"{number(totals[1])} after ({'+' if change >= 0 else '−'}{abs(change):.0f} %)."
    )


def _leading_unit(signals: list[Signal]) -> str:
    """The unit of most signals; errors of different units cannot share an axis."""
    units = [s.unit for s in signals]
    return max(units, key=lambda u: (units.count(u), -units.index(u)))


def _short(name: str, common: list[tuple[Signal, Signal]]) -> str:
    """The name without the prefix up to the last dot that all shown signals share."""
    prefixes = {s.name.rpartition(".")[0] for s, _ in common}
    return name.rpartition(".")[2] if len(prefixes) == 1 else name
