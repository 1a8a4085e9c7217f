"""The main job on a robot, with a virtual one: robot, guardian and tuner in three processes, in real time.

    python -m experiments.hardware_demo go2-trot --trials 15 --out runs/hardware-demo

Starts `safebo-virtual-robot`, `safebo-guardian` and `safebo tune STUDY --robot`, waits for the last, ends the others,
and reads from the journal what became of every trial. Exit code 0: all trials ran, none fell, every one has its raw
record with the hash that was noted, and the best gains beat the seed's.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hardware.link.key import make_key
from hardware.tuning.recording import digest
from safebo.journal import Journal
from safebo.ledger import KIND
from safebo.study_file import load_study

DISTURBANCES = {"go2-trot": "paper", "go2-mpc": "heavy_and_weak"}
"""How the virtual robot differs from the controller's model, by study: the plant is mismatched, as a robot is."""


@contextmanager
def process(
    name: str, command: list[str], log: Path, patience: float = 60.0
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that says `ready`; ended politely on leaving.

    Raises:
        RuntimeError: it did not say so in time.
    """
    with log.open("wb") as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        try:
            end = time.monotonic() + patience
            while not any(line.startswith("ready") for line in log.read_text().splitlines()):
                if child.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{name} did not start:\n{log.read_text()}")
                time.sleep(0.1)
            yield child
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
                try:
                    child.wait(15)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()


def free_port() -> int:
    """A UDP port that nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(study: str, trials: int, out: Path, domain: int, seed: int) -> int:
    """The whole demonstration; the exit code."""
    out.mkdir(parents=True, exist_ok=True)
    folder = out / study
    key = out / "link.key"
    if not key.exists():
        make_key(key)
    port = free_port()
    python = [sys.executable, "-m"]
    robot = [*python, "hardware.virtual", "go2", "--domain", str(domain), "--seed", str(seed)]
    robot += ["--disturbance", DISTURBANCES.get(study, "paper")]
    guardian = [
        *python,
        "hardware.guardian",
        "go2",
        "--domain",
        str(domain),
        "--port",
        str(port),
        "--key",
        str(key),
    ]
    guardian += ["--log", str(out / "guardian.jsonl")]
    tune = [
        *python,
        "safebo",
        "tune",
        study,
        "--robot",
        f"127.0.0.1:{port}",
        "--key",
        str(key),
        "--approve-all",
    ]
    tune += ["--trials", str(trials), "--out", str(folder), "--resume"]
    begin = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(process("the virtual robot", robot, out / "robot.log"))
        stack.enter_context(process("the guardian", guardian, out / "guardian.log"))
        print(f"a virtual Go2 on DDS domain {domain} and its guardian on port {port} are up", flush=True)
        code = subprocess.run(tune, check=False, env={**os.environ}).returncode
    print(f"virtual robot: {last_line(out / 'robot.log')}")
    print(f"guardian: {last_line(out / 'guardian.log')}")
    if code:
        print(f"FAILED: tune ended with exit code {code}; see {out}")
        return 1
    return verify(study, folder, trials, time.monotonic() - begin)


def verify(study: str, folder: Path, trials: int, seconds: float) -> int:
    """Read from the journal what became of every trial; 0 when all is as it should be."""
    faults: list[str] = []
    with Journal.open(folder, read_only=True) as journal:
        records, events = journal.records(states=False), journal.events()
    steps: dict[int, list[str]] = {}
    hashes: dict[int, tuple[str, str]] = {}
    for event in events:
        if event.kind == KIND and event.trial is not None:
            steps.setdefault(event.trial, []).append(event.data["state"])
            if event.data["state"] == "ENDED":
                hashes[event.trial] = event.data["file"], event.data["sha256"]
    done = [r for r in records if r.measurement is not None]
    fell = [r.trial.id for r in done if r.measurement is not None and r.measurement.fell]
    completed = [r for r in done if r.measurement is not None and r.measurement.outcome == "completed"]
    negative = [
        r.trial.id
        for r in done
        if r.measurement is not None and any(v < 0 for v in named(study, r.measurement.margins))
    ]
    for number in (r.trial.id for r in completed):
        wanted = ["APPROVED", "ARMED", "RUNNING", "ENDED", "SCORED", "ACCEPTED"]
        if steps.get(number) != wanted:
            faults.append(f"trial {number}: steps {steps.get(number)}")
        file, sha = hashes.get(number, ("", ""))
        if not file or digest(folder / file) != sha:
            faults.append(f"trial {number}: its raw record {file!r} is not what was noted")
    values = [
        r.measurement.objective for r in completed if r.measurement and r.measurement.objective is not None
    ]
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


def named(study: str, margins: object) -> list[float]:
    """The margins that are constraints of the study."""
    assert isinstance(margins, dict)
    wanted = {c.quantity or c.name for c in load_study(study).study.constraints}
    return [value for name, value in margins.items() if name in wanted]


def last_line(log: Path) -> str:
    """What a process said last."""
    lines = log.read_text().splitlines()
    return lines[-1] if lines else "nothing"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", nargs="?", default="go2-trot", choices=sorted(DISTURBANCES))
    parser.add_argument("--trials", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path("runs/hardware-demo"))
    parser.add_argument("--domain", type=int, default=1, help="DDS domain on the loopback interface")
    parser.add_argument("--seed", type=int, default=0, help="of the virtual robot's sensor noise")
    given = parser.parse_args()
    sys.exit(run(given.study, given.trials, given.out, given.domain, given.seed))


if __name__ == "__main__":
    main()
