"""The models of a study's tuner: method, confidence, search, exploration and backups."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from safebo.study.model_parts import Interval, NumberOrChange, ParameterValue, Strict

LEARNED_RULE = "margin_to_go"
"""The `tuner.backup.rule` whose monitor is learned in simulation."""


class BackupSpec(Strict):
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


class GlobalSpec(Strict):
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


class LineSpec(Strict):
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


class SearchSpec(Strict):
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


class ConfidenceSpec(Strict):
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


class TransductiveSpec(Strict):
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


class TunerSpec(Strict):
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
    optimism: NumberOrChange | None = None
    """Multiple of the objective's standard deviation that `safe_ucb`, `los_gp_ucb`, `goose` and the second stage of
    `stageopt` add to its mean; `beta` when left out. It certifies nothing. Two values are those of a context's first
    and last planned trial: [1.5, 0.7] learns early and uses late what was learned."""
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
