"""Pages of lists: which one is asked for, in which order, and what an answer says of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal, cast

from fastapi import Query
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request

from mastra.jsonable import Json
from mastra.server.context import load_strict
from mastra.server.errors import Refusal

__all__ = ["Direction", "Page", "PerPage", "asked_json", "asked_order", "paged", "window"]

Page = Annotated[int, Query(ge=0, le=10**6)]
PerPage = Annotated[int, Query(alias="perPage", ge=1, le=1000)]
Direction = Annotated[Literal["ASC", "DESC"], Query()]


def paged(total: int, page: int, per_page: int) -> dict[str, Json]:
    """Return what a list says of its pages."""
    more = (page + 1) * per_page < total
    return {"total": total, "page": page, "perPage": per_page, "hasMore": more}


def window(rows: Sequence[Json], page: int, per_page: int) -> list[Json]:
    """Return one page of rows."""
    return list(rows[page * per_page : (page + 1) * per_page])


def asked_json(text: str | None, name: str, kind: Any) -> Any:
    """Return what a parameter of a query says in JSON; `None` where it is left out.

    Raises:
        RequestValidationError: It does not fit.
    """
    if text is None:
        return None
    try:
        return TypeAdapter(kind).validate_json(text)
    except ValidationError as error:
        raise RequestValidationError(
            [{**one, "loc": ("query", name, *one["loc"])} for one in error.errors()]
        ) from None


def asked_order(request: Request, fields: Collection[str]) -> tuple[str | None, str | None]:
    """Return the field that a list is to be ordered by, and `ASC` or `DESC`; `None` for what is left out.

    Raises:
        Refusal: There is no such order.
    """
    query = request.query_params
    field, direction = query.get("orderBy[field]"), query.get("orderBy[direction]")
    text = query.get("orderBy", "")
    if text.lstrip()[:1] in ("{", "["):
        try:
            asked = load_strict(text)
        except ValueError:
            asked = None
        if not isinstance(asked, dict):
            raise Refusal(400, "orderBy must be a JSON object with field and direction")
        known = cast("dict[str, Any]", asked)
        field, direction = known.get("field"), known.get("direction")
    elif text:
        # As clients before 1.18 ask.
        field, direction = text, query.get("sortDirection")
    if field is not None and field not in fields:
        raise Refusal(400, f"There is no order by {field}")
    if direction not in (None, "ASC", "DESC"):
        raise Refusal(400, "direction is ASC or DESC")
    return field, direction
