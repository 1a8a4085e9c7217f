"""What the surrogate believes around the best gains: slices over one and two parameters, and relevance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from safebo.report.data import ContextReport, Line, Plane, ReportData, Slices, functions
from safebo.report.figures.labels import legend
from safebo.report.figures.style import (
    INK,
    MUTED,
    PHASE_MARKERS,
    SAFE_EDGE,
    SAFE_FILL,
    UNSAFE,
    UNSAFE_FILL,
    WIDTH,
    new_figure,
    number,
    robust_limits,
    scale_of,
    with_unit,
    wrapped,
)
from safebo.study import FunctionSpec, Parameter
from safebo.study.axis import Axis
from safebo.study.space import Space
from safebo.types import Phase, TrialRecord

FloatArray = NDArray[np.float64]

OBJECTIVE_COLOURS = "cividis"
CONTOURS = 7


LINES_PER_FIGURE = 6
DRAWN_ONE_BY_ONE = 300
"""Marks of one kind in a plane; more are drawn as one image, or the page would hold every mark in every plane."""


def lines_figure(data: ReportData, context: ContextReport, first: int = 0) -> Figure:
    """Mean and confidence bounds of every function along parameters, the others at the anchor.

    Args:
        data: the run.
        context: a context with slices.
        first: index of the first of at most `LINES_PER_FIGURE` parameters to show.

    Raises:
        ValueError: the context has no slices.
    """
    slices = _slices(context)
    seed = None if slices.anchor == context.seed else context.seed  # one mark for one point
    specs = functions(data.study)
    lines = slices.lines[first : first + LINES_PER_FIGURE]
    count = len(lines)
    figure = new_figure(WIDTH if count > 2 else 2.2 + 3.0 * count, 0.75 + 1.2 * len(specs))
    axes = np.asarray(figure.subplots(len(specs), count, sharex="col", sharey="row", squeeze=False))
    parameters = {p.name: p for p in data.study.parameters}
    for row, spec in enumerate(specs):
        scale = scale_of(spec)
        is_constraint = row > 0
        low, high = _line_limits(slices.lines, spec, is_constraint)  # all: figures of a context share limits
        for column, line in enumerate(lines):
            ax = axes[row, column]
            band = line.bands[spec.name]
            scale.apply(ax, low, high, count=4, always=[0.0] if is_constraint else [])
            colour = INK if is_constraint else "#0072b2"
            ax.fill_between(line.values, band.lower, band.upper, color=colour, alpha=0.12, lw=0, gid="band")
            ax.plot(line.values, band.mean, color=colour, lw=1.3, gid="mean")
            ax.plot(line.values, band.lower, color=colour, lw=0.7, alpha=0.7, gid="lower")
            ax.axvline(slices.anchor[line.parameter], color="#d55e00", lw=1.0, gid="anchor")
            if is_constraint:
                ax.axhspan(low, min(0.0, high), color=UNSAFE_FILL, lw=0, zorder=0.5)
                ax.axhline(0.0, color=UNSAFE, lw=0.9, gid="zero")
            _safe_bar(ax, line.values, line.safe)
            if seed is not None and line.parameter in seed:
                ax.plot(
                    [seed[line.parameter]], [0], marker="s", ms=5, color=MUTED, lw=0, clip_on=False,
                    transform=ax.get_xaxis_transform(), zorder=5, gid="seed",
                )  # fmt: skip
            parameter = parameters[line.parameter]
            _parameter_axis(ax, parameter, "x", bins=3 if count > 3 else 6)
            if column == 0:
                ax.set_ylabel(wrapped(spec.name, spec.unit, 16))
            if row == len(specs) - 1:
                ax.set_xlabel(with_unit(line.parameter, parameter.unit), fontsize=7.5)
    handles = [
        Line2D([], [], color=MUTED, lw=1.3, label="mean"),
        Patch(
            facecolor=MUTED,
            alpha=0.3,
            label=f"bounds: mean ± {number(data.study.tuner.beta)} standard deviations",
        ),
        Line2D([], [], color="#d55e00", lw=1.0, label=slices.anchor_kind),
        Line2D([], [], color=SAFE_EDGE, lw=3, label="safe along the slice: every lower bound ≥ 0"),
    ]
    if seed is not None:
        handles.insert(3, Line2D([], [], color=MUTED, marker="s", ms=5, lw=0, label="seed gains"))
    legend(figure, handles)
    return figure


def planes_figure(data: ReportData, context: ContextReport) -> Figure:
    """The safe set over every pair of parameters, with the objective's mean as contours.

    Raises:
        ValueError: the context has no planes.
    """
    slices = _slices(context)
    seed = None if slices.anchor == context.seed else context.seed  # one mark for one point
    if not slices.planes:
        raise ValueError(f"context {context.name!r} has no planes: a study of one parameter has no pairs")
    names = slices.plane_parameters
    size = len(names) - 1
    parameters = {p.name: p for p in data.study.parameters}
    planes = {(p.horizontal, p.vertical): p for p in slices.planes}
    scale = scale_of(data.study.objective)
    warped = np.concatenate([scale.forward(p.objective).ravel() for p in slices.planes])
    norm = Normalize(*np.quantile(warped, [0.02, 1.0]))
    levels = np.linspace(norm.vmin or 0.0, norm.vmax or 1.0, CONTOURS + 2)[1:-1]
    levels = levels[np.concatenate([[True], np.diff(levels) > 0])]

    panel = min(1.75, (WIDTH - 0.9) / max(size, 1)) if size > 1 else 3.4
    figure = new_figure(WIDTH if size > 2 else 2.2 + panel * (size + 1), 0.75 + panel * size)
    axes = np.asarray(figure.subplots(size, size, squeeze=False))
    near = _nearness(data, context, slices)
    for row in range(size):
        for column in range(size):
            ax = axes[row, column]
            if column > row:
                ax.set_visible(False)
                continue
            plane = planes[names[column], names[row + 1]]
            _plane(ax, plane, scale.forward(plane.objective), levels, norm)
            _tried(ax, plane, near)
            _points(ax, plane, seed, slices.anchor)
            _parameter_axis(ax, parameters[plane.horizontal], "x", bins=4 if size > 2 else 7)
            _parameter_axis(ax, parameters[plane.vertical], "y", bins=4 if size > 2 else 7)
            ax.grid(False)
            if row == size - 1:
                ax.set_xlabel(with_unit(plane.horizontal, parameters[plane.horizontal].unit), fontsize=7.5)
            else:
                ax.tick_params(labelbottom=False)
            if column == 0:
                ax.set_ylabel(with_unit(plane.vertical, parameters[plane.vertical].unit), fontsize=7.5)
            else:
                ax.tick_params(labelleft=False)
    _contour_bar(figure, axes, data.study.objective, norm)
    handles = [
        Patch(facecolor=SAFE_FILL, edgecolor=SAFE_EDGE, label="certified safe: every lower bound ≥ 0"),
        Line2D([], [], marker="*", ms=9, color="#d55e00", mec="white", lw=0, label=slices.anchor_kind),
    ]
    if seed is not None:
        handles.append(Line2D([], [], marker="s", ms=6, color=MUTED, mec="white", lw=0, label="seed gains"))
    if near[0]:
        text = "trials near the slice (fading with distance)"
        handles.append(Line2D([], [], marker="o", ms=5, color=INK, mec="white", lw=0, label=text))
    legend(figure, handles)
    return figure


def _points(
    ax: Axes, plane: Plane, seed: Mapping[str, float] | None, anchor: Mapping[str, float] | None
) -> None:
    """Mark seed and anchor in a plane."""
    for source, marker, colour, gid in ((seed, "s", MUTED, "seed"), (anchor, "*", "#d55e00", "anchor")):
        if source is not None:
            ax.plot(
                [source[plane.horizontal]], [source[plane.vertical]], marker=marker, lw=0, zorder=5,
                ms=10 if marker == "*" else 6, color=colour, mec="white", mew=0.7, clip_on=False, gid=gid,
            )  # fmt: skip


def _contour_bar(figure: Figure, axes: NDArray[Any], spec: FunctionSpec, norm: Normalize) -> None:
    """What the contours' colours mean."""
    scale, mappable = scale_of(spec), ScalarMappable(norm, matplotlib.colormaps[OBJECTIVE_COLOURS])
    if len(axes) > 2:  # the empty upper right corner has room for it
        corner = figure.add_subplot(axes[0, 0].get_gridspec()[0, 2:])
        corner.set_axis_off()
        bar = figure.colorbar(
            mappable, cax=corner.inset_axes((0.1, 0.6, 0.8, 0.07)), orientation="horizontal"
        )
    else:
        bar = figure.colorbar(mappable, ax=axes.ravel().tolist(), aspect=26, pad=0.015)
    ends = scale.inverse([norm.vmin or 0.0, norm.vmax or 1.0])
    ticks = scale.ticks(float(ends[0]), float(ends[1]), count=6)
    bar.set_ticks([float(scale.forward(t)) for t in ticks], labels=[number(t, 4) for t in ticks])
    bar.set_label(with_unit(f"contours: mean of {spec.name}", spec.unit), fontsize=7.5)
    bar.outline.set_visible(False)


