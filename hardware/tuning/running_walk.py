"""A walk that goes on, as far as its telemetry has come: whether it has shown enough, by the simulation's own rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np

from safebo.hardware.constants import LIVE_PIECE_TIMEOUT_S, MAX_LIVE_ROWS, TELEMETRY_MARGIN_S
from safebo.hardware.errors import LinkError
from safebo.hardware.guardian.telemetry import COLUMNS
from safebo.hardware.link.client import GuardianClient, RefusedError
from safebo.hardware.tuning.scoring import fill, walk_times
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.simulation.rollout import WalkRecording
from safebo.types import EarlyEnd, Ended, FloatArray, Trial


class RunningWalk:
    """Fetches a running trial's telemetry, a few rows at a time, and asks the trial's rule (`Trial.early_end`).

    It never fails a trial: where telemetry does not come, the walk goes on to its end. On a slow link it lags behind.

    Args:
        evaluator: the study's, which knows the rule.
        trial: the trial.
        context: what of its context is set on the robot.
        rule: when it may end.
        period: control period, s.

    Attributes:
        refused: the guardian gives no telemetry while a trial runs.
        behind: more has come than was fetched.
    """

    def __init__(
        self,
        evaluator: LeggedEvaluator,
        trial: Trial,
        context: dict[str, float],
        rule: EarlyEnd,
        period: float,
    ) -> None:
        self._trial = trial.id
        self._torque_limit = evaluator.robot.torque_limit
        self._end: Callable[[WalkRecording, int], str] = evaluator.end_rule(rule, context)
        room = round((evaluator.settings.seconds + TELEMETRY_MARGIN_S) / period)
        self._record = WalkRecording.allocate(room, room, period)
        self._rows = np.empty((room, len(COLUMNS)))
        self._count = 0
        self.refused = False
        self.behind = False

    @property
    def rows(self) -> FloatArray:
        """What has come so far, `n x columns`."""
        return self._rows[: self._count]

    def look(self, client: GuardianClient) -> Ended:
        """Fetch what is new, at most `MAX_LIVE_ROWS` rows, and say why the walk ends here; empty to walk on."""
        self.behind = False
        if self.refused or self._count == len(self._rows):
            return ""
        most = min(MAX_LIVE_ROWS, len(self._rows) - self._count)
        try:
            new = client.telemetry(self._trial, len(COLUMNS), self._count, most, LIVE_PIECE_TIMEOUT_S)
        except RefusedError:
            self.refused = True
            return ""
        except LinkError:  # a lost packet; whether the guardian is lost, others look at
            return ""
        self.behind = len(new) == most
        return self._add(new)

    def _add(self, new: FloatArray) -> Ended:
        record, first = self._record, self._count
        self._count += len(new)
        self._rows[first : self._count] = new
        fill(record, first, new, self._torque_limit)
        if record.walk_start >= self._count:
            walking = np.flatnonzero(walk_times(self.rows) >= -1e-9)
            if not len(walking):
                return ""
            record.walk_start = int(walking[0])
        return cast(Ended, self._end(record, self._count))
