"""What a journal promises about its disk and its format: kept through a power cut, refused where it cannot be read."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import sqlite3
import stat
import threading
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from closed_form_runs import STUDY, as_older

from safebo.errors import InputError, JournalError
from safebo.storage import journal as journal_module
from safebo.storage.database import (
    damaged,
    explain,
    keep_secret,
    readable_errors,
    remove_database,
    sqlite_reader,
    without_secrets,
)
from safebo.storage.journal import SQLITE_FILE, Journal
from safebo.storage.prior_trials import PriorTrials, prior_rows
from safebo.storage.shared import parsed_url, shared_engine, shown_url
from safebo.storage.tables import measurement_columns, metadata, run_from_row, to_json
from safebo.study.reading import parse_study, study_hash
from safebo.types import Measurement, Trial

FILE = parse_study(STUDY)


def create(folder: Path, **more: Any) -> Journal:
    folder.mkdir(parents=True, exist_ok=True)
    return Journal.create(
        folder,
        study=FILE.study,
        declared=FILE.study,
        study_text=FILE.text,
        study_hash=study_hash(FILE.study),
        source="here",
        seed=7,
        trials=20,
        **more,
    )


def trial(number: int) -> Trial:
    return Trial(number, {"p": 2.0, "d": 1.0}, {}, "default", "local", 1000 + number, True)


TOLD = Measurement("completed", 1.0, {"height": 0.5})
PRIOR = PriorTrials("f" * 32, "/elsewhere", "walk", ("seed: 1 -> 2",), prior_rows([(trial(3), TOLD)]))


def change(folder: Path, *statements: str) -> None:
    """Change a journal's file behind its back."""
    with sqlite3.connect(folder / SQLITE_FILE) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def open_files(folder: Path) -> list[str]:
    """Files of a folder that this process holds open."""
    links = [Path(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
    targets = [os.readlink(link) for link in links if link.is_symlink()]
    return [target for target in targets if target.startswith(str(folder))]


# -- on disk before the call returns ---------------------------------------------------------------------


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


# -- the format ------------------------------------------------------------------------------------------


def test_a_version_without_chains_refuses_a_run_that_has_one(tmp_path: Path) -> None:
    """It reads formats 1 and 2 and would write past the chain."""
    for name, prior, older in (("a", None, 1), ("b", PRIOR, 2)):
        create(tmp_path / name, prior=prior).close()
        as_older(tmp_path / name)
        for read_only, expected in ((True, older), (False, 3), (True, 3)):
            Journal.open(tmp_path / name, read_only=read_only).close()
            with sqlite3.connect(tmp_path / name / SQLITE_FILE) as connection:
                assert connection.execute("SELECT format FROM runs").fetchall() == [(expected,)]


@pytest.mark.parametrize("number", [0, 4])
def test_another_format_is_refused(tmp_path: Path, number: int) -> None:
    create(tmp_path).close()
    change(tmp_path, f"UPDATE runs SET format = {number}")
    with pytest.raises(
        JournalError, match=f"written in format {number}, this version reads formats 1, 2 and 3"
    ):
        Journal.open(tmp_path)


SCHEMA = """
runs: run VARCHAR(32) pk, format INTEGER, name TEXT, study_text TEXT, study TEXT, declared TEXT, study_hash VARCHAR(64)
    source TEXT, seed BIGINT, trials INTEGER, workers INTEGER, versions TEXT, created_at VARCHAR(40)
trials: run VARCHAR(32) pk, id INTEGER pk, round INTEGER, status VARCHAR(16), asked_at VARCHAR(40), parameters TEXT
    context TEXT, context_name TEXT, phase VARCHAR(16), seed BIGINT, certified BOOLEAN, predicted TEXT, reason TEXT
    trigger_rule TEXT?, trigger_guarantee BOOLEAN
measurements: run VARCHAR(32) pk, trial INTEGER pk, told_at VARCHAR(40), outcome VARCHAR(16), objective DOUBLE?
    margins TEXT, fell BOOLEAN, backup_time DOUBLE?, backup_state TEXT?, true_objective DOUBLE?, true_margins TEXT?
    telemetry TEXT?, duration DOUBLE, message TEXT, extra TEXT
states: run VARCHAR(32) pk, trial INTEGER pk, rows INTEGER, columns INTEGER, data BLOB
events: id INTEGER pk, run VARCHAR(32), at VARCHAR(40), kind VARCHAR(32), trial INTEGER?, text TEXT, data TEXT
prior_runs: run VARCHAR(32) pk, prior_run VARCHAR(32), source TEXT, study TEXT, differences TEXT, digest VARCHAR(64)
prior_trials: run VARCHAR(32) pk, id INTEGER pk, parameters TEXT, context TEXT, context_name TEXT, phase VARCHAR(16)
    outcome VARCHAR(16), objective DOUBLE?, margins TEXT, fell BOOLEAN
answers: run VARCHAR(32) pk, number INTEGER pk, left INTEGER, right INTEGER, context_name TEXT, repeats INTEGER?
    word VARCHAR(16), by TEXT, at VARCHAR(40)
chain: run VARCHAR(32) pk, number INTEGER pk, key TEXT, digest VARCHAR(64), head VARCHAR(64)
chain_heads: run VARCHAR(32) pk, count INTEGER, head VARCHAR(64)
"""
"""Format 3 as it lies on disks out there: another schema is another format. `?` marks what may be NULL. Runs of before
preferences lack `answers`, and are read."""


def test_the_schema_is_that_of_its_format(tmp_path: Path) -> None:
    create(tmp_path, prior=PRIOR).close()
    expected = {}
    for line in re.sub(r"\n +", ", ", SCHEMA).strip().splitlines():
        name, columns = line.split(": ")
        expected[name] = columns.split(", ")
    found: dict[str, list[str]] = {}
    with sqlite3.connect(tmp_path / SQLITE_FILE) as connection:
        for name in expected:
            for _, column, kind, not_null, _, key in connection.execute(f"PRAGMA table_info({name})"):
                mark = " pk" if key else "" if not_null else "?"
                assert not_null or not key
                found.setdefault(name, []).append(f"{column} {kind}{mark}")
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert found == expected
    assert tables == set(expected)


def test_ids_of_trials_are_the_runs_own(tmp_path: Path) -> None:
    """They are given, never counted by the database, on which server databases insist for keys of integers."""
    for name in ("trials", "measurements", "states", "prior_trials"):
        (column,) = [c for c in metadata.tables[name].primary_key.columns if c.name in ("id", "trial")]
        assert column.autoincrement is False
    create(tmp_path).close()


# -- making, opening, writing ----------------------------------------------------------------------------


def test_what_is_not_said_has_plain_values(tmp_path: Path) -> None:
    with create(tmp_path) as journal:
        assert (journal.run.workers, journal.run.versions, journal.read_only) == (1, {}, False)
        assert journal.run.created_at.tzinfo is not None
        assert abs((datetime.now(UTC) - journal.run.created_at).total_seconds()) < 60.0
        assert journal.prior() is None
    with Journal.open(tmp_path) as again:
        assert not again.read_only
        again.note("note", "written")
        assert again.events()[0].trial is None
    with Journal.open(tmp_path, read_only=True) as reader:
        assert reader.read_only


def test_versions_are_kept(tmp_path: Path) -> None:
    with create(tmp_path, versions={"numpy": "9"}) as journal:
        assert journal.run.versions == {"numpy": "9"}


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


def test_a_changed_number_is_noticed_when_a_journal_is_opened(tmp_path: Path) -> None:
    with create(tmp_path) as journal:
        journal.ask(trial(1), 0)
        journal.tell(1, TOLD)
    change(tmp_path, "UPDATE measurements SET objective = 2.0")
    for read_only in (True, False):
        with pytest.raises(JournalError, match="the journal does not hold what safebo wrote to it"):
            Journal.open(tmp_path, read_only=read_only)


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


def test_a_prior_is_kept_and_its_change_noticed(tmp_path: Path) -> None:
    with create(tmp_path, prior=PRIOR) as journal:
        kept = journal.prior()
        assert kept is not None
        assert (kept, kept.digest) == (PRIOR, PRIOR.digest)
    as_older(tmp_path, "UPDATE prior_trials SET objective = 2.0")
    with Journal.open(tmp_path) as journal:
        with pytest.raises(
            JournalError, match=r"the journal is damaged \(the 1 trials of its prior"
        ) as caught:
            journal.prior()
        assert str(tmp_path / SQLITE_FILE) in str(caught.value)


def test_a_trial_of_a_persons_own_is_recorded_with_its_measurement(tmp_path: Path) -> None:
    with create(tmp_path) as journal:
        journal.enter(trial(4), TOLD, 2)
        (record,) = journal.records()
        assert (record.trial, record.status, record.round) == (trial(4), "told", 2)
        assert record.measurement is not None
        assert record.measurement.margins == TOLD.margins
        assert [(e.kind, e.text, e.trial) for e in journal.events()] == [("entered", "by a person", 4)]


@pytest.mark.parametrize("states", [None, np.zeros((0, 3))])
def test_a_trial_without_visited_states_has_none(tmp_path: Path, states: Any) -> None:
    with create(tmp_path) as journal:
        journal.ask(trial(1), 0)
        journal.tell(1, dataclasses.replace(TOLD, states=states))
        (record,) = journal.records()
        assert record.measurement is not None
        assert record.measurement.states is None


def test_a_vector_of_states_is_one_state(tmp_path: Path) -> None:
    with create(tmp_path) as journal:
        journal.ask(trial(1), 0)
        journal.tell(1, dataclasses.replace(TOLD, states=np.arange(3.0)))
        (record,) = journal.records()
        assert record.measurement is not None
        np.testing.assert_array_equal(record.measurement.states, [[0.0, 1.0, 2.0]])


def test_only_a_trial_that_waits_becomes_unknown_or_is_edited(tmp_path: Path) -> None:
    with create(tmp_path) as journal:
        journal.ask(trial(1), 0)
        journal.tell(1, TOLD)
        journal.mark_unknown(1, "late")
        assert journal.records()[0].status == "told"
        with pytest.raises(JournalError, match="trial 2 cannot be edited"):
            journal.edit(trial(2))


def test_a_file_that_can_no_longer_be_written_is_noticed_before_a_trial_runs(tmp_path: Path) -> None:
    create(tmp_path).close()
    change(
        tmp_path,
        "CREATE TRIGGER refuse BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'a readonly database'); END",
    )
    with pytest.raises(JournalError, match="cannot write the journal: it or its folder is read-only"):
        Journal.open(tmp_path)
    Journal.open(tmp_path, read_only=True).close()


def test_damage_is_noticed_when_a_journal_is_opened(tmp_path: Path) -> None:
    """In pages that opening reads nothing from."""
    with create(tmp_path) as journal:
        for number in range(1, 20):
            journal.ask(trial(number), number)
            states = np.random.default_rng(number).random((50, 9))
            journal.tell(number, dataclasses.replace(TOLD, states=states))
    file = tmp_path / SQLITE_FILE
    content = bytearray(file.read_bytes())
    page = 4096
    with sqlite3.connect(file) as connection:
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'trials'").fetchone()[0]
    content[(root - 1) * page : root * page] = b"\xa5" * page
    file.write_bytes(content)
    for read_only in (True, False):
        with pytest.raises(JournalError, match="the journal is damaged"):
            Journal.open(tmp_path, read_only=read_only)


def test_two_runs_in_one_file_are_damage(tmp_path: Path) -> None:
    create(tmp_path).close()
    change(
        tmp_path,
        "CREATE TEMP TABLE copy AS SELECT * FROM runs",
        "UPDATE copy SET run = 'another'",
        "INSERT INTO runs SELECT * FROM copy",
    )
    with pytest.raises(JournalError, match="it describes 2 runs instead of one"):
        Journal.open(tmp_path)


def test_a_study_of_another_version_is_said_to_be_one(tmp_path: Path) -> None:
    create(tmp_path, versions={"safebo": "0.0.9"}).close()
    as_older(tmp_path, """UPDATE runs SET study = '{"name": 3}'""")
    with pytest.raises(
        JournalError, match=r"cannot read the run's study \(name: .*written by safebo 0\.0\.9"
    ):
        Journal.open(tmp_path)
    with pytest.raises(JournalError, match=r"\(: .*by safebo of another version"):
        run_from_row({"study": "{", "declared": "{}", "versions": "{}"}, "here")


def test_a_shared_journal_is_named_by_its_url_without_password(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    with create(tmp_path / "run", url=url) as journal, pytest.raises(JournalError, match=re.escape(url)):
        journal.tell(5, TOLD)
    assert not (tmp_path / "run" / SQLITE_FILE).exists()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["journal.json"]
    with (
        Journal.open(tmp_path / "run") as journal,
        pytest.raises(JournalError, match=re.escape(url)),
    ):
        journal.tell(5, TOLD)


@pytest.mark.parametrize("text", ["[]", "{", '{"url": "sqlite://"}', '{"run": "a"}', None])
def test_a_pointer_to_nowhere_is_said_to_be_one(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "journal.json"
    if text is None:
        file.mkdir()
    else:
        file.write_text(text)
    with pytest.raises(JournalError, match="does not say where the run's journal is"):
        Journal.open(tmp_path)


def test_a_run_and_its_records_do_not_change(tmp_path: Path) -> None:
    with create(tmp_path) as journal:
        journal.enter(trial(1), TOLD, 0)
        for thing, name in (
            (journal.run, "seed"),
            (journal.records()[0], "status"),
            (journal.events()[0], "kind"),
        ):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(thing, name, None)


def test_what_json_has_no_word_for_is_refused() -> None:
    assert (
        to_json({"a": np.float64(0.1), "b": np.arange(2), "c": _Mapping()})
        == '{"a": 0.1, "b": [0, 1], "c": {"k": 1}}'
    )
    with pytest.raises(TypeError, match="complex cannot be kept in the journal"):
        to_json(1j)


class _Mapping(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        return {"k": 1}[key]

    def __iter__(self) -> Any:
        return iter(["k"])

    def __len__(self) -> int:
        return 1


def test_numbers_of_numpy_become_plain_ones() -> None:
    columns = measurement_columns(
        dataclasses.replace(TOLD, objective=np.float32(0.5), backup_time=np.float64(2.0), fell=np.True_)  # type: ignore[arg-type]
    )
    assert [type(columns[name]) for name in ("objective", "backup_time", "fell", "duration")] == [
        float,
        float,
        bool,
        float,
    ]


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


@pytest.mark.parametrize("lengths", [(2, 3), (3, 2)])
def test_one_margin_to_go_of_another_length_is_enough(tmp_path: Path, lengths: tuple[int, int]) -> None:
    margins = {"height": 0.5, "tilt": 0.1}
    to_go = {name: np.zeros(n) for name, n in zip(margins, lengths, strict=True)}
    wrong = Measurement("completed", 1.0, margins, states=np.zeros((2, 1)), margins_to_go=to_go)
    with create(tmp_path) as journal:
        journal.ask(trial(1), 0)
        with pytest.raises(JournalError, match="one number for each of 2 states"):
            journal.tell(1, wrong)


# -- words for people ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ("database or disk is full", "the disk is full"),
        ("No space left on device", "the disk is full"),
        ("File too large", "the disk is full"),
        ("attempt to write a readonly database", "it or its folder is read-only"),
        ("Read-only file system", "it or its folder is read-only"),
        ("Permission denied", "it or its folder is read-only"),
        ("database is locked", "another program keeps it locked"),
        ("database disk image is malformed", "the journal is damaged"),
        ("file is not a database", "the journal is damaged"),
        ("no such table: runs", "the journal is damaged"),
        ("disk I/O error", "a full or failing disk?"),
        ("something new", "cannot write the journal: something new"),
    ],
)
def test_an_error_says_what_to_do(detail: str, words: str) -> None:
    said = explain("there", "write", detail)
    assert said.startswith("there: ")
    assert words in said
    others = {"is full.", "read-only.", "locked.", "damaged (", "failing disk"}
    assert sum(other in said for other in others) <= 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (sqlite3.OperationalError("database  is\nlocked"), "another program keeps it locked"),
        (
            sa.exc.OperationalError("SELECT", {}, sqlite3.OperationalError("database is locked")),
            "keeps it locked",
        ),
        (sa.exc.NoSuchTableError("runs"), "cannot read the journal: runs"),
        (OSError(13, "Permission denied"), "read-only"),
        (OSError("no number"), "no number"),
        (ValueError("not a date"), r"damaged \(not a date\)"),
        (KeyError("outcome"), r"damaged \('outcome'\)"),
        (zlib.error("incorrect header"), r"damaged \(incorrect header\)"),
        (TypeError("no number"), r"damaged \(no number\)"),
        (AttributeError("no items"), r"damaged \(no items\)"),
    ],
)
def test_every_error_of_a_database_becomes_one_sentence(error: Exception, words: str) -> None:
    with pytest.raises(JournalError, match=words) as caught, readable_errors("there", "read"):
        raise error
    assert str(caught.value).startswith("there: ")
    assert "\n" not in str(caught.value)
    assert damaged("there", "a\n  b").startswith("there: the journal is damaged (a b).")


def test_a_value_of_another_kind_is_our_own_mistake_where_it_is_written() -> None:
    for error in (TypeError("a list"), AttributeError("nothing")):
        with pytest.raises(type(error)), readable_errors("there", "write"):
            raise error


def test_the_longer_of_two_secrets_is_hidden_whole() -> None:
    keep_secret(["sw0rd", "sw0rdfish9"])
    assert without_secrets("sw0rdfish9 and sw0rd") == "*** and ***"


SECRET = "s3cr%2Ft"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@host/db",
        f"postgres://me:{SECRET}@host:5433/db?sslmode=require",
        f"postgresql+psycopg://me@host/db?password={SECRET}",
        f"postgresql://host/db?user=me&PassWord={SECRET}&sslpassword={SECRET}",
        f"mysql+pymysql://me:{SECRET}@host/db",
    ],
)
def test_a_password_is_never_shown_or_kept(url: str) -> None:
    parsed = parsed_url(url)
    whole = parsed.render_as_string(hide_password=False)
    assert "s3cr" in whole
    for text in (shown_url(parsed), explain("here", "read", f"no s3cr/t at {whole}")):
        assert "s3cr" not in text
    assert parsed_url(shown_url(parsed)).host == "host"


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "",
        f"postgresql://me:{SECRET}@host:port/db",
        f"://me:{SECRET}@h?password={SECRET}",
        "a b://",
        "a b://me:s3cr/t@h",
        "postgresql://me:s3cr/t@h:port/db",
    ],
)
def test_what_is_no_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InputError, match="not a database URL") as caught:
        parsed_url(url)
    assert "s3cr" not in str(caught.value)


