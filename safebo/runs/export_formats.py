"""Exported gains as YAML, JSON, a ROS 2 parameter file, and a C header."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from safebo.errors import InputError
from safebo.runs.exported import WRITTEN_BY, Export, ExportedGains, Gain
from safebo.text.printable import one_line

ANY_NODE = "/**"
_NODE = re.compile(r"/?(\*\*|\*|[A-Za-z_][A-Za-z0-9_]*)(/(\*\*|\*|[A-Za-z_][A-Za-z0-9_]*))*")


def exported_text(export: Export, form: str, node: str = ANY_NODE) -> str:
    """An export in one of `FORMATS`.

    Args:
        export: at least one context.
        form: name of the format.
        node: of a ROS 2 parameter file, whose parameters they are.

    Raises:
        InputError: no such format, or a name that no node can have.
    """
    if form not in FORMATS:
        raise InputError(f"--format {form!r}: must be one of {', '.join(FORMATS)}")
    if form == "ros2":
        if not _NODE.fullmatch(node):
            raise InputError(
                f"--node {node!r}: must be a ROS 2 node's name, as go1_controller or /lab/go1_controller, or {ANY_NODE}"
            )
        return _ros2(export, node)
    return FORMATS[form](export)


def _document(gains: ExportedGains) -> dict[str, Any]:
    return {
        "gains": dict(gains.gains),
        "units": {name: gains.units.get(name, "") for name in gains.gains},
        "context": gains.context,
        "certified": gains.certified,
        "kind": gains.kind,
        **gains.facts,
    }


def _whole(export: Export) -> dict[str, Any]:
    """One context's document as it is; those of several under their names."""
    documents = {gains.context: _document(gains) for gains in export.contexts}
    return next(iter(documents.values())) if len(documents) == 1 else {"contexts": documents}


def _yaml(export: Export) -> str:
    title = f"# Written by {WRITTEN_BY}. Study {export.study}.\n"
    return one_line(title.rstrip("\n")) + "\n" + _dumped(_whole(export))


def _dumped(document: Any) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def _json(export: Export) -> str:
    return json.dumps({"written_by": WRITTEN_BY, **_whole(export)}, indent=2, allow_nan=False) + "\n"


# -- ROS 2 ----------------------------------------------------------------------------------------------


def _ros2(export: Export, node: str) -> str:
    """A parameter file: dots in names are levels, floats have a point, as `double` parameters need."""
    several = len(export.contexts) > 1
    values: dict[str, Gain] = {}
    for gains in export.contexts:
        begin = f"{gains.context}." if several else ""
        values |= {begin + name: value for name, value in gains.gains.items()}
    lines = [f"# Written by {WRITTEN_BY}. Study {export.study}: parameters for ROS 2."]
    for gains in export.contexts:
        lines += [f"# {line}" for line in _said(gains)]
    body = _dumped({node: {"ros__parameters": _nested(values)}})
    return "".join(f"{one_line(line)}\n" for line in lines) + body


def _nested(values: Mapping[str, Gain]) -> dict[str, Any]:
    """Dotted names as levels; a name that is a level of others too keeps its dots, which means the same."""
    tree: dict[str, Any] = {}
    for name, value in values.items():
        parts = name.split(".")
        levels = {".".join(parts[:i]) for i in range(1, len(parts))}
        below = any(other.startswith(f"{name}.") for other in values)
        if not all(parts) or below or levels & set(values):
            tree[name] = value
            continue
        place = tree
        for part in parts[:-1]:
            place = place.setdefault(part, {})
        place[parts[-1]] = value
    return tree


CERTIFIED = "certified"
"""First member of the struct."""

# -- C --------------------------------------------------------------------------------------------------

_C_WORDS = re.compile(
    r"""(?x)
    alignas | alignof | and | and_eq | asm | auto | bitand | bitor | bool | break | case | catch | char |
    char8_t | char16_t | char32_t | class | compl | concept | const | consteval | constexpr | constinit |
    const_cast | continue | co_await | co_return | co_yield | decltype | default | delete | do | double |
    dynamic_cast | else | enum | explicit | export | extern | false | float | for | friend | goto | if |
    import | inline | int | long | module | mutable | namespace | new | noexcept | not | not_eq | nullptr |
    operator | or | or_eq | private | protected | public | register | reinterpret_cast | requires | restrict
    | return | short | signed | sizeof | static | static_assert | static_cast | struct | switch | template |
    this | thread_local | throw | true | try | typedef | typeid | typename | typeof | union | unsigned |
    using | virtual | void | volatile | wchar_t | while | xor | xor_eq | I | NULL | EOF | errno | assert |
    stdin | stdout | stderr | complex | imaginary | linux | unix | i386 | main
    """
)
"""Keywords of C and C++ to the newest, and macros of their libraries that a member cannot have as its name."""


