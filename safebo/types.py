"""The words that cross the borders between the packages: trials, measurements, monitors.

This module is imported by the optimizer, by robots and by the bridge to hardware, so it depends on numpy
alone and loads no torch: a worker that only simulates starts quickly.

Two conventions hold everywhere. The objective is maximised. A margin is safe when it is at least zero.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Outcome = Literal["completed", "backup", "aborted", "failed"]
Phase = Literal["seed", "local", "global", "manual"]
Status = Literal["asked", "told", "unknown"]

OUTCOMES: tuple[Outcome, ...] = ("completed", "backup", "aborted", "failed")
PHASES: tuple[Phase, ...] = ("seed", "local", "global", "manual")

OPERATING_TIME = "operating_time"
"""What `Measurement.extra` calls the operating time, where an evaluator gives it there."""

WATCHED_PREFIX = "watched."
"""How names in `Measurement.extra` begin that a report watches: measured, larger is better, not tuned."""

OR = " (or "
"""Before a further prior in the name of an alarm."""

DRIFT = "drift"
"""What names a prior that changes with time among those that `Evidence` mentions."""

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Bounds:
    """What the surrogate expected of one function at one trial, in that function's own unit.

    Example:
        >>> Bounds(lower=-0.1, mean=0.2, upper=0.5).lower >= 0  # what certifies a margin
        False
    """

    lower: float
    mean: float
    upper: float


@dataclass(frozen=True)
class Evidence:
    """Which prior a function was certified by at one trial, and what the measurements said for the declared one.

    Args:
        prior: `declared`, or what the cautious one changes.
        log_evidence: log of the likelihood ratio of the declared prior to the cautious one; of several steps the least.
        log_refutation: log of the likelihood ratio of the alternatives' mixture to the declared prior.
        refuted_by: the likeliest alternative, once the declared prior was refuted; else empty.
        alarm: the prior that certifies as well since no cautious one fits; else empty.
        suspected: without an alarm, an alternative that is likelier than the cautious prior and certifies as well as
            long as it is; else empty.
        capped: measurements so far that were far better than predicted and count as less.
        log_drift: log of the likelihood ratio of the declared time of drift (and a third of it) to no drift at all;
            None where the study declares none (`surrogate.time`).
        correlation: with the simulation, as far as it is not refuted (`0.8 to 0.95`), where it is earned; else empty.
        disjoint: intersected intervals had nothing in common at one of the trials, so that one of them was wrong.

    Example:
        >>> Evidence("lengthscale x 0.5", log_evidence=2.1, log_refutation=-0.7).prior
        'lengthscale x 0.5'
    """

    prior: str
    log_evidence: float
    log_refutation: float
    refuted_by: str = ""
    alarm: str = ""
    suspected: str = ""
    capped: int = 0
    log_drift: float | None = None
    correlation: str = ""
    disjoint: bool = False

    @property
    def drifts(self) -> bool:
        """Whether the alarm is that of a prior which changes with time, and clearly so."""
        return DRIFT in self.alarm and OR not in self.alarm

    @property
    def certifying(self) -> str:
        """The prior that certifies, and what must certify as well."""
        also = self.alarm or self.suspected
        words = f"{self.prior}; as well {also}" if also else self.prior
        return f"{words}; simulation's correlation: {self.correlation} kept" if self.correlation else words


Ended = Literal["", "unsafe", "settled", "dominated"]
ENDED: tuple[Ended, ...] = ("", "unsafe", "settled", "dominated")


@dataclass(frozen=True)
class EarlyEnd:
    """When a running trial has shown enough; looked at once a stride, never before one whole stride.

    Args:
        margins: names of margins, one of which below 0 ends it (`ended: unsafe`): the trial's minimum is at most that.
        settled: half the width of the confidence sequence for the objective's mean over strides, in the objective's
            unit, from which on it ends (`ended: settled`); None: never.
        dominated: objective that a trial must still be able to reach, in its unit; one that could not, were the rest of
            it perfect, ends (`ended: dominated`); None: never.
        least: seconds of strides before it may be settled or dominated.
    """

    margins: tuple[str, ...]
    settled: float | None = None
    dominated: float | None = None
    least: float = 0.0


@dataclass(frozen=True)
class Scenario:
    """One of a study's scenarios, as an evaluator gets it.

    Args:
        name: of the scenario.
        conditions: what differs in it, as the study has it.

    Example:
        >>> Scenario("loaded", {"payload_mass": 2.0}).conditions["payload_mass"]
        2.0
    """

    name: str
    conditions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """One proposal: which gains to try, in which context, and why.

    A parameter is a float, an int where the study says `type: integer`, or the name of a choice.

    `evidence` says for every constraint which prior certified it, where priors are earned (`surrogate.trust`).

    `operating_time` is the time of the robot's operation for which the trial was asked, in seconds, pauses included;
    None where nobody gave one. `certified_until` is the operating time at which its certificate expires, where what is
    known grows old (`surrogate.time`); None where it does not.

    `dominated`, where the study asks for it, is an objective that is certainly reached elsewhere, by more than noise.
    `early_end` says when it may end before its time; it follows from the study and the rest, and is set where a trial
    is evaluated.

    `scenarios` names those of the study's scenarios that the trial walks; empty for a study without any. An evaluator
    gets one of them at a time, as `scenario`, under a seed that follows from the trial's and the scenario's name.

    `seed` is the seed of everything random in the evaluation; it depends on the run's seed and the id only,
    so that a trial evaluated twice in simulation gives the same measurement.

    Example:
        >>> trial = Trial(1, {"kp": 40.0}, {}, "default", "seed", seed=7, certified=False)
        >>> trial.parameters["kp"]
        40.0
    """

    id: int
    parameters: Mapping[str, Any]
    context: Mapping[str, float]
    context_name: str
    phase: Phase
    seed: int
    certified: bool
    predicted: Mapping[str, Bounds] = field(default_factory=dict)
    reason: str = ""
    trigger_rule: str | None = None
    trigger_guarantee: bool = False
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    operating_time: float | None = field(default=None, compare=False)
    certified_until: float | None = None
    dominated: float | None = None
    early_end: EarlyEnd | None = None
    scenarios: tuple[str, ...] = ()
    scenario: Scenario | None = None


def trial_hash(trial: Trial) -> str:
    """What an approval is bound to: SHA-256 of id, gains and context, hexadecimal."""
    words = [trial.id, sorted(trial.parameters.items()), sorted(trial.context.items())]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


@dataclass(frozen=True)
class Strides:
    """How a periodic trial went on, stride by stride: what says how much of its noise a longer trial would average
    out, and how far its margins may still fall.

    Args:
        period: time of one stride, s.
        start: time at which the first of them begins, s from the start of the trial: whole strides only, the ramp of
            the command left out.
        objective: the objective of every stride in the objective's unit, so that the trial's is about their mean,
            `n`; empty where it has none.
        margins: the minimum of every margin within every stride, by the names of a measurement's margins, `n` each.

    Example:
        >>> Strides(0.5, 1.0, (-3.1, -3.0), {"height": (0.05, 0.06)}).count
        2
    """

    period: float
    start: float = 0.0
    objective: tuple[float, ...] = ()
    margins: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of strides."""
        return max([len(self.objective), *(len(values) for values in self.margins.values())])


