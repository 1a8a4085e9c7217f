"""Where footages go: a video file, and the wishes that a command line takes for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safebo.robots.simulation.footage import Footage

_SIZE = re.compile(r"\s*(\d{1,5})\s*[xX×]\s*(\d{1,5})\s*")
SMALLEST, LARGEST = 160, 4096
SLOWEST, FASTEST = 0.02, 50.0


@dataclass(frozen=True)
class Outlets:
    """Where footages are to be shown.

    Args:
        video: a file; None for none.
        size: of its pictures, pixels.
        speed: seconds of the walk per second that it is shown.
    """

    video: Path | None = None
    size: tuple[int, int] = (1280, 720)
    speed: float = 1.0

    @classmethod
    def chosen(cls, video: Path | None, size: str = "1280x720", speed: float = 1.0) -> Outlets:
        """Outlets as they stand on a command line.

        Raises:
            ValueError: names the option, what was wrong and what is allowed.
        """
        if video is not None and video.is_dir():
            raise ValueError(f"--video {video}: is a folder; give a file, for example {video / 'walk.mp4'}")
        if not SLOWEST <= speed <= FASTEST:
            raise ValueError(f"--speed must be from {SLOWEST:g} to {FASTEST:g}, got {speed:g}")
        return cls(video, size_of(size), speed)

    @property
    def any(self) -> bool:
        """Whether anything is to be shown anywhere."""
        return self.video is not None


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


def show(footages: Sequence[Footage], outlets: Outlets) -> list[str]:
    """Show footages side by side wherever it is wished; what was done, in sentences.

    Raises:
        RenderingUnavailable: no OpenGL.
        OSError: a file cannot be written.
    """
    done = []
    if outlets.video is not None:
        from safebo.robots.simulation import render

        render.write_video(footages, outlets.video, outlets.size, speed=outlets.speed)
        done.append(f"video: {outlets.video}")
    return done
