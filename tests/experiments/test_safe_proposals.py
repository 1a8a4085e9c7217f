"""The runner that certifies proposals a second time: it notices what it is there to notice."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from safebo.experiments.robustness import random_grids, random_problems
from safebo.experiments.robustness.safe_proposals import Outcome, main, run_grid, run_study, table, tasks
from safebo.safety.certificates import BoundsCertificate

pytestmark = pytest.mark.slow


def test_a_certificate_that_is_too_kind_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = BoundsCertificate.margins

    def kind(self: BoundsCertificate, X: Tensor, lower: Tensor, thresholds: Tensor) -> Tensor:
        return right(self, X, lower, thresholds) + 0.1

    assert sum(run_grid("random_safe", seed).uncertified for seed in range(10)) == 0
    monkeypatch.setattr(BoundsCertificate, "margins", kind)
    on_grids = [run_grid("random_safe", seed) for seed in range(10)]
    in_boxes = [run_study("random_safe", seed) for seed in range(4)]
    assert sum(outcome.uncertified for outcome in on_grids) > 0
    assert sum(outcome.uncertified for outcome in in_boxes) > 0
    assert any("margin" in fault for outcome in [*on_grids, *in_boxes] for fault in outcome.faults)


def test_a_problem_is_a_function_of_its_seed() -> None:
    assert run_study("safe_ucb", 3) == run_study("safe_ucb", 3)
    assert run_study("safe_ucb", 3) != run_study("safe_ucb", 4)
    assert run_grid("itl", 3) == run_grid("itl", 3)


def test_problems_are_shared_out_among_all_methods_and_counted() -> None:
    count = len(random_problems.METHODS) + len(random_grids.METHODS)
    shared = [(task.func, *task.args) for task in tasks(2 * count, 5)]
    assert len(set(shared)) == 2 * count
    assert {seed for _, _, seed in shared} == {5, 6}
    rows = [Outcome("study", "itl", 7, 5, 4, 0, 0.1), Outcome("study", "itl", 6, 2, 1, 1, -0.2, ("bad",))]
    text = table([*rows, Outcome("grid", "mes", 5, 5, 5, 0, 0.3)])
    assert [line.split()[:8] for line in text.splitlines()[1:]] == [
        ["grid", "mes", "1", "5", "5", "5", "0", "0.3"],
        ["study", "itl", "2", "13", "7", "5", "1", "-0.2"],
        ["all", "3", "18", "12", "10", "1", "-0.2"],
    ]


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    with pytest.raises(SystemExit) as end:
        main(problems=2, processes=1)
    assert end.value.code == 0
    assert torch.get_num_threads() == threads
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["method", "problems", "asks"]
    assert lines[3].split()[:2] == ["all", "2"]
