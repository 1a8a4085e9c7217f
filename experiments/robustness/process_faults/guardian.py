"""The guardian latches, or is asked to end, while the robot walks or a person is asked."""

from __future__ import annotations

import math
import os
import pty
import time

from safebo.experiments.robustness.faults.report import Report
from safebo.experiments.robustness.process_faults.chain import (
    Chain,
)
from safebo.experiments.robustness.process_faults.registry import fault
from safebo.experiments.robustness.process_faults.terminal import Screen


@fault(30, "software stop by another client", "a client without lease stops the walking robot")
def stopped_elsewhere(report: Report, chain: Chain) -> None:
    """Somebody else stops the robot, without a lease, while a trial runs."""
    tune = chain.walking()
    at = time.time()
    chain.stop()
    damped = chain.after("-> DAMP_LATCHED", at)
    tune.demand_end(report, 1, "safebo robot clear", "stopped")
    report.responded(damped, 0.5, "0.5 s, connecting included")
    report.shows(
        robot=f"joint damping after {damped:.3f} s, connecting included",
        record=f"trial 1 {' '.join(tune.statuses()[0])}; no other trial ran",
        operator="the guardian has latched: stopped: joint damping; `safebo robot clear`",
    )
    report.expect("RUNNING" not in tune.steps().get(2, []), "another trial ran")
    report.expect(tune.statuses()[0] == ("told", "failed"), f"record: {tune.statuses()}")
    chain.clear()


@fault(35, "guardian asked to end", "SIGINT to `safebo-guardian` while the robot walks and the tuner goes on")
def guardian_asked_to_end(report: Report, chain: Chain) -> None:
    """Somebody ends the guardian in the middle of a trial."""
    with chain.up():
        tune = chain.walking(trials=1)
        at = time.time()
    # leaving has asked the guardian to end and has waited for it, with its robot still there
    sat, lain = chain.after("-> SIT_LATCHED", at), chain.after("-> DAMP_LATCHED", at)
    said = (chain.folder / "guardian.log").read_text().splitlines()[-1]
    tune.end()
    report.responded(sat, 0.1, "standing down within 0.1 s")
    report.expect(lain <= 2.5, f"damped after {lain:.2f} s")
    report.expect(said.startswith("ended: the joints are damped and at rest; it lies"), said)
    report.expect(tune.statuses()[0][0] in ("told", "unknown"), f"record: {tune.statuses()}")
    report.shows(
        robot=f"standing down after {sat:.3f} s, damped after {lain:.1f} s, lies",
        record=f"trial 1 {' '.join(tune.statuses()[0])}".strip(),
        operator=said,
    )


@fault(
    36, "latch while a person is asked", "a software stop while approval, verdict and reason are asked for"
)
def latch_at_a_question(report: Report, chain: Chain) -> None:
    """The guardian latches while a person reads or types: it is told at once, with the command, at every question."""
    ours, theirs = pty.openpty()
    tune = chain.tune(terminal=theirs, approve_all=False)
    os.close(theirs)
    screen, command = Screen(ours), f"safebo robot clear 127.0.0.1:{chain.port} --key {chain.key}"
    seconds = []
    for question, answer in (
        ("Run this trial?", "yes"),
        ("Your verdict?", "contaminated"),
        ("What happened?", "it was stopped"),
    ):
        screen.until(question)
        since = time.time()
        chain.stop()
        screen.until("LATCHED, DAMP_LATCHED: stopped: joint damping")
        screen.until(command)
        told = time.time()
        (latched, *_) = [wall for wall, kind, _ in chain.events(since) if kind == "latch"] or [math.nan]
        seconds.append(told - latched)
        screen.until(question)  # again
        chain.clear()
        os.write(ours, f"{answer}\n".encode())
    screen.until("Run this trial?")
    os.write(ours, b"stop\ndone\n")
    code = tune.end()
    os.close(ours)
    report.expect(
        code == 1 and tune.statuses()[0] == ("told", "failed"), f"{code}, record: {tune.statuses()}"
    )
    report.responded(max(seconds), 0.2, "0.2 s from the latch to the line at the terminal")
    report.shows(
        robot="joint damping, latched",
        record="trial 1 told failed, contaminated: as the person said",
        operator="LATCHED, DAMP_LATCHED: stopped: joint damping; `safebo robot clear HOST:PORT --key FILE`; then the "
        "question again",
    )
