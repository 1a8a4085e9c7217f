"""Pictures of a benchmark: curves per task, violations, who is better than whom, and ranks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from safebo.experiments.bench.measures import BenchRun, FloatArray, padded, regret_curve, safe_share_curve
from safebo.experiments.bench.promises import allowed
from safebo.experiments.bench.results import Judged, Results
from safebo.experiments.bench.standings import Standings
from safebo.experiments.bench.statistics import curve_band
from safebo.report.figures.style import CONTEXT_COLOURS, INK, MUTED, UNSAFE, WIDTH, new_figure, number

DASHES = ("-", (0, (5, 2)), (0, (1.2, 1.4)), (0, (6, 1.5, 1.2, 1.5)))
POINTS = 120
"""At most so many trials of a curve are drawn."""


@dataclass(frozen=True)
class Look:
    """How a method is drawn, the same in every picture."""

    colour: str
    dash: object


def looks(methods: Sequence[str]) -> dict[str, Look]:
    """Colour and dash of every method, by order."""
    n = len(CONTEXT_COLOURS)
    return {m: Look(CONTEXT_COLOURS[i % n], DASHES[(i // n) % len(DASHES)]) for i, m in enumerate(methods)}


def task_figure(results: Results, task: str, styles: Mapping[str, Look]) -> Figure:
    """Regret and safe share per trial on one task; methods that promise nothing in a row of their own."""
    kinds = [
        ("certified answer", [m for m in results.certifying() if results.of(m, task)]),
        ("UNSAFE baselines: best safe trial", [m for m in results.baselines() if results.of(m, task)]),
    ]
    kinds = [(title, methods) for title, methods in kinds if methods]
    figure = new_figure(WIDTH, 2.75 * len(kinds))
    rows = figure.subplots(len(kinds), 2, squeeze=False, sharex=True)
    length = max(j.run.trials for m in results.methods for j in results.of(m, task))
    for (title, methods), (left, right) in zip(kinds, rows, strict=True):
        finals = _curves(left, results, task, methods, styles, regret_curve, length, empty=1.0)
        shares = _curves(right, results, task, methods, styles, safe_share_curve, length, empty=math.nan)
        _regret_axis(left)
        left.set_title(f"Normalised regret, {title}", color=UNSAFE if "UNSAFE" in title else INK)
        right.set(title="Certified share of the reachable safe inputs", ylim=(-0.02, 1.02))
        right.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        if not any(math.isfinite(v) for v in shares.values()):
            right.text(
                0.5, 0.5, "not known on this task", transform=right.transAxes, ha="center", color=MUTED
            )
        order = sorted(methods, key=lambda m: -finals.get(m, math.inf))
        handles = [Line2D([], [], color=styles[m].colour, ls=styles[m].dash, label=m) for m in order]
        right.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0), handlelength=2.6)
    for ax in rows[-1]:
        ax.set(xlabel="trial", xlim=(1, max(2, length)))
    return figure


def _regret_axis(ax: Axes) -> None:
    """From worse than the start through 1, 0.1 and 0.01 to exactly 0."""
    ax.set_yscale("symlog", linthresh=0.01, linscale=0.5)
    ax.set_ylim(-0.0012, max(1.15, ax.get_ylim()[1]))
    ax.yaxis.set_major_locator(FixedLocator([0.0, 0.01, 0.1, 1.0, 10.0, 100.0]))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: number(v)))
    ax.axhline(1.0, color=MUTED, lw=0.8, ls=":")


def _curves(
    ax: Axes,
    results: Results,
    task: str,
    methods: Sequence[str],
    styles: Mapping[str, Look],
    curve: Callable[[BenchRun], FloatArray],
    length: int,
    empty: float,
) -> dict[str, float]:
    """Draw the methods' curves with bands; gives their last values."""
    finals = {}
    alpha = 0.10 if len(methods) <= 6 else 0.04
    shown = np.unique(np.linspace(0, length - 1, min(length, POINTS)).round().astype(int))
    for method in methods:
        rows = np.array([padded(curve(j.run), length, empty) for j in results.of(method, task)])
        rows = rows[np.isfinite(rows).all(1)][:, shown]
        if not len(rows):
            continue
        middle, low, high = curve_band(rows, seed=0)
        look = styles[method]
        ax.plot(shown + 1, middle, color=look.colour, ls=look.dash, zorder=3)
        if len(rows) > 1:
            ax.fill_between(shown + 1, low, high, color=look.colour, alpha=alpha, lw=0)
        finals[method] = float(middle[-1])
    return finals


