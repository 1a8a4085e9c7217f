"""Intervals split into what is not known yet, doubt about the prior, and noise between and within trials."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from in_process import in_process

from safebo.evaluators.repeats import TrialNoise, repeated_strides, trial_noise
from safebo.models.interval_split import PARTS, IntervalSplit, headline
from safebo.report.data import ContextReport, PointIntervals
from safebo.report.figures.intervals import intervals_figure
from safebo.report.figures.style import styled
from safebo.report.intervals import interval_table
from safebo.report.page import build_report
from safebo.runs.best_gains import read_best_gains
from safebo.runs.runner import run
from safebo.study import Study, Warp
from safebo.study.reading import parse_study
from safebo.study.space import WarpMap
from safebo.tuner import Tuner
from safebo.types import Evidence, Measurement, Strides, Trial, TrialRecord

PLAIN = WarpMap(Warp())
UNKNOWN_SPLIT = TrialNoise(None, None, 0.01, "no strides recorded")


def split(
    unknown: float, doubt: float, noise: TrialNoise, evidence: Evidence | None = None, **changes: Any
) -> IntervalSplit:
    base = IntervalSplit("speed", "m/s", PLAIN, 1.0, unknown, doubt, noise, 0.01, 2.0, evidence, 40.0)
    return replace(base, **changes)


def study(trust: str = "declared", **changes: Any) -> Study:
    document: dict[str, Any] = {
        "name": "one gain",
        "evaluator": {"name": "closed-form"},
        "parameters": [{"name": "a", "bounds": [0.0, 1.0]}],
        "objective": {"name": "reward", "noise_std": 0.1},
        "constraints": [{"name": "margin", "noise_std": 0.05, "unit": "rad"}],
        "seeds": [{"parameters": {"a": 0.5}}],
        "surrogate": {"kernel": "rbf", "lengthscale": 0.4, "trust": trust, "caution": [0.5]},
        "tuner": {"method": "safe_ucb", "beta": 3.0},
    }
    return Study.model_validate(document | changes)


def test_parts_add_up_as_variances_and_the_mean_has_no_noise() -> None:
    found = split(0.04, 0.05, TrialNoise(0.09, 0.16, 0.25))
    assert found.deviations == pytest.approx(
        {"unknown": 0.2, "doubt": math.sqrt(0.05), "between": 0.3, "within": 0.4}
    )
    assert found.shares == pytest.approx(
        {"unknown": 0.04 / 0.34, "doubt": 0.05 / 0.34, "between": 0.09 / 0.34, "within": 0.16 / 0.34}
    )
    assert (found.of_mean.lower, found.of_mean.upper) == pytest.approx((1.0 - 2 * 0.3, 1.0 + 2 * 0.3))
    reach = 2.0 * math.sqrt(0.34)
    assert (found.of_next.lower, found.of_next.upper) == pytest.approx((1.0 - reach, 1.0 + reach))


def test_a_warped_deviation_is_half_an_interval_in_the_own_unit() -> None:
    # w = -log(-y) about y = -1: one standard deviation reaches from -e^s to -e^-s.
    warp = WarpMap(Warp(kind="log", scale=1.0, upper=0.0))
    found = split(0.25, 0.0, UNKNOWN_SPLIT, warp=warp, mean=0.0)
    assert found.deviations["unknown"] == pytest.approx(math.sinh(0.5))
    assert found.of_mean.lower == pytest.approx(-math.e)
    assert found.of_mean.upper == pytest.approx(-1.0 / math.e)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (split(0.9, 0.0, UNKNOWN_SPLIT), "99 % of it is what is not known yet: more trials near these gains"),
        (split(0.01, 0.0, TrialNoise(0.08, 0.01, 0.09)), "80 % of it is noise between trials: repeating"),
        (
            split(0.0, 0.0, TrialNoise(0.01, 0.03, 0.04, strides=8, period=0.5, start=1.0)),
            "75 % of it is noise within a trial: trials of 9 s instead of 5 s would halve that part.",
        ),
        (
            split(0.0, 0.0, TrialNoise(0.01, 0.03, 0.04, averaged=False)),
            "a margin is its least value: repeating these gains narrows their mean, longer trials only lower",
        ),
        (
            split(0.0, 0.0, UNKNOWN_SPLIT),
            "100 % of it is noise (between and within trials not told apart: no strides recorded)",
        ),
        (
            split(0.01, 0.08, UNKNOWN_SPLIT, Evidence("lengthscale x 0.5", math.log(3.2), 0.0)),
            "80 % of it is doubt about the prior: evidence for the declared one is 3.2 of 40",
        ),
        (
            split(0.01, 0.08, UNKNOWN_SPLIT, Evidence("declared", 9.0, 0.0, suspected="noise x 3")),
            "noise x 3 is suspected",
        ),
        (
            split(0.01, 0.08, UNKNOWN_SPLIT, Evidence("x", 9.0, 0.0, refuted_by="prior_std x 3")),
            "the declared one is refuted (prior_std x 3 is likelier)",
        ),
        (split(0.03, 0.02, TrialNoise(0.025, 0.025, 0.05)), "The largest part, 30 %, is what is not known"),
        (split(0.0, 0.0, TrialNoise(0.0, 0.0, 0.0)), "Nothing varies"),
    ],
)
def test_the_largest_part_decides_the_advice(found: IntervalSplit, words: str) -> None:
    assert words in found.advice
    assert found.advice.endswith(".")


def test_a_run_is_told_of_its_objective_unless_a_prior_is_doubted() -> None:
    objective = split(0.9, 0.0, UNKNOWN_SPLIT, function="reward")
    fine = split(0.0, 0.0, UNKNOWN_SPLIT, function="height")
    doubted = split(0.01, 0.5, UNKNOWN_SPLIT, Evidence("lengthscale x 0.5", 0.0, 0.0))
    assert headline((objective, fine)).startswith("Interval of reward: 99 % of it is what is not known yet")
    assert headline((objective, fine, doubted)).startswith("Interval of speed: 96 % of it is doubt")
    assert headline(()) == ""


def test_noise_that_is_clearly_not_the_declared_one_is_said() -> None:
    assert split(0.0, 0.0, TrialNoise(0.005, 0.005, 0.01)).note == ""
    assert "vary by 0.5, the model's noise is 0.1" in split(0.0, 0.0, TrialNoise(0.2, 0.05, 0.25)).note
    assert split(0.0, 0.0, TrialNoise(None, None, 9.0, "no strides recorded")).note == ""


variance = st.one_of(st.just(0.0), st.floats(1e-300, 1e300))


@given(variance, variance, variance, variance, st.booleans())
def test_shares_sum_to_one(unknown: float, doubt: float, between: float, within: float, apart: bool) -> None:
    noise = (
        TrialNoise(between, within, between + within)
        if apart
        else TrialNoise(None, None, between, "no strides recorded")
    )
    found = split(unknown, doubt, noise)
    whole = sum(found.shares.values())
    nothing = max(found.variances.values()) == 0.0
    assert whole == pytest.approx(0.0 if nothing else 1.0, abs=1e-9)
    assert set(found.variances) <= set(PARTS)
    assert all(0.0 <= share <= 1.0 for share in found.shares.values())
    assert found.shares[found.largest] == max(found.shares.values())


def repeats(between: float, within: float, trials: int, strides: int, gains: int = 1) -> list[TrialRecord]:
    """Trials of a few gains, whose strides vary by known amounts; the margin is their minimum."""
    rng, records = np.random.default_rng(3), []
    for i in range(trials):
        values = 1.0 + between * rng.normal() + within * rng.normal(size=strides)
        height = 0.5 + between * rng.normal() + within * rng.normal(size=strides)
        m = Measurement(
            "completed",
            float(values.mean()),
            {"margin": float(height.min())},
            duration=1.0 + 0.5 * strides,
            strides=Strides(0.5, 1.0, tuple(values.tolist()), {"margin": tuple(height.tolist())}),
        )
        trial = Trial(i + 1, {"a": 0.5 + 0.01 * (i % gains)}, {}, "default", "local", i, True)
        records.append(TrialRecord(trial, m))
    return records


def test_noise_is_split_as_it_was_made() -> None:
    made = study()
    found = trial_noise(repeats(0.2, 0.6, 4000, 12, gains=4), made, made.objective, 9.0)
    assert found.between is not None
    assert found.within is not None
    assert found.between == pytest.approx(0.04, rel=0.15)
    assert found.within == pytest.approx(0.36 / 12, rel=0.15)
    assert found.whole == found.between + found.within
    assert found.seconds() == pytest.approx(1.0 + 0.5 * 12)
    # Of a margin: the variance of the minimum of 12 normal values, by simulation, beside the same s_b^2.
    minima = 0.6 * np.random.default_rng(0).normal(size=(100_000, 12)).min(1)
    margin = trial_noise(repeats(0.2, 0.6, 4000, 12, gains=4), made, made.constraints[0], 9.0)
    assert margin.between == pytest.approx(0.04, rel=0.15)
    assert margin.within == pytest.approx(float(minima.var()), rel=0.2)
    assert not margin.averaged


def test_what_repeats_do_not_tell_is_not_told_apart() -> None:
    made = study()
    told = repeats(0.2, 0.6, 6, 12)
    bare = [TrialRecord(r.trial, replace(r.measurement, strides=None)) for r in told]  # type: ignore[type-var]
    alone = repeats(0.2, 0.6, 6, 12, gains=6)
    early = [TrialRecord(r.trial, replace(r.measurement, ended="unsafe")) for r in told]  # type: ignore[type-var]
    for records, why in (
        (bare, "no strides recorded"),
        (early, "no strides recorded"),
        ([], "no strides recorded"),
        (alone, "no gains were tried 3 times"),
    ):
        found = trial_noise(records, made, made.objective, 0.01)
        assert (found.between, found.within, found.whole, found.why) == (None, None, 0.01, why)
    far = study(horizon=60.0)
    assert "horizon" in trial_noise(told, far, far.constraints[0], 0.01).why
    assert trial_noise(told, far, far.objective, 0.01).between is not None
    assert repeated_strides([], made, made.objective).split is None


def told_tuner(made: Study, records: list[TrialRecord]) -> Tuner:
    tuner = Tuner(made, 0)
    for record in records:
        assert record.measurement is not None
        tuner.tell_manual(record.trial.parameters, "default", record.measurement)
    return tuner


def test_a_tuner_splits_by_its_own_posterior() -> None:
    made = study()
    tuner = told_tuner(made, repeats(0.1, 0.2, 6, 12))
    reward, margin = tuner.intervals({"a": 0.5}, "default")
    lower, mean, upper = tuner.bounds(np.array([[0.5]]), "default")[0, 0]
    # Six measurements of one point under a prior of variance 1 and noise 0.1.
    assert reward.unknown == pytest.approx(1.0 / (1.0 + 6 / 0.1**2), rel=1e-6)
    assert (reward.of_mean.lower, reward.of_mean.mean, reward.of_mean.upper) == pytest.approx(
        (lower, mean, upper)
    )
    assert (reward.doubt, margin.doubt) == (0.0, 0.0)
    assert reward.noise.between is not None
    assert reward.declared_noise == pytest.approx(0.01)
    far = tuner.intervals({"a": 1.0}, "default")[0]
    assert far.unknown > 0.5
    assert far.largest == "unknown"


def test_doubt_is_what_a_cautious_prior_adds() -> None:
    records = repeats(0.02, 0.02, 6, 12)
    plain = told_tuner(study(), records).intervals({"a": 0.7}, "default")
    tuner = told_tuner(study("earned"), records)
    reward, margin = tuner.intervals({"a": 0.7}, "default")
    assert reward.doubt == 0.0
    assert reward.unknown == pytest.approx(plain[0].unknown)
    assert margin.unknown == pytest.approx(plain[1].unknown)
    # Half the lengthscale, 0.2, and nothing else: the posterior variance in closed form.
    k = math.exp(-0.5 * (0.2 / 0.2) ** 2)
    assert margin.unknown + margin.doubt == pytest.approx(1.0 - k**2 / (1.0 + 0.05**2 / 6), rel=1e-6)
    assert margin.largest == "doubt"
    assert "of 40" in margin.advice
    assert margin.evidence is not None
    assert margin.evidence.prior == "lengthscale x 0.5"
    best = tuner.best()
    assert best is not None
    assert best.advice.startswith("Interval of ")


def context(functions: int) -> ContextReport:
    def at(scale: float) -> tuple[IntervalSplit, ...]:
        noises = (TrialNoise(0.02, 0.01, 0.03), UNKNOWN_SPLIT)
        return tuple(
            split(scale * 0.01 * i, 0.002 * i, noises[i % 2], function=f"joint_velocity_limit_{i}")
            for i in range(1, functions + 1)
        )

    points = (PointIntervals("best certified gains", at(1.0)), PointIntervals("seed gains", at(0.2)))
    return ContextReport("default", {}, True, intervals=points)


@pytest.mark.parametrize("functions", [1, 7])
def test_every_bar_is_whole_and_every_row_has_its_cells(functions: int) -> None:
    shown = context(functions)
    with styled():
        figure = intervals_figure(shown)
    for ax, point in zip(figure.axes, shown.intervals, strict=True):
        ends: dict[float, float] = {}
        for patch in ax.patches:
            row = round(patch.get_y() + 0.5 * patch.get_height())  # type: ignore[attr-defined]
            ends[row] = ends.get(row, 0.0) + patch.get_width()  # type: ignore[attr-defined]
        assert list(ends.values()) == pytest.approx([1.0] * len(point.splits))
    table = interval_table(shown)
    assert table is not None
    assert len(table.rows) == 2 * functions
    assert all(len(row.cells) == len(table.parts) for row in table.rows)
    assert all(("–" in row.cells) for row in table.rows if functions > 1)
    assert interval_table(ContextReport("default", {}, True)) is None


STRIDING = """
name: strides
evaluator: {name: test_interval_split:striding, options: {repeatable: true}}
parameters: [{name: a, bounds: [1, 2], type: integer}]
objective: {name: reward, noise_std: 0.2, unit: m/s}
constraints: [{name: margin, noise_std: 0.05}]
seeds: [{parameters: {a: 1}}]
surrogate: {lengthscale: 3.0}
tuner: {search: {swarm_size: 8, swarm_iterations: 3, restarts: 1}}
trials: 8
"""


def striding(parameters: Mapping[str, float], context: Mapping[str, float], seed: int = 0) -> Any:
    """Differs from trial to trial, hardly from stride to stride."""
    rng = np.random.default_rng(seed)
    values = 0.1 * parameters["a"] + 0.2 * rng.normal() + 0.01 * rng.normal(size=12)
    margin = 1.0 + 0.01 * rng.normal(size=12)
    return {
        "objective": float(values.mean()),
        "margins": {"margin": float(margin.min())},
        "duration": 7.0,
        "strides": {
            "period": 0.5,
            "start": 1.0,
            "objective": values.tolist(),
            "margins": {"margin": margin.tolist()},
        },
    }


def test_a_run_says_it_in_its_file_on_the_terminal_and_in_the_report(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    with ThreadPoolExecutor(1) as executor:
        run(parse_study(STRIDING), folder, executor=executor, seed=1)
    advice = read_best_gains(folder / "best.yaml").advice
    # Eight trials of two gains have averaged most of the noise out; nothing but noise between trials is left.
    assert re.fullmatch(
        r"Interval of reward: \d\d % of it is noise between trials: repeating these gains .*", advice
    )
    shown = in_process(capfd, "best", folder)
    assert advice in shown.out
    page = build_report(folder).read_text(encoding="utf-8")
    assert 'id="intervals"' in page
    assert "noise between trials: repeating these gains" in page
    assert (folder / "report" / "intervals-default.png").stat().st_size > 1000
