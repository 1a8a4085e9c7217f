"""A guardian alone with a robot that stands, or lies, for tests of its core."""

from __future__ import annotations

from typing import Any

import pytest
from lone_guardian import Lone, in_state

from safebo.hardware.guardian.limits import LIMITS, QUANTITIES
from safebo.hardware.guardian.states import State
from safebo.hardware.guardian.walker import NotInTickError

STAND = 80.0
"""Stiffness of the guardian's own standing; of its way up and down; none while damping. As docs/link.md's baseline."""
WAY = 60.0


@pytest.fixture(scope="module")
def scene() -> Lone:
    return in_state(State.HOLD)


@pytest.fixture
def lone(scene: Lone) -> Lone:
    return scene.copy()


@pytest.fixture(scope="module")
def at_rest() -> Lone:
    return in_state(State.REST)


@pytest.fixture
def lying(at_rest: Lone) -> Lone:
    return at_rest.copy()


@pytest.fixture
def baseline(scene: Lone) -> float:
    return scene.table.mapping(scene.table.baseline)["joint.hip.kp"]


def refuse_gains(gains: object) -> None:
    """What a walker does that cannot change gains within a tick."""
    raise NotInTickError


def limit(name: str) -> Any:
    return next(one for one in LIMITS if one.name == name)


def measured(lone: Lone, quantity: str) -> float:
    return float(lone.guardian.watch.values[QUANTITIES.index(quantity)])