def relevance_figure(data: ReportData) -> Figure:
    """How much each input matters to each function: one over its lengthscale in the unit cube.

    Raises:
        ValueError: no lengthscales are known.
    """
    if not data.lengthscales:
        raise ValueError("no lengthscales are known")
    panels: dict[tuple[tuple[str, float], ...], list[str]] = {}
    for name, lengths in data.lengthscales.items():  # functions that share lengthscales share a panel
        panels.setdefault(tuple(lengths.items()), []).append(name)
    inputs = [name for name, _ in next(iter(panels))]
    figure = new_figure(WIDTH if len(panels) > 1 else 0.6 * WIDTH, 1.1 + 0.22 * len(inputs))
    axes = np.atleast_1d(figure.subplots(1, len(panels), sharex=True, sharey=True))
    parameters = {p.name for p in data.study.parameters}
    for ax, (scales, names) in zip(axes, panels.items(), strict=True):
        relevance = [1.0 / value for _, value in scales]
        colours = ["#0072b2" if key in parameters else "#e69f00" for key in inputs]
        bars = ax.barh(np.arange(len(inputs)), relevance, height=0.62, color=colours, gid="relevance")
        ax.bar_label(bars, [number(v, 2) for v in relevance], padding=2, fontsize=6.5, color=MUTED)
        ax.set_title(", ".join(names))
        ax.grid(axis="y", visible=False)
        ax.margins(x=0.14)
    axes[0].set_yticks(np.arange(len(inputs)), inputs)
    axes[0].invert_yaxis()
    axes[0].set_xlim(left=0)
    figure.supxlabel("relevance = 1 / lengthscale (inputs scaled to 0..1)", fontsize=8)
    if set(inputs) - parameters:
        handles = [
            Patch(color="#0072b2", label="parameter"),
            Patch(color="#e69f00", label="context variable"),
        ]
        legend(figure, handles, handlelength=1.2)
    return figure


