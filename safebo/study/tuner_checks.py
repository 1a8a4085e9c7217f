"""Checks of a study's tuner section: names that do not exist, and keys that contradict each other or the study."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence

from safebo.study import Parameter, Study, TunerSpec
from safebo.study.methods import ALIASES, METHODS, SAFE, canonical, configured
from safebo.study.problems import KeyPath, Problem, did_you_mean

MAX_GRID_POINTS = 4_000_000

_BANDS = (
    ("marginal_lower_bound", "interior_lower_bound"),
    ("tau_interior", "tau_marginal"),
    ("correlation_interior", "correlation_marginal"),
)
"""Numbers of `tuner.backup` of which the first is at most the second."""


def tuner_problems(study: Study) -> list[Problem]:
    """Everything wrong in the tuner section."""
    return [
        *method_problems(study.tuner),
        *_confidence(study),
        *_certificate(study),
        *_transductive(study),
        *_search(study),
        *_backup(study.tuner),
    ]


def as_configured(spec: TunerSpec) -> TunerSpec:
    """The section with what its method brings along; as it is where the method does not exist."""
    return spec if list(method_problems(spec)) else configured(spec)


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
        message = f"unknown rule of local phases {_unknown(tuner.local_method, SAFE)}"
        yield Problem(("tuner", "local_method"), message)


def _confidence(study: Study) -> Iterator[Problem]:
    tuner, path = study.tuner, ("tuner", "confidence")
    brought = as_configured(tuner).confidence.schedule
    declared = tuner.confidence.schedule
    if declared not in ("constant", brought):
        message = (
            f"{declared}, but method {tuner.method} brings its own schedule, {brought}: leave the key out"
        )
        yield Problem((*path, "schedule"), message)
    if brought == "srinivas2010" and tuner.search.domain == "continuous":
        message = (
            "srinivas2010 holds on finite domains: use tuner.search.domain: grid or pool, or another schedule "
            "(constant, posterior, sui2015, chowdhury2017, fiedler2024, logarithmic)"
        )
        yield Problem((*path, "schedule"), message)
    if brought == "posterior" and tuner.confidence.intersect:
        message = (
            "schedule: posterior promises delta for the present interval at the proposal alone, and earlier intervals "
            "were never promised there: use intersect: false, or another schedule"
        )
        yield Problem((*path, "intersect"), message)
    if brought == "posterior" and tuner.certificate == "lipschitz":
        message = (
            "schedule: posterior promises delta at the proposal alone, and certificate: lipschitz rests on bounds at "
            "all tried parameters: use certificate: bounds, or another schedule"
        )
        yield Problem((*path, "schedule"), message)
    if tuner.confidence.intersect and study.surrogate.hyperparameters == "map":
        message = (
            "intervals of other hyperparameters cannot be intersected: use surrogate.hyperparameters: fixed, or "
            "intersect: false"
        )
        yield Problem((*path, "intersect"), message)


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
        message = (
            f"{tuner.certificate}, but method {tuner.method} brings its own, {certificate}: leave the key out"
        )
        yield Problem(declared, message)
    if certificate != "bounds" and tuner.lipschitz is None:
        message = (
            f"{said} needs tuner.lipschitz: one constant for each constraint ({count}), per unit of distance in the "
            "unit cube, on the warped scale"
        )
        yield Problem(where, message)
    if certificate == "measured" and tuner.measured_noise is None:
        message = f"{said} needs tuner.measured_noise: the largest noise of each constraint ({count}), warped"
        yield Problem(where, message)
    if tuner.lipschitz is not None:
        yield from _one_for_each(tuner.lipschitz, count, ("tuner", "lipschitz"), "constant", "> 0")
    if tuner.measured_noise is not None:
        path: KeyPath = ("tuner", "measured_noise")
        yield from _one_for_each(tuner.measured_noise, count, path, "number", ">= 0")


def _one_for_each(
    values: Sequence[float], count: int, path: KeyPath, what: str, allowed: str
) -> Iterator[Problem]:
    if len(values) != count:
        yield Problem(path, f"needs one {what} for each constraint: {count}, not {len(values)}")
    for index, value in enumerate(values):
        if not (math.isfinite(value) and (value > 0 or (value == 0 and allowed == ">= 0"))):
            yield Problem((*path, index), f"must be a number {allowed}, not {value:g}")


def _transductive(study: Study) -> Iterator[Problem]:
    spec = study.tuner.transductive
    path: KeyPath = ("tuner", "transductive", "region")
    parameters = {p.name: p for p in study.parameters}
    if spec.targets == "region" and not spec.region:
        message = (
            "targets: region needs bounds of at least one parameter, as in region: "
            f"{{{study.parameters[0].name}: [lower, upper]}}"
        )
        yield Problem(path, message)
    if spec.region and spec.targets != "region":
        yield Problem(path, f"a region belongs to targets: region, not {spec.targets}")
    for name, (lower, upper) in spec.region.items():
        where: KeyPath = (*path, name)
        if name not in parameters:
            yield Problem(where, f"unknown parameter {name!r}" + did_you_mean(name, parameters))
        elif not lower <= upper:
            yield Problem(where, f"[{lower:g}, {upper:g}] is reversed: give [lower, upper]")
        else:
            low, high = parameters[name].bounds
            if low < high and not low <= lower <= upper <= high:
                message = f"[{lower:g}, {upper:g}] leaves the bounds [{low:g}, {high:g}] of {name!r}"
                yield Problem(where, message)


def _search(study: Study) -> Iterator[Problem]:
    search, path = study.tuner.search, ("tuner", "search")
    if search.domain == "grid" and search.grid_points < 2:
        message = f"domain: grid needs at least 2 points per parameter, not {search.grid_points}"
        yield Problem((*path, "grid_points"), message)
    dimension = len(study.parameters)
    if search.domain == "grid" and search.grid_points**dimension > MAX_GRID_POINTS:
        message = (
            f"{search.grid_points} in {dimension} dimensions is {search.grid_points**dimension:,} points; at most "
            f"{MAX_GRID_POINTS:,} are allowed: use fewer, or domain: continuous"
        )
        yield Problem((*path, "grid_points"), message)
    if search.grid_points and search.domain != "grid":
        message = f"grid points belong to domain: grid, not {search.domain}"
        yield Problem((*path, "grid_points"), message)
    if search.domain == "pool" and not search.pool:
        yield Problem((*path, "pool"), "domain: pool needs a list of candidates, each with every parameter")
    if search.pool and search.domain != "pool":
        yield Problem((*path, "pool"), f"a pool belongs to domain: pool, not {search.domain}")
    parameters = {p.name: p for p in study.parameters}
    for index, row in enumerate(search.pool):
        yield from _pool_row(row, parameters, (*path, "pool", index))
    if search.lines is None:
        return
    if search.domain != "continuous":
        message = f"lines belong to domain: continuous, not {search.domain}"
        yield Problem((*path, "lines"), message)
    name = canonical(study.tuner.method)
    if name in METHODS and METHODS[name].safety == "baseline":
        message = (
            f"lines are for safe methods, and {study.tuner.method} certifies nothing and is searched in the whole box: "
            "drop the key or change tuner.method"
        )
        yield Problem((*path, "lines"), message)


def _pool_row(
    row: Mapping[str, float], parameters: Mapping[str, Parameter], path: KeyPath
) -> Iterator[Problem]:
    missing = [name for name in parameters if name not in row]
    if missing:
        yield Problem(path, f"gives no value for {', '.join(missing)}")
    for name, value in row.items():
        if name not in parameters:
            yield Problem((*path, name), f"unknown parameter {name!r}" + did_you_mean(name, parameters))
            continue
        lower, upper = parameters[name].bounds
        if lower < upper and not lower <= value <= upper:
            message = f"{value:g} is outside the bounds [{lower:g}, {upper:g}] of {name!r}"
            yield Problem((*path, name), message)


def _backup(tuner: TunerSpec) -> Iterator[Problem]:
    for name, scale in tuner.backup.state_scale.items():
        if not (math.isfinite(scale) and scale > 0):
            yield Problem(("tuner", "backup", "state_scale", name), f"must be a number > 0, not {scale:g}")
    for less, more in _BANDS:
        low, high = getattr(tuner.backup, less), getattr(tuner.backup, more)
        if low > high:
            message = f"{low:g} exceeds {more}, {high:g}: interior backups must reach at least as far as marginal ones"
            yield Problem(("tuner", "backup", less), message)
