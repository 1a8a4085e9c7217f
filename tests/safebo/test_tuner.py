"""The tuner as a whole on closed-form functions."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tuner_cases import hill, hill_study, independent_lower_bounds, measured, run

from safebo.errors import (
    EmptySafeSetError,
    InputError,
    MeasurementError,
    ParameterError,
    StudyError,
    UnknownNameError,
    UnsafeSeedError,
)
from safebo.tuner import Tuner
from safebo.types import Measurement, Trial


def until_refused(tuner: Tuner, measurement: Measurement, asked: list[Trial]) -> None:
    """Ask and tell the same until the tuner refuses, at most 30 times."""
    for _ in range(30):
        asked.append(tuner.ask("slow"))
        tuner.tell(asked[-1], measurement)


METHODS = ["safe_ucb", "safeopt", "random_safe"]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_right_prior_is_never_violated(method: str) -> None:
    for seed in range(2):
        trials = run(Tuner(hill_study(method), seed), 12, noise_seed=seed, context="slow")
        assert all(hill(trial)[1] >= 0 for trial in trials)
        assert {trial.phase for trial in trials[1:]} <= {"local", "seed"}


def test_safe_ucb_finds_the_constrained_optimum() -> None:
    study = hill_study("safe_ucb")
    # The best safe reward by brute force over the box.
    kp, kd = np.meshgrid(np.linspace(0, 1, 201), np.linspace(0, 1, 201), indexing="ij")
    reward = -2.0 * (kp - 0.72) ** 2 - 1.5 * (kd - 0.55) ** 2
    margin = 0.45 - 2.2 * (kp - 0.42) ** 2 - 2.0 * (kd - 0.45) ** 2 - 0.02
    optimum = reward[margin >= 0].max()
    for seed in range(2):
        tuner = Tuner(study, seed)
        first = run(tuner, 20, noise_seed=seed, context="slow")[0]
        best = tuner.best("slow")
        assert best is not None
        assert best.certified
        start = hill(first)[0]
        found = hill(replace(first, parameters=best.parameters))
        assert found[1] >= 0
        assert found[0] >= start + 0.9 * (optimum - start)


def test_gp_ucb_and_random_violate() -> None:
    for method in ("gp_ucb", "random"):
        trials = run(Tuner(hill_study(method), 0), 20, context="slow")
        assert any(hill(trial)[1] < 0 for trial in trials)
        assert {trial.phase for trial in trials[1:]} == {"global"}


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10_000),
    method=st.sampled_from(METHODS),
    beta=st.floats(1.0, 4.0),
    lengthscale=st.floats(0.15, 0.6),
    noise=st.floats(0.005, 0.05),
)
def test_every_local_proposal_holds_its_certificate_in_an_independent_posterior(
    seed: int, method: str, beta: float, lengthscale: float, noise: float
) -> None:
    """Whatever the functions do, right prior or wrong."""
    base = hill_study(method)
    study = base.model_copy(
        update={
            "tuner": base.tuner.model_copy(update={"beta": beta}),
            "surrogate": base.surrogate.model_copy(update={"lengthscale": lengthscale}),
        }
    )
    tuner, rng = Tuner(study, seed), np.random.default_rng(seed)
    told: list[tuple[Trial, Measurement]] = []
    for _ in range(8):
        trial = tuner.ask("slow")
        if trial.phase == "local":
            assert (independent_lower_bounds(study, told, trial) >= 0).all()
            assert trial.certified
        # Margins that follow no smooth function at all, but keep the seed safe.
        margin = 0.35 + noise * rng.standard_normal() if trial.phase == "seed" else rng.uniform(0.0, 0.6)
        m = Measurement(
            "completed", objective=float(rng.standard_normal()), margins={"margin": float(margin)}
        )
        tuner.tell(trial, m)
        told.append((trial, m))


@pytest.mark.parametrize("method", [*METHODS, "gp_ucb", "random"])
def test_same_seed_same_trials_and_restore_goes_on_exactly(method: str) -> None:
    study = hill_study(method)
    whole = run(Tuner(study, 3), 9, context=None)
    assert whole == run(Tuner(study, 3), 9)
    assert whole[:4] != run(Tuner(study, 4), 4)
    for cut in (0, 1, 6):
        first, rng = Tuner(study, 3), np.random.default_rng(0)
        records = []
        for _ in range(cut):
            trial = first.ask()
            m = measured(trial, rng)
            first.tell(trial, m)
            records.append((trial, m))
        again = Tuner(study, 3)
        again.restore(records)
        assert [t for t, _ in records] == whole[:cut]
        assert again.ask() == whole[cut]


@pytest.mark.parametrize("records", [[1, 2], [None], [({"kp": 1.0}, None)]])
def test_restore_says_which_record_is_none(records: Any) -> None:
    with pytest.raises(MeasurementError, match=r"record 1 is .*; expected is a Trial with its Measurement"):
        Tuner(hill_study("safeopt"), 0).restore(records)


def test_restore_with_a_pending_trial_goes_on_exactly() -> None:
    study, rng = hill_study(), np.random.default_rng(1)
    tuner = Tuner(study, 0)
    records = []
    for _ in range(4):
        trial = tuner.ask("slow")
        m = measured(trial, rng)
        tuner.tell(trial, m)
        records.append((trial, m))
    pending = tuner.ask("slow")
    again = Tuner(study, 0)
    again.restore([*records, (pending, None)])
    m = measured(pending, rng)
    tuner.tell(pending, m)
    again.tell(pending.id, m)
    assert tuner.ask("slow") == again.ask("slow")


def test_refitted_hyperparameters_restore_exactly() -> None:
    study = hill_study(surrogate={"hyperparameters": "map", "refit_every": 3})
    tuner, rng = Tuner(study, 0), np.random.default_rng(0)
    records = []
    for _ in range(7):
        trial = tuner.ask("slow")
        m = measured(trial, rng)
        tuner.tell(trial, m)
        records.append((trial, m))
    again = Tuner(study, 0)
    again.restore(records)
    assert tuner.ask("slow") == again.ask("slow")
    assert tuner._state.models.models == again._state.models.models
    assert tuner._state.models.models != tuner._state.models.declared


def test_tells_out_of_order_give_the_same_model() -> None:
    study = hill_study()
    tuners = Tuner(study, 0), Tuner(study, 0)
    rng = np.random.default_rng(0)
    trials = [tuners[0].ask("slow") for _ in range(3)]
    assert trials == [tuners[1].ask("slow") for _ in range(3)]
    measurements = [measured(t, rng) for t in trials]
    for i in (0, 1, 2):
        tuners[0].tell(trials[i], measurements[i])
    for i in (2, 0, 1):
        tuners[1].tell(trials[i], measurements[i])
    assert tuners[0].ask("slow") == tuners[1].ask("slow")


def test_pending_trials_are_spread_and_do_not_certify() -> None:
    study = hill_study("safeopt")
    tuner = Tuner(study, 0)
    run(tuner, 6, context="slow")
    before = tuner.certify({"kp": 3.3, "kd": 0.7}, "slow")
    round_ = [tuner.ask("slow") for _ in range(3)]
    points = {tuple(t.parameters.values()) for t in round_}
    assert len(points) == 3
    assert tuner.certify({"kp": 3.3, "kd": 0.7}, "slow") == before


def test_contexts_follow_the_schedule_and_share_what_is_learned() -> None:
    study = hill_study(
        context={
            "schedule": [{"context": "slow", "trials": 6}, {"context": "fast", "trials": 4}],
        }
    )
    tuner = Tuner(study, 0)
    trials = run(tuner, 10)
    assert [t.context_name for t in trials] == ["slow"] * 6 + ["fast"] * 4
    assert [t.phase for t in trials].count("seed") == 2
    assert trials[6].phase == "seed"
    assert tuner.scheduled_context() == "fast"
    # What slow showed narrows the bounds in fast before anything ran there.
    alone = Tuner(study, 0)
    run(alone, 6)
    informed = alone.bounds([list(trials[0].parameters.values())], "fast")
    ignorant = Tuner(study, 0).bounds([list(trials[0].parameters.values())], "fast")
    assert (np.ptp(informed, axis=-1) < 0.7 * np.ptp(ignorant, axis=-1)).all()
    prediction = tuner.predict("unseen")
    assert not prediction.certified
    assert set(prediction.bounds) == {"reward", "margin"}


def test_best_is_certified_and_never_worse_than_what_was_tried() -> None:
    tuner = Tuner(hill_study("safeopt"), 1)
    assert tuner.best("slow") is None
    trials = run(tuner, 10, context="slow")
    best = tuner.best("slow")
    assert best is not None
    assert best.certified
    assert best.bounds["margin"].lower >= 0
    assert tuner.certify(best.parameters, "slow").certified
    for trial in trials:
        certificate = tuner.certify(trial.parameters, "slow")
        if certificate.certified:
            assert certificate.bounds["reward"].lower <= best.bounds["reward"].lower + 1e-9
    # A lucky value outside the certified set is never best.
    lucky = Measurement("completed", objective=50.0, margins={"margin": -0.5})
    tuner.tell_manual({"kp": 9.0, "kd": 5.0}, "slow", lucky)
    again = tuner.best("slow")
    assert again is not None
    assert again.bounds["margin"].lower >= 0
    assert dict(again.parameters) != {"kp": 9.0, "kd": 5.0}


def test_manual_trials_and_edits() -> None:
    tuner = Tuner(hill_study(), 0)
    rng = np.random.default_rng(0)
    run(tuner, 3, context="slow")
    trial = tuner.ask("slow")
    kept = tuner.edit(trial.id, {"kp": 3.0, "kd": 0.6})
    assert (kept.id, kept.phase, kept.certified) == (trial.id, "manual", True)
    assert kept.seed == trial.seed
    lost = tuner.edit(trial.id, {"kp": 9.9, "kd": 9.9})
    assert not lost.certified
    with pytest.raises(ParameterError, match="outside its bounds"):
        tuner.edit(trial.id, {"kp": 11.0, "kd": 1.0})
    tuner.tell(trial.id, measured(lost, rng))
    with pytest.raises(MeasurementError, match="told already"):
        tuner.edit(trial.id, {"kp": 3.0, "kd": 0.6})
    manual = tuner.tell_manual({"kp": 4.0, "kd": 1.0}, "slow", Measurement("completed", 0.1, {"margin": 0.3}))
    assert manual.phase == "manual"
    assert manual.id == trial.id + 1
    assert tuner.ask("slow").id == manual.id + 1


def test_an_unsafe_seed_is_refused() -> None:
    tuner = Tuner(hill_study(), 0)
    trial = tuner.ask("slow")
    tuner.tell(trial, Measurement("completed", 0.0, {"margin": -0.02}))
    with pytest.raises(UnsafeSeedError, match=r"slow.*margin = -0\.02.*kp 3"):
        tuner.ask("slow")
    # Other contexts go on.
    assert tuner.ask("fast").phase == "seed"


def test_a_seed_with_too_little_margin_is_repeated_and_then_refused() -> None:
    tuner = Tuner(hill_study(), 0)
    asked: list[Trial] = []
    poor = Measurement("completed", 0.0, {"margin": 0.001})
    with pytest.raises(EmptySafeSetError, match="noise_std"):
        until_refused(tuner, poor, asked)
    assert 2 < len(asked) < 10
    assert {t.phase for t in asked} == {"seed"}
    assert len({tuple(t.parameters.values()) for t in asked}) == 1


def test_a_seed_that_needs_repeats_gets_them() -> None:
    tuner = Tuner(hill_study(), 0)
    phases = []
    for _ in range(6):
        trial = tuner.ask("slow")
        phases.append(trial.phase)
        tuner.tell(trial, Measurement("completed", 0.0, {"margin": 0.055}))
    assert phases[:2] == ["seed", "seed"]
    assert "local" in phases


@pytest.mark.parametrize("seed", [-1, 1.5, "a", True])
def test_a_seed_is_a_whole_number(seed: object) -> None:
    with pytest.raises(InputError, match="seed must be a whole number of at least 0"):
        Tuner(hill_study(), seed)  # type: ignore[arg-type]
    assert Tuner(hill_study(), np.int64(3)).seed == 3  # type: ignore[arg-type]


@pytest.mark.parametrize("study", ["my-study.yaml", None, {}])
def test_a_tuner_needs_a_study(study: object) -> None:
    with pytest.raises(InputError, match="a Tuner needs a study, not"):
        Tuner(study)  # type: ignore[arg-type]


def test_what_other_gains_showed_is_not_remembered_as_that_of_the_proposal() -> None:
    tuner = Tuner(hill_study(), 0)
    trial = tuner.ask("slow")
    shown = measured(trial, np.random.default_rng(0))
    other = replace(trial, parameters={n: v * 1.01 for n, v in trial.parameters.items()})
    with pytest.raises(InputError, match=r"was asked with .*, not with .*tell_manual"):
        tuner.tell(other, shown)
    for wrong in (None, True, "1", 1.0):
        with pytest.raises(InputError, match="a trial as ask"):
            tuner.tell(wrong, shown)  # type: ignore[arg-type]
    assert len(tuner.history.pending()) == 1
    edited = tuner.edit(trial.id, dict(other.parameters))
    with pytest.raises(InputError, match="was asked with"):
        tuner.tell(trial, shown)
    tuner.tell(edited, shown)


@pytest.mark.parametrize("rows", [[[1.0, 2.0, 3.0]], [[[1.0, 2.0]]], [[math.nan, 1.0]], [1.0], [["a", 1]]])
def test_bounds_are_asked_at_rows_of_parameters(rows: object) -> None:
    with pytest.raises(InputError, match="parameters"):
        Tuner(hill_study(), 0).bounds(rows, "slow")  # type: ignore[arg-type]


def test_failed_trials_are_recorded_and_never_modelled() -> None:
    study = hill_study()
    tuner = Tuner(study, 0)
    run(tuner, 4, context="slow")
    before = tuner.bounds([[3.0, 0.6], [5.0, 1.0]], "slow")
    best, predicted = tuner.best("slow"), tuner.predict("slow")
    trial = tuner.ask("slow")
    assert (tuner.best("slow"), tuner.predict("slow")) == (best, predicted)  # pending
    tuner.tell(trial, Measurement("failed", message="no telemetry"))
    assert (tuner.best("slow"), tuner.predict("slow")) == (best, predicted)
    np.testing.assert_array_equal(before, tuner.bounds([[3.0, 0.6], [5.0, 1.0]], "slow"))
    assert len(tuner.history) == 5
    assert tuner.ask("slow").parameters != trial.parameters
    # A failed seed is tried again, and not for ever.
    fresh = Tuner(study, 0)
    asked: list[Trial] = []
    with pytest.raises(EmptySafeSetError, match=r"failed 6 times.*no telemetry"):
        until_refused(fresh, Measurement("failed", message="no telemetry"), asked)
    assert {t.phase for t in asked} == {"seed"}


def test_a_fall_teaches_its_margins_and_no_objective() -> None:
    tuner = Tuner(hill_study(), 0)
    run(tuner, 3, context="slow")
    where = [[8.0, 3.0]]
    before = tuner.bounds(where, "slow")[0]
    tuner.tell_manual(
        {"kp": 8.0, "kd": 3.0}, "slow", Measurement("aborted", margins={"margin": -1.0}, fell=True)
    )
    after = tuner.bounds(where, "slow")[0]
    np.testing.assert_array_equal(before[0], after[0])
    assert after[1, 2] < -0.8


EARLY = [
    Measurement("aborted", margins={"margin": 1.2}, fell=True),
    Measurement("aborted", margins={"margin": 1.2}),
    Measurement("completed", 1.0, {"margin": 1.2}, fell=True),
    {"fell": True, "margins": {"margin": 1.2}},
    {"outcome": "aborted", "objective": 5.0, "margins": {"margin": 1e-9}},
]


@pytest.mark.parametrize("early", EARLY)
@pytest.mark.parametrize("certificate", ["posterior", "lipschitz"])
def test_a_fall_or_an_abort_never_certifies(early: Measurement | dict[str, object], certificate: str) -> None:
    lipschitz = {} if certificate == "posterior" else {"certificate": certificate, "lipschitz": [4.0]}
    tuner = Tuner(hill_study(tuner={"method": "safe_ucb", "beta": 3.0, **lipschitz}), 0)
    run(tuner, 2, context="slow")
    far = {"kp": 9.5, "kd": 9.0}
    near = [{"kp": 9.5 - d, "kd": 9.0} for d in (0.0, 0.05, 0.3)]
    tuner.tell_manual(far, "slow", early)
    assert not any(tuner.certify(x, "slow").certified for x in near)
    # Nor after the same gains did well once, before or after.
    for good in (0.9, 1.1):
        tuner.tell_manual(far, "slow", Measurement("completed", 1.0, {"margin": good}))
        assert not any(tuner.certify(x, "slow").certified for x in near)
    restored = Tuner(tuner.study, 0)
    restored.restore([(r.trial, r.measurement) for r in tuner.history])
    np.testing.assert_array_equal(restored.bounds([[9.5, 9.0]], "slow"), tuner.bounds([[9.5, 9.0]], "slow"))


def test_a_fall_takes_back_what_its_gains_had_certified() -> None:
    tuner = Tuner(hill_study(), 0)
    run(tuner, 6, context="slow")
    best = tuner.best("slow")
    assert best is not None
    tuner.tell_manual(best.parameters, "slow", Measurement("aborted", margins={"margin": 0.4}, fell=True))
    assert not tuner.certify(best.parameters, "slow").certified
    after = tuner.best("slow")
    assert after is None or dict(after.parameters) != dict(best.parameters)


def test_a_fall_whose_numbers_cannot_be_used_is_a_fall() -> None:
    tuner = Tuner(hill_study(), 0)
    run(tuner, 3, context="slow")
    before = tuner.bounds([[8.0, 3.0]], "slow")[0]
    tuner.tell_manual({"kp": 8.0, "kd": 3.0}, "slow", Measurement("failed", fell=True, message="no numbers"))
    after = tuner.bounds([[8.0, 3.0]], "slow")[0]
    np.testing.assert_array_equal(before[0], after[0])
    assert after[1, 2] < 0


def test_an_aborted_seed_is_refused() -> None:
    tuner = Tuner(hill_study(), 0)
    tuner.tell(tuner.ask("slow"), Measurement("aborted", margins={"margin": 0.4}))
    with pytest.raises(UnsafeSeedError, match="it was aborted"):
        tuner.ask("slow")


@pytest.mark.parametrize(
    ("measurement", "message"),
    [
        (Measurement("completed", math.nan, {"margin": 0.1}), "'reward' is nan"),
        (Measurement("completed", 0.0, {"margin": math.inf}), "'margin' is inf"),
        (Measurement("completed", None, {"margin": 0.1}), "objective 'reward' is missing"),
        (Measurement("completed", 0.0, {"other": 0.1}), "'margin' is missing"),
        (Measurement("aborted", None, {}), "'margin' is missing"),
        (Measurement("vanished", 0.0, {"margin": 0.1}), "does not exist"),  # type: ignore[arg-type]
    ],
)
def test_bad_measurements_are_refused(measurement: Measurement, message: str) -> None:
    tuner = Tuner(hill_study(), 0)
    trial = tuner.ask("slow")
    with pytest.raises(MeasurementError, match=message):
        tuner.tell(trial, measurement)
    tuner.tell(trial, Measurement("completed", 0.0, {"margin": 0.3}))
    with pytest.raises(MeasurementError, match="told already"):
        tuner.tell(trial, Measurement("completed", 0.0, {"margin": 0.3}))


def test_unknown_names_are_listed() -> None:
    tuner = Tuner(hill_study(), 0)
    with pytest.raises(UnknownNameError, match="fast, slow, unseen"):
        tuner.ask("slwo")
    with pytest.raises(UnknownNameError, match="trial 7"):
        tuner.tell(7, Measurement("failed"))
    with pytest.raises(StudyError, match="no seed"):
        tuner.ask("unseen")
    with pytest.raises(ParameterError, match="missing kd"):
        tuner.certify({"kp": 1.0}, "slow")


def test_studies_that_could_not_be_safe_are_refused() -> None:
    certain = {"name": "margin", "prior_mean": 2.0, "prior_std": 0.5, "noise_std": 0.02}
    with pytest.raises(StudyError, match="certified untried"):
        Tuner(hill_study(constraints=[certain]), 0)
    with pytest.raises(StudyError, match="safe_ucb"):
        Tuner(hill_study("safe_ubc"), 0)


def test_a_grid_is_searched_exactly() -> None:
    study = hill_study("safe_ucb", tuner={"search": {"domain": "grid", "grid_points": 21}})
    tuner = Tuner(study, 0)
    trials = run(tuner, 8, context="slow")
    assert all(hill(t)[1] >= 0 for t in trials)
    grid = np.array([[10 * i / 20, 0.1 * 100 ** (j / 20)] for i in range(21) for j in range(21)])
    bounds = tuner.bounds(grid, "slow")
    expected = bounds[(bounds[:, 1, 0] >= 1e-4), 0, 2].max()
    assert tuner.ask("slow").predicted["reward"].upper == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (
            {"domain": "pool", "pool": [{"kp": 9.0, "kd": 9.0}]},
            "no point of the pool is.*add candidates near it",
        ),
        ({"domain": "grid", "grid_points": 2}, "no point of the grid is.*more tuner.search.grid_points"),
    ],
)
def test_a_seed_far_from_all_candidates_is_not_called_uncertified(
    search: dict[str, object], message: str
) -> None:
    tuner = Tuner(hill_study(tuner={"search": search}), 0)
    asked: list[Trial] = []
    with pytest.raises(EmptySafeSetError, match=message):
        until_refused(tuner, Measurement("completed", 0.0, {"margin": 0.3}), asked)
    assert tuner.certify(asked[0].parameters, "slow").certified


def test_seeds_are_proposed_as_written_and_ids_count_from_one() -> None:
    tuner = Tuner(hill_study(), 0)
    trial = tuner.ask("slow")
    assert trial.id == 1
    assert trial.parameters == {"kp": 3.0, "kd": 0.6}
    assert trial.context == {"speed": 0.2}
    assert tuner.monitor(trial) is None
