"""Video of a recorded walk, drawn without a screen.

MuJoCo draws through EGL, which needs no GPU where Mesa is installed (Debian: libegl1 and libgl1-mesa-dri), and
PyAV encodes. Where no OpenGL is found `RenderingUnavailable` says so; nothing else depends on this module.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safebo.robots import OPENGL
from safebo.robots.descriptions.model import RobotModel
from safebo.robots.simulation.rollout import WalkRecording

Frame = NDArray[np.uint8]

HINT = (
    "no OpenGL was found to draw with (MUJOCO_GL={backend}); on Debian and Ubuntu `apt-get install libegl1 "
    "libgl1-mesa-dri` gives one that needs neither screen nor GPU"
)


FOLLOW = 0.5
"""Seconds over which the camera averages the robot's position: about a stride."""


class RenderingUnavailable(RuntimeError):
    """No OpenGL, or no encoder, on this machine; the message says what would help."""


def frames(
    robot: RobotModel, record: WalkRecording, width: int = 640, height: int = 480, rate: float = 30.0
) -> Iterator[Frame]:
    """Pictures of a walk at `rate` per second of robot time, each `height x width x 3`.

    Raises:
        RenderingUnavailable: no OpenGL.
    """
    import mujoco

    model = robot.load_mujoco(drawn=True)
    model.vis.global_.offwidth = max(width, model.vis.global_.offwidth)
    model.vis.global_.offheight = max(height, model.vis.global_.offheight)
    index = robot.mujoco_index(model)
    data = mujoco.MjData(model)
    try:
        renderer = mujoco.Renderer(model, height, width)
    except Exception as error:  # MuJoCo raises whatever its OpenGL binding does
        raise RenderingUnavailable(HINT.format(backend=OPENGL or "unset")) from error
    camera = _camera(mujoco, robot)
    focus = _smooth(record.base_position[:, :2], round(FOLLOW / record.period))
    try:
        for row in np.arange(0, len(record), 1.0 / (rate * record.period)).astype(int):
            base = index.base_qpos
            data.qpos[base : base + 3] = record.base_position[row]
            data.qpos[base + 3 : base + 7] = record.base_orientation[row]
            data.qpos[index.qpos] = record.joint_position[row]
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)  # the light follows the robot's centre of mass
            mujoco.mj_camlight(model, data)
            # The camera follows smoothly and keeps its height, so that the trunk's own motion can be seen.
            camera.lookat[:] = *focus[row], 0.6 * robot.nominal_height
            renderer.update_scene(data, camera)
            yield renderer.render()
    finally:
        renderer.close()


def _smooth(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Centred moving average over `width` rows (fewer at the ends) of `n x k` values: no lag."""
    width = max(1, min(width, len(values)))
    summed = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    rows = np.arange(len(values))
    half = np.minimum(width // 2, np.minimum(rows, len(values) - 1 - rows))
    return np.asarray((summed[rows + half + 1] - summed[rows - half]) / (2 * half + 1)[:, None])


def _camera(mujoco: Any, robot: RobotModel) -> Any:
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FREE
    camera.distance, camera.azimuth, camera.elevation = 1.15 * robot.size.length, 130.0, -14.0
    return camera


def write_video(robot: RobotModel, record: WalkRecording, path: str | Path, rate: int = 30) -> None:
    """Write an MP4 (H.264) of a walk in real time.

    Raises:
        RenderingUnavailable: no OpenGL, or no encoder.
        OSError: the file cannot be written.
    """
    import av

    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder; the video needs a file", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = frames(robot, record, rate=rate)
    first = next(pictures)
    try:
        with av.open(str(path), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=rate, options={"crf": "23", "preset": "veryfast"})
            stream.height, stream.width = first.shape[:2]
            stream.pix_fmt = "yuv420p"
            for picture in chain([first], pictures):
                for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                    container.mux(packet)
            for packet in stream.encode():
                container.mux(packet)
    except av.error.FFmpegError as error:
        if isinstance(error, OSError) and error.errno:
            raise OSError(error.errno, f"the video cannot be written: {error.strerror}", str(path)) from error
        raise RenderingUnavailable(f"{path}: the video could not be written: {error}") from error
