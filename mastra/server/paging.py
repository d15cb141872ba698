"""Pages of lists: which one is asked for, and what an answer says of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query

from mastra.jsonable import Json

__all__ = ["Page", "PerPage", "paged", "window"]

Page = Annotated[int, Query(ge=0, le=10**6)]
PerPage = Annotated[int, Query(alias="perPage", ge=1, le=1000)]


def paged(total: int, page: int, per_page: int) -> dict[str, Json]:
    """Return what a list says of its pages."""
    more = (page + 1) * per_page < total
    return {"total": total, "page": page, "perPage": per_page, "hasMore": more}


def window(rows: Sequence[Json], page: int, per_page: int) -> list[Json]:
    """Return one page of rows."""
    return list(rows[page * per_page : (page + 1) * per_page])
