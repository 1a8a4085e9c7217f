"""The MCAP file of a robot: every tick by name, where its bodies were, what was said, and what it was about.

    /telemetry     safebo/Telemetry           every control tick, with a name for every number
    /state         safebo/State               the guardian's State as the tuner got it
    /joint_states  foxglove.JointStates       measured joints, 50 a second
    /tf            foxglove.FrameTransforms   every body of the robot, 50 a second
    /robot         foxglove.SceneUpdate       its shapes, once
    /log           foxglove.Log               what happened

Times of messages are the wall clock's, nanoseconds since 1970. Chunks are small and reach the disk as they fill, so
that a file whose writer was killed holds everything up to its last chunk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from mcap.writer import CompressionType, Writer

from safebo.hardware.constants import CONTROL_RATE_HZ
from safebo.hardware.records import foxglove
from safebo.hardware.records.robot_drawing import RobotDrawing
from safebo.hardware.records.row_format import RowFormat
from safebo.types import FloatArray

CHUNK = 64 * 1024
LAYOUT = "2"
"""Of these files; the first had no names in its arrays, and times of the guardian's own clock."""

TELEMETRY, STATE, JOINTS, FRAMES, ROBOT, LOG = (
    "/telemetry",
    "/state",
    "/joint_states",
    "/tf",
    "/robot",
    "/log",
)


class RecordFile:
    """Writes one file.

    Args:
        file: opened for writing, in binary.
        rows: how a tick is written.
        drawing: of the robot; None draws nothing.

    Raises:
        OSError: the file cannot be written, here and in every method.
    """

    def __init__(self, file: BinaryIO, rows: RowFormat, drawing: RobotDrawing | None) -> None:
        self._rows, self._drawing = rows, drawing
        self._writer = Writer(file, chunk_size=CHUNK, compression=CompressionType.ZSTD, enable_data_crcs=True)
        self._writer.start(profile="", library="safebo")
        self._channels: dict[str, int] = {}
        self._counts: dict[str, int] = {}

    def note(self, name: str, data: Mapping[str, Any]) -> None:
        """Metadata: texts and numbers by name."""
        self._writer.add_metadata(name, {key: str(value) for key, value in data.items()})

    def attach(self, name: str, media_type: str, data: bytes, time: int) -> None:
        """Keep a file of its own inside; `time` in nanoseconds since 1970."""
        self._writer.add_attachment(time, time, name, media_type, data)

    def topic(self, topic: str, schema: Mapping[str, Any], about: Mapping[str, str] | None = None) -> None:
        """Make a topic known before its first message; the schema's title is its name."""
        if topic in self._channels:
            return
        text = json.dumps(schema, separators=(",", ":")).encode()
        number = self._writer.register_schema(str(schema["title"]), "jsonschema", text)
        self._channels[topic] = self._writer.register_channel(topic, "json", number, dict(about or {}))
        self._counts[topic] = 0

    def message(self, topic: str, data: bytes, time: int) -> None:
        """A JSON message of a known topic; `time` in nanoseconds since 1970, here and below."""
        count = self._counts[topic]
        self._writer.add_message(self._channels[topic], time, data, time, count)
        self._counts[topic] = count + 1

    def tick(self, row: list[float], time: int) -> None:
        """One control tick."""
        self.topic(TELEMETRY, self._rows.schema(), {"rate": f"{CONTROL_RATE_HZ:g} 1/s"})
        self.message(TELEMETRY, self._rows.encode(row), time)

    def shapes(self, time: int) -> None:
        """The robot's shapes, once, before its poses."""
        if self._drawing is not None:
            self.topic(ROBOT, foxglove.SCHEMAS["foxglove.SceneUpdate"])
            self.message(ROBOT, self._drawing.scene(time), time)

    def pose(
        self,
        position: FloatArray,
        orientation: FloatArray,
        joints: tuple[FloatArray, FloatArray, FloatArray],
        time: int,
    ) -> None:
        """Where the robot is; nothing where that is not known.

        Args:
            position: of the trunk in the world, m, 3.
            orientation: of the trunk, w first, 4.
            joints: measured angles, speeds and torques, rad, rad/s, N m, 12 each.
            time: nanoseconds since 1970.
        """
        known = np.isfinite(np.concatenate([position, orientation, *joints])).all()
        if self._drawing is None or not known:
            return
        self.topic(JOINTS, foxglove.SCHEMAS["foxglove.JointStates"])
        states = foxglove.joint_states(time, self._drawing.joint_names, *joints)
        self.message(JOINTS, foxglove.dumped(states), time)
        self.topic(FRAMES, foxglove.SCHEMAS["foxglove.FrameTransforms"])
        self.message(FRAMES, self._drawing.frames(time, position, orientation, joints[0]), time)

    def log(self, level: int, name: str, text: str, time: int) -> None:
        """What `name` says."""
        self.topic(LOG, foxglove.SCHEMAS["foxglove.Log"])
        self.message(LOG, foxglove.dumped(foxglove.log(time, level, name, text)), time)

    def finish(self) -> None:
        """Write the index; the file itself stays open."""
        self._writer.finish()  # type: ignore[no-untyped-call]
