"""Disks that fill up or become read-only at random points of a run's life, the making of its journal included.

    sudo python -m safebo.experiments.robustness.full_disk --times 100

Each run lies on a small file system of its own in memory (mounting one needs root). Afterwards: what had been told is
in the journal, nothing ended in an internal error, and with room again the run resumes to the trials of a run that
nobody disturbed. Results are kept in --out, one line each, and a stopped command goes on where it was.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from safebo.experiments.robustness.killed_runs import told_in, tune_command

SIZE = 2**20
"""Bytes of the file system; a run of the bowl takes about 350 kB."""

TROUBLES = ("full from the start", "full in mid-run", "read-only after a kill")


SHOW = (sys.executable, "-m", "safebo", "show")


@contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """A file system of `SIZE` bytes in memory, mounted at a folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path, room: int) -> None:
    """Leave so many bytes."""
    free = os.statvfs(place)
    with suppress(OSError), (place / "filling").open("ab") as file:
        file.write(b"x" * max(free.f_bavail * free.f_frsize - room, 0))


def sentences(ended: int, output: str, allowed: tuple[int, ...]) -> list[str]:
    """What is wrong with how a command ended."""
    bad = ended not in allowed or "Traceback" in output or "internal error" in output
    return [f"ended with {ended}: {output[-500:]}"] if bad else []


def one(number: int, place: Path, trials: int, calm: list[Any]) -> dict[str, Any]:
    """One run with a trouble, and its resuming; what went wrong, if anything."""
    rng = np.random.default_rng(number)
    trouble, run = TROUBLES[number % len(TROUBLES)], place / "run"
    command = tune_command(trials, 1, run, 3)
    room, moment = int(rng.integers(0, 300_000)), float(rng.uniform(0.0, 3.0))
    faults: list[str] = []
    with small_disk(place):
        if trouble == TROUBLES[0]:
            fill(place, room)
        process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = ""
        if trouble != TROUBLES[0]:
            assert process.stdout is not None
            output = process.stdout.readline()
            time.sleep(moment)
            if trouble == TROUBLES[1]:
                fill(place, int(room / 20))
            else:
                process.kill()
        output += process.communicate(timeout=300)[0]
        said, ended = len(re.findall(r"^trial +\d+", output, re.MULTILINE)), process.returncode
        faults += sentences(ended, output, (0, 1, -9) if trouble == TROUBLES[2] else (0, 1))
        if trouble == TROUBLES[2]:
            subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
            for words, ends in ((command, (1, 2)), ([*SHOW, str(run)], (0, 2))):
                got = subprocess.run(words, capture_output=True, text=True, check=False)
                faults += sentences(got.returncode, got.stdout + got.stderr, ends)
        subprocess.run(["mount", "-o", f"remount,rw,size={4 * SIZE}", str(place)], check=True)
        (place / "filling").unlink(missing_ok=True)
        if len(told_in(run)) < said:
            faults.append(f"{said} trials were said to be told, {len(told_in(run))} are kept")
        again = subprocess.run(command, capture_output=True, text=True, check=False)
        if again.returncode != 0:
            faults.append(f"resuming ended with {again.returncode}: {again.stderr[-500:]}")
        if told_in(run) != calm:
            faults.append("its trials are not those of an undisturbed run")
    return {"number": number, "trouble": trouble, "ended": ended, "told": said, "faults": faults}


def main(
    times: Annotated[int, typer.Option(min=1, help="Runs with a trouble.")] = 100,
    trials: Annotated[int, typer.Option(min=2, help="Trials of a run.")] = 10,
    out: Annotated[Path, typer.Option(help="Results so far.")] = Path("runs/full-disk.jsonl"),
) -> None:
    """Make the runs that --out lacks and print a table; the end is 1 when something went wrong."""
    out.parent.mkdir(parents=True, exist_ok=True)
    known = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        subprocess.run(tune_command(trials, 1, place / "calm", 3), capture_output=True, check=True)
        calm = told_in(place / "calm")
        (place / "disk").mkdir()
        for number in range(len(known), times):
            known.append(one(number, place / "disk", trials, calm))
            with out.open("a") as file:
                file.write(json.dumps(known[-1]) + "\n")
            print(f"{number}: {known[-1]['trouble']}; {'; '.join(known[-1]['faults']) or 'held'}", flush=True)
    ends = Counter((row["trouble"], "ended early" if row["ended"] else "went through") for row in known)
    for (trouble, end), count in sorted(ends.items()):
        print(f"{trouble:22} {end:13} {count:4}")
    bad = [row for row in known if row["faults"]]
    print(f"{len(known) - len(bad)} of {len(known)} held; {(time.monotonic() - began) / 3600:.2f} h")
    raise typer.Exit(int(bool(bad)))


if __name__ == "__main__":
    if sys.platform != "linux" or os.getuid() != 0:
        sys.exit("error: mounting a small file system needs Linux and root")
    typer.run(main)
