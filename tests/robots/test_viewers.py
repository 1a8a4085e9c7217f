"""MuJoCo's viewer and Rerun: what they are given, and sentences where they are not there."""

from __future__ import annotations

import subprocess
import sys

import mujoco
import numpy as np
import pytest

from safebo.robots.descriptions.body_shapes import ShapeKind, body_shapes
from safebo.robots.descriptions.model import load_robot
from safebo.robots.quadruped.controller import Controller, VelocityRamp
from safebo.robots.quadruped.gains import Gains
from safebo.robots.quadruped.gait import gait_named
from safebo.robots.simulation.disturbance import Disturbance
from safebo.robots.simulation.footage import Footage, Mark, ShownGain
from safebo.robots.simulation.plant import Simulation
from safebo.robots.simulation.rerun_log import RerunMissing, about, write_rerun
from safebo.robots.simulation.rollout import rollout
from safebo.robots.simulation.show import NotShown, Outlets, show
from safebo.robots.simulation.viewer import LEFT, RIGHT, SPACE, NoScreen, Playing, view


@pytest.fixture(scope="module")
def footage():
    robot, ramp = load_robot("go1"), VelocityRamp(0.5, 0.0, 0.0, 0.5)
    world = Disturbance(slope=(3.0, 0.0))
    record = rollout(
        Simulation(robot, world), Controller(robot, Gains(), gait_named("trot"), ramp), seconds=0.2
    )
    return Footage(
        robot,
        record,
        "a walk",
        ("a note",),
        record.command,
        (ShownGain("joint.hip.kp", 60.0, "N m/rad", 70.0),),
        "seed",
        {"height": -0.02},
        (Mark(0.1, "SWITCHED to backup gains"),),
        world,
    )


def test_time_runs_stops_and_begins_anew():
    playing = Playing(-0.3, 2.0, speed=0.5)
    assert playing.advance(1.0) == pytest.approx(0.2)
    playing.key(SPACE)
    assert playing.advance(5.0) == pytest.approx(0.2)
    playing.key(RIGHT)
    assert playing.advance(1.0) == pytest.approx(0.22)
    for _ in range(100):
        playing.key(LEFT)
    assert playing.advance(1.0) == pytest.approx(-0.3)
    playing.key(SPACE)
    assert playing.advance(5.2) == pytest.approx(2.3)  # held at the end
    assert playing.advance(1.0) == pytest.approx(-0.3)


def test_without_a_screen_it_says_what_works(footage, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NoScreen, match=r"there is no screen here .*--video FILE needs none"):
        view(footage)
    with pytest.raises(NotShown, match="no screen"):
        list(show([footage], Outlets(view=True)))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="X11")
def test_a_display_that_is_not_there_ends_nothing():
    """MuJoCo's viewer itself would end the process."""
    code = (
        "from safebo.robots.simulation.viewer import NoScreen, _refuse_without_display\n"
        "try:\n    _refuse_without_display()\nexcept NoScreen as error:\n    print('said:', error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "DISPLAY": ":4711", "PYTHONPATH": ":".join(sys.path)},
        check=False,
    )
    assert "said: --view cannot open a window on display ':4711'" in done.stdout, done.stderr
    assert done.stderr == ""


def test_a_window_shows_one_walk(footage):
    with pytest.raises(ValueError, match="--view shows one walk"):
        list(show([footage, footage], Outlets(view=True)))


def test_without_rerun_it_says_what_to_install(footage, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(RerunMissing, match=r"pip install 'safebo\[rerun\]'"):
        write_rerun([footage], tmp_path / "a.rrd")
    with pytest.raises(NotShown, match="rerun-sdk"):
        list(show([footage], Outlets(rerun=tmp_path / "a.rrd")))
    assert not (tmp_path / "a.rrd").exists()


def test_what_is_known_of_a_walk_is_a_page(footage):
    page = about(footage)
    for words in (
        "# a walk",
        "- a note",
        "| joint.hip.kp | 60 | 70 | N m/rad |",
        "| height | -0.02 |",
        "0.10 s: SW",
    ):
        assert words in page


def test_a_rerun_file_holds_bodies_forces_and_signals(footage, tmp_path):
    pytest.importorskip("rerun")
    path = tmp_path / "deep" / "walk.rrd"
    write_rerun([footage, footage], path)
    printed = subprocess.run(
        [sys.executable, "-m", "rerun_cli", "rrd", "print", str(path)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    parts = (
        "world/trunk",
        "world/FL_calf",
        "world/force_RR",
        "world/floor",
        "speed/forward/asked",
        "about",
        "marks",
    )
    for root in ("/1", "/2"):
        for part in (*parts, "torque/FL_hip_joint", "position/RR_calf_joint/desired", "contact/FR"):
            assert f"{root}/{part}" in printed, part
    with pytest.raises(OSError, match="Is a directory"):
        write_rerun([footage], tmp_path)


def test_shapes_are_where_mujoco_has_them():
    """A capsule's ends and a mesh's corners, in the body's frame; what only collides is not drawn."""
    text = (
        '<mujoco><asset><mesh name="m" vertex="0 0 0  1 0 0  0 1 0  0 0 1"/></asset><worldbody><body>'
        '<geom type="capsule" size=".1" fromto="1 2 3  1 2 5"/><geom type="mesh" mesh="m" pos="1 0 0" euler="0 0 90"/>'
        '<geom type="sphere" size=".3" group="3"/><geom type="sphere" size=".2"/></body></worldbody></mujoco>'
    )
    capsule, mesh, ball = body_shapes(mujoco.MjModel.from_xml_string(text))
    assert (capsule.kind, capsule.body) == (ShapeKind.CAPSULE, "body_1")
    assert capsule.size == pytest.approx([0.1, 1.0, 0.0])
    assert capsule.position == pytest.approx([1.0, 2.0, 4.0])
    assert abs(capsule.quaternion[0]) == pytest.approx(1.0) or abs(capsule.quaternion[0]) < 1e-9  # along z
    expected = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 0, 1]])
    for corner in expected:
        assert np.abs(mesh.vertices - corner).max(axis=1).min() < 1e-5
    assert ball.size == pytest.approx([0.2, 0.2, 0.2])
