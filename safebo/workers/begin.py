"""What a worker process does first, before it loads what evaluators need: from here on it ends when its run does."""

from __future__ import annotations

from typing import Any

from safebo.evaluators.supervisor import die_with_parent


def begin(parent: int, *arguments: Any) -> None:
    """Set up a fresh worker process; the arguments are those of `safebo.workers.worker.prepare`."""
    die_with_parent(parent)
    from safebo.workers.worker import prepare

    prepare(parent, *arguments)
