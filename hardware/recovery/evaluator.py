"""Trials of getting up and lying down: four gains, how quick it is, and what must not happen on the way."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from typing import Any, cast

from safebo.errors import EvaluatorOptionError
from safebo.hardware.guardian.motion import RISE, SINK, MotionGains
from safebo.hardware.recovery.motion_run import Motion, MotionRecord, run_motion
from safebo.robots.descriptions.model import load_robot
from safebo.robots.simulation.named_disturbance import named_disturbance
from safebo.types import EvaluatorInfo, Measurement, Monitor, ParameterInfo, QuantityInfo, Trial

MOTIONS: tuple[Motion, ...] = ("stand_up", "lie_down")
LIMITS = {
    "torque_limit": (0.5, "largest share of a joint's torque limit"),
    "tilt_limit": (0.15, "largest roll or pitch of the trunk, rad"),
    "sinking_limit": (0.4, "largest downward speed of the trunk, m/s"),
}
"""Options that are numbers > 0, with their defaults."""
OPTIONS = ("robot", "motion", "disturbance", *LIMITS)
FELL_RAD = 0.8
"""Roll or pitch from which a trunk counts as fallen."""


class RecoveryEvaluator:
    """Evaluates gains with which a quadruped gets up from its belly, or lies down, in MuJoCo.

    The motion is the guardian's: joint-space curves through the folded pose, with one stiffness and one damping for all
    joints. Nothing is random, so the trial's seed decides nothing.

    Args:
        options: `robot` (a name or a file as `safebo robots list` and docs/foreign-robots.md have them; `go2`),
            `motion` (`stand_up`, the default, or `lie_down`), `disturbance` (how the robot differs from its model: a
            text as docs/virtual-robots.md has it), and the numbers in `LIMITS`.

    Raises:
        EvaluatorOptionError: an unknown option, or a value that cannot be used; names the key.
    """

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        given = dict(options or {})
        for key in given:
            if key not in OPTIONS:
                close = difflib.get_close_matches(key, OPTIONS, n=1)
                hint = f", did you mean {close[0]!r}?" if close else ""
                raise _refused(key, f"unknown option {key!r}{hint} (allowed: {', '.join(OPTIONS)})")
        motion = given.get("motion", "stand_up")
        if motion not in MOTIONS:
            raise _refused("motion", f"must be one of {', '.join(MOTIONS)}, not {motion!r}")
        self.motion: Motion = cast(Motion, motion)
        self._limits = {name: _number(name, given.get(name, LIMITS[name][0])) for name in LIMITS}
        self.robot = _made("robot", lambda: load_robot(str(given.get("robot", "go2"))))
        gap, size = given.get("disturbance", "nominal"), self.robot.size
        self.disturbance = _made(
            "disturbance", lambda: named_disturbance(gap if isinstance(gap, Mapping) else str(gap), size)
        )

    def info(self) -> EvaluatorInfo:
        """Gains, objective and margins of the motion."""
        default = RISE if self.motion == "stand_up" else SINK
        fold = (ParameterInfo("fold_time", "s", default.fold, 0.1, 5.0, "into the folded pose"),)
        return EvaluatorInfo(
            name="recovery",
            parameters=(
                ParameterInfo("kp", "N m/rad", default.kp, 1.0, 400.0, "stiffness of every joint"),
                ParameterInfo("kd", "N m s/rad", default.kd, 0.1, 40.0, "damping of every joint"),
                *(fold if self.motion == "stand_up" else ()),
                ParameterInfo("move_time", "s", default.move, 0.1, 5.0, "from the one pose to the other"),
            ),
            objectives=(QuantityInfo("quickness", "s", "minus the time until it stands, or lies, to stay"),),
            margins=(
                QuantityInfo("torque", "", f"torque_limit minus the {LIMITS['torque_limit'][1]}"),
                QuantityInfo("tilt", "rad", f"tilt_limit minus the {LIMITS['tilt_limit'][1]}"),
                QuantityInfo("sinking", "m/s", f"sinking_limit minus the {LIMITS['sinking_limit'][1]}"),
                QuantityInfo("reached", "m", "height by which the trunk is at the end where it should be"),
            ),
            repeatable=True,
        )

    def evaluate(self, trial: Trial, monitor: Monitor | None = None) -> Measurement:
        """Run one motion."""
        p = trial.parameters
        gains = MotionGains(p["kp"], p["kd"], p["move_time"], p.get("fold_time", RISE.fold))
        try:
            record = run_motion(self.robot, self.motion, gains, self.disturbance)
        except ValueError as error:
            return Measurement(outcome="failed", message=str(error))
        margins = self._margins(record)
        fell = bool(record.tilt.max() > FELL_RAD)
        return Measurement(
            outcome="completed",
            objective=-record.time(self.motion),
            margins=margins,
            fell=fell,
            true_objective=-record.time(self.motion),
            true_margins=margins,
        )

    def _margins(self, record: MotionRecord) -> dict[str, float]:
        limits = self._limits
        return {
            "torque": limits["torque_limit"] - float(record.torque.max()),
            "tilt": limits["tilt_limit"] - float(record.tilt.max()),
            "sinking": limits["sinking_limit"] - float(record.sinking.max()),
            "reached": record.beyond(self.motion),
        }


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 < value < math.inf:
        raise _refused(name, f"must be a number > 0, not {value!r}")
    return float(value)


def _made(key: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except ValueError as error:
        raise _refused(key, str(error)) from error


def _refused(key: str, message: str) -> EvaluatorOptionError:
    return EvaluatorOptionError(message, f"evaluator.options.{key}")