def violations_figure(results: Results, methods: Sequence[str]) -> Figure:
    """Per method: runs with a violation, trials with one, when, and how deep; promises and baselines apart."""
    figure = new_figure(WIDTH, 1.0 + 0.24 * len(methods))
    axes = figure.subplots(1, 4, sharey=True, width_ratios=[1.0, 1.0, 2.2, 1.4])
    runs_ax, trials_ax, when_ax, depth_ax = axes
    y = np.arange(len(methods))[::-1]
    length, deepest = 1, 0.0
    for place, method in zip(y, methods, strict=True):
        judged = results.of(method)
        colour = UNSAFE if method in results.certifying() else MUTED
        broken = sum(j.numbers.violations > 0 for j in judged) / len(judged)
        trials = max(1, sum(j.numbers.trials for j in judged))
        unsafe = sum(j.numbers.violations for j in judged)
        runs_ax.barh(place, broken, color=colour, height=0.62)
        if method in results.certifying():
            chance = np.mean([min(1.0, allowed(j.run)) for j in judged])
            runs_ax.plot([chance, chance], [place - 0.42, place + 0.42], color=INK, lw=1.6)
        trials_ax.barh(place, unsafe / trials, color=colour, height=0.62)
        trials_ax.text(
            unsafe / trials, place, f" {unsafe}", va="center", fontsize=7, color=colour if unsafe else MUTED
        )
        when, depth = _events(judged)
        if len(when):
            trials_hit, times = np.unique(when, return_counts=True)
            least = 0.6 if method in results.certifying() else 0.25
            often = least + (1.0 - least) * np.minimum(1.0, times / len(judged))  # the more runs, the darker
            when_ax.vlines(
                trials_hit, place - 0.31, place + 0.31, colors=[(*to_rgb(colour), a) for a in often], lw=1.6
            )
            depth_ax.plot(depth, np.full(len(depth), place), "|", color=colour, ms=8, mew=1.0, alpha=0.55)
            deepest = max(deepest, float(depth.max()))
        length = max([length, *(int(j.run.trial[-1]) for j in judged if j.run.trials)])
    runs_ax.set(title="Runs that violate", xlim=(0, 1.0))
    trials_ax.set(title="Trials that violate", xlim=(0, max(0.05, 1.2 * trials_ax.get_xlim()[1])))
    when_ax.set(title="When (trial of the run)", xlim=(0, length + 1))
    depth_ax.set(title="How deep (task's unit)", xlim=(0, 1.05 * deepest if deepest else 1.0))
    for ax in (runs_ax, trials_ax):
        ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    runs_ax.set_yticks(y, list(methods))
    runs_ax.set_ylim(-0.6, len(methods) - 0.4)
    for label, method in zip(runs_ax.get_yticklabels(), methods, strict=True):
        label.set_color(INK if method in results.certifying() else UNSAFE)
    first = sum(m in results.certifying() for m in methods)
    for ax in axes:
        ax.grid(axis="y", visible=False)
        if 0 < first < len(methods):
            ax.axhline(len(methods) - first - 0.5, color=INK, lw=0.8)
    return figure


def _events(judged: Sequence[Judged]) -> tuple[FloatArray, FloatArray]:
    """Trial and depth of every violation; of more than 3,000, an even selection."""
    when = np.concatenate([j.run.trial[j.run.violated] for j in judged]).astype(float)
    depth = -np.concatenate([j.run.margin[j.run.violated] for j in judged])
    kept = np.linspace(0, len(when) - 1, min(len(when), 3000)).astype(int)
    return when[kept], depth[kept]


def improvement_figure(standing: Standings) -> Figure:
    """Matrix: probability that the method of the row ends with a smaller regret than that of the column."""
    names = [r.method for r in standing.rows if any(r.method in pair for pair in standing.improvement)]
    n = len(names)
    values = np.full((n, n), np.nan)
    figure = new_figure(min(WIDTH, 1.9 + 0.5 * n), 0.9 + 0.36 * n)
    ax = figure.subplots()
    for (a, b), found in standing.improvement.items():
        row, column = names.index(a), names.index(b)
        values[row, column] = found.value
        settled = found.low > 0.5 or found.high < 0.5
        ax.text(
            column, row, f"{found.value:.2f}", ha="center", va="center", fontsize=7.5,
            fontweight="bold" if settled else "normal", color=_on(found.value, settled),
        )  # fmt: skip
    ax.imshow(values, cmap="PuOr", vmin=0.0, vmax=1.0, aspect="auto", alpha=0.75)
    flagged = {r.method for r in standing.rows if r.flag}
    labels = [f"{m} (flagged)" if m in flagged else m for m in names]
    ax.set_xticks(range(n), labels, rotation=35, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(n), labels)
    for label, name in zip([*ax.get_xticklabels(), *ax.get_yticklabels()], [*names, *names], strict=True):
        label.set_color(UNSAFE if name in flagged else INK)
    ax.grid(visible=False)
    ax.tick_params(length=0)
    for side_name in ("left", "bottom"):
        ax.spines[side_name].set_visible(False)
    ax.set_title("P(row ends better than column)")
    return figure


