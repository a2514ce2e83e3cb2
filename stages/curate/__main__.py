"""`python -m stages.curate`: a page to decide about copies, labels and damaged files, by hand."""

from __future__ import annotations

import argparse
import secrets
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from stages.core import errors, params
from stages.core.console import say
from stages.core.errors import UserError

if TYPE_CHECKING:
    from stages.curate.app import Desk

PORT = 8765


def main() -> None:
    """Serve the page for the study in the working folder."""
    parser = argparse.ArgumentParser(prog="python -m stages.curate", description=__doc__)
    parser.add_argument("--port", type=int, default=PORT, help=f"the port ({PORT})")
    parser.add_argument(
        "--host", default="127.0.0.1", help="another address to listen on; then a token is needed, which is printed"
    )
    parser.add_argument("--who", help="the name beside each decision; without it, git's user.name")
    arguments = parser.parse_args()
    serve(arguments.host, arguments.port, git_name() if arguments.who is None else arguments.who)


def serve(host: str, port: int, who: str) -> None:
    """Listen until Ctrl-C.

    Raises:
        UserError: clean has not run, or the port is taken.
    """
    import uvicorn

    from stages.curate import app

    desk = open_desk(who)
    desk.store.decisions()  # a damaged file is told now
    token = "" if host in ("127.0.0.1", "::1", "localhost") else secrets.token_urlsafe(24)
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise UserError(f"cannot listen on {host}:{port} ({error.strerror}); choose another port with --port") from None
    name = socket.gethostname() if host in ("0.0.0.0", "::") else host  # noqa: S104 - every address, so none to type
    shown = f"[{name}]" if ":" in name else name
    say(f"curate: {len(desk.study.findings)} findings; decisions go to data/curation.csv; Ctrl-C ends it")
    say(f"curate: http://{shown}:{listening.getsockname()[1]}/{f'?token={token}' if token else ''}")
    config = uvicorn.Config(app.create(desk, token), log_level="warning", access_log=False, server_header=False)
    with listening:
        uvicorn.Server(config).run(sockets=[listening])


def open_desk(who: str) -> Desk:
    """The desk of the study in the working folder.

    Raises:
        UserError: clean has not run, or a file is damaged.
    """
    from stages.clean.params import Clean
    from stages.curate import app
    from stages.split.params import Split

    study = params.read()
    split = params.section(Split, study.raw["split"], "split")
    least = max(3, split.folds or 0)  # a picture for each part, or for each fold that is tested
    return app.Desk(Path(), params.section(Clean, study.raw["clean"], "clean"), study.name, who, least)


def git_name() -> str:
    """Git's `user.name`; empty where there is none."""
    try:
        done = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, check=False)  # noqa: S607
    except OSError:
        return ""
    return done.stdout.strip()


if __name__ == "__main__":
    errors.run(main)
