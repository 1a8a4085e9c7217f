"""Mutation operators that cosmic-ray has not, in the form of its own: positions of a node, and the changed node."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import parso
from cosmic_ray.operators.operator import Example, Operator
from parso.python.tree import Keyword, Name, Number, String

Position = tuple[tuple[int, int], tuple[int, int]]


class ScaledNumber(Operator):
    """A number times three: fractions always, whole numbers from 3 on (cosmic-ray moves all by one)."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        """Numbers that are no small whole ones."""
        if isinstance(node, Number):
            value = parsed_number(node)
            if value and (not isinstance(value, int) or value >= 3):
                yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """Three times as much."""
        return Number(repr(3 * parsed_number(node)), node.start_pos, node.prefix)

    @classmethod
    def examples(cls) -> Iterable[Example]:
        """One of them."""
        return (Example("x = 0.5", "x = 1.5"),)


def parsed_number(node: Number) -> float:
    """The value of a number as it is written."""
    text = node.value.replace("_", "")
    try:
        return int(text, 0)
    except ValueError:
        return float(text)


class SwappedNames(Operator):
    """Functions that take the other end, or the other quantifier: min and max, any and all, ..."""

    PAIRS: ClassVar[Sequence[tuple[str, str]]] = (
        ("min", "max"),
        ("amin", "amax"),
        ("argmin", "argmax"),
        ("minimum", "maximum"),
        ("clamp_min", "clamp_max"),
        ("any", "all"),
        ("ones", "zeros"),
        ("ones_like", "zeros_like"),
        ("new_ones", "new_zeros"),
    )
    OTHER: ClassVar[dict[str, str]] = dict(PAIRS) | {b: a for a, b in PAIRS}

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        """Names of such functions where they are called."""
        if isinstance(node, Name) and node.value in self.OTHER:
            after = node.get_next_leaf()
            if after is not None and after.value == "(":
                yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """The other one."""
        node.value = self.OTHER[node.value]
        return node

    @classmethod
    def examples(cls) -> Iterable[Example]:
        """One of them."""
        return (Example("x.min()", "x.max()"),)


class DroppedSign(Operator):
    """A minus before a value, but not the one of the axis -1: of a matrix that is 1, whose other mutants are made."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        """Signs."""
        if node.type == "factor" and node.children[0].value == "-" and not self._is_axis(node):
            yield node.children[0].start_pos, node.children[0].end_pos

    @staticmethod
    def _is_axis(node: Any) -> bool:
        return node.children[1].get_code() == "1" and node.parent.type in ("trailer", "arglist", "argument")

    def mutate(self, node: Any, index: int) -> Any:
        """Without it."""
        node.children[0].value = ""
        return node

    @classmethod
    def examples(cls) -> Iterable[Example]:
        """One of them."""
        return (Example("x = -y", "x = y"),)


class ReversedMembership(Operator):
    """`in` for `not in` and the other way round."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        """Comparisons by membership."""
        if node.type == "comparison" and node.children[1].get_code().split() in (["in"], ["not", "in"]):
            yield node.children[1].start_pos, node.children[1].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """The other one."""
        present = node.children[1].get_code().split() == ["in"]
        node.children[1] = parso.parse(" not in" if present else " in")
        return node

    @classmethod
    def examples(cls) -> Iterable[Example]:
        """One of them."""
        return (Example("x in y", "x not in y"),)


class WeakenedPragma(Operator):
    """Settings of a database in strings: what protects is switched off."""

    WEAKER: ClassVar[dict[str, str]] = {
        r"\bFULL\b": "OFF",
        r"\bWAL\b": "OFF",
        r"\bON\b": "OFF",
        r"\bmode=ro\b": "mode=rw",
        r"\bimmutable=1\b": "immutable=0",
    }

    def _found(self, node: Any) -> list[tuple[str, str]]:
        if not isinstance(node, String):
            return []
        return [(old, new) for old, new in self.WEAKER.items() if re.search(old, node.value)]

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        """Strings with such a word."""
        for _ in self._found(node):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """The setting that protects nothing."""
        old, new = self._found(node)[index]
        node.value = re.sub(old, new, node.value)
        return node

    @classmethod
    def examples(cls) -> Iterable[Example]:
        """One of them."""
        return (Example("'synchronous=FULL'", "'synchronous=OFF'"),)


class DroppedStatement(Operator):
    """A call whose value nobody takes, or a change in place (`+=`), does not happen."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        """Such statements."""
        called = node.type in ("atom_expr", "power") and node.children[-1].get_code().startswith("(")
        changed = node.type == "expr_stmt" and node.children[1].type in ("operator", "augassign")
        if (called and node.parent.type == "simple_stmt") or (
            changed and node.children[1].get_code().strip() in ("+=", "-=", "&=", "|=", "*=")
        ):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """Nothing in its place."""
        return Keyword("pass", node.start_pos, node.get_first_leaf().prefix)

    @classmethod
    def examples(cls) -> Iterable[Example]:
        """One of them."""
        return (Example("x.stop()\n", "pass\n"),)


class UncaughtException(Operator):
    """One kind of exception is no longer caught (cosmic-ray knows no dotted names here)."""

    @staticmethod
    def _places(node: Any) -> list[tuple[Any, int]]:
        """Where the caught kinds are: the node that holds each, and its place there."""
        if node.type != "except_clause":
            return []
        kinds = node.children[1]
        if kinds.type == "atom" and kinds.children[0].value == "(":
            inner = kinds.children[1]
            if inner.type == "testlist_comp":
                return [(inner, k) for k in range(0, len(inner.children), 2)]
            return [(kinds, 1)]
        return [(node, 1)]

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        """Every kind that a handler catches."""
        for holder, k in self._places(node):
            yield holder.children[k].start_pos, holder.children[k].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """A kind that nothing raises."""
        holder, k = self._places(node)[index]
        old = holder.children[k]
        holder.children[k] = Name("ZeroDivisionError", old.start_pos, old.get_first_leaf().prefix)
        return node

    @classmethod
    def examples(cls) -> Iterable[Example]:
        """One of them."""
        before = "try: f()\nexcept (a.B, C): pass"
        return (Example(before, before.replace("a.B", "ZeroDivisionError")),)


class DroppedTransition(Operator):
    """One cell of a table of states in a string: the event is ignored, or the request refused."""

    def mutation_positions(self, node: Any) -> Iterator[Position]:
        """Cells of strings that are assigned to a name ending in `_TABLE` and that name a state."""
        if isinstance(node, String) and _assigned_to(node).endswith("_TABLE"):
            line, _ = node.start_pos
            for row, begin, end, _ in _cells(node.value):
                yield (line + row, begin), (line + row, end)

    def mutate(self, node: Any, index: int) -> Any:
        """The same width, so that the other columns stay."""
        row, begin, end, nothing = _cells(node.value)[index]
        lines = node.value.split("\n")
        lines[row] = lines[row][:begin] + nothing.ljust(end - begin) + lines[row][end:]
        node.value = "\n".join(lines)
        return node

    @classmethod
    def examples(cls) -> Iterable[Example]:
        """None: a table has many lines."""
        return ()


def _assigned_to(node: Any) -> str:
    statement = node.parent
    named = statement is not None and statement.type == "expr_stmt"
    return str(statement.children[0].get_code().strip()) if named else ""


def _cells(text: str) -> list[tuple[int, int, int, str]]:
    """Line, columns from and to, and what stands for no transition, of every cell that names a state."""
    lines = text.split("\n")
    rows = {
        n: [m.span() for m in re.finditer(r"\S+", line)] for n, line in enumerate(lines) if line.strip(' "')
    }
    _, *body = rows
    refusing = {
        column for n in body for column, (a, b) in enumerate(rows[n]) if column and lines[n][a:b] == "-"
    }
    return [
        (n, a, b, "-" if column in refusing else ".")
        for n in body
        for column, (a, b) in enumerate(rows[n])
        if column and lines[n][a:b] not in ("-", ".", lines[n].split()[0])  # to stay is what "." means
    ]


OWN: tuple[type[Operator], ...] = (
    ScaledNumber,
    SwappedNames,
    DroppedSign,
    ReversedMembership,
    WeakenedPragma,
    DroppedStatement,
    UncaughtException,
    DroppedTransition,
)
