"""Evaluators' answers, the tables' and generated ones, through runs of the product."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safebo.errors import SafeboError
from safebo.experiments.robustness.inputs.answers import (
    COUNTER,
    DONE,
    GOOD,
    PRINTED,
    PROGRAM,
    RAISED,
    RETURNED,
    VALUES,
)
from safebo.experiments.robustness.inputs.record import STUDY, Row, faults_of
from safebo.runs.runner import run
from safebo.storage.journal import Journal
from safebo.types import OUTCOMES

MAX_TRIALS = 200
"""Of one run."""


@dataclass(frozen=True)
class InputCase:
    """An answer: for people, as what an evaluator finds, and the outcome that is right (None: any)."""

    given: str
    answer: Any
    right: str | None = None
    status: int = 0


def function_answers(folder: Path) -> Iterator[Row]:
    """The tables of what a function returns and raises."""
    returned = [InputCase(what, f"table:{what}", right) for what, (_, right) in RETURNED.items()]
    yield from through_function("What a function returns", returned, folder / "returned")
    raised = [InputCase(what, f"table:raised {what}", right) for what, (_, right) in RAISED.items()]
    yield from through_function("How a function ends otherwise", raised, folder / "raised")


def program_answers(folder: Path) -> Iterator[Row]:
    """The table of what a program prints."""
    cases = [InputCase(what, text, right, status) for what, (text, status, right) in PRINTED.items()]
    yield from through_program("What a program prints", cases, folder / "printed")


def through_function(
    kind: str, cases: Sequence[InputCase], folder: Path, executor: Executor | None = None
) -> Iterator[Row]:
    """One run whose function gives the answers in turn."""
    folder.mkdir(parents=True)
    answers = [c.answer if isinstance(c.answer, str) else (c.answer,) for c in (_FIRST, *cases)]
    (folder / VALUES).write_bytes(pickle.dumps(answers))
    name = "safebo.experiments.robustness.inputs.answers:evaluate"
    options = {"repeatable": True, "folder": str(folder)}
    yield from _run(kind, cases, folder, {"name": name, "options": options}, executor)


def through_program(
    kind: str, cases: Sequence[InputCase], folder: Path, executor: Executor | None = None
) -> Iterator[Row]:
    """One run whose program prints the answers in turn."""
    (folder / "out").mkdir(parents=True)
    (folder / "code").mkdir()
    for number, case in enumerate((InputCase("", json.dumps(GOOD).encode()), *cases)):
        (folder / "out" / str(number)).write_bytes(case.answer)
        (folder / "code" / str(number)).write_text(str(case.status))
    options = {"command": PROGRAM, "repeatable": True, "timeout": 30}
    yield from _run(kind, cases, folder, {"name": "subprocess", "options": options}, executor)


_FIRST = InputCase("", GOOD)
"""What the study's seed measures, so that the run goes on."""


def _run(
    kind: str, cases: Sequence[InputCase], folder: Path, evaluator: dict[str, Any], executor: Executor | None
) -> Iterator[Row]:
    tuner = {"method": "random", "search": {"domain": "grid", "grid_points": 5}}
    study = yaml.safe_load(STUDY) | {"evaluator": evaluator, "tuner": tuner}
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study))
    (folder / COUNTER).write_text("0")
    stopped = ""
    try:
        run(path, folder / "run", trials=len(cases) + 1, max_failures=10**9, executor=executor)
    except SafeboError as error:
        stopped = str(error)
    with Journal.open(folder / "run", read_only=True) as journal:
        told = {record.trial.id: record.measurement for record in journal.records()}
    first = min(told, default=0)
    for number, case in enumerate(cases, start=1):
        measurement = told.get(first + number)
        if measurement is None:
            yield Row(kind, case.given, f"not told; the run stopped: {stopped}", "nothing", ("lost",))
            continue
        faults = [f for f in faults_of(measurement.message) if f != "misleading"]
        if measurement.outcome not in OUTCOMES or case.right not in (None, measurement.outcome):
            faults.append("wrong")
        if measurement.outcome == "failed" and not 0 < len(measurement.message) <= 2100:
            faults.append("misleading")
        happened = ": ".join(part for part in (measurement.outcome, measurement.message) if part)
        yield Row(kind, case.given, happened, "the trial, told", tuple(faults))


# -- generated ---------------------------------------------------------------------------------------------

_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(10**300, 10**320),
    st.floats(),
    st.text(max_size=20),
    st.text(st.characters(), max_size=5),
    st.text(st.characters(categories=["Cs"]), min_size=1, max_size=2),
    st.sampled_from(["completed", "failed", "backup", "aborted", "height", "x" * 50_000]),
)


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        inner, st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    )


_ANYTHING = _nested(_nested(_nested(_SCALARS)))
_GOOD = st.fixed_dictionaries(
    {
        "objective": st.floats(-1e6, 1e6),
        "margins": st.fixed_dictionaries({"height": st.floats(-1e6, 1e6)}),
    }
)
_FIELDS = (
    "outcome", "objective", "margins", "fell", "states", "margins_to_go", "backup_state", "backup_time",
    "true_objective", "true_margins", "telemetry", "duration", "message", "extra", "strides", "ended",
)  # fmt: skip


def _changed(mapping: Any, key: str, value: Any) -> dict[str, Any]:
    return {**mapping, key: value}


_ODD = st.one_of(
    _ANYTHING,
    st.dictionaries(st.sampled_from(_FIELDS), _ANYTHING, max_size=5),
    st.tuples(_GOOD, st.sampled_from(_FIELDS), _ANYTHING).map(lambda t: _changed(*t)),
    st.tuples(_GOOD, st.sampled_from(["height", "other", ""]), _ANYTHING).map(
        lambda t: _changed(t[0], "margins", _changed(t[0]["margins"], t[1], t[2]))
    ),
)


def generated(number: int) -> list[InputCase]:
    """So many answers, always the same ones: those of the right form with their outcome, the others without."""
    found: list[InputCase] = []

    @settings(
        max_examples=number,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.one_of(_GOOD.map(lambda value: (value, DONE)), _ODD.map(lambda value: (value, None))))
    def collect(case: tuple[Any, str | None]) -> None:
        found.append(InputCase(f"generated {len(found)}", *case))

    while len(found) < number:
        collect()
    return found[:number]


def generated_answers(number: int, folder: Path, executor: Executor | None = None) -> Iterator[Row]:
    """Generated answers through a function and, as JSON, through a program, in runs of at most 200 trials.

    Args:
        number: of answers.
        folder: where the runs go.
        executor: evaluates the trials; None for processes of the run's own.
    """
    cases = generated(number)
    for start in range(0, number, MAX_TRIALS - 1):
        chunk = cases[start : start + MAX_TRIALS - 1]
        yield from through_function(
            "Generated, from a function", chunk, folder / f"function-{start}", executor
        )
        printed = [InputCase(c.given, json.dumps(c.answer).encode(), c.right) for c in chunk]
        yield from through_program(
            "Generated, from a program", printed, folder / f"program-{start}", executor
        )
