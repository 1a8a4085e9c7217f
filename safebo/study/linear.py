"""Linear constraints between gains: `kd <= 0.1 * kp`, read from text and never executed."""

from __future__ import annotations

import ast
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from safebo.errors import StudyError
from safebo.files.problems import did_you_mean

ROUND_OFF = 1e-12
"""Share of the constraint's largest term by which it may be exceeded: the digits that arithmetic loses."""


@dataclass(frozen=True)
class LinearConstraint:
    """`sum of coefficients[name] * name <= limit`.

    Args:
        text: as a person wrote it.
        coefficients: by parameter; none of them 0.
        limit: of the sum.
    """

    text: str
    coefficients: Mapping[str, float]
    limit: float

    def holds(self, values: Mapping[str, float]) -> bool:
        """Whether values keep it, round-off aside."""
        terms = [factor * values[name] for name, factor in self.coefficients.items()]
        scale = max(map(abs, [*terms, self.limit]))
        return sum(terms) - self.limit <= ROUND_OFF * scale


@dataclass
class _Sum:
    """A number plus multiples of parameters."""

    constant: float
    factors: dict[str, float]

    def plus(self, other: _Sum, sign: float) -> _Sum:
        names = {**self.factors, **other.factors}
        factors = {n: self.factors.get(n, 0.0) + sign * other.factors.get(n, 0.0) for n in names}
        return _Sum(self.constant + sign * other.constant, factors)

    def times(self, factor: float) -> _Sum:
        return _Sum(self.constant * factor, {name: v * factor for name, v in self.factors.items()})


def read_constraints(
    texts: Iterable[str], names: Iterable[str], choices: Iterable[str] = ()
) -> list[LinearConstraint]:
    """All constraints of a study.

    Raises:
        StudyError: see `read_constraint`.
    """
    known, named = list(names), list(choices)
    return [constraint for text in texts for constraint in read_constraint(text, known, named)]


def read_constraint(text: str, names: Iterable[str], choices: Iterable[str] = ()) -> list[LinearConstraint]:
    """The inequalities of one text; a chain as `0.1 * kp <= kd <= 0.3 * kp` has several.

    Args:
        text: sums of numbers and of numbers times parameters, joined by `<=` or `>=`.
        names: of parameters that are numbers.
        choices: of parameters that are not.

    Raises:
        StudyError: for anything else, naming the term.
    """
    numbers, other = list(names), list(choices)
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else "it cannot be read"
        raise StudyError(f"{text!r} is not an inequality such as kd <= 0.1 * kp ({reason})") from None
    if not isinstance(tree, ast.Compare):
        raise StudyError(f"{text!r} is not an inequality: join two sums by <= or >=, as in kd <= 0.1 * kp")
    sides = [_sum(part, text, numbers, other) for part in (tree.left, *tree.comparators)]
    found = []
    for left, operator, right in zip(sides, tree.ops, sides[1:], strict=False):
        if isinstance(operator, ast.Eq):
            raise StudyError(
                f"{text!r}: an equation leaves nothing to choose: drop one parameter, and compute it"
            )
        if not isinstance(operator, ast.LtE | ast.GtE):
            raise StudyError(f"{text!r}: the two sides must be joined by <= or >=")
        difference = left.plus(right, -1.0) if isinstance(operator, ast.LtE) else right.plus(left, -1.0)
        factors = {name: v for name, v in difference.factors.items() if v != 0.0}
        if not all(map(math.isfinite, (*factors.values(), difference.constant))):
            raise StudyError(f"{text!r}: its numbers are too large")
        if not factors:
            raise StudyError(f"{text!r} has no parameter left: it is always true or always false")
        found.append(LinearConstraint(text, factors, -difference.constant))
    return found


def _sum(node: ast.expr, text: str, names: list[str], choices: list[str]) -> _Sum:
    term = ast.get_source_segment(text.strip(), node) or text
    name = _name(node)
    if name is not None:
        if name in choices:
            raise StudyError(f"term {term!r} is a choice; constraints are between numbers")
        if name not in names:
            raise StudyError(f"unknown parameter {name!r}{did_you_mean(name, names)}")
        return _Sum(0.0, {name: 1.0})
    if (
        isinstance(node, ast.Constant)
        and isinstance(node.value, int | float)
        and not isinstance(node.value, bool)
    ):
        if not abs(node.value) <= sys.float_info.max:
            raise StudyError(f"term {term!r} is too large")
        return _Sum(float(node.value), {})
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        inner = _sum(node.operand, text, names, choices)
        return inner.times(-1.0) if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div):
        left, right = (_sum(side, text, names, choices) for side in (node.left, node.right))
        if isinstance(node.op, ast.Add | ast.Sub):
            return left.plus(right, 1.0 if isinstance(node.op, ast.Add) else -1.0)
        if isinstance(node.op, ast.Div):
            if right.factors or right.constant == 0.0:
                raise StudyError(f"term {term!r} is not linear: divide by a number other than 0 alone")
            return left.times(1.0 / right.constant)
        if not left.factors or not right.factors:
            return right.times(left.constant) if not left.factors else left.times(right.constant)
        raise StudyError(f"term {term!r} is not linear: a parameter is multiplied by numbers alone")
    raise StudyError(
        f"term {term!r} is not linear: allowed are numbers, parameters, +, -, * and / by a number"
    )


def _name(node: ast.expr) -> str | None:
    """A parameter's name, dots included; None where the term is none."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (inner := _name(node.value)) is not None:
        return f"{inner}.{node.attr}"
    return None
