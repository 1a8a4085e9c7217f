"""The mutation tool on modules made for it: what is tested is killed, what is not survives."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cosmic_ray.mutating import mutate_code
from mutants import equivalents, printout
from mutants.generate import Mutant, mutants_of
from mutants.operators import operators
from mutants.results import Result, ResultFile, hash_of_tests, result_of
from mutants.rooms import ROOMS
from mutants.warm import imported_names, untouched

ROOT = Path(__file__).parents[1]

TOY = '''"""A module with a tested line, an untested line, and one that has a mutant without end."""


def fast_enough(speed: float) -> bool:
    """Tested at its border."""
    return speed >= 3


def untested(speed: float) -> float:
    """Run by a test that looks at nothing."""
    return 2 * speed


def ended() -> int:
    """Ends at once."""
    while True:
        break
    return 1
'''
TOY_TESTS = """
from toy import ended, fast_enough, untested

def test_the_border():
    assert [fast_enough(s) for s in (1, 2, 3, 4, 5, 9)] == [False, False, True, True, True, True]
    assert not fast_enough(-9)
    untested(1.0)

def test_a_loop():
    assert ended() == 1
"""
RUN = """
import json
from mutants import runner, warm
from mutants.rooms import Room

warm.import_libraries(["pytest", "xdist.plugin", "hypothesis", "_hypothesis_pytestplugin"])
room, said = Room({"toy": None}, ["test_toy.py"]), []
runner.run([runner.unchanged(room)], room, 20, 1, lambda m, v, s: said.append((0, "unchanged", v.outcome, v.by)))
report = lambda m, v, s: said.append((m.line, m.after, v.outcome, v.by))
runner.run(runner.mutants_of_room(room), room, 1, 2, report)
print(json.dumps(said))
"""


@pytest.mark.slow
def test_what_is_tested_is_killed_and_what_is_not_survives(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(TOY)
    (tmp_path / "test_toy.py").write_text(TOY_TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    path = {"PYTHONPATH": f"{tmp_path}:{ROOT}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin"}
    out = subprocess.run(
        [sys.executable, "-c", RUN], cwd=tmp_path, env=path, capture_output=True, text=True, check=True
    )
    first, *said = json.loads(out.stdout)
    assert first == [0, "unchanged", "survived", ""]
    outcomes = {line: {o for n, _, o, _ in said if n == line} for line, *_ in said}
    tested, unlooked, loop, endless, end = 6, 11, 16, 17, 18
    killed, survived = {"killed"}, {"survived"}
    expected = {tested: killed, unlooked: survived, loop: survived, endless: killed, end: killed}
    assert outcomes == expected, said
    assert {by for line, _, _, by in said if line == tested} == {"test_toy.py::test_the_border"}
    assert [by for line, _, _, by in said if line == endless] == ["the process ended, or took too long"]
    assert (tmp_path / "toy.py").read_text() == TOY


def changes(source: str) -> set[tuple[str, str]]:
    return {(m.before, m.after) for m in mutants_of("m", source + "\n")}


@pytest.mark.parametrize(
    ("source", "after"),
    [
        ("ok = a < b", "ok = a <= b"),
        ("ok = a < b", "ok = a >= b"),
        ("ok = not a", "ok =  a"),
        ("ok = a in b", "ok = a not in b"),
        ("ok = a not in b", "ok = a in b"),
        ("ok = all(x)", "ok = any(x)"),
        ("slack = m.amin(0)", "slack = m.amax(0)"),
        ("TERM = 1.0", "TERM = 3.0"),
        ("TERM = 1.0", "TERM = 2.0"),
        ("p = 'synchronous=FULL'", "p = 'synchronous=OFF'"),
        ("f = -x", "f = x"),
        ("stop()", "pass"),
        ("if a and b: c = 1", "if a or b: c = 1"),
    ],
)
def test_a_fault_that_a_person_could_make_is_made(source: str, after: str) -> None:
    assert (source, after) in changes(source)


def test_every_example_of_an_operator_is_what_it_does() -> None:
    for name, operator in operators():
        for example in type(operator).examples():
            made = mutate_code(
                example.pre_mutation_code, type(operator)(**example.operator_args), example.occurrence
            )
            assert made is not None, name
            assert ast.dump(ast.parse(made.strip())) == ast.dump(
                ast.parse(example.post_mutation_code.strip())
            ), name


def test_words_types_and_compilers_are_left_alone() -> None:
    source = '''"""Less than 3 < 4 and FULL."""
import numba

def f(x: int | None = None) -> float | None:
    """At most 5."""
    log.info("5 < 6", 7)
    if x:
        raise ValueError(f"{x + 1} is over {2 * 3}" + str(4))

@numba.njit(cache=True)
def g() -> None:
    """Nothing."""

def __repr__(self):
    return str(1 + 2)
'''
    assert changes(source) == {("if x:", "if not x:")}


def test_mutants_are_no_duplicates_compile_and_mean_something_else() -> None:
    source = "def f(a, *, b=-1):\n    return a.sum(-1) + b\n"
    mutants = mutants_of("m", source)
    assert len({m.text for m in mutants}) == len({m.key for m in mutants}) == len(mutants)
    assert all(ast.dump(ast.parse(m.text)) != ast.dump(ast.parse(source)) for m in mutants)
    assert {m.function for m in mutants} == {"f"}
    assert [m.key for m in mutants] == [m.key for m in mutants_of("m", source)]
    assert not mutants_of("m", source, functions=["g"])


def test_a_transition_of_a_table_of_states_is_dropped_in_its_place() -> None:
    source = '_TABLE = """\n      GO    STOP  \nREST  RUN   -     \nRUN   .     REST  \n"""\n'
    assert {m.after for m in mutants_of("m", source)} == {"REST  .     -", "RUN   .     -"}


def result(outcome: str, after: str = "b", tests: str = "t") -> Result:
    return result_of(Mutant("m", "o", 3, "f", "a", after, f"text {after}"), "room", tests, outcome, "by", 0.1)


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    file = ResultFile(tmp_path / "runs" / "room.jsonl")
    assert file.known("t") == {}
    file.append(result("killed"))
    file.append(result("survived", "c"))
    file.append(result("killed", "d", "older"))
    file.append(result("survived", "e", "older"))
    with file.path.open("a") as half:
        half.write('{"key": "1234", "tes')
    assert {r.after for r in file.known("t").values()} == {"b", "c"}
    assert {r.after for r in file.known("t", any_tests=True).values()} == {"b", "c", "d"}


def test_changed_tests_and_their_helpers_are_other_tests(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text("from helper import x\n")
    (tmp_path / "helper.py").write_text("from deeper import x\n")
    (tmp_path / "deeper.py").write_text("x = 1\n")
    hashes = {hash_of_tests(tmp_path, ["test_a.py::test"], []), hash_of_tests(tmp_path, ["test_a.py"], [])}
    (tmp_path / "deeper.py").write_text("x = 2\n")
    hashes.add(hash_of_tests(tmp_path, ["test_a.py"], []))
    assert len(hashes) == 3


def test_rooms_are_judged_by_what_is_killed_and_listed() -> None:
    entry = equivalents.Equivalent("m", "f", "a", "same", "no difference")
    killed = [result("killed", str(k)) for k in range(90)]
    good = printout.tally("r", 100, [*killed, *[result("survived", f"s{k}") for k in range(7)]], [entry])
    assert (good.percentage, good.complaint) == (pytest.approx(100 * 90 / 97), "")
    listed = printout.tally("r", 100, [*killed, result("survived", "same")], [entry])
    assert (listed.percentage, len(listed.equivalent), listed.complaint) == (100.0, 1, "")
    few = printout.tally("r", 100, [*killed, *[result("survived", f"s{k}") for k in range(11)]], [])
    assert few.complaint == "under 90 % killed"
    many = printout.tally("r", 100, [*killed[:30], result("survived", "same")], [entry])
    assert many.complaint == "over 3 % listed as equivalent"
    assert printout.tally("r", 100, [*killed, result("broken", "x")], []).complaint
    text = "\n".join(printout.lines([few, listed], lambda module: f"{module}.py"))
    assert "101 of 100" not in text
    assert "91 of 100 mutants were run" in text
    assert "m.py:3 f" in text
    assert "    + s7" in text
    assert printout.outdated([good], [entry], {"m"}) == [entry]
    assert printout.outdated([listed], [entry], {"m"}) == []


def test_what_reaches_a_mutated_module_is_imported_anew() -> None:
    graph = {"p": set(), "p.a": {"p", "p.b"}, "p.b": {"p"}, "p.c": {"p", "p.a"}, "p.d": {"p", "torch"}}
    assert untouched(graph, {"p.b"}) == ["p", "p.d"]
    assert imported_names("from p.a import b\nimport q.r") == {"p", "p.a", "p.a.b", "q", "q.r"}


def test_the_list_of_equivalents_has_reasons_and_rooms_have_tests(tmp_path: Path) -> None:
    modules = {module for room in ROOMS.values() for module in room.modules}
    for entry in equivalents.read():
        assert entry.module in modules
        assert entry.before != entry.after
    for room in ROOMS.values():
        for name in (*room.tests, *room.without):
            file, *parts = name.split("::")
            text = (ROOT / file).read_text()
            assert all(f"def {part}(" in text for part in parts), name
    bad = tmp_path / "list.yaml"
    bad.write_text("- {module: m, function: f, before: a, after: b, reason: ''}")
    with pytest.raises(ValueError, match="entry 1: no reason"):
        equivalents.read(bad)
    bad.write_text("- {module: m}")
    with pytest.raises(ValueError, match="entry 1"):
        equivalents.read(bad)
