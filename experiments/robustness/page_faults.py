"""What a page in a browser and its server can do to a robot that walks: nothing, killed or not.

Made with `safebo.experiments.robustness.process_faults`, whose virtual robot, guardian and tuners these are.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from safebo.experiments.robustness.console_stop import console
from safebo.experiments.robustness.faults.report import Report
from safebo.experiments.robustness.killed_runs import waited_for
from safebo.experiments.robustness.process_faults import Chain, StepMissedError, Tune, fault, signalled

PAGE = """
import http.client, json, sys, threading, time
from urllib.parse import urlsplit
link = urlsplit(sys.argv[1])
origin = f"{link.scheme}://{link.netloc}"
head = {"Origin": origin, "Content-Type": "application/json"}

def asked(method, path, body=None):
    connection = http.client.HTTPConnection(link.netloc, timeout=10)
    connection.request(method, path, None if body is None else json.dumps(body), head)
    return connection.getresponse()

entered = asked("POST", "/enter", {"token": link.fragment})
assert entered.status == 200, entered.read()
head["Cookie"] = entered.getheader("set-cookie").split(";")[0]
head["X-Safebo-CSRF"] = json.loads(asked("GET", "/session").read())["csrf"]
taken = asked("POST", "/owner", {"take": True})
assert taken.status == 200, taken.read()

def alive():
    while True:
        asked("POST", "/alive", {})
        time.sleep(1)

threading.Thread(target=alive, daemon=True).start()
while True:
    if asked("GET", f"/runs/{sys.argv[2]}/state").status == 200:
        print("seen", flush=True)
    time.sleep(0.2)
"""
"""A program that keeps a session as the page's own script does: it enters, takes control, lives, asks for the state."""


def walks(chain: Chain, tune: Tune, patience: float = 240.0) -> None:
    """Wait until another walk has begun, and half a second more.

    Raises:
        StepMissedError: none did.
    """
    begin = time.time()

    def begun() -> bool:
        return any(kind == "state" and "-> RUNNING" in words for _, kind, words in chain.events(begin))

    if not waited_for(lambda: begun() or tune.process.poll() is not None, patience) or not begun():
        raise StepMissedError(f"the robot does not walk: {tune.said[-300:]}")
    time.sleep(0.5)


@fault(
    58,
    "page and console killed",
    "SIGKILL to the browser's side, and to `safebo console`, while the robot walks",
)
def page_killed(report: Report, chain: Chain) -> None:
    """Who looks at a run is killed while the robot walks: first the page in control, then the console itself."""
    begin = time.time()
    tune = chain.tune(trials=4)
    tune.wait_for("RUNNING", patience=240.0)
    with console(chain, tune.run) as page:
        browser = subprocess.Popen(
            [sys.executable, "-c", PAGE, page.link, tune.run.name], stdout=subprocess.PIPE, text=True
        )
        assert browser.stdout is not None
        report.expect("seen" in browser.stdout.readline(), "the page hears nothing of the run")
        walks(chain, tune)
        report.expect(browser.poll() is None, "the page ended by itself before it was killed")
        since = len(page.log.read_text())
        at = signalled(browser.pid, signal.SIGKILL)
        browser.wait()
        told = waited_for(lambda: "says nothing any more" in page.log.read_text()[since:], 10.0)
        said = time.time() - at
        walks(chain, tune)
        signalled(page.process.pid, signal.SIGKILL)
    tune.demand_end(report, 0, patience=600.0)
    trouble = [words for _, kind, words in chain.events(begin) if kind in ("fault", "latch")]
    report.expect(told and said <= 10.0, f"a page in control that is gone was said after {said:.1f} s")
    report.expect(not trouble, f"robot: {trouble}")
    report.expect(tune.statuses() == [("told", "completed")] * 4, f"record: {tune.statuses()}")
    report.expect(all(steps.count("RUNNING") == 1 for steps in tune.steps().values()), "a trial ran twice")
    with console(chain, tune.run) as again:
        report.expect(again.link, "the console does not start again")
    report.shows(
        robot="walks on, every trial to its end",
        record="4 trials completed, each with its score; the console starts again on the same run",
        operator=f"console's terminal, {said:.1f} s after the page: the page in control says nothing any more; "
        "`safebo tune` goes on as if nobody had looked",
    )
