"""A monitor of the margin to go in a file, so that what was learned once watches every walk alike."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from safebo.boundary.calibration import Calibration
from safebo.boundary.margin_to_go import MarginModel, MarginMonitor
from safebo.errors import FileError
from safebo.files.writing import write_whole

FORMAT = "safebo margin to go 3"

ARRAYS = ("rows", "weights", "inverse", "scale", "units")


def save_monitor(monitor: MarginMonitor, path: str | Path) -> None:
    """Write a monitor; the same one gives the same bytes.

    Raises:
        OSError: the file cannot be written.
    """
    model, bound = monitor.model, monitor.calibration
    told = {
        "format": FORMAT,
        "lengthscale": model.lengthscale,
        "std": model.std,
        "noise": model.noise,
        "calibration": vars(bound),
        "backups": monitor.backups,
        "ramp": monitor.ramp,
        "shown": monitor.shown,
    }
    out = io.BytesIO()
    np.savez(
        out,
        about=np.array(json.dumps(told)),
        rows=model.rows,
        weights=model.weights,
        inverse=model.inverse,
        scale=monitor.scale,
        units=monitor.units,
    )
    write_whole(Path(path), out.getvalue())


def load_monitor(path: str | Path) -> MarginMonitor:
    """The monitor of a file.

    Raises:
        FileError: the file cannot be read, or holds something else.
    """
    try:
        with np.load(Path(path), allow_pickle=False) as kept:
            about: dict[str, Any] = json.loads(str(kept["about"]))
            rows, weights, inverse, scale, units = (
                np.ascontiguousarray(kept[name], dtype=float) for name in ARRAYS
            )
        if about["format"] != FORMAT:
            raise ValueError(f"its format is {about['format']!r}")
        if (
            weights.ndim != 2
            or rows.ndim != 2
            or inverse.shape != (len(rows), len(rows))
            or len(weights) != len(rows)
        ):
            raise ValueError("its arrays do not fit together")
        numbers = (float(about[name]) for name in ("lengthscale", "std", "noise"))
        return MarginMonitor(
            MarginModel(rows, weights, inverse, *numbers),
            Calibration(**about["calibration"]),
            about["backups"],
            scale,
            int(about["ramp"]),
            about["shown"],
            units,
        )
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(f"{path}: no monitor of the margin to go ({FORMAT}): {error}") from None
