"""What every request to the page has to pass before anything else sees it: one rule in one place each.

A page that is open in the same browser may send requests here; a name that resolves to this machine may be anybody's.
So: known hosts only, changes only from our own origin and with the session's own token, no WebSockets, small bodies,
and answers that allow a browser nothing but our own files.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from safebo.console.access import Access, RefusedError, Session
from safebo.errors import InputError

CSRF_HEADER = "x-safebo-csrf"
MAX_BODY = 16_384  # bytes
OPEN = ("/static/", "/enter")
"""Paths that need no session."""

SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def check_public(host: str, tls: bool, unencrypted: bool) -> None:
    """Refuse a page that others could read on the way.

    Raises:
        InputError: says what it takes.
    """
    if not is_loopback(host) and not tls and not unencrypted:
        raise InputError(
            f"--host {host}: others on the network could read the page and its links on the way, and take the robot "
            "over. Give --tls-cert and --tls-key; or stay on 127.0.0.1 and reach it by `ssh -L`; or say "
            "--unencrypted-on-this-network where you trust every machine on it"
        )


def hosts_of(host: str, port: int, names: Iterable[str] = ()) -> frozenset[str]:
    """What the Host header may say, port included."""
    own = {"127.0.0.1", "localhost", "[::1]"} if is_loopback(host) else {f"[{host}]" if ":" in host else host}
    return frozenset(f"{name.lower()}:{port}" for name in (*own, *names))


class Guard:
    """ASGI application around another one.

    Args:
        app: what is guarded; finds the session in `scope["state"]["session"]`.
        access: sessions.
        hosts: see `hosts_of`.
        tls: whether it is served encrypted.
    """

    def __init__(self, app: ASGIApp, access: Access, hosts: frozenset[str], tls: bool = False) -> None:
        self._app, self._access, self._hosts, self._tls = app, access, hosts, tls
        port = next(iter(hosts)).rpartition(":")[2]
        self.cookie = f"safebo-{port}"  # cookies do not know ports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008, "reason": "no WebSocket is spoken here"})
            return
        headers = Headers(scope=scope)
        try:
            self._judge(scope, headers)
            session, cookie = self._session(scope, headers)
            if scope["method"] != "GET":
                self._judge_change(scope, headers, session)
        except RefusedError as refused:
            await _refusal(scope, headers, refused)(scope, receive, self._sending(send, None))
            return
        scope.setdefault("state", {})["session"] = session
        await self._app(scope, _limited(receive), self._sending(send, cookie))

    def set_cookie(self, secret: str) -> str:
        """The header that keeps a session's secret."""
        secure = "; Secure" if self._tls else ""
        return f"{self.cookie}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200{secure}"

    # -- rules -----------------------------------------------------------------------------------------

    def _judge(self, scope: Scope, headers: Headers) -> None:
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            raise RefusedError(
                f"The host {host!r} is not one of this page's. Open it by the address that `safebo console` printed, "
                "or name the host with --name.",
                421,
            )
        if scope["method"] not in ("GET", "POST"):
            raise RefusedError("Only GET and POST are spoken here.", 405)
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not _opens_page(headers):
            raise RefusedError("Another page asked for this: only this page's own requests count.")

    def _session(self, scope: Scope, headers: Headers) -> tuple[Session | None, str | None]:
        """The session of the request, and the header of a new one's cookie."""
        session = self._access.find(_cookie(headers, self.cookie))
        path = scope["path"]
        if session is not None or path.startswith(OPEN):
            return session, None
        if scope["method"] != "GET":
            raise RefusedError("This browser's session is over: open the page again.", 401)
        session, secret = self._access.look(_where(scope))
        return session, self.set_cookie(secret)

    def _judge_change(self, scope: Scope, headers: Headers, session: Session | None) -> None:
        scheme = "https" if self._tls else "http"
        if headers.get("origin", "").lower() != f"{scheme}://{headers['host'].lower()}":
            raise RefusedError(
                "This change comes from another page: only this page's own may change anything."
            )
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise RefusedError("Changes are sent as application/json.", 415)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY:
            raise RefusedError(f"More than {MAX_BODY} bytes were sent.", 413)
        if session is None:
            return  # a link's token is itself the proof
        given = headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(given.encode(), session.csrf.encode()):
            raise RefusedError("This change does not carry the page's token: open the page again.")

    def _sending(self, send: Send, cookie: str | None) -> Send:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [*message["headers"]]
                present = {name for name, _ in kept}
                kept += [
                    (name.encode(), value.encode())
                    for name, value in SECURITY_HEADERS.items()
                    if name.encode() not in present
                ]
                if cookie is not None:
                    kept.append((b"set-cookie", cookie.encode()))
                message = {**message, "headers": kept}
            await send(message)

        return answer


def _limited(receive: Receive) -> Receive:
    """What is received, never more than is allowed, whatever the head promised."""
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MAX_BODY:
            return {"type": "http.disconnect"}
        return message

    return limited


def _opens_page(headers: Headers) -> bool:
    """Whether a person follows a link from elsewhere: that shows a page and changes nothing."""
    return headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"


def _cookie(headers: Headers, name: str) -> str | None:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return None
    return None if found is None else found.value


def _where(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def _refusal(scope: Scope, headers: Headers, refused: RefusedError) -> Response:
    if refused.status == 401 and scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
        return RedirectResponse("/enter", 303)
    if scope["method"] == "POST" or "application/json" in headers.get("accept", ""):
        return JSONResponse({"error": str(refused)}, refused.status)
    return PlainTextResponse(str(refused), refused.status)
