"""Trunk, legs and joints of a robot, found from its tree of bodies and from where they are, never by names alone.

A leg is a chain of three driven hinges from the trunk to a foot. Everything else that moves (arms, wheels of sensors,
passive joints) is held still, and so is what follows the first three hinges where all four legs have more: wheels,
ankles, springs. Legs are told apart by the corner of the trunk they are at, x forward and y to the left; names decide
only which end of a robot is its front.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import mujoco
import numpy as np

from safebo.robots.descriptions.description import LEGS
from safebo.robots.descriptions.reading import CompiledFile, DescriptionError, few
from safebo.types import FloatArray, IntArray

HEADINGS = {"+x": 0.0, "+y": 0.5 * np.pi, "-x": np.pi, "-y": -0.5 * np.pi}
"""Which way a robot faces in its file's own axes, and that direction's angle."""
_HINGE, _FREE = int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_FREE)
_CORNER = 0.05  # of the distance between the legs: nearer to the middle line is no corner
_FRONT = re.compile(r"front|fore|(^|[^a-z])(f[lr]|[lr]f)([^a-z]|$)", re.IGNORECASE)
_REAR = re.compile(r"rear|hind|back|(^|[^a-z])([rhb][lr]|[lr][hbr])([^a-z]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class LayoutChoices:
    """What a person may say where it cannot be found.

    Args:
        joints: the three joints of every leg, from the trunk outwards.
        forward: see `HEADINGS`.
        held: angles of joints that are held still, rad.
    """

    joints: Mapping[str, Sequence[str]] = field(default_factory=dict)
    forward: str | None = None
    held: Mapping[str, float] = field(default_factory=dict)


@dataclass(eq=False)
class Layout:
    """Where a quadruped is in a compiled file.

    Args:
        base: the body whose frame is the trunk's, the one on which the legs hang.
        shift: from that frame's origin to the trunk's, in the file's world, m, `3`: not zero where the file has the
            origin far below or above the legs.
        joints: MuJoCo's joints, leg by leg, `4 x 3`.
        leg_bodies: bodies that move with each joint and with none after it, `4 x 3` lists.
        trunk_bodies: all others of the robot.
        rotation: trunk frame to the file's world, `3 x 3`, with x forward and z up.
        forward: which way it faces in the file's own axes, see `HEADINGS`.
        qpos: angles at which the rest is held; the legs' joints are at zero.
        held: those angles by joint, rad (m where a joint slides).
        notes: what was found and assumed.
    """

    base: int
    shift: FloatArray
    joints: IntArray
    leg_bodies: list[list[list[int]]]
    trunk_bodies: list[int]
    rotation: FloatArray
    forward: str
    qpos: FloatArray
    held: dict[str, float]
    notes: list[str]

    def into_trunk(self, data: Any, points: FloatArray) -> FloatArray:
        """Points of the file's world, `... x 3`, in the trunk frame; `data` has the file's kinematics."""
        return np.asarray((points - data.xpos[self.base] - self.shift) @ self.rotation)


@dataclass
class _Limb:
    """A part of the tree below the trunk: its moving joints, in order as long as it does not fork."""

    joints: list[int]
    forks: bool = False

    def is_leg(self, model: Any) -> bool:
        return len(self.joints) == 3 and self.begins_as_leg(model)

    def begins_as_leg(self, model: Any) -> bool:
        first = [model.jnt_type[j] for j in self.joints[:3]]
        return not self.forks and first == [_HINGE] * 3


def find_layout(source: CompiledFile, choices: LayoutChoices) -> Layout:
    """Trunk, legs, directions.

    Raises:
        DescriptionError: the robot is no quadruped with three driven hinges in each leg; says what was found.
    """
    model = source.model
    notes: list[str] = []
    if choices.joints:
        legs = _named_legs(source, choices.joints)
    else:
        legs = _legs_in_tree(source, _driven(source), notes)
    root = int(model.body_rootid[model.jnt_bodyid[legs[0][0]]])
    if any(model.body_rootid[model.jnt_bodyid[leg[0]]] != root for leg in legs):
        raise DescriptionError(source.path, "the four legs do not hang on one body")
    qpos, held = _reference(source, legs, root, choices.held, notes)
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_kinematics(model, data)
    base = _base_body(model, legs, root)
    upright = data.xmat[base].reshape(3, 3).copy()
    if upright[2, 2] < 0.9:  # the base link's own z axis does not point up: the world's axes serve
        upright = np.eye(3)
    legs, rotation, forward = _corners(source, data, legs, upright, choices.forward, notes)
    leg_bodies, trunk = _bodies(model, legs, root)
    shift = _shift(source, data, legs, base, rotation, notes)
    return Layout(base, shift, np.array(legs), leg_bodies, trunk, rotation, forward, qpos, held, notes)


def _driven(source: CompiledFile) -> set[int]:
    """Joints that move: those with an actuator where the file has actuators for twelve hinges, otherwise all."""
    model = source.model
    every = {j for j in range(model.njnt) if model.jnt_type[j] != _FREE}
    with_motor = {int(model.actuator_trnid[i, 0]) for i in range(model.nu)} & every
    hinges = [j for j in with_motor if model.jnt_type[j] == _HINGE]
    return with_motor if len(hinges) >= 12 else every


def _legs_in_tree(source: CompiledFile, moving: set[int], notes: list[str]) -> list[list[int]]:
    """The joints of four alike limbs of three hinges that hang on one rigid part, or the first three of longer ones."""
    model = source.model
    of_body: list[list[int]] = [[] for _ in range(model.nbody)]
    for joint in sorted(moving):
        of_body[int(model.jnt_bodyid[joint])].append(joint)
    part = list(range(model.nbody))  # the body with which each moves rigidly
    for body in range(1, model.nbody):
        parent = int(model.body_parentid[body])
        free = any(model.jnt_type[j] == _FREE for j in range(model.njnt) if model.jnt_bodyid[j] == body)
        if not of_body[body] and not free and not (parent == 0 and model.body_rootid[body] == body):
            part[body] = part[parent]
    children: dict[int, list[int]] = {}
    for body in range(1, model.nbody):
        if part[body] == body:
            children.setdefault(part[int(model.body_parentid[body])], []).append(body)

    def limb(body: int) -> _Limb:
        below = children.get(body, [])
        if not below:
            return _Limb(list(of_body[body]))
        rest = [limb(child) for child in below]
        forks = len(rest) > 1 or rest[0].forks
        return _Limb(of_body[body] + [joint for item in rest for joint in item.joints], forks)

    best: tuple[tuple[int, int], list[_Limb]] = ((0, 0), [])
    for body, below in children.items():
        limbs = [limb(child) for child in below] if body else []
        limbs = [item for item in limbs if item.joints]
        count = sum(item.is_leg(model) for item in limbs)
        merit = (count if count >= 4 else 0, sum(len(item.joints) for item in limbs))
        if merit > best[0]:
            best = merit, limbs
    legs = [item.joints for item in best[1] if item.is_leg(model)]
    if len(legs) > 4:
        legs = _alike(model, legs)
    if not legs:
        legs = _longer_legs(model, best[1], notes)
    if len(legs) != 4:
        raise DescriptionError(source.path, _found_instead(source, best[1], moving))
    return legs


def _longer_legs(model: Any, limbs: list[_Limb], notes: list[str]) -> list[list[int]]:
    """The first three joints of four limbs that all have more; none where there are other limbs."""
    if len(limbs) != 4 or not all(item.begins_as_leg(model) for item in limbs):
        return []
    notes.append(
        "legs of more than three joints walk with the first three (a robot file may name others as `joints`)"
    )
    return [item.joints[:3] for item in limbs]


def _alike(model: Any, limbs: list[list[int]]) -> list[list[int]]:
    """Of limbs with three hinges those four that have the same lengths, where exactly four do."""
    lengths = []
    for joints in limbs:
        bodies = model.jnt_bodyid[joints]
        lengths.append(
            (
                float(np.linalg.norm(model.body_pos[bodies[1]])),
                float(np.linalg.norm(model.body_pos[bodies[2]])),
                float(model.body_subtreemass[bodies[0]]),
            )
        )
    for own in lengths:
        same = [
            joints for joints, other in zip(limbs, lengths, strict=True) if np.allclose(own, other, 0.1, 1e-3)
        ]
        if len(same) == 4:
            return same
    return limbs


def _found_instead(source: CompiledFile, limbs: list[_Limb], moving: set[int]) -> str:
    wanted = "a quadruped with three driven hinges in each of four legs is needed; "
    if not moving:
        return wanted + "it has no joint that moves"
    if not limbs:
        return (
            wanted + f"found {len(moving)} joints in one chain: {few(map(source.joint_name, sorted(moving)))}"
        )
    parts = []
    for item in limbs[:8]:
        kinds = [int(source.model.jnt_type[j]) for j in item.joints]
        what = (
            "joints, forked"
            if item.forks
            else "hinges"
            if set(kinds) == {_HINGE}
            else "joints, not all hinges"
        )
        if len(item.joints) == 1:
            what = what.replace("hinges", "hinge", 1).replace("joints", "joint", 1)
        parts.append(f"{len(item.joints)} {what} from {source.joint_name(item.joints[0])!r}")
    more = f" and {len(limbs) - 8} more" if len(limbs) > 8 else ""
    return wanted + f"found {len(limbs)} limb{'' if len(limbs) == 1 else 's'}: {', '.join(parts)}{more}"


def _named_legs(source: CompiledFile, joints: Mapping[str, Sequence[str]]) -> list[list[int]]:
    """The joints that a robot file names, in the order of `LEGS`."""
    names = source.joint_names
    legs = []
    for leg in LEGS:
        for name in joints[leg]:
            if name not in names:
                raise DescriptionError(
                    source.path,
                    f"has no joint {name!r}, which joints.{leg} names; its joints: {few(names, 30)}",
                )
        legs.append([names.index(name) for name in joints[leg]])
    model = source.model
    for leg, row in zip(LEGS, legs, strict=True):
        wrong = [names[j] for j in row if model.jnt_type[j] != _HINGE]
        if wrong:
            raise DescriptionError(source.path, f"joints.{leg}: {wrong[0]!r} is no hinge")
        for first, second in pairwise(row):
            if (
                not _below(model, int(model.jnt_bodyid[second]), int(model.jnt_bodyid[first]))
                or second == first
            ):
                raise DescriptionError(
                    source.path,
                    f"joints.{leg}: {names[second]!r} does not come after {names[first]!r} in the leg",
                )
    if len({joint for row in legs for joint in row}) != 12:
        raise DescriptionError(source.path, "joints: a joint is named twice")
    return legs


def _below(model: Any, body: int, above: int) -> bool:
    while body:
        if body == above:
            return True
        body = int(model.body_parentid[body])
    return False


def _reference(
    source: CompiledFile, legs: list[list[int]], root: int, held: Mapping[str, float], notes: list[str]
) -> tuple[FloatArray, dict[str, float]]:
    """Generalised positions with the legs at zero and the rest where it is held, and that by joint."""
    model = source.model
    qpos = np.array(model.qpos0)
    names = source.joint_names
    for name in held:
        if name not in names:
            raise DescriptionError(source.path, f"has no joint {name!r}, which `held` names")
    of_legs = {joint for leg in legs for joint in leg}
    still, values = [], {}
    for joint in range(model.njnt):
        if model.jnt_type[joint] == _FREE or model.body_rootid[model.jnt_bodyid[joint]] != root:
            continue
        where = int(model.jnt_qposadr[joint])
        if joint in of_legs:
            qpos[where] = 0.0
            continue
        if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_BALL:
            still.append(names[joint])
            continue
        value = float(held.get(names[joint], model.key_qpos[0][where] if model.nkey else qpos[where]))
        if model.jnt_limited[joint] and names[joint] not in held:
            value = float(np.clip(value, *model.jnt_range[joint]))
        qpos[where] = values[names[joint]] = value
        still.append(f"{names[joint]} at {value:.4g}")
    if still:
        notes.append(f"joints beside the legs' are held still: {few(still, 12)}")
    return qpos, values


def _base_body(model: Any, legs: list[list[int]], root: int) -> int:
    """The lowest body below which all legs hang."""
    above: set[int] = set()
    for leg in legs:
        body = int(model.body_parentid[model.jnt_bodyid[leg[0]]])
        line = []
        while body:
            line.append(body)
            body = int(model.body_parentid[body])
        above.update(line) if not above else above.intersection_update(line)
    return max(above) if above else root


def _corners(
    source: CompiledFile,
    data: Any,
    legs: list[list[int]],
    upright: FloatArray,
    forward: str | None,
    notes: list[str],
) -> tuple[list[list[int]], FloatArray, str]:
    """Legs in the order FL, FR, RL, RR, the trunk frame that makes them so, and where x of it points."""
    anchors = np.array([data.xanchor[leg[0]] for leg in legs]) @ upright
    first_axes = np.abs(np.array([data.xaxis[leg[0]] for leg in legs]) @ upright).mean(axis=0)
    spread = np.ptp(anchors, axis=0)
    heading = forward
    if heading is None:
        # Abduction turns about the forward axis, and a quadruped is longer than wide.
        heading = "+y" if first_axes[1] > 0.7 and spread[1] > spread[0] else "+x"
        if _names_say_backwards(source, legs, anchors @ _turned(heading)):
            heading = {"+x": "-x", "+y": "-y"}[heading]
        if heading != "+x":
            notes.append(f"it faces along {heading} of its own axes; here it is turned to face along x")
    turn = _turned(heading)
    places = anchors @ turn
    places = places - 0.5 * (places.max(axis=0) + places.min(axis=0))
    size = np.ptp(places, axis=0)
    found: dict[str, list[int]] = {}
    for leg, (x, y, _) in zip(legs, places, strict=True):
        if abs(x) > _CORNER * size[0] and abs(y) > _CORNER * size[1]:
            found.setdefault(("F" if x > 0 else "R") + ("L" if y > 0 else "R"), []).extend(leg)
    if sorted(len(found.get(leg, ())) for leg in LEGS) != [3, 3, 3, 3]:
        shown = "; ".join(
            f"{source.joint_name(leg[0])} at ({x:.3f}, {y:.3f})"
            for leg, (x, y, _) in zip(legs, anchors @ turn, strict=True)
        )
        raise DescriptionError(source.path, f"the legs are not at the four corners of the trunk: {shown}")
    return [found[leg] for leg in LEGS], upright @ turn, heading


def _shift(
    source: CompiledFile, data: Any, legs: list[list[int]], base: int, rotation: FloatArray, notes: list[str]
) -> FloatArray:
    """From a base frame that is not at the trunk, as one on the ground, to the height of the hips."""
    hips = np.array([data.xanchor[leg[0]] for leg in legs]) - data.xpos[base]
    reach = np.mean(
        [np.linalg.norm(data.xanchor[leg[1]] - data.xanchor[leg[2]]) for leg in legs]
    )  # about half of a leg
    up = rotation[:, 2]
    height = float(hips.mean(axis=0) @ up)
    if abs(height) < 1.2 * reach:
        return np.zeros(3)
    notes.append(
        f"the frame of its base {source.body_name(base)!r} is {abs(height):.3f} m "
        f"{'below' if height > 0 else 'above'} the hips; heights are those of a frame between the hips instead"
    )
    return height * up


def _turned(heading: str) -> FloatArray:
    """The rotation whose x axis is the heading."""
    angle = HEADINGS[heading]
    c, s = round(np.cos(angle)), round(np.sin(angle))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _names_say_backwards(source: CompiledFile, legs: list[list[int]], places: FloatArray) -> bool:
    """Whether the two legs that are named as the front ones are those behind."""
    model, middle = source.model, places[:, 0].mean()
    votes = []
    for leg, place in zip(legs, places, strict=True):
        text = " ".join(
            part for j in leg for part in (source.joint_name(j), source.body_name(int(model.jnt_bodyid[j])))
        )
        front, rear = bool(_FRONT.search(text)), bool(_REAR.search(text))
        if front == rear:
            return False
        votes.append(front == (place[0] > middle))
    return not any(votes)


def _bodies(model: Any, legs: list[list[int]], root: int) -> tuple[list[list[list[int]]], list[int]]:
    """Which bodies move with which joint; a body with several of them moves with the last."""
    at: dict[int, tuple[int, int]] = {}
    for leg, row in enumerate(legs):
        for place, joint in enumerate(row):
            at[int(model.jnt_bodyid[joint])] = leg, place
    bodies: list[list[list[int]]] = [[[], [], []] for _ in range(4)]
    trunk: list[int] = []
    owner: dict[int, tuple[int, int] | None] = {0: None}
    for body in range(1, model.nbody):
        if model.body_rootid[body] != root:
            continue
        owner[body] = at.get(body, owner.get(int(model.body_parentid[body])))
        mover = owner[body]
        (trunk if mover is None else bodies[mover[0]][mover[1]]).append(body)
    return bodies, trunk
