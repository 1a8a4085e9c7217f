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
    description: str = ""


class ContextVariable(_Strict):
    """A number that the user sets and the tuner does not choose."""

    name: str
    bounds: tuple[float, float]
    unit: str = ""
    lengthscale: float | None = Field(default=None, gt=0, description="in the unit cube")


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


class Seed(_Strict):
    """Parameters known to be safe in a context. Every context that is tuned needs one."""

    context: str = "default"
    parameters: dict[str, float]


class SurrogateSpec(_Strict):
    """One Gaussian process per function over parameters and context, inputs in the unit cube.

    `hyperparameters: map` refits lengthscales, output scale and noise, with priors centred on the declared
    values.
    """

    kernel: Literal["matern12", "matern32", "matern52", "rbf"] = "matern32"
    lengthscale: float = Field(default=0.3, gt=0)
    context_lengthscale: float = Field(default=0.5, gt=0)
    hyperparameters: Literal["fixed", "map"] = "fixed"
    refit_every: int = Field(default=10, gt=0)


class BackupSpec(_Strict):
    """Backup states and the boundary condition that watches global trials.

    `rule`: `lipschitz` (Alg. 3 of Widmer et al.; carries a guarantee when `lipschitz` and `inter_sample` are
    true bounds) or `gaussian_tail` (their App. F.1; a heuristic). `state_scale` divides each state coordinate
    before distances are taken; missing names take the evaluator's scale. `capacity` caps the stored states.
    Lower bounds and `lipschitz` are on the warped scale of the constraints, the latter per unit of scaled
    state distance.
    """

    rule: Literal["lipschitz", "gaussian_tail"] = "lipschitz"
    lipschitz: float = Field(default=1.0, gt=0)
    inter_sample: float = Field(default=0.0, ge=0)
    sigma: float = Field(default=2.0, gt=0)
    tau_interior: float = Field(default=0.2, gt=0, lt=1)
    tau_marginal: float = Field(default=0.6, gt=0, lt=1)
    interior_lower_bound: float = 0.5
    marginal_lower_bound: float = 0.0
    capacity: int = Field(default=20_000, gt=0)
    state_scale: dict[str, float] = Field(default_factory=dict)


class GlobalSpec(_Strict):
    """When GoSafeOpt explores globally and when it leaves a poor region."""

    local_steps: int = Field(default=10, gt=0)
    global_steps: int = Field(default=5, gt=0)
    patience: int = Field(default=5, gt=0, description="local steps in a new region before it is judged")
    tolerance: float = Field(
        default=0.9, gt=0, le=1, description="a region is left when clearly worse than this"
    )


class SearchSpec(_Strict):
    """How a proposal is searched in a continuous box, or the grid it is taken from."""

    domain: Literal["continuous", "grid"] = "continuous"
    grid_points: int = Field(default=0, ge=0, description="per parameter, for domain: grid")
    swarm_size: int = Field(default=200, gt=0)
    swarm_iterations: int = Field(default=40, gt=0)
    restarts: int = Field(default=8, ge=0)


class TunerSpec(_Strict):
    """The method, and beta: bounds are mean -/+ beta * std."""

    method: str = "safe_ucb"
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
