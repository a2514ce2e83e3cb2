import hashlib
import http.server
import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from stages.core.errors import UserError
from stages.ingest import connections
from tests.ingest.test_ingest import bring

PNG = io.BytesIO()
Image.new("RGB", (4, 4), "blue").save(PNG, "PNG")
ASKED: list[str] = []
LEADS: dict[str, str] = {}  # further redirects


class Site(http.server.BaseHTTPRequestHandler):
    """A site on this machine, with what goes wrong on real ones."""

    def do_GET(self) -> None:
        ASKED.append(self.path)
        first = ASKED.count(self.path) == 1
        body, status, headers = {
            "/robots.txt": (b"User-agent: *\nDisallow: /secret/", 200, {}),
            "/gone.png": (b"", 404, {}),
            "/moved.png": (b"", 302, {"Location": "/a.png"}),
            "/away.png": (b"", 302, {"Location": "ftp://example.org/a.png"}),
            "/busy.png": (PNG.getvalue(), 503 if first else 200, {}),
            "/large.png": (bytes(20_000), 200, {}),
            "/round.png": (b"", 302, {"Location": "/round.png"}),
            "/into.png": (b"", 302, {"Location": "/secret/a.png"}),
        }.get(self.path, (PNG.getvalue(), 200, {}))
        if self.path in LEADS:
            body, status, headers = b"", 302, {"Location": LEADS[self.path]}
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.path == "/drip.png":
            for byte in body:
                time.sleep(0.2)
                self.wfile.write(bytes([byte]))
        else:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.chdir(tmp_path)
    ASKED.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def listed(site: str, **rows: str) -> Path:
    path = Path("sources.csv")
    lines = [f"{site}/{name.replace('_', '.')},cat,{digest}" for name, digest in rows.items()]
    path.write_text("url,label,sha256\n" + "\n".join(lines) + "\n")
    return path


GOOD = hashlib.sha256(PNG.getvalue()).hexdigest()
LOCAL = {"allow_private": True, "max_megabytes": 0.01, "retries": 1, "timeout_seconds": 5.0}


def test_a_list_is_fetched_and_what_is_missing_is_named(site: str) -> None:
    names = {"a_png": GOOD, "gone_png": "", "moved_png": GOOD, "away_png": "", "busy_png": GOOD, "large_png": ""}
    path = listed(site, **names, changed_png="0" * 64)
    path.write_text(path.read_text() + f"{site}/secret/a.png,cat,\nfile:///etc/passwd,cat,\n")
    rows = bring("urls", path, **LOCAL)
    assert {url.removeprefix(site): row["problem"] for url, row in rows.items()} == {
        "/a.png": "",
        "/gone.png": "http_404",
        "/moved.png": "",
        "/away.png": "not_http",
        "/busy.png": "",
        "/large.png": "too_large",
        "/changed.png": "hash_differs",
        "/secret/a.png": "forbidden_by_robots",
        "file:///etc/passwd": "not_http",
    }
    assert (Path("data/raw") / rows[f"{site}/a.png"]["file"]).read_bytes() == PNG.getvalue()
    assert rows[f"{site}/a.png"]["label"] == "cat"


def test_what_no_browser_would_open_is_named_too(site: str) -> None:
    path = listed(site, a_png=GOOD)
    broken = ["http://[::1/a.png", "http://a..b/a.png", "http://host:99999/a.png", ""]
    path.write_text(path.read_text() + "".join(f"{url},cat,\n" for url in broken) + f"{site}/b.png\n")
    rows = bring("urls", path, **LOCAL)
    assert {url.removeprefix(site): row["problem"] for url, row in rows.items()} == {
        "/a.png": "", "http://[::1/a.png": "not_http", "http://a..b/a.png": "unreachable",
        "http://host:99999/a.png": "unreachable", "": "not_http", "/b.png": "",
    }  # fmt: skip
    assert rows[f"{site}/b.png"]["label"] == ""


def test_a_site_that_never_ends_is_left(site: str) -> None:
    rows = bring("urls", listed(site, a_png=GOOD, drip_png=""), **{**LOCAL, "timeout_seconds": 1.0})
    assert rows[f"{site}/drip.png"]["problem"] == "too_slow"


