"""Priors that must be earned and can be refuted: the ratios, what they decide, and what a tuner makes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gpytorch.kernels import LinearKernel, RBFKernel, ScaleKernel
from hypothesis import example, given, settings
from hypothesis import strategies as st
from new_journal import new_journal

from safebo.acquisition import GridSettings, GridTuner
from safebo.errors import ImpossibleSeedError, InputError
from safebo.models.kernels import StationaryKernel
from safebo.models.outliers import disbelief
from safebo.models.posterior import Posterior
from safebo.models.prior_variants import DECLARED, PriorVariant, at_time
from safebo.models.trust import LARGEST_FACTOR, REACHES, TrustRule, judged, log_predictive
from safebo.storage.journal import Journal
from safebo.study import Study
from safebo.study.tuner_checks import with_trust
from safebo.tuner import Tuner
from safebo.types import Measurement

CAUTIOUS = PriorVariant(lengthscale=0.5)
NOISE = 0.1


def prior(lengthscale: float = 0.3) -> Posterior:
    kernel = StationaryKernel("rbf", torch.tensor([lengthscale], dtype=torch.float64), 1.0)
    return Posterior.prior(kernel, 0.2, NOISE**2, 1)


def drawn(truth: Posterior, X: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    covariance = truth.kernel(X, X).numpy() + truth.noise_variance * np.eye(len(X))
    return torch.tensor(rng.multivariate_normal(np.full(len(X), truth.prior_mean), covariance))


def rule(**changes: object) -> TrustRule:
    arguments: dict[str, object] = {"caution": [0.5], "evidence": None, "refute": 0.05, "alarm": 0.01}
    return TrustRule.of(**(arguments | {"functions": 1} | changes))  # type: ignore[arg-type]


def predictive(
    rule: TrustRule, declared: Posterior, X: torch.Tensor, y: torch.Tensor
) -> dict[PriorVariant, torch.Tensor]:
    found = {}
    for v in rule.variants:
        rows = torch.stack([v.timed(x, time) for time, x in enumerate(X, start=1)])
        found[v] = log_predictive(v.of_prior(declared).conditioned(rows, y))
    return found


def test_one_step_predictives_are_those_of_the_posterior_before() -> None:
    rng = np.random.default_rng(0)
    X, y = torch.tensor(rng.random((12, 1))), torch.tensor(rng.normal(size=12))
    before, expected = prior(), []
    for x, value in zip(X, y, strict=True):
        mean, variance = before.mean_variance(x.reshape(1, -1))
        v = float(variance) + before.noise_variance
        expected.append(-0.5 * (math.log(2 * math.pi * v) + (float(value) - float(mean)) ** 2 / v))
        before = before.extended(x, float(value))
    assert log_predictive(before).tolist() == pytest.approx(expected, abs=1e-9)
    assert log_predictive(before, 5).tolist() == pytest.approx(expected[5:], abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("truth", "wrong", "level"),
    [(CAUTIOUS, "promoted", 0.025), (DECLARED, "refuted", 0.05), (CAUTIOUS, "alarm", 0.01)],
)
def test_false_decisions_are_as_rare_as_promised(truth: PriorVariant, wrong: str, level: float) -> None:
    """200 functions drawn from the truth, 30 observations each: the count stays under the 99.9 % quantile."""
    rng, count = np.random.default_rng(7), 0
    for _ in range(200):
        X = torch.tensor(rng.random((30, 1)))
        y = drawn(truth.of_prior(prior()), X, rng)
        table = predictive(rule(), prior(), X, y)
        ever = []
        for n in range(1, 31) if wrong == "promoted" else [30]:  # the others stay once they are made
            (t,) = judged(rule(), [{v: p[:n] for v, p in table.items()}], [torch.ones(n, dtype=torch.bool)])
            said = {
                "promoted": t.certified_by == DECLARED,
                "refuted": t.refuted,
                "alarm": t.alarm is not None,
            }
            ever.append(said[wrong])
        count += any(ever)
    assert count <= 200 * level + 3.1 * math.sqrt(200 * level)


def test_a_right_prior_is_earned_and_a_wrong_one_refuted() -> None:
    rng = np.random.default_rng(1)
    X = torch.tensor(rng.random((60, 1)))
    everything = [torch.ones(60, dtype=torch.bool)]
    (right,) = judged(rule(), [predictive(rule(), prior(), X, drawn(prior(), X, rng))], everything)
    assert (right.certified_by, right.refuted, right.alarm) == (DECLARED, False, None)
    (long,) = judged(rule(), [predictive(rule(), prior(), X, drawn(prior(0.1), X, rng))], everything)
    assert long.certified_by == CAUTIOUS
    assert long.refuted
    assert long.winner.lengthscale < 1
    loud = Posterior.prior(prior().kernel, 0.2, (4 * NOISE) ** 2, 1)
    (noisy,) = judged(rule(), [predictive(rule(), prior(), X, drawn(loud, X, rng))], everything)
    assert noisy.alarm is not None
    assert noisy.alarm.noise > 1


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=30), st.data())
def test_no_single_trial_decides_and_falls_say_nothing(ratios: Sequence[float], data: st.DataObject) -> None:
    """Whatever the densities: a factor counts at most 10, what is not counted nothing, refuted stays refuted."""
    n = len(ratios)
    counted = torch.tensor(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    own = {v: torch.zeros(n, dtype=torch.float64) for v in rule().variants}
    own[DECLARED] = torch.tensor(ratios, dtype=torch.float64)
    (found,) = judged(rule(), [own], [counted])
    kept = torch.tensor(ratios, dtype=torch.float64)[counted]
    assert found.log_evidence[0] == pytest.approx(float(kept.clamp_max(LARGEST_FACTOR).sum()))
    assert found.certified_by in (DECLARED, CAUTIOUS)
    assert (found.certified_by == DECLARED) == (found.log_evidence[0] >= math.log(40) and not found.refuted)
    against = (-kept).clamp_max(LARGEST_FACTOR).cumsum(0)
    assert found.refuted == (len(kept) > 0 and float(against.max()) >= math.log(20))


def test_steps_are_earned_one_after_another() -> None:
    two = rule(caution=[0.5, 0.25], evidence=10.0)
    assert [v.lengthscale for v in two.ladder] == [0.25, 0.5, 1.0]
    zero = {v: torch.zeros(4, dtype=torch.float64) for v in two.variants}

    def level(quarter: float, half: float, one: float) -> float:
        own = dict(zero)
        for v, value in zip(two.ladder, (quarter, half, one), strict=True):
            own[v] = torch.full((4,), value, dtype=torch.float64)
        return judged(two, [own], [torch.ones(4, dtype=torch.bool)])[0].certified_by.lengthscale

    assert level(0.0, 0.0, 5.0) == 0.25  # the declared prior is likelier, but not the step before it
    assert level(0.0, 1.0, 1.0) == 0.5
    assert level(0.0, 1.0, 2.0) == 1.0


@pytest.mark.parametrize("heeded", [True, False])
def test_after_an_alarm_the_cautious_prior_certifies_again(heeded: bool) -> None:
    """The declared prior has earned it against the cautious one, and something rough that drifts beats both."""
    watching = rule(heeded=heeded)
    own = {v: torch.zeros(20, dtype=torch.float64) for v in watching.variants}
    own[DECLARED] = torch.full((20,), 1.0, dtype=torch.float64)
    own[PriorVariant(lengthscale=0.5, memory=30.0)] = torch.full((20,), 2.0, dtype=torch.float64)
    (found,) = judged(watching, [own], [torch.ones(20, dtype=torch.bool)])
    assert (found.refuted, found.alarm) == (False, PriorVariant(lengthscale=0.5, memory=30.0))
    assert found.certified_by == (CAUTIOUS if heeded else DECLARED)
    assert found.also == (found.alarm if heeded else rule().reach(found.log_evidence[0]))


def test_what_is_earned_barely_reaches_less_far() -> None:
    trust = rule()
    for times, share in ((1.01, 0.75), (9.99, 0.75), (10.01, 0.5)):
        own = {v: torch.zeros(20, dtype=torch.float64) for v in trust.variants}
        own[DECLARED] = torch.full((20,), math.log(times * trust.evidence) / 20, dtype=torch.float64)
        (found,) = judged(trust, [own], [torch.ones(20, dtype=torch.bool)])
        assert found.certified_by == DECLARED
        assert found.also == CAUTIOUS._replace(noise=share, scale=share)


def test_common_scale_multiplies_evidence() -> None:
    common = rule(common_scale=True, functions=2)
    own = {v: torch.zeros(5, dtype=torch.float64) for v in common.variants}
    speaks = own | {DECLARED: torch.full((5,), 0.5, dtype=torch.float64)}
    everything = [torch.ones(5, dtype=torch.bool)] * 2
    alone = judged(rule(functions=2), [speaks, speaks], everything)
    assert [t.certified_by for t in alone] == [CAUTIOUS, CAUTIOUS]
    assert [t.certified_by for t in judged(common, [speaks, speaks], everything)] == [DECLARED, DECLARED]


def test_a_drifting_function_forgets_with_time() -> None:
    """Mean and variance now, against the Gaussian's formula with the kernel written out."""
    rng, forgetting = np.random.default_rng(3), PriorVariant(memory=20.0)
    X, y = rng.random((9, 1)), rng.normal(size=9)
    posterior = forgetting.of_prior(prior())
    for time, (x, value) in enumerate(zip(X, y, strict=True), start=1):
        posterior = posterior.extended(forgetting.timed(torch.tensor(x), time), float(value))
    Z, now = rng.random((5, 1)), 14.0

    def k(a: Any, b: Any, s: Any, t: Any) -> Any:
        apart = np.abs(s[:, None] - t[None, :])
        return np.exp(-0.5 * ((a - b.T) / 0.3) ** 2) * np.exp(-apart / 20.0)

    times, later = np.arange(1.0, 10.0), np.full(5, now)
    inverse = np.linalg.inv(k(X, X, times, times) + NOISE**2 * np.eye(9))
    cross = k(Z, X, later, times)
    mean, variance = at_time(posterior, now).mean_variance(torch.tensor(Z))
    np.testing.assert_allclose(mean.numpy(), 0.2 + cross @ inverse @ (y - 0.2), atol=1e-9)
    np.testing.assert_allclose(variance.numpy(), 1.0 - np.diag(cross @ inverse @ cross.T), atol=1e-9)
    assert float(at_time(posterior, 1e6).mean_variance(torch.tensor(Z))[1].min()) == pytest.approx(1.0)


