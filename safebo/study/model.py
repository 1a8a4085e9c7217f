"""The study: which gains may change, what is good, what is safe, and how to search.

These models are the YAML file: one object, one file. Unknown keys are refused.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _one_context() -> dict[str, dict[str, float]]:
    return {"default": {}}


class EvaluatorSpec(_Strict):
    """Which evaluator runs the trials (an entry point of `safebo.evaluators`) and its options."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class Parameter(_Strict):
    """A gain that the tuner may choose."""

    name: str
    bounds: tuple[float, float]
    unit: str = ""
    scale: Literal["linear", "log"] = "linear"
    lengthscale: float | None = Field(default=None, gt=0, description="in the unit cube")
    period: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="values so far apart, in its unit, are the same"
    )
    description: str = ""


class ContextVariable(_Strict):
    """A number that the user sets and the tuner does not choose."""

    name: str
    bounds: tuple[float, float]
    unit: str = ""
    lengthscale: float | None = Field(default=None, gt=0, description="in the unit cube")
    period: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="values so far apart, in its unit, are the same"
    )


class SchedulePhase(_Strict):
    """So many trials in one named context, its seeds included."""

    context: str
    trials: int = Field(gt=0)


class ContextSpec(_Strict):
    """Context variables, named values of them, and the order in which they are tuned."""

    variables: list[ContextVariable] = Field(default_factory=list)
    values: dict[str, dict[str, float]] = Field(default_factory=_one_context)
    schedule: list[SchedulePhase] = Field(default_factory=list)
    predict: list[str] = Field(default_factory=list, description="contexts only predicted, never tried")


class Warp(_Strict):
    """A strictly increasing map from a function's own unit to the scale on which it is modelled.

    `identity`: w(y) = y / scale. `log`: w(y) = log(scale) - log(upper - y), for y below `upper`; with
    scale = upper = v it maps the margin v - e to log v - log e and keeps zero at zero. The result is clipped
    to +-clip.
    """

    kind: Literal["identity", "log"] = "identity"
    scale: float = Field(default=1.0, gt=0)
    upper: float = 0.0
    clip: float = Field(default=1e6, gt=0)


class FunctionSpec(_Strict):
    """How one function (objective or constraint) is modelled; its numbers are on the warped scale.

    `quantity` is the evaluator's name for it. A constraint is safe when its margin >= 0.
    """

    name: str
    quantity: str = ""
    unit: str = ""
    warp: Warp = Field(default_factory=Warp)
    prior_mean: float = 0.0
    prior_std: float = Field(default=1.0, gt=0)
    noise_std: float = Field(default=0.05, gt=0)


def quantity_of(function: FunctionSpec) -> str:
    """The evaluator's name for a function of the study: its `quantity`, or its own name without one."""
    return function.quantity or function.name


class Seed(_Strict):
    """Parameters known to be safe in a context. Every context that is tuned needs one."""

    context: str = "default"
    parameters: dict[str, float]


class PriorDataSpec(_Strict):
    """How the trials of another run of the study, usually in simulation, inform this one (`Tuner(prior=...)`).

    - `correlation`: of the two runs' functions at the same inputs. Safety rests on it: declare what was measured on
      earlier gains, or less
    - `std_ratio`: the simulation's prior standard deviation over the robot's
    - `discrepancy_lengthscale`: lengthscales of the part that the simulation does not explain, over the function's
    - `inflation`: beta is multiplied by it while the simulation is believed, for the correlation may be wrong
    - `checked`: so many trials of this run test the simulation. When they contradict it, it is dropped
    - `level`: how often a simulation that deserves belief may be dropped

    Far from this run's own trials, the bounds of a function that was simulated there are `sqrt(1 - correlation^2)
    inflation` times as wide as without: 0.9 times with the defaults, which save little, 0.65 times with correlation
    0.9. A simulation that only keeps the search where both agree is not contradicted: it costs trials, unnoticed.
    """

    correlation: float = Field(default=0.8, ge=0, le=1)
    std_ratio: float = Field(default=1.0, gt=0)
    discrepancy_lengthscale: float = Field(default=1.0, gt=0)
    inflation: float = Field(default=1.5, ge=1)
    checked: int = Field(default=10, gt=0)
    level: float = Field(default=0.01, gt=0, lt=1)


