"""The shared key of a link, in a file that only its owner can read."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from safebo.hardware.constants import MIN_KEY_BYTES
from safebo.hardware.errors import HardwareInputError

KEY_BYTES = 32
DEFAULT = Path(".config") / "safebo" / "link.key"
"""Under the home folder: where both ends on one machine find the key that they share."""


def key_at(path: Path | None, say: Callable[[str], None]) -> bytes:
    """The key in `path`; None means the default file, which is made when it is missing, and that is said.

    Raises:
        HardwareInputError: see `read_key` and `make_key`.
    """
    if path is not None:
        return read_key(path)
    chosen = Path.home() / DEFAULT
    if not chosen.exists():
        try:
            chosen.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HardwareInputError(
                f"link key {chosen}: its folder cannot be made: {error.strerror}; `safebo-guardian key FILE` makes one "
                "elsewhere, which --key FILE names"
            ) from None
        make_key(chosen)
        say(f"a new link key is in {chosen}")
    return read_key(chosen)


def fingerprint(key: bytes) -> str:
    """What tells one key from another and gives neither away: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(key).hexdigest()[:16]


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
    except OSError as error:
        raise HardwareInputError(
            f"link key {path}: {error.strerror}; `safebo-guardian key {path}` makes one, for both ends"
        ) from None
    except UnicodeDecodeError:
        raise HardwareInputError(f"link key {path}: expected hexadecimal digits") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise HardwareInputError(f"link key {path}: others can read it; use `chmod 600 {path}`")
    try:
        key = bytes.fromhex(text)
    except ValueError:
        raise HardwareInputError(f"link key {path}: expected hexadecimal digits") from None
    if len(key) < MIN_KEY_BYTES:
        raise HardwareInputError(f"link key {path}: needs at least {MIN_KEY_BYTES} bytes, has {len(key)}")
    return key
