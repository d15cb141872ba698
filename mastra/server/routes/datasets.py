"""Datasets and their items, as Studio and clients keep them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast

from fastapi import APIRouter, Path, Query
from starlette.requests import Request

from mastra.clock import iso_from_ms
from mastra.errors import NotFoundError
from mastra.evals.catalogue import Datasets
from mastra.ids import new_id
from mastra.jsonable import Json
from mastra.server.caller_messages import plain_messages, refuse_instructions
from mastra.server.context import WHO, Server, ServerDep
from mastra.server.errors import Refusal
from mastra.server.eval_payloads import (
    DatasetBody,
    DatasetChangesBody,
    ItemBody,
    ItemIdsBody,
    ItemsBody,
    given,
)
from mastra.server.handling import add
from mastra.server.paging import Page, PerPage, asked_order, paged, window
from mastra.server.payloads import Identifier
from mastra.storage.evals import EvalRecord

__all__ = [
    "DatasetId",
    "add_dataset_routes",
    "dataset_of",
    "datasets_of",
    "in_order",
    "item_of",
]

DatasetId = Annotated[Identifier, Path(alias="datasetId")]
ItemId = Annotated[Identifier, Path(alias="itemId")]


def datasets_of(server: Server) -> Datasets:
    """Return the datasets of the application."""
    return Datasets(server.mastra.storage.evals)


async def dataset_of(server: Server, request: Request, dataset_id: str) -> EvalRecord:
    """Return a dataset.

    Raises:
        Refusal: There is none, or it is not the caller's.
    """
    try:
        record = await datasets_of(server).get(dataset_id)
    except NotFoundError as error:
        raise Refusal(404, error.message) from None
    server.check_owner(request, record.resource_id, "dataset")
    return record


async def item_of(
    server: Server, dataset_id: str, item_id: str, version: int | None = None
) -> EvalRecord:
    """Return an item of a dataset that the caller may see.

    Raises:
        Refusal: There is none.
    """
    try:
        return await datasets_of(server).item(dataset_id, item_id, version=version)
    except NotFoundError as error:
        raise Refusal(404, error.message) from None


def in_order(request: Request, rows: Sequence[dict[str, Json]]) -> list[dict[str, Json]]:
    """Return rows in the order that a query asks for; the newest first where it asks for none."""
    fields = ("createdAt", "updatedAt", "startedAt", "name", "status")
    field, direction = asked_order(request, fields)
    found = list(rows)
    if field is None:
        return found
    found.sort(key=lambda row: str(row.get(field) or ""), reverse=direction != "ASC")
    return found


def dataset_wire(record: EvalRecord) -> dict[str, Json]:
    """Return a dataset as clients have it."""
    return {
        "tags": None,
        "targetType": None,
        "targetIds": None,
        "scorerIds": None,
        **record.data,
        "id": record.id,
        "version": record.version,
        "createdAt": iso_from_ms(record.created_at),
        "updatedAt": iso_from_ms(record.updated_at),
        **record.fault(),
    }


def item_wire(record: EvalRecord) -> dict[str, Json]:
    """Return an item as clients have it."""
    data = {key: value for key, value in record.data.items() if key != "place"}
    return {
        "input": None,
        **data,
        "id": record.subject,
        "datasetId": record.parent_id,
        "datasetVersion": record.version,
        "createdAt": iso_from_ms(record.created_at),
        "updatedAt": iso_from_ms(record.updated_at),
        **record.fault(),
    }


# -- datasets ----------------------------------------------------------------------------------


async def list_datasets(
    server: ServerDep,
    request: Request,
    *,
    target_type: Annotated[str | None, Query(alias="targetType", max_length=60)] = None,
    target_ids: Annotated[list[str] | None, Query(alias="targetIds", max_length=100)] = None,
    page: Page = 0,
    per_page: PerPage = 10,
) -> dict[str, Json]:
    """List the datasets, the newest first."""
    wanted = {name for name in target_ids or () if name}
    found = [dataset_wire(one) for one in await datasets_of(server).list(server.owner(request))]
    kept = [
        row
        for row in found
        if (not target_type or row["targetType"] == target_type)
        and (not wanted or wanted & set(cast("list[str]", row["targetIds"] or [])))
    ]
    rows = in_order(request, kept)
    return {
        "datasets": window(rows, page, per_page),
        "pagination": paged(len(rows), page, per_page),
    }


async def create_dataset(server: ServerDep, request: Request, body: DatasetBody) -> Json:
    """Make a dataset."""
    owner = server.owner(request)
    return dataset_wire(await datasets_of(server).create(given(body), resource_id=owner))


async def get_dataset(server: ServerDep, request: Request, dataset_id: DatasetId) -> Json:
    """Return a dataset."""
    return dataset_wire(await dataset_of(server, request, dataset_id))


async def update_dataset(
    server: ServerDep, request: Request, dataset_id: DatasetId, body: DatasetChangesBody
) -> Json:
    """Change what is known of a dataset."""
    await dataset_of(server, request, dataset_id)
    changes = body.model_dump(by_alias=True, exclude_unset=True, mode="json")
    if "name" in changes and changes["name"] is None:
        raise Refusal(400, "A dataset needs a name")
    return dataset_wire(await datasets_of(server).update(dataset_id, changes))


async def delete_dataset(server: ServerDep, request: Request, dataset_id: DatasetId) -> Json:
    """Delete a dataset with its items."""
    await dataset_of(server, request, dataset_id)
    await datasets_of(server).delete(dataset_id)
    return {"success": True}


async def list_versions(
    server: ServerDep,
    request: Request,
    dataset_id: DatasetId,
    page: Page = 0,
    per_page: PerPage = 10,
) -> dict[str, Json]:
    """List the versions of a dataset, the newest first."""
    await dataset_of(server, request, dataset_id)
    found = await datasets_of(server).versions(dataset_id, offset=page * per_page, limit=per_page)
    rows: list[Json] = [
        {
            "id": one.id,
            "datasetId": dataset_id,
            "version": one.version,
            "createdAt": iso_from_ms(one.created_at),
        }
        for one in found.records
    ]
    return {"versions": rows, "pagination": paged(found.total, page, per_page)}


# -- items -------------------------------------------------------------------------------------


def _data(server: Server, body: ItemBody, *, is_change: bool = False) -> dict[str, Json]:
    if body.tool_mocks or body.unmocked_tool_policy is not None:
        raise Refusal(400, "toolMocks are not supported: evaluate an agent with tools for tests")
    options: dict[str, Any] = {"exclude_unset": True} if is_change else {"exclude_none": True}
    data: dict[str, Any] = body.model_dump(by_alias=True, mode="json", **options)
    for name in ("toolMocks", "unmockedToolPolicy"):
        data.pop(name, None)
    context = data.get("requestContext")
    if context is not None:
        data["requestContext"] = {key: one for key, one in context.items() if key not in WHO}
    if not is_change:
        data.setdefault("input", None)
    if "input" in data:
        data["input"] = _input(server, data["input"])
    return data


def _input(server: Server, given: Any) -> Any:
    """Return what an item asks; messages as far as a caller may say them to an agent."""
    listed: list[Any] = [*given] if isinstance(given, list) else [given]
    if not any(isinstance(one, dict) and "role" in one for one in listed):
        return cast("Any", given)
    refuse_instructions(server.config.instructions_of_callers, given)
    return plain_messages(given)


async def list_items(
    server: ServerDep,
    request: Request,
    dataset_id: DatasetId,
    *,
    version: Annotated[int | None, Query(ge=0, le=2**31)] = None,
    search: Annotated[str | None, Query(max_length=1000)] = None,
    page: Page = 0,
    per_page: PerPage = 10,
) -> dict[str, Json]:
    """List the items of a dataset, the newest first."""
    await dataset_of(server, request, dataset_id)
    rows = [item_wire(one) for one in await datasets_of(server).items(dataset_id, version=version)]
    rows.reverse()
    if search:
        rows = [row for row in rows if _has(row, search)]
    rows = in_order(request, rows)
    return {"items": window(rows, page, per_page), "pagination": paged(len(rows), page, per_page)}


def _has(row: Mapping[str, Json], text: str) -> bool:
    shown = json.dumps([row.get("input"), row.get("groundTruth")], ensure_ascii=False)
    return text.lower() in shown.lower()


async def add_item(
    server: ServerDep, request: Request, dataset_id: DatasetId, body: ItemBody
) -> Json:
    """Add an item to a dataset."""
    await dataset_of(server, request, dataset_id)
    (row,) = await datasets_of(server).put(dataset_id, {_name(body): _data(server, body)})
    return item_wire(row)


def _name(body: ItemBody) -> str:
    return body.external_id or new_id()


async def add_items(
    server: ServerDep, request: Request, dataset_id: DatasetId, body: ItemsBody
) -> dict[str, Json]:
    """Add items to a dataset, as one version."""
    await dataset_of(server, request, dataset_id)
    items = {_name(item): _data(server, item) for item in body.items}
    rows = await datasets_of(server).put(dataset_id, items)
    return {"items": [item_wire(row) for row in rows], "count": len(rows)}


async def get_item(
    server: ServerDep, request: Request, dataset_id: DatasetId, item_id: ItemId
) -> Json:
    """Return an item."""
    await dataset_of(server, request, dataset_id)
    return item_wire(await item_of(server, dataset_id, item_id))


async def update_item(
    server: ServerDep, request: Request, dataset_id: DatasetId, item_id: ItemId, body: ItemBody
) -> Json:
    """Change an item."""
    await dataset_of(server, request, dataset_id)
    await item_of(server, dataset_id, item_id)
    changes = _data(server, body, is_change=True)
    changes.pop("externalId", None)
    return item_wire(await datasets_of(server).change_item(dataset_id, item_id, changes))


async def delete_item(
    server: ServerDep, request: Request, dataset_id: DatasetId, item_id: ItemId
) -> Json:
    """Remove an item from a dataset; its older versions stay."""
    await dataset_of(server, request, dataset_id)
    await item_of(server, dataset_id, item_id)
    await datasets_of(server).remove(dataset_id, [item_id])
    return {"success": True}


async def delete_items(
    server: ServerDep, request: Request, dataset_id: DatasetId, body: ItemIdsBody
) -> Json:
    """Remove items from a dataset, as one version."""
    await dataset_of(server, request, dataset_id)
    await datasets_of(server).remove(dataset_id, body.item_ids)
    return {"success": True, "deletedCount": len(body.item_ids)}


async def purge_item(
    server: ServerDep, request: Request, dataset_id: DatasetId, item_id: ItemId
) -> Json:
    """Remove all that an item has ever been, and what came of it in experiments."""
    await dataset_of(server, request, dataset_id)
    try:
        await datasets_of(server).purge(dataset_id, item_id)
    except NotFoundError as error:
        raise Refusal(404, error.message) from None
    return {"success": True}


async def item_history(
    server: ServerDep, request: Request, dataset_id: DatasetId, item_id: ItemId
) -> dict[str, Json]:
    """List all that an item has been, the newest first."""
    await dataset_of(server, request, dataset_id)
    rows: list[Json] = [
        {**item_wire(one), "validTo": one.valid_to, "isDeleted": False}
        for one in await datasets_of(server).history(dataset_id, item_id)
    ]
    return {"history": rows}


async def item_at(
    server: ServerDep,
    request: Request,
    dataset_id: DatasetId,
    item_id: ItemId,
    version: Annotated[int, Path(alias="datasetVersion", ge=0, le=2**31)],
) -> Json:
    """Return an item as it was at a version of its dataset."""
    await dataset_of(server, request, dataset_id)
    return item_wire(await item_of(server, dataset_id, item_id, version))


def add_dataset_routes(router: APIRouter) -> None:
    """Add the routes to a router."""
    one, items = "/datasets/{datasetId}", "/datasets/{datasetId}/items"
    item = f"{items}/{{itemId}}"
    add(router, "GET", "/datasets", list_datasets)
    add(router, "POST", "/datasets", create_dataset)
    add(router, "GET", one, get_dataset)
    add(router, "PATCH", one, update_dataset)
    add(router, "DELETE", one, delete_dataset)
    add(router, "GET", f"{one}/versions", list_versions)
    add(router, "GET", items, list_items)
    add(router, "POST", items, add_item)
    add(router, "POST", f"{items}/batch", add_items)
    add(router, "DELETE", f"{items}/batch", delete_items)
    add(router, "GET", item, get_item)
    add(router, "PATCH", item, update_item)
    add(router, "DELETE", item, delete_item)
    add(router, "DELETE", f"{item}/purge", purge_item)
    add(router, "GET", f"{item}/history", item_history)
    add(router, "GET", f"{item}/versions/{{datasetVersion}}", item_at)
