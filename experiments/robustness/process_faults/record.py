"""The record without room, or locked, while the robot walks."""

from __future__ import annotations

import resource
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safebo.experiments.robustness.faults.report import Report
from safebo.experiments.robustness.process_faults.chain import (
    SECONDS,
    Chain,
)
from safebo.experiments.robustness.process_faults.registry import fault


@fault(22, "disk full while recording", "no file may grow beyond 400 kB, from the middle of a walk")
def disk_full(report: Report, chain: Chain) -> None:
    """No room for the raw record while the robot walks."""
    tune = chain.walking()
    at = time.time()
    resource.prlimit(tune.worker(), resource.RLIMIT_FSIZE, (400_000, 400_000))
    tune.demand_end(report, 1, "disk is full")
    latched = [w for _, kind, w in chain.events(at) if kind == "latch"]
    report.shows(
        robot="walked to its end, baseline gains, lay down: the disk is not the robot's trouble",
        record=f"trial 1 {tune.statuses()[0][0]}; no other trial was asked",
        operator="the disk is full; free some space; look at the robot, then `safebo resolve`",
    )
    report.expect(not latched, f"robot: {latched}")
    report.expect(tune.statuses() == [("unknown", "")], f"record: {tune.statuses()}")


@fault(
    23, "database locked", "another program holds the journal's write lock, in a trial and before the next"
)
def database_locked(report: Report, chain: Chain) -> None:
    """Another program locks the journal before a trial is armed, and then while one runs."""
    tune = chain.tune()
    tune.wait_for("RUNNING")
    with locked(tune.run):
        time.sleep(SECONDS + 6.0)  # longer than the walk and the database's own patience
    tune.wait_for("ENDED")
    tune.wait_for("ARMED", trial=2)
    report.expect(tune.steps()[1][-1] in ("ACCEPTED", "SCORED"), f"steps {tune.steps()}")
    tune.wait_for("ACCEPTED", trial=2)
    with locked(tune.run):
        tune.demand_end(report, 1, "locked", patience=40.0)
    report.shows(
        robot="the running trial came to its end; the next was not armed",
        record=f"the row of its end was written once the lock was gone; {len(tune.statuses())} trials asked",
        operator="cannot write the journal: another program keeps it locked",
    )
    report.expect("RUNNING" not in tune.steps().get(3, []), "a trial ran without its row")


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """The journal, locked for writing."""
    connection = sqlite3.connect(run / "journal.sqlite", timeout=30.0, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
    finally:
        connection.rollback()
        connection.close()
