"""A tab of the page, as the script of the page uses the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.testclient import TestClient

from stages.clean.params import Clean
from stages.core import curation
from stages.curate import app

if TYPE_CHECKING:
    from pathlib import Path

HERE = "http://127.0.0.1:8765"
NAME = "<img src=x onerror=alert(1)>.png"
LABEL = '<script>alert("l")</script>'


def client(root: Path, token: str = "", url: str = HERE) -> TestClient:
    desk = app.Desk(root, Clean(), "study", "Ann <b>")
    return TestClient(app.create(desk, token), base_url=url, headers={"origin": url}, follow_redirects=False)


def view(tab: TestClient, **filters: Any) -> dict[str, Any]:
    answer = tab.get("/api/findings", params=filters)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def numbers(tab: TestClient) -> dict[str, int]:
    return {p["name"]: p["number"] for one in view(tab)["findings"] for p in one["pictures"]}


def decide(tab: TestClient, pictures: list[int], decision: str, **more: Any) -> Any:
    return tab.post("/api/decide", json={"pictures": pictures, "decision": decision, **more})


def stored(root: Path) -> list[tuple[str, str, str]]:
    return [(d.path, d.decision, d.value) for d in curation.read(root / curation.FILE)]


def seen(tab: TestClient, name: str) -> dict[str, Any]:
    """The picture as the page shows it."""
    return next(p for one in view(tab)["findings"] for p in one["pictures"] if p["name"] == name)
