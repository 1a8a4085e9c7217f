"""The examples of a controller of one's own, as a reader of docs/controllers.md has them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "examples"
WALKER = f"{EXAMPLES / 'python_controller' / 'walker.py'}:Walker"


def built_trot_mpc(folder: Path) -> Path:
    """A copy of the C++ example in a folder, built by its one command; skips where there is no compiler."""
    if shutil.which("g++") is None:
        pytest.skip("there is no g++")
    for name in ("trot_mpc", "link_client"):
        shutil.copytree(EXAMPLES / name, folder / name, ignore=shutil.ignore_patterns("trot_mpc"))
    place = folder / "trot_mpc"
    page = (place / "trot_mpc.cpp").read_text()
    command = next(line for line in page.splitlines() if "g++ " in line).split("//")[1].split()
    subprocess.run([*command, "-Wall", "-Wextra", "-Werror"], cwd=place, check=True)
    return place