def c_name(name: str) -> str:
    """An identifier of C and C++ for any text: letters, digits and single underscores, and no reserved word.

    Example:
        >>> c_name("joint.hip.kp"), c_name("2 Größe"), c_name("for"), c_name("κ")
        ('joint_hip_kp', 'n2_Grosse', 'for_', 'gain')
    """
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode("ascii")
    kept = re.sub("_+", "_", re.sub(r"[^A-Za-z0-9]", "_", plain)).strip("_")
    if not kept:
        return "gain"
    if kept[0].isdigit():
        kept = f"n{kept}"
    return f"{kept}_" if _C_WORDS.fullmatch(kept) else kept


def c_names(names: Sequence[str]) -> list[str]:
    """Identifiers for names, no two the same: a further one of the same gets a number."""
    found: list[str] = []
    for name in names:
        first = chosen = c_name(name)
        number = 2
        while chosen in found:
            chosen, number = f"{first.rstrip('_')}_{number}", number + 1
        found.append(chosen)
    return found


def _c(export: Export) -> str:
    """A struct of the gains and a constant of it for every context; valid C99 and C++."""
    begin = c_name(export.study).rstrip("_")
    kind, macro = f"{begin}_gains", begin.upper()
    first = export.contexts[0]
    members = c_names([CERTIFIED, *first.gains])
    constants = c_names([gains.context.upper() for gains in export.contexts])
    lines = [
        f"/* Written by {WRITTEN_BY}. Study {_comment(export.study)}. */",
        f"#ifndef SAFEBO_{macro}_GAINS_H",
        f"#define SAFEBO_{macro}_GAINS_H",
        "",
        "typedef struct {",
        f"  int {CERTIFIED}; /* 1 where a run certified these gains; see there */",
    ]
    for name, member in zip(first.gains, members[1:], strict=True):
        about = ", ".join(filter(None, (name, first.units.get(name, ""))))
        lines.append(f"  {_c_type(first.gains[name])}{member}; /* {_comment(about)} */")
    lines += [f"}} {kind};", ""]
    for gains, end in zip(export.contexts, constants, strict=True):
        constant = f"{macro}_{end.upper().rstrip('_')}"
        lines += [f"/* {_comment(line)} */" for line in _said(gains)]
        lines += [f"static const {kind} {constant} = {{", f"  {int(gains.certified)}, /* {CERTIFIED} */"]
        lines += [f"  {_c_value(value)}, /* {_comment(name)} */" for name, value in gains.gains.items()]
        lines += ["};", ""]
    return "\n".join([*lines, f"#endif /* SAFEBO_{macro}_GAINS_H */", ""])


def _c_type(value: Gain) -> str:
    return "const char *" if isinstance(value, str) else "long long " if isinstance(value, int) else "double "


def _c_value(value: Gain) -> str:
    if isinstance(value, str):
        plain = (
            chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in value.encode("utf-8")
        )
        return f'"{"".join(plain)}"'
    return f"{value}LL" if isinstance(value, int) else repr(float(value))


def _comment(text: str) -> str:
    """A text that ends no comment and begins none, in ASCII."""
    plain = one_line(text).encode("ascii", "backslashreplace").decode("ascii").replace("\\", "\\ ")
    return plain.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")


# -- both -----------------------------------------------------------------------------------------------


def _said(gains: ExportedGains) -> Iterator[str]:
    """What belongs to the gains, in lines for people."""
    yield f"Context {gains.context}: {gains.kind}"
    yield f"certified: {'yes' if gains.certified else 'NO'}"
    for name, value in gains.facts.items():
        words = name.replace("_", " ")
        if name == "margins":
            for margin, bounds in value.items():
                yield f"margin {margin} (safe >= 0): {_between(bounds)}"
        elif name == "objective":
            yield f"objective {value['name']}: {_between(value)}"
        elif isinstance(value, Mapping):
            if value:
                yield f"{words}: {', '.join(f'{key} {_number(v)}' for key, v in value.items())}"
        elif value is not None:
            yield f"{words}: {_number(value)}"


def _between(bounds: Mapping[str, Any]) -> str:
    unit = f" {bounds['unit']}" if bounds.get("unit") else ""
    return f"at least {bounds['lower']:.6g}, expected {bounds['mean']:.6g}{unit}"


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


FORMATS: Mapping[str, Callable[[Export], str]] = {
    "yaml": _yaml,
    "json": _json,
    "ros2": lambda export: _ros2(export, ANY_NODE),
    "c": _c,
}
"""By name: how an export is written."""
