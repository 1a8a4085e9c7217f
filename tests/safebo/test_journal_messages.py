"""What a journal says of a database in trouble: one sentence, and no password."""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path

import pytest
import sqlalchemy as sa
from journals import create

from safebo.errors import InputError, JournalError
from safebo.storage.database import (
    damaged,
    explain,
    keep_secret,
    readable_errors,
    without_secrets,
)
from safebo.storage.journal import Journal
from safebo.storage.shared import parsed_url, shared_engine, shown_url


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
