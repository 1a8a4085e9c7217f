"""A run that goes on: its study as it began, what may not change since, and how it is taken up again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from safebo.errors import InputError, StudyChangedError
from safebo.runs.lapses import begins_with_another, say_lapses
from safebo.runs.loop import RunLoop
from safebo.runs.prior_run import informed, refuse_another_prior, with_prior_data
from safebo.runs.progress import Progress
from safebo.runs.recommendation import refuse_other_files
from safebo.runs.result import RunResult
from safebo.runs.supervision import check_same_robot
from safebo.runs.tuner_protocol import MakeTuner, restorable
from safebo.storage.journal import Journal
from safebo.study import Study
from safebo.study.evaluator_checks import with_defaults
from safebo.study.reading import StudyFile, changed_keys
from safebo.study.tuner_checks import with_trust
from safebo.types import EvaluatorInfo

if TYPE_CHECKING:
    from safebo.runs.continued import CampaignChanges


def study_as_begun(
    journal: Journal,
    folder: Path,
    file: StudyFile,
    *,
    seed: int | None,
    prior: str | Path | None,
    continues: CampaignChanges | None,
) -> StudyFile:
    """The study with which a run goes on, once it is the one that the run began with.

    Args:
        journal: of the run.
        folder: the run's.
        file: the study as it is now.
        seed: that is asked for; None for the run's.
        prior: that is asked for; None for the run's.
        continues: an earlier run that is asked for: a run that has begun takes none.

    Raises:
        InputError: study, seed, prior or what came before is another than that of the run.
        OtherFileError: a file of best gains is not the run's.
    """
    file = _as_begun(file, journal.run.declared)
    _check_same_run(journal, file, seed)
    refuse_other_files(folder, file.study, new=False)
    if prior is not None:
        refuse_another_prior(journal, prior)
    if continues is not None:
        raise InputError(
            "--continue: the run in this folder has begun and keeps the trials that it began with; leave the "
            "option out, or choose another folder with --out"
        )
    return file


def go_on(loop: RunLoop, journal: Journal, info: EvaluatorInfo, make_tuner: MakeTuner) -> RunResult:
    """Take up a run where it stopped.

    Args:
        loop: of the run.
        journal: of the run.
        info: what the evaluator accepts now.
        make_tuner: makes the tuner from the study as it runs and the seed.
    """
    check_same_robot(journal, info)
    resolved = with_trust(with_defaults(loop.file.study, info), journal.run.study)
    taken = journal.prior()
    if taken is not None:
        resolved = with_prior_data(resolved, journal.run.study)
    tuner = informed(make_tuner(resolved, journal.run.seed), taken)
    say_new_lapses(journal, resolved, make_tuner, loop.progress)
    return loop.run(journal, tuner, info, resumed=True)


def say_new_lapses(journal: Journal, study: Study, make_tuner: MakeTuner, progress: Progress) -> None:
    """Of a run that began with an earlier one's trials, what it certifies no longer, where that was not said yet."""
    if begins_with_another(journal):
        tuner = informed(make_tuner(study, journal.run.seed), journal.prior())
        tuner.restore(restorable(journal.records()))
        say_lapses(journal, tuner, make_tuner, progress)


def work_left(journal: Journal) -> bool:
    """Whether a run has trials to ask or to tell."""
    records = journal.records(states=False)
    return len(records) < journal.run.trials or any(record.status != "told" for record in records)


def _as_begun(file: StudyFile, declared: Study) -> StudyFile:
    """The study of a run that goes on: what its file leaves open is as it was when the run began."""
    study, tuner, prior = file.study, file.study.tuner, file.study.surrogate.prior_data
    if "rounding" not in tuner.model_fields_set:
        tuner = tuner.model_copy(update={"rounding": declared.tuner.rounding})
        study = study.model_copy(update={"tuner": tuner})
    before = declared.surrogate.prior_data
    if prior is not None and before is not None:
        open_keys = {"correlation", "inflation"} - prior.model_fields_set
        prior = prior.model_copy(update={key: getattr(before, key) for key in open_keys})
        surrogate = study.surrogate.model_copy(update={"prior_data": prior})
        study = study.model_copy(update={"surrogate": surrogate})
    return replace(file, study=study)


def _check_same_run(journal: Journal, file: StudyFile, seed: int | None) -> None:
    if seed is not None and seed != journal.run.seed:
        raise InputError(
            f"the run was started with --seed {journal.run.seed}; a run keeps its seed (leave --seed out)"
        )
    # Not by the hash, which changes when this version knows keys that the run's did not.
    if changed := changed_keys(journal.run.declared, file.study):
        shown = [f"  {line}" for line in changed[:20]]
        if len(changed) > len(shown):
            shown.append(f"  and {len(changed) - len(shown)} more")
        raise StudyChangedError(
            "\n".join(
                [
                    f"{file.source} is not the study that this run was started with; it differs in:",
                    *shown,
                    "Undo the changes to resume, or start a new run with another --out.",
                ]
            )
        )
