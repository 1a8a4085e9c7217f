"""Trials of the pendulum: two gains, one objective, one margin, and a monitor that may switch the gains."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from safebo.robots.benchmarks.pendulum.dynamics import Pendulum, motor_torque, step, trajectory
from safebo.robots.evaluation.margins import to_go
from safebo.types import (
    EvaluatorInfo,
    FloatArray,
    Measurement,
    Monitor,
    ParameterInfo,
    QuantityInfo,
    SwitchedTrial,
    SwitchPlan,
    Trial,
)

SPEED_LIMIT = 2.65
"""Default of the largest allowed |speed|, rad/s."""

RECORD_EVERY = 10
"""Control ticks between two reported states."""

_POSITIVE = ("mass", "length", "torque_limit", "control_period")
_OPTIONS: dict[str, str] = {
    **{f.name: "any finite number" for f in fields(Pendulum)},
    **dict.fromkeys(_POSITIVE, "a number > 0"),
    "ticks": "a whole number from 1 to 1000000",
    "speed_limit": "a number > 0",
    "objective_noise_std": "a number >= 0",
    "speed_noise_std": "a number >= 0",
}


class PendulumEvaluator:
    """Evaluates gains on the pendulum of `safebo.robots.benchmarks.pendulum.dynamics`.

    Args:
        options: any constant of `Pendulum` under its name; `speed_limit` (rad/s); `objective_noise_std` and
            `speed_noise_std`: standard deviation of the observation noise of objective and margin (0.01 each
            unless given). The trial's seed decides the noise.

    Raises:
        ValueError: for an unknown option or a value outside what is allowed.
    """

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        given = dict(options or {})
        for key, value in given.items():
            _check_option(key, value)
        self.speed_limit = float(given.pop("speed_limit", SPEED_LIMIT))
        self.objective_noise_std = float(given.pop("objective_noise_std", 0.01))
        self.speed_noise_std = float(given.pop("speed_noise_std", 0.01))
        if "ticks" in given:
            given["ticks"] = int(given["ticks"])
        self.pendulum = Pendulum(**given)
        self._constants = self.pendulum.constants()
        self._half = (self.pendulum.ticks + 1) // 2

    def __repr__(self) -> str:
        return f"PendulumEvaluator({self.pendulum}, speed_limit={self.speed_limit:g})"

    def info(self) -> EvaluatorInfo:
        """Gains, objective, margin and state of the pendulum."""
        return EvaluatorInfo(
            name="pendulum",
            parameters=(
                ParameterInfo("kp", "N m/rad", 7.0, -1000.0, 1000.0, "gain on the measured angle's error"),
                ParameterInfo("kd", "N m s/rad", 4.8, -1000.0, 1000.0, "gain on the speed"),
            ),
            objectives=(
                QuantityInfo(
                    "tracking",
                    "",
                    "minus the mean of half the squared distance from the target state, in rad and rad/s",
                ),
            ),
            margins=(QuantityInfo("speed", "rad/s", "minimum over time of speed limit minus |speed|"),),
            states=(
                QuantityInfo("angle", "rad", "true angle from upright"),
                QuantityInfo("speed", "rad/s", "rate of the angle"),
            ),
            repeatable=True,
            monitored=True,
            margins_to_go=True,
            tries_switches=True,
        )

    def evaluate(self, trial: Trial, monitor: Monitor | None = None) -> Measurement:
        """Run one trial.

        The monitor sees the state before every control tick. When it triggers, its gains hold from that tick
        on; the margin covers the whole trial, the part under the backup included.

        A trial is finite, so a state tells only about the time that was left. Therefore `states` are those of
        the first half, and a backup holds for at most half a trial: each reported state was seen to be
        followed by as long a time as a backup that starts near it has to last.
        """
        kp, kd = _gains(trial.parameters)
        states, switched = self._roll_out(kp, kd, monitor)
        if not np.isfinite(states).all():
            return Measurement(
                outcome="failed", message=f"the pendulum's state overflowed with {kp=:g}, {kd=:g}"
            )
        margins = self.speed_limit - np.abs(states[:, 1])
        margin = float(margins.min())
        error = states - np.array([self.pendulum.target_angle, 0.0])
        tracking = float(-0.5 * (error**2).sum(axis=1).mean())
        noise = np.random.default_rng(trial.seed).normal(size=2)
        offset = self.speed_noise_std * float(noise[1])
        observed = {"speed": margin + offset}
        reported = slice(0, self.pendulum.ticks - self._half + 1, RECORD_EVERY)
        visited = states[reported].copy()
        duration = (len(states) - 1) * self.pendulum.control_period
        if switched is not None:
            # Two sets of gains share this trial: its tracking is that of neither.
            return Measurement(
                outcome="backup",
                margins=observed,
                states=visited,
                backup_time=switched * self.pendulum.control_period,
                backup_state=states[switched].copy(),
                true_margins={"speed": margin},
                duration=duration,
            )
        return Measurement(
            outcome="completed",
            objective=tracking + self.objective_noise_std * float(noise[0]),
            margins=observed,
            states=visited,
            margins_to_go={"speed": to_go(margins)[reported] + offset},
            true_objective=tracking,
            true_margins={"speed": margin},
            duration=duration,
        )

    def try_switches(self, trial: Trial, plan: SwitchPlan) -> SwitchedTrial:
        """Run one trial and try backups on the way; margins are those without noise."""
        states = self._roll_out(*_gains(trial.parameters), None)[0][:-1]
        overflowed = np.flatnonzero(~np.isfinite(states).all(axis=1))
        states = states[: overflowed[0]] if len(overflowed) else states
        ticks = max(1, round(plan.horizon / self.pendulum.control_period))
        found = []
        for tick, backup in plan.tried:
            left = min(ticks, self.pendulum.ticks - tick) + 1
            taken = trajectory(*_gains(plan.backups[backup]), states[tick], self._constants)[:left]
            smallest = float(np.min(self.speed_limit - np.abs(taken[:, 1])))
            found.append(smallest if np.isfinite(smallest) else -self.speed_limit)
        return SwitchedTrial(
            states=states,
            margins={"speed": self.speed_limit - np.abs(states[:, 1])},
            to_go={"speed": np.array(found)},
            period=self.pendulum.control_period,
            fell=bool(len(overflowed)),
        )

    def _roll_out(self, kp: float, kd: float, monitor: Monitor | None) -> tuple[FloatArray, int | None]:
        """All states, at most `ticks + 1 x 2`, and the tick at which the monitor switched."""
        c = self._constants
        if monitor is None:
            return trajectory(kp, kd, self.pendulum.start, c), None
        states = np.empty((self.pendulum.ticks + 1, 2))
        states[0] = self.pendulum.start
        for t in range(self.pendulum.ticks):
            chosen = monitor.check(states[t])
            if chosen >= 0:
                kp, kd = _gains(monitor.backups[chosen])
                last = min(self.pendulum.ticks, t + self._half)
                states[t : last + 1] = trajectory(kp, kd, states[t], c)[: last + 1 - t]
                return states[: last + 1], t
            angle, speed = states[t]
            states[t + 1] = step(angle, speed, motor_torque(angle, speed, kp, kd, c), c)
        return states, None


def _gains(parameters: Mapping[str, float]) -> tuple[float, float]:
    unknown = sorted(set(parameters) - {"kp", "kd"})
    missing = sorted({"kp", "kd"} - set(parameters))
    if unknown or missing:
        raise ValueError(f"the pendulum's gains are kp and kd; unknown: {unknown}, missing: {missing}")
    return float(parameters["kp"]), float(parameters["kd"])


def _check_option(key: str, value: Any) -> None:
    if key not in _OPTIONS:
        near = difflib.get_close_matches(key, _OPTIONS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"pendulum: unknown option {key!r}{hint} Allowed are {', '.join(sorted(_OPTIONS))}")
    allowed = _OPTIONS[key]
    ok = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if ok and "whole" in allowed:
        ok = float(value).is_integer() and 1 <= value <= 1_000_000
    elif ok and "> 0" in allowed:
        ok = value > 0
    elif ok and ">= 0" in allowed:
        ok = value >= 0
    if not ok:
        raise ValueError(f"pendulum: option {key} = {value!r} is not allowed; it must be {allowed}")
