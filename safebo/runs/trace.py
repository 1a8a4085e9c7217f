"""Tables of what every ask looked at, kept in a run's folder: one Parquet file an ask, beside the journal.

A file is written whole, before its trial is in the journal: every trial that was asked with a trace has a table. A run
that ended between the two asks the same trial again and writes the same table.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from safebo.errors import InputError, RunStoppedError
from safebo.files.writing import write_whole

if TYPE_CHECKING:
    from safebo.tuner.trace import AskTrace

TRACE_FOLDER = "trace"


def trace_file(folder: Path, trial: int) -> Path:
    """The file of one ask in a run's folder."""
    return folder / TRACE_FOLDER / f"ask-{trial:05d}.parquet"


class TraceWriter:
    """Keeps the tables of a run's asks.

    Args:
        folder: the run's folder.
        tuner: of the run; it must give such tables.

    Raises:
        InputError: it gives none.
    """

    def __init__(self, folder: Path, tuner: Any) -> None:
        if not hasattr(tuner, "ask_traced"):
            raise InputError(
                f"trace: {type(tuner).__name__} has no ask_traced(), which gives what an ask looked at; leave trace "
                "out, or take safebo.Tuner"
            )
        self.folder, self.tuner = folder, tuner

    def ask(self, **told: Any) -> Any:
        """The tuner's next trial, once its table is on disk; arguments are those of `Tuner.ask`.

        Raises:
            RunStoppedError: the table cannot be written.
        """
        trial, table = self.tuner.ask_traced(**told)
        file = trace_file(self.folder, trial.id)
        try:
            file.parent.mkdir(exist_ok=True)
            write_whole(file, as_parquet(table))
        except OSError as error:
            raise RunStoppedError(
                f"{file}: what the ask of trial {trial.id} looked at cannot be kept: {error.strerror or error}. The "
                "trial was not begun; mend that and go on with --resume"
            ) from error
        return trial


def as_parquet(table: AskTrace) -> bytes:
    """A table as a Parquet file: units under the key `unit` of its fields, `considered` in its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = [pa.array(column) for column in table.columns.values()]
    fields = [
        pa.field(name, array.type, metadata={"unit": table.units[name]} if name in table.units else None)
        for name, array in zip(table.columns, arrays, strict=True)
    ]
    about = {"trial": str(table.trial), "considered": str(table.considered)}
    stream = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=about)), stream, compression="zstd"
    )
    content: bytes = stream.getvalue().to_pybytes()
    return content


def read_trace(folder: str | Path, trial: int | None = None) -> Mapping[str, NDArray[Any]]:
    """What the asks of a run looked at, as numpy arrays of one length by column; see `safebo.tuner.trace.AskTrace`.

    Args:
        folder: the run's folder.
        trial: id of the trial whose ask is meant; None for those of all, in their order.

    Raises:
        InputError: there is none, or a file is no such table.
    """
    folder = Path(folder)
    files = (
        sorted((folder / TRACE_FOLDER).glob("ask-*.parquet"))
        if trial is None
        else [trace_file(folder, trial)]
    )
    if not files or not files[0].exists():
        which = "the asks" if trial is None else f"the ask of trial {trial}"
        raise InputError(f"{folder}: of {which} no table was kept: `safebo tune --trace` keeps them")
    parts = [_read(file) for file in files]
    if any(list(part) != list(parts[0]) for part in parts):
        raise InputError(f"{folder / TRACE_FOLDER}: the tables have different columns: read them one by one")
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _read(file: Path) -> dict[str, NDArray[Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{file}: is no readable Parquet file: {' '.join(str(error).split())}") from error
    return {name: table.column(name).to_numpy() for name in table.column_names}
