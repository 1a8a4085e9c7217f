"""Python files of a user's own: a task or a method for one sweep."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from safebo.errors import InputError

T = TypeVar("T")


def from_file(path: Path, kind: str, found: Callable[[ModuleType], T]) -> T:
    """What a file has, once it has run as a module.

    Args:
        path: the file.
        kind: of what it should have, for the message: `task`, `method`.
        found: takes it from the module.

    Raises:
        InputError: there is no such file, or it raises.
    """
    if not path.is_file():
        raise InputError(f"{kind} {path}: there is no such file")
    spec = importlib.util.spec_from_file_location(f"safebo_{kind}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        return found(module)
    except InputError as error:
        raise InputError(f"{kind} {path}: {error}") from error
    except (Exception, SystemExit) as error:
        raise InputError(f"{kind} {path}: {type(error).__name__}: {error}") from error
