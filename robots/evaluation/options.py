"""The options of a legged evaluator, as a study gives them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from safebo.robots.controllers.finding import LAWS, WHOLE_BODY, chosen_controller, table_for
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.evaluation.formulas import FormulaMargin, each_of, one_margin
from safebo.robots.evaluation.goals import Goal, goal_of
from safebo.robots.evaluation.metrics import MARGINS, OBJECTIVES, Limits
from safebo.robots.evaluation.named import NAMED_MARGINS, NAMED_OBJECTIVES
from safebo.robots.evaluation.signals import signals_of
from safebo.robots.quadruped.gains import Gains
from safebo.robots.quadruped.gait import gait_named
from safebo.robots.simulation.disturbance import Disturbance
from safebo.robots.simulation.drift import Drift

ALL_OBJECTIVES = (*OBJECTIVES, *NAMED_OBJECTIVES)
"""Names that the option `objective` may have."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_OBJECTIVE_KEYS = ("name", "maximise", "minimise", "unit")
_MARGIN_KEYS = ("name", "stl", "end", "split", "limit")


@dataclass(frozen=True)
class LeggedOptions:
    """The options of `LeggedEvaluator`, checked.

    Args:
        robot: `go1`, `go2`, or the path of an MJCF or URDF file.
        gait: named gait for what the context leaves open.
        velocity: forward, leftward (m/s) and yaw rate (rad/s).
        seconds: length of the walk.
        disturbance: the reality gap, a preset's name or its fields.
        estimator: `kalman` (from the sensors, as on a robot) or `truth`.
        gains: gains that are not tuned but differ from their default.
        objective: what a measurement reports: a name of `ALL_OBJECTIVES`, or a mapping with a name and an expression
            (docs/signals-and-margins.md).
        limits: where the margins are zero.
        state_every: one in so many control ticks is reported as a visited state.
        state_choice: which of them: `informative`, those that say most about the walk, or `even`, one like the other.
        telemetry: whether trajectories are saved.
        noise_free: perfect sensors, for figures that need the truth.
        drift: how the plant changes with the operating time that a trial is told.
        objective_after: seconds at the start of the walk that the objective leaves out; the margins never do.
        margins: further margins, each a mapping with a name and a formula.
        controller: what walks; see docs/controllers.md.
        gait_changes: file with the changes of gait that are allowed (`safebo robots gait-changes`); empty for all.
        adaptive_contact: whether feet stand when they are felt to touch, not by the gait's clock alone; for the chain
            that comes with the package.
        controller_gains: what `gains` says where that is not the chain that comes with the package.
    """

    robot: str = "go1"
    gait: str = "trot"
    velocity: tuple[float, float, float] = (0.5, 0.0, 0.0)
    seconds: float = 5.0
    disturbance: Disturbance = field(default_factory=Disturbance)
    estimator: str = "kalman"
    gains: Gains = field(default_factory=Gains)
    objective: str | Mapping[str, Any] = "tracking"
    limits: Limits = field(default_factory=Limits)
    state_every: int = 10
    state_choice: str = "informative"
    telemetry: bool = False
    noise_free: bool = False
    drift: Drift = field(default_factory=Drift)
    objective_after: float = 0.0
    margins: tuple[Mapping[str, Any], ...] = ()
    controller: str = WHOLE_BODY
    controller_gains: Mapping[str, float] = field(default_factory=dict)
    gait_changes: str = ""
    adaptive_contact: bool = False

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> LeggedOptions:
        """LeggedOptions from a study's `evaluator.options`.

        Raises:
            ValueError: names the option, its value, and what is allowed.
        """
        chosen, rest = chosen_controller(options)
        values: dict[str, Any] = {"controller": chosen}
        for key, value in rest.items():
            if key not in OPTIONS:
                close = difflib.get_close_matches(str(key), OPTIONS, n=1)
                hint = f", did you mean {close[0]!r}" if close else ""
                raise ValueError(f"unknown option {key!r}{hint}? Known are {', '.join(OPTIONS)}")
            values[key] = OPTIONS[key](key, value)
        if chosen in LAWS:
            table_for(chosen).full(values.get("gains", {}))
            return cls(**{**values, "gains": Gains(values.get("gains", {}))})
        if values.get("estimator") == "truth":
            raise ValueError(
                "estimator: 'truth' is for the controller that comes with this package; another one sees sensors only"
            )
        if values.get("adaptive_contact"):
            raise ValueError(
                f"adaptive_contact is for the controllers that come with this package ({', '.join(LAWS)}), "
                f"not for {chosen}"
            )
        values["controller_gains"] = values.pop("gains", {})
        return cls(**values)


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{key} must be a text, got {value!r}")
    return value


def _gait(key: str, value: Any) -> str:
    gait_named(_text(key, value))
    return str(value)


