"""Boxes, warps and their errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from safebo.errors import ParameterError, StudyError
from safebo.study import Warp
from safebo.study.space import Axis, Space, WarpMap

BOX = Space([Axis("kp", 5.0, 150.0), Axis("kd", 0.2, 8.0, logarithmic=True)])


@given(st.lists(st.floats(0, 1), min_size=2, max_size=2))
def test_the_unit_cube_maps_back_and_forth(unit: list[float]) -> None:
    raw = BOX.from_unit(np.array(unit))
    np.testing.assert_allclose(BOX.to_unit(raw), unit, atol=1e-12)
    rounded = BOX.round(raw)
    assert (rounded >= [5.0, 0.2]).all()
    assert (rounded <= [150.0, 8.0]).all()
    np.testing.assert_allclose(rounded, raw, rtol=1e-5)


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
]


@given(st.sampled_from(WARPS), st.floats(-50, 0.0999), st.floats(-50, 0.0999))
def test_warps_increase_strictly_and_invert(warp: Warp, a: float, b: float) -> None:
    w = WarpMap(warp)
    assume(a < b - 1e-9)
    assume(warp.upper != 0.0 or b < -1e-3)
    wa, wb = float(w.forward(a)), float(w.forward(b))
    assert wa <= wb
    if -warp.clip < wa and wb < warp.clip:
        assert wa < wb
        assert float(w.inverse(wa)) == pytest.approx(a, rel=1e-9, abs=1e-12)


def test_a_log_warp_keeps_the_margin_zero_and_clips() -> None:
    w = WarpMap(WARPS[1])
    assert w.threshold() == 0.0
    assert float(w.forward(0.0)) == pytest.approx(0.0, abs=1e-15)
    assert float(w.forward(0.1)) == 4.0
    assert float(w.forward(0.2)) == 4.0
    assert float(w.forward(-1e9)) == -4.0
    assert WarpMap(Warp(kind="log", scale=0.2, upper=0.1)).threshold() == pytest.approx(math.log(2.0))
    with pytest.raises(StudyError, match="never reaches the margin 0"):
        WarpMap(WARPS[2], "reward").threshold()
    with pytest.raises(StudyError, match="hides the margin 0"):
        WarpMap(Warp(kind="log", scale=100.0, upper=0.1, clip=1.0)).threshold()
