"""The storage that a program names by URL."""

from __future__ import annotations

from functools import partial
from typing import Final, Self
from urllib.parse import parse_qs, urlsplit

from mastra.clock import Clock
from mastra.errors import ConfigError
from mastra.extras import needs
from mastra.given import SECONDS, TEXT, TIME, Form, check_given
from mastra.names import python_names, python_options
from mastra.storage.sql.conversations import SQLMemoryStore
from mastra.storage.sql.database import Database, Durability
from mastra.storage.sql.evals import SQLEvals
from mastra.storage.sql.leases import SQLDrivers
from mastra.storage.sql.observability import SQLObservability
from mastra.storage.sql.schedules import SQLSchedules
from mastra.storage.sql.sqlite import SqliteDatabase
from mastra.storage.sql.workflows import SQLWorkflowStore

__all__ = ["SQLStorage"]

_EXPECTED = (
    "Use 'sqlite:///file.db', 'sqlite:////absolute/path/file.db', 'sqlite:///:memory:' or "
    "'postgresql://user:password@host:5432/database'."
)


_FORMS: Final = {
    "url": TEXT,
    "lease_s": Form(
        "a number of seconds above 0", lambda value: SECONDS.holds(value) and value > 0
    ),
    "clock": TIME,
}


@python_names
@python_options
class SQLStorage:
    """Storage in SQLite or PostgreSQL. It opens itself on first use.

    Args:
        url: `sqlite:///file.db` (relative), `sqlite:////path/file.db` (absolute),
            `sqlite:///:memory:`, or `postgresql://user:password@host/database`.
        durability: What a finished operation survives. `normal`: the end of the process, however
            sudden. `full`: that of the machine too, at the price of waiting for the disk at each
            one. PostgreSQL does what the server is set to, unless it is `full`.
        lease_s: For how long, in seconds, this process is trusted to drive its runs without a sign
            of life, of which it gives one every sixth of that. After it, others go on with them.
        clock: Where times come from. Leases have the database's own.

    Attributes:
        workflows: Runs of workflows and their journals.
        memory: Threads, messages and resources.
        evals: Scores, datasets, experiments and feedback.
        observability: Traces and logs.
        schedules: What is started again and again, and when it was.

    Raises:
        ConfigError: The URL is not one of these, or an option is none.
    """

    def __init__(
        self,
        url: str,
        *,
        durability: Durability = "normal",
        lease_s: float = 30.0,
        clock: Clock | None = None,
    ) -> None:
        given = {"url": url, "lease_s": lease_s, "clock": clock}
        check_given("SQLStorage", given, _FORMS, needed=["url"])
        if durability not in ("normal", "full"):
            raise ConfigError(f"durability is {durability!r}. Use 'normal' or 'full'.")
        self._database = _database(url, durability)
        drivers = SQLDrivers(self._database, lease_s, partial(_database, url, durability))
        self.workflows = SQLWorkflowStore(self._database, drivers, clock=clock)
        self.memory = SQLMemoryStore(self._database)
        self.evals = SQLEvals(self._database)
        self.observability = SQLObservability(self._database)
        self.schedules = SQLSchedules(self._database)

    async def open(self) -> None:
        """Connect, and bring the schema up to date. May be called again.

        Raises:
            StorageError: The database cannot be reached or is not usable.
        """
        await self._database.open()

    async def aclose(self) -> None:
        """Close every connection. Using the storage again opens it again."""
        await self._database.aclose()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()


def _database(url: str, durability: Durability) -> Database:
    scheme, separator, rest = url.partition("://")
    if not separator:
        # Not repeated in the message: it may well hold a password.
        raise ConfigError(f"The storage's URL has no scheme. {_EXPECTED}")
    if scheme == "sqlite":
        return _sqlite(rest, durability)
    if scheme in ("postgres", "postgresql", "postgresql+asyncpg"):
        return _postgres(f"postgresql://{rest}", durability)
    raise ConfigError(f"Storage URLs of the kind {scheme!r} are not known. {_EXPECTED}")


def _sqlite(rest: str, durability: Durability) -> Database:
    if rest and not rest.startswith("/"):
        raise ConfigError(f"'sqlite://{rest}' has two slashes and needs three or four. {_EXPECTED}")
    path = rest[1:] or ":memory:"
    if "?" in path:
        raise ConfigError(f"A SQLite URL takes no options, and has {path.partition('?')[2]!r}.")
    return SqliteDatabase(path, durability=durability)


def _postgres(url: str, durability: Durability) -> Database:
    with needs("postgres", "PostgreSQL"):
        # Only here, so that a program on SQLite does not load it.
        from mastra.storage.sql.postgres import PostgresDatabase  # noqa: PLC0415
    return PostgresDatabase(url, where=_name_of(url), durability=durability)


def _name_of(url: str) -> str:
    """Return what a server's database is called in messages.

    Raises:
        ConfigError: The URL is not well formed. Nothing of it is repeated, since a password with
            a slash in it ends up anywhere.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = None
    hosts = "" if parts is None else parts.netloc.rpartition("@")[2]
    if parts is None or "@" in parts.path or not all(map(_is_host, hosts.split(","))):
        raise ConfigError(
            "The PostgreSQL URL cannot be read: check the port, and write special characters in "
            f"the password as %XX. {_EXPECTED}"
        )
    place = hosts or parse_qs(parts.query).get("host", ["this machine"])[0]
    return f"the PostgreSQL database {parts.path.strip('/')!r} on {place}"


def _is_host(text: str) -> bool:
    host, separator, port = text.rpartition(":")
    return not separator or text.endswith("]") or (bool(host) and port.isdecimal())
