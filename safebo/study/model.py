"""The study: which gains may change, what is good, what is safe, and how to search.

These models, with those of surrogate, tuner and scenarios beside them, are the YAML file: one object, one file. Unknown
keys are refused. The text under a key is its description in `docs/study-file.md` and in the JSON schema that editors
read (`safebo schema`).
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticKnownError

from safebo.study.model_parts import Interval, NumberOrInterval, ParameterValue, Strict, Unit
from safebo.study.scenario_model import ScenariosSpec
from safebo.study.surrogate_model import SurrogateSpec
from safebo.study.tuner_model import TunerSpec

MAX_SEED = 2**63 - 1
MAX_TRIALS = 1_000_000
"""What a journal keeps."""
PREFERENCE_METHOD = "eubo"
"""Of studies with a preference objective that name no method."""


def _given(bounds: tuple[float, float]) -> tuple[float, float]:
    """Bounds that stand in the file, or follow from choices."""
    if any(map(math.isnan, bounds)):
        raise PydanticKnownError("missing")
    return bounds


def _bounds_of_choices(data: dict[str, Any]) -> tuple[float, float]:
    """The first and last position of a choice; not a number where there are none."""
    choices = data.get("choices")
    return (math.nan, math.nan) if choices is None else (0.0, len(choices) - 1.0)


def _one_context() -> dict[str, dict[str, float]]:
    return {"default": {}}


class EvaluatorSpec(Strict):
    """What runs the trials."""

    name: str
    """An entry point of `safebo.evaluators`; `module:attribute` of a class or of a function
    `f(parameters, context)`, also in a file beside the study; or `subprocess`, a program that speaks JSON."""
    options: dict[str, Any] = Field(default_factory=dict)
    """What the evaluator takes, checked by itself: robot, speed, duration, disturbance, ..."""
    time_limit: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds after which the process of a trial is ended, with all that it started: by SIGTERM, what is left within a
    second by SIGKILL. The trial is `failed` where the evaluator is repeatable; otherwise a person says what became of
    it. None by default, 600 for `subprocess`. Not for an evaluator that moves a robot. It may change when a run is
    resumed."""
    tries: int = Field(default=3, ge=1)
    """How often a trial is begun whose process dies (a crash, no memory), where the evaluator is repeatable; then it is
    `failed`. It may change when a run is resumed."""


class Parameter(Strict):
    """A gain that the tuner may choose: a number, one with steps, a whole one, or one of several named choices."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["bounds"]}, {"required": ["choices"]}]},
    )

    name: str
    """The evaluator's name for it."""
    type: Literal["real", "integer"] = "real"
    """`integer`: whole numbers, which the evaluator gets as such; `step` is 1 when left out."""
    choices: list[str] | None = Field(default=None, min_length=2)
    """Names, one of which the evaluator gets: a gait, a controller's variant. No choice is nearer to one than to
    another. In the unit cube each name has a coordinate of its own, 1 for the chosen one and 0 for the others."""
    bounds: Annotated[Interval, AfterValidator(_given)] = Field(
        default_factory=_bounds_of_choices, validate_default=True
    )
    """Smallest and largest value that is ever tried, in its unit. They become 0 and 1 of the unit cube. Required,
    but for `choices`, which have none."""
    step: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Values are the lower bound plus multiples of it; all values between the bounds when left out."""
    unit: Unit = ""
    """For people; the evaluator's when left out."""
    scale: Literal["linear", "log"] = "linear"
    """How values map to the unit cube. `log` needs a positive lower bound."""
    lengthscale: float | None = Field(default=None, gt=0)
    """Of this parameter, in the unit cube; `surrogate.lengthscale` when left out."""
    period: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """For phases and angles: values so far apart, in its unit, are the same. Needs `scale: linear`."""
    description: str = ""
    """For people."""


class ContextVariable(Strict):
    """A number that the user sets and the tuner does not choose."""

    name: str
    """The evaluator's name for it."""
    bounds: Interval
    """Smallest and largest value, in its unit. They become 0 and 1 of the unit cube."""
    unit: Unit = ""
    """For people; the evaluator's when left out."""
    lengthscale: float | None = Field(default=None, gt=0)
    """Of this variable, in the unit cube; `surrogate.context_lengthscale` when left out."""
    period: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """For phases and angles: values so far apart, in its unit, are the same."""
    measured: bool = False
    """It is read before every trial and not set: battery voltage, motor temperature. The evaluator reads it; what a
    context of `values` says of it is asked about only until something was read."""


class SchedulePhase(Strict):
    """So many trials in one context."""

    context: str
    """A name of `context.values`."""
    trials: int = Field(gt=0)
    """Their number, seeds included."""


