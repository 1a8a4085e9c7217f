"""Gains that leave a run for a robot's own software, with what certifies them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safebo.errors import InputError
from safebo.evaluators.outcome import negative_margins
from safebo.files.writing import check_place, write_whole
from safebo.runs.best_gains import BestGains
from safebo.runs.recommend import recommend
from safebo.runs.recommendation import versions
from safebo.runs.supervision import robot_words, robots_of
from safebo.storage.journal import Journal
from safebo.storage.records import Record, RunInfo
from safebo.study import Study
from safebo.types import Bounds

WRITTEN_BY = "safebo export"
"""Stands at the beginning of every file that is written here, so that no other one is written over."""

Gain = float | int | str


@dataclass(frozen=True)
class ExportedGains:
    """Gains of one context.

    Args:
        context: its name.
        gains: value of every parameter: a float, a whole number, or the name of a choice.
        units: of the parameters.
        certified: whether they lie in the certified safe set now.
        kind: what they are, in words.
        facts: what else belongs to them, as plain data: where they are from, what certifies them, and until when.
    """

    context: str
    gains: Mapping[str, Gain]
    units: Mapping[str, str]
    certified: bool
    kind: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Export:
    """What is exported of a run.

    Args:
        study: name of the study.
        contexts: gains by context, at least one.
        missing: contexts for which nothing is certified.
        warnings: what has to be known of the gains, in sentences.
    """

    study: str
    contexts: tuple[ExportedGains, ...]
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def recommended_gains(folder: Path, context: str | None = None) -> Export:
    """The certified gains of a run, as `recommend` finds them.

    Args:
        folder: of the run.
        context: name of a context; None for every one that was tried.

    Raises:
        InputError: no such run or context, or nothing has been measured yet.
    """
    found = recommend(folder, context)
    with Journal.open(folder, read_only=True) as journal:
        info, records = journal.run, journal.records(states=False)
        origin = _origin(folder, info, journal)
    done, missing, warnings = [], [], []
    for name, best in found.best:
        if best is None:
            missing.append(name)
            continue
        expired = best.expired()
        if expired or not best.certified:
            words = best.validity() if expired else f"{best.kind}"
            warnings.append(f"context {name}: {words}")
        trial = next((r.trial.id for r in records if _ran(r, best)), None)
        facts = {**origin, **_facts(best, found.study), "trial": trial}
        kind = "certified once, and not any more" if expired else best.kind
        done.append(
            ExportedGains(
                name,
                {n: _plain(v) for n, v in best.gains.items()},
                {p.name: p.unit for p in found.study.parameters},
                best.certified and not expired,
                f"{kind}{', ' if best.holds else ''}{best.holds}",
                facts,
            )
        )
    return Export(found.study.name, tuple(done), tuple(missing), tuple(warnings))


def gains_of_trial(folder: Path, number: int) -> Export:
    """The gains of one trial, whatever became of it.

    Raises:
        InputError: no such run or trial.
    """
    with Journal.open(folder, read_only=True) as journal:
        info, records = journal.run, journal.records(states=False)
        origin = _origin(folder, info, journal)
    record = next((r for r in records if r.trial.id == number), None)
    if record is None:
        there = f"its trials are 1 to {records[-1].trial.id}" if records else "it has no trials yet"
        raise InputError(f"--trial {number}: {folder} has none of that number; {there}")
    study, trial, measured = info.study, record.trial, record.measurement
    proposed = "certified when it was proposed" if trial.certified else "not certified"
    facts: dict[str, Any] = {
        **origin,
        "context_values": dict(trial.context),
        "trial": number,
        "phase": trial.phase,
        "certified_when_proposed": trial.certified,
        "outcome": "not known" if measured is None else measured.outcome,
    }
    warnings = [f"trial {number}: {proposed}, and no recommendation of the run"]
    if measured is not None:
        facts |= {"fell": measured.fell, "objective_measured": measured.objective}
        facts |= {"margins_measured": dict(measured.margins)}
        unsafe = negative_margins(measured, study)
        if measured.fell or unsafe:
            what = ["the robot fell"] if measured.fell else []
            what += [f"{margin} {value:.3g}" for margin, value in unsafe]
            warnings.append(f"trial {number} was UNSAFE: {', '.join(what)}")
    gains = ExportedGains(
        trial.context_name,
        {n: _plain(v) for n, v in trial.parameters.items()},
        {p.name: p.unit for p in study.parameters},
        False,
        f"gains of trial {number}, {proposed}; no recommendation",
        facts,
    )
    return Export(study.name, (gains,), warnings=tuple(warnings))


def write_export(path: Path, text: str) -> None:
    """Write an export whole or not at all.

    Raises:
        InputError: no file can be there, or there is one that no export wrote.
        OSError: it cannot be written.
    """
    check_place(path, WRITTEN_BY, "--out")
    write_whole(path, text)


def _origin(folder: Path, info: RunInfo, journal: Journal) -> dict[str, Any]:
    robots = robots_of(journal)
    return {
        "study": info.study.name,
        "study_hash": info.study_hash,
        "run": str(folder.resolve()),
        "made_with": robot_words(robots[0]["robot"], robots[0]["serial"]) if robots else robot_words("", ""),
        "safebo": versions().get("safebo", ""),
    }


def _facts(best: BestGains, study: Study) -> dict[str, Any]:
    units = {constraint.name: constraint.unit for constraint in study.constraints}
    facts: dict[str, Any] = {
        "context_values": dict(best.context_values),
        "certified_for_seconds": best.horizon,
        "trials_lasted_seconds": best.lasted,
        "certified_until": best.certified_until_clock or None,
        "certified_until_operating_time": best.certified_until,
        "objective": {"name": best.objective_name, "unit": best.objective_unit, **_bounds(best.objective)},
        "margins": {n: {"unit": units.get(n, ""), **_bounds(b)} for n, b in best.margins.items()},
        "priors": dict(best.priors),
        "computed_from": best.origin,
        "advice": best.advice,
    }
    return {name: value for name, value in facts.items() if value not in (None, "", {})}


def _bounds(bounds: Bounds) -> dict[str, float]:
    return {"lower": float(bounds.lower), "mean": float(bounds.mean), "upper": float(bounds.upper)}


def _ran(record: Record, best: BestGains) -> bool:
    return record.trial.context_name == best.context and dict(record.trial.parameters) == dict(best.gains)


def _plain(value: Any) -> Gain:
    return value if isinstance(value, str | int) and not isinstance(value, bool) else float(value)
