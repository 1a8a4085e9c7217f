"""What the evidence on gait changes counts and draws, without a walk."""

from pathlib import Path
from typing import Any

import pytest

from safebo.experiments.evidence import gait_changes as evidence
from safebo.robots.quadruped.gait_table import AllowedChange, GaitTable
from safebo.robots.simulation.gait_trials import ChangePlan, TriedChange

PLAN = ChangePlan(evidence.TRIED)
TABLE = GaitTable("go1", {}, {("trot", "crawl"): AllowedChange((0.5,))})


def row(without: bool, held: bool | None, on: bool, **more: Any) -> dict[str, Any]:
    return {
        "from": "trot",
        "to": "crawl",
        "speed": 0.3,
        "phase": 0.6,
        "without": without,
        "with": held,
        "on": on,
    } | more


def test_the_table_of_falls_tells_changes_that_are_made_from_those_that_are_refused() -> None:
    rows = [row(True, False, False), row(False, True, True), row(True, None, True), row(False, None, False)]
    lines = evidence.falls(rows).splitlines()
    assert "| 2 of 4 (50.0 %) | 1 of 2 (50.0 %) | 1 of 2 (50.0 %) |" in lines[2]
    assert "| 1 in changes and 1 walking on, of 4 | 1 of 2 (50.0 %) | none is made |" in lines[3]
    assert "| 2 of 4 (50.0 %) | 1 of 2 (50.0 %) | 1 of 2 (50.0 %) |" in lines[4]
    by = evidence.influences([*rows, row(True, None, False, speed=0.9, phase=0.1)])
    assert "| phase | 0.5 to 0.75 | 2 of 4 |" in by
    assert "| speed, m/s | 0.8 to 1.2 | 1 of 1 |" in by


def test_a_wanted_change_is_the_same_for_a_number_and_never_out_of_a_gait_that_falls_by_itself() -> None:
    drawn = [evidence.Wanted.drawn(PLAN, number) for number in range(300)]
    assert drawn[7] == evidence.Wanted.drawn(PLAN, 7)
    assert {want.old for want in drawn} == set(evidence.TRIED) - set(evidence.NEVER_FROM)
    assert {want.new for want in drawn} == set(evidence.TRIED)
    assert all(want.old != want.new for want in drawn)
    limits = evidence.gait_limits(evidence.ROBOT, evidence.GAINS, evidence.TRIED)
    shares = [want.speed / min(limits[want.old], evidence.FASTEST) for want in drawn]
    assert 0.2 <= min(shares) < 0.25
    assert 0.95 < max(shares) <= 1.0


def test_what_is_kept_is_not_walked_again_and_what_fell_before_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int] = []

    def walked(plan: ChangePlan, table: GaitTable, number: int) -> dict[str, Any] | None:
        done.append(number)
        return None if number % 3 == 0 else row(False, False, False)

    monkeypatch.setattr(evidence, "walked", walked)
    file = tmp_path / "wanted.jsonl"
    assert len(list(evidence.made_rows(PLAN, TABLE, 2, file))) == 2
    assert len(list(evidence.made_rows(PLAN, TABLE, 4, file))) == 4
    assert done == [0, 1, 2, 3, 4, 5]
    other = GaitTable("go1", {}, {("trot", "crawl"): AllowedChange((0.25,))})
    assert len(list(evidence.made_rows(PLAN, other, 1, file))) == 1
    assert done[6:] == [0, 1]


def test_tries_go_on_where_they_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, done = ChangePlan(("trot", "crawl"), speeds=(0.25,)), list[tuple[str, float, int]]()

    def tried(
        _robot: Any, _gains: Any, _plan: Any, batch: tuple[str, float, int], _without: Any
    ) -> list[TriedChange]:
        done.append(batch)
        if len(done) == 3:
            raise KeyboardInterrupt
        return [TriedChange(batch[0], "pace", batch[1], 0, batch[2], False, 0.5)]

    monkeypatch.setattr(evidence, "tried_changes", tried)
    with pytest.raises(KeyboardInterrupt):
        evidence.tries_of(plan, tmp_path / "tries.jsonl", lambda line: None)
    found = evidence.tries_of(plan, tmp_path / "tries.jsonl", lambda line: None)
    assert done[2] == done[3]
    assert len(done) == 5
    assert [one.walk for one in found] == [0, 1, 0, 1]
