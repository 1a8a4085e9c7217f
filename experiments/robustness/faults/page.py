"""The table of faults for the documentation."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from safebo.experiments.robustness.faults.report import Report

HEAD = """# Faults, and what happens then

Each row is a fault that was made, and what was found then: on the robot, in the record, and at the operator's terminal.
`python -m safebo.experiments.robustness.faults --processes --page docs/faults.md` makes all of them and writes
this page; where something is not as promised, it says so here and ends with exit code 1. The test suite makes them too.

Rows marked **L** run in lock-step: guardian, link, evaluator and journal are the real ones, in one process, on a clock
that ticks 2 ms at a time. So their times are exact, and the same in every run; they count from the moment at which the
limit is crossed, or from the last sign of life. Faults of the robot's states and body are made on a virtual Go1 behind
its wire protocol, with the real controller. Rows marked **P** are real processes and signals in real time: a virtual
Go2, `safebo-guardian` and `safebo tune`; their times were measured once, on a machine with two cores, and vary.

The responses, by severity: *baseline gains* is HOLD (brake, stand, keep balance), *stands down* is SIT, *joint damping*
is DAMP. Each is latched: nothing moves before a person has cleared it in two steps (`safebo robot clear`). All of this
is software on a computer. It is not an emergency stop.

| # | | fault, and how it is made | response of the robot | time to respond | the record | the operator sees |
|---|---|---|---|---|---|---|
"""

TAIL = """
Fault 18 where a controller of one's own takes its gains one by one, and fault 27 where it runs in a process of its own,
are made in `tests/hardware/test_adapter_gains.py`: every k-th write lost or refused ends in baseline gains that were
read back, or in joint damping; a controller that is silent is damped in the third tick.

What none of this shows: a physical robot's own watchdog when commands stop, its firmware, its network over the air, and
the mechanics of a real fall. The virtual robots' watchdog (20 ms without a command: joint damping) is our assumption.
"""

_ROW = re.compile(r"^\| (\d+) \| ([LP]) \| .*$", re.MULTILINE)


def time_of(report: Report) -> str:
    """Measured and promised time."""
    if math.isnan(report.seconds):
        return ""
    # a command in the very tick that crosses a limit goes out within that tick's 2 ms
    took = f"{1e3 * report.seconds:.0f} ms" if report.seconds >= 5e-4 else "same tick (2 ms)"
    return f"{took}; promised: {report.promise}"


def row(report: Report, kind: str) -> str:
    """One line of the table."""
    cells = [
        str(report.number),
        kind,
        f"**{report.name}**: {report.injection}",
        report.robot if not report.wrong else f"**NOT AS PROMISED:** {'; '.join(report.wrong)}",
        time_of(report),
        report.record,
        report.operator,
    ]
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


def page(lock_step: Sequence[Report], processes: Sequence[Report], before: str = "") -> str:
    """The whole page.

    Args:
        lock_step: faults that were made in lock-step.
        processes: faults of real processes.
        before: the page as it is; its rows of other faults and kinds than these stay.
    """
    made = [(r.number, "L", row(r, "L")) for r in lock_step] + [
        (r.number, "P", row(r, "P")) for r in processes
    ]
    new = {item[:2] for item in made}
    kept = [(int(m[1]), m[2], m[0]) for m in _ROW.finditer(before) if (int(m[1]), m[2]) not in new]
    lines = [line for _, _, line in sorted([*kept, *made], key=lambda item: item[:2])]
    return HEAD + "\n".join(lines) + "\n" + TAIL
