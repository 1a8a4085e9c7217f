"""The tuner's processes killed, frozen, interrupted, or without their terminal, while the robot walks."""

from __future__ import annotations

import os
import pty
import signal
import time
from pathlib import Path

from safebo.experiments.robustness.faults.report import Report
from safebo.experiments.robustness.killed_runs import waited_for
from safebo.experiments.robustness.process_faults.chain import (
    Chain,
    signalled,
)
from safebo.experiments.robustness.process_faults.registry import SILENT, fault


@fault(
    11, "bridge process killed", "SIGKILL to the process that speaks to the guardian, while the robot walks"
)
def worker_killed(report: Report, chain: Chain) -> None:
    """The process that speaks to the guardian is killed while the robot walks."""
    tune = chain.walking()
    at = signalled(tune.worker(), signal.SIGKILL)
    held, sat = chain.after("-> HOLD_LATCHED", at), chain.after("-> SIT_LATCHED", at)
    tune.demand_end(report, 1, "safebo resolve")
    report.responded(held, 0.2, SILENT)
    report.shows(
        robot=f"baseline gains after {held:.3f} s, standing down after {sat:.3f} s",
        record=f"trial 1 {tune.statuses()[0][0]}, steps {' '.join(tune.steps()[1])}",
        operator="exit code 1; how it ended is not known; look at the robot, then `safebo resolve`",
    )
    report.expect(sat <= 1.0, f"standing down after {sat:.3f} s")
    report.expect(tune.statuses()[0][0] == "unknown", f"record: {tune.statuses()}")
    again = chain.tune("--resume", folder=tune.run)
    report.expect(again.end() == 1 and "safebo resolve" in again.said, "the trial was run again by itself")
    chain.clear()


@fault(
    12, "bridge process frozen", "SIGSTOP for 5 s to the process that speaks to the guardian, then SIGCONT"
)
def worker_frozen(report: Report, chain: Chain) -> None:
    """The process that speaks to the guardian freezes for five seconds, then goes on."""
    tune = chain.walking(trials=1)
    worker = tune.worker()
    at = signalled(worker, signal.SIGSTOP)
    held, sat = chain.after("-> HOLD_LATCHED", at), chain.after("-> SIT_LATCHED", at)
    time.sleep(max(0.0, at + 5.0 - time.time()))
    os.kill(worker, signal.SIGCONT)
    thawed = time.time()
    tune.end()
    moved = [words for _, kind, words in chain.events(thawed) if kind == "state" and "RUNNING" in words]
    report.responded(held, 0.2, SILENT)
    report.robot = f"baseline gains after {held:.3f} s, standing down after {sat:.3f} s, nothing afterwards"
    status, outcome = tune.statuses()[0]
    report.shows(
        record=f"trial 1 {status} {outcome}".strip(),
        operator="the trial says nothing about its gains: the tuner is gone",
    )
    report.expect(sat <= 1.0, f"standing down after {sat:.3f} s")
    report.expect(not moved, f"moved after it came back: {moved}")
    report.expect(outcome in ("failed", ""), f"record: {status} {outcome}")
    report.expect("tuner" in tune.said or "lost" in tune.said, f"operator: {tune.said[-300:]}")
    chain.clear()


@fault(13, "optimizer process killed", "SIGKILL to `safebo tune` while the robot walks")
def optimizer_killed(report: Report, chain: Chain) -> None:
    """The optimizer is killed while the robot walks: the trial ends, is recorded, and is scored on resume."""
    tune = chain.walking(trials=1)
    worker = tune.worker()
    at = signalled(tune.process.pid, signal.SIGKILL)
    ended = chain.after("RUNNING -> HOLD", at)
    lain = chain.after("-> REST", at, 12.0)
    tune.end()
    gone = waited_for(lambda: not Path(f"/proc/{worker}").exists(), 10.0)
    report.responded(ended, 1.0, "1 s")
    report.robot = f"trial ended after {ended:.2f} s, lies after {lain:.1f} s"
    report.expect(ended == ended and lain == lain, "the robot did not come to rest")
    report.expect(gone, "its worker did not end")
    report.expect("ENDED" in tune.steps().get(1, []), f"steps {tune.steps()}")
    again = chain.tune("--resume", trials=1, folder=tune.run)
    again.demand_end(report, 1, "had ended", "every trial failed")  # it was the only one, and ended early
    report.shows(
        record=f"steps {' '.join(tune.steps()[1])}; trials after resuming: {again.statuses()}",
        operator="on resume: trial 1 had ended, scored from its raw file; exit code 1, for it was the only one",
    )
    report.expect(tune.steps()[1].count("RUNNING") == 1, "the trial was run again")