def _slices(context: ContextReport) -> Slices:
    if context.slices is None:
        raise ValueError(f"context {context.name!r} has no slices")
    return context.slices


def _line_limits(lines: Sequence[Line], spec: FunctionSpec, is_constraint: bool) -> tuple[float, float]:
    """Limits that show the means everywhere and the bounds where it is safe.

    Far from the data the bounds are those of the prior; they run out of view rather than flatten the rest.
    """
    bands = [line.bands[spec.name] for line in lines]
    values = [b.mean for b in bands]
    values += [side[line.safe] for line, b in zip(lines, bands, strict=True) for side in (b.lower, b.upper)]
    always = [0.0] if is_constraint else [float(np.max(b.mean)) for b in bands]
    return robust_limits(scale_of(spec), np.concatenate(values), always, padding=0.12)


def _safe_bar(ax: Axes, values: FloatArray, safe: NDArray[np.bool_]) -> None:
    """The certified part of the slice as a bar on the axis."""
    padded = np.concatenate([[False], safe, [False]])
    starts = np.flatnonzero(~padded[:-1] & padded[1:])
    ends = np.flatnonzero(padded[:-1] & ~padded[1:]) - 1
    for first, last in zip(starts, ends, strict=True):
        ax.plot(
            [values[first], values[last]], [0, 0], color=SAFE_EDGE, lw=3, solid_capstyle="butt",
            transform=ax.get_xaxis_transform(), clip_on=False, zorder=4, gid="safe",
        )  # fmt: skip


