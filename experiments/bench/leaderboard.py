"""`safebo bench leaderboard`: a Markdown page of who does how well, per suite and over all tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from safebo.experiments.bench.glossary import RULE
from safebo.experiments.bench.leaderboard_json import version_of, write_record
from safebo.experiments.bench.promises import Flag, flags
from safebo.experiments.bench.provenance import commands, fact_tables, period
from safebo.experiments.bench.report import left_out, percent_text, seconds_text, trials_text
from safebo.experiments.bench.results import Results, load, shown
from safebo.experiments.bench.standings import Standing, Standings, standings
from safebo.experiments.bench.tasks import SUITES
from safebo.report.figures.style import number

SAFE_COLUMNS = (
    "method",
    "regret (95 % interval)",
    "mean rank",
    "90 % after trials (ever)",
    "certified share",
    "runs with a violation",
    "trials violating",
    "falls",
    "ask, median",
)
UNSAFE_COLUMNS = tuple(c for c in SAFE_COLUMNS if c != "certified share")


def write_leaderboard(folders: Sequence[Path], page: Path, record: Path | None = None) -> tuple[Flag, ...]:
    """Write the page, and its numbers for programs.

    Args:
        folders: of `safebo bench run`; a run may be in one of them only.
        page: Markdown file.
        record: JSON file; None for none.

    Returns:
        The methods that break their promise.

    Raises:
        InputError: no results, or results that do not go together.
    """
    results = load(folders)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(leaderboard(results, shown(page)), encoding="utf-8")
    if record is not None:
        write_record(results, record)
    return flags(results)


def leaderboard(results: Results, page: str, suites: Mapping[str, Sequence[str]] = SUITES) -> str:
    """The page as text.

    Args:
        results: what it is about.
        page: the file, for the command that makes it.
        suites: tasks by suite; a suite has a section when every one of its tasks has results.
    """
    broken = flags(results)
    first, last = period(results.facts)
    days = first if first == last else f"{first} to {last}"
    parts = [
        "# Leaderboard",
        "Normalised regret at the end of a run: 0 is the best safe input, 1 is no better than the safe start. Each "
        "number is an interquartile mean over runs with a 95 % stratified bootstrap interval, which says what other "
        "seeds of these tasks would show. Methods that promise safety are judged by their certified answer; those "
        "that promise nothing by the best truly safe input they tried, which they cannot know, so the two kinds of "
        "tables do not compare.",
        f"Runs of {days}: {len(results.facts)}, of {len(results.methods)} methods on {len(results.tasks)} tasks. "
        f"Version of the tasks: `{version_of(results.tasks)}`; numbers under another one do not compare.",
    ]
    parts += [f"> **{flag.sentence}**" for flag in broken]
    parts.append(RULE)
    parts += ["## All tasks", *_section(results, results.task_names)]
    for suite, tasks in suites.items():
        found = [j.run.task for j in results.judged if j.run.base in tasks]
        if set(tasks) <= set(results.tasks) and len(set(found)) < len(results.task_names):
            parts += [
                f"## {suite}",
                f"Tasks: {', '.join(tasks)}.",
                *_section(results, list(dict.fromkeys(found))),
            ]
    parts += ["## Violations by task", _violations(results)]
    missing = left_out(results)
    if missing:
        rows = [[r["method"], r["why"], r["tasks"]] for r in missing]
        parts += ["## Left out", _table(("method", "why", "tasks"), rows)]
    parts += ["## How this page was made", *_made(results, page)]
    return "\n\n".join(parts) + "\n"


def _section(results: Results, tasks: Sequence[str]) -> list[str]:
    found = []
    for title, methods, unsafe in (
        ("### Methods that promise safety", results.certifying(), False),
        ("### UNSAFE: methods that promise nothing", results.baselines(), True),
    ):
        table = standings(results, methods, tasks)
        if table.rows:
            found += [title, _board(table, unsafe), _ranks(table)]
    return found


def _board(table: Standings, unsafe: bool) -> str:
    rows = [_row(r, table.tasks, unsafe) for r in table.rows]
    return _table(UNSAFE_COLUMNS if unsafe else SAFE_COLUMNS, rows)


def _row(row: Standing, tasks: int, unsafe: bool) -> list[str]:
    name = f"`{row.method}`"
    if row.flag:
        name += " **breaks its promise**"
    elif row.tasks < tasks:
        name += f" ({row.tasks} of {tasks} tasks)"
    cells = [
        name,
        f"{number(row.regret.value)} ({number(row.regret.low)} to {number(row.regret.high)})",
        "–" if row.rank is None else f"{row.rank:.2f}",
        f"{trials_text(row.trials_to_90)} ({percent_text(row.reached)})",
        percent_text(row.safe_share),
        f"{row.broken} of {row.runs}",
        f"{row.violations} of {row.trials}",
        str(row.falls),
        seconds_text(row.ask_median),
    ]
    if unsafe:
        del cells[SAFE_COLUMNS.index("certified share")]
    return cells


def _ranks(table: Standings) -> str:
    ranks = table.ranking
    if len(ranks.mean_rank) < 2 or ranks.blocks < 2:
        return "Too few methods or runs to rank."
    return (
        f"Mean ranks over {ranks.blocks} blocks (one seed of one task each); Friedman test p = "
        f"{number(ranks.p_value, 2)}; ranks that differ by less than {ranks.critical_difference:.2f} are not told "
        "apart (Nemenyi, 5 %)."
    )


def _violations(results: Results) -> str:
    """Runs with a violation per task, of every method that has any."""
    safe = results.certifying()
    rows = []
    for method in [*safe, *results.baselines()]:
        for task in results.task_names:
            judged = results.of(method, task)
            broken = [j for j in judged if j.numbers.violations]
            if broken:
                rows.append(
                    [
                        f"`{method}`" + ("" if method in safe else " (unsafe)"),
                        task,
                        f"{len(broken)} of {len(judged)}",
                        str(sum(j.numbers.violations for j in broken)),
                        number(max(j.numbers.worst_depth for j in broken)),
                        f"{min(j.numbers.first_violation for j in broken):.0f}",
                    ]
                )
    if not rows:
        return "None."
    return _table(("method", "task", "runs", "trials", "worst below 0 by", "first in trial"), rows)


def _made(results: Results, page: str) -> list[str]:
    folders = " ".join(shown(f) for f in results.folders)
    lines = [*commands(results), f"safebo bench leaderboard {folders} --page {page}"]
    parts = ["```\n" + "\n".join(lines) + "\n```"]
    for table in fact_tables(results)[1:]:
        parts += [f"### {table.title}", _table(table.columns, table.rows)]
    return parts


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(c.replace("|", "\\|") for c in line) + " |" for line in lines)
