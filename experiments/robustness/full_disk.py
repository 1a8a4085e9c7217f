"""Disks that fill up or become read-only at random points of the life of a run and its report.

    sudo python -m safebo.experiments.robustness.full_disk --times 100

Each run lies on a small file system of its own: in memory or ext4 in a file where it fills up, ext4 where it becomes
read-only under the open files of a run, as after a fault of a disk (mounting needs root). Afterwards: what had been
told is in the journal, nothing ended in an internal error, the page is an old or a new one, and with a whole disk again
the run resumes to the trials of a run that nobody disturbed. One start in five is a `python -m safebo` from its
beginning, the others are forks (see starts.py). Results are kept in --out, one line each, and a stopped command goes on
where it was.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from safebo.experiments.robustness.killed_runs import STUDY, told_in
from safebo.experiments.robustness.starts import Started, load, start

SIZE = 4 * 2**20
"""Bytes of a file system; a run of the bowl takes about 350 kB, its report 700 kB."""

TROUBLES = (
    "full from the start",
    "full in mid-run",
    "full during the report",
    "read-only in mid-run",
    "read-only during the report",
    "read-only after a kill",
)


class Disk:
    """A small file system.

    Args:
        base: folder for it; it is mounted at `base / "disk"`.
        memory: whether it lies in memory; otherwise it is ext4 in a file.
    """

    def __init__(self, base: Path, memory: bool) -> None:
        self.place, self._image = base / "disk", base / "image"
        self.place.mkdir(exist_ok=True)
        self._kind = ["-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs"]
        if not memory:
            self._image.unlink(missing_ok=True)
            with self._image.open("wb") as file:
                file.truncate(SIZE)
            _do("mkfs.ext4", "-q", "-m", "0", "-b", "1024", str(self._image))
            self._kind = ["-o", "loop,errors=remount-ro", str(self._image)]
        self._memory = memory
        _do("mount", *self._kind, str(self.place))

    def fill(self, room: int) -> None:
        """Leave so many bytes."""
        free = os.statvfs(self.place)
        with suppress(OSError), (self.place / "filling").open("ab") as file:
            file.write(b"x" * max(free.f_bfree * free.f_frsize - room, 0))

    def freeze(self) -> None:
        """Make it read-only as a fault does, whatever is open."""
        _do("mount", "-o", "remount,abort", str(self.place))

    def mend(self) -> None:
        """Room to write again."""
        if not self._memory:
            _do("umount", str(self.place))
            subprocess.run(["e2fsck", "-f", "-y", str(self._image)], capture_output=True, check=False)
            _do("mount", *self._kind, str(self.place))
        (self.place / "filling").unlink(missing_ok=True)

    def gone(self) -> None:
        """Take it away."""
        _do("umount", str(self.place))


def _do(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def sentences(ended: int, output: str, allowed: tuple[int, ...]) -> list[str]:
    """What is wrong with how a command ended."""
    bad = ended not in allowed or "Traceback" in output or "internal error" in output
    return [f"ended with {ended}: {output[-500:]}"] if bad else []


def tune(run: Path, trials: int) -> list[str]:
    """Arguments that start or resume the run."""
    return ["tune", str(STUDY), "--out", str(run), "--resume", "--seed", "3", "--trials", str(trials)]


def first_trial(started: Started) -> None:
    """Wait until a run has told a trial, or has ended."""
    while started.poll() is None and "trial " not in started.said:
        time.sleep(0.002)


def one(number: int, base: Path, trials: int, calm: Path) -> dict[str, Any]:
    """One run with a trouble, and its resuming; what went wrong, if anything."""
    rng = np.random.default_rng(number)
    trouble, whole = TROUBLES[number % len(TROUBLES)], bool(rng.random() < 0.2)
    disk = Disk(base, memory=trouble.startswith("full") and bool(rng.integers(2)))
    run, output = disk.place / "run", base / "output"
    report = "report" in trouble
    faults: list[str] = []

    def go(*arguments: str, allowed: tuple[int, ...]) -> str:
        done = start(arguments, output, whole)
        faults.extend(sentences(done.wait(), done.said, allowed))
        return done.said

    if report:
        shutil.copytree(calm, run)
        os.sync()
    if trouble == TROUBLES[0]:
        disk.fill(int(rng.integers(0, 300_000)))
    process = start(["report", str(run)] if report else tune(run, trials), output, whole)
    if trouble != TROUBLES[0]:
        if not report and rng.random() < 0.6:
            first_trial(process)
        moment = time.monotonic() + float(rng.uniform(0.0, 3.0 + 4.0 * whole))
        while time.monotonic() < moment and process.poll() is None:
            time.sleep(0.002)
        if "after a kill" in trouble and process.poll() is None:
            process.kill(group=True)
        if trouble.startswith("full"):
            disk.fill(int(rng.integers(0, 15_000)) if rng.random() < 0.8 else 0)
        else:
            disk.freeze()
    ended, said = process.wait(), process.said
    faults += sentences(ended, said, (0, 1, 2, -9))
    told = len(re.findall(r"^trial +\d+/", said, re.MULTILINE))
    # as long as no journal was made there is no run to show
    go("show", str(run), allowed=(0, 1) if (run / "journal.sqlite").exists() else (2,))
    if trouble.startswith("read-only"):
        go(*tune(run, trials), allowed=(0, 1, 2) if told == trials or report else (1, 2))
    disk.mend()
    if not report and len(told_in(run)) < told:
        faults.append(f"{told} trials were said to be told, {len(told_in(run))} are kept")
    page = run / "report.html"
    if page.exists() and not page.read_bytes().rstrip().endswith(b"</html>"):
        faults.append("half a page")
    go(*tune(run, trials), allowed=(0,))
    if report:
        go("report", str(run), allowed=(0,))
    if told_in(run) != told_in(calm):
        faults.append("its trials are not those of an undisturbed run")
    faults += [f"left: {file.name}" for part in (".part", ".new") for file in run.rglob(f"*{part}")]
    disk.gone()
    row = {"number": number, "trouble": trouble, "whole": whole, "ended": ended, "told": told}
    return row | {"faults": faults}


def main(
    times: Annotated[int, typer.Option(min=1, help="Runs with a trouble.")] = 100,
    trials: Annotated[int, typer.Option(min=2, help="Trials of a run.")] = 10,
    out: Annotated[Path, typer.Option(help="Results so far.")] = Path("runs/full-disk.jsonl"),
) -> None:
    """Make the runs that --out lacks and print a table; the end is 1 when something went wrong."""
    out.parent.mkdir(parents=True, exist_ok=True)
    known = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    began = time.monotonic()
    load()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        calm = start(tune(base / "calm", trials), base / "output", whole=True)
        if calm.wait() != 0:
            sys.exit(f"error: the run that nobody disturbs ended with {calm.ended}: {calm.said}")
        for number in range(len(known), times):
            known.append(one(number, base, trials, base / "calm"))
            with out.open("a") as file:
                file.write(json.dumps(known[-1]) + "\n")
            print(f"{number}: {known[-1]['trouble']}; {'; '.join(known[-1]['faults']) or 'held'}", flush=True)
    ends = Counter((row["trouble"], "ended early" if row["ended"] else "went through") for row in known)
    for (trouble, end), count in sorted(ends.items()):
        print(f"{trouble:28} {end:13} {count:4}")
    bad = [row for row in known if row["faults"]]
    print(f"{len(known) - len(bad)} of {len(known)} held; {(time.monotonic() - began) / 3600:.2f} h")
    raise typer.Exit(int(bool(bad)))


if __name__ == "__main__":
    if sys.platform != "linux" or os.getuid() != 0:
        sys.exit("error: mounting a small file system needs Linux and root")
    typer.run(main)
