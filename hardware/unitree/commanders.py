"""Who else commands the robot, by name: asked beside the control loop, which is not to wait for the answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from safebo.hardware.dds_peers import Peer
from safebo.hardware.guardian.real_time import follow


class CommanderNames:
    """Names the other programs that publish commands.

    Args:
        look: asks discovery who publishes them; takes tens of milliseconds on a full network. Called by a thread of its
            own.
    """

    def __init__(self, look: Callable[[], list[Peer]]) -> None:
        self._look = look
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="commanders", initializer=follow)
        self._count = 0
        self._words = ""
        self._asked: Future[list[Peer]] | None = None

    def named(self, count: int) -> str:
        """Who so many other programs are; empty while that is not known. Never blocks.

        Args:
            count: how many there are now.
        """
        if count != self._count:
            self._count, self._words, self._asked = count, "", None
        if count and not self._words:
            self._hear()
        return self._words

    def _hear(self) -> None:
        """Take the answer, and ask again where discovery does not know all of them yet."""
        asked = self._asked
        if asked is not None and not asked.done():
            return
        # a name is worth no guardian: whatever goes wrong in finding it, it is looked for again
        peers = [] if asked is None or asked.exception() else asked.result()
        if peers and len(peers) >= self._count:
            self._words = "; ".join(map(str, peers))
        else:
            self._asked = self._executor.submit(self._look)

    def close(self) -> None:
        """Ask no more; returns once the thread has ended."""
        self._executor.shutdown(wait=True, cancel_futures=True)
