"""What a caller of the tuner hands over: a study, a seed, a trial, rows of parameters; refused where it is not that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from safebo.errors import InputError
from safebo.evaluators.numbers import finite_array
from safebo.files.problems import shown
from safebo.study import Study
from safebo.study.axis import value_text
from safebo.study.reading import StudyFile, check_study
from safebo.study.tuner_checks import with_trust
from safebo.tuner.history import History
from safebo.types import Trial, TrialRecord


def checked_study(study: Any) -> Study:
    """A study that can be run, from itself or from a file that was read.

    Raises:
        InputError: it is neither.
        StudyError: it cannot be run safely.
    """
    study = with_trust(study.study) if isinstance(study, StudyFile) else study
    if not isinstance(study, Study):
        raise InputError(
            f"a Tuner needs a study, not {shown(study)}: safebo.Tuner(safebo.load_study('my-study.yaml'))"
        )
    check_study(study)
    return study


def checked_seed(seed: Any) -> int:
    """A seed as Python's whole number.

    Raises:
        InputError: it is no whole number of at least 0.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"seed must be a whole number of at least 0, not {shown(seed)}")
    return int(seed)


def asked_record(history: History, trial: Any) -> TrialRecord:
    """The record of a trial that was asked, by itself or its id.

    Raises:
        UnknownNameError: it was never asked.
        InputError: it is no trial, or it has other parameters than it was asked with: those would be remembered.
    """
    if not isinstance(trial, Trial):
        if isinstance(trial, bool) or not isinstance(trial, int | np.integer):
            raise InputError(f"a trial as ask() returned it, or its id, is needed, not {shown(trial)}")
        return history.record(int(trial))
    record = history.record(trial.id)
    asked = record.trial
    if dict(asked.parameters) != dict(trial.parameters) or asked.context_name != trial.context_name:
        there, here = (
            f"{', '.join(f'{n} {value_text(v)}' for n, v in t.parameters.items())} in context {t.context_name}"
            for t in (asked, trial)
        )
        raise InputError(
            f"trial {trial.id} was asked with {there}, not with {here}: what other gains showed is told with "
            "tell_manual(), and edit() changes a proposal before it runs"
        )
    return record


def raw_rows(parameters: ArrayLike, names: Sequence[str]) -> NDArray[np.float64]:
    """Rows of raw parameters, n x d, from them or from one alone.

    Raises:
        InputError: they have another shape, or hold something that is not a finite number.
    """
    rows = finite_array(parameters)
    if rows is None:
        raise InputError(
            "parameters hold something that is not a finite number, or rows of different lengths"
        )
    rows = np.atleast_2d(rows)
    if rows.ndim != 2 or rows.shape[1] != len(names):
        raise InputError(
            f"parameters must be n x {len(names)} ({', '.join(names)}), got {' x '.join(map(str, rows.shape))}"
        )
    return rows
