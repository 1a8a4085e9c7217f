"""The list of faults that are made with real processes."""

from __future__ import annotations

from functools import partial

from safebo.experiments.robustness.faults.report import Fault
from safebo.experiments.robustness.faults.report import fault as fault_on

SILENT = "baseline gains within 200 ms, standing down within 1 s"
"""What is promised when the tuner falls silent."""

FAULTS: list[Fault] = []
"""Every fault of real processes."""

ALONE = frozenset({35})
"""Faults that bring robot and guardian up themselves."""

fault = partial(fault_on, home=FAULTS)
