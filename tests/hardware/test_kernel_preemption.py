"""Whether the control loop waits for calls of other programs into the kernel, from what systems say of themselves."""

from __future__ import annotations

import pytest

from safebo.hardware.guardian.kernel_preemption import AT_ONCE, KernelFacts, advice, preemption

DYNAMIC = "#1 SMP PREEMPT_DYNAMIC Debian 6.12.6-1 (2024-12-21)"
BUILT_VOLUNTARY = (
    "# CONFIG_PREEMPT_NONE is not set\nCONFIG_PREEMPT_VOLUNTARY_BUILD=y\nCONFIG_PREEMPT_VOLUNTARY=y\n"
    "# CONFIG_PREEMPT is not set\nCONFIG_PREEMPT_COUNT=y\nCONFIG_PREEMPTION=y\nCONFIG_PREEMPT_DYNAMIC=y\n"
)
BUILT_NONE = (
    "CONFIG_PREEMPT_BUILD=y\nCONFIG_PREEMPT_NONE=y\n# CONFIG_PREEMPT is not set\nCONFIG_PREEMPT_RCU=y\n"
)

CASES = {
    "Debian, as it comes": (KernelFacts(DYNAMIC, "quiet splash", BUILT_VOLUNTARY), "voluntary"),
    "Debian, booted with full": (KernelFacts(DYNAMIC, "quiet preempt=full", BUILT_VOLUNTARY), "full"),
    "the last one counts": (KernelFacts(DYNAMIC, "preempt=none preempt=lazy", BUILT_VOLUNTARY), "lazy"),
    "another word that ends so": (KernelFacts(DYNAMIC, "nopreempt=full", BUILT_NONE), "none"),
    "debugfs knows better": (
        KernelFacts(DYNAMIC, "preempt=full", BUILT_NONE, "none (voluntary) full"),
        "voluntary",
    ),
    "real time": (KernelFacts("#1 SMP PREEMPT_RT Debian 6.12", "", "CONFIG_PREEMPT_RT=y\n"), "rt"),
    "an older desktop": (KernelFacts("#1 SMP PREEMPT Tue May 2", "", "CONFIG_PREEMPT=y"), "full"),
    "an older desktop without a config": (KernelFacts("#1 SMP PREEMPT Tue May 2"), "full"),
    "an older server": (KernelFacts("#1 SMP Tue May 2", "preempt=full", BUILT_NONE), "none"),
    "says nothing": (KernelFacts("#1 SMP Tue May 2"), ""),
    "dynamic, no config": (KernelFacts(DYNAMIC, "quiet"), ""),
}


@pytest.mark.parametrize("case", CASES)
def test_the_mode_is_told_from_what_a_kernel_says_of_itself(case: str) -> None:
    facts, mode = CASES[case]
    assert preemption(facts) == mode


def test_what_helps_is_what_that_kernel_takes() -> None:
    assert advice(KernelFacts(DYNAMIC), "none") == "boot it with preempt=full"
    assert "PREEMPT_DYNAMIC" in advice(KernelFacts("#1 SMP Tue May 2", "", BUILT_NONE), "none")
    assert advice(KernelFacts("#1 SMP Tue May 2"), "") == ""


def test_this_machine_says_something_that_is_a_mode_or_nothing() -> None:
    assert preemption(KernelFacts.of_this_machine()) in (*AT_ONCE, "voluntary", "none", "")
