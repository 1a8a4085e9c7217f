"""`safebo robots` as a person uses it."""

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from safebo.robots.cli import app

RUN = CliRunner()


def test_list_and_gains_show_what_can_be_chosen():
    out = RUN.invoke(app, ["list"])
    assert out.exit_code == 0
    for word in ("go1", "go2", "trot", "crawl", "flying-trot", "pronk", "paper"):
        assert word in out.output
    out = RUN.invoke(app, ["gains"])
    assert "joint.hip.kp" in out.output
    assert "N m/rad" in out.output


def test_a_short_walk_prints_one_summary_line():
    out = RUN.invoke(app, ["walk", "go1", "--seconds", "1", "--set", "joint.hip.kp=50"])
    assert out.exit_code == 0, out.output
    for word in ("go1 trot 1.0 s: no fall", "mean speed", "tracking rms", "pitch rms", "real-time factor"):
        assert word in out.output


def test_a_gains_file_is_used_and_set_goes_over_it(tmp_path):
    path = tmp_path / "best.yaml"
    path.write_text(
        "gains:\n  joint.hip.kp: 2.0\n  joint.thigh.kp: 2.0\n  joint.calf.kp: 2.0\ncertified: true\n"
    )
    soft = ["walk", "go1", "--disturbance", "paper", "--gains", str(path), "--seconds", "2"]
    out = RUN.invoke(app, soft)
    assert out.exit_code == 0
    assert "FELL" in out.output
    stiff = [f"--set=joint.{joint}.kp=80" for joint in ("hip", "thigh", "calf")]
    assert "no fall" in RUN.invoke(app, soft + stiff).output


def test_where_nothing_can_be_drawn_it_says_so_and_the_walk_still_counts(tmp_path):
    call = "from safebo.robots.cli import app; app()"
    video = tmp_path / "walk.mp4"
    done = subprocess.run(
        [sys.executable, "-c", call, "walk", "go1", "--seconds", "0.2", "--video", str(video)],
        env={**os.environ, "MUJOCO_GL": "disable"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "no fall" in done.stdout
    assert "no OpenGL was found" in done.stderr
    assert not video.exists()


@pytest.mark.slow
@pytest.mark.parametrize("choice", ["osmesa", "nonsense"])
def test_an_opengl_that_is_not_there_hinders_only_the_video(choice, tmp_path):
    """MuJoCo refuses to be imported with such a choice."""
    environment = {k: v for k, v in os.environ.items() if k != "PYOPENGL_PLATFORM"} | {"MUJOCO_GL": choice}
    found = subprocess.run([sys.executable, "-c", "import mujoco"], env=environment, capture_output=True)
    if found.returncode == 0:
        pytest.skip(f"MUJOCO_GL={choice} works here")
    code = "from safebo.robots.cli import app; app()"
    command = [
        sys.executable,
        "-c",
        code,
        "walk",
        "go1",
        "--seconds",
        "0.2",
        "--video",
        str(tmp_path / "a.mp4"),
    ]
    out = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert "no fall" in out.stdout
    assert f"No video: no OpenGL was found to draw with (MUJOCO_GL={choice})" in out.stderr


@pytest.mark.parametrize(("place", "words"), [("", "is a folder"), ("study.yaml", "is there already")])
def test_a_gait_table_is_written_over_nobodys_file_and_says_so_before_it_walks(tmp_path, place, words):
    (tmp_path / "study.yaml").write_text("name: mine\n")
    done = RUN.invoke(app, ["gait-changes", "go1", "--to", str(tmp_path / place)])
    assert done.exit_code == 2
    assert words in " ".join(done.output.split())
    assert (tmp_path / "study.yaml").read_text() == "name: mine\n"


def test_a_video_that_cannot_be_written_is_one_message(tmp_path):
    (tmp_path / "file").write_text("")
    out = RUN.invoke(app, ["walk", "go1", "--seconds", "0.2", "--video", str(tmp_path / "file" / "walk.mp4")])
    assert out.exit_code == 1
    assert "No video" in out.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["walk", "go3"], ["go3", "go1, go2"]),
        (["walk", "go1", "--gait", "hop"], ["gallop", "trot, crawl"]),
        (["walk", "go1", "--set", "joint.hipp.kp=3"], ["joint.hipp.kp", "joint.hip.kp"]),
        (["walk", "go1", "--set", "joint.hip.kp"], ["NAME=VALUE"]),
        (["walk", "go1", "--set", "joint.hip.kp=1e6"], ["outside", "2000"]),
        (["walk", "go1", "--disturbance", "papper"], ["did you mean paper"]),
        (["walk", "go1", "--gains", "nowhere.yaml"], ["nowhere.yaml", "no such file"]),
        (["walk", "go1", "--seconds", "-1"], ["--seconds"]),
        (["walk", "go1", "--velocity", "nan"], ["--velocity"]),
        (["walk", "go1", "--delay", "-2"], ["control_delay"]),
        (["walk", "go1", "--estimator", "guess"], ["kalman or truth"]),
        (["walk", "go1", "--seed", "-1"], ["--seed"]),
        (["walk", "go1", "--video", "/"], ["--video /", "is a folder"]),
    ],
)
def test_bad_input_is_refused_with_exit_code_2_and_one_message(arguments, words):
    out = RUN.invoke(app, arguments)
    assert out.exit_code == 2
    assert "Traceback" not in out.output
    for word in words:
        assert word in out.output
