"""What a paper says beside what came out here, as a table in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from safebo.experiments.tasks.task import FloatArray


@dataclass(frozen=True)
class Claim:
    """One statement of a paper, checked.

    Args:
        text: the statement, in our words.
        paper: its number, or what its figure shows; "(figure)" marks what was read off by eye.
        ours: the same of our runs.
        holds: whether ours agrees; None where ours cannot tell.
    """

    text: str
    paper: str
    ours: str
    holds: bool | None

    @property
    def verdict(self) -> str:
        """In a word or two."""
        return {True: "yes", False: "**no**", None: "open"}[self.holds]


@dataclass(frozen=True)
class Difference:
    """Of two methods over the same seeds.

    Args:
        mean: of `a - b`, seed by seed.
        low, high: 95 % interval of that mean by Student's t; infinite with one seed.
    """

    mean: float
    low: float
    high: float

    @property
    def settled(self) -> bool:
        """Whether the interval leaves out 0, or no seed differs from any other (0 included: they are the same)."""
        return self.low > 0.0 or self.high < 0.0 or self.low == self.high

    def __str__(self) -> str:
        if not math.isfinite(self.low):
            return f"{self.mean:+.3g} (one seed)"
        if self.low == self.high == 0.0:
            return "none in any seed"
        return f"{self.mean:+.3g} [{self.low:+.3g}, {self.high:+.3g}]"


def paired(a: FloatArray, b: FloatArray) -> Difference:
    """The mean of `a - b` with its interval; one entry per seed, seeds in the same order."""
    from scipy import stats

    d = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    n = len(d)
    if n < 2:
        return Difference(float(d.mean()), -math.inf, math.inf)
    half = float(stats.t.ppf(0.975, n - 1)) * float(d.std(ddof=1)) / math.sqrt(n)
    return Difference(float(d.mean()), float(d.mean()) - half, float(d.mean()) + half)


def less(a: FloatArray, b: FloatArray) -> bool | None:
    """Whether `a` is smaller than `b` on the mean; None where the interval of the difference holds 0."""
    found = paired(a, b)
    return found.mean < 0 if found.settled else None


def on_par_or_less(a: FloatArray, b: FloatArray) -> bool:
    """Whether `a` is not larger than `b`, as far as the interval of the difference can tell."""
    return paired(a, b).low <= 0.0


def table(claims: Sequence[Claim]) -> str:
    """Claims as a table."""
    return grid(("claim", "paper", "ours", "holds?"), [(c.text, c.paper, c.ours, c.verdict) for c in claims])


def cell(text: str) -> str:
    """Text that a table in Markdown can hold."""
    return text.replace("|", "\\|").replace("\n", " ")


def grid(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Any table."""
    lines = ["| " + " | ".join(map(cell, heading)) + " |", "|" + "---|" * len(heading)]
    return "\n".join([*lines, *("| " + " | ".join(map(cell, row)) + " |" for row in rows)])


def listed(points: Sequence[str]) -> str:
    """Points as a list."""
    return "\n".join(f"- {point}" for point in points)
