"""Command lines, the files that commands are given beside a study, and journals that were tampered with."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from safebo.errors import SafeboError
from safebo.experiments.robustness.inputs.record import STUDY, Row, faults_of, refused, safebo, tree
from safebo.hardware.adapters.relay import read_controller
from safebo.hardware.errors import HardwareError
from safebo.hardware.guardian.thresholds import read_limits
from safebo.hardware.virtual.faults import read_faults
from safebo.robots.quadruped.gains import Gains
from safebo.storage.journal import Journal

OPTIONS: dict[str, tuple[list[str], str]] = {
    "--trials 0": (["--trials", "0"], "--trials"),
    "--trials -3": (["--trials", "-3"], "--trials"),
    "--trials 2.5": (["--trials", "2.5"], "--trials"),
    "--trials many": (["--trials", "many"], "--trials"),
    "--trials of 30 digits": (["--trials", "9" * 30], "trials"),
    "--trials of 5,000 digits": (["--trials", "9" * 5000], "trials"),
    "--trials without a number": (["--trials"], "--trials"),
    "--seed -1": (["--seed", "-1"], "--seed"),
    "--seed 2^63": (["--seed", str(2**63)], "seed"),
    "--seed of 100 digits": (["--seed", "1" * 100], "seed"),
    "--seed 1e3": (["--seed", "1e3"], "--seed"),
    "--workers 0": (["--workers", "0"], "--workers"),
    "--workers 100000": (["--workers", "100000"], "workers"),
    "--workers of 30 digits": (["--workers", "9" * 30], "workers"),
    "--workers ''": (["--workers", ""], "--workers"),
    "--out: a file": (["--out", "study.yaml"], "study.yaml"),
    "--out: below a file": (["--out", "study.yaml/run"], "study.yaml"),
    "--out: /proc": (["--out", "/proc/run"], "/proc/run"),
    "--out: a name of 5,000 characters": (["--out", "x" * 5000], "xxx"),
    "--out: a NUL": (["--out", "a\0b"], "a"),
    "--journal: no URL": (["--journal", "here"], "here"),
    "--journal: no such database": (["--journal", "oracle9://x/y"], "oracle9"),
    "--journal: a web page": (["--journal", "https://example.org/x"], "https"),
    "--journal: empty": (["--journal", ""], "journal"),
    "--journal: a port that is none": (["--journal", "postgresql://u@h:port/d"], "postgresql"),
    "--robot: no port": (["--robot", "robot"], "--robot"),
    "--robot: port 0": (["--robot", "127.0.0.1:0"], "--robot"),
    "--robot: port 99999": (["--robot", "127.0.0.1:99999"], "--robot"),
    "--approve-all without a robot": (["--approve-all"], "--approve-all"),
    "--physical without a robot": (["--physical", "B42"], "--physical"),
    "--prior: no folder": (["--prior", "nowhere"], "nowhere"),
    "--prior: a file": (["--prior", "study.yaml"], "study.yaml"),
    "--prior: an empty folder": (["--prior", "empty"], "empty"),
    "--prior: a NUL": (["--prior", "a\0b"], "a"),
    "an option that is not": (["--trails", "3"], "--trails"),
    "an argument too many": (["another.yaml"], "another.yaml"),
}
"""Behind `safebo tune study.yaml`, and what the answer must name."""

COMMANDS: dict[str, tuple[list[str], str]] = {
    "no command of that name": (["tun"], "tun"),
    "show: no folder": (["show", "nowhere"], "nowhere"),
    "show: a file": (["show", "study.yaml"], "study.yaml"),
    "show: a NUL": (["show", "a\0b"], "a"),
    "show: 5,000 characters": (["show", "x" * 5000], "xxx"),
    "best: an empty folder": (["best", "empty"], "empty"),
    "report: /dev/null": (["report", "/dev/null"], "/dev/null"),
    "best: a context nobody knows": (["best", "run", "--context", "ice"], "ice"),
    "resolve: neither way": (["resolve", "run", "4"], "--measurement"),
    "resolve: both ways": (["resolve", "run", "4", "--as", "failed", "--measurement", "m"], "--measurement"),
    "resolve: as completed": (["resolve", "run", "4", "--as", "completed"], "raw file"),
    "resolve: a trial that is not": (["resolve", "run", "99", "--as", "failed"], "99"),
    "resolve: trial -1": (["resolve", "run", "--as", "failed", "--", "-1"], "-1"),
    "resolve: a trial of 30 digits": (["resolve", "run", "9" * 30, "--as", "failed"], "999"),
    "resolve: a trial that was told": (["resolve", "run", "1", "--as", "failed"], "told"),
    "edit: a trial that was told": (["edit", "run", "1", "--set", "stiffness=3"], "told"),
    "edit: no value": (["edit", "run", "4", "--set", "stiffness"], "stiffness"),
    "edit: a decimal comma": (["edit", "run", "4", "--set", "stiffness=3,5"], "stiffness = 3,5"),
    "robots walk: a robot that is not": (["robots", "walk", "go9"], "go9"),
    "robots walk: --set without a value": (
        ["robots", "walk", "go1", "--set", "joint.hip.kp"],
        "joint.hip.kp",
    ),
}
"""Whole commands, and what the answer must name."""

_FILES: dict[str, bytes] = {
    "an empty file": b"",
    "a text": b"done\n",
    "a list": b"[1, 2]\n",
    "a number": b"7\n",
    "half a mapping": b"{objective: 1,\n",
    "tabs": b"a:\n\tb: 1\n",
    "UTF-16": "objective: 1\n".encode("utf-16"),
    "bytes that are no text": bytes(range(256)),
    "a tag that makes Python objects": b"!!python/object/apply:os.system [ls]\n",
    "an alias that contains itself": b"&a [*a]\n",
    "aliases that multiply": ("a0: &a0 [1]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))).encode(),
    "5,000 nested lists": b"[" * 5000 + b"]" * 5000,
    "a number of 5,000 digits": b"objective: " + b"9" * 5000 + b"\n",
    "a key that is there twice": b"a: 1\na: 2\n",
    "two documents": b"a: 1\n---\na: 2\n",
    "a merge key": b"<<: {a: 1}\n",
    ".nan": b"{objective: .nan, gains: {joint.hip.kp: .nan}, tilt: .nan}\n",
    "100,000 keys": "".join(f"k{i}: 1\n" for i in range(100_000)).encode(),
    "11 MB": b"# \n" * 3_700_000,
}  # fmt: skip

_MEASUREMENTS: dict[str, str] = {
    "no margins": "objective: 1",
    "a margin that is a text": "{objective: 1, margins: {height: high}}",
    "another margin": "{objective: 1, margins: {hight: 0.1}}",
    "an objective with a decimal comma": "objective: 1,5\nmargins: {height: 0.1}",
    "an outcome that is not": "{outcome: great, objective: 1, margins: {height: 0.1}}",
    "an unknown key": "{objective: 1, margins: {height: 0.1}, objectiv: 2}",
    "fell: yes": "{objective: 1, margins: {height: 0.1}, fell: yes}",
    "states that are no table": "{objective: 1, margins: {height: 0.1}, states: [1]}",
}

_PARAMETERS: dict[str, str] = {
    "one is missing": "stiffness: 3",
    "one is unknown": "{stiffness: 3, damping: 1, mass: 2}",
    "a text": "{stiffness: three, damping: 1}",
    "a decimal comma": "{stiffness: 3,5, damping: 1}",
    "outside the bounds": "{stiffness: 30, damping: 1}",
    "true": "{stiffness: true, damping: 1}",
}


def run_to_tamper(folder: Path) -> Path:
    """A folder with a study, an empty folder, and a run of three told trials and one whose result is not known."""
    folder.mkdir(exist_ok=True)
    (folder / "study.yaml").write_text(STUDY)
    (folder / "empty").mkdir()
    safebo(["tune", "study.yaml", "--out", "run"], folder)
    with Journal.open(folder / "run") as journal:
        last = journal.records()[-1]
        journal.set_trials(4)
        journal.ask(replace(last.trial, id=last.trial.id + 1), last.round + 1)
        journal.mark_unknown(last.trial.id + 1, "the process died")
    return folder


def command_lines(folder: Path) -> Iterator[Row]:
    """Options and commands."""
    for what, (words, name) in OPTIONS.items():
        yield refused("Options of `safebo tune`", what, ["tune", "study.yaml", *words], folder, [name])
    for what, (words, name) in COMMANDS.items():
        yield refused("Other commands", what, words, folder, [name])


def handed_over(folder: Path) -> Iterator[Row]:
    """Files of a person's, to every command and function that reads one."""
    good = folder / "good.yaml"
    good.write_text("{stiffness: 3, damping: 1}")
    resolve = ["resolve", "run", "4", "--measurement"]
    tell = ["tell", "run", "--measurement", "good.yaml", "--parameters"]
    walk = ["robots", "walk", "go1", "--seconds", "0.1", "--gains"]
    for what, content in _FILES.items():
        for kind, words in (("Files of measurements", resolve), ("Files of gains", walk)):
            yield _file(kind, what, content, words, folder)
    for what, text in _MEASUREMENTS.items():
        yield _file("Files of measurements", what, text.encode(), resolve, folder)
    (folder / "run" / "study.yaml").write_text(STUDY)
    safebo(["resolve", "run", "4", "--as", "failed"], folder)
    good.write_text("{objective: 1, margins: {height: 0.1}}")
    for what, text in _PARAMETERS.items():
        yield _file("Files of parameters", what, text.encode(), tell, folder)
    readers: dict[str, Callable[[Path], object]] = {
        "Controller files": read_controller,
        "Files of limits": read_limits,
        "Files of faults": read_faults,
        "Files of gains, in Python": Gains.load,
    }
    for kind, reader in readers.items():
        for what, content in _FILES.items():
            yield _read(kind, what, content, reader, folder / "handed.yaml")


