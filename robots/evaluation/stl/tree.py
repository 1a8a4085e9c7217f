"""What a formula is made of: values (numbers, signals, operations on them) and formulas over time.

Two parts of a formula that read alike are equal, wherever they stand: what is computed for one serves the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from safebo.robots.evaluation.stl.units import ONE, Unit

Span = tuple[int, int]
"""First character of a part in its text, and the one after its last."""

Axis = Literal["", "ticks", "strides"]
"""What a value varies over: nothing (a number), the ticks of the walk, its strides."""


@dataclass(frozen=True)
class SignalInfo:
    """A signal that a formula may name.

    Args:
        unit: of its values; the evaluator gives them in SI units.
        parts: names of its values where it has several in every tick (joints, feet).
        description: one line.
        value: of a constant of the robot; None for what is recorded.
        listed: whether a list of all signals shows it; parts of another signal are not shown.
    """

    unit: Unit
    parts: tuple[str, ...] = ()
    description: str = ""
    value: float | None = None
    listed: bool = True


@dataclass(frozen=True)
class Value:
    """Something with a unit.

    Args:
        unit: of it. Of a number as it was written, of everything else the SI unit.
        parts: names of its values where it has several in every tick.
        axis: what it varies over.
        span: where it stands.
    """

    unit: Unit = ONE
    parts: tuple[str, ...] = ()
    axis: Axis = ""
    span: Span = field(default=(0, 0), compare=False)


@dataclass(frozen=True)
class Number(Value):
    """A number in its unit."""

    value: float = 0.0


@dataclass(frozen=True)
class SignalValue(Value):
    """A recorded signal."""

    name: str = ""


@dataclass(frozen=True)
class Operation(Value):
    """An operation in every tick: `+ - * /`, `negative`, `power`, `abs`, `max`, `min`, `norm`, `sum`, `rate`.

    Args:
        name: of it.
        operands: what it is done to.
        exponent: of `power`.
    """

    name: str = ""
    operands: tuple[Value, ...] = ()
    exponent: int = 0


@dataclass(frozen=True)
class Reduction(Value):
    """One number of a whole walk, or one of every stride: `mean`, `rms`, `largest`, `smallest`, `quantile`, `integral`.

    Args:
        name: of it.
        operand: what it is taken of.
        share: of `quantile`, from 0 to 1.
    """

    name: str = ""
    operand: Value = field(default_factory=Value)
    share: float = 0.0


@dataclass(frozen=True)
class TimeWindow:
    """Ticks from `start` to `end` away from the present one; `end` None: to the end of the walk (or its start)."""

    start: Number
    end: Number | None


@dataclass(frozen=True)
class Formula:
    """Something that is true or false in every tick, and by how much.

    Args:
        span: where it stands.
    """

    span: Span = field(default=(0, 0), compare=False, kw_only=True)


@dataclass(frozen=True)
class Atom(Formula):
    """A comparison. Its robustness is the distance to its limit, in units of its scale.

    Args:
        left, right: what is compared.
        relation: `>=`, `<=`, `>` or `<`; at the limit itself robustness is 0 for all of them.
        scale: the distance that counts as 1; its unit is the one in which distances are reported.
    """

    left: Value
    relation: str
    right: Value
    scale: Number


@dataclass(frozen=True)
class Not(Formula):
    """The opposite."""

    child: Formula


@dataclass(frozen=True)
class Junction(Formula):
    """All of its parts (`and`), or at least one (`or`)."""

    kind: Literal["and", "or"]
    parts: tuple[Formula, ...]


@dataclass(frozen=True)
class Implies(Formula):
    """The right one holds wherever the left one does."""

    left: Formula
    right: Formula


@dataclass(frozen=True)
class Temporal(Formula):
    """`always` and `eventually` look forward, `historically` and `once` back; no window: all that is left."""

    kind: Literal["always", "eventually", "historically", "once"]
    window: TimeWindow | None
    child: Formula


@dataclass(frozen=True)
class Until(Formula):
    """The right one comes true within the window, the left one holds until the tick before; `since` looks back."""

    kind: Literal["until", "since"]
    window: TimeWindow
    left: Formula
    right: Formula


def children(node: Value | Formula) -> tuple[Value | Formula, ...]:
    """The parts of a part, in the order in which they were written."""
    if isinstance(node, Operation):
        return node.operands
    if isinstance(node, Reduction):
        return (node.operand,)
    if isinstance(node, Atom | Implies | Until):
        return (node.left, node.right)
    if isinstance(node, Not | Temporal):
        return (node.child,)
    return node.parts if isinstance(node, Junction) else ()


def walk(node: Value | Formula) -> Iterator[Value | Formula]:
    """A part and everything within it, in the order in which it was written."""
    yield node
    for child in children(node):
        yield from walk(child)


def conjuncts(formula: Formula) -> tuple[Formula, ...]:
    """The parts that all have to hold, where a formula is an `and`; else itself."""
    if isinstance(formula, Junction) and formula.kind == "and":
        return tuple(part for child in formula.parts for part in conjuncts(child))
    return (formula,)


def signal_names(node: Value | Formula) -> tuple[str, ...]:
    """Names of the recorded signals that a part needs, each once."""
    return tuple(dict.fromkeys(n.name for n in walk(node) if isinstance(n, SignalValue)))
