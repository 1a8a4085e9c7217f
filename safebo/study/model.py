"""The study: which gains may change, what is good, what is safe, and how to search.

These models are the YAML file: one object, one file. Unknown keys are refused. The text under a key is its
description in `docs/study-file.md` and in the JSON schema that editors read (`safebo schema`).
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticKnownError

from safebo.study.duration import Duration
from safebo.study.scenario_model import ScenariosSpec

MAX_SEED = 2**63 - 1
MAX_TRIALS = 1_000_000
"""What a journal keeps."""
PREFERENCE_METHOD = "eubo"
"""Of studies with a preference objective that name no method."""

LEARNED_RULE = "margin_to_go"
"""The `tuner.backup.rule` whose monitor is learned in simulation."""

Interval = Annotated[
    tuple[float, float],
    WithJsonSchema({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}),
]


def _given(bounds: tuple[float, float]) -> tuple[float, float]:
    """Bounds that stand in the file, or follow from choices."""
    if any(map(math.isnan, bounds)):
        raise PydanticKnownError("missing")
    return bounds


def _bounds_of_choices(data: dict[str, Any]) -> tuple[float, float]:
    """The first and last position of a choice; not a number where there are none."""
    choices = data.get("choices")
    return (math.nan, math.nan) if choices is None else (0.0, len(choices) - 1.0)


def _number_or_name(value: Any) -> Any:
    """The value of a parameter: a float, or the name of a choice."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticKnownError("float_type")
    return float(value)


def plain_unit(unit: str) -> str:
    """A unit as it is printed: `1`, which says that there is none, is not."""
    return "" if unit == "1" else unit


Unit = Annotated[str, AfterValidator(plain_unit)]

Factor = Annotated[float, Field(gt=0, lt=1)]
"""Of lengthscales."""


def _listed(value: Any) -> Any:
    """One number as a list of one."""
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else value


ParameterValue = Annotated[
    Any, AfterValidator(_number_or_name), WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}]})
]
"""A number, or the name of a choice."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _one_context() -> dict[str, dict[str, float]]:
    return {"default": {}}


class EvaluatorSpec(_Strict):
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


class Parameter(_Strict):
    """A gain that the tuner may choose: a number, one with steps, a whole one, or one of several named choices."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
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


class ContextVariable(_Strict):
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


class SchedulePhase(_Strict):
    """So many trials in one context."""

    context: str
    """A name of `context.values`."""
    trials: int = Field(gt=0)
    """Their number, seeds included."""


class ContextSpec(_Strict):
    """Context variables, named values of them, and the order in which they are tuned (gaits, speeds, loads)."""

    variables: list[ContextVariable] = Field(default_factory=list)
    """Inputs of the surrogate beside the parameters."""
    values: dict[str, dict[str, float]] = Field(default_factory=_one_context)
    """Contexts by name, each with a value of every variable."""
    schedule: list[SchedulePhase] = Field(default_factory=list)
    """Phases in their order. Left out, the contexts that have seeds take turns."""
    predict: list[str] = Field(default_factory=list)
    """Contexts that are only predicted by the model and never tried."""


class Warp(_Strict):
    """A strictly increasing map from a function's own unit to the scale on which it is modelled.

    The result is clipped to +-clip.
    """

    kind: Literal["identity", "log"] = "identity"
    """`identity`: w(y) = y / scale. `log`: w(y) = log(scale) - log(upper - y), for y below `upper`; with
    scale = upper = v it maps the margin v - e to log v - log e and keeps zero at zero."""
    scale: float = Field(default=1.0, gt=0)
    """In the function's unit."""
    upper: float = 0.0
    """What the function never reaches, in its unit, for `kind: log`: 0 for minus a cost, the limit for a margin."""
    clip: float = Field(default=1e6, gt=0)
    """Largest size of a warped value, so that a fall ends the tail of a logarithm."""


class FunctionSpec(_Strict):
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


def quantity_of(function: FunctionSpec) -> str:
    """The evaluator's name for a function of the study: its `quantity`, or its own name without one."""
    return function.quantity or function.name


