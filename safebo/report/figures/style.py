"""One look for all pictures: colours that survive colour blindness and print, markers, numbers, scales."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from safebo.report.figures.labels import fonts
from safebo.study import FunctionSpec, Warp
from safebo.types import Phase

FloatArray = NDArray[np.float64]

INK = "#1c2530"
MUTED = "#66717e"
HAIRLINE = "#d5dae0"
UNSAFE = "#b3261e"
UNSAFE_FILL = "#f8e3e1"
SAFE_FILL = "#d9ece4"
SAFE_EDGE = "#1b7f5c"

# Okabe and Ito's palette, ordered so that the first ones differ most; yellow is too pale on white.
CONTEXT_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5b5b5b")
PHASE_MARKERS: dict[Phase, str] = {"seed": "s", "local": "o", "global": "^", "manual": "D"}

STYLE: dict[str, Any] = {
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": HAIRLINE,
    "grid.linewidth": 0.5,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.3,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "safebo",
    "path.simplify": True,
}

WIDTH = 11.0
"""Width of a full-width picture in inches; the page shows one inch as 100 pixels."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure with a constrained layout; never registered with pyplot, so nothing leaks."""
    return Figure(figsize=(width, height), layout="constrained")


def styled() -> Any:
    """Context manager that applies the style; figures must be both built and saved inside it."""
    return matplotlib.rc_context({**STYLE, "font.family": fonts()})


def context_colours(names: Iterable[str]) -> dict[str, str]:
    """One colour per context, by order."""
    return {name: CONTEXT_COLOURS[i % len(CONTEXT_COLOURS)] for i, name in enumerate(names)}


def number(value: float | None, digits: int = 3) -> str:
    """A number for people: `digits` significant digits, a real minus sign, no trailing zeros."""
    if value is None or not np.isfinite(value):
        return "–" if value is None or np.isnan(value) else ("∞" if value > 0 else "−∞")
    if value == 0:
        return "0"
    text = f"{value:.{digits}g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        if -4 < int(exponent) < 6:
            text = f"{value:.0f}" if int(exponent) > 0 else f"{value:f}".rstrip("0")
        else:
            text = f"{mantissa}e{int(exponent)}"
    return text.replace("-", "−")


def with_unit(name: str, unit: str) -> str:
    """`name [unit]`, or the name alone where there is no unit."""
    return f"{name} [{unit}]" if unit else name


def wrapped(name: str, unit: str, width: int = 20) -> str:
    """An axis label over several lines, broken at underscores, dots and blanks."""
    parts = name.replace("_", " ").split(" ")
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1]) + len(part) + 1 > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {part}".strip()
    return "\n".join(lines) + (f"\n[{unit}]" if unit else "")


@dataclass(frozen=True)
class WarpScale:
    """An axis on the scale on which a function is modelled, labelled in the function's own unit."""

    warp: Warp

    def forward(self, y: Any) -> FloatArray:
        """Own unit to modelled scale, without the clip: a picture shows how far away a value was."""
        y = np.asarray(y, dtype=float)
        if self.warp.kind == "identity":
            return y / self.warp.scale
        gap = np.maximum(self.warp.upper - y, 1e-9 * self.warp.scale)
        return np.log(self.warp.scale) - np.log(gap)

    def inverse(self, w: Any) -> FloatArray:
        """Modelled scale to own unit."""
        w = np.asarray(w, dtype=float)
        if self.warp.kind == "identity":
            return w * self.warp.scale
        return self.warp.upper - self.warp.scale * np.exp(-np.clip(w, -300.0, 300.0))

    def ticks(self, low: float, high: float, count: int = 6, always: Sequence[float] = ()) -> list[float]:
        """About `count` round values between `low` and `high`, spread evenly on the modelled scale."""
        w_low, w_high = float(self.forward(low)), float(self.forward(high))
        separation = (w_high - w_low) / (count + 1)
        chosen = [value for value in always if low <= value <= high]
        for candidate in self._candidates(low, high):
            distance = [abs(float(self.forward(candidate)) - float(self.forward(c))) for c in chosen]
            if low <= candidate <= high and all(d >= separation for d in distance):
                chosen.append(candidate)
        return sorted(chosen)

    def _candidates(self, low: float, high: float) -> list[float]:
        """Round values, the roundest first."""
        if self.warp.kind == "identity":
            return list(matplotlib.ticker.MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
        near, far = self.warp.upper - high, self.warp.upper - low
        first = int(np.floor(np.log10(max(near, 1e-9 * self.warp.scale))))
        last = int(np.ceil(np.log10(max(far, 1e-9 * self.warp.scale))))
        rounded = [
            m * 10.0**k
            for m in (1.0, 5.0, 2.0, 3.0, 7.0, 1.5, 1.2, 4.0, 8.0, 6.0)
            for k in range(first, last + 1)
        ]
        if last - first > 6:
            rounded = [10.0**k for k in range(first, last + 1)]
        return [float(np.round(self.warp.upper - gap, 12)) for gap in rounded]

    def apply(self, ax: Axes, low: float, high: float, count: int = 6, always: Sequence[float] = ()) -> None:
        """Set scale, limits and ticks of the y axis."""
        ax.set_yscale("function", functions=(self.forward, self.inverse))
        ax.set_ylim(low, high)
        ax.yaxis.set_major_locator(FixedLocator(self.ticks(low, high, count, always)))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 4)))


def robust_limits(
    scale: WarpScale, values: Iterable[float], always: Iterable[float] = (), padding: float = 0.06
) -> tuple[float, float]:
    """Limits in the function's own unit that a fall or one huge cost does not stretch.

    Values are left out that lie farther beyond the 10 % and 90 % quantiles, on the modelled scale, than twice
    the distance between these; those in `always` never are.
    """
    w = scale.forward([v for v in values if v is not None and np.isfinite(v)])
    kept = scale.forward([v for v in always if v is not None and np.isfinite(v)])
    if w.size:
        # not quartiles: a long flat stretch of good trials would declare the climb towards it an outlier
        low, high = np.quantile(w, [0.1, 0.9])
        reach = 2.0 * float(high - low)
        kept = np.concatenate([kept, w[(w >= low - reach) & (w <= high + reach)]])
    if not kept.size:
        kept = scale.forward([-1.0, 0.0]) if scale.warp.kind == "log" else np.array([0.0, 1.0])
    low, high = kept.min(), kept.max()
    span = high - low if high > low else max(abs(high), 1.0) * 0.2
    ends = scale.inverse([low - padding * span, high + padding * span])
    return float(ends[0]), float(ends[1])


def scale_of(function: FunctionSpec) -> WarpScale:
    """The axis scale of a function."""
    return WarpScale(function.warp)
