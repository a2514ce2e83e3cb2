"""The page in a real browser, where there is Chromium: keys that are faster than the server."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn

from stages.clean.params import Clean
from stages.core import curation
from stages.curate import app
from tests.clean.conftest import Raw, photo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SLOW = 1.0  # seconds that the server takes for a list of findings once `delay` is set
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")]


class Browser:
    """Chromium, told by its own protocol over two pipes."""

    def __init__(self, folder: Path) -> None:
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        high = [fcntl.fcntl(end, fcntl.F_DUPFD, 60) for end in (theirs_in, theirs_out)]
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-pipe",
            f"--user-data-dir={folder}",
        ]
        command = ["bash", "-c", f'exec "$0" "$@" 3<&{high[0]} 4>&{high[1]}', str(CHROMIUM), *flags, "about:blank"]
        self.process = subprocess.Popen(command, pass_fds=high, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for end in (theirs_in, theirs_out, *high):
            os.close(end)
        self.source, self.sink = os.fdopen(ours_in, "rb"), os.fdopen(ours_out, "wb", buffering=0)
        self.count, self.session = 0, ""
        until(lambda: self.send("Target.getTargets")["targetInfos"])
        target = next(one for one in self.send("Target.getTargets")["targetInfos"] if one["type"] == "page")
        self.session = self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command; returns its answer."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        self.sink.write(json.dumps(message | ({"sessionId": self.session} if self.session else {})).encode() + b"\0")
        while True:
            said = b""
            while not said.endswith(b"\0"):
                said += self.source.read(1) or b"\0"
            answer = json.loads(said[:-1])
            if answer.get("id") == self.count:
                return dict(answer["result"])

    def js(self, code: str) -> Any:
        """The value of an expression in the page."""
        found = self.send("Runtime.evaluate", expression=code, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def key(self, key: str, **more: Any) -> None:
        """Press a key, as a person does."""
        for kind in ("keyDown", "keyUp"):
            self.send(
                "Input.dispatchKeyEvent", **({"type": kind, "key": key, "text": key if len(key) == 1 else ""} | more)
            )


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Browser]:
    browser = Browser(folder / "profile")
    try:
        yield browser
    finally:
        browser.process.kill()
        browser.process.wait()
        browser.source.close()
        browser.sink.close()


def until(condition: Callable[[], Any], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str, dict[str, bool]]]:
    """A study with two groups of copies, its address, and a switch that makes the list of findings slow."""
    raw = Raw(tmp_path)
    for name, seed in (("a/1", 1), ("a/2", 1), ("b/1", 2), ("b/2", 2), ("c/1", 3), ("d/1", 4)):
        raw.add(f"{name}.png", photo(seed))
    raw.run()
    guarded = app.create(app.Desk(tmp_path, Clean(), "study", "Ann"))
    switch = {"slow": False}

    async def slowly(scope: Any, receive: Any, send: Any) -> None:
        if switch["slow"] and scope["type"] == "http" and scope["path"] == "/api/findings":
            await asyncio.sleep(SLOW)
        await guarded(scope, receive, send)

    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(slowly, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield tmp_path, f"http://127.0.0.1:{listening.getsockname()[1]}/", switch
    server.should_exit = True
    thread.join()
    listening.close()


def test_keys_that_are_faster_than_the_server(served: tuple[Path, str, dict[str, bool]], tmp_path: Path) -> None:
    """`d`, then `j r` while the list is on its way: the dialog and the decision are about the second finding."""
    root, address, switch = served
    with opened(tmp_path) as browser:
        browser.send("Page.navigate", url=address)
        until(lambda: browser.js("document.querySelectorAll('article').length") == 2)
        until(lambda: browser.js("[...document.images].every((one) => one.complete && one.naturalWidth > 0)"))
        assert browser.js("document.images.length") == 4
        switch["slow"] = True
        browser.key("d")
        until(lambda: curation.read(root / curation.FILE))  # the decision is there, the list is on its way
        browser.key("j")
        browser.key("r")
        about = browser.js("document.getElementById('about').textContent")
        assert about == "b/1.png (a)"
        time.sleep(SLOW * 1.5)
        browser.js("document.getElementById('value').value = 'new'")
        browser.js("document.querySelector('#ask form').requestSubmit()")
        until(lambda: browser.js("document.getElementById('sure').open"))
        assert "“new” is a new label: 1 picture." in browser.js("document.getElementById('doubt').textContent")
        assert browser.js("document.getElementById('instead').hidden")
        assert len(curation.read(root / curation.FILE)) == 1
        browser.key("Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
        until(lambda: len(curation.read(root / curation.FILE)) == 2)
        found = [(one.path, one.decision, one.value) for one in curation.read(root / curation.FILE)]
        assert found == [("a/1.png", "drop", ""), ("b/1.png", "relabel", "new")]
        time.sleep(SLOW * 1.5)
        assert browser.js("document.querySelector('article.here li.at .name').textContent") == "b/1.png"
        browser.key("l")
        browser.key("d", autoRepeat=True)
        time.sleep(0.5)
        assert len(curation.read(root / curation.FILE)) == 2, "a key that is held decides once"
        browser.key("h")
        browser.key("c")
        until(lambda: len(curation.read(root / curation.FILE)) == 1)
        browser.key("u")
        until(lambda: "undone: taken back: b/1.png" in browser.js("document.getElementById('message').textContent"))


def test_caps_lock_changes_no_key_and_an_odd_label_is_asked_about(
    served: tuple[Path, str, dict[str, bool]], tmp_path: Path
) -> None:
    root, address, _ = served

    def said(words: str) -> None:
        until(lambda: words in browser.js("document.getElementById('message').textContent"))

    def relabel(value: str) -> None:
        """With Caps Lock on; Enter takes what the question proposes."""
        browser.key("R", text="")
        browser.js(f"document.getElementById('value').value = '{value}'")
        browser.js("document.querySelector('#ask form').requestSubmit()")
        until(lambda: browser.js("document.getElementById('sure').open"))
        browser.key("Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")

    with opened(tmp_path) as browser:
        browser.send("Page.navigate", url=address)
        until(lambda: browser.js("document.querySelectorAll('article').length") == 2)
        relabel("new")
        said("decided: label: new")
        browser.key("U", text="")
        said("undone: a/1.png")
        browser.key("u", modifiers=8)  # Caps Lock and Shift
        said("redone: a/1.png")
        browser.key("Z", modifiers=2, text="")
        until(lambda: not curation.read(root / curation.FILE))
        browser.key("z", modifiers=10, text="")
        until(lambda: curation.read(root / curation.FILE))
        browser.key("L", text="")
        relabel("NEW")
        said("decided: label: new")
        assert [(one.path, one.value) for one in curation.read(root / curation.FILE)] == [
            ("a/1.png", "new"), ("a/2.png", "new"),
        ]  # fmt: skip
