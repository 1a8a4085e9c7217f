"""What a run recommends, asked without a robot."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safebo.errors import SafeboError, UnknownNameError
from safebo.runs.best_gains import BestGains
from safebo.runs.clock import OperatingClock
from safebo.runs.prior_run import tuner_of
from safebo.runs.recommendation import as_best_gains, kept_best, origin, write_best
from safebo.runs.result import contexts_of
from safebo.runs.tuner_protocol import MakeTuner, make_default_tuner, restorable
from safebo.storage.journal import Journal
from safebo.storage.run_lock import run_lock
from safebo.study import Study


@dataclass(frozen=True)
class Recommended:
    """Gains by context, in the study's order; None where nothing is certified."""

    study: Study
    best: list[tuple[str, BestGains | None]]


def recommend(
    folder: str | Path,
    context: str | None = None,
    predict: bool = False,
    make_tuner: MakeTuner = make_default_tuner,
) -> Recommended:
    """What a run recommends, computed from its journal; the run may be going on.

    Certified gains are read from the run's own file of best gains where that was computed from the same journal by the
    same code (`recommendation.origin`), which needs no torch. Computed anew they are kept there, unless another process
    works on the run or the folder is not ours.

    Args:
        folder: the run's folder.
        context: name of a context; None for every context that was tried (with `predict`: every context).
        predict: the optimum of the posterior mean, not certified.
        make_tuner: makes the tuner that is restored from the journal.

    Raises:
        UnknownNameError: the study has no such context.
        InputError: no run there, or nothing has been measured yet.

    Example:
        >>> found = recommend("runs/pendulum")  # of a run made before
        >>> [name for name, gains in found.best]
        ['default']
    """
    with Journal.open(folder, read_only=True) as journal:
        own = not predict and make_tuner is make_default_tuner
        computed_from = origin(journal) if own else ""  # before the trials are read: the run may be going on
        study, records = journal.run.study, journal.records(states=False)
        if context is not None and context not in study.context.values:
            raise UnknownNameError("context", context, list(study.context.values))
        tried = contexts_of(records, study)
        if context is not None:
            names = [context]
        elif predict:
            names = list(study.context.values)
        else:
            names = tried or list(study.context.values)[:1]
        kept = kept_best(Path(folder), study, names, computed_from)
        if kept is not None:
            return Recommended(study, list(zip(names, kept, strict=True)))
        tuner = tuner_of(journal, make_tuner)
        tuner.restore(restorable(records))
        ask = tuner.predict if predict else tuner.best
        clock = OperatingClock(journal, records)
        found = {name: as_best_gains(ask(name), study, name, computed_from, clock) for name in names}
        if computed_from:
            _keep(
                Path(folder), journal, {name: found[name] for name in names if name in tried}, computed_from
            )
    return Recommended(study, list(found.items()))


def _keep(folder: Path, journal: Journal, found: Mapping[str, BestGains | None], computed_from: str) -> None:
    """Keep what was computed for whoever asks next; where that cannot be, it will be computed again."""
    with contextlib.suppress(OSError, SafeboError):
        if folder.stat().st_uid == os.geteuid():
            with run_lock(folder):
                if origin(journal) == computed_from:
                    write_best(folder, journal.run.study, found)
