"""Faults between the tuner and the guardian: clocks, silence, lost answers, two operators, wrong gains, versions."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, replace
from functools import partial
from unittest import mock

import numpy as np

from safebo.experiments.robustness.faults.bench import (
    INTO,
    TICK,
    answer_time,
    commands_of,
    damps,
    ended,
    on_a_stand_in,
    on_baseline,
    stays,
)
from safebo.experiments.robustness.faults.report import Report, fault
from safebo.experiments.robustness.faults.states import injected
from safebo.experiments.robustness.guardian_world import TROT, World
from safebo.hardware.errors import DdsVersionError, HardwareInputError, LinkError
from safebo.hardware.guardian.bounds import ControllerGains
from safebo.hardware.guardian.states import State
from safebo.hardware.link import messages as m
from safebo.hardware.link.client import GuardianClient
from safebo.hardware.link.digest import trial_digest
from safebo.hardware.link.frame import VERSION
from safebo.hardware.link.proxy import Faults
from safebo.hardware.unitree.dds import PHYSICAL_VERSION, DdsNetwork, check_version
from safebo.types import NotStartedError, RobotAddress

HOUR = 3600.0


@contextmanager
def wall_clock(offset: list[float]) -> Iterator[None]:
    """A wall clock that is wrong by as much as `offset` says, s; monotonic clocks go on as they do."""
    right, right_ns = time.time, time.time_ns

    def wrong() -> float:
        return right() + offset[0]

    def wrong_ns() -> int:
        return right_ns() + int(1e9 * offset[0])

    with mock.patch("time.time", wrong), mock.patch("time.time_ns", wrong_ns):
        yield


@fault(
    9, "jump of the wall clock", "the wall clock jumps an hour ahead, then two back, while the robot walks"
)
def wall_clock_jump(report: Report) -> None:
    """No effect: every command is the same to the bit."""
    found = []
    for jumps in (False, True):
        offset = [0.0]
        with wall_clock(offset), on_a_stand_in() as (run, world):
            for moment, jump in ((0.2, HOUR), (0.6, -HOUR)) if jumps else ():
                world.into_walk(moment, partial(offset.__setitem__, 0, jump))
            story = run.run(run.trial())
            ended(report, run, story, State.HOLD, "completed")
            found.append(commands_of(world))
    report.expect(np.array_equal(found[0], found[1]), "the commands differ")
    report.shows(
        robot=f"the same {len(found[0])} commands, to the bit",
        operator="nothing",
    )


@fault(
    10,
    "other clock at the tuner",
    "the tuner's clock is 1,000 s off and 5 % fast; a start comes a minute late",
)
def drifting_clock(report: Report) -> None:
    """Durations go over the link, and moments never do; what comes too late is refused."""
    world = World(0)
    client = world.client()
    client.time = lambda: 1000.0 + 1.05 * world.now
    world.standing(client)
    client.start(world.armed(client), 2.0)
    begin = world.now
    client.wait_for(lambda s: s.outcome != 0, 10.0)
    lasted = world.guardian.machine.now - begin - TROT.settle
    report.expect(abs(lasted - 2.0) < 0.15, f"a walk of 2 s took {lasted:.3f} s of the robot's time")
    report.expect(world.guardian.run.outcome == 1, f"outcome {world.guardian.run.outcome}")
    token = world.armed(client, 2)
    client.pump(61.0 * 1.05)
    moved = _starts(world)
    report.operator = report.refused(
        "a start was accepted a minute after arming", lambda: client.start(token, 2.0)
    )
    report.expect(_starts(world) == moved, "it ran")
    report.shows(
        robot="walks for the two seconds of its own clock; the late start is refused",
        record="completed; late: not started",
    )


def _starts(world: World) -> int:
    """How often a walk has begun."""
    return sum("RUNNING by START" in row.message for row in world.events)


def _silent_tuner(report: Report, seconds: float) -> tuple[World, GuardianClient]:
    """A running trial whose tuner says nothing for so long."""
    world = World(0)
    client = world.client()
    world.running(client)
    since, held, sat = world.now, math.inf, math.inf
    newest = client._beat
    while world.now < since + seconds:
        world.tick()
        silent = world.now - TICK - newest
        if world.state is not State.RUNNING:
            held = min(held, silent)
        if world.state is State.SIT_LATCHED:
            sat = min(sat, silent)
    world.forget("tuner")
    report.responded(
        held, 0.2, "baseline gains within 200 ms of the last heartbeat, standing down within 1 s"
    )
    report.expect(sat <= 1.0, f"stood down after {sat:.3f} s")
    report.robot = f"baseline gains after {held:.3f} s, standing down after {sat:.3f} s"
    return world, client


@fault(12, "frozen tuner", "the tuner is silent for 5 s in a trial, then sends what it had wanted to send")
def frozen_tuner(report: Report) -> None:
    """The guardian acts by itself; the tuner's lease is dead when it comes back."""
    world, client = _silent_tuner(report, 5.0)
    epoch = world.guardian.lease.epoch
    for request in (m.Stand(), m.Start(token=world.guardian.run.token, duration=5.0), m.Abort(trial=1)):
        report.refused(
            f"{type(request).__name__} was granted", partial(client.ask, request), answer="(NO_LEASE)"
        )
    world.run(2.0)
    report.expect(world.state is State.DAMP_LATCHED, f"robot: {world.state.name}")
    report.expect(world.guardian.lease.epoch == epoch, "the old lease came back")
    report.shows(
        record="failed: the tuner was gone",
        operator="the lease is not at work",
    )


