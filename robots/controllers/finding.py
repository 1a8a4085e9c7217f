"""Finding the controller that a study or a command line names.

- a name: `whole-body`, `jacobian-transpose` or `nonlinear-mpc`, the laws of the chain that comes with this package, or
  one that is registered under the entry point `safebo.controllers`;
- `module:Class`, or `FILE.py:Class`;
- a YAML file: of a controller in a process of its own (docs/adapters.md), or of a learned policy.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from safebo.errors import FileError, place_of, short_text
from safebo.files.reading import read_file
from safebo.robots.controllers.controller_file import read_controller_file
from safebo.robots.controllers.policy import PolicyController
from safebo.robots.controllers.policy_file import read_policy_file
from safebo.robots.controllers.process import ProcessController
from safebo.robots.controllers.protocol import ControllerInputError, WalkingController, short, table_of
from safebo.robots.quadruped.gains import (
    JACOBIAN_TRANSPOSE,
    LAWS,
    NONLINEAR_MPC,
    WHOLE_BODY,
    GainTable,
    gains_of,
)
from safebo.text.attributes import attribute_at

__all__ = ["LAWS", "WHOLE_BODY", "FoundController", "chosen_controller", "find_controller", "table_for"]

SHIPPED = {
    WHOLE_BODY: "safebo.robots.controllers.shipped:WholeBodyController",
    JACOBIAN_TRANSPOSE: "safebo.robots.controllers.shipped:JacobianTransposeController",
    NONLINEAR_MPC: "safebo.robots.controllers.shipped:NonlinearMpcController",
}
"""The chain under each of its laws, behind the protocol."""

ENTRY_POINTS = "safebo.controllers"


SUFFIXES = (".yaml", ".yml")
"""Of a file that says how a controller is attached."""


@dataclass(frozen=True)
class FoundController:
    """A controller that was found.

    Args:
        name: as it was named.
        make: gives one that is ready for `reset`.
        table: its gains.
        switches: it can take other gains within a walk.
    """

    name: str
    make: Callable[[], WalkingController]
    table: GainTable
    switches: bool


def chosen_controller(options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """What a study's options name as their controller, and the options that are left.

    `controller_file` is an older name of `controller`, for a YAML file.

    Raises:
        ControllerInputError: it is no text, or both are there.
    """
    rest = dict(options)
    given = {key: rest.pop(key) for key in ("controller", "controller_file") if key in rest}
    if len(given) == 2:
        raise ControllerInputError("controller_file is an older name of controller: keep one of them")
    for key, value in given.items():
        if not isinstance(value, str) or not value:
            raise ControllerInputError(
                f"{key} must be a name, module:Class, FILE.py:Class or a YAML file, got {value!r}"
            )
    return next(iter(given.values()), WHOLE_BODY), rest


def find_controller(name: str) -> FoundController | None:
    """The controller of a name; None for the chain that comes with this package, under one of its laws (`LAWS`).

    `whole-body` is what walks where a study names no controller.

    Raises:
        ControllerInputError: there is none, or it cannot be loaded; says where and why.
    """
    if name in LAWS:
        return None
    if name.endswith(SUFFIXES):
        return _of_file(name)
    if ":" in name:
        return _checked(name, _load_class(name))
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS, name=name):
        return _checked(name, _guarded(name, point.load))
    known = [*LAWS, *sorted(point.name for point in importlib.metadata.entry_points(group=ENTRY_POINTS))]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f", did you mean {close[0]!r}" if close else ""
    raise ControllerInputError(
        f"unknown controller {name!r}{hint}? Known are {', '.join(known)}, module:Class, FILE.py:Class and a YAML file"
    )


def _of_file(name: str) -> FoundController:
    """What a YAML file describes: a learned policy, or a controller in a process of its own."""
    path = Path(name).expanduser()
    try:
        content = read_file(path)
    except FileError as error:
        raise ControllerInputError(str(error)) from None
    if isinstance(content, dict) and "policy" in content:
        policy = read_policy_file(path, content)
        return FoundController(name, partial(PolicyController, policy), policy.table, True)
    file = read_controller_file(path)
    return FoundController(name, partial(ProcessController, file), file.table, False)


def table_for(name: str) -> GainTable:
    """The gains of a controller, see `find_controller`."""
    found = find_controller(name)
    if found is not None:
        return found.table
    which = "" if name == WHOLE_BODY else f" --controller {name}"
    return GainTable(gains_of(name), f"safebo robots gains{which}")


def _load_class(name: str) -> Any:
    head, _, attribute = name.rpartition(":")
    module = _guarded(
        name, lambda: _file_module(head) if head.endswith(".py") else importlib.import_module(head)
    )
    try:
        return attribute_at(module, attribute)
    except LookupError as error:
        raise ControllerInputError(f"controller {name!r}: {head} {error}") from None


_files: dict[Path, tuple[float, ModuleType]] = {}
"""Modules of files, with the files' times."""


def _file_module(path: str) -> ModuleType:
    """The module in a file; what stands beside it can be imported by it."""
    file = Path(path).expanduser().resolve()
    if not file.is_file():
        raise ControllerInputError(f"{path}: no such file")
    changed = file.stat().st_mtime
    if file in _files and _files[file][0] == changed:
        return _files[file][1]
    unique = f"_safebo_controller_{len(_files)}_{file.stem}"
    specification = importlib.util.spec_from_file_location(unique, file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[unique] = module  # dataclasses look there
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    try:
        specification.loader.exec_module(module)
    except BaseException:
        del sys.modules[unique]
        raise
    _files[file] = changed, module
    return module


def _checked(name: str, value: Any) -> FoundController:
    """What was loaded, if it is a class of the protocol."""
    if not callable(value):
        raise ControllerInputError(f"controller {name!r} is no class but {short(value)}")
    # An instance that knows its gains only once it is made, such as a policy's, is made to be asked.
    asked = value if isinstance(getattr(value, "gains", None), (list, tuple)) else _guarded(name, value)
    for method in ("reset", "step"):
        if not callable(getattr(asked, method, None)):
            raise ControllerInputError(
                f"controller {name!r} has no method {method}; a controller has gains, "
                "reset(robot, gains, gait, command) and step(sensors)"
            )
    table = table_of(getattr(asked, "gains", None), name)

    def make() -> WalkingController:
        return cast(WalkingController, _guarded(name, value))

    return FoundController(name, make, table, callable(getattr(asked, "set_gains", None)))


def _guarded(name: str, call: Callable[[], Any]) -> Any:
    """What a call of a user's code gives; whatever it raises becomes a sentence."""
    try:
        return call()
    except (KeyboardInterrupt, ControllerInputError):
        raise
    except BaseException as error:
        raise ControllerInputError(
            f"controller {name!r} cannot be loaded: {short_text(error)}{place_of(error)}"
        ) from error
