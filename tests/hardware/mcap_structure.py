"""What the MCAP specification asks of a file's structure, as `mcap doctor --strict-message-order` looks for it.

The file is walked byte by byte, without the index that readers use, and everything that the index, the statistics and
the checksums say is held against what is there. Only single records are parsed by the `mcap` package.
"""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import zstandard
from mcap import records
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode

MAGIC = b"\x89MCAP0\r\n"
HEAD = struct.Struct("<BQ")
PARSED: dict[int, Any] = {
    Opcode.HEADER: records.Header,
    Opcode.FOOTER: records.Footer,
    Opcode.SCHEMA: records.Schema,
    Opcode.CHANNEL: records.Channel,
    Opcode.CHUNK: records.Chunk,
    Opcode.MESSAGE_INDEX: records.MessageIndex,
    Opcode.CHUNK_INDEX: records.ChunkIndex,
    Opcode.ATTACHMENT: records.Attachment,
    Opcode.ATTACHMENT_INDEX: records.AttachmentIndex,
    Opcode.STATISTICS: records.Statistics,
    Opcode.METADATA: records.Metadata,
    Opcode.METADATA_INDEX: records.MetadataIndex,
    Opcode.SUMMARY_OFFSET: records.SummaryOffset,
    Opcode.DATA_END: records.DataEnd,
}


def each_record(data: bytes, at: int = 0) -> Iterator[tuple[int, int, Any]]:
    """Offset, length in the file and content of every record."""
    while at < len(data):
        code, length = HEAD.unpack_from(data, at)
        body = data[at + HEAD.size : at + HEAD.size + length]
        stream = ReadDataStream(BytesIO(body))
        if code == Opcode.MESSAGE:
            yield at, HEAD.size + length, records.Message.read(stream, length)
        else:
            yield at, HEAD.size + length, PARSED[code].read(stream)
        at += HEAD.size + length


OUT_OF_ORDER = "a message that is older than the one before"


