"""One trial of one run as a row of a table, and the table's columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import pyarrow as pa

NAN = math.nan


@dataclass(frozen=True)
class ResultRow:
    """What one trial of one run showed.

    "True" is without noise: as the task's functions say, or as the evaluator knows it. Margins are safe when >= 0, in
    the constraint's own unit.

    Args:
        trial: counts from 1.
        context: name; empty for a task without contexts.
        phase: `seed`, `local`, `global`; `local` for methods that know no phases.
        x: what was tried, in the task's own units.
        certified: whether the method itself called the trial certified.
        objective: measured; NaN where the trial has none.
        margin: smallest measured margin; NaN where the trial has none.
        true_objective, true_margin: the truth of the same.
        violated: whether the true margin is below 0.
        fell: whether a robot fell.
        backup: whether a backup took over.
        regret: by how much the true objective of the method's answer after the trial falls short of the best safe one;
            NaN where it certifies nothing, or was not looked at after this trial.
        answer_safe: whether that answer is truly safe; None where there is none.
        tried_regret: the same of the best truly safe input tried so far.
        optimum: true objective of the best safe input of this context, or the best value known: the one that the
            regrets are measured from.
        start: true objective of the best truly safe input that was measured before the first trial.
        risk: largest probability with which a certified trial violates a constraint, as the beta told to the method has
            it; NaN where the task does not say.
        safe_share: certified and reachable inputs over reachable ones; NaN where that is not known.
        false_share: certified inputs that are truly unsafe, over all certified ones; likewise.
        ask_seconds: of the proposal. evaluation_seconds: of the trial.
    """

    trial: int
    context: str = ""
    phase: str = "local"
    x: Sequence[float] = field(default_factory=list)
    certified: bool = False
    objective: float = NAN
    margin: float = NAN
    true_objective: float = NAN
    true_margin: float = NAN
    violated: bool = False
    fell: bool = False
    backup: bool = False
    regret: float = NAN
    answer_safe: bool | None = None
    tried_regret: float = NAN
    optimum: float = NAN
    start: float = NAN
    risk: float = NAN
    safe_share: float = NAN
    false_share: float = NAN
    ask_seconds: float = NAN
    evaluation_seconds: float = NAN


KEY = ("task", "method", "seed", "trial")
"""Columns that name a row."""

OF_THE_MACHINE = ("ask_seconds", "evaluation_seconds", "peak_memory_mb", "worker", "machine")
"""Columns that differ from one execution to the next; all others are the same whoever runs it."""

_TYPES: dict[str, Any] = {
    "int": pa.int32(),
    "str": pa.string(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "bool | None": pa.bool_(),
    "Sequence[float]": pa.list_(pa.float64()),
}

SCHEMA = pa.schema(
    [
        ("task", pa.string()),
        ("method", pa.string()),
        ("seed", pa.int32()),
        *[(f.name, _TYPES[str(f.type)]) for f in fields(ResultRow)],
        ("peak_memory_mb", pa.float64()),
        ("worker", pa.string()),
        ("machine", pa.string()),
    ]
)
"""Columns of a result."""


def table(
    rows: Sequence[ResultRow], task: str, method: str, seed: int, worker: str, machine: str, memory: float
) -> pa.Table:
    """The rows of one run as a table with `SCHEMA`."""
    common = {
        "task": task,
        "method": method,
        "seed": seed,
        "peak_memory_mb": memory,
        "worker": worker,
        "machine": machine,
    }
    return pa.Table.from_pylist([{**common, **asdict(row)} for row in rows], schema=SCHEMA)


def comparable(results: pa.Table) -> pa.Table:
    """Results sorted by `KEY`, without what belongs to the machine."""
    kept = results.drop_columns([name for name in OF_THE_MACHINE if name in results.column_names])
    return kept.sort_by([(name, "ascending") for name in KEY])
