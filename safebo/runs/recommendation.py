"""From a tuner's recommendation to the file of best gains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from safebo.errors import OtherFileError
from safebo.runs.best_gains import (
    BestGains,
    best_gains_path,
    unchanged_gains,
    write_best_gains,
    written_by_run,
)
from safebo.study import Study
from safebo.study.checks import tuned_contexts


class Recommends(Protocol):
    """What recommends gains; see `safebo.tuner.Tuner`."""

    def best(self, context: str | None = None) -> Any:
        """Certified recommendation for a context, or None."""


def as_best_gains(recommendation: Any, study: Study, context: str, origin: str = "") -> BestGains | None:
    """The file's content for a `Recommendation` of `safebo.tuner`; None for None.

    Args:
        recommendation: what `Tuner.best` or `Tuner.predict` returned.
        study: the study as it runs.
        context: name of the context.
        origin: digest of what it was computed from, if that is the whole journal; see `safebo.runs.origin`.
    """
    if recommendation is None:
        return None
    bounds = dict(recommendation.bounds)
    return BestGains(
        context=context,
        gains=dict(recommendation.parameters),
        certified=bool(recommendation.certified),
        objective=bounds[study.objective.name],
        margins={c.name: bounds[c.name] for c in study.constraints if c.name in bounds},
        study=study.name,
        objective_name=study.objective.name,
        objective_unit=study.objective.unit,
        context_values=dict(study.context.values.get(context, {})),
        origin=origin,
    )


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
    valid = [best for best in found if best is not None and best.certified and best.origin == origin]
    return valid if len(valid) == len(contexts) else None


def keep_best(
    tuner: Recommends, folder: Path, study: Study, contexts: Sequence[str], origin: str = ""
) -> tuple[dict[str, BestGains], dict[str, Path]]:
    """Write each context's certified gains; a file whose gains are no longer certified is removed.

    Args:
        tuner: is asked for them.
        folder: the run's folder.
        study: the study as it runs.
        contexts: names of the contexts that were tried.
        origin: see `as_best_gains`.

    Returns:
        Gains and files by context; contexts for which nothing is certified are missing.

    Raises:
        OtherFileError: the run did not write a file that is there. OSError: one cannot be written.
    """
    return write_best(
        folder, study, {name: as_best_gains(tuner.best(name), study, name, origin) for name in contexts}
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