def test_a_drift_is_named() -> None:
    """The same point again and again, while its value sinks: a static function with this noise does not do that."""
    X, rng = torch.full((60, 1), 0.5, dtype=torch.float64), np.random.default_rng(0)
    y = torch.tensor(1.0 - 0.03 * np.arange(60) + NOISE * rng.normal(size=60))
    table = predictive(rule(), prior(), X, y)
    (found,) = judged(rule(), [table], [torch.ones(60, dtype=torch.bool)])
    assert found.refuted
    assert found.alarm is not None
    assert found.alarm.drifts
    assert "drift" in found.record().alarm


# -- tuners --


def study(**surrogate: object) -> Study:
    return Study.model_validate(
        {
            "name": "one gain",
            "evaluator": {"name": "closed-form"},
            "parameters": [{"name": "a", "bounds": [0.0, 1.0]}],
            "objective": {"name": "reward", "noise_std": 0.02},
            "constraints": [{"name": "margin", "noise_std": 0.02}],
            "seeds": [{"parameters": {"a": 0.5}}],
            "surrogate": {"kernel": "rbf", "lengthscale": 0.4, "trust": "earned", **surrogate},
            "tuner": {"method": "safe_ucb", "beta": 3.0},
        }
    )


def measured(a: float, margin: float | None = None) -> Measurement:
    smooth = 1.2 - 5.0 * (a - 0.45) ** 2
    return Measurement("completed", objective=a, margins={"margin": smooth if margin is None else margin})