@dataclass(frozen=True)
class Measurement:
    """What one trial showed.

    Args:
        outcome: `completed`; `backup` (the monitor switched gains); `aborted` (ended early, a fall included);
            `failed` (no valid measurement exists: recorded, never modelled).
        objective: observed objective, to be maximised; None where the trial has none (a fall, a failure).
        margins: observed margin of every constraint, by name; safe when >= 0. Empty when the trial failed.
        fell: whether the robot fell.
        states: visited states, `n x k`, in the evaluator's state units (not scaled); None when not recorded.
        margins_to_go: for every visited state, the smallest margin from there to the end of the trial, by the names
            of `margins`, `n` each; None when not recorded. The boundary condition `cost_to_go` learns from it.
        backup_time: when the monitor switched gains, in seconds from the start of the walk.
        backup_state: the state in which it did, `k`.
        true_objective: the objective without sensor noise, where the evaluator knows it.
        true_margins: the margins without sensor noise, where the evaluator knows them.
        telemetry: path of the recorded trajectory, when one was saved.
        duration: seconds of robot time.
        message: for people: why the trial was aborted or failed.
        extra: further named numbers worth keeping (real-time factor, ...); those whose names begin with `watched.`
            are not tuned, and a report says where they get worse (larger is better).
        operating_time: of the robot at the trial's start, in seconds, by its own clock; None where it has none, then
            the trial's counts.
        strides: objective and margins of every stride, where the trial is periodic and they were recorded.
        ended: why a completed trial ended before its time: `unsafe` (a margin below 0), `settled` (its objective was
            known well enough), `dominated` (other gains are certainly better); empty where it did not.
        scenarios: what every scenario showed that the trial walked, by name; objective, margins and the rest are then
            theirs, aggregated as the study says.

    Example:
        >>> Measurement("completed", objective=0.8, margins={"height": 0.05})
        ... # doctest: +ELLIPSIS
        Measurement(outcome='completed', objective=0.8, margins={'height': 0.05}, fell=False, ...)
    """

    outcome: Outcome
    objective: float | None = None
    margins: Mapping[str, float] = field(default_factory=dict)
    fell: bool = False
    states: FloatArray | None = None
    margins_to_go: Mapping[str, FloatArray] | None = None
    backup_time: float | None = None
    backup_state: FloatArray | None = None
    true_objective: float | None = None
    true_margins: Mapping[str, float] | None = None
    telemetry: str | None = None
    duration: float = 0.0
    message: str = ""
    extra: Mapping[str, float] = field(default_factory=dict)
    operating_time: float | None = None
    strides: Strides | None = None
    ended: Ended = ""
    scenarios: Mapping[str, Measurement] = field(default_factory=dict)


