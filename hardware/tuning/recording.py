"""The raw record of one trial: an MCAP file that robotics viewers open, and from which the score is computed.

What is in it stands in `safebo.hardware.records.record_file`: the guardian's State as it arrived during the trial
(about 100 a second), and every control tick, fetched from the guardian after it. All times are those of the tuner's
wall clock: a State's when it arrived; a tick's when it was, by the guardian's wall clock, moved by how far that is
behind ours. A State takes a moment to arrive, so the smallest difference of all of them counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from safebo.hardware.errors import HardwareInputError
from safebo.hardware.guardian.states import LATCHED, State
from safebo.hardware.guardian.telemetry import COLUMNS
from safebo.hardware.link.messages import StateMessage
from safebo.hardware.records.foxglove import ERROR, INFO
from safebo.hardware.records.metadata import Metadata, record_metadata
from safebo.hardware.records.reading import messages
from safebo.hardware.records.record_file import STATE, TELEMETRY, RecordFile
from safebo.hardware.records.robot_drawing import RobotDrawing
from safebo.hardware.records.state_format import dumped_state, state_schema
from safebo.hardware.records.ticks import TRIAL_ROWS, group, write_ticks
from safebo.types import FloatArray, StudyIdentity, Trial

SYNC_EVERY = 50  # states


class TrialRecorder:
    """Writes the file of one trial. `close` makes it durable.

    Args:
        path: the file; it must not exist, what was recorded is never written over.
        about: what the trial is, kept in the file as metadata: values by name, by the name of the metadata.
        study: whose text is kept in the file.
        drawing: of the robot, for viewers.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        about: Metadata,
        study: StudyIdentity | None = None,
        drawing: RobotDrawing | None = None,
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file: BinaryIO = path.open("xb")
        self._record = RecordFile(self._file, TRIAL_ROWS, drawing)
        now = time.time_ns()
        for name, data in about.items():
            self._record.note(name, data)
        if study is not None:
            self._record.note("study", {"name": study.name, "hash": study.hash})
            self._record.attach("study.yaml", "application/yaml", study.text.encode(), now)
        self._record.topic(STATE, state_schema())
        self._record.shapes(now)
        self._arrivals: dict[float, float] = {}
        self._said: tuple[int, str] = (-1, "")
        self._failed: OSError | None = None

    def state(self, state: StateMessage, arrived: int) -> None:
        """Keep a State. A disk that is full must not disturb a robot that walks: `telemetry` says so.

        Args:
            state: the State.
            arrived: when it came, nanoseconds since 1970.
        """
        if self._failed is not None:
            return
        self._arrivals[state.time] = 1e-9 * arrived
        try:
            self._record.message(STATE, dumped_state(state), arrived)
            if (state.state, state.message) != self._said:
                self._said = state.state, state.message
                self._log(state, arrived)
            if len(self._arrivals) % SYNC_EVERY == 0:
                self._file.flush()
        except OSError as error:
            self._failed = error

    def _log(self, state: StateMessage, now: int) -> None:
        name = State(state.state).name if state.state in list(State) else str(state.state)
        text = f"{name}: {state.message}" if state.message else name
        self._record.log(ERROR if state.state in LATCHED else INFO, "guardian", text, now)

    def telemetry(self, rows: FloatArray) -> None:
        """Keep the telemetry, `n x columns`.

        Raises:
            OSError: it could not be written, now or while the trial ran; what reached the disk can be recovered.
        """
        if self._failed is not None:
            self.abandon()
            raise self._failed
        walls, clock = wall_times(rows, self._arrivals)
        write_ticks(self._record, rows, COLUMNS, walls)
        self._record.note("clock", clock)

    def close(self) -> str:
        """Finish the file, have it on disk, and give its SHA-256."""
        self._record.finish()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return digest(self.path)

    def abandon(self) -> None:
        """Close the file as it is; what reached it can be recovered."""
        with contextlib.suppress(OSError):
            self._file.close()


def trial_metadata(
    trial: Trial, gains: Mapping[str, float], seconds: float, described: Mapping[str, Any]
) -> Metadata:
    """What the record of a trial is about.

    Args:
        trial: the trial.
        gains: all gains of the controller in it, by name.
        seconds: of walking, at most.
        described: what the guardian says of itself.
    """
    about = {
        "number": trial.id,
        "phase": trial.phase,
        "context": trial.context_name,
        "seed": trial.seed,
        "seconds": seconds,
    }
    return {
        **record_metadata("trial", described),
        "trial": about,
        "parameters": dict(trial.parameters),
        "gains": dict(gains),
        "context": dict(trial.context),
    }