class ContextSpec(Strict):
    """Context variables, named values of them, and the order in which they are tuned (gaits, speeds, loads)."""

    variables: list[ContextVariable] = Field(default_factory=list)
    """Inputs of the surrogate beside the parameters."""
    values: dict[str, dict[str, float]] = Field(default_factory=_one_context)
    """Contexts by name, each with a value of every variable."""
    schedule: list[SchedulePhase] = Field(default_factory=list)
    """Phases in their order. Left out, the contexts that have seeds take turns."""
    predict: list[str] = Field(default_factory=list)
    """Contexts that are only predicted by the model and never tried."""


class Warp(Strict):
    """A strictly increasing map from a function's own unit to the scale on which it is modelled.

    The result is clipped to +-clip, or to what `clip` says of either side.
    """

    kind: Literal["identity", "log"] = "identity"
    """`identity`: w(y) = y / scale. `log`: w(y) = log(scale) - log(upper - y), for y below `upper`; with
    scale = upper = v it maps the margin v - e to log v - log e and keeps zero at zero."""
    scale: float = Field(default=1.0, gt=0)
    """In the function's unit."""
    upper: float = 0.0
    """What the function never reaches, in its unit, for `kind: log`: 0 for minus a cost, the limit for a margin."""
    clip: NumberOrInterval = 1e6
    """Largest size of a warped value, so that a fall ends the tail of a logarithm; or the smallest and the largest
    warped value, [-0.8, 3]: how bad a violation is need not be told apart as finely as how good a margin is."""

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest warped value."""
        return self.clip if isinstance(self.clip, tuple) else (-self.clip, self.clip)


class FunctionSpec(Strict):
    """How the objective or a constraint is modelled. Prior and noise are on the warped scale."""

    name: str
    """Its name in the run, in the report and in the journal."""
    quantity: str = ""
    """The evaluator's name for what it measures; `name` when left out."""
    unit: Unit = ""
    """For people; the evaluator's when left out."""
    warp: Warp = Field(default_factory=Warp)
    """From its unit to the scale on which it is modelled."""
    prior_mean: float = 0.0
    """What is expected before a measurement, warped."""
    prior_std: float = Field(default=1.0, gt=0)
    """How far it varies about the prior mean over the box, warped. Too small a value of a constraint is not safe."""
    noise_std: float = Field(default=0.05, gt=0)
    """Standard deviation of one measurement, warped."""
    noise_degrees: float | None = Field(default=None, gt=2, le=30)
    """Degrees of freedom of noise with a Student distribution, whose standard deviation is `noise_std`: for
    measurements with outliers of both signs, 4 (one in a hundred beyond 3.3 standard deviations), or less where some
    are wilder. A measurement that does not fit the others then counts with more noise, none with less; of two that
    contradict each other neither is believed until a third decides. A place where the function truly falls off is
    taken for an outlier too until it is measured again. Left out, the noise is Gaussian."""


class ObjectiveSpec(FunctionSpec):
    """What is good: a number that the evaluator measures, or what a person prefers of two walks.

    With `kind: preference` it is a latent utility, known from answers to "which of the two is better" alone. Its scale
    is free, so `prior_std: 1` will do; `noise_std` is lambda, how far a person's judgement of one walk varies, in the
    same unit, from which on it is estimated. Margins are measured and certified as ever; no answer certifies anything.
    """

    @model_validator(mode="wrap")
    @classmethod
    def _from_function(cls, data: Any, handler: Any) -> Any:
        """A `FunctionSpec` made in Python is a measured objective."""
        plain = isinstance(data, FunctionSpec) and not isinstance(data, cls)
        return cls.measured(data) if plain else handler(data)

    @classmethod
    def measured(cls, function: FunctionSpec) -> ObjectiveSpec:
        """A function as the objective."""
        return cls(**{name: getattr(function, name) for name in function.model_fields_set})

    kind: Literal["measured", "preference"] = "measured"
    """`measured`: the evaluator's number. `preference`: a person's answers; the evaluator needs to report none."""
    indifference: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Difference of utility under which two walks look the same; for `kind: preference`. `noise_std` when left out."""
    repeats: float = Field(default=0.1, ge=0, le=0.5)
    """So many of the pairs are asked once more, sides drawn anew, as what tells how consistent a person is; for
    `kind: preference`."""
    pairs_per_walk: int = Field(default=1, ge=1, le=10)
    """New pairs that are asked for every walk, for `kind: preference`: the walk beside the best one so far, then
    earlier walks beside each other, those whose better one is expected to be best, which costs the robot nothing."""


def quantity_of(function: FunctionSpec) -> str:
    """The evaluator's name for a function of the study: its `quantity`, or its own name without one."""
    return function.quantity or function.name


