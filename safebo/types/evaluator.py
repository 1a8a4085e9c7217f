"""An evaluator: what it accepts, runs and returns, and how it says that a trial did not go as asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from safebo.types.measurement import Measurement
from safebo.types.switching import Monitor
from safebo.types.trial import Trial


@dataclass(frozen=True)
class ParameterInfo:
    """A gain that an evaluator accepts: a number within bounds, or one of `choices`."""

    name: str
    unit: str
    default: float
    lower: float
    upper: float
    description: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class QuantityInfo:
    """An objective, margin, context variable or state coordinate that an evaluator knows.

    For a state coordinate `scale` is the change of it that counts as one unit of distance.
    """

    name: str
    unit: str
    description: str = ""
    scale: float = 1.0


class TrialUnknownError(RuntimeError):
    """What became of a trial is not known, and only a person can say. An evaluator raises it, nothing is modelled."""


class NotStartedError(RuntimeError):
    """A trial could not be started, and its gains moved nothing: the run stops, and it may be asked for again.

    What moved all the same, as a robot that had got up for it, belongs into the message.
    """


@dataclass(frozen=True)
class EvaluatorInfo:
    """What an evaluator accepts and returns, so that a study can be checked before anything runs.

    `repeatable`: a trial whose result was lost may be evaluated again under its own id, as in simulation. Where
    it is not declared, such a trial waits for a person: on a robot nothing is repeated by itself.
    `monitored`: `evaluate` shows every state to the monitor it is given.
    `margins_to_go`: measurements say how the margins went on from every visited state.
    `tries_switches`: its trials are simulated and can be put back, so that backups may be tried on their way; it then
    has a method `try_switches(trial, plan)`, which takes a `SwitchPlan` and returns a `SwitchedTrial`. The same trial
    is the same with and without, and with a monitor up to where that triggers.
    `robot`: the trials move a robot, a `virtual` or a `physical` one, so a person approves and judges each of them.
    `serial`: of that robot; a run keeps to one robot.
    `reads`: context variables that it can read before a trial; it then has a method `read_context()` that returns them
    by name.

    An evaluator that knows scenarios has a method `check_conditions(conditions)`, which raises `ValueError` for
    conditions of a scenario that it does not know, and applies those of `trial.scenario` in `evaluate`.

    Example:
        >>> info = EvaluatorInfo(
        ...     "walker",
        ...     parameters=(ParameterInfo("kp", "N m/rad", 40.0, 0.0, 100.0),),
        ...     objectives=(QuantityInfo("speed", "m/s"),),
        ...     margins=(QuantityInfo("height", "m"),),
        ...     repeatable=True,
        ... )
        >>> info.robot
        ''
    """

    name: str
    parameters: tuple[ParameterInfo, ...]
    objectives: tuple[QuantityInfo, ...]
    margins: tuple[QuantityInfo, ...]
    contexts: tuple[QuantityInfo, ...] = ()
    states: tuple[QuantityInfo, ...] = ()
    repeatable: bool = False
    monitored: bool = False
    margins_to_go: bool = False
    tries_switches: bool = False
    robot: Literal["", "virtual", "physical"] = ""
    serial: str = ""
    reads: tuple[str, ...] = ()


@runtime_checkable
class Evaluator(Protocol):
    """Runs trials. Created as `factory(options)` by the entry point named in the study.

    `options` is the study's `evaluator.options` plus nothing else; a bad option raises `ValueError` with
    a message for people. Evaluators must be picklable or cheap to create again in a worker. A class with an attribute
    `path_options` names the options that are files: a relative path of those is one beside the study file.

    Example:
        >>> class Walker:
        ...     def __init__(self, options): ...
        ...     def info(self):
        ...         return EvaluatorInfo("walker", (), (), ())
        ...     def evaluate(self, trial, monitor=None):
        ...         return Measurement("completed", objective=0.8, margins={"height": 0.05})
        >>> isinstance(Walker({}), Evaluator)
        True
    """

    def info(self) -> EvaluatorInfo:
        """What this evaluator accepts and returns."""
        ...

    def evaluate(self, trial: Trial, monitor: Monitor | None = None) -> Measurement:
        """Run one trial and say what happened."""
        ...
