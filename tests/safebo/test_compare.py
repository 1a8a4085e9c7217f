"""Runs side by side: what is paired, what is refused, and what one run each decides."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from in_process import in_process
from new_journal import new_journal

from safebo.errors import InputError
from safebo.report.comparison import read_compared, sign_flip, verdicts
from safebo.runs.best_gains import BestGains, write_best_gains
from safebo.runs.recommendation import best_file
from safebo.study import Study
from safebo.types import Bounds, Measurement, Trial


def make(folder: Path, method: str, seed: int, value: float, unit: str = "m/s") -> Path:
    study = Study.model_validate(
        {
            "name": "legs",
            "evaluator": {"name": "python"},
            "parameters": [{"name": "kp", "unit": "N", "bounds": [0, 9]}],
            "objective": {"name": "speed", "unit": unit},
            "constraints": [{"name": "height", "unit": "m"}],
            "seeds": [{"parameters": {"kp": 1}}],
            "tuner": {"method": method},
        }
    )
    with new_journal(folder, study, seed=seed, trials=2) as journal:
        for number, objective in enumerate((0.0, value), 1):
            trial = Trial(number, {"kp": float(number)}, {}, "default", "local", number, certified=True)
            journal.ask(trial, number)
            margin = 0.5 if number == 1 else -0.1 if value > 100 else 0.2
            journal.tell(number, Measurement("completed", objective, {"height": margin}))
    bounds = Bounds(value - 0.1, value, value + 0.1)
    gains = BestGains("default", {"kp": 2.0}, True, bounds, {"height": bounds}, "legs", "speed", unit)
    write_best_gains(best_file(folder, "default", study), gains)
    return folder


def test_seeds_are_paired_and_p_is_exact(tmp_path: Path) -> None:
    a = [make(tmp_path / f"a{s}", "safe_ucb", s, 1.0 + s) for s in range(6)]
    b = [make(tmp_path / f"b{s}", "safeopt", s, 1.2 + s + 0.01 * s) for s in range(6)]
    (said,) = verdicts(read_compared([*a, *b]))
    assert said.p == pytest.approx(2 / 64)
    assert "n = 6 pairs" in said.words
    assert "+0.225 m/s" in said.words
    assert "Significant" in said.words  # although the groups' spread is seven times the difference
    other = [make(tmp_path / f"c{s}", "safeopt", s + 10, 1.2 + s) for s in range(6)]
    (said,) = verdicts(read_compared([*a, *other]))
    assert "Welch's t-test" in said.words
    assert "Not significant" in said.words


def test_one_run_each_decides_nothing_and_one_kind_is_not_tested(tmp_path: Path) -> None:
    a, b = make(tmp_path / "a", "safe_ucb", 0, 1.0), make(tmp_path / "b", "safeopt", 0, 1.5)
    (said,) = verdicts(read_compared([a, b]))
    assert said.p is None
    assert "one run each decides nothing" in said.words
    assert "differ: +0.5 m/s" in said.words
    c = make(tmp_path / "c", "safe_ucb", 1, 1.2)
    (said,) = verdicts(read_compared([a, c]))
    assert "differ by chance alone" in said.words


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    a, b = make(tmp_path / "a", "safe_ucb", 0, 1.0), make(tmp_path / "b", "safe_ucb", 1, 1.0, unit="km/h")
    with pytest.raises(InputError, match=r"speed \[km/h\]"):
        read_compared([a, b])
    with pytest.raises(InputError, match="two runs"):
        read_compared([a, a])
    c = make(tmp_path / "c", "safe_ucb", 2, 1.0)
    with pytest.raises(InputError, match="--context crawl"):
        read_compared([a, c], "crawl")


def test_a_copy_of_a_run_is_no_further_seed(tmp_path: Path) -> None:
    one = make(tmp_path / "one", "safeopt", 0, 1.0)
    shutil.copytree(one, tmp_path / "copy")
    with pytest.raises(InputError, match=r"copy holds the same trials as .*one, of seed 0 both"):
        read_compared([one, tmp_path / "copy"])
    assert len(read_compared([one, make(tmp_path / "two", "safeopt", 1, 1.0)])) == 2


def test_the_command_prints_a_table_and_writes_a_page(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    a, b = make(tmp_path / "a", "safe_ucb", 0, 1.0), make(tmp_path / "b", "safeopt", 0, 200.0)
    page = tmp_path / "page.html"
    done = in_process(capfd, "compare", a, b, "--page", page)
    assert (done.code, done.err) == (0, "")
    assert "height −0.1" in done.out
    assert "one run each decides nothing" in page.read_text()
    page.write_text("mine")
    refused = in_process(capfd, "compare", a, b, "--page", page)
    assert refused.code != 0
    assert "left as it is" in refused.err
    assert page.read_text() == "mine"


def test_sign_flips() -> None:
    assert sign_flip(np.array([1.0, 2.0, 3.0])) == 0.25
    assert sign_flip(np.array([1.0, -1.0])) == 1.0
    assert sign_flip(np.arange(1.0, 21.0)) < 1e-3
