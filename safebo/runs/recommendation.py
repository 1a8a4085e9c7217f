"""From a tuner's recommendation to the file of best gains, and what it was computed from: whether it is still so."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from safebo.boundary import kernels
from safebo.errors import OtherFileError
from safebo.runs.best_gains import (
    BestGains,
    unchanged_gains,
    write_best_gains,
    written_by_run,
)
from safebo.runs.clock import OperatingClock
from safebo.storage.journal import Journal
from safebo.study import Study
from safebo.study.checks import tuned_contexts
from safebo.study.methods import BUILT_IN, canonical
from safebo.text.file_names import file_name

# Packages whose version may change which trials are asked or what they show.
_VERSIONED = ("safebo", "torch", "gpytorch", "botorch", "numpy", "scipy", "numba", "mujoco", "pin", "daqp")

_OTHER_PACKAGES = ("robots", "hardware", "experiments")


class Recommends(Protocol):
    """What recommends gains; see `safebo.tuner.Tuner`."""

    def best(self, context: str | None = None) -> Any:
        """Certified recommendation for a context, or None."""


def as_best_gains(
    recommendation: Any, study: Study, context: str, origin: str = "", clock: OperatingClock | None = None
) -> BestGains | None:
    """The file's content for a `Recommendation` of `safebo.tuner`; None for None.

    Args:
        recommendation: what `Tuner.best` or `Tuner.predict` returned.
        study: the study as it runs.
        context: name of the context.
        origin: digest of what it was computed from, if that is the whole journal; see `origin`.
        clock: of the run, for certificates that expire.
    """
    if recommendation is None:
        return None
    bounds = dict(recommendation.bounds)
    until = getattr(recommendation, "until", None)
    wall = None if until is None or clock is None else clock.wall_at(until)
    return BestGains(
        context=context,
        gains=dict(recommendation.parameters),
        certified=bool(recommendation.certified and study.constraints),
        objective=bounds[study.objective.name],
        margins={c.name: bounds[c.name] for c in study.constraints if c.name in bounds},
        study=study.name,
        objective_name=study.objective.name,
        objective_unit=study.objective.unit,
        context_values=dict(getattr(recommendation, "context", study.context.values.get(context, {}))),
        origin=origin,
        priors=dict(getattr(recommendation, "priors", {})),
        certified_until=until,
        certified_until_clock="" if wall is None else wall.isoformat(timespec="seconds"),
        horizon=getattr(recommendation, "horizon", None),
        lasted=getattr(recommendation, "lasted", None),
        advice=getattr(recommendation, "advice", ""),
    )


def best_gains_path(folder: Path, context: str, *, certified: bool, several: bool) -> Path:
    """Where the gains of a context are kept: `best.yaml`, or one file per context when there are several.

    Args:
        folder: the run's folder.
        context: name of the context; see `file_name`.
        certified: False names the file `predicted-<context>.yaml`, so that no one takes it for certified.
        several: whether the run tunes more than one context.
    """
    if certified and not several:
        return folder / "best.yaml"
    return folder / f"{'best' if certified else 'predicted'}-{file_name(context)}.yaml"


def best_file(folder: Path, context: str, study: Study) -> Path:
    """Where a run keeps the certified gains of a context."""
    return best_gains_path(folder, context, certified=True, several=len(tuned_contexts(study)) > 1)


def refuse_other_files(folder: Path, study: Study, new: bool) -> None:
    """Before a run: files in the way of its best gains, which it would not write over in the end.

    Args:
        folder: the run's folder.
        study: the study; what is checked does not change with the evaluator's answers.
        new: whether the run begins: then no such file is its own.

    Raises:
        OtherFileError: there is one.
    """
    for name in tuned_contexts(study):
        path = best_file(folder, name, study)
        if path.exists() and (new or not written_by_run(path, study.name, name)):
            raise OtherFileError(
                f"{path}: was not written by this run{'' if new else ', or was changed since'}, and a run keeps its "
                f"best gains of context {name!r} there. Move it elsewhere, or choose another folder with --out"
            )


def kept_best(folder: Path, study: Study, contexts: Sequence[str], origin: str) -> list[BestGains] | None:
    """The certified gains of these contexts as the run's files keep them; None unless all are there and of today.

    Args:
        folder: the run's folder.
        study: the study as it runs.
        contexts: their names.
        origin: digest of what the gains would be computed from now; empty where that is not known.
    """
    if not origin:
        return None
    found = [unchanged_gains(best_file(folder, name, study), study.name, name) for name in contexts]
    valid = [
        best
        for best in found
        if best is not None and best.certified == bool(study.constraints) and best.origin == origin
    ]
    return valid if len(valid) == len(contexts) else None


def keep_best(
    tuner: Recommends,
    folder: Path,
    study: Study,
    contexts: Sequence[str],
    origin: str = "",
    clock: OperatingClock | None = None,
) -> tuple[dict[str, BestGains], dict[str, Path]]:
    """Write each context's certified gains; a file whose gains are no longer certified is removed.

    Args:
        tuner: is asked for them.
        folder: the run's folder.
        study: the study as it runs.
        contexts: names of the contexts that were tried.
        origin: see `as_best_gains`.
        clock: see `as_best_gains`.

    Returns:
        Gains and files by context; contexts for which nothing is certified are missing.

    Raises:
        OtherFileError: the run did not write a file that is there. OSError: one cannot be written.
    """
    return write_best(
        folder,
        study,
        {name: as_best_gains(tuner.best(name), study, name, origin, clock) for name in contexts},
    )


def write_best(
    folder: Path, study: Study, found: Mapping[str, BestGains | None]
) -> tuple[dict[str, BestGains], dict[str, Path]]:
    """Write gains that were computed; see `keep_best`."""
    best, files = {}, {}
    for name, gains in found.items():
        path = best_file(folder, name, study)
        if gains is None:
            if written_by_run(path, study.name, name):
                path.unlink(missing_ok=True)
            continue
        write_best_gains(path, gains)
        best[name], files[name] = gains, path
    return best, files


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
