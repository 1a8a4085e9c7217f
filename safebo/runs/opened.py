"""A run that was made before, opened to be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from safebo.runs.prior_run import tuner_of
from safebo.runs.recommend import recommend
from safebo.runs.trace import read_trace
from safebo.runs.trial_export import data_frame, trial_cells
from safebo.runs.tuner_protocol import TunerLike, make_default_tuner, restorable
from safebo.storage.journal import Journal
from safebo.storage.records import Event, KeptAnswer, Record, RunInfo


@dataclass(frozen=True)
class Run:
    """What a run's journal held when it was opened.

    Args:
        folder: the run's folder.
        info: the run itself: study, seed, planned trials, versions.
        records: every trial in the order of its id, with what became of it.
        events: everything that happened besides asks and tells, oldest first.
        answers: what people said of pairs of trials, where the objective is a preference, in the order asked.
    """

    folder: Path
    info: RunInfo
    records: tuple[Record, ...]
    events: tuple[Event, ...]
    answers: tuple[KeptAnswer, ...] = ()

    def best(self, context: str | None = None) -> dict[str, object]:
        """Certified gains by context (one, or all that were tried); None where nothing is certified."""
        return dict(recommend(self.folder, context).best)

    def to_pandas(self) -> Any:
        """The trials as a `pandas.DataFrame`, indexed by trial: columns as `safebo.runs.trial_export.TrialTable` names
        them, their units in `attrs["units"]`.

        Raises:
            InputError: pandas is not installed.
        """
        return data_frame(trial_cells(self.records, self.info.study), self.info.study.name)

    def trace(self, trial: int | None = None) -> Mapping[str, NDArray[Any]]:
        """What the run's asks looked at (of one trial, or all), where `--trace` kept it: numpy arrays by column.

        One row a candidate; `pandas.DataFrame(run.trace())` takes it. Columns: `safebo.tuner.trace.AskTrace`.

        Raises:
            InputError: nothing was kept.
        """
        return read_trace(self.folder, trial)

    def tuner(self) -> TunerLike:
        """The run's tuner as it stands after these records; it brings torch."""
        with Journal.open(self.folder, read_only=True) as journal:
            tuner: TunerLike = tuner_of(journal, make_default_tuner)
        tuner.restore(restorable(self.records))
        return tuner


def open_run(folder: str | Path) -> Run:
    """Open a run's folder for reading; the run may be going on.

    Raises:
        NotARunError: the folder holds no run.
        JournalError: its journal is damaged.

    Example:
        >>> opened = open_run("runs/pendulum")  # of a run made before
        >>> [record.trial.phase for record in opened.records][0]
        'seed'
    """
    with Journal.open(folder, read_only=True) as journal:
        told = tuple(journal.records()), tuple(journal.events()), tuple(journal.answers())
        return Run(Path(folder), journal.run, *told)
