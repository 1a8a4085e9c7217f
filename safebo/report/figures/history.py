"""What happened, trial by trial: the objective, and every margin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator

from safebo.report.data import ReportData, best_so_far, finite_margin, objective_of
from safebo.report.figures.labels import legend
from safebo.report.figures.style import (
    INK,
    MUTED,
    PHASE_MARKERS,
    UNSAFE,
    UNSAFE_FILL,
    WIDTH,
    context_colours,
    new_figure,
    number,
    robust_limits,
    scale_of,
    wrapped,
)
from safebo.study import FunctionSpec
from safebo.text.printable import printable
from safebo.types import PHASES, Bounds, TrialRecord

INTERVAL = "#dde2e7"

EVENTS = ("fell", "aborted", "failed", "no result", "backup fired")


def events_of(entry: TrialRecord) -> list[str]:
    """Which of `EVENTS` happened in a trial; a fall is named a fall, not an abort."""
    m = entry.measurement
    if m is None:
        return ["no result"]
    found = []
    if m.fell:
        found.append("fell")
    elif m.outcome == "aborted":
        found.append("aborted")
    if m.outcome == "failed":
        found.append("failed")
    if m.outcome == "backup" or m.backup_time is not None:
        found.append("backup fired")
    return found


def objective_figure(data: ReportData) -> Figure:
    """Measured objective per trial, its predicted interval, and the best safe one so far.

    Markers tell the phase, colours the context. Trials without an objective appear in the strip below.
    """
    spec = data.study.objective
    colours = context_colours(c.name for c in data.contexts)
    strip = _events_that_occur(data.entries)
    figure = new_figure(WIDTH, 3.7 + 0.2 * len(strip))
    if strip:
        ax, below = figure.subplots(
            2, 1, sharex=True, gridspec_kw={"height_ratios": [3.4, 0.22 * len(strip) + 0.08], "hspace": 0.02}
        )
        _event_strip(below, data.entries, strip, colours)
        bottom = below
    else:
        bottom = ax = figure.subplots()
    scale = scale_of(spec)
    values = [v for e in data.entries if (v := objective_of(e)) is not None]
    certified = [c.best for c in data.contexts if c.tried and c.best is not None]
    always = [b.objective.mean for b in certified] + [b.objective.lower for b in certified]
    always += [v for e in data.entries if e.trial.phase == "seed" and (v := objective_of(e)) is not None]
    low, high = robust_limits(scale, values, always)
    scale.apply(ax, low, high)
    ax.grid(axis="x", visible=False)  # the predicted intervals stand where its lines would

    for e in data.entries:
        bounds = e.trial.predicted.get(spec.name)
        if bounds is not None:
            ax.plot(
                [e.trial.id] * 2,
                [bounds.lower, bounds.upper],
                color=INTERVAL,
                lw=0.9,
                zorder=1.5,
                gid="interval",
            )
            if low <= bounds.mean <= high:
                ax.plot([e.trial.id], [bounds.mean], color=MUTED, marker="_", ms=5, mew=0.8, lw=0, zorder=1.6)
    _scatter(ax, data.entries, [objective_of(e) for e in data.entries], colours, low, high)
    last = max((e.trial.id for e in data.entries), default=0)
    for context in data.contexts:
        ids, best = best_so_far(data.entries, data.study, context.name)
        if ids:
            ax.step(
                ids,
                best,
                where="post",
                color=colours[context.name],
                lw=1.4,
                zorder=2.5,
                gid=printable(f"best:{context.name}"),
            )
        if context.tried and context.best is not None:
            _certified_best(
                ax, context.best.objective, last, colours[context.name], offset=_offset(data, context.name)
            )
    ax.set_ylabel(wrapped(spec.name, spec.unit, 26) + "\nhigher is better")
    trial_axis(bottom, data.entries)
    handles: list[Artist] = [*_phase_handles(data.entries), *_context_handles(data, colours)]
    handles.append(Line2D([], [], color=MUTED, lw=1.4, label="best so far, safe trials"))
    if any(spec.name in e.trial.predicted for e in data.entries):
        handles.append(
            Line2D(
                [],
                [],
                color=INTERVAL,
                marker="_",
                mec=MUTED,
                ms=5,
                lw=1.2,
                label="predicted: mean and bounds",
            )
        )
    if certified:
        handles.append(
            Line2D([], [], color=MUTED, marker="*", ms=8, lw=1.2, label="best certified: mean and bounds")
        )
    legend(figure, handles)
    return figure


def margins_figure(data: ReportData) -> Figure:
    """Every declared margin per trial, one row each, zero marked and the unsafe side shaded."""
    constraints = data.study.constraints
    colours = context_colours(c.name for c in data.contexts)
    figure = new_figure(WIDTH, 0.55 + 1.55 * len(constraints))
    rows = np.atleast_1d(figure.subplots(len(constraints), 1, sharex=True))
    for ax, spec in zip(rows, constraints, strict=True):
        _margin_row(ax, spec, data.entries, colours)
    trial_axis(rows[-1], data.entries)
    handles: list[Artist] = [*_phase_handles(data.entries), *_context_handles(data, colours)]
    handles.append(Line2D([], [], color=INK, marker="_", ms=7, lw=0, label="lower bound when proposed"))
    handles.append(Patch(facecolor=UNSAFE_FILL, edgecolor=UNSAFE, lw=0.8, label="unsafe: below zero"))
    legend(figure, handles)
    return figure


def _margin_row(
    ax: Axes, spec: FunctionSpec, entries: Sequence[TrialRecord], colours: dict[str, str]
) -> None:
    scale = scale_of(spec)
    values = [finite_margin(e, spec) for e in entries]
    predicted = [
        (e.trial.id, b.lower) for e in entries if (b := e.trial.predicted.get(spec.name)) is not None
    ]
    low, high = robust_limits(scale, [v for v in values if v is not None], always=[0.0], padding=0.1)
    # some of the unsafe side is always in view, however far from it the run stayed
    w_low, w_high = float(scale.forward(low)), float(scale.forward(high))
    if w_low > -0.12 * w_high:
        low = float(scale.inverse(-0.12 * w_high))
    scale.apply(ax, low, high, count=4, always=[0.0])
    ax.axhspan(low, 0.0, color=UNSAFE_FILL, lw=0, zorder=0.5)
    ax.axhline(0.0, color=UNSAFE, lw=1.0, zorder=2, gid="zero")
    shown = [(i, b) for i, b in predicted if b >= low]
    ax.plot(
        [i for i, _ in shown], [b for _, b in shown], color=INK, marker="_", ms=6, mew=0.9, lw=0,
        alpha=0.75, zorder=2.2, gid="predicted lower bound",
    )  # fmt: skip
    _scatter(ax, entries, values, colours, low, high)
    ax.set_ylabel(wrapped(spec.name, spec.unit, 18))


def _scatter(
    ax: Axes,
    entries: Sequence[TrialRecord],
    values: Sequence[float | None],
    colours: dict[str, str],
    low: float,
    high: float,
) -> None:
    """One marker per value by phase and context; values out of view become arrows at the edge."""
    size = float(np.clip(1400.0 / max(len(entries), 1), 9.0, 24.0))
    for phase in PHASES:
        for name, colour in colours.items():
            points = [
                (e.trial.id, v, e)
                for e, v in zip(entries, values, strict=True)
                if v is not None and e.trial.phase == phase and e.trial.context_name == name
            ]
            inside = [(i, v) for i, v, _ in points if low <= v <= high]
            if inside:
                ax.scatter(
                    [i for i, _ in inside], [v for _, v in inside], s=size, marker=PHASE_MARKERS[phase],
                    color=colour, edgecolors="white", linewidths=0.5, zorder=3, gid=printable(f"{phase}:{name}"),
                )  # fmt: skip
            for i, v, entry in points:
                if not low <= v <= high:
                    fell = entry.measurement is not None and entry.measurement.fell
                    _out_of_view(ax, i, v, below=v < low, colour=UNSAFE if fell else colour)
    for e, value in zip(entries, values, strict=True):
        fell = e.measurement is not None and e.measurement.fell
        if fell and value is not None and low <= value <= high:
            ax.scatter(
                [e.trial.id],
                [value],
                s=2.6 * size,
                marker="x",
                color=UNSAFE,
                linewidths=1.3,
                zorder=4,
                gid="fell",
            )


def _out_of_view(ax: Axes, trial: int, value: float, *, below: bool, colour: str) -> None:
    """An arrow at the edge with the value that it stands for."""
    transform = ax.get_xaxis_transform()
    y, marker = (0.05, "v") if below else (0.95, "^")
    ax.plot(
        [trial], [y], marker=marker, ms=5.5, color=colour, mec="white", mew=0.5, transform=transform,
        zorder=4, clip_on=False, lw=0, gid="out of view",
    )  # fmt: skip
    ax.annotate(
        number(value), (trial, y), xycoords=transform, xytext=(5, 0), textcoords="offset points",
        ha="left", va="center", fontsize=6.5, color=MUTED, zorder=4,
    )  # fmt: skip


def _certified_best(ax: Axes, bounds: Bounds, last: int, colour: str, offset: float) -> None:
    x = last + 1.0 + offset
    low, high = ax.get_ylim()
    ax.plot([x, x], [max(bounds.lower, low), min(bounds.upper, high)], color=colour, lw=1.2, zorder=3)
    ax.plot(
        [x],
        [bounds.mean],
        marker="*",
        ms=9,
        color=colour,
        mec="white",
        mew=0.5,
        lw=0,
        zorder=4,
        gid="best certified",
    )


def _offset(data: ReportData, context: str) -> float:
    names = [c.name for c in data.contexts if c.tried and c.best is not None]
    return 0.9 * names.index(context)


def _events_that_occur(entries: Iterable[TrialRecord]) -> list[str]:
    seen = {event for e in entries for event in events_of(e)}
    return [event for event in EVENTS if event in seen]


def _event_strip(ax: Axes, entries: Sequence[TrialRecord], strip: list[str], colours: dict[str, str]) -> None:
    """One thin row per kind of event, so that trials without an objective are still seen."""
    rows = {event: len(strip) - 1 - i for i, event in enumerate(strip)}
    for e in entries:
        for event in events_of(e):
            bad = event in ("fell", "aborted", "failed")
            marker = "x" if bad else "v" if event == "backup fired" else "o"
            ax.plot(
                [e.trial.id], [rows[event]], lw=0, ms=5, mew=1.3, marker=marker,
                color=UNSAFE if bad else colours.get(e.trial.context_name, MUTED),
                mfc="none" if event == "no result" else None, gid=f"event:{event}",
            )  # fmt: skip
    ax.set_yticks(list(rows.values()), list(rows))
    ax.set_ylim(-0.6, len(strip) - 0.4)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def trial_axis(ax: Axes, entries: Sequence[TrialRecord]) -> None:
    """An axis of the trials' numbers."""
    ids = [e.trial.id for e in entries]
    first, last = min(ids, default=0), max(ids, default=1)
    ticks = MaxNLocator(integer=True, nbins=16, steps=[1, 2, 5, 10]).tick_values(first, last)
    ax.xaxis.set_major_locator(FixedLocator([t for t in ticks if first <= t <= last]))
    ax.set_xlim(first - 0.8, last + 2.2)
    ax.set_xlabel("trial")


def _phase_handles(entries: Sequence[TrialRecord]) -> list[Line2D]:
    used = {e.trial.phase for e in entries}
    return [
        Line2D([], [], marker=PHASE_MARKERS[p], color=MUTED, mec="white", lw=0, ms=6, label=p)
        for p in PHASES
        if p in used
    ]


def _context_handles(data: ReportData, colours: dict[str, str]) -> list[Line2D]:
    tried = [c.name for c in data.contexts if c.tried]
    if len(tried) < 2:
        return []
    return [Line2D([], [], color=colours[name], lw=4, label=name) for name in tried]
