"""Every fault of the list that can be made in lock-step: what the robot did, the record says, the operator saw."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from safebo.experiments.robustness import page_faults, process_faults  # noqa: F401  page_faults adds to the list
from safebo.experiments.robustness.faults import bench
from safebo.experiments.robustness.faults.page import row, time_of
from safebo.experiments.robustness.faults.registry import NUMBERS, lock_step
from safebo.experiments.robustness.faults.report import Report
from safebo.hardware.guardian.limits import NOTHING, Limit, Watch
from safebo.hardware.guardian.states import State

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"


@pytest.fixture(scope="module", autouse=True)
def standing() -> Iterator[None]:
    """As many robots stand as one fault needs."""
    bench.stand_up(3)
    yield
    bench.READY.clear()


def made(place: int) -> Report:
    return lock_step()[place].report()


def report_of(place: int) -> Report:
    """A fault made in a fork, which has the robots that stand for itself."""
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as fork:
        return fork.submit(made, place).result(120.0)


FAULTS = lock_step()


@pytest.mark.parametrize("place", range(len(FAULTS)), ids=lambda i: f"{FAULTS[i].number} {FAULTS[i].name}")
def test_a_fault_is_answered_recorded_and_told(place: int) -> None:
    report, fault = report_of(place), FAULTS[place]
    assert not report.wrong
    assert report.robot
    assert report.record
    assert report.operator or fault.number in (1, 3, 4)  # a walk through small loss asks nobody anything


def test_no_fault_of_the_list_is_missing() -> None:
    made = [*lock_step(), *process_faults.FAULTS]
    assert {fault.number for fault in made} == set(NUMBERS)


def test_the_page_has_every_fault_and_none_that_went_wrong() -> None:
    text = PAGE.read_text()
    numbers = [int(n) for n in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)]
    assert set(numbers) == set(NUMBERS)
    assert len(numbers) == len(lock_step()) + len(process_faults.FAULTS)
    assert "NOT AS PROMISED" not in text


def test_a_guardian_that_does_not_look_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    blind = {"state_age", "state_silence", "tilt", "body_rate", "tuner_silence"}
    check = Watch.check

    def look_away(self: Watch, state: State, late: bool = False) -> Limit:
        limit = check(self, state, late)
        return NOTHING if limit.name in blind else limit

    monkeypatch.setattr(Watch, "check", look_away)
    found = {f.number: report_of(place).wrong for place, f in enumerate(FAULTS) if f.number in (5, 12, 24)}
    assert all(found.values()), found


def test_a_late_response_is_said_on_the_page() -> None:
    report = Report(99, "name", "how")
    report.responded(0.25, 0.2, "200 ms")
    assert "NOT AS PROMISED:** responded after 0.2500 s" in row(report, "L")
    assert time_of(report) == "250 ms; promised: 200 ms"
