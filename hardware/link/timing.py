"""What docs/link.md prints of the table of constants, with the sizes that follow from the layout."""

from __future__ import annotations

from safebo.hardware.constants import MAX_POLICIES, TABLE, Constant
from safebo.hardware.guardian.staging import MAX_UPLOAD_BYTES
from safebo.hardware.link.frame import MAX_PACKET
from safebo.hardware.link.messages import PIECE

_NAMES = tuple(TABLE)
_SIZES = (
    Constant("packet", MAX_PACKET, "bytes", "longest packet, header and code included"),
    Constant("piece", PIECE, "bytes", "data in one Upload (exactly), Fetch or Describe (at most)"),
    Constant("upload", MAX_UPLOAD_BYTES, "bytes", "longest upload of a monitor"),
    Constant("slots", MAX_POLICIES, "", "highest slot of a backup's gains"),
)
TIMING: tuple[Constant, ...] = (
    *(TABLE["port"], TABLE["key"], *_SIZES),
    *(TABLE[name] for name in _NAMES[_NAMES.index("heartbeat") : _NAMES.index("longest trial") + 1]),
)
"""Everything of the link that is a number and no layout."""
