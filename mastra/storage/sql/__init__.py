"""Storage in SQLite and PostgreSQL. Importing this package loads SQLAlchemy."""

from mastra.storage.sql.storage import SQLStorage

__all__ = ["SQLStorage"]
