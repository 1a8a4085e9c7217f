"""What a run recommends, asked without a robot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safebo.errors import UnknownNameError
from safebo.runs.best_gains import BestGains
from safebo.runs.prior_run import tuner_of
from safebo.runs.recommendation import as_best_gains
from safebo.runs.runner import MakeTuner, contexts_of, make_default_tuner, restorable
from safebo.storage.journal import Journal
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
        study, records = journal.run.study, journal.records(states=False)
        if context is not None and context not in study.context.values:
            raise UnknownNameError("context", context, list(study.context.values))
        tuner = tuner_of(journal, make_tuner)
    if context is not None:
        names = [context]
    elif predict:
        names = list(study.context.values)
    else:
        names = contexts_of(records, study) or list(study.context.values)[:1]
    tuner.restore(restorable(records))
    ask = tuner.predict if predict else tuner.best
    return Recommended(study, [(name, as_best_gains(ask(name), study, name)) for name in names])
