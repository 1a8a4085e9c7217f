"""Margins and objectives that are written in a study, over made-up walks whose numbers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from present import present

from safebo.robots.descriptions.model import load_robot
from safebo.robots.evaluation.formulas import FormulaMargin, each_of, one_margin, words
from safebo.robots.evaluation.goals import Goal, goal_of
from safebo.robots.evaluation.named import NAMED_MARGINS, NAMED_OBJECTIVES
from safebo.robots.evaluation.options import LeggedOptions, goal_from, margins_from
from safebo.robots.evaluation.stl.tree import SignalInfo
from safebo.robots.evaluation.stl.units import unit_of
from safebo.robots.evaluation.stl.values import ArrayTrace

PERIOD, STRIDE = 0.1, 0.5
SIGNALS = {
    "error": SignalInfo(unit_of("m/s")),
    "tilt": SignalInfo(unit_of("rad")),
    "force": SignalInfo(unit_of("N"), ("fl", "fr")),
}
RECOVER = "always (error > 0.4 m/s implies eventually[0 s, 1 s] error <= 0.2 m/s)"
ROBOT = load_robot("go1")


def margin(text: str, end: str = "complete") -> FormulaMargin:
    return one_margin("one", text, SIGNALS, end)


def trace(error, tilt=None) -> ArrayTrace:
    error = np.asarray(error, dtype=float)
    tilt = np.zeros_like(error) if tilt is None else np.asarray(tilt, dtype=float)
    return ArrayTrace({"error": error, "tilt": tilt}, PERIOD, STRIDE)


def shoved(recovered_after: int, ticks: int = 40) -> np.ndarray:
    """Without error but for a shove to 0.6 m/s at tick 10 that lasts."""
    error = np.zeros(ticks)
    error[10 : 10 + recovered_after] = 0.6
    return error


def test_recovery_within_a_second_is_kept_or_broken_by_one_tick() -> None:
    # the first tick of the shove is broken by (0.6 - 0.4) / 0.4, unless in one second's ticks error is gone
    assert margin(RECOVER).upper(trace(shoved(10))) == pytest.approx(1.0)
    late = margin(RECOVER).upper(trace(shoved(11)))
    assert late == pytest.approx(-0.5)
    found = present(margin(RECOVER).decisive(trace(shoved(11))))
    assert (found.time, found.atom, found.text) == (pytest.approx(1.0), 1, "error > 0.4 m/s")
    assert (found.distance, found.unit) == (pytest.approx(0.2), "m/s")
    assert "one -0.5, decided at 1.000 s: error > 0.4 m/s kept by 0.2 m/s" in words(
        margin(RECOVER), late, trace(shoved(11))
    )


def test_a_course_says_when_every_window_closes_and_its_minimum_is_the_margin() -> None:
    for text in (
        RECOVER,
        f"{RECOVER} and always[1 s, end] tilt <= 0.1 rad",
        "always once[0 s, 0.5 s] tilt >= 0.1 rad",
    ):
        rng = np.random.default_rng(0)
        for _ in range(30):
            walk = trace(rng.uniform(0, 0.8, 40), rng.uniform(0, 0.2, 40))
            one = margin(text)
            course = present(one.course(walk, 40))
            assert course.min() == one.upper(walk)
            closed = round(one.first_closed(PERIOD, STRIDE) / PERIOD)
            assert np.isfinite(course[closed:]).all()
            # what closes up to a tick needs nothing that comes later
            early = trace(walk["error"][:30], walk["tilt"][:30])
            np.testing.assert_array_equal(present(margin(text).course(early, 30))[:29], course[:29])
    late = present(margin(RECOVER).course(trace(shoved(11)), 40))
    assert np.flatnonzero(late < 0).tolist() == [20]
    assert np.isinf(late[:10]).all()


def test_what_is_no_minimum_over_time_has_no_course_and_says_so() -> None:
    reach = margin("eventually[1 s, 2 s] error <= 0.1 m/s")
    assert reach.course(trace(shoved(5)), 40) is None
    assert "no margin to go" in reach.info.description
    assert "no margin to go" not in margin(RECOVER).info.description
    assert "2 demands" in margin(f"{RECOVER} and always tilt <= 0.1 rad").info.description


def test_a_walk_may_end_once_a_formula_is_broken_or_decided() -> None:
    broken, kept = shoved(30), shoved(5)
    one = margin(RECOVER)
    # At tick 20 the window that opened with the shove is over; a tick before that it may still be kept.
    states = [(one.upper(trace(broken[:n]), 40) < 0, one.decided(trace(broken[:n]), 40)) for n in (20, 21)]
    assert states == [(False, True), (True, True)]
    assert not one.decided(trace(kept[:10]), 40)  # no window has closed
    assert one.decided(trace(kept[:11]), 40)
    reach = margin("eventually[1 s, 2 s] error <= 0.3 m/s")
    far = np.full(40, 0.6)
    assert [reach.decided(trace(far[:n]), 40) for n in (11, 20, 21)] == [False, False, True]
    # Nothing below a limit of 0 can add more than its whole scale, but bounds do not know that.
    assert not reach.decided(trace(kept[:20]), 40)


def test_a_fall_leaves_what_was_seen_and_nothing_better() -> None:
    one = margin("always tilt <= 0.1 rad")
    assert one.upper(trace(np.zeros(5), np.full(5, 0.5)), 40) == pytest.approx(-4.0)
    assert margin(RECOVER).upper(trace(np.zeros(5)), 40) == math.inf


def test_weak_and_strong_count_a_window_that_is_cut_off() -> None:
    error = shoved(30)
    error[:36], error[36:] = 0.0, 0.6  # shoved in the last half second
    walk = trace(error)
    values = {end: margin(RECOVER, end).upper(walk) for end in ("complete", "weak", "strong")}
    assert values["complete"] == values["weak"] == pytest.approx(1.0)
    assert values["strong"] == pytest.approx(-0.5)
    strong = present(margin(RECOVER, "strong").course(walk, 40))
    assert strong.min() == strong[-1] == pytest.approx(-0.5)
    undecided = {e: margin("eventually[5 s, 6 s] tilt <= 1 rad", e).upper(walk) for e in ("weak", "strong")}
    assert undecided == {"weak": 1.0, "strong": -1.0}
    with pytest.raises(ValueError, match="end must be complete, weak or strong, got 'none'"):
        margin(RECOVER, "none")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("always eventually[0 s, 6 s] error <= 1 m/s", "into a walk of 4 s .* it takes 6.1 s; walk longer"),
        ("always eventually[0 s, 20 stride] error <= 1 m/s", "strides of 0.5 s.* it takes 10.1 s"),
        ("once[0 s, 1 s] error <= 1 m/s", "for what was before it: put an always or eventually"),
        (
            "always[10 ms, 20 ms] error <= 1 m/s",
            "from 0.01 s to 0.02 s lies no tick: there is one every 0.1 s",
        ),
        ("always[2 s, 1 stride] error <= 1 m/s", "from 2 s to 0.5 s lies no tick"),
    ],
)
def test_a_formula_that_fits_nowhere_is_refused_with_the_length_it_needs(text, message) -> None:
    with pytest.raises(ValueError, match=f"margin 'one': .*{message}"):
        margin(text).check(PERIOD, STRIDE, 4.0)
    margin("always eventually[0 s, 6 s] error <= 1 m/s").check(PERIOD, STRIDE, 6.1)


def test_a_formula_about_the_first_tick_alone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the first tick of the walk alone.*write always \(tilt <= 1 rad\)"):
        margin("tilt <= 1 rad")


def test_every_demand_may_be_a_margin_of_its_own() -> None:
    both = margin(f"{RECOVER} and always (tilt <= 0.1 rad)")
    first, second = each_of(both)
    assert [(m.name, m.text) for m in (first, second)] == [
        ("one.1", RECOVER),
        ("one.2", "always (tilt <= 0.1 rad)"),
    ]
    walk = trace(shoved(11), np.full(40, 0.05))
    assert both.upper(walk) == min(first.upper(walk), second.upper(walk))
    assert present(second.decisive(walk)).text == "tilt <= 0.1 rad"
    with pytest.raises(ValueError, match="joined by 'and'"):
        each_of(margin(RECOVER))


# -- objectives ----------------------------------------------------------------------------------------


def goal(text: str, sign: float = -1.0, unit: str | None = None) -> Goal:
    return goal_of("mix", text, SIGNALS, {}, sign, unit)


def value(text: str, walk: ArrayTrace, weights=None, **more) -> float:
    return goal(text, **more).of(walk, np.ones(len(walk)) if weights is None else weights)


def test_reductions_are_those_of_numpy() -> None:
    rng = np.random.default_rng(1)
    x, tilt = rng.normal(size=40), rng.normal(size=40)
    walk = trace(x, tilt)
    each = x.reshape(8, 5)  # a stride has 5 ticks
    for text, expected in [
        ("mean(error)", x.mean()),
        ("rms(error - 1 m/s)", np.sqrt(((x - 1) ** 2).mean())),
        ("largest(abs(error))", np.abs(x).max()),
        ("smallest(error)", x.min()),
        ("quantile(error, 0.9)", np.sort(x)[35]),
        ("integral(error)", x.sum() * PERIOD),
        ("mean(largest(error, per stride))", each.max(axis=1).mean()),
        ("largest(rms(error, per stride))", np.sqrt((each**2).mean(axis=1)).max()),
        (
            "2 * mean(abs(error)) / (0.1 m/s) + mean(tilt^2)/(1 rad^2)",
            20 * np.abs(x).mean() + (tilt**2).mean(),
        ),
        ("rms(error - mean(error))", x.std()),
        ("largest(abs(rate(error)))", np.abs(np.diff(x)).max() / PERIOD),
        ("mean(norm(error, 2 m/s))", np.hypot(x, 2).mean()),
    ]:
        assert value(text, walk) == pytest.approx(-expected), text
        assert value(text, walk, sign=1.0) == pytest.approx(expected)
    assert value("mean(tilt)", walk, unit="deg") == pytest.approx(-math.degrees(tilt.mean()))
    # The start left out, and a tick that stands for three.
    weights = np.where(np.arange(40) < 10, 0.0, np.where(np.arange(40) < 30, 1.0, 3.0))
    assert value("mean(error)", walk, weights) == pytest.approx(-np.average(x, weights=weights))
    assert value("largest(error)", walk, weights) == pytest.approx(-x[10:].max())
    assert value("mean(largest(error, per stride))", walk, weights) == pytest.approx(
        -np.average(each[2:].max(axis=1), weights=[5, 5, 5, 5, 15, 15])
    )


@pytest.mark.parametrize(
    ("text", "mean", "cost"),
    [
        ("mean(abs(error))", True, True),
        ("2 * mean(abs(error)) / (0.1 m/s) + mean(tilt^2) / (1 rad^2)", True, True),
        ("mean(error)", True, False),
        ("mean(abs(error)) - mean(abs(error))", True, False),
        ("mean(max(error, 0 m/s)) + 1 m/s", True, True),
        ("mean(max(error, -1 m/s))", True, False),
        ("rms(error)", False, False),
        ("largest(error)", False, False),
        ("mean(abs(error)) * mean(abs(error))", False, False),
        ("mean(error - mean(error))", False, False),
        ("mean(largest(error, per stride))", False, False),
    ],
)
def test_a_mean_over_time_is_told_from_other_objectives(text: str, mean: bool, cost: bool) -> None:
    rng = np.random.default_rng(2)
    walk = trace(rng.normal(size=40), rng.normal(size=40))
    one = goal(text)
    over = one.over_time(walk)
    assert (over is not None) == mean
    assert one.never_positive == cost
    assert ("no mean over time" in one.info.description) != mean
    if over is not None:
        assert over.mean() == pytest.approx(one.of(walk, np.ones(40)))
    if cost:
        assert (present(over) <= 0).all()


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ({"name": "mix"}, "needs one of maximise and minimise"),
        ({"name": "mix", "maximise": "1", "minimise": "1"}, "needs one of maximise and minimise"),
        ({"name": "mix", "maximize": "mean(roll)"}, "unknown key 'maximize', did you mean 'maximise'"),
        ({"name": "walking", "minimise": "mean(roll)"}, "choose another name"),
        ({"name": "a b", "minimise": "mean(roll)"}, "must be a name of letters"),
        ({"name": "mix", "minimise": 3}, "objective.minimise must be a text"),
        ({"name": "mix", "minimise": "mean(rol)"}, "objective 'mix': at character 6: 'rol' is no signal"),
        ({"name": "mix", "minimise": "mean(roll)", "unit": "m"}, "it is measured in rad, not in m"),
        ({"name": "mix", "minimise": "mean(roll)", "unit": "furlong"}, "'furlong' is no unit"),
        ({"name": "mix", "minimise": "3 rad"}, "there is no signal in"),
    ],
)
def test_a_wrong_objective_is_named(objective, message) -> None:
    with pytest.raises(ValueError, match=message):
        goal_from(LeggedOptions.from_options({"objective": objective}), ROBOT)


@pytest.mark.parametrize(
    ("margins", "message"),
    [
        ("x", "margins must be a list"),
        (["x"], r"margins\[0\] must be a mapping"),
        ([{"stl": "always roll <= 1 rad"}], r"margins\[0\].name must be a name"),
        ([{"name": "height", "stl": "always roll <= 1 rad"}], "a margin that every walk has"),
        ([{"name": "tilt"}], "'tilt' needs a formula.*without one go body_velocity"),
        ([{"name": "tilt", "formula": "x"}], "unknown key 'formula'. Known are name, stl"),
        ([{"name": "energy"}], "margin 'energy' needs a limit, as limit: 500 J"),
        ([{"name": "foot_slip", "limit": "3 m"}], "margin 'foot_slip': at character .* m/s and m"),
        (
            [{"name": "tilt", "stl": "always roll <= 1 rad", "limit": 3}],
            "limit goes with a margin that comes",
        ),
        ([{"name": "tilt", "stl": "always roll <= 1 rad", "split": 1}], "split must be true or false"),
        ([{"name": "tilt", "stl": "always roll <= 1 rad", "end": "soft"}], "end must be complete, weak or"),
        ([{"name": "tilt", "stl": "always roll <= 1 rad"}] * 2, "'tilt' is there twice"),
        (
            [{"name": "tilt", "stl": "always rol <= 1 rad"}],
            "margin 'tilt': at character 8: 'rol' is no signal",
        ),
    ],
)
def test_a_wrong_margin_is_named(margins, message) -> None:
    with pytest.raises(ValueError, match=message):
        margins_from(LeggedOptions.from_options({"margins": margins}), ROBOT)


def test_everything_that_comes_with_the_project_can_be_read() -> None:
    entries = [
        {"name": name, **({} if limit else {"limit": "500 J"})} for name, (_, limit) in NAMED_MARGINS.items()
    ]
    found = margins_from(LeggedOptions.from_options({"margins": entries}), ROBOT)
    assert [m.name for m in found] == list(NAMED_MARGINS)
    assert all(m.parts is not None for m in found)
    for name, (_, unit, text) in NAMED_OBJECTIVES.items():
        one = present(goal_from(LeggedOptions.from_options({"objective": name}), ROBOT))
        assert str(one.unit) == unit
        assert one.info.description.startswith(text)
    assert goal_from(LeggedOptions.from_options({"objective": "walking"}), ROBOT) is None
