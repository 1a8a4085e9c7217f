"""The workers that evaluate a study's trials: made, asked what the evaluator accepts, and checked against the study."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import BrokenExecutor, Executor, Future
from pathlib import Path

from safebo.errors import (
    EvaluatorError,
    EvaluatorOptionError,
    InputError,
    RunStoppedError,
    SafeboError,
    short_text,
)
from safebo.evaluators.source import SUBPROCESS, EvaluatorSource
from safebo.runs.asking import refuse_interval
from safebo.study.reading import StudyFile
from safebo.types import EvaluatorInfo, RobotAddress
from safebo.workers.pool import UNGUARDED, Death, WorkerPool

LOG_FILE = "run.log"
LOADING_S = (10.0, 60.0)
"""An evaluator that is not loaded after so many seconds is said to be loading; then every so many."""


class EvaluatorWorkers:
    """Workers for the trials of a study.

    Args:
        file: the study.
        folder: the run's folder; it must exist.
        size: how many trials run at the same time.
        executor: evaluates the trials instead of processes of our own; None for processes.
        robot: where the robot is that the trials move; None for evaluators that move none.
    """

    def __init__(
        self,
        file: StudyFile,
        folder: Path,
        size: int = 1,
        executor: Executor | None = None,
        robot: RobotAddress | None = None,
    ) -> None:
        self.file, self.folder, self.size = file, folder, size
        self.source = EvaluatorSource.of_file(file, folder, robot)
        self.log = folder / LOG_FILE if executor is None else None
        self.pool = WorkerPool(self.source, size, self.log, executor)

    def start(self) -> Future[EvaluatorInfo]:
        """Start the first worker on making the evaluator."""
        return self.pool.describe()

    def check(self, described: Future[EvaluatorInfo], tell: Callable[[str], None]) -> EvaluatorInfo:
        """What the evaluator accepts, once the study has been checked against it.

        Args:
            described: see `start`.
            tell: is told while the evaluator takes long to load.

        Raises:
            StudyError: the study does not fit it, or it refuses its options.
            EvaluatorError: it cannot be made. RunStoppedError: its process died.
        """
        info = self._described(described, tell)
        name, limit = self.file.study.evaluator.name, self.file.study.evaluator.time_limit
        if self.log is None and limit is not None and name != SUBPROCESS:
            raise InputError(
                "evaluator.time_limit needs worker processes of safebo's own, and an executor was given: leave one of "
                "them out, and limit the time where the executor is made"
            )
        self.file.check_evaluator(info)
        if self.file.study.surrogate.time is not None:
            refuse_interval(self.file, info)
        return info

    def printed(self) -> str:
        """Where to read what the evaluator printed, if it printed anything that is kept."""
        with contextlib.suppress(OSError):
            if self.log is not None and self.log.stat().st_size:
                return f". What the evaluator printed is in {self.log}"
        return ""

    def death_message(self, death: Death) -> str:
        """How the process of a trial ended, for people."""
        limit = self.file.study.evaluator.time_limit
        if death.over_limit and limit is not None:
            return f"it did not end within evaluator.time_limit ({limit:g} s), and its process was ended"
        return f"its worker process {death.words}"

    def _described(self, described: Future[EvaluatorInfo], tell: Callable[[str], None]) -> EvaluatorInfo:
        name = self.file.study.evaluator.name
        try:
            waited, wait = 0.0, LOADING_S[0]
            while not futures.wait([described], wait).done:
                waited, wait = waited + wait, LOADING_S[1]
                tell(
                    f"evaluator {name!r} is not loaded after {waited:g} s: its module is still being imported, or it "
                    f"is being made. Ctrl-C ends that{self.printed()}"
                )
            return described.result()
        except EvaluatorOptionError as error:
            raise self.file.option_error(error) from error
        except EvaluatorError as error:
            raise EvaluatorError(f"{error}{self.printed()}") from error
        except BrokenExecutor as error:
            death = self.pool.restart(0)
            if death.code == UNGUARDED:
                raise InputError(_unguarded()) from None
            raise RunStoppedError(
                f"evaluator {name!r}: its process {death.words} while it started{self.printed()}"
            ) from error
        except SafeboError:
            raise
        except Exception as error:
            raise EvaluatorError(
                f"evaluator {name!r}: what its info() returned did not arrive: {short_text(error)}{self.printed()}"
            ) from error


def _unguarded() -> str:
    """What to say of a script that starts a run whenever it is imported."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return (
        f"{Path(script).name if script else 'this script'} calls safebo.run() outside "
        '`if __name__ == "__main__":`; worker processes import it again, so put the call under that line'
    )
