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
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from safebo.robots.evaluation.stl import build
from safebo.robots.evaluation.stl.tokens import FormulaError, Token, tokens_of
from safebo.robots.evaluation.stl.tree import (
    Formula,
    Implies,
    Junction,
    Not,
    Number,
    Operation,
    SignalInfo,
    SignalValue,
    Span,
    Temporal,
    TimeWindow,
    Until,
    Value,
)
from safebo.robots.evaluation.stl.units import ONE, UNITS, S, Unit

MAX_DEPTH = 40
"""Of parentheses and operators within each other."""

MAX_CHAIN = 100
"""Of operators one after the other, as in a + b + c."""

TEMPORAL = ("always", "eventually", "historically", "once")
RELATIONS = (">=", "<=", ">", "<")
FUNCTIONS = ("abs", "max", "min", "norm", "sum", "rate")
REDUCTIONS = ("mean", "rms", "largest", "smallest", "quantile", "integral")
WORDS = (*TEMPORAL, "not", "and", "or", "implies", "until", "since", "scale", "per", "end")

Node = Value | Formula
T = TypeVar("T", bound=Node)


def parse_formula(text: str, signals: Mapping[str, SignalInfo]) -> Formula:
    """A formula over these signals.

    Raises:
        FormulaError: it is none; says where and what is allowed.
    """
    parser = _Parser(text, signals, {})
    found = parser.formula(parser.whole(), "a formula compares values with limits")
    return found


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
        self._tokens = tokens_of(text)
        self._place = 0
        self._depth = 0

    # -- tokens ---------------------------------------------------------------------------------------

    @property
    def _next(self) -> Token:
        return self._tokens[self._place]

    def _take(self) -> Token:
        token = self._next
        self._place += token.kind != "end"
        return token

    def _at(self, *texts: str) -> bool:
        return self._next.kind != "end" and self._next.text in texts

    def _expect(self, text: str, why: str) -> Token:
        if not self._at(text):
            raise self._error(self._next.span, f"expected {text!r} {why}, found {self._found()}")
        return self._take()

    def _found(self) -> str:
        return "the end of the text" if self._next.kind == "end" else repr(self._next.text)

    def _error(self, span: Span, message: str) -> FormulaError:
        return FormulaError(self.text, span, message)

    def _deeper(self, read: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(self._next.span, f"more than {MAX_DEPTH} levels within each other")
        found = read()
        self._depth -= 1
        return found

    # -- what is a formula and what a value -----------------------------------------------------------

    def formula(self, node: Node, why: str) -> Formula:
        """The node, where it is a formula."""
        if isinstance(node, Formula):
            return node
        raise self._error(
            node.span, f"{why}; this is a value ({_kind(node)}): compare it, as in ... >= limit"
        )

    def value(self, node: Node, why: str) -> Value:
        """The node, where it is a value."""
        if isinstance(node, Value):
            return node
        raise self._error(node.span, f"{why}; this is a formula")

    # -- formulas -------------------------------------------------------------------------------------

    def whole(self) -> Node:
        """Everything."""
        if self._next.kind == "end":
            raise self._error((0, 0), "the text is empty")
        found, rest = self._implied(), self._next
        if rest.kind == "end":
            return found
        message = f"expected an operator or the end of the text, found {self._found()}"
        if self._at("until", "since"):
            message = f"put parentheses around what {rest.text!r} joins"
        elif self._at(*RELATIONS):
            message = "a comparison has two sides: write two of them joined by 'and'"
        raise self._error(rest.span, message)

    def _from(self, start: int) -> Span:
        """From a place to the last token that was taken."""
        return start, self._tokens[self._place - 1].span[1]

    def _implied(self) -> Node:
        start = self._next.span[0]
        left = self._joined("or", lambda: self._joined("and", self._unary))
        if not self._at("implies"):
            return left
        self._take()
        right = self._deeper(self._implied)
        why = "'implies' joins formulas"
        first, then = self.formula(left, why), self.formula(right, why)
        return Implies(first, then, span=self._from(start))

    def _joined(self, word: str, read: Callable[[], Node]) -> Node:
        start = self._next.span[0]
        first = read()
        if not self._at(word):
            return first
        why = f"{word!r} joins formulas"
        parts = [self.formula(first, why)]
        while self._at(word):
            self._chain(len(parts))
            self._take()
            parts.append(self.formula(read(), why))
        kind = "and" if word == "and" else "or"
        return Junction(kind, tuple(parts), span=self._from(start))  # type: ignore[arg-type]

    def _chain(self, count: int) -> None:
        if count > MAX_CHAIN:
            raise self._error(self._next.span, f"more than {MAX_CHAIN} operators one after the other")

    def _unary(self) -> Node:
        start = self._next.span[0]
        if self._at("not"):
            self._take()
            child = self.formula(self._deeper(self._unary), "'not' stands before a formula")
            return Not(child, span=self._from(start))
        if self._at(*TEMPORAL):
            word = self._take().text
            window = self._window(word) if self._at("[") else None
            child = self.formula(self._deeper(self._unary), f"{word!r} stands before a formula")
            return Temporal(word, window, child, span=self._from(start))  # type: ignore[arg-type]
        left = self._compared()
        if not self._at("until", "since"):
            return left
        word = self._take().text
        if not self._at("["):
            raise self._error(
                self._next.span, f"{word!r} needs a window, as in {word}[0 s, 1 s]; found {self._found()}"
            )
        window = self._window(word)
        right = self._compared()
        why = f"{word!r} joins formulas"
        first, then = self.formula(left, why), self.formula(right, why)
        return Until(word, window, first, then, span=self._from(start))  # type: ignore[arg-type]

    def _window(self, word: str) -> TimeWindow:
        opened = self._expect("[", "before a window")
        start = self._time()
        self._expect(",", "between the two times of a window")
        end: Number | None = None
        if self._at("end"):
            token = self._take()
            if word in ("until", "since"):
                raise self._error(token.span, f"the window of {word!r} needs two times")
        else:
            end = self._time()
        closed = self._expect("]", "after a window")
        same = end is not None and start.unit.strides == end.unit.strides
        if same and end is not None and start.value * start.unit.factor > end.value * end.unit.factor:
            raise self._error((opened.span[0], closed.span[1]), "a window ends before it begins")
        return TimeWindow(start, end)

    def _time(self) -> Number:
        if self._at("-"):
            back = "look back with once, historically or since"
            raise self._error(self._next.span, f"times of a window are not negative: {back}")
        if self._next.kind != "number":
            raise self._error(self._next.span, f"expected a time, as 0.5 s, found {self._found()}")
        time = self._number()
        if time.unit.powers != S.powers:
            raise self._error(time.span, "expected a time in s, ms or stride, as 0.5 s")
        return time

    def _compared(self) -> Node:
        left = self._sum()
        if not self._at(*RELATIONS):
            return left
        relation = self._take().text
        right = self._sum()
        scale: Number | None = None
        if self._at("scale"):
            self._take()
            if self._next.kind != "number":
                raise self._error(self._next.span, f"expected a number after 'scale', found {self._found()}")
            scale = self._number()
        why = f"{relation!r} compares values"
        return build.atom(self.text, self.value(left, why), relation, self.value(right, why), scale)

    # -- values ---------------------------------------------------------------------------------------

    def _sum(self) -> Node:
        return self._chained(("+", "-"), self._product)

    def _product(self) -> Node:
        return self._chained(("*", "/"), self._negative)

    def _chained(self, signs: tuple[str, str], read: Callable[[], Node]) -> Node:
        left, count = read(), 0
        while self._at(*signs):
            count += 1
            self._chain(count)
            sign = self._take().text
            why = f"{sign!r} joins values"
            left = build.binary(self.text, sign, self.value(left, why), self.value(read(), why))
        return left

    def _negative(self) -> Node:
        if not self._at("-", "+"):
            return self._power()
        sign = self._take()
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
        if not self._at("^"):
            return base
        self._take()
        token = self._take()
        if token.kind != "number" or not token.text.isdigit() or not 1 <= int(token.text) <= 9:
            raise self._error(token.span, "an exponent is a whole number from 1 to 9")
        exponent, operand = int(token.text), self.value(base, "'^' stands after a value")
        unit, span = Unit(operand.unit.powers) ** exponent, (operand.span[0], token.span[1])
        return Operation(unit, operand.parts, operand.axis, span, "power", (operand,), exponent)

    def _primary(self) -> Node:
        token = self._next
        if token.kind == "number":
            return self._number()
        if self._at("("):
            self._take()
            found = self._deeper(self._implied)
            if self._at(*RELATIONS) and isinstance(found, Formula):
                raise self._error(found.span, "values are compared; this is a formula")
            closed = self._expect(")", "for the parenthesis that was opened")
            span = (token.span[0], closed.span[1])
            return replace(found, span=span) if isinstance(found, Value) else found
        if token.kind != "name":
            raise self._error(
                token.span, f"expected a signal, a number or a parenthesis, found {self._found()}"
            )
        if token.text in (*TEMPORAL, "not"):
            raise self._error(token.span, f"put parentheses around what begins with {token.text!r}")
        if token.text in WORDS:
            raise self._error(token.span, f"expected a signal or a number, found the word {token.text!r}")
        self._take()
        return self._call(token) if self._at("(") else self._named(token)

    def _number(self) -> Number:
        token = self._take()
        value = float(token.text)
        if not math.isfinite(value):
            raise self._error(token.span, f"{token.text} is too large a number")
        unit, end = self._unit(token.span[1])
        return Number(unit, span=(token.span[0], end), value=value)

    def _unit(self, start: int) -> tuple[Unit, int]:
        """The unit that stands here, if one does, and where it ends."""
        unit, end, over, begun = ONE, start, True, start
        inverse = self._at("1") and self._tokens[self._place + 1].text == "/" and self._is_unit(2)
        if inverse:  # as in 0.5 1/s
            begun = self._take().span[0]
        elif self._next.kind == "name" and not self._is_unit(0):
            if self._next.text in WORDS:
                return ONE, start
            known = ", ".join(UNITS)
            raise self._error(
                self._next.span, f"{self._next.text!r} is no unit (known: {known}, and products as N m/s)"
            )
        while True:
            if (self._at("/") and end > start) or inverse:
                inverse = False
                if not self._is_unit(1):
                    break
                self._take()
                over = False
            elif not self._is_unit(0):
                break
            token = self._take()
            begun = token.span[0] if end == start and over else begun
            part, end = UNITS[token.text], token.span[1]
            if self._at("^") and self._tokens[self._place + 1].text.isdigit():
                self._take()
                exponent = self._take()
                part, end = part ** int(exponent.text), exponent.span[1]
            unit, over = unit * (part if over else part**-1), True
        if end == start:
            return ONE, start
        return Unit(unit.powers, unit.factor, unit.strides, " ".join(self.text[begun:end].split())), end

    def _is_unit(self, ahead: int) -> bool:
        place = min(self._place + ahead, len(self._tokens) - 1)
        return self._tokens[place].kind == "name" and self._tokens[place].text in UNITS

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
            raise self._error(span, f"{name!r} is a unit: a number stands before it, as in 1 {name}")
        if name in (*FUNCTIONS, *REDUCTIONS):
            raise self._error(span, f"{name!r} is a function: write {name}(...)")
        close = difflib.get_close_matches(name, [*self.signals, *self.named], n=3, cutoff=0.6)
        hint = f", did you mean {' or '.join(close)}?" if close else "."
        known = ", ".join(n for n, info in self.signals.items() if info.listed)
        more = f"; named values: {', '.join(self.named)}" if self.named else ""
        raise self._error(span, f"{name!r} is no signal{hint} Known are {known}{more}")

    def _call(self, token: Token) -> Value:
        name = token.text
        if name not in (*FUNCTIONS, *REDUCTIONS):
            close = difflib.get_close_matches(name, [*FUNCTIONS, *REDUCTIONS], n=1)
            hint = f", did you mean {close[0]}?" if close else "."
            known = ", ".join((*FUNCTIONS, *REDUCTIONS) if self.reductions else FUNCTIONS)
            raise self._error(token.span, f"{name!r} is no function{hint} Known are {known}")
        self._expect("(", "after a function's name")
        arguments, per_stride = [], False
        while True:
            if self._at("per"):
                self._take()
                self._expect("stride", "after 'per'")
                per_stride = True
                break
            arguments.append(self.value(self._deeper(self._implied), f"the arguments of {name!r} are values"))
            if not self._at(","):
                break
            self._take()
        closed = self._expect(")", f"after the arguments of {name!r}")
        span = (token.span[0], closed.span[1])
        if name in FUNCTIONS:
            if per_stride:
                raise self._error(span, f"{name!r} is not taken per stride; {', '.join(REDUCTIONS)} are")
            return build.function(self.text, name, tuple(arguments), span)
        if not self.reductions:
            raise self._error(
                span,
                f"{name!r} is one number of a whole walk, for objectives: what a formula demands holds in every "
                "tick, and an average hides the worst one",
            )
        return build.reduction(self.text, name, tuple(arguments), per_stride, span)


def _kind(value: Value) -> str:
    return f"{len(value.parts)} x {value.unit}" if value.parts else str(value.unit)
