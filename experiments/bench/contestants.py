"""Methods that take part: our own by the names that studies use, others through their own packages, and yours.

`safeopt`, `mm-itl`, `gp_ucb`, ... are `safebo methods`; `safeopt:oracle` takes the task's Lipschitz constants of that
origin for the kernel. `optuna_tpe` and the like are of `safebo.experiments.bench.external`. `my_rule.py` is a file that
registers one acquisition (`safebo.acquisition.register`) and puts its method on the list (`register_method`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from safebo.errors import InputError, UnknownNameError
from safebo.experiments.bench.external import EXTERNAL
from safebo.experiments.bench.user_files import from_file
from safebo.study.methods import METHODS, canonical

Promise = Literal["certified", "watched", "nothing"]


@dataclass(frozen=True)
class Contestant:
    """A method as it takes part.

    Args:
        name: in results.
        method: as studies name it; of an external optimizer, its own name.
        origin: of Lipschitz constants that certify in place of the kernel; empty for the kernel.
        promise: of safety while it learns: every trial certified, global ones watched, or nothing.
        external: whether it comes from another package.
        summary: in one line.
        file: that defines it, for one of a user's own.
    """

    name: str
    method: str
    origin: str
    promise: Promise
    external: bool
    summary: str
    file: str = ""


_FILES: dict[str, str] = {}  # what a file defined, by its absolute path
_PROMISES: dict[str, Promise] = {"certified": "certified", "watched": "watched", "baseline": "nothing"}


def contestant(text: str) -> Contestant:
    """The method that a name or a file stands for.

    Raises:
        UnknownNameError: nobody has that name.
        InputError: a file that defines none, or more than one.
    """
    if text.endswith(".py"):
        return _of_file(Path(text))
    name, _, origin = text.partition(":")
    if name.replace("-", "_") in EXTERNAL:
        other = EXTERNAL[name.replace("-", "_")]
        return Contestant(other.name, other.name, "", "nothing", True, other.summary)
    known = METHODS.get(canonical(name))
    if known is None:
        raise UnknownNameError("method", name, sorted([*METHODS, *EXTERNAL]))
    full = known.name if not origin else f"{known.name}:{origin}"
    return Contestant(full, known.name, origin, _PROMISES[known.safety], False, known.summary)


def _of_file(path: Path) -> Contestant:
    where = str(path.resolve())
    if where not in _FILES:
        before = set(METHODS)
        new = from_file(path, "method", lambda _module: sorted(set(METHODS) - before))
        if len(new) != 1:
            raise InputError(
                f"method {path}: a file adds one method with `register_method`, this one {len(new)}"
            )
        _FILES[where] = new[0]
    found = METHODS[_FILES[where]]
    return Contestant(found.name, found.name, "", _PROMISES[found.safety], False, found.summary, where)


def file_hash(path: str) -> str:
    """SHA-256 of a file, hexadecimal; empty for no file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""
