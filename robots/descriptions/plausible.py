"""Figures of a robot that can be computed with and that hardly any robot has: units, slips of the pen, placeholders."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from safebo.robots.descriptions.description import LEGS
from safebo.robots.descriptions.robot import leg_lengths
from safebo.robots.descriptions.skeleton import Skeleton

_GYRATION = (
    0.02,
    2.0,
)  # of a leg's length, wide of a trunk that reaches 0.3 of it and of a hip that reaches 0.05
_LIGHT = 0.01  # of the robot's mass: links so light may have any inertia
_UNEQUAL_MASS, _UNEQUAL_LENGTH = 1.5, 1.05  # of one leg over another
_DENSE = (20.0, 1000.0)
# kg over a leg's length cubed, kg/m^3; 38 files of other makes have 69 (solo12) to 309
_SLIPPERY = 0.1
_TURNS = 4.0 * np.pi + 0.1  # rad
_HELD = 0.5  # of a joint's torque


def implausible(robot: Skeleton) -> list[str]:
    """What should be looked at, one sentence each, with the figure."""
    return [*_size(robot), *_inertias(robot), *_legs(robot), *_contacts(robot), *_joints(robot)]


def _link(index: int) -> str:
    """A row of the masses, in words."""
    return (
        "the trunk" if index == 0 else f"{LEGS[(index - 1) // 3]} {('hip', 'thigh', 'calf')[(index - 1) % 3]}"
    )


def _size(robot: Skeleton) -> Iterator[str]:
    leg, mass = float(leg_lengths(robot.chains).mean()), float(robot.mass.sum())
    usual, least, most = mass / leg**3, *_DENSE
    if not least <= usual <= most:
        built = tuple(round(float(f"{value * leg**3:.2g}"), 3) for value in (70.0, 310.0))
        yield (
            f"it weighs {mass:.3g} kg with legs of {leg:.3g} m; built quadrupeds with such legs weigh {built[0]:g} to "
            f"{built[1]:g} kg: lengths have to be in metres, masses in kg"
        )


def _inertias(robot: Skeleton) -> Iterator[str]:
    leg = float(leg_lengths(robot.chains).mean())
    largest = np.linalg.eigvalsh(robot.inertia)[:, -1]
    radius = np.sqrt(np.maximum(largest, 0.0) / robot.mass)
    heavy = robot.mass > _LIGHT * robot.mass.sum()
    for wrong, pick in (
        ((radius > _GYRATION[1] * leg), np.argmax),
        ((radius < _GYRATION[0] * leg), np.argmin),
    ):
        found = np.flatnonzero(wrong & heavy)
        if len(found):
            i = int(found[pick(radius[found])])
            yield (
                f"moments of inertia of {_link(i)} ({largest[i]:.3g} kg m^2 for {robot.mass[i]:.3g} kg) are those of a "
                f"body that reaches {radius[i]:.2g} m, with legs of {leg:.2g} m: they have to be in kg m^2"
            )


def _legs(robot: Skeleton) -> Iterator[str]:
    masses, lengths = robot.mass[1:].reshape(4, 3).sum(axis=1), leg_lengths(robot.chains)
    for what, unit, values, most in (
        ("weighs", "kg", masses, _UNEQUAL_MASS),
        ("is", "m", lengths, _UNEQUAL_LENGTH),
    ):
        high, low = int(np.argmax(values)), int(np.argmin(values))
        if values[high] > most * values[low]:
            yield (
                f"leg {LEGS[high]} {what} {values[high]:.3g} {unit}{' long' if unit == 'm' else ''}, leg {LEGS[low]} "
                f"{values[low]:.3g} {unit}: is one of them a slip?"
            )


def _contacts(robot: Skeleton) -> Iterator[str]:
    if robot.foot_friction < _SLIPPERY:
        yield f"friction of the feet is {robot.foot_friction:g}: they slip on every floor"


def _joints(robot: Skeleton) -> Iterator[str]:
    far = np.maximum(
        np.where(np.isfinite(robot.lower), -robot.lower, 0.0),
        np.where(np.isfinite(robot.upper), robot.upper, 0.0),
    )
    if far.max() > _TURNS:
        i = int(np.argmax(far))
        yield (
            f"range of joint {robot.joint_names[i]!r} ({robot.lower[i]:g} .. {robot.upper[i]:g} rad) is more than two "
            "turns: ranges have to be in radians"
        )
    for what, unit, values in (
        ("Coulomb friction", "N m", robot.friction),
        ("damping", "N m s/rad, at 1 rad/s", robot.damping),
    ):
        held = np.flatnonzero(values > _HELD * robot.torque)
        if len(held):
            i = int(held[np.argmax(values[held] / robot.torque[held])])
            yield (
                f"{what} of joint {robot.joint_names[i]!r} ({values[i]:g} {unit}) takes more than half of its "
                f"{robot.torque[i]:g} N m"
            )
