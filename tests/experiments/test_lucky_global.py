"""The command that counts what a lucky global trial leads to: a short run, its resumption, and its words."""

from __future__ import annotations

from pathlib import Path

import pytest

from safebo.experiments.evidence import lucky_global
from safebo.experiments.evidence.lucky_global import (
    AT,
    CASES,
    LuckyRun,
    finished,
    run,
    runs,
    summary,
    true_margin,
)
from safebo.tuner.phases import MAX_REPEATS


def test_the_lucky_gains_are_unsafe_and_the_seed_is_not() -> None:
    assert true_margin(AT) == pytest.approx(-0.06, abs=1e-4)
    assert true_margin(0.2) == pytest.approx(0.5)


@pytest.mark.parametrize("case", CASES)
def test_lucky_gains_are_left_and_never_certified(case: str) -> None:
    done = run(case, 0, 8)
    assert 1 <= done.repeats <= MAX_REPEATS
    assert (done.certified, done.wrong, done.recommended, done.backup) == (False, 0, False, False)


def test_finished_runs_are_read_and_half_a_line_is_taken_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Here:
        """A pool that runs nothing."""

        def __enter__(self) -> Here:
            return self

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(lucky_global, "process_pool", lambda workers: Here())
    out = tmp_path / "lucky.jsonl"
    row = (
        '{{"trials": {}, "run": {{"case": "{}", "seed": 0, "repeats": 1, "negative": 1, "certified": false, '
    )
    row += '"wrong": 0, "recommended": false, "backup": false, "unsafe": 4}}}}\n'
    whole = "".join(row.format(20, case) for case in CASES)
    out.write_text(whole + row.format(9, "beta 2")[:40])
    found = list(runs(1, 20, 1, out))
    assert [r.case for r in found] == list(CASES)
    assert out.read_text() == whole
    assert finished(out, 9) == {}
    assert found[0] == LuckyRun("beta 3", 0, 1, 1, False, 0, False, False, 4)
    assert summary(found[:1]).startswith(
        "1 runs: certified after the second negative measurement in 0; tried again 1.00"
    )
