"""Checks of a study's tuner section: names that do not exist, and keys that contradict each other or the study."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Sequence

from safebo.boundary.calibration import fewest_episodes
from safebo.files.problems import KeyPath, Problem, unknown
from safebo.study import LEARNED_RULE, PriorDataSpec, Study, TunerSpec
from safebo.study.axis import grid_sizes
from safebo.study.methods import ALIASES, METHODS, NORM_SCHEDULES, SAFE, canonical, certifies, configured
from safebo.study.noise_checks import noise_problems
from safebo.study.parameter_checks import value_problems
from safebo.study.preference_checks import preference_problems
from safebo.study.scenario_checks import scenario_problems
from safebo.study.time_checks import change_problems

MAX_GRID_POINTS = 4_000_000

DECLARED_CORRELATION, DECLARED_INFLATION = 0.8, 1.5
"""Of a prior run where they are declared and left out."""

_BANDS = (
    ("marginal_lower_bound", "interior_lower_bound"),
    ("tau_interior", "tau_marginal"),
    ("correlation_interior", "correlation_marginal"),
)
"""Numbers of `tuner.backup` of which the first is at most the second."""


def tuner_problems(study: Study) -> list[Problem]:
    """Everything wrong in the tuner section."""
    changes = study.surrogate.time is not None or any(v.measured for v in study.context.variables)
    return [
        *method_problems(study.tuner),
        *_confidence(study),
        *_certificate(study),
        *_horizon(study),
        *_transductive(study),
        *_search(study),
        *_backup(study.tuner),
        *(change_problems(study, as_configured(study.tuner)) if changes else ()),
        *_prior_data(study),
        *noise_problems(study, as_configured(study.tuner)),
        *scenario_problems(study, as_configured(study.tuner)),
        *preference_problems(study, as_configured(study.tuner)),
    ]


def as_configured(spec: TunerSpec) -> TunerSpec:
    """The section with what its method brings along; as it is where the method does not exist."""
    return spec if list(method_problems(spec)) else configured(spec)


def with_trust(study: Study, begun: Study | None = None) -> Study:
    """The study as it runs: whether priors are earned, where it leaves that open.

    Args:
        study: as it is declared.
        begun: the study of the run that goes on, which keeps what it began with; None for a new run.
    """
    if begun is not None:
        trust = begun.surrogate.trust or "declared"
    else:
        trust = study.surrogate.trust or ("earned" if _rests_on_lengthscales(study) else "declared")
    return study.model_copy(update={"surrogate": study.surrogate.model_copy(update={"trust": trust})})


def _rests_on_lengthscales(study: Study) -> bool:
    """Whether certificates are bounds of the surrogate that hold with its lengthscales alone."""
    tuner = as_configured(study.tuner)
    return (
        certifies(tuner.method)
        and tuner.certificate != "measured"
        and tuner.confidence.schedule not in NORM_SCHEDULES
        and bool(study.constraints)
    )


def prior_data(study: Study) -> PriorDataSpec:
    """How a study believes another run's trials, with what it leaves open filled in."""
    spec = study.surrogate.prior_data or PriorDataSpec()
    correlation = spec.correlation
    if correlation is None:
        correlation = DECLARED_CORRELATION if _not_earned(study) else "earned"
    inflation = spec.inflation or (1.0 if correlation == "earned" else DECLARED_INFLATION)
    return spec.model_copy(update={"correlation": correlation, "inflation": inflation})


def _not_earned(study: Study) -> str:
    """The key with which a correlation cannot be earned, and why; empty where there is none."""
    confidence = as_configured(study.tuner).confidence
    if study.surrogate.hyperparameters != "fixed":
        return f"surrogate.hyperparameters: {study.surrogate.hyperparameters} would fit every correlation its own"
    if confidence.intersect:
        return "tuner.confidence.intersect: true would intersect intervals of different correlations"
    if confidence.schedule in NORM_SCHEDULES:
        return f"the schedule {confidence.schedule} is for one kernel of a declared norm"
    return ""


def _prior_data(study: Study) -> Iterator[Problem]:
    spec = study.surrogate.prior_data
    if spec is not None and spec.correlation == "earned" and (why := _not_earned(study)):
        yield Problem(
            ("surrogate", "prior_data", "correlation"),
            f"'earned' needs fixed hyperparameters and bounds that hold for each correlation alone, and {why}: change "
            "that, or declare a number",
        )


