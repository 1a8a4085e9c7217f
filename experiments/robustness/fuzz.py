"""A million malformed packets on a robot's wire and a hundred thousand malformed messages on the guardian's own link.

    python -m safebo.experiments.robustness.fuzz --packets 1000000 --messages 100000

Packets: noise, cut, damaged, with a wrong checksum or head, of another type; and with the right checksum over nan,
infinities, extremes and random bytes, repeated and out of order. At the guardian's end nothing impossible may become
an observation and no joint command leave what motors allow; at the virtual robot's end what is not sound must not
move it: it stays bit for bit where a reference instance is that met none of it. Messages: see `fuzz_link`; the
guardian does, bit for bit, what its reference does. Nobody may crash or grow. Exit code 1 on any fault.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Annotated

import numpy as np
import typer

from safebo.experiments.robustness.fuzz_feed import Findings
from safebo.experiments.robustness.fuzz_guardian import answers, hear
from safebo.experiments.robustness.fuzz_link import settings, storms
from safebo.experiments.robustness.fuzz_packets import GO1_COMMAND, GO1_STATE, GO2_COMMAND, GO2_STATE
from safebo.experiments.robustness.fuzz_virtual import command
from safebo.experiments.robustness.growth import Meter
from safebo.experiments.robustness.guardian import resting, scenes
from safebo.hardware.guardian.states import State
from safebo.hardware.unitree.dds import dds_version

SAMPLE = 0.01
"""Share of the packets that go over real UDP, and half as many over real DDS."""


class FuzzCampaign:
    """Runs parts, one after the other, and says what each showed.

    Args:
        seed: of everything.
        say: takes a line for people.
    """

    def __init__(self, seed: int, say: Callable[[str], None]) -> None:
        self.seed, self._say = seed, say
        self.faults: list[str] = []
        self.crashes = 0
        self.resident = 0.0

    def part(self, name: str, total: int, run: Callable[[Findings, Meter], None]) -> None:
        """One part, with its own counts and its own look at memory."""
        findings, meter = Findings(), Meter(total)
        try:
            with np.errstate(all="ignore"):
                run(findings, meter)
        except Exception as error:
            self.crashes += 1
            findings.fault(f"{name}: {type(error).__name__}: {error}")
            traceback.print_exc()
        if meter.grows:
            findings.fault(f"{name}: {meter.blocks} blocks and {meter.resident:.0f} KiB more at the end")
        self.resident = max(self.resident, meter.resident)
        self.faults += findings.wrong
        self._say(
            f"{name}: {sum(findings.sent.values())}, growth {meter.resident:.0f} KiB, {meter.blocks} blocks"
        )
        self._say("    " + ", ".join(f"{kind} {count}" for kind, count in sorted(findings.sent.items())))
        for words in findings.wrong:
            self._say(f"    FAULT {words}")

    def packets(self, count: int, domain: int | None) -> None:
        """Robot-side packets.

        Args:
            count: of them.
            domain: of DDS; None leaves out what needs it.
        """
        seed = self.seed
        sample = round(SAMPLE * count) if domain is not None else 2 * round(SAMPLE * count)
        standing = [s for state, s in scenes(seed).items() if state in (State.HOLD, State.RUNNING)]
        still = resting(seed)
        forms = [(GO1_STATE, GO1_COMMAND), (GO2_STATE, GO2_COMMAND)]
        if domain is None:
            forms.pop()
        share = (count - 2 * sample) // (4 * len(forms))
        for states, commands in forms:
            where = 0 if domain is None else domain
            self.part(
                f"{states.name}, to a guardian that stands or walks",
                share,
                lambda f, _, form=states, at=where: hear(share, form, [*standing, still], seed, f, at),  # type: ignore[misc]
            )
            self.part(
                f"{states.name}, to one guardian at rest",
                share,
                lambda f, m, form=states, at=where: hear(share, form, [still], seed, f, at, share, m),  # type: ignore[misc]
            )
            self.part(
                f"{commands.name}, to a virtual robot",
                2 * share,
                lambda f, m, form=commands, at=where: command(2 * share, form, seed, f, at, m),  # type: ignore[misc]
            )
        from safebo.experiments.robustness.fuzz_network import dds, udp

        self.part("Go1 over UDP", sample, lambda f, _: udp(sample, seed, f))
        if domain is not None:
            self.part("Go2 over DDS", sample // 2, lambda f, _: dds(sample // 2, seed, f, domain))
            rest = sample - sample // 2
            self.part("Go2 services, to the guardian", rest, lambda f, m: answers(rest, seed, f, domain, m))

    def messages(self, count: int) -> None:
        """Messages on the guardian's own link."""
        from safebo.experiments.robustness.fuzz_network import link

        places = settings(self.seed)
        sample = count // 20
        self.part("link messages", count // 4, lambda f, m: storms(places, count - sample, self.seed, f, m))
        self.part("link messages over UDP", sample, lambda f, _: link(sample, places[0], self.seed, f))


def main(
    packets: Annotated[int, typer.Option(help="on a robot's wire")] = 1_000_000,
    messages: Annotated[int, typer.Option(help="on the guardian's own link")] = 100_000,
    seed: int = 0,
    domain: Annotated[int, typer.Option(help="of DDS, on the loopback interface")] = 97,
) -> None:
    """Send malformed packets and messages and count what goes wrong; exit code 1 on any fault."""
    campaign = FuzzCampaign(seed, partial(print, flush=True))
    if packets:
        if dds_version() is None:
            print("Cyclone DDS is not installed: Go1 only")
        campaign.packets(packets, None if dds_version() is None else domain)
    if messages:
        campaign.messages(messages)
    motion = "no motion" if not campaign.faults else f"{len(campaign.faults)} FAULTS"
    print(f"{campaign.crashes} crashes, {motion}, growth {campaign.resident:.0f} KiB")
    sys.exit(1 if campaign.faults else 0)


if __name__ == "__main__":
    typer.run(main)
