"""`safebo tune --dry-run`: a virtual robot and its guardian that come and go with the command."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from in_process import in_process

from safebo.hardware.errors import HardwareError, HardwareInputError
from safebo.hardware.rehearsal import process, virtual_chain
from safebo.storage.journal import Journal
from safebo.storage.trial_log import KIND
from safebo.study.reading import resolve_study

pytestmark = pytest.mark.slow


def test_a_study_is_rehearsed_on_a_virtual_go1(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content = yaml.safe_load(resolve_study("go1-trot").read_text())
    content["evaluator"]["options"]["seconds"] = 1.0
    study = tmp_path / "short.yaml"
    study.write_text(yaml.safe_dump(content, sort_keys=False))
    run = tmp_path / "run"
    result = in_process(capfd, "tune", study, "--dry-run", "--approve-all", "--trials", 1, "--out", run)
    assert result.code == 0, result
    with Journal.open(run, read_only=True) as journal:
        (record,) = journal.records(states=False)
        steps = [event.data["state"] for event in journal.events() if event.kind == KIND]
    assert record.measurement is not None
    assert record.measurement.outcome == "completed"
    assert steps == ["APPROVED", "ARMED", "RUNNING", "ENDED", "SCORED", "ACCEPTED"]
    events = (run / "rehearsal" / "guardian.jsonl").read_text()
    assert "LYING_DOWN -> REST" in events
    assert not left_over(str(run))


def left_over(text: str) -> list[str]:
    """Processes whose command line holds a text."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (
                (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode() if entry.name.isdigit() else ""
            )
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found


def test_what_cannot_be_rehearsed_is_said_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    result = in_process(capfd, "tune", "pendulum", "--dry-run", "--out", tmp_path / "run")
    assert result.code == 2
    assert "evaluator 'pendulum' has no virtual robot (those that have: legged)" in " ".join(
        (result.out + result.err).split()
    )
    with (
        pytest.raises(HardwareInputError, match="no virtual 'spot': there are go1, go2"),
        virtual_chain("spot", tmp_path),
    ):
        pass


def test_a_process_that_does_not_start_says_why(tmp_path: Path) -> None:
    program = [sys.executable, "-c", "print('no such interface')"]
    with (
        pytest.raises(HardwareError, match="the robot did not start:\nno such interface"),
        process("the robot", program, tmp_path / "log"),
    ):
        pass


def test_a_process_ends_with_who_started_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = f"print('ready', flush=True); import time; time.sleep(600) # {tmp_path}"
    parent = (
        "import os, sys\nfrom pathlib import Path\nfrom safebo.hardware.rehearsal import process\n"
        f"with process('x', [sys.executable, '-c', {child!r}], Path({str(log)!r})): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", parent], check=False, timeout=60)
    assert "ready" in log.read_text()
    for _ in range(100):
        if not left_over(str(tmp_path)):
            break
        time.sleep(0.05)
    assert not left_over(str(tmp_path))