def _unknown(name: str, allowed: Sequence[str]) -> str:
    """The unknown name, what was probably meant, and what is allowed; hyphens count as underscores."""
    close = difflib.get_close_matches(canonical(name.lower()), [*allowed, *ALIASES], n=1, cutoff=0.6)
    squeezed = {a.replace("_", ""): a for a in allowed}
    meant = squeezed.get(canonical(name.lower()).replace("_", ""), canonical(close[0]) if close else None)
    hint = "" if meant is None else f"; did you mean {meant!r}?"
    return f"{name!r}{hint} (allowed: {', '.join(allowed)})"


def method_problems(tuner: TunerSpec) -> Iterator[Problem]:
    """A method, or a rule of local phases, that does not exist."""
    name = canonical(tuner.method)
    if name not in METHODS:
        yield Problem(("tuner", "method"), f"unknown method {_unknown(tuner.method, list(METHODS))}")
    elif METHODS[name].local is None and canonical(tuner.local_method) not in SAFE:
        yield Problem(
            ("tuner", "local_method"),
            f"unknown rule of local phases {_unknown(tuner.local_method, SAFE)}",
        )


def _confidence(study: Study) -> Iterator[Problem]:
    tuner, path = study.tuner, ("tuner", "confidence")
    brought = as_configured(tuner).confidence.schedule
    declared, intersect = tuner.confidence.schedule, tuner.confidence.intersect
    checks = (
        (
            declared not in ("constant", brought),
            "schedule",
            f"{declared}, but method {tuner.method} brings its own schedule, {brought}: leave the key out",
        ),
        (
            brought == "srinivas2010" and tuner.search.domain == "continuous",
            "schedule",
            "srinivas2010 holds on finite domains: use tuner.search.domain: grid or pool, or another schedule "
            "(constant, posterior, sui2015, chowdhury2017, fiedler2024, logarithmic)",
        ),
        (
            brought == "posterior" and intersect,
            "intersect",
            "schedule: posterior promises delta for the present interval at the proposal alone, and earlier intervals "
            "were never promised there: use intersect: false, or another schedule",
        ),
        (
            brought == "posterior" and tuner.certificate == "lipschitz",
            "schedule",
            "schedule: posterior promises delta at the proposal alone, and certificate: lipschitz rests on bounds at "
            "all tried parameters: use certificate: bounds, or another schedule",
        ),
        (
            brought not in ("constant", "logarithmic")
            and study.surrogate.hyperparameters != "fixed"
            and study.surrogate.trust == "declared",
            "schedule",
            f"{brought} keeps its promise under the declared hyperparameters, and surrogate.hyperparameters: "
            f"{study.surrogate.hyperparameters} certifies with others: use fixed, or surrogate.trust: earned, where "
            "a fit only tightens",
        ),
        (
            intersect and study.surrogate.hyperparameters == "map",
            "intersect",
            "intervals of other hyperparameters cannot be intersected: use surrogate.hyperparameters: fixed, or "
            "intersect: false",
        ),
    )
    yield from (Problem((*path, key), message) for wrong, key, message in checks if wrong)


def _horizon(study: Study) -> Iterator[Problem]:
    if study.horizon is None:
        if study.early_end:
            yield Problem(
                ("early_end",),
                f"margins of shorter trials look better than they are: {study.early_end[0]} needs horizon",
            )
        return
    if not study.constraints:
        yield Problem(("horizon",), "says how long margins have to hold, and the study has no constraints")
    elif as_configured(study.tuner).certificate == "measured":
        yield Problem(
            ("horizon",),
            "margins of longer trials are estimated, with an error that no measured_noise bounds: use certificate: "
            "bounds, or leave horizon out",
        )


def _certificate(study: Study) -> Iterator[Problem]:
    tuner, count = study.tuner, len(study.constraints)
    certificate = as_configured(tuner).certificate
    declared: KeyPath = ("tuner", "certificate")
    where: KeyPath = declared if tuner.certificate == certificate else ("tuner", "method")
    said = (
        f"certificate: {certificate}"
        if where == declared
        else f"{tuner.method} certifies by measurements and"
    )
    if tuner.certificate not in ("bounds", certificate):
        yield Problem(
            declared,
            f"{tuner.certificate}, but method {tuner.method} brings its own, {certificate}: leave the key out",
        )
    if certificate != "bounds" and tuner.lipschitz is None:
        yield Problem(
            where,
            f"{said} needs tuner.lipschitz: one constant for each constraint ({count}), per unit of distance in the "
            "unit cube, on the warped scale",
        )
    if certificate == "measured" and tuner.measured_noise is None:
        yield Problem(
            where,
            f"{said} needs tuner.measured_noise: the largest noise of each constraint ({count}), warped",
        )
    yield from _one_for_each(tuner.lipschitz, count, ("tuner", "lipschitz"), "constant", "> 0")
    yield from _one_for_each(tuner.measured_noise, count, ("tuner", "measured_noise"), "number", ">= 0")


