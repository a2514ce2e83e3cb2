"""Source `urls`: fetch a scrape again from its list, so that it can be repeated by whoever has the list.

`sources.csv` has the columns `url`, `label` and `sha256` (empty where unknown). Pictures that are gone or changed
are named in the manifest, and the rest goes on.
"""

from __future__ import annotations

import csv
import hashlib
import io
import ipaddress
import time
import urllib.robotparser
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError

from stages.core import console
from stages.core.errors import UserError
from stages.ingest.entry import Entry

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from stages.ingest.params import Urls

AGENT = "evenhand"
FETCHED = Path(".cache/fetched")  # by content: an interrupted fetch goes on, a second one asks for nothing
COLUMNS = {"url", "label", "sha256"}
REDIRECTS, CHUNK = 5, 1 << 16


class RefusedError(Exception):
    """A picture that is not to be had; the message is the reason code."""


def bring(params: Urls, target: Path) -> list[Entry]:
    """Fetch every row of the list, in parallel, into `target`.

    Raises:
        UserError: the list is missing or lacks a column, or nothing at all could be fetched.
    """
    rows = _read(Path(params.path))
    http = _pool(params)
    allowed = cache(lambda origin: _robots(http, origin, params.timeout_seconds))

    def one(row: dict[str, str]) -> Entry:
        try:
            content = _content(http, allowed, row, params)
        except RefusedError as reason:
            return Entry(row["url"], "", row["label"], "urls", problem=str(reason))
        suffix = PurePosixPath(urlsplit(row["url"]).path).suffix[:10]
        name = hashlib.sha256(row["url"].encode()).hexdigest()[:32] + suffix
        (target / name).write_bytes(content)
        return Entry(row["url"], f"files/{name}", row["label"], "urls")

    with ThreadPoolExecutor(params.connections) as pool:
        entries = list(console.progress(pool.map(one, rows), total=len(rows), desc="fetch", unit=" files"))
    if all(entry.problem for entry in entries):
        raise UserError(f"nothing that {params.path} names could be fetched; the first reason: {entries[0].problem}")
    return entries


def _read(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise UserError(f"`ingest.path` is {path}, which is not here; name a CSV with the columns url, label, sha256")
    reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
    missing = COLUMNS - set(reader.fieldnames or [])
    if missing:
        raise UserError(f"{path} lacks the column {', '.join(sorted(missing))}; it needs url, label and sha256")
    return list({row["url"]: {key: value or "" for key, value in row.items() if key} for row in reader}.values())


def _content(http: urllib3.PoolManager, allowed: Callable[[str], Any], row: dict[str, str], params: Urls) -> bytes:
    expected = row["sha256"].strip().lower()
    kept = FETCHED / expected
    if expected and kept.is_file() and _digest(content := kept.read_bytes()) == expected:
        return content
    content = _follow(http, allowed, row["url"], params)
    if expected and _digest(content) != expected:
        raise RefusedError("hash_differs")
    FETCHED.mkdir(parents=True, exist_ok=True)
    (FETCHED / _digest(content)).write_bytes(content)
    return content


def _follow(http: urllib3.PoolManager, allowed: Callable[[str], Any], url: str, params: Urls) -> bytes:
    """Fetch an address, and where it redirects to; every site on the way is asked for its robots.txt."""
    for _ in range(REDIRECTS + 1):
        try:
            parts = urlsplit(url)
        except ValueError:  # a bracket that nobody closed
            raise RefusedError("not_http") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise RefusedError("not_http")
        rules = allowed(f"{parts.scheme}://{parts.netloc}")
        if isinstance(rules, str):
            raise RefusedError(rules)
        if not rules.can_fetch(AGENT, url):
            raise RefusedError("forbidden_by_robots")
        content, url = _get(http, url, int(params.max_megabytes * 1e6), params.timeout_seconds)
        if not url:
            return content
    raise RefusedError("too_many_redirects")


def _get(http: urllib3.PoolManager, url: str, max_bytes: int, seconds: float) -> tuple[bytes, str]:
    """The content of an address, or the address that it redirects to, and no content.

    A server that sends a byte now and then keeps within the timeout of a socket for ever: the whole has an end, too.
    """
    end = time.monotonic() + seconds
    try:
        response = http.request("GET", url, preload_content=False, redirect=False)
        with response:
            if location := response.get_redirect_location():
                return b"", urljoin(url, location)
            if response.status != 200:
                raise RefusedError(f"http_{response.status}")
            content = bytearray()
            while piece := response.read1(CHUNK, decode_content=True):
                content += piece
                if len(content) > max_bytes:
                    raise RefusedError("too_large")
                if time.monotonic() > end:
                    raise RefusedError("too_slow")
    except MaxRetryError as error:
        raise RefusedError(
            "private_address" if isinstance(error.reason, _PrivateAddressError) else "unreachable"
        ) from None
    except _PrivateAddressError:
        raise RefusedError("private_address") from None
    except (HTTPError, UnicodeError, ValueError):  # ValueError: a redirect to what is no address
        raise RefusedError("unreachable") from None
    return bytes(content), ""


def _robots(http: urllib3.PoolManager, origin: str, seconds: float) -> urllib.robotparser.RobotFileParser | str:
    """The rules of a site (RFC 9309): none without a robots.txt, all forbidden where the site refuses to tell.

    Of a site that cannot or must not be reached at all: the reason.
    """
    rules, url = urllib.robotparser.RobotFileParser(), f"{origin}/robots.txt"
    try:
        for _ in range(REDIRECTS + 1):
            content, url = _get(http, url, 512_000, seconds)
            if not url:
                break
        rules.parse(content.decode("utf-8", "replace").splitlines())
    except RefusedError as reason:
        if str(reason) in ("private_address", "unreachable"):
            return str(reason)
        rules.parse([] if str(reason).startswith("http_4") else ["User-agent: *", "Disallow: /"])
    return rules


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# --- connections that look where they lead, after the name is resolved and after every redirect ---


class _PrivateAddressError(HTTPError):
    """The name leads into a private, local or reserved network."""


def _look(connection: socket.socket) -> socket.socket:
    if not ipaddress.ip_address(connection.getpeername()[0].split("%")[0]).is_global:
        connection.close()
        raise _PrivateAddressError
    return connection


class _Http(urllib3.connection.HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _look(super()._new_conn())


class _Https(urllib3.connection.HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _look(super()._new_conn())


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Https


def _pool(params: Urls) -> urllib3.PoolManager:
    http = urllib3.PoolManager(
        num_pools=100,
        maxsize=params.connections,
        headers={"User-Agent": AGENT},
        timeout=urllib3.Timeout(total=params.timeout_seconds),
        retries=urllib3.Retry(
            params.retries, backoff_factor=0.5, status_forcelist=(429, 502, 503, 504), raise_on_status=False
        ),
    )
    if not params.allow_private:
        http.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    return http
