"""Where footages go: a video file, and the wishes that a command line takes for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from safebo.robots.simulation.footage import Footage

_SIZE = re.compile(r"\s*(\d{1,5})\s*[xX×]\s*(\d{1,5})\s*")
SMALLEST, LARGEST = 160, 4096
MANY = 50
"""Pictures from which on it takes long enough to say so first."""

SLOWEST, FASTEST = 0.02, 50.0


@dataclass(frozen=True)
class Outlets:
    """Where footages are to be shown.

    Args:
        video: a file; None for none.
        view: a window of MuJoCo's viewer.
        rerun: a file for Rerun; None for none.
        size: of the video's pictures, pixels.
        speed: seconds of the walk per second that it is shown.
    """

    video: Path | None = None
    view: bool = False
    rerun: Path | None = None
    size: tuple[int, int] = (1280, 720)
    speed: float = 1.0

    @classmethod
    def chosen(
        cls,
        video: Path | None,
        size: str = "1280x720",
        speed: float = 1.0,
        view: bool = False,
        rerun: Path | None = None,
    ) -> Outlets:
        """Outlets as they stand on a command line.

        Raises:
            ValueError: names the option, what was wrong and what is allowed.
        """
        if video is not None and video.is_dir():
            raise ValueError(f"--video {video}: is a folder; give a file, for example {video / 'walk.mp4'}")
        if rerun is not None and rerun.is_dir():
            raise ValueError(f"--rerun {rerun}: is a folder; give a file, for example {rerun / 'walk.rrd'}")
        if not SLOWEST <= speed <= FASTEST:
            raise ValueError(f"--speed must be from {SLOWEST:g} to {FASTEST:g}, got {speed:g}")
        return cls(video, view, rerun, size_of(size), speed)

    @property
    def any(self) -> bool:
        """Whether anything is to be shown anywhere."""
        return self.video is not None or self.view or self.rerun is not None


def size_of(text: str) -> tuple[int, int]:
    """Width and height of pictures, as in 1280x720.

    Raises:
        ValueError: it is no such size, or the encoder cannot take it.
    """
    found = _SIZE.fullmatch(text)
    size = (int(found[1]), int(found[2])) if found else (0, 0)
    if not all(SMALLEST <= side <= LARGEST and side % 2 == 0 for side in size):
        raise ValueError(
            f"--size must be WIDTHxHEIGHT in pixels, as 1280x720, both even and from {SMALLEST} to {LARGEST}, "
            f"got {text!r}"
        )
    return size


class NotShown(RuntimeError):
    """What was wished cannot be shown on this machine; the message says why, and what would help."""


def show(footages: Sequence[Footage], outlets: Outlets) -> Iterator[str]:
    """Show footages side by side wherever it is wished; what was done, in sentences, as it is done.

    Raises:
        NotShown: no OpenGL, no screen, or a package that is missing.
        ValueError: two walks for one window.
        OSError: a file cannot be written.
    """
    if outlets.view and len(footages) > 1:
        raise ValueError("--view shows one walk; leave --beside out, or write a --video")
    if outlets.rerun is not None:
        from safebo.robots.simulation.rerun_log import RerunMissing, write_rerun

        try:
            write_rerun(footages, outlets.rerun)
        except RerunMissing as error:
            raise NotShown(str(error)) from error
        yield f"Rerun: {outlets.rerun} (open it with `rerun {outlets.rerun}`)"
    if outlets.video is not None:
        from safebo.robots.simulation import render

        count, (width, height) = len(render.picture_times(footages, speed=outlets.speed)), outlets.size
        if count > MANY:
            yield f"drawing {count} pictures of {width} x {height} ..."
        try:
            render.write_video(footages, outlets.video, outlets.size, speed=outlets.speed)
        except render.RenderingUnavailable as error:
            raise NotShown(f"No video: {error}") from error
        yield f"video: {outlets.video}"
    if outlets.view:
        from safebo.robots.simulation.viewer import NoScreen, view

        try:
            view(footages[0], outlets.speed)
        except NoScreen as error:
            raise NotShown(str(error)) from error