@dataclass(frozen=True)
class SwitchPlan:
    """Backups to try on the way of a simulated trial: each takes over in its tick, then the trial is put back.

    Args:
        backups: gains that may take over, as a monitor has them.
        margins: names of those that count. The trial may end as soon as one of them was negative.
        tried: ticks of the trial from its first, 0, and places in `backups`, `m` pairs in the order of the ticks. The
            trial may end after the last of them. Empty: it goes on to its end.
        horizon: seconds that are simulated after a switch, if the trial is that long.
    """

    backups: tuple[Mapping[str, Any], ...]
    margins: tuple[str, ...]
    tried: tuple[tuple[int, int], ...] = ()
    horizon: float = 1.0


@dataclass(frozen=True)
class SwitchedTrial:
    """A simulated trial, and what backups would have made of it.

    Args:
        states: what a monitor is shown, of every tick from the first, `n x k`.
        margins: value of every margin in every tick under the trial's own gains, by name, `n` each.
        to_go: by margin, smallest value from the tick of a switch on until the horizon, of every pair that was tried,
            `m` each; clearly negative for a fall.
        period: seconds from tick to tick.
        phase: share of the stride that had passed, 0 to 1, `n`; empty for trials without one.
        fell: whether the trial itself ended in a fall.
        ramp: ticks over which a backup takes over; 1: at once.
        shown: by margin, what a monitor is told of it in every tick, as far as it is known then, `n` each; empty where
            it sees states alone. A monitor that learned from them is asked with them.
    """

    states: FloatArray
    margins: Mapping[str, FloatArray]
    to_go: Mapping[str, FloatArray]
    period: float
    phase: FloatArray = field(default_factory=lambda: np.zeros(0))
    fell: bool = False
    ramp: int = 1
    shown: Mapping[str, FloatArray] = field(default_factory=dict)


PreferenceWord = Literal["left", "right", "same", "unacceptable"]

PREFERENCE_WORDS: dict[PreferenceWord, str] = {
    "left": "the left one is better",
    "right": "the right one is better",
    "same": "they look the same",
    "unacceptable": "neither is acceptable",
}
"""What may be answered to which of two walks is better, and what it means."""


