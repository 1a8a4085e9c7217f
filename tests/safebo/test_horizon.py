"""A horizon: margins as they are told for longer trials, what does not certify, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from safebo.errors import EmptySafeSetError, ShortTrialError, StudyError
from safebo.runs.best_gains import BestGains, read_best_gains, write_best_gains
from safebo.runs.runner import run
from safebo.storage.journal import Journal
from safebo.study import Study
from safebo.study.reading import check_study
from safebo.trial_length.extremes import Gumbel, extrapolated
from safebo.trial_length.variance import transient
from safebo.tuner import Tuner
from safebo.tuner.encoding import StudyEncoding
from safebo.tuner.opened import measured_margins
from safebo.types import Bounds, Measurement, Strides, Trial, TrialRecord

DATA: dict[str, Any] = {
    "name": "walk",
    "evaluator": {"name": "m:f"},
    "parameters": [{"name": "kp", "bounds": [0, 1], "lengthscale": 0.3}],
    "objective": {"name": "speed", "noise_std": 0.01},
    "constraints": [{"name": "height", "prior_std": 0.1, "noise_std": 0.002}],
    "seeds": [{"parameters": {"kp": 0.5}}],
    "trials": 4,
}
SECONDS = 12.0


def study(**changes: Any) -> Study:
    return Study.model_validate({**DATA, "horizon": 60.0, **changes})


def walk(
    kp: float, number: int, scale: float = 0.004, fall: float = 0.0, seconds: float = SECONDS
) -> Measurement:
    """Minima of strides of half a second: Gumbel's about a level, and falling with time."""
    rng = np.random.default_rng([number, round(1000 * kp)])
    minima = 0.1 - 0.1 * abs(kp - 0.5) - scale * rng.gumbel(size=round(2 * seconds))
    minima = minima - fall * np.arange(len(minima))
    return Measurement(
        "completed",
        objective=kp,
        margins={"height": float(minima.min())},
        duration=seconds,
        strides=Strides(0.5, 0.0, (), {"height": tuple(minima.tolist())}),
    )


def record(number: int, measurement: Measurement, kp: float = 0.5) -> TrialRecord:
    trial = Trial(number, {"kp": kp}, {}, "default", "seed" if number == 1 else "local", number, True)
    return TrialRecord(trial, measurement)


def test_a_margin_is_told_as_far_as_the_horizon_with_the_extrapolations_own_error() -> None:
    m = walk(0.5, 1)
    (row,) = StudyEncoding(study()).observations([record(1, m)])
    assert m.strides is not None
    whole = np.array(m.strides.margins["height"])
    minima = whole[transient(whole) :]
    law = Gumbel.of(minima)
    index = extrapolated([minima], 0.5, 60.0).index
    expected = float(law.quantile(index * 120.0))
    assert row.values[1] == pytest.approx(expected)
    assert expected < m.margins["height"]
    # The error of Gumbel's moments at 120 strides, from 4,000 experiments of as many strides.
    rng = np.random.default_rng(0)
    again = Gumbel.of(-(law.location + law.scale * rng.gumbel(size=(4000, len(minima)))))
    spread = float(np.std(np.minimum(m.margins["height"], again.quantile(index * 120.0))))
    assert row.noise[0] == 0.0
    assert row.noise[1] ** 0.5 == pytest.approx(spread, rel=0.4)
    assert row.exact == (True, True)


def test_trials_of_the_same_gains_are_pooled_and_share_one_error() -> None:
    encoding = StudyEncoding(study())
    records = [record(i, walk(0.5, i)) for i in (1, 2, 3)]
    rows = encoding.observations(records)
    pooled = extrapolated([np.array(r.measurement.strides.margins["height"]) for r in records], 0.5, 60.0)  # type: ignore[union-attr]
    for row, r in zip(rows, records, strict=True):
        assert r.measurement is not None
        assert row.values[1] == pytest.approx(min(r.measurement.margins["height"], pooled.value))
        # Three rows, each with three times the variance of what they share.
        shared = np.var(np.minimum(r.measurement.margins["height"], pooled.samples))
        assert row.noise[1] == pytest.approx(3.0 * shared, rel=0.4)
    alone = encoding.observations(records[:1])[0]
    assert alone.noise != rows[0].noise
    assert rows == encoding.observations(records)
    assert StudyEncoding(study()).observations(records)[1].values == rows[1].values


