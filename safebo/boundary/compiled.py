"""Compiled functions, kept on disk between processes, and thrown away when any code that they may contain changes.

Numba looks at the file of a function alone to see whether what it kept is still that function. A compiled function
contains those that it calls, in other files too: after an update of one of them it would go on with the old one. So all
are kept in a folder that is named after the contents of all files of the rooms with compiled functions.
`NUMBA_CACHE_DIR` still decides where one is set.

Modules with compiled functions take `njit` from here, or `njit_no_alloc` for functions that make no arrays.

What a call from Python costs counts at 500 Hz: about 70 ns an array, and 100 ns more for a tuple or for an array of
records. So compiled functions that are called in every tick take single arrays and numbers, and what belongs together
lies in one record, which they take as bytes: `memory.view(RECORD)[0]` names its parts.

By default Numba counts, in every function, who still holds every array, also of those in tuples that are passed on: in
a control tick these counts took an eighth of a walk's time. Functions that make no arrays can go without them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numba
from numpy.typing import NDArray

__all__ = ["digest_of", "folder_for", "njit", "njit_no_alloc", "product", "put"]

njit = partial(numba.njit, _nrt=True, fastmath=False, forceinline=False)
"""Numba's, for functions that make arrays: with Numba's run time, which counts references.

`fastmath` is said for every function: one that is left without would take that of whichever function calls it first, so
that the last digit would hang on the order in which functions are compiled. For the same reason functions with
`fastmath` have no powers, which are functions of Numba's own, but `product`. So is `forceinline`.
"""

njit_no_alloc = partial(numba.njit, cache=True, _nrt=False, fastmath=False, forceinline=False)
"""For functions that make no arrays: no `np.empty`, no copy, no arithmetic with whole arrays, only views, numbers and
tuples, and no array as the answer. Without reference counts. May call functions of `njit` that give no array back.

With `forceinline=True` where tuples of arrays are taken or given and few functions call it: every call would copy some
seventy words, which took longer than what was done with them.
"""


KEPT_DAYS = 30.0
"""So long a folder of earlier code is kept after its last use: another environment may still have that code."""


def digest_of(folders: Iterable[Path]) -> str:
    """Of the contents of all Python files in some folders, 16 hexadecimal digits."""
    found = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            found.update(path.relative_to(folder).as_posix().encode())
            found.update(path.read_bytes())
    return found.hexdigest()[:16]


def folder_for(digest: str, root: Path) -> Path | None:
    """The folder for compiled functions of such code, made if need be; None where it cannot be written.

    Folders of other code that were not used for `KEPT_DAYS` are removed.
    """
    folder = root / f"compiled-{digest}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        if not os.access(folder, os.W_OK):
            return None
        old = time.time() - KEPT_DAYS * 86_400.0
        for other in root.glob("compiled-*"):
            if other != folder and other.stat().st_mtime < old:
                shutil.rmtree(other, ignore_errors=True)
    except OSError:
        return None
    return folder


def _use_folder() -> None:
    if numba.config.CACHE_DIR:
        return
    here = Path(__file__).resolve().parent
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = folder_for(digest_of((here, here.parent / "robots")), cache / "safebo")
    if folder is not None:
        numba.config.CACHE_DIR = str(folder)


_use_folder()  # before the first function is compiled


@njit_no_alloc
def put(values: NDArray[Any], out: NDArray[Any]) -> None:
    """Copy numbers, as many as `out` takes.

    `out[:] = values` does it too, but brings along code for shapes that differ: half a second of compilation.
    """
    for i in range(out.shape[0]):
        out[i] = values[i]


@njit_no_alloc(forceinline=True)
def product(x: float, y: float) -> float:
    """A product that is rounded before it is added to something, also in a function with `fastmath`."""
    return x * y
