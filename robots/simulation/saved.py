"""Save what a simulated walk is in at one moment, and go back to it: to see what else could have become of it.

Saved are the engine's state, everything that the plant and the controller remember, and where the random numbers are. A
walk that goes on from a saved moment is the one that would have gone on, bit for bit.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import mujoco
import numpy as np

from safebo.robots.descriptions.model import RobotModel
from safebo.robots.quadruped.controller import Controller
from safebo.robots.simulation.disturbance import Disturbance
from safebo.robots.simulation.plant import Simulation

CONSTANT = (bool, int, float, complex, str, bytes, type(None), np.generic, RobotModel, Disturbance)
"""What no tick changes, or what is replaced and not written to."""


@dataclass
class _Found:
    """What can be written to, and what it holds."""

    arrays: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = field(default_factory=list)
    attributes: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    lists: list[tuple[list[Any], list[Any]]] = field(default_factory=list)
    generators: list[tuple[np.random.Generator, dict[str, Any]]] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)

    def visit(self, value: Any) -> None:
        """Take a value and all that it holds."""
        if isinstance(value, CONSTANT) or id(value) in self.seen:
            return
        self.seen.add(id(value))
        if isinstance(value, np.ndarray):
            if value.flags.writeable:
                self.arrays.append((value, value.copy()))
        elif isinstance(value, np.random.Generator):
            self.generators.append((value, copy.deepcopy(value.bit_generator.state)))  # type: ignore[arg-type]
        elif isinstance(value, list):
            self.lists.append((value, list(value)))
            self._each(value)
        elif isinstance(value, tuple):
            self._each(value)
        elif isinstance(value, dict):
            self.attributes.append((value, dict(value)))
            self._each(value.values())
        elif type(value).__module__.startswith("safebo.") and hasattr(value, "__dict__"):
            self.visit(vars(value))

    def _each(self, values: Any) -> None:
        for value in values:
            self.visit(value)


class SavedWalk:
    """What plant and controller are in now.

    Args:
        simulation: the plant.
        controller: the chain that walks it.

    Raises:
        ValueError: a controller of which it is not known what it remembers.
    """

    def __init__(self, simulation: Simulation, controller: Any) -> None:
        if not isinstance(controller, Controller):
            raise ValueError(
                f"a walk of {type(controller).__name__} cannot be saved: only of the controllers that come with this "
                "package it is known what they remember"
            )
        self._simulation, self._found = simulation, _Found()
        self._found.visit(simulation)
        self._found.visit(controller)
        self._friction = simulation.model.geom_friction.copy()
        self._data = mujoco.MjData(simulation.model)
        mujoco.mj_copyData(self._data, simulation.model, simulation.data)

    def restore(self) -> None:
        """Put plant and controller back into what they were in; any number of times."""
        found, simulation = self._found, self._simulation
        for target, values in found.attributes:
            target.clear()
            target.update(values)
        for held, items in found.lists:
            held[:] = items
        for array, numbers in found.arrays:
            array[...] = numbers
        for generator, state in found.generators:
            generator.bit_generator.state = copy.deepcopy(state)
        simulation.model.geom_friction[:] = self._friction
        mujoco.mj_copyData(simulation.data, simulation.model, self._data)
        simulation.take_contacts()