@fault(14, "operator's terminal frozen", "a person approves, and the terminal passes it on only 61 s later")
def frozen_operator(report: Report) -> None:
    """An approval holds for a minute; older ones count for nothing. (A closed terminal: see the real processes.)"""
    with on_a_stand_in() as (run, world):
        trial = run.trial()
        run.approve(trial)
        later = time.monotonic() + 61.0
        with mock.patch("safebo.hardware.tuning.evaluator.time.monotonic", return_value=later):
            story = run.run(trial, approved=False)
        report.expect(isinstance(story.error, NotStartedError), f"{story.error!r}")
        report.expect("approval is 61 s old" in story.message, story.message)
        report.expect(State.RUNNING not in [s for _, s, _ in world.history], "it ran")
        report.record, report.operator = f"steps: {' '.join(story.steps)}; not started", story.message
    report.robot = "gets up, does not walk"


@fault(15, "double approval, two operators", "every packet comes twice; a second tuner wants the robot")
def twice(report: Report) -> None:
    """A request is done once however often it comes; the second hears who holds the lease."""
    with on_a_stand_in(Faults(duplicate=1.0), Faults(duplicate=1.0)) as (run, world):
        trial = run.trial()
        run.approve(trial)
        words: list[str] = []

        def second() -> None:
            with_lease = world.guardian.lease.session
            # a client of its own, whose packets are put straight into this tick
            intruder = m.AcquireLease(request=1, name="second tuner")
            reply = world.guardian._requests.answer(world.now, with_lease + 1, intruder)
            words.append(f"{m.Code(reply.code).name}: {reply.detail}")

        world.into_walk(INTO, second)
        story = run.run(trial)
        ended(report, run, story, State.HOLD, "completed")
        starts = [w for kind, w in story.kinds if "ARMED -> RUNNING" in w]
        report.expect(len(starts) == 1, f"{len(starts)} starts")
        report.expect(story.steps.count("RUNNING") == 1, f"steps {story.steps}")
        report.expect(words == ["LEASE_HELD: tuner 1 holds the lease"], f"the second hears {words}")
        again = run.run(trial, approved=False)
        report.expect(isinstance(again.error, NotStartedError), "the same approval counted twice")
    report.shows(
        robot="walks once",
        record=f"one row of each step: {' '.join(story.steps)}",
        operator=words[0],
    )


@fault(
    16, "proposal or state changed after approval", "the gains change after approval; the battery gets low"
)
def changed(report: Report) -> None:
    """An approval is bound to exactly these gains, and to a robot that is fit."""
    with on_a_stand_in() as (run, world):
        trial = run.trial()
        run.approve(trial)
        other = replace(trial, parameters={**trial.parameters, "joint.hip.kp": 71.0})
        story = run.run(other, approved=False)
        report.expect("not approved" in story.message, story.message)
        report.operator = story.message
        world.robot.edit = lambda seen: setattr(seen, "battery", 25.0)
        story = run.run(trial, approved=False)
        report.expect("battery is low" in story.message, story.message)
        report.expect(story.steps == ["APPROVED"], f"steps {story.steps}")
        report.expect(not [s for _, s, _ in world.history if s is State.RUNNING], "it ran")
    report.robot, report.record = "does not walk", "approved, not started"