def _mapping(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{key} must be a mapping of names to numbers, got {value!r}")
    return value


def _limits(key: str, value: Any) -> Limits:
    return Limits.from_dict(_mapping(key, value))


def _one_of(key: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    if not any(value is a or (isinstance(a, str) and value == a) for a in allowed):
        raise ValueError(f"{key} must be {' or '.join(str(a).lower() for a in allowed)}, got {value!r}")
    return value


def _number(key: str, value: Any, low: float, high: float, whole: bool = False) -> float:
    good = not isinstance(value, bool) and isinstance(value, (int, float)) and low <= value <= high
    if not good or (whole and int(value) != value):
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"{key} must be {kind} from {low:g} to {high:g}, got {value!r}")
    return int(value) if whole else float(value)


def _velocity(key: str, value: Any) -> tuple[float, float, float]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 3:
        raise ValueError(f"{key} must be [forward m/s, leftward m/s, yaw rate rad/s], got {value!r}")
    x, y, turn = (_number(f"{key}[{i}]", v, -5.0, 5.0) for i, v in enumerate(value))
    return x, y, turn


def _drift(key: str, value: Any) -> Drift:
    return Drift.from_dict(value)


def _disturbance(key: str, value: Any) -> Disturbance:
    if not isinstance(value, (str, Mapping)):
        raise ValueError(f"{key} must be a preset's name or a mapping, got {value!r}")
    return Disturbance.from_dict(value)


def _objective(key: str, value: Any) -> str | Mapping[str, Any]:
    if not isinstance(value, Mapping):
        return str(_one_of(key, value, ALL_OBJECTIVES))
    _known_keys(key, value, _OBJECTIVE_KEYS)
    name = _name(f"{key}.name", value.get("name"))
    if name in ALL_OBJECTIVES:
        raise ValueError(
            f"{key}.name: {name!r} is an objective that comes with the project: choose another name"
        )
    if ("maximise" in value) == ("minimise" in value):
        raise ValueError(f"{key} {name!r} needs one of maximise and minimise, with an expression")
    for text in ("maximise", "minimise", "unit"):
        if text in value:
            _text(f"{key}.{text}", value[text])
    return dict(value)


def _margins(key: str, value: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(f"{key} must be a list of margins, as - {{name: NAME, stl: FORMULA}}, got {value!r}")
    for index, entry in enumerate(value):
        where = f"{key}[{index}]"
        if not isinstance(entry, Mapping):
            raise ValueError(f"{where} must be a mapping with name and stl, got {entry!r}")
        _known_keys(where, entry, _MARGIN_KEYS)
        name = _name(f"{where}.name", entry.get("name"))
        if name in MARGINS:
            raise ValueError(f"{where}.name: {name!r} is a margin that every walk has: choose another name")
        if "stl" not in entry and name not in NAMED_MARGINS:
            raise ValueError(
                f"{where}: {name!r} needs a formula (stl); without one go {', '.join(NAMED_MARGINS)}"
            )
        if "stl" in entry and "limit" in entry:
            raise ValueError(f"{where}: limit goes with a margin that comes with the project, without stl")
        _one_of(f"{where}.split", entry.get("split", False), (True, False))
        _text(f"{where}.stl", entry.get("stl", ""))
    return tuple(dict(entry) for entry in value)


def _known_keys(where: str, value: Mapping[Any, Any], known: tuple[str, ...]) -> None:
    for key in value:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f", did you mean {close[0]!r}" if close else ""
            raise ValueError(f"{where}: unknown key {key!r}{hint}? Known are {', '.join(known)}")


def _name(where: str, value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"{where} must be a name of letters, digits, _ and -, got {value!r}")
    return value


def goal_from(options: LeggedOptions, robot: RobotModel) -> Goal | None:
    """The objective of the options where it is an expression; None for one of `OBJECTIVES`.

    Raises:
        ValueError: the expression cannot be used; says where and why.
    """
    chosen, signals = options.objective, signals_of(robot)
    texts = {name: text for name, (text, _, _) in NAMED_OBJECTIVES.items()}
    if isinstance(chosen, Mapping):
        minimised = "minimise" in chosen
        text = str(chosen["minimise" if minimised else "maximise"])
        return goal_of(chosen["name"], text, signals, texts, -1.0 if minimised else 1.0, chosen.get("unit"))
    return None if chosen in OBJECTIVES else named_goal(chosen, robot)


def named_goal(name: str, robot: RobotModel) -> Goal:
    """One of `NAMED_OBJECTIVES`, in its own unit."""
    text, unit, described = NAMED_OBJECTIVES[name]
    return replace(goal_of(name, text, signals_of(robot), {}, 1.0, unit), described=described)


def margins_from(options: LeggedOptions, robot: RobotModel) -> tuple[FormulaMargin, ...]:
    """The margins of the options that are formulas.

    Raises:
        ValueError: a formula cannot be used, or two have one name; says where and why.
    """
    signals, found = signals_of(robot), list[FormulaMargin]()
    for entry in options.margins:
        name, text = entry["name"], entry.get("stl")
        if text is None:
            template, limit = NAMED_MARGINS[name]
            limit = str(entry.get("limit", limit))
            if not limit:
                raise ValueError(f"margin {name!r} needs a limit, as limit: 500 J")
            text = template.format(limit=limit)
        margin = one_margin(name, text, signals, entry.get("end", "complete"))
        found += each_of(margin) if entry.get("split") else [margin]
    names = [margin.name for margin in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"margins: {name!r} is there twice")
    return tuple(found)


OPTIONS: dict[str, Callable[[str, Any], Any]] = {
    "robot": _text,
    "gait": _gait,
    "velocity": _velocity,
    "seconds": partial(_number, low=0.1, high=3600.0),
    "disturbance": _disturbance,
    "estimator": partial(_one_of, allowed=("kalman", "truth")),
    "gains": _mapping,
    "objective": _objective,
    "limits": _limits,
    "state_every": partial(_number, low=1, high=10_000, whole=True),
    "state_choice": partial(_one_of, allowed=("informative", "even")),
    "telemetry": partial(_one_of, allowed=(True, False)),
    "noise_free": partial(_one_of, allowed=(True, False)),
    "drift": _drift,
    "objective_after": partial(_number, low=0.0, high=60.0),
    "margins": _margins,
    "controller": _text,
    "controller_file": _text,
    "gait_changes": _text,
    "adaptive_contact": partial(_one_of, allowed=(True, False)),
}
"""How each option is checked and read, from its name and its value in a study."""