@dataclass(frozen=True)
class PreferenceQuestion:
    """Two walks of one context, of which a person says which is better.

    Args:
        number: of the question in its run, from 1.
        left: id of one trial.
        right: id of the other one; which is on which side is drawn.
        context_name: of both.
        repeats: number of the question that is asked once more; None for a new pair.
    """

    number: int
    left: int
    right: int
    context_name: str
    repeats: int | None = None


@dataclass(frozen=True)
class PreferenceAnswer:
    """What a person answered to a question.

    Example:
        >>> PreferenceAnswer(PreferenceQuestion(1, 2, 1, "default"), "left").better
        2
    """

    question: PreferenceQuestion
    word: PreferenceWord

    @property
    def better(self) -> int | None:
        """Id of the trial that was said to be better; None where none was."""
        return {"left": self.question.left, "right": self.question.right}.get(self.word)


@dataclass(frozen=True)
class TrialRecord:
    """One trial and what it showed; None while it is pending. Only a person can say how an `unknown` one ended."""

    trial: Trial
    measurement: Measurement | None = None
    unknown: bool = False

    @property
    def status(self) -> Status:
        """What became of it."""
        if self.measurement is not None:
            return "told"
        return "unknown" if self.unknown else "asked"

    @property
    def pending(self) -> bool:
        """Asked and not yet told."""
        return self.measurement is None

    @property
    def operating_time(self) -> float | None:
        """Of the robot at the trial's start, in seconds: as the evaluator reported it, else as it was asked."""
        reported = None if self.measurement is None else self.measurement.operating_time
        return self.trial.operating_time if reported is None else reported


@dataclass(frozen=True)
class Certificate:
    """Whether parameters are certified in a context now, and the bounds that say so.

    Args:
        certified: every margin's lower bound is at least 0.
        bounds: of every function in its own unit, by name.
        until: operating time, in seconds, at which it expires; None where it does not.

    Example:
        >>> Certificate(True, {"height": Bounds(0.01, 0.05, 0.09)}).certified
        True
    """

    certified: bool
    bounds: Mapping[str, Bounds]
    until: float | None = None


@dataclass(frozen=True)
class Recommendation:
    """Parameters to use in a context.

    Args:
        parameters: in their own units.
        context_name: name of the context.
        context: values of the context variables.
        certified: whether they lie in the certified safe set of the context.
        bounds: of every function in its own unit, by name.
        trial: id of a trial that ran exactly these parameters in this context; None when none did.
        priors: by constraint, the prior that certifies it, where priors are earned.
        until: operating time, in seconds, at which the certificate expires; None where it does not.
        horizon: seconds for which they are certified, where the study says; None: as long as trials lasted.
        lasted: seconds that the trials of the context lasted, their median; None where it was not measured.
        advice: one sentence on what would narrow an interval there; empty where nobody said.

    Example:
        >>> found = Recommendation({"kp": 55.0}, "default", {}, True, {"speed": Bounds(0.7, 0.8, 0.9)})
        >>> found.bounds["speed"].lower  # reached with the study's confidence
        0.7
    """

    parameters: Mapping[str, Any]
    context_name: str
    context: Mapping[str, float]
    certified: bool
    bounds: Mapping[str, Bounds]
    trial: int | None = None
    priors: Mapping[str, str] = field(default_factory=dict)
    until: float | None = None
    horizon: float | None = None
    lasted: float | None = None
    advice: str = ""


@runtime_checkable
class Monitor(Protocol):
    """Watches one trial at control rate."""

    @property
    def backups(self) -> Sequence[Mapping[str, float]]:
        """The gains it may switch to."""
        ...

    def check(self, state: FloatArray) -> int:
        """-1 to go on, otherwise the index in `backups` of the gains to switch to (state: `k`, unscaled)."""
        ...


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
class Check:
    """One line of a list that is gone through before the first trial.

    Args:
        name: what was looked at.
        passed: whether the run may begin.
        message: what was seen and, where it did not pass, what to do.
    """

    name: str
    passed: bool
    message: str


@dataclass(frozen=True)
class RobotAddress:
    """Where a robot's guardian is, and what may be there.

    Args:
        host, port: of the guardian.
        key: file of the key shared with it; None for the default.
        serial: of the physical robot that is meant; None: only a virtual one will do.
        clears: whether latches are cleared without a person; for virtual robots.
        trials: how many may still come, to see whether there is room for their records.
    """

    host: str
    port: int
    key: str | None = None
    serial: str | None = None
    clears: bool = False
    trials: int = 1


