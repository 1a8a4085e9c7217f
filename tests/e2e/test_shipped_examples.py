"""Every example runs as shipped, shortened by its variable, tries nothing unsafe, and says what it found."""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from safebo.boundary.kernels import KERNELS
from safebo.experiments.site.examples import CHAPTERS

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
TRIALS = 6
ELSEWHERE = {"botorch_safe_acquisition", "my_acquisition", "my_task"}
"""They have tests of their own."""

SHORT = sorted({path.stem for path in EXAMPLES.glob("*.py")} - ELSEWHERE)
NEEDS = {"gymnasium_cart_pole": "gymnasium", "pandas_export": "pandas"}
IN_A_PROCESS = {"identified_robot", "pandas_export", "subprocess_evaluator"}
"""They start workers, which import the main file again."""


@pytest.fixture(autouse=True)
def _kernels_stay_as_they_are() -> Iterator[None]:
    """A kernel that an example registers is for its own process, and this one goes on."""
    before = dict(KERNELS)
    yield
    KERNELS.clear()
    KERNELS.update(before)


@pytest.mark.parametrize("name", SHORT)
def test_an_example_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed; `make test-docs` has it")
    file = EXAMPLES / f"{name}.py"
    monkeypatch.setenv("SAFEBO_EXAMPLE_TRIALS", str(TRIALS))
    monkeypatch.chdir(tmp_path)
    if name in IN_A_PROCESS:
        done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, env=os.environ)
        assert done.returncode == 0, done.stderr
        out = done.stdout
    else:
        monkeypatch.setattr(sys, "argv", [str(file)])
        runpy.run_path(str(file))
        out = capsys.readouterr().out
    said = re.findall(r"(\d+)(?: of \d+(?: trials)?(?: were)?)? unsafe", out)
    assert all(number == "0" for number in said), out
    assert len(out.strip().splitlines()) >= 2
    assert "certified" in out or name in (
        "optuna_sampler",
        "plain_tensors",
        "prior_from_simulation",
        "pandas_export",
    )


def test_examples_are_short_listed_and_say_how_they_are_run() -> None:
    listed = {name for names in CHAPTERS.values() for name in names}
    assert listed == {path.stem for path in EXAMPLES.glob("*.py")}
    assert len(SHORT) >= 20
    for name in SHORT:
        lines = (EXAMPLES / f"{name}.py").read_text().splitlines()
        assert len(lines) <= 80, name
        assert f"{name}.py" in "\n".join(lines[:10]), f"{name} does not say how it is run"
