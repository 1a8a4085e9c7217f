"""SIGKILL at random moments of a run's life, from start-up to its report; then the run is resumed and compared.

    python -m safebo.experiments.robustness.kill --times 1000

Runs of the bowl with one and two workers, evaluated by a function and by a program, both of which start processes that
would outlive them by a minute. A kill is aimed at a phase; what comes first there is watched for, and the moment is
drawn after it:

    start-up     from the start of the process to its first trial
    creation     from the first sign of the journal's file
    trial        from the end of one trial through the next
    commit       within milliseconds of a change of the journal
    best gains   within milliseconds of a change of best.yaml, or after the last trial
    report       `safebo report`: anywhere, or from its first picture on

Some kills, every second of those aimed at start-up and one in twenty of the others, meet a `python -m safebo` from the
start of the interpreter ("whole"); the rest meet the same command in a fork of this process, which has loaded the
imports (see starts.py). Worker processes and programs are
started as ever in both. Every second kill goes to the process group, the others to the one process.

After each kill: every process below the run is gone within 2 s (this process becomes their parent, so none is
missed); the run's lock is free at once; every trial that was told, or said to be, is in the journal as it was; the best
gains and the page are whole. While a run lives, a second `safebo tune` on it (at every second kill) must be refused;
where a journal is about to be made, two are started at once. At the end: the trials of an undisturbed run, bit for bit,
and no draft left. Rows are kept in --out; a stopped command goes on where it was, with new runs. Linux.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
import yaml

from safebo.errors import RunLockedError
from safebo.experiments.robustness.killed_runs import STUDY, told_in
from safebo.experiments.robustness.starts import Started, load, start, time_until_alone
from safebo.files.writing import draft_of
from safebo.runs.best_gains import written_by_run
from safebo.storage.journal import Journal
from safebo.storage.location import SQLITE_FILE
from safebo.storage.run_lock import LOCK_FILE, run_lock

LIMIT = 2.0
"""Seconds in which every process has to be gone."""

TRIALS = 16
PAUSE = 0.05
"""Seconds that a trial takes."""

SHARES = {
    "start-up": 0.22,
    "creation": 0.15,
    "trial": 0.2,
    "commit": 0.2,
    "best gains": 0.15,
    "report": 0.08,
}
COMBINATIONS = tuple((workers, evaluator) for evaluator in ("function", "program") for workers in (1, 2))
WHOLE = {"start-up": 2}
"""One in so many kills meets a command that starts from the beginning; of the other phases one in twenty."""

SEEDS = 2  # of every combination; a run that nobody disturbs is made for each


class Aim(NamedTuple):
    """What a kill is to meet."""

    workers: int
    evaluator: str
    phase: str
    whole: bool


def plan(times: int) -> Counter[Aim]:
    """So many kills, spread over combinations, phases and ways to start."""
    ends = np.cumsum(list(SHARES.values()))
    aims: Counter[Aim] = Counter()
    for number in range(times):
        workers, evaluator = COMBINATIONS[number % 4]
        phase = list(SHARES)[int(np.searchsorted(ends, (number // 4 + 0.5) * 0.6180339887498949 % 1.0))]
        earlier = sum(n for aim, n in aims.items() if aim[:3] == (workers, evaluator, phase))
        aims[Aim(workers, evaluator, phase, earlier % WHOLE.get(phase, 20) == 0)] += 1
    return aims


class Changes:
    """Becomes true when files have changed so many times."""

    def __init__(self, files: Callable[[], Sequence[Path]], times: int) -> None:
        self._files, self._left = files, times
        self._last = self._state()

    def _state(self) -> list[tuple[int, ...] | None]:
        found: list[tuple[int, ...] | None] = []
        for file in self._files():
            try:
                s = os.stat(file)
                found.append((s.st_ino, s.st_size, s.st_mtime_ns))
            except OSError:
                found.append(None)
        return found

    def __call__(self) -> bool:
        """Look again: whether they have by now."""
        now = self._state()
        self._left -= now != self._last
        self._last = now
        return self._left <= 0


class KillCampaign:
    """Kills until none of a plan is left.

    Args:
        place: folder for runs; its studies are made here.
        keep: takes the row of every kill and every run.
        number: of the first run.
    """

    def __init__(self, place: Path, keep: Callable[[dict[str, Any]], None], number: int) -> None:
        self.place, self.keep, self.number = place, keep, number
        self.rng = np.random.default_rng(number)
        self.calm: dict[tuple[int, str, int], list[Any]] = {}
        self.lasting = {
            (phase, whole): 1.5 + 4.0 * whole for phase in ("start-up", "report") for whole in (False, True)
        }
        declared = yaml.safe_load(STUDY.read_text())
        program = [sys.executable, "-I", "-S", str(STUDY.with_name("bowl_program.py")), str(PAUSE)]
        self.studies = {}
        for evaluator, section in {
            "function": declared["evaluator"]
            | {"options": {"repeatable": True, "pause": PAUSE, "child": True}},
            "program": {"name": "subprocess", "options": {"command": program, "repeatable": True}},
        }.items():
            self.studies[evaluator] = place / f"{evaluator}.yaml"
            self.studies[evaluator].write_text(yaml.safe_dump(declared | {"evaluator": section}))

    def one_run(self, needs: Counter[Aim], workers: int, evaluator: str) -> None:
        """A run that is killed as the needs say, as far as one run goes; they become fewer."""
        self.number += 1
        seed = self.number % SEEDS
        folder = self.place / f"run-{self.number}"
        folder.mkdir()
        own = (workers, evaluator)
        self._creations(needs, own, folder / "created", seed)
        run = folder / "run"
        faults: list[str] = []
        tune = self._tune(own, run, seed)
        while aim := self._next(needs, own, ("start-up", "trial", "commit", "best gains")):
            row = self._kill(aim, tune, run)
            if row is None:
                break  # it is done
            needs[aim] -= 1
            self.keep(row)
        faults += self._complete(tune, folder)
        reported = False
        for _ in range(6):
            if aim := self._next(needs, own, ("report",)):
                row = self._kill(aim, ["report", str(run)], run)
                reported = True
                if row is not None:
                    needs[aim] -= 1
                    self.keep(row)
        if reported:
            faults += self._complete(["report", str(run)], folder)
        faults += [f"left: {file.name}" for part in (".part", ".new") for file in run.rglob(f"*{part}")]
        self._compare(own, run, seed, TRIALS, faults)

    def _creations(self, needs: Counter[Aim], own: tuple[int, str], run: Path, seed: int) -> None:
        """Kills while the journal is made, until it is; then what was made is a run as any."""
        tune = self._tune(own, run, seed)
        while not Journal.exists(run):
            aim = self._next(needs, own, ("creation",))
            if aim is None:
                return
            row = self._kill(aim, tune, run)
            if row is not None:
                needs[aim] -= 1
                self.keep(row)
        faults = self._complete([*tune, "--trials", "2"], run.parent)
        self._compare(own, run, seed, 2, faults)

    def _tune(self, own: tuple[int, str], run: Path, seed: int) -> list[str]:
        workers, evaluator = own
        line = ["tune", str(self.studies[evaluator]), "--out", str(run), "--resume", "--seed", str(seed)]
        return [*line, "--workers", str(workers), "--trials", str(TRIALS)]

    def _next(self, needs: Counter[Aim], own: tuple[int, str], phases: Sequence[str]) -> Aim | None:
        open_aims = [
            aim
            for aim, count in needs.items()
            for _ in range(count)
            if aim[:2] == own and aim.phase in phases
        ]
        return open_aims[int(self.rng.integers(len(open_aims)))] if open_aims else None

    def _complete(self, arguments: Sequence[str], folder: Path) -> list[str]:
        """Let a command end by itself; what is wrong with how it did."""
        ended = start(arguments, folder / "output", whole=False)
        code = ended.wait()
        time_until_alone(LIMIT)
        return [] if code == 0 else [f"{arguments[0]} ended with {code}: {ended.said[-500:]}"]

    def _compare(self, own: tuple[int, str], run: Path, seed: int, trials: int, faults: list[str]) -> None:
        key = (*own, seed)
        if key not in self.calm:
            calm = self.place / f"calm-{self.number}"
            faults += self._complete(self._tune(own, calm, seed), self.place)
            self.calm[key] = told_in(calm)
        ours, theirs = told_in(run), self.calm[key][:trials]
        self.keep(
            {
                "row": "run",
                "workers": own[0],
                "evaluator": own[1],
                "trials": len(ours),
                "same": ours == theirs and len(ours) == trials,
                "faults": faults,
            }
        )

    def _kill(self, aim: Aim, arguments: Sequence[str], run: Path) -> dict[str, Any] | None:
        """Start a command, kill it, and look; None where it had ended before."""
        began, before = time.monotonic(), told_in(run)
        page = run / "report.html"
        old_page = page.read_bytes() if page.exists() else None
        group = bool(self.rng.integers(2))
        life = start(arguments, run.parent / "output", aim.whole)
        rivals, owners = "", 0
        if aim.phase == "creation" and not aim.whole:
            other = start(arguments, run.parent / "rival", False)
            life, rivals, owners = _one_of(life, other)
        signal, within = self._moment(aim, run, life)
        tried = rivals != "" or aim.phase in ("start-up", "report") or self.rng.random() < 0.5
        while not signal():
            if life.poll() is not None:
                break
            if not tried and _holds(life, run):
                tried = True
                rival = start(arguments, run.parent / "rival", False)
                rivals, owners = _judged(rival, life)
            time.sleep(0.0002)
        moment = time.monotonic() + float(self.rng.uniform(0.0, within))
        while time.monotonic() < moment and life.poll() is None:
            time.sleep(0.0001)
        if life.poll() is not None:
            time_until_alone(LIMIT)
            if (aim.phase, aim.whole) in self.lasting:
                self.lasting[aim.phase, aim.whole] *= 0.9
            if life.ended != 0:
                raise RuntimeError(f"{arguments[0]} ended with {life.ended}: {life.said[-2000:]}")
            return None
        life.kill(group)
        at_once = _is_free(run)
        gone, left = time_until_alone(LIMIT)
        after = told_in(run)
        said = {int(number) for number in re.findall(r"^trial +(\d+)/", life.said, re.MULTILINE)}
        kept = {trial["id"] for trial, *_ in after}
        lost = len(said - kept) + sum(ours not in after for ours in before)
        if aim.phase == "start-up" and not said:
            self.lasting[aim.phase, aim.whole] *= 1.03
        return {
            "row": "kill",
            **aim._asdict(),
            "group": group,
            "gone": round(gone, 4),
            "left": left,
            "lost": lost,
            "at_once": at_once,
            "rival": rivals,
            "owners": owners,
            "met": _met(run),
            "faults": list(_halves(run, old_page)),
            "seconds": round(time.monotonic() - began, 3),
        }

    def _moment(self, aim: Aim, run: Path, life: Started) -> tuple[Callable[[], bool], float]:
        """What is waited for, and how many seconds after it the kill comes at most."""
        rng = self.rng
        if aim.phase == "start-up":
            return lambda: True, self.lasting[aim.phase, aim.whole]
        if aim.phase == "creation":
            return Changes(lambda: [run / f"{SQLITE_FILE}.new", run / SQLITE_FILE], 1), 0.04
        if aim.phase == "trial":
            count = int(rng.integers(1, 4))
            return lambda: len(re.findall(r"^trial ", life.said, re.MULTILINE)) >= count, 2 * PAUSE + 0.1
        if aim.phase == "commit":
            return Changes(lambda: [run / f"{SQLITE_FILE}-wal"], int(rng.integers(1, 11))), 0.004
        if aim.phase == "best gains" and rng.random() < 0.9:
            best = run / "best.yaml"
            return Changes(lambda: [best, draft_of(best)], int(rng.integers(1, 4))), 0.004
        if aim.phase == "best gains":
            return lambda: f"trial {TRIALS:>3}/" in life.said, 0.05
        if rng.random() < 0.4:
            return lambda: True, self.lasting[aim.phase, aim.whole]
        first = run / "report" / "objective.png"
        return Changes(lambda: [first, draft_of(first)], 1), 0.06


def _holds(life: Started, run: Path) -> bool:
    """Whether a process says that it has the run."""
    try:
        return bool(json.loads((run / LOCK_FILE).read_text())["pid"] == life.pid)
    except (OSError, ValueError):
        return False


def _judged(rival: Started, life: Started) -> tuple[str, int]:
    """How a second `tune` on the run of a living process ended, and how many owners there were too many."""
    end = time.monotonic() + 60.0
    while rival.poll() is None and life.poll() is None and time.monotonic() < end:
        time.sleep(0.0005)
    if life.poll() is not None:  # what comes after the end of the first says nothing
        rival.kill(group=True) if rival.poll() is None else None
        return "", 0
    if rival.poll() is None:
        rival.kill(group=True)
        return "went on", 1
    refused = rival.ended in (1, 2) and "another process works on this run" in rival.said
    return ("refused" if refused else f"ended with {rival.ended}: {rival.said[-300:]}"), int(rival.ended == 0)


def _one_of(first: Started, second: Started) -> tuple[Started, str, int]:
    """Of two that were started at once the one that has the run, and how the other ended."""
    while first.poll() is None and second.poll() is None:
        time.sleep(0.0005)
    owner, other = (first, second) if second.poll() is not None else (second, first)
    return owner, *_judged(other, owner)


def _is_free(run: Path) -> bool:
    """Whether the run can be had now."""
    if not run.is_dir():
        return True
    try:
        with run_lock(run):
            return True
    except RunLockedError:
        return False


def _met(run: Path) -> str:
    """What the kill left half done."""
    drafts = sorted({file.name for file in run.rglob("*.part")})
    if (run / f"{SQLITE_FILE}.new").exists():
        return "a draft of the journal"
    return "a draft of a page or picture" if any("best" not in d for d in drafts) else "".join(drafts[:1])


def _halves(run: Path, old_page: bytes | None) -> Iterator[str]:
    """What is there and not whole."""
    best, page = run / "best.yaml", run / "report.html"
    if best.exists() and not written_by_run(best, "bowl", "default"):
        yield "half a best.yaml"
    if (
        page.exists()
        and page.read_bytes() != old_page
        and not page.read_bytes().rstrip().endswith(b"</html>")
    ):
        yield "half a page"
    if old_page is not None and not page.exists():
        yield "no page"


def faults_of(row: dict[str, Any]) -> list[str]:
    """What is wrong with a row, one sentence each."""
    found = list(row["faults"])
    if row["row"] == "run":
        return found if row["same"] else [*found, "other trials than those of an undisturbed run"]
    found += [f"{row['lost']} told trials lost"] * (row["lost"] > 0)
    found += [f"left after {LIMIT:g} s: {line}" for line in row["left"]]
    found += ["not to be had at once"] * (not row["at_once"])
    found += [f"a second start {row['rival']}"] * (row["rival"] not in ("", "refused"))
    return found


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Counts by combination and phase."""
    kills = [row for row in rows if row["row"] == "kill"]
    runs = [row for row in rows if row["row"] == "run"]
    lines = [
        "workers evaluator phase       kills  whole  group  lost  alive after 2 s  longest until gone s  "
        "not at once  second starts refused  second owners  half files"
    ]
    groups = [
        (f"{workers:7} {evaluator:9} {phase:10}", (workers, evaluator, phase))
        for workers, evaluator in COMBINATIONS
        for phase in SHARES
    ]
    for name, key in [*groups, (f"{'all':7} {'':9} {'':10}", None)]:
        own = [r for r in kills if key is None or (r["workers"], r["evaluator"], r["phase"]) == key]
        tried = [r for r in own if r["rival"]]
        refused = sum(r["rival"] == "refused" for r in tried)
        lines.append(
            f"{name} {len(own):6} {sum(r['whole'] for r in own):6} {sum(r['group'] for r in own):6} "
            f"{sum(r['lost'] for r in own):5} {sum(len(r['left']) for r in own):16} "
            f"{max((r['gone'] for r in own), default=0.0):21.3f} {sum(not r['at_once'] for r in own):12} "
            f"{refused:14} of {len(tried):4} {sum(r['owners'] for r in own):14} "
            f"{sum(len(r['faults']) for r in own):11}"
        )
    lines += ["", "workers evaluator  runs  trials  runs that differ"]
    for workers, evaluator in COMBINATIONS:
        mine = [r for r in runs if (r["workers"], r["evaluator"]) == (workers, evaluator)]
        lines.append(
            f"{workers:7} {evaluator:9} {len(mine):5} {sum(r['trials'] for r in mine):7} "
            f"{sum(not r['same'] for r in mine):17}"
        )
    met = Counter(row["met"] for row in kills if row["met"])
    lines += ["", "half done at the kill: " + ", ".join(f"{what} {n}" for what, n in sorted(met.items()))]
    return "\n".join(lines)


