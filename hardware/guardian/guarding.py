"""From a robot's link and the options to a guardian at work, until it is asked to end."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import SystemRandom

from safebo.hardware.adapters.relay import relay
from safebo.hardware.constants import CONTROL_RATE_HZ, START_CHECK_S
from safebo.hardware.errors import HardwareError, HardwareInputError
from safebo.hardware.guardian.announcer import Announcer
from safebo.hardware.guardian.core import Guardian
from safebo.hardware.guardian.description import changed
from safebo.hardware.guardian.dry_run import warm_up
from safebo.hardware.guardian.event_log import EventLog
from safebo.hardware.guardian.flight_recorder import FlightRecorder
from safebo.hardware.guardian.flight_writer import FlightWriter
from safebo.hardware.guardian.options import GuardianOptions, GuardianSettings
from safebo.hardware.guardian.pace import GuardianPace, OwnPace, RobotPace, WaitingLink
from safebo.hardware.guardian.process import GuardianProcess
from safebo.hardware.guardian.real_time import NOT_ASKED, RealTime, follow, request_real_time
from safebo.hardware.guardian.service import GuardianService
from safebo.hardware.guardian.staging import GuardedController
from safebo.hardware.guardian.start_row import change_words, start_row
from safebo.hardware.guardian.state_machine import EventRow
from safebo.hardware.guardian.tick_check import measure_ticks, verdict
from safebo.hardware.guardian.tick_times import TickWatch
from safebo.hardware.guardian.walker import QuadrupedWalker
from safebo.hardware.link.connecting import RobotCommands
from safebo.hardware.link.udp import EVERYWHERE, LOOPBACK, UdpServer
from safebo.robots.descriptions.model import RobotModel
from safebo.text.command import say_if_heard
from safebo.text.signals import ending_signals_to


@contextmanager
def ending_at_once() -> Iterator[None]:
    """A signal ends the process there and then, while nothing is commanded yet.

    Ctrl-C's exception in the middle of a compilation leaves the compiler broken: what followed was an internal error,
    and may be a fault in compiled code.
    """

    def end(*_: object) -> None:
        os.write(2, b"stopped\n")
        os._exit(1)

    with ending_signals_to(end):
        yield


def ready_controller(robot: RobotModel, settings: GuardianSettings) -> GuardedController:
    """What walks: the built-in controller, compiled, or the relay to the user's own."""
    own = settings.controller
    if own is None:
        begin = time.monotonic()
        say_if_heard(
            f"loading the controller of {robot.name}; a first start compiles it, for a minute or two"
        )
        walker = QuadrupedWalker(robot, CONTROL_RATE_HZ, settings.options.adaptive_contact)
        controller = GuardedController(walker, settings.table)
        with ending_at_once():
            warm_up(robot, controller)
        say_if_heard(f"controller of {robot.name} ready after {time.monotonic() - begin:.1f} s")
        return controller
    # A restart of the controller may take seconds: it has a thread to itself.
    executor = ThreadPoolExecutor(1, thread_name_prefix="gains", initializer=follow)
    relayed, keeper = relay(own, robot, executor, not settings.options.physical, CONTROL_RATE_HZ)
    say_if_heard(f"relaying to {own.name} at {LOOPBACK}:{own.port}")
    controller = GuardedController(relayed, settings.table, keeper)
    with ending_at_once():
        warm_up(robot, controller)
    return controller


