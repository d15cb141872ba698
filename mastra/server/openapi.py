"""The OpenAPI description: every route, and each workflow's own with its own models."""

from __future__ import annotations

import copy
from typing import Any, cast

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import Response

from mastra.jsonable import Json
from mastra.schema import Schema
from mastra.server.context import Server
from mastra.server.handling import WireResponse, bound_route
from mastra.server.hosts import UNFRAMED
from mastra.server.schemas import json_schema_of
from mastra.workflows.workflow import Workflow

__all__ = ["add_documentation", "describe_api", "root_of"]

_STARTS = ("start", "start-async", "stream")
_RESUMES = ("resume", "resume-async", "resume-no-wait", "resume-stream")


def add_documentation(app: FastAPI, server: Server) -> None:
    """Serve the description, and pages to read it."""
    prefix = server.config.api_prefix

    def described() -> dict[str, Json]:
        known = server.facts.get("openapi")
        if known is None:
            known = server.facts["openapi"] = describe_api(app, server)
        return known

    async def description(request: Request) -> Response:
        known, root = described(), root_of(request)
        return WireResponse({**known, "servers": [{"url": root}]} if root else known)

    async def page(request: Request) -> Response:
        address = f"{root_of(request)}{prefix}/openapi.json"
        made = get_swagger_ui_html(openapi_url=address, title="Mastra API")
        made.headers.update(UNFRAMED)
        return made

    own = APIRouter(route_class=bound_route(server))
    # The original's address, and the one that FastAPI's applications have.
    for path in {f"{prefix}/openapi.json", "/openapi.json"}:
        own.add_api_route(path, description, include_in_schema=False)
    for path in ("/docs", "/swagger-ui"):
        own.add_api_route(path, page, include_in_schema=False)
    app.include_router(own)
    setattr(app, "openapi", described)  # noqa: B010 - FastAPI's own way, which a checker refuses


def root_of(request: Request) -> str:
    """Return the path that stands before the application's own: of a proxy, or of a mount."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def describe_api(app: FastAPI, server: Server) -> dict[str, Json]:
    """Return the description of an application."""
    made = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        openapi_version="3.1.0",
    )
    schemas: dict[str, Json] = made.setdefault("components", {}).setdefault("schemas", {})
    schemes, required, parameters = server.gate.describe()
    if schemes:
        made["components"]["securitySchemes"] = schemes
        made["security"] = required
    if parameters:
        _add_parameters(made["paths"], parameters)
    for key, workflow in server.mastra.list_workflows().items():
        _add_workflow(made["paths"], schemas, server.config.api_prefix, key, workflow)
    return made


def _add_parameters(paths: dict[str, Json], parameters: list[Any]) -> None:
    """Say of every operation which headers, cookies and queries the check of callers looks at."""
    for operations in cast("dict[str, dict[str, Any]]", paths).values():
        for operation in operations.values():
            known = {(item["in"], item["name"]) for item in operation.get("parameters", ())}
            operation["parameters"] = [
                *operation.get("parameters", ()),
                *(item for item in parameters if (item["in"], item["name"]) not in known),
            ]


def _add_workflow(
    paths: dict[str, Json],
    schemas: dict[str, Json],
    prefix: str,
    key: str,
    workflow: Workflow[Any, Any, Any],
) -> None:
    spec = workflow.spec
    base = f"{prefix}/workflows/{{workflowId}}"
    own = f"{prefix}/workflows/{key}"
    given = _component(schemas, f"{key}.Input", spec.input_schema, "validation")
    result = _component(schemas, f"{key}.Output", spec.output_schema, "serialization")
    state = (
        None
        if spec.state_schema is None
        else _component(schemas, f"{key}.State", spec.state_schema, "validation")
    )
    for verb in (*_STARTS, *_RESUMES, "create-run", "observe", "restart-async"):
        generic: Any = paths[f"{base}/{verb}"]
        operation = copy.deepcopy(generic["post"])
        operation["operationId"] = f"{key}_{verb}".replace("-", "_")
        operation["tags"] = [f"Workflow {key}"]
        operation["parameters"] = [
            item for item in operation.get("parameters", ()) if item["name"] != "workflowId"
        ]
        if verb in _STARTS:
            _set_body(
                schemas, operation, f"{key}.{verb}", {"inputData": given, "initialState": state}
            )
        if verb in ("start-async", "resume-async"):
            _set_result(operation, result)
        paths[f"{own}/{verb}"] = {"post": operation}


def _component(
    schemas: dict[str, Json], name: str, schema: Schema[Any], mode: str
) -> dict[str, Json]:
    made = json_schema_of(schema, mode)
    inner = cast("dict[str, Json]", made.pop("$defs", None) or {})
    for inner_name, definition in inner.items():
        schemas[f"{name}.{inner_name}"] = _renamed(definition, name)
    schemas[name] = _renamed(made, name)
    return {"$ref": f"#/components/schemas/{name}"}


def _renamed(node: Json, name: str) -> Json:
    """Return a schema whose references point into the description's components."""
    if isinstance(node, list):
        return [_renamed(item, name) for item in cast("list[Json]", node)]
    if not isinstance(node, dict):
        return node
    fields = cast("dict[str, Json]", node)
    made = {key: _renamed(value, name) for key, value in fields.items()}
    reference = made.get("$ref")
    if isinstance(reference, str):
        made["$ref"] = reference.replace("#/$defs/", f"#/components/schemas/{name}.")
    return made


def _set_body(
    schemas: dict[str, Json], operation: dict[str, Json], name: str, fields: dict[str, Json]
) -> None:
    generic = copy.deepcopy(schemas["StartBody"])
    for field, schema in fields.items():
        if schema is not None:
            generic["properties"][field] = schema
    generic["title"] = name
    generic["required"] = ["inputData"]
    schemas[f"{name}.Body"] = generic
    operation["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}.Body"}}},
    }


def _set_result(operation: dict[str, Json], result: dict[str, Json]) -> None:
    operation["responses"]["200"] = {
        "description": "The run's result",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"status": {"type": "string"}, "result": result},
                    "required": ["status", "runId", "steps"],
                }
            }
        },
    }
