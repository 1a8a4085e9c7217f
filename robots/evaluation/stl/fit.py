"""Where a formula has a value in a walk of so many ticks, and how long a walk it needs."""

from __future__ import annotations

from safebo.robots.evaluation.stl.semantics import ticks_of
from safebo.robots.evaluation.stl.tree import Formula, Temporal, TimeWindow, Until, children, walk


def domain(formula: Formula, rows: int, period: float, stride: float) -> tuple[int, int]:
    """First and last tick in which complete windows fit; the last is before the first where they fit nowhere.

    Args:
        formula: of it.
        rows: ticks of the walk.
        period: of a tick, s.
        stride: of a stride, s.

    Raises:
        WindowError: a window in which no tick lies.
    """
    inner = [domain(c, rows, period, stride) for c in children(formula) if isinstance(c, Formula)]
    if not inner:
        return 0, rows - 1
    if isinstance(formula, Temporal):
        back = formula.kind in ("historically", "once")
        ticks = ticks_of(formula.window, period, stride)
        first, last = _mirrored(inner[0], rows) if back else inner[0]
        if ticks.last is None:
            found = (0, last - ticks.first) if last >= first else (0, -1)
        else:
            found = max(0, first - ticks.first), last - ticks.last
        return _mirrored(found, rows) if back else found
    if isinstance(formula, Until):
        back = formula.kind == "since"
        ticks = ticks_of(formula.window, period, stride)
        left, right = (_mirrored(d, rows) if back else d for d in inner)
        assert ticks.last is not None
        if ticks.last == 0:
            return inner[1]
        found = (
            max(0, left[0], right[0] - ticks.first),
            min(right[1] - ticks.last, left[1] - ticks.last + 1),
        )
        return _mirrored(found, rows) if back else found
    return max(d[0] for d in inner), min(d[1] for d in inner)


def fits(formula: Formula, rows: int, period: float, stride: float) -> bool:
    """Whether it has a value for a walk of so many ticks, which is the one in its first tick."""
    first, last = domain(formula, rows, period, stride)
    return first <= 0 <= last


def rows_needed(formula: Formula, period: float, stride: float) -> int | None:
    """Least number of ticks of a walk in which a formula has a value; None where no walk is long enough.

    That is so where it asks for what was before the first tick.
    """
    longest = 2
    for node in walk(formula):
        if isinstance(node, Temporal | Until):
            ticks = ticks_of(node.window, period, stride)
            longest += max(ticks.first, ticks.last or 0) + 1
    if not fits(formula, longest, period, stride):
        return None
    low, high = 0, longest
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(formula, middle, period, stride) else (middle, high)
    return high


def is_bounded(formula: Formula) -> bool:
    """Whether it looks ahead by so many seconds at most, wherever the walk ends."""
    return not any(
        isinstance(node, Temporal) and node.kind in ("always", "eventually") and _open(node.window)
        for node in walk(formula)
    )


def lasting(formula: Formula) -> tuple[TimeWindow | None, Formula] | None:
    """The window and the inside of an `always` over all that is left, whose inside looks ahead by bounded times.

    Such a demand is a minimum over the walk like any other margin: what was seen of it once stays seen, and what
    comes later only adds to it. None for every other formula.
    """
    if not isinstance(formula, Temporal) or formula.kind != "always" or not _open(formula.window):
        return None
    return (formula.window, formula.child) if is_bounded(formula.child) else None


def _open(window: TimeWindow | None) -> bool:
    return window is None or window.end is None


def _mirrored(place: tuple[int, int], rows: int) -> tuple[int, int]:
    return rows - 1 - place[1], rows - 1 - place[0]
