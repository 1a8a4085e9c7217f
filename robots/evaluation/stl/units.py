"""Units of signals and numbers: products and powers of metres, kilograms, seconds and radians."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

Powers = tuple[int, int, int, int]
"""Exponents of m, kg, s, rad."""


@dataclass(frozen=True)
class Unit:
    """A unit.

    Args:
        powers: exponents of m, kg, s and rad.
        factor: of its SI unit; 0.01745 for `deg`.
        strides: exponent of the stride duration, a time that differs between gaits and multiplies the factor.
        text: as somebody wrote it; empty where nobody did.
    """

    powers: Powers = (0, 0, 0, 0)
    factor: float = 1.0
    strides: int = 0
    text: str = ""

    def __mul__(self, other: Unit) -> Unit:
        return Unit(_sum(self.powers, other.powers), self.factor * other.factor, self.strides + other.strides)

    def __truediv__(self, other: Unit) -> Unit:
        return self * other**-1

    def __pow__(self, exponent: int) -> Unit:
        a, b, c, d = (exponent * p for p in self.powers)
        return Unit((a, b, c, d), self.factor**exponent, self.strides * exponent)

    def si(self, stride: float) -> float:
        """What one of it is in SI units, where a stride takes so many seconds."""
        return self.factor * stride**self.strides

    def matches(self, other: Unit) -> bool:
        """Whether both measure the same.

        A radian is a number where it is part of a mechanical quantity (N m rad/s is W, m rad is m), and an angle where
        it stands alone: a roll is no plain number, and rad/s are not Hz.
        """
        if self.powers[:3] != other.powers[:3]:
            return False
        return self.powers == other.powers or any(self.powers[:2])

    def __str__(self) -> str:
        return self.text or _NAMES.get(self.powers) or _product(self.powers)


def _sum(a: Powers, b: Powers) -> Powers:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3])


def _product(powers: Powers) -> str:
    """A product of powers in words, as in kg m/s^3; radians are left out of mechanical quantities."""
    names = ["m", "kg", "s", "rad"]
    shown = dict(zip(names, powers, strict=True))
    if any(powers[:2]):
        del shown["rad"]
    over = [_power(name, p) for name, p in shown.items() if p > 0]
    under = "".join(f"/{_power(name, -p)}" for name, p in shown.items() if p < 0)
    return (" ".join(over) or "1") + under


def _power(name: str, exponent: int) -> str:
    return name if exponent == 1 else f"{name}^{exponent}"


ONE = Unit()
M, KG, S, RAD = (Unit(p) for p in ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)))
N = KG * M / S**2

UNITS: dict[str, Unit] = {
    "m": M,
    "cm": Unit(M.powers, 0.01),
    "mm": Unit(M.powers, 0.001),
    "kg": KG,
    "s": S,
    "ms": Unit(S.powers, 0.001),
    "stride": Unit(S.powers, 1.0, 1),
    "Hz": S**-1,
    "rad": RAD,
    "deg": Unit(RAD.powers, 3.141592653589793 / 180.0),
    "N": N,
    "J": N * M,
    "W": N * M / S,
}
"""Units by the names that may stand after a number, alone or in products such as `N m`, `m/s`, `rad/s^2`."""

_NAMES: dict[Powers, str] = {
    unit.powers: text
    for text, unit in {
        "1": ONE,
        "m": M,
        "m/s": M / S,
        "rad": RAD,
        "rad/s": RAD / S,
        "N": N,
        "N m": N * M,
        "W": N * M / S,
        "N/m": N / M,
    }.items()
}


def unit_of(text: str) -> Unit:
    """A unit from a text such as `N m/rad`, every `/` for the name after it.

    Raises:
        ValueError: a name that is no unit.
    """
    parts = text.replace("/", " / ").split()
    found, over = [], True
    for part in parts:
        if part == "/":
            over = False
            continue
        name, _, exponent = part.partition("^")
        if part != "1":
            if name not in UNITS or (exponent and not exponent.lstrip("-").isdigit()):
                raise ValueError(f"{text!r}: {part!r} is no unit (known: {', '.join(UNITS)})")
            unit = UNITS[name] ** int(exponent or 1)
            found.append(unit if over else unit**-1)
        over = True
    unit = reduce(Unit.__mul__, found, ONE)
    return Unit(unit.powers, unit.factor, unit.strides, text)