def test_redirects_end_and_are_asked_for_their_robots_too(site: str) -> None:
    rows = bring("urls", listed(site, moved_png=GOOD, round_png="", into_png=""), **{**LOCAL, "retries": 0})
    assert {url.removeprefix(site): row["problem"] for url, row in rows.items()} == {
        "/moved.png": "", "/round.png": "too_many_redirects", "/into.png": "forbidden_by_robots",
    }  # fmt: skip
    assert "/secret/a.png" not in ASKED


def test_a_second_fetch_asks_for_nothing(site: str) -> None:
    path = listed(site, a_png=GOOD)
    bring("urls", path, **LOCAL)
    asked = list(ASKED)
    bring("urls", path, **LOCAL)
    assert asked == ASKED


def test_private_addresses_are_refused(site: str) -> None:
    with pytest.raises(UserError, match="the first reason: private_address"):
        bring("urls", listed(site, a_png=GOOD), retries=0)
    assert ASKED == []


@pytest.mark.parametrize("host", ["localhost", "[::ffff:127.0.0.1]", "0", "2130706433"])
def test_a_name_that_leads_to_a_private_address_is_refused(site: str, host: str) -> None:
    """Looked at is where the connection leads, not what the address is called."""
    with pytest.raises(UserError, match="the first reason: private_address"):
        bring("urls", listed(site.replace("127.0.0.1", host), a_png=GOOD), retries=0)
    assert ASKED == []


def test_a_redirect_to_a_private_address_is_refused(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.2 plays a public site, which sends its visitors to 127.0.0.1."""
    monkeypatch.setattr(connections, "is_public", lambda text: text == "127.0.0.2")
    server = http.server.ThreadingHTTPServer(("127.0.0.2", 0), Site)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    public = f"http://127.0.0.2:{server.server_port}"
    LEADS["/inside.png"] = f"{site}/a.png"
    try:
        rows = bring("urls", listed(public, b_png=GOOD, inside_png=""), retries=1)  # a digest may be known already
    finally:
        LEADS.clear()
        server.shutdown()
        server.server_close()
        thread.join()
    assert {url.removeprefix(public): row["problem"] for url, row in rows.items()} == {
        "/b.png": "",
        "/inside.png": "private_address",
    }
    assert "/a.png" not in ASKED


def test_an_unreachable_site_and_a_wrong_list_are_named(site: str) -> None:
    with pytest.raises(UserError, match="the first reason: unreachable"):
        bring("urls", listed("http://127.0.0.1:9", a_png=""), allow_private=True, retries=0)
    Path("sources.csv").write_text("url,label\n")
    with pytest.raises(UserError, match="lacks the column sha256"):
        bring("urls", Path("sources.csv"))
    with pytest.raises(UserError, match="which is not here; name a CSV"):
        bring("urls", Path(site))


def test_spaces_around_an_address_are_none_of_it(site: str) -> None:
    Path("sources.csv").write_text(f"url,label,sha256\n {site}/a.png,cat,\n{site}/b.png \t,dog, {GOOD} \n")
    rows = bring("urls", Path("sources.csv"), **LOCAL)
    assert {path: row["problem"] for path, row in rows.items()} == {f"{site}/a.png": "", f"{site}/b.png": ""}
    assert "/a.png" in ASKED  # the other is not asked for where the first came before it: it has the same digest


def test_an_address_with_a_comma_gives_no_wrong_label(site: str) -> None:
    Path("sources.csv").write_text(f"url,label,sha256\n{site}/a.png?s=1,2,cat,{GOOD}\n{site}/b.png,dog,,,\n")
    rows = bring("urls", Path("sources.csv"), **LOCAL)
    assert rows[f"{site}/a.png?s=1"]["problem"] == "too_many_fields"
    assert rows[f"{site}/b.png"]["problem"] == ""
    assert not any("?s=1" in path for path in ASKED)


@pytest.mark.parametrize("name", ["a.dvc", "a.DVC", "a.d%76c", "a.d-vc"])
def test_no_picture_is_named_as_dvc_names_its_own(site: str, name: str) -> None:
    Path("sources.csv").write_text(f"url,label,sha256\n{site}/{name},cat,\n")
    (row,) = bring("urls", Path("sources.csv"), **LOCAL).values()
    assert not row["problem"]
    assert not row["file"].lower().endswith(".dvc")
    assert (Path("data/raw") / row["file"]).read_bytes() == PNG.getvalue()