class Structure:
    """One file. `faults` says what of it is not as the specification has it."""

    def __init__(self, path: Path) -> None:
        self.data, self.faults = path.read_bytes(), list[str]()
        self.schemas: dict[int, Any] = {}
        self.channels: dict[int, Any] = {}
        self.messages: Counter[int] = Counter()
        self.latest = 0
        self.times: list[int] = []
        if self.data[:8] != MAGIC or self.data[-8:] != MAGIC:
            self.faults.append("no magic at begin and end")
            return
        found = list(each_record(self.data[:-8], 8))
        kinds = [type(record).__name__ for _, _, record in found]
        self.expect(kinds[0] == "Header" and kinds[-1] == "Footer", "Header first, Footer last")
        self.expect(kinds.count("DataEnd") == 1, "one DataEnd")
        if self.faults:
            return
        end = kinds.index("DataEnd")
        self.data_section(found[:end])
        self.summary(found[:end], found[end:])

    def expect(self, holds: bool, what: str) -> None:
        if not holds:
            self.faults.append(what)

    def data_section(self, found: list[tuple[int, int, Any]]) -> None:
        for i, (at, _, record) in enumerate(found):
            self.declared(record)
            self.expect(not isinstance(record, records.Message), f"{at}: a message that no index finds")
            if isinstance(record, records.Chunk):
                indexes = {}
                for _, _, index in found[i + 1 :]:
                    if not isinstance(index, records.MessageIndex):
                        break
                    self.expect(index.channel_id not in indexes, f"{at}: two indexes of one channel")
                    indexes[index.channel_id] = sorted(index.records)
                self.chunk(at, record, indexes)

    def declared(self, record: Any) -> None:
        """A schema or channel is declared once, the schema first."""
        if isinstance(record, records.Schema):
            self.expect(record.id != 0 and bool(record.encoding and record.data), f"schema {record.name}")
            self.expect(record.id not in self.schemas, f"schema {record.name} twice")
            self.schemas[record.id] = record
        elif isinstance(record, records.Channel):
            self.expect(record.schema_id in self.schemas, f"{record.topic}: before its schema")
            self.expect(record.id not in self.channels, f"{record.topic} twice")
            self.channels[record.id] = record

    def chunk(self, at: int, chunk: Any, indexes: dict[int, list[tuple[int, int]]]) -> None:
        inside = chunk.data if not chunk.compression else zstandard.decompress(chunk.data)
        self.expect(len(inside) == chunk.uncompressed_size, f"{at}: size of a chunk")
        self.expect(zlib.crc32(inside) == chunk.uncompressed_crc, f"{at}: checksum of a chunk")
        there: dict[int, list[tuple[int, int]]] = {}
        for offset, _, record in each_record(inside):
            self.declared(record)
            if isinstance(record, records.Message):
                self.expect(record.channel_id in self.channels, f"{at}: a message before its channel")
                self.expect(record.log_time >= self.latest, OUT_OF_ORDER)
                self.latest = max(self.latest, record.log_time)
                self.messages[record.channel_id] += 1
                there.setdefault(record.channel_id, []).append((record.log_time, offset))
        self.expect({k: sorted(v) for k, v in there.items()} == indexes, f"{at}: index of messages")
        times = [time for entries in there.values() for time, _ in entries]
        self.times += times
        if times:
            said = (chunk.message_start_time, chunk.message_end_time)
            self.expect(said == (min(times), max(times)), f"{at}: times of a chunk")

    def summary(self, data: list[tuple[int, int, Any]], rest: list[tuple[int, int, Any]]) -> None:
        by = {kind: [(a, n, r) for a, n, r in data if type(r) is kind] for kind in PARSED.values()}
        end, footer, said = rest[0], rest[-1][2], [record for _, _, record in rest]
        self.expect(end[2].data_section_crc in (0, zlib.crc32(self.data[: end[0]])), "checksum of the data")
        covered = self.data[footer.summary_start : rest[-1][0] + HEAD.size + 16]
        self.expect(footer.summary_crc in (0, zlib.crc32(covered)), "checksum of the summary")
        self.expect(footer.summary_start == rest[1][0], "where the summary begins")
        again = {r.id: r for r in said if isinstance(r, records.Schema)}
        self.expect(again == self.schemas, "schemas of the summary")
        channels = {r.id: r for r in said if isinstance(r, records.Channel)}
        self.expect(channels == self.channels, "channels of the summary")
        chunks = {(r.chunk_start_offset, r.chunk_length) for r in said if isinstance(r, records.ChunkIndex)}
        self.expect(chunks == {(a, n) for a, n, _ in by[records.Chunk]}, "index of chunks")
        for index in (r for r in said if isinstance(r, records.ChunkIndex)):
            for channel, place in index.message_index_offsets.items():
                _, _, record = next(each_record(self.data[:-8], place))
                right = isinstance(record, records.MessageIndex) and record.channel_id == channel
                self.expect(right, f"{place}: no index of channel {channel}")
        for kind, indexed in (
            (records.Metadata, records.MetadataIndex),
            (records.Attachment, records.AttachmentIndex),
        ):
            found = {(r.offset, r.length, r.name) for r in said if isinstance(r, indexed)}
            self.expect(found == {(a, n, r.name) for a, n, r in by[kind]}, f"{indexed.__name__}")
        for offset in (r for r in said if isinstance(r, records.SummaryOffset)):
            group = self.data[offset.group_start : offset.group_start + offset.group_length]
            codes = [group[place] for place, _, _ in each_record(group)]
            self.expect(set(codes) <= {offset.group_opcode}, f"group {offset.group_opcode}")
        self.counted([r for r in said if isinstance(r, records.Statistics)], by)

    def counted(self, found: list[Any], by: dict[Any, list[Any]]) -> None:
        self.expect(len(found) == 1, "one Statistics")
        for s in found:
            counts = (s.schema_count, s.channel_count, s.attachment_count, s.metadata_count, s.chunk_count)
            kinds = (records.Attachment, records.Metadata, records.Chunk)
            there = (len(self.schemas), len(self.channels), *(len(by[kind]) for kind in kinds))
            self.expect(counts == there, f"counts {counts}, there are {there}")
            self.expect(s.channel_message_counts == dict(self.messages), "messages of each channel")
            self.expect(s.message_count == self.messages.total(), "messages")
            times = (s.message_start_time, s.message_end_time)
            self.expect(times == (min(self.times), max(self.times)), "times")