def test_a_database_without_driver_is_refused() -> None:
    with pytest.raises(InputError, match=r"its driver .* is not installed") as caught:
        shared_engine(parsed_url(f"mysql+pymysql://me:{SECRET}@host/db"))
    assert "s3cr" not in str(caught.value)


def test_a_relative_path_is_kept_absolute_and_reading_makes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    create(tmp_path / "run", url="sqlite:///shared.db").close()
    monkeypatch.chdir("/")
    with Journal.open(tmp_path / "run", read_only=True) as journal:
        assert journal.run.seed == 7
    moved = (tmp_path / "shared.db").rename(tmp_path / "moved.db")
    for read_only in (True, False):
        with pytest.raises(JournalError, match="the run's database is not there"):
            Journal.open(tmp_path / "run", read_only=read_only)
    assert not (tmp_path / "shared.db").exists()
    Journal.open(tmp_path / "run", url=f"sqlite:///{moved}").close()
    Journal.open(tmp_path / "run", read_only=True).close()  # what --journal said is remembered
    create(tmp_path / "other", url="sqlite:////" + str(tmp_path / "other.db").lstrip("/")).close()
    with pytest.raises(JournalError, match="does not hold the run of"):
        Journal.open(tmp_path / "run", url=f"sqlite:///{tmp_path / 'other.db'}")
    with pytest.raises(InputError, match="names no file"):
        create(tmp_path / "memory", url="sqlite://")
    create(tmp_path / "own").close()
    with pytest.raises(InputError, match="leave --journal out"):
        Journal.open(tmp_path / "own", url="sqlite:///x.db")


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
    assert journal_module.SQLITE_FILE == "journal.sqlite"
