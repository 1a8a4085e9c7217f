"""From a text to a formula or a value, every unit checked.

    formula  = disj [ "implies" formula ]
    disj     = conj { "or" conj }
    conj     = unary { "and" unary }
    unary    = "not" unary | ("always"|"eventually"|"historically"|"once") [window] unary
             | primary [ ("until"|"since") window primary ]
    primary  = atom | "(" formula ")"
    window   = "[" time "," (time | "end") "]"
    atom     = value (">="|"<="|">"|"<") value [ "scale" number ]

A value has `+ - * /`, `^` with a whole exponent, functions, signals and numbers with units. Formulas and values are
read by the same rules, so that a mistake is told where it stands: `and` between two values, a comparison of formulas.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace

from safebo.robots.evaluation.stl import build
from safebo.robots.evaluation.stl.numbers import read_number, read_time
from safebo.robots.evaluation.stl.tokens import TEMPORAL, WORDS, FormulaError, Token, TokenStream
from safebo.robots.evaluation.stl.tree import (
    Formula,
    Implies,
    Junction,
    Not,
    Number,
    Operation,
    SignalInfo,
    SignalValue,
    Temporal,
    TimeWindow,
    Until,
    Value,
)
from safebo.robots.evaluation.stl.units import UNITS, Unit

MAX_DEPTH = 40
"""Of parentheses and operators within each other."""

MAX_CHAIN = 100
"""Of operators one after the other, as in a + b + c."""

RELATIONS = (">=", "<=", ">", "<")
FUNCTIONS = ("abs", "max", "min", "norm", "sum", "rate")
REDUCTIONS = ("mean", "rms", "largest", "smallest", "quantile", "integral")

Node = Value | Formula


def parse_formula(text: str, signals: Mapping[str, SignalInfo]) -> Formula:
    """A formula over these signals.

    Raises:
        FormulaError: it is none; says where and what is allowed.
    """
    parser = _Parser(text, signals, {})
    return parser.formula(parser.whole(), "a formula compares values with limits")


def parse_value(text: str, signals: Mapping[str, SignalInfo], named: Mapping[str, str]) -> Value:
    """A number of a whole walk, for an objective.

    Args:
        text: of it.
        signals: that it may name.
        named: further values by name, each a text over the same signals.

    Raises:
        FormulaError: it is none; says where and what is allowed.
    """
    parser = _Parser(text, signals, named, reductions=True)
    value = parser.value(parser.whole(), "an objective is a value, not a formula")
    if value.axis:
        over = "tick" if value.axis == "ticks" else "stride"
        raise FormulaError(
            text,
            value.span,
            f"this has one value in every {over}: take its {', '.join(REDUCTIONS[:-1])} or {REDUCTIONS[-1]}",
        )
    return value


class _Parser:
    def __init__(
        self,
        text: str,
        signals: Mapping[str, SignalInfo],
        named: Mapping[str, str],
        reductions: bool = False,
    ) -> None:
        self.text, self.signals, self.named, self.reductions = text, signals, named, reductions
        self.tokens = TokenStream(text)
        self._depth = 0

    def _deeper(self, read: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.tokens.error_here(f"more than {MAX_DEPTH} levels within each other")
        found = read()
        self._depth -= 1
        return found

    # -- what is a formula and what a value -----------------------------------------------------------

    def formula(self, node: Node, why: str) -> Formula:
        """The node, where it is a formula."""
        if isinstance(node, Formula):
            return node
        raise self.tokens.error(
            node.span, f"{why}; this is a value ({_kind(node)}): compare it, as in ... >= limit"
        )

    def value(self, node: Node, why: str) -> Value:
        """The node, where it is a value."""
        if isinstance(node, Value):
            return node
        raise self.tokens.error(node.span, f"{why}; this is a formula")

    # -- formulas -------------------------------------------------------------------------------------

    def whole(self) -> Node:
        """Everything."""
        if self.tokens.next.kind == "end":
            raise self.tokens.error((0, 0), "the text is empty")
        found, rest = self._implied(), self.tokens.next
        if rest.kind == "end":
            return found
        message = f"expected an operator or the end of the text, found {self.tokens.found()}"
        if self.tokens.at("until", "since"):
            message = f"put parentheses around what {rest.text!r} joins"
        elif self.tokens.at(*RELATIONS):
            message = "a comparison has two sides: write two of them joined by 'and'"
        raise self.tokens.error(rest.span, message)

    def _implied(self) -> Node:
        start = self.tokens.next.span[0]
        left = self._joined("or", lambda: self._joined("and", self._unary))
        if not self.tokens.at("implies"):
            return left
        self.tokens.take()
        right = self._deeper(self._implied)
        why = "'implies' joins formulas"
        first, then = self.formula(left, why), self.formula(right, why)
        return Implies(first, then, span=self.tokens.since(start))

    def _joined(self, word: str, read: Callable[[], Node]) -> Node:
        start = self.tokens.next.span[0]
        first = read()
        if not self.tokens.at(word):
            return first
        why = f"{word!r} joins formulas"
        parts = [self.formula(first, why)]
        while self.tokens.at(word):
            self._chain(len(parts))
            self.tokens.take()
            parts.append(self.formula(read(), why))
        return Junction(word, tuple(parts), span=self.tokens.since(start))  # type: ignore[arg-type]

    def _chain(self, count: int) -> None:
        if count > MAX_CHAIN:
            raise self.tokens.error_here(f"more than {MAX_CHAIN} operators one after the other")

    def _unary(self) -> Node:
        start = self.tokens.next.span[0]
        if self.tokens.at("not"):
            self.tokens.take()
            child = self.formula(self._deeper(self._unary), "'not' stands before a formula")
            return Not(child, span=self.tokens.since(start))
        if self.tokens.at(*TEMPORAL):
            word = self.tokens.take().text
            window = self._window(word) if self.tokens.at("[") else None
            child = self.formula(self._deeper(self._unary), f"{word!r} stands before a formula")
            return Temporal(word, window, child, span=self.tokens.since(start))  # type: ignore[arg-type]
        left = self._compared()
        if not self.tokens.at("until", "since"):
            return left
        word = self.tokens.take().text
        if not self.tokens.at("["):
            raise self.tokens.error_here(
                f"{word!r} needs a window, as in {word}[0 s, 1 s]; found {self.tokens.found()}",
            )
        window = self._window(word)
        right = self._compared()
        why = f"{word!r} joins formulas"
        first, then = self.formula(left, why), self.formula(right, why)
        return Until(word, window, first, then, span=self.tokens.since(start))  # type: ignore[arg-type]

    def _window(self, word: str) -> TimeWindow:
        opened = self.tokens.expect("[", "before a window")
        start = read_time(self.tokens)
        self.tokens.expect(",", "between the two times of a window")
        end: Number | None = None
        if self.tokens.at("end"):
            token = self.tokens.take()
            if word in ("until", "since"):
                raise self.tokens.error(token.span, f"the window of {word!r} needs two times")
        else:
            end = read_time(self.tokens)
        closed = self.tokens.expect("]", "after a window")
        same = end is not None and start.unit.strides == end.unit.strides
        if same and end is not None and start.value * start.unit.factor > end.value * end.unit.factor:
            raise self.tokens.error((opened.span[0], closed.span[1]), "a window ends before it begins")
        return TimeWindow(start, end)

    def _compared(self) -> Node:
        left = self._sum()
        if not self.tokens.at(*RELATIONS):
            return left
        relation = self.tokens.take().text
        right = self._sum()
        scale: Number | None = None
        if self.tokens.at("scale"):
            self.tokens.take()
            if self.tokens.next.kind != "number":
                raise self.tokens.error_here(f"expected a number after 'scale', found {self.tokens.found()}")
            scale = read_number(self.tokens)
        why = f"{relation!r} compares values"
        return build.atom(self.text, self.value(left, why), relation, self.value(right, why), scale)

    # -- values ---------------------------------------------------------------------------------------

    def _sum(self) -> Node:
        return self._chained(("+", "-"), self._product)

    def _product(self) -> Node:
        return self._chained(("*", "/"), self._negative)

    def _chained(self, signs: tuple[str, str], read: Callable[[], Node]) -> Node:
        left, count = read(), 0
        while self.tokens.at(*signs):
            count += 1
            self._chain(count)
            sign = self.tokens.take().text
            why = f"{sign!r} joins values"
            left = build.binary(self.text, sign, self.value(left, why), self.value(read(), why))
        return left

    def _negative(self) -> Node:
        if not self.tokens.at("-", "+"):
            return self._power()
        sign = self.tokens.take()
        operand = self.value(self._deeper(self._negative), f"{sign.text!r} stands before a value")
        if sign.text == "+":
            return operand
        span = (sign.span[0], operand.span[1])
        if isinstance(operand, Number):
            return Number(operand.unit, span=span, value=-operand.value)
        unit = Unit(operand.unit.powers)
        return Operation(unit, operand.parts, operand.axis, span, "negative", (operand,))

    def _power(self) -> Node:
        base = self._primary()
        if not self.tokens.at("^"):
            return base
        self.tokens.take()
        token = self.tokens.take()
        if token.kind != "number" or not token.text.isdigit() or not 1 <= int(token.text) <= 9:
            raise self.tokens.error(token.span, "an exponent is a whole number from 1 to 9")
        exponent, operand = int(token.text), self.value(base, "'^' stands after a value")
        unit, span = Unit(operand.unit.powers) ** exponent, (operand.span[0], token.span[1])
        return Operation(unit, operand.parts, operand.axis, span, "power", (operand,), exponent)

    def _primary(self) -> Node:
        token = self.tokens.next
        if token.kind == "number":
            return read_number(self.tokens)
        if self.tokens.at("("):
            self.tokens.take()
            found = self._deeper(self._implied)
            if self.tokens.at(*RELATIONS) and isinstance(found, Formula):
                raise self.tokens.error(found.span, "values are compared; this is a formula")
            closed = self.tokens.expect(")", "for the parenthesis that was opened")
            span = (token.span[0], closed.span[1])
            return replace(found, span=span) if isinstance(found, Value) else found
        if token.kind != "name":
            raise self.tokens.error(
                token.span, f"expected a signal, a number or a parenthesis, found {self.tokens.found()}"
            )
        if token.text in (*TEMPORAL, "not"):
            raise self.tokens.error(token.span, f"put parentheses around what begins with {token.text!r}")
        if token.text in WORDS:
            raise self.tokens.error(
                token.span, f"expected a signal or a number, found the word {token.text!r}"
            )
        self.tokens.take()
        return self._call(token) if self.tokens.at("(") else self._named(token)

    def _named(self, token: Token) -> Value:
        name, span = token.text, token.span
        if name in self.signals:
            info = self.signals[name]
            if info.value is not None:
                return Number(info.unit, span=span, value=info.value)
            return SignalValue(Unit(info.unit.powers), info.parts, "ticks", span, name)
        if name in self.named:
            inner = _Parser(self.named[name], self.signals, {}, reductions=True)
            return build.moved(inner.value(inner.whole(), f"{name} is a value"), span)
        if name in UNITS:
            raise self.tokens.error(span, f"{name!r} is a unit: a number stands before it, as in 1 {name}")
        if name in (*FUNCTIONS, *REDUCTIONS):
            raise self.tokens.error(span, f"{name!r} is a function: write {name}(...)")
        close = difflib.get_close_matches(name, [*self.signals, *self.named], n=3, cutoff=0.6)
        hint = f", did you mean {' or '.join(close)}?" if close else "."
        known = ", ".join(n for n, info in self.signals.items() if info.listed)
        more = f"; named values: {', '.join(self.named)}" if self.named else ""
        raise self.tokens.error(span, f"{name!r} is no signal{hint} Known are {known}{more}")

    def _call(self, token: Token) -> Value:
        name = token.text
        if name not in (*FUNCTIONS, *REDUCTIONS):
            close = difflib.get_close_matches(name, [*FUNCTIONS, *REDUCTIONS], n=1)
            hint = f", did you mean {close[0]}?" if close else "."
            known = ", ".join((*FUNCTIONS, *REDUCTIONS) if self.reductions else FUNCTIONS)
            raise self.tokens.error(token.span, f"{name!r} is no function{hint} Known are {known}")
        self.tokens.expect("(", "after a function's name")
        arguments, per_stride = [], False
        while True:
            if self.tokens.at("per"):
                self.tokens.take()
                self.tokens.expect("stride", "after 'per'")
                per_stride = True
                break
            arguments.append(self.value(self._deeper(self._implied), f"the arguments of {name!r} are values"))
            if not self.tokens.at(","):
                break
            self.tokens.take()
        closed = self.tokens.expect(")", f"after the arguments of {name!r}")
        span = (token.span[0], closed.span[1])
        if name in FUNCTIONS:
            if per_stride:
                raise self.tokens.error(
                    span, f"{name!r} is not taken per stride; {', '.join(REDUCTIONS)} are"
                )
            return build.function(self.text, name, tuple(arguments), span)
        if not self.reductions:
            raise self.tokens.error(
                span,
                f"{name!r} is one number of a whole walk, for objectives: what a formula demands holds in every "
                "tick, and an average hides the worst one",
            )
        return build.reduction(self.text, name, tuple(arguments), per_stride, span)


def _kind(value: Value) -> str:
    return f"{len(value.parts)} x {value.unit}" if value.parts else str(value.unit)