def _plane(ax: Axes, plane: Plane, warped: FloatArray, levels: FloatArray, norm: Normalize) -> None:
    highest = float(np.max(plane.safety))
    if highest >= 0:
        ax.contourf(
            plane.x, plane.y, plane.safety, levels=[0.0, highest + 1.0], colors=[SAFE_FILL], zorder=0.6
        )
        if float(np.min(plane.safety)) < 0:
            ax.contour(
                plane.x, plane.y, plane.safety, levels=[0.0], colors=[SAFE_EDGE], linewidths=1.1, zorder=2
            )
    if np.ptp(warped) > 0:
        ax.contour(
            plane.x,
            plane.y,
            warped,
            levels=levels,
            cmap=OBJECTIVE_COLOURS,
            norm=norm,
            linewidths=0.9,
            zorder=1.5,
        )


Near = tuple[list[TrialRecord], Mapping[str, FloatArray]]
"""Trials of a context and, per parameter, their squared offsets from the anchor in lengthscales."""


def _nearness(data: ReportData, context: ContextReport, slices: Slices) -> Near:
    lengths = data.lengthscales.get(data.study.objective.name, {})
    axes = {axis.name: axis for axis in Space.of_parameters(data.study).axes}
    own = [e for e in data.entries if e.trial.context_name == context.name]
    offsets = {
        p.name: _offsets(axes[p.name], [e.trial.parameters[p.name] for e in own], slices.anchor[p.name])
        / lengths.get(p.name, p.lengthscale or data.study.surrogate.lengthscale) ** 2
        for p in data.study.parameters
    }
    return own, offsets


def _offsets(axis: Axis, values: Sequence[Any], anchor: Any) -> FloatArray:
    """Squared distances of values from another in the unit cube."""
    units = axis.to_unit([axis.raw(value) for value in values]).reshape(len(values), -1)
    return np.asarray(((units - axis.to_unit(axis.raw(anchor))) ** 2).sum(-1))


def _tried(ax: Axes, plane: Plane, near: Near) -> None:
    """Trials within one lengthscale of the slice; the farther from it, the fainter.

    One artist for every kind of mark, and past `DRAWN_ONE_BY_ONE` one image: matplotlib takes milliseconds for each,
    and a long run has thousands of trials.
    """
    entries, offsets = near
    across = [values for name, values in offsets.items() if name not in (plane.horizontal, plane.vertical)]
    distances = np.sqrt(np.sum([np.zeros(len(entries)), *across], axis=0))
    marks: dict[tuple[Phase, bool], list[tuple[float, float, float]]] = {}
    for i in np.flatnonzero(distances <= 1.0):
        e, alpha = entries[i], 1.0 - 0.75 * float(distances[i])
        at = (e.trial.parameters[plane.horizontal], e.trial.parameters[plane.vertical], alpha)
        marks.setdefault((e.trial.phase, e.measurement is not None and e.measurement.fell), []).append(at)
    for (phase, fell), rows in marks.items():
        x, y, shown = (list(column) for column in zip(*rows, strict=True))
        ax.scatter(
            x, y, s=12, marker="x" if fell else PHASE_MARKERS[phase], alpha=shown,  # type: ignore[arg-type]
            color=UNSAFE if fell else INK,
            linewidths=1.0 if fell else 0.0, zorder=3, clip_on=False, gid=f"trials:{phase}",
            rasterized=len(rows) > DRAWN_ONE_BY_ONE,
        )  # fmt: skip


def _parameter_axis(ax: Axes, parameter: Parameter, which: str, bins: int) -> None:
    axis = ax.xaxis if which == "x" else ax.yaxis
    if parameter.scale == "log":
        (ax.set_xscale if which == "x" else ax.set_yscale)("log")
        axis.set_major_locator(LogLocator(numticks=bins + 1))
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(bins, steps=[1, 2, 5, 10]))
    (ax.set_xlim if which == "x" else ax.set_ylim)(*parameter.bounds)
