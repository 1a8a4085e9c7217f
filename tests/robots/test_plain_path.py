"""What compiled functions command is what the same functions command as plain Python."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from copy import deepcopy

import numpy as np

from safebo.robots.descriptions.model import load_robot
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.gains import robot_gains
from safebo.robots.quadruped.gait import robot_gait
from safebo.robots.simulation.plant import Simulation

SETTLE, TICKS = 0.01, 30

REPLAY = """
import pickle, sys
import numba
assert numba.config.DISABLE_JIT
from tests.robots.test_plain_path import commands
with open(sys.argv[1], "rb") as file:
    readings = pickle.load(file)
with open(sys.argv[1], "wb") as file:
    pickle.dump(commands(readings), file)
"""


def controller() -> Controller:
    robot = load_robot("go1")
    return Controller(
        robot, robot_gains(robot), robot_gait(robot, "trot"), VelocityRamp(0.5, 0.1, 0.2, 0.01), settle=SETTLE
    )


def commands(readings):
    """Joint commands, estimates and forces for a sequence of sensor readings, `n x 85`."""
    chain, rows = controller(), []
    chain.reset(readings[0])
    for reading in readings:
        command = chain.step(reading)
        parts = command.position, command.velocity, command.torque, command.kp, command.kd
        rows.append(np.concatenate([*parts, *chain.base, chain.stance_forces.ravel()]))
    return np.array(rows)


def test_compiled_and_plain_ticks_command_the_same(tmp_path):
    simulation, chain, readings = Simulation(load_robot("go1"), seed=2), controller(), []
    chain.reset(simulation.read())
    for _ in range(TICKS):
        readings.append(deepcopy(simulation.read()))
        simulation.apply(chain.step(readings[-1]))
    compiled = commands(readings)
    path = tmp_path / "readings.pickle"
    path.write_bytes(pickle.dumps(readings))
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    subprocess.run([sys.executable, "-c", REPLAY, str(path)], check=True, env=environment)
    plain = pickle.loads(path.read_bytes())
    assert np.ptp(compiled[:, 24:36]) > 5.0  # N m: it walks
    np.testing.assert_allclose(compiled, plain, rtol=1e-9, atol=1e-9)
