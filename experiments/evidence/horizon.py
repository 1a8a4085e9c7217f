"""Does a certificate for 60 s hold for 60 s, and what does a trial of the advised length save?

    python -m safebo.experiments.evidence.horizon --out runs/horizon [--seeds 5] [--walks 20]

`certified`: study `go1-trot` with a second constraint that walks on reach later, a body velocity that stays within
0.25 m/s of the command. Every run tunes, then gains are drawn from what is certified at its end (on lines from tried
certified gains to random ones, so that most lie near the edge of the certified set), and each is walked for 60 s in
simulation. Counted are walks that break one of the two limits by the plant's true states, or fall. `5 s` certifies by
trials of 5 s, `horizon` by trials of 10 s with `horizon: 60`.

`extrapolated`: gains drawn at random among stiff and damped ones are walked for 60 s, and their first 5 and 10 s are
taken for trials: of the margins that a trial of 5 s measured above 0, and of those that are told above 0 for 60 s from
the first 10, how many does the minute break?

`length`: the seed's gains are walked six times; their variance components advise a length (`safebo.trial_length`), the
first second left out of the objective. Runs of `go1-trot` with trials of that length are compared with runs of 5 s as
shipped: regret of the certified recommendation, walked for 30 s without sensor noise, against seconds on the feet (0.3
s of settling, and the walk). Results are kept in `--out` as they come; what is there is not made again.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from safebo.evaluators.gate import evaluate_safely
from safebo.evaluators.source import EvaluatorSource
from safebo.experiments.evidence.truth import from_unit, truth, with_evaluator_options
from safebo.robots.evaluation.evaluator import LeggedEvaluator
from safebo.robots.evaluation.metrics import MARGINS
from safebo.robots.simulation.rollout import WalkRecording
from safebo.study import FunctionSpec, Study
from safebo.study.evaluator_checks import with_defaults
from safebo.study.reading import load_study
from safebo.study.space import WarpMap
from safebo.study.tuner_checks import with_trust
from safebo.trial_length.variance import VarianceComponents, components, transient
from safebo.tuner.horizon import HorizonMargins
from safebo.types import Evaluator, Measurement, Trial, TrialRecord

CONTEXT = "trot"
HORIZON = 60.0
CERTIFIED: dict[str, dict[str, Any]] = {
    "5 s": {"seconds": 5.0, "horizon": None},
    "horizon": {"seconds": 10.0, "horizon": HORIZON},
}
VELOCITY = FunctionSpec(name="velocity", unit="m/s", prior_mean=0.0, prior_std=0.15, noise_std=0.015)
"""The second constraint: how far the body's horizontal velocity stays from its command, under 0.25 m/s."""

SETTLE = 0.3
START = 1.0
"""Seconds on the feet before the walk, and of the walk until the command no longer changes."""

MAX_DRAWS = 4000
REPEATS = 6


def base_study() -> Study:
    """`go1-trot` as a new run takes it, without trajectories."""
    return with_trust(with_evaluator_options(load_study("go1-trot").study, {"telemetry": False}))


def certified_study(case: str) -> Study:
    """The study of one way to certify."""
    how, study = CERTIFIED[case], base_study()
    study = with_evaluator_options(study, {"seconds": how["seconds"], "limits": {"velocity": 0.25}})
    constraints = [*study.constraints, VELOCITY]
    return study.model_copy(update={"constraints": constraints, "horizon": how["horizon"]})


def tuned(
    study: Study, evaluator: Evaluator, seed: int, trials: int
) -> Iterator[tuple[Any, Trial, Measurement]]:
    """The tuner after every trial of a run, with the trial and what it showed."""
    from safebo.tuner import Tuner

    study = with_defaults(study, evaluator.info())
    tuner = Tuner(study, seed)
    for _ in range(trials):
        trial = tuner.ask()
        measurement = evaluate_safely(evaluator, trial, None, study)
        tuner.tell(trial, measurement)
        yield tuner, trial, measurement


