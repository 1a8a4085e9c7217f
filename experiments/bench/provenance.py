"""What results were made of, with and by, as tables for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from safebo.experiments.bench.results import Results


@dataclass(frozen=True)
class FactTable:
    """A table of facts.

    Args:
        title: of the table.
        columns: their names.
        rows: cells as text.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def fact_tables(results: Results) -> tuple[FactTable, ...]:
    """How the results were asked for, tasks, methods with all their settings, versions and machines."""
    return (
        FactTable("Commands", ("asked for with",), tuple((c,) for c in commands(results))),
        _records("Tasks", results.tasks),
        _records("Methods", results.methods),
        FactTable("Versions", ("package", "version", "runs"), _versions(results.facts)),
        FactTable(
            "Machines",
            ("processor", "system", "cores", "runs", "hours of work", "from", "to"),
            _machines(results.facts),
        ),
    )


def commands(results: Results) -> tuple[str, ...]:
    """The commands that asked for the results."""
    found = []
    for plan in results.plans:
        parts = [
            f"safebo bench run {plan['suite']}",
            f"--methods {','.join(plan['methods'])}",
            f"--seeds {plan['seeds']}",
        ]
        if plan.get("trials") is not None:
            parts.append(f"--trials {plan['trials']}")
        found.append(" ".join([*parts, f"--out {plan['folder']}"]))
    return tuple(found)


def period(facts: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Days of the first and the last run."""
    began = [float(f["began"]) for f in facts]
    return _day(min(began)), _day(max(began))


def _records(title: str, records: Mapping[str, Mapping[str, Any]]) -> FactTable:
    """A table with a column for whatever any record says."""
    columns = list(dict.fromkeys(key for record in records.values() for key in record))
    columns = [
        c for c in columns if any(record.get(c) not in ("", None, False) for record in records.values())
    ]
    rows = tuple(tuple(_text(record.get(c)) for c in columns) for record in records.values())
    return FactTable(title, tuple(columns), rows)


def _text(value: object) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_text(v)}" for k, v in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _versions(facts: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], ...]:
    counted = Counter(
        (name, version) for f in facts for name, version in {"python": f["python"], **f["versions"]}.items()
    )
    return tuple((name, version, str(n)) for (name, version), n in sorted(counted.items()))


def _machines(facts: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], ...]:
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for f in facts:
        machine = f["machine"]
        key = (str(machine["cpu"]), str(machine["system"]), str(machine["cores"]))
        groups.setdefault(key, []).append(f)
    return tuple(
        (*key, str(len(fs)), f"{sum(float(f['seconds']) for f in fs) / 3600:.2f}", *period(fs))
        for key, fs in groups.items()
    )


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
