"""The raw record of one trial: an MCAP file that any robotics viewer opens, and from which the score is computed.

Channels: `/state`, the guardian's State as it arrived during the trial (live, about 100 Hz); `/telemetry`, one message
per control tick, fetched from the guardian after the trial. Messages are JSON, whose numbers keep every bit of a
double. Chunks are small and reach the disk as they fill: a file whose writer was killed holds everything up to its
last chunk, and `recover` makes a whole file of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from mcap.reader import NonSeekingReader
from mcap.records import Channel, Message, Schema
from mcap.writer import CompressionType, Writer

from safebo.hardware.errors import HardwareInputError
from safebo.hardware.guardian.telemetry import COLUMNS
from safebo.hardware.link.messages import StateMessage
from safebo.types import FloatArray

CHUNK = 64 * 1024
SYNC_EVERY = 50  # states
_GROUPS: dict[str, list[int]] = {}
for _index, _column in enumerate(COLUMNS):
    _GROUPS.setdefault(_column.split(".")[0], []).append(_index)


def _schema(title: str, numbers: Mapping[str, int]) -> bytes:
    """A JSON schema; `numbers` gives the length of an array, or 1 for a plain number."""
    number: dict[str, Any] = {"type": "number"}
    properties = {
        name: number if count == 1 else {"type": "array", "items": number} for name, count in numbers.items()
    }
    return json.dumps({"title": title, "type": "object", "properties": properties}).encode()


class TrialRecorder:
    """Writes the file of one trial. `close` makes it durable.

    Args:
        path: the file; it must not exist, what was recorded is never written over.
        about: what the trial is, kept in the file as metadata.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path, about: Mapping[str, str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file: BinaryIO = path.open("xb")
        self._writer = Writer(self._file, chunk_size=CHUNK, compression=CompressionType.ZSTD)
        self._writer.start(profile="", library="safebo")
        self._writer.add_metadata("trial", dict(about))
        lengths = {name: len(indices) for name, indices in _GROUPS.items()}
        telemetry = self._writer.register_schema("Telemetry", "jsonschema", _schema("Telemetry", lengths))
        state = self._writer.register_schema("State", "jsonschema", b'{"title": "State", "type": "object"}')
        self._telemetry = self._writer.register_channel("/telemetry", "json", telemetry)
        self._state = self._writer.register_channel("/state", "json", state)
        self._states = 0
        self._failed: OSError | None = None

    def state(self, state: StateMessage) -> None:
        """Keep a State that arrived. A disk that is full must not disturb a robot that walks: `close` says so."""
        if self._failed is not None:
            return
        time = int(state.time * 1e9)
        try:
            self._writer.add_message(
                self._state, time, json.dumps(asdict(state)).encode(), time, self._states
            )
            self._states += 1
            if self._states % SYNC_EVERY == 0:
                self._file.flush()
        except OSError as error:
            self._failed = error

    def telemetry(self, rows: FloatArray) -> None:
        """Keep the telemetry, `n x columns`.

        Raises:
            OSError: it could not be written, now or while the trial ran; what reached the disk can be recovered.
        """
        if self._failed is not None:
            self.abandon()
            raise self._failed
        for sequence, row in enumerate(rows.tolist()):
            body = {
                name: row[at[0]] if len(at) == 1 else [row[i] for i in at] for name, at in _GROUPS.items()
            }
            time = int(row[0] * 1e9)
            self._writer.add_message(self._telemetry, time, json.dumps(body).encode(), time, sequence)

    def close(self) -> str:
        """Finish the file, have it on disk, and give its SHA-256."""
        self._writer.finish()  # type: ignore[no-untyped-call]
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return digest(self.path)

    def abandon(self) -> None:
        """Close the file as it is; what reached it can be recovered."""
        with contextlib.suppress(OSError):
            self._file.close()


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def messages(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Topic and content of every message, in the order of writing; ends quietly where a killed writer's file ends."""
    with path.open("rb") as file:
        for _, channel, message in _stored(file):
            yield channel.topic, json.loads(message.data)


def _stored(file: BinaryIO) -> Iterator[tuple[Schema | None, Channel, Message]]:
    """What a file holds, in the order of writing; ends quietly where a killed writer's file ends."""
    with contextlib.suppress(Exception):  # the reader has no one class for a file that ends early
        yield from NonSeekingReader(file).iter_messages(log_time_order=False)


def read_telemetry(path: Path) -> FloatArray:
    """Telemetry of a trial, `n x columns` (`safebo.hardware.guardian.telemetry.COLUMNS`).

    Raises:
        HardwareInputError: the file cannot be read or holds none.
    """
    rows = []
    try:
        for topic, body in messages(path):
            if topic == "/telemetry":
                row: list[float] = []
                for name in _GROUPS:
                    value = body[name]
                    row += value if isinstance(value, list) else [value]
                rows.append(row)
    except OSError as error:
        raise HardwareInputError(f"{path}: {error.strerror}") from None
    except (KeyError, ValueError) as error:
        raise HardwareInputError(f"{path}: not a trial's record: {error}") from None
    if not rows:
        raise HardwareInputError(f"{path}: holds no telemetry")
    table = np.array(rows, dtype=np.float64)
    order = [index for indices in _GROUPS.values() for index in indices]
    out = np.empty_like(table)
    out[:, order] = table
    return out


TRACKED = {"position": "rad", "velocity": "rad/s"}
"""What the joints were asked for in every tick, with its unit."""


def tracked_signals(path: Path) -> tuple[dict[str, FloatArray], dict[str, str]]:
    """The walk in a trial's record, for reports: columns and their units.

    A measured column `joint_position.fl.hip` has its target beside it in `joint_position_desired.fl.hip`; `time` is in
    seconds since the walk began.

    Raises:
        HardwareInputError: the file cannot be read or holds no telemetry.
    """
    rows = read_telemetry(path)
    table = dict(zip(COLUMNS, rows[rows[:, COLUMNS.index("walk_time")] >= 0.0].T, strict=True))
    columns, units = {"time": table["walk_time"]}, {"time": "s"}
    for quantity, unit in TRACKED.items():
        for name in COLUMNS:
            group, _, joint = name.partition(".")
            if group == f"joint_{quantity}":
                wanted = f"{group}_desired.{joint}"
                columns[name], columns[wanted] = table[name], table[f"target_{quantity}.{joint}"]
                units[name] = units[wanted] = unit
    return columns, units


def recover(path: Path, out: Path) -> int:
    """Write what a killed writer's file still holds into a whole file; how many messages that are.

    Raises:
        HardwareInputError: the file cannot be read, or the other one exists.
    """
    count = 0
    try:
        with path.open("rb") as source, out.open("xb") as target:
            writer = Writer(target, chunk_size=CHUNK, compression=CompressionType.ZSTD)
            writer.start(profile="", library="safebo")
            channels: dict[int, int] = {}
            for schema, channel, message in _stored(source):
                if channel.id not in channels:
                    assert schema is not None
                    number = writer.register_schema(schema.name, schema.encoding, schema.data)
                    channels[channel.id] = writer.register_channel(channel.topic, "json", number)
                writer.add_message(
                    channels[channel.id],
                    message.log_time,
                    message.data,
                    message.publish_time,
                    message.sequence,
                )
                count += 1
            writer.finish()  # type: ignore[no-untyped-call]
    except OSError as error:
        raise HardwareInputError(f"{error.filename}: {error.strerror}") from None
    return count
