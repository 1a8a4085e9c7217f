"""Questions that a run puts to people, and the one answer that each gets, in a file beside the journal.

A run owns its journal while it goes on, so a page in another process cannot write there. Run, terminal and page meet
in this file: the run asks, whoever is first answers, and the run notes in its journal what it then does. An answer
names the hash of what was asked about, and every act in a page is kept in the same file.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from safebo.errors import SafeboError
from safebo.storage.database import readable_errors, to_json
from safebo.types import RobotAddress

FILE = "console.sqlite"

QuestionKind = Literal["approve", "judge", "prefer"]

_TABLES = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS questions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, trial INTEGER NOT NULL, hash TEXT NOT NULL,
    card TEXT NOT NULL, asked_at TEXT NOT NULL, open INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE IF NOT EXISTS answers (
    question INTEGER PRIMARY KEY REFERENCES questions(id), answer TEXT NOT NULL, words TEXT NOT NULL,
    by TEXT NOT NULL, at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS acts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS robot (one INTEGER PRIMARY KEY CHECK (one = 1), address TEXT NOT NULL);
COMMIT;
"""


class AnswerRefusedError(SafeboError):
    """An answer that does not count; the message says why and what to do."""


@dataclass(frozen=True)
class Question:
    """What a run waits for.

    Args:
        id: counts up.
        kind: `approve` a trial that is proposed, `judge` one that ran, or say which of two walks to `prefer`.
        trial: its number.
        hash: of what is asked about (`safebo.types.trial_hash`).
        card: what a person has to see, as plain data.
        asked_at: when.
    """

    id: int
    kind: QuestionKind
    trial: int
    hash: str
    card: Mapping[str, Any]
    asked_at: datetime


@dataclass(frozen=True)
class Answer:
    """What somebody said, why, who it was and when."""

    answer: str
    words: str
    by: str
    at: datetime


@dataclass(frozen=True)
class Act:
    """Something that somebody did in a page."""

    at: datetime
    who: str
    what: str


