"""A journal of the closed-form study, trials for it, and what is done to its file behind its back."""

from __future__ import annotations

import dataclasses
import sqlite3
from pathlib import Path
from typing import Any

from closed_form_runs import STUDY
from new_journal import new_journal

from safebo.storage.journal import Journal
from safebo.storage.location import SQLITE_FILE
from safebo.storage.prior_trials import PriorTrials, prior_rows
from safebo.study.reading import parse_study
from safebo.types import Measurement, Trial

FILE = parse_study(STUDY)


def create(folder: Path, **more: Any) -> Journal:
    return new_journal(
        folder, FILE.study, **{"text": FILE.text, "source": "here", "seed": 7, "trials": 20, **more}
    )


def trial(number: int, **changes: Any) -> Trial:
    made = Trial(number, {"p": 2.0, "d": 1.0}, {}, "default", "local", 1000 + number, True)
    return dataclasses.replace(made, **changes)


TOLD = Measurement("completed", 1.0, {"height": 0.5})
PRIOR = PriorTrials("f" * 32, "/elsewhere", "walk", ("seed: 1 -> 2",), prior_rows([(trial(3), TOLD)]))


def change(folder: Path, *statements: str) -> None:
    """Change a journal's file behind its back."""
    with sqlite3.connect(folder / SQLITE_FILE) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()
