"""Trials whose result is not known: which one a page asks about, and what a person says of it."""

from __future__ import annotations

from pathlib import Path

from safebo.console.access import RefusedError
from safebo.console.reading import RunReader
from safebo.errors import InputError
from safebo.text.printable import one_line

ACCOUNTS = {
    "fell": "It fell",
    "unsafe": "It was not safe",
    "failed": "It says nothing of its gains",
    "completed": "It walked to its end",
}
"""What may be said, and a button's words. Meanings: `safebo.runs.operators.RESOLUTION`."""

NO_RAW_FILE = "no raw file of its whole walk was kept, so only a person's account counts"
"""Why nobody can say here that a trial walked to its end."""


def unknown_trial(reader: RunReader) -> int | None:
    """The first trial that nobody knows the end of; None without one, and while a process works on the run, which asks
    at its terminal.
    """
    if reader.running():
        return None
    return next((r.trial.id for r in reader.snapshot().records if r.status == "unknown"), None)


def may_be_said(reader: RunReader, trial: int | None) -> tuple[str, ...]:
    """The accounts that the page offers, as the terminal does: `completed` only where a raw file shows the walk."""
    from safebo.runs.verdicts import raw_record

    kept = trial is not None and bool(raw_record(reader.snapshot().events, trial))
    return tuple(name for name in ACCOUNTS if kept or name != "completed")


def resolve(reader: RunReader, trial: int, account: str, words: str, by: str) -> str:
    """Record what became of a trial; what was done, for people.

    Args:
        reader: of the run.
        trial: its number, as the page showed it.
        account: one of `ACCOUNTS`.
        words: what was seen; needed.
        by: who says so.

    Raises:
        RefusedError: an account that there is not, or no reason. InputError: that is not asked any more, or the trial
            cannot be scored. RunLockedError: a process works on the run.
    """
    from safebo.runs.manual import resolve_trial
    from safebo.runs.operators import Account

    if account not in ACCOUNTS:
        raise RefusedError(f"This may be said: {', '.join(ACCOUNTS)}.", 422)
    if not words.strip():
        raise RefusedError("Please say what you saw. Nothing was done.", 422)
    if trial != unknown_trial(reader):
        raise InputError("This is not asked any more, or a process works on the run. Nothing was done.")
    if account not in may_be_said(reader, trial):
        raise InputError(f"Trial {trial} cannot be scored: {NO_RAW_FILE}. Nothing was done.")
    told = resolve_trial(Path(reader.folder), trial, Account(account, f"{one_line(words.strip())} ({by})"))  # type: ignore[arg-type]
    if told is None:
        return f"Trial {trial} is scored from its raw file, and judged, when the run goes on with --resume."
    return f"Trial {trial} is recorded as {told.outcome}{' (it fell)' if told.fell else ''}."
