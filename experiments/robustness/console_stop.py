"""From a key or a click in a browser to the guardian's latched state, and how a frozen browser is noticed.

    python -m safebo.experiments.robustness.console_stop [--repeats 30]

A virtual Go2, its guardian, `safebo tune --robot`, `safebo console` and Chromium run as a user runs them, each in
processes of its own. Every second stop is made while the robot walks. Needs what `make test-browser` installs.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from safebo.evaluators.supervisor import descendants
from safebo.experiments.robustness.killed_runs import waited_for
from safebo.experiments.robustness.process_faults import Chain

BAR_S = 0.3
"""Median that is promised from a key or a click to the latched state."""

WAYS = ("Escape", "space bar", "click")


@dataclass(frozen=True)
class RunningConsole:
    """A `safebo console`.

    Args:
        link: of who is in control.
        log: file of what it prints.
        process: the one.
    """

    link: str
    log: Path
    process: subprocess.Popen[bytes]


@contextmanager
def console(chain: Chain, run: Path) -> Iterator[RunningConsole]:
    """`safebo console` on a run."""
    log = chain.folder / "console.log"
    command = [sys.executable, "-m", "safebo", "console", str(run), "--port", "0"]
    command += ["--robot", f"127.0.0.1:{chain.port}", "--key", str(chain.key)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    try:
        found: list[str] = []

        def said() -> bool:
            found[:] = re.findall(r"In control: (\S+)", log.read_text())
            return bool(found)

        if not waited_for(said, 120.0):
            raise RuntimeError(f"the console did not start: {log.read_text()}")
        yield RunningConsole(found[0], log, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(30.0)


def presses(tab: Any) -> dict[str, Callable[[], None]]:
    """The ways to stop."""
    return {
        "Escape": lambda: tab.keyboard.press("Escape"),
        "space bar": lambda: tab.keyboard.press(" "),
        "click": lambda: tab.click("#stop"),
    }


def stopped_after(chain: Chain, press: Callable[[], None]) -> float:
    """Seconds of wall time from a press to the guardian's row of its latch; nan where there is none."""
    begin = time.time()
    press()
    rows: list[float] = []

    def latched() -> bool:
        rows[:] = [wall for wall, kind, _ in chain.events(begin) if kind == "latch"]
        return bool(rows)

    return rows[0] - begin if waited_for(latched, 10.0) else float("nan")


def measure(repeats: int, chain: Chain, tab: Any, picture: Path | None) -> Iterator[tuple[str, bool, float]]:
    """Way, whether the robot walked, and seconds, of every stop."""
    ways = presses(tab)
    for number in range(repeats):
        walks = number % 2 == 1
        tune = chain.walking(trials=1) if walks else None
        name = WAYS[number % len(WAYS)]
        tab.wait_for_selector("#stop:visible")
        yield name, walks, stopped_after(chain, ways[name])
        if tune is not None:
            tune.end(120.0)
        tab.wait_for_selector("#stop.seen", timeout=30000)
        if picture is not None:
            tab.screenshot(path=str(picture))
        chain.clear()


def frozen(log: Path) -> float:
    """Seconds from a browser's freeze to the line at the console's terminal; nan where there is none."""
    since = len(log.read_text())
    browser = [pid for pid in descendants(os.getpid()) if "chrom" in Path(f"/proc/{pid}/comm").read_text()]
    for pid in browser:
        os.kill(pid, signal.SIGSTOP)
    begin = time.monotonic()
    try:
        seen = waited_for(lambda: "says nothing any more" in log.read_text()[since:], 30.0)
        return time.monotonic() - begin if seen else float("nan")
    finally:
        for pid in browser:
            os.kill(pid, signal.SIGCONT)


def main(
    repeats: Annotated[int, typer.Option(min=3, help="Stops.")] = 30,
    picture: Annotated[Path | None, typer.Option(metavar="FILE", help="The page once it is green.")] = None,
) -> None:
    """Measure how fast a stop in the page is."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("there is no Chromium here: install Debian's package `chromium`")
    with tempfile.TemporaryDirectory() as folder:
        chain = Chain(Path(folder), 20 + os.getpid() % 200)
        with chain.up():
            first = chain.tune(trials=1)
            first.end(180.0)
            with console(chain, first.run) as page, sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                tab = browser.new_page(viewport={"width": 1280, "height": 800})
                tab.goto(page.link)
                tab.wait_for_url("**/runs/*")
                found = []
                for name, walks, seconds in measure(repeats, chain, tab, picture):
                    found.append(seconds)
                    print(
                        f"{name:10s} {'walking' if walks else 'at rest':8s} {1e3 * seconds:7.0f} ms",
                        flush=True,
                    )
                noticed = frozen(page.log)
    missed = sum(seconds != seconds for seconds in found)
    median = statistics.median(found) if not missed else float("nan")
    print(
        f"{len(found)} stops, {missed} not seen; median {1e3 * median:.0f} ms, longest {1e3 * max(found):.0f} ms "
        f"(promised: median below {1e3 * BAR_S:.0f} ms); a frozen browser was said after {noticed:.1f} s"
    )
    raise SystemExit(0 if median < BAR_S and noticed == noticed else 1)


if __name__ == "__main__":
    typer.run(main)
