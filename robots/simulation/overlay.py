"""What stands in a picture beside the robot: time, speed asked for and walked, contacts, gains, margins, marks."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from safebo.robots.simulation.footage import (
    Footage,
    Mark,
    ShownGain,
    contacts_over_time,
    velocity_over_time,
)
from safebo.types import BoolArray, FloatArray

INK, PALE = (24, 33, 43), (92, 106, 120)
PAPER = (255, 255, 255, 205)
ACTUAL, COMMAND = (24, 100, 190), (217, 84, 10)
GOOD, BAD = (34, 125, 60), (196, 32, 38)
SMALLEST_TEXT = 0.7
"""Of the size of texts in pictures 720 pixels high: what can still be read in smaller ones."""

CHART_HIGH = 168
MAX_GAINS = 10
MAX_MARGINS = 8
FINE = 3
"""How many times finer curves are drawn before they are scaled down: smooth edges."""


@cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    import matplotlib  # brings DejaVu Sans

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def number(value: float | str | None) -> str:
    """A value as a person reads it: four digits."""
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.4g}"


class Overlay:
    """Puts everything over the pictures of one footage.

    Args:
        footage: what is shown.
        forces: on the feet, N, `n x 4 x 3`: where they stand, if contacts were not recorded.
        width, height: of the pictures, pixels.
        until: time at which the film ends, s: the end of the time axis.
    """

    def __init__(
        self, footage: Footage, forces: FloatArray, width: int, height: int, until: float | None = None
    ) -> None:
        self.footage, self.size = footage, (width, height)
        self._unit = max(SMALLEST_TEXT, min(height / 720.0, width / 620.0))
        self._until = max(footage.end, footage.end if until is None else until)
        self._velocity = velocity_over_time(footage.record)
        self._contacts = contacts_over_time(footage, forces)
        self._edge = self._px(14)
        layer = Image.new("RGBA", (width, height), (0, 0, 0, 0))
        draw = ImageDraw.Draw(layer)
        below = self._heading(draw)
        self._margins(draw, self._px(64))
        self._gains(draw, below + self._px(10))
        self._chart(layer, draw)
        self._caption(draw)
        self._layer, self._mask = layer.convert("RGB"), layer.getchannel("A")

    def _px(self, size: float) -> int:
        return max(1, round(size * self._unit))

    def _text(
        self,
        draw: ImageDraw.ImageDraw,
        at: tuple[int, int],
        text: str,
        size: float,
        colour: tuple[int, ...] = INK,
        bold: bool = False,
        anchor: str = "la",
    ) -> None:
        draw.text(at, text, font=_font(self._px(size), bold), fill=colour, anchor=anchor)

    def _wide(self, text: str, size: float, bold: bool = False) -> int:
        return int(_font(self._px(size), bold).getlength(text))

    def _fitting(self, text: str, size: float, room: int, bold: bool = False) -> str:
        """The text, its end left out where it is too long."""
        if self._wide(text, size, bold) <= room:
            return text
        while text and self._wide(text + "…", size, bold) > room:
            text = text[:-1]
        return text + "…"

    def _panel(self, draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int]) -> None:
        draw.rounded_rectangle(box, radius=self._px(8), fill=PAPER)

    # -- what does not change -------------------------------------------------------------------------

    def _heading(self, draw: ImageDraw.ImageDraw) -> int:
        """Title and notes at the top left; where they end."""
        room = self.size[0] - 2 * self._edge - self._px(130)
        lines = [(self._fitting(self.footage.title, 19, room, True), 19.0, INK, True)]
        lines += [(self._fitting(note, 13, room), 13.0, PALE, False) for note in self.footage.notes]
        pad, gap = self._px(10), self._px(5)
        wide = max(self._wide(text, size, bold) for text, size, _, bold in lines)
        high = sum(self._px(size) + gap for _, size, _, _ in lines) + 2 * pad - gap // 2
        box = (self._edge, self._edge, self._edge + wide + 2 * pad, self._edge + high)
        self._panel(draw, box)
        y = box[1] + pad - self._px(2)
        for text, size, colour, bold in lines:
            self._text(draw, (box[0] + pad, y), text, size, colour, bold)
            y += self._px(size) + gap
        return box[3]

    def _gains(self, draw: ImageDraw.ImageDraw, top: int) -> None:
        gains = self.footage.gains
        if not gains:
            return
        room = self.size[1] - self._edge - self._px(CHART_HIGH) - self._px(8) - top - 2 * self._px(10)
        count = min(MAX_GAINS, room // self._px(19) - 2)  # beside the heading, and how many more there are
        if count < 1:
            return
        shown, more = gains[:count], len(gains) - count
        compared = any(g.before is not None for g in shown)
        rows = [_cells(g) for g in shown]
        names = max([self._wide("gain", 13), *(self._wide(r[0], 13) for r in rows)])
        values = max([self._wide("value", 13), *(self._wide(r[1], 13, True) for r in rows)])
        before = max([self._wide(self.footage.compared, 13), *(self._wide(r[2], 13) for r in rows)])
        units = max(self._wide(r[3], 11) for r in rows)
        pad, gap, line = self._px(10), self._px(14), self._px(19)
        first = self._edge + pad
        right = first + names + gap + values
        old = right + (gap + before if compared else 0)
        wide = old + (self._px(8) + units if units else 0) + pad
        count = len(rows) + 1 + (more > 0)
        self._panel(draw, (self._edge, top, wide, top + count * line + 2 * pad - self._px(4)))
        y = top + pad
        self._text(draw, (first, y), "gain", 13, PALE)
        self._text(draw, (right, y), "value", 13, PALE, anchor="ra")
        if compared:
            self._text(draw, (old, y), self.footage.compared, 13, PALE, anchor="ra")
        for gain, (name, value, was, unit) in zip(shown, rows, strict=True):
            y += line
            self._text(draw, (first, y), name, 13)
            self._text(draw, (right, y), value, 13, ACTUAL if gain.changed else INK, True, "ra")
            self._text(draw, (old, y), was if compared else "", 13, PALE, anchor="ra")
            self._text(draw, (old + self._px(8), y + self._px(2)), unit, 11, PALE)
        if more > 0:
            self._text(draw, (first, y + line), f"and {more} more", 13, PALE)

    def _margins(self, draw: ImageDraw.ImageDraw, top: int) -> None:
        """Margins of the whole walk at the right, the smallest ones."""
        found = sorted(self.footage.margins.items(), key=lambda item: item[1] >= 0)[:MAX_MARGINS]
        if not found:
            return
        more = len(self.footage.margins) - len(found)
        pad, gap, line = self._px(10), self._px(14), self._px(19)
        values = [f"{value:+.3g}" for _, value in found]
        title = "margins (safe ≥ 0)"
        wide = max(
            self._wide(n, 13) + gap + self._wide(v, 13, True) for (n, _), v in zip(found, values, strict=True)
        )
        wide = max(wide, self._wide(title, 13)) + 2 * pad
        right = self.size[0] - self._edge
        count = len(found) + 1 + (more > 0)
        self._panel(draw, (right - wide, top, right, top + count * line + 2 * pad - self._px(4)))
        y = top + pad
        self._text(draw, (right - wide + pad, y), title, 13, PALE)
        for (name, value), text in zip(found, values, strict=True):
            y += line
            self._text(draw, (right - wide + pad, y), name, 13)
            self._text(draw, (right - pad, y), text, 13, GOOD if value >= 0 else BAD, True, "ra")
        if more > 0:
            self._text(draw, (right - wide + pad, y + line), f"and {more} more", 13, PALE)

    def _chart(self, layer: Image.Image, draw: ImageDraw.ImageDraw) -> None:
        """Forward speed and contacts over time at the bottom, pale; `_bright` is what has been walked so far."""
        wide, high = min(self._px(560), self.size[0] - 2 * self._edge), self._px(CHART_HIGH)
        left, top = self._edge, self.size[1] - self._edge - high
        self._panel(draw, (left, top, left + wide, top + high))
        inner = (
            left + self._px(44),
            top + self._px(34),
            left + wide - self._px(14),
            top + high - self._px(66),
        )
        self._inner = inner
        self._head = (left + self._px(12), top + self._px(10))
        curves = _curves(self.footage, self._velocity)
        low, top_value = _range(curves)
        scale = (inner[3] - inner[1]) / (top_value - low)

        def height_of(value: FloatArray) -> FloatArray:
            return inner[3] - scale * (np.clip(value, low, top_value) - low)

        for tick in _ticks(low, top_value):
            y = int(height_of(np.array(tick)))
            draw.line((inner[0], y, inner[2], y), fill=(200, 206, 212, 255), width=1)
            self._text(draw, (inner[0] - self._px(6), y), f"{tick:.2g}", 11, PALE, anchor="rm")
        x = self._across(self.footage.record.time)
        points = [(x, height_of(values), colour, dashed) for values, colour, dashed in curves]
        bars = (inner[3] + self._px(10), self._px(9))
        legs = self.footage.robot.legs
        for leg, name in enumerate(legs):
            y = bars[0] + leg * self._px(13) + bars[1] // 2
            self._text(draw, (inner[0] - self._px(6), y), name, 10, PALE, anchor="rm")
        bright = _plotted(self.size, points, self._contacts, x, bars, self._px(13), self._px(2))
        box = (inner[0], top, inner[2] + 2, top + high)
        self._bright, self._bright_box = bright.crop(box), box
        pale = self._bright.copy()
        pale.putalpha(pale.getchannel("A").point(lambda alpha: alpha // 5))
        layer.alpha_composite(pale, box[:2])

    def _caption(self, draw: ImageDraw.ImageDraw) -> None:
        """At the bottom right, where there is room, what the arrows are."""
        text = "arrows: forces on the feet" + (", from the joints' torques" if self.footage.estimated else "")
        wide, high = self._wide(text, 11) + self._px(16), self._px(24)
        right, bottom = self.size[0] - self._edge, self.size[1] - self._edge
        if right - wide > self._edge + self._px(570):
            self._panel(draw, (right - wide, bottom - high, right, bottom))
            self._text(draw, (right - self._px(8), bottom - high // 2), text, 11, PALE, anchor="rm")

    def _across(self, time: FloatArray | float) -> FloatArray:
        left, _, right, _ = self._inner
        span = max(self._until - self.footage.begin, 1e-6)
        return np.asarray(left + (right - left) * (np.asarray(time) - self.footage.begin) / span)

    # -- what changes ---------------------------------------------------------------------------------

    def put_on(self, picture: Image.Image, row: int, time: float) -> None:
        """Everything that belongs to a row, into its picture.

        Args:
            picture: is changed.
            row: of the record.
            time: of the film, s; later than the row's where the walk is over.
        """
        picture.paste(self._layer, (0, 0), self._mask)
        draw = ImageDraw.Draw(picture, "RGBA")
        shown = float(self.footage.record.time[row])
        left, top, _, bottom = self._bright_box
        cursor = int(self._across(shown))
        seen = self._bright.crop((0, 0, max(1, cursor - left), bottom - top))
        picture.paste(seen, (left, top), seen.getchannel("A"))
        draw.line((cursor, self._inner[1] - self._px(4), cursor, bottom - self._px(10)), fill=INK, width=1)
        self._speeds(draw, row)
        right = self.size[0] - self._edge
        clock = f"{shown:.2f} s" if shown >= 0 else "settling"
        wide = self._wide("00.00 s" if shown >= 0 else clock, 19, True) + self._px(20)
        self._panel(draw, (right - wide, self._edge, right, self._edge + self._px(40)))
        self._text(draw, (right - self._px(10), self._edge + self._px(20)), clock, 19, INK, True, "rm")
        for index, mark in enumerate(m for m in self.footage.marks if m.time <= time + 1e-9):
            self._banner(draw, mark, index)

    def _speeds(self, draw: ImageDraw.ImageDraw, row: int) -> None:
        x, y = self._head
        command = self.footage.command
        moving = [True, False, False]
        if command is not None:
            moving = [True, *(bool(np.abs(command[:, i]).max() > 1e-3) for i in (1, 2))]
        labels = ("forward", "sideways", "turn")
        for i in (i for i in range(3) if moving[i]):
            unit = "rad/s" if i == 2 else "m/s"
            words = [(labels[i], PALE, False, ""), (f"{self._velocity[row, i]:.2f}", ACTUAL, True, "-0.00")]
            if command is not None:
                words += [("asked", PALE, False, ""), (f"{command[row, i]:.2f}", COMMAND, True, "-0.00")]
            for word, colour, bold, widest in [*words, (unit, PALE, False, "")]:
                x += max(
                    0, self._wide(widest, 13, bold) - self._wide(word, 13, bold)
                )  # numbers stay where they are
                self._text(draw, (x, y), word, 13, colour, bold)
                x += self._wide(word, 13, bold) + self._px(5)
            x += self._px(9)

    def _banner(self, draw: ImageDraw.ImageDraw, mark: Mark, index: int) -> None:
        text = self._fitting(mark.text, 17, self.size[0] - 4 * self._edge, True)
        wide, high = self._wide(text, 17, True) + self._px(32), self._px(36)
        middle = self.size[0] // 2
        top = self._bright_box[1] - (index + 1) * (high + self._px(8))
        box = (middle - wide // 2, top, middle + wide // 2, top + high)
        draw.rounded_rectangle(box, radius=high // 2, fill=(*(BAD if mark.bad else ACTUAL), 235))
        self._text(draw, (middle, top + high // 2), text, 17, (255, 255, 255), True, "mm")


def _cells(gain: ShownGain) -> tuple[str, str, str, str]:
    return gain.name, number(gain.value), number(gain.before), gain.unit


Curve = tuple[FloatArray, tuple[int, int, int], bool]


def _curves(footage: Footage, velocity: FloatArray) -> list[Curve]:
    """Forward speed as it was and as commanded (dashed), in every row."""
    found: list[Curve] = [(velocity[:, 0], ACTUAL, False)]
    if footage.command is not None:
        found.append((footage.command[:, 0], COMMAND, True))
    return found


def _range(curves: list[Curve]) -> tuple[float, float]:
    """Limits of the axis: 0 and all of the command; of the speed all but its wildest moments."""
    values = [np.nanpercentile(v, [1.0, 99.0]) if not dashed else v for v, _, dashed in curves]
    low = min(0.0, *(float(np.nanmin(v)) for v in values))
    high = max(0.1, *(float(np.nanmax(v)) for v in values))
    return low - 0.05 * (high - low), high + 0.15 * (high - low)


def _ticks(low: float, high: float) -> list[float]:
    """Two to four round numbers between the limits."""
    rough = (high - low) / 3.0
    step = 10.0 ** np.floor(np.log10(rough))
    step *= next(f for f in (1.0, 2.0, 5.0, 10.0) if step * f >= rough)
    return [
        float(v) * float(step) + 0.0 for v in np.arange(math.ceil(low / step), math.floor(high / step) + 1)
    ]


def _plotted(
    size: tuple[int, int],
    points: list[tuple[FloatArray, FloatArray, tuple[int, int, int], bool]],
    contacts: BoolArray,
    x: FloatArray,
    bars: tuple[int, int],
    pitch: int,
    thick: int,
) -> Image.Image:
    """Curves and bars of contact on nothing, `size` pixels."""
    top, high = int(min(y.min() for _, y, _, _ in points)) - 4, bars[0] + 4 * pitch + 4
    left, right = int(x[0]) - 4, int(np.ceil(x[-1])) + 4
    fine = Image.new("RGBA", ((right - left) * FINE, (high - top) * FINE), (0, 0, 0, 0))
    draw = ImageDraw.Draw(fine)
    for px, py, colour, dashed in sorted(points, key=lambda item: item[3]):
        line = [(FINE * (a - left), FINE * (b - top)) for a, b in zip(px, py, strict=True) if np.isfinite(b)]
        if not dashed:
            draw.line(line, fill=(*colour, 255), width=FINE * thick, joint="curve")
            continue
        across = np.array([a for a, _ in line]) if line else np.zeros(0)
        dash = 9.0 * FINE
        for start in np.arange(across[0] if line else 0.0, across[-1] if line else 0.0, 1.6 * dash):
            part = [line[i] for i in np.flatnonzero((across >= start) & (across <= start + dash))]
            if len(part) > 1:
                draw.line(part, fill=(*colour, 255), width=FINE * thick)
    for leg in range(4):
        y = FINE * (bars[0] + leg * pitch - top)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], contacts[:, leg].astype(int), [0]])))
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            a, b = (FINE * (x[min(i, len(x) - 1)] - left) for i in (start, end))
            draw.rectangle((a, y, max(a, b - 1), y + FINE * bars[1]), fill=(*INK, 255))
    whole = Image.new("RGBA", size, (0, 0, 0, 0))
    whole.paste(fine.resize((right - left, high - top), Image.Resampling.LANCZOS), (left, top))
    return whole
