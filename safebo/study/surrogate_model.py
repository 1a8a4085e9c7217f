"""The models of a study's surrogate: what is believed of objective and constraints before a measurement."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from safebo.study.duration import Duration
from safebo.study.model_parts import Strict

Factor = Annotated[float, Field(gt=0, lt=1)]
"""Of lengthscales."""


def _listed(value: Any) -> Any:
    """One number as a list of one."""
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else value


class PriorDataSpec(Strict):
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


class TimeSpec(Strict):
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


class SurrogateSpec(Strict):
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
