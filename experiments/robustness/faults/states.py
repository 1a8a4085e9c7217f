"""Faults of the robot's states on their way to the guardian: lost, late, twice, frozen, damaged, impossible."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

from safebo.experiments.robustness.faults.bench import (
    INTO,
    TICK,
    answer_time,
    comes_to,
    ended,
    latched_as,
    on_a_body,
    on_baseline,
    stays,
)
from safebo.experiments.robustness.faults.report import Report, fault
from safebo.experiments.robustness.faults.wire_robot import WireWorld
from safebo.experiments.robustness.robot_run import RobotRun, ScheduledWorld, TrialStory
from safebo.hardware.guardian.states import State
from safebo.hardware.guardian.telemetry import COLUMNS
from safebo.hardware.tuning.recording import read_telemetry
from safebo.types import TrialUnknownError

AGE, SILENCE = 0.1, 0.5  # s of the published limits


Entry = Mapping[str, object]
"""A fault as in a virtual robot's file of faults."""


def hurt(run: RobotRun, world: WireWorld, entry: Entry, number: int = 1) -> tuple[TrialStory, float]:
    """A trial into whose walk a fault of the virtual robot is injected; when it was, s."""
    return injected(run, world, partial(world.body.inject, **entry), number)


def injected(
    run: RobotRun, world: ScheduledWorld, make: Callable[[], object], number: int = 1
) -> tuple[TrialStory, float]:
    """A trial into whose walk a fault is made; when it was, s."""
    since: list[float] = []

    def inject() -> None:
        since.append(world.now)
        make()

    world.into_walk(INTO, inject)
    story = run.run(run.trial(number))
    return story, since[0] if since else math.nan


@fault(
    1, "random loss of states", "10 % of the state packets are thrown away while the robot walks, then 40 %"
)
def loss(report: Report) -> None:
    """The trial runs, its metrics go by time, and too much loss says nothing."""
    with on_a_body() as (run, world):
        story, _ = hurt(run, world, {"kind": "loss", "value": 0.1})
        ended(report, run, story, State.HOLD, "completed")
        assert story.measurement is not None
        share = story.measurement.extra["missing_states"]
        report.expect(0.03 < share < 0.13, f"share of missing states {share:.3f}")
        report.expect(world.body.counters.lost > 20, f"lost packets counted: {world.body.counters.lost}")
        second, _ = hurt(run, world, {"kind": "loss", "value": 0.4}, 2)
        ended(report, run, second, State.HOLD, "failed", "of the robot's states never came")
    report.shows(
        robot="walks on through 10 % and through 40 %",
        record=f"10 %: completed, {100 * share:.0f} % noted as missing; more than 25 %: says nothing about its gains",
    )


def _stood_down(report: Report, run: RobotRun, world: WireWorld, story: TrialStory) -> str:
    """Demand what is promised when the robot's clock says nothing new any more; what it did, in words."""
    since = world.guardian.stream.advanced
    held = answer_time(world, since, on_baseline)
    sat = answer_time(world, since, latched_as(State.SIT_LATCHED))
    report.responded(held, AGE + TICK, "baseline gains after 100 ms, standing down after 500 ms")
    report.expect(sat <= SILENCE + TICK, f"stood down after {sat:.3f} s")
    ended(report, run, story, story.state, "failed", "no new robot state")
    return f"baseline gains after {held:.3f} s, standing down after {sat:.3f} s"


@fault(2, "silence of states", "no state for 20 ms, for 0.3 s, and for good, while the robot walks")
def silence(report: Report) -> None:
    """20 ms are counted, 100 ms end the trial on baseline gains, 500 ms make the robot stand down."""
    with on_a_body() as (run, world):
        story, _ = hurt(run, world, {"kind": "silence", "for": 0.02})
        ended(report, run, story, State.HOLD, "completed")
        story, _ = hurt(run, world, {"kind": "silence"}, 2)
        report.record = ""
        stood_down = _stood_down(report, run, world, story)
        report.expect(
            story.state in (State.SIT_LATCHED, State.DAMP_LATCHED), f"robot: {story.state.name} in the end"
        )
        report.expect(comes_to(world, State.DAMP_LATCHED, 3.0), f"robot: {world.state.name} after 3 s")
    report.robot = f"20 ms: walks on. Then {stood_down}"


@fault(3, "duplicated packets", "every state comes twice")
def duplicates(report: Report) -> None:
    """Ignored and counted; commands and score are the same to the bit."""
    found = []
    for kind in ("none", "duplicate"):
        with on_a_body() as (run, world):
            entry = {"kind": kind} if kind == "duplicate" else {"kind": "loss", "value": 0.0}
            story, _ = hurt(run, world, entry)
            ended(report, run, story, State.HOLD, "completed")
            assert story.measurement is not None
            found.append((story.measurement.objective, dict(story.measurement.margins)))
            twice = world.body.counters.duplicate
    report.expect(found[0] == found[1], f"scores differ: {found}")
    report.expect(twice > 300, f"only {twice} duplicates were counted")
    report.shows(
        robot=f"walks on; {twice} duplicates counted and ignored",
        record="completed; objective and margins the same to the last bit",
    )


