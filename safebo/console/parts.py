"""What the parts of a run's page show, as plain data for its templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from safebo.console.charts import evidence_charts, trial_charts
from safebo.console.reading import RunReader, Snapshot
from safebo.console.resolving import ACCOUNTS, NO_RAW_FILE
from safebo.console.run_view import cell
from safebo.console.trial_table import outcome
from safebo.evaluators.outcome import was_unsafe
from safebo.report.data import finite_margin, objective_of
from safebo.runs.operators import RESOLUTION
from safebo.runs.page_operator import ANSWERS, REASONS
from safebo.storage.questions import Question
from safebo.storage.records import Record
from safebo.storage.trial_log import KIND
from safebo.study import Study
from safebo.study.axis import brief
from safebo.types import OUTCOMES, PHASES, RobotStatus

PAGE = 100
"""Trials on one page of the table."""
AUDIT = 200
"""Newest entries of the audit log on the page."""

RESOLVED = dict(RESOLUTION)

LABELS = {
    "yes": "Run this trial",
    "skip": "Skip it",
    "stop": "End the run",
    "accept": "Accept as measured",
    "contaminated": "Contaminated",
    "unsafe": "It was unsafe",
    "left": "Left is better",
    "right": "Right is better",
    "same": "They look the same",
    "unacceptable": "Neither is acceptable",
}
"""On the buttons."""


PREFERENCE_KEYS = {"left": "ArrowLeft", "right": "ArrowRight", "same": "s", "unacceptable": "u"}
"""With which a question about two walks is answered, as browsers call them."""


@dataclass(frozen=True)
class Filters:
    """Which trials the table shows; empty for all.

    Args:
        phase, context, outcome: as of the trial.
        safe: `unsafe`: a margin below 0 or a fall; `safe`: neither.
    """

    phase: str = ""
    context: str = ""
    outcome: str = ""
    safe: str = ""

    phases: tuple[str, ...] = PHASES
    contexts: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = (*OUTCOMES, "pending")

    def keeps(self, record: Record, study: Study) -> bool:
        """Whether a trial is shown."""
        m = record.measurement
        return (
            self.phase in ("", record.trial.phase)
            and self.context in ("", record.trial.context_name)
            and self.outcome in ("", "pending" if m is None else m.outcome)
            and (self.safe == "" or (m is not None and was_unsafe(m, study) == (self.safe == "unsafe")))
        )


def now_part(
    question: Question | None,
    ticket: str,
    valid: float,
    unknown: int | None = None,
    said: Sequence[str] = tuple(ACCOUNTS),
) -> dict[str, Any]:
    """The card that waits for an answer, or asks what became of a trial whose result is not known.

    Args:
        question: what waits.
        ticket: with which it is answered.
        valid: for how many seconds.
        unknown: the trial.
        said: the accounts that may be given of it.
    """
    answers = [] if question is None else [(a, LABELS[a]) for a in ANSWERS[question.kind]]
    return {
        "question": question,
        "ticket": ticket,
        "valid": f"{valid:g}",
        "answers": answers,
        "reasons": tuple(REASONS),
        "keys": PREFERENCE_KEYS if question is not None and question.kind == "prefer" else {},
        "unknown": unknown,
        "accounts": [(name, text, RESOLVED[name]) for name, text in ACCOUNTS.items() if name in said],
        "not_scored": "" if "completed" in said else NO_RAW_FILE,
    }


def trials_part(seen: Snapshot, filters: Filters, page: int) -> dict[str, Any]:
    """One page of the table of trials, newest first."""
    study = seen.run.study
    kept = [record for record in reversed(seen.records) if filters.keeps(record, study)]
    pages = max(1, -(-len(kept) // PAGE))
    page = min(max(page, 1), pages)
    rows = kept[(page - 1) * PAGE : page * PAGE]
    several = len(study.context.values) > 1
    columns = [("trial", "", True), ("phase", "", False)]
    columns += [("context", "", False)] if several else []
    columns += [(p.name, p.unit, True) for p in study.parameters]
    columns += [(study.objective.name, study.objective.unit, True)]
    columns += [(f"margin {c.name}", c.unit, True) for c in study.constraints]
    columns += [("outcome", "", False), ("why", "", False)]
    shown = f"{len(kept)} of {len(seen.records)} trials"
    return {
        "filters": filters,
        "table": {
            "columns": columns,
            "rows": [_row(record, study, several) for record in rows],
            "page": page,
            "pages": pages,
            "shown": shown if pages == 1 else f"{shown}, page {page} of {pages}, newest first",
        },
    }


def _row(record: Record, study: Study, several: bool) -> dict[str, Any]:
    t = record.trial
    cells = [str(t.id), t.phase, *([t.context_name] if several else [])]
    cells += [brief(t.parameters[p.name], p) if p.name in t.parameters else "" for p in study.parameters]
    cells += [cell(objective_of(record)), *(cell(finite_margin(record, c)) for c in study.constraints)]
    unsafe = record.measurement is not None and was_unsafe(record.measurement, study)
    return {"cells": [*cells, outcome(record), t.reason], "unsafe": unsafe}


def charts_part(seen: Snapshot) -> dict[str, Any]:
    """Charts of every context that was tried, and of the evidence."""
    study = seen.run.study
    tried = dict.fromkeys(r.trial.context_name for r in seen.records)
    return {
        "contexts": [(name, trial_charts(seen.records, study, name)) for name in tried],
        "evidence": evidence_charts(seen.records, study),
    }


def audit_part(seen: Snapshot, reader: RunReader) -> dict[str, Any]:
    """What happened and who did it, newest first: the journal's events and what was done in pages."""
    rows = [
        (e.at, "run", f"{e.data['state'].lower()}{f': {e.text}' if e.text else ''}", e.trial)
        if e.kind == KIND
        else (e.at, "run", f"{e.kind}{f': {e.text}' if e.text else ''}", e.trial)
        for e in seen.events
    ]
    rows += [(act.at, act.who, act.what, None) for act in reader.questions.acts()]
    rows.sort(key=lambda row: row[0], reverse=True)
    return {
        "audit": [
            {"at": f"{at.astimezone():%Y-%m-%d %H:%M:%S}", "who": who, "what": what, "trial": trial}
            for at, who, what, trial in rows[:AUDIT]
        ],
        "audit_more": max(0, len(rows) - AUDIT),
    }


