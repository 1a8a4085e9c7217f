"""The example scripts run as shipped, in a shortened mode, and do what their text says."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"


def test_the_botorch_example_tries_only_what_is_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAFEBO_EXAMPLE_TRIALS", "6")
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path(str(EXAMPLES / "botorch_safe_acquisition.py"))
    assert {name: violations for name, (violations, _) in names["results"].items()} == {
        "ITL": 0,
        "ISE-BO": 0,
        "SafeOpt": 0,
    }
    for tried, last in names["runs"].values():
        assert tried.shape == (6, 2)
        assert bool((names["true_values"](tried)[:, 1] >= 0).all())
        rewards = names["true_values"](torch.stack([names["SEED"][0], names["recommended"](last)]))[:, 0]
        assert float(rewards[1]) > float(rewards[0]) + 0.2
    remaining = names["remaining"]
    assert remaining["8 by itl"] < remaining["8 by undirected"] < remaining["nothing more"]
    assert (tmp_path / "safe_acquisition.png").stat().st_size > 10_000
    assert "certified: True" in capsys.readouterr().out


def test_the_optuna_pages_study_runs_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (EXAMPLES.parent / "optuna.md").read_text()
    code = page.split("```python\n", 1)[1].split("```", 1)[0]
    monkeypatch.chdir(tmp_path)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for more, trials in ((20, 20), (4, 24)):
        names: dict[str, Any] = {}
        exec(code.replace("n_trials=20", f"n_trials={more}"), names)
        study = names["study"]
        assert len(study.trials) == trials
        assert all(t.system_attrs["constraints"][0] <= 0 for t in study.trials)
    assert study.trials[0].params == {"kp": 4.0, "kd": 0.5}
    assert min(t.value for t in study.trials[:20]) < 0.1  # as the page says