def ran(study: Study, trials: int) -> Tuner:
    tuner = Tuner(study, 0)
    for _ in range(trials):
        trial = tuner.ask()
        tuner.tell(trial, measured(trial.parameters["a"]))
    return tuner


@pytest.mark.slow
def test_a_tuner_is_cautious_until_the_declared_prior_is_earned() -> None:
    earned, declared = ran(study(), 1), ran(study(trust="declared"), 1)
    grid = np.linspace(0, 1, 101)[:, None]
    a, b = (t.bounds(grid, "default")[:, 1, 0] for t in (earned, declared))
    half = ran(study(trust="declared", lengthscale=0.2), 1).bounds(grid, "default")[:, 1, 0]
    assert np.array_equal(a, half)
    assert (a <= b + 1e-12).all()
    assert earned.evidence()["margin"].prior == "lengthscale x 0.5"
    assert declared.evidence() == {}
    later = ran(study(evidence=3.0), 25)
    assert later.evidence()["margin"].prior == "declared"
    assert later.evidence()["margin"].log_evidence >= math.log(3.0)


def test_a_restored_run_goes_on_as_it_would_have(tmp_path: Path) -> None:
    one = study(evidence=3.0)
    tuner = Tuner(one, 0)
    with new_journal(tmp_path, one, trials=12) as journal:
        for i in range(12):
            trial = tuner.ask()
            journal.ask(trial, i)
            measurement = measured(trial.parameters["a"])
            tuner.tell(trial, measurement)
            journal.tell(trial.id, measurement)
    with Journal.open(tmp_path, read_only=True) as journal:
        records = journal.records()
        again = Tuner(journal.run.study, 0)
    assert records[-1].trial.evidence["margin"].prior in ("declared", "lengthscale x 0.5")
    again.restore([(r.trial, r.measurement) for r in records])
    assert again.ask() == tuner.ask()
    assert again.evidence() == tuner.evidence()


