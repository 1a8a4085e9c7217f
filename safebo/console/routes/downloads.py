"""A run's trials and its study as files."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from safebo.console.routes.common import reader_of
from safebo.console.run_view import trial_data

router = APIRouter()


@router.get("/runs/{name}/export.json")
def export_json(request: Request, name: str) -> Response:
    """Trials, events and what people did, as JSON."""
    reader = reader_of(request, name)
    seen = reader.snapshot()
    data = {
        "study": seen.run.name,
        "seed": seen.run.seed,
        "trials": [trial_data(record, seen.run.study) for record in seen.records],
        "events": [
            {
                "at": e.at.isoformat(),
                "kind": e.kind,
                "trial": e.trial,
                "text": e.text,
                "data": dict(e.data),
            }
            for e in seen.events
        ],
        "acts": [
            {"at": act.at.isoformat(), "who": act.who, "what": act.what} for act in reader.questions.acts()
        ],
    }
    return _download(json.dumps(data, indent=1), "application/json")


@router.get("/runs/{name}/export.csv")
def export_csv(request: Request, name: str) -> Response:
    """Trials as a table."""
    seen = reader_of(request, name).snapshot()
    return _download(_csv([trial_data(r, seen.run.study) for r in seen.records]), "text/csv")


@router.get("/runs/{name}/study.yaml")
def study(request: Request, name: str) -> Response:
    """The study's file as the run began with it."""
    return _download(reader_of(request, name).snapshot().run.study_text, "application/yaml")


def _download(text: str, kind: str) -> Response:
    return Response(text, media_type=kind, headers={"content-disposition": "attachment"})


def _csv(trials: list[dict[str, Any]]) -> str:
    """Trials as a table: a column for each value; what a spreadsheet would take for a formula is marked as text."""
    rows: list[dict[str, Any]] = []
    for trial in trials:
        row: dict[str, Any] = {}
        for key, value in trial.items():
            if key in ("parameters", "margins"):
                row |= {f"{key[:-1]} {name}": v for name, v in value.items()}
            elif not isinstance(value, (dict, list)):
                row[key] = value
        rows.append(row)
    out = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(out, [_plain(name) for name in names])
    writer.writeheader()
    writer.writerows({_plain(name): _plain(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def _plain(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
