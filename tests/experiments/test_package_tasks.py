"""Tasks of a laboratory's own package: found by entry point, run like any other, and said in words when broken."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from typer.testing import CliRunner

from safebo.errors import InputError, UnknownNameError
from safebo.experiments.bench import tasks
from safebo.experiments.bench.cli import app
from safebo.experiments.bench.jobs import Job, do
from safebo.experiments.bench.tasks import problem_named, suite

MODULE = """
    import numpy as np
    from safebo.experiments.tasks import UNCONSTRAINED, KernelSpec, Task

    def functions(x):
        return np.column_stack([-((x[:, 0] - 0.7) ** 2), 0.8 - x[:, 0]])

    def arm(seed=0):
        kernels = (KernelSpec("rbf", 0.3), KernelSpec("rbf", 0.3))
        return Task("arm", functions, np.array([[0.0], [1.0]]), kernels, (0.0, 0.0), (0.01, 0.01), (2.0, 2.0),
                    (UNCONSTRAINED, 0.0), lambda seed: np.array([[0.2]]), 7, lattice=(21,))

    hand = arm()
    number = 3

    def raises(seed):
        raise RuntimeError("no licence for the simulator")
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Installs a package that is nothing but a module and its metadata, as an installer would leave them."""
    problem_named.cache_clear()
    # The other suites simulate plants and robots, which takes seconds to begin.
    monkeypatch.setattr(tasks, "SUITES", {"synthetic-core": tasks.SUITES["synthetic-core"]})

    def install(package: str, points: dict[str, str]) -> None:
        info = tmp_path / f"{package}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        lines = [f"{name} = {value}" for name, value in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[safebo.tasks]", *lines, ""]))

    (tmp_path / "acme_lab.py").write_text(dedent(MODULE))
    monkeypatch.syspath_prepend(tmp_path)
    yield install
    problem_named.cache_clear()


def test_a_task_of_a_package_is_run_from_its_name(installed) -> None:
    installed("acme", {"acme-arm": "acme_lab:arm", "acme-hand": "acme_lab:hand"})
    assert suite("acme-arm,acme-hand") == ("acme-arm", "acme-hand")
    for name in ("acme-arm", "acme-hand"):
        problem = problem_named(name)
        assert (problem.name, problem.trials) == (name, 7)
        assert len(problem.provenance()["hash"]) > 8
    assert do(Job("acme-arm", "safe_ucb", 0, 2))[:4] == b"PAR1"
    told = CliRunner().invoke(app, ["list"])
    assert told.exit_code == 0, told.output
    assert "acme-arm: 7 trials, acme-arm = acme_lab:arm of acme 1.2" in told.output


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("acme_lab:missing", "AttributeError"),
        ("no_such_module:arm", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("acme_lab:number", "a value of type int"),
        ("acme_lab:raises", "RuntimeError: no licence for the simulator"),
        ("acme_lab:Task", "the class Task, not an object"),
    ],
)
def test_a_broken_entry_is_named_with_its_package_and_stops_nothing_else(
    installed, value: str, words: str
) -> None:
    installed("acme", {"acme-arm": "acme_lab:arm", "acme-bad": value})
    with pytest.raises(InputError) as refused:
        problem_named("acme-bad")
    for part in (f"acme-bad = {value} of acme 1.2", words, "a function of the seed"):
        assert part in str(refused.value)
    assert problem_named("acme-arm").trials == 7
    told = CliRunner().invoke(app, ["list"])
    assert told.exit_code == 0, told.output
    assert "acme-arm: 7 trials" in told.output
    assert words in told.output
    assert "safe_ucb" in told.output  # what comes after
    asked = CliRunner().invoke(app, ["run", "acme-bad", "--seeds", "1"])
    assert asked.exit_code != 0
    assert "acme 1.2" in str(asked.exception)


def test_names_are_taken_once(installed) -> None:
    installed("acme", {"acme-arm": "acme_lab:arm", "island": "acme_lab:arm"})
    installed("other", {"acme-arm": "acme_lab:hand"})
    with pytest.raises(InputError, match=r"acme 1\.2.*other 1\.2"):
        problem_named("acme-arm")
    assert problem_named("island").trials == 100
    told = CliRunner().invoke(app, ["list"])
    assert told.exit_code == 0
    assert "safebo has a task of that name" in told.output
    with pytest.raises(UnknownNameError, match="acme-arm"):
        problem_named("acme-arn")