def test_an_alarm_makes_the_alternative_certify_as_well() -> None:
    """Repeats of the seed scatter ten times as much as the noise that was told."""
    tuner, rng = Tuner(study(alarm=0.3), 0), np.random.default_rng(0)
    for _ in range(12):
        tuner.tell_manual({"a": 0.5}, "default", measured(0.5, 1.0 + 0.2 * rng.normal()))
    found = tuner.evidence()["margin"]
    assert found.alarm in [f"{ls}noise x {k}" for ls in ("", "lengthscale x 0.5, ") for k in (3, 10)]
    grid = np.linspace(0, 1, 51)[:, None]
    lower = tuner.bounds(grid, "default")[:, 1, 0]
    constraint = {"name": "margin", "noise_std": 0.02 * int(found.alarm.rsplit(" ", 1)[1])}
    lengthscale = 0.2 if "lengthscale" in found.alarm else 0.4
    changes: tuple[dict[str, Any], ...] = (
        {"constraints": [constraint], "surrogate": {"lengthscale": lengthscale}},
        {"surrogate": {"lengthscale": 0.2}},
    )
    for changed in changes:
        document = study(trust="declared").model_dump(exclude_unset=True)
        document = document | changed | {"surrogate": document["surrogate"] | changed["surrogate"]}
        also = Tuner(Study.model_validate(document), 0)
        also.restore([(r.trial, r.measurement) for r in tuner.history])
        assert (lower <= also.bounds(grid, "default")[:, 1, 0] + 1e-9).all()


@pytest.mark.parametrize("hyperparameters", ["map", "bayes"])
def test_fitted_hyperparameters_only_tighten_what_is_earned(hyperparameters: str) -> None:
    records = [(r.trial, r.measurement) for r in ran(study(trust="declared"), 12).history]
    grid = np.linspace(0, 1, 51)[:, None]
    lower = []
    for kind in (hyperparameters, "fixed"):
        tuner = Tuner(study(hyperparameters=kind, samples=2), 0)
        tuner.restore(records)
        lower.append(tuner.bounds(grid, "default")[:, 1, 0])
    assert (lower[0] <= lower[1] + 1e-9).all()


def test_a_seed_that_its_prior_calls_impossible_stops_the_run_and_certifies_nothing() -> None:
    tuner = Tuner(study(trust="declared"), 0)
    tuner.tell(tuner.ask(), measured(0.5, 3700.0))
    with pytest.raises(ImpossibleSeedError, match=r"3,69\d standard deviations .* prior_std 1800"):
        tuner.ask()
    assert not tuner.certify({"a": 0.5}, "default").certified
    assert tuner.best() is None
    clipped = Tuner(study(trust="declared"), 0)
    clipped.tell(clipped.ask(), measured(0.5, 1e300))
    with pytest.raises(ImpossibleSeedError, match=r"1e\+300, at least 999,\d+ standard deviations"):
        clipped.ask()
    lucky = Tuner(study(), 0)
    lucky.tell(lucky.ask(), Measurement("completed", objective=500.0, margins={"margin": 1.0}))
    assert lucky.ask().phase != "seed"


