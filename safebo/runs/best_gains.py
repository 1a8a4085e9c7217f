"""The best gains of a run as a YAML file: what a run leaves behind for the robot.

The file is a mapping. `gains` (name: value) is all that a robot needs; the rest says where the gains come
from and what the surrogate promises for them. A context that was only predicted gets a file whose name and
`certified: false` say so. A line above the mapping holds its checksum: a file that somebody else wrote, or changed, is
never written over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from safebo.errors import OtherFileError
from safebo.files.reading import read_file
from safebo.files.writing import write_whole
from safebo.study.duration import duration_text
from safebo.text.printable import one_line
from safebo.types import Bounds

_TITLE = "# Study "
_CHECKSUM = "# Written by safebo, which leaves this file alone once it is changed. SHA-256 of what follows: "


@dataclass(frozen=True)
class BestGains:
    """Recommended gains of one context.

    Args:
        context: name of the context.
        gains: value of every parameter, in its own unit; of a choice the name.
        certified: whether the gains lie in the certified safe set of a context that was tried; False for the
            prediction of a context that was not, and where the study has no constraints.
        objective: lower bound, mean and upper bound of the objective, in its own unit.
        margins: the same for every constraint, by name; certified means that every lower bound is >= 0.
        study: name of the study.
        objective_name: name of the objective.
        objective_unit: unit of the objective.
        context_values: values of the context variables.
        origin: digest of what they were computed from, see `recommendation.origin`; empty where not known.
        priors: by constraint, the prior that certifies it, where priors are earned.
        certified_until: operating time at which the certificate expires, s; None where it does not (`surrogate.time`).
        certified_until_clock: the same on the wall, ISO 8601; empty where the two have nothing to do with each other.
        horizon: seconds for which they are certified, where the study says (`horizon`); else as long as trials lasted.
        lasted: seconds that trials lasted; None where that is not known.
        advice: one sentence on what would narrow an interval of theirs; empty where nobody said.
    """

    context: str
    gains: Mapping[str, Any]
    certified: bool
    objective: Bounds
    margins: Mapping[str, Bounds] = field(default_factory=dict)
    study: str = ""
    objective_name: str = ""
    objective_unit: str = ""
    context_values: Mapping[str, float] = field(default_factory=dict)
    origin: str = ""
    priors: Mapping[str, str] = field(default_factory=dict)
    certified_until: float | None = None
    certified_until_clock: str = ""

    def expired(self, now: datetime | None = None) -> bool:
        """Whether the certificate has expired by the clock on the wall."""
        if not self.certified_until_clock:
            return False
        return datetime.fromisoformat(self.certified_until_clock) <= (now or datetime.now(UTC))

    def validity(self, now: datetime | None = None) -> str:
        """Until when they are certified, for people, and what to do by then; empty where that does not end."""
        if self.certified_until is None or not self.certified:
            return ""
        operation = f"{duration_text(self.certified_until)} of operation"
        if not self.certified_until_clock:
            return f"certified until {operation}; measure the seed by then"
        until = datetime.fromisoformat(self.certified_until_clock)
        now = datetime.now(UTC) if now is None else now
        local, left = until.astimezone(), (until - now).total_seconds()
        day = "" if local.date() == now.astimezone().date() else f"{local:%Y-%m-%d} "
        if left <= 0:
            return (
                f"NOT certified any more: the certificate expired at {day}{local:%H:%M} ({duration_text(-left)} ago); "
                "measure the seed again before anything else"
            )
        second = f"{local:%H:%M:%S}" if left < 600 else f"{local:%H:%M}"
        return f"certified until {day}{second} ({operation}); measure the seed by then"

    horizon: float | None = None
    lasted: float | None = None
    advice: str = ""

    @property
    def holds(self) -> str:
        """For how long a certificate holds, for people; empty where nothing is certified or known."""
        seconds = self.horizon if self.horizon is not None else self.lasted
        if not self.certified or seconds is None:
            return ""
        lasted = "" if self.horizon is None or self.lasted is None else f"; trials lasted {self.lasted:.3g} s"
        return f"certified for trials of {seconds:.3g} s{lasted}"

    @property
    def kind(self) -> str:
        """What they are, for people."""
        if self.certified:
            return "best certified gains"
        return (
            "predicted gains, not certified"
            if self.margins
            else "best gains (no constraints, nothing is certified)"
        )


def write_best_gains(path: Path, best: BestGains) -> None:
    """Write `best` to `path`, whole or not at all: a reader never sees half a file.

    Raises:
        OtherFileError: there is a file that `written_by_run` does not know.
        OSError: it cannot be written.
    """
    if path.exists() and not written_by_run(path, best.study, best.context):
        raise OtherFileError(
            f"{path}: was not written by this run, or was changed since, so it is left as it is. Move it elsewhere; "
            f"then `safebo report {path.parent}` writes the run's own (`safebo best {path.parent}` prints it)"
        )
    write_whole(path, _text(best))


def written_by_run(path: Path, study: str, context: str) -> bool:
    """Whether a file is as `write_best_gains` left it for this study and context."""
    return unchanged_gains(path, study, context) is not None


def unchanged_gains(path: Path, study: str, context: str) -> BestGains | None:
    """The gains of a file that is as `write_best_gains` left it for this study and context; None of any other."""
    try:
        text = path.read_text(encoding="utf-8")
        if not text.startswith(_TITLE):
            return None
        best = read_best_gains(path)
    except (ValueError, OSError):
        return None
    title, _, rest = text.partition("\n")
    checksum, _, mapping = rest.partition("\n")
    same = (
        checksum == _checksum(mapping)
        if checksum.startswith(_CHECKSUM)
        else text == f"{title}\n{_mapping(best)}"
    )
    return best if same and (best.study, best.context) == (study, context) else None


def _text(best: BestGains) -> str:
    holds = f", {best.holds}" if best.holds else ""
    title = one_line(f"{_TITLE}{best.study}, context {best.context}: {best.kind}{holds}.")
    mapping = _mapping(best)
    return f"{title}\n{_checksum(mapping)}\n{mapping}"


def _checksum(mapping: str) -> str:
    return _CHECKSUM + hashlib.sha256(mapping.encode()).hexdigest()


def _mapping(best: BestGains) -> str:
    document: dict[str, Any] = {
        "gains": {name: _plain(value) for name, value in best.gains.items()},
        "study": best.study,
        "context": best.context,
        "context_values": {name: float(value) for name, value in best.context_values.items()},
        "certified": best.certified,
        **_until(best),
        **({"certified_for_seconds": float(best.horizon)} if best.horizon is not None else {}),
        **({"trials_lasted_seconds": float(best.lasted)} if best.lasted is not None else {}),
        "objective": best.objective_name,
        "objective_unit": best.objective_unit,
        "objective_lower_bound": float(best.objective.lower),
        "objective_mean": float(best.objective.mean),
        "objective_upper_bound": float(best.objective.upper),
        "margins": {
            name: {
                "lower_bound": float(b.lower),
                "mean": float(b.mean),
                "upper_bound": float(b.upper),
                **({"prior": best.priors[name]} if name in best.priors else {}),
            }
            for name, b in best.margins.items()
        },
        **({"advice": best.advice} if best.advice else {}),
        **({"computed_from": best.origin} if best.origin else {}),
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _until(best: BestGains) -> dict[str, Any]:
    if best.certified_until is None:
        return {}
    found: dict[str, Any] = {"certified_until_operating_time": float(best.certified_until)}
    if best.certified_until_clock:
        found["certified_until"] = best.certified_until_clock
    return found


def _plain(value: Any) -> float | int | str:
    """A gain as YAML keeps it: a whole number, the name of a choice, or a float."""
    return value if isinstance(value, str | int) and not isinstance(value, bool) else float(value)


def _seconds(document: Mapping[str, Any], key: str) -> float | None:
    return float(document[key]) if key in document else None


def read_best_gains(path: Path) -> BestGains:
    """Read a file of `write_best_gains`.

    Raises:
        ValueError: the file is not such a mapping; the message names the file and the key.
    """
    document = read_file(path)
    if not isinstance(document, dict):
        raise ValueError(f"{path}: expected a mapping with the keys gains, context and objective_lower_bound")
    try:
        until = document.get("certified_until_operating_time")
        return BestGains(
            context=str(document["context"]),
            gains={str(name): _plain(value) for name, value in document["gains"].items()},
            certified=bool(document["certified"]),
            objective=Bounds(
                lower=float(document["objective_lower_bound"]),
                mean=float(document["objective_mean"]),
                upper=float(document["objective_upper_bound"]),
            ),
            margins={
                str(name): Bounds(float(b["lower_bound"]), float(b["mean"]), float(b["upper_bound"]))
                for name, b in document.get("margins", {}).items()
            },
            study=str(document.get("study", "")),
            objective_name=str(document.get("objective", "")),
            objective_unit=str(document.get("objective_unit", "")),
            context_values={
                str(name): float(value) for name, value in document.get("context_values", {}).items()
            },
            certified_until=None if until is None else float(until),
            certified_until_clock=str(document.get("certified_until", "")),
            origin=str(document.get("computed_from", "")),
            horizon=_seconds(document, "certified_for_seconds"),
            lasted=_seconds(document, "trials_lasted_seconds"),
            advice=str(document.get("advice", "")),
            priors={
                str(name): str(b["prior"]) for name, b in document.get("margins", {}).items() if "prior" in b
            },
        )
    except KeyError as error:
        raise ValueError(f"{path}: the key {error.args[0]!r} is missing") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a file of best gains: {error}") from error
