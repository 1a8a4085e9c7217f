"""The evidence of `safebo init`: its problems are what a user would name, and the table says what runs came to."""

from pathlib import Path

import pytest

from safebo.experiments.evidence.first_studies import cartpole, problems, table


def test_the_seed_of_every_problem_lies_in_its_box() -> None:
    found = problems(Path("unpacked"))
    assert len(found) == 6
    for problem in found.values():
        assert set(problem.seed) == set(problem.bounds)
        assert all(low <= problem.seed[name] <= high for name, (low, high) in problem.bounds.items())


def test_the_cart_pole_tells_its_truth_beside_what_is_measured() -> None:
    seed = problems(None)["cartpole"].seed
    one, other = cartpole(seed, {}, seed=1), cartpole(seed, {}, seed=2)
    assert one["true_objective"] == other["true_objective"] == pytest.approx(-0.67, abs=0.01)
    assert one["objective"] != other["objective"]
    assert min(one["true_margins"].values()) > 0


def test_the_table_counts_unsafe_trials_and_takes_medians() -> None:
    runs = [
        {"share": s, "unsafe": u, "trials": 25, "seed": -1.0, "objective": s - 1.0}
        for s, u in ((0.9, 0), (0.5, 2), (1.0, 0))
    ]
    line = table({"toy": runs})[1]
    assert "90 % (50 %)" in line
    assert "2 of 75" in line
