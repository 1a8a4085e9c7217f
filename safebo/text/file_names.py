"""Names of files and folders made from names that people chose. The one place that makes them."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_PLAIN = re.compile(r"[a-z0-9_.,+=-]*[a-z0-9_,+=-]")
"""Safe on every file system as it is; upper case is not, where case does not count, nor a dot at the end."""

_RESERVED = re.compile(r"(con|prn|aux|nul|conin|conout|com\d|lpt\d)(\..*)?")
"""Devices on Windows, with any ending."""

_MAX_PLAIN = 200
"""Characters of a plain name: with `predicted-` before it and a process id behind it below the usual 255 bytes."""

_MAX_READABLE = 60
"""Bytes kept of any other name."""


def file_name(name: str) -> str:
    """The name of a file or folder for `name`, inside whatever folder it is put.

    A plain name (`a-z 0-9 _ . , + = -`) stays as it is. Of any other the letters and digits stay, and a hash of the
    whole name follows behind `~`. Different names give different file names, also where upper and lower case or Unicode
    normal forms do not count; the same name always gives the same one.

    Args:
        name: any text.

    Example:
        >>> file_name("trot"), file_name("../a b")
        ('trot', 'a_b~2c2c791a0618990c')
    """
    if len(name) <= _MAX_PLAIN and _PLAIN.fullmatch(name) and not _RESERVED.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{_readable(name)}~{digest}"


def _readable(name: str) -> str:
    """Letters, digits and their marks; everything else as `_`."""
    normal = unicodedata.normalize("NFC", name[:1000])
    kept = "".join(c if unicodedata.category(c)[0] in "LNM" or c == "-" else "_" for c in normal)
    kept = re.sub("_+", "_", kept).encode("utf-8")[:_MAX_READABLE].decode("utf-8", "ignore")
    return kept.strip("_-") or "_"
