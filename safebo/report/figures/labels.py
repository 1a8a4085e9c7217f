"""Texts in pictures, whoever chose them: taken literally, in letters that there are, and no longer than can be read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, Formatter, FuncFormatter

from safebo.text.printable import printable, written_out

MAX_LINE = 70
"""Characters of a line in a picture."""
MAX_LINES = 6

FONT = "DejaVu Sans"  # ships with matplotlib: the same picture on every machine
OTHER_SCRIPTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "PingFang SC",
    "Hiragino Sans",
    "Malgun Gothic",
    "Arial Unicode MS",
)
"""Used where they are installed, for the letters that the first lacks."""


@cache
def fonts() -> list[str]:
    """The fonts that texts are drawn in, in their order."""
    return [FONT, *(name for name in OTHER_SCRIPTS if name in font_manager.get_font_names())]


def drawable(text: str) -> str:
    r"""A text as matplotlib draws it: nothing is mathematics, letters that no font has stand as codes, lines are short.

    Example:
        >>> drawable("N$, 步"), len(drawable("x" * 5000))
        ('N\\$, \\u6b65', 54)
    """
    lines = [_shortened(_in_letters(line)) for line in printable(text).split("\n")]
    lines = lines if len(lines) <= MAX_LINES else [*lines[: MAX_LINES - 2], "…", lines[-1]]
    return "\n".join(lines).replace("$", r"\$")


def make_drawable(figure: Figure) -> None:
    """Make every text of a figure drawable, once, before it is drawn."""
    for artist in figure.findobj(lambda a: isinstance(a, Text | Axis)):
        if isinstance(artist, Text):
            artist.set_text(drawable(artist.get_text()))
        elif isinstance(artist, Axis):
            inner = artist.get_major_formatter()
            if type(inner) in (FixedFormatter, FuncFormatter):
                artist.set_major_formatter(_Drawable(inner))


def legend(figure: Figure, handles: Sequence[Artist], **options: Any) -> None:
    """A legend above the axes that shows every label, also one that begins with `_`, which matplotlib leaves out."""
    shown = figure.legend(
        list(handles),
        [str(i) for i in range(len(handles))],
        **{
            "loc": "outside upper left",
            "ncols": len(handles),
            "handlelength": 1.4,
            "columnspacing": 1.4,
            **options,
        },
    )
    for text, handle in zip(shown.get_texts(), handles, strict=True):
        text.set_text(str(handle.get_label()))


class _Drawable(FuncFormatter):
    """Labels of ticks, which are made while a figure is drawn."""

    def __init__(self, inner: Formatter) -> None:
        super().__init__(lambda value, position: drawable(inner(value, position)))


def _in_letters(line: str) -> str:
    return line if line.isascii() else "".join(c if _drawn(c) else written_out(c) for c in line)


@cache
def _drawn(character: str) -> bool:
    return any(_font(name).get_char_index(ord(character)) for name in fonts())


@cache
def _font(name: str) -> Any:
    return font_manager.get_font(font_manager.findfont(name))


def _shortened(line: str) -> str:
    return line if len(line) <= MAX_LINE else f"{line[: MAX_LINE // 2]}…{line[-MAX_LINE // 4 :]}"
