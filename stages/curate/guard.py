"""Who may use the server: its own pages; from other machines, only people who know the token."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "evenhand-curate"
LARGEST = 1_000_000  # bytes of a request
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


class Guard:
    """Refuses what does not come from a page of this server; adds headers that tie the page to it."""

    def __init__(self, app: ASGIApp, token: str = "") -> None:
        """Guard `app`; with a token, only who has it gets in."""
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await PlainTextResponse("only HTTP is answered", 403)(scope, receive, send)
            return
        request = Request(scope)
        if why := self._refusal(request.method, request.headers):
            await PlainTextResponse(why, 403)(scope, receive, send)
        elif self.token and scope["path"] == "/" and _same(request.query_params.get("token", ""), self.token):
            answer = RedirectResponse("/", 303)
            answer.set_cookie(COOKIE, self.token, httponly=True, samesite="strict")
            await answer(scope, receive, send)
        elif self.token and not _same(request.cookies.get(COOKIE, ""), self.token):
            await PlainTextResponse("open the address of the terminal, with its token", 401)(scope, receive, send)
        else:
            await self.app(scope, receive, _with_headers(send))

    def _refusal(self, method: str, headers: Headers) -> str:
        """Why a request is refused; empty if it is not."""
        host = headers.get("host", "")
        if not self._own(host):
            return "the Host is not this server"
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return "the request comes from another site"
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return "the request comes from another site"
        return "" if method in ("GET", "HEAD") else _change_refused(headers)

    def _own(self, host: str) -> bool:
        """Whether the Host is a name of this server: another one is how DNS rebinding begins.

        With a token any name is accepted: the token stands in a cookie, and a browser returns a cookie only to the name
        that set it.
        """
        try:
            return bool(self.token) or urlsplit(f"//{host}").hostname in {"127.0.0.1", "localhost", "::1"}
        except ValueError:
            return False


def _change_refused(headers: Headers) -> str:
    """Why a request that changes something is refused: a form of another site can send neither Origin nor JSON."""
    if headers.get("origin") is None:
        return "a change needs an Origin"
    if headers.get("content-type", "").split(";")[0].strip() != "application/json":
        return "a change must be JSON"
    length = headers.get("content-length", "")
    if len(length) > 12 or not length.isdecimal() or int(length) > LARGEST:
        return f"a request has a length of at most {LARGEST:,} bytes"
    return ""


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(HEADERS)
        await send(message)

    return sent