class Seed(Strict):
    """Parameters known to be safe in a context. They are tried first."""

    context: str = "default"
    """A name of `context.values`. Every context that is tuned needs a seed."""
    parameters: dict[str, ParameterValue]
    """A value of every parameter, in its unit; of choices the name."""


class Goal(Strict):
    """Parameters that trials go to in a context, over certified ones: another robot's, a simulation's, or a wish."""

    context: str = "default"
    """A name of `context.values` that is tuned."""
    parameters: dict[str, ParameterValue]
    """A value of every parameter, in its unit; of choices the name."""


class Study(Strict):
    """A whole study file.

    Example:
        >>> study = Study.model_validate({
        ...     "name": "bowl",
        ...     "evaluator": {"name": "my_robot:walk"},
        ...     "parameters": [{"name": "kp", "unit": "N m/rad", "bounds": [0, 100]}],
        ...     "objective": {"name": "speed", "unit": "m/s"},
        ...     "constraints": [{"name": "height", "unit": "m", "prior_std": 0.1}],
        ...     "seeds": [{"parameters": {"kp": 40}}],
        ... })
        >>> study.tuner.method, study.trials
        ('safe_ucb', 50)
    """

    name: str
    """Of the study, and of its folder under `runs/`."""
    description: str = ""
    """For people, in `safebo studies` and the report."""
    evaluator: EvaluatorSpec
    """The class, function or program that runs a trial and measures it."""
    parameters: list[Parameter] = Field(min_length=1)
    """Gains that the tuner may choose."""
    parameter_constraints: list[str] = Field(default_factory=list)
    """Linear inequalities between parameters that are numbers, in their units, joined by `<=` or `>=`:
    `kd <= 0.1 * kp`, `hip + knee <= 80`. They are known beforehand: every trial keeps them, and seeds must."""
    context: ContextSpec = Field(default_factory=ContextSpec)
    """What the user sets: one context `default` without variables when left out."""
    objective: ObjectiveSpec
    """What is good. It is maximised."""
    constraints: list[FunctionSpec] = Field(default_factory=list)
    """What is safe: margins, each the minimum over a trial, safe when >= 0. Methods that certify need at least one."""
    scenarios: ScenariosSpec | None = None
    """Conditions under which the same gains are walked (payloads, floors, pushes), and how what they show is
    aggregated. Left out, a trial is one walk under what the evaluator's options say."""
    seeds: list[Seed] = Field(min_length=1)
    """Where the search starts."""
    goals: list[Goal] = Field(default_factory=list)
    """Where it is to go first, in their order. After the seeds every trial is the certified one nearest to the goal
    (Euclidean over the ranges), until it was tried, certified trials come no nearer, or the objective's upper bound
    there is under what certified gains reach for sure. From there on `tuner.method` chooses. Nothing is certified by
    being a goal."""
    horizon: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds for which what is certified is to hold, where trials are shorter: a walk of a minute reaches margins that
    one of five seconds does not. Margins are then told to the model as extrapolated from stride to stride, which needs
    an evaluator that reports `strides` and trials of at least a tenth of it. Left out, a certificate holds for trials
    as long as those that were measured."""
    early_end: list[Literal["settled", "dominated"]] = Field(default_factory=list)
    """Why a trial may end before its time, beside a margin below 0, which ends local trials of evaluators that can.
    `settled`: its objective is known as well as trials differ from each other anyway. `dominated`: however well it went
    on, certified gains that were tried are better by more than noise; for objectives that are means of costs. Both need
    `horizon`, as margins of shorter trials look better than they are."""
    surrogate: SurrogateSpec = Field(default_factory=SurrogateSpec)
    """What is believed of objective and constraints before a measurement."""
    tuner: TunerSpec = Field(default_factory=TunerSpec)
    """How the next trial is chosen, and what certifies it."""
    trials: int = Field(default=50, gt=0, le=MAX_TRIALS)
    """Length of a run, seeds included; `safebo tune --trials` goes before it."""
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    """Of everything random. The same study, seed and measurements give the same trials."""

    @model_validator(mode="after")
    def _method_of_preferences(self) -> Study:
        """The method of a preference objective, where the file names none."""
        if self.objective.kind == "preference" and "method" not in self.tuner.model_fields_set:
            # The model is frozen for everybody else.
            self.__dict__["tuner"] = self.tuner.model_copy(update={"method": PREFERENCE_METHOD})
        return self
