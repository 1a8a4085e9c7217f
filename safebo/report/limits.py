"""What limits a run's findings, the most urgent first: priors, failures, noise, bounds touched, few trials."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.special import gammaincc

from safebo.evaluators.outcome import margin_of, was_unsafe
from safebo.evaluators.unvarying import unvarying_margins
from safebo.models.interval_split import DIFFERENT
from safebo.report.clipped import clipped
from safebo.report.data import Finding, RunView, best_so_far
from safebo.report.goals import REMEDY as GOAL_REMEDY
from safebo.report.goals import not_reached
from safebo.report.held_out import sentences
from safebo.report.prior_limits import (
    broken_promises,
    far_off_objective,
    impossible_seed,
    latest_evidence,
    refuted_priors,
)
from safebo.report.repeated import in_unit, repeated_noise
from safebo.report.sentences import number, one_sentence
from safebo.runs.evidence_events import DECLARED
from safebo.study import FunctionSpec
from safebo.study.axis import brief
from safebo.study.findings import weak_beta
from safebo.study.space import Space, WarpMap
from safebo.types import TrialRecord

TOUCHED = 0.01
"""Share of a gain's range from a bound within which the bound is touched."""

NEAR = 0.05
"""Share of the ranges from the seeds within which trials have stayed where they were."""

STAYED = 8
"""Local trials from which it is said that they stayed near the seeds."""

FAILING = 0.15
"""Share of failed trials from which they are a limit, at least two."""

NOISE_LEVEL = 0.01
"""How often the noise of a right study may be called larger than declared."""

LATE = 0.25
"""Share of a run's trials in the end: a best found there is still improving."""


def limits(run: RunView) -> Iterator[Finding]:
    """What limits the findings, each with what to do and the command for it; the most urgent first."""
    yield from broken_promises(run)
    yield from impossible_seed(run)
    yield from far_off_objective(run)
    if said := weak_beta(run.study):
        yield Finding(
            "limits", "beta", f"{said}.", "Declare a larger beta and begin anew.", run.command("check")
        )
    yield from refuted_priors(run)
    yield from _unvarying(run)
    yield from _failures(run)
    yield from _nothing_certified(run)
    yield from _noise(run)
    yield from (Finding("limits", "clipped", text, remedy) for text, remedy in clipped(run))
    yield from (Finding("limits", "held out", text, remedy) for text, remedy in sentences(run))
    yield from _bounds(run)
    yield from _repeated_seeds(run)
    yield from _unfinished(run)
    yield from _stayed(run)
    yield from (Finding("limits", "goal", text, GOAL_REMEDY) for text in not_reached(run))
    yield from _improving(run)
    yield from _not_earned(run)
    yield from _interval(run)


def _unvarying(run: RunView) -> Iterator[Finding]:
    for text in unvarying_margins(
        ((r.trial.parameters, r.measurement) for r in run.records), run.study
    ).values():
        yield Finding(
            "limits",
            "margin",
            f"{text}.",
            "Let the evaluator return the distance to the limit, uncapped and with all its digits.",
        )


def _nothing_certified(run: RunView) -> Iterator[Finding]:
    if not run.study.constraints or next(impossible_seed(run), None) is not None:
        return
    unmeasured = _unmeasured_seeds(run)
    for name, best in run.best.items():
        seeds = _told_seeds(run, name)
        if best is not None or not seeds:
            continue
        unsafe = [e for e in seeds if e.measurement is not None and was_unsafe(e.measurement, run.study)]
        if name in unmeasured:
            why = seeds[-1].measurement.message.rstrip(".") if seeds[-1].measurement is not None else ""
            yield Finding(
                "limits",
                "failures",
                f"{run.where(name)}No trial of the seed was measured{': ' if why else ''}{one_sentence(why)}",
                "Mend what fails, then go on with more trials.",
                run.command("resume", trials=_more(run)),
            )
            continue
        if unsafe:
            text = f"The seed itself was measured unsafe, in trial {unsafe[0].trial.id}."
        else:
            text = f"The seed is barely safe: {_seed_margins(run, seeds)}, too little to certify it."
        yield Finding(
            "limits",
            "seed",
            f"{run.where(name)}{text}",
            "Give a seed with more margin, or a smaller noise_std if the measurements are that good.",
            run.command("check"),
        )


def _told_seeds(run: RunView, context: str) -> list[TrialRecord]:
    return [e for e in run.of_context(context) if e.trial.phase == "seed" and e.measurement is not None]


