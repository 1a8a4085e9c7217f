"""Follow pages: `PYTHONPATH=tests python -m followed [PAGE ...]`; without pages, all that are meant to be followed."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from followed.blocks import Kind
from followed.follow import PageError, Walk
from followed.pages import PAGES


def main() -> int:
    """Follow them and say how it went; 1 where one failed."""
    chosen = [Path(name).resolve() for name in sys.argv[1:]] or PAGES
    failed, began, counts = [], time.monotonic(), dict.fromkeys(Kind, 0)
    for page in chosen:
        print(f"{page.name}", flush=True)
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="followed-") as name:
            walk = Walk(page, Path(name), lambda line: print(line, flush=True))
            try:
                walk.follow()
                print(f"  followed in {time.monotonic() - start:.0f} s", flush=True)
            except PageError as error:
                failed.append(page.name)
                print(f"  FAILED {error}", flush=True)
        for kind, count in walk.counts.items():
            counts[kind] += count
    said = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    print(
        f"{len(chosen)} pages, {said}, {time.monotonic() - began:.0f} s; failed: {', '.join(failed) or 'none'}"
    )
    return int(bool(failed))


sys.exit(main())
