"""What became of every mutant, in a file that a stopped run goes on from."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mutants.generate import Mutant


@dataclass(frozen=True)
class Result:
    """One mutant and what the tests said.

    Args:
        key: of module and changed source.
        tests: hash of the tests that were run.
        outcome: `killed`, `survived` or `broken`.
        by: the test that failed first.
        seconds: that the tests took.
    """

    key: str
    tests: str
    room: str
    module: str
    function: str
    operator: str
    line: int
    before: str
    after: str
    outcome: str
    by: str
    seconds: float


def result_of(mutant: Mutant, room: str, tests: str, outcome: str, by: str, seconds: float) -> Result:
    """The result of a mutant."""
    return Result(
        mutant.key,
        tests,
        room,
        mutant.module,
        mutant.function,
        mutant.operator,
        mutant.line,
        mutant.before,
        mutant.after,
        outcome,
        by,
        round(seconds, 2),
    )


class ResultFile:
    """One line of JSON per mutant, appended as it is known.

    Args:
        path: of the file; its folder is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def append(self, result: Result) -> None:
        """Keep one more."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(result)) + "\n")

    def known(self, tests: str, any_tests: bool = False) -> dict[str, Result]:
        """Results by key, those of the same tests; with `any_tests` also what other tests have killed before.

        A line that a stopped run left half written counts as none.
        """
        found: dict[str, Result] = {}
        for line in self._lines():
            try:
                result = Result(**json.loads(line))
            except (ValueError, TypeError):
                continue
            if result.tests == tests or (any_tests and result.outcome == "killed"):
                found[result.key] = result
        return found

    def _lines(self) -> Iterable[str]:
        return self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else ()


def hash_of_tests(root: Path, tests: Sequence[str], without: Sequence[str]) -> str:
    """Hash of the names of the tests, of their files, and of the helpers beside them that these import."""
    files = {root / name.split("::")[0] for name in tests}
    for file in sorted(files):
        files |= _helpers(file)
    digest = hashlib.sha256(repr([list(tests), list(without)]).encode())
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _helpers(file: Path) -> set[Path]:
    """Files beside a test that it imports, and theirs."""
    found: set[Path] = set()
    pending = [file]
    while pending:
        for node in ast.walk(ast.parse(pending.pop().read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                beside = file.parent / f"{node.module}.py"
                if beside.exists() and beside not in found:
                    found.add(beside)
                    pending.append(beside)
    return found
