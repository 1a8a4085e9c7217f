"""What a journal promises about its disk: kept through a power cut, a full disk, other processes and threads."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from journals import TOLD, change, create, trial

from safebo.errors import JournalError
from safebo.storage import journal as journal_module
from safebo.storage.database import remove_database, sqlite_reader
from safebo.storage.journal import Journal
from safebo.storage.location import SQLITE_FILE
from safebo.storage.tables import metadata


def open_files(folder: Path) -> list[str]:
    """Files of a folder that this process holds open."""
    links = [Path(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
    targets = [os.readlink(link) for link in links if link.is_symlink()]
    return [target for target in targets if target.startswith(str(folder))]


@pytest.mark.parametrize("how", ["created", "opened"])
def test_every_commit_is_on_disk_before_it_returns(tmp_path: Path, how: str) -> None:
    """SQLite syncs its write-ahead log at every commit only with `synchronous` FULL (2) or more."""
    journal = create(tmp_path)
    if how == "opened":
        journal.close()
        journal = Journal.open(tmp_path)
    with journal, journal._engine.connect() as connection:
        kept = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("synchronous", "journal_mode", "foreign_keys")
        }
    assert kept == {"synchronous": 2, "journal_mode": "wal", "foreign_keys": 1}


def test_the_folder_itself_is_synchronised_when_a_journal_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rename that is not synchronised may be lost with the power."""
    synced = []
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), (tmp_path / SQLITE_FILE).exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    create(tmp_path).close()
    assert synced == [(str(tmp_path), True)]
    assert open_files(tmp_path) == []


def test_a_measurement_of_no_trial_is_refused(tmp_path: Path) -> None:
    with create(tmp_path) as journal, pytest.raises(JournalError, match="FOREIGN KEY"):
        journal._write(lambda writer: journal_module._insert_measurement(writer, 9, TOLD))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("shared", [False, True])
def test_a_journal_that_cannot_be_made_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, shared: bool
) -> None:
    run, other = tmp_path / "run", tmp_path / "shared"
    other.mkdir()
    run.mkdir()
    leftover = run / (SQLITE_FILE + ".new")
    url = f"sqlite:///{other / 'shared.db'}" if shared else None
    if shared:
        leftover.write_text("of somebody else")
    make = metadata.create_all

    def fail(engine: sa.Engine) -> None:
        make(engine)
        raise error

    monkeypatch.setattr(metadata, "create_all", fail)
    with pytest.raises((KeyboardInterrupt, JournalError)) as caught:
        create(run, url=url)
    assert isinstance(caught.value, KeyboardInterrupt) or "the disk is full" in str(caught.value)
    assert [path.name for path in run.iterdir()] == ([leftover.name] if shared else [])
    assert open_files(tmp_path) == []


def test_a_journal_that_cannot_be_opened_holds_no_file_open(tmp_path: Path) -> None:
    create(tmp_path).close()
    change(tmp_path, "UPDATE runs SET format = 9")
    with pytest.raises(JournalError, match="format 9") as caught:
        Journal.open(tmp_path)
    assert caught.value.__traceback__ is not None
    assert open_files(tmp_path) == []


def test_a_journal_that_only_reads_cannot_write_past_its_refusal(tmp_path: Path) -> None:
    create(tmp_path).close()
    engine = sqlite_reader(tmp_path / SQLITE_FILE)
    with pytest.raises(sa.exc.OperationalError, match="readonly"), engine.begin() as connection:
        connection.exec_driver_sql("UPDATE runs SET trials = 3")


def small_blocks(monkeypatch: pytest.MonkeyPatch, free: int, block: int = 1024) -> None:
    """A file system that gives room by the kilobyte, or in other blocks, and has so many bytes left."""
    real = os.statvfs

    def said(path: Path) -> os.statvfs_result:
        fields = list(real(path))
        fields[1], fields[4] = block, free // block
        return os.statvfs_result(fields)

    monkeypatch.setattr(os, "statvfs", said)


def test_room_for_the_index_of_the_log_is_taken_where_blocks_are_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite itself takes less of it, and a full disk would end the process with SIGBUS."""
    taken = []
    take = os.posix_fallocate

    def spy(descriptor: int, start: int, length: int) -> None:
        taken.append((os.fstat(descriptor).st_ino, start, length))
        take(descriptor, start, length)

    monkeypatch.setattr(os, "posix_fallocate", spy)
    create(tmp_path / "large").close()
    assert taken == []
    small_blocks(monkeypatch, 2**20)
    with create(tmp_path / "small") as journal:
        journal.ask(trial(1), 0)
        assert taken == [(os.stat(tmp_path / "small" / f"{SQLITE_FILE}-shm").st_ino, 0, 32768)]
    with Journal.open(tmp_path / "small", read_only=True) as reader:
        assert len(reader.records()) == 1


def test_a_full_disk_of_small_blocks_is_said_and_read_where_nothing_is_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(tmp_path).close()
    small_blocks(monkeypatch, 2**15)
    with pytest.raises(JournalError, match="the disk is full"):
        Journal.open(tmp_path)
    with Journal.open(tmp_path, read_only=True) as reader:
        assert reader.records() == []
    (tmp_path / f"{SQLITE_FILE}-wal").write_bytes(b"something")
    with pytest.raises(JournalError, match="the disk is full"):
        Journal.open(tmp_path, read_only=True)


def test_room_is_asked_for_where_blocks_are_small_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice the index is enough; blocks of 4 KiB need none; what is in the log is read where there is room."""
    with create(tmp_path / "run") as journal, monkeypatch.context() as patched:
        journal.ask(trial(1), 0)
        small_blocks(patched, 2 * 32768)
        with Journal.open(tmp_path / "run", read_only=True) as reader:
            assert len(reader.records()) == 1
    with monkeypatch.context() as patched:
        small_blocks(patched, 2 * 32768)
        Journal.open(tmp_path / "run").close()
    small_blocks(monkeypatch, 0, block=4096)
    Journal.open(tmp_path / "run").close()


