"""Where requests are answered: lease, staging of a trial, arming, starting, clearing.

Every request is either done as a whole or refused with a reason, and then nothing has changed.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from safebo.hardware.guardian.snapshot import snapshot
from safebo.hardware.guardian.states import LATCHED, STANDING, Event, Response, State
from safebo.hardware.link import messages as m
from safebo.hardware.link.digest import MonitorWords, WalkWords, gains_digest, pack_gains
from safebo.hardware.link.messages import Code, Reply

if TYPE_CHECKING:
    from safebo.hardware.guardian.core import Guardian

AT_WORK = 65535
"""The slot that reads the gains at work."""

FREE = (m.AcquireLease, m.GetStatus, m.GetGains, m.Fetch)
"""Requests that need no lease."""

EDITABLE = frozenset({State.DISCONNECTED, State.REST, State.STANDING_UP, State.HOLD})
"""States in which a trial may be put together."""

LONGEST = 60.0  # s of a trial at most


class Refused(Exception):
    """Why a request is not granted."""

    def __init__(self, code: Code, words: str) -> None:
        self.code = code
        super().__init__(words)


Answer = tuple[int, bytes]


class Desk:
    """Answers requests for one guardian."""

    def __init__(self, guardian: Guardian) -> None:
        self._g = guardian
        self._refused: dict[type[m.Request], str] = {}
        self._table: dict[type[m.Request], Callable[[float, int, Any], Answer]] = {
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
        }

    def answer(self, now: float, session: int, request: m.Request) -> Reply:
        """The reply to one request."""
        try:
            if not isinstance(request, FREE) and not self._g.lease.held_by(session, request.epoch):
                raise Refused(Code.NO_LEASE, f"the lease of epoch {request.epoch} is not at work")
            value, data = self._table[type(request)](now, session, request)
        except Refused as refusal:
            # Asking again and again, as a client does while the robot calms down, is one event.
            if self._refused.get(type(request)) != str(refusal):
                self._g.note("refused", f"{type(request).__name__}: {refusal}")
            self._refused[type(request)] = str(refusal)
            return Reply(request.request, refusal.code, 0, str(refusal))
        except Exception as error:  # a request must never stop the control loop
            self._g.note("error", f"{type(request).__name__}: {type(error).__name__}: {error}")
            return Reply(request.request, Code.BAD_VALUE, 0, f"{type(error).__name__}: {error}")
        self._refused.pop(type(request), None)
        return Reply(request.request, Code.OK, value, "", data)

    def _event(self, event: Event) -> Answer:
        if not self._g.happen(event):
            raise Refused(Code.WRONG_STATE, f"not in state {self._g.state.name}")
        return 0, b""

    def _disarm(self, *_: Any) -> Answer:
        return self._event(Event.DISARM)

    def _status(self, *_: Any) -> Answer:
        return 0, snapshot(self._g).pack()

    def _editable(self) -> None:
        if self._g.state not in EDITABLE:
            raise Refused(Code.WRONG_STATE, f"a trial cannot be changed in state {self._g.state.name}")

    def _permitted(self) -> None:
        """Nothing speaks against motion."""
        limit = self._g.refusal
        if limit.response is Response.REFUSE:
            raise Refused(Code.NOT_READY, f"{limit.words} ({limit.name})")

    def _acquire(self, now: float, session: int, request: m.AcquireLease) -> Answer:
        lease = self._g.lease
        before = lease.epoch
        if not lease.acquire(now, session, request.name):
            raise Refused(Code.LEASE_HELD, f"{lease.name or 'another client'} holds the lease")
        if lease.epoch != before:
            self._g.note("lease", f"epoch {lease.epoch} for {request.name}")
        return lease.epoch, b""

    def _release(self, now: float, session: int, request: m.ReleaseLease) -> Answer:
        if self._g.state in STANDING or self._g.state is State.HOLD_LATCHED:
            self._lie_down(now, session, request)
        self._g.lease.release()
        self._g.note("lease", f"epoch {self._g.lease.epoch} released")
        return 0, b""

    def _reset(self, *_: Any) -> Answer:
        self._editable()
        self._g.staging.reset()
        return 0, b""

    def _set_gains(self, now: float, session: int, request: m.SetGains) -> Answer:
        self._editable()
        table = self._g.table
        if request.table != table.identity:
            raise Refused(Code.WRONG_TABLE, "the gains come in the order of another table")
        if len(request.values) != 8 * len(table.names):
            raise Refused(
                Code.BAD_VALUE, f"{len(table.names)} gains of 8 bytes each, got {len(request.values)} bytes"
            )
        values = struct.unpack(f"<{len(table.names)}d", request.values)
        problem = self._g.staging.set_gains(request.slot, values)
        if problem:
            raise Refused(Code.OUT_OF_BOUNDS, problem)
        return 0, gains_digest(self._g.staging.gains[request.slot])

    def _get_gains(self, now: float, session: int, request: m.GetGains) -> Answer:
        g = self._g
        values = g.gains_at_work() if request.slot == AT_WORK else g.staging.gains.get(request.slot)
        if values is None:
            raise Refused(Code.NOT_READY, f"slot {request.slot} is empty")
        return 0, pack_gains(values)

    def _set_walk(self, now: float, session: int, request: m.SetWalk) -> Answer:
        self._editable()
        try:
            self._g.staging.set_walk(WalkWords(request.gait, request.velocity, request.ramp, request.settle))
        except ValueError as error:
            raise Refused(Code.BAD_VALUE, str(error)) from None
        return 0, b""

    def _upload(self, now: float, session: int, request: m.Upload) -> Answer:
        self._editable()
        try:
            self._g.staging.take_piece(request.total, request.offset, request.data)
        except ValueError as error:
            raise Refused(Code.BAD_VALUE, str(error)) from None
        return 0, b""

    def _set_monitor(self, now: float, session: int, request: m.SetMonitor) -> Answer:
        self._editable()
        words = MonitorWords(
            request.rule, request.numbers, request.width, request.states, request.policies, request.digest
        )
        try:
            self._g.staging.set_monitor(words)
        except ValueError as error:
            raise Refused(Code.BAD_VALUE, str(error)) from None
        return 0, b""

    def _arm(self, now: float, session: int, request: m.Arm) -> Answer:
        g = self._g
        if g.state is not State.HOLD:
            why = f": {g.latch.words}" if g.state in LATCHED else ""
            raise Refused(Code.WRONG_STATE, f"a trial is armed in HOLD, the state is {g.state.name}{why}")
        self._permitted()
        if not g.calm():
            raise Refused(Code.NOT_READY, "the robot does not stand still yet")
        if request.trial == 0:
            raise Refused(Code.BAD_VALUE, "trials are numbered from 1")
        digest = g.staging.digest()
        if digest is None:
            raise Refused(Code.NOT_READY, "gains, walk or backups are missing")
        if digest != request.digest:
            raise Refused(Code.DIGEST_MISMATCH, "the trial that is held here is another one")
        try:
            plan = g.staging.plan(request.trial)
        except ValueError as error:
            raise Refused(Code.BAD_VALUE, str(error)) from None
        if plan is None:
            raise Refused(Code.NOT_READY, "the monitor is still being built")
        if g.preparation is not None:
            try:
                missing = g.preparation.prepare(now, plan)
            except ValueError as error:
                raise Refused(Code.BAD_VALUE, str(error)) from None
            if missing:
                raise Refused(Code.NOT_READY, missing)
        self._event(Event.ARM)
        token = g.random.getrandbits(63) | 1
        g.arm(plan, token)
        g.note("armed", f"trial {request.trial}")
        return token, b""

    def _start(self, now: float, session: int, request: m.Start) -> Answer:
        g = self._g
        if g.state is not State.ARMED:
            raise Refused(Code.WRONG_STATE, f"nothing is armed in state {g.state.name}")
        if request.token != g.run.token:
            raise Refused(Code.WRONG_TOKEN, "that is not the token of the armed trial")
        if not (math.isfinite(request.duration) and 0.0 < request.duration <= LONGEST):
            raise Refused(
                Code.BAD_VALUE, f"duration: above 0 and at most {LONGEST:g} s, got {request.duration:g}"
            )
        self._permitted()
        if g.preparation is not None and g.run.plan and not g.preparation.holds(g.run.plan.gains):
            raise Refused(Code.NOT_READY, "the controller holds the trial's gains no longer: disarm")
        g.run.started, g.run.duration = now, request.duration
        self._event(Event.START)
        g.note("trial", f"{g.run.plan.number if g.run.plan else 0} started for {request.duration:g} s")
        g.begin()
        return 0, b""

    def _abort(self, now: float, session: int, request: m.Abort) -> Answer:
        g = self._g
        plan = g.run.plan
        if plan is None or plan.number != request.trial:
            raise Refused(Code.BAD_VALUE, f"trial {request.trial} is not the last one here")
        if g.state is State.ARMED:
            return self._event(Event.DISARM)
        g.end(2)
        return 0, b""

    def _stand(self, *_: Any) -> Answer:
        self._permitted()
        return self._event(Event.STAND)

    def _lie_down(self, *_: Any) -> Answer:
        running = self._g.state is State.RUNNING
        answer = self._event(Event.LIE_DOWN)
        if running:
            self._g.run.outcome = 2
        return answer

    def _acknowledge(self, now: float, session: int, request: m.Acknowledge) -> Answer:
        g = self._g
        if g.present.response > Response.REFUSE:
            raise Refused(Code.CAUSE_PRESENT, g.present.words)
        if request.latch != g.latch.number:
            raise Refused(Code.BAD_VALUE, f"the latch is number {g.latch.number}")
        self._event(Event.ACKNOWLEDGE)
        g.latch.token = g.random.getrandbits(63) | 1
        return g.latch.token, b""

    def _clear(self, now: float, session: int, request: m.Clear) -> Answer:
        g = self._g
        if g.present.response > Response.REFUSE:
            raise Refused(Code.CAUSE_PRESENT, g.present.words)
        if g.latch.token == 0 or request.token != g.latch.token:
            raise Refused(Code.WRONG_TOKEN, "acknowledge first: that is not the token of this latch")
        self._event(Event.CLEAR)
        g.latch.token = 0
        g.note("cleared", f"latch {g.latch.number}")
        return 0, b""

    def _fetch(self, now: float, session: int, request: m.Fetch) -> Answer:
        telemetry = self._g.telemetry
        if self._g.state is State.RUNNING:
            raise Refused(Code.NOT_READY, "the trial is not over")
        if request.trial == 0 or request.trial != telemetry.trial:
            raise Refused(Code.BAD_VALUE, f"the telemetry here is that of trial {telemetry.trial}")
        data, total = telemetry.piece(request.offset, min(request.length, m.PIECE))
        return total, data
