"""The monitor of the boundary condition: watches a trial at control rate and names the gains to switch to.

Numpy and numba only: a robot receives a `BoundaryMonitor` as an object and must start without torch. The
conditions are those of `safebo.boundary.rules`, the search is that of `safebo.boundary.state_index` and exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from safebo.boundary.rules import TriggerRule
from safebo.boundary.state_index import StateIndex

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LAST_CHOICE = -1e100
"""Radius of a state whose gains are chosen only where there are no others."""


class BoundaryMonitor:
    """Watches one trial against stored backup states. Picklable.

    Args:
        states: visited states of the backups, `m x k`, unscaled.
        policy: index of every state's gains in `backups`, `m`.
        lower: lower bound of every policy's smallest margin on the warped scale, `p`.
        backups: the gains, `p` of them.
        rule: the boundary condition.
        scale: change of every state coordinate that counts as one unit of distance, `k`.
        gain: what the smallest margin still to come has gained at every state, `m`; for rules that need it.

    Raises:
        ValueError: for shapes that do not fit, no state, values that are not finite, or a missing gain.
    """

    def __init__(
        self,
        states: FloatArray,
        policy: IntArray,
        lower: FloatArray,
        backups: Sequence[Mapping[str, float]],
        rule: TriggerRule,
        scale: FloatArray,
        gain: FloatArray | None = None,
    ) -> None:
        states = np.ascontiguousarray(states, dtype=np.float64)
        if states.ndim != 2 or len(states) == 0 or states.shape[1] == 0:
            raise ValueError(f"backup states must be m x k with m, k >= 1, got shape {states.shape}")
        if len(policy) != len(states) or len(lower) != len(backups):
            raise ValueError("one policy per state and one lower bound per policy")
        if len(scale) != states.shape[1] or not np.all(np.asarray(scale) > 0):
            raise ValueError(f"state scales must be {states.shape[1]} positive numbers, got {list(scale)}")
        if not (np.isfinite(states).all() and np.isfinite(lower).all()):
            raise ValueError("backup states and lower bounds must be finite")
        if gain is None:
            if rule.needs_gain:
                raise ValueError(f"the rule {rule.name} needs the gain of the margin to go at every state")
            gain = np.zeros(len(states))
        if len(gain) != len(states) or not np.all(np.isfinite(gain)) or np.any(np.asarray(gain) < 0):
            raise ValueError("gains must be finite numbers of at least 0, one per state")
        self.rule = rule
        self.scale = np.asarray(scale, dtype=np.float64)
        self.backups: tuple[Mapping[str, float], ...] = tuple(dict(b) for b in backups)
        self.lower = np.asarray(lower, dtype=np.float64)
        self.policy = np.asarray(policy, dtype=np.int64)
        self.gain = np.asarray(gain, dtype=np.float64)
        self.states = states / self.scale
        bound = self.lower[self.policy]
        # What covers, and what is chosen on a trigger, are both a smallest `distance - radius`. The closest is
        # that with radii of zero, so some rules search twice.
        self.radii = self.rule.radii(bound, self.gain, states.shape[1])
        self._covering = StateIndex.build(self.states, self.radii, bound)
        self._choosing: StateIndex | None = None
        if rule.choice != "largest bound":
            first_choice = rule.interior(bound) if rule.choice == "closest interior" else np.ones(len(bound))
            shifts = (
                np.where(first_choice, 0.0, LAST_CHOICE) if np.any(first_choice) else np.zeros(len(bound))
            )
            self._choosing = self._covering.with_radii(shifts)
        self._last = 0

    def __repr__(self) -> str:
        return (
            f"BoundaryMonitor({self.rule.name}, {len(self.states)} states of {self.states.shape[1]} numbers, "
            f"{len(self.backups)} backups)"
        )

    def check(self, state: FloatArray) -> int:
        """-1 to go on, otherwise the index in `backups` of the gains to switch to (state: `k`, unscaled).

        A state that is not finite triggers, with the backup of the largest lower bound, which also decides
        between backups that are equally good.
        """
        raw = np.asarray(state, dtype=np.float64)
        if raw.shape != self.scale.shape:
            raise ValueError(f"a state has {len(self.scale)} numbers, got shape {raw.shape}")
        s = raw / self.scale
        if not np.isfinite(s).all():
            return int(np.argmax(self.lower))
        # Where another search chooses, the first one may stop short of the smallest excess.
        most = np.inf if self._choosing is None else 0.0
        row, self._last, excess = self._covering.search(s, self._last, True, most)
        if excess <= 0.0:
            return -1
        if self._choosing is not None:
            row, self._last, _ = self._choosing.search(s, self._last, False)
        return int(self.policy[row])

    def covered(self, state: FloatArray) -> bool:
        """Whether the boundary condition lets this state pass."""
        return self.check(state) < 0