@pytest.mark.parametrize("small", [False, True])
def test_a_closed_journal_leaves_the_files_of_others_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: bool
) -> None:
    """Its own index is closed with it, once, and no descriptor that it does not have."""
    if small:
        small_blocks(monkeypatch, 2**20)

    def inodes() -> list[int]:
        found = []
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                found.append(os.stat(f"/proc/self/fd/{name}").st_ino)
        return sorted(found)

    before, closed, close = inodes(), [], os.close

    def spy(number: int) -> None:
        closed.append(number)
        close(number)

    monkeypatch.setattr(os, "close", spy)
    journal = create(tmp_path)
    journal.ask(trial(1), 0)
    connection = journal._engine.raw_connection().driver_connection
    index = os.stat(tmp_path / f"{SQLITE_FILE}-shm").st_ino
    assert inodes().count(index) == 1 + small
    closed.clear()
    assert connection is not None
    connection.close()
    connection.close()
    assert len(closed) == small
    journal.close()
    assert inodes() == before


@pytest.mark.parametrize("log", [False, True])
def test_a_reader_without_permission_looks_at_the_log_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: bool
) -> None:
    places = []
    connect = sqlite3.connect
    create(tmp_path).close()
    if log:
        (tmp_path / (SQLITE_FILE + "-shm")).touch()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)

    def spy(place: str, **options: Any) -> sqlite3.Connection:
        places.append(str(place).rpartition("?")[2])
        return connect(tmp_path / SQLITE_FILE)

    monkeypatch.setattr(sqlite3, "connect", spy)
    with sqlite_reader(tmp_path / SQLITE_FILE).connect():
        assert places == ["mode=ro" if log else "immutable=1"]


def test_a_file_that_can_no_longer_be_written_is_noticed_before_a_trial_runs(tmp_path: Path) -> None:
    create(tmp_path).close()
    change(
        tmp_path,
        "CREATE TRIGGER refuse BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'a readonly database'); END",
    )
    with pytest.raises(JournalError, match="cannot write the journal: it or its folder is read-only"):
        Journal.open(tmp_path)
    Journal.open(tmp_path, read_only=True).close()


def test_whoever_finds_a_journal_locked_waits_for_five_seconds(tmp_path: Path) -> None:
    with create(tmp_path) as journal, journal._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 5000
    with sqlite_reader(tmp_path / SQLITE_FILE).connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 5000


def test_any_thread_may_write(tmp_path: Path) -> None:
    with create(tmp_path) as journal:
        thread = threading.Thread(target=journal.ask, args=(trial(1), 0))
        thread.start()
        thread.join()
        assert len(journal.records()) == 1


def test_a_lost_answer_to_a_commit_writes_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that restarts may have committed what it could not say any more."""
    lost = sa.exc.OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with create(tmp_path) as journal:
        journal._patience._seconds = 60.0  # as of a server
        begin, failures = journal._engine.begin, ["before", "after"]

        @contextlib.contextmanager
        def failing() -> Iterator[sa.Connection]:
            how = failures.pop(0) if failures else ""
            if how == "before":
                raise lost
            with begin() as connection:
                yield connection
            if how == "after":
                raise lost

        monkeypatch.setattr(journal._engine, "begin", failing)
        monkeypatch.setattr(journal._engine, "dispose", lambda: None)
        journal.note("note", "once")
        failures[:] = ["after", "before", "before"]
        journal.ask(trial(1), 0)
        assert [event.text for event in journal.events()] == ["once"]
        assert len(journal.records()) == 1
    Journal.open(tmp_path).close()


def test_an_old_database_goes_with_all_its_companions(tmp_path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        (tmp_path / f"a.sqlite{suffix}").touch()
    (tmp_path / "a.sqlite-other").touch()
    remove_database(tmp_path / "a.sqlite")
    remove_database(tmp_path / "a.sqlite")  # none is no error
    assert [path.name for path in tmp_path.iterdir()] == ["a.sqlite-other"]


def test_the_journals_threads_take_turns(tmp_path: Path) -> None:
    with create(tmp_path) as journal:
        held = []
        journal._write(lambda writer: held.append(journal._mutex.locked()))
        assert held == [True]
        assert not journal._mutex.locked()
    assert SQLITE_FILE == "journal.sqlite"
