"""A person's preferences as the objective: the utility, the pairs, and that margins alone certify."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from botorch.acquisition.preference import AnalyticExpectedUtilityOfBestOption
from botorch.models import PairwiseGP
from gpytorch.kernels import RBFKernel, ScaleKernel
from hypothesis import given, settings
from hypothesis import strategies as st
from tuner_cases import hill, hill_study, measured

from safebo.acquisition.eubo import expected_best
from safebo.errors import InputError, MeasurementError, StudyError
from safebo.models.kernels import StationaryKernel
from safebo.models.posterior import Posterior
from safebo.models.preferences import (
    Judgements,
    Mode,
    interval_likelihood,
    mode,
    most_consistent,
    utility_posterior,
)
from safebo.study import FunctionSpec, Study
from safebo.tuner import Tuner
from safebo.tuner.preferences import repeated
from safebo.types import Measurement, PreferenceAnswer, PreferenceQuestion, PreferenceWord, Trial

SEARCH = {"swarm_size": 24, "swarm_iterations": 4, "restarts": 2}


def look_study(method: str = "eubo", **changes: Any) -> Study:
    objective = {"name": "look", "kind": "preference", "prior_mean": 0.0, "prior_std": 1.0, "noise_std": 0.1}
    given = {"objective": objective, "tuner": {"method": method, "search": SEARCH}, **changes}
    study = hill_study(method, **{k: v for k, v in given.items() if k != "objective"})
    data = study.model_dump(mode="json")
    return Study.model_validate({**data, "objective": {**objective, **changes.get("objective", {})}})


def said(question: PreferenceQuestion, tuner: Tuner) -> PreferenceWord:
    """What somebody who knows the true reward says."""
    left, right = (hill(tuner.history.record(i).trial)[0] for i in (question.left, question.right))
    return "same" if abs(left - right) < 0.005 else "left" if left > right else "right"


def tuned(study: Study, trials: int, seed: int = 0) -> tuple[Tuner, list[Trial]]:
    tuner, rng = Tuner(study, seed=seed), np.random.default_rng(seed)
    asked = []
    for _ in range(trials):
        trial = tuner.ask("slow")
        tuner.tell(trial, Measurement("completed", margins=measured(trial, rng).margins))
        while (question := tuner.question()) is not None:
            tuner.tell_preference(question, said(question, tuner))
        asked.append(trial)
    return tuner, asked


# -- the likelihood and its Laplace approximation ----------------------------------------------------------


@given(
    st.floats(-2, 2),
    st.floats(-1, 1),
    st.floats(0.01, 2) | st.just(math.inf),
    st.floats(0.2, 2),
    st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_the_likelihood_of_an_interval_is_that_of_mpmath(
    s: float, low: float, width: float, noise: float, mirrored: bool
) -> None:
    mpmath = pytest.importorskip("mpmath")
    low, high = (-low - width, -low) if mirrored else (low, low + width)
    with mpmath.workdps(150):

        def log_p(x: Any) -> Any:
            a, b = (mpmath.mpf(low) - x) / noise, (mpmath.mpf(high) - x) / noise
            return mpmath.log((mpmath.erf(b / mpmath.sqrt(2)) - mpmath.erf(a / mpmath.sqrt(2))) / 2)

        expected = [float(mpmath.diff(log_p, s, n)) for n in range(3)]
    found = [float(v[0]) for v in interval_likelihood(*(np.array([v]) for v in (s, low, high, noise)))]
    assert found[0] == pytest.approx(expected[0], rel=1e-8, abs=1e-10)
    assert found[1] == pytest.approx(expected[1], rel=1e-6, abs=1e-9)
    assert found[2] == pytest.approx(-expected[2], rel=1e-4, abs=1e-7)


def test_the_likelihood_stays_finite_a_thousand_deviations_away() -> None:
    ends = np.array([1.0, 1.0]), np.array([math.inf, 1.5])
    log_p, gradient, curvature = interval_likelihood(np.full(2, -99.0), *ends, np.full(2, 0.1))
    assert log_p == pytest.approx(-0.5e6, rel=1e-4)
    assert gradient == pytest.approx(1e4, rel=1e-4)
    assert curvature == pytest.approx(100.0, rel=1e-3)


LENGTHS = torch.tensor([0.4, 0.7], dtype=torch.float64)


def compared(lam: float) -> tuple[torch.Tensor, list[tuple[int, int, str]], Posterior]:
    rng = np.random.default_rng(4)
    X = torch.tensor(rng.random((7, 2)))
    rows = [(int(a), int(b), "left") for a, b in (rng.permutation(7)[:2] for _ in range(9))]
    kernel = StationaryKernel("rbf", LENGTHS, 0.25)
    return X, rows, Posterior.prior(kernel, 0.3, lam**2, 2)


def test_strict_answers_give_the_posterior_of_botorchs_pairwise_gp() -> None:
    lam = 0.4
    X, rows, prior = compared(lam)
    judged = Judgements.of(rows)
    ours = utility_posterior(prior, X, mode(prior.kernel(X, X).numpy(), judged, lam, 0.0))
    covariance = ScaleKernel(RBFKernel(ard_num_dims=2))
    covariance.outputscale = 0.25 / lam**2
    covariance.base_kernel.lengthscale = LENGTHS
    theirs = PairwiseGP(X, torch.tensor([r[:2] for r in rows]), covar_module=covariance.double())
    theirs.eval()
    Z = torch.tensor(np.random.default_rng(1).random((5, 2)))
    expected = theirs.posterior(Z)
    assert ours.mean(Z) - 0.3 == pytest.approx(lam * expected.mean.detach()[:, 0], abs=2e-5)
    assert ours.joint(Z)[1] == pytest.approx(lam**2 * expected.covariance_matrix.detach(), abs=2e-5)
    assert ours.mean_variance(Z)[1] == pytest.approx(lam**2 * expected.variance.detach()[:, 0], abs=2e-5)
    eubo = AnalyticExpectedUtilityOfBestOption(theirs)
    pairs = torch.stack([Z[:4], Z[1:]], 1)
    mean, joint = ours.joint(pairs)
    spread = joint[:, 0, 0] + joint[:, 1, 1] - 2 * joint[:, 0, 1]
    own = torch.stack([expected_best(m[:1], m[1], s[None])[0] for m, s in zip(mean, spread, strict=True)])
    assert own - 0.3 == pytest.approx(lam * eubo(pairs).detach(), abs=2e-5)


def test_any_answers_leave_a_mode_without_slope_and_what_the_dense_formula_says() -> None:
    X, rows, prior = compared(0.1)
    X = torch.cat([X, X[:1]])  # a walk of the same gains, under which K is singular
    rows += [(2, 3, "same"), (4, 5, "unacceptable"), (7, 1, "right")]
    judged, K = Judgements.of(rows), prior.kernel(X, X).numpy()
    found = mode(K, judged, 0.1, 0.05)
    D, noise = judged.differences(8), np.where(judged.second >= 0, math.sqrt(2), 1.0) * 0.1
    _, gradient, curvature = interval_likelihood(
        D @ found.utility, judged.lower * 0.05, judged.upper * 0.05, noise
    )
    assert K @ (D.T @ gradient) == pytest.approx(found.utility, abs=1e-8)
    ours = utility_posterior(prior, X, found)
    W = D.T @ np.diag(curvature) @ D
    Z = torch.tensor(np.random.default_rng(1).random((4, 2)))
    k = prior.kernel(Z, X).numpy()
    expected = prior.kernel(Z, Z).numpy() - k @ W @ np.linalg.solve(np.eye(8) + K @ W, k.T)
    assert ours.joint(Z)[1].numpy() == pytest.approx(expected, abs=1e-8)
    assert torch.equal(ours.inverse_factor, ours.inverse_factor.tril())
    assert float(ours.mean(X[4:5])) < 0.3 > float(ours.mean(X[5:6]))


def test_the_expected_better_one_is_that_of_a_million_draws() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        root = rng.normal(size=(2, 2))
        mean, cov = rng.normal(size=2), root @ root.T
        draws = rng.multivariate_normal(mean, cov, 1_000_000).max(1)
        s2 = torch.tensor([cov[0, 0] + cov[1, 1] - 2 * cov[0, 1]])
        found = float(expected_best(torch.tensor(mean[:1]), torch.tensor(mean[1]), s2))
        assert found == pytest.approx(draws.mean(), abs=5 * draws.std() / 1000)


@pytest.mark.parametrize(("true", "word"), [(0.1, "consistent"), (0.8, "not")])
def test_lambda_is_found_from_pairs_asked_again(true: float, word: str) -> None:
    rng = np.random.default_rng(2)
    X, _, prior = compared(0.2)
    utility = rng.multivariate_normal(np.zeros(7), prior.kernel(X, X).numpy())
    rows = []
    for _ in range(40):
        a, b = (int(i) for i in rng.permutation(7)[:2])
        for _ in range(2):
            noisy = utility[[a, b]] + true * rng.normal(size=2)
            rows.append((a, b, "left" if noisy[0] > noisy[1] else "right"))
    _, found = most_consistent(prior.kernel(X, X).numpy(), Judgements.of(rows), 0.2, 0.01)
    assert found.lower <= true <= found.upper
    assert (found.value < 0.2) == (word == "consistent")


# -- the tuner ---------------------------------------------------------------------------------------------


def test_preferences_find_the_best_walk_and_margins_alone_certify() -> None:
    study = look_study()
    tuner, asked = tuned(study, 14)
    answers = tuner.history.answers
    pairs = [a.question for a in answers if a.question.repeats is None]
    assert len(pairs) == 13
    assert len(answers) - len(pairs) == 1
    assert repeated(answers) == {"repeats": 1, "differing": 0}
    assert {q.left > q.right for q in pairs} == {True, False}
    assert all(max(q.left, q.right) == i for i, q in enumerate(pairs, start=2))
    assert all(t.certified for t in asked[1:])
    assert all(hill(t)[1] >= 0 for t in asked)
    best = tuner.best("slow")
    assert best is not None
    reached = hill(Trial(0, best.parameters, {"speed": 0.2}, "slow", "local", 0, certified=True))[0]
    seed = hill(asked[0])[0]
    assert reached > seed + 0.8 * (0.0 - seed) - 0.02
    silent = Tuner(study, seed=0)
    silent.restore([(r.trial, r.measurement) for r in tuner.history])
    rows = np.array([[t.parameters["kp"], t.parameters["kd"]] for t in asked])
    assert np.array_equal(silent.bounds(rows, "slow")[:, 1], tuner.bounds(rows, "slow")[:, 1])
    assert not np.allclose(silent.bounds(rows, "slow")[:, 0], tuner.bounds(rows, "slow")[:, 0])


def test_earlier_walks_are_compared_again_where_the_better_one_is_expected_to_be_best() -> None:
    study = look_study(objective={"pairs_per_walk": 3, "repeats": 0.0})
    tuner, rng = Tuner(study, seed=0), np.random.default_rng(0)
    further = 0
    for walk in range(1, 7):
        trial = tuner.ask("slow")
        tuner.tell(trial, Measurement("completed", margins=measured(trial, rng).margins))
        while (question := tuner.question()) is not None:
            told = {frozenset((a.question.left, a.question.right)) for a in tuner.history.answers}
            sides = frozenset((question.left, question.right))
            assert sides not in told
            if any(walk in pair for pair in told):
                further += 1
                left = [p for p in map(frozenset, combinations(range(1, walk + 1), 2)) if p not in told]
                assert better_of(tuner, sides) == max(better_of(tuner, pair) for pair in left)
            tuner.tell_preference(question, said(question, tuner))
    assert further > 5
    assert len(tuner.history.answers) == 15  # three pairs per walk would be 15, and there are no more


def better_of(tuner: Tuner, pair: frozenset[int]) -> float:
    """`E max` of two utilities by quadrature over their difference."""
    X = torch.stack([tuner.encoding.row(tuner.history.record(i).trial) for i in sorted(pair)])
    mean, covariance = (v.numpy() for v in tuner._state.surrogate().posteriors[0].joint(X))
    nodes, weights = np.polynomial.hermite_e.hermegauss(201)
    std = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1])
    over = np.maximum(0.0, mean[0] - mean[1] + std * nodes) @ weights / weights.sum()
    return round(float(mean[1] + over), 2)


def test_a_restored_tuner_asks_and_compares_as_the_first_would_have() -> None:
    tuner, _ = tuned(look_study(), 5)
    again = Tuner(look_study(), seed=0)
    again.restore([(r.trial, r.measurement) for r in tuner.history])
    again.restore_preferences(tuner.history.answers[:-1])
    assert again.question() == tuner.history.answers[-1].question
    again.restore_preferences(tuner.history.answers)
    assert again.question() is None
    assert again.ask("slow") == tuner.ask("slow")
    assert again.consistency() == tuner.consistency()


def test_walks_that_ended_early_or_unsafe_are_not_shown() -> None:
    tuner = Tuner(look_study(), seed=0)
    first = tuner.ask("slow")
    tuner.tell(first, {"margins": {"margin": 0.3}})
    assert tuner.question() is None
    for early in (
        {"outcome": "failed", "message": "no power"},
        {"outcome": "aborted", "fell": True, "margins": {"margin": -0.2}},
        {"margins": {"margin": -0.1}},
    ):
        tuner.tell(tuner.ask("slow"), early)
        assert tuner.question() is None
    tuner.tell(tuner.ask("slow"), {"objective": 3.0, "margins": {"margin": 0.2}})
    question = tuner.question()
    assert question is not None
    assert {question.left, question.right} == {1, 5}
    told = tuner.history.record(5).measurement
    assert told is not None
    assert (told.objective, told.extra["objective"]) == (None, 3.0)
    for wrong, why in (((1, 1), "two trials"), ((1, 5), "does not exist"), ((1, 9), "trial")):
        with pytest.raises(InputError, match=why):
            tuner.tell_preference(wrong, "better" if wrong == (1, 5) else "left")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="measured"):
        Tuner(hill_study()).tell_preference((1, 2), "left")
    with pytest.raises(MeasurementError, match="margin"):
        tuner.tell(tuner.ask("slow"), {"objective": 1.0, "margins": {}})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tuner": {"method": "itl"}}, "itl learns from measured objectives"),
        ({"surrogate": {"hyperparameters": "map"}}, "use fixed"),
        ({"early_end": ["settled"], "horizon": 30.0}, "compares measured objectives"),
        ({"tuner": {"confidence": {"schedule": "posterior"}}}, "use constant"),
        ({"objective": {"warp": {"scale": 2.0}}}, "has no unit"),
        ({"surrogate": {"prior_data": {}}}, "another run's answers"),
    ],
)
def test_what_does_not_go_with_preferences_is_said(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(StudyError, match=words):
        Tuner(look_study(**changes))


def test_a_measured_objective_has_no_keys_of_a_preference_and_a_preference_its_own_method() -> None:
    with pytest.raises(StudyError, match="belongs to kind: preference"):
        Tuner(hill_study(objective={"repeats": 0.2}))
    data = hill_study().model_dump(mode="json", exclude_defaults=True)
    found = Study.model_validate({**data, "tuner": {}, "objective": {"name": "look", "kind": "preference"}})
    assert found.tuner.method == "eubo"


def test_a_function_made_in_python_is_a_measured_objective() -> None:
    study = hill_study()
    function = FunctionSpec(name="gain", prior_std=2.0)
    found = Study(**{**dict(study), "objective": function})
    assert (found.objective.kind, found.objective.prior_std) == ("measured", 2.0)


def test_an_answer_names_the_better_walk_and_no_answers_leave_the_prior() -> None:
    question = PreferenceQuestion(1, 4, 2, "slow")
    assert [PreferenceAnswer(question, w).better for w in ("left", "right", "same")] == [4, 2, None]
    assert len(Judgements.of([])) == 0
    empty = mode(np.eye(2), Judgements.of([]), 0.1, 0.1)
    assert isinstance(empty, Mode)
    assert empty.evidence == 0.0
