"""A user's YAML file, read with errors that name it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safebo.errors import FileError
from safebo.files.reading import read_file
from safebo.hardware.errors import HardwareInputError


def read_yaml(path: Path) -> Any:
    """What a file holds.

    Raises:
        HardwareInputError: it cannot be read, or is no YAML.
    """
    try:
        return read_file(path)
    except FileError as error:
        raise HardwareInputError(str(error)) from None
