"""A page's blocks, one after another, in a folder of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from followed.blocks import Block, Kind, blocks

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE = 300.0  # s until a terminal beside says `ready`
LIMIT = 1800.0  # s for a block


class PageError(Exception):
    """A block that did not do what its page says."""


@dataclass
class Walk:
    """A page being followed.

    Args:
        page: it.
        folder: where its blocks run.
        say: is told each block and how long it took.
    """

    page: Path
    folder: Path
    say: Callable[[str], None]
    printed: str = ""
    beside: list[subprocess.Popen[bytes]] = field(default_factory=list)
    counts: dict[Kind, int] = field(default_factory=dict)

    def follow(self) -> None:
        """Run every block.

        Raises:
            PageError: with the page, the line and what went wrong.
        """
        try:
            for block in blocks(self.page):
                began = time.monotonic()
                try:
                    self._do(block)
                except PageError as error:
                    raise PageError(f"{self.page.name}:{block.line}: {error}") from None
                self.counts[block.kind] = self.counts.get(block.kind, 0) + 1
                first = block.title or block.text.strip().splitlines()[0][:70]
                self.say(f"  {block.line:4d} {block.kind:8s} {time.monotonic() - began:6.1f} s  {first}")
        finally:
            for process in reversed(self.beside):
                _end(process)

    def _do(self, block: Block) -> None:
        match block.kind:
            case Kind.SHELL:
                self._run(["bash", "-eu", "-o", "pipefail", "-c", block.text])
            case Kind.SCRIPT:
                file = self.folder / f"block_{block.line}.py"
                file.write_text(block.text)
                self._run([sys.executable, file.name])
            case Kind.FILE:
                file = self.folder / block.title
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.text)
            case Kind.BESIDE:
                self._begin(block)
            case Kind.PRINTED:
                missing = unprinted(block.text, self.printed)
                if missing:
                    raise PageError(f"this was not printed: {missing}\n--- printed was\n{self.printed}")
            case Kind.SHOWN:
                pass

    def _environment(self) -> dict[str, str]:
        """The environment of whoever follows, with the programs of this interpreter, and a home of its own."""
        home = self.folder / ".home"
        home.mkdir(exist_ok=True)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        ours = {"HOME": str(home), "SAFEBO": str(REPOSITORY), "PYTHONUNBUFFERED": "1", "COLUMNS": "120"}
        return {**os.environ, "PATH": path, **ours}

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT,
        )
        self.printed = done.stdout
        if done.returncode:
            raise PageError(f"exit code {done.returncode}\n{done.stdout}")

    def _begin(self, block: Block) -> None:
        log = self.folder / f"{block.title.lower().replace(' ', '-')}-{block.line}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-eu", "-c", block.text],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.beside.append(process)
        end = time.monotonic() + PATIENCE
        while not re.search(r"\bready\b", log.read_text(errors="replace")):
            if process.poll() is not None or time.monotonic() > end:
                raise PageError(f"{block.title} did not say `ready`:\n{log.read_text(errors='replace')}")
            time.sleep(0.1)
        self.printed = log.read_text(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a terminal and all that it started, politely at first."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(20.0)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        return


def unprinted(wanted: str, printed: str) -> str:
    """The first line of `wanted` that was not printed, in order; `...` stands for anything, spaces do not count."""
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    place = 0
    for line in (" ".join(line.split()) for line in wanted.splitlines()):
        if line in ("", "..."):
            continue
        pattern = re.compile(".*".join(re.escape(part.strip()) for part in line.split("...")))
        found = next((i for i in range(place, len(lines)) if pattern.search(lines[i])), None)
        if found is None:
            return line
        place = found + 1
    return ""
