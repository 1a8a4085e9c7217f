"""The house's arrows: a room imports only rooms that stand above it in the table, and no files import in a circle."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINKED = ("robots", "hardware", "experiments")
"""Folders beside safebo/ that are imported through links in it."""

ROOMS: dict[str, tuple[str, ...]] = {
    "safebo": (
        "text",
        "errors",
        "files",
        "types",
        "boundary",
        "trial_length",
        "study",
        "evaluators",
        "storage",
        "workers",
        "models",
        "safety",
        "acquisition",
        "optim",
        "tuner",
        "runs",
        "report",
        "console",
        "integrations",
        "cli",
    ),
    "safebo.robots": (
        "descriptions",
        "quadruped",
        "controllers",
        "simulation",
        "evaluation",
        "identification",
        "benchmarks",
        "cli",
    ),
}
"""Rooms of a package in their order: each may import those before it."""

TORCH_FREE = (
    "text",
    "errors",
    "files",
    "types",
    "boundary",
    "trial_length",
    "study",
    "evaluators",
    "storage",
    "workers",
)
"""Rooms of safebo that load no torch; robots and hardware load none either."""

ALLOWED: dict[str, tuple[str, ...]] = {
    "safebo": (),
    "safebo.robots": (
        "safebo.text",
        "safebo.errors",
        "safebo.files",
        "safebo.types",
        "safebo.boundary",
        "safebo.trial_length",
    ),
    "safebo.hardware": (
        "safebo.robots",
        "safebo.text",
        "safebo.errors",
        "safebo.files",
        "safebo.types",
        "safebo.boundary",
        "safebo.trial_length",
    ),
    "safebo.experiments": ("safebo",),
}
"""What each package may import beyond itself."""


def modules() -> dict[str, Path]:
    """Files by the names under which they are imported."""
    found = {}
    for top in ("safebo", *LINKED):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if top == "safebo" and parts[1] in LINKED:
                continue
            name = ".".join(parts if top == "safebo" else ("safebo", *parts))
            found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(source: str, known: dict[str, Path] = MODULES) -> set[str]:
    """Our modules that a source text imports, at any depth, type-checking imports included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                names.add(full if full in known else node.module)
    return {name for name in names if name.split(".")[0] == "safebo"}


def package_of(name: str) -> str:
    """The one of the four packages that a module belongs to."""
    parts = name.split(".")
    return ".".join(parts[:2]) if len(parts) > 1 and parts[1] in LINKED else "safebo"


def forbidden(name: str, source: str) -> set[str]:
    """Imports that the module `name` may not make."""
    package, bad = package_of(name), set()
    rooms = ROOMS.get(package, ())
    room = name.removeprefix(package + ".").split(".")[0]
    for other in imports(source):
        if package_of(other) != package:
            allowed = ALLOWED[package]
            if not any(other == a or other.startswith(a + ".") for a in allowed):
                bad.add(other)
            continue
        wanted = other.removeprefix(package + ".").split(".")[0]
        if room in rooms and wanted in rooms and rooms.index(wanted) > rooms.index(room):
            bad.add(other)
    return bad


@pytest.mark.parametrize("package", list(ALLOWED))
def test_imports_go_only_downwards(package: str) -> None:
    offences = {
        name: bad
        for name, path in MODULES.items()
        if package_of(name) == package and (bad := forbidden(name, path.read_text()))
    }
    assert not offences


@pytest.mark.parametrize("package", list(ROOMS))
def test_every_folder_is_a_room_of_the_table(package: str) -> None:
    folder = ROOT / package.split(".")[-1]
    found = {
        path.stem
        for path in folder.iterdir()
        if (path.is_dir() or path.suffix == ".py") and not path.name.startswith(("_", "."))
    }
    assert found - set(LINKED) == set(ROOMS[package])


def test_no_files_import_in_a_circle() -> None:
    graph = {name: imports(path.read_text()) & set(MODULES) - {name} for name, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import circle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize(
    "package", ["safebo.robots", "safebo.hardware", *(f"safebo.{r}" for r in TORCH_FREE)]
)
def test_torch_free_rooms_never_import_torch(package: str) -> None:
    heavy = {"torch", "gpytorch", "botorch"}
    offences = [
        name
        for name, path in MODULES.items()
        if name == package or name.startswith(package + ".")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Import) and heavy & {a.name.split(".")[0] for a in node.names})
        or (isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in heavy)
    ]
    assert not offences


def test_the_root_holds_folders_and_few_files() -> None:
    files = {path.name for path in (ROOT / "safebo").iterdir() if path.is_file()}
    assert files == {"__init__.py", "__init__.pyi", "__main__.py", "errors.py", "py.typed"}


def test_the_rules_themselves_see_an_offence() -> None:
    assert forbidden("safebo.robots.cli", "from safebo.tuner import Tuner") == {"safebo.tuner"}
    assert not forbidden("safebo.robots.cli", "from safebo.types import Trial")
    assert forbidden("safebo.study.model", "import safebo.robots.cli") == {"safebo.robots.cli"}
    assert forbidden("safebo.hardware.cli", "from safebo import experiments") == {"safebo.experiments"}
    assert forbidden("safebo.storage.journal", "from safebo.tuner import Tuner") == {"safebo.tuner"}


def test_torch_free_rooms_load_no_torch() -> None:
    rooms = ", ".join(f"safebo.{room}" for room in (*TORCH_FREE, "workers.worker", "boundary.monitor"))
    code = f"import sys, {rooms}; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