def _unmeasured_seeds(run: RunView) -> dict[str, list[TrialRecord]]:
    """Told trials of the seed, by context, where nothing is certified as every one of them failed."""
    if not run.study.constraints or next(impossible_seed(run), None) is not None:
        return {}
    seeds = {name: _told_seeds(run, name) for name, best in run.best.items() if best is None}
    return {
        name: told
        for name, told in seeds.items()
        if told
        and all(m is not None and m.outcome == "failed" and not m.fell for m in (e.measurement for e in told))
    }


def _seed_margins(run: RunView, seeds: Sequence[TrialRecord]) -> str:
    said = []
    for c in run.study.constraints:
        values = [
            v for e in seeds if e.measurement is not None and (v := margin_of(e.measurement, c)) is not None
        ]
        if values:
            noise = _noise_text(c, float(np.mean(values)))
            many = f"{len(values)} measurements" if len(values) > 1 else "1 measurement"
            said.append(
                f"{c.name} {number(float(np.mean(values)))} {c.unit}".rstrip()
                + f" in {many} with noise {noise}"
            )
    return ", ".join(said) or "no margin of it was measured"


def _noise_text(spec: FunctionSpec, at: float) -> str:
    """The declared noise of a function in its own unit, at a value."""
    return f"{number(in_unit(spec, at, spec.noise_std))} {spec.unit}".rstrip()


def _failures(run: RunView) -> Iterator[Finding]:
    told = [e for e in run.records if e.measurement is not None]
    failed = [e for e in told if e.measurement is not None and e.measurement.outcome == "failed"]
    if len(failed) < 2 or len(failed) < FAILING * len(told):
        return
    seeds = {e.trial.id for of_context in _unmeasured_seeds(run).values() for e in of_context}
    if all(e.trial.id in seeds for e in failed):
        return  # what follows from these is said by `_nothing_certified`
    last = failed[-1].measurement
    why = "" if last is None or not last.message else f"; the last one: {last.message.rstrip('.')}"
    yield Finding(
        "limits",
        "failures",
        f"{len(failed)} of {len(told)} trials failed and said nothing about their gains{why}.",
        "Mend what fails, then go on with more trials.",
        run.command("resume", trials=_more(run, len(failed))),
    )


def _noise(run: RunView) -> Iterator[Finding]:
    """Noise of repeated trials that is clearly larger than declared."""
    drifting = any(now.alarm and now.drifts for now in latest_evidence(run).values())
    for spec in (run.study.objective, *run.study.constraints):
        found = None if drifting else repeated_noise(run, spec)
        if found is None:
            continue
        std, freedom, at = found
        ratio = std / spec.noise_std
        if ratio >= DIFFERENT and gammaincc(freedom / 2, freedom * ratio**2 / 2) < NOISE_LEVEL:
            measured, declared = in_unit(spec, at, std), in_unit(spec, at, spec.noise_std)
            unit = f" {spec.unit}" if spec.unit else ""
            yield Finding(
                "limits",
                "noise",
                f"The noise of {spec.name} is {ratio:.1f} times the declared one: repeated trials vary by "
                f"{number(measured)}{unit}, the study says {number(declared)}{unit}.",
                f"Declare noise_std {number(std)} for {spec.name}, and make trials longer or average scenarios; then "
                "begin anew.",
                run.command("new"),
            )


def _bounds(run: RunView) -> Iterator[Finding]:
    """Recommended gains that lie at a bound."""
    space = Space.of_parameters(run.study)
    for name, best in run.best.items():
        if best is None:
            continue
        touched = []
        for parameter, axis in zip(run.study.parameters, space.axes, strict=True):
            if axis.choices:
                continue
            place = float(axis.to_unit(axis.raw(best.gains[parameter.name])))
            if min(place, 1.0 - place) <= TOUCHED:
                which = parameter.bounds[1 if place > 0.5 else 0]
                side = "upper" if place > 0.5 else "lower"
                touched.append(
                    f"{parameter.name} at its {side} bound {brief(which, parameter)} {parameter.unit}".rstrip()
                )
        if touched:
            where = run.where(name)
            yield Finding(
                "limits",
                "bounds",
                f"{where}The best gains touch their bounds ({'; '.join(touched)}): better "
                "ones may lie beyond.",
                "Widen these bounds in the study, as far as the robot allows, and go on.",
                run.command("continue"),
            )


