"""How much slower than its physics is a walk?

    python -m safebo.experiments.speed.walk [--robot go1] [--gait trot] [--law whole-body] [--repeats 9] [--parts]

walks, then sets the recorded states of the same walk one after the other and lets the physics alone step from each, in
the same process, and prints the walk's time over that of the bare `mj_step`s: the median over the repeats. Times are
those of the process on its core, whatever else runs on it. `--parts` says which part of a control tick takes how long;
the clock around every part makes the walk slower.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # before numpy is imported: one core is what is measured

import mujoco  # noqa: E402
import numpy as np  # noqa: E402
import typer  # noqa: E402

from safebo.robots.descriptions.model import load_robot  # noqa: E402
from safebo.robots.quadruped.controller import Controller, VelocityRamp  # noqa: E402
from safebo.robots.quadruped.gains import LAWS, WHOLE_BODY, robot_gains  # noqa: E402
from safebo.robots.quadruped.gait import robot_gait  # noqa: E402
from safebo.robots.simulation.plant import Simulation  # noqa: E402
from safebo.robots.simulation.rollout import rollout  # noqa: E402
from safebo.types import FloatArray  # noqa: E402

STATE = (
    mujoco.mjtState.mjSTATE_PHYSICS
    | mujoco.mjtState.mjSTATE_CTRL
    | mujoco.mjtState.mjSTATE_QFRC_APPLIED
    | mujoco.mjtState.mjSTATE_XFRC_APPLIED
    | mujoco.mjtState.mjSTATE_WARMSTART
)
"""All that decides what one `mj_step` does."""

PARTS: dict[str, tuple[str, ...]] = {
    "simulation.plant": ("Simulation.apply", "drive", "feel", "observe"),
    "simulation.rollout": ("record_decision", "record_and_judge"),
    "quadruped.controller": (
        "Controller.step",
        "estimate_and_plan",
        "mpc_inputs",
        "ConvexMpc.solve",
        "PendulumMpc.solve",
        "WholeBody.command",
        "JacobianTranspose.command",
    ),
}
"""Modules of `safebo.robots` and the functions in them whose time `--parts` tells."""


@dataclass(frozen=True)
class WalkTimes:
    """CPU seconds of one walk and of the bare physics on its states.

    Args:
        walk: of the walk, everything included.
        physics: of as many bare `mj_step`s.
        steps: their number.
    """

    walk: float
    physics: float
    steps: int

    @property
    def ratio(self) -> float:
        """The walk's time over that of its physics."""
        return self.walk / self.physics


class TimedWalk:
    """A walk whose physics can be repeated without the rest.

    Args:
        simulation: the plant.
        controller: of the same robot.
        seconds: of walking.
    """

    def __init__(self, simulation: Simulation, controller: Controller, seconds: float) -> None:
        self.simulation, self.controller, self.seconds = simulation, controller, seconds
        self.states = self._recorded()
        self._data = mujoco.MjData(simulation.model)

    def _recorded(self) -> list[FloatArray]:
        """State, forces and warm start before every step of the physics."""
        states: list[FloatArray] = []
        step = mujoco.mj_step2

        def recording(model: Any, data: Any) -> None:
            state = np.empty(mujoco.mj_stateSize(model, STATE))
            mujoco.mj_getState(model, data, state, STATE)
            states.append(state)
            step(model, data)

        mujoco.mj_step2 = recording
        try:
            rollout(self.simulation, self.controller, self.seconds)
        finally:
            mujoco.mj_step2 = step
        return states

    def __call__(self) -> float:
        """Walk; the seconds that it takes of this process's CPU time."""
        start = time.process_time()
        rollout(self.simulation, self.controller, self.seconds)
        return time.process_time() - start

    def physics(self) -> float:
        """Seconds that the bare steps take; setting the states is not counted."""
        model, data = self.simulation.model, self._data
        start = time.process_time()
        for state in self.states:
            mujoco.mj_setState(model, data, state, STATE)
            mujoco.mj_step(model, data)
        middle = time.process_time()
        for state in self.states:
            mujoco.mj_setState(model, data, state, STATE)
        return 2.0 * middle - start - time.process_time()

    def times(self) -> WalkTimes:
        """Of both, one after the other."""
        return WalkTimes(self(), self.physics(), len(self.states))


@contextmanager
def clocked() -> Iterator[dict[str, list[float]]]:
    """Every call of the functions in `PARTS` adds its seconds to a list of its name, also within one another."""
    found: dict[str, list[float]] = {}
    changed: list[tuple[Any, str, Any]] = []
    for module_name, names in PARTS.items():
        module = importlib.import_module(f"safebo.robots.{module_name}")
        for name in names:
            owner_name, _, attribute = name.rpartition(".")
            owner = getattr(module, owner_name) if owner_name else module
            changed.append((owner, attribute, getattr(owner, attribute)))
            setattr(owner, attribute, _clocked(changed[-1][2], found.setdefault(name, [])))
    changed.append((mujoco, "mj_step1", mujoco.mj_step1))
    changed.append((mujoco, "mj_step2", mujoco.mj_step2))
    for owner, attribute, function in changed[-2:]:
        setattr(owner, attribute, _clocked(function, found.setdefault(attribute, [])))
    try:
        yield found
    finally:
        for owner, attribute, function in changed:
            setattr(owner, attribute, function)


def _clocked(function: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        start = time.process_time()
        answer = function(*arguments, **named)
        seconds.append(time.process_time() - start)
        return answer

    return call


def main(
    robot: Annotated[str, typer.Option(help="Name or file.")] = "go1",
    gait: Annotated[str, typer.Option(help="Name of the gait.")] = "trot",
    law: Annotated[str, typer.Option(help=f"How joints are commanded: {', '.join(LAWS)}.")] = WHOLE_BODY,
    velocity: Annotated[float, typer.Option(help="Forward, m/s.")] = 0.5,
    seconds: Annotated[float, typer.Option(help="Of walking.")] = 5.0,
    repeats: Annotated[int, typer.Option(min=1, help="Of which the median is told.")] = 9,
    parts: Annotated[bool, typer.Option("--parts", help="How long every part takes.")] = False,
) -> None:
    """Time a walk against its bare physics."""
    model = load_robot(robot)
    controller = Controller(
        model, robot_gains(model), robot_gait(model, gait), VelocityRamp(velocity), law=law
    )
    timed = TimedWalk(Simulation(model, seed=1), controller, seconds)
    timed.times()
    times = [timed.times() for _ in range(repeats)]
    walk, physics, ratio = (
        np.array([getattr(t, name) for t in times]) for name in ("walk", "physics", "ratio")
    )
    low, middle, high = np.quantile(ratio, [0.05, 0.5, 0.95])
    print(
        f"{robot} {gait} {law} {seconds:g} s at {velocity:g} m/s: {middle:.2f} times its {times[0].steps} "
        f"bare mj_steps "
        f"(5-95 %: {low:.2f} to {high:.2f}, {repeats} repeats): {np.median(walk):.3f} s against "
        f"{np.median(physics):.3f} s"
    )
    if parts:
        with clocked() as found:
            whole = timed()
        ticks = len(found["Controller.step"])
        print(f"with a clock around every part {1e6 * whole / ticks:.1f} us a tick, of which")
        for name, values in found.items():
            print(f"  {name:<22} {1e6 * sum(values) / ticks:6.1f} us a tick, {len(values)} calls")


if __name__ == "__main__":
    typer.run(main)