def test_a_new_run_is_earned_and_one_that_goes_on_stays_what_it_was() -> None:
    plain = study(trust=None)
    assert with_trust(plain).surrogate.trust == "earned"
    assert with_trust(plain, begun=plain).surrogate.trust == "declared"
    assert with_trust(study(trust="declared")).surrogate.trust == "declared"
    nothing = plain.model_copy(update={"tuner": plain.tuner.model_copy(update={"method": "random"})})
    assert with_trust(nothing).surrogate.trust == "declared"


def dense(v: PriorVariant, X: np.ndarray, y: np.ndarray, Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation at the rows of Z after the last trial; zero mean, lengthscale 0.2, noise 0.1."""

    def k(a: np.ndarray, s: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
        squared = ((a[:, None] - b[None]) ** 2).sum(-1) / (0.2 * v.lengthscale) ** 2
        forgotten = np.exp(-np.abs(s[:, None] - t[None]) / v.memory)
        return np.asarray(v.scale**2 * np.exp(-0.5 * squared) * forgotten)

    times, now = np.arange(1.0, len(X) + 1), np.full(len(Z), len(X) + 1.0)
    across = k(Z, now, X, times)
    solved = np.linalg.solve(k(X, times, X, times) + (0.1 * v.noise) ** 2 * np.eye(len(X)), across.T).T
    return solved @ y, np.sqrt(v.scale**2 - (solved * across).sum(1))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.booleans(), st.booleans())
@example(265, False, True)  # earned, although the evidence is below 1
def test_a_grid_tuner_certifies_by_what_is_earned(seed: int, suspicious: bool, earned: bool) -> None:
    """Brute force, by dense equations: margins under the prior that certifies and what must certify as well."""
    rng = np.random.default_rng(seed)
    grid = [[i / 20] for i in range(21)]
    X, y = rng.random((6, 1)), rng.normal(size=(6, 2))
    kernel = ScaleKernel(RBFKernel()).double()
    kernel.outputscale, kernel.base_kernel.lengthscale = 1.0, 0.2
    trust = replace(rule(alarm=0.5 if suspicious else 1e-12), suspicion=3.0 if suspicious else math.inf)
    trust = replace(trust, evidence=1e-9 if earned else trust.evidence)
    tuner = GridTuner("safe_ucb", [kernel] * 2, [0.01] * 2, grid, [-math.inf, -1.0], 1.0,
                      settings=GridSettings(trust=trust))  # fmt: skip
    tuner.tell(X, y)
    counted = y[:, 1].copy()
    for t in range(6):  # no margin is believed that is three standard deviations better than predicted
        mean, std = dense(CAUTIOUS, X[:t], counted[:t], X[t : t + 1])
        if std[0] ** 2 <= 0.5:  # where data predict
            counted[t] = min(y[t, 1], mean[0] + 3.0 * math.hypot(std[0], 0.1))
    (found,) = tuner.trust
    lower = [
        mean - std
        for mean, std in (
            dense(v, X, counted, np.array(grid)) for v in (found.certified_by, found.also) if v is not None
        )
    ]
    assert (found.also is not None) <= (suspicious or earned)
    share = REACHES[found.log_evidence[0] >= math.log(10.0 * trust.evidence)]
    if earned and found.also not in (None, found.alarm, found.suspected):
        assert found.also is not None
        (mean, std), (cautious, wide) = (dense(v, X, counted, np.array(grid)) for v in (found.also, CAUTIOUS))
        assert mean == pytest.approx(cautious)
        assert std == pytest.approx(share * wide)
    elif found.also is None:
        assert found.certified_by == CAUTIOUS
    margins = tuner.acquisition_context().pool_bounds.margins[:, 0].numpy()
    assert margins == pytest.approx(np.min(lower, axis=0) + 1.0, abs=1e-5)


def test_a_kernel_without_lengthscales_cannot_be_earned() -> None:
    with pytest.raises(InputError, match="lengthscales"):
        GridTuner("safe_ucb", [LinearKernel()] * 2, [0.01] * 2, [[0.0], [1.0]], [-math.inf, 0.0], 2.0,
                  settings=GridSettings(trust=rule()))  # fmt: skip


@given(st.integers(0, 2**31), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_what_is_far_better_than_predicted_counts_as_less(seed: int, before: int) -> None:
    """One after another by extension, against all at once; and the posterior of the values that count."""
    rng = np.random.default_rng(seed)
    X = torch.tensor(rng.random((10, 1)))
    y = drawn(prior(), X, rng) + torch.tensor(rng.choice([0.0, 3.0, -3.0], 10, p=[0.6, 0.2, 0.2]))
    y[:before] = 0.2  # rows of another run, which are as they are
    sequential, counted = prior().conditioned(X[:before], y[:before]), []
    for x, value in zip(X[before:], y[before:], strict=True):
        mean, variance = sequential.mean_variance(x.reshape(1, -1))
        largest = float(mean) + 3.0 * math.sqrt(float(variance) + NOISE**2)
        predicted = float(variance) <= 0.5
        counted.append(min(float(value), largest) if predicted else float(value))
        sequential = sequential.extended(x, counted[-1])
    together = prior().conditioned(X, y)
    less = disbelief(together, y[before:])
    assert bool(less) == any(c < v for c, v in zip(counted, y[before:].tolist(), strict=True))
    if less:
        assert (y[before:] - y.new_tensor(less)).tolist() == pytest.approx(counted, abs=1e-6)
        assert all(value >= 0.0 for value in less)
        together = together.shifted(-y.new_tensor(less))
    Z = torch.linspace(0, 1, 7, dtype=torch.float64)[:, None]
    assert torch.allclose(together.mean(Z), sequential.mean(Z), atol=1e-5)


def test_a_lucky_margin_counts_as_no_luckier_and_is_restored() -> None:
    """The eighth trial measures 15 or 150 standard deviations too much."""
    bounds = []
    for lucky in (0.0, 0.3, 3.0):
        tuner = Tuner(study(), 0)
        for n in range(8):
            tuner.tell_manual({"a": 0.5 + 0.01 * n}, "default", measured(0.5, 1.0 + lucky * (n == 7)))
        again = Tuner(study(), 0)
        again.restore([(r.trial, r.measurement) for r in tuner.history])
        assert again.ask() == tuner.ask()
        assert tuner.evidence()["margin"].capped == (1 if lucky else 0)
        bounds.append(tuner.bounds(np.array([[0.57], [0.8]]), "default")[:, 1])
    assert (bounds[1] != bounds[0]).all()
    assert (bounds[2] <= bounds[1] + 1e-6).all(), "more luck never certifies more"


def test_one_bad_surprise_is_enough_for_a_rougher_prior_to_be_suspected() -> None:
    """Six margins on a plateau speak for a smooth function; a seventh, far below them, is weighed as a whole: cut at
    a factor of ten it would not outweigh what the plateau said."""
    tuner = Tuner(study(), 0)
    for n in range(6):
        tuner.tell_manual({"a": 0.3 + 0.03 * n}, "default", measured(0.5, 1.0))
    assert tuner.evidence()["margin"].suspected == ""
    tuner.tell_manual({"a": 0.48}, "default", measured(0.5, -0.5))
    assert tuner.evidence()["margin"].suspected != ""


def test_intervals_with_nothing_in_common_are_an_alarm_and_no_longer_intersected() -> None:
    """Six repeats at 1, then six at 0.2, ten times the noise away: no intersection is left."""
    confidence = {"method": "safe_ucb", "confidence": {"schedule": "logarithmic", "intersect": True}}
    found = []
    for tune in (confidence, {"method": "safe_ucb", "confidence": {"schedule": "logarithmic"}}):
        document = study(alarm=1e-9).model_dump(exclude_unset=True) | {"tuner": tune}
        document["constraints"][0] |= {"prior_mean": -1.0}
        tuner = Tuner(Study.model_validate(document), 0)
        for n in range(12):
            tuner.tell_manual({"a": 0.5}, "default", measured(0.5, 1.0 if n < 6 else 0.2))
        found.append((tuner.evidence()["margin"].disjoint, tuner.bounds(np.array([[0.5]]), "default")[0, 1]))
    assert [disjoint for disjoint, _ in found] == [True, False]
    assert found[0][1] == pytest.approx(found[1][1])
