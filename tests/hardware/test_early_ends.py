"""Trials behind the bridge end early by the simulation's rule, from telemetry that comes while they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from present import present
from test_tuning import walked

from safebo.experiments.robustness.robot_run import RobotRun, ScheduledWorld
from safebo.hardware.constants import MAX_LIVE_ROWS
from safebo.hardware.errors import LinkError
from safebo.hardware.guardian.states import State
from safebo.hardware.guardian.telemetry import COLUMNS
from safebo.hardware.link import messages as m
from safebo.hardware.link.client import GuardianClient, RefusedError
from safebo.hardware.tuning.running_walk import RunningWalk
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.quadruped.controller import SETTLE
from safebo.storage.trial_log import KIND
from safebo.types import EarlyEnd, FloatArray, Measurement, Trial

pytestmark = pytest.mark.slow

SECONDS = 2.0
BROKEN = EarlyEnd(("height",))
"""The robot of the lock-step world hangs in its joints: its height is always broken, its tracking perfect."""
KEPT = EarlyEnd(("tracking",))
Make = Callable[[Mapping[str, Any]], RobotRun]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    runs: list[RobotRun] = []

    def made(options: Mapping[str, Any]) -> RobotRun:
        run = RobotRun(tmp_path, ScheduledWorld(), options={"seconds": SECONDS, **options})
        runs.append(run)
        return run

    yield made
    for run in runs:
        run.close()


def local(run: RobotRun, rule: EarlyEnd | None) -> Trial:
    return replace(run.trial(), phase="local", early_end=rule)


def measured(run: RobotRun, rule: EarlyEnd | None) -> Measurement:
    story = run.run(local(run, rule))
    assert story.error is None
    assert story.state is State.HOLD
    return present(story.measurement)


def running_seconds(run: RobotRun) -> float:
    walked = [t for t, state, _ in run.world.history if state is State.RUNNING]
    return walked[-1] - walked[0]


def ended_event(run: RobotRun) -> Mapping[str, Any]:
    return next(e for e in run.journal.events() if e.kind == KIND and e.data["state"] == "ENDED").data


def test_a_broken_margin_ends_the_trial_with_the_baseline_gains(make: Make) -> None:
    run = make({})
    trial = local(run, BROKEN)
    story = run.run(trial)
    found = present(story.measurement)
    assert (found.outcome, found.ended, found.message, found.fell) == ("completed", "unsafe", "", False)
    assert found.margins["height"] < 0
    # The ramp and its settling take a second, one stride half of one; then the newest rows have to come.
    assert 1.5 <= found.duration < 1.7
    assert present(found.strides).count == 1
    assert found.objective is not None
    assert story.steps == ["APPROVED", "ARMED", "RUNNING", "ENDED", "SCORED"]
    # No latch: stood at once on the baseline gains, ready for the next trial.
    assert story.state is State.HOLD
    assert ended_event(run)["ended"] == "unsafe"
    assert running_seconds(run) == pytest.approx(SETTLE + found.duration, abs=0.01)
    # Scored again from the raw record, as after a crash, it is the same.
    again = run.evaluator.score(trial, ended_event(run))
    assert (again.outcome, again.ended, again.objective, again.margins) == (
        "completed",
        "unsafe",
        found.objective,
        found.margins,
    )


class Recorded:
    """Gives a recorded walk's telemetry as if it went on: so many rows more at every look."""

    def __init__(self, rows: FloatArray, pace: int) -> None:
        self.rows, self.pace, self.come = rows, pace, 0

    def telemetry(self, trial: int, columns: int, first: int, most: int, patience: float) -> FloatArray:
        self.come = min(len(self.rows), self.come + self.pace)
        return self.rows[first : min(self.come, first + most)]


@pytest.fixture(scope="module")
def real_walk() -> tuple[LeggedEvaluator, FloatArray]:
    """A walk on the simulation's plant, tracked too badly for its limit, and what evaluates it."""
    return walked(seconds=2.5, limits={"tracking": 0.02})


