"""A person at a terminal can answer: nothing is drawn over a question, and a proposal is compared with what walked."""

from __future__ import annotations

import io
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from robot_in_tests import STUDY

from safebo.runs.nearest import nearest_tried
from safebo.runs.progress import Bar
from safebo.storage.records import RunInfo
from safebo.study.reading import parse_study
from safebo.types import Measurement, Outcome, Trial, TrialRecord

STUDY_FILE = parse_study(STUDY)
ROOT = Path(__file__).resolve().parents[2]


def trial(number: int, p: float, d: float, context: str = "default") -> Trial:
    return Trial(number, {"p": p, "d": d}, {}, context, "local", 0, certified=True)


def record(one: Trial, outcome: Outcome = "completed") -> TrialRecord:
    return TrialRecord(one, Measurement(outcome, objective=0.0, margins={"height": 1.0}))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 12))
def test_the_nearest_trial_is_that_of_the_smallest_largest_change(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.column_stack([10 * rng.random(count + 1), 10 ** (2 * rng.random(count + 1) - 1)])
    trials = [trial(i + 1, float(row[0]), float(row[1])) for i, row in enumerate(rows)]
    others = [
        trial(90, float(rows[-1, 0]), float(rows[-1, 1]), "elsewhere"),
        trial(91, float(rows[-1, 0]), float(rows[-1, 1])),
    ]
    records = [
        *map(record, trials[:-1]),
        record(others[0]),
        record(others[1], "failed"),
        TrialRecord(others[1]),
    ]
    found = nearest_tried(STUDY_FILE.study, trials[-1], records)
    if count == 0:
        assert found is None
        return
    unit = np.column_stack(
        [rows[:, 0] / 10, (np.log10(rows[:, 1]) + 1) / 2]
    )  # d is on a log scale over 0.1 .. 10
    apart = np.abs(unit[:-1] - unit[-1])
    assert found is not None
    assert found.trial == 1 + int(apart.max(1).argmin())
    assert found.share == pytest.approx(apart.max(1).min())
    assert found.parameter == ("p", "d")[int(apart[found.trial - 1].argmax())]
    again = nearest_tried(STUDY_FILE.study, replace(trials[0], id=50), records)
    assert again is not None
    assert str(again).startswith("the gains of trial")


def test_the_bar_is_away_while_a_person_is_asked() -> None:
    screen = io.StringIO()
    bar = Bar(Console(file=screen, force_terminal=True, width=100))
    study = STUDY_FILE.study
    bar.begin(RunInfo("1", "robot", study, study, "", "", "robot", 0, 3, 1, {}, datetime.now(UTC)), [])
    with bar.asking():
        written = len(screen.getvalue())
        time.sleep(0.35)  # the bar is drawn ten times a second
        assert len(screen.getvalue()) == written
    time.sleep(0.35)
    assert len(screen.getvalue()) > written
    bar.end()


ROBOT = """
import time
from robot_in_tests import WORLDS, Robot, World
WORLDS["it"] = World(before=lambda what: time.sleep(0.5 if what == "move" else 0.0))
"""
ASKED = "Run this trial? (yes / skip / stop / ?)"
JUDGED = "Your verdict? (accept / contaminated / unsafe / ?)"
TUNE = """
import sys
from pathlib import Path
from closed_form_runs import HashTuner
from rich.console import Console
from safebo.errors import SafeboError
from safebo.runs.operators import TerminalOperator
from safebo.runs.progress import progress_for
from safebo.runs.runner import run
from safebo.study.reading import load_study
if __name__ == "__main__":
    console = Console()
    try:
        run(load_study("study.yaml"), Path("run"), seed=3, make_tuner=HashTuner, resume=len(sys.argv) > 1,
            operator=TerminalOperator(console), progress=progress_for(console))
    except SafeboError as error:
        print("ended:", error)
    print("the prompt is back")
"""


class Terminal:
    """A real terminal, 100 columns wide: keys in, the screen out."""

    def __init__(self, folder: Path) -> None:
        self._tmux = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        paths = f"{ROOT}:{ROOT / 'tests' / 'safebo'}:{folder}"
        shell = (
            f"cd {folder}; export PYTHONPATH={paths} OMP_NUM_THREADS=1 PS1='$ '; exec bash --norc --noprofile"
        )
        self._before = ""
        self._run("new-session", "-d", "-x", "100", "-y", "60", f"bash -c {shlex.quote(shell)}")

    def _run(self, *arguments: str) -> str:
        done = subprocess.run([*self._tmux, *arguments], capture_output=True, text=True, check=True)
        return done.stdout

    @property
    def screen(self) -> str:
        """What stands there now, without empty lines."""
        return "\n".join(line for line in self._run("capture-pane", "-p").splitlines() if line.strip())

    def until(self, words: str, patience: float = 60.0) -> str:
        """The screen once its last line begins with these words, and is nothing but a question, since the last key."""
        end = time.monotonic() + patience

        def there(found: str) -> bool:
            last = found.splitlines()[-1:] or [""]
            question = words.endswith((")", "?"))
            return found != self._before and (
                last[0].rstrip() == words if question else last[0].startswith(words)
            )

        while not there(found := self.screen):
            assert time.monotonic() < end, f"{words!r} is not asked; the screen is\n{found}"
            time.sleep(0.05)
        return found

    def type(self, words: str) -> None:
        """Keys, then return."""
        self._before = self.screen
        self._run("send-keys", "-l", words)
        self._run("send-keys", "Enter")

    def close(self) -> None:
        """End it."""
        self._run("kill-server")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    if shutil.which("tmux") is None:
        pytest.skip("there is no tmux here")
    (tmp_path / "study.yaml").write_text(STUDY.replace("robot_in_tests", "slow_robot").replace("WORLD", "it"))
    (tmp_path / "slow_robot.py").write_text(ROBOT)
    (tmp_path / "tune.py").write_text(TUNE)
    found = Terminal(tmp_path)
    yield found
    found.close()


@pytest.mark.slow
def test_every_question_can_be_seen_and_answered_at_a_real_terminal(terminal: Terminal) -> None:
    terminal.type(f"{sys.executable} tune.py")
    card = terminal.until(ASKED)
    assert "Nearest tried: nothing in this context yet" in card
    assert "Certified by the study's certificate" in card
    terminal.type("?")
    assert "another one is proposed" in terminal.until(ASKED)
    terminal.type("maybe")
    assert "Please type one of: yes, skip, stop, or ?" in terminal.until(ASKED)
    terminal._run("send-keys", "-l", "ye")
    time.sleep(0.4)  # a bar that is drawn ten times a second would have wiped it
    assert terminal.screen.splitlines()[-1] == f"{ASKED} ye"
    terminal.type("s")
    terminal.until("robot ")  # the bar is back while the robot walks
    assert "trial 1: running" in terminal.until(JUDGED)
    terminal.type("accept")
    assert "Nearest tried: trial 1;" in terminal.until(ASKED)
    terminal.type("skip")
    terminal.until("Why?")
    terminal.type("a cable lies there")
    terminal.until(ASKED)
    terminal.type("yes")
    terminal.until(JUDGED)
    terminal.type("unsafe")
    terminal.until("What happened?")
    terminal.type("it stumbled")
    ended = " ".join(terminal.until("$").split())
    assert "unsafe, says the operator: it stumbled" in ended
    assert "skipped by the operator: a cable lies there" in ended


@pytest.mark.slow
def test_what_was_typed_before_a_question_does_not_answer_it(terminal: Terminal) -> None:
    terminal.type(f"{sys.executable} tune.py")
    terminal.until(ASKED)
    terminal.type("yes")
    terminal.until("robot ")
    for word in ("accept", "yes", "unsafe"):  # while the robot walks
        terminal._run("send-keys", "-l", word)
        terminal._run("send-keys", "Enter")
    assert "What was typed before this question is not taken" in " ".join(terminal.until(JUDGED).split())
    terminal.type("accept")
    terminal.until(ASKED)
    terminal.type("stop")
    terminal.until("Why?")
    terminal.type("home")
    terminal.until("$")


@pytest.mark.slow
def test_a_run_is_stopped_at_the_question_and_goes_on(terminal: Terminal) -> None:
    terminal.type(f"{sys.executable} tune.py")
    terminal.until(ASKED)
    terminal.type("stop")
    terminal.until("Why?")
    terminal.type("lunch")
    assert "stopped by the operator before trial 1: lunch" in terminal.until("$")
    terminal.type(f"clear; {sys.executable} tune.py again")
    terminal.until(ASKED)
    terminal._run("send-keys", "C-c")
    assert "trial 1 was not approved: interrupted at the question" in terminal.until("$")


@pytest.mark.slow
def test_a_person_says_at_a_real_terminal_what_became_of_a_lost_trial(terminal: Terminal) -> None:
    terminal.type(f"{sys.executable} tune.py")
    terminal.until(ASKED)
    terminal.type("yes")
    terminal.until(JUDGED)
    terminal.type("accept")
    terminal.until(ASKED)
    terminal.type("yes")
    terminal.until("robot ")
    time.sleep(0.25)  # in the walk of half a second
    terminal._run("send-keys", "C-\\")  # SIGQUIT: it ends at once
    terminal.until("$")
    terminal.type(f"clear; {sys.executable} tune.py again")
    said = "What became of it? (fell / unsafe / failed / later / ?)"
    first = " ".join(terminal.until(said).split())
    assert "Trial 2 (local, context default) was begun, and how it ended is not known" in first
    terminal.type("?")
    assert "may be proposed again" in " ".join(terminal.until(said).split())
    terminal.type("fell")
    terminal.until("What did you see?")
    terminal.type("it lies on its side")
    assert "Nearest tried: trial" in terminal.until(ASKED)
    terminal.type("stop")
    terminal.until("Why?")
    terminal.type("home")
    terminal.until("$")