def _unfinished(run: RunView) -> Iterator[Finding]:
    told = [e for e in run.records if e.measurement is not None]
    stopped = next((e for e in reversed(run.events) if e.kind in ("stopped", "finished", "resumed")), None)
    if not told or not any(run.best.values()):
        return
    if all(e.trial.phase == "seed" for e in told) and any(run.best.values()):
        text = "Only seeds were tried so far, so nothing better could be found."
        yield Finding("limits", "seeds only", text, "Go on.", run.command("resume", trials=_more(run)))
    elif len(told) < run.planned:
        why = (
            ""
            if stopped is None or stopped.kind != "stopped"
            else f" It stopped: {one_sentence(stopped.text)}"
        )
        text = f"{len(told)} of {run.planned} trials are done.{why}"
        remedy_now = "Go on with the rest." if why else "If it is not going on, go on with the rest."
        yield Finding("limits", "unfinished", text, remedy_now, run.command("resume"))


def _repeated_seeds(run: RunView) -> Iterator[Finding]:
    for name in run.best:
        own = run.of_context(name)
        declared = sum(seed.context == name for seed in run.study.seeds)
        again = sum(e.trial.phase == "seed" for e in own) - declared
        if (
            run.study.surrogate.time is None
            and again >= max(2, 0.25 * len(own))
            and run.best[name] is not None
        ):
            yield Finding(
                "limits",
                "seed",
                f"{run.where(name)}The seed is barely safe: it had to be measured {again} times more before anything "
                "was certified.",
                "Give a seed with more margin; it certifies more.",
                run.command("check"),
            )


def _stayed(run: RunView) -> Iterator[Finding]:
    """Trials that stayed at the seeds: expansion is blocked."""
    space = Space.of_parameters(run.study)
    for name, best in run.best.items():
        own = run.of_context(name)
        local = [e for e in own if e.trial.phase == "local"]
        seeds = [e for e in own if e.trial.phase == "seed"]
        if len(local) < STAYED or not seeds or best is None:
            continue
        units = [space.to_unit(space.vector(e.trial.parameters, within=False)) for e in (*seeds, *local)]
        centre = np.array(units[: len(seeds)])
        far = max(float(np.abs(centre - row).max(axis=1).min()) for row in units[len(seeds) :])
        if far <= NEAR and best.margins:
            tightest = min(best.margins, key=lambda n: best.margins[n].lower)
            yield Finding(
                "limits",
                "blocked",
                f"{run.where(name)}Trials stayed within {100 * far:.1f} % of the seed: {tightest} certifies no more.",
                "A longer lengthscale, if that is true, or a seed with more margin lets it expand.",
                run.command("check"),
            )


def _improving(run: RunView) -> Iterator[Finding]:
    """Contexts whose best measured objective still rose by more than noise in the end."""
    spec, warp = run.study.objective, WarpMap(run.study.objective.warp, run.study.objective.name)
    for name in run.best:
        ids, values = best_so_far(tuple(run.records), run.study, name)
        if len(ids) < STAYED:
            continue
        last = max(2, math.ceil(LATE * len(ids)))
        before, now = warp.forward(values[-last - 1]), warp.forward(values[-1])
        if float(now - before) > 2.0 * spec.noise_std:
            rise = f"{number(values[-1] - values[-last - 1])} {spec.unit}".rstrip()
            yield Finding(
                "limits",
                "improving",
                f"{run.where(name)}It was still improving: the best measured {spec.name} rose by {rise} in the last "
                f"{last} trials.",
                "Go on with more trials.",
                run.command("resume", trials=_more(run)),
            )


def _not_earned(run: RunView) -> Iterator[Finding]:
    """Certificates by a more cautious prior than declared, where nothing speaks against the declared one yet."""
    evidence = latest_evidence(run)
    waiting = []
    for best in run.best.values():
        for name, prior in ({} if best is None else best.priors).items():
            known = evidence.get(name)
            wrong = known is not None and (known.alarm or known.refuted_by)
            if not prior.startswith(DECLARED) and not wrong and name not in waiting:
                waiting.append(name)
    if waiting:
        yield Finding(
            "limits",
            "not earned",
            f"The declared prior of {', '.join(waiting)} is not earned yet, so less is certified than it would.",
            "Further trials decide.",
            run.command("resume", trials=_more(run)),
        )


def _interval(run: RunView) -> Iterator[Finding]:
    """What the widest interval at the best gains consists of, as the run itself found."""
    for name, best in run.best.items():
        if best is not None and best.advice:
            yield Finding("limits", "interval", f"{run.where(name)}{best.advice}")


def _more(run: RunView, least: int = 0) -> int:
    """A total number of trials for a run that goes on: half as many again."""
    return run.planned + max(5, least, math.ceil(0.5 * run.planned))