@pytest.mark.parametrize(
    ("measurement", "reason"),
    [
        (walk(0.5, 1, fall=0.003), "falls with time"),
        (walk(0.5, 1, seconds=5.0), "too short a time"),
        (walk(0.5, 1, seconds=2.0), "too few strides"),
        (replace(walk(0.5, 1), strides=None), "too few strides"),
    ],
)
def test_what_cannot_be_extrapolated_counts_as_at_the_limit(measurement: Measurement, reason: str) -> None:
    encoding = StudyEncoding(study())
    (row,) = encoding.observations([record(1, measurement)])
    assert row.values[1] == min(0.0, measurement.margins["height"])
    assert row.exact == (True, False)
    assert reason in encoding.beyond_horizon([record(1, measurement)])[1]
    assert encoding.beyond_horizon([record(1, walk(0.5, 1))]) == {}


def test_a_negative_margin_stays_as_negative_as_it_was() -> None:
    m = walk(0.5, 1, fall=0.02)
    (row,) = StudyEncoding(study()).observations([record(1, m)])
    assert m.margins["height"] < 0
    assert row.values[1] == m.margins["height"]


def test_a_trial_as_long_as_the_horizon_is_told_as_it_was_measured() -> None:
    m = walk(0.5, 1, seconds=60.0)
    (row,) = StudyEncoding(study()).observations([record(1, m)])
    assert row.values[1] == m.margins["height"]
    assert row.noise == ()


def test_without_a_horizon_strides_change_nothing() -> None:
    m = walk(0.5, 1)
    plain = StudyEncoding(study(horizon=None))
    with_strides, without = (plain.observations([record(1, x)])[0] for x in (m, replace(m, strides=None)))
    assert with_strides.values == without.values
    assert with_strides.noise == ()
    assert plain.beyond_horizon([record(1, m)]) == {}


@pytest.mark.parametrize(
    ("measurement", "words"),
    [
        (replace(walk(0.5, 1), strides=None), "none that can be used for height"),
        (
            replace(walk(0.5, 1), strides=Strides(0.5, 0.0, (1.0,), {})),
            "none that can be used for height",
        ),
        (walk(0.5, 1, seconds=5.5), "more than 10 times the 5.5 s"),
    ],
)
def test_a_seed_that_cannot_certify_so_far_stops_the_run(measurement: Measurement, words: str) -> None:
    tuner = Tuner(study())
    tuner.tell(tuner.ask(), measurement)
    with pytest.raises(ShortTrialError, match=words):
        tuner.ask()


def test_a_seed_whose_margin_falls_is_not_certified_and_says_why() -> None:
    tuner = Tuner(study())

    def go_on() -> None:
        for number in range(1, 20):
            tuner.tell(tuner.ask(), walk(0.5, number, fall=0.002))

    with pytest.raises(EmptySafeSetError, match="falls with time"):
        go_on()


def test_a_horizon_certifies_less_than_short_trials_and_says_for_how_long() -> None:
    found = {}
    for horizon in (60.0, None):
        tuner = Tuner(study(horizon=horizon))
        tuner.tell(tuner.ask(), walk(0.5, 1))
        found[horizon] = tuner.best()
    far, near = found[60.0], found[None]
    assert far is not None
    assert near is not None
    assert far.bounds["height"].lower < near.bounds["height"].lower
    assert (far.horizon, far.lasted) == (60.0, SECONDS)
    assert (near.horizon, near.lasted) == (None, SECONDS)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"horizon": 0}, "horizon"),
        ({"horizon": -3}, "horizon"),
        ({"horizon": "long"}, "horizon"),
        ({"constraints": [], "tuner": {"method": "random"}}, "no constraints"),
        (
            {"tuner": {"method": "losbo", "lipschitz": [1.0], "measured_noise": [0.1]}},
            "no measured_noise bounds",
        ),
    ],
)
def test_horizons_that_make_no_sense_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Exception, match=words):
        check_study(study(**changes))