class Seed(_Strict):
    """Parameters known to be safe in a context. They are tried first."""

    context: str = "default"
    """A name of `context.values`. Every context that is tuned needs a seed."""
    parameters: dict[str, ParameterValue]
    """A value of every parameter, in its unit; of choices the name."""


class Goal(_Strict):
    """Parameters that trials go to in a context, over certified ones: another robot's, a simulation's, or a wish."""

    context: str = "default"
    """A name of `context.values` that is tuned."""
    parameters: dict[str, ParameterValue]
    """A value of every parameter, in its unit; of choices the name."""


class PriorDataSpec(_Strict):
    """How the trials of another run, usually in simulation, inform this one (`safebo tune --prior`).

    With a correlation that is earned nothing has to be declared. A constraint is certified by the lowest of the bounds
    of all correlations from 0 to 0.995 that this run's own measurements of it have not refuted, so that the simulation
    widens the safe set only as far as they speak for it; the objective, which certifies nothing, is predicted by all of
    them in the proportion of their likelihoods.

    With a declared one, far from this run's own trials the bounds of a function that was simulated there are
    `sqrt(1 - correlation^2) inflation` times as wide as without: 0.65 times with correlation 0.9. A simulation that
    only keeps the search where both agree is not contradicted: it costs trials, unnoticed.
    """

    correlation: Literal["earned"] | Annotated[float, Field(ge=0, le=1)] | None = None
    """Of the two runs' functions at the same inputs. `earned`: what this run's measurements have not refuted. A number
    is believed until the first trials contradict it, and safety rests on it. Left out, `earned`; 0.8 where that is not
    defined (`hyperparameters: map` and `bayes`, intersected intervals, schedules of a declared `norm`)."""
    std_ratio: float = Field(default=1.0, gt=0)
    """The simulation's prior standard deviation over the robot's."""
    discrepancy_lengthscale: float = Field(default=1.0, gt=0)
    """Lengthscales of the part that the simulation does not explain, over the function's."""
    inflation: float | None = Field(default=None, ge=1)
    """Beta is multiplied by it while the simulation is believed. Left out, 1.5 with a declared correlation, which may
    be wrong, and 1 with one that is earned."""
    checked: int = Field(default=10, gt=0)
    """So many trials of this run test a declared correlation. When they contradict it, the simulation is dropped."""
    level: float = Field(default=0.01, gt=0, lt=1)
    """How often a simulation that deserves its declared correlation may be dropped."""


class TimeSpec(_Strict):
    """How fast the robot changes with the time of its operation: battery, heat, wear.

    Covariances of gains are multiplied by `exp(-|t - t'| / memory)`, and every proposal is certified for the time of
    the coming trial. So a certificate expires, and the seeds come first after every pause longer than a tenth of the
    memory. The time is the robot's operating time, pauses included: what the evaluator reports as `operating_time`, or
    else the time since the run began.
    """

    memory: Duration
    """Time after which what a trial showed is worth 1/e, in seconds or with a unit: `40 min`. Safety rests on it: too
    long is not safe. Trials cluster in time, so it is declared and never fitted."""
    memories: dict[str, Duration] = Field(default_factory=dict)
    """Of the objective or a constraint that has its own, by name."""
    lead: Duration = 60.0
    """So long after a proposal its trial begins, at the latest: computing, settling, a person's approval. Proposals are
    certified for then, and a trial whose certificate has expired before it begins does not run."""
    interval: Duration | None = None
    """Operating time from one trial to the next, in simulation, where it goes by otherwise than the clock on the wall:
    so that trials do not depend on how fast the computer is. At most a tenth of the shortest memory."""

    def memory_of(self, name: str) -> float:
        """The memory of a function, in seconds."""
        return self.memories.get(name, self.memory)

    @property
    def pause(self) -> float:
        """Seconds without a trial after which the seeds come first: a tenth of the shortest memory."""
        return min(self.memory, *self.memories.values()) / 10.0 if self.memories else self.memory / 10.0