def filters_of(query: Mapping[str, str], study: Study) -> Filters:
    """What was chosen above the table; what cannot be is no filter."""
    plain = Filters(contexts=tuple(study.context.values))
    known: Mapping[str, Sequence[str]] = {
        "phase": plain.phases,
        "context": plain.contexts,
        "outcome": plain.outcomes,
        "safe": ("safe", "unsafe"),
    }
    chosen = {key: query[key] if query.get(key) in allowed else "" for key, allowed in known.items()}
    return replace(plain, **chosen)  # type: ignore[arg-type]


def robot_part(seen: RobotStatus) -> dict[str, Any]:
    """How a robot stands, as the page draws it."""
    rests = "seen at rest" if seen.stopped else f"not at rest: {seen.why_not}" if seen.why_not else "moves"
    late = seen.age > 0.1
    limits = seen.limits
    low = f" (no trial below {limits['battery_low']:g} %)" if "battery_low" in limits else ""
    age = limits.get("state_age")
    facts = [
        ("robot", seen.robot, False),
        ("guardian", f"{seen.state}{f': {seen.message}' if seen.message else ''}", seen.latched),
        ("seen", rests if not seen.stopped else f"at rest; {seen.why_not}", False),
        (
            "states",
            f"newest {seen.age * 1e3:.0f} ms old, {seen.rejected} refused, {seen.missed} missed",
            late,
        ),
        ("late ticks", str(seen.overruns), False),
        ("battery", "unknown" if seen.battery is None else f"{seen.battery} %{low}", False),
        ("hottest motor", "unknown" if seen.hottest is None else f"{seen.hottest} °C", False),
        ("lease", "held by a tuner" if seen.lease else "nobody holds it", False),
        (
            "trial",
            f"{seen.trial or 'none'}{f', {seen.elapsed:.1f} s' if seen.state == 'RUNNING' else ''}",
            False,
        ),
    ]
    return {
        "latched": seen.latched,
        "latch": seen.latch,
        "acknowledged": seen.acknowledged,
        "stopped": seen.stopped,
        "message": seen.message,
        "facts": facts,
        "strips": [
            ("roll", seen.roll, limits.get("tilt"), "rad"),
            ("pitch", seen.pitch, limits.get("tilt"), "rad"),
            ("height", seen.height, limits.get("height"), "m"),
            ("state age", seen.age * 1e3, None if age is None else age * 1e3, "ms"),
        ],
    }