def _on(value: float, settled: bool) -> str:
    """Colour of a number on its cell."""
    if abs(value - 0.5) > 0.35:
        return "white"
    return INK if settled else MUTED


def rank_figure(standing: Standings) -> Figure:
    """Mean ranks on a line; bars join methods that the critical difference does not tell apart."""
    ranks = standing.ranking
    names = sorted(ranks.mean_rank, key=lambda m: ranks.mean_rank[m])
    groups = ranks.groups()
    left, right = names[: (len(names) + 1) // 2], names[(len(names) + 1) // 2 :]
    depth = 0.6 + 0.26 * len(groups)
    height = depth + 0.45 * max(len(left), len(right))
    figure = new_figure(WIDTH * 0.75, 0.6 + 0.42 * (height + 0.9))
    ax = figure.subplots()
    low, high = 1.0, float(max(2, len(names)))
    span = high - low
    ax.set(xlim=(low - 0.32 * span, high + 0.32 * span), ylim=(-height - 0.1, 1.1))
    ax.set_axis_off()
    ax.plot([low, high], [0, 0], color=INK, lw=1.0)
    for tick in range(1, int(high) + 1):
        ax.plot([tick, tick], [0, 0.12], color=INK, lw=1.0)
        ax.text(tick, 0.2, str(tick), ha="center", va="bottom", fontsize=7.5)
    if math.isfinite(ranks.critical_difference):
        end = min(high, low + ranks.critical_difference)
        ax.plot([low, end], [0.78, 0.78], color=INK, lw=1.6, solid_capstyle="butt")
        words = f"critical difference {ranks.critical_difference:.2f}"
        if end < low + ranks.critical_difference:
            words += " (longer than the axis: nothing can be told apart)"
        ax.text(low, 0.86, words, ha="left", va="bottom", fontsize=7.5)
    for side, chosen in (("left", left), ("right", right[::-1])):
        for i, name in enumerate(chosen):
            x, y = ranks.mean_rank[name], -depth - 0.45 * i
            edge = low - 0.03 * span if side == "left" else high + 0.03 * span
            ax.plot([x, x, edge], [0, y, y], color=MUTED, lw=0.8)
            shift = -0.01 if side == "left" else 0.01
            ax.text(
                edge + shift * span, y, f"{name}  {x:.2f}",
                ha="right" if side == "left" else "left", va="center",
            )  # fmt: skip
    for i, group in enumerate(groups):
        y = -0.22 - 0.26 * i
        ends = [ranks.mean_rank[group[0]] - 0.02, ranks.mean_rank[group[-1]] + 0.02]
        ax.plot(ends, [y, y], color=INK, lw=3.2, solid_capstyle="butt", zorder=4)
    return figure


def leaderboard_figure(kinds: Sequence[tuple[str, Standings, bool]]) -> Figure:
    """Interquartile means with their intervals, one panel per kind of method.

    Args:
        kinds: title, standings, and whether they are unsafe.
    """
    heights = [max(1, len(s.rows)) for _, s, _ in kinds]
    figure = new_figure(WIDTH * 0.75, 0.7 * len(kinds) + 0.24 * sum(heights))
    axes = figure.subplots(len(kinds), 1, squeeze=False, height_ratios=heights, sharex=True)[:, 0]
    for ax, (title, standing, unsafe) in zip(axes, kinds, strict=True):
        y = np.arange(len(standing.rows))[::-1]
        for place, row in zip(y, standing.rows, strict=True):
            colour = UNSAFE if unsafe or row.flag else CONTEXT_COLOURS[0]
            ax.plot(
                [row.regret.low, row.regret.high],
                [place, place],
                color=colour,
                lw=4,
                alpha=0.3,
                solid_capstyle="butt",
            )
            ax.plot(row.regret.value, place, "o", color=colour, ms=5)
        ax.set_yticks(y, [r.method + (" (flagged)" if r.flag else "") for r in standing.rows])
        ax.set_ylim(-0.6, len(standing.rows) - 0.4)
        ax.grid(axis="y", visible=False)
        ax.set_title(title, color=UNSAFE if unsafe else INK)
        ax.axvline(1.0, color=MUTED, lw=0.8, ls=":")
    axes[-1].set_xlabel("normalised regret at the end: 0 the best safe input, 1 no better than the start")
    axes[-1].set_xlim(left=-0.02)
    return figure
