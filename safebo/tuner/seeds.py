"""The safe seeds of a context: tried first, refused when unsafe, repeated while nothing is certified."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from safebo.acquisition import AcquisitionContext
from safebo.errors import EmptySafeSetError, StudyError
from safebo.evaluators.seeds import refuse_seed
from safebo.safety.safe_set import smallest
from safebo.study.duration import duration_text
from safebo.tuner.state import TunerState
from safebo.types import TrialRecord

MAX_SEED_REPEATS = 5
"""How often seeds are repeated in a context, beyond once each, before its safe set counts as empty."""


class Seeds:
    """The seeds that a study declares.

    Args:
        state: what the records say.
    """

    def __init__(self, state: TunerState) -> None:
        self.state = state
        self.encoding = state.encoding
        self.study = state.study

    def due(self, name: str) -> NDArray[np.float64] | None:
        """The first declared seed of the context that has no valid measurement and is not pending; else None.

        Raises:
            StudyError: when the context has no seed.
            UnsafeSeedError: when one was measured unsafe.
            EmptySafeSetError: when one failed too often.
        """
        declared = self._declared(name)
        if not declared:
            seeded = sorted({s.context for s in self.study.seeds})
            raise StudyError(
                f"context {name!r} has no seed: safe tuning needs parameters known to be safe in every "
                f"context that is tuned; contexts with seeds: {', '.join(seeded)}"
            )
        tried = self._tried(name)
        for record in tried:
            refuse_seed(record.trial, record.measurement, self.study)
        for row in declared:
            mine = [r for r in tried if np.array_equal(self.state.points.raw(r.trial), row)]
            failures = [r.measurement for r in mine if r.measurement and r.measurement.outcome == "failed"]
            if len(mine) > len(failures):
                continue
            if len(failures) > MAX_SEED_REPEATS:
                raise EmptySafeSetError(
                    f"context {name}: the seed failed {len(failures)} times without a valid measurement"
                    + (f"; the last one said: {failures[-1].message}" if failures[-1].message else "")
                )
            return row
        return None

    def again(self, name: str, ctx: AcquisitionContext) -> NDArray[np.float64]:
        """The seed that is nearest to certification, to be repeated, a bounded number of times.

        Raises:
            EmptySafeSetError: when it was repeated often enough.
        """
        rows, tried = self._declared(name), self._last_tried(name)
        if len(tried) - len(rows) >= MAX_SEED_REPEATS and not any(r.pending for r in tried):
            raise EmptySafeSetError(self._why_empty(name, rows))
        return self.nearest(name, ctx)

    def nearest(self, name: str, ctx: AcquisitionContext) -> NDArray[np.float64]:
        """The seed of a context that is nearest to certification."""
        rows = self._declared(name)
        with torch.no_grad():
            margins = ctx.bounds_at(self.encoding.unit(np.stack(rows))).margins
        return rows[int(torch.argmax(smallest(margins, ctx.constraint_scale)))]

    def again_reason(self, name: str) -> str:
        """Why a seed is repeated."""
        if not self._expires or len(self._last_tried(name)) == len(self._tried(name)):
            return "repeated: nothing is certified yet"
        if self.study.surrogate.time is None:
            return "repeated: nothing is certified at what was read"
        return "repeated: every certificate has expired"

    @property
    def _expires(self) -> bool:
        """Whether certificates come to an end without a measurement, by the time or by what is read."""
        return self.study.surrogate.time is not None or bool(self.encoding.measured)

    def after_pause(self) -> bool:
        """Whether the robot has been without a trial for so long that seeds come first (`surrogate.time`)."""
        time = self.study.surrogate.time
        return time is not None and self._pause() > time.pause * (1.0 + 1e-9)

    def pause_reason(self) -> str:
        """Why a seed is walked after a pause."""
        assert self.study.surrogate.time is not None
        return (
            f"first after a pause of {duration_text(self._pause())}, more than a tenth of the memory "
            f"({duration_text(self.study.surrogate.time.pause)})"
        )

    def _pause(self) -> float:
        return self.state.now - self.state.history.latest(failed=False)

    def _declared(self, name: str) -> list[NDArray[np.float64]]:
        return [self.encoding.space.vector(s.parameters) for s in self.study.seeds if s.context == name]

    def _tried(self, name: str) -> list[TrialRecord]:
        return [r for r in self.state.history.of_context(name) if r.trial.phase == "seed"]

    def _last_tried(self, name: str) -> list[TrialRecord]:
        """Seeds since another trial of the context, where certificates expire; else all of them."""
        if not self._expires:
            return self._tried(name)
        found: list[TrialRecord] = []
        for record in reversed(self.state.history.of_context(name)):
            if record.trial.phase != "seed":
                break
            found.append(record)
        return found[::-1]

    def _why_empty(self, name: str, rows: Sequence[NDArray[np.float64]]) -> str:
        parts = []
        certificates = self.state.certificates(rows, name)
        for f in self.study.constraints:
            best = max((c.bounds[f.name] for c in certificates), key=lambda b: b.lower)
            parts.append(f"{f.name}: mean {best.mean:.4g}, lower bound {best.lower:.4g} {f.unit}".rstrip())
        search = self.study.tuner.search
        if search.domain != "continuous" and any(c.certified for c in certificates):
            remedy = (
                "use more tuner.search.grid_points" if search.domain == "grid" else "add candidates near it"
            )
            return (
                f"context {name}: the seed is certified ({'; '.join(parts)}), but no point of the {search.domain} is, "
                f"also after {MAX_SEED_REPEATS} repeats: what the seed shows does not reach so far; {remedy}, or "
                "tuner.search.domain: continuous"
            )
        beyond = self.encoding.beyond_horizon(self.state.history.of_context(name))
        if beyond:
            return f"context {name}: nothing is certified, not even the seed. {' '.join(beyond.values())}"
        return (
            f"context {name}: nothing is certified, not even the seed after {MAX_SEED_REPEATS} repeats "
            f"({'; '.join(parts)}; certified is a lower bound >= 0). The seed's margin is too small for "
            f"beta = {self.study.tuner.beta:g} and the declared noise_std: give a seed with more margin, a "
            "smaller noise_std if the measurements are that good, or a smaller beta" + self._too_old()
        )

    def _too_old(self) -> str:
        """What else may be the matter where what was measured grows old."""
        time = self.study.surrogate.time
        if time is None:
            return ""
        return (
            f"; with surrogate.time.memory {duration_text(time.memory)} a measurement must also still tell enough when "
            "the next trial begins, so shorter intervals help, and the robot may have changed: let it cool or charge"
        )
