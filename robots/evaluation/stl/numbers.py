"""Numbers with units and times, read from the tokens of a formula."""

from __future__ import annotations

import math

from safebo.robots.evaluation.stl.tokens import WORDS, TokenStream
from safebo.robots.evaluation.stl.tree import Number
from safebo.robots.evaluation.stl.units import ONE, UNITS, S, Unit


def read_number(tokens: TokenStream) -> Number:
    """The number that stands here, with the unit behind it.

    Raises:
        FormulaError: it is too large, or what follows is no unit.
    """
    token = tokens.take()
    value = float(token.text)
    if not math.isfinite(value):
        raise tokens.error(token.span, f"{token.text} is too large a number")
    unit, end = _read_unit(tokens, token.span[1])
    return Number(unit, span=(token.span[0], end), value=value)


def read_time(tokens: TokenStream) -> Number:
    """The time that stands here.

    Raises:
        FormulaError: there is none.
    """
    if tokens.at("-"):
        back = "look back with once, historically or since"
        raise tokens.error_here(f"times of a window are not negative: {back}")
    if tokens.next.kind != "number":
        raise tokens.error_here(f"expected a time, as 0.5 s, found {tokens.found()}")
    time = read_number(tokens)
    if time.unit.powers != S.powers:
        raise tokens.error(time.span, "expected a time in s, ms or stride, as 0.5 s")
    return time


def _read_unit(tokens: TokenStream, start: int) -> tuple[Unit, int]:
    """The unit that stands here, if one does, and where it ends."""
    unit, end, over, begun = ONE, start, True, start
    inverse = tokens.at("1") and tokens.ahead(1).text == "/" and _is_unit(tokens, 2)
    if inverse:  # as in 0.5 1/s
        begun = tokens.take().span[0]
    elif tokens.next.kind == "name" and not _is_unit(tokens, 0):
        if tokens.next.text in WORDS:
            return ONE, start
        known = ", ".join(UNITS)
        raise tokens.error_here(f"{tokens.next.text!r} is no unit (known: {known}, and products as N m/s)")
    while True:
        if (tokens.at("/") and end > start) or inverse:
            inverse = False
            if not _is_unit(tokens, 1):
                break
            tokens.take()
            over = False
        elif not _is_unit(tokens, 0):
            break
        token = tokens.take()
        begun = token.span[0] if end == start and over else begun
        part, end = UNITS[token.text], token.span[1]
        if tokens.at("^") and tokens.ahead(1).text.isdigit():
            tokens.take()
            exponent = tokens.take()
            part, end = part ** int(exponent.text), exponent.span[1]
        unit, over = unit * (part if over else part**-1), True
    if end == start:
        return ONE, start
    return Unit(unit.powers, unit.factor, unit.strides, " ".join(tokens.text[begun:end].split())), end


def _is_unit(tokens: TokenStream, ahead: int) -> bool:
    token = tokens.ahead(ahead)
    return token.kind == "name" and token.text in UNITS
