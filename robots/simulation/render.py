"""Video of recorded walks, drawn without a screen: one, or several side by side on the same clock.

`safebo.robots.simulation.stage` draws the robot, `overlay` what stands beside it, and PyAV encodes.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image

from safebo.robots.simulation.footage import Footage
from safebo.robots.simulation.overlay import Overlay
from safebo.robots.simulation.stage import Frame, RenderingUnavailable, Stage

__all__ = ["RenderingUnavailable", "frames", "write_video"]

SIZE = (1280, 720)
"""Pixels of a video, width and height."""

RATE = 30
"""Pictures per second."""

HOLD = 1.0
"""Seconds for which the last picture of a walk that ended badly stays."""

LINE = 2
"""Pixels between two walks side by side."""


ALONE, BESIDE = (0.04, 1.05), (-0.02, 1.25)
"""By which share of the picture's height a robot is above the middle, and how much room it has."""


class Film:
    """Pictures of walks side by side, on the same clock: the seconds since each walk began.

    Args:
        footages: at least one.
        size: of the pictures, pixels.

    Raises:
        RenderingUnavailable: no OpenGL.
    """

    def __init__(self, footages: Sequence[Footage], size: tuple[int, int] = SIZE) -> None:
        self.size, self.footages = size, tuple(footages)
        end = max(f.end for f in footages)
        edges = np.linspace(0, size[0], len(footages) + 1).astype(int)
        self._left = edges[:-1]
        widths = np.diff(edges)
        self._stages: list[Stage] = []
        self._overlays: list[Overlay] = []
        for footage, width in zip(footages, widths, strict=True):
            stage = Stage(footage, int(width), size[1], *(ALONE if len(footages) == 1 else BESIDE))
            self._stages.append(stage)
            self._overlays.append(Overlay(footage, stage.actor.forces, int(width), size[1], end))

    def picture(self, time: float) -> Frame:
        """What is seen at a time, s since the walks began, `height x width x 3`."""
        whole = Image.new("RGB", self.size, (255, 255, 255))
        for footage, stage, overlay, left in zip(
            self.footages, self._stages, self._overlays, self._left, strict=True
        ):
            row = footage.row_at(time)
            picture = Image.fromarray(stage.draw(row))
            overlay.put_on(picture, row, time)
            whole.paste(picture, (int(left), 0))
        for left in self._left[1:]:
            whole.paste((255, 255, 255), (int(left) - LINE // 2, 0, int(left) + LINE // 2, self.size[1]))
        return np.asarray(whole)

    def close(self) -> None:
        """Give what draws back."""
        for stage in self._stages:
            stage.close()


def picture_times(footages: Sequence[Footage], rate: float = RATE, speed: float = 1.0) -> list[float]:
    """Times of the pictures of a film, s since the walks began; see `frames`."""
    begin, end = min(f.begin for f in footages), max(f.end for f in footages)
    hold = HOLD * speed if any(mark.bad for f in footages for mark in f.marks) else 0.0
    return [float(time) for time in np.arange(begin, end + hold, speed / rate)]


def frames(
    footages: Sequence[Footage], size: tuple[int, int] = SIZE, rate: float = RATE, speed: float = 1.0
) -> Iterator[Frame]:
    """Pictures of walks side by side at `rate` per second, `height x width x 3` each.

    Args:
        footages: at least one.
        size: of the pictures, pixels.
        rate: pictures per second of the film.
        speed: seconds of the walk per second of the film.

    Raises:
        RenderingUnavailable: no OpenGL.
    """
    film = Film(footages, size)
    try:
        for time in picture_times(footages, rate, speed):
            yield film.picture(time)
    finally:
        film.close()


def write_video(
    footages: Sequence[Footage],
    path: str | Path,
    size: tuple[int, int] = SIZE,
    rate: int = RATE,
    speed: float = 1.0,
) -> None:
    """Write an MP4 (H.264) of walks side by side, whole or not at all; see `frames`.

    Raises:
        RenderingUnavailable: no OpenGL, or no encoder.
        OSError: the file cannot be written.
    """
    import av

    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder; the video needs a file", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = frames(footages, size, rate, speed)
    first = next(pictures)
    draft = path.with_name(f".{path.name}.part")
    try:
        with av.open(str(draft), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=rate, options={"crf": "23", "preset": "veryfast"})
            stream.height, stream.width = first.shape[:2]
            stream.pix_fmt = "yuv420p"
            for picture in chain([first], pictures):
                for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                    container.mux(packet)
            for packet in stream.encode():
                container.mux(packet)
        draft.replace(path)
    except av.error.FFmpegError as error:
        if isinstance(error, OSError) and error.errno:
            raise OSError(error.errno, f"the video cannot be written: {error.strerror}", str(path)) from error
        raise RenderingUnavailable(f"{path}: the video could not be written: {error}") from error
    finally:
        draft.unlink(missing_ok=True)
