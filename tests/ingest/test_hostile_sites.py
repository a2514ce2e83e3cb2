"""Sites that drip, flood or stall, and lists that are odd: one deadline for an address, a reason or a word for each."""

import csv
import gzip
import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import urllib3

from stages.core import files
from stages.core.addresses import without_secrets
from stages.core.errors import UserError
from stages.ingest import connections
from stages.ingest.connections import is_public
from tests.ingest.test_ingest import PNG, bring

OK = b"HTTP/1.1 200 OK\r\n"
LOCAL = {"allow_private": True, "retries": 3, "timeout_seconds": 1.0, "max_megabytes": 0.1}
DRIPS = {
    "headers": (OK, b"X-A: b\r\n"),
    "one_header": (OK + b"X-A: ", b"b"),
    "status": (b"HTTP/1.1 ", b"2"),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "chunk_extension": (OK + b"Transfer-Encoding: chunked\r\n\r\n5;", b"x"),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: b\r\n"),
    "gzip_header": (OK + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08\0\0\0\0\0\x03", b"n"),
    "body": (OK + b"Content-Length: 9999\r\n\r\n", b"x"),
    "nothing": (b"", b""),
}
FLOODS = {
    **{
        name: DRIPS[name]
        for name in ("continue", "chunk_extension", "one_header", "gzip_header", "trailers", "headers")
    },
    "bomb": (OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(1 << 24))[:8000], b""),
}
ASKED: list[str] = []


