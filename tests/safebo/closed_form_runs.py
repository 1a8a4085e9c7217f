"""A closed-form study for tests of the run: evaluators of two gains, and a tuner that needs no torch.

The tuner is a pure function of what it was told, as the real one is, so resuming must reproduce its asks.
"""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from safebo.study import Study
from safebo.study.scenarios import scenario_names
from safebo.types import Bounds, Measurement, Monitor, Trial

HERE = Path(__file__).parent

STUDY = """\
name: bowl
evaluator:
  name: closed_form_runs:bowl
  options: {repeatable: true}
parameters:
  - {name: p, unit: N, bounds: [0, 10]}
  - {name: d, unit: s, bounds: [0.1, 10], scale: log}
objective: {name: speed, unit: m/s, prior_std: 3}
constraints:
  - {name: height, unit: m, prior_std: 3}
seeds:
  - parameters: {p: 2, d: 1}
trials: 8
"""


def bowl(
    parameters: Mapping[str, float], context: Mapping[str, float], seed: int = 0, pause: float = 0.0
) -> Any:
    time.sleep(pause)
    p, d = parameters["p"], parameters["d"]
    noise = 0.01 * np.random.default_rng(seed).standard_normal()
    objective = -((p - 6) ** 2) / 10 - np.log(d) ** 2
    return {
        "objective": objective + noise,
        "margins": {"height": 8 - p + noise},
        "true_objective": objective,
        "true_margins": {"height": 8 - p},
    }


def slow_first(parameters: Mapping[str, float], context: Mapping[str, float], seed: int = 0) -> Any:
    """The first of two trials that run together takes longer, so results arrive in the wrong order."""
    time.sleep(0.1 if seed % 2 else 0.0)
    return bowl(parameters, context, seed)


def not_a_number(parameters: Mapping[str, float], context: Mapping[str, float]) -> Any:
    return {"objective": 1.0, "margins": {"height": float("nan")}}


def nan_after_seed(parameters: Mapping[str, float], context: Mapping[str, float]) -> Any:
    good = (parameters["p"], parameters["d"]) == (2.0, 1.0)
    return {"objective": 1.0, "margins": {"height": 1.0 if good else float("nan")}}


def unsafe(parameters: Mapping[str, float], context: Mapping[str, float]) -> Any:
    return {"objective": 1.0, "margins": {"height": -1.0}}


def raises(parameters: Mapping[str, float], context: Mapping[str, float]) -> Any:
    raise ZeroDivisionError("the robot is not there")


def dies(
    parameters: Mapping[str, float], context: Mapping[str, float], marker: str = "", times: int = 1
) -> Any:
    """Kills its own process the first `times` times it meets p > 2."""
    if parameters["p"] > 2:
        file = Path(marker)
        count = len(file.read_text()) if file.exists() else 0
        if count < times:
            file.write_text("x" * (count + 1))
            os.kill(os.getpid(), signal.SIGKILL)
    return bowl(parameters, context)


def no_room(parameters: Mapping[str, float], context: Mapping[str, float], marker: str = "") -> Any:
    """Until the marker file is there, gains with p > 2 find the disk full when they write their trajectory."""
    if parameters["p"] > 2 and not Path(marker).exists():
        raise OSError(errno.ENOSPC, "No space left on device", "trial.parquet")
    return bowl(parameters, context)


def loaded_modules(parameters: Mapping[str, float], context: Mapping[str, float]) -> Any:
    heavy = sum(name in sys.modules for name in ("torch", "gpytorch", "botorch"))
    threads = float(os.environ.get("OMP_NUM_THREADS", "0"))
    return {"objective": 0.0, "margins": {"height": 1.0}, "extra": {"heavy": heavy, "threads": threads}}


@dataclass
class Recommendation:
    parameters: Mapping[str, float]
    context_name: str
    bounds: Mapping[str, Bounds]
    certified: bool = True


class HashTuner:
    """Proposes gains that depend on every trial told and on how many are pending, and on nothing else."""

    def __init__(self, study: Study, seed: int) -> None:
        self.study, self.seed = study, seed
        self.records: dict[int, tuple[Trial, Measurement | None]] = {}

    def ask(self, context: str | None = None) -> Trial:
        number = len(self.records) + 1
        if number == 1:
            parameters = dict(self.study.seeds[0].parameters)
        else:
            told = [
                (t.id, t.parameters, None if m is None else m.objective) for t, m in self.records.values()
            ]
            digest = hashlib.sha256(repr((self.seed, told)).encode()).digest()
            parameters = {"p": 2 + digest[0] / 64, "d": 0.5 + digest[1] / 256}
        trial = Trial(
            id=number,
            parameters=parameters,
            context={},
            context_name="default",
            phase="seed" if number == 1 else "local",
            seed=1000 * self.seed + number,
            certified=True,
            predicted={"height": Bounds(0.0, 1.0, 2.0)},
            reason="hash",
            scenarios=scenario_names(self.study),
        )
        self.records[number] = (trial, None)
        return trial

    def tell(self, trial: Trial, measurement: Measurement) -> None:
        assert self.records[trial.id][1] is None
        self.records[trial.id] = (trial, measurement)

    def monitor(self, trial: Trial) -> Monitor | None:
        return None

    def restore(self, records: list[tuple[Trial, Measurement | None]]) -> None:
        assert not self.records
        self.records = {trial.id: (trial, measurement) for trial, measurement in records}

    def best(self, context: str | None = None) -> Recommendation | None:
        safe = [
            (measurement.objective, trial)
            for trial, measurement in self.records.values()
            if measurement is not None
            and measurement.objective is not None
            and measurement.margins["height"] >= 0
        ]
        if not safe:
            return None
        objective, trial = max(safe, key=lambda pair: pair[0])
        bounds = {"speed": Bounds(objective, objective, objective), "height": Bounds(0.0, 1.0, 2.0)}
        return Recommendation(trial.parameters, "default", bounds)


def study_text(**changes: str) -> str:
    """The study with lines replaced: `evaluator="closed_form_runs:raises"` or `options="{...}"`."""
    text = STUDY
    if "evaluator" in changes:
        text = text.replace("closed_form_runs:bowl", changes["evaluator"])
    if "options" in changes:
        text = text.replace("{repeatable: true}", changes["options"])
    return text


def as_older(folder: Path, *statements: str) -> None:
    """A run's journal as a version before chains of digests left it, after some changes."""
    with sqlite3.connect(folder / "journal.sqlite") as connection:
        for statement in (*statements, "DROP TABLE chain", "DROP TABLE chain_heads"):
            connection.execute(statement)
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        priors = "prior_runs" in tables and connection.execute("SELECT * FROM prior_runs").fetchone()
        connection.execute("UPDATE runs SET format = ?", (2 if priors else 1,))
    connection.close()
