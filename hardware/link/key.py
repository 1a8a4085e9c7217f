"""The shared key of a link, in a file that only its owner can read."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from hardware.errors import HardwareInputError
from hardware.link.frame import MIN_KEY

KEY_BYTES = 32


def make_key(path: Path) -> bytes:
    """A new random key in a new file with mode 600.

    Raises:
        HardwareInputError: the file exists, or its folder cannot be written.
    """
    key = secrets.token_bytes(KEY_BYTES)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise HardwareInputError(f"link key {path}: {error.strerror}") from None
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(key.hex() + "\n")
    return key


def read_key(path: Path) -> bytes:
    """The key in a file of hexadecimal digits.

    Raises:
        HardwareInputError: no such file, one that others can read, or one that holds no key.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise HardwareInputError(f"link key {path}: {error}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise HardwareInputError(f"link key {path}: others can read it; use `chmod 600 {path}`")
    try:
        key = bytes.fromhex(text)
    except ValueError:
        raise HardwareInputError(f"link key {path}: expected hexadecimal digits") from None
    if len(key) < MIN_KEY:
        raise HardwareInputError(f"link key {path}: needs at least {MIN_KEY} bytes, has {len(key)}")
    return key