def _file(kind: str, what: str, content: bytes, words: list[str], folder: Path) -> Row:
    (folder / "handed.yaml").write_bytes(content)
    before = _told(folder / "run")
    row = refused(kind, what, [*words, "handed.yaml"], folder, ["handed.yaml"])
    return row if _told(folder / "run") == before else replace(row, faults=(*row.faults, "lost"))


def _read(kind: str, what: str, content: bytes, reader: Callable[[Path], object], path: Path) -> Row:
    path.write_bytes(content)
    try:
        reader(path)
    except (HardwareError, SafeboError, ValueError) as error:
        return Row(
            kind, what, f"{type(error).__name__}: {error}", faults=tuple(faults_of(str(error), [path.name]))
        )
    return Row(kind, what, "accepted", faults=("wrong",))


def _told(run: Path) -> int:
    with Journal.open(run, read_only=True) as journal:
        return sum(record.status == "told" for record in journal.records(states=False))


# -- journals ----------------------------------------------------------------------------------------------


def _bytes(change: Callable[[bytes], bytes], name: str = "journal.sqlite") -> Callable[[Path], None]:
    def tamper(run: Path) -> None:
        (run / name).write_bytes(change((run / name).read_bytes()))

    return tamper


def _sql(*statements: str) -> Callable[[Path], None]:
    def tamper(run: Path) -> None:
        with sqlite3.connect(run / "journal.sqlite") as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()

    return tamper


