"""A run that begins: what it begins with, its journal, and its first round."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from safebo.errors import InputError
from safebo.files.reading import usable_path
from safebo.runs.begun import say_new_lapses
from safebo.runs.loop import RunLoop
from safebo.runs.prior_run import informed, read_prior, with_prior_data
from safebo.runs.recommendation import refuse_other_files, versions
from safebo.runs.result import RunResult
from safebo.runs.supervision import note_robot
from safebo.runs.tuner_protocol import MakeTuner
from safebo.storage.journal import Journal
from safebo.study import Study
from safebo.study.evaluator_checks import with_defaults
from safebo.study.findings import weak_beta
from safebo.study.preference_checks import prefers
from safebo.study.reading import StudyFile, study_hash
from safebo.study.tuner_checks import with_trust
from safebo.types import EvaluatorInfo

if TYPE_CHECKING:
    from safebo.runs.continued import CampaignChanges, Earlier


def check_begins(
    folder: Path, file: StudyFile, prior: str | Path | None, continues: CampaignChanges | None
) -> None:
    """Refuse what a run cannot begin with, before anything starts.

    Args:
        folder: the run's.
        file: the study.
        prior: folder of a run whose trials inform this one.
        continues: an earlier run that this one begins with.

    Raises:
        InputError: a prior or an earlier run that this one cannot take. OtherFileError: a file is in the way.
    """
    refuse_other_files(folder, file.study, new=True)
    if prior is not None:
        read_prior(prior, file.study)
    if continues is not None and prefers(file.study):
        raise InputError(
            "--continue: the objective is a preference, and another run's answers are not taken over; begin a "
            "new run without it"
        )
    if continues is not None:
        Journal.open(usable_path(continues.folder), read_only=True).close()


def begin(
    loop: RunLoop,
    info: EvaluatorInfo,
    make_tuner: MakeTuner,
    *,
    seed: int | None,
    trials: int | None,
    url: str | None,
    prior: str | Path | None,
    continues: CampaignChanges | None,
) -> RunResult:
    """Make the journal of a new run and go through its rounds.

    Args:
        loop: of the run.
        info: what the evaluator accepts.
        make_tuner: makes the tuner from the study as it runs and the seed.
        seed: of everything random; None for the study's.
        trials: that are asked; None for the study's.
        url: database of the journal; None for SQLite in the folder.
        prior: folder of a run whose trials inform this one.
        continues: an earlier run that this one begins with.
    """
    study = loop.file.study
    resolved = with_trust(with_defaults(study, info), None)
    taken = None if prior is None else read_prior(prior, resolved)
    earlier = None if continues is None else _earlier(continues, resolved, info, prior)
    if earlier is not None and earlier.prior is not None:
        taken = earlier.prior
    if taken is not None:
        resolved = with_prior_data(resolved, None)
    first = None if earlier is None else earlier.taken
    with new_journal(
        loop.folder,
        loop.file,
        resolved,
        seed=study.seed if seed is None else seed,
        trials=(trials or study.trials) + (0 if first is None else len(first.told)),
        workers=loop.workers.size,
        url=url,
        prior=taken,
        taken=first,
    ) as journal:
        note_robot(journal, info)
        if said := weak_beta(resolved):
            loop.progress.note(f"WARNING: {said}")
        if earlier is not None:
            if first is None:
                journal.note("robot-changed", earlier.text)
            loop.progress.note(earlier.text)
        tuner = informed(make_tuner(resolved, journal.run.seed), taken)
        if earlier is not None:
            say_new_lapses(journal, resolved, make_tuner, loop.progress)
        return loop.run(journal, tuner, info, resumed=False)


def new_journal(folder: Path, file: StudyFile, resolved: Study, **how: Any) -> Journal:
    """The journal of a run that begins.

    Args:
        folder: the run's folder.
        file: the study as it is declared.
        resolved: the study as it runs.
        how: further arguments of `Journal.create`.
    """
    return Journal.create(
        folder,
        study=resolved,
        declared=file.study,
        study_text=file.text,
        study_hash=study_hash(file.study),
        source=file.source,
        versions=versions(),
        **how,
    )


def _earlier(
    continues: CampaignChanges, resolved: Study, info: EvaluatorInfo, prior: str | Path | None
) -> Earlier:
    """The trials that a new run begins with; imported only here, as few runs do."""
    from safebo.runs.continued import read_earlier

    earlier = read_earlier(continues, resolved, info)
    if earlier.prior is not None and prior is not None:
        raise InputError(
            f"--prior {prior}: a run has one prior, and --continue {continues.folder} brings its own; leave --prior out"
        )
    return earlier
