"""What one measured seed certifies in closed form, against the tuner's own bounds; studies that one seed would open."""

from __future__ import annotations

import itertools
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safebo import Study, StudyError, Tuner
from safebo.boundary.kernels import BUILT_IN
from safebo.study.checks import has_far_corner
from safebo.study.first_step import FirstStep, whole_box_problems
from safebo.study.reading import check_study

AXES: tuple[dict[str, Any], ...] = (
    {"bounds": [0.0, 10.0]},
    {"bounds": [0.1, 10.0], "scale": "log"},
    {"bounds": [0.0, 6.0], "period": 6.0},
    {"bounds": [0.0, 6.0], "period": 9.0},
    {"bounds": [0.0, 6.0], "period": 20.0},
    {"bounds": [1, 4], "type": "integer"},
    {"bounds": [0.0, 5.0], "step": 0.75},
    {"choices": ["a", "b", "c"]},
)


def study_of(
    axes: list[dict[str, Any]], seed: list[Any], surrogate: dict[str, Any], **tuner: Any
) -> dict[str, Any]:
    return {
        "name": "one-step",
        "evaluator": {"name": "mine:f"},
        "parameters": [{"name": f"p{i}", **axis} for i, axis in enumerate(axes)],
        "context": {
            "variables": [{"name": "load", "bounds": [0, 1]}],
            "values": {"default": {"load": 0.3}},
        },
        "objective": {"name": "speed"},
        "constraints": [
            {"name": "height", "prior_mean": -0.5, "prior_std": 0.8, "noise_std": 0.1},
            {"name": "tilt", "warp": {"kind": "log", "scale": 2.0, "upper": 2.0}, "prior_std": 1.2},
        ],
        "seeds": [{"parameters": {f"p{i}": value for i, value in enumerate(seed)}}],
        "surrogate": surrogate,
        "tuner": {"method": "safeopt", **tuner},
    }


def values_on(axis: dict[str, Any], count: int = 13) -> list[Any]:
    if "choices" in axis:
        return list(axis["choices"])
    low, high = axis["bounds"]
    if axis.get("type") == "integer":
        return list(range(low, high + 1))
    if "step" in axis:
        return [low + k * axis["step"] for k in range(int((high - low) / axis["step"]) + 1)]
    if axis.get("scale") == "log":
        return [float(v) for v in np.clip(np.geomspace(low, high, count), low, high)]
    return [float(v) for v in np.linspace(low, high, count)]


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    axes = [dict(axis) for axis in draw(st.lists(st.sampled_from(AXES), min_size=1, max_size=2))]
    seed = [draw(st.sampled_from(values_on(axis))) for axis in axes]
    lengthscale = draw(st.floats(0.1, 20.0))
    structure = draw(st.sampled_from(["joint", "product", "sum", "additive"]))
    kernel = draw(st.sampled_from(["matern12", "matern32", "matern52", "rbf"]))
    schedule = draw(st.sampled_from(["constant", "posterior", "sui2015", "chowdhury2017", "fiedler2024"]))
    certificate = draw(st.sampled_from(["bounds", "bounds", "lipschitz", "measured"]))
    return study_of(
        axes,
        seed,
        {"kernel": kernel, "lengthscale": lengthscale, "structure": structure},
        beta=draw(st.floats(0.5, 4.0)),
        confidence={"schedule": "constant" if certificate == "lipschitz" else schedule},
        certificate=certificate,
        lipschitz=[draw(st.floats(0.01, 3.0)), 0.5] if certificate != "bounds" else None,
        measured_noise=[0.1, 0.2] if certificate == "measured" else None,
    )


@settings(max_examples=60, deadline=None)
@given(cases(), st.floats(0.3, 4.0))
def test_whether_one_seed_takes_the_box_is_what_the_tuner_certifies_on_a_grid(
    case: dict[str, Any], stds: float
) -> None:
    study = Study.model_validate(case)
    step = FirstStep(study)
    seed = step.space.vector(study.seeds[0].parameters)
    unit = step.space.to_unit(seed)
    values = [step.margin(i, stds) for i in range(2)]
    told = [values[0], 2.0 - 2.0 * float(np.exp(-values[1]))]  # back from the log warp
    with patch("safebo.study.checks.whole_box_problems", return_value=[]):
        tuner = Tuner(study)
    tuner.tell(tuner.ask(), {"objective": 0.0, "margins": {"height": told[0], "tilt": told[1]}})
    grid = list(itertools.product(*(values_on(p) for p in case["parameters"])))
    rows = np.array([step.space.vector({f"p{i}": v for i, v in enumerate(row)}) for row in grid])
    lower = tuner.bounds(rows, "default")[:, 1:, 0].min(1)
    needed = [
        max(step.needed(i, point - unit) - v for i, v in enumerate(values))
        for point in step.space.to_unit(rows)
    ]
    for low, more in zip(lower, needed, strict=True):
        if abs(more) > 1e-6:
            assert (low >= 0) == (more <= 0)
    hardest = max(max(step.needed(i, p - unit) for i in range(2)) for p in step.farthest(unit))
    everywhere = [max(step.needed(i, p - unit) for i in range(2)) for p in step.space.to_unit(rows)]
    assert hardest >= max(everywhere) - 1e-9


