"""Does a disk that is slow to sync hold the heartbeats of a tuner?

    python -m safebo.experiments.robustness.slow_disk [--delays 0.1,0.25,2] [--trials 67] [--together 1]

Virtual Go2s, their guardians and `safebo tune --approve-all` in processes of their own; in those of the tuners `fsync`
and `fdatasync` take so much longer (a library loaded before the system's, made with `cc`). Counted are trials that
completed and what guardians latched, a late heartbeat among it (not the stop with which each is ended). A robot whose
motors are warm is left to cool: a new one goes on with the run. What an earlier call has done is not done again. Exit
code 0: every trial completed, nothing was latched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from safebo.experiments.robustness.process_faults import Chain
from safebo.storage.journal import Journal

ENDED = "stop_sit"
"""In what a guardian latches when its process is ended: nothing else here asks for this stop."""

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
static void late(void) {
    const char *text = getenv("SLOW_FSYNC_S");
    double s = text ? atof(text) : 0.0;
    struct timespec t = {(time_t)s, (long)(1e9 * (s - (time_t)s))};
    nanosleep(&t, 0);
}
int fsync(int fd) { late(); return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd); }
int fdatasync(int fd) { late(); return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd); }
"""


def shim(folder: Path) -> Path:
    """The library, compiled."""
    source, library = folder / "slow_fsync.c", folder / "slow_fsync.so"
    source.write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


@dataclass(frozen=True)
class Found:
    """What became of one robot's trials so far, those of earlier calls included.

    Args:
        completed: trials that did.
        told: trials that are over.
        latched: what its guardian latched, in words.
    """

    completed: int
    told: int
    latched: list[str]


def found_in(chain: Chain, folder: Path) -> Found:
    """Read from journal and guardian's log."""
    records = []
    if Journal.exists(folder):
        with Journal.open(folder, read_only=True) as journal:
            records = journal.records(states=False)
    told = [r.measurement for r in records if r.measurement is not None]
    latched = [
        words for _, kind, words in chain.events() if kind in ("fault", "latch") and ENDED not in words
    ]
    return Found(sum(m.outcome == "completed" for m in told), len(told), latched)


def tuned(chain: Chain, library: Path, delay: float, trials: int) -> Found:
    """Run what is missing of one robot's trials."""
    folder = chain.folder / "run"
    slow = {"LD_PRELOAD": str(library), "SLOW_FSYNC_S": f"{delay:g}"}
    chain.log.touch()
    before, found = -1, found_in(chain, folder)
    while before < found.told < trials:
        with chain.up(), (chain.folder / "tune.log").open("a") as log:
            tune = [sys.executable, "-m", "safebo", "tune", str(chain.study)]
            tune += [
                "--robot",
                f"127.0.0.1:{chain.port}",
                "--key",
                str(chain.key),
                "--approve-all",
                "--resume",
            ]
            tune += ["--trials", str(trials), "--out", str(folder)]
            subprocess.run(tune, env=os.environ | slow, stdout=log, stderr=log, check=False)
        before, found = found.told, found_in(chain, folder)
    return found


def main(
    delays: Annotated[str, typer.Option(help="s of every sync, with commas")] = "0.1,0.25,2",
    trials: Annotated[int, typer.Option(min=1, help="for each delay")] = 67,
    together: Annotated[
        int,
        typer.Option(
            min=1, help="robots at a time, each with its own guardian and tuner: they wait for disks"
        ),
    ] = 1,
    seconds: Annotated[float, typer.Option(min=1.5, help="of a walk")] = 1.5,
    domain: Annotated[int, typer.Option(help="first DDS domain on the loopback interface")] = 9,
    out: Annotated[Path, typer.Option(help="folder for logs and runs; what is there is gone on with")] = Path(
        "runs/slow-disk"
    ),
) -> None:
    """Run the trials, and print a line for each delay."""
    if shutil.which("cc") is None:
        raise typer.BadParameter("a C compiler (cc) is needed to make syncs slow")
    failed = False
    out.mkdir(parents=True, exist_ok=True)
    library = shim(out)
    each = -(-trials // together)
    for delay in map(float, delays.split(",")):
        begun = time.monotonic()
        chains = [Chain(out / f"delay-{delay:g}" / str(k), domain + k, seconds) for k in range(together)]
        with ThreadPoolExecutor(together) as executor:
            found = list(executor.map(partial(tuned, library=library, delay=delay, trials=each), chains))
        completed = sum(one.completed for one in found)
        latched = [words for one in found for words in one.latched]
        failed |= completed < together * each or bool(latched)
        words = "nothing" if not latched else f"{len(latched)}: {latched[0]}"
        print(
            f"fsync {delay:g} s longer: {completed} of {together * each} trials completed, the guardians latched "
            f"{words}; {time.monotonic() - begun:.0f} s",
            flush=True,
        )
    sys.exit(failed)


if __name__ == "__main__":
    typer.run(main)
