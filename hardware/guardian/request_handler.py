"""Where requests are answered: lease, staging of a trial, arming, starting, clearing.

Every request is either done as a whole or refused with a reason, and then nothing has changed.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from safebo.hardware.constants import MAX_TRIAL_S
from safebo.hardware.guardian.lease import Lease
from safebo.hardware.guardian.staging import GuardedController, Staging
from safebo.hardware.guardian.state_machine import StateMachine, TrialRun
from safebo.hardware.guardian.states import LATCHED, STANDING, GuardianEvent, Response, State
from safebo.hardware.guardian.telemetry import Telemetry
from safebo.hardware.link import messages as m
from safebo.hardware.link.digest import MonitorDescription, WalkDescription, gains_digest, pack_gains
from safebo.hardware.link.messages import Code, Reply

AT_WORK = 65535
"""The slot that reads the gains at work."""

FREE = (m.AcquireLease, m.GetStatus, m.GetGains, m.Fetch, m.Describe, m.Acknowledge, m.Clear)
"""Requests that need no lease. Who clears a latch is the person who looks at the robot, while a tuner may wait with it;
neither step starts motion."""

EDITS = (m.ResetTrial, m.SetGains, m.SetWalk, m.Upload, m.SetMonitor)
"""Requests that put a trial together."""

EDITABLE = frozenset({State.DISCONNECTED, State.REST, State.STANDING_UP, State.HOLD})
"""States in which a trial may be put together."""


class Refused(Exception):
    """Why a request is not granted."""

    def __init__(self, code: Code, message: str) -> None:
        self.code = code
        super().__init__(message)


Answer = tuple[int, bytes] | None
"""Value and data of a granted request's reply; None for one that needs neither."""


class Motion(Protocol):
    """What a request needs of the robot's motion."""

    def calm(self) -> bool:
        """Whether the robot has stood still for long enough."""
        ...

    def begin(self) -> None:
        """The walk of the armed trial, from this tick on."""
        ...

    def status(self) -> m.StateMessage:
        """How everything stands."""
        ...


