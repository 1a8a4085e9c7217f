"""What a user gets who has no clone: the wheel, in a fresh environment, with the README's two commands.

    python -m safebo.experiments.evidence.wheel [--out DIR] [--linked] [--trials 40]

Builds the wheel from a clone, makes an environment outside of it, installs torch and the lock's packages to their
digests (`--linked`: takes those of this environment instead, in seconds) and the wheel without dependencies. Then,
in a folder without the package: the commands of `make tune` as the Makefile has them, and in place of `make test`,
which takes many minutes, the tests of the public names, their docstrings' examples among them. Last, that nothing
was imported from the clone. Exit code 0: all of it worked. `report.txt` tells every command with its seconds.
"""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from safebo.errors import InputError
from safebo.experiments.papers.runs import command

PLACE = Path(tempfile.gettempdir()) / "safebo-wheel"
TESTS = ("tests/test_public_interface.py",)
"""Run in place of all tests."""
WHENCE = (
    "import safebo, safebo.robots, safebo.hardware, safebo.experiments.bench.tasks as t, importlib.metadata as m; "
    "print(safebo.__file__, t.__file__, m.version('safebo'), safebo.__version__)"
)


@dataclass
class Log:
    """Commands with what became of them.

    Args:
        file: takes a line for each, with its output below where it failed.
    """

    file: Path
    failed: list[str] = field(default_factory=list)

    def run(self, command: Sequence[str], folder: Path, more: Mapping[str, str] | None = None) -> str:
        """Run a command in a folder; its output, also where it fails."""
        began, words = time.monotonic(), " ".join(command)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | dict(more or {})
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        line = f"{'ok' if done.returncode == 0 else 'FAILED'} {time.monotonic() - began:.0f} s: {words}"
        output = done.stdout + done.stderr
        if done.returncode:
            self.failed.append(words)
            line += f"\n{output}"
        print(line, flush=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        return output


def build(clone: Path, out: Path, log: Log) -> Path:
    """The wheel, of the clone's files as they are; its older builds are not looked at.

    Raises:
        InputError: it was not built.
    """
    copy = out / "source"
    shutil.copytree(clone, copy, symlinks=True, ignore=lambda folder, names: _left_out(clone, folder, names))
    dist = out / "dist"
    log.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
            *("--wheel-dir", str(dist), "."),
        ],
        copy,
    )
    shutil.rmtree(copy)
    wheels = list(dist.glob("safebo-*.whl"))
    if len(wheels) != 1:
        raise InputError(f"{dist}: no wheel was built, see {log.file}")
    return wheels[0]


def _left_out(clone: Path, folder: str, names: Sequence[str]) -> set[str]:
    """What of a folder is not copied: caches, and at the top what was built or run."""
    made = {"runs", "build", "dist", "site", "docs"} if Path(folder) == clone else set()
    return {
        n for n in names if n in made or n == "__pycache__" or n.startswith(".") or n.endswith(".egg-info")
    }


def environment(clone: Path, wheel: Path, out: Path, linked: bool, log: Log) -> Path:
    """A fresh environment with the wheel; its folder."""
    home = out / "venv"
    venv.create(home, with_pip=True, clear=True)
    pip = [str(home / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if linked:
        link_packages(home)
    else:
        log.run([*pip, "torch==2.13.0"], out)
        log.run([*pip, "--require-hashes", "--no-deps", "-r", str(clone / "requirements.lock")], out)
    log.run([*pip, "--no-deps", str(wheel)], out)
    return home


def link_packages(home: Path) -> None:
    """Let an environment see this one's packages behind its own, but for safebo's clone."""
    (own,) = site.getsitepackages()[:1]
    lines = [own]
    for file in sorted(Path(own).glob("*.pth")):
        if not file.name.startswith("__editable__"):
            lines += file.read_text(encoding="utf-8").splitlines()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    target = home / "lib" / version / "site-packages" / "zz_linked.pth"
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")


def commands_of(clone: Path, target: str, folder: Path, trials: int, bin_folder: Path) -> list[list[str]]:
    """What `make TARGET` would run, its environment being ready: asked of make itself.

    Raises:
        InputError: make does not say.
    """
    done = subprocess.run(
        [
            *("make", "--dry-run", "--no-print-directory", "--silent", "-C", str(clone), target),
            *(f"TRIALS={trials}", f"OUT={folder}", f"BIN={bin_folder}", "--old-file=.venv/.installed"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith(str(bin_folder))]
    if done.returncode or not lines:
        raise InputError(f"make {target}: {done.stderr or 'it would run nothing'}")
    return lines


def main(
    out: Annotated[Path, typer.Option(help="everything, outside of the clone; emptied first")] = PLACE,
    linked: Annotated[
        bool, typer.Option("--linked", help="packages of this environment, not the lock's")
    ] = False,
    trials: Annotated[int, typer.Option(min=1, help="of the tuning")] = 40,
) -> None:
    """Build, install, run; exit code 1 where something failed."""
    clone = Path(__file__).resolve().parents[2]
    if not (clone / "pyproject.toml").is_file():
        raise InputError(f"{clone} is no clone of safebo: the wheel is built from one")
    out = out.resolve()
    if out.is_relative_to(clone):
        raise InputError(f"--out {out}: a folder outside of the clone {clone} is needed")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    log = Log(out / "report.txt")
    home = environment(clone, build(clone, out, log), out, linked, log)
    work = out / "elsewhere"
    shutil.copytree(clone / "tests", work / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    for step in commands_of(clone, "tune", work / "runs/go1-trot", trials, home / "bin"):
        log.run(step, work, threads)
    python = str(home / "bin/python")
    # without conftest.py, which puts what the clone declares in the place of what the wheel does
    test = [python, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "--noconftest", *TESTS]
    log.run(test, work, threads)
    places = log.run([python, "-c", WHENCE], work)
    print(places.strip())
    if any(not place.startswith(str(home)) for place in places.split()[:2]):
        log.failed.append(f"not imported from the wheel: {places.strip()}")
    if log.failed:
        print("failed: " + "; ".join(log.failed))
        raise typer.Exit(1)


if __name__ == "__main__":
    command(main)
