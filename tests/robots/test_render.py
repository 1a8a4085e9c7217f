"""Pictures of the robot: they show it and what it did, and where there is no OpenGL they say so."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import av
import numpy as np
import pytest

from safebo.robots.descriptions.model import load_robot
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.gains import Gains
from safebo.robots.quadruped.gait import gait_named
from safebo.robots.simulation.disturbance import Disturbance, Push
from safebo.robots.simulation.footage import (
    GRAVITY,
    Footage,
    Mark,
    ShownGain,
    commands_over_time,
    contacts_over_time,
    forces_over_time,
    velocity_over_time,
)
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.render import RenderingUnavailable, frames, write_video
from safebo.robots.simulation.rollout import rollout
from safebo.robots.simulation.show import Outlets, size_of
from safebo.robots.simulation.stage import Actor, Stage

pytestmark = pytest.mark.slow

ROBOT = load_robot("go1")
RAMP = VelocityRamp(0.5, 0.0, 0.0, 0.5)
SLOPE = Disturbance(slope=(6.0, -3.0), pushes=(Push(0.1, 0.1, (0.0, 20.0, 0.0)),), payload_mass=2.0)


@pytest.fixture(scope="module")
def record():
    controller = Controller(ROBOT, Gains(), gait_named("trot"), RAMP)
    return rollout(Simulation(ROBOT), controller, 0.4)


@pytest.fixture(scope="module")
def uphill():
    controller = Controller(ROBOT, Gains(), gait_named("trot"), RAMP)
    return rollout(Simulation(ROBOT, SLOPE), controller, 0.6)


def drawable(*walks, **how):
    try:
        return list(frames(walks, **how))
    except RenderingUnavailable as error:
        pytest.skip(str(error))


def stage(footage, *size):
    try:
        return Stage(footage, *size)
    except RenderingUnavailable as error:
        pytest.skip(str(error))


def test_the_whole_robot_is_in_the_middle_of_the_picture(record):
    drawn = stage(Footage(ROBOT, record, "a walk"), 160, 120)
    pictures = [drawn.draw(row) for row in (0, 150, 340)]
    drawn.close()
    for picture in pictures:
        assert picture.shape == (120, 160, 3)
        dark = picture.sum(axis=2) < 200  # the Go1 is dark, floor and sky are light
        rows, columns = np.nonzero(dark)
        assert 0.01 < dark.mean() < 0.4
        assert abs(columns.mean() - 80) < 30
        assert abs(rows.mean() - 60) < 30
        edges = np.concatenate([dark[0], dark[-1], dark[:, 0], dark[:, -1]])
        assert not edges.any()
    assert any(not np.array_equal(pictures[0], other) for other in pictures[1:])


def test_light_and_shadow_go_with_the_robot(record):
    """Three metres on, a whole number of tiles, every picture is the same."""
    walk = record.truncated(2)
    here = stage(Footage(ROBOT, walk, ""), 160, 120)
    there = dataclasses.replace(walk, base_position=walk.base_position + np.array([3.0, 0.0, 0.0]))
    away = stage(Footage(ROBOT, there, ""), 160, 120)
    differs = np.abs(here.draw(1).astype(int) - away.draw(1).astype(int)).sum(axis=2) > 60
    assert differs.mean() < 0.005


def test_a_force_on_a_foot_is_an_arrow_where_the_foot_is(record):
    """The only orange in the picture; twice the force, twice the length."""
    heights = []
    for share in (0.0, 0.25, 0.5):
        force = np.zeros_like(record.foot_force)
        force[:, 0] = share * ROBOT.mass * GRAVITY + 1e-9
        drawn = stage(Footage(ROBOT, dataclasses.replace(record, foot_force=force), ""), 320, 240)
        picture = drawn.draw(0).astype(int)
        drawn.close()
        orange = (picture[..., 0] > 180) & (picture[..., 2] < 90) & (picture[..., 1] > 60)
        rows, _ = np.nonzero(orange)
        heights.append(np.ptp(rows) if len(rows) else 0)
    assert heights[0] == 0
    assert heights[1] > 8
    assert 1.6 < heights[2] / heights[1] < 2.6


def test_slope_load_and_push_are_seen(uphill):
    """The drawn floor is the one that the feet stood on: each standing foot's ball touches it."""
    actor = Actor(Footage(ROBOT, uphill, "", world=SLOPE))
    row = uphill.walk_start + 75  # 0.15 s: pushed
    actor.pose(row)
    assert actor.pushes(row).tolist() == [0.0, 20.0, 0.0]
    assert not actor.pushes(uphill.walk_start + 150).any()
    floor = actor.data.geom_xmat[actor.index.floor_geoms[0]].reshape(3, 3)[:, 2]
    assert floor[2] < 0.999
    on = uphill.contact[row]
    assert on.any()
    height = actor.feet() @ floor
    assert np.abs(height[on]).max() < 0.004
    assert actor.forces[row][on] @ floor == pytest.approx(uphill.foot_force[row][on])


