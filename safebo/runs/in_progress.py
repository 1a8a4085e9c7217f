"""A run in progress: what its rounds work with, a round, and what to say of trials that did not finish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from safebo.errors import InterruptedRunError, UnknownTrialError
from safebo.runs.clock import OperatingClock
from safebo.runs.evaluator_workers import EvaluatorWorkers
from safebo.runs.progress import Progress
from safebo.runs.recorder import TrialRecorder
from safebo.runs.supervision import Supervision
from safebo.runs.tuner_protocol import TunerLike
from safebo.storage.journal import Journal
from safebo.text.counted import counted
from safebo.types import EvaluatorInfo, Measurement, Trial
from safebo.workers.interrupt import StopRequest


@dataclass(frozen=True)
class RunInProgress:
    """What the rounds of a run work with.

    Args:
        workers: evaluate its trials.
        journal: keeps them.
        tuner: proposes them.
        info: what the evaluator accepts.
        clock: the robot's operating time.
        recorder: enters what trials showed.
        progress: is told what happens.
        supervision: a person's part where trials move a robot; None where they do not.
        stop: whether the run is asked to stop.
    """

    workers: EvaluatorWorkers
    journal: Journal
    tuner: TunerLike
    info: EvaluatorInfo
    clock: OperatingClock
    recorder: TrialRecorder
    progress: Progress
    supervision: Supervision | None
    stop: StopRequest


@dataclass
class Round:
    """Trials that are asked before the first of them is told.

    Args:
        number: of the round.
        trials: asked so far.
        measured: what they showed, by id, as far as it is known.
        open: whether it may still be filled.
    """

    number: int
    trials: list[Trial] = field(default_factory=list)
    measured: dict[int, Measurement] = field(default_factory=dict)
    open: bool = True


def unknown_trials(
    workers: EvaluatorWorkers, ids: Sequence[int], why: Mapping[int, str] | None = None
) -> UnknownTrialError:
    """What to do about trials of which nobody knows how they ended; `why`, where that is known."""
    first, folder = ids[0], workers.folder
    which = f"trial {first}" if len(ids) == 1 else f"trials {', '.join(map(str, ids))}"
    because = f" ({why[first]})" if why else ""
    return UnknownTrialError(
        f"{folder}: {which}: asked, but how it ended is not known{because}, and evaluator "
        f"{workers.file.study.evaluator.name!r} may not run a trial twice. Look at the robot, then say "
        f"what happened: `safebo resolve {folder} {first} --as WORD` with `fell` or `unsafe` (its gains "
        "are not certified any more) or `failed` (it says nothing about them), or `--measurement FILE` (what it "
        "showed); then go on with --resume"
    )


def interrupted(
    told: int, left: Sequence[int] = (), info: EvaluatorInfo | None = None
) -> InterruptedRunError:
    """That a run was asked to stop.

    Args:
        told: number of trials told.
        left: ids of trials that did not finish.
        info: what the evaluator accepts, where trials are left.
    """
    text = f"stopped after {counted(told, 'trial')}; go on with --resume"
    if left:
        again = "will be evaluated again" if info is None or info.repeatable else "will need a person"
        which = "trial" if len(left) == 1 else "trials"
        text += f" ({which} {', '.join(map(str, left))} did not finish and {again})"
        if info is not None and info.robot:
            text += ". Whether the robot has stopped was not seen: look at it"
    return InterruptedRunError(text)
