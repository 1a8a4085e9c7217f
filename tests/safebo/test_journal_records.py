"""What a journal keeps of runs, trials and measurements, and gives back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journals import TOLD, create, trial

from safebo.errors import JournalError
from safebo.storage.database import to_json
from safebo.storage.journal import Journal
from safebo.storage.rows import measurement_columns
from safebo.types import Measurement


def test_what_is_not_said_has_plain_values(tmp_path: Path) -> None:
    with create(tmp_path) as journal:
        assert (journal.run.workers, journal.run.versions, journal.read_only) == (1, {}, False)
        assert journal.run.created_at.tzinfo is not None
        assert abs((datetime.now(UTC) - journal.run.created_at).total_seconds()) < 60.0
        assert journal.prior() is None
    with Journal.open(tmp_path) as again:
        assert not again.read_only
        again.note("note", "written")
        assert again.events()[0].trial is None
    with Journal.open(tmp_path, read_only=True) as reader:
        assert reader.read_only


def test_versions_are_kept(tmp_path: Path) -> None:
    with create(tmp_path, versions={"numpy": "9"}) as journal:
        assert journal.run.versions == {"numpy": "9"}


def test_a_trial_of_a_persons_own_is_recorded_with_its_measurement(tmp_path: Path) -> None:
    with create(tmp_path) as journal:
        journal.enter(trial(4), TOLD, 2)
        (record,) = journal.records()
        assert (record.trial, record.status, record.round) == (trial(4), "told", 2)
        assert record.measurement is not None
        assert record.measurement.margins == TOLD.margins
        assert [(e.kind, e.text, e.trial) for e in journal.events()] == [("entered", "by a person", 4)]


@pytest.mark.parametrize("states", [None, np.zeros((0, 3))])
def test_a_trial_without_visited_states_has_none(tmp_path: Path, states: Any) -> None:
    with create(tmp_path) as journal:
        journal.ask(trial(1), 0)
        journal.tell(1, dataclasses.replace(TOLD, states=states))
        (record,) = journal.records()
        assert record.measurement is not None
        assert record.measurement.states is None


def test_a_vector_of_states_is_one_state(tmp_path: Path) -> None:
    with create(tmp_path) as journal:
        journal.ask(trial(1), 0)
        journal.tell(1, dataclasses.replace(TOLD, states=np.arange(3.0)))
        (record,) = journal.records()
        assert record.measurement is not None
        np.testing.assert_array_equal(record.measurement.states, [[0.0, 1.0, 2.0]])


def test_only_a_trial_that_waits_becomes_unknown_or_is_edited(tmp_path: Path) -> None:
    with create(tmp_path) as journal:
        journal.ask(trial(1), 0)
        journal.tell(1, TOLD)
        journal.mark_unknown(1, "late")
        assert journal.records()[0].status == "told"
        with pytest.raises(JournalError, match="trial 2 cannot be edited"):
            journal.edit(trial(2))


def test_a_run_and_its_records_do_not_change(tmp_path: Path) -> None:
    with create(tmp_path) as journal:
        journal.enter(trial(1), TOLD, 0)
        for thing, name in (
            (journal.run, "seed"),
            (journal.records()[0], "status"),
            (journal.events()[0], "kind"),
        ):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(thing, name, None)


def test_what_json_has_no_word_for_is_refused() -> None:
    assert (
        to_json({"a": np.float64(0.1), "b": np.arange(2), "c": _Mapping()})
        == '{"a": 0.1, "b": [0, 1], "c": {"k": 1}}'
    )
    with pytest.raises(TypeError, match="complex cannot be kept in the journal"):
        to_json(1j)


class _Mapping(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        return {"k": 1}[key]

    def __iter__(self) -> Any:
        return iter(["k"])

    def __len__(self) -> int:
        return 1


def test_numbers_of_numpy_become_plain_ones() -> None:
    columns = measurement_columns(
        dataclasses.replace(TOLD, objective=np.float32(0.5), backup_time=np.float64(2.0), fell=np.True_)  # type: ignore[arg-type]
    )
    assert [type(columns[name]) for name in ("objective", "backup_time", "fell", "duration")] == [
        float,
        float,
        bool,
        float,
    ]


@pytest.mark.parametrize("lengths", [(2, 3), (3, 2)])
def test_one_margin_to_go_of_another_length_is_enough(tmp_path: Path, lengths: tuple[int, int]) -> None:
    margins = {"height": 0.5, "tilt": 0.1}
    to_go = {name: np.zeros(n) for name, n in zip(margins, lengths, strict=True)}
    wrong = Measurement("completed", 1.0, margins, states=np.zeros((2, 1)), margins_to_go=to_go)
    with create(tmp_path) as journal:
        journal.ask(trial(1), 0)
        with pytest.raises(JournalError, match="one number for each of 2 states"):
            journal.tell(1, wrong)
