"""Nominal walking: both robots, all gaits, estimator in the loop.

    python -m safebo.experiments.evidence.walking

prints for a 30 s trot at 0.5 m/s: falls, mean speed, pitch rms and the estimator's velocity error;
and whether each named gait survives 10 s.
"""

from __future__ import annotations

import numpy as np
import typer

from safebo.robots.descriptions.model import load_robot
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.gains import Gains
from safebo.robots.quadruped.gait import gait_named
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.rollout import WalkRecording, rollout


def walk(robot_name: str, gait: str, speed: float, seconds: float, seed: int) -> WalkRecording:
    """A walk of the nominal robot with nominal gains, sensor noise and estimator."""
    robot = load_robot(robot_name)
    controller = Controller(robot, Gains(), gait_named(gait), VelocityRamp(speed))
    return rollout(Simulation(robot, seed=seed), controller, seconds)


def figures(record: WalkRecording) -> dict[str, float]:
    """Mean forward speed after the ramp (m/s), pitch rms (rad), rms error of the estimated velocity (m/s)."""
    walking = record.time >= 1.0
    w, x, y, z = record.base_orientation[walking].T
    pitch = np.arcsin(np.clip(2 * (w * y - z * x), -1, 1))
    error = record.estimated_velocity[walking] - record.base_velocity[walking]
    return {
        "speed": float(record.base_velocity[walking, 0].mean()),
        "pitch_rms": float(np.sqrt(np.mean(pitch**2))),
        "velocity_error_rms": float(np.sqrt(np.mean((error**2).sum(axis=1)))),
    }


def main(seed: int = 1, speed: float = 0.5) -> None:
    """Walk and print."""
    for robot in ("go1", "go2"):
        record = walk(robot, "trot", speed, 30.0, seed)
        f = figures(record)
        print(
            f"{robot} trot 30 s: fell {record.fell}, mean speed {f['speed']:.4f} m/s "
            f"({100 * (f['speed'] / speed - 1):+.1f} %), pitch rms {f['pitch_rms']:.4f} rad, "
            f"estimated velocity error {f['velocity_error_rms']:.4f} m/s rms"
        )
        for gait in ("trot", "crawl", "flying-trot", "pronk"):
            record = walk(robot, gait, speed, 10.0, seed)
            f = figures(record)
            print(
                f"{robot} {gait} 10 s: fell {record.fell} {record.stop_reason}, mean speed "
                f"{f['speed']:.3f} m/s, pitch rms {f['pitch_rms']:.3f} rad"
            )


if __name__ == "__main__":
    typer.run(main)
