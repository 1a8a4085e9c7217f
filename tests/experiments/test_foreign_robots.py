"""The table of robots of other makes: what walks, what is refused, what is no robot's file."""

from __future__ import annotations

import pytest

from safebo.experiments.evidence.foreign_robots import ForeignRobot, descriptions, page, try_robot
from safebo.robots.descriptions.model import load_robot

LIMB = '<body pos="0 {y} 0"><joint/><geom size="0.1"/></body>'
TWO = f"<mujoco><worldbody><body>{LIMB.format(y=1)}{LIMB.format(y=-1)}</body></worldbody></mujoco>"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "four.xml").write_text(load_robot("go1").mjcf)
    (tmp_path / "two.xml").write_text(TWO)
    (tmp_path / "package.xml").write_text("<package/>")
    (tmp_path / "broken.urdf").write_text("<robot>")
    return tmp_path


def test_every_description_gets_a_line_and_other_files_none(folder):
    found = {str(path.relative_to(folder)): path for path in descriptions(folder)}
    assert set(found) == {"inside/four.xml", "two.xml", "broken.urdf"}
    robots = [try_robot(path, name, 0.4, 2.0, 0) for name, path in found.items()]
    by_name = {robot.file: robot for robot in robots}
    assert by_name["inside/four.xml"].walks
    assert by_name["inside/four.xml"].speed == pytest.approx(0.4, abs=0.05)
    assert by_name["two.xml"].refused.startswith("a quadruped with three driven hinges")
    assert "not XML" in by_name["broken.urdf"].refused
    text = page(robots, 0.4, 2.0, "a test")
    assert "3 files: 1 quadrupeds" in text
    assert "| inside/four.xml | 12.7 kg |" in text


def test_a_fall_a_slow_walk_and_no_walk_at_all_are_no_walks():
    walked = ForeignRobot("a", 10.0, 0.4, 0.0, walked=10.0, speed=0.39)
    assert walked.walks
    for change in (
        {"speed": 0.29},
        {"fell": "roll"},
        {"walked": 0.0},
        {"walked": -0.3},
        {"refused": "no legs"},
    ):
        assert not ForeignRobot(**{**walked.__dict__, **change}).walks
