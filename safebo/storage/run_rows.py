"""A run as a row of its table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from safebo.errors import JournalError
from safebo.storage.database import to_json
from safebo.storage.records import RunInfo
from safebo.study import Study


def run_columns(run: RunInfo) -> dict[str, Any]:
    """Columns of a run; see `run_from_row`."""
    return {
        "run": run.run,
        "name": run.name,
        "study_text": run.study_text,
        "study": run.study.model_dump_json(),
        "declared": run.declared.model_dump_json(),
        "study_hash": run.study_hash,
        "source": run.source,
        "seed": run.seed,
        "trials": run.trials,
        "workers": run.workers,
        "versions": to_json(run.versions),
        "created_at": run.created_at.isoformat(),
    }


def run_from_row(row: Mapping[Any, Any], place: str) -> RunInfo:
    """The run that a row describes; `place` is named when it cannot be read."""
    try:
        study, declared = _study(row["study"]), _study(row["declared"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise JournalError(
            f"{place}: this version cannot read the run's study ({where}: {first['msg']}); "
            f"it was written by safebo {json.loads(row['versions']).get('safebo', 'of another version')}"
        ) from error
    return RunInfo(
        run=row["run"],
        name=row["name"],
        study=study,
        declared=declared,
        study_text=row["study_text"],
        study_hash=row["study_hash"],
        source=row["source"],
        seed=row["seed"],
        trials=row["trials"],
        workers=row["workers"],
        versions=json.loads(row["versions"]),
        created_at=datetime.fromisoformat(row["created_at"]),
    )


def _study(text: str) -> Study:
    """A study as it was kept; one that was kept before `tuner.rounding` was a key rounds to digits."""
    study = Study.model_validate_json(text)
    if "rounding" in study.tuner.model_fields_set:
        return study
    return study.model_copy(update={"tuner": study.tuner.model_copy(update={"rounding": "digits"})})