@settings(max_examples=200, deadline=None)
@given(cases())
def test_the_quick_look_passes_no_study_that_one_seed_opens(case: dict[str, Any]) -> None:
    study = Study.model_validate(case)
    if has_far_corner(study):
        assert not list(whole_box_problems(study))


@pytest.mark.parametrize("kernel", [kernel.name for kernel in BUILT_IN])
def test_the_quick_look_is_right_where_it_only_just_passes(kernel: str) -> None:
    """One gain, the seed in the middle, half a range to either corner: lengthscales around 0.5, beta 1, no noise."""
    passed = 0
    for lengthscale in np.linspace(0.1, 0.6, 26):
        case = study_of([AXES[0]], [5.0], {"kernel": kernel, "lengthscale": float(lengthscale)}, beta=1.0)
        for spec in case["constraints"]:
            spec["noise_std"], spec["prior_mean"] = 1e-6, 0.0
        study = Study.model_validate(case)
        if has_far_corner(study):
            passed += 1
            assert not list(whole_box_problems(study))
    assert passed >= 20


SHORT = {"lengthscale": 0.3}
OPENED: dict[str, tuple[dict[str, Any], str]] = {
    "gain units": (study_of([AXES[0]] * 2, [2.0, 3.0], {"lengthscale": 20}), "surrogate.lengthscale"),
    "of one parameter each": (
        study_of([{**AXES[0], "lengthscale": 20.0}], [2.0], SHORT),
        "parameters[0].lengthscale",
    ),
    "rbf": (study_of([AXES[0]], [5.0], {"lengthscale": 3.0, "kernel": "rbf"}), "surrogate.lengthscale"),
    "choice": (study_of([AXES[7]], ["a"], {"lengthscale": 20}), "surrogate.lengthscale"),
    "six": (study_of([AXES[0]] * 6, [2.0] * 6, {"lengthscale": 20}), "surrogate.lengthscale"),
    "additive": (
        study_of([AXES[0]] * 2, [2.0, 3.0], {"lengthscale": 20, "structure": "additive"}),
        "surrogate.lengthscale",
    ),
    "lipschitz": (
        study_of([AXES[0]], [2.0], SHORT, certificate="lipschitz", lipschitz=[0.01, 0.01]),
        "tuner.lipschitz",
    ),
    "pool": (
        study_of(
            [AXES[0]],
            [2.0],
            {"lengthscale": 0.5},
            search={"domain": "pool", "pool": [{"p0": 2.0}, {"p0": 2.01}]},
        ),
        "surrogate.lengthscale",
    ),
}


@pytest.mark.parametrize("name", OPENED)
def test_a_study_that_one_seed_would_open_is_refused_at_every_entrance(name: str) -> None:
    case, where = OPENED[name]
    for enter in (check_study, Tuner):
        with pytest.raises(StudyError, match="would certify the whole box") as caught:
            enter(Study.model_validate(case))
        assert f"{where}: " in str(caught.value)


@pytest.mark.parametrize(
    ("axes", "seed", "surrogate", "tuner"),
    [
        ([AXES[0]], [5.0], {"lengthscale": 0.5}, {}),
        ([AXES[0]], [5.0], {"lengthscale": 1.0}, {}),
        ([AXES[0], {**AXES[0], "lengthscale": 20.0}], [5.0, 5.0], SHORT, {}),  # one parameter without effect
        ([AXES[0]], [5.0], {"lengthscale": 20.0}, {"method": "ei"}),  # promises nothing
    ],
)
def test_what_a_person_may_mean_is_not_refused(
    axes: list[dict[str, Any]], seed: list[Any], surrogate: dict[str, Any], tuner: dict[str, Any]
) -> None:
    check_study(Study.model_validate(study_of(axes, seed, surrogate, **tuner)))