def test_another_runs_trials_say_nothing_about_longer_ones() -> None:
    prior = [(record(1, walk(0.5, 1)).trial, walk(0.5, 1))]
    with pytest.raises(StudyError, match="no strides are kept"):
        Tuner(study(surrogate={"prior_data": {}})).take_prior(prior)


def gains(**changes: Any) -> BestGains:
    bounds = Bounds(0.1, 0.2, 0.3)
    return BestGains("default", {"kp": 0.5}, True, bounds, {"height": bounds}, "walk", **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"lasted": 5.0}, "certified for trials of 5 s"),
        ({"horizon": 60.0}, "certified for trials of 60 s"),
        ({"horizon": 60.0, "lasted": 5.0}, "certified for trials of 60 s; trials lasted 5 s"),
        ({"horizon": 60.0, "certified": False}, ""),
    ],
)
def test_a_file_of_best_gains_says_for_how_long_it_holds(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    best = replace(gains(), **changes)
    write_best_gains(tmp_path / "best.yaml", best)
    assert read_best_gains(tmp_path / "best.yaml") == best
    assert best.holds == words
    assert words in (tmp_path / "best.yaml").read_text().splitlines()[0]


PROGRAM = """
import numpy as np

def walk(parameters, context, seed=0):
    rng = np.random.default_rng(seed)
    minima = 0.1 - 0.1 * abs(parameters["kp"] - 0.5) - 0.004 * rng.gumbel(size=24)
    if parameters["kp"] != 0.5:
        minima = minima - 0.002 * np.arange(24)
    return {
        "objective": parameters["kp"],
        "margins": {"height": minima.min()},
        "duration": 12.0,
        "strides": {"period": 0.5, "margins": {"height": minima}},
    }

walk.repeatable = True
"""


def test_a_run_keeps_what_was_measured_and_says_once_which_trials_do_not_certify(
    tmp_path: Path,
) -> None:
    (tmp_path / "walker.py").write_text(PROGRAM)
    file = tmp_path / "walk.yaml"
    file.write_text(yaml.safe_dump({**DATA, "horizon": 60.0, "evaluator": {"name": "walker:walk"}}))
    run(file, tmp_path / "run", trials=3)
    run(file, tmp_path / "run", trials=4, resume=True)
    with Journal.open(tmp_path / "run", read_only=True) as journal:
        records, notes = journal.records(), [e for e in journal.events() if e.kind == "horizon"]
    fallen = [r.trial.id for r in records if r.trial.parameters["kp"] != 0.5]
    assert fallen
    assert [e.trial for e in notes] == fallen
    assert all("falls with time" in e.text for e in notes)
    for r in records:
        assert r.measurement is not None
        assert r.measurement.strides is not None
        assert r.measurement.margins["height"] == pytest.approx(min(r.measurement.strides.margins["height"]))
    best = read_best_gains(tmp_path / "run" / "best.yaml")
    assert best.holds == "certified for trials of 60 s; trials lasted 12 s"


def test_what_a_points_own_measurements_say_counts_the_extrapolations_error() -> None:
    encoding = StudyEncoding(study())
    records = [record(i, walk(0.5, i)) for i in (1, 2)]
    rows, said = encoding.observations(records), measured_margins(records, encoding)
    assert said is not None
    noise = 0.002**2 + np.mean([row.noise[1] for row in rows])
    scatter = np.var([row.values[1] or 0.0 for row in rows], ddof=1)
    assert float(said.std[0, 0]) == pytest.approx(np.sqrt(max(noise, scatter) / 2))
    assert noise > scatter