def _instead(what: Callable[[Path], None]) -> Callable[[Path], None]:
    def tamper(run: Path) -> None:
        (run / "journal.sqlite").unlink()
        what(run / "journal.sqlite")

    return tamper


TAMPERED: dict[str, Callable[[Path], None]] = {
    "the file is empty": _bytes(lambda b: b""),
    "half of the file is gone": _bytes(lambda b: b[: len(b) // 2]),
    "its head is zeros": _bytes(lambda b: bytes(100) + b[100:]),
    "its second page is zeros": _bytes(lambda b: b[:4096] + bytes(4096) + b[8192:]),
    "it is a text": _bytes(lambda b: b"hello\n" * 1000),
    "it is a folder": _instead(lambda path: path.mkdir()),
    "it is a link to itself": _instead(lambda path: path.symlink_to(path.name)),
    "it is another database": _bytes(lambda b: b"SQLite format 3\0" + bytes(4080)),
    "its tables are gone": _sql("drop table trials", "drop table measurements"),
    "one table is gone": _sql("drop table measurements"),
    "the run is gone": _sql("delete from runs"),
    "a measurement is gone": _sql("delete from measurements where trial = (select max(trial) from measurements)"),
    "an objective is a text": _sql("update measurements set objective = 'high'"),
    "an objective is infinite": _sql("update measurements set objective = 9e999"),
    "margins are no JSON": _sql("update measurements set margins = '{height: 1'"),
    "margins are a list": _sql("update measurements set margins = '[1]'"),
    "a margin is NaN": _sql("update measurements set margins = '{\"height\": NaN}'"),
    "an outcome is not": _sql("update measurements set outcome = 'great'"),
    "parameters are no JSON": _sql("update trials set parameters = ''"),
    "parameters of another study": _sql("update trials set parameters = '{\"mass\": 1}'"),
    "a status is not": _sql("update trials set status = 'done'"),
    "a context is not": _sql("update trials set context_name = 'ice'"),
    "the study is no JSON": _sql("update runs set study = 'x'"),
    "the study is another": _sql("update runs set study = '{}'"),
    "the format is of tomorrow": _sql("update runs set format = 999"),
    "versions are no JSON": _sql("update runs set versions = ''"),
    "bounds are no JSON": _sql("update trials set predicted = '['"),
}  # fmt: skip


def tampered(folder: Path) -> Iterator[Row]:
    """Journals that somebody changed, read by `show`, `best` and `tune --resume`: none may pass as whole with less."""
    told = _told(folder / "run")
    for number, (what, tamper) in enumerate(TAMPERED.items()):
        run = folder / f"tampered-{number}"
        shutil.copytree(folder / "run", run)
        tamper(run)
        before = tree(run)
        for words in (
            ["show", run.name, "--json"],
            ["best", run.name],
            ["tune", "study.yaml", "--out", run.name, "--resume"],
        ):
            answer = safebo(words, folder)
            faults = [*faults_of(answer.text[:10_000] if answer.code else "", [run.name] * bool(answer.code))]
            if words[0] == "show" and answer.code == 0:
                seen = json.loads(answer.out)["trials"]
                whole = sum(trial["outcome"] is not None for trial in seen)
                faults += ["lost"] * (whole < told)
            kept = "as it was" if tree(run) == before else "as it was, with a log"
            shown = answer.shown if answer.code else "exit 0"
            yield Row("Tampered journals", f"{what}: {words[0]}", shown, kept, tuple(faults))
