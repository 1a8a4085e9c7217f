"""A folder of results: one Parquet file per run, written whole or not at all, so that a killed sweep goes on.

    DIR/bench.json                      what was asked for
    DIR/runs/TASK/METHOD/seed-00003.parquet

Folders of several machines are merged by copying: a run's file is named after what it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from safebo.errors import InputError
from safebo.experiments.bench.jobs import FACTS
from safebo.experiments.bench.rows import KEY, SCHEMA
from safebo.text.file_names import file_name

PLAN = "bench.json"
RUNS = "runs"
ADDED = ("optimum", "start", "risk")
"""Columns that older results lack."""


class Store:
    """Results in a folder.

    Args:
        folder: made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, task: str, method: str, seed: int) -> Path:
        """Where a run's result is, or will be."""
        return self.folder / RUNS / file_name(task) / file_name(method) / f"seed-{seed:05d}.parquet"

    def write(self, task: str, method: str, seed: int, data: bytes) -> Path:
        """Keep a result, whole or not at all."""
        path = self.path(task, method, seed)
        _put(path, data)
        return path

    def facts(self, task: str, method: str, seed: int) -> dict[str, Any] | None:
        """Where a result comes from; None where there is none, or a file that is not one."""
        return facts_of(self.path(task, method, seed))

    def files(self) -> list[Path]:
        """Every result, sorted."""
        return sorted((self.folder / RUNS).glob("*/*/seed-*.parquet"))

    def table(self) -> pa.Table:
        """Every row of every run, sorted by task, method, seed and trial.

        Raises:
            InputError: no results, or a file that is none.
        """
        files = self.files()
        if not files:
            raise InputError(f"{self.folder}: no results there; make some with `safebo bench run`")
        tables = []
        for path in files:
            try:
                found = read(path)
                tables.append(
                    _with_all_columns(found).select(SCHEMA.names).cast(SCHEMA).replace_schema_metadata(None)
                )
            except (pa.ArrowException, OSError, KeyError) as error:
                raise InputError(f"{path}: not a result of `safebo bench run` ({error})") from error
        return pa.concat_tables(tables).sort_by([(name, "ascending") for name in KEY])

    def all_facts(self) -> Iterator[dict[str, Any]]:
        """Facts of every result."""
        yield from filter(None, map(facts_of, self.files()))

    def plans(self) -> list[dict[str, Any]]:
        """What was asked for, one entry per sweep; none in a folder without."""
        try:
            found = json.loads((self.folder / PLAN).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise InputError(f"{self.folder / PLAN}: cannot be read: {error}") from error
        if not isinstance(found, list):
            raise InputError(
                f"{self.folder / PLAN}: a list of sweeps is expected, delete it to go on without"
            )
        return [dict(one) for one in found]

    def add_plan(self, plan: Mapping[str, Any]) -> None:
        """Keep what is asked for, beside what was asked for before."""
        plans = self.plans()
        if dict(plan) in plans:
            return
        _put(self.folder / PLAN, (json.dumps([*plans, plan], indent=1) + "\n").encode())


def _put(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rough = path.with_suffix(f".{os.getpid()}.part")
    with rough.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    rough.replace(path)


def read(source: Path | BinaryIO) -> pa.Table:
    """A Parquet file, read in this thread alone: Arrow's own threads now and then abort a process that ends."""
    with pq.ParquetFile(source) as file:
        return file.read(use_threads=False)


def _with_all_columns(found: pa.Table) -> pa.Table:
    """A result made before `ADDED` were columns says nothing about them."""
    for name in ADDED:
        if name not in found.column_names:
            found = found.append_column(name, pa.nulls(found.num_rows, SCHEMA.field(name).type))
    return found


def facts_of(path: Path) -> dict[str, Any] | None:
    """Facts in a result's file; None when it is not one."""
    try:
        metadata = pq.read_schema(path).metadata or {}
        found = dict(json.loads(metadata[FACTS]))
        method = found["method"]
        if "outside" in method:  # the key's name in older results
            method["external"] = method.pop("outside")
        return found
    except (pa.ArrowException, OSError, KeyError, ValueError):
        return None


def merge(target: Path, sources: Sequence[Path]) -> int:
    """Copy the runs of other folders into one; how many came.

    Raises:
        InputError: a source without results, or a run that two folders have with different definitions of its task.
    """
    store, came = Store(target), 0
    for source in sources:
        files = Store(source).files()
        if not files:
            raise InputError(f"{source}: no results there")
        for path in files:
            place = target / path.relative_to(source)
            if place.exists():
                mine, theirs = facts_of(place), facts_of(path)
                if mine is None or theirs is None or mine["task"] != theirs["task"]:
                    raise InputError(
                        f"{path}: {place} is the same run of another definition of the task; keep them apart"
                    )
                continue
            _put(place, path.read_bytes())
            came += 1
        for plan in Store(source).plans():
            store.add_plan(plan)
    return came
