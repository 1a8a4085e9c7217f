"""Whether two folders differ: the same, other bits of no account, a difference, and what only one has."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from bench_samples import put, rows_of, sample
from scipy import stats
from typer.testing import CliRunner

from safebo.experiments.bench.cli import app
from safebo.experiments.bench.compare import compare
from safebo.experiments.bench.results import load
from safebo.experiments.bench.statistics import holm

pytestmark = pytest.mark.slow


@pytest.fixture
def pair(tmp_path) -> tuple[Path, Path]:
    a = sample(tmp_path / "a", tasks=("hill", "dale"))
    shutil.copytree(a, tmp_path / "b")
    return a, tmp_path / "b"


def moved(folder: Path, method: str, by: float, tasks: tuple[str, ...] = ("hill", "dale")) -> None:
    """Regrets at the end of a method, moved by so much in the mean over seeds 0 to 7."""
    for task in tasks:
        for seed in range(8):
            rng = np.random.default_rng([7, seed, len(task)])
            end = 0.6 + by + 0.02 * rng.normal()
            put(folder, task, method, seed, rows_of(np.linspace(2.0, end, 12).tolist(), risk=1e-4))


def run(a: Path, b: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["compare", str(a), str(b), *options])
    return result.exit_code, result.output


def test_the_same_results_are_the_same(pair):
    code, text = run(*pair)
    assert code == 0
    assert "64 runs are in both; 64 of them are the same to the bit" in text
    assert "What both have is the same." in text


def test_columns_of_the_machine_do_not_count(pair):
    _, b = pair
    put(b, "hill", "good", 0, rows_of([1.0, 0.5], ask_seconds=9.0, evaluation_seconds=3.0))
    put(pair[0], "hill", "good", 0, rows_of([1.0, 0.5]))
    assert compare(*pair).same == 64


def test_other_bits_are_seen_and_told_from_a_difference(pair):
    a, b = pair
    moved(a, "fair", 0.0)
    for task in ("hill", "dale"):
        for seed in range(8):
            rows = rows_of(np.linspace(2.0, 0.6 + 1e-12 * seed, 12).tolist(), risk=1e-4)
            put(a, task, "fair", seed, rows)
            put(b, task, "fair", seed, rows_of(np.linspace(2.0, 0.6, 12).tolist(), risk=1e-4))
    found = compare(a, b)
    assert found.other == {("hill", "fair"): 7, ("dale", "fair"): 7}
    assert not found.methods  # nothing beyond rounding
    assert not found.differs
    code, text = run(a, b)
    assert code == 0
    assert "not the same: fair on hill, 7 runs" in text
    assert "no significant difference" in text


def test_a_difference_is_found_in_the_method_that_has_it(pair):
    a, b = pair
    moved(b, "fair", 0.3)
    code, text = run(a, b)
    assert code == 1
    assert "They differ: fair (level 0.05)." in text
    assert "fair over all tasks: normalised regret DIFFERS: B is 0.1" in text
    assert "larger in the mean" in text
    found = compare(a, b)
    (regret,) = (d for d in found.methods if d.aspect == "regret")
    assert regret.pairs == 16
    assert regret.mean.low < 0.15 < regret.mean.high + 0.05
    assert {d.method for d in [*found.methods, *found.tasks]} == {"fair"}


def test_the_tests_are_wilcoxons_and_holms(pair):
    a, b = pair
    moved(b, "fair", 0.02)
    moved(b, "good", 0.02, ("hill",))
    found = compare(a, b)
    ends = [
        {(j.run.task, j.run.method, j.run.seed): j.numbers.regret for j in load([f]).judged} for f in (a, b)
    ]
    for d in found.tasks:
        assert d.aspect == "regret"
        values = [ends[1][d.task, d.method, s] - ends[0][d.task, d.method, s] for s in range(8)]
        assert d.p_value == pytest.approx(stats.wilcoxon(values, method="exact").pvalue)
    assert [d.corrected for d in found.tasks] == holm([d.p_value for d in found.tasks])
    assert len(found.tasks) == 3


def test_more_violations_are_a_difference_too(pair):
    a, b = pair
    for task in ("hill", "dale"):
        for seed in range(8):
            rows = rows_of(np.linspace(2.0, 0.6, 12).tolist(), risk=1e-4)
            put(a, task, "fair", seed, rows)
            put(
                b,
                task,
                "fair",
                seed,
                rows_of(np.linspace(2.0, 0.6, 12).tolist(), violated=range(1, seed + 3), risk=1e-4),
            )
    code, text = run(a, b)
    assert code == 1
    assert "fair over all tasks: violations DIFFERS: B is 5.5 larger" in text


def test_too_few_seeds_are_said_to_be_too_few(tmp_path):
    for seed in range(3):
        put(tmp_path / "a", "hill", "rule", seed, rows_of([1.0 + seed]))
        put(tmp_path / "b", "hill", "rule", seed, rows_of([0.2 + seed]))
    code, text = run(tmp_path / "a", tmp_path / "b")
    assert code == 0
    assert "with so few changed pairs" in text
    assert run(tmp_path / "a", tmp_path / "b", "--alpha", "0.3")[0] == 1


def test_what_only_one_has_is_named(pair):
    a, b = pair
    put(a, "hill", "extra", 0, rows_of([1.0]))
    shutil.rmtree(b / "runs" / "dale" / "wild")
    put(b, "hill", "good", 0, rows_of([1.0, 0.5]))
    code, text = run(a, b)
    assert code == 0
    assert "only in A: extra on hill, 1 run\n" in text
    assert "only in A: wild on dale, 8 runs" in text
    assert "not compared: good on hill, 1 run with other numbers of trials" in text


def test_another_definition_of_a_task_is_a_difference(tmp_path):
    put(tmp_path / "a", "hill", "rule", 0, rows_of([1.0]))
    put(tmp_path / "b", "hill", "rule", 0, rows_of([1.0]), hashed="another")
    code, text = run(tmp_path / "a", tmp_path / "b")
    assert code == 1
    assert "task hill is defined otherwise in B" in text


def test_runs_that_could_not_begin_are_compared_as_well(tmp_path):
    for side in ("a", "b"):
        put(tmp_path / side, "hill", "rule", 1, rows_of([1.0]))
    put(tmp_path / "a", "hill", "rule", 0, [], trials=4)
    put(tmp_path / "b", "hill", "rule", 0, [], trials=4)
    assert compare(tmp_path / "a", tmp_path / "b").same == 2
    put(tmp_path / "b", "hill", "rule", 0, rows_of([1.0, math.nan, 0.5, 0.4]))
    found = compare(tmp_path / "a", tmp_path / "b")
    assert (found.same, found.other) == (1, {("hill", "rule"): 1})
