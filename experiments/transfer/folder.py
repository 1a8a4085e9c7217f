"""The folder of a transfer: what it is made of, so that the same command goes on and another one is refused."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from safebo.errors import FileError, InputError, ParameterError
from safebo.files.reading import read_file, usable_path
from safebo.files.writing import write_whole
from safebo.study import Study
from safebo.study.space import Space
from safebo.text.file_names import file_name

RECORD = "transfer.yaml"


@dataclass(frozen=True)
class TransferFolder:
    """Where everything of a transfer lies.

    Args:
        path: the folder.
    """

    path: Path

    @property
    def gap(self) -> Path:
        """What was identified."""
        return self.path / "gap.yaml"

    @property
    def simulation(self) -> Path:
        """The study in simulation."""
        return self.path / "simulation.yaml"

    @property
    def simulated(self) -> Path:
        """The run of that study."""
        return self.path / "simulated"

    def tuned(self, context: str) -> Path:
        """The best gains of a context that were found in simulation."""
        return self.path / f"tuned-{file_name(context)}.yaml"

    def tuned_gains(self, study: Study, context: str) -> dict[str, Any]:
        """What that file holds.

        Raises:
            InputError: it was changed to something else than gains of the study.
        """
        found = read_file(self.tuned(context))
        gains = found.get("gains") if isinstance(found, Mapping) else None
        again = "remove the file, and the search is made again"
        if not isinstance(gains, Mapping):
            raise InputError(
                f"{self.tuned(context)}: a mapping `gains` of the parameters' values is missing; {again}"
            )
        try:
            Space.of_parameters(study).vector(gains)
        except ParameterError as error:
            raise InputError(f"{self.tuned(context)}: gains: {error}; {again}") from error
        return dict(gains)

    @property
    def robot(self) -> Path:
        """The study for the robot."""
        return self.path / "robot.yaml"

    @classmethod
    def begun(cls, path: Path, made_of: Mapping[str, Any]) -> TransferFolder:
        """A new folder, or one that the same command began; what was begun binds once there is a simulation.

        Args:
            path: of the folder.
            made_of: by option, what decides what is in it.

        Raises:
            InputError: it holds something else, or cannot be made.
        """
        folder = cls(usable_path(path))
        record = folder.path / RECORD
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
            if record.exists() and folder.simulation.exists():
                _compare(folder.path, read_file(record), made_of)
            elif not record.exists() and any(folder.path.iterdir()):
                raise InputError(
                    f"{path}: is not empty and holds no transfer; choose another folder with --out"
                )
            else:
                folder.write(record, yaml.safe_dump(dict(made_of), sort_keys=False))
        except FileError as error:
            raise InputError(
                f"{error}; it was written by `safebo transfer`: choose another folder"
            ) from error
        except OSError as error:
            raise InputError(f"--out {path}: {error.strerror or error}") from error
        return folder

    def write(self, path: Path, text: str) -> None:
        """Write a file of the folder, whole or not at all.

        Raises:
            InputError: it cannot be written.
        """
        try:
            write_whole(path, text)
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error

    def next_command(self, on_robot: bool) -> str:
        """The command that tunes the robot."""
        words = [
            "safebo",
            "tune",
            str(self.robot),
            "--prior",
            str(self.simulated),
            "--out",
            str(self.path / "robot"),
        ]
        return shlex.join(words) + (" --robot HOST:PORT" if on_robot else "")


def _compare(path: Path, there: Any, made_of: Mapping[str, Any]) -> None:
    there = there if isinstance(there, Mapping) else {}
    other = [f"{key} {there.get(key)!r}" for key in made_of if there.get(key) != made_of[key]]
    if other:
        raise InputError(
            f"{path}: holds the transfer of {', '.join(other)}; choose another folder with --out, or go on with the "
            "command that began it"
        )
