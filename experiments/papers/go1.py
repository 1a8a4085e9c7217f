"""The simulated Go1 of Widmer et al. 2023 as studies.

The paper publishes neither ranges nor initial gains nor the limit nor the impedance that its disturbance adds; those
below are ours, with the reason beside each.
"""

from __future__ import annotations

from typing import Any

from safebo.evaluators.source import EvaluatorSource
from safebo.experiments.bench.study_problem import scheduled
from safebo.study import SchedulePhase, Seed, Study
from safebo.study.reading import load_study

TRIALS, ALONE = 60, 20
"""Of a run of both gaits, two thirds of them in trot (the paper: 500 and 250), and of crawl alone."""

NO_COST = {"trot": 0.0, "crawl": 0.0}
SOURCE = "no error at all, which no gains reach: regret is the cost"

IMPEDANCE = (-5.0, -0.5)
"""N m/rad and N m s/rad on every joint, beside the paper's torque factors. With the -20 N m/rad of the shipped studies
a soft joint buckles within 20 ms, from walking well to falling: a cliff that breaks the continuity which the paper
assumes, and conditions on states see it too late. With -5 gains go bad by degrees and hardly any fall."""

RANGES = {"kp": (15.0, 100.0), "kd": (1.0, 6.0)}
"""N m/rad and N m s/rad, of all three joints, logarithmic: wide enough for soft gains that sag and damped ones that
shake, narrow enough that most gains walk. Of 60 random gains none violates in trot and 5 do in crawl, of the 64 corners
9 and 16; the paper's GP-UCB violated in 4.7 % and 8 % of its trials."""

INITIAL = {"kp": 60.0, "kd": 1.2}
"""Of all three joints in both gaits: safe (a twelfth and a sixth of the limit), and poor for want of damping (cost 5.4
and 4.2; random gains go down to 1.4 and 1.5)."""

LIMIT = 0.3
"""Of the squared angle errors of all joints together, rad^2. Initial and good gains stay under 0.06, so that the
robot can leave the states that backups have seen and be caught before the limit: with 0.15 some were caught late."""

TYPICAL_COST = 3.7
"""Prior mean of the objective, the median of 60 random gains in both gaits: rewards that are normalised, as in the
paper, have a prior mean of 0. With a mean that is worse than nearly all gains, GP-UCB never leaves what it knows."""

LENGTHSCALE = 0.1
"""Of gains, in the unit cube, as in the paper's simulation (there 0.1 and 0.05 in turn). The functions are smoother: of
100 random gains (kp from 20, kd to 5) the likelihood is largest at lengthscales beyond 4. Cautious, therefore."""

CONTEXT_LENGTHSCALE = 1.25
"""Trot and crawl then correlate by 0.84 (60 random gains: 0.88 for the warped constraint, 0.68 for the cost; the paper
has 0.1, of contexts whose scaling it does not give). Gains are certified in crawl by trot alone from a margin of about
2.5 in trot on, on the warped scale; of the 33 random gains with more than 2 there, none violates in crawl."""

SIGMA, TAU_INTERIOR, TAU_MARGINAL, INTERIOR = 0.75, 0.2, 0.6, 1.0
"""Of the Gaussian-tail rule, with the two probabilities published for the simulation (sigma is 2 there, of states whose
scaling it does not give). A state is covered within 0.96 units of scaled distance of an interior backup's states, 0.39
of a marginal one's; interior are gains whose error is certified to be e times under the limit. With 1.5 and 2 unsafe
gains went through in crawl, with 1 one global trial of 79 was caught too late:
`safebo.experiments.papers.go1_boundary`."""

UNWATCHED = 1e6
"""Scale of the joint speeds: they do not count, as in the objective of the paper's hardware. With them unsafe gains
were recognised later for the same number of safe ones let through (measured with the shipped impedance)."""

STATE_EVERY, CAPACITY = 2, 150_000
"""Control ticks between two stored states and the most that are kept: every trial of a gait in full. With ten ticks the
nearest stored state is often that of another moment of the stride, and the rule tells gains apart less well."""

LOCAL_STEPS, GLOBAL_STEPS, PATIENCE = 10, 5, 5
"""As published (appendix F)."""


def trot_then_crawl() -> Study:
    """Trot, then crawl."""
    return _study({"trot": TRIALS - ALONE, "crawl": ALONE})


def crawl_alone() -> Study:
    """Crawl from the start."""
    return _study({"crawl": ALONE})


def phases(trials: int) -> dict[str, int]:
    """Trials of each gait in a run of both of another length."""
    return {phase.context: phase.trials for phase in scheduled(trot_then_crawl(), trials).context.schedule}


def _study(lengths: dict[str, int]) -> Study:
    """The shipped study `go1-gaits` with the numbers of this module, and without recorded trajectories."""
    study = load_study("go1-gaits").study
    schedule = [SchedulePhase(context=name, trials=trials) for name, trials in lengths.items()]
    kinds = {p.name: p.name.rsplit(".", 1)[1] for p in study.parameters}
    parameters = [
        p.model_copy(update={"bounds": RANGES[kinds[p.name]], "scale": "log"}) for p in study.parameters
    ]
    initial = {name: INITIAL[kind] for name, kind in kinds.items()}
    options: dict[str, Any] = {
        **study.evaluator.options,
        "telemetry": False,
        "disturbance": {"preset": study.evaluator.options["disturbance"], "joint_impedance": list(IMPEDANCE)},
        "limits": {"tracking": LIMIT},
        "state_every": STATE_EVERY,
        "state_choice": "even",
    }
    cost = study.objective.warp.model_copy(update={"scale": TYPICAL_COST})
    error = study.constraints[0].warp.model_copy(update={"upper": LIMIT, "scale": LIMIT})
    lengthscales = {"lengthscale": LENGTHSCALE, "context_lengthscale": CONTEXT_LENGTHSCALE}
    backup = study.tuner.backup.model_copy(
        update={
            "rule": "gaussian_tail",
            "sigma": SIGMA,
            "tau_interior": TAU_INTERIOR,
            "tau_marginal": TAU_MARGINAL,
            "interior_lower_bound": INTERIOR,
            "capacity": CAPACITY,
            "state_scale": _state_scale(study),
        }
    )
    exploration = study.tuner.exploration.model_copy(
        update={"local_steps": LOCAL_STEPS, "global_steps": GLOBAL_STEPS, "patience": PATIENCE}
    )
    return study.model_copy(
        update={
            "name": "go1-widmer2023",
            "evaluator": study.evaluator.model_copy(update={"options": options}),
            "parameters": parameters,
            "context": study.context.model_copy(update={"schedule": schedule, "predict": []}),
            "objective": study.objective.model_copy(update={"warp": cost}),
            "constraints": [study.constraints[0].model_copy(update={"warp": error})],
            "seeds": [Seed(context=name, parameters=initial) for name in lengths],
            "surrogate": study.surrogate.model_copy(update=lengthscales),
            "tuner": study.tuner.model_copy(update={"backup": backup, "exploration": exploration}),
            "trials": sum(lengths.values()),
        }
    )


def _state_scale(study: Study) -> dict[str, float]:
    """The evaluator's scales, joint speeds left out."""
    states = EvaluatorSource(study).make().info().states
    return {s.name: UNWATCHED if s.name.startswith("speed.") else s.scale for s in states}
