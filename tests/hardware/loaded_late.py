"""All that may come to a guardian that is ready: prints what is compiled, loaded or imported then.

In a process of its own: in a test's, another test has loaded everything before. Guardian, evaluator and virtual robot
are the real ones, in lock-step, and ready as their own processes make them. Usage: loaded_late.py FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FrameType, ModuleType

import numpy as np
from numba.core import event

from safebo.boundary.monitor import BoundaryMonitor
from safebo.boundary.rules import LipschitzRule
from safebo.experiments.robustness.faults.wire_robot import WireWorld
from safebo.experiments.robustness.guardian_world import go1
from safebo.experiments.robustness.robot_run import RobotRun
from safebo.hardware.guardian.guarding import ready_controller
from safebo.hardware.guardian.options import GuardianOptions
from safebo.hardware.guardian.states import State
from safebo.hardware.link.key import make_key
from safebo.robots.evaluation.visited import reported_rows
from safebo.types import EarlyEnd

SECONDS = 1.6


def caller(frame: FrameType | None) -> str:
    """Where in safebo it came from."""
    lines = []
    while frame is not None:
        name = frame.f_code.co_filename
        if "/numba/" not in name and name != __file__ and "importlib" not in name:
            lines.append(f"{Path(name).name}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(lines[:5])


class Compiled(event.Listener):
    """Told whenever numba's compiler is entered: to compile a function, or to load one from disk."""

    def on_start(self, event: event.Event) -> None:
        """Say so, with the names of functions: a reader of a failure wants to know which."""
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            function = getattr(frame.f_locals.get("self"), "py_func", None)
            if function is not None:
                print(f"LATE compiled or loaded: {function.__qualname__} < {caller(frame)}")
                return
            frame = frame.f_back

    def on_end(self, event: event.Event) -> None:
        """Nothing more."""


class Imported(MetaPathFinder):
    """Asked for every module that is not there yet."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Say so, and leave it to others."""
        print(f"LATE imported: {name} < {caller(sys._getframe())}")
        return None


def backups() -> BoundaryMonitor:
    """A monitor that covers no state of a walk: another set of gains takes over in the first step."""
    gains = [{"joint.hip.kp": 60.0}, {"joint.hip.kp": 80.0}]
    states, lower = np.full((3, 33), 1e3), np.array([0.5, 0.6])
    return BoundaryMonitor(states, np.array([0, 1, 1]), lower, gains, LipschitzRule(), np.ones(33))


def stopped(run: RobotRun) -> None:
    """A stop by somebody else."""
    viewer = run.world.client("viewer")
    viewer.connect()
    viewer.stop()
    run.world.run(0.1)


def main(folder: Path) -> None:
    """Everything."""
    make_key(folder / "link.key")
    ready_controller(go1(), GuardianOptions(key=folder / "link.key").read())
    world = WireWorld(0)
    (folder / "run").mkdir()
    run = RobotRun(folder / "run", world, options={"seconds": SECONDS})
    reported_rows(
        np.ones((20, 33)), 10, informative=True
    )  # a tuner's, in a process of its own, after a trial
    event.register("numba:compiler_lock", Compiled())
    sys.meta_path.insert(0, Imported())
    print("ready")
    world.into_walk(0.3, lambda: world.body.inject(kind="push", value=[0.0, 60.0, 0.0]))
    rule = EarlyEnd(("height", "tracking"), settled=10.0)
    story = run.run(replace(run.trial(1), phase="local", early_end=rule))
    assert story.measurement is not None, story
    print(f"walked: {story.measurement.outcome}")
    world.into_walk(0.2, lambda: world.body.inject(kind="imu_frozen", **{"for": 0.1}))
    trial = run.trial(2)
    run.approve(trial)
    print(f"watched: {run.evaluator.evaluate(trial, backups()).message}")
    client = run.client
    client.wait_for(lambda seen: seen.state != State.SIT_LATCHED, 5.0)
    client.clear(client.acknowledge(client.status().latch))
    print(f"cleared: {world.state.name}")
    stopped(run)
    print(f"stopped: {world.state.name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
