"""Faults that only real processes can have: killed, frozen, interrupted, without disk, without database.

    python -m safebo.experiments.robustness.faults [NUMBER ...] --processes

A virtual Go2, its guardian and `safebo tune --robot --approve-all` run as a user runs them. Each fault is injected
while the robot walks, and then it is looked at what the robot did (the guardian's event log, with times), what the
record says (the journal), and what the operator saw (what `tune` printed).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from safebo.experiments.robustness.faults.report import Report
from safebo.experiments.robustness.process_faults import guardian, others, record, tuner
from safebo.experiments.robustness.process_faults.chain import Chain, StepMissedError, Tune, signalled
from safebo.experiments.robustness.process_faults.registry import ALONE, FAULTS, fault
from safebo.study.reading import load_study

HOMES = (tuner, record, guardian, others)
"""Where they are defined."""

__all__ = ["ALONE", "FAULTS", "HOMES", "Chain", "StepMissedError", "Tune", "fault", "run", "signalled"]


def run(numbers: Sequence[int], domain: int) -> Iterator[Report]:
    """Every fault with one of these numbers, one after another: on one robot and one guardian, or on their own."""
    load_study("go2-trot")
    wanted = sorted((made for made in FAULTS if made.number in numbers), key=lambda made: made.number)
    with tempfile.TemporaryDirectory() as folder:
        together = [made for made in wanted if made.number not in ALONE]
        if together:
            chain = Chain(Path(folder) / "together", domain)
            with chain.up():
                for made in together:
                    yield made.report(chain)
        for made in wanted:
            if made.number in ALONE:
                yield made.report(Chain(Path(folder) / str(made.number), domain))
