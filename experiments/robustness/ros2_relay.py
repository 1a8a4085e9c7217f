"""A controller that is a node of ROS 2, tuned through its relay: parameters set and read back, trials, times.

    python -m safebo.experiments.robustness.ros2_relay [--sets 50] [--trials 15] [--rehearse]

The node is docs/examples/ros2_controller/node.py in a process of its own, over Cyclone DDS on the loopback interface.
Trials are walked in simulation, in lock-step; with `--rehearse` behind a guardian on a virtual Go2. Exit code 1 where
a set was not read back, a refusal was none, or a trial did not complete.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from safebo.hardware.ros2.gain_parameters import GainParameters
from safebo.hardware.ros2.network import join
from safebo.robots.controllers.controller_file import ControllerFile, read_controller_file
from safebo.robots.controllers.gain_port import write_and_read_back
from safebo.robots.controllers.process import ProcessController
from safebo.robots.controllers.ros_parameters import RosParameterPort
from safebo.robots.descriptions.model import load_robot
from safebo.robots.quadruped.gait import gait_named
from safebo.robots.quadruped.interface import SensorReading

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "ros2_controller"


def main() -> None:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", type=int, default=50)
    parser.add_argument("--trials", type=int, default=15)
    parser.add_argument("--rehearse", action="store_true", help="behind a guardian, on a virtual robot")
    options = parser.parse_args()
    domain = 20 + os.getpid() % 200
    with tempfile.TemporaryDirectory() as name:
        folder = Path(shutil.copytree(EXAMPLE, Path(name) / "example"))
        path = folder / "controller.yaml"
        path.write_text(path.read_text().replace("domain: 0 ", f"domain: {domain} "))
        program = [sys.executable, str(folder / "node.py"), "--domain", str(domain)]
        node = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
        try:
            assert node.stdout is not None
            node.stdout.readline()
            file = read_controller_file(path)
            good = parameters(file, domain, options.sets)
            ticks(file)
            good &= trials(folder, options.trials, options.rehearse)
        finally:
            node.kill()
            node.wait()
    sys.exit(0 if good else 1)


def parameters(file: ControllerFile, domain: int, sets: int) -> bool:
    """Atomic sets that are read back, and refused ones that change nothing."""
    client = GainParameters(lambda: join("lo", domain), file.node.node if file.node else "")
    port = RosParameterPort(client, file.names)
    rng, taken, refused, spent = np.random.default_rng(0), 0, 0, []
    for _ in range(sets):
        kp = float(rng.uniform(60.0, 120.0))
        gains = {"stance.kp": kp, "stance.kd": kp / 20.0, "bob.depth": float(rng.uniform(0.0, 0.15))}
        begun = time.perf_counter()
        taken += not write_and_read_back(port, gains)
        spent.append(time.perf_counter() - begun)
        wrong = write_and_read_back(port, gains | {"stance.kd": kp / 9.0 if kp < 70 else 8.5})
        refused += "the node refuses" in wrong and port.read() == gains
    print(
        f"{taken} of {sets} atomic sets read back, {refused} of {sets} refused with nothing changed; "
        f"a set and its read-back take {1e3 * float(np.median(spent)):.1f} ms (median)"
    )
    return taken == refused == sets


def ticks(file: ControllerFile, count: int = 2000) -> None:
    """Time of one tick: state out, command back."""
    controller, robot = ProcessController(file), load_robot("go2")
    gains = {gain.name: gain.default for gain in controller.gains}
    controller.reset(robot, gains, gait_named("trot"), lambda time: (0.0, 0.0, 0.0))
    spent = []
    for tick in range(count):
        reading = SensorReading(-0.5 + 0.002 * tick, robot.home_joints.copy())
        begun = time.perf_counter()
        controller.step(reading)
        spent.append(time.perf_counter() - begun)
    controller.close()
    median, late, most = (1e3 * float(np.quantile(spent, share)) for share in (0.5, 0.99, 1.0))
    print(
        f"a tick through relay and node: {median:.2f} ms (median), {late:.2f} ms (99 %), {most:.2f} ms (longest)"
    )


def trials(folder: Path, count: int, rehearse: bool) -> bool:
    """A run of the example's study; whether every trial completed."""
    run = folder / "run"
    command = [sys.executable, "-m", "safebo", "tune", str(folder / "study.yaml"), "--trials", str(count)]
    command += ["--out", str(run), *(["--dry-run", "--approve-all"] if rehearse else [])]
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = [line for line in done.stdout.splitlines() if line.startswith("trial ") and "/" in line]
    lost = [row for row in rows if "unsafe" in row or "failed" in row or "VIOLAT" in row.upper()]
    for row in rows:
        print(row)
    where = "behind a guardian, on a virtual Go2" if rehearse else "in simulation"
    print(f"{len(rows) - len(lost)} of {count} trials completed {where}, {time.perf_counter() - begun:.0f} s")
    if done.returncode or len(rows) != count:
        print(done.stdout[-2000:], done.stderr[-2000:])
    if rehearse:
        log = (run / "rehearsal" / "guardian.log").read_text()
        for line in log.splitlines():
            if " commands " in line:
                print(line.strip())
    return done.returncode == 0 and len(rows) - len(lost) == count


if __name__ == "__main__":
    main()