class SurrogateSpec(_Strict):
    """One Gaussian process per function over parameters and context, inputs in the unit cube.

    - `kernel`, `lengthscale` (parameters), `context_lengthscale`: of the functions. The prior variance is
      `prior_std^2` whatever the structure
    - `structure`: `joint` is one kernel over parameters and context; `product` is one of the parameters times one of
      the context, `sum` one plus the other with half the variance each (Krause and Ong 2011; table 1 of Widmer et al.
      2023), for contexts that shift the whole function; `additive` is the mean over `groups` of parameters (each
      alone unless given) of their kernels, each times the context's, for functions that are sums of low-dimensional
      ones (Duvenaud et al. 2011; SafeCtrlBO of Wang et al. 2024). A sum or mean certifies combinations never tried
      from parts that were: say it only of functions that are such sums
    - `hyperparameters`: `fixed` as declared; `map` refits lengthscales, variance and noise every `refit_every`
      trials to their most probable values; `bayes` averages the posteriors of `samples` draws of them, which is
      slower and widens intervals where the draws disagree. Priors are log-normal around the declared values
    - `prior_data`: how a simulation's trials inform the robot's, where they are given
    """

    kernel: Literal["matern12", "matern32", "matern52", "rbf"] = "matern32"
    lengthscale: float = Field(default=0.3, gt=0)
    context_lengthscale: float = Field(default=0.5, gt=0)
    structure: Literal["joint", "product", "sum", "additive"] = "joint"
    groups: list[list[str]] | None = Field(default=None, description="of parameters, for structure: additive")
    hyperparameters: Literal["fixed", "map", "bayes"] = "fixed"
    refit_every: int = Field(default=10, gt=0)
    samples: int = Field(default=8, ge=2, description="for hyperparameters: bayes")
    prior_data: PriorDataSpec | None = None


class BackupSpec(_Strict):
    """Backup states and the boundary condition that watches global trials (`safebo.boundary.rules` has the formulas).

    `rule`: `lipschitz` (Alg. 3 of Widmer et al. 2023) carries a guarantee when `lipschitz` and `inter_sample` are
    true bounds; `gaussian_tail` (their App. F.1), `kernel_covariance` (practical GoSafeOpt) and `cost_to_go`
    (after SOOPER) are heuristics.

    Lower bounds, `lipschitz` and `pessimism` are on the warped scale of the constraints, the last two per unit of
    scaled state distance. `state_scale` divides each state coordinate before distances are taken; missing names
    take the evaluator's scale. `capacity` caps the stored states.
    """

    rule: Literal["lipschitz", "gaussian_tail", "kernel_covariance", "cost_to_go"] = "lipschitz"
    lipschitz: float = Field(default=1.0, gt=0)
    inter_sample: float = Field(
        default=0.0, ge=0, description="scaled distance in one control period; lipschitz and cost_to_go"
    )
    interior_lower_bound: float = Field(default=0.5, description="gaussian_tail and kernel_covariance")
    marginal_lower_bound: float = Field(default=0.0, description="gaussian_tail and kernel_covariance")
    sigma: float = Field(default=2.0, gt=0)
    tau_interior: float = Field(default=0.2, gt=0, lt=1)
    tau_marginal: float = Field(default=0.6, gt=0, lt=1)
    state_kernel: Literal["matern12", "matern32", "matern52", "rbf"] = "matern32"
    state_lengthscale: float = Field(default=1.0, gt=0, description="in units of scaled distance")
    correlation_interior: float = Field(default=0.88, gt=0, lt=1)
    correlation_marginal: float = Field(default=0.95, gt=0, lt=1)
    pessimism: float = Field(default=1.0, gt=0, description="lambda of cost_to_go")
    capacity: int = Field(default=20_000, gt=0)
    state_scale: dict[str, float] = Field(default_factory=dict)


class GlobalSpec(_Strict):
    """How GoSafeOpt explores globally, when, and when it leaves a poor region.

    `rule`: `widest_outside` (equation 10 of Widmer et al. 2023), `maximin_distance` or `uncertainty_covariance`,
    the rules of the published codes. None carries a guarantee; what protects a global trial is `backup.rule`.
    """

    rule: Literal["widest_outside", "maximin_distance", "uncertainty_covariance"] = "widest_outside"
    local_steps: int = Field(default=10, gt=0)
    global_steps: int = Field(default=5, gt=0)
    patience: int = Field(default=5, gt=0, description="local steps in a new region before it is judged")
    tolerance: float = Field(
        default=0.9, gt=0, le=1, description="a region is left when clearly worse than this"
    )


class LineSpec(_Strict):
    """Search along lines through a certified point instead of the whole box (LineBO, Kirschner et al. 2019).

    `coordinate`: parameters in turn. `random`: random directions. `ascent`: gradients of the objective, from the
    surrogate. `anchor`: the lines pass through the certified tried point with the largest lower bound of the
    objective, or through the one tried last. Several lines at once cost computing time alone. A direction is kept
    for `trials` trials of its context, so that what the first ones show on a line is used there.
    """

    direction: Literal["coordinate", "random", "ascent"] = "ascent"
    count: int = Field(default=4, gt=0, description="lines of one trial; coordinate: at most one a parameter")
    points: int = Field(default=500, ge=16, description="of every line, before the best are refined")
    anchor: Literal["best", "last"] = "best"
    trials: int = Field(default=3, gt=0, description="of one context in the same directions")


