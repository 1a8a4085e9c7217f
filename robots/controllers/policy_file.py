"""The file that says what a learned policy sees and what its actions mean; docs/controllers.md describes it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from safebo.errors import FileError
from safebo.files.reading import read_file
from safebo.robots.controllers.protocol import ControllerInputError
from safebo.robots.controllers.sections import Section
from safebo.robots.quadruped.gains import JOINT_TYPES, Gain, GainTable, gain_named
from safebo.types import FloatArray

TERMS = {
    "angular_velocity": 3,
    "projected_gravity": 3,
    "command": 3,
    "joint_position": 12,
    "joint_velocity": 12,
    "last_action": 12,
    "gait_clock": 2,
}
"""What an observation may be made of, and how many numbers each has: of the trunk in its own frame, rad/s, and the
direction of gravity there; forward and leftward speed, m/s, and yaw rate, rad/s; angles from the default pose, rad, and
speeds, rad/s; what the network gave last; sine and cosine of the front right leg's phase."""

CONTROL_RATE = 500
MAX_SCALE = 2.0  # rad
MAX_HISTORY = 100


@dataclass(frozen=True)
class Term:
    """One part of an observation: its name, and the factor on each of its numbers."""

    name: str
    scale: FloatArray


@dataclass(frozen=True)
class PolicyFile:
    """What the file says.

    Args:
        path: of the file itself.
        network: the ONNX file.
        every: control ticks from one action to the next.
        terms: of an observation, in order.
        history: observations that the network sees at once, the oldest first.
        observation_clip, action_clip: largest absolute values, before scaling of the action.
        joints: names of the joints in the network's order; empty for the robot's own.
        pose: default angles in the network's order, rad; None for the robot's home pose.
        table: stiffness, damping and action scale of the joint types.
    """

    path: Path
    network: Path
    every: int
    terms: tuple[Term, ...]
    history: int
    observation_clip: float
    action_clip: float
    joints: tuple[str, ...]
    pose: FloatArray | None
    table: GainTable

    @property
    def width(self) -> int:
        """How many numbers the network sees."""
        return self.history * sum(len(term.scale) for term in self.terms)


def read_policy_file(path: Path, content: Any = None) -> PolicyFile:
    """Read it.

    Args:
        path: of the file.
        content: what it holds, if it was read already.

    Raises:
        ControllerInputError: file, key, value, and what is allowed.
    """
    if content is None:
        try:
            content = read_file(path)
        except FileError as error:
            raise ControllerInputError(str(error)) from None
    whole = Section(path, "", content)
    policy = whole.section("policy")
    network = path.parent / policy.text("file")
    if not network.is_file():
        raise policy.error("file", f"{network}: no such file")
    rate = policy.number("rate", 1.0, CONTROL_RATE, 50.0)
    if CONTROL_RATE % rate:
        policy.refuse("rate", rate, f"a whole part of {CONTROL_RATE} per second, such as 50 or 100")
    terms = _terms(policy)
    history = policy.number("history", 1, MAX_HISTORY, 1)
    if history != int(history):
        policy.refuse("history", history, "a whole number")
    clip = policy.number("observation_clip", 1e-3, 1e6, 100.0)
    action_clip = policy.number("action_clip", 1e-3, 1e6, 100.0)
    joints = policy.texts("joints") if "joints" in policy.data else ()
    if joints and (len(joints) != 12 or len(set(joints)) != 12):
        policy.refuse("joints", list(joints), "twelve names, each once")
    pose = _numbers(policy, "default_pose", 12, None)
    table = _table(policy)
    policy.over()
    whole.over()
    every = round(CONTROL_RATE / rate)
    return PolicyFile(path, network, every, terms, int(history), clip, action_clip, joints, pose, table)


def _terms(policy: Section) -> tuple[Term, ...]:
    listed = policy.list_of("observation")
    terms = []
    for index, item in enumerate(listed):
        entry = Section(policy.path, f"policy.observation[{index}]", item)
        name = entry.text("term")
        if name not in TERMS:
            entry.refuse("term", name, ", ".join(TERMS))
        scale = _numbers(entry, "scale", TERMS[name], 1.0)
        entry.over()
        assert scale is not None
        terms.append(Term(name, scale))
    return tuple(terms)


def _numbers(section: Section, key: str, count: int, default: float | None) -> FloatArray | None:
    """One number for all, or `count` of them; the default where the key is missing."""
    if key not in section.data:
        return None if default is None else np.full(count, default)
    value = section.data[key]
    if not isinstance(value, list):
        return np.full(count, section.number(key))
    parts = section.list_of(key)
    if len(parts) != count:
        section.refuse(key, value, f"a number, or {count} of them")
    numbers = Section(section.path, f"{section.where}.{key}", {str(i): part for i, part in enumerate(parts)})
    return np.array([numbers.number(str(i)) for i in range(count)])


def _table(policy: Section) -> GainTable:
    """Gains of the joint types, whose defaults are those that the policy was trained with."""
    scale = Gain("", "rad", 0.0, 0.0, MAX_SCALE)
    gains: list[Gain] = []
    for key, which in (("stiffness", "kp"), ("damping", "kd"), ("action_scale", "")):
        values = policy.section(key) if isinstance(policy.data.get(key), dict) else None
        for kind in JOINT_TYPES:
            plain = replace(
                scale,
                name=f"action.{kind}.scale",
                description=f"of the {kind} joints' action, from the default pose",
            )
            gain = (
                replace(gain_named(f"joint.{kind}.{which}"), by_mass=0.0, by_length=0.0) if which else plain
            )
            place, name = (policy, key) if values is None else (values, kind)
            gains.append(replace(gain, default=place.number(name, gain.lower, gain.upper)))
        if values is not None:
            values.over()
    return GainTable(gains, f"safebo robots gains --controller {policy.path}")
