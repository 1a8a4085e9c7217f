"""Pages of `safebo console` for tests: a run with a journal, a robot that remembers what it was told, browsers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from closed_form_runs import STUDY, HashTuner
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from safebo.console.console import Console
from safebo.console.reading import Runs
from safebo.console.serve import Listening, guarded
from safebo.errors import SafeboError
from safebo.runs.runner import run
from safebo.storage.questions import Question, QuestionFile
from safebo.storage.run_lock import run_lock
from safebo.study.reading import parse_study
from safebo.types import RobotAddress, RobotStatus

HOST = "127.0.0.1:8770"
ORIGIN = f"http://{HOST}"
CARD = {
    "title": "Trial 4: local, context default",
    "why": "the widest interval",
    "gains": [
        {
            "name": "p",
            "seed": "2",
            "last": "2.5",
            "proposed": "3.25",
            "bounds": "0 .. 10",
            "unit": "N",
            "change": "+7.5 %",
        }
    ],
    "expected": [
        {
            "name": "speed",
            "lower": "-1",
            "mean": "0",
            "upper": "1",
            "unit": "m/s",
            "prior": "",
            "margin": False,
            "close": False,
        },
        {
            "name": "height",
            "lower": "0.25",
            "mean": "1",
            "upper": "2",
            "unit": "m",
            "prior": "declared",
            "margin": True,
            "close": False,
        },
    ],
    "nearest": "trial 2; p changes most from there, by 7.5 % of its range",
    "certificate": "Certified by the study's certificate",
    "certified": True,
}
MEASURED = {
    "title": "Trial 4: completed",
    "rows": [{"name": "height", "value": "-0.1", "expected": "0 .. 1", "unit": "m", "below": True}],
    "message": "",
}


@dataclass
class Watched:
    """A robot as a bridge's watch shows it."""

    status: RobotStatus = field(
        default_factory=lambda: RobotStatus("virtual go2, serial 1-1", "HOLD", roll=0.02, height=0.3)
    )
    trouble: str = ""
    done: list[str] = field(default_factory=list)

    def look(self) -> RobotStatus:
        if self.trouble:
            raise SafeboError(self.trouble)
        return self.status

    def stop(self, reason: str) -> str:
        if self.trouble:
            raise SafeboError("the guardian has not confirmed the stop")
        self.done.append(f"stop: {reason}")
        self.status = replace(
            self.status, state="DAMP_LATCHED", latched=True, latch=1, message="a stop was asked for"
        )
        return "state 9, cause 1: a stop was asked for"

    def baseline(self, reason: str) -> str:
        self.done.append(f"baseline: {reason}")
        return "state 7"

    def acknowledge(self, latch: int) -> None:
        self.done.append(f"acknowledge {latch}")
        self.status = replace(self.status, acknowledged=True)

    def clear(self) -> None:
        self.done.append("clear")
        self.status = replace(self.status, state="REST", latched=False, latch=0, acknowledged=False)

    def rest(self) -> None:
        """It is seen at rest."""
        self.status = replace(self.status, stopped=True, why_not="it lies")

    def close(self) -> None:
        self.done.append("close")


@dataclass
class Page:
    """One console and what is behind it."""

    app: ASGIApp
    console: Console
    folder: Path
    watched: Watched
    said: list[str]
    questions: QuestionFile

    def link(self, role: str = "owner") -> str:
        """The newest link's token."""
        word = "In control" if role == "owner" else "Read only"
        lines = [line for line in self.said if line.startswith(word) or f"Another {role}" in line]
        return lines[-1].rpartition("#")[2]

    def browser(self, role: str | None = None) -> Browser:
        """A browser, that used a role's link where one is given."""
        made = Browser(self)
        if role is not None:
            made.enter(self.link(role))
        return made

    def ask(self, kind: Any = "approve", hash: str = "a" * 64) -> Question:
        """The run asks about trial 4."""
        return self.questions.ask(kind, 4, hash, CARD if kind == "approve" else MEASURED)


class Browser(TestClient):
    """Sends what a browser sends: cookies, its own origin, and the token of the page that it shows."""

    def __init__(self, page: Page) -> None:
        super().__init__(page.app, base_url=ORIGIN, client=("127.0.0.1", 5000))
        self.page, self.csrf = page, ""

    def enter(self, token: str) -> Any:
        """Use a link, then open the page."""
        answer = self.post("/enter", json={"token": token}, headers={"origin": ORIGIN})
        self.open()
        return answer

    def open(self) -> str:
        """The run's page."""
        text = str(self.get(f"/runs/{self.page.folder.name}", headers={"accept": "text/html"}).text)
        found = re.search(r'name="csrf" content="([^"]+)"', text)
        self.csrf = found[1] if found else ""
        return text

    def change(self, path: str, body: Any = None, **headers: str) -> Any:
        """A change as the page's script sends it; headers may be spoiled, and are left out where empty."""
        sent = {"origin": ORIGIN, "x-safebo-csrf": self.csrf} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        sent = {name: value for name, value in sent.items() if value}
        return self.post(path, json=body or {}, headers=sent)

    def act(self, what: str, body: Any = None, **headers: str) -> Any:
        """A change of the run's."""
        return self.change(f"/runs/{self.page.folder.name}/{what}", body, **headers)

    def card(self) -> tuple[str, str]:
        """The part that waits, and its ticket."""
        text = str(self.get(f"/runs/{self.page.folder.name}/part/now").text)
        found = re.search(r'data-ticket="([^"]+)"', text)
        return text, found[1] if found else ""

    def answer(self, answer: str, words: str = "", ticket: str | None = None) -> Any:
        """Answer what the page shows."""
        return self.act("answer", {"ticket": ticket or self.card()[1], "answer": answer, "words": words})


def make_run(folder: Path, trials: int = 3) -> None:
    """A run of the closed-form study."""
    with ThreadPoolExecutor(1) as executor:
        run(parse_study(STUDY), folder, make_tuner=HashTuner, executor=executor, seed=3, trials=trials)


@contextmanager
def console_page(folder: Path, robot: bool = True, held: bool = True, **listening: Any) -> Iterator[Page]:
    """A console on a run, with a robot or without; this process holds the run, as if it worked on it, or it stands
    still until somebody does.
    """
    if not folder.exists():
        make_run(folder)
    questions = QuestionFile(folder)
    watched, said = Watched(), list[str]()
    questions.keep_robot(RobotAddress("127.0.0.1", 4750) if robot else None)
    with run_lock(folder) if held else nullcontext():
        app, console = guarded(
            Runs(folder),
            Listening(**listening),
            8770,
            said.append,
            None,
            lambda evaluator: lambda address: watched,
        )
        try:
            yield Page(app, console, folder, watched, said, questions)
        finally:
            console.close()
