"""Journals for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safebo.storage.journal import Journal
from safebo.study import Study
from safebo.study.reading import study_hash


def new_journal(
    folder: Path,
    study: Study,
    *,
    text: str = "",
    source: str = "a test",
    seed: int = 0,
    trials: int,
    **more: Any,
) -> Journal:
    """A journal in a folder, made when missing, of a study that runs as it is declared."""
    folder.mkdir(parents=True, exist_ok=True)
    given = {"declared": study, "study_text": text, "study_hash": study_hash(study), "source": source, **more}
    return Journal.create(folder, study=study, seed=seed, trials=trials, **given)