class SearchSpec(_Strict):
    """How a proposal is searched in a continuous box, or the grid or pool of parameters it is taken from."""

    domain: Literal["continuous", "grid", "pool"] = "continuous"
    grid_points: int = Field(default=0, ge=0, description="per parameter, for domain: grid")
    pool: list[dict[str, float]] = Field(default_factory=list, description="candidates, for domain: pool")
    swarm_size: int = Field(default=200, gt=0)
    swarm_iterations: int = Field(default=40, gt=0)
    restarts: int = Field(default=8, ge=0)
    lines: LineSpec | None = Field(default=None, description="for domain: continuous")


class ConfidenceSpec(_Strict):
    """How beta grows with the number of observations; see `safebo.models.schedules` for formulas and sources.

    `norm` bounds every function's norm in its kernel's space (B) and `noise_bound` the noise on the warped scale
    (R; None takes each function's noise_std); both are read by sui2015, chowdhury2017 and fiedler2024 alone.
    `intersect` keeps every interval inside all earlier ones (fixed hyperparameters only).
    """

    schedule: Literal[
        "constant", "posterior", "srinivas2010", "sui2015", "chowdhury2017", "fiedler2024", "logarithmic"
    ] = "constant"
    delta: float = Field(default=0.05, gt=0, lt=1)
    norm: float = Field(default=1.0, gt=0)
    noise_bound: float | None = Field(default=None, gt=0)
    intersect: bool = False


class TransductiveSpec(_Strict):
    """What itl, vtl, ctl and their like learn about: a target space of `safebo.acquisition.transductive.targets`.

    `potential_maximizers` (A_n), `potential_expanders`, `thompson` and `lite` (points that are drawn as feasible
    maxima), `optimistic` (the point of the largest upper bound), `domain`, or `region`: a box by `region` bounds.
    """

    targets: Literal[
        "potential_maximizers", "potential_expanders", "thompson", "lite", "optimistic", "domain", "region"
    ] = "potential_maximizers"
    region: dict[str, tuple[float, float]] = Field(
        default_factory=dict, description="raw bounds by parameter"
    )
    samples: int = Field(default=10, gt=0, description="draws of thompson and lite, and optima of MES")
    count: int = Field(default=128, gt=0, description="most targets kept in a continuous box")


class TunerSpec(_Strict):
    """The method, and beta: bounds are mean -/+ beta * std.

    `certificate`: what makes parameters safe. `bounds`: lower confidence bounds alone. `lipschitz`: lower bounds
    at tried parameters less `lipschitz` times the distance (equation 15 of Widmer et al. 2023). `measured`:
    measured margins less `measured_noise` and less `lipschitz` times the distance (LoSBO, Fiedler et al. 2024).
    Constants are per unit of distance in the unit cube, on the warped scale, one for each constraint.
    """

    method: str = "safe_ucb"
    confidence: ConfidenceSpec = Field(default_factory=ConfidenceSpec)
    certificate: Literal["bounds", "lipschitz", "measured"] = "bounds"
    measured_noise: list[float] | None = Field(
        default=None,
        description="largest possible noise of every constraint, warped; for certificate: measured",
    )
    stage_trials: int | None = Field(
        default=None,
        ge=0,
        description="stageopt: trials of a context after which expansion ends; None: converged",
    )
    transductive: TransductiveSpec = Field(default_factory=TransductiveSpec)
    optimism: float | None = Field(
        default=None,
        ge=0,
        description="multiple of the objective's std that safe_ucb adds to its mean; beta when absent",
    )
    local_method: str = Field(default="safeopt", description="rule of the local phases of gosafeopt")
    expander_rule: Literal["all", "any"] = Field(
        default="all", description="an expander can certify another point for all constraints, or for one"
    )
    beta: float = Field(default=4.0, gt=0)
    epsilon: float = Field(default=0.05, ge=0, description="a local phase has converged under this width")
    lipschitz: list[float] | None = None
    backup: BackupSpec = Field(default_factory=BackupSpec)
    exploration: GlobalSpec = Field(default_factory=GlobalSpec)
    search: SearchSpec = Field(default_factory=SearchSpec)


class Study(_Strict):
    """A whole study file."""

    name: str
    description: str = ""
    evaluator: EvaluatorSpec
    parameters: list[Parameter] = Field(min_length=1)
    context: ContextSpec = Field(default_factory=ContextSpec)
    objective: FunctionSpec
    constraints: list[FunctionSpec] = Field(min_length=1)
    seeds: list[Seed] = Field(min_length=1)
    surrogate: SurrogateSpec = Field(default_factory=SurrogateSpec)
    tuner: TunerSpec = Field(default_factory=TunerSpec)
    trials: int = Field(default=50, gt=0)
    seed: int = Field(default=0, ge=0)
