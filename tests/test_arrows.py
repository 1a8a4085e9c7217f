"""The house's arrows: imports go only downwards, and the border room loads no torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("safebo", "robots", "hardware", "experiments")
BORDER = "safebo.protocol"
MONITOR = (
    "safebo.monitor",
    "safebo.triggers",
)  # the kernel of the boundary condition runs on the robot's side
ALLOWED = {
    "safebo": set(),
    "robots": {BORDER},
    "hardware": {"robots", BORDER, *MONITOR},
    "experiments": {"safebo", "robots", "hardware"},
}


def imported_modules(source: str) -> set[str]:
    """Absolute names of the modules that a source text imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def forbidden(package: str, source: str) -> set[str]:
    """Imports of our own packages that `package` may not make."""
    bad = set()
    for name in imported_modules(source):
        top = name.split(".")[0]
        if top not in PACKAGES or top == package:
            continue
        allowed = ALLOWED[package]
        if top in allowed or any(name == a or name.startswith(a + ".") for a in allowed):
            continue
        if name == "safebo" and BORDER in allowed and BORDER in imported_modules(source):
            continue  # `from safebo import protocol`
        bad.add(name)
    return bad


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_only_downwards(package: str) -> None:
    offences = {
        str(path.relative_to(ROOT)): bad
        for path in sorted((ROOT / package).rglob("*.py"))
        if (bad := forbidden(package, path.read_text()))
    }
    assert not offences


@pytest.mark.parametrize("package", ["robots", "hardware"])
def test_robots_and_hardware_never_import_torch(package: str) -> None:
    heavy = {"torch", "gpytorch", "botorch"}
    offences = {
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / package).rglob("*.py"))
        if heavy & {name.split(".")[0] for name in imported_modules(path.read_text())}
    }
    assert not offences


def test_the_rule_itself_sees_an_offence() -> None:
    assert forbidden("robots", "from safebo.tuner import Tuner") == {"safebo.tuner", "safebo.tuner.Tuner"}
    assert not forbidden("robots", "from safebo.protocol import Trial")
    assert forbidden("safebo", "import robots.model") == {"robots.model"}
    assert forbidden("hardware", "import experiments") == {"experiments"}


def test_the_border_room_loads_no_torch() -> None:
    code = "import sys, safebo, safebo.protocol, safebo.monitor; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