class SurrogateSpec(_Strict):
    """One Gaussian process per function over parameters and context, inputs in the unit cube.

    The prior variance of a function is `prior_std^2` whatever the structure.
    """

    kernel: str = "matern32"
    """Of all functions: `matern12`, `matern32`, `matern52`, `rbf` or a registered one. Safety rests on it: `rbf` and
    `matern52` declare functions smoother than most are."""
    lengthscale: float = Field(default=0.3, gt=0)
    """Of parameters that have none of their own, in the unit cube. Safety rests on it: too long is not safe."""
    context_lengthscale: float = Field(default=0.5, gt=0)
    """Of context variables that have none of their own, in the unit cube."""
    structure: Literal["joint", "product", "sum", "additive"] = "joint"
    """`joint`: one kernel over parameters and context. `product`: one of the parameters times one of the context.
    `sum`: one plus the other with half the variance each (Krause and Ong 2011; table 1 of Widmer et al. 2023), for
    contexts that shift the whole function. `additive`: the mean over `groups` of their kernels, each times the
    context's, for functions that are sums of low-dimensional ones (Duvenaud et al. 2011; SafeCtrlBO of Wang et al.
    2024). A sum or mean certifies combinations never tried from parts that were: declare it only of functions that
    are such sums."""
    groups: list[list[str]] | None = None
    """Of parameters, for `structure: additive`; each alone when left out."""
    hyperparameters: Literal["fixed", "map", "bayes"] = "fixed"
    """`fixed`: as declared. `map`: lengthscales, variance and noise are refitted to their most probable values.
    `bayes`: the posteriors of several draws of them are averaged, which is slower and widens intervals where the
    draws disagree. Priors are log-normal around the declared values."""
    refit_every: int = Field(default=10, gt=0)
    """Trials between refits, for `hyperparameters: map` and `bayes`."""
    samples: int = Field(default=8, ge=2)
    """Draws, for `hyperparameters: bayes`."""
    trust: Literal["declared", "earned"] | None = None
    """`declared`: lengthscales, scale and noise are taken as they stand here, and every certificate rests on them.
    `earned`: a constraint is certified by a cautious prior with shorter lengthscales until its own measurements speak
    for the declared one, and again once they speak against it. Left out, a new run and a `Tuner` of a study file are
    `earned` where certificates rest on lengthscales (not with methods that certify nothing, with `certificate:
    measured`, nor with schedules of a declared `norm`), and a `Tuner` of a `Study` made in Python is `declared`."""
    caution: Annotated[list[Factor], BeforeValidator(_listed)] = Field(
        default_factory=lambda: [0.5], min_length=1, max_length=4
    )
    """Lengthscales of the cautious prior over the declared ones, for `trust: earned`; several are earned one after
    another, the smallest first. What is certified holds for functions as rough as that."""
    evidence: float | None = Field(default=None, gt=1, allow_inf_nan=False)
    """How many times likelier the measurements of a constraint must be under the declared prior than under the cautious
    one, for `trust: earned`. Left out, `2 m / delta` for m constraints: 40 for one and delta 0.05, so that a cautious
    prior that is right is ever left with a probability of delta / 2. Up to ten trials of a run are chosen for that
    evidence where the method's own would bring next to none; their reasons say so."""
    refute: float = Field(default=0.05, gt=0, lt=1)
    """Probability with which a declared prior that is right is ever refuted and loses what it earned, for
    `trust: earned`."""
    alarm: float = Field(default=0.01, gt=0, lt=1)
    """Probability of a false alarm where the cautious prior is right, for `trust: earned`. An alarm says that neither
    the declared prior nor the cautious one fits what was measured."""
    on_alarm: Literal["pause", "caution", "record"] | None = None
    """After an alarm. `pause`: the run stops at its certified gains, exit code 3; resumed, it goes on with `caution`.
    `caution`: the cautious prior and the likeliest alternative (rougher, noisier, larger, drifting) must both certify.
    `record`: it is said and kept, nothing else. Left out, `pause` on a robot and `caution` in simulation. A refuted
    `tuner.confidence.norm` does the same, where `caution` and `pause`, if declared, certify from then on with 1.25
    times the least norm that fits."""
    common_scale: bool = False
    """The objective and all constraints are about as rough as each other, and are independent given the model: their
    evidence is multiplied and promotes all of them at once, for `trust: earned`. Safety rests on it: a smooth objective
    then speaks for a constraint."""
    prior_data: PriorDataSpec | None = None
    """How a run believes the trials of another one that it is given; its defaults when left out."""
    time: TimeSpec | None = None
    """How fast the robot changes with the time of its operation. Left out, what a trial showed holds for good."""


