"""What an evaluator may hand back: the odd answers, an evaluator that gives them in turn, and a program that does."""

from __future__ import annotations

import decimal
import fractions
import json
import math
import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from safebo.types import Measurement

GOOD: dict[str, Any] = {"objective": 0.5, "margins": {"height": 0.2}}
COUNTER, VALUES = "next", "values.pickle"
PROGRAM = [
    "sh",
    "-c",
    'n=$(cat next); echo $((n + 1)) > next; cat > /dev/null; cat out/$n; exit "$(cat code/$n)"',
]
"""Answers number n with the bytes in out/n and the status in code/n."""


class Awkward:
    """Whose own code fails, whatever is done with it."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("awkward")

    def __repr__(self) -> str:
        raise RuntimeError("awkward")

    def __float__(self) -> float:
        raise RuntimeError("awkward")

    def __reduce__(self) -> Any:
        raise RuntimeError("awkward")


class BadMapping(Mapping[str, Any]):
    """A mapping that fails when it is read."""

    def __getitem__(self, key: str) -> Any:
        raise OSError("gone")

    def __iter__(self) -> Iterator[str]:
        return iter(["objective", "margins"])

    def __len__(self) -> int:
        return 2


def _with(**changes: Any) -> Callable[[], Any]:
    return lambda: {**GOOD, **changes}


def _margin(value: Any) -> Callable[[], Any]:
    return _with(margins={"height": value})


def _raises(error: BaseException | type[BaseException]) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer


def _recursion() -> Any:
    return _recursion()


def _prints() -> Any:
    print("x" * 100_000)
    print("\x1b[2J", file=sys.stderr)
    return GOOD


def _knot() -> Any:
    knot: dict[str, Any] = {}
    knot["knot"] = knot
    return knot


DONE, FAILED, ABORTED = "completed", "failed", "aborted"

RETURNED: dict[str, tuple[Callable[[], Any], str]] = {
    "objective and margins": (lambda: GOOD, DONE),
    "a Measurement": (lambda: Measurement("completed", 0.5, {"height": 0.2}), DONE),
    "an ordered mapping": (lambda: OrderedDict(GOOD), DONE),
    "numbers of numpy": (lambda: {"objective": np.float32(0.5), "margins": {"height": np.int64(1)}}, DONE),
    "an array of one number": (_with(objective=np.array(0.5)), DONE),
    "a fraction": (_with(objective=fractions.Fraction(1, 3)), DONE),
    "a decimal": (_with(objective=decimal.Decimal("0.5")), DONE),
    "a whole number": (_with(objective=1), DONE),
    "an objective of 1e300": (_with(objective=1e300), DONE),
    "a margin of -1e300": (_margin(-1e300), DONE),
    "a margin of 5e-324": (_margin(5e-324), DONE),
    "None": (lambda: None, FAILED),
    "a number": (lambda: 0.5, FAILED),
    "a text": (lambda: "done", FAILED),
    "a list": (lambda: [0.5, 0.2], FAILED),
    "a pair": (lambda: (0.5, {"height": 0.2}), FAILED),
    "true": (lambda: True, FAILED),
    "an empty mapping": (dict, FAILED),
    "the class itself": (lambda: Measurement, FAILED),
    "a generator": (lambda: (x for x in [1]), FAILED),
    "a function": (lambda: len, FAILED),
    "an object whose own code fails": (Awkward, FAILED),
    "a mapping whose own code fails": (BadMapping, FAILED),
    "a mapping that contains itself": (_knot, FAILED),
    "an unknown key": (_with(objectiv=1.0), FAILED),
    "a key that is a number": (lambda: {1: 2}, FAILED),
    "a key of a million characters": (_with(**{"k" * 1_000_000: 1}), FAILED),
    "no objective": (lambda: {"margins": {"height": 0.2}}, FAILED),
    "no margins": (lambda: {"objective": 0.5}, FAILED),
    "another margin": (lambda: {"objective": 0.5, "margins": {"hight": 0.2}}, FAILED),
    "one more margin": (_with(margins={"height": 0.2, "x": math.nan}), DONE),
    "objective NaN": (_with(objective=math.nan), FAILED),
    "objective infinite": (_with(objective=math.inf), FAILED),
    "objective true": (_with(objective=True), FAILED),
    "objective a text": (_with(objective="0.5"), FAILED),
    "objective of 400 digits": (_with(objective=10**400), FAILED),
    "objective of 5,000 digits": (_with(objective=10**5000), FAILED),
    "objective complex": (_with(objective=1j), FAILED),
    "objective a list": (_with(objective=[0.5]), FAILED),
    "objective two numbers": (_with(objective=np.zeros(2)), FAILED),
    "objective None": (_with(objective=None), FAILED),
    "objective an object whose own code fails": (_with(objective=Awkward()), FAILED),
    "margins a list": (_with(margins=[0.2]), FAILED),
    "margins None": (_with(margins=None), FAILED),
    "margins a text": (_with(margins="height"), FAILED),
    "a margin NaN": (_margin(math.nan), FAILED),
    "a margin minus infinity": (_margin(-math.inf), FAILED),
    "a margin true": (_margin(True), FAILED),
    "a margin None": (_margin(None), FAILED),
    "a margin of numpy's NaN": (_margin(np.float64("nan")), FAILED),
    "a margin that is a mapping": (_margin({"value": 1}), FAILED),
    "an outcome that is not": (_with(outcome="great"), FAILED),
    "an outcome that is a list": (_with(outcome=["completed"]), FAILED),
    "outcome None": (_with(outcome=None), FAILED),
    "outcome failed": (lambda: {"outcome": "failed", "message": "out of battery"}, FAILED),
    "outcome failed, no message": (lambda: {"outcome": "failed", "fell": True}, FAILED),
    "outcome failed, blank message": (lambda: {"outcome": "failed", "message": " "}, FAILED),
    "outcome aborted": (lambda: {"outcome": "aborted", "margins": {"height": -0.1}}, ABORTED),
    "outcome aborted without margins": (lambda: {"outcome": "aborted"}, FAILED),
    "a fall without an objective": (lambda: {"fell": True, "margins": {"height": -0.1}}, ABORTED),
    "fell: 1": (_with(fell=1), FAILED),
    "fell: 'no'": (_with(fell="no"), FAILED),
    "a message of a megabyte": (_with(message="m" * 1_000_000), DONE),
    "a message with half a surrogate pair": (_with(message="a\ud800b"), DONE),
    "a message with a NUL and an escape": (_with(message="a\0b\x1b[2J"), DONE),
    "a message that is a mapping": (_with(message={"a": 1}), DONE),
    "a message whose own code fails": (_with(message=Awkward()), FAILED),
    "a failure with a message of a megabyte": (
        lambda: {"outcome": "failed", "message": "m" * 1_000_000},
        FAILED,
    ),
    "a margin's name with half a surrogate pair": (_with(margins={"height": 0.2, "a\ud800": 1.0}), DONE),
    "a margin's name with a NUL": (_with(margins={"height": 0.2, "a\0": 1.0}), DONE),
    "duration NaN": (_with(duration=math.nan), DONE),
    "duration below 0": (_with(duration=-1.0), DONE),
    "telemetry that is a number": (_with(telemetry=3), DONE),
    "telemetry outside the run's folder": (_with(telemetry="../../../etc/passwd"), DONE),
    "telemetry with a NUL": (_with(telemetry="a\0b"), DONE),
    "telemetry with half a surrogate pair": (_with(telemetry="a\ud800"), DONE),
    "extra that is a text": (_with(extra="x"), DONE),
    "extra with a text inside": (_with(extra={"a": "x", "b": 1}), DONE),
    "states of one row": (_with(states=[1.0, 2.0]), FAILED),
    "states with NaN": (_with(states=[[math.nan]]), FAILED),
    "states of texts": (_with(states=[["a"]]), FAILED),
    "ragged states": (_with(states=[[1.0], [1.0, 2.0]]), FAILED),
    "no states": (_with(states=[]), FAILED),
    "states of 100,000 rows": (_with(states=np.zeros((100_000, 3))), DONE),
    "margins to go without states": (_with(margins_to_go={"height": [0.1]}), FAILED),
    "a backup state of texts": (_with(backup_state=["a"]), FAILED),
    "true margins that are a list": (_with(true_margins=[1]), DONE),
}
"""What a function returns, and the outcome that is right."""

RAISED: dict[str, tuple[Callable[[], Any], str]] = {
    "ValueError": (_raises(ValueError("bad gains")), FAILED),
    "an error of a megabyte": (_raises(ValueError("v" * 1_000_000)), FAILED),
    "an error with half a surrogate pair": (_raises(ValueError("a\ud800b")), FAILED),
    "an error with control characters": (_raises(ValueError("a\0b\x1b[2J\r")), FAILED),
    "an error of many lines": (_raises(ValueError("line\n" * 500)), FAILED),
    "an error without a text": (_raises(ValueError), FAILED),
    "an error whose own code fails": (_raises(RuntimeError(Awkward())), FAILED),
    "KeyError": (_raises(KeyError("hip")), FAILED),
    "endless recursion": (_recursion, FAILED),
    "MemoryError": (_raises(MemoryError), FAILED),
    "AssertionError": (_raises(AssertionError), FAILED),
    "StopIteration": (_raises(StopIteration), FAILED),
    "GeneratorExit": (_raises(GeneratorExit), FAILED),
    "FileNotFoundError": (_raises(FileNotFoundError(2, "No such file", "robot.xml")), FAILED),
    "ConnectionResetError": (_raises(ConnectionResetError(104, "reset")), FAILED),
    "several errors": (_raises(ExceptionGroup("two", [ValueError("a"), KeyError("b")])), FAILED),
    "UnicodeDecodeError": (lambda: b"\xff".decode(), FAILED),
    "sys.exit(0)": (_raises(SystemExit(0)), FAILED),
    "sys.exit('text')": (_raises(SystemExit("text")), FAILED),
    "sys.exit(3)": (_raises(SystemExit(3)), FAILED),
    "prints of 100,000 characters": (_prints, DONE),
}
"""How a function may end otherwise."""

_J = json.dumps(GOOD)

PRINTED: dict[str, tuple[bytes, int, str]] = {
    "objective and margins": (_J.encode(), 0, DONE),
    "the same in several lines": (json.dumps(GOOD, indent=2).encode(), 0, DONE),
    "with blank lines around it": (f"\n\n{_J}\n\n".encode(), 0, DONE),
    "an outcome": (json.dumps({**GOOD, "outcome": "aborted"}).encode(), 0, ABORTED),
    "nothing": (b"", 0, FAILED),
    "a line feed": (b"\n", 0, FAILED),
    "a text": (b"done", 0, FAILED),
    "a number": (b"0.5", 0, FAILED),
    "null": (b"null", 0, FAILED),
    "a list": (b"[0.5, 0.2]", 0, FAILED),
    "a text in JSON": (b'"done"', 0, FAILED),
    "an empty object": (b"{}", 0, FAILED),
    "JSON after a print": (f"loading robot\n{_J}".encode(), 0, FAILED),
    "JSON before a print": (f"{_J}\nbye".encode(), 0, FAILED),
    "two objects": (f"{_J}\n{_J}".encode(), 0, FAILED),
    "half an object": (_J[:-4].encode(), 0, FAILED),
    "Python instead of JSON": (repr(GOOD).encode(), 0, FAILED),
    "YAML instead of JSON": (b"objective: 0.5\nmargins: {height: 0.2}\n", 0, FAILED),
    "a trailing comma": (b'{"objective": 0.5, "margins": {"height": 0.2},}', 0, FAILED),
    "NaN": (b'{"objective": NaN, "margins": {"height": 0.2}}', 0, FAILED),
    "a margin -Infinity": (b'{"objective": 1, "margins": {"height": -Infinity}}', 0, FAILED),
    "1e999": (b'{"objective": 1e999, "margins": {"height": 0.2}}', 0, FAILED),
    "5,000 digits": (b'{"objective": ' + b"9" * 5000 + b', "margins": {"height": 0.2}}', 0, FAILED),
    "5,000 nested lists": (b"[" * 5000 + b"]" * 5000, 0, FAILED),
    "200,000 nested lists": (b"[" * 200_000 + b"]" * 200_000, 0, FAILED),
    "5,000 nested objects": (b'{"a":' * 5000 + b"1" + b"}" * 5000, 0, FAILED),
    "a key twice, the first NaN": (
        b'{"objective": NaN, "objective": 1, "margins": {"height": 0.2}}',
        0,
        DONE,
    ),
    "half a surrogate pair": (b'{"objective": 1, "margins": {"height": 0.2}, "message": "\\ud800"}', 0, DONE),
    "a NUL in a message": (b'{"objective": 1, "margins": {"height": 0.2}, "message": "\\u0000"}', 0, DONE),
    "bytes that are no UTF-8": (b"\xff\xfe\x00\x01", 0, FAILED),
    "Latin-1 in a message": (b'{"objective": 1, "margins": {"height": 0.2}, "message": "\xfc"}', 0, FAILED),
    "NULs": (bytes(1000), 0, FAILED),
    "a byte order mark": (b"\xef\xbb\xbf" + _J.encode(), 0, DONE),
    "a text as objective": (b'{"objective": "1", "margins": {"height": 0.2}}', 0, FAILED),
    "true as a margin": (b'{"objective": 1, "margins": {"height": true}}', 0, FAILED),
    "margins a list": (b'{"objective": 1, "margins": [0.2]}', 0, FAILED),
    "an unknown key": (b'{"objective": 1, "margins": {"height": 0.2}, "speed": 1}', 0, FAILED),
    "a message of a megabyte": (
        json.dumps({**GOOD, "message": "m" * 1_000_000}).encode(),
        0,
        DONE,
    ),
    "4 MB of text": (b"log line\n" * 450_000, 0, FAILED),
    "a line of a megabyte": (b"x" * 1_000_000, 0, FAILED),
    "an escape sequence": (b"\x1b[2J\x1b]0;t\x07", 0, FAILED),
    "states": (json.dumps({**GOOD, "states": [[0.0, 1.0]] * 100}).encode(), 0, DONE),
    "JSON and exit status 1": (_J.encode(), 1, FAILED),
    "nothing and exit status 255": (b"", 255, FAILED),
}
"""What a program prints, its exit status, and the outcome that is right."""


def evaluate(parameters: Mapping[str, float], context: Mapping[str, float], folder: str) -> Any:
    """The next answer of those in a folder: a name of the tables above, or a value."""
    number = _next(Path(folder))
    with Path(folder, VALUES).open("rb") as file:
        answer = pickle.load(file)[number]
    if isinstance(answer, str) and answer.startswith("table:"):
        return {**RETURNED, **{f"raised {key}": case for key, case in RAISED.items()}}[answer[6:]][0]()
    return answer[0]


def _next(folder: Path) -> int:
    counter = folder / COUNTER
    number = int(counter.read_text())
    counter.write_text(str(number + 1))
    return number
