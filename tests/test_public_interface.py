"""What `import safebo` gives: lazily, documented, and the same to people and to type checkers."""

from __future__ import annotations

import ast
import doctest
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import safebo

# Type checkers read the stub; these are of the module.
NAMES: list[str] = vars(safebo)["__all__"]

STUB = Path(safebo.__file__).with_suffix(".pyi")
OF_A_RUN = ("run", "open_run", "recommend", "build_report")


def test_the_stub_names_what_is_there() -> None:
    named = {
        alias.name: node.module
        for node in ast.parse(STUB.read_text()).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert named == vars(safebo)["_MODULE_OF"]
    assert set(NAMES) == {*named, "__version__"}
    assert set(NAMES) <= set(dir(safebo))


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, safebo; safebo.load_study; safebo.Trial; "
        "print([m for m in ('torch', 'gpytorch', 'matplotlib') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_help_loads_nothing_that_it_does_not_need() -> None:
    code = (
        "import sys, contextlib, io\nfrom safebo.cli.main import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n    main(['--help'])\n"
        "heavy = ('numpy', 'yaml', 'pydantic', 'sqlalchemy', 'torch', 'matplotlib', 'mujoco')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_name_that_is_not_there_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="Tunr"):
        _ = safebo.Tunr  # type: ignore[attr-defined]


def examples_of(name: str) -> None:
    value = getattr(safebo, name)
    scope = {**vars(sys.modules[value.__module__]), **{n: getattr(safebo, n) for n in NAMES}}
    found = doctest.DocTestFinder(recurse=False).find(value, name, globs=scope)
    assert sum(len(test.examples) for test in found) > 0, f"{name} has no example"
    for test in found:
        result = doctest.DocTestRunner(verbose=False).run(test)
        assert result.failed == 0


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in NAMES
        if name not in (*OF_A_RUN, "__version__", "METHODS", "Run")
        and not (inspect.isclass(getattr(safebo, name)) and issubclass(getattr(safebo, name), Exception))
    ],
)
def test_examples_hold(name: str) -> None:
    try:
        examples_of(name)
    finally:
        safebo.METHODS.pop("widest_first", None)


@pytest.mark.slow
def test_examples_of_a_run_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in OF_A_RUN:
        examples_of(name)
    assert list(safebo.open_run("runs/pendulum").best()) == ["default"]
