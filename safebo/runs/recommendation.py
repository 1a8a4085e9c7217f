"""From a tuner's recommendation to the file of best gains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from safebo.errors import OtherFileError
from safebo.runs.best_gains import BestGains, best_gains_path, write_best_gains, written_by_run
from safebo.study import Study
from safebo.study.checks import tuned_contexts


class Recommends(Protocol):
    """What recommends gains; see `safebo.tuner.Tuner`."""

    def best(self, context: str | None = None) -> Any:
        """Certified recommendation for a context, or None."""


def as_best_gains(recommendation: Any, study: Study, context: str) -> BestGains | None:
    """The file's content for a `Recommendation` of `safebo.tuner`; None for None.

    Args:
        recommendation: what `Tuner.best` or `Tuner.predict` returned.
        study: the study as it runs.
        context: name of the context.
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


def keep_best(
    tuner: Recommends, folder: Path, study: Study, contexts: Sequence[str]
) -> tuple[dict[str, BestGains], dict[str, Path]]:
    """Write each context's certified gains; a file whose gains are no longer certified is removed.

    Args:
        tuner: is asked for them.
        folder: the run's folder.
        study: the study as it runs.
        contexts: names of the contexts that were tried.

    Returns:
        Gains and files by context; contexts for which nothing is certified are missing.

    Raises:
        OtherFileError: the run did not write a file that is there. OSError: one cannot be written.
    """
    best, files = {}, {}
    for name in contexts:
        path = best_file(folder, name, study)
        gains = as_best_gains(tuner.best(name), study, name)
        if gains is None:
            if written_by_run(path, study.name, name):
                path.unlink(missing_ok=True)
            continue
        write_best_gains(path, gains)
        best[name], files[name] = gains, path
    return best, files
