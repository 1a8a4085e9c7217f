"""Measures of a run against what its rows were made to show."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from bench_samples import put, rows_of, sample

from safebo.errors import InputError
from safebo.experiments.bench.contestants import contestant
from safebo.experiments.bench.jobs import FACTS
from safebo.experiments.bench.measures import BenchRun, RunMeasures, padded, regret_curve
from safebo.experiments.bench.results import load
from safebo.experiments.bench.rows import ResultRow
from safebo.experiments.bench.store import Store
from safebo.experiments.bench.tasks import problem_named


def one(folder: Path, rows: list[ResultRow], **more: object) -> tuple[BenchRun, RunMeasures]:
    put(folder, "hill", "rule", 0, rows, **more)  # type: ignore[arg-type]
    judged = load([folder]).judged[0]
    return judged.run, judged.numbers


def test_regret_is_a_share_of_the_start_and_its_way_to_90_percent_is_counted(tmp_path):
    run, numbers = one(tmp_path, rows_of([2.0, 1.0, 0.21, 0.19, 0.1]))
    np.testing.assert_allclose(regret_curve(run), [1.0, 0.5, 0.105, 0.095, 0.05])
    assert numbers.regret == pytest.approx(0.05)
    assert numbers.trials_to_90 == 4
    assert numbers.cumulative == pytest.approx(np.mean([2.0, 1.0, 0.21, 0.19, 0.1]) / 2.0)
    assert numbers.safe_share == 1.0
    assert numbers.peak_memory_mb == 100.0


def test_a_task_in_other_units_has_the_same_regrets(tmp_path):
    _, first = one(tmp_path / "a", rows_of([1.5, 0.4], start=2.0, optimum=5.0))
    _, second = one(tmp_path / "b", rows_of([150.0, 40.0], start=200.0, optimum=-3.0))
    assert first.regret == second.regret == pytest.approx(0.2)
    assert first.cumulative == pytest.approx(second.cumulative)


def test_violations_falls_and_backups_are_counted_with_their_worst(tmp_path):
    rows = rows_of([1.0] * 6, violated=(3, 5), depth=0.4, fell=True, backup=True)
    _, numbers = one(tmp_path, rows)
    assert (numbers.violations, numbers.worst_depth, numbers.first_violation) == (2, pytest.approx(0.4), 3)
    assert (numbers.falls, numbers.backups) == (6, 6)
    _, clean = one(tmp_path / "clean", rows_of([1.0] * 6))
    assert (clean.violations, clean.worst_depth, clean.first_violation) == (0, 0.0, math.inf)


def test_an_unsafe_answer_and_an_unsafe_trial_gained_nothing(tmp_path):
    _, answer = one(tmp_path / "a", rows_of([0.1, -1.0], answer_safe=False))
    assert answer.regret == 1.0
    _, worse = one(tmp_path / "b", rows_of([0.1, 3.0], answer_safe=False))
    assert worse.regret == 1.5
    _, trial = one(tmp_path / "c", rows_of([-1.0, 0.0], violated=(1,)))
    assert trial.cumulative == pytest.approx((1.0 + 0.0) / 2)


def test_a_method_that_promises_nothing_shows_its_best_safe_trial(tmp_path):
    rows = rows_of([0.2, 1.0])
    _, certifies = one(tmp_path / "a", rows)
    _, baseline = one(tmp_path / "b", rows, promise="nothing")
    assert (certifies.regret, baseline.regret) == (0.5, pytest.approx(0.1))


def test_an_answer_that_nobody_looked_at_is_the_last_one_known(tmp_path):
    run, _ = one(tmp_path, rows_of([math.nan, 1.0, math.nan, 0.5, math.nan], tried_regret=0.1))
    np.testing.assert_allclose(regret_curve(run), [1.0, 0.5, 0.5, 0.25, 0.25])


def test_a_start_that_is_the_optimum_has_no_scale_and_is_left_out(tmp_path):
    run, numbers = one(tmp_path, rows_of([0.0, 0.0], start=0.0))
    assert math.isnan(run.scale)
    assert math.isnan(numbers.regret)
    assert numbers.trials_to_90 == math.inf


def test_a_run_that_could_not_certify_its_first_trial_stays_at_its_start(tmp_path):
    put(tmp_path, "hill", "other", 0, rows_of([1.0]))
    put(tmp_path, "hill", "rule", 0, [], trials=5)
    stuck = next(j for j in load([tmp_path]).judged if j.run.method == "rule")
    assert (stuck.numbers.trials, stuck.numbers.regret, stuck.numbers.violations) == (0, 1.0, 0)
    np.testing.assert_array_equal(padded(regret_curve(stuck.run), 3, 1.0), [1.0, 1.0, 1.0])


def test_contexts_of_a_run_are_judged_apart(tmp_path):
    trot, crawl = rows_of([2.0, 0.2], context="trot"), rows_of([4.0, 2.0], start=4.0, context="crawl")
    put(
        tmp_path, "walk", "rule", 0, [*trot, *[ResultRow(**{**vars(r), "trial": r.trial + 2}) for r in crawl]]
    )
    results = load([tmp_path])
    assert results.task_names == ("walk (crawl)", "walk (trot)")
    assert [j.numbers.regret for j in results.judged] == [0.5, pytest.approx(0.1)]


def test_without_the_starts_value_the_worst_first_trial_stands_for_it_and_the_page_is_told(tmp_path):
    unknown: dict[str, Any] = {"optimum": math.nan, "start": math.nan}
    put(tmp_path, "hill", "lucky", 0, rows_of([0.5, 0.5], **unknown))
    put(tmp_path, "hill", "slow", 0, rows_of([2.0, 1.0], **unknown))
    put(tmp_path, "hill", "swift", 0, rows_of([1.0, 0.1], **unknown))
    results = load([tmp_path])
    assert results.estimated == ("hill",)
    assert [j.numbers.regret for j in results.judged] == pytest.approx([0.25, 0.5, 0.05])
    assert all(math.isnan(j.numbers.cumulative) for j in results.judged)


def test_where_nobody_knows_the_optimum_there_is_no_regret_and_no_guess(tmp_path):
    unknown = dict.fromkeys(("regret", "tried_regret", "optimum", "true_margin"), math.nan)
    _, numbers = one(tmp_path, rows_of([1.0, 1.0], violated=(2,), **unknown))
    assert math.isnan(numbers.regret)
    assert math.isnan(numbers.worst_depth)
    assert numbers.violations == 1
    assert load([tmp_path]).estimated == ()


def test_the_start_is_the_best_of_seeds_that_are_trials_themselves(tmp_path):
    rows = [
        ResultRow(**{**vars(r), "start": s})
        for r, s in zip(rows_of([3.0, 2.0, 1.0]), (2.0, 3.0, 3.0), strict=True)
    ]
    run, numbers = one(tmp_path, rows)
    assert (run.start_regret, numbers.regret) == (2.0, 0.5)


def test_a_result_made_before_columns_were_added_is_read(tmp_path):
    put(tmp_path, "hill", "rule", 0, rows_of([2.0, 1.0]))
    path = Store(tmp_path).path("hill", "rule", 0)
    old = pq.read_table(path)
    pq.write_table(old.drop_columns(["optimum", "start", "risk"]), path)
    assert load([tmp_path]).estimated == ("hill",)


def test_results_of_a_method_that_was_described_otherwise_are_read_with_new_ones(tmp_path):
    for seed in (0, 1):
        put(tmp_path, "hill", "rule", seed, rows_of([1.0]))
    path = Store(tmp_path).path("hill", "rule", 0)
    table = pq.read_table(path)
    facts = json.loads(table.schema.metadata[FACTS])
    facts["method"]["outside"] = facts["method"].pop("external")
    facts["method"]["summary"] = "the same rule in older words"
    pq.write_table(table.replace_schema_metadata({FACTS: json.dumps(facts).encode()}), path)
    assert len(load([tmp_path]).judged) == 2
    facts["method"]["promise"] = "nothing"
    pq.write_table(table.replace_schema_metadata({FACTS: json.dumps(facts).encode()}), path)
    with pytest.raises(InputError, match="two definitions of method rule"):
        load([tmp_path])


def test_results_that_do_not_belong_together_are_refused(tmp_path):
    put(tmp_path / "a", "hill", "rule", 0, rows_of([1.0]))
    put(tmp_path / "b", "hill", "rule", 1, rows_of([1.0]), hashed="another")
    with pytest.raises(InputError, match="two definitions of task hill"):
        load([tmp_path / "a", tmp_path / "b"])
    with pytest.raises(InputError, match="rule on hill, seed 0, is there twice"):
        load([tmp_path / "a", tmp_path / "a"])
    with pytest.raises(InputError, match="no results"):
        load([tmp_path / "nothing"])


def test_a_tasks_own_rows_say_optimum_start_and_risk():
    task = problem_named("gp-1d-right").make(3)  # type: ignore[attr-defined]
    rows = list(problem_named("gp-1d-right").run(contestant("safe_ucb").name, 3, 4))
    values = task.values(task.start(3))
    assert rows[0].optimum == pytest.approx(task.optimum())
    assert rows[0].start == pytest.approx(values[~task.violated(values), 0].max())
    assert rows[0].risk == pytest.approx(0.05 / 100)  # the task's beta is made for 5 % of runs of 100 trials
    for row in rows:
        assert row.tried_regret <= row.optimum - row.start + 1e-12


def test_loading_keeps_every_run(tmp_path):
    results = load([sample(tmp_path, seeds=3)])
    assert len(results.judged) == 2 * 4 * 3
    assert results.certifying() == ("fair", "good", "poor")
    assert results.baselines() == ("wild",)
