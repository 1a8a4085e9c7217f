"""A footage as a Rerun recording: bodies with their shapes, forces, speeds, joints and contacts over time.

Needs the package `rerun-sdk` (extra `rerun`). `rerun FILE.rrd` opens what is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from safebo.robots.descriptions.body_shapes import BodyShape, ShapeKind, body_name, body_shapes
from safebo.robots.simulation.footage import (
    Footage,
    contacts_over_time,
    velocity_over_time,
)
from safebo.robots.simulation.overlay import number
from safebo.robots.simulation.stage import ESTIMATED_COLOUR, FORCE_COLOUR, Actor, force_scale
from safebo.types import FloatArray

INSTALL = "pip install 'safebo[rerun]'"
TIMELINE = "walk"
POSES_EVERY = 5
"""Rows between two poses of the bodies; signals are there in every row."""

_SPEEDS = (("forward", "m/s"), ("sideways", "m/s"), ("turn", "rad/s"))


class RerunMissing(RuntimeError):
    """The package is not installed; the message says how to install it."""


def write_rerun(footages: Sequence[Footage], path: Path) -> None:
    """Write a Rerun file; several walks go side by side on one timeline, `walk`, in seconds since each began.

    Raises:
        RerunMissing: no `rerun-sdk`.
        OSError: the file cannot be written.
    """
    try:
        import rerun as rr
        import rerun.blueprint as rrb
    except ImportError as error:
        raise RerunMissing(f"--rerun needs the package rerun-sdk: {INSTALL}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    path.open("ab").close()  # says in Python's words why a file cannot be written
    stream = rr.RecordingStream("safebo")
    roots = ["" if len(footages) == 1 else f"/{index}" for index, _ in enumerate(footages, 1)]
    views = []
    for root, footage in zip(roots, footages, strict=True):
        plots = [
            rrb.TimeSeriesView(origin=f"{root}/{part}", name=part) for part in ("speed", "force", "torque")
        ]
        scene = rrb.Spatial3DView(origin=f"{root}/world", name=footage.title)
        views.append(
            rrb.Vertical(
                scene, rrb.TextDocumentView(origin=f"{root}/about"), *plots, row_shares=[4, 1, 1, 1, 1]
            )
        )
    stream.save(path, default_blueprint=rrb.Blueprint(rrb.Horizontal(*views), collapse_panels=True))
    for root, footage in zip(roots, footages, strict=True):
        _Log(rr, stream, root, footage).everything()
    stream.flush()
    stream.disconnect()


class _Log:
    """Writes one footage under a root."""

    def __init__(self, rr: Any, stream: Any, root: str, footage: Footage) -> None:
        self._rr, self._stream, self._root = rr, stream, root
        self.footage, self.actor = footage, Actor(footage)

    def everything(self) -> None:
        footage, record, forces = self.footage, self.footage.record, self.actor.forces
        self._static("about", self._rr.TextDocument(about(footage), media_type="text/markdown"))
        self._static("world", self._rr.ViewCoordinates.RIGHT_HAND_Z_UP)
        self._shapes()
        rows = np.arange(0, len(record), POSES_EVERY)
        self._poses(rows)
        walked, asked = velocity_over_time(record), footage.command
        for column, (name, unit) in enumerate(_SPEEDS):
            self._line(f"speed/{name}/walked", walked[:, column], f"{name} walked, {unit}")
            if asked is not None:
                self._line(f"speed/{name}/asked", asked[:, column], f"{name} asked, {unit}")
        contacts = contacts_over_time(footage, forces)
        for leg, name in enumerate(footage.robot.legs):
            self._line(f"force/{name}", np.linalg.norm(forces[:, leg], axis=1), f"{name}, N")
            self._line(f"contact/{name}", contacts[:, leg].astype(float), f"{name}")
        for joint, name in enumerate(footage.robot.joint_names):
            self._line(f"torque/{name}", record.applied_torque[:, joint], f"{name}, N m")
            self._line(f"position/{name}/measured", record.joint_position[:, joint], f"{name}, rad")
            self._line(f"position/{name}/desired", record.desired_position[:, joint], f"{name} desired, rad")
            self._line(f"velocity/{name}/measured", record.joint_velocity[:, joint], f"{name}, rad/s")
            self._line(
                f"velocity/{name}/desired", record.desired_velocity[:, joint], f"{name} desired, rad/s"
            )
        for mark in footage.marks:
            self._stream.set_time(TIMELINE, duration=mark.time)
            level = "ERROR" if mark.bad else "INFO"
            self._stream.log(f"{self._root}/marks", self._rr.TextLog(mark.text, level=level))

    def _static(self, place: str, what: Any) -> None:
        self._stream.log(f"{self._root}/{place}", what, static=True)

    def _line(self, place: str, values: FloatArray, name: str) -> None:
        self._static(place, self._rr.SeriesLines(names=name))
        self._columns(place, np.arange(len(values)), self._rr.Scalars.columns(scalars=values))

    def _columns(self, place: str, rows: Any, columns: Any) -> None:
        times = self._rr.TimeColumn(TIMELINE, duration=self.footage.record.time[rows])
        self._stream.send_columns(f"{self._root}/{place}", [times], columns)

    def _shapes(self) -> None:
        """The drawn shapes of every body, in its own frame, and what stands on the floor."""
        model = self.actor.model
        for shape in body_shapes(model):
            self._static(f"world/{shape.body}/shape_{shape.geom}", _drawn(self._rr, shape))
        if any(self.footage.world.slope):
            floor = int(self.actor.index.floor_geoms[0])
            turn, grey = _quaternion(model.geom_quat[floor]), [190, 196, 200]
            where = {"centers": [[0, 0, -0.01]], "quaternions": [turn], "colors": [grey]}
            self._static("world/floor", self._rr.Boxes3D(half_sizes=[[6, 6, 0.005]], **where))

    def _poses(self, rows: Any) -> None:
        actor, model = self.actor, self.actor.model
        places, turns = np.empty((len(rows), model.nbody, 3)), np.empty((len(rows), model.nbody, 4))
        feet = np.empty((len(rows), 4, 3))
        for i, row in enumerate(rows):
            actor.pose(int(row))
            places[i], turns[i], feet[i] = actor.data.xpos, actor.data.xquat, actor.feet()
        for body in range(1, model.nbody):
            columns = self._rr.Transform3D.columns(
                translation=places[:, body], quaternion=turns[:, body][:, [1, 2, 3, 0]]
            )
            self._columns(f"world/{body_name(model, body)}", rows, columns)
        colour = ESTIMATED_COLOUR if self.footage.estimated else FORCE_COLOUR
        arrows = force_scale(self.footage) * actor.forces[rows]
        for leg, name in enumerate(self.footage.robot.legs):
            place = f"world/force_{name}"
            self._static(place, self._rr.Arrows3D.from_fields(colors=[[round(255 * c) for c in colour]]))
            columns = self._rr.Arrows3D.columns(vectors=arrows[:, leg], origins=feet[:, leg])
            self._columns(place, rows, columns)


def about(footage: Footage) -> str:
    """Title, notes, gains and margins of a footage in Markdown."""
    return "\n".join(_about(footage)) + "\n"


def _about(footage: Footage) -> Iterator[str]:
    yield f"# {footage.title}"
    yield from (f"- {note}" for note in footage.notes)
    if footage.gains:
        yield f"\n| gain | value | {footage.compared or 'before'} | unit |\n|---|---|---|---|"
        yield from (
            f"| {g.name} | {number(g.value)} | {number(g.before)} | {g.unit} |" for g in footage.gains
        )
    if footage.margins:
        yield "\n| margin (safe >= 0) | value |\n|---|---|"
        yield from (f"| {name} | {value:+.4g} |" for name, value in footage.margins.items())
    yield from (f"\n**{mark.time:.2f} s: {mark.text}**" for mark in footage.marks)


def _quaternion(wxyz: FloatArray) -> list[float]:
    w, x, y, z = (float(v) for v in wxyz)
    return [x, y, z, w]


def _drawn(rr: Any, shape: BodyShape) -> Any:
    """A shape in its body's frame."""
    size, rgba = shape.size, [round(255 * float(c)) for c in shape.colour]
    look: dict[str, Any] = {"quaternions": [_quaternion(shape.quaternion)], "colors": [rgba]}
    solid = {**look, "fill_mode": "solid"}
    if shape.kind is ShapeKind.BOX:
        return rr.Boxes3D(half_sizes=[size], centers=[shape.position], **solid)
    if shape.kind is ShapeKind.ELLIPSOID:
        return rr.Ellipsoids3D(half_sizes=[size], centers=[shape.position], **solid)
    if shape.kind is ShapeKind.CAPSULE:  # Rerun's begins at the centre of one cap
        turn = np.zeros(9)
        mujoco.mju_quat2Mat(turn, shape.quaternion)
        start = shape.position - size[1] * turn.reshape(3, 3)[:, 2]
        return rr.Capsules3D(lengths=[2 * size[1]], radii=[size[0]], translations=[start], **solid)
    if shape.kind is ShapeKind.CYLINDER:
        return rr.Cylinders3D(lengths=[2 * size[1]], radii=[size[0]], centers=[shape.position], **solid)
    return rr.Mesh3D(vertex_positions=shape.vertices, triangle_indices=shape.triangles, albedo_factor=rgba)
