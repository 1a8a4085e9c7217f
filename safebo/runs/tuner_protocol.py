"""What a run needs of a tuner, whoever made it, and how safebo's own is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from safebo.storage.records import Record
from safebo.study import Study
from safebo.types import Measurement, Monitor, Trial


class TunerLike(Protocol):
    """What the loop needs of a tuner; see `safebo.tuner.Tuner`."""

    def ask(self, context: str | None = None) -> Trial:
        """The next trial."""

    def tell(self, trial: Trial, measurement: Measurement) -> None:
        """What a trial showed."""

    def monitor(self, trial: Trial) -> Monitor | None:
        """What watches a trial, if anything does."""

    def restore(self, records: list[tuple[Trial, Measurement | None]]) -> None:
        """Take the place of the tuner that asked and was told these."""

    def best(self, context: str | None = None) -> Any:
        """Certified recommendation for a context, or None."""


MakeTuner = Callable[[Study, int], TunerLike]


def restorable(records: Sequence[Record]) -> list[tuple[Trial, Measurement | None]]:
    """The trials of a journal as `Tuner.restore` takes them."""
    return [(record.trial, record.measurement) for record in records]


def make_default_tuner(study: Study, seed: int) -> TunerLike:
    """The tuner of `safebo.tuner`, imported only here: it brings torch."""
    tuner: TunerLike = load_tuner()(study, seed)
    return tuner


def load_tuner() -> Any:
    """The class of `safebo.tuner`, loaded."""
    from safebo.tuner import Tuner

    return Tuner
