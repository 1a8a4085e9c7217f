"""Reading MCAP files again: whole ones with every check, broken ones as far as they go.

A file is whole when it has its end, every checksum is right and as many messages are there as it says. Anything else
is refused in words; `recover` makes a whole file of what can still be read.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mcap.exceptions import EndOfFile, InvalidMagic
from mcap.records import Attachment, Channel, Chunk, McapRecord, Message, Metadata, Schema, Statistics
from mcap.stream_reader import StreamReader, breakup_chunk
from mcap.writer import CompressionType, Writer

from safebo.hardware.errors import HardwareInputError
from safebo.hardware.records.record_file import CHUNK

MAX_RECORD = 1 << 30
"""Bytes of one MCAP record: a length beyond is damage."""


def contents(path: Path) -> Iterator[McapRecord]:
    """Everything in a whole file, in the order of writing.

    Raises:
        HardwareInputError: the file cannot be opened, is no MCAP file, ends too early or is damaged; says which.
    """
    try:
        with path.open("rb") as file:
            yield from _checked(path, file)
    except OSError as error:
        raise HardwareInputError(f"{path}: {error.strerror}") from None


def _checked(path: Path, file: BinaryIO) -> Iterator[McapRecord]:
    reader = iter(StreamReader(file, validate_crcs=True, record_size_limit=MAX_RECORD).records)
    records, messages, told = 0, 0, -1
    while True:
        try:
            record = next(reader, None)
        except Exception as error:  # the reader has no one class for what is wrong with a file
            raise HardwareInputError(f"{path}: {_why(error, records, messages)}") from None
        if record is None:
            break
        records += 1
        messages += isinstance(record, Message)
        told = record.message_count if isinstance(record, Statistics) else told
        yield record
    if told not in (-1, messages):
        raise HardwareInputError(f"{path}: is damaged: it says {told} messages and holds {messages}{_HINT}")


_HINT = "; `safebo robot recover` makes a whole file of what can be read"


def _why(error: Exception, records: int, messages: int) -> str:
    """What is wrong with a file of which so much was read."""
    early = isinstance(error, EndOfFile | InvalidMagic | struct.error)
    if early and not records:
        return "is no MCAP file"
    if early:
        return f"ends too early, after {messages} messages (its writer was killed, or it was cut){_HINT}"
    return f"is damaged after {messages} messages ({_words(error)}){_HINT}"


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def messages(path: Path, topic: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Topic and content of the messages of a whole file, in the order of writing.

    Args:
        path: the file.
        topic: only these; all where it is empty.

    Raises:
        HardwareInputError: see `contents`; or a message that is no JSON object.
    """
    topics: dict[int, str] = {}
    for record in contents(path):
        if isinstance(record, Channel):
            topics[record.id] = record.topic
        elif isinstance(record, Message):
            name = topics[record.channel_id]
            if topic in ("", name):
                yield name, _object(path, name, record.data)


def _object(path: Path, topic: str, data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise HardwareInputError(f"{path}: a message of {topic} is no JSON object")
    return body


@dataclass(frozen=True)
class Recovered:
    """What was saved of a broken file.

    Args:
        messages: how many.
        chunks: pieces of the file that were damaged and are lost.
    """

    messages: int
    chunks: int


def recover(path: Path, out: Path) -> Recovered:
    """Write what a broken file still holds into a whole one, with its metadata and attachments.

    Raises:
        HardwareInputError: the file cannot be read or holds no message, or the other one exists.
    """
    try:
        with path.open("rb") as source:
            found = list(_readable(source))
        kept = [record for record in found if record is not None]
        count = sum(isinstance(record, Message) for record in kept)
        if not count:
            raise HardwareInputError(f"{path}: holds no message that can be read")
        saved = Recovered(count, len(found) - len(kept))
        with out.open("xb") as target:
            _write(kept, target, path, saved)
    except OSError as error:
        raise HardwareInputError(f"{error.filename}: {error.strerror}") from None
    return saved


def _readable(file: BinaryIO) -> Iterator[McapRecord | None]:
    """What can be read, None for a damaged chunk, until the file ends or makes no sense any more."""
    reader = iter(StreamReader(file, emit_chunks=True, record_size_limit=MAX_RECORD).records)
    while True:
        try:
            record = next(reader, None)
        except Exception:  # the reader has no one class for what is wrong with a file
            return
        if record is None:
            return
        if not isinstance(record, Chunk):
            yield record
            continue
        try:
            inside: list[McapRecord | None] = [*breakup_chunk(record, validate_crc=True)]
        except Exception:
            inside = [None]
        yield from inside


def _write(records: list[McapRecord], target: BinaryIO, path: Path, saved: Recovered) -> None:
    writer = Writer(target, chunk_size=CHUNK, compression=CompressionType.ZSTD, enable_data_crcs=True)
    writer.start(profile="", library="safebo")
    schemas = {record.id: record for record in records if isinstance(record, Schema)}
    about = {record.id: record for record in records if isinstance(record, Channel)}
    known: dict[int, int] = {}
    numbers: dict[int, int] = {}
    for record in records:
        if isinstance(record, Metadata):
            writer.add_metadata(record.name, record.metadata)
        elif isinstance(record, Attachment):
            writer.add_attachment(
                record.create_time, record.log_time, record.name, record.media_type, record.data
            )
        elif isinstance(record, Message) and record.channel_id in about:
            channel = about[record.channel_id]
            if channel.id not in numbers:
                schema = schemas.get(channel.schema_id)
                if schema is not None and schema.id not in known:
                    known[schema.id] = writer.register_schema(schema.name, schema.encoding, schema.data)
                number = 0 if schema is None else known[schema.id]
                numbers[channel.id] = writer.register_channel(
                    channel.topic, channel.message_encoding, number, channel.metadata
                )
            writer.add_message(
                numbers[channel.id], record.log_time, record.data, record.publish_time, record.sequence
            )
    data = {"from": path.name, "messages": str(saved.messages), "damaged chunks": str(saved.chunks)}
    writer.add_metadata("recovered", data)
    writer.finish()  # type: ignore[no-untyped-call]