@fault(21, "killed between trial and record", "SIGKILL to all of the tuner once the walk is over")
def killed_before_the_record(report: Report, chain: Chain) -> None:
    """Everything on the tuner's side is killed between the end of a trial and its measurement."""
    tune = chain.tune(trials=1)
    tune.wait_for("ENDED")
    worker = tune.worker()
    os.kill(tune.process.pid, signal.SIGKILL)
    at = signalled(worker, signal.SIGKILL)
    tune.end()
    sat = chain.after("-> SIT_LATCHED", at)
    state = tune.statuses()
    report.expect(state == [("asked", "")], f"too late to be this fault: {state}")
    chain.clear()
    again = chain.tune("--resume", trials=1, folder=tune.run)
    again.demand_end(report, 0, "had ended")
    report.responded(sat, 1.0, "standing down within 1 s")
    report.shows(
        robot=f"stood down after {sat:.3f} s without a tuner",
        record=f"trial 1 {' '.join(again.statuses()[0])}, scored from its raw file; ran once",
        operator="on resume: trial 1 had ended, scored from its raw file",
    )
    report.expect(again.statuses() == [("told", "completed")], f"record: {again.statuses()}")
    report.expect(tune.steps()[1].count("RUNNING") == 1, "the trial was run again")


@fault(20, "Ctrl-C once", "SIGINT to `safebo tune` while the robot walks")
def interrupted_once(report: Report, chain: Chain) -> None:
    """Ctrl-C while the robot walks."""
    tune = chain.walking()
    at = signalled(tune.process.pid, signal.SIGINT)
    ended, lain = chain.after("RUNNING -> HOLD", at), chain.after("-> REST", at, 15.0)
    tune.demand_end(report, 130, "--resume")
    report.responded(ended, 1.0, "1 s")
    report.shows(
        robot=f"baseline gains after {ended:.2f} s, lies after {lain:.1f} s",
        record=f"trial 1 {' '.join(tune.statuses()[0])}: ended on request",
        operator="exit code 130; the command to go on with",
    )
    report.expect(lain == lain, f"robot: {ended}, {lain}")
    report.expect(tune.statuses() == [("told", "failed")], f"record: {tune.statuses()}")


@fault(20, "Ctrl-C twice", "two SIGINT to `safebo tune` while the robot walks")
def interrupted_twice(report: Report, chain: Chain) -> None:
    """Ctrl-C twice while the robot walks."""
    tune = chain.walking()
    os.kill(tune.process.pid, signal.SIGINT)
    time.sleep(0.05)
    at = signalled(tune.process.pid, signal.SIGINT)
    damped = chain.after("-> DAMP_LATCHED", at)
    tune.demand_end(report, 130)
    report.responded(damped, 1.0, "1 s")
    report.shows(
        robot=f"joint damping after {damped:.2f} s, latched",
        record=f"trial 1 {' '.join(tune.statuses()[0])}",
        operator="exit code 130",
    )
    report.expect(
        tune.statuses()[0] in (("told", "failed"), ("asked", ""), ("unknown", "")), str(tune.statuses())
    )
    chain.clear()


@fault(20, "SIGTERM", "SIGTERM to `safebo tune` while the robot walks")
def terminated(report: Report, chain: Chain) -> None:
    """SIGTERM, as a service manager or a closing session sends it."""
    tune = chain.walking()
    at = signalled(tune.process.pid, signal.SIGTERM)
    lain = chain.after("-> REST", at, 15.0)
    tune.demand_end(report, 130)
    report.shows(
        robot=f"lies after {lain:.1f} s",
        record=f"trial 1 {' '.join(tune.statuses()[0])}",
        operator="exit code 130",
    )
    report.expect(lain == lain, "the robot did not come to rest")
    report.expect(tune.statuses() == [("told", "failed")], f"record: {tune.statuses()}")


@fault(14, "operator's terminal closed", "the terminal hangs up in a trial, then at a question")
def terminal_closed(report: Report, chain: Chain) -> None:
    """The operator's terminal goes away while the robot walks, and while a question is open."""
    ours, theirs = pty.openpty()
    tune = chain.walking(terminal=theirs)
    os.close(theirs)
    at = time.time()
    os.close(ours)
    ended, lain = chain.after("RUNNING -> HOLD", at), chain.after("-> REST", at, 15.0)
    tune.demand_end(report, 130)
    report.responded(ended, 1.0, "1 s")
    report.expect(lain == lain, "the robot did not come to rest")
    report.expect(tune.statuses() == [("told", "failed")], f"record: {tune.statuses()}")
    ours, theirs = pty.openpty()
    asked = chain.tune(terminal=theirs, approve_all=False)
    os.close(theirs)
    said = b""
    while b"Run this trial?" not in said:
        said += os.read(ours, 4096)
    since = time.time()
    os.close(ours)
    code = asked.end()
    moved = [words for _, kind, words in chain.events(since) if kind == "state" and "ARMED" in words]
    report.expect(not moved and code in (1, 130), f"at the question: {moved}, exit code {code}")
    report.expect("APPROVED" not in asked.steps().get(1, []), f"steps {asked.steps()}")
    report.shows(
        robot=f"baseline gains after {ended:.2f} s, lies after {lain:.1f} s; at the question: stays",
        record=f"trial 1 {' '.join(tune.statuses()[0])}: ended on request; not asked again: not approved",
        operator="nobody is there; `safebo robot status`, `safebo show` and --resume show where it stands",
    )
