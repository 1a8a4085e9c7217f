"""Joint torques that no parameter explains: which joint, at which angles, and how much.

A joint that sticks on one side of its range, or is pushed by something, is no plant of the family; much of it hides in
parameters that all legs share. So the model gets further torques for every joint j, tau_f times feature f of a window,
and the score test asks whether they are 0 (Rao, 1948): with everything else the fit found at its optimum and one
Gauss-Newton step of all unknowns together,

    tau = I^-1 s,   s = v_z - M_zt M_tt^-1 v_t,   I = M_zz - M_zt M_tt^-1 M_tz,   s' I^-1 s ~ chi2 with 4 degrees,

with M and v the normal equations (own unknowns of the windows eliminated), t the parameters and offsets, z the torques
of one joint.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from safebo.robots.descriptions.model import RobotModel
from safebo.robots.identification.equations import Linear, Normal, Unknowns
from safebo.robots.identification.replay import Replayer, difference
from safebo.robots.identification.windows import Windows
from safebo.types import FloatArray

STEP = 0.01
"""Of the finite differences by a torque, as a share of the joint's largest."""
LARGEST = 0.1
"""Standard deviation of an added torque before any walk, as a share of the joint's largest."""
SLOW = 0.3
"""rad/s under which a joint's friction has no clear direction."""
FEATURES = ("resists below", "resists above", "is pushed below", "is pushed above")
"""Kinds of torque; below and above the middle of the joint's angles in the walks."""


@dataclass(frozen=True)
class JointTorque:
    """Torques at one joint that would explain some of what is left over.

    Args:
        joint: its name.
        angle: middle of its angles in the walks, rad.
        torques: of each kind in `FEATURES`, N m; positive where it resists the motion, or pushes to larger angles.
            Rather too small: large residuals count less.
        score: chi-squared statistic over its degrees of freedom: about 1 where nothing is missing.
    """

    joint: str
    angle: float
    torques: tuple[float, ...]
    score: float

    def __str__(self) -> str:
        kind = int(np.argmax(np.abs(self.torques)))
        return (
            f"{self.joint} {FEATURES[kind]} {self.angle:.2f} rad by about {self.torques[kind]:.2f} N m more than "
            "the parameters say"
        )


def features(windows: Windows) -> FloatArray:
    """What a torque of each kind is in every window, `n x 12 x FEATURES`."""
    speed, angle = windows.start.speeds, windows.start.joints
    above = (angle > np.median(angle, axis=0)).astype(float)
    resists = -speed / np.hypot(speed, SLOW)
    return np.stack([resists * (1.0 - above), resists * above, 1.0 - above, above], axis=2)


def by_torque(
    robot: RobotModel, replayer: Replayer, windows: Windows, delay: int, at: Unknowns
) -> FloatArray:
    """Derivative of the windows' motion by a constant torque at every joint, 1/(N m), `n x t x CHANNELS x 12`."""
    begin, torques = at.states(windows), windows.acting(delay)
    plain = replayer.run([at.values], [begin], torques)[0]
    columns = []
    for joint, step in enumerate(STEP * np.asarray(robot.torque_limit)):
        changed = torques.copy()
        changed[..., joint] += step
        columns.append(difference(replayer.run([at.values], [begin], changed)[0], plain) / step)
    return np.stack(columns, axis=-1)


def joint_torques(
    robot: RobotModel,
    windows: Windows,
    linear: Linear,
    added: FloatArray,
    prior: tuple[FloatArray, FloatArray],
    normal_of: Callable[[Linear], Normal],
) -> list[JointTorque]:
    """What could be added at every joint, the clearest first.

    Args:
        robot: which one.
        windows: that were fitted.
        linear: around the optimum.
        added: see `by_torque`.
        prior: precision of parameters and offsets, `g x g`, and its pull towards the mean, `g`.
        normal_of: the normal equations of a linearisation.
    """
    p, kinds = linear.by_value.shape[-1], len(FEATURES)
    columns = (added[..., None] * features(windows)[:, None, None]).reshape(*added.shape[:-1], -1)
    both = normal_of(replace(linear, by_value=np.concatenate([linear.by_value, columns], axis=-1)))
    matrix, vector = both.matrix.sum(axis=0), both.vector.sum(axis=0)
    extra = np.arange(p, p + columns.shape[-1])
    known = np.setdiff1d(np.arange(len(vector)), extra)
    share = np.linalg.solve(matrix[np.ix_(known, known)] + prior[0], matrix[np.ix_(known, extra)])
    score = vector[extra] - share.T @ (vector[known] + prior[1])
    information = matrix[np.ix_(extra, extra)] - matrix[np.ix_(extra, known)] @ share
    found = []
    for joint, (name, limit) in enumerate(zip(robot.joint_names, robot.torque_limit, strict=True)):
        mine = slice(kinds * joint, kinds * (joint + 1))
        believed = np.eye(kinds) / (LARGEST * limit) ** 2  # a joint that did not move says nothing
        torques = np.linalg.solve(information[mine, mine] + believed, score[mine])
        middle = float(np.median(windows.start.joints[:, joint]))
        found.append(JointTorque(name, middle, tuple(torques.tolist()), float(score[mine] @ torques) / kinds))
    return sorted(found, key=lambda one: -one.score)