@fault(17, "reply to set-gains lost", "everything from the guardian is lost for 80 ms, then for good")
def reply_lost(report: Report) -> None:
    """The same request is sent again; gains that were not verified never start."""
    with on_a_stand_in() as (run, world):
        proxy = world._down["tuner 1"]

        def cut(seconds: float) -> None:
            proxy.faults = Faults(cut=[(world.now, world.now + seconds)])

        hear = world.guardian.staging.set_gains
        lost = [0.08]

        def lose(slot: int, values: tuple[float, ...]) -> str:
            if lost:
                cut(lost.pop())
            return hear(slot, values)

        world.guardian.staging.set_gains = lose  # type: ignore[method-assign]
        story = run.run(run.trial(1, 91.0))
        ended(report, run, story, State.HOLD, "completed")
        gains = {float(c.kp[0]) for _, s, c in world.history if s is State.RUNNING}
        report.expect(gains == {91.0}, f"walked with {gains}")
        report.expect(run.client.counters.retries > 0, "nothing was sent again")
        lost.append(1e6)
        begin = len(world.history)
        story = run.run(run.trial(2, 92.0))
        report.expect(isinstance(story.error, NotStartedError), f"{story.error!r}")
        states = {s for _, s, _ in world.history[begin:]}
        report.expect(State.RUNNING not in states and State.ARMED not in states, f"states {states}")
        report.expect(story.steps == ["APPROVED"], f"steps {story.steps}")
        report.operator = str(story.error)
    report.shows(
        robot="walks with exactly the approved gains, or not at all",
        record="sent again: completed; lost for good: not started",
    )


@fault(
    18, "half-applied gains", "half of a trial's gains are replaced before it is armed; half a set is sent"
)
def half_applied(report: Report) -> None:
    """All or none: the digest of what is held has to be that of what was meant."""
    with on_a_stand_in() as (run, world):
        hear = world.guardian.staging.set_gains

        def half(slot: int, values: tuple[float, ...]) -> str:
            return hear(slot, (*values[:3], *world.table.baseline[3:]))

        world.guardian.staging.set_gains = half  # type: ignore[method-assign]
        other = tuple(1.01 * v for v in world.table.baseline)
        client = run.client
        client.acquire()
        report.operator = report.refused(
            "half a set was taken for all of it", lambda: client.set_gains(other), LinkError
        )
        del world.guardian.staging.set_gains
        client.set_gains(world.gains(90.0))
        client.set_walk(TROT)
        client.stand()
        client.wait_for(lambda s: s.state == State.HOLD, 5.0)
        client.pump(1.0)
        for digest in (trial_digest(world.table.identity, world.gains(91.0), [], TROT, None), bytes(32)):
            report.refused(
                "armed with other gains than were meant",
                partial(client.arm, 1, digest, patience=1.0),
                answer="(DIGEST_MISMATCH)",
            )
        five = m.SetGains(slot=0, table=world.table.identity, values=bytes(8 * 5))
        report.refused("five gains were taken for a set", lambda: client.ask(five), answer="(BAD_VALUE)")
        held = tuple(client.get_gains(0).tolist())
        report.expect(held == world.gains(90.0), "the set that was held has changed")
        report.expect(tuple(client.get_gains().tolist()) == world.table.baseline, "not on baseline gains")
    report.robot, report.record = "stays on baseline gains", "not started"


@fault(
    19,
    "gain out of bounds, NaN, wrong order",
    "the optimizer sends 10,000 N m/rad, NaN, another table's order",
)
def wrong_gains(report: Report) -> None:
    """Refused on the robot's side whatever the study says; the run stops."""
    with on_a_stand_in() as (run, world):
        for number, bad in enumerate((1e4, -1.0, math.nan, math.inf), 1):
            trial = replace(
                run.trial(number), parameters={**run.trial(10 + number).parameters, "joint.hip.kp": bad}
            )
            story = run.run(trial)
            report.expect(story.error is not None and story.measurement is None, f"{bad}: {story}")
            report.expect("ARMED" not in story.steps, f"{bad}: {story.steps}")
            report.operator = report.operator or story.message
        report.expect(not [s for _, s, _ in world.history if s is State.RUNNING], "it ran")
        client = run.client
        client.acquire()
        for bad in (1e4, math.nan):
            ask = partial(client.set_gains, world.gains(bad))
            report.refused(f"the guardian took {bad}", ask, (LinkError, ValueError))
        right = world.table
        turned = ControllerGains(*(values[::-1] for values in astuple(right)))
        report.expect(turned.identity != right.identity, "the order does not show in the table's identity")
        other = m.SetGains(slot=0, table=turned.identity, values=bytes(8 * len(right.names)))
        report.refused("gains in another order were taken", lambda: client.ask(other), answer="(WRONG_TABLE)")
        run.evaluator._table = turned
        failed = [c.name for c in run.evaluator.preflight() if not c.passed]
        report.expect("gain table" in failed, f"checks that failed: {failed}")
    report.robot, report.record = "does not walk", "not started; the run stops"


