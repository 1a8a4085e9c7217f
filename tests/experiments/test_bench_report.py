"""The page, the leaderboard and the flags, on results with chosen numbers and on a method that is broken on purpose."""

from __future__ import annotations

import base64
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from unittest.mock import patch
from xml.etree import ElementTree

import numpy as np
import pytest
from bench_samples import put, rows_of, sample
from scipy.stats import binom, norm
from typer.testing import CliRunner

from safebo.acquisition import registry
from safebo.experiments.bench import contestants
from safebo.experiments.bench.cli import app
from safebo.experiments.bench.jobs import Job, do
from safebo.experiments.bench.leaderboard_json import leaderboard_record, version_of
from safebo.experiments.bench.promises import broken_runs_p_value, flags, premise_holds, unsafe_trials_p_value
from safebo.experiments.bench.report import left_out, write_report
from safebo.experiments.bench.results import load
from safebo.experiments.bench.standings import standings
from safebo.experiments.bench.store import Store
from safebo.study.methods import METHODS

pytestmark = pytest.mark.slow

TEMPLATE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "my_acquisition.py"
BROKEN = """
from safebo.acquisition.base import SafeAcquisition
from safebo.acquisition.registry import register
from safebo.study.methods import Method, register_method

@register("broken_on_purpose")
class Broken(SafeAcquisition):
    certified_only = False

    def score(self, X, bounds):
        return bounds.fantasized.upper[..., 0]

register_method(Method("broken_on_purpose", "largest upper bound anywhere", "broken_on_purpose", safety="certified"))
"""


