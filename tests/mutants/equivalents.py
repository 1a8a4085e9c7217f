"""Mutants that mean the same as the source: no test can tell them apart. A list with reasons, in `equivalents.yaml`.

An entry is found by module, function and the text of the line, before and after, so that it outlives lines that move.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from mutants.results import Result

FILE = Path(__file__).with_name("equivalents.yaml")


@dataclass(frozen=True)
class Equivalent:
    """One entry: where, which change, and why nobody could notice it."""

    module: str
    function: str
    before: str
    after: str
    reason: str

    def matches(self, result: Result) -> bool:
        """Whether a mutant is this one."""
        mine = (self.module, self.function, self.before, self.after)
        return mine == (result.module, result.function, result.before, result.after)


def read(file: Path = FILE) -> list[Equivalent]:
    """The list.

    Raises:
        ValueError: an entry without a reason or with unknown keys.
    """
    entries = []
    for number, fields in enumerate(yaml.safe_load(file.read_text(encoding="utf-8")) or [], 1):
        try:
            entry = Equivalent(**fields)
        except TypeError as error:
            raise ValueError(f"{file}, entry {number}: {error}") from error
        if not entry.reason:
            raise ValueError(f"{file}, entry {number}: no reason")
        entries.append(entry)
    return entries
