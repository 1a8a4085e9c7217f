"""The one reader of files that people hand over: what it takes, what it refuses, and in which words."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from safebo.errors import FileError, InputError, OtherFileError
from safebo.evaluators.source import EvaluatorSource
from safebo.files.problems import problem_lines, shown
from safebo.files.reading import MAX_BYTES, parse, read_file, read_text, usable_path
from safebo.files.writing import check_place, draft_of, remove_draft, write_whole
from safebo.study.reading import load_study

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)
DATA = st.recursive(
    SCALARS, lambda d: st.lists(d, max_size=3) | st.dictionaries(st.text(max_size=9), d, max_size=3)
)


@given(DATA)
def test_what_is_written_is_read(data: object) -> None:
    text = yaml.safe_dump(data, sort_keys=False)
    assert parse(text, "f").data == yaml.safe_load(text) == data


def test_lines_are_those_of_the_keys_and_an_alias_stands_for_what_it_names() -> None:
    document = parse("a: &x\n  b: [1,\n    2]\nc: *x\n", "f")
    assert document.data == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}}
    assert document.lines[("a", "b")] == 2
    assert document.lines[("a", "b", 1)] == 3
    assert document.lines[("c",)] == 4
    assert not document.problems


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: {kp: 3,5}", "f:1: a.kp: a comma separates entries, so 3,5 is two: write a decimal point, 3.5"),
        ("a: !!python/name:os.system", "f:1: a: tags are not read: !!python/name:os.system"),
        ("a: &b 1\n<<: {c: 2}", "f:2: <<: merge keys are not read"),
        ("a: *b", "f:1: a: *b stands for nothing"),
        ("a: 1\nb: 2\na: 3", "f:3: a: the key is there twice (lines 1 and 3)"),
        ("a: [1, .nan]", "f:1: a[1]: must be a finite number, not .nan"),
        ("a: " + "9" * 5000, "f:1: a: must be a finite number, not 9999"),
        ('"' + "k" * 201 + '": 1', "a key has at most 200 characters"),
    ],
)
def test_what_is_wrong_inside_is_told_with_line_and_key(text: str, words: str) -> None:
    document = parse(text, "f")
    assert words in "\n".join(problem_lines("f", document.lines, document.problems))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: " + "[" * 51 + "]" * 51, "f:1: mappings and lists are nested more than 50 deep"),
        ("a: 1\n---\nb: 2", "f:2: a second document begins here"),
        ("a: [" + "1," * 250_001 + "]", "more than 250,000 values"),
        (
            "a: &a [" + "1," * 200 + "]\nb: [" + "*a," * 60 + "]",
            "f:2: the aliases of the file stand for more than",
        ),
        ("a: b: c", "f:1: is not valid YAML"),
        ("a: 1\nb: \x1b", "f:2: is not valid YAML: the character U+001B"),
    ],
)
def test_too_much_of_anything_is_refused(text: str, words: str) -> None:
    with pytest.raises(FileError) as error:
        parse(text, "f")
    assert words in str(error.value)
    assert len(str(error.value)) < 300


def test_only_files_are_read_and_nothing_waits(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"")
    os.truncate(tmp_path / "large", MAX_BYTES + 1)
    (tmp_path / "utf-16").write_bytes("a: 1".encode("utf-16"))
    (tmp_path / "latin").write_bytes(b"a: 1\nb: \xfc\n")
    for name, words in {
        "pipe": "is a pipe or device",
        "/dev/zero": "is a pipe or device",
        "large": "at most 10 MB",
        "utf-16": "looks like UTF-16",
        "latin": "latin:2: is not a text file in UTF-8 (byte 0xfc)",
        ".": "is a folder",
        "gone": "gone: no such file",
        "a\0b": "cannot be read",
        "x" * 5000: "File name too long",
    }.items():
        with pytest.raises(FileError) as error:
            read_text(tmp_path / name)
        assert words in str(error.value)
    (tmp_path / "windows").write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert read_file(tmp_path / "windows") == {"a": 1, "b": 2}
    with pytest.raises(FileError, match="no usable path"):
        usable_path(Path("x" * 5000))


def test_many_problems_are_counted_and_few_are_told(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("".join(f"k{i}: .nan\n" for i in range(2000)))
    with pytest.raises(FileError) as error:
        read_file(tmp_path / "f")
    *told, last = str(error.value).splitlines()
    assert told[0].endswith("f:1: k0: must be a finite number, not .nan")
    assert last == f"and {2000 - len(told):,} more"
    assert len(str(error.value)) < 2000


def test_long_values_are_shortened() -> None:
    assert shown("x" * 1000) == "'" + "x" * 79 + "... (1,002 characters)"
    values: list[object] = [None, True, {}, [], "a"]
    assert [shown(value) for value in values] == ["nothing", "true", "a mapping", "a list", "'a'"]


def test_files_that_a_study_names_lie_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever folder a command is started in; a robot is still found by its name."""
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "arm.py").write_text(
        "class Arm:\n"
        "    path_options = ('table',)\n"
        "    def __init__(self, options):\n"
        "        self.options = options\n"
        "    def info(self): ...\n"
        "    def evaluate(self, trial, monitor=None): ...\n"
    )
    (tmp_path / "study" / "table.csv").write_text("")
    (tmp_path / "study" / "study.yaml").write_text(
        "name: n\nevaluator: {name: 'arm:Arm', options: {table: table.csv, other: table.csv}}\n"
        "parameters: [{name: p, bounds: [0, 1]}]\nobjective: {name: o}\nconstraints: [{name: c}]\n"
        "seeds: [{parameters: {p: 0}}]\n"
    )
    monkeypatch.chdir(tmp_path)
    made = EvaluatorSource.of_file(load_study(Path("study/study.yaml"))).make()
    assert made.options == {"table": str(tmp_path / "study" / "table.csv"), "other": "table.csv"}  # type: ignore[attr-defined]


