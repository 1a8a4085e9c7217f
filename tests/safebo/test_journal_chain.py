"""A journal that was changed by anything but safebo is recognised: rows changed, missing or added, and broken pages."""

from __future__ import annotations

import random
import shutil
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest
from closed_form_runs import as_older
from journals import create

from safebo.errors import JournalError
from safebo.storage.journal import Journal
from safebo.storage.location import SQLITE_FILE
from safebo.storage.prior_trials import PriorTrials, prior_rows
from safebo.types import Bounds, Measurement, Trial

TABLES = ("runs", "trials", "measurements", "states", "events", "prior_runs", "prior_trials")


def trial(number: int) -> Trial:
    bounds = {"objective": Bounds(0.0, 0.5, 1.0)}
    return Trial(number, {"p": 2.0, "d": 1.0}, {}, "default", "local", number, True, bounds, "because")


def told(number: int) -> Measurement:
    states = np.arange(6.0).reshape(2, 3) + number
    return Measurement("completed", 0.1 * number, {"height": 0.5}, states=states, message=f"say {number}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a prior, three told trials, one that waits, an unknown one, and events."""
    folder = tmp_path_factory.mktemp("whole")
    prior = PriorTrials("f" * 32, "/elsewhere", "walk", (), prior_rows([(trial(3), told(3))]))
    with create(folder, prior=prior) as journal:
        for number in (1, 2, 3):
            journal.ask(trial(number), number)
            journal.tell(number, told(number))
            journal.note("note", f"after {number}", number, {"x": 1.5})
        journal.ask(trial(4), 4)
        journal.mark_unknown(4, "gone")
        journal.enter(trial(5), told(5), 5)
        journal.set_trials(30)
        journal.ask(trial(6), 6)
        journal.edit(trial(6), "by hand")
    return folder


def read(folder: Path, read_only: bool = True) -> list[object]:
    with Journal.open(folder, read_only=read_only) as journal:
        return [journal.run, [str(r) for r in journal.records()], journal.events(), journal.prior()]


def refusal(folder: Path, read_only: bool = True) -> str:
    """In which sentence a journal is refused; empty where it is read. Any other error is a fault of safebo."""
    text = ""
    try:
        read(folder, read_only)
    except JournalError as error:
        text = str(error)
    assert "\n" not in text
    return text


def edits(folder: Path) -> list[str]:
    """Every row deleted, every column of every row changed to another value, and a row doubled under another key."""
    found = []
    with sqlite3.connect(folder / SQLITE_FILE) as connection:
        for table in (*TABLES, "chain", "chain_heads"):
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            rows = [row[0] for row in connection.execute(f"SELECT rowid FROM {table}")]
            for row in {rows[0], rows[-1]}:
                found.append(f"DELETE FROM {table} WHERE rowid = {row}")
                for value in ("'{'", "-1", "x'ff00'"):
                    found += [
                        f"UPDATE {table} SET {c} = {value} WHERE rowid = {row} AND {c} IS NOT {value}"
                        for c in columns
                    ]
    connection.close()
    return found


def test_a_journal_that_nobody_touched_is_read_and_goes_on(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    assert read(folder) == read(folder, read_only=False)
    with Journal.open(folder) as journal:
        journal.tell(6, told(6))
    assert read(folder)[0] == read(whole)[0]


@pytest.mark.slow
def test_every_changed_or_missing_row_is_recognised(whole: Path, tmp_path: Path) -> None:
    statements = edits(whole)
    statements.append("DELETE FROM chain WHERE number = (SELECT max(number) FROM chain)")
    statements.append(
        "INSERT INTO events (run, at, kind, text, data) SELECT run, at, kind, text, data FROM events LIMIT 1"
    )
    statements += [f"DELETE FROM {table}" for table in TABLES]
    sound = (whole / SQLITE_FILE).read_bytes()
    (tmp_path / SQLITE_FILE).write_bytes(sound)
    for statement in statements:
        (tmp_path / SQLITE_FILE).write_bytes(sound)
        with sqlite3.connect(tmp_path / SQLITE_FILE) as connection:
            try:
                changed = connection.execute(statement).rowcount
            except sqlite3.IntegrityError:
                changed = 0  # SQLite itself forbids it
        connection.close()
        if not changed:
            continue
        text = refusal(tmp_path)
        assert text, statement
        assert str(tmp_path) in text, (statement, text)


def test_a_run_of_an_older_version_is_read_in_sentences(whole: Path, tmp_path: Path) -> None:
    """Without a chain not every change can be seen; none may end in an internal error."""
    folder = tmp_path / "run"
    statements = [statement for statement in edits(whole) if "chain" not in statement]
    for statement in random.Random(0).sample(statements, 25):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        try:
            as_older(folder, statement)
        except sqlite3.Error:
            continue
        refusal(folder)
        refusal(folder, read_only=False)


def test_the_first_opening_for_writing_begins_the_chain_of_an_older_run(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    as_older(folder)
    before = read(folder)
    assert read(folder, read_only=False) == before
    with sqlite3.connect(folder / SQLITE_FILE) as connection:
        connection.execute("DELETE FROM measurements WHERE trial = 5")
    connection.close()
    with pytest.raises(JournalError, match="measurements 5 is missing"):
        read(folder)


def test_damaged_pages_never_end_in_an_internal_error(whole: Path, tmp_path: Path) -> None:
    sound = (whole / SQLITE_FILE).read_bytes()
    rng = random.Random(0)
    folder = tmp_path / "run"
    folder.mkdir()
    for _ in range(30):
        bad = bytearray(sound)
        start, length = rng.randrange(len(bad)), rng.choice([1, 8, 100, 4096])
        bad[start : start + length] = rng.randbytes(len(bad[start : start + length]))
        (folder / SQLITE_FILE).write_bytes(bad)
        for suffix in ("-wal", "-shm"):
            (folder / (SQLITE_FILE + suffix)).unlink(missing_ok=True)
        if not refusal(folder):
            assert read(folder) == read(whole)


def test_a_reader_verifies_one_state_while_a_writer_goes_on(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    done = threading.Event()

    def write() -> None:
        with Journal.open(folder) as journal:
            for i in range(150):
                journal.note("note", f"{i}")
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while not done.is_set():
        read(folder)
        reads += 1
    writer.join()
    assert reads > 1


def test_two_processes_that_write_keep_one_chain(whole: Path, tmp_path: Path) -> None:
    """The robot's side writes its steps beside the loop."""
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    with Journal.open(folder) as one, Journal.open(folder) as two:
        threads = [
            threading.Thread(target=lambda j=j: [j.note("note", str(i)) for i in range(40)])
            for j in (one, two)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with Journal.open(folder, read_only=True) as journal:
        assert sum(event.kind == "note" for event in journal.events()) == 3 + 80
