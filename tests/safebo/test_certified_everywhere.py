"""The safe set: one criterion, its exceptions, and nothing beside it that decides what is certified."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from island_case import island_study
from torch import Tensor
from tuner_cases import hill_study, measured, run

from safebo.acquisition import AcquisitionContext, acquisition_class
from safebo.errors import EmptySafeSetError, NoBackupError
from safebo.models.confidence import Prediction
from safebo.models.function_model import FunctionModel
from safebo.models.surrogate import Surrogate
from safebo.optim import unit_grid
from safebo.safety.measured_points import MeasuredPoints
from safebo.safety.safe_set import PROPOSAL_RESERVE, SafeSet
from safebo.tuner import Tuner
from safebo.tuner.state import TunerState
from safebo.types import Measurement, Trial

BORDER = 0.45


@dataclass(frozen=True)
class HalfBox:
    """A rule with a set of its own: the first parameter at most `border`, whatever the surrogate says."""

    border: float = BORDER

    def margins(self, X: Tensor, lower: Tensor, thresholds: Tensor) -> Tensor:
        return (self.border - X[..., :1]).expand(lower.shape)


def only(monkeypatch: pytest.MonkeyPatch, border: float = BORDER) -> None:
    """Let every context of a tuner certify that half of the box alone."""
    monkeypatch.setattr(TunerState, "_certificate", lambda self, name, ctx: HalfBox(border))


def safe_set(**changes: Any) -> SafeSet:
    """One parameter, an objective and three constraints with unequal scales, measured at two points."""
    models = [
        FunctionModel(n, "matern52", (0.3,), -0.2, v, 1e-3)
        for n, v in zip("fabc", (1.0, 0.25, 4.0, 1.0), strict=True)
    ]
    s = Surrogate.prior(models)
    for x, row in ((0.3, [0.0, 0.9, 3.0, 2.0]), (0.6, [0.0, 0.9, -0.5, 2.0])):
        s = s.observed(torch.tensor([x], dtype=torch.float64), row)
    fields: dict[str, Any] = {
        "surrogate": s,
        "context": torch.zeros(0, dtype=torch.float64),
        "thresholds": torch.tensor([0.0, 0.1, -0.1], dtype=torch.float64),
        "beta": torch.full((4,), 2.0, dtype=torch.float64),
    }
    return SafeSet(**{**fields, **changes})


GRID = torch.linspace(0.0, 1.0, 101, dtype=torch.float64).unsqueeze(-1)


def test_a_point_is_certified_where_every_constraint_holds() -> None:
    s = safe_set()
    prediction = s.surrogate.predict(GRID)
    lower = (prediction.mean - 2.0 * prediction.std)[:, 1:] - s.thresholds
    every, some = (lower >= 0).all(-1), (lower >= 0).any(-1)
    assert bool(every.any())
    assert bool((some & ~every).any())
    bounds = s.bounds_at(GRID)
    assert torch.equal(s.certified(bounds), every)
    scaled = (lower / torch.tensor([0.5, 2.0, 1.0])).numpy()
    np.testing.assert_allclose(bounds.slack.numpy(), scaled.min(-1), atol=1e-9)
    assert torch.equal(s.certified(bounds, 0.3), torch.tensor(scaled.min(-1) >= 0.3))


def test_without_constraints_everything_is_certified() -> None:
    free = safe_set(constraints=(), thresholds=torch.zeros(0, dtype=torch.float64))
    assert bool(free.certified(free.bounds_at(GRID), PROPOSAL_RESERVE).all())


def opened(*rows: int, mean: float, std: float = 0.1) -> MeasuredPoints:
    """Points of the grid whose own measurements say the same of all three constraints."""
    said = torch.full((len(rows), 3), mean, dtype=torch.float64)
    return MeasuredPoints(GRID[list(rows)], Prediction(said, torch.full_like(said, std)))


def test_a_point_certified_by_its_own_measurements_is_so_alone_and_never_with_a_reserve() -> None:
    plain, own = safe_set(), safe_set(measured=opened(90, mean=0.31))
    before, after = (s.certified(s.bounds_at(GRID)) for s in (plain, own))
    assert not bool(before[90])
    assert torch.nonzero(before != after).flatten().tolist() == [90]
    held = [s.certified(s.bounds_at(GRID), PROPOSAL_RESERVE) for s in (plain, own)]
    assert torch.equal(*held)
    # What is shown of it is what certifies it: 0.31 - 2 * 0.1 above each threshold.
    np.testing.assert_allclose(own.bounds_at(GRID).margins[90].numpy(), [0.11, 0.01, 0.21], atol=1e-12)
    # Whatever the surrogate certifies keeps its bounds.
    inside = int(torch.nonzero(before)[0])
    again = safe_set(measured=opened(inside, mean=0.3)).bounds_at(GRID)
    assert torch.equal(again.slack, plain.bounds_at(GRID).slack)
    assert torch.equal(again.margins, plain.bounds_at(GRID).margins)


def test_measurements_that_do_not_suffice_change_nothing() -> None:
    plain, unsure = safe_set(), safe_set(measured=opened(90, mean=0.299))
    before, after = plain.bounds_at(GRID), unsure.bounds_at(GRID)
    assert torch.equal(before.slack, after.slack)
    assert torch.equal(before.margins, after.margins)
    assert after.exceptions is not None
    assert set(after.exceptions.tolist()) == {-1}


def test_a_prior_alone_certifies_nothing_measured_or_not() -> None:
    alone = safe_set(void=True, measured=opened(90, mean=0.3))
    assert not bool(alone.certified(alone.bounds_at(GRID)).any())


def test_a_strict_set_leaves_out_its_border() -> None:
    on_border = HalfBox(0.25)
    X = torch.tensor([[0.2], [0.25], [0.3]], dtype=torch.float64)
    for strict, expected in ((False, [True, True, False]), (True, [True, False, False])):
        s = safe_set(certificate=on_border, strict=strict)
        assert s.certified(s.bounds_at(X)).tolist() == expected
        ctx = AcquisitionContext(
            surrogate=s.surrogate,
            fantasized=s.surrogate,
            context=s.context,
            dimension=1,
            thresholds=s.thresholds,
            beta=s.beta,
            certificate=on_border,
            strict=strict,
            pool=X,
        )
        acquisition = acquisition_class("safe_ucb")(ctx)
        assert torch.isfinite(acquisition.grid_scores()).tolist() == expected
        assert (acquisition(X.unsqueeze(1)) > -1e5).tolist() == expected


CERTIFIED = ("safe_ucb", "safeopt", "stageopt", "goose", "random_safe")


@pytest.mark.parametrize(
    ("method", "domain"),
    [*((m, d) for m in CERTIFIED for d in ("continuous", "grid", "lines")), ("mm_itl", "grid")],
)
def test_what_a_tuner_proposes_is_what_its_safe_set_holds(
    method: str, domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The set is replaced by one that no bound of the surrogate would give: everything follows it."""
    only(monkeypatch)
    search: dict[str, Any] = {"swarm_size": 20, "swarm_iterations": 3, "restarts": 2}
    if domain == "grid":
        search = {"domain": "grid", "grid_points": 9}
    elif domain == "lines":
        search["lines"] = {"direction": "random", "count": 2, "points": 50}
    tuner = Tuner(hill_study(method, tuner={"search": search}), 0)
    trials = run(tuner, 5, context="slow")
    assert [t.phase for t in trials] == ["seed"] + ["local"] * 4
    for trial in trials:
        x = float(tuner.encoding.row(trial)[0])
        assert trial.certified
        assert x <= BORDER
    best = tuner.best("slow")
    assert best is not None
    assert best.certified
    for kp in np.linspace(0.0, 10.0, 21):
        assert tuner.certify({"kp": kp, "kd": 0.6}, "slow").certified == (kp / 10.0 <= BORDER)
    # Of an empty set nothing can be proposed but the seed again.
    only(monkeypatch, -1.0)
    again = tuner.ask("slow")
    assert (again.phase, again.certified) == ("seed", False)
    assert tuner.best("slow") is None


