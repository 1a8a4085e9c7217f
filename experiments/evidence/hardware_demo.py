"""The main job on a robot, with a virtual one: robot, guardian and tuner in three processes, in real time.

    python -m safebo.experiments.evidence.hardware_demo go2-trot --trials 15 --out runs/hardware-demo

Starts `safebo-virtual-robot`, `safebo-guardian` and `safebo tune STUDY --robot`, waits for the last, ends the others,
and reads from the journal what became of every trial. Exit code 0: all trials ran, none fell, every one has its raw
record with the hash that was noted, and the best gains beat the seed's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from safebo.hardware.guardian.tick_check import busy_processes
from safebo.hardware.rehearsal import virtual_chain
from safebo.hardware.tuning.recording import digest
from safebo.storage.journal import Journal
from safebo.storage.trial_log import all_steps
from safebo.study import quantity_of
from safebo.study.reading import load_study

DISTURBANCES = {"go2-trot": "paper", "go2-mpc": "heavy_and_weak"}
"""How the virtual robot differs from the controller's model, by study: the plant is mismatched, as a robot is."""


def run(study: str, trials: int, out: Path, domain: int, seed: int, load: int) -> int:
    """The whole demonstration; the exit code."""
    folder = out / study
    begin = time.monotonic()
    with busy_processes(load), virtual_chain("go2", out, DISTURBANCES[study], seed, domain) as (port, key):
        print(f"a virtual Go2 on DDS domain {domain} and its guardian on port {port} are up", flush=True)
        tune = [
            *(sys.executable, "-m", "safebo", "tune", study, "--robot", f"127.0.0.1:{port}"),
            *("--key", str(key), "--approve-all", "--trials", str(trials), "--out", str(folder), "--resume"),
        ]
        code = subprocess.run(tune, check=False).returncode
    print(f"virtual robot: {last_line(out / 'robot.log')}")
    print(f"guardian: {last_line(out / 'guardian.log')}")
    print(f"commands that came too late: {late_commands(out / 'guardian.jsonl')}")
    if code:
        print(f"FAILED: tune ended with exit code {code}; see {out}")
        return 1
    return verify(study, folder, trials, time.monotonic() - begin)


def verify(study: str, folder: Path, trials: int, seconds: float) -> int:
    """Read from the journal what became of every trial; 0 when all is as it should be."""
    faults: list[str] = []
    with Journal.open(folder, read_only=True) as journal:
        records, kept = journal.records(states=False), all_steps(journal)
    steps = {trial: [row["state"] for row in rows] for trial, rows in kept.items()}
    hashes = {
        trial: (row["file"], row["sha256"])
        for trial, rows in kept.items()
        for row in rows
        if row["state"] == "ENDED"
    }
    done = [(r.trial.id, r.measurement) for r in records if r.measurement is not None]
    fell = [number for number, m in done if m.fell]
    completed = [(number, m) for number, m in done if m.outcome == "completed"]
    wanted_margins = {quantity_of(c) for c in load_study(study).study.constraints}
    negative = [n for n, m in done if any(m.margins[name] < 0 for name in wanted_margins & m.margins.keys())]
    for number, _ in completed:
        wanted = ["APPROVED", "ARMED", "RUNNING", "ENDED", "SCORED", "ACCEPTED"]
        if steps.get(number) != wanted:
            faults.append(f"trial {number}: steps {steps.get(number)}")
        file, sha = hashes.get(number, ("", ""))
        if not file or digest(folder / file) != sha:
            faults.append(f"trial {number}: its raw record {file!r} is not what was noted")
    values = [m.objective for _, m in completed if m.objective is not None]
    if len(completed) < trials:
        faults.append(f"{len(completed)} of {trials} trials completed")
    if fell or negative:
        faults.append(f"falls: {fell}, negative margins: {negative}")
    if len(values) < 2 or max(values[1:]) <= values[0]:
        faults.append("no better gains than the seed's")
    print(
        f"{study}: {len(completed)} of {trials} trials completed in {seconds:.0f} s, {len(fell)} falls, "
        f"{len(negative)} negative margins, {len(hashes)} raw records verified"
    )
    if values:
        print(f"objective: seed {values[0]:.3f}, best {max(values):.3f} (larger is better)")
    for fault in faults:
        print(f"FAILED: {fault}")
    return 1 if faults else 0


def late_commands(log: Path) -> int:
    """How often the guardian's log tells of a gap between its commands that its limit does not allow."""
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    return sum("command_gap" in str(row["message"]) for row in rows if row["kind"] != "start")


def last_line(log: Path) -> str:
    """What a process said last."""
    lines = log.read_text().splitlines()
    return lines[-1] if lines else "nothing"


def main(
    study: Annotated[Literal["go2-trot", "go2-mpc"], typer.Argument()] = "go2-trot",
    trials: int = 15,
    out: Path = Path("runs/hardware-demo"),
    domain: Annotated[int, typer.Option(help="DDS domain on the loopback interface")] = 1,
    seed: Annotated[int, typer.Option(help="of the virtual robot's sensor noise")] = 0,
    load: Annotated[int, typer.Option(min=0, help="busy programs beside it, which want a core each")] = 0,
) -> None:
    """Tune a study on a virtual robot in real time, and look what became of every trial."""
    sys.exit(run(study, trials, out, domain, seed, load))


if __name__ == "__main__":
    typer.run(main)