def main(
    times: Annotated[int, typer.Option(min=1, help="How many kills in all.")] = 1000,
    out: Annotated[Path, typer.Option(help="Rows so far.")] = Path("runs/kill.jsonl"),
) -> None:
    """Make the kills that --out lacks and print a table; the end is 1 when something went wrong."""
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    began = time.monotonic()

    def keep(row: dict[str, Any]) -> None:
        rows.append(row | {"at": round(time.monotonic() - began, 1)})
        with out.open("a") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        for fault in faults_of(row):
            print(f"{row}: {fault}", flush=True)

    needs = plan(times)
    needs.subtract(Aim(*(row[key] for key in Aim._fields)) for row in rows if row["row"] == "kill")
    load()
    with tempfile.TemporaryDirectory() as place:
        campaign = KillCampaign(Path(place), keep, sum(row["row"] == "run" for row in rows))
        while (+needs).total():
            workers, evaluator = max(
                COMBINATIONS, key=lambda c: sum(n for a, n in needs.items() if a[:2] == c)
            )
            campaign.one_run(needs, workers, evaluator)
            print(f"{(+needs).total()} kills to go, {time.monotonic() - began:.0f} s", flush=True)
    bad = sum(bool(faults_of(row)) for row in rows)
    seconds = sum(row.get("seconds", 0.0) for row in rows)
    print(table(rows))
    print(
        f"{bad} rows with faults; {(time.monotonic() - began) / 3600:.2f} h now, kills alone {seconds / 3600:.2f} h"
    )
    raise typer.Exit(int(bad > 0))


if __name__ == "__main__":
    if sys.platform != "linux":
        sys.exit("error: looks at /proc and adopts processes, which needs Linux")
    typer.run(main)