def serve(connection: socket.socket, pause: float) -> None:
    with connection, suppress(OSError):
        path = connection.recv(4096).split(b" ")[1].decode()
        ASKED.append(path)
        name = path.strip("/").partition("?")[0]
        if name == "robots.txt":
            connection.sendall(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        elif name == "later":
            connection.sendall(
                b"HTTP/1.1 503 No\r\nRetry-After: 3600\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
        elif name in DRIPS or name in FLOODS:
            start, piece = (DRIPS if pause else FLOODS)[name]
            connection.sendall(start)
            piece = piece if pause else piece * 1000
            while True:
                connection.sendall(piece)
                time.sleep(pause or (0 if piece else 0.1))
        else:
            body = PNG.getvalue()
            connection.sendall(OK + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def started(pause: float) -> tuple[socket.socket, str]:
    server = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(server.accept()[0], pause), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return server, f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def dripping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.chdir(tmp_path)
    ASKED.clear()
    server, address = started(0.05)
    with server:
        yield address


def listed(*rows: tuple[str, str, str], encoding: str = "utf-8") -> Path:
    text = io.StringIO()
    csv.writer(text).writerows([("url", "label", "sha256"), *rows])
    Path("list.csv").write_bytes(text.getvalue().encode(encoding))
    return Path("list.csv")


def test_a_server_that_drips_costs_its_deadline_once(dripping: str) -> None:
    path = listed((f"{dripping}/good.png", "a", ""), *((f"{dripping}/{name}", "a", "") for name in DRIPS))
    began = time.monotonic()
    rows = bring("urls", path, connections=20, **LOCAL)
    assert time.monotonic() - began < 4, "the attempts of an address share its deadline"
    assert {url.rpartition("/")[2]: row["problem"] for url, row in rows.items()} == {
        "good.png": "", **dict.fromkeys(DRIPS, "too_slow"),
    }  # fmt: skip


def test_a_server_that_floods_is_cut(dripping: str) -> None:
    server, address = started(0)
    with server:
        path = listed((f"{dripping}/good.png", "a", ""), *((f"{address}/{name}", "a", "") for name in FLOODS))
        began = time.monotonic()
        rows = bring("urls", path, connections=2, **{**LOCAL, "timeout_seconds": 1.0})
    assert time.monotonic() - began < 12
    problems = {url.rpartition("/")[2]: row["problem"] for url, row in rows.items()}
    assert problems.pop("good.png") == ""
    assert set(problems.values()) <= {"too_large", "too_slow", "unreachable"}


def test_a_server_is_not_waited_for_an_hour(dripping: str) -> None:
    began = time.monotonic()
    rows = bring("urls", listed((f"{dripping}/later", "a", ""), (f"{dripping}/b.png", "a", "")), **LOCAL)
    assert rows[f"{dripping}/later"]["problem"] == "http_503"
    assert time.monotonic() - began < 2


def test_two_labels_of_one_address_are_two_rows_and_one_request(dripping: str) -> None:
    url = f"{dripping}/x.png"
    bring("urls", listed((url, "cat", ""), (url, "dog", ""), (url, "cat", ""), (url, "cow", "0" * 64)), **LOCAL)
    rows = files.read_rows("data/raw/manifest.csv")
    assert sorted((row["label"], row["problem"]) for row in rows) == [
        ("cat", ""), ("cat", "twice_in_list"), ("cow", "hash_differs"), ("dog", ""),
    ]  # fmt: skip
    assert ASKED.count("/x.png") == 1


def test_what_was_fetched_without_a_digest_is_not_fetched_again(dripping: str) -> None:
    path = listed((f"{dripping}/x.png", "cat", ""))
    bring("urls", path, **LOCAL)
    asked = list(ASKED)
    bring("urls", path, **LOCAL)
    assert asked == ASKED


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1", "utf-16"])
def test_other_encodings(dripping: str, encoding: str) -> None:
    path = listed((f"{dripping}/x.png", "caf\u00e9", ""), encoding=encoding)
    if encoding != "latin-1":  # a mark at the beginning says which it is
        assert bring("urls", path, **LOCAL)[f"{dripping}/x.png"]["label"] == "caf\u00e9"
    else:
        with pytest.raises(UserError, match="is not UTF-8 in line"):
            bring("urls", path, **LOCAL)


def test_odd_rows_get_a_reason_and_end_nothing(dripping: str) -> None:
    odd = [
        "http://u%5B@host/", "http://127.0.0.1:" + "9" * 5000 + "/", dripping + "/" + "a" * 200_000, "http://[::1", "http://%5B/",
        "http://\u2024\u2024/", "\x00", "http://a\nb/", "mailto:x@y", "//h", "http://" + "a" * 300 + "/", "http://:80/",
    ]  # fmt: skip
    bring("urls", listed(*((url, "l" * 200_000, "") for url in odd), (f"{dripping}/x.png", "a", "")), **LOCAL)
    rows = files.read_rows("data/raw/manifest.csv")
    assert len(rows) == len(odd) + 1
    assert sum(not row["problem"] for row in rows) >= 1
    assert max(len(field) for row in rows for field in row.values()) < 1100


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "lacks the column"),
        (b"url,label,sha256\n", "names no address"),
        (b'url,label,sha256\n"http://a/,b,\nhttp://c/,d,\n', "is no CSV in line"),
        (b"\xff\xfe\0", "is not UTF-8"),
    ],
)
def test_a_list_that_cannot_be_read_whole_is_refused(dripping: str, data: bytes, message: str) -> None:  # noqa: ARG001
    Path("list.csv").write_bytes(data)
    with pytest.raises(UserError, match=message):
        bring("urls", Path("list.csv"), **LOCAL)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:hunter2@host/a.png", "https://host/a.png"),
        ("https://u%5B:hunter2@host/a.png?id=7", "https://host/a.png?id=7"),
        ("https://hunter2@host/@me/a.png", "https://host/@me/a.png"),
        ("https://h/a.png?id=7&access_token=hunter2&w=100", "https://h/a.png?id=7&access_token=***&w=100"),
        (
            "https://h/a?X-Amz-Signature=hunter2&X-Amz-Credential=hunter2",
            "https://h/a?X-Amz-Signature=***&X-Amz-Credential=***",
        ),
        ("https://h/a;jsessionid=hunter2?q=1#token=hunter2", "https://h/a;jsessionid=***?q=1#token=***"),
        ("https://h/a?z=" + "hunter2" * 9, "https://h/a?z=***"),
        ("https://h/a?" + "hunter2" * 9, "https://h/a?***"),
        ("https://h/a?from=http://u:hunter2@i/", "https://h/a?from=http://i/"),
        ("<https://u:hunter2@h/a>", "<https://h/a>"),
        ("https://web.example.org/2020/https://u:hunter2@h/a.jpg", "https://web.example.org/2020/https://h/a.jpg"),
        ("https://h/token=hunter2/a.jpg", "https://h/token=***/a.jpg"),
        ("https://h/a?next=%2Fx%3Ftoken%3Dhunter2", "https://h/a?next=***"),
        ("https://h/a?x=1,token=hunter2", "https://h/a?x=***"),
        ('https://h/a?q={"token":"hunter2"}', "https://h/a?q=***"),
        ("https://h/a?pw=hunter2&psk=hunter2", "https://h/a?pw=***&psk=***"),
        (f"https://h/a?z={'0f' * 16}", "https://h/a?z=***"),
        ("https://h/a?token%3Dhunter2", "https://h/a?***"),
        ("http://h/img//a@2x.jpg", "http://h/img//a@2x.jpg"),
        ("https://h/a?q=designer&path=/x/y", "https://h/a?q=designer&path=/x/y"),
        ("https://h/a.png", "https://h/a.png"),
        ("https://h/a?%74oken=hunter2&%2574oken=hunter2", "https://h/a?%74oken=***&%2574oken=***"),
        (
            "https://h/a?bearer=hunter2&access=hunter2&pin=hunter2&OTP=hunter2",
            "https://h/a?bearer=***&access=***&pin=***&OTP=***",
        ),
        ("https://h/a?nonce=hunter2&user_pin=hunter2&to=hunter2%2540h", "https://h/a?nonce=***&user_pin=***&to=***"),
        ("https://h/a?shopping=1&spinner=2", "https://h/a?shopping=1&spinner=2"),
        ("http://u:hunter2/x@h/y", "http://h/y"),
        ("http://u:1hunter2?x@h/y?id=7", "http://h/y?id=7"),
        ("http://u:hunter2#@x@h/y", "http://h/y"),
        ("//u:hunter2/x@h/y", "//h/y"),
        ("http://h:8080/a@b.png?x=1", "http://h:8080/a@b.png?x=1"),
        ("http://[::1]/a@b.png", "http://[::1]/a@b.png"),
        ("http://h:/a@b.png", "http://h:/a@b.png"),
    ],
)
def test_secrets_stay_out_of_the_manifest(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
    assert "hunter2" not in without_secrets(url)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("10.0.0.1", False), ("2606:2800:220:1::1", True), ("fec0::1", False), ("::1", False),
        ("64:ff9b::a00:1", False), ("64:ff9b::5db8:d822", True), ("64:ff9b:1::a00:1", False), ("2002:7f00:1::", False),
        ("2002:5db8:d822::1", True), ("::ffff:10.0.0.1", False), ("::10.0.0.1", False), ("2001:0:a00:1::", False),
        ("::ffff:0:127.0.0.1", False), ("::ffff:0:5db8:d822", True), ("224.0.0.1", False), ("ff02::1", False),
        ("ff0e::1", False), ("192.88.99.1", False), ("192.0.0.8", False), ("3fff::1", False), ("200::1", False),
        ("5f00::1", False), ("8000::1", False), ("2002:e000:1::", False), ("240.0.0.1", False), ("100.64.0.1", False),
    ],
)  # fmt: skip
def test_an_address_is_public_if_the_one_in_it_is(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_all_addresses_of_a_name_share_the_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name may have hundreds of records that answer nothing."""
    tried: list[tuple[str, float]] = []
    now = [0.0]
    records = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{k}", 9)) for k in range(1, 200)]

    def no_answer(where: tuple[str, int], timeout: float, **_: object) -> None:
        tried.append((where[0], timeout))
        now[0] += min(timeout, 3)
        raise TimeoutError

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: records)
    monkeypatch.setattr(urllib3.util.connection, "create_connection", no_answer)
    pool = connections.make_pool(1, allow_private=True)
    with pytest.raises(connections.SpentError, match="too_slow"):
        connections.get(pool, "http://many.example/a.png", connections.Budget(10, 100))
    assert [address for address, _ in tried] == [f"127.0.0.{k}" for k in range(1, 11)]
    assert sum(seconds for _, seconds in tried) == 10
