"""Stops: what could keep one from being one."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from safebo.experiments.robustness.faults.bench import TICK, damps
from safebo.experiments.robustness.faults.report import Report, fault
from safebo.experiments.robustness.guardian_world import World
from safebo.hardware.errors import HardwareInputError
from safebo.hardware.guardian.limits import LIMITS
from safebo.hardware.guardian.observation import RobotObservation
from safebo.hardware.guardian.states import Response, State
from safebo.hardware.guardian.thresholds import RANGES, read_limits
from safebo.hardware.link import messages as m
from safebo.hardware.link.stopped import NotStoppedError, stop_and_see

OFF = {
    **dict.fromkeys(("stop_hold", "stop_sit", "stop_damp", "remote_stop", "foreign_commands", "reboot"), 9),
    "tilt": 9,
    "body_rate": 1e6,
    "command_silence": 1e6,
    "battery_empty": -1,
    "height": -1,
    "state_age": 3600,
}
"""Thresholds that nothing crosses."""


@fault(
    33,
    "limits that switch a stop off",
    "limits files and options with thresholds that nothing crosses, of the wrong sign or unit; then a stop with "
    "every limit as loose as it can be",
)
def stops_switched_off(report: Report) -> None:
    """Nothing switches a stop off; other limits are only tightened, or loosened by name within a range."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "limits.yaml"
        for name, value in [*OFF.items(), ("tilt", -1), ("tilt", "30 deg"), ("tilt", 0.7)]:
            file.write_text(f"{name}: {value}\n")
            report.refused(f"{name}: {value} in a file", partial(read_limits, file), HardwareInputError, name)
            option = f"{name}={value}"
            report.refused(
                f"--tighten {option}", partial(read_limits, None, [option]), HardwareInputError, name
            )
            if value != 0.7:
                report.refused(
                    f"--loosen {option}", partial(read_limits, None, [], [option]), HardwareInputError, name
                )
        file.write_text("stop_damp: 9\n")
        report.operator = report.refused("stop_damp: 9", partial(read_limits, file), HardwareInputError)
    loosest = read_limits(None, [], [f"{name}={loosest}" for name, (_, loosest) in RANGES.items()])
    report.expect(
        sum(a != b for a, b in zip(loosest, LIMITS, strict=True)) == len(RANGES), "not all loosened"
    )
    for level, state in ((1, State.HOLD_LATCHED), (2, State.SIT_LATCHED), (3, State.DAMP_LATCHED)):
        world = World(0, limits=loosest)
        client = world.client()
        world.running(client)
        world.raw = [("tuner", client.channel.sealed(m.Stop(level, "")))]
        command = world.tick()
        report.expect(world.state is state, f"level {level}: {world.state.name}")
        report.expect(level < 3 or damps(world.state, command), "no damping")
    report.responded(0.0, TICK, "the tick in which it comes")
    report.operator = report.operator.replace(folder, "")
    report.shows(
        robot="every stop acts with every limit as loose as it can be",
        record="the guardian does not start; what is loosened stands in the first row of its log",
    )


def _stands(seen: RobotObservation) -> None:
    """A robot that is told to damp and goes on standing: its motors hold it."""
    seen.torque[:] = 8.0


def _turns(seen: RobotObservation) -> None:
    """One whose joints still move."""
    seen.reading.joint_velocity[:] = 1.0


@fault(
    34,
    "stop that the robot does not follow",
    "a walking robot is stopped: its motors go on holding it; its joints go on turning; nothing more is heard of it",
)
def stop_without_effect(report: Report) -> None:
    """A stop is done once the robot is seen to have stopped; else a person is told what to do, and soon."""
    world = World(0)
    client = world.client()
    world.running(client)
    for what, words in (
        (partial(setattr, world.robot, "edit", _stands), "holds 8.0 N m"),
        (partial(setattr, world.robot, "edit", _turns), "turns at 1.0 rad/s"),
        (partial(setattr, world.robot, "frozen", True), "newest state is"),
    ):
        what()
        begin = world.now
        report.operator = report.refused(
            "a stop without effect passed as one",
            partial(stop_and_see, client, Response.DAMP, "test"),
            NotStoppedError,
            words,
        )
        report.expect("remote (L2+B)" in report.operator, f"does not say what to do: {report.operator}")
        report.responded(world.now - begin, 3.0, "said within 3 s, with an exit code that is not 0")
    world.robot.edit, world.robot.frozen = lambda seen: None, False
    stopped = stop_and_see(client, Response.DAMP, "test")
    report.expect(
        stopped.seen.state == State.DAMP_LATCHED and stopped.rested < 0.1, f"not seen at rest: {stopped}"
    )
    report.shows(robot="as it is; joint damping is commanded", record="latched: stopped: joint damping")
