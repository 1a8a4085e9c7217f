"""Keeps baseline gains in a user's controller, and brings a trial's gains into it while the robot stands.

A change is one transaction: write all, read all back, hear the controller answer with them. If any of it fails,
baseline gains are written and proven the same way; if that fails too, the controller counts as failed until a
later attempt succeeds, and the guardian damps the joints. Writing runs beside the control loop; nothing here
waits.
"""

from __future__ import annotations

import math
from concurrent.futures import Executor, Future
from dataclasses import dataclass

from safebo.hardware.adapters.relayed_walker import RelayedWalker
from safebo.hardware.constants import BASELINE_RETRY_S, GAINS_KEPT_S, PROOF_TIMEOUT_S
from safebo.hardware.guardian.bounds import ControllerGains
from safebo.hardware.guardian.staging import TrialPlan
from safebo.robots.controllers.datagrams import gains_identity
from safebo.robots.controllers.gain_port import GainPort, write_and_read_back
from safebo.robots.quadruped.interface import SensorReading

Gains = tuple[float, ...]


@dataclass
class Change:
    """A transaction under way.

    Args:
        values: in table order.
        writing: the port's work; its result is what is wrong, or empty.
        instance: of the controller before, 0 when it was not there.
        after: number of the newest state sent when writing was over; None before.
        until: when the controller has to have answered, s; set with `after`.
    """

    values: Gains
    writing: Future[str]
    instance: int
    after: int | None = None
    until: float = math.inf


class GainKeeper:
    """What the guardian asks about a relayed controller, once per tick and before arming and starting.

    Args:
        walker: hears the controller.
        port: writes its gains.
        table: names, bounds and baseline.
        executor: runs the port; one worker.
        patience: seconds within which the controller has to answer with gains once they are written.
    """

    def __init__(
        self,
        walker: RelayedWalker,
        port: GainPort,
        table: ControllerGains,
        executor: Executor,
        patience: float = PROOF_TIMEOUT_S,
    ) -> None:
        self._walker, self._port, self._table = walker, port, table
        self._executor, self._patience = executor, patience
        self._change: Change | None = None
        self._held: Gains | None = None
        self._instance = 0
        self._refused: tuple[Gains, str] | None = None
        self._wanted = self._next = -math.inf
        self._trouble, self._walked = "", False
        self._said: list[str] = []

    # -- for the guardian -----------------------------------------------------------------------------

    def poll(self, now: float, reading: SensorReading | None, walking: bool, resting: bool) -> str:
        """One control tick; why the controller counts as failed, or empty.

        Args:
            now: s.
            reading: the robot's newest state; None before the first.
            walking: the walker is at work.
            resting: no trial is armed or runs, and the walker is not at work: gains may change.
        """
        if reading is not None and not walking:
            self._walker.standby(reading)
        if self._walked and not walking:
            c = self._walker.counters
            self._said.append(
                f"of {c.prompt + c.late + c.held} commands {c.prompt} were answered in their tick, {c.late} later, "
                f"{c.held} repeated the one before"
            )
        self._walked = walking
        if not resting:
            self._wanted = -math.inf  # once the trial is over, nobody waits for its gains
        if self._change is not None:
            self._follow(now, self._change)
        elif resting and now >= max(self._wanted, self._next) and reading is not None:
            there = self._walker.alive or (self._port.restarts and self._walker.lost)
            if there and not self.holds(self._table.baseline):
                self._begin(self._table.baseline)
        return self._trouble

    def prepare(self, now: float, plan: TrialPlan) -> str:
        """Have a trial's gains brought in; why that is not so yet, or empty when the controller holds them.

        Raises:
            ValueError: it cannot hold them, and why; baseline gains are back in it or being brought back.
        """
        if plan.backups:
            raise ValueError(
                "this controller takes gains only while the robot stands, so it can switch to no backup: "
                "local trials only"
            )
        if self._refused is not None and self._refused[0] == plan.gains:
            _, message = self._refused
            self._refused = None
            raise ValueError(f"the controller did not take the gains: {message}")
        if self._trouble:
            return self._trouble
        if self._change is None and not self._walker.alive:
            return "the controller does not answer"
        self._wanted = now + GAINS_KEPT_S
        if self.holds(plan.gains):
            return ""
        if self._change is None:
            self._refused = None
            self._begin(plan.gains)
        return "gains are on their way into the controller"

    def holds(self, values: Gains) -> bool:
        """Whether the controller, as it runs now, was proven to hold these gains."""
        newest = self._walker.newest
        return (
            self._change is None
            and self._walker.alive
            and newest is not None
            and newest.instance == self._instance
            and self._held == values
        )

    def events(self) -> list[str]:
        """What happened since the last call, for the log."""
        said, self._said = self._said, []
        return said

    # -- the transaction ------------------------------------------------------------------------------

    def _begin(self, values: Gains) -> None:
        newest = self._walker.newest
        self._held = None
        self._change = Change(
            values,
            self._executor.submit(write_and_read_back, self._port, self._table.mapping(values)),
            0 if newest is None else newest.instance,
        )

    def _follow(self, now: float, change: Change) -> None:
        if change.after is None:
            if not change.writing.done():
                return
            problem = change.writing.result()
            if problem:
                self._failed(now, change, problem)
                return
            change.after, change.until = self._walker.tick, now + self._patience
        problem = self._unproven(change)
        if not problem:
            self._proven(change)
        elif now >= change.until:
            self._failed(now, change, f"{problem} within {self._patience:g} s")

    def _unproven(self, change: Change) -> str:
        """What is still missing in the controller's answers."""
        newest = self._walker.newest
        assert change.after is not None
        if newest is None or newest.tick <= change.after:
            return "the controller did not answer"
        if self._port.restarts and newest.instance == change.instance:
            return "the controller did not start anew"
        if newest.gains not in (0, gains_identity(change.values)):
            return "the controller did not answer with these gains, but with others"
        return ""

    def _proven(self, change: Change) -> None:
        newest = self._walker.newest
        assert newest is not None
        self._change, self._held, self._instance = None, change.values, newest.instance
        self._trouble = ""
        by = "read back" if newest.gains == 0 else "read back, and named by the controller"
        self._said.append(f"the controller holds {self._called(change.values)} gains: {by}")

    def _failed(self, now: float, change: Change, problem: str) -> None:
        self._change = None
        self._said.append(f"{self._called(change.values)} gains failed: {problem}")
        if change.values != self._table.baseline:
            self._refused = change.values, problem
            self._begin(self._table.baseline)
        else:
            self._trouble = f"baseline gains cannot be proven in the controller: {problem}"
            self._next = now + BASELINE_RETRY_S

    def _called(self, values: Gains) -> str:
        return "baseline" if values == self._table.baseline else "trial"