@pytest.mark.parametrize(
    "rule",
    [
        EarlyEnd(("tracking",)),
        EarlyEnd(("height",), settled=1e6),
        EarlyEnd(("height",), dominated=-1e-9, least=1.0),
    ],
)
def test_a_recorded_walk_ends_where_the_simulations_walk_does(
    rule: EarlyEnd, real_walk: tuple[LeggedEvaluator, FloatArray]
) -> None:
    legged, rows = real_walk
    simulated = legged.walk({}, {}, 0, early_end=rule)
    assert simulated.ended
    for pace in (1, 7, 40):
        client = Recorded(rows, pace)
        running = RunningWalk(legged, Trial(1, {}, {}, "default", "local", 0, True), {}, rule, 0.002)
        why = ""
        while not why and len(running.rows) < len(rows):
            why = running.look(cast(GuardianClient, client))
        assert why == simulated.ended
        # In the row in which the simulation ends it, or in the piece that brought that row.
        assert 0 <= len(running.rows) - len(simulated) < min(pace, MAX_LIVE_ROWS)
        assert np.array_equal(running.rows, rows[: len(running.rows)])


def test_a_margin_that_is_kept_or_no_constraint_ends_nothing(make: Make) -> None:
    run = make({})
    found = measured(run, KEPT)
    assert (found.outcome, found.ended) == ("completed", "")
    assert found.duration == pytest.approx(SECONDS, abs=0.01)
    assert found.margins["height"] < 0
    assert "ended" not in ended_event(run)


def test_a_settled_trial_ends_as_well(make: Make) -> None:
    found = measured(make({"seconds": 3.0}), EarlyEnd(("tracking",), settled=1e6))
    assert (found.outcome, found.ended) == ("completed", "settled")
    assert found.duration < 2.8
    assert found.margins["tracking"] >= 0


def test_a_lost_piece_is_asked_for_later(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = GuardianClient.telemetry, [0]

    def lossy(self: GuardianClient, *arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] % 3 == 0 and len(arguments) > 3:
            raise LinkError("was not answered")
        return real(self, *arguments)

    monkeypatch.setattr(GuardianClient, "telemetry", lossy)
    found = measured(make({}), BROKEN)
    assert found.ended == "unsafe"
    assert found.duration < 1.8


def test_a_guardian_that_refuses_lets_it_walk_to_its_end_and_says_so(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = GuardianClient.telemetry

    def refused(self: GuardianClient, *arguments: Any) -> Any:
        if len(arguments) > 3:
            raise RefusedError(m.Fetch(trial=1), m.Reply(code=m.Code.NOT_READY))
        return real(self, *arguments)

    monkeypatch.setattr(GuardianClient, "telemetry", refused)
    found = measured(make({}), BROKEN)
    assert (found.outcome, found.ended) == ("completed", "")
    assert found.margins["height"] < 0
    assert "could not end early" in found.message


def test_a_person_who_stops_it_is_not_taken_for_the_rule(make: Make) -> None:
    run = make({})
    run.world.into_walk(0.5, lambda: setattr(run, "stops", 1))
    story = run.run(local(run, BROKEN))
    found = present(story.measurement)
    assert (found.outcome, found.ended) == ("failed", "")
    assert "on request" in found.message


def test_what_came_while_it_ran_is_what_is_kept(make: Make) -> None:
    run = make({"seconds": 1.0})
    story = run.run(local(run, KEPT))
    assert present(story.measurement).ended == ""
    with run.session.client() as client:
        rows = client.telemetry(1, len(COLUMNS))
        again = client.telemetry(1, len(COLUMNS), 100, 50)
    assert np.array_equal(again, rows[100:150])
    assert np.array_equal(np.diff(rows[:, COLUMNS.index("walk_time")]) > 0, np.ones(len(rows) - 1, bool))
