"""What a team's MLflow server stands on, in temporary folders: PostgreSQL, an S3 store (moto) and MLflow itself."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import tiny

PASSWORD = "not in git"  # noqa: S105 - of a cluster that lives as long as a test
BUCKET = "runs"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


def program(name: str) -> str | None:
    """A program of PostgreSQL, which Debian keeps out of PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(debian[-1]) if debian else None)


missing = [
    *(name for name in ("initdb", "pg_ctl") if not program(name)),
    *(name for name in ("psycopg", "boto3", "moto") if not importlib.util.find_spec(name)),
]
needed = pytest.mark.skipif(
    bool(missing), reason=f"needs {', '.join(missing)}: `apt-get install postgresql` and `make team`"
)


@dataclass(frozen=True)
class Team:
    """A running server: its address, and how to stop and start it."""

    folder: Path
    address: str
    environment: dict[str, str]
    command: list[str]

    @contextlib.contextmanager
    def serving(self) -> Iterator[Callable[[], None]]:
        """MLflow answers while the block lasts, or until the function that this gives kills it."""
        with tiny.serving(self.folder, self.command, f"{self.address}/health", **self.environment) as process:

            def kill() -> None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

            try:
                yield kill
            finally:
                kill()  # asked politely, it waits for each open connection


@contextlib.contextmanager
def team(folder: Path) -> Iterator[Team]:
    """PostgreSQL and the S3 store run while the block lasts; MLflow is not started yet.

    The password of PostgreSQL stands in a file of libpq, as docs/scale.md tells.
    """
    with _postgres() as port, _bucket(folder) as store:
        passwords = folder / "pgpass"
        passwords.write_text(f"127.0.0.1:{port}:*:mlflow:{PASSWORD}\n")
        passwords.chmod(0o600)
        own = tiny.free_port()
        yield Team(
            folder,
            f"http://127.0.0.1:{own}",
            KEYS | {"MLFLOW_S3_ENDPOINT_URL": store, "PGPASSFILE": str(passwords)}
            | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            [
                sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(own),
                "--backend-store-uri", f"postgresql+psycopg://mlflow@127.0.0.1:{port}/mlflow",
                "--artifacts-destination", f"s3://{BUCKET}",
            ],
        )  # fmt: skip


@contextlib.contextmanager
def _postgres() -> Iterator[int]:
    """A cluster of its own with the database and the user `mlflow`, who needs a password; gives its port.

    PostgreSQL refuses to run as root, so it then runs as the user that Debian's package makes.
    """
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # short, since a socket's name is
    user = None
    if os.getuid() == 0:
        user = next(entry.pw_name for entry in pwd.getpwall() if entry.pw_name in ("postgres", "nobody"))
        shutil.chown(folder, user)

    def run(name: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(program(name)), *arguments], user=user, cwd=folder, env={**tiny.surroundings(), "HOME": str(folder)},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False,
        )  # fmt: skip
        assert done.returncode == 0, Path(log.name).read_text()

    port = tiny.free_port()
    password = folder / "password"
    password.write_text(PASSWORD)
    password.chmod(0o644)
    with (folder / "log").open("w") as log:
        data = str(folder / "data")
        run("initdb", "-D", data, "-U", "mlflow", "-A", "scram-sha-256", f"--pwfile={password}", "--no-sync")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        run("pg_ctl", "-D", data, "-w", "-o", options, "start")
        try:
            import psycopg

            where = f"host=127.0.0.1 port={port} user=mlflow dbname=postgres"
            with psycopg.connect(where, password=PASSWORD, autocommit=True) as connection:
                connection.execute("CREATE DATABASE mlflow")
            yield port
        finally:
            run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
            shutil.rmtree(folder)


@contextlib.contextmanager
def _bucket(folder: Path) -> Iterator[str]:
    """An S3 store with an empty bucket; gives its address."""
    import boto3

    port = tiny.free_port()
    address = f"http://127.0.0.1:{port}"
    with tiny.serving(folder, [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], address):
        keys = {name.lower(): value for name, value in KEYS.items() if "KEY" in name}
        boto3.client("s3", endpoint_url=address, region_name="us-east-1", **keys).create_bucket(Bucket=BUCKET)
        yield address
