"""Who may do what in the page: sessions, links that open one, the one owner, cards too old to be answered.

Everybody who may see the page may stop the robot. One session, the owner, may do everything else; it was opened by a
link that was used once. Nothing here knows HTTP.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from safebo.errors import SafeboError
from safebo.storage.questions import Question

Role = Literal["owner", "viewer"]

CARD_VALID_S = 120.0
"""For which a card that was shown may be answered; after that it has to be looked at again."""
PAIR_VALID_S = 3600.0
"""For which a question about two walks may be answered: videos take their time, and nothing moves meanwhile."""
SESSION_S = 12 * 3600.0
"""For which a session lasts."""
SILENT_S = 3.0
"""After which a page that says nothing counts as frozen or closed."""
TAKE_OVER_S = 10.0
"""Of the owner's silence, after which another one may take over."""
MAX_SESSIONS = 200
"""Of which the oldest gives way."""


class RefusedError(SafeboError):
    """Something that may not be done in the page; the message says why.

    Args:
        text: for people.
        status: of HTTP.
    """

    def __init__(self, text: str, status: int = 403) -> None:
        super().__init__(text)
        self.status = status


@dataclass
class Session:
    """One browser.

    Args:
        id: its place among the sessions; not the secret in its cookie.
        role: of the link that opened it; `viewer` without one.
        where: address that opened it, for people.
        csrf: what every change has to carry besides the cookie.
        begun: when, by the clock of `Access`.
        heard: when its page last said that it lives.
    """

    id: str
    role: Role
    where: str
    begun: float
    heard: float
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24))


class Access:
    """Sessions of one console.

    Args:
        open_to_all: whether a session without any link may look (and stop); on this machine's own address only.
        used: is told of a link that was used and of the one that takes its place, so that a person sees both.
        clock: monotonic, s.
    """

    def __init__(
        self,
        open_to_all: bool,
        used: Callable[[Role, str, str], None] = lambda role, where, token: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.open_to_all = open_to_all
        self._used, self._clock = used, clock
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self._owner: str | None = None
        self._secret = secrets.token_bytes(32)
        self._tokens: dict[Role, str] = {"owner": _token(), "viewer": _token()}

    def token(self, role: Role) -> str:
        """What the next link of a role has to carry. It opens one session."""
        return self._tokens[role]

    # -- sessions --------------------------------------------------------------------------------------

    def enter(self, token: str, where: str) -> tuple[Session, str]:
        """The session that a link opens, and the secret for its cookie. The first owner owns at once.

        Raises:
            RefusedError: it is no link, or was used.
        """
        with self._lock:
            role = next(
                (
                    r
                    for r, known in self._tokens.items()
                    if hmac.compare_digest(known.encode(), token.encode())
                ),
                None,
            )
            if role is None:
                raise RefusedError(
                    "This link is not known, or was used already: each opens one browser. The newest ones stand in the "
                    "terminal of `safebo console`."
                )
            self._tokens[role] = fresh = _token()
            session, secret = self._new(role, where)
            if role == "owner" and self._owner is None:
                self._owner = session.id
        self._used(role, where, fresh)
        return session, secret

    def look(self, where: str) -> tuple[Session, str]:
        """A session without a link.

        Raises:
            RefusedError: a link is needed.
        """
        if not self.open_to_all:
            raise RefusedError(
                "This page needs a link with a token: it stands in the terminal of `safebo console`.", 401
            )
        with self._lock:
            return self._new("viewer", where)

    def find(self, secret: str | None) -> Session | None:
        """The session of a cookie."""
        if not secret:
            return None
        with self._lock:
            session = self._sessions.get(_digest(secret))
            if session is None or self._clock() - session.begun > SESSION_S:
                return None
            return session

    def _new(self, role: Role, where: str) -> tuple[Session, str]:
        secret, now = secrets.token_urlsafe(32), self._clock()
        session = Session(secrets.token_hex(4), role, where, now, now)
        while len(self._sessions) >= MAX_SESSIONS:
            spare = (key for key, known in self._sessions.items() if known.id != self._owner)
            del self._sessions[next(spare)]
        self._sessions[_digest(secret)] = session
        return session, secret

    # -- the owner -------------------------------------------------------------------------------------

    def alive(self, session: Session) -> None:
        """Its page says that it lives."""
        session.heard = self._clock()

    def owns(self, session: Session) -> bool:
        """Whether it is the owner now."""
        return self._owner == session.id

    def owner_silent(self) -> float | None:
        """Seconds since the owner's page was heard; None without an owner."""
        with self._lock:
            session = next((s for s in self._sessions.values() if s.id == self._owner), None)
        return None if session is None else self._clock() - session.heard

    def need_owner(self, session: Session) -> None:
        """Refuse everybody else.

        Raises:
            RefusedError: another session owns, or nobody does.
        """
        if not self.owns(session):
            raise RefusedError(
                "This page is read only: only its owner may do that. Every viewer may stop the robot."
            )

    def take(self, session: Session) -> None:
        """Become the owner, where nobody is or the owner has been silent.

        Raises:
            RefusedError: it may not.
        """
        if session.role != "owner":
            raise RefusedError(
                "This browser was opened for viewing only. The owner's link is in the terminal."
            )
        silent = self.owner_silent()
        if silent is not None and not self.owns(session) and silent < TAKE_OVER_S:
            raise RefusedError(
                f"Another browser owns this page and is alive. It can be taken over once it has been silent for "
                f"{TAKE_OVER_S:g} s, or after it gave it up."
            )
        with self._lock:
            self._owner = session.id

    def release(self, session: Session) -> None:
        """Be the owner no more."""
        with self._lock:
            if self._owner == session.id:
                self._owner = None

    # -- cards -----------------------------------------------------------------------------------------

    def ticket(self, question: int, hash: str) -> str:
        """What an answer to a card has to carry: which question and what it showed, and when it was shown."""
        text = f"{question}.{hash}.{self._clock():.3f}"
        return f"{text}.{self._sign(text)}"

    def open_ticket(self, ticket: str, valid: float = CARD_VALID_S) -> tuple[int, str]:
        """The question and the hash of what was shown, at most `valid` seconds ago.

        Raises:
            RefusedError: it is not one of ours, or the card was shown too long ago.
        """
        try:
            text, _, signature = ticket.rpartition(".")
            number, hash, seconds = text.split(".", 2)
            if not hmac.compare_digest(self._sign(text).encode(), signature.encode()):
                raise ValueError
            age = self._clock() - float(seconds)
        except ValueError:
            raise RefusedError(
                "This answer belongs to no card of this page. Look at it again.", 409
            ) from None
        if age > valid:
            raise RefusedError(
                f"The approval has expired: the card was shown {age:.0f} s ago, and an answer counts for "
                f"{valid:g} s. Look again; nothing was done.",
                409,
            )
        return int(number), hash

    def _sign(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()


def card_valid(question: Question | None) -> float:
    """For how many seconds what was shown of a question may be answered."""
    return PAIR_VALID_S if question is not None and question.kind == "prefer" else CARD_VALID_S


def _token() -> str:
    return secrets.token_urlsafe(24)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