def told(k: float, phase: Any, margin: float, number: int) -> tuple[Trial, Measurement]:
    trial = Trial(number, {"k": k, "d": 0.5}, {}, "default", phase, 0, True)
    states = np.array([[0.5], [0.4]])
    return trial, Measurement("completed", objective=-0.3, margins={"margin": margin}, states=states)


def test_backups_and_points_of_global_trials_follow_the_same_set(monkeypatch: pytest.MonkeyPatch) -> None:
    tuner = Tuner(island_study(), 0)
    tuner.restore([told(0.2, "seed", 0.45, 1), told(0.6, "local", 0.2, 2), told(0.9, "global", 0.1, 3)])
    only(monkeypatch)
    state = tuner._state
    found, lower = tuner._watching.backups("default")
    # The local trial's gains are outside; the watched one's are certified by what was measured with them.
    assert [b.trial for b in found] == [1, 3]
    np.testing.assert_allclose(lower, [BORDER - 0.2, 0.1 - 3.0 * 0.01], atol=1e-12)
    for k, expected in ((0.2, True), (0.6, False), (0.9, True), (0.91, False)):
        assert tuner.certify({"k": k, "d": 0.5}, "default").certified == expected
    ctx = state.acquisition_context("default")
    at = tuner.encoding.unit(np.array([[0.2, 0.5], [0.9, 0.5]]))
    assert ctx.certified(ctx.bounds_at(at), PROPOSAL_RESERVE).tolist() == [True, False]
    only(monkeypatch, -1.0)
    assert tuner._watching.possible("default")
    alone = Tuner(island_study(), 0)
    alone.restore([told(0.2, "seed", 0.45, 1)])
    assert not alone._watching.possible("default")
    with pytest.raises(NoBackupError):
        alone._watching.monitor("default")


@pytest.mark.parametrize("domain", ["continuous", "grid"])
def test_a_context_known_from_a_prior_alone_gets_its_seed_again(domain: str) -> None:
    prior = {"correlation": 1.0, "inflation": 1.0}
    search = {"domain": domain, "swarm_size": 20, "swarm_iterations": 3, "restarts": 2}
    study = hill_study(
        surrogate={"prior_data": prior},
        tuner={"search": {**search, **({"grid_points": 9} if domain == "grid" else {})}},
    )
    simulated = Tuner(hill_study(), 0)
    trials = run(simulated, 12, context="slow")
    rng = np.random.default_rng(0)
    tuner = Tuner(study, 0, prior=[(t, measured(t, rng)) for t in trials])
    ctx = tuner._state.acquisition_context("slow")
    believed = replace(ctx, void=False)
    X = unit_grid(2, 9)
    # The prior's trials would certify much, were they this run's.
    assert bool(believed.certified(believed.bounds_at(X), PROPOSAL_RESERVE).any())
    assert not bool(ctx.certified(ctx.bounds_at(X)).any())
    for _ in range(6):
        asked = tuner.ask("slow")
        assert (asked.phase, asked.certified) == ("seed", False)
        tuner.tell(asked, Measurement("failed"))
    assert tuner.best("slow") is None
    with pytest.raises(EmptySafeSetError):
        tuner.ask("slow")
