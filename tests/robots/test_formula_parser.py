"""Formulas as people write them: what is understood, and what an error says."""

from __future__ import annotations

import pytest

from safebo.robots.evaluation.stl.parser import parse_formula, parse_value
from safebo.robots.evaluation.stl.tree import (
    Atom,
    Implies,
    Junction,
    Not,
    SignalInfo,
    Temporal,
    Until,
    conjuncts,
    signal_names,
)
from safebo.robots.evaluation.stl.units import UNITS, Unit, unit_of

JOINTS = ("fl.hip", "fl.thigh", "fl.calf")
SIGNALS = {
    "velocity.x": SignalInfo(unit_of("m/s")),
    "command.x": SignalInfo(unit_of("m/s")),
    "roll": SignalInfo(unit_of("rad")),
    "yaw_rate": SignalInfo(unit_of("rad/s")),
    "height": SignalInfo(unit_of("m")),
    "nominal_height": SignalInfo(unit_of("m"), value=0.3),
    "torque": SignalInfo(unit_of("N m"), JOINTS),
    "speed": SignalInfo(unit_of("rad/s"), JOINTS),
    "slip": SignalInfo(unit_of("m/s"), ("fl", "fr")),
    "torque.fl.hip": SignalInfo(unit_of("N m"), listed=False),
}


def parsed(text: str):
    return parse_formula(text, SIGNALS)


def test_words_bind_as_in_the_grammar() -> None:
    whole = parsed(
        "not roll > 1 rad and roll < 1 rad or height > 1 m implies always roll < 1 rad and height > 1 m"
    )
    assert isinstance(whole, Implies)
    assert isinstance(whole.left, Junction)
    assert whole.left.kind == "or"
    first = whole.left.parts[0]
    assert isinstance(first, Junction)
    assert isinstance(first.parts[0], Not)
    # always takes what is next to it, no more
    assert isinstance(whole.right, Junction)
    assert isinstance(whole.right.parts[0], Temporal)
    chain = parsed("roll < 1 rad implies roll < 2 rad implies roll < 3 rad")
    assert isinstance(chain, Implies)
    assert isinstance(chain.right, Implies)
    until = parsed("roll < 1 rad until[0 s, 500 ms] (height > 1 m or roll > 1 rad)")
    assert isinstance(until, Until)
    assert isinstance(until.right, Junction)
    assert len(conjuncts(parsed("(roll < 1 rad and height > 1 m) and always roll < 1 rad"))) == 3


@pytest.mark.parametrize(
    ("text", "size", "unit"),
    [
        ("always roll <= 20 deg", 20.0, "deg"),
        ("always height >= 0.8 * nominal_height", 0.24, "m"),
        ("always velocity.x >= command.x scale 10 cm/s", 10.0, "cm/s"),
        ("always abs(yaw_rate) <= 0.5 rad/s", 0.5, "rad/s"),
        ("always -3 N m <= torque.fl.hip", 3.0, "N m"),
        ("always norm(torque) <= 20 N m", 20.0, "N m"),
        ("always sum(max(torque * speed, 0 W)) <= 300 W", 300.0, "W"),
        ("always max(abs(rate(torque))) <= 500 N m/s", 500.0, "N m/s"),
        ("always height * roll <= 0.1 m", 0.1, "m"),
        ("always (velocity.x / height) <= 3 1/s", 3.0, "1/s"),
        ("always 2 * (velocity.x - command.x)^2 <= 0.5 m^2/s^2", 0.5, "m^2/s^2"),
    ],
)
def test_a_comparison_has_its_limit_as_scale(text: str, size: float, unit: str) -> None:
    formula = parsed(text)
    assert isinstance(formula, Temporal)
    atom = formula.child
    assert isinstance(atom, Atom)
    assert (atom.scale.value, str(atom.scale.unit)) == (pytest.approx(size), unit)


