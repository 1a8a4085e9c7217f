"""What an ask looked at: the same trials with it and without it, its numbers those of the tuner, bounded, and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tuner_cases import hill_study, measured

from safebo.errors import InputError
from safebo.runs.opened import open_run
from safebo.runs.runner import run
from safebo.runs.trace import TraceWriter, read_trace, trace_file
from safebo.tuner import Tuner
from safebo.tuner.trace import MAX_BEST, MAX_SAMPLED, AskTrace, _kept
from safebo.types import Trial


def traced(study: Any, trials: int) -> tuple[Tuner, list[Trial], list[AskTrace]]:
    """A tuner after so many traced asks in one context, each answered but the last."""
    tuner, rng = Tuner(study, seed=3), np.random.default_rng(0)
    asked, tables = [], []
    for i in range(trials):
        trial, table = tuner.ask_traced("slow")
        if i < trials - 1:
            tuner.tell(trial, measured(trial, rng))
        asked.append(trial)
        tables.append(table)
    return tuner, asked, tables


@pytest.mark.parametrize(
    ("method", "search"),
    [("safeopt", {}), ("gosafeopt", {}), ("safeopt", {"domain": "grid", "grid_points": 41})],
)
def test_a_traced_ask_is_the_ask_and_its_table_says_what_the_tuner_says(
    method: str, search: dict[str, Any]
) -> None:
    study = hill_study(
        method, tuner={"search": {"swarm_size": 12, "swarm_iterations": 2, "restarts": 1, **search}}
    )
    study = study.model_copy(update={"tuner": study.tuner.model_copy(update={"method": method})})
    tuner, asked, tables = traced(study, 4)
    plain, rng = Tuner(study, seed=3), np.random.default_rng(0)
    for trial in asked:
        assert plain.ask("slow") == trial
        if trial is not asked[-1]:
            plain.tell(trial, measured(trial, rng))
    table = tables[-1].columns
    candidates = ~table["chosen"]
    assert (table["chosen"].sum(), table["reason"][-1], len(set(map(len, table.values())))) == (
        1,
        asked[-1].reason,
        1,
    )
    assert candidates.sum() == min(
        tables[-1].considered, MAX_BEST + MAX_SAMPLED if search else candidates.sum()
    )
    rows = np.stack([table["parameters.kp"], table["parameters.kd"]], -1)
    seen = np.stack(
        [[table[f"bounds.{f}.{e}"] for e in ("lower", "mean", "upper")] for f in ("reward", "margin")]
    )
    assert seen.transpose(2, 0, 1) == pytest.approx(tuner.bounds(rows, "slow"), abs=1e-6)
    assert (table["certified"] == (table["bounds.margin.lower"] >= 0)).all()
    best = table["acquisition"][candidates]
    if asked[-1].phase == "local" and "as" not in asked[-1].reason:
        assert table["acquisition"][-1] <= np.nanmax(best) + 1e-9
    found = candidates & (table["certified"])
    assert set(np.unique(table["expander"][found])) <= {0.0, 1.0}
    if method == "safeopt":
        # The rule admits maximizers and expanders, and these alone.
        admitted = np.isfinite(table["acquisition"]) & found
        assert admitted.any()
        assert ((table["maximizer"] == 1) | (table["expander"] == 1))[admitted].all()


def test_of_many_candidates_the_best_and_a_drawn_sample_remain() -> None:
    value = torch.from_numpy(np.random.default_rng(0).permutation(10_000).astype(np.float64))
    kept = [_kept(value, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert all(len(set(k.tolist())) == MAX_BEST + MAX_SAMPLED for k in kept)
    assert set(torch.topk(value, MAX_BEST).indices.tolist()) <= set(kept[0].tolist())
    assert torch.equal(kept[0], kept[1])
    assert not torch.equal(kept[0], kept[2])


STUDY = """\
name: bowl
evaluator: {name: "closed_form_runs:bowl", options: {repeatable: true}}
parameters: [{name: p, unit: N, bounds: [0, 10]}, {name: d, unit: s, bounds: [0.1, 10], scale: log}]
objective: {name: speed, unit: m/s, prior_std: 3}
constraints: [{name: height, unit: m, prior_std: 3}]
seeds: [{parameters: {p: 2, d: 1}}]
tuner: {search: {swarm_size: 12, swarm_iterations: 2, restarts: 1}}
"""


def test_a_run_keeps_them_over_a_resume_and_asks_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    file = tmp_path / "bowl.yaml"
    file.write_text(STUDY)
    run(file, tmp_path / "with", trials=2, trace=True)
    run(file, tmp_path / "with", trials=4, resume=True, trace=True)
    run(file, tmp_path / "without", trials=4)
    seen, plain = open_run(tmp_path / "with"), open_run(tmp_path / "without")
    assert [r.trial for r in seen.records] == [r.trial for r in plain.records]
    table = seen.trace()
    decided = table["chosen"]
    assert table["trial"][decided].tolist() == [r.trial.id for r in seen.records]
    assert table["parameters.p"][decided].tolist() == [r.trial.parameters["p"] for r in seen.records]
    assert table["reason"][decided].tolist() == [r.trial.reason for r in seen.records]
    assert (seen.trace(4)["trial"] == 4).all()
    for missing in (lambda: plain.trace(), lambda: seen.trace(9)):
        with pytest.raises(InputError, match="no table was kept"):
            missing()
    trace_file(tmp_path / "with", 2).write_text("no table")
    with pytest.raises(InputError, match=r"ask-00002.parquet: is no readable"):
        read_trace(tmp_path / "with")


def test_a_tuner_without_such_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"object has no ask_traced"):
        TraceWriter(tmp_path, object())
