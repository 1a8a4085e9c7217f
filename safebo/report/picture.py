"""One picture of a report: in the page as SVG, beside it as PNG."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

from matplotlib.figure import Figure

from safebo.report.figures.labels import make_drawable

PNG_DPI = 150
SVG_IMAGE_DPI = 200
"""Of parts that are images within an SVG."""


@dataclass(frozen=True)
class Picture:
    """One picture: `svg` goes into the page, `png` into the folder.

    `alt` says what it shows to those who do not see it; `width` is in pixels of the page.
    """

    name: str
    svg: bytes
    png: bytes
    alt: str
    caption: str = ""
    width: int = 0

    @property
    def uri(self) -> str:
        """The picture as a data URI, so that the page needs no other file."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg).decode("ascii")


def drawn(name: str, figure: Figure, alt: str, caption: str = "") -> Picture:
    """A figure as a picture; inside `styled()`, as the figure itself."""
    make_drawable(figure)
    svg, png = io.BytesIO(), io.BytesIO()
    # without a date the same run gives the same bytes
    figure.savefig(svg, format="svg", dpi=SVG_IMAGE_DPI, metadata={"Date": None, "Creator": None})
    figure.set_layout_engine(
        "none"
    )  # solved once; solving it again for the PNG would cost as much as drawing
    figure.savefig(png, format="png", dpi=PNG_DPI)
    width = round(100 * float(figure.get_figwidth()))
    return Picture(name, svg.getvalue(), png.getvalue(), alt, caption, width)