def test_equal_parts_are_equal_wherever_they_stand() -> None:
    first, second = conjuncts(parsed("always roll <= 1 rad and  always (roll<=1 rad)"))
    assert first == second
    assert hash(first) == hash(second)
    assert signal_names(parsed("roll < 1 rad or height > 1 m or roll > 2 rad")) == ("roll", "height")


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (
            "always (velocty.x <= 1 m/s)",
            9,
            r"'velocty.x' is no signal, did you mean velocity.x.*Known are vel",
        ),
        ("always (roll <= 0.3)", 9, "here are rad and 1; write the number with its unit, as 0.3 rad"),
        ("always (roll <= 0.3 m)", 9, "one unit: here are rad and m"),
        ("always (yaw_rate <= 0.3 Hz)", 9, "one unit: here are rad/s and Hz"),
        ("always (roll + height <= 1 m)", 9, r"'\+' joins values of one unit: here are rad and m"),
        ("roll", 1, r"this is a value \(rad\): compare it"),
        ("always torque <= 3 N m", 8, r"torque has 3 values in every tick \(fl.hip, fl.thigh ... fl.calf\)"),
        ("always max(torque * slip) <= 3 W", 12, "different parts"),
        ("always roll >= 0 rad", 8, "The limit is 0, so say it: ... scale 1 rad"),
        ("always velocity.x >= command.x", 8, "Neither side is a number"),
        ("always nominal_height >= 1 m", 8, "neither side of this comparison is a signal"),
        ("roll <= 1 rad and height", 19, "'and' joins formulas; this is a value"),
        ("0.1 rad <= roll <= 0.2 rad", 17, "write two of them joined by 'and'"),
        ("(roll <= 1 rad) <= 3 m", 2, "'<=' compares values; this is a formula"),
        ("always[0, 1 s] roll <= 1 rad", 8, "expected a time in s, ms or stride"),
        ("always[0 s 1 s] roll <= 1 rad", 12, "expected ',' between the two times"),
        ("always[2 s, 1 s] roll <= 1 rad", 7, "ends before it begins"),
        ("always[-1 s, 2 s] roll <= 1 rad", 8, "look back with once, historically or since"),
        ("roll <= 1 rad until roll >= 1 rad", 21, "'until' needs a window"),
        ("roll <= 1 rad until[0 s, end] roll >= 1 rad", 26, "needs two times"),
        ("roll<=1 rad until[0 s,1 s] roll>=1 rad since[0 s,1 s] roll>=1 rad", 40, "put parentheses around"),
        ("roll == 1 rad", 6, "compare with >=, <=, > or <"),
        ("roll <= 1 rad & height >= 1 m", 15, "'&' is not used: write and, or, not"),
        ("roll <= 1 furlong", 11, "'furlong' is no unit"),
        ("always mean(abs(roll)) <= 1 rad", 8, "an average hides the worst one"),
        ("max(roll) <= 1 rad", 1, "over time it is always"),
        ("sum(roll) <= 1 rad", 1, "'sum' adds the values of several joints"),
        ("abs(roll, height) <= 1 rad", 1, "'abs' takes one argument, got 2"),
        ("sin(roll) <= 1", 1, "'sin' is no function"),
        ("roll / 0 <= 1 rad", 8, "divides by 0"),
        ("roll^0.5 <= 1 rad", 6, "a whole number from 1 to 9"),
        ("roll <= 1 rad scale 0 rad", 21, "a scale is more than 0"),
        ("roll <= 1 rad scale 1 m", 21, "has that unit, not m"),
        ("roll <= 1e999 rad", 9, "too large a number"),
        ("s <= 1 s", 1, "'s' is a unit"),
        ("abs <= 1", 1, "'abs' is a function"),
        ("and roll <= 1 rad", 1, "found the word 'and'"),
        ("roll <= 1 rad and", 18, "found the end of the text"),
        ("(roll <= 1 rad", 15, r"expected '\)'"),
        ("roll <= 1 rad)", 14, "expected an operator or the end"),
        ("roll ≤ 1 rad", 6, "'≤' is no character of a formula"),
        ("", 1, "the text is empty"),
        ("not " * 60 + "roll <= 1 rad", 165, "more than 40 levels"),
        ("(" * 60, 42, "more than 40 levels"),
        (" + ".join(["roll"] * 200) + " <= 1 rad", 706, "more than 100 operators"),
    ],
)
def test_an_error_says_where_and_what_is_allowed(text: str, place: int, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        parsed(text)
    assert f"at character {place}:" in str(caught.value)
    assert "here: " in str(caught.value)


def test_an_average_is_for_objectives_and_one_number_of_the_walk() -> None:
    value = parse_value("mean(largest(abs(roll), per stride)) / (1 deg)", SIGNALS, {})
    assert value.axis == ""
    assert value.unit.matches(Unit())
    for text, words in [
        ("abs(roll)", "one value in every tick: take its mean"),
        ("largest(roll, per stride)", "one value in every stride: take its mean"),
        ("mean(torque)", "3 values in every tick"),
        ("mean(1 rad)", "does not vary"),
        ("quantile(roll)", "'quantile' takes a value and a share"),
        ("quantile(roll, 2)", "a share from 0 to 1"),
        ("roll <= 1 rad", "an objective is a value, not a formula"),
        ("mean(largest(roll, per stride) - roll)", "the other in every stride"),
        ("mean(abs(roll, per stride))", "is not taken per stride"),
        ("tilt + mean(height) / (1 m)", "named values: shake"),
    ]:
        with pytest.raises(ValueError, match=words):
            parse_value(text, SIGNALS, {"shake": "-mean(abs(roll))"})
    named = parse_value("shake / (1 deg) - mean(height) / (1 m)", SIGNALS, {"shake": "-mean(abs(roll))"})
    assert signal_names(named) == ("roll", "height")


def test_units_are_products_and_powers() -> None:
    assert unit_of("N m rad/s").matches(UNITS["W"])
    assert unit_of("kg m/s^2").matches(UNITS["N"])
    assert unit_of("J/s").factor == pytest.approx(1.0)
    assert unit_of("deg/ms").si(1.0) == pytest.approx(17.4532925)
    assert unit_of("m/stride").si(0.5) == pytest.approx(2.0)
    assert not unit_of("rad/s").matches(unit_of("Hz"))
    assert not unit_of("rad").matches(Unit())
    assert [str(Unit(unit_of(t).powers)) for t in ("1", "J", "cm^3", "1/s", "kg/s")] == [
        "1",
        "N m",
        "m^3",
        "1/s",
        "kg/s",
    ]
    with pytest.raises(ValueError, match="'parsec' is no unit"):
        unit_of("parsec/s")
