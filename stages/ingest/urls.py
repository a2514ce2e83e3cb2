"""Source `urls`: fetch a scrape again from its list, so that everybody with the list can repeat it.

`sources.csv` has the columns `url`, `label` and `sha256` (empty where unknown). Pictures that are gone or changed
are named in the manifest, and the rest goes on.
"""

from __future__ import annotations

import hashlib
import re
import time
import urllib.robotparser
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from urllib3.exceptions import HTTPError

from stages.core import console
from stages.core.addresses import without_secrets
from stages.core.errors import UserError
from stages.core.labels import tidy
from stages.ingest import table_file
from stages.ingest.connections import AGENT, Budget, PrivateAddressError, SpentError, get, make_pool
from stages.ingest.entry import Entry, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    import urllib3

    from stages.ingest.params import Urls

COLUMNS = ("url", "label", "sha256")
FETCHED = Path(".cache/fetched")  # by content: an interrupted fetch goes on, a second one asks for nothing
ADDRESSES = FETCHED / "addresses"  # address -> digest of its content, for lists that give no digest
REDIRECTS, CHUNK = 5, 1 << 16
AGAIN = {"unreachable", "http_429", "http_502", "http_503", "http_504"}  # reasons that may pass


class RefusedError(Exception):
    """A picture that is not to be had; the message is the reason code."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait  # seconds that the server asks for


class _Fetcher:
    """The settings, connections and rules of sites that the threads share."""

    def __init__(self, params: Urls) -> None:
        self.params = params
        self.pool = make_pool(params.connections, allow_private=params.allow_private)
        self.robots = cache(partial(_robots, self))  # each site is asked once


def bring(params: Urls, target: Path) -> list[Entry]:
    """Fetch every address of the list once, in parallel, into `target`; every row of the list becomes an entry.

    Raises:
        UserError: the list is missing or lacks a column, or nothing at all could be fetched.
    """
    rows = read_list(Path(params.path))
    by_address: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        by_address[row["url"]].append(row)
    fetcher = _Fetcher(params)
    paths, seen = {}, Counter[str]()
    for url in by_address:  # without secrets, two may look the same
        path = printable(without_secrets(url))
        seen[path] += 1
        paths[url] = path if seen[path] == 1 else f"{path}~{seen[path]}"

    def one(url: str) -> list[Entry]:
        return _entries(fetcher, url, paths[url], by_address[url], target)

    with ThreadPoolExecutor(params.connections) as threads:
        fetched = threads.map(one, by_address)
        entries = [e for some in console.progress(fetched, total=len(by_address), desc="fetch") for e in some]
    if all(entry.problem for entry in entries):
        raise UserError(f"nothing that {params.path} names could be fetched; the first reason: {entries[0].problem}")
    return entries


def read_list(path: Path) -> list[dict[str, str]]:
    """The rows of the list, each with all three columns, and `problem`: why it cannot be used.

    Raises:
        UserError: there is no list, or it is none that can be read whole.
    """
    if not path.is_file():
        raise UserError(f"`ingest.path` is {path}, which is not here; name a CSV with the columns url, label, sha256")
    table = table_file.lines(table_file.utf8(path, str(path)), str(path))
    names = [name.strip().lower() for name in table[0]] if table else []
    if missing := set(COLUMNS) - set(names):
        raise UserError(f"{path} lacks the column {', '.join(sorted(missing))}; it needs url, label and sha256")
    if twice := [name for name in COLUMNS if names.count(name) > 1]:
        raise UserError(f"{path} has two columns {twice[0]}; remove one, or give it another name")
    if not table[1:]:
        raise UserError(f"{path} names no address; give it a row for every picture")
    rows = []
    for fields in table[1:]:
        found = dict(zip(names, map(str.strip, fields), strict=False))
        row = {column: found.get(column, "") for column in COLUMNS}
        row["problem"] = "" if re.fullmatch("(?i)([0-9a-f]{64})?", row["sha256"]) else "not_a_sha256"
        if any(map(str.strip, fields[len(names) :])):
            row["problem"] = table_file.TOO_MANY  # a comma in the address, say
        rows.append(row)
    return rows


def _entries(fetcher: _Fetcher, url: str, path: str, rows: list[dict[str, str]], target: Path) -> list[Entry]:
    """The entries of all rows with this address, which is asked for at most once."""
    entries, seen = [], set[tuple[str, str]]()
    fetch = cache(lambda: _fetch(fetcher, url))
    for row in rows:
        label, expected = printable(tidy(row["label"])), row["sha256"].lower()
        file, problem = "", row["problem"] or ("twice_in_list" if (label, expected) in seen else "")
        if not problem:
            seen.add((label, expected))
            content = _kept(expected) if expected else None
            if content is None:
                content, problem = fetch()
            if not problem and expected and _digest(content) != expected:
                problem = "hash_differs"
            if not problem:
                name = _digest(f"{url}\n{_digest(content)}".encode())[:32] + _suffix(url)
                (target / name).write_bytes(content)
                file = f"files/{name}"
        entries.append(Entry(path, file, label, "urls", problem=problem))
    return entries


def _fetch(fetcher: _Fetcher, url: str) -> tuple[bytes, str]:
    """The content of an address, from the cache or the network; or the reason why there is none."""
    known = ADDRESSES / _digest(url.encode("utf-8", "surrogatepass"))
    if known.is_file() and (content := _kept(known.read_text(errors="replace").strip())) is not None:
        return content, ""
    try:
        content = _follow(fetcher, url, int(fetcher.params.max_megabytes * 1e6), _check)
    except RefusedError as reason:
        return b"", str(reason)
    ADDRESSES.mkdir(parents=True, exist_ok=True)
    (FETCHED / _digest(content)).write_bytes(content)
    known.write_text(_digest(content))
    return content, ""


def _kept(digest: str) -> bytes | None:
    path = FETCHED / digest
    if not re.fullmatch("[0-9a-f]{64}", digest) or not path.is_file():
        return None
    content = path.read_bytes()
    return content if _digest(content) == digest else None


def _check(fetcher: _Fetcher, url: str) -> None:
    """Refuse an address that is not one of a site, or that the robots.txt of the site forbids."""
    try:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise RefusedError("not_http")
        rules = fetcher.robots(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")
        if isinstance(rules, str):
            raise RefusedError(rules)
        if not rules.can_fetch(AGENT, url):
            raise RefusedError("forbidden_by_robots")
    except ValueError:  # a bracket that is not closed, perhaps escaped
        raise RefusedError("not_http") from None


def _follow(fetcher: _Fetcher, url: str, max_bytes: int, check: Callable[[_Fetcher, str], None]) -> bytes:
    """The content of an address, or of where it redirects to; `check` may refuse each address before it is fetched."""
    budget = Budget(fetcher.params.timeout_seconds, max_bytes)
    for _ in range(REDIRECTS + 1):
        check(fetcher, url)
        content, url = _get(fetcher, url, budget)
        if not url:
            return content
    raise RefusedError("too_many_redirects")


def _get(fetcher: _Fetcher, url: str, budget: Budget) -> tuple[bytes, str]:
    """The content of an address, or the address that it redirects to and no content; tried again while time is left."""
    retries = fetcher.params.retries
    for attempt in range(retries + 1):
        try:
            return _once(fetcher.pool, url, budget)
        except RefusedError as refused:
            wait = max(0.5 * 2**attempt, refused.wait)
            if attempt == retries or str(refused) not in AGAIN or wait > budget.end - time.monotonic():
                raise
        time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


def _once(pool: urllib3.PoolManager, url: str, budget: Budget) -> tuple[bytes, str]:
    try:
        with get(pool, url, budget) as response:
            if location := response.get_redirect_location():
                return b"", urljoin(url, location)
            if response.status != 200:
                wait = response.headers.get("Retry-After", "")
                raise RefusedError(f"http_{response.status}", float(wait) if re.fullmatch("[0-9]{1,9}", wait) else 0.0)
            content = bytearray()
            while piece := response.read1(CHUNK, decode_content=True):
                content += piece
                if len(content) > budget.max_bytes:
                    raise RefusedError("too_large")
            return bytes(content), ""
    except SpentError as error:
        raise RefusedError(str(error)) from None
    except PrivateAddressError:
        raise RefusedError("private_address") from None
    except (HTTPError, ValueError, OSError):  # ValueError: no address, or a redirect to what is none
        raise RefusedError("too_slow" if time.monotonic() > budget.end else "unreachable") from None


def _robots(fetcher: _Fetcher, origin: str) -> urllib.robotparser.RobotFileParser | str:
    """The rules of a site (RFC 9309): none without a robots.txt, all forbidden where the site refuses to tell.

    Of a site that cannot or must not be reached at all: the reason.
    """
    rules = urllib.robotparser.RobotFileParser()
    try:
        content = _follow(fetcher, f"{origin}/robots.txt", 512_000, lambda *_: None)
        rules.parse(content.decode("utf-8", "replace").splitlines())
    except RefusedError as reason:
        if str(reason) in ("private_address", "unreachable", "too_slow"):
            return str(reason)
        none = str(reason).startswith(("http_4", "too_many_redirects"))
        rules.parse([] if none else ["User-agent: *", "Disallow: /"])
    return rules


def _suffix(url: str) -> str:
    try:
        suffix = re.sub("[^A-Za-z0-9.]", "", PurePosixPath(urlsplit(url).path).suffix[:10])
    except ValueError:
        return ""
    return "" if suffix.lower() == ".dvc" else suffix  # DVC would leave the file out, or read it


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
