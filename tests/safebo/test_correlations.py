"""A simulation's correlation that is earned: what is kept, the union of intervals, and what a tuner makes of it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import norm
from test_multi_task import MODELS, dense, inputs, start, told, values
from test_prior_run import STUDY, Heard, events_of, plant, simulated, state_of, text_of, trials_of, tune
from tuner_cases import hill_study

from safebo.errors import StudyChangedError, StudyError
from safebo.models.correlations import (
    GRID,
    CorrelatedPosterior,
    correlated_models,
    kept_correlations,
    mixture_density,
    reserve,
)
from safebo.models.mixture import MixturePosterior
from safebo.models.multi_task import simulated as as_simulated
from safebo.models.prior_variants import DECLARED, PriorVariant
from safebo.models.surrogate import Surrogate
from safebo.models.trust import TrustRule, judged, log_predictive
from safebo.runs.prior_run import with_prior_data
from safebo.runs.recommend import recommend
from safebo.study import PriorDataSpec
from safebo.study.reading import parse_study
from safebo.study.tuner_checks import prior_data
from safebo.tuner import Tuner

__all__ = ["simulated"]  # the fixture

SPEC = PriorDataSpec(std_ratio=1.3, discrepancy_lengthscale=0.6)
EARNED = "surrogate: {trust: declared}\n"


def correlated(K: float = 20.0) -> tuple[Surrogate, np.ndarray, np.ndarray, np.ndarray]:
    """A surrogate of both functions after 9 simulated and 5 robot trials, and those rows."""
    S, R = inputs(9, 0), inputs(5, 1)
    prior = Surrogate.prior([correlated_models(m, SPEC) for m in MODELS])
    base = prior.conditioned(as_simulated(S), values(S)).conditioned(R, values(R, 0.7))
    posteriors = []
    for i, p in enumerate(base.posteriors):
        assert isinstance(p, MixturePosterior)
        own = sum(row[i] is not None for row in values(R))
        density = torch.stack([log_predictive(part, part.count - own) for part in p.components])
        posteriors.append(CorrelatedPosterior(p.components, kept_correlations(density, K)))
    return Surrogate(posteriors), S.numpy(), R.numpy(), inputs(6, 2).numpy()


def test_intervals_are_the_union_over_kept_correlations_by_dense_solves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    surrogate, S, R, Z = correlated(2.0)
    X, beta = torch.tensor(Z), torch.tensor([2.0, 3.0], dtype=torch.float64)
    bounds = surrogate.bounds(X, beta)
    for i, m in enumerate(MODELS):
        p = surrogate.posteriors[i]
        assert isinstance(p, CorrelatedPosterior)
        sim, robot = values(torch.tensor(S)), values(torch.tensor(R), 0.7)
        both = [(x, 1, v[i]) for x, v in zip(S, sim, strict=True)]
        both += [(x, 0, v[i]) for x, v in zip(R, robot, strict=True)]
        rows, s, y = (np.array([row[j] for row in both if row[2] is not None]) for j in range(3))
        moments = []
        for r in GRID:
            monkeypatch.setattr("test_multi_task.LOADING", {0: r, 1: 1.3}, raising=True)
            monkeypatch.setattr("test_multi_task.OWN", 1.0 - r * r, raising=True)
            mean, covariance = dense(m, rows, s, y, Z)
            moments.append((mean, np.sqrt(np.diag(covariance))))
        mean, std = (np.array(part) for part in zip(*moments, strict=True))
        shares = np.array(p.found.shares)
        assert shares.sum() == pytest.approx(1.0)
        if i == 0:
            middle = shares @ mean
            spread = np.sqrt(shares @ (std**2 + (mean - middle) ** 2))
            low, high = middle - 2.0 * spread, middle + 2.0 * spread
        else:
            kept = [j for j, r in enumerate(GRID) if r in p.found.kept]
            assert 0 < len(kept) < len(GRID)
            e = 1.0 / (len(GRID) * shares)
            b = norm.isf(np.minimum(norm.sf(3.0) * (1.0 + e) / 2.0, 0.5))[:, None]
            low, high = (mean - b * std)[kept].min(0), (mean + b * std)[kept].max(0)
        # Shares under a thousandth are left out of the mixture.
        np.testing.assert_allclose(bounds.lower[:, i], low, atol=5e-3 if i == 0 else 1e-8)
        np.testing.assert_allclose(bounds.upper[:, i], high, atol=5e-3 if i == 0 else 1e-8)
    joint_mean, joint = surrogate.posteriors[1].joint(X)
    own, variance = surrogate.posteriors[1].mean_variance(X)
    np.testing.assert_allclose(joint_mean, own, atol=1e-9)
    np.testing.assert_allclose(joint.diagonal(), variance, atol=1e-9)
    np.testing.assert_allclose(surrogate.posteriors[1].cross_covariance(X, X), joint, atol=1e-9)


def test_a_reserve_shrinks_with_what_speaks_against_a_correlation() -> None:
    assert reserve(3.0, 0.0) == pytest.approx(3.0)
    assert norm.sf(reserve(3.0, math.log(9.0))) == pytest.approx(5.0 * norm.sf(3.0))
    assert norm.sf(reserve(4.0, -50.0)) == pytest.approx(0.5 * norm.sf(4.0))
    assert reserve(3.0, 1e4) == 0.0
    assert reserve(40.0, 0.0) == pytest.approx(40.0)


def _draw(rng: np.random.Generator, r: float) -> torch.Tensor:
    """Log densities by correlation of 12 robot trials of a function drawn with correlation r."""
    model = MODELS[1]
    models = correlated_models(model, PriorDataSpec())
    X = torch.tensor(rng.random((42, 2)))
    rows = torch.cat([as_simulated(X[:30]), torch.nn.functional.pad(X[30:], (0, 1))])
    K = models[GRID.index(r)].kernel()(rows, rows).numpy() + model.noise_variance * np.eye(42)
    y = torch.tensor(model.mean + np.linalg.cholesky(K) @ rng.standard_normal(42))
    posteriors = [m.prior().conditioned(rows, y) for m in models]
    return torch.stack([log_predictive(p, 30) for p in posteriors])


def test_the_truth_is_kept_and_the_robot_alone_refuted_where_the_simulation_is_good() -> None:
    rng = np.random.default_rng(0)
    refuted, failed, earned, reserved = 0, 0, 0, []
    for _ in range(60):
        for r in (0.0, 0.9):
            density = _draw(rng, r)
            prefixes = [kept_correlations(density[:, :n], 20.0) for n in range(1, 13)]
            refuted += any(r not in found.kept for found in prefixes)
            reserved.append(np.exp(prefixes[-1].against[GRID.index(r)]))
            if r == 0.9:
                earned += prefixes[-1].earned
            else:
                failed += prefixes[-1].earned
    # At most 6 of 120 by Ville; four standard deviations above.
    assert refuted <= 15
    assert failed <= 9
    assert earned >= 40
    # The mean of a martingale that begins at 1.
    assert np.mean(reserved) < 1.5


def test_the_ladder_is_judged_against_the_likeliest_correlation() -> None:
    """Under a prior of several correlations the ratio is that to whichever of them is likeliest."""
    rule = TrustRule.of([0.5], 20.0, 0.05, 0.01, 1)
    cautious = PriorVariant(lengthscale=0.5)
    rng = np.random.default_rng(1)
    one = {v: torch.tensor(rng.normal(size=6)) for v in rule.variants}
    counted = torch.tensor([True] * 5 + [False])
    same = {v: d if v not in rule.ladder else d.repeat(3, 1) for v, d in one.items()}
    (plain,), (found,) = judged(rule, [one], [counted]), judged(rule, [same], [counted])
    assert replace(plain, log_evidence=(), log_refutation=0) == replace(
        found, log_evidence=(), log_refutation=0
    )
    assert (*found.log_evidence, found.log_refutation) == pytest.approx(
        (*plain.log_evidence, plain.log_refutation)
    )
    several = {**same, cautious: torch.stack([one[cautious] - 1.0, one[cautious], one[cautious] - 2.0])}
    (found,) = judged(rule, [several], [counted])
    assert found.log_evidence == pytest.approx(plain.log_evidence)
    mixed = mixture_density(several[cautious], counted)
    assert float(mixed[-1]) == pytest.approx(0.0)  # not counted
    ratio = torch.logsumexp(several[cautious][:, :5].sum(-1), 0) - math.log(3.0)
    assert float(mixed.sum()) == pytest.approx(float(ratio))
    assert several[DECLARED].ndim == 2


def test_nothing_declared_is_earned_and_never_bolder_than_the_robot_alone_at_the_seed() -> None:
    study = hill_study()
    plain, tuner = Tuner(study, 0), Tuner(study, 0, prior=told(study, 25))
    rows = np.random.default_rng(0).uniform([0, 0.1], [10, 10], (200, 2))
    start(plain), start(tuner)
    report = tuner.prior_report()
    assert report is not None
    assert (report.inflation, report.contradiction) == (1.0, None)
    found = report.correlations["margin"]
    assert 0.0 in found.kept
    mine, theirs = tuner.bounds(rows, "slow"), plain.bounds(rows, "slow")
    # Of the robot alone with its reserve, which is below beta only as far as the seed speaks against it.
    share = reserve(3.0, found.against[0]) / 3.0
    lower = theirs[..., 1, 1] - share * (theirs[..., 1, 1] - theirs[..., 1, 0])
    assert (mine[..., 1, 0] <= lower + 1e-9).all()
    # The objective takes the simulation's word at once.
    assert np.ptp(mine[..., 0, 1]) > 1.2 * np.ptp(theirs[..., 0, 1])
    trial = tuner.ask("slow")
    assert trial.evidence["margin"].correlation == str(found)
    assert tuner.evidence()["margin"].certifying == f"declared; simulation's correlation: {found} kept"


def test_with_earned_priors_both_share_what_is_left_to_promotions() -> None:
    study = hill_study(surrogate={"trust": "earned"})
    tuner, plain = Tuner(study, 0, prior=told(study, 25)), Tuner(study, 0)
    for _ in range(4):
        start(tuner), start(plain)
    models = tuner._state.models
    assert models.rule is not None
    assert plain._state.models.rule is not None
    assert (plain._state.models.rule.evidence, models.rule.evidence) == (40.0, 80.0)
    assert models.correlation_evidence == 80.0
    found = tuner.evidence()["margin"]
    assert found.prior == "lengthscale x 0.5"
    assert found.correlation
    posterior = tuner.surrogate().posteriors[1]
    assert isinstance(posterior, CorrelatedPosterior)
    assert posterior.components[0].kernel.parts[0][0].lengthscale[0] == pytest.approx(0.175)  # type: ignore[attr-defined]


def test_a_correlation_cannot_be_earned_everywhere() -> None:
    assert prior_data(hill_study()).correlation == "earned"
    for changes in (
        {"surrogate": {"hyperparameters": "map"}},
        {"tuner": {"confidence": {"intersect": True}}},
        {"tuner": {"confidence": {"schedule": "fiedler2024"}}},
    ):
        found = prior_data(hill_study(**changes))
        assert (found.correlation, found.inflation) == (0.8, 1.5)
    study = hill_study(surrogate={"prior_data": {"correlation": "earned"}, "hyperparameters": "map"})
    with pytest.raises(StudyError, match=r"surrogate.prior_data.correlation: 'earned' needs fixed"):
        Tuner(study, 0)


def test_a_run_says_which_correlations_are_kept(simulated: Path, tmp_path: Path) -> None:
    heard = Heard()
    text = text_of(STUDY + EARNED, gap=0.12)
    tune(tmp_path / "run", text, prior=simulated, progress=heard, trials=10)
    assert "their correlation with this run is earned" in heard.notes[0]
    events = events_of(tmp_path / "run", "prior-kept")
    assert [e.text for e in events] == [n for n in heard.notes if n.startswith("simulation's correlation")]
    assert state_of(tmp_path / "run")["kept"]["text"] == events[-1].text
    kept = events[-1].data["functions"]["height"]
    assert kept[0] > 0.0
    last = trials_of(tmp_path / "run")[-1]
    assert last[0]["evidence"]["height"]["correlation"].endswith("0.995")
    ((_, best),) = recommend(tmp_path / "run").best
    assert best is not None
    assert "simulation's correlation: " in best.priors["height"]
    again = Heard()
    tune(tmp_path / "run", text, resume=True, trials=11, progress=again)
    assert events_of(tmp_path / "run", "prior-kept")[: len(events)] == events
    assert events[-1].text not in again.notes[:1]
    tune(tmp_path / "whole", text, prior=simulated, trials=11)
    assert trials_of(tmp_path / "run") == trials_of(tmp_path / "whole")


def test_an_upside_down_simulation_costs_no_safety(simulated: Path, tmp_path: Path) -> None:
    heard = Heard()
    tune(tmp_path / "run", text_of(STUDY + EARNED, sign=-1.0), prior=simulated, progress=heard, trials=8)
    for trial, _, _ in trials_of(tmp_path / "run"):
        assert plant(trial["parameters"], {}, sign=-1.0)["margins"]["height"] >= 0
    kept = events_of(tmp_path / "run", "prior-kept")[-1].data["functions"]
    assert kept["height"][0] == 0.0


def test_a_run_begun_with_a_declared_correlation_keeps_it(simulated: Path, tmp_path: Path) -> None:
    """Before correlations were earned, what a study left open was 0.8, inflated by 1.5."""
    begun = (
        STUDY + "surrogate: {trust: declared, prior_data: {correlation: 0.8, inflation: 1.5, checked: 9}}\n"
    )
    left_open = STUDY + "surrogate: {trust: declared, prior_data: {checked: 9}}\n"
    tune(tmp_path / "run", begun, prior=simulated, trials=2)
    tune(tmp_path / "run", left_open, resume=True, trials=4)
    tune(tmp_path / "whole", begun, prior=simulated, trials=4)
    assert trials_of(tmp_path / "run") == trials_of(tmp_path / "whole")
    with pytest.raises(StudyChangedError, match="correlation"):
        tune(tmp_path / "run", begun.replace("0.8", "0.7"), resume=True, trials=5)
    old = parse_study(begun).study
    assert with_prior_data(parse_study(STUDY).study, old) == replace_prior(old)


def replace_prior(old: object) -> object:
    """The study without a surrogate section, as a run of before resolved it."""
    study = parse_study(STUDY).study
    prior = old.surrogate.prior_data  # type: ignore[attr-defined]
    return study.model_copy(update={"surrogate": study.surrogate.model_copy(update={"prior_data": prior})})
