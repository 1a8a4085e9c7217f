"""One trial behind a guardian: sent, verified, armed, started, and followed until it is over."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from safebo.boundary.monitor import BoundaryMonitor
from safebo.hardware.constants import (
    APPROVAL_TIMEOUT_S,
    BRAKE_TIME_S,
    PUMP_TIME_S,
    TRIAL_END_TIMEOUT_S,
)
from safebo.hardware.errors import LinkError
from safebo.hardware.guardian.states import Response, State
from safebo.hardware.guardian.telemetry import COLUMNS
from safebo.hardware.link.arrays import monitor_upload
from safebo.hardware.link.client import GuardianClient, RefusedError
from safebo.hardware.link.digest import MonitorDescription, WalkDescription, trial_digest
from safebo.hardware.link.messages import StateMessage
from safebo.hardware.tuning.disk import Disk
from safebo.hardware.tuning.readings import without_readings
from safebo.hardware.tuning.recording import TrialRecorder
from safebo.hardware.tuning.running_walk import RunningWalk
from safebo.hardware.tuning.scoring import NAMES, PERSON_CAUSES, ROBOT_CAUSES
from safebo.robots.evaluation.evaluator import RAMP, LeggedEvaluator
from safebo.robots.quadruped.controller import SETTLE
from safebo.types import (
    Ended,
    FloatArray,
    Ledger,
    Monitor,
    NotStartedError,
    Trial,
    TrialUnknownError,
    trial_hash,
)

TROUBLE = 3
"""Outcome of a trial that the guardian ended."""


@dataclass(frozen=True)
class RobotTrial:
    """A trial on its way through a guardian.

    Args:
        trial: it.
        legged: the study's evaluator, which knows gait, speed and length.
        gains: all gains of the controller in table order, from parameters by name.
        table: identity of that table.
        robot: model and serial, for people.
        ledger: keeps every step.
        disk: what waits for it is done there.
        stops: how often a person has asked to stop.
        damps: whether the second time is passed on here; else another thread does.
    """

    trial: Trial
    legged: LeggedEvaluator
    gains: Callable[[Mapping[str, float]], tuple[float, ...]]
    table: int
    robot: str
    ledger: Ledger
    disk: Disk
    stops: Callable[[], int]
    damps: bool

    def arm(self, client: GuardianClient, monitor: Monitor | None) -> int:
        """Send the trial, verify it, and arm it; the token that starts it.

        Raises:
            NotStartedError: it was not approved, or too long ago, or its monitor cannot be sent.
            LinkError: the guardian refuses it, or was lost.
        """
        gains = self.gains(self.trial.parameters)
        gait = self.legged.gait(without_readings(self.trial.context))
        offsets = (gait.offset_fl, gait.offset_rr, gait.offset_rl)
        walk = WalkDescription(
            (gait.duty_factor, gait.stride_duration, *offsets), self.legged.settings.velocity, RAMP, SETTLE
        )
        client.reset_trial()
        client.set_gains(gains)
        client.set_walk(walk)
        backups: list[tuple[float, ...]] = []
        description: MonitorDescription | None = None
        if monitor is not None:
            if not isinstance(monitor, BoundaryMonitor):
                raise NotStartedError(
                    f"a monitor of kind {type(monitor).__name__} cannot be sent to the robot"
                )
            backups = [self.gains(b) for b in monitor.backups]
            for slot, values in enumerate(backups, 1):
                client.set_gains(values, slot)
            data, description = monitor_upload(monitor)
            client.set_monitor(data, description)
        self.disk.during(client, self._keep_armed)
        digest = trial_digest(self.table, gains, backups, walk, description)
        try:
            return client.arm(self.trial.id, digest)
        except LinkError as error:
            self._keep_refused(client, str(error))
            raise

    def _keep_armed(self) -> None:
        """Refuse a trial that is not the one approved, or was approved too long ago."""
        state, data = self.ledger.last(self.trial.id)
        if state != "APPROVED" or data.get("hash") != trial_hash(self.trial):
            raise NotStartedError("these gains were not approved")
        age = time.monotonic() - float(data["monotonic"])
        if not 0 <= age <= APPROVAL_TIMEOUT_S:
            raise NotStartedError(f"the approval is {age:.0f} s old; it holds for {APPROVAL_TIMEOUT_S:g} s")
        self.ledger.commit(self.trial.id, "ARMED", self.robot, hash=trial_hash(self.trial))

    def _keep_refused(self, client: GuardianClient, words: str) -> None:
        self.disk.during(client, lambda: self.ledger.commit(self.trial.id, "REFUSED", words))

    def walk(
        self,
        client: GuardianClient,
        token: int,
        recorder: TrialRecorder,
        file: str,
        running: RunningWalk | None,
    ) -> tuple[StateMessage, FloatArray, Ended]:
        """Start the armed trial and see it through.

        Args:
            client: of the session in which it was armed.
            token: that starts it.
            recorder: takes the guardian's States.
            file: the recorder's, as the ledger names it.
            running: ends it by the trial's own rule; None without one.

        Returns:
            How it stands then, but blamed on what ended the trial (`blamed`), the telemetry (`n x columns`), and why
            its rule ended it.

        Raises:
            NotStartedError: the guardian refuses, or that it runs could not be recorded.
            TrialUnknownError: the guardian was lost while it ran.
        """
        trial = self.trial
        try:
            self.disk.during(client, lambda: self.ledger.commit(trial.id, "RUNNING", file=file))
        except Exception as error:
            self.disk.later(recorder.abandon)
            client.abort(trial.id)
            raise NotStartedError(f"that it runs could not be recorded: {error}") from error
        ends: list[StateMessage] = []

        def hear(state: StateMessage) -> None:
            if state.trial == trial.id and state.outcome == TROUBLE and not ends:
                ends.append(state)
            # when it came is taken here: the disk's thread may be late
            self.disk.later(partial(recorder.state, state, time.time_ns()))

        client.on_state = hear
        try:
            self._begin(client, token)
            why = self._follow(client, running)
            known = np.empty((0, len(COLUMNS))) if running is None else running.rows
            rows = np.concatenate([known, client.telemetry(trial.id, len(COLUMNS), len(known))])
            client.pump(BRAKE_TIME_S)
            return blamed(client.status(), *ends), rows, why
        except NotStartedError:
            self.disk.later(recorder.abandon)
            raise
        except LinkError as error:
            self.disk.later(recorder.abandon)
            raise TrialUnknownError(f"the guardian was lost while it ran: {error}") from error
        finally:
            client.on_state = lambda _state: None

    def _begin(self, client: GuardianClient, token: int) -> None:
        """Start the armed trial. What the guardian refuses has moved nothing: a motor that is warm by now, say."""
        try:
            client.start(token, self.legged.settings.seconds)
        except RefusedError as error:
            words, seen = str(error), client.status()
            if seen.trial == self.trial.id and (seen.outcome or seen.state == State.RUNNING):
                raise
            self._keep_refused(client, words)
            with contextlib.suppress(RefusedError):
                client.abort(self.trial.id)
            raise NotStartedError(words) from error

    def _follow(self, client: GuardianClient, running: RunningWalk | None) -> Ended:
        """Listen until the trial is over, passing on a person's wish to stop, and that it has shown enough.

        Returns:
            Why the trial's rule ended it; empty where it did not.
        """
        aborted = stopped = behind = False
        why: Ended = ""
        seconds = self.legged.settings.seconds + SETTLE
        progress, last = time.monotonic(), -1e9
        while True:
            client.pump(0.0 if behind else PUMP_TIME_S)
            behind = False
            seen = client.state
            assert seen is not None
            walking = seen.state == State.RUNNING and seen.trial == self.trial.id
            if seen.trial == self.trial.id and seen.outcome != 0 and not walking:
                return why
            # a robot whose clock is slow still makes progress; one that makes none has lost us
            if seen.time > last:
                progress, last = time.monotonic(), seen.time
            if (
                time.monotonic() - progress > TRIAL_END_TIMEOUT_S
                or seen.elapsed > seconds + TRIAL_END_TIMEOUT_S
            ):
                raise LinkError("no word that the trial is over")
            stops = self.stops()
            if stops >= 2 and not stopped and self.damps:
                stopped = True
                client.stop(Response.DAMP, "asked twice at the tuner")
            elif stops == 1 and not aborted:
                aborted = True
                client.abort(self.trial.id)
            elif walking and not stops and running is not None and not aborted:
                why = running.look(client)
                behind = running.behind
                if why:
                    aborted = True
                    client.abort(self.trial.id)


def blamed(last: StateMessage, first: StateMessage | None = None) -> StateMessage:
    """A State, blamed on the trouble that ended a trial, where gains answer for that or nothing is latched any more.

    A person who stops a robot that has latched, or clears the latch, does not make its gains harmless. A restart of the
    robot stays: then nobody knows. Where other trouble came first, a fall right after it still counts.

    Args:
        last: once the robot has braked.
        first: the first one that says that trouble ended the trial; None where none did.
    """
    if first is None or NAMES.get(last.cause) == "reboot" or last.latch == first.latch:
        return last
    if last.latch and NAMES.get(first.cause) not in ROBOT_CAUSES | PERSON_CAUSES:
        return last
    then = f"; then {last.message}" if last.latch else ""
    return replace(last, cause=first.cause, message=f"{first.message}{then}")
