"""How far each recommended gain of a run may move alone, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from safebo.report.tables import tolerance_rows, tolerance_words
from safebo.runs.prior_run import tuner_of
from safebo.runs.recommend import recommend
from safebo.runs.tuner_protocol import restorable
from safebo.storage.journal import Journal
from safebo.tuner import Tuner


def tolerance_lines(folder: Path) -> Iterator[str]:
    """A line for every gain of every context that has certified gains, and one that says what they mean.

    Raises:
        InputError: no run there, or nothing has been measured yet.
    """
    with Journal.open(folder, read_only=True) as journal:
        study = journal.run.study
        tuner: Tuner = tuner_of(journal, Tuner)
        tuner.restore(restorable(journal.records()))
    words = ""
    for name, best in recommend(folder).best:
        found = None if best is None else tuner.tolerances(best.gains, name)
        if best is None or found is None:
            yield f"context {name}: no gains are certified, so there is no tolerance to tell."
            continue
        words = tolerance_words(study, found)
        for row in tolerance_rows(study, best.gains, found):
            unit = f" {row.unit}" if row.unit else ""
            where = f"context {name}: " if len(study.context.values) > 1 else ""
            if not row.lower_by:
                yield f"{where}{row.name} {row.best}: {row.lowest} would hold as well"
            else:
                yield (
                    f"{where}{row.name} {row.best}{unit}: from {row.lowest} ({row.lower_by}) "
                    f"to {row.highest} ({row.upper_by})"
                )
    if words:
        yield words