def draw_certified(tuner: Any, tried: Sequence[Trial], count: int, seed: int) -> list[dict[str, float]]:
    """Gains that are certified now: on lines from tried ones that are to random ones, as far out as a draw says."""
    study, rng = tuner.study, np.random.default_rng([seed, 1])
    starts = [t.parameters for t in tried if tuner.certify(t.parameters, CONTEXT).certified]
    found: list[dict[str, float]] = []
    for _ in range(MAX_DRAWS):
        if len(found) == count or not starts:
            break
        start = starts[int(rng.integers(len(starts)))]
        end, share = from_unit(study, rng.random(len(study.parameters))), rng.random()
        gains = {}
        for p in study.parameters:
            a, b = float(start[p.name]), float(end[p.name])
            gains[p.name] = a * (b / a) ** share if p.scale == "log" else a + share * (b - a)
        if tuner.certify(gains, CONTEXT).certified:
            found.append(gains)
    return found


def certify(case: str, seed: int, trials: int, walks: int) -> dict[str, Any]:
    """One run, and long walks of what it certifies."""
    study = certified_study(case)
    evaluator = EvaluatorSource(study).make()
    ends = list(tuned(study, evaluator, seed, trials))
    tuner, told = ends[-1][0], [(t, m) for _, t, m in ends]
    gains = draw_certified(tuner, [t for t, _ in told], walks, seed)
    walker = EvaluatorSource(with_evaluator_options(study, {"seconds": HORIZON})).make()
    margins, falls = [], 0
    for i, g in enumerate(gains):
        trial = Trial(1, g, study.context.values[CONTEXT], CONTEXT, "manual", 10_000 + 100 * seed + i, False)
        shown = walker.evaluate(trial)
        true = shown.true_margins or {}
        falls += shown.fell
        margins.append({c.name: float(true.get(c.quantity or c.name, -math.inf)) for c in study.constraints})
    best = tuner.best(CONTEXT)
    return {
        "margins": margins,
        "falls": falls,
        "unsafe_trials": sum(m.true_margins is not None and _breaks(study, m.true_margins) for _, m in told),
        "refused": len(tuner.beyond_horizon()),
        "objective": None if best is None else best.bounds[study.objective.name].mean,
        "seconds": sum(SETTLE + m.duration for _, m in told),
    }


def _breaks(study: Study, margins: Any) -> bool:
    return any(margins.get(c.quantity or c.name, 0.0) < 0 for c in study.constraints)


RANDOM = 6
"""Gains of one part of `extrapolated`."""


def extrapolate(seed: int) -> dict[str, Any]:
    """Some random gains walked for 60 s, and what their first 5 and 10 s let expect, by margin."""
    study = with_evaluator_options(certified_study("horizon"), {"seconds": HORIZON})
    study = study.model_copy(update={"constraints": [FunctionSpec(name=name) for name in MARGINS]})
    evaluator = LeggedEvaluator(study.evaluator.options)
    told = HorizonMargins(study, [WarpMap(c.warp, c.name) for c in study.constraints])
    rng, context, walks = np.random.default_rng([seed, 2]), study.context.values[CONTEXT], []
    for number in range(RANDOM):
        stiff, damping = np.exp(rng.uniform(np.log(40.0), np.log(150.0), 3)), rng.uniform(1.5, 7.0, 3)
        gains = {
            f"joint.{joint}.{kind}": float(value)
            for kind, values in (("kp", stiff), ("kd", damping))
            for joint, value in zip(("hip", "thigh", "calf"), values, strict=True)
        }
        record = evaluator.walk(gains, context, 20_000 + 100 * seed + number)
        short, ten, whole = (evaluator.measure(_beginning(record, s), context) for s in (5.0, 10.0, HORIZON))
        trial = Trial(1, gains, context, CONTEXT, "manual", 0, False)
        margins = told.told([TrialRecord(trial, ten)]).get(1, ())
        walks.append(
            {
                name: {
                    "short": short.margins.get(name),
                    "ten": ten.margins.get(name),
                    "told": None if not margins else margins[i].value,
                    "error": math.sqrt(margins[i].noise) if margins else None,
                    "refusal": margins[i].refusal if margins else "fell",
                    "whole": whole.margins.get(name),
                }
                for i, name in enumerate(MARGINS)
            }
        )
    return {"walks": walks}


def _beginning(record: WalkRecording, seconds: float) -> WalkRecording:
    """The first seconds of a walk, as if it had ended there."""
    rows = record.walk_start + round(seconds / record.period)
    if rows >= len(record):
        return record
    return replace(record.truncated(rows), fell=False, stop_reason="")


