"""Runs side by side, and whether what they found differs by more than chance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path

import numpy as np
from scipy.stats import t as student
from scipy.stats import ttest_ind

from safebo.errors import InputError
from safebo.evaluators.outcome import was_unsafe
from safebo.report.data import RunView, best_so_far, finite_margin, objective_of
from safebo.report.findings import view_of
from safebo.report.sentences import number, signed
from safebo.runs.best_gains import BestGains
from safebo.storage.journal import Journal
from safebo.study.reading import changed_keys
from safebo.types import FloatArray

LEVEL = 0.05
"""Probability of a difference by chance from which one is called significant, over all pairs together (Holm 1979)."""

EXACT = 14
"""Pairs up to which all signs are tried; of more, `DRAWS` at random."""

DRAWS = 20_000


@dataclass(frozen=True)
class ComparedRun:
    """One run in a context.

    Args:
        view: the run.
        method: of its tuner.
        seed: of everything random.
        group: what runs that differ by their seed alone have in common, in words.
        told: trials with a result.
        best: certified gains; None where there are none.
        start: mean objective of its seeds; None where none was measured.
        unsafe: trials with a margin below 0 or a fall.
        smallest: smallest measured margin of every constraint.
        ids, curve: best safe objective measured so far, by trial.
    """

    view: RunView
    method: str
    seed: int
    group: str
    told: int
    best: BestGains | None
    start: float | None
    unsafe: int
    smallest: Mapping[str, float]
    ids: tuple[int, ...]
    curve: tuple[float, ...]

    @property
    def value(self) -> float | None:
        """The mean objective at its certified gains, or of its seed, with which it would stay."""
        return self.start if self.best is None else self.best.objective.mean


@dataclass(frozen=True)
class Verdict:
    """Whether two groups of runs differ, in words; `p` is None where nothing can be tested."""

    first: str
    second: str
    words: str
    p: float | None = None


def read_compared(folders: Sequence[Path], context: str | None = None) -> list[ComparedRun]:
    """The runs in these folders, in a context.

    Args:
        folders: at least two.
        context: name of a context; None for the only one that all have tried.

    Raises:
        InputError: fewer than two runs, a run or a copy of it twice, no common context, or objectives that are not the
            same.
    """
    if len({folder.resolve() for folder in folders}) < max(2, len(folders)):
        raise InputError("compare needs two runs at least, each of them once")
    read = [_read(folder) for folder in folders]
    _refuse_copies(read)
    first = read[0][0].study.objective
    for view, _, _, _ in read[1:]:
        other = view.study.objective
        if (other.name, other.unit) != (first.name, first.unit):
            raise InputError(
                f"{view.folder}: its objective is {other.name} [{other.unit}], that of {folders[0]} is {first.name} "
                f"[{first.unit}]: numbers that mean different things are not compared"
            )
    common = [name for name in read[0][0].best if all(name in view.best for view, *_ in read)]
    name = context or (common[0] if len(common) == 1 else "")
    if name not in common:
        raise InputError(
            f"--context {context}: all runs must have tried it; they have in common: {', '.join(common) or 'none'}"
            if context or not common
            else f"the runs have several contexts in common; give one with --context: {', '.join(common)}"
        )
    hashes: dict[tuple[str, str], set[str]] = {}
    for view, method, _, digest in read:
        hashes.setdefault((view.study.name, method), set()).add(digest)
    return [_compared(*one, name, len(hashes[one[0].study.name, one[1]]) > 1) for one in read]


def _refuse_copies(read: Sequence[tuple[RunView, str, int, str]]) -> None:
    """Refuse runs of one study, method and seed with the same trials: they say once what one of them says.

    Raises:
        InputError: there are such.
    """
    known: dict[tuple[str, int, str], list[RunView]] = {}
    for view, method, seed, digest in read:
        shown = _shown(view)
        for other in known.setdefault((method, seed, digest), []):
            if shown and shown == _shown(other):
                raise InputError(
                    f"{view.folder} holds the same trials as {other.folder}, of seed {seed} both: a copy counts as no "
                    "further run; give runs of other seeds"
                )
        known[method, seed, digest].append(view)


def _shown(view: RunView) -> list[tuple[object, ...]]:
    """What a run tried and measured, without arrays."""
    told = [(e.trial.parameters, e.measurement) for e in view.records if e.measurement is not None]
    return [(dict(gains), m.outcome, m.objective, dict(m.margins)) for gains, m in told]


def _read(folder: Path) -> tuple[RunView, str, int, str]:
    with Journal.open(folder, read_only=True) as journal:
        run = journal.run
        return view_of(folder, journal), run.study.tuner.method, run.seed, run.study_hash


def _compared(view: RunView, method: str, seed: int, digest: str, context: str, unclear: bool) -> ComparedRun:
    own = view.of_context(context)
    told = [e for e in own if e.measurement is not None]
    seeds = [v for e in told if e.trial.phase == "seed" and (v := objective_of(e)) is not None]
    margins = {
        c.name: [v for e in told if (v := finite_margin(e, c)) is not None] for c in view.study.constraints
    }
    ids, curve = best_so_far(tuple(view.records), view.study, context)
    return ComparedRun(
        view=view,
        method=method,
        seed=seed,
        group=f"{view.study.name}, {method}{f', study {digest[:6]}' if unclear else ''}",
        told=len(told),
        best=view.best[context],
        start=float(np.mean(seeds)) if seeds else None,
        unsafe=sum(e.measurement is not None and was_unsafe(e.measurement, view.study) for e in told),
        smallest={name: min(values) for name, values in margins.items() if values},
        ids=tuple(ids),
        curve=tuple(curve),
    )


# -- significance --------------------------------------------------------------------------------------------


def verdicts(runs: Sequence[ComparedRun]) -> list[Verdict]:
    """Every pair of groups: paired by seed where both ran the same seeds, else by Welch's test, or by the intervals of
    two single runs, which decide nothing.
    """
    groups: dict[str, list[ComparedRun]] = {}
    for run in runs:
        groups.setdefault(run.group, []).append(run)
    unit = f" {runs[0].view.study.objective.unit}".rstrip()
    if len(groups) == 1:
        return [_one_group(runs, unit)]
    found = [_pair(a, b, unit) for a, b in combinations(groups.values(), 2)]
    return list(_corrected(found))


def _one_group(runs: Sequence[ComparedRun], unit: str) -> Verdict:
    values = [v for run in runs if (v := run.value) is not None]
    spread = (
        f" with a standard deviation of {number(float(np.std(values, ddof=1)))}{unit}"
        if len(values) > 1
        else ""
    )
    mean = f"{number(float(np.mean(values)))}{unit}" if values else "nothing"
    words = (
        f"All runs are of one kind ({runs[0].group}) and differ by chance alone: {mean} in the mean{spread}."
    )
    return Verdict(runs[0].group, runs[0].group, words)


def _pair(first: Sequence[ComparedRun], second: Sequence[ComparedRun], unit: str) -> Verdict:
    a, b = first[0].group, second[0].group
    x, y = ({run.seed: v for run in group if (v := run.value) is not None} for group in (first, second))
    seeds = sorted(x.keys() & y.keys())
    named = f"{b} against {a}"
    if len(x) == 1 == len(y) or min(len(first), len(second)) == 1:
        return Verdict(a, b, f"{named}: {_single(first[0], second[0], unit)}")
    unique = len(x) == len(first) and len(y) == len(second) and _same_task(first[0], second[0])
    if unique and len(seeds) >= 2:
        differences = np.array([y[s] - x[s] for s in seeds])
        p, (low, high) = sign_flip(differences), _mean_interval(differences)
        least = 2.0 / 2 ** len(seeds)
        small = f"; with {len(seeds)} pairs p cannot be below {least:.2g}" if least > LEVEL else ""
        words = (
            f"{named}: {signed(float(differences.mean()))}{unit} in the mean of n = {len(seeds)} pairs of one seed "
            f"(95 % interval {signed(low)} to {signed(high)}), p = {p:.2g} by a two-sided sign-flip "
            f"permutation test{small}."
        )
        return Verdict(a, b, words, p)
    one, two = (np.array([v for run in g if (v := run.value) is not None]) for g in (first, second))
    if min(len(one), len(two)) < 2:
        return Verdict(a, b, f"{named}: too few runs have an objective to be tested.")
    found = ttest_ind(two, one, equal_var=False)
    low, high = found.confidence_interval(0.95)
    words = (
        f"{named}: {signed(float(two.mean() - one.mean()))}{unit} in the mean of n = {len(one)} and {len(two)} runs of "
        f"different seeds (95 % interval {signed(float(low))} to {signed(float(high))}), p = {found.pvalue:.2g} by "
        "Welch's t-test."
    )
    return Verdict(a, b, words, float(found.pvalue))


def _same_task(one: ComparedRun, two: ComparedRun) -> bool:
    """Whether studies differ in their tuner at most, so that the same seed means the same noise."""
    free = ("tuner", "name", "trials")
    return all(line.startswith(free) for line in changed_keys(one.view.study, two.view.study))


def _single(one: ComparedRun, two: ComparedRun, unit: str) -> str:
    """Two runs by their own intervals."""
    nothing = "one run each decides nothing between them; give several seeds of both"
    if one.best is None or two.best is None:
        return f"{nothing}. In one of them nothing is certified."
    a, b = one.best.objective, two.best.objective
    change = b.mean - a.mean
    low = change - math.hypot(b.mean - b.lower, a.upper - a.mean)
    high = change + math.hypot(b.upper - b.mean, a.mean - a.lower)
    apart = "differ" if low > 0 or high < 0 else "are not told apart"
    return (
        f"{nothing}. What these two found {apart}: {signed(change)}{unit}, interval {signed(low)} to {signed(high)} by "
        "their bounds."
    )


def sign_flip(differences: FloatArray) -> float:
    """Two-sided p of a mean difference of n pairs, were every sign as likely: exact to 14 pairs, else 20,000 draws.

    Example:
        >>> sign_flip(np.array([1.0, 2.0, 3.0]))  # 2 of 8 sign patterns are as extreme
        0.25
    """
    n, seen = len(differences), abs(float(differences.sum()))
    if n <= EXACT:
        signs = np.array(list(product((-1.0, 1.0), repeat=n)))
        return float(np.mean(np.abs(signs @ differences) >= seen * (1.0 - 1e-12)))
    signs = np.random.default_rng(0).choice((-1.0, 1.0), size=(DRAWS, n))
    return float((1 + np.sum(np.abs(signs @ differences) >= seen * (1.0 - 1e-12))) / (DRAWS + 1))


def _mean_interval(values: FloatArray) -> tuple[float, float]:
    """95 % interval of a mean, by Student's t."""
    mean = float(values.mean())
    half = float(student.ppf(0.975, len(values) - 1)) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return mean - half, mean + half


def _corrected(found: Sequence[Verdict]) -> Iterator[Verdict]:
    """Holm's step-down correction over all pairs that were tested, said with each."""
    tested = sorted((v.p, i) for i, v in enumerate(found) if v.p is not None)
    adjusted, largest = dict[int, float](), 0.0
    for rank, (p, i) in enumerate(tested):
        largest = max(largest, min(1.0, p * (len(tested) - rank)))
        adjusted[i] = largest
    for i, one in enumerate(found):
        if i not in adjusted:
            yield one
            continue
        holm = (
            f" (p = {adjusted[i]:.2g} after Holm's correction for {len(tested)} pairs)"
            if len(tested) > 1
            else ""
        )
        said = "Significant" if adjusted[i] < LEVEL else "Not significant"
        yield Verdict(one.first, one.second, f"{one.words} {said} at {100 * LEVEL:g} %{holm}.", one.p)
