"""The methods that a study can name, what each is made of, and what it promises. Loads no torch.

An acquisition (`safebo.acquisition`) is one rule; a method is what a study asks for: the rule of its local phases,
the certificate and the schedule of beta that belong to it, and, where it explores globally, the rule of its global
phases.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, get_args

from safebo.errors import StudyError, UnknownNameError
from safebo.study import Study, TunerSpec
from safebo.study.axis import domain_size

Safety = Literal["certified", "watched", "baseline"]
"""While it learns: every trial is certified; global trials are watched instead; nothing is promised."""


@dataclass(frozen=True)
class Method:
    """What `tuner.method` names.

    Args:
        name: of the method.
        summary: what it does, in one line.
        local: acquisition of the local phases; None when the study's `tuner.local_method` chooses it.
        exploration: acquisition of the global phases unless `tuner.exploration.rule` names another; None for a
            method without them.
        certificate: the certificate that belongs to the method; None when the study's counts.
        schedule: likewise of beta.
        safety: what it promises while it learns.

    Example:
        >>> METHODS["safeopt"].safety
        'certified'
    """

    name: str
    summary: str
    local: str | None
    exploration: str | None = None
    certificate: Literal["measured"] | None = None
    schedule: Literal["fiedler2024"] | None = None
    safety: Safety = "certified"


_RULES = {
    "safe_ucb": "largest upper bound of the objective among certified points (GP-UCB made safe)",
    "safeopt": "widest interval among maximizers and expanders (Sui et al. 2015; Berkenkamp et al. 2016)",
    "stageopt": "first the widest expander, then Safe-UCB (Sui et al. 2018)",
    "goose": "expands only towards where GP-UCB wants to evaluate (Turchetta et al. 2019)",
    "itl": "most information about the target space, by default the potential maximizers (Huebotter et al. 2024)",
    "vtl": "smallest remaining variance of the target space (Huebotter et al. 2024)",
    "ctl": "largest correlation with the target space (Huebotter et al. 2024)",
    "ctl_squared": "as ctl with squared correlations",
    "mm_itl": "information about every target alone, summed; faster than itl",
    "undirected": "uncertainty sampling among certified points, without a target",
    "ise": "most information about what is safe; does not look at the objective (Bottero et al. 2022)",
    "ise_bo": "the larger of ise and mes: explores safety and the maximum (Bottero et al. 2024)",
    "mes": "most information about the maximum's value among certified points (Wang and Jegelka 2017)",
    "eubo": "largest expected utility of the better one of the best tried point and a new certified one: pairs for a "
    "person to compare (Lin et al. 2022)",
    "random_safe": "the certified point nearest to one drawn at random",
}

_BASELINES = {
    "gp_ucb": "largest upper bound of the objective, constraints or not (Srinivas et al. 2010)",
    "ei": "expected improvement, constraints or not",
    "constrained_ei": "expected improvement times the probability of feasibility (Gardner et al. 2014)",
    "qlognei": "BoTorch's constrained log noisy expected improvement",
    "scbo": "trust regions and Thompson samples under constraints (Eriksson and Poloczek 2021)",
    "random": "points drawn at random",
}

SAFE = tuple(_RULES)
"""Methods that are one acquisition over the certified set."""

BASELINES = tuple(_BASELINES)
"""Methods that certify nothing."""

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        *[Method(name, summary, name) for name, summary in _RULES.items()],
        Method(
            "real_beta_safeopt",
            "SafeOpt whose beta comes from the determinant of the data itself (Fiedler et al. 2024)",
            "safeopt",
            schedule="fiedler2024",
        ),
        Method(
            "losbo",
            "SafeOpt certified by measurements, Lipschitz and noise bounds alone (LoSBO, Fiedler et al. 2024)",
            "safeopt",
            certificate="measured",
        ),
        Method(
            "los_gp_ucb",
            "Safe-UCB with the certificate of losbo: for many parameters (Fiedler et al. 2024)",
            "safe_ucb",
            certificate="measured",
        ),
        Method(
            "gosafeopt",
            "local_method in turn with global trials that a monitor watches (Sukhija et al. 2023)",
            None,
            "widest_outside",
            safety="watched",
        ),
        *[Method(name, summary, name, safety="baseline") for name, summary in _BASELINES.items()],
    )
}

NORM_SCHEDULES = ("sui2015", "chowdhury2017", "fiedler2024")
"""Schedules of beta that rest on a declared norm."""

BUILT_IN = frozenset(METHODS)
"""Names of the methods that safebo itself has."""


def register_method(method: Method) -> None:
    """Put a method of your own on the list, for this process.

    Its acquisition is registered with `safebo.acquisition.register`.

    Raises:
        StudyError: a method has that name, or its `safety` is none.

    Example:
        >>> register_method(Method("widest_first", "widest interval among certified points", "undirected"))
        >>> METHODS["widest_first"].safety
        'certified'
    """
    name = method.name
    if canonical(name) != name or name in METHODS:
        raise StudyError(f"method {name!r}: the name is taken, or has a hyphen")
    if method.safety not in get_args(Safety):
        raise StudyError(
            f"method {name!r}: safety {method.safety!r} is not one of {', '.join(get_args(Safety))}"
        )
    METHODS[name] = method


ALIASES = {"ucb": "gp_ucb"}


def canonical(name: str) -> str:
    """A name as the tables have it: hyphens count as underscores (`mm-itl`), and `ucb` is `gp_ucb`."""
    name = name.replace("-", "_")
    return ALIASES.get(name, name)


def certifies(name: str) -> bool:
    """Whether trials of a method are certified or watched; False for a method that does not exist."""
    found = METHODS.get(canonical(name))
    return found is not None and found.safety != "baseline"


def method(name: str) -> Method:
    """The method of that name.

    Raises:
        UnknownNameError: there is none.
    """
    if canonical(name) not in METHODS:
        raise UnknownNameError("tuner.method", name, sorted(METHODS))
    return METHODS[canonical(name)]


def configured(spec: TunerSpec) -> TunerSpec:
    """The tuner section with the certificate and the schedule that its method brings along.

    Raises:
        UnknownNameError: an unknown method, or a `local_method` that certifies nothing.
    """
    chosen = method(spec.method)
    update: dict[str, object] = {"method": chosen.name}
    if chosen.local is None:
        if canonical(spec.local_method) not in SAFE:
            raise UnknownNameError("tuner.local_method", spec.local_method, SAFE)
        update["local_method"] = canonical(spec.local_method)
    if chosen.certificate is not None:
        update["certificate"] = chosen.certificate
    if chosen.schedule is not None:
        update["confidence"] = spec.confidence.model_copy(update={"schedule": chosen.schedule})
    return spec.model_copy(update=update)


def first_beta(study: Study, function: int, observations: Literal[0, 1] = 0) -> float:
    """Multiplier of a function's standard deviation, by the formulas of `safebo.models.schedules` at n = 0 or 1.

    There the information gain has a closed form, and a schedule is a number of delta, the norm and the noise alone.

    Args:
        study: the study; its method exists.
        function: index, the objective first.
        observations: of the function.
    """
    tuner, functions = configured(study.tuner), (study.objective, *study.constraints)
    spec, chosen, n = tuner.confidence, functions[function], observations
    delta = spec.delta / len(functions)  # the functions share delta equally
    # R / sqrt(lambda): the noise bound over the noise's standard deviation in the surrogate
    ratio = 1.0 if spec.noise_bound is None else spec.noise_bound / chosen.noise_std
    gain = n * 0.5 * math.log1p((chosen.prior_std / chosen.noise_std) ** 2)
    largest = gain / (1.0 - math.exp(-1.0))
    if spec.schedule == "constant":
        return tuner.beta
    if spec.schedule == "posterior":
        return -NormalDist().inv_cdf(6.0 * delta / (math.pi * (n + 1)) ** 2)
    if spec.schedule == "srinivas2010":
        points = max(domain_size(study) or 1, 1)
        return math.sqrt(2.0 * math.log(points * ((n + 1) * math.pi) ** 2 / (6.0 * delta)))
    if spec.schedule == "sui2015":
        return math.sqrt(2.0 * spec.norm**2 + 300.0 * largest * math.log((n + 1) / delta) ** 3)
    if spec.schedule == "chowdhury2017":
        return spec.norm + ratio * math.sqrt(2.0 * (largest + 1.0 - math.log(delta)))
    if spec.schedule == "fiedler2024":
        return spec.norm + ratio * math.sqrt(2.0 * (2.0 * gain - math.log(delta)))
    return 2.0 * math.log(n + 1)  # logarithmic