# -- writing -----------------------------------------------------------------------------------------------

WRITER = """\
import itertools, pathlib, sys
from safebo.files.writing import write_whole
for number in itertools.count():
    write_whole(pathlib.Path(sys.argv[1]), (sys.argv[2] + str(number % 10)) * 200_000)
    if number == 1:
        print("ready", flush=True)
"""


def test_a_file_of_two_writers_is_whole_whenever_they_are_killed(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for delay in (0.0, 0.007, 0.031):
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(file), letter], stdout=subprocess.PIPE)
            for letter in "ab"
        ]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
        time.sleep(delay)
        for writer in writers:
            text = file.read_text()
            assert (len(text), text) == (400_000, text[:2] * 200_000)
            writer.send_signal(signal.SIGKILL)
            writer.communicate()
        text = file.read_text()
        assert (len(text), text) == (400_000, text[:2] * 200_000)
    draft_of(file).write_text("left by one that was killed")
    write_whole(file, "new")
    assert file.read_text() == "new"
    assert os.listdir(tmp_path) == ["file"]


def test_a_draft_is_removed_unless_it_is_being_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    remove_draft(file)
    draft_of(file).write_text("left")
    with draft_of(file).open() as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        remove_draft(file)
        assert draft_of(file).exists()
    remove_draft(file)
    assert os.listdir(tmp_path) == []


def test_a_file_that_cannot_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, other = tmp_path / "file", tmp_path / "other"
    file.write_text("old")
    other.write_text("of somebody else")
    draft_of(file).symlink_to(other)
    with pytest.raises(OSError, match="symbolic links"):
        write_whole(file, "new")
    draft_of(file).unlink()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(file, "new")
    assert (file.read_text(), other.read_text()) == ("old", "of somebody else")
    assert sorted(os.listdir(tmp_path)) == ["file", "other"]


def test_where_a_result_is_to_be_written_is_looked_at_before_it_is_computed(tmp_path: Path) -> None:
    file = tmp_path / "gap.yaml"
    check_place(file, "a mark", "--out")
    assert not file.exists()
    file.write_text("# a mark\n")
    check_place(file, "a mark", "--out")
    file.write_text("name: a study\n")
    with pytest.raises(
        OtherFileError, match=r"--out .*gap\.yaml: is there already, and this command did not write"
    ):
        check_place(file, "a mark", "--out")
    with pytest.raises(InputError, match=r"--to .*: is a folder, not a file"):
        check_place(tmp_path, "a mark", "--to")
    with pytest.raises(InputError, match=r"there is no folder .*nowhere"):
        check_place(tmp_path / "nowhere" / "x", "a mark", "--out")
