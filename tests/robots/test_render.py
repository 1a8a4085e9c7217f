"""Pictures of the robot: they show it, and where there is no OpenGL they say so."""

from __future__ import annotations

import subprocess
import sys

import av
import numpy as np
import pytest

from safebo.robots.descriptions.model import load_robot
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.gains import Gains
from safebo.robots.quadruped.gait import gait_named
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.render import RenderingUnavailable, frames, write_video
from safebo.robots.simulation.rollout import rollout

ROBOT = load_robot("go1")


@pytest.fixture(scope="module")
def record():
    controller = Controller(ROBOT, Gains(), gait_named("trot"), VelocityRamp(0.5, 0.0, 0.0, 0.5))
    return rollout(Simulation(ROBOT), controller, 0.4)


def drawable(robot, walk, **size):
    try:
        return list(frames(robot, walk, **size))
    except RenderingUnavailable as error:
        pytest.skip(str(error))


def test_the_robot_is_in_the_middle_of_the_picture(record):
    pictures = drawable(ROBOT, record, width=160, height=120, rate=10.0)
    assert len(pictures) == 7
    for picture in pictures:
        assert picture.shape == (120, 160, 3)
        dark = picture.sum(axis=2) < 200  # the Go1 is dark, floor and sky are light
        rows, columns = np.nonzero(dark)
        assert 0.01 < dark.mean() < 0.4
        assert abs(columns.mean() - 80) < 40
        assert abs(rows.mean() - 60) < 40
    assert any(not np.array_equal(pictures[0], other) for other in pictures[1:])


def test_light_and_shadow_go_with_the_robot(record):
    """Three metres on, a whole number of tiles, every picture is the same."""
    walk = record.truncated(2)
    here = drawable(ROBOT, walk, width=160, height=120)
    walk.base_position[:, 0] += 3.0
    for picture, moved in zip(here, drawable(ROBOT, walk, width=160, height=120), strict=True):
        differs = np.abs(picture.astype(int) - moved.astype(int)).sum(axis=2) > 60
        assert differs.mean() < 0.005


def test_a_video_has_the_length_of_the_walk(record, tmp_path):
    drawable(ROBOT, record.truncated(2), width=64, height=48)
    path = tmp_path / "deep" / "walk.mp4"
    write_video(ROBOT, record, path, rate=10)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (640, 480)
        count = sum(1 for _ in container.decode(stream))
    assert count == 7


def test_without_opengl_a_clear_error_names_the_remedy():
    code = (
        "from safebo.robots.descriptions.model import load_robot\n"
        "from safebo.robots.simulation.render import frames, RenderingUnavailable\n"
        "from safebo.robots.simulation.rollout import WalkRecording\n"
        "record = WalkRecording.allocate(2, 0, 0.002)\n"
        "try:\n"
        "    next(frames(load_robot('go1'), record))\n"
        "except RenderingUnavailable as error:\n"
        "    print('said:', error)\n"
    )
    # a display server that is not there: MuJoCo's window library finds no OpenGL
    environment = {"PATH": "/usr/bin:/bin", "MUJOCO_GL": "glfw", "DISPLAY": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert "said:" in done.stdout, done.stdout + done.stderr
    assert "libegl1" in done.stdout