class BackupSpec(_Strict):
    """Backup states, and the boundary condition that watches the global trials of `gosafeopt`.

    `safebo.boundary.rules` has the formulas. Lower bounds are of the smallest margin of a backup's gains, on the
    warped scale of the constraints; distances are between states whose coordinates are divided by `state_scale`.
    """

    rule: Literal["lipschitz", "gaussian_tail", "kernel_covariance", "cost_to_go", "margin_to_go"] = (
        "lipschitz"
    )
    """`lipschitz` (algorithm 3 of Widmer et al. 2023) carries a guarantee when `lipschitz` and `inter_sample` are
    true bounds. `gaussian_tail` (their appendix F.1), `kernel_covariance` (practical GoSafeOpt, Sukhija et al.
    2023) and `cost_to_go` (after SOOPER) are heuristics. `margin_to_go`, in simulation alone, is learned from trials
    in which backups were tried, and its triggers are calibrated: it promises a share of trials, not each of them."""
    lipschitz: float = Field(default=1.0, gt=0)
    """Warped margin lost per unit of distance, at most; for `rule: lipschitz`."""
    inter_sample: float = Field(default=0.0, ge=0)
    """Distance that the state moves in one control period, at most; for `lipschitz` and `cost_to_go`."""
    interior_lower_bound: float = 0.5
    """From here on a backup is interior and reaches further; for `gaussian_tail` and `kernel_covariance`."""
    marginal_lower_bound: float = 0.0
    """Under it a backup covers nothing; for `gaussian_tail` and `kernel_covariance`."""
    sigma: float = Field(default=2.0, gt=0)
    """Standard deviation of the distance; for `gaussian_tail`."""
    tau_interior: float = Field(default=0.2, gt=0, lt=1)
    """Tail probability that the distance to an interior backup must exceed; for `gaussian_tail`."""
    tau_marginal: float = Field(default=0.6, gt=0, lt=1)
    """The same for a marginal backup, at least `tau_interior`; for `gaussian_tail`."""
    state_kernel: str = "matern32"
    """Kernel over states, a name as in `surrogate.kernel`; for `kernel_covariance`."""
    state_lengthscale: float = Field(default=1.0, gt=0)
    """Its lengthscale, a distance; for `kernel_covariance`."""
    correlation_interior: float = Field(default=0.88, gt=0, lt=1)
    """Least correlation with an interior backup; for `kernel_covariance`."""
    correlation_marginal: float = Field(default=0.95, gt=0, lt=1)
    """The same for a marginal backup, at least `correlation_interior`; for `kernel_covariance`."""
    pessimism: float = Field(default=1.0, gt=0)
    """Lambda: warped margin taken away per unit of distance; for `cost_to_go`."""
    fit: int = Field(default=120, ge=10, le=100_000)
    """Trials with gains drawn from the box that the monitor learns from; for `margin_to_go`."""
    calibration: int = Field(default=39, ge=1, le=100_000)
    """Further ones that break a margin unwatched and that a backup can save, which say when it has to trigger; at least
    1 / `alpha` - 1; for `margin_to_go`."""
    alpha: float = Field(default=0.05, gt=0, lt=1)
    """Largest share of such trials that may be lost although a backup could have saved them; for `margin_to_go`."""
    horizon: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Seconds that are simulated after a switch: a backup that kept the margins so long is taken to keep them; for
    `margin_to_go`."""
    capacity: int = Field(default=20_000, gt=0)
    """Most states that are stored; beyond, every backup keeps an even share, those that say most about its path. Not
    for `margin_to_go`, which stores none."""
    state_scale: dict[str, float] = Field(default_factory=dict)
    """By state coordinate, in its unit; the evaluator's for those left out."""


