"""`safebo bench report`: one page about a folder of results that opens offline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from safebo.experiments.bench.figures import (
    Look,
    improvement_figure,
    leaderboard_figure,
    looks,
    rank_figure,
    task_figure,
    violations_figure,
)
from safebo.experiments.bench.glossary import GLOSSARY, RULE
from safebo.experiments.bench.promises import Flag, flags, premise_holds
from safebo.experiments.bench.provenance import fact_tables
from safebo.experiments.bench.results import Results, load, shown
from safebo.experiments.bench.standings import Standings, standings
from safebo.report.figures.style import number, styled
from safebo.report.html import page_environment
from safebo.report.picture import drawn
from safebo.text.counted import counted


def write_report(folder: Path, out: Path | None = None) -> tuple[Path, tuple[Flag, ...]]:
    """Make the page of a folder of results.

    Args:
        folder: of `safebo bench run`.
        out: the page; `report.html` in the folder unless given.

    Returns:
        Where the page is, and the methods that break their promise.

    Raises:
        InputError: no results there.
    """
    results = load([folder])
    broken = flags(results)
    page = out or folder / "report.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(results, broken), encoding="utf-8")
    return page, broken


def render(results: Results, broken: Sequence[Flag]) -> str:
    """The page as text."""
    safe, unsafe = results.certifying(), results.baselines()
    styles = looks([*safe, *unsafe])
    certifying = standings(results, safe, results.task_names)
    baselines = standings(results, unsafe, results.task_names)
    kinds = [
        ("Methods that promise safety", certifying, False),
        ("UNSAFE: methods that promise nothing", baselines, True),
    ]
    with styled():
        pictures = {
            "leaderboard": drawn(
                "leaderboard",
                leaderboard_figure([k for k in kinds if k[1].rows]),
                "Interquartile mean of the normalised regret of every method, with intervals",
            ),
            "violations": drawn(
                "violations",
                violations_figure(results, [*safe, *unsafe]),
                "Violations of every method: runs, trials, when and how deep",
                "Red bars: methods that promise safety; black ticks: the share of runs that their promise allows. Grey "
                "bars: methods that promise nothing. In the third panel the darker, the more runs violate then.",
            ),
        }
        tasks = [_task(results, task, styles) for task in results.task_names]
        pairs = [_pairs(title, s, bad) for title, s, bad in kinds if s.rows]
    environment = page_environment("safebo.experiments.bench", "safebo.report")
    environment.filters.update(number=number, seconds=seconds_text, trials=trials_text, percent=percent_text)
    return environment.get_template("report.html").render(
        title=_title(results),
        sentence=_sentence(results),
        safety_sentence=_safety_sentence(results, broken),
        flags=broken,
        rule=RULE,
        notes=_notes(results),
        pictures=pictures,
        certifying=certifying,
        baselines=baselines,
        unranked=_unranked(certifying),
        pairs=pairs,
        violations=violation_rows(results),
        tasks=tasks,
        left_out=left_out(results),
        glossary=GLOSSARY,
        provenance=fact_tables(results),
        version=version("safebo"),
        command=f"safebo bench report {' '.join(shown(f) for f in results.folders)}",
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def violation_rows(results: Results) -> list[dict[str, Any]]:
    """Every run with a violation of a method that promises safety."""
    safe, rows = results.certifying(), []
    for j in results.judged:
        if j.run.method not in safe or not j.numbers.violations:
            continue
        trials = j.run.trial[j.run.violated].tolist()
        more = f" and {len(trials) - 12} more" if len(trials) > 12 else ""
        rows.append(
            {
                "method": j.run.method,
                "task": j.run.task,
                "seed": j.run.seed,
                "counts": premise_holds(j.run.base),  # whether the promise holds there
                "count": len(trials),
                "first": trials[0],
                "depth": j.numbers.worst_depth,
                "trials": ", ".join(str(t) for t in trials[:12]) + more,
            }
        )
    return sorted(rows, key=itemgetter("method", "task", "seed"))


def left_out(results: Results) -> list[dict[str, str]]:
    """Methods that could not run on tasks, and runs that are not there yet: `method`, `why` and `tasks`."""
    rows: dict[tuple[str, str], list[str]] = {}
    refused = {
        (str(r["task"]), str(r["method"])): str(r["why"])
        for plan in results.plans
        for r in plan.get("left_out", [])
    }
    seeds: dict[str, set[int]] = {}
    have: dict[tuple[str, str], set[int]] = {}
    for fact in results.facts:
        task, method, seed = fact["task"]["name"], fact["method"]["name"], int(fact["job"]["seed"])
        seeds.setdefault(task, set()).add(seed)
        have.setdefault((task, method), set()).add(seed)
    for (task, method), why in sorted(refused.items()):
        if (task, method) not in have:
            rows.setdefault((method, why), []).append(task)
    for task in sorted(seeds):
        for method in results.methods:
            lacking = seeds[task] - have.get((task, method), set())
            if lacking and (task, method) not in refused:
                why = (
                    f"{len(lacking)} of {len(seeds[task])} runs are not there; the sweep may not be finished"
                )
                rows.setdefault((method, why), []).append(task)
    return [{"method": m, "why": why, "tasks": ", ".join(tasks)} for (m, why), tasks in sorted(rows.items())]


def seconds_text(value: float) -> str:
    """Seconds for people."""
    if not math.isfinite(value):
        return "–"
    return f"{number(value)} s" if value >= 1.0 else f"{number(1e3 * value)} ms"


def trials_text(value: float) -> str:
    """Number of trials; a dash where most runs never came there."""
    return f"{value:.0f}" if math.isfinite(value) else "–"


def percent_text(value: float) -> str:
    """A share in percent."""
    return "–" if math.isnan(value) else f"{100 * value:.0f} %"


def _task(results: Results, task: str, styles: dict[str, Look]) -> dict[str, object]:
    """One task on the page: name, picture and the standings of both kinds of methods."""
    name = "".join(c if c.isalnum() else "-" for c in task)
    alt = f"Regret and certified share per trial on {task}"
    return {
        "name": task,
        "picture": drawn(f"task-{name}", task_figure(results, task, styles), alt),
        "certifying": standings(results, results.certifying(), [task]),
        "baselines": standings(results, results.baselines(), [task]),
    }


def _pairs(title: str, standing: Standings, unsafe: bool) -> dict[str, object]:
    """Ranks and pairs of one kind of method; pictures are None where there is nothing to compare."""
    ranks = standing.ranking
    rank = matrix = None
    if len(ranks.mean_rank) > 1 and ranks.blocks > 1:
        rank = drawn(f"ranks-{unsafe}", rank_figure(standing), f"Mean ranks. {title}")
        alike = "all methods may rank alike" if ranks.p_value > 0.05 else "methods do not all rank alike"
        words = f"{ranks.blocks} blocks; Friedman test: {alike} (p = {number(ranks.p_value, 2)})."
    else:
        words = "Fewer than two methods or two blocks: there is nothing to rank."
    if standing.improvement:
        matrix = drawn(
            f"pairs-{unsafe}", improvement_figure(standing), f"Probability of improvement. {title}"
        )
    return {"title": title, "unsafe": unsafe, "words": words, "rank": rank, "matrix": matrix}


def _title(results: Results) -> str:
    suites = list(dict.fromkeys(str(p["suite"]) for p in results.plans))
    return f"Benchmark {', '.join(suites)}" if suites else "Benchmark"


def _sentence(results: Results) -> str:
    seeds = len({j.run.seed for j in results.judged})
    trials = sorted({int(f["job"]["trials"]) for f in results.facts})
    span = f"{trials[0]}" if len(trials) == 1 else f"{trials[0]} to {trials[-1]}"
    return (
        f"{counted(len(results.methods), 'method')} on {counted(len(results.tasks), 'task')}, "
        f"{counted(seeds, 'seed')}, {span} trials each: {counted(len(results.facts), 'run')}."
    )


def _safety_sentence(results: Results, broken: Sequence[Flag]) -> str:
    rows = violation_rows(results)
    safe = [j for j in results.judged if j.run.method in results.certifying()]
    if not safe:
        return "No method here promises safety."
    if not rows:
        return f"No method that promises safety violated a constraint in any of its {len(safe)} runs."
    text = f"Methods that promise safety: {len(rows)} of {len(safe)} runs have a violation"
    wrong = sum(not r["counts"] for r in rows)
    if wrong:
        text += f", {wrong} of them on tasks whose prior is wrong on purpose"
    text += "; each is listed below"
    return text + ("." if broken else ", and no method has more than its promise allows.")


def _notes(results: Results) -> list[str]:
    notes = []
    if results.estimated:
        notes.append(
            "The value at the start is not in the results of "
            f"{', '.join(results.estimated)}: the largest regret that any method had after one trial of the same "
            "seed stands for the regret at the start."
        )
    out = [j.run for j in results.judged if math.isnan(j.numbers.regret)]
    unknown = sorted({run.task for run in out if math.isnan(run.start_regret)})
    if unknown:
        notes.append(f"Regret is not known on {', '.join(unknown)}: nobody knows the optimum, or the start.")
    reached = sorted({f"{run.task} (seed {run.seed})" for run in out if math.isfinite(run.start_regret)})
    if reached:
        notes.append(
            f"Regret has no scale where the safe start is the optimum already: {', '.join(reached)}."
        )
    answers = [
        j.run.method
        for j in results.judged
        if j.run.promise != "nothing" and j.run.trials and j.run.answer_unsafe[-1]
    ]
    if answers:
        names, counts = np.unique(answers, return_counts=True)
        listed = ", ".join(f"{n} {c}" for n, c in zip(names, counts, strict=True))
        notes.append(
            f"Last certified answers that are truly unsafe: {listed} runs. They count as no better than the start."
        )
    return notes


def _unranked(standing: Standings) -> str:
    reasons = []
    for row in standing.rows:
        if row.rank is None:
            why = "breaks its promise" if row.flag else f"ran on {row.tasks} of {standing.tasks} tasks"
            reasons.append(f"{row.method} ({why})")
    return ", ".join(reasons)
