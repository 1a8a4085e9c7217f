"""Text of others at the edges: names of files, what a terminal is shown, and streams that may end anywhere."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from safebo.console.run_view import gains_table
from safebo.console.trial_table import trial_table
from safebo.runs.best_gains import BestGains
from safebo.runs.cards import measured_card
from safebo.runs.operators import drawn_measurement, print_checks, trial_card
from safebo.runs.progress import Bar, PlainLines, Progress
from safebo.storage.records import Record, RunInfo
from safebo.study import Study
from safebo.text.file_names import file_name
from safebo.text.printable import one_line, printable
from safebo.text.screen import Screen, literal
from safebo.types import Bounds, Check, Measurement, Trial

NAMES = st.one_of(
    st.text(max_size=40),
    st.text(st.sampled_from("ab.. /\\~_-AÀ步\u0301\x00\udcff"), max_size=8),
    st.sampled_from(
        ["", ".", "..", "con", "COM1.txt", "~", "a.", "a ", "x" * 5000, "/etc/passwd", "é", "e\u0301"]
    ),
)
DEVICES = {"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(10))}


def folded(name: str) -> str:
    """As a file system compares that ignores case and normal forms, and dots and blanks at the end."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).rstrip(". ")


@given(NAMES)
@example("con.tar.gz")
def test_a_file_name_stays_in_its_folder_and_is_one_everywhere(name: str) -> None:
    made = file_name(name)
    assert (Path("runs") / made).parent == Path("runs")
    assert made not in ("", ".", "..")
    assert not set(made) & set('/\\:*?"<>|')
    assert made.isprintable()
    assert 0 < len(f".predicted-{made}.yaml.part".encode()) <= 255
    assert made == made.rstrip(". ")
    assert made.split(".")[0].casefold() not in DEVICES
    assert file_name(name) == made


@given(NAMES, NAMES)
@example("a b", "a/b")
@example("步行", "跑步")
@example("Trot", "trot")
@example("Trot", "TROT")
@example("A b", "a b")
@example("é", "e\u0301")
@example("", "_")
@example("x" * 5000, "x" * 5001)
@example("a", file_name("A"))
@example("A", file_name("A"))
def test_different_names_never_share_a_file(one: str, other: str) -> None:
    assert (folded(file_name(one)) == folded(file_name(other))) == (one == other)


@given(st.from_regex(r"[a-z0-9_-]([a-z0-9_.-]{0,40}[a-z0-9_-])?", fullmatch=True))
def test_a_plain_name_stays_as_it_is(name: str) -> None:
    assert name in DEVICES or name.split(".")[0] in DEVICES or file_name(name) == name


def test_file_names_are_the_same_tomorrow() -> None:
    assert file_name("go1-trot") == "go1-trot"
    assert file_name("../a b") == "a_b~2c2c791a0618990c"
    assert file_name("步行") == "步行~3a8b5cef5790719f"


@given(st.text())
def test_what_is_printed_is_seen_and_nothing_else(text: str) -> None:
    shown = printable(text)
    assert all(c.isprintable() or c == "\n" or unicodedata.category(c) == "Zs" for c in shown)
    assert printable(shown) == shown
    assert "\n" not in one_line(text)
    if text.isprintable():
        assert shown == text
    shown.encode("utf-8")


HOSTILE = "\x1b[2J\x1b]0;title\x07 [red]x[/] :dog: \u202e \x9b1m\r\x08"


@pytest.mark.parametrize("make", [Screen, Console])
def test_a_console_shows_hostile_text_literally(make: type[Console]) -> None:
    screen = make(file=io.StringIO(), force_terminal=True, color_system=None, width=200)
    text = literal(HOSTILE) if make is Console else HOSTILE
    table = Table(title=text, caption=text)
    table.add_column(text)
    table.add_row(text)
    screen.print(text)
    screen.print(table)
    out = screen.file.getvalue()  # type: ignore[attr-defined]
    assert printable(out) == out
    assert out.count(printable(HOSTILE)) == 5
    assert len({len(line) for line in out.splitlines() if line.startswith(("┃", "│"))}) == 1, (
        "columns do not line up"
    )


def hostile_study() -> Study:
    return Study.model_validate(
        {
            "name": HOSTILE,
            "evaluator": {"name": "python"},
            "parameters": [{"name": f"p{HOSTILE}", "unit": HOSTILE, "bounds": [0, 10]}],
            "objective": {"name": f"o{HOSTILE}", "unit": HOSTILE},
            "constraints": [{"name": f"c{HOSTILE}", "unit": HOSTILE}],
            "context": {"values": {HOSTILE: {}}},
            "seeds": [{"context": HOSTILE, "parameters": {f"p{HOSTILE}": 1}}],
        }
    )


def shown_by(console: Console) -> dict[str, Callable[[], None]]:
    """Whatever prints names, units and messages of a run."""
    study = hostile_study()
    predicted = {f.name: Bounds(0.0, 1.0, 2.0) for f in (study.objective, *study.constraints)}
    trial = Trial(
        1, {f"p{HOSTILE}": 1.0}, {}, HOSTILE, "local", 1, certified=True, predicted=predicted, reason=HOSTILE
    )
    measured = Measurement("aborted", 1.0, {f"c{HOSTILE}": 1.0}, fell=True, message=f"{HOSTILE}\n{HOSTILE}")
    record = Record(trial, measured, asked_at=datetime.now(UTC), told_at=None, round=0)
    best = BestGains(
        HOSTILE,
        trial.parameters,
        True,
        Bounds(0, 1, 2),
        {f"c{HOSTILE}": Bounds(0, 1, 2)},
        HOSTILE,
        HOSTILE,
        HOSTILE,
    )
    run = RunInfo("1", HOSTILE, study, study, "", "", HOSTILE, 0, 1, 1, {}, datetime.now(UTC))

    def followed(progress: Progress) -> None:
        progress.begin(run, [])
        progress.asked(trial)
        progress.told(trial, measured)
        progress.note(HOSTILE)
        progress.end()

    return {
        "a trial before": lambda: console.print(trial_card(trial, study, None)),
        "a trial after": lambda: console.print(drawn_measurement(measured_card(trial, study, measured))),
        "checks": lambda: print_checks(
            console, [Check(HOSTILE, True, HOSTILE), Check(HOSTILE, False, HOSTILE)]
        ),
        "trials": lambda: console.print(trial_table([record], study), soft_wrap=True),
        "narrow trials": lambda: console.print(trial_table([record], study, 60, 0)),
        "gains": lambda: console.print(gains_table(best, study)),
        "lines": lambda: followed(PlainLines(console)),
        "bar": lambda: followed(Bar(console)),
    }