class GlobalSpec(_Strict):
    """How `gosafeopt` explores outside the certified set, when, and when it leaves a poor region.

    A global trial that ran to its end without a negative margin opens a region. One good measurement may be luck, so
    its gains are certified, where the surrogate does not do it, by all their measurements together: when the mean of n
    of them minus `beta` times the noise over the square root of n is at least 0 for every margin; the noise is the
    declared one, or the measurements' own scatter where that is larger. Until the surrogate certifies them they are
    tried again, watched, at most three times, and given up as soon as the mean is negative, a trial there falls, or the
    monitor ends one.
    """

    rule: Literal["widest_outside", "maximin_distance", "uncertainty_covariance"] = "widest_outside"
    """`widest_outside`: equation 10 of Widmer et al. 2023. The others are the rules of the published codes. None
    carries a guarantee; what protects a global trial is `tuner.backup.rule`."""
    local_steps: int = Field(default=10, gt=0)
    """Trials of a local phase; it ends earlier when it has converged."""
    global_steps: int = Field(default=5, gt=0)
    """Trials of a global phase; it ends with the first safe one, where a region opens."""
    patience: int = Field(default=5, gt=0)
    """Local trials in a new region before it is judged."""
    tolerance: float = Field(default=0.9, gt=0, le=1)
    """A region is left when its best objective is below this share of the way from the seeds' best to the best
    known, warped."""


class LineSpec(_Strict):
    """Search along lines through a certified point instead of the whole box (LineBO, Kirschner et al. 2019).

    For many parameters. Several lines at once cost computing time alone.
    """

    direction: Literal["coordinate", "random", "ascent"] = "ascent"
    """`coordinate`: parameters in turn. `random`: random directions. `ascent`: gradients of the objective, from the
    surrogate."""
    count: int = Field(default=4, gt=0)
    """Lines of one trial; with `direction: coordinate` at most one a parameter."""
    points: int = Field(default=500, ge=16)
    """Of every line, before the best are refined."""
    anchor: Literal["best", "last"] = "best"
    """The lines pass through the certified tried point with the largest lower bound of the objective, or through
    the one tried last."""
    trials: int = Field(default=3, gt=0)
    """Of one context in the same directions, so that what the first ones show on a line is used there."""


class SearchSpec(_Strict):
    """Where a proposal comes from, and how hard it is searched."""

    domain: Literal["continuous", "grid", "pool"] = "continuous"
    """`continuous`: the whole box, by a particle swarm and gradients. `grid`: `grid_points` per parameter. `pool`:
    the candidates of `pool`."""
    grid_points: int = Field(default=0, ge=0)
    """Per parameter, at least 2; for `domain: grid`."""
    pool: list[dict[str, ParameterValue]] = Field(default_factory=list)
    """Candidates, each with a value of every parameter; for `domain: pool`."""
    swarm_size: int = Field(default=200, gt=0)
    """Particles; for `domain: continuous`."""
    swarm_iterations: int = Field(default=40, gt=0)
    """Steps of the swarm; for `domain: continuous`."""
    restarts: int = Field(default=8, ge=0)
    """Gradient ascents from the swarm's best points; for `domain: continuous`."""
    lines: LineSpec | None = None
    """Search along lines; for `domain: continuous` and methods that certify."""


class ConfidenceSpec(_Strict):
    """How beta grows with the number of observations; `safebo.models.schedules` has formulas and sources."""

    schedule: Literal[
        "constant", "posterior", "srinivas2010", "sui2015", "chowdhury2017", "fiedler2024", "logarithmic"
    ] = "constant"
    """`constant`: `tuner.beta`. `posterior` and `srinivas2010` (finite domains) are for functions that are samples
    of the prior; `sui2015`, `chowdhury2017` and `fiedler2024` for functions of bounded norm; `logarithmic` (Wang et
    al. 2024) and `constant` promise nothing."""
    delta: float = Field(default=0.05, gt=0, lt=1)
    """Probability that some interval is wrong, shared by all functions. Not read by `constant` and `logarithmic`."""
    norm: float = Field(default=1.0, gt=0)
    """B: bound of every function's norm in its kernel's space; for `sui2015`, `chowdhury2017`, `fiedler2024`. Told too
    small it is refuted where no function of that norm fits the measurements; `surrogate.on_alarm` says what then."""
    noise_bound: float | None = Field(default=None, gt=0)
    """R: sub-Gaussian bound of the noise, warped, for `chowdhury2017` and `fiedler2024`; each function's
    `noise_std` when left out."""
    intersect: bool = False
    """Keep every interval inside all earlier ones. Not with `hyperparameters: map` or `bayes`, nor with
    `schedule: posterior`."""