class RobotWatch(Protocol):
    """Tells a person what happens to a robot while nobody looks at it, from a thread of its own."""

    def close(self) -> None:
        """No more."""
        ...


@dataclass(frozen=True)
class StudyIdentity:
    """Which study a run is of.

    Args:
        name: of the study.
        hash: SHA-256, hexadecimal, of everything in it that decides what is tried.
        text: of its file.
    """

    name: str
    hash: str
    text: str


@dataclass(frozen=True)
class RobotStatus:
    """How a robot stands, as its guardian says and its own sensors show.

    Args:
        robot: `virtual` or `physical`, model and serial, in words.
        state: of the guardian, one word.
        message: why, in words.
        latched: whether a person has to clear something before it moves again.
        latch: number of what is latched; 0 for nothing.
        acknowledged: whether the first of two steps of clearing was taken.
        stopped: whether it is SEEN not to move: joints damped, and the robot itself says that it rests.
        why_not: why it is not seen so.
        age: of the newest state of the robot, s.
        silent: since when nothing was heard of the guardian, s.
        missed, rejected, overruns: control ticks without a new state, states refused, ticks that took too long, counted
            since the guardian's start.
        battery: per cent; None where unknown.
        hottest: motor, degrees Celsius; None where unknown.
        roll, pitch: rad.
        height: of the trunk above its lowest foot, m.
        lease: whether somebody tunes it.
        trial: that is armed, runs or ran last; 0 for none.
        elapsed: s since the walk of the running trial began.
        limits: thresholds of the guardian that are known: `tilt` (rad), `height` (m, from below), `state_age` (s),
            `battery_low` (per cent, from below: no trial begins).
    """

    robot: str
    state: str
    message: str = ""
    latched: bool = False
    latch: int = 0
    acknowledged: bool = False
    stopped: bool = False
    why_not: str = ""
    age: float = 0.0
    silent: float = 0.0
    missed: int = 0
    rejected: int = 0
    overruns: int = 0
    battery: int | None = None
    hottest: int | None = None
    roll: float = 0.0
    pitch: float = 0.0
    height: float = 0.0
    lease: bool = False
    trial: int = 0
    elapsed: float = 0.0
    limits: Mapping[str, float] = field(default_factory=dict)


class RobotView(Protocol):
    """Looks at a robot beside its tuner, and stops it. A bridge's `view(address)` makes one."""

    def look(self) -> RobotStatus:
        """How it stands now; returns at once.

        Raises:
            SafeboError: nothing is heard of its guardian; the message says since when.
        """
        ...

    def stop(self, reason: str) -> str:
        """Software stop, joint damping, latched; what the guardian says to it, in words.

        Raises:
            SafeboError: the guardian has not confirmed it.
        """
        ...

    def baseline(self, reason: str) -> str:
        """Baseline gains: it brakes, stands and keeps balance, latched; what the guardian says to it.

        Raises:
            SafeboError: the guardian has not confirmed it.
        """
        ...

    def acknowledge(self, latch: int) -> None:
        """First step of clearing, for a person who has looked at the robot and at the latch of this number.

        Raises:
            SafeboError: the guardian refuses it.
        """
        ...

    def clear(self) -> None:
        """Second step. Nothing moves.

        Raises:
            SafeboError: the guardian refuses it.
        """
        ...

    def close(self) -> None:
        """Look no more."""
        ...


class Ledger(Protocol):
    """Keeps what becomes of a trial on a robot, each step on disk before it is taken."""

    def study(self) -> StudyIdentity:
        """The study of the run whose trials these are."""
        ...

    def commit(self, trial_id: int, state: str, text: str = "", **data: Any) -> None:
        """Keep one step; returns once it is on disk, and raises when it cannot be kept."""
        ...

    def last(self, trial_id: int) -> tuple[str, Mapping[str, Any]]:
        """The newest step of a trial and its data; an empty name where there is none."""
        ...


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
