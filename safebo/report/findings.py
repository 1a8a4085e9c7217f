"""What a run found, how sure that is, what limits it, and the next command: sentences for people, most urgent first.

One function from a run to its findings, from what its journal and its best gains say: the report's top, the end of
`safebo show` and the last lines of `safebo tune` are the same sentences. No surrogate is needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from safebo.report.data import Finding, RunView, objective_of
from safebo.report.far_off import far_off
from safebo.report.limits import limits
from safebo.report.sentences import number, signed
from safebo.runs.best_gains import BestGains, unchanged_gains
from safebo.runs.evidence_events import DECLARED
from safebo.runs.recommendation import best_file
from safebo.runs.result import contexts_of
from safebo.runs.supervision import robots_of
from safebo.storage.journal import Journal
from safebo.study.preference_checks import prefers
from safebo.study.space import WarpMap
from safebo.text.counted import counted
from safebo.types import Bounds


def view_of(folder: Path, journal: Journal) -> RunView:
    """A run as it stands, its certified gains as it wrote them last.

    Args:
        folder: of the run.
        journal: its journal, open.
    """
    study, records = journal.run.study, journal.records(states=False)
    tried = contexts_of(records, study)
    return RunView(
        folder=folder,
        source=journal.run.source,
        study=study,
        records=tuple(records),
        events=tuple(journal.events()),
        best={name: unchanged_gains(best_file(folder, name, study), study.name, name) for name in tried},
        planned=journal.run.trials,
        robot=bool(robots_of(journal)),
    )


def findings(run: RunView) -> tuple[Finding, ...]:
    """What was found, how sure it is, what limits it, and what to do next, each one sentence.

    In this order; of limits the most urgent first, so that a run that went badly says so in its third sentence at the
    latest. The last one is the next command.
    """
    limited = tuple(limits(run))
    return (*_found(run), *_sure(run), *limited, _next(run, limited))


def shortened(found: Sequence[Finding], most: int = 3) -> list[Finding]:
    """What is worth saying where only a few lines fit: what was found first, then how sure, then the worst limit."""
    first = [next((one for one in found if one.topic == topic), None) for topic in ("found", "sure")]
    chosen = [one for one in first if one is not None]
    return [*chosen, *(one for one in found if one.topic == "limits")][:most]


# -- what was found ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gain:
    """By how much the objective at recommended gains exceeds that of the seed, in the objective's unit.

    Args:
        lower, mean, upper: the difference, with an interval of the study's confidence.
        seed: mean objective of the seed's trials.
        count: trials of the seed.
    """

    lower: float
    mean: float
    upper: float
    seed: float
    count: int


def gain_over_seed(run: RunView, context: str, best: BestGains) -> Gain | None:
    """The gain over the seed's measurements; None where the seed has no objective.

    The seed's mean has an interval of beta standard errors, by the declared noise or the measurements' own scatter,
    whichever is larger. The two intervals' half widths are added in quadrature, as of independent estimates.
    """
    spec, warp = run.study.objective, WarpMap(run.study.objective.warp, run.study.objective.name)
    seeds = [e for e in run.of_context(context) if e.trial.phase == "seed"]
    values = [v for e in seeds if (v := objective_of(e)) is not None]
    if not values:
        return None
    warped = np.asarray(warp.forward(np.array(values)))
    noise = max(spec.noise_std, float(warped.std(ddof=1)) if len(values) > 2 else 0.0)
    reach = run.study.tuner.beta * noise / math.sqrt(len(values))
    low, seed, high = (
        float(warp.inverse(warped.mean() - reach)),
        float(np.mean(values)),
        float(warp.inverse(warped.mean() + reach)),
    )
    b, change = best.objective, best.objective.mean - seed
    return Gain(
        change - math.hypot(b.mean - b.lower, high - seed),
        change,
        change + math.hypot(b.upper - b.mean, seed - low),
        seed,
        len(values),
    )


def _found(run: RunView) -> Iterator[Finding]:
    if not any(e.measurement is not None for e in run.records):
        yield Finding("found", "nothing", "Nothing has been measured yet.")
        return
    for name, best in run.best.items():
        where, told = run.where(name), sum(e.measurement is not None for e in run.of_context(name))
        if best is None:
            yield Finding(
                "found",
                "nothing",
                f"{where}No gains are certified safe after {counted(told, 'trial')}, so there are none to use."
                if run.study.constraints
                else f"{where}No gains can be recommended after {counted(told, 'trial')}.",
            )
        else:
            yield _found_gains(run, name, best, where, told)


def _found_gains(run: RunView, name: str, best: BestGains, where: str, told: int) -> Finding:
    unit = f" {best.objective_unit}" if best.objective_unit else ""
    what, o = best.objective_name or run.study.objective.name, best.objective
    value = f"{what} {number(o.mean)}{unit} ({number(o.lower)} to {number(o.upper)})"
    gain = gain_over_seed(run, name, best)
    seeds = [dict(s.parameters) for s in run.study.seeds if s.context == name]
    if prefers(run.study):
        text = f"{where}The {best.kind} are those that the answers speak for: utility {value.removeprefix(what)[1:]}."
        return Finding("found", "gains", text)
    if gain is None:
        return Finding(
            "found", "gains", f"{where}The {best.kind} reach {value}; the seed's own objective is not known."
        )
    if dict(best.gains) in seeds:
        text = f"{where}Nothing better than the seed was found in {counted(told, 'trial')}: {value}."
        return Finding("found", "seed", text)
    interval = f"{signed(gain.mean)}{unit}, interval {signed(gain.lower)} to {signed(gain.upper)}"
    if far_off(run):
        measured = [v for e in run.of_context(name) if (v := objective_of(e)) is not None]
        text = (
            f"{where}The {best.kind} are predicted to reach {value}, which is not to be relied on: the best measured "
            f"in {counted(told, 'trial')} is {number(max(measured))}{unit}, {number(gain.seed)}{unit} with the seed."
        )
        return Finding("found", "noise", text)
    if gain.lower <= 0:
        text = (
            f"{where}Nothing that is better than noise was found in {counted(told, 'trial')}: the {best.kind} "
            f"change {what} by {interval}, against {number(gain.seed)}{unit} with the seed."
        )
        return Finding("found", "noise", text)
    text = (
        f"{where}The {best.kind} raise {what} by {interval}, from {number(gain.seed)}{unit} with the seed to "
        f"{number(o.mean)}{unit} ({number(o.lower)} to {number(o.upper)})."
    )
    return Finding("found", "gains", text)


# -- how sure ------------------------------------------------------------------------------------------------


def _sure(run: RunView) -> Iterator[Finding]:
    study = run.study
    if not study.constraints:
        yield Finding(
            "sure",
            "no constraints",
            "Nothing is certified: the study has no constraints, so nothing was promised.",
        )
        return
    for name, best in run.best.items():
        if best is None:
            continue
        where = run.where(name)
        if best.expired():
            yield Finding("sure", "expired", f"{where}{_capital(best.validity())}.")
            continue
        if not best.certified:
            yield Finding("sure", "not certified", f"{where}Nothing certifies these gains.")
            continue
        units = {c.name: c.unit for c in study.constraints}
        margins = ", ".join(_at_least(n, b, units.get(n, "")) for n, b in best.margins.items())
        how, until = _priors(run, best), best.validity()
        length = (
            f", for trials of {best.holds.removeprefix('certified for trials of ')}" if best.holds else ""
        )
        text = f"{where}They are certified safe {how}: {margins}{length}{f'; {until}' if until else ''}."
        yield Finding("sure", "certified", text)


def _at_least(name: str, bounds: Bounds, unit: str) -> str:
    return f"{name} at least {number(bounds.lower)} {unit}".rstrip()


def _priors(run: RunView, best: BestGains) -> str:
    """By which priors gains are certified."""
    if run.study.tuner.certificate == "measured":
        return "by measured margins and the declared Lipschitz constants"
    if not best.priors:
        return "by the priors as the study declares them, which nothing tested"
    by: dict[str, list[str]] = {}
    for margin, prior in best.priors.items():
        by.setdefault(prior, []).append(margin)
    said = []
    for prior, margins in by.items():
        words = (
            "by the declared prior, which the measurements have earned"
            if prior == DECLARED
            else f"by a more cautious prior than declared ({_briefly(prior)})"
        )
        said.append(words if len(by) == 1 else f"{words} ({', '.join(margins)})")
    return " and ".join(said)


def _briefly(prior: str) -> str:
    """A prior that certifies, without the words for what must certify as well."""
    first, _, others = prior.partition("; ")
    return f"{first}, and others" if others else first


# -- what next -----------------------------------------------------------------------------------------------


def _next(run: RunView, limited: Sequence[Finding]) -> Finding:
    for one in limited:
        if one.command:
            return Finding("next", one.kind, one.remedy or "Go on.", command=one.command)
    if any(best is not None for best in run.best.values()):
        words = "Nothing in this run asks for more of it; take the gains away."
        return Finding("next", "export", words, command=run.command("export"))
    return Finding("next", "run", "Go on with the run.", command=run.command("resume"))


def _capital(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}" if text else text