class TransductiveSpec(_Strict):
    """What `itl`, `vtl`, `ctl`, `ctl_squared` and `mm_itl` learn about (Huebotter et al. 2024)."""

    targets: Literal[
        "potential_maximizers", "potential_expanders", "thompson", "lite", "optimistic", "domain", "region"
    ] = "potential_maximizers"
    """The target space: `potential_maximizers` (their A_n), `potential_expanders`, `thompson` and `lite` (points
    drawn as feasible maxima), `optimistic` (the point of the largest upper bound), `domain` (everything), or
    `region` (the box of `region`)."""
    region: dict[str, Interval] = Field(default_factory=dict)
    """Lower and upper bound by parameter, in its unit; for `targets: region`."""
    samples: int = Field(default=10, gt=0)
    """Draws of `thompson` and `lite`; sampled optima of the methods `mes` and `ise_bo`."""
    count: int = Field(default=128, gt=0)
    """Most targets that are kept in a continuous box; also places of `ise` and `ise_bo`."""


class TunerSpec(_Strict):
    """The method, and beta: bounds are mean -/+ beta * std."""

    method: str = "safe_ucb"
    """A name of the table below (`safebo methods`). Hyphens count as underscores. With `objective.kind: preference`
    `eubo` when left out."""
    confidence: ConfidenceSpec = Field(default_factory=ConfidenceSpec)
    """How beta grows."""
    certificate: Literal["bounds", "lipschitz", "measured"] = "bounds"
    """What makes parameters safe. `bounds`: lower confidence bounds alone. `lipschitz`: lower bounds at tried
    parameters less `lipschitz` times the distance (equation 15 of Widmer et al. 2023). `measured`: measured margins
    less `measured_noise` and less `lipschitz` times the distance (LoSBO, Fiedler et al. 2024)."""
    measured_noise: list[float] | None = None
    """Largest possible noise of each constraint, warped, in the order of `constraints`; for `certificate: measured`."""
    stage_trials: int | None = Field(default=None, ge=0)
    """Trials of a context after which expansion ends; when left out it ends converged. For `stageopt`."""
    transductive: TransductiveSpec = Field(default_factory=TransductiveSpec)
    """For the transductive and information methods."""
    optimism: float | None = Field(default=None, ge=0)
    """Multiple of the objective's standard deviation that `safe_ucb`, `los_gp_ucb`, `goose` and the second stage of
    `stageopt` add to its mean; `beta` when left out. It certifies nothing."""
    local_method: str = "safeopt"
    """Rule of the local phases of `gosafeopt`: a method that is one certified acquisition."""
    expander_rule: Literal["all", "any"] = "all"
    """An expander can certify another point for all constraints, or for one. For `safeopt`, `stageopt` and methods
    made of them."""
    beta: float = Field(default=4.0, gt=0)
    """Multiplies the standard deviation, for `confidence.schedule: constant`. Safety rests on it."""
    epsilon: float = Field(default=0.05, ge=0)
    """Width, in prior standard deviations, under which `stageopt` and `goose` no longer expand and a local phase of
    `gosafeopt` has converged."""
    lipschitz: list[float] | None = None
    """Constant of each constraint, > 0, in the order of `constraints`: warped margin per unit of distance in the unit
    cube; for `certificate: lipschitz` and `measured`."""
    backup: BackupSpec = Field(default_factory=BackupSpec)
    """For `gosafeopt`."""
    exploration: GlobalSpec = Field(default_factory=GlobalSpec)
    """For `gosafeopt`."""
    search: SearchSpec = Field(default_factory=SearchSpec)
    """Of all methods."""
    rounding: Literal["range", "digits"] = "range"
    """Of proposals. `range`: to a millionth of the way between the bounds, on the parameter's scale. `digits`: to six
    significant digits, as earlier versions did; their runs keep it when they are resumed."""


class Study(_Strict):
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
