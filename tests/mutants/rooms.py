"""The rooms on which safety rests, and the tests that stand nearest to each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Room:
    """Modules that are mutated together.

    Args:
        modules: dotted names, with the functions, classes and constants to mutate there; None for all of a module.
        tests: what is run against every mutant, the quickest first: files, or single tests in them.
        without: tests of these files that are left out: long ones, and those that run other processes, in which
            the module is the unchanged one.
    """

    modules: Mapping[str, Sequence[str] | None]
    tests: Sequence[str]
    without: Sequence[str] = field(default=())


WHETHER_A_POINT_IS_SAFE = (
    *(f"AcquisitionContext.{name}" for name in ("bounds_at", "pool_bounds", "pool_prediction")),
    "_narrowed",
    *(f"SafeAcquisition.{name}" for name in ("grid_scores", "evaluate", "forward")),
)

CONSTANTS_OF_THE_GUARDIAN = (
    *("TUNER_SILENT_S", "TUNER_GONE_S", "LEASE_TIMEOUT_S", "CONNECT_TIME_S", "STATE_LOST_TIMEOUT_S"),
    *("BRAKE_TIME_S", "SETTLE_TIME_S", "ARM_TIMEOUT_S", "MAX_TRIAL_S", "CONTROL_RATE_HZ", "BLIND_TIMEOUT_S"),
    *("OVERRUN_PERIODS", "TELEMETRY_MARGIN_S", "MAX_STIFFNESS", "MAX_DAMPING"),
)

CORRELATIONS = ("RadialKernel", "_matern32", "_matern52", "BUILT_IN")

ROOMS: dict[str, Room] = {
    "safety": Room(
        {
            "safebo.safety.certificates": None,
            "safebo.safety.measured_points": None,
            "safebo.safety.safe_set": None,
            "safebo.safety.sets": None,
            "safebo.safety.expander_search": None,
            "safebo.acquisition.base": WHETHER_A_POINT_IS_SAFE,
        },
        (
            "tests/safebo/test_safe_set.py",
            "tests/safebo/test_measured_points.py",
            "tests/safebo/test_first_expander.py",
            "tests/safebo/test_sets.py",
            "tests/safebo/test_certificates.py::test_bounds_alone_certify_where_they_hold",
            "tests/safebo/test_certificates.py::test_a_lipschitz_certificate_is_the_union_over_tried_points",
            "tests/safebo/test_certificates.py::"
            "test_at_tried_points_nothing_is_lost_and_no_tried_point_certifies_nothing",
            "tests/safebo/test_certified_everywhere.py::"
            "test_a_point_certified_by_its_own_measurements_is_so_alone_and_never_with_a_reserve",
            "tests/safebo/test_certified_everywhere.py::test_a_prior_alone_certifies_nothing_measured_or_not",
            "tests/safebo/test_grid_safeopt.py::test_random_problems",
        ),
    ),
    "boundary": Room(
        {
            "safebo.boundary.rules": None,
            "safebo.boundary.kernels": CORRELATIONS,
            "safebo.boundary.monitor": None,
            "safebo.boundary.state_index": None,
        },
        (
            "tests/safebo/test_boundary_rules.py",
            "tests/safebo/test_state_index.py",
            "tests/safebo/test_monitor.py::test_rounding_never_hides_a_state_that_covers",
            "tests/safebo/test_monitor.py::test_the_border_is_decided_in_double_precision",
        ),
    ),
    "confidence": Room(
        {"safebo.models.confidence": None},
        ("tests/safebo/test_certificates.py",),
    ),
    "journal": Room(
        {
            "safebo.storage.journal": None,
            "safebo.storage.location": None,
            "safebo.storage.rows": None,
            "safebo.storage.tables": None,
            "safebo.storage.records": None,
            "safebo.storage.run_rows": None,
            "safebo.storage.database": None,
        },
        (
            "tests/safebo/test_journal_disk.py",
            "tests/safebo/test_journal_format.py",
            "tests/safebo/test_journal_messages.py",
            "tests/safebo/test_journal_records.py",
            "tests/safebo/test_journal.py",
        ),
        ("tests/safebo/test_journal.py::test_a_second_writer_is_told_who_the_first_is",),
    ),
    "guardian": Room(
        {
            "safebo.hardware.guardian.core": None,
            "safebo.hardware.guardian.state_machine": None,
            "safebo.hardware.guardian.limits": None,
            "safebo.hardware.guardian.lease": None,
            "safebo.hardware.guardian.states": None,
            "safebo.hardware.constants": CONSTANTS_OF_THE_GUARDIAN,
        },
        (
            "tests/hardware/test_link_page.py::test_the_tables_of_the_page_are_those_of_the_code",
            "tests/hardware/test_guardian_limits.py",
            "tests/hardware/test_guardian_controllers.py",
            "tests/hardware/test_guardian_core.py",
            "tests/hardware/test_guardian_trials.py",
        ),
    ),
}
