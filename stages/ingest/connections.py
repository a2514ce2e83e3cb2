"""Connections that look where they lead, and that a server cannot keep open or fill for ever.

A socket's own timeout begins anew with every byte, and headers, chunk marks and `100 Continue` are read by libraries
that count neither. So each address has a budget of seconds and bytes, which every single read is held against.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, cast

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

if TYPE_CHECKING:
    from collections.abc import Buffer  # type: ignore[attr-defined]

AGENT = "evenhand"
OVERHEAD = 1_000_000  # bytes of headers and the like, beside the content
# Networks whose last 32 bits are an IPv4 address, and local ones; Python takes all of them for global.
_EMBEDDING = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96")))
_LOCAL = tuple(map(ipaddress.IPv6Network, ("64:ff9b:1::/48", "fec0::/10", "3fff::/20")))
_GLOBAL = ipaddress.IPv6Network("2000::/3")  # the rest of IPv6 was not given out, or embeds an IPv4 address
_RELAYS = tuple(map(ipaddress.IPv4Network, ("192.0.0.0/24", "192.88.99.0/24")))
_now = threading.local()  # the budget that the reads of this thread are held against


class PrivateAddressError(HTTPError):
    """The name leads into a private, local or reserved network."""


class SpentError(HTTPError):
    """The budget is spent; the message is the reason code."""


class Budget:
    """The seconds and bytes that one address may cost, redirects and robots.txt included."""

    def __init__(self, seconds: float, max_bytes: int) -> None:
        self.max_bytes = max_bytes  # of the content
        self.end, self.left = time.monotonic() + seconds, max_bytes + OVERHEAD

    @property
    def seconds(self) -> float:
        """Seconds that are left.

        Raises:
            SpentError: none are.
        """
        left = self.end - time.monotonic()
        if left <= 0:
            raise SpentError("too_slow")
        return left

    def count(self, number: int) -> None:
        """Take `number` bytes off.

        Raises:
            SpentError: there were not so many left.
        """
        self.left -= number
        if self.left < 0:
            raise SpentError("too_large")


def get(pool: urllib3.PoolManager, url: str, budget: Budget) -> urllib3.BaseHTTPResponse:
    """Ask for an address once, neither following redirects nor trying again; its content is still to be read."""
    _now.budget = budget
    timeout = urllib3.Timeout(total=budget.seconds)
    return pool.request("GET", url, preload_content=False, redirect=False, retries=False, timeout=timeout)


def make_pool(connections: int, *, allow_private: bool) -> urllib3.PoolManager:
    """A pool of connections with budgets."""

    class Http(_Bounded):
        public_only = not allow_private

    class Https(Http, urllib3.connection.HTTPSConnection):
        pass

    class HttpPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Http

    class HttpsPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Https

    pool = urllib3.PoolManager(num_pools=100, maxsize=connections, headers={"User-Agent": AGENT})
    pool.pool_classes_by_scheme = {"http": HttpPool, "https": HttpsPool}
    return pool


class _Stream(io.RawIOBase):
    """The bytes of a socket, counted against the budget of the address that this thread fetches."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket) -> None:
        self.raw, self.socket, self.budget = raw, connection, cast("Budget", _now.budget)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int | None:
        self.socket.settimeout(self.budget.seconds)
        number = cast("int | None", self.raw.readinto(buffer))
        self.budget.count(number or 0)
        return number

    def close(self) -> None:
        self.raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_Stream(cast("Any", self.fp).detach(), sock))


class _Bounded(urllib3.connection.HTTPConnection):
    """A connection that looks where it leads.

    All addresses of a name share the budget; urllib3 gives each of them the whole time.
    """

    response_class = _Response
    public_only = True

    def _new_conn(self) -> socket.socket:
        """Look at the address that was reached: the name is resolved by then, after every redirect anew."""
        connection = self._connect_in_turn()
        if self.public_only and not is_public(connection.getpeername()[0].split("%")[0]):
            connection.close()
            raise PrivateAddressError
        return connection

    def _connect_in_turn(self) -> socket.socket:
        """Try the addresses of the name, one after the other."""
        name, failed = self._dns_host, None
        try:
            found = socket.getaddrinfo(name, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return super()._new_conn()  # which says it as urllib3 does
        where_to = list(dict.fromkeys(str(one[4][0]) for one in found))
        for k, where in enumerate(where_to):
            left = cast("Budget", _now.budget).seconds
            self.timeout = min(left, max(1.0, left / (len(where_to) - k)))  # a silent address leaves time for the next
            try:
                self._dns_host = where
                return super()._new_conn()
            except (ConnectTimeoutError, NewConnectionError) as error:
                failed = error
            finally:
                self._dns_host = name  # TLS asks for the certificate of the name
        raise failed or NewConnectionError(self, f"{name} has no address")


def is_public(text: str) -> bool:
    """Whether an address, and the IPv4 address in it if there is one, is that of one machine that all may reach."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast and not any(address in network for network in _RELAYS)
    embeds = any(address in network for network in _EMBEDDING)
    inner = [address.sixtofour, *(address.teredo or ())]
    inner += [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)] * embeds
    local = not address.is_global or address.is_multicast or any(address in network for network in _LOCAL)
    return not local and (embeds or address in _GLOBAL) and all(is_public(str(one)) for one in inner if one)
