"""Study files: what no file should be, what no value should be, what no name should be."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from pathlib import Path

from safebo.experiments.robustness.inputs.record import STUDY, Row, faults_of, refused, safebo

KIND = "Study files"
NAMES = "Names in a study"

_LAUGHS = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))
_NAMES_OF = {"parameter": "name: stiffness", "objective": "name: speed", "constraint": "name: height"}

WHOLE: dict[str, tuple[bytes | str, str]] = {
    "an empty file": ("", "is empty"),
    "only comments": ("# nothing\n", "is empty"),
    "a list": ("- name: bowl\n", "not a list"),
    "a text": ("bowl\n", "not 'bowl'"),
    "two documents": (STUDY + "---\nname: b\n", "second document"),
    "ten lists that each hold ten aliases of the one before": (f"a0: &a0 [lol]\n{_LAUGHS}{STUDY}", "aliases"),
    "the same in mappings": (
        "x0: &x0 {a: 1}\n"
        + "".join(f"x{i}: &x{i} {{a: *x{i - 1}, b: *x{i - 1}}}\n" for i in range(1, 40))
        + STUDY,
        "aliases",
    ),
    "an alias that contains itself": (STUDY + "tuner: &t {search: *t}\n", "tuner.search"),
    "an alias of nothing": (STUDY + "tuner: *t\n", "tuner"),
    "5,000 nested lists": (STUDY + f"tuner: {'[' * 5000}{']' * 5000}\n", "nested"),
    "5,000 lists that never close": (STUDY + f"tuner: {'[' * 5000}\n", "nested"),
    "5,000 nested mappings": (STUDY + f"tuner: {'{a: ' * 5000}{'}' * 5000}\n", "nested"),
    "500 nested block lists": (STUDY + f"tuner:\n  {'- ' * 500}a\n", "nested"),
    "100,000 unknown keys": (STUDY + "".join(f"key{i}: 1\n" for i in range(100_000)), "more"),
    "1,000 unknown keys": (STUDY + "".join(f"key{i}: 1\n" for i in range(1000)), "more"),
    "20,000 unknown keys in a parameter": (
        STUDY.replace("unit: N/m", ", ".join(f"k{i}: 1" for i in range(20_000))),
        "more",
    ),
    "300,000 numbers in a list": (STUDY + f"tuner: [{'1,' * 300_000}]\n", "values"),
    "a key of a million characters": (STUDY + f"{'k' * 1_000_000}: 1\n", "is not valid YAML"),
    "a quoted key of 900 characters": (STUDY + f'"{"k" * 900}": 1\n', "characters"),
    "a tab as indentation": (STUDY.replace("  - {name: height", "\t- {name: height"), "valid YAML"),
    "a tab within a line": (STUDY.replace("name: bowl", "name: \t- bowl: ["), "valid YAML"),
    "UTF-16": (STUDY.encode("utf-16"), "UTF-16"),
    "UTF-16 without a byte order mark": (STUDY.encode("utf-16-le"), "U+0000"),
    "UTF-32": (STUDY.encode("utf-32"), "UTF-16"),
    "Latin-1": (STUDY.replace("bowl", "Schüssel").encode("latin-1"), "0xfc"),
    "random bytes": (bytes((i * 197 + 31) % 256 for i in range(5000)), "UTF-8"),
    "an ELF program": (b"\x7fELF\x02\x01\x01" + bytes(100), "U+007F"),
    "a NUL": (STUDY.replace("bowl", "bo\0wl"), "U+0000"),
    "an escape character": (STUDY.replace("bowl", "bo\x1bwl"), "U+001B"),
    "a tag that makes Python objects": (
        STUDY.replace("name: bowl", "name: !!python/object/apply:os.system [ls]"),
        "!!python/object",
    ),
    "a tag of its own": (STUDY.replace("trials: 3", "trials: !mine 3"), "trials"),
    "a tag for a text": (STUDY.replace("name: bowl", "name: !!str 3"), "tags"),
    "a merge key": (STUDY + "tuner: {<<: {method: safeopt}}\n", "merge"),
    "a key that is there twice": (STUDY + "name: other\n", "twice"),
    "a key that is there twice, in a list": (
        STUDY.replace("{name: height", "{name: height, name: h"),
        "constraints[0].name",
    ),
    "a list as a key": (STUDY + "? [a, b]\n: 1\n", "plain text"),
    "a number as a key": (STUDY + "1: 1\n", "'1'"),
    "an unfinished quotation": (STUDY + 'description: "it goes on\n', "valid YAML"),
    "an unfinished list": (STUDY + "tuner: [1, 2\n", "valid YAML"),
    "JSON with a comment": ('{"name": "bowl", // mine\n}', "// mine"),
    "Python": ("def evaluate(parameters, context):\n    return {}\n", "missing"),
    "HTML": ("<!DOCTYPE html>\n<html><body>404</body></html>\n", "must be"),
    "a conflict of two versions": (
        STUDY.replace("seed: 1", "<<<<<<< HEAD\nseed: 1\n=======\n"),
        "valid YAML",
    ),
    "a version of YAML that is not": ("%YAML 9.9\n---\n" + STUDY, "valid YAML"),
    "11 MB": ("# comment\n" * 1_100_000 + STUDY, "MB"),
    "the file ends within a parameter": (STUDY[:130], "valid YAML"),
}
"""Whole files, and what the answer must say."""

CHANGES: dict[str, tuple[str, str, str]] = {
    "a number of 5,000 digits": ("trials: 3", f"trials: {'9' * 5000}", "trials"),
    "a bound of 5,000 digits": ("[0, 10]", f"[0, {'9' * 5000}]", "parameters[0].bounds[1]"),
    "a fraction of 5,000 digits": ("[0, 10]", f"[0, 0.{'3' * 5000}]", "parameters[0].bounds[1]"),
    "a number of 300 digits": ("trials: 3", f"trials: {'9' * 300}", "trials"),
    "1e400": ("[0, 10]", "[0, 1e400]", "parameters[0].bounds[1]"),
    "bounds of +-1e308": ("[0, 10]", "[-1e308, 1e308]", "parameters[0].bounds[0]"),
    "bounds of +-1e200": ("[0, 10]", "[-1e200, 1e200]", "parameters[0].bounds[0]"),
    "a bound of 1e-320": ("[0.1, 10]", "[1e-320, 10]", "parameters[1].bounds[0]"),
    "a seed of 2^63": ("seed: 1", f"seed: {2**63}", "seed"),
    "a seed of 100 digits": ("seed: 1", f"seed: {'1' * 100}", "seed"),
    "a seed below 0": ("seed: 1", "seed: -1", "seed"),
    "a seed with a fraction": ("seed: 1", "seed: 1.5", "seed"),
    "a seed as a text": ("seed: 1", "seed: '1'", "seed"),
    "a billion trials": ("trials: 3", "trials: 1000000000", "trials"),
    "no trials": ("trials: 3", "trials: 0", "trials"),
    "trials: none": ("trials: 3", "trials:", "trials"),
    "lengthscale: .inf": ("seed: 1", "surrogate: {lengthscale: .inf}", "surrogate.lengthscale"),
    "lengthscale: .nan": ("seed: 1", "surrogate: {lengthscale: .nan}", "surrogate.lengthscale"),
    "lengthscale: 1e-200": ("seed: 1", "surrogate: {lengthscale: 1e-200}", "surrogate.lengthscale"),
    "lengthscale: 0": ("seed: 1", "surrogate: {lengthscale: 0}", "surrogate.lengthscale"),
    "noise_std: 1e-200": ("{name: height", "{noise_std: 1e-200, name: height", "constraints[0].noise_std"),
    "prior_std: 1e200": ("prior_std: 2.0", "prior_std: 1e200", "objective.prior_std"),
    "prior_std: -.Inf": ("prior_std: 2.0", "prior_std: -.Inf", "objective.prior_std"),
    "beta: inf": ("seed: 1", "tuner: {beta: inf}", "tuner.beta"),
    "beta: 1e300": ("seed: 1", "tuner: {beta: 1e300}", "tuner.beta"),
    "an option that is .nan": (
        "repeatable: true",
        "repeatable: true, pause: .nan",
        "evaluator.options.pause",
    ),
    "a decimal comma in a mapping": ("damping: 3", "damping: 3,5", "3.5"),
    "a decimal comma in a line": ("seed: 1", "surrogate:\n  lengthscale: 0,3", "0.3"),
    "a decimal comma in bounds": ("[0, 10]", "[0,5, 10]", "parameters[0].bounds"),
    "1_000": ("[0, 10]", "[0, 1_000]", "parameters[0].bounds[1]"),
    "0o17": ("[0, 10]", "[0, 0o17]", "parameters[0].bounds[1]"),
    "0x1F": ("[0, 10]", "[0, 0x1F]", "parameters[0].bounds[1]"),
    "12:30:45": ("[0, 10]", "[0, 12:30:45]", "parameters[0].bounds[1]"),
    "a date": ("[0, 10]", "[0, 2026-01-31]", "parameters[0].bounds[1]"),
    "10 N/m": ("[0, 10]", "[0, 10 N/m]", "parameters[0].bounds[1]"),
    "10%": ("[0, 10]", "[0, 10%]", "parameters[0].bounds[1]"),
    "yes where a number is due": ("trials: 3", "trials: yes", "trials"),
    "true where a number is due": ("trials: 3", "trials: true", "trials"),
    "yes where true or false is due": ("repeatable: true", "repeatable: yes", "repeatable"),
    "on where true or false is due": ("seed: 1", "tuner: {confidence: {intersect: on}}", "intersect"),
    "a number where a text is due": ("name: bowl", "name: 7", "name"),
    "true where a text is due": ("name: bowl", "name: true", "name"),
    "nothing where a text is due": ("name: bowl", "name:", "name"),
    "a mapping where a text is due": ("name: bowl", "name: {a: 1}", "name"),
    "a list where a mapping is due": ("{name: speed, unit: m/s, prior_std: 2.0}", "[speed]", "objective"),
    "a text where a list is due": ("bounds: [0, 10]", "bounds: 0 to 10", "parameters[0].bounds"),
    "a text of a megabyte where a number is due": ("seed: 1", f"seed: '{'x' * 1_000_000}'", "seed"),
    "a mapping where bounds are due": ("[0, 10]", "{lower: 0, upper: 10}", "parameters[0].bounds"),
    "bounds the wrong way round": ("[0, 10]", "[10, 0]", "parameters[0].bounds"),
    "bounds that are one": ("[0, 10]", "[3, 3]", "parameters[0].bounds"),
    "three bounds": ("[0, 10]", "[0, 5, 10]", "parameters[0].bounds"),
    "no parameters": ("parameters:\n", "parameters: []\nunused:\n", "parameters"),
    "a log scale from 0": ("[0.1, 10]", "[0, 10]", "parameters[1].bounds"),
    "a seed outside the bounds": ("stiffness: 2", "stiffness: 200", "seeds[0].parameters.stiffness"),
    "a seed of half the parameters": ("{stiffness: 2, damping: 3}", "{stiffness: 2}", "damping"),
    "a seed that is a text": ("stiffness: 2", "stiffness: two", "seeds[0].parameters.stiffness"),
    "a misspelt key": ("seeds:", "sedes:", "seeds"),
    "a key in capitals": ("name: bowl", "Name: bowl", "Name"),
    "a misspelt method": ("seed: 1", "tuner: {method: safe_ubc}", "tuner.method"),
    "a method of a million characters": ("seed: 1", f"tuner: {{method: '{'m' * 10**6}'}}", "tuner.method"),
    "a kernel that is not": ("seed: 1", "surrogate: {kernel: maternn}", "surrogate.kernel"),
    "a program that is no list": (
        'evaluator: {name: "safebo.experiments.robustness.bowl:evaluate", options: {repeatable: true}}',
        "evaluator: {name: subprocess, options: {command: ls}}",
        "evaluator.options.command",
    ),
    "an evaluator that is not": ("safebo.experiments.robustness.bowl:evaluate", "leged", "evaluator.name"),
    "a module that is not": ("safebo.experiments.robustness.bowl:evaluate", "no_such:f", "evaluator.name"),
    "a function that is not": ("robustness.bowl:evaluate", "robustness.bowl:evalute", "evaluator.name"),
    "an option that is not": ("repeatable: true", "repeatible: true", "repeatible"),
    "a context nobody knows": (
        "seed: 1",
        "context: {schedule: [{context: x, trials: 3}]}",
        "context.schedule",
    ),
}
"""What becomes of a line, and the key that the answer must name."""

BAD_NAMES: dict[str, str] = {
    "empty": '""',
    "blank": '"  "',
    "a NUL": r'"a\u0000b"',
    "a line break": r'"a\nb"',
    "a carriage return": r'"a\rb"',
    "a line separator": r'"a\u2028b"',
    "1,000 characters": f'"{"x" * 1000}"',
    "a million characters": f'"{"x" * 1_000_000}"',
    "half a surrogate pair": r'"a\ud800b"',
    "a number": "7",
    "a list": "[a]",
    "yes-or-no: true": "true",
    "nothing": "",
    ".inf": ".inf",
}

GOOD_NAMES: dict[str, str] = {
    "an escape sequence": r'"a\e[2Jb"',
    "../../x": '"../../x"',
    "/etc/passwd": '"/etc/passwd"',
    "another alphabet": '"步行"',
    "a letter and its accent": '"e\u0301"',
    "writing from right to left": r'"\u202eabc"',
    "markup": '"[red]<b>&amp;:dog:"',
    "a percent sign and braces": '"%s{0}${HOME}"',
    "quotes": '"a\'b\\"c"',
    "a colon and blanks": '"a: b #c"',
    "on": "on",
    "SQL": '"\'; drop table trials; --"',
}


def study_files(folder: Path) -> Iterator[Row]:
    """Every one of them through `safebo tune`."""
    for what, (content, said) in WHOLE.items():
        yield refused_study(KIND, what, content, folder, [said])
    for what, (old, new, key) in CHANGES.items():
        yield refused_study(KIND, what, changed(old, new), folder, [key])
    yield from _no_files(folder)
    accepted = {
        "a byte order mark": codecs.BOM_UTF8 + STUDY.encode(),
        "lines that end as on Windows": STUDY.replace("\n", "\r\n").encode(),
        "a seed of 2^63 - 1": changed("seed: 1", f"seed: {2**63 - 1}").encode(),
        "anchors and aliases": changed("[0.1, 10]", "&b [0.1, 10]").encode(),
    }
    for number, (what, content) in enumerate(accepted.items()):
        yield _runs(KIND, what, content, folder / f"accepted-{number}")


def names(folder: Path) -> Iterator[Row]:
    """Names that are refused, and odd ones that are not."""
    for kind, text in _NAMES_OF.items():
        for what, name in BAD_NAMES.items():
            yield refused_study(
                NAMES, f"{kind}: {what}", changed(text, f"name: {name}"), folder, [_said(what)]
            )
    for what, name in BAD_NAMES.items():
        yield refused_study(
            NAMES, f"study: {what}", changed("name: bowl", f"name: {name}"), folder, [_said(what)]
        )
    for what in ("empty", "blank", "a NUL", "a line break", "1,000 characters", "a list"):
        text = f"context: {{values: {{{BAD_NAMES[what]}: {{}}}}}}"
        yield refused_study(NAMES, f"context: {what}", changed("seed: 1", text), folder, ["context"])
    for what, unit in (("a line break", r'"N\nm"'), ("a NUL", r'"N\0"'), ("a number", "3")):
        yield refused_study(NAMES, f"unit: {what}", changed("unit: N/m", f"unit: {unit}"), folder, ["unit"])
    for one, other in (("Kp", "kp"), ("é", "e\u0301"), ("ﬁ", "fi"), ("K", "\u212a"), ("Straße", "STRASSE")):
        text = STUDY.replace("name: stiffness", f'name: "{one}"').replace("name: damping", f'name: "{other}"')
        given = f"parameters: {one!a} beside {other!a}"
        yield refused_study(NAMES, given, text, folder, ["parameters[1].name"])
        text = changed("seed: 1", f'context: {{values: {{"{one}": {{}}, "{other}": {{}}}}}}')
        given = f"contexts: {one!a} beside {other!a}"
        yield refused_study(NAMES, given, text, folder, ["context.values"])
    for number, (what, name) in enumerate(GOOD_NAMES.items()):
        content = changed("name: bowl", f"name: {name}").encode()
        yield _runs(NAMES, f"study: {what}", content, folder / f"name-{number}")


def _said(what: str) -> str:
    """What the answer to a bad name must say."""
    return "valid YAML" if "surrogate" in what else "name"


def changed(old: str, new: str) -> str:
    """The small study with one part of a line replaced."""
    assert old in STUDY, old
    return STUDY.replace(old, new, 1)


def refused_study(kind: str, what: str, content: bytes | str, folder: Path, said: list[str]) -> Row:
    """A text as a study file that `safebo tune` must refuse in words that hold these, leaving no file."""
    path = folder / "study.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return refused(kind, what, ["tune", path.name], folder, [path.name, *said])


def _no_files(folder: Path) -> Iterator[Row]:
    os.mkfifo(folder / "pipe.yaml")
    (folder / "folder.yaml").mkdir()
    (folder / "loop.yaml").symlink_to("loop.yaml")
    with (folder / "giant.yaml").open("wb") as giant:
        giant.truncate(10**9)
    places = {
        "no file": "gone.yaml",
        "no name": "",
        "a folder": "folder.yaml",
        "a pipe that nobody writes to": "pipe.yaml",
        "a file of 1 GB": "giant.yaml",
        "a link to itself": "loop.yaml",
        "/dev/zero": "/dev/zero",
        "/dev/null": "/dev/null",
        "a file as a folder": "study.yaml/study.yaml",
        "a name of 5,000 characters": "x" * 5000,
        "a path of 5,000 characters": "x/" * 2500 + "s.yaml",
        "a name with a NUL": "a\0b.yaml",
        "a study that is not": "go1-trott",
    }
    for what, place in places.items():
        yield refused(KIND, what, ["tune", place], folder, [place[:4].split("\0")[0]])


def _runs(kind: str, what: str, content: bytes, folder: Path) -> Row:
    """One that is accepted: its trials are told, and nothing is written outside its folder."""
    folder.mkdir()
    (folder / "study.yaml").write_bytes(content)
    before = {path.name for path in folder.parent.iterdir()}
    answer = safebo(["tune", "study.yaml", "--trials", "1"], folder)
    outside = {path.name for path in folder.parent.iterdir()} - before
    runs = [path for path in folder.glob("runs/*") if path.is_dir()]
    faults = [*faults_of(answer.text)] + ["wrong"] * (answer.code != 0) + ["left"] * bool(outside)
    kept = f"{len(runs)} run with its trial" if len(runs) == 1 else f"{len(runs)} runs"
    return Row(kind, what, answer.shown, kept, tuple(faults), 0.0)
