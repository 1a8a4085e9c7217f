"""The command `safebo check`: what a study's numbers mean, before anything is tuned."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from safebo.cli.output import AsJson, print_json
from safebo.text.command import say

if TYPE_CHECKING:
    from safebo.study.findings import Finding
    from safebo.study.reading import StudyFile


def check(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="Name of a shipped study, or path of a study file.")
    ],
    no_run: Annotated[
        bool, typer.Option("--no-run", help="Look at the study alone; do not load or run its evaluator.")
    ] = False,
    find_seed: Annotated[
        bool,
        typer.Option(
            "--find-seed",
            help="In simulation only: look for a safe seed, from the evaluator's defaults inwards, and print the "
            "lines to paste.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what a study's numbers mean: how far one certified step goes, what the box costs, whether units fit.

    Without a robot and without a run. Each line says `fine`, `look at` (unusual, and may be meant) or `refused`
    (cannot work, or would be unsafe). Where the evaluator is a simulation (it moves no robot and declares that trials
    are repeatable) the seeds are measured there, the first one three times.

    To try:

        safebo check go1-trot

        safebo check my-robot.yaml --find-seed

    Exit codes: 0 nothing is refused, 1 something is, 2 the study cannot be run at all, or no safe seed was found.
    """
    from safebo.runs.time_findings import time_findings
    from safebo.study.findings import declared_findings
    from safebo.study.reading import load_study

    file = load_study(study)
    found: list[Finding] = []
    lines: list[str] = []
    if no_run and not find_seed:
        found = [*declared_findings(file.study), *time_findings(file.study)]
    else:
        lines = _with_evaluator(file, find_seed, found)
    refused = any(f.verdict == "refused" for f in found)
    if as_json:
        told = [{"topic": f.topic, "verdict": f.verdict, "text": f.text} for f in found]
        print_json({"study": file.study.name, "findings": told, "seeds": lines})
    else:
        for finding in found:
            say(f"{finding.verdict:8} {finding.topic}: {finding.text}")
        for line in lines:
            say(line)
    if refused:
        raise typer.Exit(1)


def _with_evaluator(file: StudyFile, find_seed: bool, found: list[Finding]) -> list[str]:
    """Add what seeds show where they may be measured; the lines of a seed that was looked for."""
    from safebo.errors import InputError
    from safebo.runs.run_checks import refuse_unwatched
    from safebo.runs.seed_trials import find_seeds, measured_seeds, seed_lines, single_trials
    from safebo.runs.time_findings import time_findings
    from safebo.study.evaluator_checks import with_defaults
    from safebo.study.findings import Finding, declared_findings, measured_findings

    with single_trials(file, partial(say, error=True)) as trials:
        refuse_unwatched(trials.info, file)
        study = with_defaults(file.study, trials.info)
        if find_seed:
            seeds = find_seeds(trials, study)
            missing = [context for context, seed in seeds.items() if seed is None]
            if missing:
                raise InputError(
                    f"no safe seed was found for context {', '.join(missing)}: widen or move the parameters' bounds, "
                    "or look whether the margins are right (safe is >= 0)"
                )
            return seed_lines(seeds)
        if not trials.simulated:
            found += [*declared_findings(study), *time_findings(study, moves_robot=bool(trials.info.robot))]
            why = "it moves a robot" if trials.info.robot else "it does not declare `repeatable: true`"
            found.append(Finding("seed", "fine", f"not measured: {why}, so `safebo tune` measures it first"))
            return []
        seen, safe = measured_seeds(trials, study)
    found += declared_findings(study, seen[0] if seen and seen[0].seed is study.seeds[0] else None)
    found += safe
    for index, measured in enumerate(seen):
        told = [*measured_findings(study, measured), *time_findings(study, measured)]
        found += [finding for finding in told if index == 0 or finding.verdict != "fine"]
    return []