class EndRequests:
    """Requests to end the guardian, by signals.

    Args:
        say: is told what follows. Not in the handler, which may have interrupted a line that is being printed.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        self._asked = self._said = 0
        self._say = say

    def take_signals(self) -> None:
        """From now on a signal is a request."""
        signal.signal(signal.SIGINT, self._ask)
        signal.signal(signal.SIGTERM, self._ask)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup` ignores it on purpose
            signal.signal(signal.SIGHUP, self._ask)

    def count(self) -> int:
        """How many there were."""
        if self._asked > self._said:
            self._said = self._asked
            first = self._said == 1
            self._say("standing down; once more for joint damping at once" if first else "joint damping")
        return self._asked

    def _ask(self, *_: object) -> None:
        self._asked += 1


def guard(
    link: WaitingLink,
    robot: RobotModel,
    controller: GuardedController,
    settings: GuardianSettings,
    real_time: RealTime,
    where: str,
) -> None:
    """Prepare the robot and guard it until asked to end."""
    announcer = Announcer(say_if_heard)
    requests = EndRequests(announcer)
    server = UdpServer(settings.options.listen, settings.options.port)
    log = EventLog(settings.options.log, say_if_heard)
    try:
        say_if_heard(f"waiting for the {robot.name} at {where}")
        for line in link.prepare(settings.options.patience):
            say_if_heard(f"  {line}")
    except BaseException:
        link.close()
        server.close()
        announcer.close()
        raise
    requests.take_signals()
    virtual, period = not settings.options.physical, 1.0 / CONTROL_RATE_HZ
    own_clock = settings.options.on_own_clock
    # A virtual robot's clock may run slow, and what counts then is the work, not how long others kept us from it.
    clock = time.perf_counter if own_clock else time.thread_time
    pace: GuardianPace = OwnPace(period) if own_clock else RobotPace(period)
    watch = TickWatch(period) if own_clock else None
    with ThreadPoolExecutor(1, thread_name_prefix="monitors", initializer=follow) as executor:
        guardian = Guardian(
            robot, controller, executor, SystemRandom(), clock, settings.limits, CONTROL_RATE_HZ
        )
        boot = secrets.randbelow((1 << 32) - 1) + 1
        service = GuardianService(guardian, settings.key, boot, virtual, link.serial(), CONTROL_RATE_HZ)
        host, port = server.address
        log.put([start_row(service, settings.key, f"{host}:{port}", where, settings.controller)])
        for words in change_words(changed(settings.limits)):
            say_if_heard(f"  limit {words}")
        accepted = settings.options.accept_jitter
        granted = [
            *map(str, real_time.grants),
            *([f"late ticks are accepted: {accepted}"] if accepted else []),
        ]
        log.put(EventRow(0.0, "real-time", message) for message in granted)
        clear = RobotCommands(
            f"{LOOPBACK if host == EVERYWHERE else host}:{port}", settings.options.key
        ).clear
        writer = flights = None
        if settings.options.log is not None:
            writer = FlightWriter(robot, service.described, announcer)
            flights = FlightRecorder(guardian, settings.options.log.parent, writer.keep)
            writer.give_back = flights.spare.append
        process = GuardianProcess(
            link, service, server, pace, log, announcer, real_time, watch, clear, flights
        )
        kind = "virtual" if virtual else "PHYSICAL"
        say_if_heard(f"ready: guarding a {kind} {robot.name}, serial {link.serial()}, on {host}:{port}")
        try:
            left = process.run(requests.count)
        finally:
            if writer is not None:
                writer.close()
            announcer.close()
    if watch is not None:
        say_if_heard(verdict(watch.times)[1] + f"; {watch.late} late")
    say_if_heard(f"ended: the joints are damped and at rest; {left}")


def prepare_real_time(robot: RobotModel, options: GuardianOptions) -> RealTime:
    """Ask the system for punctual ticks and say what was got; for a physical robot they are measured too.

    Nothing is asked for on a virtual robot's clock, which waits: many of them may run on one machine, and beside
    real-time loops on one core its other programs would starve.

    Raises:
        HardwareError: ticks are not punctual enough for a physical robot, and nobody has accepted that.
    """
    if not options.on_own_clock:
        return NOT_ASKED
    real_time = real_time_on(options.core)
    for grant in real_time.grants:
        say_if_heard(f"  {grant}")
    if not options.physical:
        return real_time
    say_if_heard(f"measuring ticks for {START_CHECK_S:g} s before the robot is touched")
    with ThreadPoolExecutor(1, initializer=follow) as beside, ThreadPoolExecutor(1) as loop:
        # in a thread of its own: those of the robot's link, started later by this one, are not to be on the loop's core
        work = loop.submit(measure_ticks, robot, START_CHECK_S, beside, real_time.lead, say_if_heard)
        times = work.result()
    punctual, message = verdict(times)
    say_if_heard(message)
    faults = [str(grant) for grant in real_time.missing] + ([] if punctual else [message])
    if faults and not options.accept_jitter:
        raise HardwareError(
            "a physical robot is not guarded here: "
            + "; ".join(faults)
            + '. docs/real-time.md says what to do; --accept-jitter "WHY" takes the risk, which is written into the log'
        )
    return real_time


def real_time_on(core: int | None) -> RealTime:
    """What the system grants.

    Raises:
        HardwareInputError: that core may not be used.
    """
    try:
        return request_real_time(core)
    except ValueError as error:
        raise HardwareInputError(f"--core: {error}") from None