class QuestionFile:
    """The questions of one run. Any number of processes may use it at the same time.

    Args:
        folder: the run's folder, which must exist.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE

    @property
    def there(self) -> bool:
        """Whether anything was ever kept."""
        return self._file.exists()

    # -- the run's side --------------------------------------------------------------------------------

    def ask(self, kind: QuestionKind, trial: int, hash: str, card: Mapping[str, Any]) -> Question:
        """Put a question; any older one is closed.

        Raises:
            JournalError: it cannot be kept.
        """
        now = datetime.now(UTC)
        with self._writing() as base:
            base.execute("UPDATE questions SET open = 0")
            row = (kind, trial, hash, to_json(card), now.isoformat())
            number = base.execute(
                "INSERT INTO questions (kind, trial, hash, card, asked_at) VALUES (?, ?, ?, ?, ?)", row
            ).lastrowid
        assert number is not None
        return Question(number, kind, trial, hash, dict(card), now)

    def close_all(self) -> None:
        """No question is open any more; does not make the file."""
        if self.there:
            with self._writing() as base:
                base.execute("UPDATE questions SET open = 0")

    def take(self, question: Question, valid: float) -> Answer | None:
        """The answer to a question, which is closed by it; None while there is none.

        Args:
            question: as `ask` gave it.
            valid: s for which an answer counts. An older one, given to a run that could not hear it, is removed, and
                the question stays open.
        """
        query = "SELECT answer, words, by, at FROM answers WHERE question = ?"
        with self._reading() as seen:
            if seen is None or seen.execute(query, (question.id,)).fetchone() is None:
                return None
        with self._writing() as base:
            row = base.execute(query, (question.id,)).fetchone()
            answer = Answer(row[0], row[1], row[2], datetime.fromisoformat(row[3]))
            if datetime.now(UTC) - answer.at > timedelta(seconds=valid):
                base.execute("DELETE FROM answers WHERE question = ?", (question.id,))
                what = f"expired: {answer.answer!r} to trial {question.trial} by {answer.by}, {valid:g} s old"
                base.execute("INSERT INTO acts (at, who, what) VALUES (?, 'run', ?)", (_now(), what))
                return None
            base.execute("UPDATE questions SET open = 0 WHERE id = ?", (question.id,))
        return answer

    def keep_robot(self, address: RobotAddress | None) -> None:
        """Where the robot of the run that asks is, for whoever looks at it."""
        fields = ("host", "port", "key", "serial")
        shown = None if address is None else {name: getattr(address, name) for name in fields}
        with self._writing() as base:
            base.execute("INSERT OR REPLACE INTO robot VALUES (1, ?)", (to_json(shown),))

    # -- everybody's -----------------------------------------------------------------------------------

    def answer(self, id: int, hash: str, answer: str, words: str, by: str) -> None:
        """Answer a question.

        Args:
            id: of the question.
            hash: of what whoever answers has seen.
            answer: one of those that the question has.
            words: why.
            by: who.

        Raises:
            AnswerRefusedError: nothing like that is asked any more, or another answer was first.
            JournalError: it cannot be kept.
        """
        with self._writing() as base:
            row = base.execute("SELECT trial, hash, open FROM questions WHERE id = ?", (id,)).fetchone()
            if row is None or not row[2]:
                raise AnswerRefusedError("This is not asked any more. Nothing was done.")
            if row[1] != hash:
                raise AnswerRefusedError(
                    f"What you saw is not what trial {row[0]} proposes now. Look at it again; nothing was done."
                )
            before = base.execute("SELECT answer, by FROM answers WHERE question = ?", (id,)).fetchone()
            if before is not None:
                raise AnswerRefusedError(f"Already answered: {before[0]!r} by {before[1]}. Nothing was done.")
            base.execute("INSERT INTO answers VALUES (?, ?, ?, ?, ?)", (id, answer, words, by, _now()))
            said = f"{answer} trial {row[0]}{f': {words}' if words else ''}"
            base.execute("INSERT INTO acts (at, who, what) VALUES (?, ?, ?)", (_now(), by, said))

    def open_question(self) -> Question | None:
        """What is asked now and not answered."""
        with self._reading() as base:
            if base is None:
                return None
            row = base.execute(
                "SELECT id, kind, trial, hash, card, asked_at FROM questions WHERE open = 1 "
                "AND id NOT IN (SELECT question FROM answers) ORDER BY id DESC LIMIT 1"
            ).fetchone()
        if row is None:
            return None
        number, kind, trial, hash, card, at = row
        return Question(number, kind, trial, hash, json.loads(card), datetime.fromisoformat(at))

    def note(self, who: str, what: str) -> None:
        """Keep what somebody did."""
        with self._writing() as base:
            base.execute("INSERT INTO acts (at, who, what) VALUES (?, ?, ?)", (_now(), who, what))

    def acts(self) -> list[Act]:
        """What was done in pages and answered anywhere, oldest first."""
        with self._reading() as base:
            if base is None:
                return []
            rows = base.execute("SELECT at, who, what FROM acts ORDER BY id").fetchall()
        return [Act(datetime.fromisoformat(at), who, what) for at, who, what in rows]

    def robot(self) -> RobotAddress | None:
        """Where the robot of the run that asks is."""
        with self._reading() as base:
            row = None if base is None else base.execute("SELECT address FROM robot").fetchone()
        kept = None if row is None else json.loads(row[0])
        return None if kept is None else RobotAddress(**kept)

    # -- inner parts -----------------------------------------------------------------------------------

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction that no other writer shares."""
        with (
            readable_errors(str(self._file), "write"),
            closing(sqlite3.connect(self._file, timeout=5.0, isolation_level=None)) as base,
        ):
            base.execute("PRAGMA journal_mode=WAL")
            base.execute("PRAGMA synchronous=FULL")
            if base.execute("SELECT 1 FROM sqlite_master WHERE name = 'robot'").fetchone() is None:
                base.executescript(_TABLES)
            base.execute("BEGIN IMMEDIATE")
            try:
                yield base
            except BaseException:
                base.execute("ROLLBACK")
                raise
            base.execute("COMMIT")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """A connection that writes nothing; None where there is no file."""
        if not self.there:
            yield None
            return
        with (
            readable_errors(str(self._file), "read"),
            closing(sqlite3.connect(self._file, timeout=5.0)) as base,
        ):
            base.execute("PRAGMA query_only=ON")
            made = base.execute("SELECT 1 FROM sqlite_master WHERE name = 'robot'").fetchone()
            yield base if made else None  # whoever makes the file may not have come further yet


def _now() -> str:
    return datetime.now(UTC).isoformat()
