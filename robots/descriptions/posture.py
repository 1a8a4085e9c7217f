"""Home poses: whether a given one stands, and one that does, from the legs' geometry and the joints' ranges."""

from __future__ import annotations

import numpy as np

from safebo.boundary.compiled import njit
from safebo.robots.descriptions.chain import feet_in_base, joint_places, leg_kinematics
from safebo.robots.descriptions.robot import leg_lengths
from safebo.types import FloatArray

EXTENSION = 0.62
"""Height of the thigh joint over the foot in a computed home pose, in leg lengths: as the Go1 stands."""
_LEAST_EXTENSION, _MOST_EXTENSION = 0.35, 0.985
_AHEAD, _ASIDE, _ALL_AHEAD = 0.35, 0.5, 0.15
"""How far a foot, and the mean of all, may be from under its thigh joint, in leg lengths."""
_OUTSIDE = 0.02  # rad, how far beyond its range a joint of a keyframe may be


def why_not_standing(chains: FloatArray, lower: FloatArray, upper: FloatArray, joints: FloatArray) -> str:
    """Why a robot does not stand at these joint angles `12`; empty when it does."""
    outside = np.maximum(lower - joints, joints - upper)
    if outside.max() > _OUTSIDE:
        return "a joint is outside its range"
    feet, lengths = feet_in_base(chains, np.ascontiguousarray(joints)), leg_lengths(chains)
    if np.ptp(feet[:, 2]) > 0.1 * lengths.mean():
        return "the feet are not at one height"
    ahead = np.zeros(4)
    for leg in range(4):
        _, anchors = joint_places(chains[leg], joints[3 * leg : 3 * leg + 3])
        ahead[leg] = feet[leg, 0] - anchors[1, 0]
        down = float(anchors[1, 2] - feet[leg, 2]) / lengths[leg]
        if not _LEAST_EXTENSION < down < _MOST_EXTENSION:
            return "the trunk lies on the ground or the legs are straight"
        if (
            abs(ahead[leg]) > _AHEAD * lengths[leg]
            or abs(anchors[1, 1] - feet[leg, 1]) > _ASIDE * lengths[leg]
        ):
            return "the feet are not under the trunk"
    if abs(ahead.mean()) > _ALL_AHEAD * lengths.mean():
        return "the feet are not under the trunk"
    return ""