@pytest.mark.parametrize("make", [Screen, Console])
@pytest.mark.parametrize("what", list(shown_by(Console())))
def test_a_run_of_hostile_names_does_nothing_to_the_terminal(what: str, make: type[Console]) -> None:
    console = make(file=io.StringIO(), force_terminal=what == "bar", color_system=None, width=300)
    shown_by(console)[what]()
    out = re.sub("\x1b\\[\\??[0-9]*[KAhl]|\r", "", console.file.getvalue())  # type: ignore[attr-defined]  # a bar's own
    assert printable(out) == out
    assert "[red]x[/] :dog:" in out
    assert out.count("\n") < 30


APP = r"""
import sys, warnings, typer
from safebo.text.command import run_command
from safebo.text.command import say
app = typer.Typer(add_completion=False)
@app.command()
def one(name: str = "", lines: int = 1) -> None:
    warnings.warn("a library's")
    if name == "fail": raise ValueError("\x1b[2J bad")
    if name == "key": raise KeyError("told")
    if name == "interrupt": raise KeyboardInterrupt
    for _ in range(lines): sys.stdout.write("é 步 ") if name == "print" else say(name + " é 步 \x1b[2J")
@app.command()
def two() -> None: pass
run_command(app, None, KeyError)
"""

CASES = {
    # what is asked for, how the streams are, environment: exit code, something on stderr
    "plain": ("one", "", {}, 0, ""),
    "latin-1": ("one", "", {"PYTHONIOENCODING": "latin-1"}, 0, ""),
    "ascii": ("one --name print", "", {"PYTHONIOENCODING": "ascii"}, 0, ""),
    "C": ("one", "", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, 0, ""),
    "a surrogate": ("one --name $'\\xff'", "", {}, 0, ""),
    "stdout closed": ("one", ">&-", {}, 0, ""),
    "all closed": ("one", "<&- >&- 2>&-", {}, 0, ""),
    "stderr closed, an error": ("one --name fail", "2>&-", {}, 1, ""),
    "nobody reads": ("one --lines 20000", "| true", {}, 1, ""),
    "nobody reads the last line": ("one --name print", "| (sleep 0.01; exec <&-; sleep 1)", {}, None, ""),
    "disk full": (
        "one --name print",
        ">/dev/full",
        {},
        1,
        "error: the output cannot be written: No space left",
    ),
    "disk full at once": ("one", ">/dev/full", {}, 1, "No space left"),
    "warnings as errors": ("one", "", {"PYTHONWARNINGS": "error"}, 0, ""),
    "expected": ("one --name key", "", {}, 1, "error: 'told'"),
    "unexpected": ("one --name fail", "", {}, 1, r"internal error: ValueError: \x1b[2J bad. Details: "),
    "Ctrl-C": ("one --name interrupt", "", {}, 130, "stopped by Ctrl-C"),
    "no such option": ("one --$'\\e[2J'", "", {}, 2, r"No such option: --\x1b[2J"),
    "no such command": ("$'\\e[2J'", "", {}, 2, r"No such command '\x1b[2J'"),
}


def ends(case: str, program: Path, folder: Path) -> tuple[str, int, str, str]:
    words, streams, environment, _, _ = CASES[case]
    script = f"set -o pipefail; exec 3>&1; {{ {sys.executable} {program} {words}; }} {streams}"
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        env={
            **os.environ,
            "TMPDIR": str(folder),
            "PYTHONIOENCODING": "utf-8",
            "PYTHONUNBUFFERED": "",
            **environment,
        },
    )
    return case, done.returncode, done.stdout.decode("latin-1"), done.stderr.decode("utf-8", "replace")


@pytest.mark.slow
def test_whatever_is_at_the_other_end_a_command_ends_in_words(tmp_path: Path) -> None:
    program = tmp_path / "app.py"
    program.write_text(APP, encoding="utf-8")
    with ThreadPoolExecutor(4) as pool:
        for case, code, out, err in pool.map(lambda c: ends(c, program, tmp_path), CASES):
            _, _, _, expected, words = CASES[case]
            assert expected is None or code == expected, (case, code, err)
            assert words in err, (case, err)
            assert words or not err or "a library's" in err, (case, err)
            for bad in ("Traceback", "Exception ignored", "\x1b"):
                assert bad not in out + err, (case, err)
            assert "internal error" not in err or case == "unexpected", (case, err)


def test_no_file_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom safebo.text.command import ready_streams\nready_streams()\n"
        f"kept = open({str(tmp_path / 'kept')!r}, 'w')\nprint('not into the file')\nsys.stdout.flush()\n"
        "assert kept.fileno() > 2"
    )
    done = subprocess.run(["bash", "-c", f"{sys.executable} - >&- 2>&-"], input=code.encode())
    assert done.returncode == 0
    assert (tmp_path / "kept").read_text() == ""
