"""Periods, limits of silence and sizes of the link in one list, for docs/link.md; they live where they are used."""

from __future__ import annotations

from dataclasses import dataclass

from safebo.hardware.guardian.core import ARMED_FOR, BRAKING, CALM, LOST, SUSTAINED
from safebo.hardware.guardian.lease import TERM
from safebo.hardware.guardian.limits import LIMITS
from safebo.hardware.guardian.request_handler import LONGEST
from safebo.hardware.guardian.service import SILENT
from safebo.hardware.guardian.staging import MOST_UPLOAD
from safebo.hardware.link.arrays import MOST_POLICIES
from safebo.hardware.link.client import FIRST_RETRY, HEARTBEAT, LAST_RETRY, PATIENCE, WINDOW
from safebo.hardware.link.frame import MAX_PACKET, MIN_KEY
from safebo.hardware.link.messages import PIECE
from safebo.hardware.link.replay import WINDOW as REPLAY_WINDOW
from safebo.hardware.link.server import ECHO_AGE, REMEMBERED, SESSIONS
from safebo.hardware.link.udp import PER_TICK, PORT


@dataclass(frozen=True)
class Figure:
    """One number of the link: what it is called, its value, its unit and what it means."""

    name: str
    value: float
    unit: str
    words: str


_SILENCE = {limit.name: limit.threshold for limit in LIMITS}

TIMING: tuple[Figure, ...] = (
    Figure("port", PORT, "", "UDP port of the guardian unless it is told another one"),
    Figure("key", MIN_KEY, "bytes", "shortest shared key that is accepted"),
    Figure("packet", MAX_PACKET, "bytes", "longest packet, header and code included"),
    Figure("piece", PIECE, "bytes", "data in one Upload (exactly) or Fetch (at most)"),
    Figure("upload", MOST_UPLOAD, "bytes", "longest upload of a monitor"),
    Figure("slots", MOST_POLICIES, "", "highest slot of a backup's gains"),
    Figure("heartbeat", HEARTBEAT, "s", "recommended time between two heartbeats"),
    Figure("echo age", ECHO_AGE, "s", "a heartbeat counts when the State it echoes was sent no longer ago"),
    Figure("tuner silence", _SILENCE["tuner_silence"], "s", "without proof of life: baseline gains, latched"),
    Figure("tuner gone", _SILENCE["tuner_gone"], "s", "without proof of life: standing down, latched"),
    Figure("lease term", TERM, "s", "without proof of life: the lease is void"),
    Figure("viewer silence", SILENT, "s", "without any packet: State is no longer sent to this session"),
    Figure(
        "first retry", FIRST_RETRY, "s", "recommended pause before a request is sent again; then twice that"
    ),
    Figure("last retry", LAST_RETRY, "s", "recommended longest pause between two sendings"),
    Figure("patience", PATIENCE, "s", "recommended time after which a request counts as unanswered"),
    Figure("requests at once", WINDOW, "", "recommended most requests under way; see the memory for replies"),
    Figure("remembered", REMEMBERED, "", "replies kept per session for retries"),
    Figure(
        "replay window",
        REPLAY_WINDOW,
        "",
        "how far behind the newest sequence an overtaken Stop or Heartbeat still counts",
    ),
    Figure("sessions", SESSIONS, "", "kept; the one longest unheard gives way, never the one with the lease"),
    Figure("packets in a tick", PER_TICK, "", "taken from the socket at most; the rest waits"),
    Figure("connected", SUSTAINED, "s", "robot states without a gap before DISCONNECTED ends"),
    Figure("lost", LOST, "s", "without a new robot state: STREAM_LOST"),
    Figure("braking", BRAKING, "s", "stepping to rest on baseline gains after a trial, then standing"),
    Figure("calm", CALM, "s", "of standing still before a trial can be armed"),
    Figure("armed for", ARMED_FOR, "s", "after which an armed trial is disarmed"),
    Figure("longest trial", LONGEST, "s", "of walking"),
)
"""Everything of the link that is a number and no layout."""
