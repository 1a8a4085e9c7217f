"""Files that are written whole or not at all: a reader sees the old one or the new one, whenever the writer ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from safebo.errors import InputError, OtherFileError

_BEGINNING = 4096  # bytes of a file in which its mark is looked for


def draft_of(path: Path) -> Path:
    """Where a file is being written. Where a writer was killed it stays, and the next one takes it."""
    return path.with_name(f".{path.name}.part")


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file in one step, on disk before it is seen. Several processes may write it at once.

    Args:
        path: of the file, in a folder that exists.
        content: bytes, or a text for UTF-8.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    data = content.encode() if isinstance(content, str) else content
    draft = draft_of(path)
    descriptor = _own(draft)
    try:
        os.ftruncate(descriptor, 0)
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def check_place(path: Path, mark: str, option: str) -> None:
    """Whether a file may be written in the end: asked before what goes into it is computed.

    Args:
        path: of the file.
        mark: text near the beginning of every file that this command writes; another file is left as it is.
        option: that named the path.

    Raises:
        InputError: no file can be there.
        OtherFileError: there is one that the command did not write.
    """
    if path.is_dir():
        raise InputError(f"{option} {path}: is a folder, not a file")
    if not path.parent.is_dir():
        raise InputError(f"{option} {path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{option} {path}: {path.parent} cannot be written to")
    beginning = b""
    with contextlib.suppress(FileNotFoundError, PermissionError), path.open("rb") as file:
        beginning = file.read(_BEGINNING)
    if path.exists() and mark.encode() not in beginning:
        raise OtherFileError(
            f"{option} {path}: is there already, and this command did not write it; move it or choose another {option}"
        )


def remove_draft(path: Path) -> None:
    """Remove what a killed writer left of a file, unless somebody writes it now."""
    draft = draft_of(path)
    with contextlib.suppress(OSError):
        descriptor = os.open(draft, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_file(descriptor, draft):
                draft.unlink()
        finally:
            os.close(descriptor)


def _is_file(descriptor: int, file: Path) -> bool:
    return os.path.samestat(os.fstat(descriptor), os.lstat(file))


def _own(draft: Path) -> int:
    """The draft, opened and locked, once whoever else writes it is done."""
    while True:
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_file(descriptor, draft):
                return descriptor
        except FileNotFoundError:
            pass  # who had it has made it the file
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
