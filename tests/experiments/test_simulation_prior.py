"""The evidence for a simulation's worth: what the cases of one problem must show."""

from __future__ import annotations

from safebo.experiments.evidence.simulation import CASES, ProblemOutcome, row, solve


def case(name: str) -> ProblemOutcome:
    return solve(next(c for c in CASES if c.name == name), 3)


def test_a_lie_is_dropped_and_costs_nothing_then() -> None:
    alone, lied = case("no simulation"), case("correlation -0.9")
    assert not alone.dropped
    assert lied.dropped
    # Both know the same from the first robot trial on.
    assert lied.regret == alone.regret
    assert alone.unsafe == 0


def test_a_good_simulation_is_believed() -> None:
    good = case("correlation 0.9 as declared")
    assert not good.dropped
    assert good.unsafe == 0
    assert solve(CASES[1], 3) == good


def test_a_correlation_that_is_earned_and_priors_that_are() -> None:
    """A problem in which a lengthscale told twice too long breaks the constraint, whatever the correlation."""
    good = case("correlation 0.9, nothing declared")
    assert (good.dropped, good.unsafe) == (False, 0)
    told = {c.name: c for c in CASES}
    assert solve(told["0.9, nothing declared, lengthscale told x 2"], 1).unsafe > 0
    assert solve(told["the same, trust: earned"], 1).unsafe == 0


def test_the_table_counts_trials_and_problems() -> None:
    outcomes = [ProblemOutcome((0.5, 0.2, 0.1), 2, True), ProblemOutcome((0.7, 0.4, 0.3), 0, False)]
    assert row(CASES[0], outcomes).split() == ["no", "simulation", "0.600", "0.300", "0.200", "2", "1", "1"]