def test_forces_from_torques_are_those_of_the_floor():
    """The plant's own contact forces are the oracle: while the robot stands, and on average while it trots."""
    controller = Controller(ROBOT, Gains(), gait_named("trot"), RAMP)
    record = rollout(Simulation(ROBOT), controller, 1.0)
    truth = forces_over_time(Footage(ROBOT, record, ""))
    blind = dataclasses.replace(record, foot_force=np.zeros_like(record.foot_force))
    blind = dataclasses.replace(blind, contact=np.zeros_like(record.contact))
    footage = Footage(ROBOT, blind, "", estimated=True)
    seen = forces_over_time(footage)
    weight = ROBOT.mass * GRAVITY
    standing = slice(record.walk_start - 50, record.walk_start)
    # Quasi-static, for legs without mass: what the legs weigh, a tenth of the robot, is not in it.
    assert seen[standing, :, 2].sum(axis=1).mean() == pytest.approx(weight, rel=0.2)
    rms = np.sqrt(np.mean((seen[..., 2] - truth[..., 2]) ** 2))
    assert rms < 0.08 * weight
    assert (contacts_over_time(footage, seen) == record.contact).mean() > 0.85


def test_speed_and_command_are_in_the_heading_frame(record):
    turned = dataclasses.replace(record)
    turned.base_orientation = np.tile([np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)], (len(record), 1))  # faces +y
    turned.base_velocity = np.tile([0.1, 0.7, 0.0], (len(record), 1))
    assert velocity_over_time(turned)[5, :2] == pytest.approx([0.7, -0.1])
    command = commands_over_time(record, VelocityRamp(3.0, 0.0, 0.2, 0.2), limit=1.5)
    assert not command[: record.walk_start].any()
    assert command[-1] == pytest.approx([1.5, 0.0, 0.2])


def test_the_words_in_a_picture_change_with_what_happened(record):
    """Every panel leaves ink: title, gains, margins, marks; the mark only from its time on."""
    plain = Footage(ROBOT, record, "walk")
    full = dataclasses.replace(
        plain,
        notes=("a note",),
        command=commands_over_time(record, RAMP, 2.0),
        gains=tuple(ShownGain(f"gain.{i}", 1.0 + i, "N m/rad", 2.0) for i in range(14)),
        compared="seed",
        margins={"height": -0.02, "torque": 3.0},
        marks=(Mark(0.2, "SWITCHED to backup gains"),),
    )
    how = {"size": (640, 360), "rate": 5.0}
    without, with_all = drawable(plain, **how), drawable(full, **how)
    assert len(with_all) == len(without) + 5  # held for a second after something went wrong
    areas = {"gains": (slice(60, 200), slice(0, 140)), "margins": (slice(30, 90), slice(560, 640))}
    for rows, columns in areas.values():
        assert not np.array_equal(without[0][rows, columns], with_all[0][rows, columns])
    red = [((p[..., 0] > 150) & (p[..., 1] < 90) & (p[..., 2] < 90)).sum() for p in with_all]
    times = np.arange(record.time[0], record.time[-1] + 1.0, 0.2)
    assert all((count > 1000) == (time >= 0.2) for count, time in zip(red, times, strict=True))


def test_a_video_of_two_walks_has_one_clock(record, uphill, tmp_path):
    first, second = Footage(ROBOT, record, "flat"), Footage(load_robot("go2"), uphill, "uphill", world=SLOPE)
    drawable(Footage(ROBOT, record.truncated(2), ""), size=(160, 160))
    path = tmp_path / "deep" / "walk.mp4"
    write_video([first, second], path, (320, 180), rate=10)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (320, 180)
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(pictures) == 9  # from -0.3 s to the end of the longer one
    still = np.abs(pictures[-1][:, :150].astype(int) - pictures[-2][:, :150]).mean()
    moving = np.abs(pictures[-1][:, 170:].astype(int) - pictures[-2][:, 170:]).mean()
    assert still < 0.5 < moving


@pytest.mark.parametrize("text", ["1280", "1281x720", "10x10", "9999x9999", "axb", "-1280x720"])
def test_sizes_that_cannot_be_are_refused(text):
    with pytest.raises(ValueError, match="--size must be WIDTHxHEIGHT"):
        size_of(text)


def test_sizes_and_speeds_are_read(tmp_path):
    assert size_of(" 640 X 480") == (640, 480)
    assert not Outlets.chosen(None).any
    for speed in (0.0, -1.0, float("nan"), 1e9):
        with pytest.raises(ValueError, match="--speed must be"):
            Outlets.chosen(None, speed=speed)
    with pytest.raises(ValueError, match="is a folder"):
        Outlets.chosen(tmp_path)


def test_without_opengl_a_clear_error_names_the_remedy():
    code = (
        "from safebo.robots.descriptions.model import load_robot\n"
        "from safebo.robots.simulation.footage import Footage\n"
        "from safebo.robots.simulation.render import frames, RenderingUnavailable\n"
        "from safebo.robots.simulation.rollout import WalkRecording\n"
        "record = WalkRecording.allocate(2, 0, 0.002)\n"
        "try:\n"
        "    next(frames([Footage(load_robot('go1'), record, '')]))\n"
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


def test_a_video_that_is_interrupted_leaves_nothing(record, tmp_path, monkeypatch):
    def broken(*_):
        yield np.zeros((160, 160, 3), dtype=np.uint8)
        raise KeyboardInterrupt

    monkeypatch.setattr("safebo.robots.simulation.render.frames", broken)
    with pytest.raises(KeyboardInterrupt):
        write_video([Footage(ROBOT, record, "")], tmp_path / "walk.mp4")
    assert list(tmp_path.iterdir()) == []