def new_recorder(
    folder: Path, number: int, about: Metadata, study: StudyIdentity, drawing: RobotDrawing
) -> TrialRecorder:
    """A recorder for a trial, in a file of its own.

    Raises:
        HardwareInputError: a thousand files of this trial are there.
        OSError: the file cannot be written.
    """
    for again in range(1000):
        name = f"trial-{number:05d}.mcap" if not again else f"trial-{number:05d}-{again}.mcap"
        if not (folder / name).exists():
            return TrialRecorder(folder / name, about, study, drawing)
    raise HardwareInputError(f"{folder}: holds a thousand records of trial {number}")


def wall_times(rows: FloatArray, arrivals: Mapping[float, float]) -> tuple[FloatArray, dict[str, str]]:
    """When every tick was by the tuner's wall clock, s since 1970, and how that was found.

    Args:
        rows: telemetry, `n x columns`.
        arrivals: when States arrived, s since 1970, by the guardian's clock in them.
    """
    times, walls = rows[:, COLUMNS.index("time")], rows[:, COLUMNS.index("wall_time")]
    pairs = zip(times.tolist(), walls.tolist(), strict=True)
    delays = [arrivals[time] - wall for time, wall in pairs if time in arrivals]
    if not delays:
        return walls, {"times": "of the guardian's wall clock: no State came with which to compare it"}
    behind = min(delays)
    return walls + behind, {
        "times": "of the tuner's wall clock",
        "guardian's is behind by, s": repr(behind),
        "States compared": str(len(delays)),
    }


def digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_telemetry(path: Path) -> FloatArray:
    """Telemetry of a trial, `n x columns` (`safebo.hardware.guardian.telemetry.COLUMNS`); nan where a file has none.

    Files of the first layout, whose arrays have no names, are read as well.

    Raises:
        HardwareInputError: the file cannot be read, is broken, or holds no telemetry.
    """
    rows = []
    for number, (_, body) in enumerate(messages(path, TELEMETRY)):
        try:
            rows.append(
                _unnamed(body) if isinstance(body["joint_position"], list) else TRIAL_ROWS.decode(body)
            )
        except (KeyError, ValueError, TypeError, IndexError) as error:
            words = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise HardwareInputError(f"{path}: not a trial's record: tick {number}: {words}") from None
    if not rows:
        raise HardwareInputError(f"{path}: holds no telemetry")
    return np.array(rows, dtype=np.float64)


_GROUPS = {name: group(COLUMNS, name) for name in dict.fromkeys(c.split(".")[0] for c in COLUMNS)}


def _unnamed(body: Mapping[str, Any]) -> list[float]:
    """A tick of the first layout: an array for every group of columns, and no wall clock."""
    row = [float("nan")] * len(COLUMNS)
    for name, places in _GROUPS.items():
        if name == "wall_time":
            continue
        values = body[name] if isinstance(body[name], list) else [body[name]]
        if len(values) != len(places):
            raise ValueError(f"{name} has {len(values)} numbers, not {len(places)}")
        for place, value in zip(places, values, strict=True):
            row[place] = float(value)
    return row


TRACKED = {"position": "rad", "velocity": "rad/s"}
"""What the joints were asked for in every tick, with its unit."""


def tracked_signals(path: Path) -> tuple[dict[str, FloatArray], dict[str, str]]:
    """The walk in a trial's record, for reports: columns and their units.

    A measured column `joint_position.fl.hip` has its target beside it in `joint_position_desired.fl.hip`; `time` is in
    seconds since the walk began.

    Raises:
        HardwareInputError: the file cannot be read or holds no telemetry.
    """
    rows = read_telemetry(path)
    table = dict(zip(COLUMNS, rows[rows[:, COLUMNS.index("walk_time")] >= 0.0].T, strict=True))
    columns, units = {"time": table["walk_time"]}, {"time": "s"}
    for quantity, unit in TRACKED.items():
        for name in COLUMNS:
            kind, _, joint = name.partition(".")
            if kind == f"joint_{quantity}":
                wanted = f"{kind}_desired.{joint}"
                columns[name], columns[wanted] = table[name], table[f"target_{quantity}.{joint}"]
                units[name] = units[wanted] = unit
    return columns, units
