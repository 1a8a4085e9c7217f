"""Small quadrupeds of many makes, written by the tests: the same robot in ever other ways of describing it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from safebo.robots.descriptions.robot import RobotModel

LEGS = {"FL": (1, 1), "FR": (1, -1), "RL": (-1, 1), "RR": (-1, -1)}
HIP, THIGH_OFFSET, THIGH, CALF, RADIUS = (0.2, 0.06), 0.09, 0.22, 0.2, 0.022
MASSES = (6.0, 0.7, 1.1, 0.2)
MASS = MASSES[0] + 4 * sum(MASSES[1:])
HOME = (0.0, 0.8, -1.5)
ODD = ((1, 0, 0, 0), (0.3, 0.5, -0.4, 0.7), (0.8, -0.1, 0.2, 0.5), (0.5, 0.5, -0.5, 0.5))
"""Quaternions of the trunk and of the links of a leg, for `Make.turned`."""


@dataclass
class Make:
    """One way of writing the robot as MJCF.

    Args:
        joint: name of a joint, with `leg` and `k`.
        axes: signs of the three axes.
        ranges: of the three joints; None for one without a limit.
        foot: `ball` in the last link, `welded` in a body below it, `mesh` or `none` (a frame only).
        turned: quaternions w, x, y, z in which the frames of trunk, hip, thigh and calf are turned.
        legs: leg names and their corners.
        extra: text inside the trunk.
        tail: text after the worldbody.
        head: text before it.
        floor: whether there is one.
        free: whether the trunk floats.
        frame: attributes of a frame in the trunk in which the legs are.
        geom: further attributes of every foot.
        joint_extra: further attributes of every joint.
    """

    joint: str = "{leg}_joint{k}"
    axes: tuple[int, int, int] = (1, 1, 1)
    ranges: tuple[tuple[float, float] | None, ...] = ((-0.9, 0.9), (-0.8, 3.5), (-2.7, -0.6))
    foot: str = "ball"
    turned: tuple[tuple[float, float, float, float], ...] = ((1, 0, 0, 0),) * 4
    legs: dict[str, tuple[int, int]] = field(default_factory=lambda: dict(LEGS))
    extra: str = ""
    tail: str = ""
    head: str = ""
    floor: bool = True
    free: bool = True
    frame: str = ""
    geom: str = 'friction="0.7 0.02 0.01"'
    joint_extra: str = 'armature="0.005" damping="0.1" frictionloss="0.2" actuatorfrcrange="-30 30"'

    def text(self) -> str:
        """The MJCF."""
        legs = "".join(self._leg(leg, *corner) for leg, corner in self.legs.items())
        floor = '<geom type="plane" size="0 0 1" friction="1 0.02 0.01"/>' if self.floor else ""
        free = "<freejoint/>" if self.free else ""
        return f"""<mujoco><compiler angle="radian" autolimits="true"/>{self.head}<worldbody>{floor}
        <body name="base" pos="0 0 0.4">{free}<inertial pos="0 0 0" mass="{MASSES[0]}" diaginertia="0.05 0.1 0.12"/>
        <geom type="box" size="0.2 0.06 0.05" mass="0"/>{self.extra}<frame {self.frame}>{legs}</frame>
        </body></worldbody>{self.tail}</mujoco>"""

    def joints(self) -> list[str]:
        """Names of the joints, leg by leg."""
        return [self.joint.format(leg=leg, k=k) for leg in self.legs for k in range(3)]

    def motors(self, kind: str = "motor", attributes: str = "") -> str:
        """Actuators of all joints."""
        rows = "".join(f'<{kind} joint="{name}" {attributes}/>' for name in self.joints())
        return f"<actuator>{rows}</actuator>"

    def _leg(self, leg: str, fore: int, side: int) -> str:
        steps = [(fore * HIP[0], side * HIP[1], 0.0), (0.0, side * THIGH_OFFSET, 0.0), (0.0, 0.0, -THIGH)]
        coms = [(0.0, 0.0, 0.0), (0.0, 0.0, -0.05), (0.0, 0.0, -0.1)]
        inertias = ["7e-4 5e-4 4e-4", "5e-3 5e-3 7e-4", "1e-3 1e-3 4e-5"]
        text, before = "", np.eye(3)
        for k in range(3):
            frame = rotation(self.turned[1 + k])  # of this link, in the trunk's axes
            axis = frame.T @ (np.eye(3)[0 if k == 0 else 1] * self.axes[k])
            span = self.ranges[k]
            if span is not None and self.axes[k] < 0:
                span = (-span[1], -span[0])
            limit = f'range="{span[0]} {span[1]}"' if span else ""
            text += f"""<body name="{leg}_link{k}" pos="{row(before.T @ np.array(steps[k]))}"
            quat="{row(quaternion(before.T @ frame))}">
            <inertial pos="{row(frame.T @ np.array(coms[k]))}" quat="{row(quaternion(frame.T))}" mass="{MASSES[1 + k]}"
            diaginertia="{inertias[k]}"/>
            <joint name="{self.joint.format(leg=leg, k=k)}" axis="{row(axis)}" {limit} {self.joint_extra}/>"""
            before = frame
        tip = row(before.T @ np.array([0.0, 0.0, -CALF]))
        ball = f'<geom type="sphere" size="{RADIUS}" {self.geom}'
        text += {
            "ball": f'{ball} pos="{tip}"/>',
            "welded": f'<body name="{leg}_toe" pos="{tip}"><body>{ball} mass="0"/></body></body>',
            "mesh": f'<geom type="mesh" mesh="pad" pos="{tip}"/>',
            "capsule": f'<geom type="capsule" size="{RADIUS}" fromto="0 0 -0.05 {tip}"/>',
            "none": f'<body name="{leg}_toe" pos="{tip}"/>',
        }[self.foot]
        return text + "</body>" * 3


def row(values: object) -> str:
    """Numbers as an attribute."""
    return " ".join(repr(float(v)) for v in np.asarray(values, dtype=float).ravel())


def rotation(q: object) -> np.ndarray:
    """Matrix of a quaternion w, x, y, z."""
    w, x, y, z = np.asarray(q, dtype=float) / np.linalg.norm(np.asarray(q, dtype=float))
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion(matrix: np.ndarray) -> np.ndarray:
    """Quaternion w, x, y, z of a matrix, by its eigenvector."""
    m = np.asarray(matrix)
    k = np.array(
        [
            [m[0, 0] - m[1, 1] - m[2, 2], m[1, 0] + m[0, 1], m[2, 0] + m[0, 2], m[2, 1] - m[1, 2]],
            [m[1, 0] + m[0, 1], m[1, 1] - m[0, 0] - m[2, 2], m[2, 1] + m[1, 2], m[0, 2] - m[2, 0]],
            [m[2, 0] + m[0, 2], m[2, 1] + m[1, 2], m[2, 2] - m[0, 0] - m[1, 1], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], np.trace(m)],
        ]
    )
    x, y, z, w = np.linalg.eigh(k)[1][:, -1]
    return np.array([w, x, y, z])


def stl(half: float = 0.02) -> bytes:
    """A box as a binary STL."""
    corners = np.array([[x, y, z] for x in (-half, half) for y in (-half, half) for z in (-half, half)])
    faces = [(0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1), (2, 3, 7), (2, 7, 6), (0, 2, 6),
             (0, 6, 4),
             (1, 5, 7), (1, 7, 3)]  # fmt: skip
    body = b"".join(struct.pack("<12fH", 0, 0, 0, *corners[list(face)].ravel(), 0) for face in faces)
    return bytes(80) + struct.pack("<I", len(faces)) + body


def urdf(
    mesh: str = "",
    base_inertial: bool = True,
    continuous: bool = False,
    root: str = "",
    limits: str = 'effort="30" velocity="25"',
) -> str:
    """The same robot as URDF.

    Args:
        mesh: file of a mesh that every link shows and the trunk collides with.
        base_inertial: whether the trunk's mass is in the root link, or in one that is fixed to it.
        continuous: whether thighs turn without end.
        root: further text.
        limits: of every joint.
    """
    shape = f'<geometry><mesh filename="{mesh}"/></geometry>'
    seen = f"<visual>{shape}</visual>" if mesh else ""
    hit = f"<collision>{shape}</collision>" if mesh else ""
    trunk = inertial(MASSES[0], (0.0, 0.0, 0.0), (0.05, 0.1, 0.12))
    text = f'<link name="base">{trunk if base_inertial else ""}{seen}{hit}</link>'
    if not base_inertial:
        text += f'<link name="body">{trunk}</link>' + joint("base", "body", "fixed", (0, 0, 0))
    for leg, (fore, side) in LEGS.items():
        steps = [(fore * HIP[0], side * HIP[1], 0.0), (0.0, side * THIGH_OFFSET, 0.0), (0.0, 0.0, -THIGH)]
        tensors = [(7e-4, 5e-4, 4e-4), (5e-3, 5e-3, 7e-4), (1e-3, 1e-3, 4e-5)]
        above = "base"
        for k, (low, high) in enumerate(((-0.9, 0.9), (-0.8, 3.5), (-2.7, -0.6))):
            name = f"{leg}_link{k}"
            com = (0.0, 0.0, (0.0, -0.05, -0.1)[k])
            text += f'<link name="{name}">{inertial(MASSES[1 + k], com, tensors[k])}{seen}</link>'
            kind = "continuous" if continuous and k == 1 else "revolute"
            span = limits if kind == "continuous" else f'lower="{low}" upper="{high}" {limits}'
            axis = "1 0 0" if k == 0 else "0 1 0"
            inside = f'<axis xyz="{axis}"/><limit {span}/>'
            text += joint(above, name, kind, steps[k], f"{leg}_joint{k}", inside)
            above = name
        text += f'<link name="{leg}_toe"><collision><geometry><sphere radius="{RADIUS}"/></geometry></collision></link>'
        text += joint(above, f"{leg}_toe", "fixed", (0.0, 0.0, -CALF))
    return f'<?xml version="1.0"?><robot name="made">{text}{root}</robot>'


def inertial(mass: float, com: tuple[float, ...], moments: tuple[float, ...]) -> str:
    """An `<inertial>` of a URDF."""
    x, y, z = moments
    return (
        f'<inertial><origin xyz="{row(com)}"/><mass value="{mass}"/><inertia ixx="{x}" iyy="{y}" izz="{z}" ixy="0" '
        'ixz="0" iyz="0"/></inertial>'
    )


def joint(
    above: str, below: str, kind: str, step: tuple[float, ...], name: str = "", inside: str = ""
) -> str:
    """A `<joint>` of a URDF."""
    return (
        f'<joint name="{name or below + "_fixed"}" type="{kind}"><parent link="{above}"/><child link="{below}"/>'
        f'<origin xyz="{row(step)}" rpy="0 0 0"/>{inside}</joint>'
    )


def written(folder: Path, text: str, name: str = "robot.xml") -> Path:
    """The path of a file with this text."""
    path = folder / name
    path.write_text(text)
    return path


def foot_by_hand(q: np.ndarray, fore: int, side: int, signs: Sequence[int] = (1, 1, 1)) -> np.ndarray:
    """Foot of the made robot, by the closed form for abduction about x, thigh and calf about y."""
    hip, thigh, calf = np.asarray(q) * signs
    x = -THIGH * np.sin(thigh) - CALF * np.sin(thigh + calf)
    down = -THIGH * np.cos(thigh) - CALF * np.cos(thigh + calf)
    offset = side * THIGH_OFFSET
    return np.array(
        [
            fore * HIP[0] + x,
            side * HIP[1] + offset * np.cos(hip) - down * np.sin(hip),
            offset * np.sin(hip) + down * np.cos(hip),
        ]
    )


def is_the_made_robot(
    robot: RobotModel, signs: Sequence[int] = (1, 1, 1), tolerance: float = 1e-9, radius: float = RADIUS
) -> None:
    """Assert that a model has the made robot's legs, mass and feet."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        q = rng.uniform(-1, 1, 12)
        corners = ((1, 1), (1, -1), (-1, 1), (-1, -1))
        wanted = [foot_by_hand(q[3 * i : 3 * i + 3], *c, signs) for i, c in enumerate(corners)]
        np.testing.assert_allclose(robot.foot_positions(q), wanted, atol=tolerance)
    assert robot.mass == pytest.approx(MASS, abs=1e-4)
    assert robot.foot_radius == pytest.approx(radius, abs=1e-6)
