"""The report of a run: one page that opens offline, pictures, and the best gains as YAML.

`build_report` is imported on first use: pictures need matplotlib, and other commands do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safebo.report.page import build_report

__all__ = ["build_report"]


def __getattr__(name: str) -> Any:
    if name == "build_report":
        from safebo.report.page import build_report

        return build_report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