class RequestHandler:
    """Answers requests for one guardian.

    Args:
        motion: of the robot.
        machine: state, latch and trial.
        lease: who may command.
        staging: the next trial.
        telemetry: of the last one.
        controller: what walks.
        random: for tokens.

    Attributes:
        description: what guards, as JSON.
    """

    def __init__(
        self,
        motion: Motion,
        machine: StateMachine,
        lease: Lease,
        staging: Staging,
        telemetry: Telemetry,
        controller: GuardedController,
        random: Random,
    ) -> None:
        self._motion, self._machine, self._lease = motion, machine, lease
        self._staging, self._telemetry, self._random = staging, telemetry, random
        self._table, self._preparation = controller.table, controller.preparation
        self.description = b"{}"
        self._refused: dict[type[m.RequestMessage], str] = {}
        self._answers: dict[type[m.RequestMessage], Callable[[float, int, Any], Answer]] = {
            m.AcquireLease: self._acquire,
            m.ReleaseLease: self._release,
            m.ResetTrial: self._reset,
            m.SetGains: self._set_gains,
            m.GetGains: self._get_gains,
            m.SetWalk: self._set_walk,
            m.Upload: self._upload,
            m.SetMonitor: self._set_monitor,
            m.Arm: self._arm,
            m.Disarm: self._disarm,
            m.Start: self._start,
            m.Abort: self._abort,
            m.Stand: self._stand,
            m.LieDown: self._lie_down,
            m.Acknowledge: self._acknowledge,
            m.Clear: self._clear,
            m.GetStatus: self._status,
            m.Fetch: self._fetch,
            m.Describe: self._describe,
        }

    def answer(self, now: float, session: int, request: m.RequestMessage) -> Reply:
        """The reply to one request."""
        try:
            if not isinstance(request, FREE) and not self._lease.held_by(session, request.epoch):
                raise Refused(Code.NO_LEASE, f"the lease of epoch {request.epoch} is not at work")
            if isinstance(request, EDITS) and self._machine.state not in EDITABLE:
                raise Refused(
                    Code.WRONG_STATE, f"a trial cannot be changed in state {self._machine.state.name}"
                )
            value, data = self._answers[type(request)](now, session, request) or (0, b"")
        except Refused as refusal:
            # Asking again and again, as a client does while the robot calms down, is one event.
            if self._refused.get(type(request)) != str(refusal):
                self._machine.note("refused", f"{type(request).__name__}: {refusal}")
            self._refused[type(request)] = str(refusal)
            return Reply(request.request, refusal.code, 0, str(refusal))
        except Exception as error:  # a request must never stop the control loop
            self._machine.note("error", f"{type(request).__name__}: {type(error).__name__}: {error}")
            return Reply(request.request, Code.BAD_VALUE, 0, f"{type(error).__name__}: {error}")
        self._refused.pop(type(request), None)
        return Reply(request.request, Code.OK, value, "", data)

    def _event(self, event: GuardianEvent) -> None:
        if not self._machine.transition(event):
            raise Refused(Code.WRONG_STATE, f"not in state {self._machine.state.name}")

    def _disarm(self, *_: Any) -> None:
        self._event(GuardianEvent.DISARM)

    def _status(self, *_: Any) -> tuple[int, bytes]:
        return 0, self._motion.status().pack()

    def _permitted(self) -> None:
        """Nothing speaks against motion."""
        limit = self._machine.refusal
        if limit.response is Response.REFUSE:
            raise Refused(Code.NOT_READY, f"{limit.message} ({limit.name})")

    def _acquire(self, now: float, session: int, request: m.AcquireLease) -> tuple[int, bytes]:
        lease = self._lease
        before = lease.epoch
        if not lease.acquire(now, session, request.name):
            raise Refused(Code.LEASE_HELD, f"{lease.name or 'another client'} holds the lease")
        if lease.epoch != before:
            self._machine.note("lease", f"epoch {lease.epoch} for {request.name}")
        return lease.epoch, b""

    def _release(self, now: float, session: int, request: m.ReleaseLease) -> None:
        if self._machine.state in STANDING or self._machine.state is State.HOLD_LATCHED:
            self._lie_down(now, session, request)
        self._lease.release()
        self._machine.note("lease", f"epoch {self._lease.epoch} released")

    def _reset(self, *_: Any) -> None:
        self._staging.reset()

    def _set_gains(self, now: float, session: int, request: m.SetGains) -> tuple[int, bytes]:
        table = self._table
        if request.table != table.identity:
            raise Refused(Code.WRONG_TABLE, "the gains come in the order of another table")
        if len(request.values) != 8 * len(table.names):
            raise Refused(
                Code.BAD_VALUE, f"{len(table.names)} gains of 8 bytes each, got {len(request.values)} bytes"
            )
        values = struct.unpack(f"<{len(table.names)}d", request.values)
        problem = self._staging.set_gains(request.slot, values)
        if problem:
            raise Refused(Code.OUT_OF_BOUNDS, problem)
        return 0, gains_digest(self._staging.gains[request.slot])

    def _get_gains(self, now: float, session: int, request: m.GetGains) -> tuple[int, bytes]:
        values = (
            self._machine.gains_at_work()
            if request.slot == AT_WORK
            else self._staging.gains.get(request.slot)
        )
        if values is None:
            raise Refused(Code.NOT_READY, f"slot {request.slot} is empty")
        return 0, pack_gains(values)

    def _set_walk(self, now: float, session: int, request: m.SetWalk) -> None:
        try:
            self._staging.set_walk(
                WalkDescription(request.gait, request.velocity, request.ramp, request.settle)
            )
        except ValueError as error:
            raise Refused(Code.BAD_VALUE, str(error)) from None

    def _upload(self, now: float, session: int, request: m.Upload) -> None:
        try:
            self._staging.take_piece(request.total, request.offset, request.data)
        except ValueError as error:
            raise Refused(Code.BAD_VALUE, str(error)) from None

    def _set_monitor(self, now: float, session: int, request: m.SetMonitor) -> None:
        description = MonitorDescription(
            request.rule, request.numbers, request.width, request.states, request.policies, request.digest
        )
        try:
            self._staging.set_monitor(description)
        except ValueError as error:
            raise Refused(Code.BAD_VALUE, str(error)) from None

    def _arm(self, now: float, session: int, request: m.Arm) -> tuple[int, bytes]:
        g = self._machine
        if g.state is not State.HOLD:
            why = f": {g.latch.message}" if g.state in LATCHED else ""
            raise Refused(Code.WRONG_STATE, f"a trial is armed in HOLD, the state is {g.state.name}{why}")
        self._permitted()
        if not self._motion.calm():
            raise Refused(Code.NOT_READY, "the robot does not stand still yet")
        if request.trial == 0:
            raise Refused(Code.BAD_VALUE, "trials are numbered from 1")
        digest = self._staging.digest()
        if digest is None:
            raise Refused(Code.NOT_READY, "gains, walk or backups are missing")
        if digest != request.digest:
            raise Refused(Code.DIGEST_MISMATCH, "the trial that is held here is another one")
        try:
            plan = self._staging.plan(request.trial)
        except ValueError as error:
            raise Refused(Code.BAD_VALUE, str(error)) from None
        if plan is None:
            raise Refused(Code.NOT_READY, "the monitor is still being built")
        if self._preparation is not None:
            try:
                missing = self._preparation.prepare(now, plan)
            except ValueError as error:
                raise Refused(Code.BAD_VALUE, str(error)) from None
            if missing:
                raise Refused(Code.NOT_READY, missing)
        self._event(GuardianEvent.ARM)
        token = self._random.getrandbits(63) | 1
        g.run = TrialRun(plan, token, armed=now)
        g.note("armed", f"trial {request.trial}")
        return token, b""

    def _start(self, now: float, session: int, request: m.Start) -> None:
        g = self._machine
        if g.state is not State.ARMED:
            raise Refused(Code.WRONG_STATE, f"nothing is armed in state {g.state.name}")
        if request.token != g.run.token:
            raise Refused(Code.WRONG_TOKEN, "that is not the token of the armed trial")
        if not (math.isfinite(request.duration) and 0.0 < request.duration <= MAX_TRIAL_S):
            raise Refused(
                Code.BAD_VALUE, f"duration: above 0 and at most {MAX_TRIAL_S:g} s, got {request.duration:g}"
            )
        self._permitted()
        if self._preparation is not None and g.run.plan and not self._preparation.holds(g.run.plan.gains):
            raise Refused(Code.NOT_READY, "the controller holds the trial's gains no longer: disarm")
        g.run.started, g.run.duration = now, request.duration
        self._event(GuardianEvent.START)
        g.note("trial", f"{g.run.number} started for {request.duration:g} s")
        self._motion.begin()

    def _abort(self, now: float, session: int, request: m.Abort) -> None:
        g = self._machine
        plan = g.run.plan
        if plan is None or plan.number != request.trial:
            raise Refused(Code.BAD_VALUE, f"trial {request.trial} is not the last one here")
        if g.state is State.ARMED:
            self._event(GuardianEvent.DISARM)
        else:
            g.end(2)

    def _stand(self, *_: Any) -> None:
        self._permitted()
        self._event(GuardianEvent.STAND)

    def _lie_down(self, *_: Any) -> None:
        running = self._machine.state is State.RUNNING
        self._event(GuardianEvent.LIE_DOWN)
        if running:
            self._machine.run.outcome = 2

    def _acknowledge(self, now: float, session: int, request: m.Acknowledge) -> tuple[int, bytes]:
        g = self._machine
        if g.present.response > Response.REFUSE:
            raise Refused(Code.CAUSE_PRESENT, g.present.message)
        if request.latch != g.latch.number:
            raise Refused(Code.BAD_VALUE, f"the latch is number {g.latch.number}")
        self._event(GuardianEvent.ACKNOWLEDGE)
        g.latch.token = self._random.getrandbits(63) | 1
        return g.latch.token, b""

    def _clear(self, now: float, session: int, request: m.Clear) -> None:
        g = self._machine
        if g.present.response > Response.REFUSE:
            raise Refused(Code.CAUSE_PRESENT, g.present.message)
        if g.latch.token == 0 or request.token != g.latch.token:
            raise Refused(Code.WRONG_TOKEN, "acknowledge first: that is not the token of this latch")
        self._event(GuardianEvent.CLEAR)
        g.latch.token = 0
        g.note("cleared", f"latch {g.latch.number}")

    def _fetch(self, now: float, session: int, request: m.Fetch) -> tuple[int, bytes]:
        telemetry = self._telemetry
        if request.trial == 0 or request.trial != telemetry.trial:
            raise Refused(Code.BAD_VALUE, f"the telemetry here is that of trial {telemetry.trial}")
        data, total = telemetry.piece(request.offset, min(request.length, m.PIECE))
        return total, data

    def _describe(self, now: float, session: int, request: m.Describe) -> tuple[int, bytes]:
        end = request.offset + min(request.length, m.PIECE)
        return len(self.description), self.description[request.offset : end]
