"""Source `urls`: fetch a scrape again from its list, so that it can be repeated by whoever has the list.

`sources.csv` has the columns `url`, `label` and `sha256` (empty where unknown). Pictures that are gone or changed
are named in the manifest, and the rest goes on.
"""

from __future__ import annotations

import csv
import hashlib
import io
import ipaddress
import urllib.robotparser
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

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


class RefusedError(Exception):
    """A picture that is not to be had; the message is the reason code."""


def bring(params: Urls, target: Path) -> list[Entry]:
    """Fetch every row of the list, in parallel, into `target`.

    Raises:
        UserError: the list is missing or lacks a column, or nothing at all could be fetched.
    """
    rows = _read(Path(params.path))
    http = _pool(params)
    allowed = cache(lambda origin: _robots(http, origin))

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
    return list({row["url"]: row for row in reader}.values())


def _content(http: urllib3.PoolManager, allowed: Callable[[str], Any], row: dict[str, str], params: Urls) -> bytes:
    expected = row["sha256"].strip().lower()
    kept = FETCHED / expected
    if expected and kept.is_file() and _digest(content := kept.read_bytes()) == expected:
        return content
    parts = urlsplit(row["url"])
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise RefusedError("not_http")
    if not allowed(f"{parts.scheme}://{parts.netloc}").can_fetch(AGENT, row["url"]):
        raise RefusedError("forbidden_by_robots")
    content = _get(http, row["url"], int(params.max_megabytes * 1e6))
    if expected and _digest(content) != expected:
        raise RefusedError("hash_differs")
    FETCHED.mkdir(parents=True, exist_ok=True)
    (FETCHED / _digest(content)).write_bytes(content)
    return content


def _get(http: urllib3.PoolManager, url: str, max_bytes: int) -> bytes:
    try:
        response = http.request("GET", url, preload_content=False)
        with response:
            if response.status != 200:
                raise RefusedError(f"http_{response.status}")
            content = response.read(max_bytes + 1, decode_content=True)
    except MaxRetryError as error:
        raise RefusedError(
            "private_address" if isinstance(error.reason, _PrivateAddressError) else "unreachable"
        ) from None
    except _PrivateAddressError:
        raise RefusedError("private_address") from None
    except HTTPError:
        raise RefusedError("unreachable") from None
    if len(content) > max_bytes:
        raise RefusedError("too_large")
    return content


def _robots(http: urllib3.PoolManager, origin: str) -> urllib.robotparser.RobotFileParser:
    """The rules of a site (RFC 9309): none without a robots.txt, all forbidden where it cannot be asked."""
    rules = urllib.robotparser.RobotFileParser()
    try:
        rules.parse(_get(http, f"{origin}/robots.txt", 512_000).decode("utf-8", "replace").splitlines())
    except RefusedError as reason:
        if str(reason) == "private_address":
            raise
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
            params.retries, redirect=5, backoff_factor=0.5, status_forcelist=(429, 502, 503, 504), raise_on_status=False
        ),
    )
    if not params.allow_private:
        http.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    return http