def _one_for_each(
    values: Sequence[float] | None, count: int, path: KeyPath, what: str, allowed: str
) -> Iterator[Problem]:
    if values is not None and len(values) != count:
        yield Problem(path, f"needs one {what} for each constraint: {count}, not {len(values)}")
    for index, value in enumerate(values or ()):
        if not (math.isfinite(value) and (value > 0 or (value == 0 and allowed == ">= 0"))):
            yield Problem((*path, index), f"must be a number {allowed}, not {value:g}")


def _transductive(study: Study) -> Iterator[Problem]:
    spec = study.tuner.transductive
    path: KeyPath = ("tuner", "transductive", "region")
    parameters = {p.name: p for p in study.parameters}
    if spec.targets == "region" and not spec.region:
        yield Problem(
            path,
            "targets: region needs bounds of at least one parameter, as in region: "
            f"{{{study.parameters[0].name}: [lower, upper]}}",
        )
    if spec.region and spec.targets != "region":
        yield Problem(path, f"a region belongs to targets: region, not {spec.targets}")
    for name, (lower, upper) in spec.region.items():
        where: KeyPath = (*path, name)
        if name not in parameters:
            yield unknown(where, "parameter", name, parameters)
        elif parameters[name].choices:
            yield Problem(where, f"{name!r} is a choice; a region is of numbers")
        elif not lower <= upper:
            yield Problem(where, f"[{lower:g}, {upper:g}] is reversed: give [lower, upper]")
        else:
            low, high = parameters[name].bounds
            if low < high and not low <= lower <= upper <= high:
                yield Problem(
                    where, f"[{lower:g}, {upper:g}] leaves the bounds [{low:g}, {high:g}] of {name!r}"
                )


def _search(study: Study) -> Iterator[Problem]:
    search, path = study.tuner.search, ("tuner", "search")
    domain, dimension = search.domain, len(study.parameters)
    points = math.prod(grid_sizes(study))
    method = METHODS.get(canonical(study.tuner.method))
    checks = (
        (
            domain == "grid" and search.grid_points < 2,
            "grid_points",
            f"domain: grid needs at least 2 points per parameter, not {search.grid_points}",
        ),
        (
            domain == "grid" and points > MAX_GRID_POINTS,
            "grid_points",
            f"{search.grid_points} in {dimension} dimensions is {points:,} points; at most "
            f"{MAX_GRID_POINTS:,} are allowed: use fewer, or domain: continuous",
        ),
        (
            search.grid_points and domain != "grid",
            "grid_points",
            f"grid points belong to domain: grid, not {domain}",
        ),
        (
            domain == "pool" and not search.pool,
            "pool",
            "domain: pool needs a list of candidates, each with every parameter",
        ),
        (search.pool and domain != "pool", "pool", f"a pool belongs to domain: pool, not {domain}"),
        (
            search.lines is not None and domain != "continuous",
            "lines",
            f"lines belong to domain: continuous, not {domain}",
        ),
        (
            search.lines is not None and method is not None and method.safety == "baseline",
            "lines",
            f"lines are for safe methods, and {study.tuner.method} certifies nothing and is searched in the whole box: "
            "drop the key or change tuner.method",
        ),
    )
    yield from (Problem((*path, key), message) for wrong, key, message in checks if wrong)
    for index, row in enumerate(search.pool):
        yield from value_problems(study, row, (*path, "pool", index))


def _backup(tuner: TunerSpec) -> Iterator[Problem]:
    for name, scale in tuner.backup.state_scale.items():
        if not (math.isfinite(scale) and scale > 0):
            yield Problem(("tuner", "backup", "state_scale", name), f"must be a number > 0, not {scale:g}")
    for less, more in _BANDS:
        low, high = getattr(tuner.backup, less), getattr(tuner.backup, more)
        if low > high:
            yield Problem(
                ("tuner", "backup", less),
                f"{low:g} exceeds {more}, {high:g}: interior backups must reach at least as far as marginal ones",
            )
    rule, alpha, count = tuner.backup.rule, tuner.backup.alpha, tuner.backup.calibration
    least = fewest_episodes(alpha)
    if rule == LEARNED_RULE and count < least:
        yield Problem(
            ("tuner", "backup", "calibration"),
            f"alpha: {alpha:g} needs at least {least} trials to calibrate with (1 / alpha - 1), not {count}: ask for "
            "more, or allow a larger alpha",
        )
