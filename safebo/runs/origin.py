"""What a recommendation was computed from, as one digest: kept beside it, it says whether it is still the answer."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import platform
import sys
from functools import cache
from pathlib import Path

from safebo.boundary import kernels
from safebo.storage.journal import Journal
from safebo.study import Study
from safebo.study.methods import BUILT_IN, canonical

# Packages whose version may change which trials are asked or what they show.
_VERSIONED = ("safebo", "torch", "gpytorch", "botorch", "numpy", "scipy", "numba", "mujoco", "pin", "daqp")

_OTHER_PACKAGES = ("robots", "hardware", "experiments")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers."""
    found = {"python": platform.python_version()}
    for name in _VERSIONED:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def origin(journal: Journal) -> str:
    """SHA-256 of what the certified gains of a run depend on: all that is recorded, and the code that computes them.

    Recorded are the study as it runs, the seed, trials, measurements and the prior's trials. Empty where that is not
    all: a journal without a chain of digests, or a kernel or method of another package, whose code may change unseen.
    """
    recorded = journal.content()
    if recorded is None or not _own_code(journal.run.study):
        return ""
    text = json.dumps([recorded, versions(), _code()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def is_default(tuner: object) -> bool:
    """Whether a tuner is the one that `best` restores, so that it recommends the same."""
    module = sys.modules.get("safebo.tuner")
    return module is not None and type(tuner) is module.Tuner


def note_code() -> None:
    """Take the code's digest now: a process that runs for hours computes with what it loaded when it began."""
    _code()


def _own_code(study: Study) -> bool:
    known = {kernel.name for kernel in kernels.BUILT_IN}
    named = {study.surrogate.kernel, study.tuner.backup.state_kernel}
    return named <= known and canonical(study.tuner.method) in BUILT_IN


@cache
def _code() -> str:
    """SHA-256 of safebo's own source: a version number stays the same while a checkout changes."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        name = file.relative_to(root)
        if name.parts[0] not in _OTHER_PACKAGES:
            digest.update(str(name).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
