"""Does a disk that is slow to sync hold the heartbeats of a tuner?

    python -m safebo.experiments.robustness.slow_disk [--delays 0.1,0.25,2] [--trials 67]

A virtual Go2, its guardian and `safebo tune --approve-all` in processes of their own; in those of the tuner `fsync` and
`fdatasync` take so much longer (a library loaded before the system's, made with `cc`). Counted are trials that
completed and what the guardian latched or found late. Exit code 0: every trial completed, nothing was latched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from safebo.experiments.robustness.process_faults import Chain
from safebo.storage.journal import Journal

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


def tuned(chain: Chain, library: Path, delay: float, trials: int) -> tuple[int, list[str], float]:
    """Trials that completed, what the guardian latched meanwhile, and the seconds that it took."""
    folder, begun, wall = chain.folder / f"delay-{delay:g}", time.monotonic(), time.time()
    tune = [sys.executable, "-m", "safebo", "tune", str(chain.study), "--robot", f"127.0.0.1:{chain.port}"]
    tune += ["--key", str(chain.key), "--approve-all", "--trials", str(trials), "--out", str(folder)]
    slow = {"LD_PRELOAD": str(library), "SLOW_FSYNC_S": f"{delay:g}"}
    with (chain.folder / f"delay-{delay:g}.log").open("w") as log:
        subprocess.run(tune, env=os.environ | slow, stdout=log, stderr=log, check=False)
    with Journal.open(folder, read_only=True) as journal:
        records = journal.records(states=False)
    completed = sum(r.measurement is not None and r.measurement.outcome == "completed" for r in records)
    latched = [words for _, kind, words in chain.events(wall) if kind in ("fault", "latch")]
    return completed, latched, time.monotonic() - begun


def main(
    delays: Annotated[str, typer.Option(help="s of every sync, with commas")] = "0.1,0.25,2",
    trials: Annotated[int, typer.Option(min=1, help="for each delay")] = 67,
    domain: Annotated[int, typer.Option(help="DDS domain on the loopback interface")] = 9,
    out: Annotated[Path, typer.Option(help="folder for logs and runs")] = Path("runs/slow-disk"),
) -> None:
    """Run the trials, and print a line for each delay."""
    if shutil.which("cc") is None:
        raise typer.BadParameter("a C compiler (cc) is needed to make syncs slow")
    failed = False
    chain = Chain(out, domain)
    library = shim(out)
    with chain.up():
        for delay in map(float, delays.split(",")):
            completed, latched, seconds = tuned(chain, library, delay, trials)
            failed |= completed < trials or bool(latched)
            words = "nothing" if not latched else f"{len(latched)}: {latched[0]}"
            print(
                f"fsync {delay:g} s longer: {completed} of {trials} trials completed, the guardian latched {words}; "
                f"{seconds:.0f} s",
                flush=True,
            )
    sys.exit(failed)


if __name__ == "__main__":
    typer.run(main)