def advise() -> dict[str, Any]:
    """The seed's gains walked some times, and the length that their strides advise."""
    study = with_evaluator_options(base_study(), {"seconds": 10.0})
    evaluator, seed = EvaluatorSource(study).make(), study.seeds[0].parameters
    walks = []
    for i in range(REPEATS):
        trial = Trial(1, dict(seed), study.context.values[CONTEXT], CONTEXT, "manual", 500 + i, False)
        strides = evaluator.evaluate(trial).strides
        assert strides is not None
        series = np.array(strides.objective)
        walks.append(-np.log(-series[transient(series) :]))  # as the study's warp has it
    period = study.context.values[CONTEXT]["gait.stride_duration"]
    found = components([walks])
    assert found is not None
    return {
        "between": found.between,
        "within": found.within,
        "inflation": found.inflation,
        "best": found.best_strides(SETTLE + START, period),
        "enough": found.enough_strides,
        "seconds": advised_seconds(found, period),
    }


def advised_seconds(found: VarianceComponents, period: float) -> float:
    """Length of a walk: the start, and the strides for which variance per second is least, two at least."""
    strides = min(max(2.0, found.best_strides(SETTLE + START, period)), 8.0)
    return START + math.ceil(strides - 1e-9) * period


def length_study(seconds: float | None) -> Study:
    """Trials of 5 s as shipped (None), or of another length with the start left out of the objective."""
    if seconds is None:
        return base_study()
    return with_evaluator_options(base_study(), {"seconds": seconds, "objective_after": START})


def compare(seconds: float | None, seed: int, until: float) -> dict[str, Any]:
    """One run until so many seconds on the feet; the recommendation's truth after every fifth trial."""
    study = length_study(seconds)
    evaluator = EvaluatorSource(study).make()
    spent, unsafe, points = 0.0, 0, []
    for number, (tuner, _, measurement) in enumerate(tuned(study, evaluator, seed, 200), start=1):
        spent += SETTLE + measurement.duration
        unsafe += measurement.true_margins is not None and _breaks(study, measurement.true_margins)
        if number % 5 == 0:
            best = tuner.best(CONTEXT)
            true = None
            if best is not None:
                options = {"seconds": 30.0, "objective_after": START}
                true = truth(study, CONTEXT, [best.parameters], options=options)[0].objective
            points.append((spent, true))
        if spent >= until:
            break
    return {"points": points, "unsafe": unsafe}


# -- what came of it -----------------------------------------------------------------------------------------


def tables(rows: Sequence[dict[str, Any]]) -> str:
    """The tables of what is there so far."""
    lines = ["certified gains walked for 60 s:"]
    for case in CERTIFIED:
        mine = [r["result"] for r in rows if r["part"] == "certified" and r["case"] == case]
        walks = [m for r in mine for m in r["margins"]]
        broken = sum(min(m.values()) < 0 for m in walks)
        objective = np.mean([r["objective"] for r in mine if r["objective"] is not None] or [math.nan])
        lines.append(
            f"  {case:8} {len(mine)} runs, {len(walks)} walks: {broken} broken, {sum(r['falls'] for r in mine)} falls; "
            f"{sum(r['unsafe_trials'] for r in mine)} unsafe trials, {sum(r['refused'] for r in mine)} refused, "
            f"objective {objective:.3f}"
        )
    lines += _extrapolated_lines(
        [w for r in rows if r["part"] == "extrapolated" for w in r["result"]["walks"]]
    )
    advice = next((r["result"] for r in rows if r["part"] == "advice"), None)
    if advice is not None:
        lines.append(
            f"advice: s_b {math.sqrt(advice['between']):.4f}, s_s {math.sqrt(advice['within']):.4f} (log cost), "
            f"1 + 2 sum rho {advice['inflation']:.2f}, n* {advice['best']:.2f} strides, "
            f"80 % at {advice['enough']:.1f}: {advice['seconds']:.1f} s"
        )
        lines += _length_lines(rows)
    return "\n".join(lines)


