"""Pictures show the data that they claim to show."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from present import present
from report_samples import ClosedForm, make_data, make_entries, make_study, truth

from safebo.report.data import Band, Recording, ReportData, Signal, best_so_far, is_safe
from safebo.report.figures.history import margins_figure, objective_figure
from safebo.report.figures.slices import lines_figure, planes_figure, relevance_figure
from safebo.report.figures.style import WarpScale, number, robust_limits, styled
from safebo.report.figures.tracking import tracking_figure, tracking_sentence
from safebo.report.slicing import make_slices, safety
from safebo.study import Warp
from safebo.types import Measurement, Trial, TrialRecord


@pytest.fixture(autouse=True)
def style():
    with styled():
        yield


@pytest.fixture(scope="module")
def rough() -> ReportData:
    return make_data(contexts=2, predict=True, accidents=True)


def points(ax: Axes, gid_prefix: str = "") -> set[tuple[float, float]]:
    """Every point of the scatters whose gid begins so."""
    found = [c.get_offsets() for c in ax.collections if (c.get_gid() or "").startswith(gid_prefix)]
    return {(float(x), float(y)) for part in found for x, y in np.asarray(part)}


def lines(ax: Axes, gid: str) -> list[np.ndarray]:
    return [np.asarray(line.get_xydata()) for line in ax.lines if line.get_gid() == gid]


def rendered(figure: Figure) -> Figure:
    figure.draw_without_rendering()
    return figure


def test_objective_markers_are_the_measured_objectives(rough: ReportData) -> None:
    ax = rendered(objective_figure(rough)).axes[0]
    low, high = ax.get_ylim()
    for phase in ("seed", "local", "global"):
        for context in ("trot", "crawl"):
            expected = {
                (float(e.trial.id), e.measurement.objective)
                for e in rough.entries
                if e.trial.phase == phase and e.trial.context_name == context
                and e.measurement is not None and e.measurement.objective is not None
                and low <= e.measurement.objective <= high
            }  # fmt: skip
            assert points(ax, f"{phase}:{context}") == expected


def test_one_huge_cost_is_an_arrow_at_the_edge_and_does_not_stretch_the_axis(rough: ReportData) -> None:
    ax = rendered(objective_figure(rough)).axes[0]
    assert ax.get_ylim()[0] > -1000
    arrows = lines(ax, "out of view")
    assert [float(a[0, 0]) for a in arrows] == [22.0]
    assert any(text.get_text() == number(-9.0e5) for text in ax.texts)


def test_trials_without_an_objective_stand_in_the_strip(rough: ReportData) -> None:
    strip = rendered(objective_figure(rough)).axes[1]
    assert [label.get_text() for label in strip.get_yticklabels()] == [
        "fell", "failed", "no result", "backup fired",
    ]  # fmt: skip
    assert [float(p[0, 0]) for p in lines(strip, "event:fell")] == [18.0]
    assert [float(p[0, 0]) for p in lines(strip, "event:failed")] == [25.0]
    fired = [e.trial.id for e in rough.entries if e.measurement and e.measurement.outcome == "backup"]
    assert fired
    assert [int(p[0, 0]) for p in lines(strip, "event:backup fired")] == fired


def test_a_calm_run_has_no_strip() -> None:
    assert len(objective_figure(make_data()).axes) == 1


def test_best_so_far_ignores_unsafe_and_unfinished_trials() -> None:
    study = make_study()
    good = {"joint_error": 0.05, "attitude": 0.1}
    rows = [
        Measurement("completed", -50.0, good),
        Measurement("completed", -5.0, good | {"attitude": -0.01}),  # lucky and unsafe
        Measurement("backup", -6.0, good, backup_time=1.0),  # not the objective of its gains
        Measurement("completed", -30.0, good),
        Measurement("completed", float("nan"), good),
        Measurement("failed"),
        None,
        Measurement("completed", -40.0, good),
        Measurement("completed", -3.0, {"joint_error": 0.05}),  # one margin was not measured
    ]
    entries = tuple(TrialRecord(Trial(i, {}, {}, "default", "local", 0, True), m) for i, m in enumerate(rows))
    ids, best = best_so_far(entries, study, "default")
    assert ids == list(range(9))
    assert best == [-50.0, -50.0, -50.0, -30.0, -30.0, -30.0, -30.0, -30.0, -30.0]
    assert [is_safe(e, study) for e in entries] == [True, False, True, True, True, False, False, True, False]


def test_best_so_far_line_is_the_running_maximum() -> None:
    data = make_data()
    ax = rendered(objective_figure(data)).axes[0]
    drawn = lines(ax, "best:default")[0]
    expected = np.maximum.accumulate(
        [present(e.measurement.objective) for e in data.entries if e.measurement]
    )
    np.testing.assert_array_equal(drawn[:, 1], expected)


def test_margins_mark_zero_and_every_finite_margin(rough: ReportData) -> None:
    figure = rendered(margins_figure(rough))
    assert len(figure.axes) == len(rough.study.constraints)
    for ax, spec in zip(figure.axes, rough.study.constraints, strict=True):
        (zero,) = lines(ax, "zero")
        assert set(zero[:, 1]) == {0.0}
        low, high = ax.get_ylim()
        assert low < 0 < high
        measured = {
            (float(e.trial.id), float(e.measurement.margins[spec.name]))
            for e in rough.entries
            if e.measurement is not None and spec.name in e.measurement.margins
        }
        inside = {p for p in measured if low <= p[1] <= high}
        assert points(ax) == inside
        assert (
            {float(a[0, 0]) for a in lines(ax, "out of view")} == {p[0] for p in measured - inside} == {18.0}
        )
        assert 0.0 in ax.get_yticks()


def test_a_margin_may_stand_under_its_quantity() -> None:
    data = make_data(count=2)
    spec = data.study.constraints[0].model_copy(update={"quantity": "peak"})
    study = data.study.model_copy(update={"constraints": [spec]})
    told = TrialRecord(data.entries[1].trial, Measurement("completed", -20.0, {"peak": 0.03}))
    ax = margins_figure(dataclasses.replace(data, study=study, entries=(told,))).axes[0]
    assert points(ax) == {(1.0, 0.03)}


def test_slices_are_the_surrogate_through_the_anchor() -> None:
    study = make_study(parameters=3)
    anchor = {"joint.hip.kp": 90.0, "joint.hip.kd": 5.0, "joint.thigh.kp": 30.0}
    slices = make_slices(study, "default", anchor, "seed gains", ClosedForm(study))
    assert [line.parameter for line in slices.lines] == list(anchor)
    line = slices.lines[1]
    X = np.array([[90.0, value, 30.0] for value in line.values])
    np.testing.assert_allclose(line.bands["attitude"].mean, truth(study, X)["attitude"])
    assert [(p.horizontal, p.vertical) for p in slices.planes] == [
        ("joint.hip.kp", "joint.hip.kd"),
        ("joint.hip.kp", "joint.thigh.kp"),
        ("joint.hip.kd", "joint.thigh.kp"),
    ]
    plane = slices.planes[1]
    for i, j in ((0, 0), (7, 30), (40, 12)):  # rows of a plane go along y
        point = np.array([[plane.x[j], 5.0, plane.y[i]]])
        assert plane.objective[i, j] == pytest.approx(float(truth(study, point)["joint_tracking"][0]))
        lower = {name: float(b.lower[0]) for name, b in ClosedForm(study)(point, "default").items()}
        safe = min(lower["joint_error"], lower["attitude"]) >= 0
        assert (plane.safety[i, j] >= 0) == safe
    assert np.any(plane.safety < 0)
    assert np.any(plane.safety >= 0)


def test_many_parameters_show_the_most_relevant_planes() -> None:
    study = make_study(parameters=9)
    names = [p.name for p in study.parameters]
    relevance = {name: float(i) for i, name in enumerate(names)}
    slices = make_slices(study, "default", study.seeds[0].parameters, "seed", ClosedForm(study), relevance)
    assert slices.plane_parameters == tuple(names[3:])
    assert len(slices.planes) == 15
    assert len(slices.lines) == 9


def test_lines_figure_draws_band_mean_anchor_and_safe_part() -> None:
    data = make_data(parameters=8)
    context = data.contexts[0]
    assert context.slices is not None
    first, rest = lines_figure(data, context), lines_figure(data, context, first=6)
    assert len(first.axes) == 3 * 6
    assert len(rest.axes) == 3 * 2
    line = context.slices.lines[6]
    ax = rest.axes[2]  # second row: the first constraint
    drawn = lines(ax, "mean")[0]
    np.testing.assert_array_equal(drawn, np.column_stack([line.values, line.bands["joint_error"].mean]))
    assert lines(ax, "anchor")[0][0, 0] == context.slices.anchor[line.parameter]
    covered = np.zeros(len(line.values), dtype=bool)
    for part in lines(ax, "safe"):
        covered |= (line.values >= part[0, 0]) & (line.values <= part[1, 0])
    np.testing.assert_array_equal(covered, line.safe)


def test_planes_figure_has_one_panel_per_pair_and_the_nearby_trials() -> None:
    data = make_data(parameters=4)
    figure = rendered(planes_figure(data, data.contexts[0]))
    panels = [ax for ax in figure.axes if lines(ax, "anchor")]
    assert len(panels) == 6
    anchor = present(data.contexts[0].slices).anchor
    np.testing.assert_array_equal(
        lines(panels[0], "anchor")[0][0], [anchor["joint.hip.kp"], anchor["joint.hip.kd"]]
    )
    tried = {(e.trial.parameters["joint.hip.kp"], e.trial.parameters["joint.hip.kd"]) for e in data.entries}
    shown = points(panels[0], "trials:")
    assert shown
    assert shown <= tried
    # the trial farthest from the slice, in lengthscales of the two held parameters, is not among them
    scales = data.lengthscales["joint_tracking"]
    distance = {}
    for e in data.entries:
        offsets = [
            (e.trial.parameters[p.name] - anchor[p.name]) / (p.bounds[1] - p.bounds[0]) / scales[p.name]
            for p in data.study.parameters[2:]
        ]
        distance[e.trial.parameters["joint.hip.kp"]] = math.hypot(*offsets)
    assert {x for x, _ in shown} == {x for x, d in distance.items() if d <= 1.0}


def test_relevance_is_one_over_lengthscale() -> None:
    data = make_data(contexts=2)
    shared = data.lengthscales["attitude"]
    scales = {"joint_tracking": dict.fromkeys(shared, 1.0), "joint_error": shared, "attitude": shared}
    axes = relevance_figure(dataclasses.replace(data, lengthscales=scales)).axes
    assert [ax.get_title(loc="left") for ax in axes] == ["joint_tracking", "joint_error, attitude"]
    for ax, name in zip(axes, ("joint_tracking", "attitude"), strict=True):
        widths = [bar.get_width() for bar in ax.patches if isinstance(bar, Rectangle)]
        np.testing.assert_allclose(widths, [1.0 / v for v in scales[name].values()])


def test_bounds_of_the_prior_do_not_flatten_the_means() -> None:
    data = make_data(parameters=2)
    context = data.contexts[0]
    assert context.slices is not None
    wide = []
    for line in context.slices.lines:
        far = ~line.safe | (np.arange(len(line.values)) < 8)
        band = line.bands["attitude"]
        lower = np.where(far, -1e3, band.lower)
        wide.append(
            dataclasses.replace(
                line,
                bands={**line.bands, "attitude": dataclasses.replace(band, lower=lower)},
                safe=line.safe & ~far,
            )
        )
    slices = dataclasses.replace(context.slices, lines=tuple(wide))
    figure = lines_figure(data, dataclasses.replace(context, slices=slices))
    assert figure.axes[4].get_ylim()[0] > -2


def test_tracking_shows_rms_errors_and_the_worst_traces() -> None:
    time = np.linspace(0.0, 4.0, 401)
    wave = np.sin(time)

    def recording(trial: int, errors: dict[str, float]) -> Recording:
        return Recording(
            trial, time, tuple(Signal(f"joint.{n}", "rad", wave + e, wave) for n, e in errors.items())
        )

    before = recording(0, {"a": 0.1, "b": 0.4, "c": 0.2, "d": 0.3})
    after = recording(9, {"a": 0.05, "b": 0.1, "c": 0.1, "d": 0.1})
    figure = rendered(tracking_figure(before, after))
    overview, *traces = figure.axes
    np.testing.assert_allclose(sorted(x for x, _ in points(overview, "rms before")), [0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(sorted(x for x, _ in points(overview, "rms after")), [0.05, 0.1, 0.1, 0.1])
    assert [ax.get_ylabel() for ax in traces[::2]] == ["b\n[rad]", "d\n[rad]", "c\n[rad]"]
    assert "0.274 before" in tracking_sentence(before, after)
    assert "(−67 %)" in tracking_sentence(before, after)
    with pytest.raises(ValueError, match="no tracked signal in common"):
        tracking_figure(before, Recording(1, time, ()))


@given(
    w=st.floats(-5, 5),
    scale=st.floats(0.01, 100),
    upper=st.floats(-10, 10),
    kind=st.sampled_from(["identity", "log"]),
)
def test_axis_scale_inverts(w: float, scale: float, upper: float, kind: Literal["identity", "log"]) -> None:
    axis = WarpScale(Warp(kind=kind, scale=scale, upper=upper))
    assert float(axis.forward(axis.inverse(w))) == pytest.approx(w, abs=1e-6)


@given(values=st.lists(st.floats(-1e6, 1e6), max_size=40), always=st.lists(st.floats(-10, 10), max_size=3))
def test_limits_are_ordered_and_keep_what_must_be_seen(values: list[float], always: list[float]) -> None:
    low, high = robust_limits(WarpScale(Warp()), [*values, float("nan")], always)
    assert np.isfinite([low, high]).all()
    assert low < high
    assert all(low <= v <= high for v in always)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-30.25, "−30.2"), (1234567.0, "1.23e6"), (None, "–"), (float("nan"), "–"),
     (12345.0, "12345"), (0.000123, "0.000123"), (float("-inf"), "−∞"), (1e-9, "1e−9")],
)  # fmt: skip
def test_numbers_read_well(value: float | None, text: str) -> None:
    assert number(value) == text


def test_entries_may_be_few_or_one_sided() -> None:
    study = make_study(warp="identity")
    data = dataclasses.replace(make_data(warp="identity"), entries=tuple(make_entries(study, 1)))
    rendered(objective_figure(data))
    rendered(margins_figure(data))


@pytest.mark.parametrize(
    ("error", "tilt", "safe"), [(0.01, 0.01, True), (0.01, -0.01, False), (-0.01, 0.01, False)]
)
def test_one_unsafe_constraint_makes_a_point_unsafe(error: float, tilt: float, safe: bool) -> None:
    study = make_study()
    bands = {
        name: Band(np.array([lower]), np.array([0.05]), np.array([0.06]))
        for name, lower in (("joint_error", error), ("attitude", tilt), ("joint_tracking", -5.0))
    }
    assert bool(safety(study, bands)[0] >= 0) is safe


def test_safety_is_zero_where_the_tightest_lower_bound_is() -> None:
    bands = {name: Band(*[np.array([0.0])] * 3) for name in ("joint_error", "attitude", "joint_tracking")}
    np.testing.assert_allclose(safety(make_study(), bands), 0.0, atol=1e-12)
