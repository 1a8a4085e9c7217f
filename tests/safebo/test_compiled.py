"""Compiled functions are kept until code that they may contain changes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numba

from safebo.boundary.compiled import KEPT_DAYS, digest_of, folder_for

INNER = "from safebo.boundary.compiled import njit\n@njit(cache=True)\ndef inner(x):\n    return x + {}\n"
OUTER = (
    "from inner import inner\nfrom safebo.boundary.compiled import njit\n"
    "@njit(cache=True)\ndef outer(x):\n    return inner(x)\n"
)


def test_a_folder_is_named_after_the_contents_of_the_code(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1")
    first = digest_of([tmp_path])
    os.utime(tmp_path / "a.py", (0, 0))
    assert digest_of([tmp_path]) == first, "the time of a file is not its content"
    (tmp_path / "a.py").write_text("x = 2")
    second = digest_of([tmp_path])
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert len({first, second, digest_of([tmp_path])}) == 3


def test_folders_of_other_code_go_when_they_are_old(tmp_path: Path) -> None:
    old, recent = folder_for("old", tmp_path), folder_for("recent", tmp_path)
    assert old is not None
    assert recent is not None
    past = time.time() - 86_400 * (KEPT_DAYS + 1)
    os.utime(old, (past, past))
    now = folder_for("now", tmp_path)
    assert now is not None
    assert {path.name for path in tmp_path.iterdir()} == {now.name, recent.name}


def test_where_nothing_can_be_written_numba_decides(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert folder_for("x", file) is None


def test_the_tests_themselves_run_from_such_a_folder() -> None:
    kept = str(numba.config.CACHE_DIR)
    assert "compiled-" in kept or kept == os.environ.get("NUMBA_CACHE_DIR")


def test_an_environment_variable_decides(tmp_path: Path) -> None:
    (tmp_path / "inner.py").write_text(INNER.format(1))
    (tmp_path / "outer.py").write_text(OUTER)
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(tmp_path / "kept"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    said = subprocess.run(
        [sys.executable, "-c", "from outer import outer; print(outer(1))"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout == "2\n"
    assert list((tmp_path / "kept").rglob("*.nbi"))
