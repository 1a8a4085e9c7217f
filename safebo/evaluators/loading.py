"""Loading what a study names: an entry point, or an attribute of a module beside the study file."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safebo.errors import EvaluatorError, EvaluatorOptionError, place_of, short_text
from safebo.text.attributes import attribute_at


class _Loading(threading.local):
    now = False


_loading = _Loading()


def is_loading() -> bool:
    """Whether this thread imports an evaluator's module now."""
    return _loading.now


@contextmanager
def reported(what: str) -> Iterator[None]:
    """Whatever a user's code raises while it is imported or made, `sys.exit()` too, becomes an `EvaluatorError`.

    A `KeyboardInterrupt` may be a person's and stays.
    """
    before, _loading.now = _loading.now, True
    try:
        yield
    except (KeyboardInterrupt, EvaluatorOptionError, EvaluatorError):
        raise
    except BaseException as error:
        raise EvaluatorError(f"{what}: {short_text(error)}{place_of(error)}") from error
    finally:
        _loading.now = before


def load_entry_point(entry_point: importlib.metadata.EntryPoint) -> Any:
    """What an entry point names.

    Raises:
        EvaluatorError: it cannot be loaded.
    """
    with reported(f"evaluator {entry_point.name!r} ({entry_point.value}) cannot be loaded"):
        return entry_point.load()


def load_dotted(name: str, folder: str | None) -> Any:
    """What `module:attribute` names.

    Args:
        name: with a colon.
        folder: where the module is looked for first; None for nowhere.

    Raises:
        EvaluatorOptionError: there is no such module or attribute. EvaluatorError: it cannot be loaded.
    """
    module_name, _, attribute = name.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), *attribute.split("."))) or (
        module_name.endswith(".py")
    ):
        raise EvaluatorOptionError(
            f"{name!r} must be module:attribute, a Python module without folders or .py and a name in it, as in "
            "my_robot:walk; the folder of the study file is looked in first"
        )
    with reported(f"evaluator {name!r} cannot be loaded"):
        try:
            module = _import_beside(module_name, folder)
        except ModuleNotFoundError as error:
            if error.name is None or not (module_name + ".").startswith(error.name + "."):
                raise
            where = f", looked beside the study file ({folder}) too" if folder else ""
            raise EvaluatorOptionError(
                f"no module named {error.name!r} for evaluator {name!r}{where}"
            ) from error
    _refuse_hidden(name, module, folder)
    try:
        return attribute_at(module, attribute)
    except LookupError as error:
        raise EvaluatorOptionError(f"module {module_name!r} {error}") from None


def _refuse_hidden(name: str, module: Any, folder: str | None) -> None:
    """Refuse an evaluator whose file beside the study is hidden by another module of its name, as `json.py` is.

    Raises:
        EvaluatorOptionError: it is.
    """
    if folder is None:
        return
    head = name.partition(":")[0].partition(".")[0]
    top = sys.modules.get(head, module)
    found = getattr(top, "__file__", None) or ""
    beside = next((f for f in (f"{head}.py", f"{head}/__init__.py") if Path(folder, f).is_file()), None)
    if beside is not None and not Path(found or "/").resolve().is_relative_to(Path(folder).resolve()):
        raise EvaluatorOptionError(
            f"{beside} beside the study is hidden by another module named {head!r} "
            f"({found or 'built into Python'}): give the file another name"
        )


_modules_beside: dict[
    str, set[str]
] = {}  # folders of studies that were looked in, and the modules found there
_entries_beside: set[str] = set()
"""Folders of studies that stand in `sys.path` because a module was looked for there, and for no other reason."""
_looking = threading.Lock()


def _import_beside(module: str, folder: str | None) -> Any:
    """A module, first looked for beside the study file.

    Two studies of one session may have modules of the same names beside them: those of earlier folders are forgotten.
    (A worker process inherits the session's `sys.path`, so the folder goes first while the module is imported; it stays
    at the end for what the module imports later.)
    """
    if folder is None:
        return importlib.import_module(module)
    with _looking:
        for other in [f for f in _modules_beside if f != folder]:
            for name in _modules_beside.pop(other):
                sys.modules.pop(name, None)
            if other in _entries_beside:
                _entries_beside.discard(other)
                sys.path[:] = [entry for entry in sys.path if entry != other]
        if folder not in _modules_beside:
            _modules_beside[folder] = set()
            importlib.invalidate_caches()
        path, known = sys.path[:], set(sys.modules)
        sys.path.insert(0, folder)
        try:
            return importlib.import_module(module)
        finally:
            if folder not in path:
                _entries_beside.add(folder)
            sys.path[:] = path if folder in path else [*path, folder]
            _modules_beside[folder] |= {n for n in set(sys.modules) - known if _is_of(n, folder)}


def _is_of(name: str, folder: str) -> bool:
    """Whether a module lies beside a study file: not what is installed, where that happens to lie below it."""
    file = Path(getattr(sys.modules[name], "__file__", None) or "/")
    if not file.is_relative_to(folder) or "site-packages" in file.parts:
        return False
    return name.partition(".")[0] not in ("safebo", "robots", "hardware", "experiments")
