"""Boxes, warps and their errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from safebo.errors import ParameterError, StudyError
from safebo.study import Warp
from safebo.study.axis import PROPOSAL_STEPS, Axis
from safebo.study.space import Space, WarpMap

BOX = Space([Axis("kp", 5.0, 150.0), Axis("kd", 0.2, 8.0, logarithmic=True)])


@given(st.lists(st.floats(0, 1), min_size=2, max_size=2))
def test_the_unit_cube_maps_back_and_forth(unit: list[float]) -> None:
    raw = BOX.from_unit(np.array(unit))
    np.testing.assert_allclose(BOX.to_unit(raw), unit, atol=1e-12)
    rounded = BOX.proposals(np.array([unit]))[0]
    assert (rounded >= [5.0, 0.2]).all()
    assert (rounded <= [150.0, 8.0]).all()
    np.testing.assert_allclose(rounded, raw, rtol=1e-5)


RANGES = [
    (0.0, 1.0),
    (16384.0, 16390.0),
    (-7.0, 6.0),
    (0.1, 3.7),
    (1.0, 1.0 + 1e9 * 2.0**-52),
    (2.0**60, 2.0**60 + 1e9 * 2.0**8),
    (-1.0 - 1e9 * 2.0**-52, -1.0),
    (-1e300, 1e300),
    (1e-320, 1e-310),
    (1 / 3, 2 / 3),
]


LOG_RANGES = [
    *[r for r in RANGES if r[0] > 1e-300],
    (1e-300, 1e300),
    (0.01, 100.0),
    (1.0, 2.0),
    (7.0, 7.0 + 1e-6),
]


@pytest.mark.parametrize(
    ("low", "high", "logarithmic"), [*[(*r, False) for r in RANGES], *[(*r, True) for r in LOG_RANGES]]
)
@given(count=st.integers(0, PROPOSAL_STEPS))
def test_a_proposal_has_the_same_coordinate_in_every_range(
    low: float, high: float, logarithmic: bool, count: int
) -> None:
    axis = Axis("k", low, high, logarithmic, "range")
    assert axis.unresolved() is None
    unit = count / PROPOSAL_STEPS
    value = axis.proposal(unit, float(axis.from_unit(unit)))
    assert low <= value <= high
    assert float(axis.to_unit(value)) == unit
    assert float(axis.to_unit(np.array([value]))[0]) == unit


@pytest.mark.parametrize(
    ("axis", "unit", "text"),
    [
        (Axis("k", 0.0, 100.0, rounding="range"), 0.5512, "55.12"),
        (Axis("k", 0.0, 100.0, rounding="range"), 0.55123456789, "55.1235"),
        (Axis("k", 16384.0, 16390.0, rounding="range"), 0.5, "16387.0"),
        (Axis("k", -7.0, 6.0, rounding="range"), 0.123456, "-5.395072"),
        (Axis("k", 0.01, 100.0, True, "range"), 0.75, "10.0"),
        (Axis("k", 0.0, 100.0, rounding="digits"), 0.55123456789, "55.1235"),
        (Axis("k", 0.1, 1.3, rounding="range", step=0.05), 0.3, "0.45"),
        (Axis("k", 3.0, 20.0, rounding="range", step=1.0, whole=True), 0.54, "12.0"),
    ],
)
def test_proposals_read_as_a_person_would_write_them(axis: Axis, unit: float, text: str) -> None:
    assert repr(axis.proposal(unit, float(axis.from_unit(unit)))) == text


@pytest.mark.parametrize(
    ("low", "high"), [(1.0, 1.0 + 1e-9), (-1e12, -1e12 + 1e4), (0.0, 1e-316), (-1e308, 1e308)]
)
def test_a_range_without_a_thousand_million_doubles_is_refused(low: float, high: float) -> None:
    assert Axis("k", low, high, rounding="range").unresolved() is not None


def test_a_log_scale_from_the_smallest_numbers_is_refused() -> None:
    assert "too close to 0" in (Axis("k", 1e-320, 1e-310, True, "range").unresolved() or "")


def test_log_scale_is_geometric() -> None:
    np.testing.assert_allclose(BOX.from_unit(np.array([0.5, 0.5])), [77.5, math.sqrt(0.2 * 8.0)])


def test_values_are_checked_by_name() -> None:
    np.testing.assert_array_equal(BOX.vector({"kd": 1.0, "kp": 10.0}), [10.0, 1.0])
    assert BOX.named([10.0, 1.0]) == {"kp": 10.0, "kd": 1.0}
    with pytest.raises(ParameterError, match="missing kd; unknown kq"):
        BOX.vector({"kp": 10.0, "kq": 1.0})
    with pytest.raises(ParameterError, match=r"kp = 4 lies outside its bounds \[5, 150\]"):
        BOX.vector({"kp": 4.0, "kd": 1.0})
    with pytest.raises(ParameterError, match="not a finite number"):
        BOX.vector({"kp": math.nan, "kd": 1.0})


def test_impossible_axes_are_refused() -> None:
    with pytest.raises(StudyError, match="increasing"):
        Axis("kp", 2.0, 1.0)
    with pytest.raises(StudyError, match="positive lower bound"):
        Axis("kp", 0.0, 1.0, logarithmic=True)
    with pytest.raises(StudyError, match="declared twice"):
        Space([Axis("kp", 0.0, 1.0), Axis("kp", 0.0, 1.0)])


WARPS = [
    Warp(kind="identity", scale=2.5, clip=40.0),
    Warp(kind="log", scale=0.1, upper=0.1, clip=4.0),
    Warp(kind="log", scale=10.0, upper=0.0, clip=8.0),
    Warp(kind="log", scale=0.1, upper=0.1, clip=(-0.8, 3.0)),
]


@given(st.sampled_from(WARPS), st.floats(-50, 0.0999), st.floats(-50, 0.0999))
def test_warps_increase_strictly_and_invert(warp: Warp, a: float, b: float) -> None:
    w = WarpMap(warp)
    assume(a < b - 1e-9)
    assume(warp.upper != 0.0 or b < -1e-3)
    wa, wb = float(w.forward(a)), float(w.forward(b))
    assert wa <= wb
    if warp.ends[0] < wa and wb < warp.ends[1]:
        assert wa < wb
        assert float(w.inverse(wa)) == pytest.approx(a, rel=1e-9, abs=1e-12)


def test_a_log_warp_keeps_the_margin_zero_and_clips() -> None:
    w = WarpMap(WARPS[1])
    assert w.threshold() == 0.0
    assert float(w.forward(0.0)) == pytest.approx(0.0, abs=1e-15)
    assert float(w.forward(0.1)) == 4.0
    assert float(w.forward(0.2)) == 4.0
    assert float(w.forward(-1e9)) == -4.0
    one_sided = WarpMap(WARPS[3])
    assert (float(one_sided.forward(0.1)), float(one_sided.forward(-1e9))) == (3.0, -0.8)
    assert [one_sided.clipped(v) for v in (-0.8, -0.79, 2.99, 3.0)] == [True, False, False, True]
    assert WarpMap(Warp(kind="log", scale=0.2, upper=0.1)).threshold() == pytest.approx(math.log(2.0))
    with pytest.raises(StudyError, match="never reaches the margin 0"):
        WarpMap(WARPS[2], "reward").threshold()
    with pytest.raises(StudyError, match="hides the margin 0"):
        WarpMap(Warp(kind="log", scale=100.0, upper=0.1, clip=1.0)).threshold()
