"""All trials as a table: every cell where its heading says, and nothing of others written over."""

from __future__ import annotations

import csv
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from safebo.errors import InputError, OtherFileError
from safebo.runs.trial_export import TrialTable, csv_text, data_frame, trial_cells, write_csv
from safebo.storage.records import Record
from safebo.study import Study
from safebo.types import Bounds, Evidence, Measurement, Trial

STUDY = Study.model_validate(
    {
        "name": "legs",
        "evaluator": {"name": "python"},
        "parameters": [
            {"name": "trial", "unit": "N", "bounds": [0, 9]},
            {"name": "gait", "choices": ["a,b", "c"]},
        ],
        "objective": {"name": "speed", "unit": "m/s"},
        "constraints": [{"name": "height", "unit": "m"}],
        "seeds": [{"parameters": {"trial": 1, "gait": "c"}}],
    }
)


def table() -> TrialTable:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    trial = Trial(
        1, {"trial": 1.5, "gait": "a,b"}, {}, "default", "local", 7, certified=True,
        predicted={"speed": Bounds(0.1, 0.2, float("inf"))}, evidence={"height": Evidence("declared", 1.0, 0.0)},
        reason='say "no"\nmore',
    )  # fmt: skip
    told = Measurement("completed", 0.25, {"height": 0.125}, duration=5.0)
    waiting = Trial(2, {"trial": 2.0, "gait": "c"}, {}, "default", "local", 8, certified=False)
    records = [
        Record(trial, told, asked_at=at, told_at=at, round=0),
        Record(waiting, None, asked_at=at, told_at=None, round=1),
    ]
    return trial_cells(records, STUDY)


def test_every_cell_stands_under_its_heading() -> None:
    first, second = (dict(zip(table().columns, row, strict=True)) for row in table().rows)
    assert (first["trial"], first["parameters.trial"], first["parameters.gait"]) == (1, 1.5, "a,b")
    assert (first["objective.speed"], first["margins.height"], first["duration"]) == (0.25, 0.125, 5.0)
    assert (first["bounds.speed.lower"], first["bounds.speed.upper"], first["bounds.height.mean"]) == (
        0.1,
        None,
        None,
    )
    assert (first["prior.height"], first["certified"], first["fell"]) == ("declared", True, False)
    assert (second["status"], second["outcome"], second["margins.height"], second["told_at"]) == (
        "asked",
    ) + (None,) * 3


def test_csv_is_read_back_whatever_texts_hold_and_only_its_own_is_written_over(tmp_path: Path) -> None:
    file = tmp_path / "trials.csv"
    write_csv(file, table())
    write_csv(file, table())
    with file.open(newline="", encoding="utf-8") as stream:
        first, second = csv.DictReader(stream)
    assert first["parameters.trial [N]"] == "1.5"
    assert (first["reason"], first["parameters.gait"]) == ('say "no"\nmore', "a,b")
    assert (first["certified"], second["certified"], second["objective.speed [m/s]"]) == ("true", "false", "")
    file.write_text("mine\n" + csv_text(table()))
    with pytest.raises(OtherFileError, match="is there already"):
        write_csv(file, table())
    with pytest.raises(InputError, match="cannot be written"):
        write_csv(tmp_path / "nowhere" / "x.csv", table())


def test_without_pandas_words_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)  # as where it is not installed
    with pytest.raises(InputError, match="pip install pandas"):
        data_frame(table(), "legs")


def test_with_pandas_units_are_attributes() -> None:
    pandas: ModuleType = pytest.importorskip("pandas")
    frame: Any = data_frame(table(), "legs")
    assert isinstance(frame, pandas.DataFrame)
    assert frame.index.tolist() == [1, 2]
    assert frame.attrs["units"]["margins.height"] == "m"
    assert frame["told_at"].isna().tolist() == [False, True]