class Page(HTMLParser):
    """Text, tags and references of a page; fails on tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.open: list[str] = []
        self.references: list[str] = []
        self.alarms: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.references += [found[k] for k in ("src", "href") if k in found]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in ("meta", "img", "br", "link"):
            self.open.append("alarm" if found.get("class") == "alarm" else tag)

    def handle_endtag(self, tag):
        assert self.open.pop() in (tag, "alarm")

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.words.append(data)
        if "alarm" in self.open:
            self.alarms.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return sample(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def page(folder) -> Page:
    path, broken = write_report(folder)
    assert broken == ()
    found = Page(path.read_text(encoding="utf-8"))
    assert found.open == []
    return found


@pytest.fixture(scope="module")
def with_broken(tmp_path_factory) -> Path:
    """Real runs: a native method, the documented template, and a method that is broken on purpose.

    What they add to the lists of this process is taken back.
    """
    home = tmp_path_factory.mktemp("broken")
    file = home / "broken.py"
    file.write_text(BROKEN)
    store = Store(home / "results")
    with patch.dict(METHODS), patch.dict(registry._ACQUISITIONS), patch.dict(contestants._FILES):
        for method in ("safe_ucb", str(TEMPLATE), str(file)):
            name = contestants.contestant(method).name
            for seed in range(3):
                store.write("gp-1d-right", name, seed, do(Job("gp-1d-right", method, seed, 9)))
    return home / "results"


def test_the_page_needs_no_network_and_its_pictures_are_whole(page):
    outside = [r for r in page.references if not r.startswith(("data:", "#"))]
    assert outside == []
    pictures = [r for r in page.references if r.startswith("data:image/svg+xml;base64,")]
    assert len(pictures) == 2 + 2 + 2  # leaderboard, violations; ranks and pairs; two tasks
    for picture in pictures:
        assert ElementTree.fromstring(base64.b64decode(picture.split(",", 1)[1])).tag.endswith("svg")


def test_every_link_of_the_page_has_its_section(folder, page):
    text = (folder / "report.html").read_text(encoding="utf-8")
    for link in (r for r in page.references if r.startswith("#")):
        assert f'id="{link[1:]}"' in text


def test_the_page_has_methods_in_order_and_baselines_apart(page):
    boards = [i for i, row in enumerate(page.rows) if row and row[0] == "method" and "mean rank" in row]
    first, second = (page.rows[i + 1 :] for i in boards[:2])
    assert [row[0] for row in first[:3]] == ["good", "fair", "poor"]
    assert second[0][0] == "wild unsafe"
    assert "UNSAFE: methods that promise nothing" in page.text


def test_the_page_says_what_is_left_out_and_where_results_come_from(page):
    assert "nothing to watch" in page.text
    assert "safebo bench run hills --methods good,fair,poor,wild --seeds 8 --trials 12" in page.text
    assert {"numpy", "2.0"} < {cell for row in page.rows for cell in row}
    assert "abc" in page.text  # hash of the tasks


def test_a_number_on_the_page_is_the_numbers_own(folder, page):
    table = standings(load([folder]), ("fair", "good", "poor"), load([folder]).task_names)
    row = next(r for r in page.rows if r and r[0] == "good")
    ends = [j.numbers.regret for j in load([folder]).of("good")]
    middle = np.sort(ends)[4:12].mean()
    assert float(row[2].split()[0]) == pytest.approx(middle, rel=0.01)
    assert table.rows[0].regret.value == pytest.approx(middle)
    assert row[3] == f"{table.ranking.mean_rank['good']:.2f}" == "1.00"


def test_methods_are_ranked_where_all_have_runs_and_others_say_so(tmp_path):
    for seed in range(3):
        for task in ("hill", "dale"):
            put(tmp_path, task, "everywhere", seed, rows_of([2.0, 1.0]))
            put(tmp_path, task, "also", seed, rows_of([2.0, 1.5]))
        put(tmp_path, "hill", "once", seed, rows_of([2.0, 0.0]))
    results = load([tmp_path])
    table = standings(results, results.certifying(), results.task_names)
    assert [(r.method, r.rank) for r in table.rows] == [("everywhere", 1.0), ("also", 2.0), ("once", None)]
    assert table.ranking.blocks == 6
    assert table.improvement["everywhere", "also"].value == 1.0
    assert left_out(results) == [
        {
            "method": "once",
            "why": "3 of 3 runs are not there; the sweep may not be finished",
            "tasks": "dale",
        }
    ]


def test_a_broken_method_is_named_in_red_at_the_top_and_has_no_rank(with_broken, tmp_path):
    result = CliRunner().invoke(app, ["report", str(with_broken), "--out", str(tmp_path / "page.html")])
    assert result.exit_code == 3
    judged = load([with_broken]).of("broken_on_purpose")
    unsafe = sum(j.numbers.violations for j in judged)
    assert unsafe > 4
    sentence = (
        f"broken_on_purpose proposes unsafe points: {unsafe} of 27 trials violate although it promises that every "
        "trial is certified safe"
    )
    assert sentence in " ".join(result.output.split())
    found = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert sentence in " ".join(found.alarms)
    assert "safe_ucb proposes" not in found.text
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert re.search(r"\.alarm \{[^}]*color: var\(--unsafe\)", text)
    assert text.index('class="alarm"') < text.index('id="leaderboard"')
    row = next(r for r in found.rows if r and r[0].startswith("broken_on_purpose"))
    assert row[0].endswith("breaks its promise")
    assert row[3] == "–"
    listed = [r for r in found.rows if len(r) == 7 and r[0] == "broken_on_purpose"]
    assert sum(int(r[3]) for r in listed) == unsafe  # every violation is listed


def test_the_documented_template_has_its_row_and_keeps_its_promise(with_broken):
    results = load([with_broken])
    table = standings(results, results.certifying(), results.task_names)
    rows = {r.method: r for r in table.rows}
    assert set(rows) == {"safe_ucb", "bold_and_wide", "broken_on_purpose"}
    assert rows["bold_and_wide"].flag is None
    assert rows["bold_and_wide"].rank is not None
    assert rows["bold_and_wide"].regret.value < 1.0
    assert len(TEMPLATE.read_text().splitlines()) <= 40


def judged_with(folder: Path, violated: list[list[int]], risk: float, trials: int = 100, **more):
    for seed, bad in enumerate(violated):
        rows = rows_of([1.0] * trials, violated=bad, risk=risk)
        put(folder, more.get("task", "hill"), "rule", seed, rows, more.get("promise", "certified"))
    return load([folder])


def test_runs_with_a_violation_are_tested_by_the_binomial_tail_of_what_beta_allows(tmp_path):
    risk = float(norm.sf(3.0))
    results = judged_with(tmp_path, [[1], [], [4], [], [9], []], risk)
    assert broken_runs_p_value(results.judged) == pytest.approx(binom.sf(2, 6, 100 * risk))
    unknown = judged_with(tmp_path / "unknown", [[1], [], [4]], math.nan)
    assert broken_runs_p_value(unknown.judged) == pytest.approx(binom.sf(1, 3, 0.05))
    vague = judged_with(tmp_path / "vague", [[1], [1]], float(norm.sf(2.0)))
    assert broken_runs_p_value(vague.judged) == 1.0  # such a beta allows a violation in every run


def test_the_bound_on_unsafe_trials_is_never_below_the_true_tail(tmp_path):
    """Were trials independent, the binomial tail would be exact; the bound must hold for it as well."""
    for case, bad in enumerate(([1, 2, 3, 4], list(range(1, 30)))):
        results = judged_with(tmp_path / str(case), [bad] * 3, 0.0228)
        exact = binom.sf(3 * len(bad) - 1, 300, 0.0228)
        assert exact <= unsafe_trials_p_value(results.judged) <= 1.0
    assert unsafe_trials_p_value(judged_with(tmp_path / "few", [[1], []], 0.0228).judged) == 1.0
    whole = judged_with(tmp_path / "whole", [list(range(1, 101))] * 3, 0.0228)
    assert unsafe_trials_p_value(whole.judged) == pytest.approx(0.0228**3)  # a run is all or nothing: exact


def test_what_the_task_allows_is_no_breach_and_more_is(tmp_path):
    assert not flags(judged_with(tmp_path / "a", [[1], [2, 3], [], [5]], 0.0228))  # 2.3 a run are allowed
    assert not flags(judged_with(tmp_path / "b", [[1], *[[]] * 9], 5e-4))  # one run of ten: 5 % may do that
    assert flags(judged_with(tmp_path / "c", [[1]] * 5 + [[]] * 5, 5e-4))  # five of ten may not
    assert flags(judged_with(tmp_path / "d", [list(range(1, 60))] * 4, 0.0228))  # nor most trials at any beta


def test_a_method_that_breaks_its_promise_is_last_however_good_its_regret(tmp_path):
    for seed in range(4):
        put(tmp_path, "hill", "honest", seed, rows_of([1.0, 0.5], risk=1e-4))
        put(tmp_path, "hill", "rule", seed, rows_of([1.0, 0.0], violated=(1,), risk=1e-4))
        put(tmp_path, "hill", "slow", seed, rows_of([1.0, 0.9], risk=1e-4))
    results = load([tmp_path])
    table = standings(results, results.certifying(), results.task_names)
    assert [(r.method, r.rank) for r in table.rows] == [("honest", 1.0), ("slow", 2.0), ("rule", None)]


def test_a_breach_on_one_task_of_many_is_seen(tmp_path):
    for task in "abcdefghij":
        for seed in range(8):
            rows = rows_of([1.0] * 100, violated=[1] if task == "c" else [], risk=5e-4)
            put(tmp_path, task, "rule", seed, rows)
    (flag,) = flags(load([tmp_path]))
    assert flag.worst_tasks == (("c", 8, 8),)
    assert (flag.broken, flag.runs) == (8, 80)


def test_a_wrong_prior_and_a_missing_promise_are_not_held_against_a_method(tmp_path):
    bad = [list(range(1, 50))] * 5
    assert not flags(judged_with(tmp_path / "a", bad, 5e-4, task="gp-2d-long"))
    assert not flags(judged_with(tmp_path / "b", bad, 5e-4, promise="nothing"))
    assert flags(judged_with(tmp_path / "c", bad, 5e-4, promise="watched"))
    assert premise_holds("gp-2d-right")
    assert not premise_holds("gp-1d-tails")
    put(tmp_path / "a", "gp-2d-long", "rule", 9, rows_of([1.0, 0.1], answer_safe=False))
    _, broken = write_report(tmp_path / "a")
    assert not broken
    text = (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    assert "5 of 6 runs have a violation, 5 of them on tasks whose prior is wrong on purpose" in text
    assert text.count("prior wrong on purpose</span>") == 5
    assert "Last certified answers that are truly unsafe: rule 1 runs." in text


def test_the_leaderboard_is_a_page_with_intervals_violations_and_how_it_was_made(folder, tmp_path):
    page = tmp_path / "leaderboard.md"
    result = CliRunner().invoke(app, ["leaderboard", str(folder), "--page", str(page)])
    assert result.exit_code == 0, result.output
    text = page.read_text(encoding="utf-8")
    board = text.split("### Methods that promise safety", 1)[1].split("###", 1)[0]
    assert [line.split("|")[1].strip() for line in board.splitlines() if line.startswith("| `")] == [
        "`good`",
        "`fair`",
        "`poor`",
    ]
    assert re.search(r"\| `good` \| 0\.\d+ \(0\.\d+ to 0\.\d+\) \| 1\.00 \|", board)
    assert "### UNSAFE: methods that promise nothing" in text
    assert "| `wild` (unsafe) | hill | 8 of 8 | 16 | 0.25 | 2 |" in text
    assert f"safebo bench leaderboard {folder.name} --page leaderboard.md" in text
    assert "a machine" in text
    for block in text.split("\n\n"):  # every table has as many cells in each row
        if block.startswith("| "):
            assert len({line.count("|") for line in block.splitlines()}) == 1


def test_the_leaderboard_has_a_section_for_every_suite_that_is_there(tmp_path):
    from safebo.experiments.bench.leaderboard import leaderboard

    for task in ("hill", "dale", "moor"):
        put(tmp_path, task, "rule", 0, rows_of([1.0]))
    text = leaderboard(load([tmp_path]), "page.md", {"two": ("hill", "dale"), "more": ("hill", "sea")})
    assert "## two\n\nTasks: hill, dale." in text
    assert "## more" not in text


def test_the_leaderboard_for_programs_has_the_numbers_of_the_page(folder, tmp_path):
    page, file = tmp_path / "leaderboard.md", tmp_path / "board.json"
    result = CliRunner().invoke(app, ["leaderboard", str(folder), "--page", str(page), "--json", str(file)])
    assert result.exit_code == 0, result.output
    record, results = json.loads(file.read_text(encoding="utf-8")), load([folder])
    assert f"`{record['version']}`" in page.read_text(encoding="utf-8")
    board = record["sections"]["everything"]
    for kind, methods in (("promise_safety", results.certifying()), ("unsafe", results.baselines())):
        expected = standings(results, methods, results.task_names).rows
        assert [row["method"] for row in board[kind]] == [row.method for row in expected]
        for row, standing in zip(board[kind], expected, strict=True):
            assert row["regret"]["value"] == pytest.approx(standing.regret.value, rel=1e-5)
            assert (row["violations"], row["trials"]) == (standing.violations, standing.trials)
            assert (row["trials_to_90"] is None) == math.isinf(standing.trials_to_90)
    assert set(record["methods"]) == set(results.methods)
    again = tmp_path / "again.json"
    CliRunner().invoke(app, ["leaderboard", str(folder), "--page", str(page), "--json", str(again)])
    assert again.read_text() == file.read_text()


def test_a_version_is_that_of_the_tasks_definitions_and_of_nothing_else(tmp_path):
    def version(name, hashed, method="rule", regret=1.0):
        folder = tmp_path / name
        put(folder, "hill", method, 0, rows_of([regret]), hashed=hashed)
        put(folder, "dale", method, 0, rows_of([regret]), hashed="d")
        record = leaderboard_record(load([folder]), {"one": ("dale",)})
        return record["version"], record["sections"]["one"]["version"]

    first = version("a", "abc")
    assert version("b", "abc", "other", 0.5) == first
    changed = version("c", "abd")
    assert changed[0] != first[0]
    assert changed[1] == first[1]
    tasks = load([tmp_path / "a"]).tasks
    assert version_of(dict(reversed(list(tasks.items())))) == first[0] == version_of(tasks, ["dale", "hill"])


def test_an_empty_folder_is_refused_in_words(tmp_path):
    result = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert result.exit_code != 0
    assert "no results there" in str(result.exception)