@fault(4, "reordering", "40 % of the states are overtaken by the next one")
def reordering(report: Report) -> None:
    """The newest wins; the controller never goes back in time."""
    with on_a_body() as (run, world):
        story, _ = hurt(run, world, {"kind": "reorder", "value": 0.4})
        ended(report, run, story, State.HOLD, "completed")
        record = next((run.folder / "trajectories").glob("*.mcap"))
        ticks = read_telemetry(record)[:, COLUMNS.index("tick")]
        report.expect((ticks[1:] >= ticks[:-1]).all(), "a tick went back in time")
        late = world.body.counters.late
        report.expect(late > 50, f"only {late} late states were counted")
    report.robot = f"walks on with the newest state; {late} overtaken ones dropped"


@fault(5, "frozen states", "packets come, and the robot's clock in them stands still")
def frozen(report: Report) -> None:
    """The same as silence: age is told by the robot's clock."""
    with on_a_body() as (run, world):
        story, _ = hurt(run, world, {"kind": "freeze"})
        report.robot = _stood_down(report, run, world, story)
        report.expect(world.body.counters.duplicate > 100, "frozen states were taken for news")


@fault(6, "impossible values", "states with a good checksum hold NaN, or 50 rad: two in a row, then ten")
def impossible(report: Report) -> None:
    """Refused before any use; three in a row damp the joints."""
    for kind in ("nan", "impossible"):
        with on_a_body() as (run, world):
            story, _ = hurt(run, world, {"kind": kind, "for": 2 * TICK})
            ended(report, run, story, State.HOLD, "completed")
            story, since = hurt(run, world, {"kind": kind}, 2)
            damped = answer_time(world, since, latched_as(State.DAMP_LATCHED))
            # injected after a tick, the first of three arrives with the next
            report.responded(damped, 3 * TICK, "the third in a row")
            report.record = report.operator = ""
            ended(report, run, story, State.DAMP_LATCHED, "failed", "impossible robot states")
            for record in (run.folder / "trajectories").glob("*.mcap"):
                values = read_telemetry(record)
                positions = values[:, [c.startswith("joint_position") for c in COLUMNS]]
                report.expect(abs(positions).max() < 7.0, f"{kind}: reached the record and the controller")
            stays(report, run, story.state)
    report.robot = f"two are passed over; joint damping {damped:.3f} s after the first of many"


@fault(7, "damaged packets", "30 % of the states have a wrong checksum, are cut short, or have a wrong head")
def damaged(report: Report) -> None:
    """Dropped and counted; more than 50 in a second end the trial."""
    slowest = 0.0
    for kind in ("bad_crc", "truncated", "bad_head"):
        with on_a_body() as (run, world):
            story, since = hurt(run, world, {"kind": kind, "value": 0.3})
            held = answer_time(world, since, on_baseline)
            slowest = max(slowest, held)
            report.record = report.operator = ""
            ended(report, run, story, State.HOLD_LATCHED, "failed", "damaged packets")
            count = world.body.counters.damaged
            report.expect(count > 50, f"{kind}: {count} counted")
            report.expect(0.1 < held < 1.0, f"{kind}: held after {held:.3f} s")
            stays(report, run, story.state)
    report.responded(slowest, 1.0, "the second in which 50 damaged packets have come")
    report.robot = "baseline gains, latched"


@fault(8, "restart of the robot", "the robot goes limp and silent, and its clock begins anew")
def restart(report: Report) -> None:
    """Joint damping, the lease is void, and of the trial nobody knows."""
    with on_a_body() as (run, world):
        story, since = hurt(run, world, {"kind": "reboot", "for": 0.05})
        damped = answer_time(world, since + 0.05, latched_as(State.DAMP_LATCHED))
        report.responded(damped, 2 * TICK, "the first state of the new clock")
        report.expect(
            isinstance(story.error, TrialUnknownError), f"record: {story.error!r}, {story.measurement}"
        )
        report.expect("restart" in story.message, f"operator: {story.message}")
        report.expect(not world.guardian.lease.session, "the lease is still at work")
        at_work = world.guardian.machine.gains_at_work()
        report.expect(at_work == world.table.baseline, "the gains at work are not the baseline")
        report.operator = story.message.split(";")[0]
        stays(report, run, story.state)
    report.shows(
        robot="joint damping; the lease is void; a person has to clear it",
        record="trial unknown until a person says; its raw file is kept",
    )