@fault(20, "Ctrl-C once, twice", "a person asks to stop while the robot walks, and again")
def asked_to_stop(report: Report) -> None:
    """Once: baseline gains and a record; twice: joint damping. (By real signals: see the real processes.)"""
    with on_a_stand_in() as (run, world):
        story, since = injected(run, world, partial(setattr, run, "stops", 1))
        held = answer_time(world, since, on_baseline)
        ended(report, run, story, State.HOLD, "failed", "on request")
        run.stops = 0
        story, since = injected(run, world, partial(setattr, run, "stops", 2), 2)
        damped = answer_time(world, since, damps)
        report.responded(max(held, damped), 0.1, "0.1 s")
        ended(report, run, story, State.DAMP_LATCHED, "failed")
        stays(report, run, story.state)
    report.robot = f"once: baseline gains after {held:.3f} s; twice: joint damping after {damped:.3f} s"


@fault(
    29, "wrong network", "a virtual robot where a physical one is meant, the other way round, another serial"
)
def wrong_network(report: Report) -> None:
    """Refused before anything is on the network, or by the checks before the first trial."""
    with on_a_stand_in() as (run, world):
        address = run.evaluator._address
        assert isinstance(address, RobotAddress)
        welcome = run.evaluator._welcome
        cases = {
            "asked for was the physical one": (replace(address, serial="12-345"), welcome),
            "--physical": (address, replace(welcome, virtual=0)),
            "serial 7-7; asked for": (
                replace(address, serial="1-1"),
                replace(welcome, virtual=0, serial="7-7"),
            ),
            "the study is for a go1": (address, replace(welcome, robot="go2")),
        }
        for said, (where, there) in cases.items():
            run.evaluator._address, run.evaluator._welcome = where, there
            failed = [c for c in run.evaluator.preflight() if not c.passed]
            report.expect([c.name for c in failed] == ["robot"], f"{said}: {failed}")
            report.expect(said in failed[0].message, f"{said!r} is not in {failed[0].message!r}")
            report.operator = report.operator or failed[0].message
        report.expect(world.state in (State.REST, State.DISCONNECTED), f"robot: {world.state.name}")
    for network in (DdsNetwork("lo", 0, physical=True), DdsNetwork("no-such-interface", 1)):
        report.refused(f"{network} was accepted", network.check, HardwareInputError)
    report.robot, report.record = "nothing moves", "no trial is asked for"


@fault(
    30,
    "stop in the middle of things",
    "a stop while a start is under way, and another in the stop; 40 % loss",
)
def stop_wins(report: Report) -> None:
    """A stop wins in the tick it comes in, is latched, and is repeated until a State shows it."""
    world = World(0)
    client, other = world.client("tuner"), world.client("somebody")
    world._up["somebody"].faults = world._down["somebody"].faults = Faults(drop=0.4)
    world.standing(client)
    token = world.armed(client)
    other.connect()
    world.forget("somebody")
    # both into the same tick: the start first
    world.raw = [
        (
            "tuner",
            client.channel.sealed(
                m.Start(token=token, duration=5.0, request=client._next_id(), epoch=client.epoch)
            ),
        ),
        ("somebody", other.channel.sealed(m.Stop(3, "in the middle"))),
    ]
    command = world.tick()
    report.expect(damps(world.state, command), f"the start won: {world.state.name}")
    seen = other.stop(reason="again")
    report.expect(seen, "no State showed the second stop")
    report.expect(world.state is State.DAMP_LATCHED, f"robot: {world.state.name}")
    latch = world.guardian.latch

    def clear_at_once() -> None:
        client.epoch = client.epoch or client.acquire()
        client.clear(latch.token)

    report.refused("cleared in one step", clear_at_once, LinkError)
    report.responded(0.0, TICK, "the tick in which it comes")
    report.shows(
        robot="joint damping in the same tick, latched",
        record="failed: stopped",
        operator=latch.message,
    )


@fault(32, "version skew", "another protocol version, another DDS version than the robot's")
def versions(report: Report) -> None:
    """Refused in the first packet, or before the robot's network is joined."""
    world = World(0)
    world.run(1.2)
    client = world.client()
    hello = m.Hello(7, VERSION + 1, VERSION + 3, "from the future")
    with mock.patch("safebo.hardware.link.client.Hello", return_value=hello):
        old = report.refused(
            "another version was welcomed", lambda: client.connect(1.0), LinkError, f"version {VERSION}"
        )
    words = [
        report.refused(
            f"cyclonedds {version} may join a physical robot",
            partial(check_version, True, version),
            DdsVersionError,
        )
        for version in ("11.0.1", "0.10.5", None)
    ]
    report.operator = f"{old}; {words[0]}"
    check_version(True, PHYSICAL_VERSION)
    report.robot, report.record = "hears nothing", "no run begins"
