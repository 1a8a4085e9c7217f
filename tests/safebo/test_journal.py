"""The journal: one contract for every database, and what it does when its disk or file is bad."""

import dataclasses
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import journals
import numpy as np
import pytest
import sqlalchemy as sa
from closed_form_runs import STUDY
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from journals import FILE, trial

from safebo.errors import InputError, JournalError, NotARunError, RunLockedError
from safebo.storage.journal import Journal
from safebo.storage.location import SQLITE_FILE
from safebo.storage.run_lock import run_lock
from safebo.types import OUTCOMES, PHASES, Bounds, Measurement, Trial


def create(folder: Path, url: str | None = None) -> Journal:
    return journals.create(folder, workers=2, versions={"numpy": np.__version__}, url=url)


@pytest.fixture(params=["folder", "shared database"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    url = None if request.param == "folder" else f"sqlite:///{tmp_path / 'shared.db'}"
    if url is not None:  # another run in the same database must not be seen
        other = create(tmp_path / "other", url)
        other.ask(trial(1, seed=5), 0)
        other.tell(1, Measurement("completed", 9.0, {"height": 9.0}, states=np.ones((2, 2))))
        other.note("note", "of the other run")
        other.close()
    with create(tmp_path / "run", url) as made:
        yield made


def plain(value: Any) -> Any:
    fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if fields.get("margins_to_go"):
        fields["margins_to_go"] = {name: list(v) for name, v in fields["margins_to_go"].items()}
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in fields.items()}


def reopened(journal: Journal, tmp_path: Path) -> Journal:
    return Journal.open(tmp_path / "run", read_only=True)


def test_a_run_says_what_it_is(journal: Journal, tmp_path: Path) -> None:
    with reopened(journal, tmp_path) as again:
        assert again.run == journal.run
        assert again.run.study == FILE.study
        assert (again.run.seed, again.run.trials, again.run.workers, again.run.source) == (7, 20, 2, "here")
        assert again.run.study_text == STUDY
        assert again.records() == []
        assert again.events() == []


def test_status_goes_from_asked_to_told(journal: Journal, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        journal.ask(trial(number), round=number // 2)
    journal.tell(2, Measurement("completed", 1.5, {"height": 0.5}))
    journal.mark_unknown(3, "the battery fell out")
    with reopened(journal, tmp_path) as again:
        records = again.records()
        assert [r.status for r in records] == ["asked", "told", "unknown"]
        assert [r.round for r in records] == [0, 1, 1]
        assert records[0].measurement is None
        assert records[0].told_at is None
        assert records[1].told_at is not None
        assert records[1].told_at >= records[1].asked_at
        assert [(e.kind, e.trial, e.text) for e in again.events()] == [("unknown", 3, "the battery fell out")]


def test_a_trial_is_told_once_and_only_when_asked(journal: Journal) -> None:
    journal.ask(trial(1), 0)
    journal.tell(1, Measurement("completed", 1.0, {"height": 1.0}))
    for number in (1, 2):
        with pytest.raises(JournalError, match=f"trial {number} was not waiting"):
            journal.tell(number, Measurement("completed", 2.0, {"height": 2.0}))
    with pytest.raises(JournalError):
        journal.ask(trial(1), 0)
    (record,) = journal.records()
    assert record.measurement is not None
    assert record.measurement.objective == 1.0


def test_an_unknown_trial_may_be_told_by_a_person(journal: Journal) -> None:
    journal.ask(trial(1), 0)
    journal.mark_unknown(1, "?")
    journal.tell(1, Measurement("failed", message="it fell off the table"))
    assert [r.status for r in journal.records()] == ["told"]


def test_an_edit_keeps_both_versions(journal: Journal) -> None:
    journal.ask(trial(1), 0)
    journal.edit(trial(1, parameters={"p": 3.0, "d": 1.0}, certified=False, phase="manual"), "softer")
    (record,) = journal.records()
    assert record.trial.parameters["p"] == 3.0
    assert record.trial.phase == "manual"
    (event,) = journal.events()
    assert (event.kind, event.trial, event.text) == ("edited", 1, "softer")
    assert event.data["before"]["parameters"]["p"] == 2.0
    assert event.data["after"] == {"parameters": {"p": 3.0, "d": 1.0}, "certified": False}
    journal.tell(1, Measurement("completed", 1.0, {"height": 1.0}))
    with pytest.raises(JournalError, match="cannot be edited"):
        journal.edit(trial(1))


def test_the_total_may_change_and_notes_keep_data(journal: Journal, tmp_path: Path) -> None:
    journal.set_trials(44)
    journal.note("signal", "text", trial_id=None, data={"a": np.float64(0.1), "b": [1, 2]})
    with reopened(journal, tmp_path) as again:
        assert again.run.trials == 44
        assert again.events()[0].data == {"a": 0.1, "b": [1, 2]}
        with pytest.raises(JournalError, match="opened for reading only"):
            again.note("x", "y")


def test_readers_see_every_commit_while_the_writer_goes_on(journal: Journal, tmp_path: Path) -> None:
    with reopened(journal, tmp_path) as reader:
        for number in range(1, 6):
            journal.ask(trial(number), number)
            assert len(reader.records()) == number


def test_a_trial_that_is_told_while_it_is_read_is_no_damage(journal: Journal, tmp_path: Path) -> None:
    journal.ask(trial(1), 1)
    told: list[bool] = []

    def tells(connection: Any, cursor: Any, statement: str, *unused: Any) -> None:
        if "FROM measurements" in statement and not told:
            told.append(True)
            journal.tell(1, Measurement("completed", 1.0, {"height": 1.0}))

    with reopened(journal, tmp_path) as reader:
        sa.event.listen(reader._engine, "before_cursor_execute", tells)
        assert [r.status for r in reader.records()] == ["asked"]
        assert [r.status for r in reader.records()] == ["told"]


finite = st.floats(allow_nan=False, allow_infinity=False)
names = st.text(min_size=1, max_size=8)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_read_is_what_was_written_to_the_last_bit(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    number = data.draw(st.integers(1, 10**6))
    asked = Trial(
        id=number,
        parameters=data.draw(st.dictionaries(names, finite, max_size=4)),
        context=data.draw(st.dictionaries(names, finite, max_size=4)),
        context_name=data.draw(names),
        phase=data.draw(st.sampled_from(PHASES)),
        seed=data.draw(st.integers(0, 2**32 - 1)),
        certified=data.draw(st.booleans()),
        predicted=data.draw(
            st.dictionaries(names, st.builds(Bounds, *[st.floats(allow_nan=False)] * 3), max_size=3)
        ),
        reason=data.draw(st.text(max_size=20)),
        trigger_rule=data.draw(st.none() | names),
        trigger_guarantee=data.draw(st.booleans()),
    )
    shape = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 4)))
    values = data.draw(st.lists(finite, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))
    margins = data.draw(st.dictionaries(names, finite, max_size=4))
    row = st.lists(finite, min_size=shape[0], max_size=shape[0]).map(np.array)
    to_go = data.draw(st.none() | st.fixed_dictionaries(dict.fromkeys(reversed(margins), row)))
    told = Measurement(
        outcome=data.draw(st.sampled_from(OUTCOMES)),
        objective=data.draw(st.none() | finite),
        margins=margins,
        fell=data.draw(st.booleans()),
        states=np.array(values).reshape(shape),
        margins_to_go=to_go or None,
        backup_time=data.draw(st.none() | finite),
        backup_state=data.draw(st.none() | st.lists(finite, min_size=1, max_size=4).map(np.array)),
        true_objective=data.draw(st.none() | finite),
        true_margins=data.draw(st.none() | st.dictionaries(names, finite, max_size=4)),
        telemetry=data.draw(st.none() | names),
        duration=data.draw(finite),
        message=data.draw(st.text(max_size=30)),
        extra=data.draw(st.dictionaries(names, finite, max_size=4)),
    )
    with create(tmp_path_factory.mktemp("journal")) as journal:
        journal.ask(asked, 0)
        journal.tell(number, told)
        (record,) = journal.records()
        assert record.trial == asked
        assert list(record.trial.parameters) == list(asked.parameters)
        assert record.measurement is not None
        assert plain(record.measurement) == plain(told)
        assert record.measurement.states is not None
        assert record.measurement.states.dtype == np.float64
        assert record.measurement.states.flags.writeable
        (light,) = journal.records(states=False)
        assert light.measurement is not None
        assert light.measurement.states is None
        assert light.measurement.margins_to_go is None


@pytest.mark.parametrize("to_go", [{"height": [1.0]}, {"width": [1.0, 2.0]}, {}])
def test_margins_to_go_that_do_not_fit_are_not_kept(journal: Journal, to_go: dict[str, list[float]]) -> None:
    wrong = Measurement(
        "completed",
        1.0,
        {"height": 1.0},
        states=np.zeros((2, 1)),
        margins_to_go={name: np.array(values) for name, values in to_go.items()},
    )
    journal.ask(trial(1), 0)
    with pytest.raises(JournalError, match="one number for each of 2 states"):
        journal.tell(1, wrong)


def test_folders_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(NotARunError, match="no such folder"):
        Journal.open(tmp_path / "gone")
    with pytest.raises(NotARunError, match="holds no run"):
        Journal.open(tmp_path)
    (tmp_path / "journal.json").write_text("{}")
    with pytest.raises(JournalError, match="does not say where"):
        Journal.open(tmp_path)
    with pytest.raises(InputError, match="not a database URL"):
        create(tmp_path / "a", "nonsense")


def test_a_folder_holds_one_run(tmp_path: Path) -> None:
    create(tmp_path).close()
    with pytest.raises(JournalError, match="already holds a run"):
        create(tmp_path)


@pytest.mark.parametrize("where", ["head", "middle", "everything"])
def test_a_damaged_file_is_said_to_be_damaged_and_left_alone(tmp_path: Path, where: str) -> None:
    with create(tmp_path) as journal:
        for number in range(1, 40):
            journal.ask(trial(number), number)
            journal.tell(
                number,
                Measurement(
                    "completed", 1.0, {"height": 1.0}, states=np.random.default_rng(0).random((50, 9))
                ),
            )
    file = tmp_path / SQLITE_FILE
    content = bytearray(file.read_bytes())
    if where == "head":
        content[:64] = b"\x00" * 64
    elif where == "middle":
        content[4096 : len(content) // 2] = b"\xa5" * (len(content) // 2 - 4096)
    else:
        content = bytearray(b"this is no database")
    file.write_bytes(content)
    for read_only in (True, False):
        with pytest.raises(JournalError, match="damaged") as caught:
            Journal.open(tmp_path, read_only=read_only).records()
        assert str(file) in str(caught.value)
    assert file.read_bytes() == content


def test_a_run_in_a_read_only_folder_can_be_read_and_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with create(tmp_path) as journal:
        journal.ask(trial(1), 0)
    # The tests may run as root, who may write anywhere; what the system would answer is given here.
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with Journal.open(tmp_path, read_only=True) as reader:
        assert len(reader.records()) == 1
    assert not (tmp_path / (SQLITE_FILE + "-wal")).exists()


def test_a_journal_is_read_where_there_is_no_room_for_the_index_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with create(tmp_path) as journal:
        journal.ask(trial(1), 0)

    class FullDisk(sqlite3.Connection):
        """A full disk needs privileges to be made; this is what SQLite answers on one."""

        def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
            if sql == "PRAGMA query_only=ON":
                return super().execute(sql)
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
            raise error

    connect = sqlite3.connect

    def on_a_full_disk(place: str, **options: Any) -> sqlite3.Connection:
        if "immutable=1" not in str(place):
            options["factory"] = FullDisk
        return connect(place, **options)

    monkeypatch.setattr(sqlite3, "connect", on_a_full_disk)
    with Journal.open(tmp_path, read_only=True) as reader:
        assert len(reader.records()) == 1
    # With something in the log the file alone is not the whole record.
    (tmp_path / (SQLITE_FILE + "-wal")).write_bytes(b"told, and not yet in the file")
    with pytest.raises(JournalError, match="full or failing disk"):
        Journal.open(tmp_path, read_only=True)


def test_a_full_disk_keeps_what_was_told_and_says_so(tmp_path: Path) -> None:
    with create(tmp_path) as journal:
        with journal._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 30")
        done = 0

        def go_on() -> None:
            nonlocal done
            for number in range(1, 1000):
                journal.ask(trial(number), number)
                states = np.random.default_rng(number).random((100, 20))
                journal.tell(number, Measurement("completed", 1.0, {"height": 1.0}, states=states))
                done = number

        with pytest.raises(JournalError, match=r"the disk is full.*Every trial told before this is kept"):
            go_on()
        assert done > 0
    with Journal.open(tmp_path, read_only=True) as again:
        told = [r for r in again.records() if r.status == "told"]
        assert [r.trial.id for r in told] == list(range(1, done + 1))


def test_a_journal_killed_while_it_is_made_leaves_no_run(tmp_path: Path) -> None:
    (tmp_path / (SQLITE_FILE + ".new")).write_bytes(b"half a file")
    assert not Journal.exists(tmp_path)
    create(tmp_path).close()
    assert Journal.open(tmp_path, read_only=True).records() == []


def test_a_second_writer_is_told_who_the_first_is(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from safebo.storage.run_lock import run_lock\n"
        "with run_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        refused = pytest.raises(RunLockedError, match=rf"process {holder.pid} on \S+ since 20")
        with refused, run_lock(tmp_path):
            pass
    finally:
        holder.kill()
        holder.wait()
    refused = pytest.raises(RunLockedError, match=f"process {os.getpid()}")
    with run_lock(tmp_path), refused, run_lock(tmp_path):
        pass
    with run_lock(tmp_path):
        pass