def home_pose(chains: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Joint angles `12` at which every foot stands under its thigh joint with the knee bent, rad.

    The first joint holds the leg's plane upright. Of the two ways in which a knee can bend that one is taken which the
    ranges leave more room for, and the knee behind the leg where both have as much.
    """
    return np.concatenate(
        [
            _leg_pose(chains[leg], lower[3 * leg : 3 * leg + 3], upper[3 * leg : 3 * leg + 3])
            for leg in range(len(chains))
        ]
    )


def _leg_pose(chain: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    length = float(leg_lengths(chain[None])[0])
    low, high = np.maximum(lower, -np.pi), np.minimum(upper, np.pi)
    low, high = np.where(low < high, low, lower), np.where(low < high, high, upper)
    first = _upright(chain, low[0], high[0])
    candidates = []
    grid = [np.linspace(low[i], high[i], 73) for i in (1, 2)]
    score = _misfits(chain, first, grid[0], grid[1], length)
    for i, j in _local_minima(score):
        start = np.array([first, grid[0][i], grid[1][j]])
        pose = reach(chain, start, _target(chain, start, length), low, high)
        _, anchors = joint_places(chain, pose)
        room = float(np.minimum(pose - lower, upper - pose)[1:].min())
        behind = 0.15 * float(anchors[2, 0] - anchors[1, 0] < 0.0)
        turned = 0.02 * float(np.abs(pose).sum())  # the nearer of two turns
        candidates.append((-_misfit(chain, pose, length) * 10.0 + min(room, 0.4) + behind - turned, pose))
    return np.round(max(candidates, key=lambda item: item[0])[1], 4) + 0.0


def _upright(chain: FloatArray, low: float, high: float) -> float:
    """Angle of the first joint at which the second one's axis is level, the nearest to zero."""
    angles = np.unique(np.concatenate([np.linspace(low, high, 721), np.clip([0.0], low, high)]))
    tilt = np.empty(len(angles))
    for i, angle in enumerate(angles):
        axes, _ = joint_places(chain, np.array([angle, 0.0, 0.0]))
        tilt[i] = abs(axes[1, 2]) + 0.02 * abs(angle)
    best = float(angles[int(np.argmin(tilt))])
    # the plane's exact angle: the axis' height is a sine in the angle
    for _ in range(20):
        axes, _ = joint_places(chain, np.array([best, 0.0, 0.0]))
        slope = float(np.cross(chain[0], axes[1])[2])
        if abs(slope) < 1e-6:
            break
        best = float(np.clip(best - axes[1, 2] / slope, low, high))
    return best if abs(best) > 1e-9 else 0.0


def _target(chain: FloatArray, pose: FloatArray, length: float) -> FloatArray:
    """Under the thigh joint, beside it by what the leg's plane is, `3`, base frame."""
    axes, anchors = joint_places(chain, pose)
    beside = float(axes[1] @ (feet_in_base(chain[None], pose)[0] - anchors[1]))
    return np.asarray(anchors[1] + beside * axes[1] - np.array([0.0, 0.0, EXTENSION * length]))


def _misfit(chain: FloatArray, pose: FloatArray, length: float) -> float:
    return float(_misfits(chain, pose[0], pose[1:2], pose[2:3], length)[0, 0])


def _misfits(
    chain: FloatArray, first: float, thighs: FloatArray, calves: FloatArray, length: float
) -> FloatArray:
    """How far the foot is from its target, in leg lengths squared, for all pairs of thigh and calf angles."""
    axes, anchors = joint_places(chain, np.array([first, 0.0, 0.0]))
    return (
        _squares(chain, float(first), thighs, calves, (anchors[1], axes[1], EXTENSION * length)) / length**2
    )


@njit(cache=True)
def _squares(
    chain: FloatArray,
    first: float,
    thighs: FloatArray,
    calves: FloatArray,
    thigh: tuple[FloatArray, FloatArray, float],
) -> FloatArray:
    """Squared distances of the foot from under the thigh joint (place, axis, wanted height), across its axis."""
    place, axis, height = thigh
    out = np.empty((len(thighs), len(calves)))
    legs, q = chain.reshape(1, 7, 3), np.zeros(3)
    q[0] = first
    for i in range(len(thighs)):
        for j in range(len(calves)):
            q[1], q[2] = thighs[i], calves[j]
            foot = feet_in_base(legs, q)[0] - place
            foot[2] += height
            along = foot[0] * axis[0] + foot[1] * axis[1] + foot[2] * axis[2]
            out[i, j] = max(0.0, foot[0] ** 2 + foot[1] ** 2 + foot[2] ** 2 - along**2)
    return out


def _local_minima(score: FloatArray) -> list[tuple[int, int]]:
    """The best places of a grid that are no worse than their neighbours, at most eight."""
    padded = np.pad(score, 1, constant_values=np.inf)
    least = np.min([padded[1 + i : 74 + i, 1 + j : 74 + j] for i in (-1, 0, 1) for j in (-1, 0, 1)], axis=0)
    places = np.argwhere(score <= least)
    order = np.argsort([score[i, j] for i, j in places])[:8]
    return [(int(places[k][0]), int(places[k][1])) for k in order]


def reach(
    chain: FloatArray, start: FloatArray, target: FloatArray, lower: FloatArray, upper: FloatArray
) -> FloatArray:
    """Joint angles `3` near `start` that bring the foot to `target` `3`, by damped Newton steps within the ranges.

    Where the target is out of reach the foot gets as near as the steps lead.
    """
    q = np.clip(np.array(start, dtype=float), lower, upper)
    position, jacobian, axes, drift = np.empty(3), np.empty((3, 3)), np.empty((3, 3)), np.empty((2, 3))
    rest = np.zeros(3)
    damping = 1e-6 * float(leg_lengths(chain[None])[0]) ** 2
    for _ in range(60):
        leg_kinematics(chain, q, rest, position, jacobian, axes, drift)
        error = target - position
        if np.abs(error).max() < 1e-12:
            break
        step = jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + damping * np.eye(3), error)
        q = np.clip(q + np.clip(step, -0.3, 0.3), lower, upper)
    return q
