"""The page of the guardian's limits, from their table."""

from __future__ import annotations

from safebo.hardware.guardian.limits import LIMITS, Limit
from safebo.hardware.guardian.thresholds import allowed

HEAD = """\
# The guardian's limits

<!-- written by `python -m safebo.experiments.site` from hardware/guardian/limits.py: change it there -->

The guardian checks {count} limits in every tick of 2 ms; `safebo-guardian limits` prints them too. A limits file and
`--tighten NAME=VALUE` move a threshold within its range; `--loosen NAME=VALUE` asks for a looser one by name. The
numbers are starting numbers from what manufacturers and laboratories publish for similar robots; none is validated for
a Go1 or Go2. What the robot does in each state is told in [the first hour](first-hour.md#4-what-the-words-mean).

| answer | what follows |
|---|---|
| REFUSE | nothing new begins; what goes on goes on |
| HOLD | baseline gains, standing; latched |
| SIT | stands down, then joint damping; latched |
| DAMP | joint damping at once; latched |

When several are crossed in one tick, the most restrictive answer wins.

| limit | crossed | for | answer | checked while | what it means | may be set to |
|---|---|---|---|---|---|---|
"""


def limits_page() -> str:
    """The page, in Markdown."""
    return HEAD.format(count=len(LIMITS)) + "".join(f"{_row(limit)}\n" for limit in LIMITS)


def _row(limit: Limit) -> str:
    """A limit's row."""
    side = "below" if limit.below else "above"
    lasting = f"{limit.seconds:g} s" if limit.seconds else "one tick"
    cells = (
        f"`{limit.name}`",
        f"{side} {limit.amount(limit.threshold)}",
        lasting,
        limit.response.name,
        limit.scope.value,
        limit.message,
        allowed(limit),
    )
    return f"| {' | '.join(cells)} |"
