"""The print-out: a table of the rooms, then every survivor and every equivalent mutant."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from mutants.equivalents import Equivalent
from mutants.results import Result

LEAST_KILLED = 90.0
"""Per cent of a room's mutants, equivalent ones aside, that its tests must kill."""

MOST_EQUIVALENT = 3.0
"""Per cent of a room's mutants that may be listed as equivalent."""


@dataclass
class RoomCount:
    """A room's results.

    Args:
        room: its name.
        mutants: that there are; more than results when a sample was drawn.
        results: of those that were run.
    """

    room: str
    mutants: int
    killed: list[Result] = field(default_factory=list)
    survived: list[Result] = field(default_factory=list)
    equivalent: list[tuple[Result, Equivalent]] = field(default_factory=list)
    broken: list[Result] = field(default_factory=list)

    @property
    def run(self) -> int:
        """How many were run."""
        return len(self.killed) + len(self.survived) + len(self.equivalent) + len(self.broken)

    @property
    def percentage(self) -> float:
        """Killed, of those that are not equivalent."""
        counted = self.run - len(self.equivalent)
        return 100.0 * len(self.killed) / counted if counted else 0.0

    @property
    def complaint(self) -> str:
        """What is wrong with the room; empty when nothing is."""
        if self.broken:
            return f"{len(self.broken)} mutants whose tests did not run"
        if self.percentage < LEAST_KILLED:
            return f"under {LEAST_KILLED:g} % killed"
        if 100.0 * len(self.equivalent) > MOST_EQUIVALENT * self.run:
            return f"over {MOST_EQUIVALENT:g} % listed as equivalent"
        return ""


def tally(room: str, mutants: int, results: Sequence[Result], entries: Sequence[Equivalent]) -> RoomCount:
    """Sort a room's results."""
    table = RoomCount(room, mutants)
    for result in results:
        entry = next((e for e in entries if e.matches(result)), None)
        if result.outcome == "killed":
            table.killed.append(result)
        elif result.outcome == "broken":
            table.broken.append(result)
        elif entry is not None:
            table.equivalent.append((result, entry))
        else:
            table.survived.append(result)
    return table


def outdated(
    tallies: Sequence[RoomCount], entries: Sequence[Equivalent], modules: Collection[str]
) -> list[Equivalent]:
    """Entries of these modules that match no mutant that survived: the source has changed, or a test kills them."""
    used = [entry for t in tallies for _, entry in t.equivalent]
    return [entry for entry in entries if entry.module in modules and entry not in used]


def lines(
    tallies: Sequence[RoomCount], place: Callable[[str], str], old: Sequence[Equivalent] = ()
) -> list[str]:
    """The whole print-out.

    Args:
        tallies: of the rooms.
        place: the file of a module.
        old: entries of the list of equivalent mutants that are of no use any more.
    """
    out = [f"{'room':<12}{'mutants':>8}{'killed':>8}{'survived':>10}{'equivalent':>12}{'killed %':>10}"]
    for t in tallies:
        out.append(
            f"{t.room:<12}{t.run:>8}{len(t.killed):>8}{len(t.survived):>10}{len(t.equivalent):>12}"
            f"{t.percentage:>10.1f}" + (f"  {t.complaint}" if t.complaint else "")
        )
        if t.run < t.mutants:
            out.append(f"{'':<12}{t.run} of {t.mutants} mutants were run")
    for t in tallies:
        for word, some in (("survivors", t.survived), ("not run", t.broken)):
            if some:
                out += ["", f"{t.room}: {word}"]
            for r in some:
                out += [
                    f"  {place(r.module)}:{r.line} {r.function} {r.by}".rstrip(),
                    f"    - {r.before}",
                    f"    + {r.after}",
                ]
        if t.equivalent:
            out += ["", f"{t.room}: equivalent"]
        for r, entry in t.equivalent:
            out += [
                f"  {place(r.module)}:{r.line} {r.function}: {entry.reason}",
                f"    - {r.before}",
                f"    + {r.after}",
            ]
    for entry in old:
        out.append(f"listed as equivalent, but none survived: {entry.module} {entry.function}: {entry.after}")
    return out
