"""Papers made again: verdicts on results whose answer is known, and tiny runs from end to end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from safebo.errors import InputError, UnknownNameError
from safebo.evaluators.source import EvaluatorSource
from safebo.experiments.bench.rows import NAN, SCHEMA, ResultRow, table
from safebo.experiments.papers import huebotter2024, runs, sukhija2023, widmer2023
from safebo.experiments.papers.claims import Claim, grid, less, on_par_or_less, paired
from safebo.experiments.papers.claims import table as claim_table
from safebo.experiments.papers.figures import Panel, draw
from safebo.experiments.papers.go1 import (
    IMPEDANCE,
    INITIAL,
    LIMIT,
    RANGES,
    crawl_alone,
    phases,
    trot_then_crawl,
)
from safebo.experiments.papers.go1_boundary import Walks, counted
from safebo.experiments.papers.page import check, command_line, leave
from safebo.experiments.papers.runs import (
    RunRequest,
    command,
    count,
    last_known,
    make,
    mean_and_error,
    series,
)
from safebo.robots.simulation.disturbance import Disturbance, preset

pytestmark = pytest.mark.slow

PNG = b"\x89PNG\r\n\x1a\n"


def one_run(task: str, method: str, seed: int, rows: list[ResultRow]) -> pa.Table:
    return table(rows, task, method, seed, "here", "this", 1.0)


def joined(tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables)


@contextmanager
def in_this_process(_workers: int) -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "pools", SimpleNamespace(local=in_this_process))


# -- reading results


def test_series_holds_the_last_value_of_a_run_that_ended_early() -> None:
    long = [ResultRow(trial=i, regret=r) for i, r in enumerate((3.0, NAN, 1.0), 1)]
    found = series(
        joined(
            [one_run("t", "a", 1, long[:1]), one_run("t", "a", 0, long[::-1]), one_run("t", "b", 0, long)]
        ),
        "t",
        "a",
        "regret",
        3,
    )
    np.testing.assert_array_equal(found, [[3.0, NAN, 1.0], [3.0, 3.0, 3.0]])  # by seed, then by trial
    np.testing.assert_array_equal(last_known(found)[0], [3.0, 3.0, 1.0])
    np.testing.assert_array_equal(last_known(np.array([[NAN, 2.0, NAN]])), [[NAN, 2.0, 2.0]])


def test_series_counts_trials_within_a_context() -> None:
    rows = [ResultRow(trial=i, context="a" if i < 3 else "b", regret=float(i)) for i in range(1, 6)]
    found = series(one_run("t", "m", 0, rows), "t", "m", "regret", 2, "b")
    assert found.tolist() == [[3.0, 4.0]]
    with pytest.raises(InputError, match="no runs of other on t, b"):
        series(one_run("t", "m", 0, rows), "t", "other", "regret", 2, "b")


def test_count_looks_at_the_first_trials_of_every_run() -> None:
    rows = [ResultRow(trial=i, violated=i in (2, 4)) for i in range(1, 5)]
    both = joined([one_run("t", "m", s, rows) for s in (0, 1)])
    assert count(both, "t", "m", "violated") == (4, 8)
    assert count(both, "t", "m", "violated", 3) == (2, 6)


def test_mean_and_standard_error() -> None:
    values = np.array([[1.0, 5.0], [3.0, 5.0], [8.0, 5.0]])
    mean, error = mean_and_error(values)
    assert mean.tolist() == [4.0, 5.0]
    assert error == pytest.approx([stats.sem(values[:, 0]), 0.0])
    assert mean_and_error(values[:1])[1].tolist() == [0.0, 0.0]


# -- comparing


def test_paired_interval_is_the_one_of_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.3, 1.0, 12), rng.normal(0.0, 1.0, 12)
    found, known = paired(a, b), stats.ttest_rel(a, b)
    interval = known.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.settled == (known.pvalue < 0.05)


def test_verdicts_of_pairs() -> None:
    low, high = np.array([1.0, 1.1, 0.9]), np.array([2.0, 2.2, 1.9])
    assert less(low, high) is True
    assert less(high, low) is False
    assert less(np.array([1.0, 3.0]), np.array([2.0, 2.0])) is None  # as often above as below
    assert less(low, low) is False  # the same in every seed is settled: no difference
    assert str(paired(low, low)) == "none in any seed"
    assert less(low[:1], high[:1]) is None  # one seed settles nothing
    assert on_par_or_less(low, low)
    assert on_par_or_less(low, high)
    assert not on_par_or_less(high, low)


def test_tables_in_markdown() -> None:
    text = claim_table([Claim("a|b", "1", "2", True), Claim("c", "", "", False), Claim("d", "", "", None)])
    assert text.splitlines()[2:] == ["| a\\|b | 1 | 2 | yes |", "| c |  |  | **no** |", "| d |  |  | open |"]
    assert grid(["x", "y"], [["1", "2"]]).splitlines() == ["| x | y |", "|---|---|", "| 1 | 2 |"]


def test_figures_are_drawn_with_zeros_on_a_logarithmic_axis(tmp_path: Path) -> None:
    curves = {f"m{i}": np.array([[1.0, 0.0], [0.5, -0.1]]) for i in range(9)}
    path = draw(
        tmp_path / "deep" / "f.png",
        [Panel("t", "y", curves, log=True, marks={"here": 0.4}), Panel("u", "y", curves)],
    )
    assert path.read_bytes().startswith(PNG)


# -- pages


def test_a_page_has_the_summary_and_its_pictures_beside_it(tmp_path: Path) -> None:
    out, page = tmp_path / "out", tmp_path / "docs" / "paper.md"
    out.mkdir()
    (out / "a.png").write_bytes(b"A")
    (out / "b.png").write_bytes(b"B")
    leave("# One\n\n![shown](a.png)", out, page, "python -m this")
    assert (out / "summary.md").read_text() == "# One\n\n![shown](a.png)\n"
    assert page.read_text() == "# One\n\n![shown](paper.png)\n\nMade by `python -m this`.\n"
    assert (page.parent / "paper.png").read_bytes() == b"A"
    leave("![x](a.png) ![y](b.png)", out, page)
    assert page.read_text() == "![x](paper-a.png) ![y](paper-b.png)\n"
    assert (page.parent / "paper-b.png").read_bytes() == b"B"
    with pytest.raises(InputError, match=r"c\.png is missing"):
        leave("![x](c.png)", out, page)


def test_a_page_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends in \.md"):
        widmer2023.main(page=tmp_path / "x.html", out=tmp_path / "out")
    with pytest.raises(InputError, match="--quick"):
        sukhija2023.main(page=tmp_path / "x.md", quick=True, out=tmp_path / "out")
    with pytest.raises(InputError, match="needs all of them"):
        widmer2023.main(tasks="trot", out=tmp_path / "out")
    with pytest.raises(UnknownNameError, match="valley, island, quadcopter"):
        huebotter2024.main(tasks="valley,ridge", out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    check(None, True)
    assert (
        command_line("p", 3, 0) == "python -m safebo.experiments.papers.p --seeds 3 --page docs/papers/p.md"
    )
    assert "--seeds 3 --trials 9 --tasks a --page" in command_line("p", 3, 9, "--tasks a")


# -- running


def test_runs_are_done_once_and_others_in_the_folder_left_out(tmp_path: Path, no_processes: None) -> None:
    said: list[str] = []
    request = RunRequest("valley", ("safe_ucb", "random"), 2)
    first = make([request], 2, tmp_path, 1, said.append)
    assert first.num_rows == 2 * 2 * 2
    assert len(said) == 4
    again = make([RunRequest("valley", ("safe_ucb",), 2)], 1, tmp_path, 1, said.append)
    assert len(said) == 4
    assert set(zip(again["method"].to_pylist(), again["seed"].to_pylist(), strict=True)) == {("safe_ucb", 0)}


def test_what_cannot_run_or_fails_is_said(
    tmp_path: Path, no_processes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="safeopt:measured cannot run on task valley"):
        make([RunRequest("valley", ("safeopt:measured",), 2)], 1, tmp_path, 1)
    with pytest.raises(InputError, match=r"1 runs failed, first constrained_ei on valley, seed 0: "):
        make([RunRequest("valley", ("constrained_ei",), 2)], 1, tmp_path, 1, lambda _: None)


def test_errors_are_words_and_a_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["huebotter2024", "--tasks", "valey"])
    with pytest.raises(SystemExit) as stop:
        command(huebotter2024.main)
    assert stop.value.code == 2
    assert "error: " in (said := capsys.readouterr().err)
    assert "valley" in said


# -- Hübotter et al. 2024

LENGTHS = {"valley": 100, "island": 30, "quadcopter": 10}


def huebotter_rows(level: Callable[[str, str], float], violated: set[str]) -> pa.Table:
    """Curves that fall from 10 times their level in equal steps to the level, apart by seed."""
    rng = np.random.default_rng(1)
    runs_of = []
    for task, n in LENGTHS.items():
        wiggle = 1.0 + 0.01 * rng.random(4)
        for method in huebotter2024.methods_of(task):
            for seed in range(4):
                end = level(task, method) * wiggle[seed] * (1.0 + 1e-3 * rng.random())
                regret = np.linspace(1.5 * end, end, n)
                runs_of.append(
                    one_run(
                        task,
                        method,
                        seed,
                        [
                            ResultRow(
                                trial=i + 1, regret=r, tried_regret=r, violated=method in violated and i == 2
                            )
                            for i, r in enumerate(regret)
                        ],
                    )
                )
    return joined(runs_of)


def as_published(task: str, method: str) -> float:
    if method == "vtl":
        return 0.01
    if method in ("itl", "mm_itl"):
        return 0.02
    if task == "valley":
        return 0.458
    return {"ise": 0.9, "ise_bo": 0.5}.get(method, 0.3)


def test_huebotter_claims_hold_on_what_was_published() -> None:
    found = huebotter2024.claims(huebotter_rows(as_published, {"constrained_ei"}), LENGTHS)
    assert [c.text for c in found if c.holds is not True] == []
    assert len(found) == 16
    violations = next(c for c in found if c.text.startswith("EIC"))
    assert (
        violations.ours == "2-D, island 1.7, quadcopter 5.0 (1-D: cannot run)"
    )  # once in 30, once in 10 trials


@pytest.mark.parametrize(
    ("changed", "failing"),
    [
        (("valley", "safeopt", 0.1), {"heuristic SafeOpt fails on the 1-D task"}),
        (("valley", "goose:prior", 0.1), {"GoOSE fails on the 1-D task"}),
        (
            ("quadcopter", "safeopt:prior", 0.001),
            {"SafeOpt is slow on the quadcopter task", "ITL ends", "VTL ends"},
        ),
        (("island", "ise", 0.001), {"ISE is poor on the 2-D task", "ITL ends", "VTL ends"}),
        (("valley", "ise_bo", 0.001), {"ISE-BO fails", "ISE-BO is never better", "ITL ends", "VTL ends"}),
        (("island", "vtl", 0.2), {"VTL is slightly better than ITL"}),
    ],
)
def test_huebotter_claims_fail_where_runs_say_otherwise(
    changed: tuple[str, str, float], failing: set[str]
) -> None:
    task, method, value = changed

    def level(t: str, m: str) -> float:
        return value if (t, m) == (task, method) else as_published(t, m)

    found = huebotter2024.claims(huebotter_rows(level, {"constrained_ei"}), LENGTHS)
    no = [c.text for c in found if c.holds is False]
    assert len(no) == len(failing)
    assert all(any(text.startswith(start) for start in failing) for text in no)


def test_huebotter_a_violation_of_a_safe_method_is_not_hidden() -> None:
    rows = huebotter_rows(as_published, {"constrained_ei", "vtl", "ise"})
    found = {c.text: c for c in huebotter2024.claims(rows, LENGTHS)}
    assert found["ITL and VTL never violate"].holds is False
    assert "VTL 12 of 560" in found["ITL and VTL never violate"].ours
    assert "ISE 12 of 560" in found["Nor does any other method that certifies"].ours
    assert "12/" not in huebotter2024.numbers(rows, LENGTHS)  # four seeds of each task apart
    assert "4/400" in huebotter2024.numbers(rows, LENGTHS)


def test_huebotter_from_end_to_end(
    tmp_path: Path, no_processes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huebotter2024, "TRIALS", {"island": 2})
    monkeypatch.setattr("builtins.print", lambda *_, **__: None)
    page = tmp_path / "docs" / "page.md"
    huebotter2024.main(seeds=2, trials=2, workers=1, out=tmp_path, page=page)
    text = (tmp_path / "summary.md").read_text()
    assert "](page-figure-5.png)" in page.read_text()
    assert "| claim | paper | ours | holds? |" in text
    assert "## Unpublished or unclear, and chosen by us" in text
    for name in ("figure-5.png", "figure-18.png"):
        assert (tmp_path / name).read_bytes().startswith(PNG)
        assert name in text


# -- Sukhija et al. 2023

LANDSCAPE: Any = SimpleNamespace(
    best_region=SimpleNamespace(label=2), region_of=lambda kp, kd: 2 if kp < 0 else 1
)
ISLANDS = sukhija2023.Islands(2.0, LANDSCAPE)


def pendulum_rows(crossing: bool = True, answer_safe: bool = True, violated: bool = False) -> pa.Table:
    def rows(method: str, seed: int) -> list[ResultRow]:
        over = method == "gosafeopt" and crossing
        return [
            ResultRow(trial=1, x=[3.0, 4.8], regret=3.5, answer_safe=True, tried_regret=3.5),
            ResultRow(trial=2, x=[-2.0, 4.5], regret=NAN, tried_regret=3.5, backup=over, phase="global"),
            ResultRow(
                trial=3 + seed,
                x=[-2.0, 4.5] if over else [2.0, 4.5],
                regret=0.1 if over else 2.1,
                answer_safe=answer_safe,
                tried_regret=0.1,
                violated=violated and over,
            ),
        ]

    return joined(
        [one_run("pendulum-islands", m, s, rows(m, s)) for m in sukhija2023.METHODS for s in range(2)]
    )


def verdicts(claims: list[Claim]) -> list[bool | None]:
    return [c.holds for c in claims]


def test_sukhija_islands_are_told_apart() -> None:
    found = sukhija2023.pendulum_claims(pendulum_rows(), 5, ISLANDS)
    assert verdicts(found) == [True] * 4
    assert found[1].ours == "2 of 2 seeds, first trial there 3 to 4"  # the one of trial 2 ended on a backup
    assert found[3].ours == "100.0 % (0 of 6 violated); 2 trials ended on a backup"


def test_sukhija_claims_fail_where_runs_say_otherwise() -> None:
    assert verdicts(sukhija2023.pendulum_claims(pendulum_rows(crossing=False), 5, ISLANDS)) == [
        True,
        False,
        True,
        True,
    ]
    assert verdicts(sukhija2023.pendulum_claims(pendulum_rows(answer_safe=False), 5, ISLANDS))[1] is False
    broken = sukhija2023.pendulum_claims(pendulum_rows(violated=True), 5, ISLANDS)
    assert verdicts(broken) == [True, True, True, False]
    assert broken[3].ours.startswith("66.7 % (2 of 6 violated)")


def toy_rows(seeds_of_gosafeopt: list[float]) -> pa.Table:
    def rows(end: float) -> list[ResultRow]:
        return [
            ResultRow(trial=i, regret=r, tried_regret=r, answer_safe=True)
            for i, r in enumerate((9.0, end), 1)
        ]

    return joined(
        [
            one_run("gosafeopt-toy", method, seed, rows(4.0 if method == "safeopt" else end))
            for method in sukhija2023.METHODS
            for seed, end in enumerate(seeds_of_gosafeopt)
        ]
    )


def test_sukhija_toy_needs_every_seed() -> None:
    assert verdicts(sukhija2023.toy_claims(toy_rows([0.0, 1.0]), 2)) == [True, True]
    found = sukhija2023.toy_claims(toy_rows([0.0, 4.0]), 2)
    assert verdicts(found) == [False, True]
    assert found[0].ours == "1 of 2 seeds; mean regret 2 against 4"


def test_sukhija_summary_says_what_was_not_made_again() -> None:
    both = joined([pendulum_rows(), toy_rows([0.0, 1.0])])
    text = sukhija2023.summary(both, {"pendulum-islands": 5, "gosafeopt-toy": 2}, 2, ISLANDS)
    assert "(not made again)" in text
    assert "| pendulum | GoSafeOpt | 0.1 ± 0 | 0/6 | 2 |" in text
    assert "| 1-D toy | SafeOpt | 4 ± 0 | 0/4 | 0 |" in text


# -- Widmer et al. 2023

GAITS = {"trot": 3, "crawl": 2}


def walk(end: dict[str, float], violated: int = 0, backups: int = 0) -> list[ResultRow]:
    """Costs that fall from 2 to `end`; the answer is looked at in the last trial of each gait."""
    rows: list[ResultRow] = []
    for gait, cost in end.items():
        for i in range(GAITS[gait]):
            last = i == GAITS[gait] - 1
            rows.append(
                ResultRow(
                    trial=len(rows) + 1,
                    context=gait,
                    phase="seed" if i == 0 else "global",
                    true_objective=-2.0 if i == 0 else -cost,
                    regret=cost if last else NAN,
                    tried_regret=cost if last else 2.0,
                    violated=i in range(1, 1 + violated),
                    backup=i in range(1, 1 + backups),
                )
            )
    return rows


def go1_rows(crawl: dict[str, float], same: bool = False) -> pa.Table:
    trot = {"contextual GoSafeOpt": 1.2, "contextual SafeOpt": 1.5, "GP-UCB": 1.0}
    found = []
    for entry in widmer2023.ENTRIES:
        for seed in range(3):
            apart = 0.0 if same else 0.01 * seed * (1.0 + crawl[entry.name])
            end = {"crawl": crawl[entry.name] + apart}
            if entry.task == widmer2023.BOTH:
                end = {"trot": trot[entry.name] + (0.0 if same else 0.02 * seed), **end}
            unsafe = 1 if entry.name == "GP-UCB" else 0
            explores = 1 if entry.name == "contextual GoSafeOpt" else 0
            found.append(one_run(entry.task, entry.method, seed, walk(end, unsafe, explores)))
    return joined(found)


PUBLISHED_ORDER = {
    "contextual GoSafeOpt": 0.6,
    "contextual SafeOpt": 0.9,
    "GoSafeOpt": 1.3,
    "SafeOpt": 1.4,
    "GP-UCB": 0.8,
}


def test_widmer_rewards_are_between_the_initial_gains_and_the_best_found() -> None:
    reward = widmer2023.rewards(go1_rows(PUBLISHED_ORDER, same=True), GAITS)
    assert reward["crawl", "contextual GoSafeOpt"].tolist() == [[0.0, 1.0]] * 3
    assert reward["crawl", "SafeOpt"][0] == pytest.approx([0.0, 0.6 / 1.4])
    assert reward["trot", "GP-UCB"][0] == pytest.approx([0.0, 0.0, 1.0])
    assert ("trot", "SafeOpt") not in reward


def test_widmer_claims_hold_in_the_published_order() -> None:
    found = widmer2023.claims(go1_rows(PUBLISHED_ORDER), GAITS)
    assert [c.text for c in found if c.holds is not True] == []
    assert found[-2].ours == "33.3 % (3 of 9, 0 falls)"
    assert found[-1].ours == "50.0 % (3 of 6, 0 falls)"
    assert "leaves out 0" in widmer2023.settled(found)


def test_widmer_equal_methods_are_not_called_ordered() -> None:
    equal = {**PUBLISHED_ORDER, "contextual SafeOpt": 0.6}
    found = {c.text: c for c in widmer2023.claims(go1_rows(equal, same=True), GAITS)}
    one = found["crawl: contextual GoSafeOpt above contextual SafeOpt"]
    assert one.holds is False
    assert "none in any seed" in one.ours
    turned = {**PUBLISHED_ORDER, "SafeOpt": 0.2}
    found = {c.text: c for c in widmer2023.claims(go1_rows(turned), GAITS)}
    assert found["crawl: contextual GoSafeOpt above SafeOpt"].holds is False


def test_widmer_summary_counts_backups_of_global_trials() -> None:
    text = widmer2023.summary(go1_rows(PUBLISHED_ORDER), GAITS, 3)
    assert "contextual GoSafeOpt in trot: 3 of 6 global trials ended on a backup" in text
    assert "| trot | GP-UCB | 1.00 | " in text
    assert "0.3 rad^2" in text


def test_widmer_says_why_gp_ucb_did_not_violate_in_crawl_only_where_it_did_not() -> None:
    rows = go1_rows(PUBLISHED_ORDER)
    assert widmer2023.harmless(rows) == []
    column = rows.schema.get_field_index("violated")
    calm = rows.set_column(column, rows.schema.field(column), pa.array([False] * rows.num_rows))
    assert len(widmer2023.harmless(calm)) == 1
    assert "in 6 trials" in widmer2023.harmless(calm)[0]
    assert widmer2023.harmless(calm)[0] in widmer2023.summary(calm, GAITS, 3)


def test_widmer_studies() -> None:
    both, alone = trot_then_crawl(), crawl_alone()
    assert phases(120) == {"trot": 80, "crawl": 40}
    assert phases(750) == {"trot": 500, "crawl": 250}
    assert {s.context for s in both.seeds} == {"trot", "crawl"}
    assert {s.context for s in alone.seeds} == {"crawl"}
    assert both.parameters == alone.parameters
    assert both.tuner == alone.tuner
    disturbance = Disturbance.from_dict(both.evaluator.options["disturbance"])
    assert disturbance == replace(preset("paper"), joint_impedance=IMPEDANCE)
    assert {p.bounds for p in both.parameters} == set(RANGES.values())
    for seed in both.seeds:
        assert set(seed.parameters.values()) == set(INITIAL.values())
    warp = both.constraints[0].warp
    assert (warp.upper, both.evaluator.options["limits"]["tracking"]) == (LIMIT, LIMIT)
    backup, states = both.tuner.backup, EvaluatorSource(both).make().info().states
    assert list(backup.state_scale) == [s.name for s in states]
    watched = [s.name for s in states if backup.state_scale[s.name] == s.scale]
    assert len(watched) == 33 - 12
    assert not any(name.startswith("speed.") for name in watched)
    assert (both.tuner.exploration.local_steps, both.tuner.exploration.global_steps) == (10, 5)


def test_the_boundary_lets_safe_gains_through_and_catches_others() -> None:
    study = trot_then_crawl()
    walks = Walks(study, "crawl")
    monitor = walks.monitor(2, np.random.default_rng(0))
    assert len(monitor.backups) == 2
    assert dict(monitor.backups[0]) == pytest.approx(study.seeds[0].parameters)
    start = walks.encoding.space.to_unit(walks.encoding.space.vector(study.seeds[0].parameters))
    soft = np.array([0.0, 0.0] * 3)
    found = counted(walks, np.stack([start, soft]), monitor)
    assert found == {"gains": 2, "safe": 1, "let through": 1, "caught": 1, "violated": 0}


def test_columns_that_papers_read_exist() -> None:
    for name in (
        "regret",
        "tried_regret",
        "violated",
        "fell",
        "backup",
        "phase",
        "context",
        "answer_safe",
        "x",
    ):
        assert name in SCHEMA.names