def _extrapolated_lines(walks: Sequence[dict[str, Any]]) -> list[str]:
    """By margin: how many the minute breaks of those that held in 5 s, in 10 s, and as told for 60 s."""
    lines = (
        [f"random gains walked for 60 s: {len(walks)}; by margin, broken of those that held"] if walks else []
    )
    for name in MARGINS if walks else ():
        mine = [w[name] for w in walks]
        told = [m for m in mine if m["refusal"] == "" and m["told"] is not None and m["told"] >= 0]
        sure = [m for m in told if m["told"] >= 4.0 * m["error"]]
        groups = {
            "5 s": [m for m in mine if m["short"] >= 0],
            "10 s": [m for m in mine if m["ten"] >= 0],
            "as told": told,
            "as told, by 4 of its errors": sure,
        }
        refused = [m["refusal"] for m in mine if m["refusal"]]
        lines.append(
            f"  {name:9} "
            + ", ".join(f"{k} {sum(m['whole'] < 0 for m in v)} of {len(v)}" for k, v in groups.items())
            + f"; not told {len(refused)}"
            + (f" ({', '.join(sorted(set(refused)))})" if refused else "")
        )
    return lines


def _length_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    runs = {
        c: [r["result"] for r in rows if r["part"] == "length" and r["case"] == c] for c in ("5 s", "advised")
    }
    count = min(map(len, runs.values()))
    known = [p[1] for c in runs for r in runs[c] for p in r["points"] if p[1] is not None]
    if count == 0 or not known:
        return []
    optimum = max(known)

    def regret(case: str, at: float) -> float:
        """Mean over the seeds of both cases of the last answer's regret by then."""
        return float(
            np.mean(
                [
                    optimum - next((v for s, v in reversed(r["points"]) if s <= at and v is not None), -3.0)
                    for r in runs[case][:count]
                ]
            )
        )

    ends = {c: min(r["points"][-1][0] for r in runs[c][:count]) for c in runs}
    lines = [
        f"{c}: {count} seeds, {sum(r['unsafe'] for r in runs[c])} unsafe trials; regret at "
        + ", ".join(f"{s:.0f} s {regret(c, s):.3f}" for s in (40, 60, 80, 100, 120, 160, 200) if s <= ends[c])
        for c in runs
    ]
    for at in (100.0, 150.0, ends["5 s"]):
        if at > ends["5 s"]:
            continue
        level = regret("5 s", at)
        times = np.arange(5.0, ends["advised"] + 1.0)
        reached = [t for t in times if all(regret("advised", u) <= level for u in times[times >= t])]
        words = f"{reached[0]:.0f} s, {100 * reached[0] / at:.0f} %" if reached else "not reached"
        lines.append(f"  regret {level:.3f} of 5 s after {at:.0f} s: advised {words}")
    return lines


def main(
    out: Annotated[Path, typer.Option(help="folder of the results")] = Path("runs/horizon"),
    seeds: Annotated[int, typer.Option(min=1)] = 5,
    trials: Annotated[int, typer.Option(min=2)] = 30,
    walks: Annotated[int, typer.Option(min=1)] = 20,
    until: Annotated[
        float, typer.Option(min=10.0, help="seconds on the feet of a run of 5 s trials")
    ] = 212.0,
) -> None:
    """Make what is missing, and print the tables after every run."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / "horizon.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    jobs: list[tuple[str, str, int]] = [("advice", "", 0)]
    jobs += [("extrapolated", "", seed) for seed in range(seeds)]
    for seed in range(seeds):
        jobs += [("certified", case, seed) for case in CERTIFIED]
        jobs += [("length", case, seed) for case in ("5 s", "advised")]
    done = {(r["part"], r["case"], r["seed"]) for r in rows}
    left, began = [job for job in jobs if job not in done], time.monotonic()
    for made, (part, case, seed) in enumerate(left, start=1):
        if part == "advice":
            result = advise()
        elif part == "extrapolated":
            result = extrapolate(seed)
        elif part == "certified":
            result = certify(case, seed, trials, walks)
        else:
            seconds = next(r["result"]["seconds"] for r in rows if r["part"] == "advice")
            result = compare(
                None if case == "5 s" else seconds, seed, until if case == "5 s" else 0.75 * until
            )
        rows.append({"part": part, "case": case, "seed": seed, "result": result})
        with file.open("a") as stream:
            stream.write(json.dumps(rows[-1]) + "\n")
        hours = (time.monotonic() - began) / made * (len(left) - made) / 3600
        print(f"\n{len(rows)} of {len(jobs)} parts, about {hours:.2f} h left\n{tables(rows)}", flush=True)
    if not left:
        print(tables(rows))


if __name__ == "__main__":
    typer.run(main)
