"""Put small faults into the rooms on which safety rests, one at a time, and see whether their tests notice.

    python -m mutants
    python -m mutants --rooms boundary,guardian --survivors

A mutant is a module's source with one operator changed by cosmic-ray or by ours; it is killed when a test of its room
fails on it, or takes far longer. Kernels run uncompiled. Results are kept under runs/mutants/ and a stopped run goes on
where it was. The end is 1 when a room has too few killed or too many that are listed as equivalent.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from mutants import equivalents, printout, runner, warm
from mutants.child import MutantOutcome, run_tests, silence
from mutants.generate import Mutant
from mutants.results import Result, ResultFile, hash_of_tests, result_of
from mutants.rooms import ROOMS, Room

ROOT = Path(__file__).resolve().parents[2]
ONE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_DISABLE_JIT")
"""Variables of the environment that are 1 before numpy, torch and numba are imported."""

EACH = 0.9
"""Seconds of processor time, about, that a mutant takes."""


class Work:
    """What is to be done for one room.

    Args:
        name: of the room.
        room: its modules and tests.
        options: of the command line.
    """

    def __init__(self, name: str, room: Room, options: argparse.Namespace) -> None:
        self.name, self.room, self.options = name, room, options
        self.file = ResultFile(options.out / f"{name}.jsonl")
        self.tests = hash_of_tests(ROOT, room.tests, room.without)
        self.total = len(runner.mutants_of_room(room))
        self.mutants = runner.mutants_of_room(room, options.sample, options.seed)

    def known(self) -> dict[str, Result]:
        """What an earlier run has found."""
        return self.file.known(self.tests, any_tests=self.options.survivors)

    def missing(self) -> list[Mutant]:
        """What is to be run."""
        known = self.known()
        return [mutant for mutant in self.mutants if mutant.key not in known]

    def results(self) -> list[Result]:
        """Of all mutants, in their order."""
        known = self.known()
        return [known[mutant.key] for mutant in self.mutants if mutant.key in known]

    def run(self) -> bool:
        """Run what is missing in a process of its own; whether that went to its end."""
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = self._run_here()
            except Exception as error:
                print(f"{self.name}: {type(error).__name__}: {error}", flush=True)
            os._exit(status)
        return os.waitpid(pid, 0)[1] == 0

    def _run_here(self) -> int:
        with tempfile.TemporaryDirectory(prefix="mutants-") as compiled:
            # what Python compiles, tests included, is kept for all mutants and not in the tree
            sys.dont_write_bytecode, sys.pycache_prefix = False, compiled
            return self._run_all()

    def _run_all(self) -> int:
        mutants, room, workers = self.missing(), self.room, self.options.workers
        wrong = warm.import_untouched(ROOT, room.modules, self._trial_run)
        if wrong:
            print(f"{self.name}: the tests do not pass on the unchanged source: {wrong}", flush=True)
            return 1
        gc.freeze()  # what all mutants share need not be looked through for garbage by each
        seconds = self._unchanged()
        if seconds is None:
            return 1
        limit = runner.limit_of(seconds)
        print(
            f"{self.name}: {len(mutants)} mutants to run; the tests take {seconds:.1f} s of processor time on the "
            f"unchanged source, a mutant has {limit} s",
            flush=True,
        )
        runner.run(mutants, room, limit, workers, self._keep)
        return 0

    def _trial_run(self) -> str:
        silence()
        with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
            verdict = run_tests(self.room.tests, self.room.without, Path(folder))
        return "" if verdict.outcome == "survived" else verdict.by

    def _keep(self, mutant: Mutant, verdict: MutantOutcome, seconds: float) -> None:
        self.file.append(result_of(mutant, self.name, self.tests, verdict.outcome, verdict.by, seconds))

    def _unchanged(self) -> float | None:
        """Seconds that the tests take on the unchanged source; None, with words, when they do not pass."""
        said: list[tuple[MutantOutcome, float]] = []
        same = runner.unchanged(self.room)
        runner.run([same], self.room, 600, 1, lambda _, verdict, seconds: said.append((verdict, seconds)))
        verdict, seconds = said[0]
        if verdict.outcome != "survived":
            print(f"{self.name}: the tests do not pass on the unchanged source: {verdict.by}", flush=True)
            return None
        return seconds


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rooms", default="", help=f"with commas between: {', '.join(ROOMS)}; all without it"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--sample", type=int, help="of every room as many mutants, drawn with --seed; all without it"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--survivors", action="store_true", help="mutants that earlier tests have killed count as killed"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "mutants")
    options = parser.parse_args()
    options.names = [name for name in options.rooms.replace(",", " ").split() if name] or list(ROOMS)
    unknown = [name for name in options.names if name not in ROOMS]
    if unknown:
        parser.error(f"no room {', '.join(unknown)}: known are {', '.join(ROOMS)}")
    return options


def place(module: str) -> str:
    """The file of a module in the repository."""
    return str(runner.source_path(module).resolve().relative_to(ROOT))


def main() -> int:
    """Run the rooms and print what is left."""
    options, begin = parsed(), time.monotonic()
    os.chdir(ROOT)
    os.environ.update(dict.fromkeys(ONE, "1"))
    entries = equivalents.read()
    warm.import_libraries()
    works = [Work(name, ROOMS[name], options) for name in options.names]
    if options.sample is not None:
        print(f"of every room a sample of {options.sample} mutants, drawn with seed {options.seed}")
    left = sum(len(work.missing()) for work in works)
    about = left * EACH / options.workers / 60.0
    print(
        f"{left} mutants to run, about {about:.0f} min on {options.workers} cores with nothing else",
        flush=True,
    )
    finished = [work.run() for work in works]
    tallies = [printout.tally(work.name, work.total, work.results(), entries) for work in works]
    modules = {module for work in works for module in work.room.modules}
    old = printout.outdated(tallies, entries, modules) if options.sample is None else []
    print("\n".join(["", *printout.lines(tallies, place, old)]))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    took, busy = (time.monotonic() - begin) / 60.0, (used.ru_utime + used.ru_stime) / 60.0
    print(f"\ntook {took:.1f} min, {busy:.1f} min of processor time")
    return int(not all(finished) or any(t.complaint for t in tallies))


if __name__ == "__main__":
    sys.exit(main())
