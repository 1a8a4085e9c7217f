"""The guardian's state, its latch and its trial: what requests change, what State messages tell, what is logged."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from safebo.hardware.guardian.limits import NOTHING, Limit
from safebo.hardware.guardian.staging import TrialPlan
from safebo.hardware.guardian.states import FAULTS, TABLE, GuardianEvent, Response, State

ENDS = {1: "completed", 2: "ended on request"}


@dataclass(frozen=True)
class EventRow:
    """An event worth keeping.

    Args:
        time: guardian's clock, s.
        kind: what it is.
        message: for people.
        data: for programs, as JSON has it.
    """

    time: float
    kind: str
    message: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class TrialRun:
    """The armed, running or last trial.

    Args:
        plan: None before the first.
        token: allows its start.
        armed: when it was armed, s. started: when settling began, s. duration: of the walk, s.
        backup: index of the backup at work, or -1.
        outcome: 0 not over, 1 completed, 2 ended by request, 3 ended by trouble.
    """

    plan: TrialPlan | None = None
    token: int = 0
    armed: float = -math.inf
    started: float = math.inf
    duration: float = 0.0
    backup: int = -1
    outcome: int = 0

    @property
    def number(self) -> int:
        """Of the trial; 0 before the first."""
        return self.plan.number if self.plan else 0

    def elapsed(self, now: float) -> float:
        """Seconds since the walk began; negative while the robot settles."""
        return now - self.started - self.plan.walk.settle if self.plan else 0.0


@dataclass
class Latch:
    """What is latched: number, cause, message, and the token of the first step of clearing."""

    number: int = 0
    cause: Limit = NOTHING
    message: str = ""
    token: int = 0


@dataclass
class Counters:
    """What the guardian met since it started."""

    overruns: int = 0
    faults: dict[str, int] = field(default_factory=dict)


class StateMachine:
    """Moves through the state table, and keeps what happened in this tick.

    Args:
        enter: called after every change of state with the state before.
        baseline: gains at work while no trial runs.

    Attributes:
        now: time of this tick, s; -inf before the first.
        state: see `safebo.hardware.guardian.states`.
        present: the most restrictive limit that is crossed now.
        refusal: that limit where its response is to refuse motion, else `NOTHING`.
        events: of this tick.
    """

    def __init__(self, enter: Callable[[State], None], baseline: tuple[float, ...]) -> None:
        self._enter, self._baseline = enter, baseline
        self.now = -math.inf
        self.state = State.DISCONNECTED
        self.run, self.latch, self.counters = TrialRun(), Latch(), Counters()
        self.present = self.refusal = NOTHING
        self.events: list[EventRow] = []

    def gains_at_work(self) -> tuple[float, ...]:
        """The trial's or its backup's gains while it runs, the baseline otherwise."""
        run = self.run
        if self.state is not State.RUNNING or run.plan is None:
            return self._baseline
        return run.plan.gains if run.backup < 0 else run.plan.backups[run.backup]

    def note(self, kind: str, message: str) -> None:
        """Keep an event."""
        self.events.append(EventRow(self.now, kind, message))

    def transition(self, event: GuardianEvent) -> bool:
        """Go where the state table leads from here by this event; whether it has an answer."""
        after = TABLE[self.state][event]
        if after is None:
            return False
        if after is not self.state:
            before, self.state = self.state, after
            self.note("state", f"{before.name} -> {after.name} by {event.name}")
            self._enter(before)
        return True

    def fault(self, limit: Limit, message: str = "") -> None:
        """Answer trouble by its limit's response, and latch."""
        before = self.state
        if before is State.SIT_LATCHED and limit.response < Response.DAMP:
            return
        if before is State.HOLD_LATCHED and limit.response is Response.HOLD:
            return
        if before is State.DAMP_LATCHED:
            return
        if self.run.plan is not None and before is State.RUNNING:
            self.run.outcome = 3
        told = message or f"{limit.message} ({limit.name}: limit {limit.amount(limit.threshold)})"
        self.latch = Latch(self.latch.number + 1, limit, told)
        self.counters.faults[limit.name] = self.counters.faults.get(limit.name, 0) + 1
        self.note("latch", f"{self.latch.number}: {told}")
        self.transition(FAULTS[limit.response])

    def end(self, outcome: int) -> None:
        """End the running trial."""
        if self.state is State.RUNNING:
            self.run.outcome = outcome
            self.note("trial", f"{self.run.number} {ENDS[outcome]}")
        self.transition(GuardianEvent.END)
