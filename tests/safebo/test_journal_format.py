"""A journal's format: refused where it is another's, and damage that is noticed when it is opened."""

from __future__ import annotations

import dataclasses
import re
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from closed_form_runs import as_older
from journals import PRIOR, TOLD, change, create, trial

from safebo.errors import JournalError
from safebo.storage.journal import Journal
from safebo.storage.location import SQLITE_FILE
from safebo.storage.run_rows import run_from_row
from safebo.storage.tables import metadata


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


def test_a_changed_number_is_noticed_when_a_journal_is_opened(tmp_path: Path) -> None:
    with create(tmp_path) as journal:
        journal.ask(trial(1), 0)
        journal.tell(1, TOLD)
    change(tmp_path, "UPDATE measurements SET objective = 2.0")
    for read_only in (True, False):
        with pytest.raises(JournalError, match="the journal does not hold what safebo wrote to it"):
            Journal.open(tmp_path, read_only=read_only)


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
