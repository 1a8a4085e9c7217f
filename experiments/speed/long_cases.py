"""Speed of long runs: asks, restoring, and what the command line says of a run of 2,000 trials."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from safebo.console.slices import drawn_from
from safebo.experiments.speed.continuous_cases import box_study, records_around_seed, tell_and_ask
from safebo.experiments.speed.measure import SpeedCase
from safebo.runs.recommend import recommend
from safebo.storage.journal import Journal
from safebo.study import Study
from safebo.study.reading import study_hash
from safebo.tuner import Tuner

TRIALS = 2000
RUNS = Path(tempfile.mkdtemp(prefix="safebo-speed-"))
"""Where runs of `TRIALS` trials are made when a case first asks; it goes when the process that imports this ends."""
atexit.register(shutil.rmtree, RUNS, ignore_errors=True)


def restored(study: Study) -> Callable[[], Any]:
    """Restoring a run, and its surrogate."""
    records = records_around_seed(study, TRIALS)

    def restore() -> Tuner:
        tuner = Tuner(study, 0)
        tuner.restore(records)
        tuner.surrogate()
        return tuner

    return restore


def folder(gains: int) -> Path:
    """The folder of a run of `TRIALS` told trials."""
    place = RUNS / f"{gains}-gains"
    if place.is_dir():
        return place
    place.mkdir()
    study = box_study(gains)
    with Journal.create(
        place,
        study=study,
        declared=study,
        study_text=study.model_dump_json(),
        study_hash=study_hash(study),
        source="box_study",
        seed=0,
        trials=TRIALS,
    ) as journal:
        for number, (trial, measurement) in enumerate(records_around_seed(study, TRIALS)):
            assert measurement is not None
            journal.enter(trial, measurement, number)
    return place


def command(*words: str, gains: int) -> Callable[[], Any]:
    """A command of the command line on such a run, in a process of its own."""
    place = folder(gains)
    if words == ("best",):
        recommend(place)  # kept in the run's folder, as the end of `safebo tune` does
    line = [sys.executable, "-m", "safebo", *words, str(place)]
    return lambda: subprocess.run(line, check=True, capture_output=True)


def anew(gains: int) -> Callable[[], Any]:
    """`safebo best` on a run without its file of best gains."""
    best = command("best", gains=gains)

    def call() -> Any:
        (folder(gains) / "best.yaml").unlink(missing_ok=True)
        return best()

    return call


def slices() -> Callable[[], Any]:
    """The console's slices of a run that ended, by a process that has loaded all it needs."""
    place = folder(6)
    recommend(place)
    return lambda: drawn_from(place)


CASES = (
    *(
        SpeedCase(
            f"ask_{n}",
            f"SafeOpt, one ask after one tell at {n:,} observations, 6 gains",
            bar,
            partial(tell_and_ask, box_study(6), n - 3),
            7,
        )
        for n, bar in ((1000, 0.3), (2000, 1.0))
    ),
    SpeedCase(
        "restore_2000", "Tuner.restore of 2,000 trials, 6 gains", 5.0, partial(restored, box_study(6)), 3, 1
    ),
    SpeedCase(
        "import_tuner",
        "a process that imports safebo.tuner alone, as `best` and `report` must",
        4.0,
        lambda: lambda: subprocess.run([sys.executable, "-c", "import safebo.tuner"], check=True),
        3,
        1,
    ),
    *(
        SpeedCase(
            f"{name}_{gains}d_2000",
            f"the command `safebo {name}` on a run of 2,000 trials, {gains} gains, imports included",
            bar,
            partial(command, name, gains=gains),
            3,
            0,
        )
        for name, bar in (("best", 2.0), ("show", 1.0), ("report", 15.0))
        for gains in (2, 6)
    ),
    SpeedCase(
        "slices_2000",
        "the console's slices of a run of 2,000 trials, drawn anew: a page asks for them before a person does",
        3.0,
        slices,
        3,
        1,
    ),
    SpeedCase(
        "best_anew_2000",
        "the same `safebo best` where the run keeps no recommendation: torch loaded, the tuner restored",
        8.0,
        lambda: anew(6),
        3,
        0,
    ),
    SpeedCase(
        "help",
        "the command `safebo --help`",
        0.4,
        lambda: (
            lambda: subprocess.run(
                [sys.executable, "-m", "safebo", "--help"], check=True, capture_output=True
            )
        ),
        9,
        1,
    ),
)
