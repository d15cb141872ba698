"""Mounts the functions of an app where an Inngest server finds them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import fastapi
import inngest
import inngest.fast_api
from starlette.routing import Route

from mastra.errors import ConfigError
from mastra.inngest.engine import InngestEngine
from mastra.inngest.server_endings import Served, ended_function
from mastra.inngest.wire.guard import Guard
from mastra.workflows.spec import WorkflowSpec

__all__ = ["app_functions", "mount", "serving_app"]


class HasWorkflows(Protocol):
    """What is served: a `Mastra`, seen from below."""

    def list_workflows(self) -> Mapping[str, Any]:
        """Return the workflows by key."""
        ...

    def list_agents(self) -> Mapping[str, Any]:
        """Return the agents by key."""
        ...


def app_functions(
    mastra: HasWorkflows,
    client: inngest.Inngest,
    functions: Sequence[inngest.Function[Any]] = (),
) -> list[inngest.Function[Any]]:
    """Return the functions of workflows, of those nested in them, of agents, and the app's own.

    One more hears of runs that the server ends by itself.

    A workflow that is registered to run elsewhere, such as in process, is served too: an event
    runs it here. Of the agents those are served that are durable and run on Inngest. The server
    keeps the schedules of workflows that are registered to run there, and no other ones.
    """
    others: InngestEngine | None = None
    found: dict[str, inngest.Function[Any]] = {}
    served: dict[str, Served] = {}
    nested: list[tuple[InngestEngine, Any, WorkflowSpec]] = []
    durable = (a.durable_runs.workflow for a in mastra.list_agents().values() if a.spec.durable)
    of_agents = [w for w in durable if isinstance(w.runtime.engine, InngestEngine)]
    for workflow in (*mastra.list_workflows().values(), *of_agents):
        runtime = workflow.runtime
        own = runtime.engine
        if not isinstance(own, InngestEngine):
            own = others = others or InngestEngine(client)
        elif workflow.spec.id in own.originals.workflow_ids:
            continue
        top, *inner = workflow.spec.with_nested()
        served[top.id] = (own, top, runtime)
        # Runs of a workflow in process are begun by the application itself when they are due.
        asked = top if isinstance(runtime.engine, InngestEngine) else _unscheduled(top)
        for function in own.functions(asked, runtime.store, runtime.services):
            found[function.id] = function
        nested += [(own, runtime, spec) for spec in inner]
    for own, runtime, spec in nested:
        for function in own.functions(_unscheduled(spec), runtime.store, runtime.services):
            found.setdefault(function.id, function)
        served.setdefault(spec.id, (own, spec, runtime))
    if served:
        listener = ended_function(client, served)
        found[listener.id] = listener
    for function in functions:
        if function.id in found:
            raise ConfigError(f"Inngest function {function.id!r} has the id of a workflow's.")
        found[function.id] = function
    return list(found.values())


def _unscheduled(spec: WorkflowSpec) -> WorkflowSpec:
    flow = {name: value for name, value in spec.flow_control.items() if name != "cron"}
    return replace(spec, flow_control=flow)


def serving_app(
    mastra: HasWorkflows,
    client: inngest.Inngest,
    *,
    path: str = "/api/inngest",
    functions: Sequence[inngest.Function[Any]] = (),
    serve_origin: str | None = None,
    allow_remote_dev: bool = False,
) -> Guard:
    """Return an ASGI app that answers an Inngest server.

    Raises:
        ConfigError: In production, nothing says under which origin the app is reached.
    """
    origin = serve_origin or os.environ.get("INNGEST_SERVE_ORIGIN")
    if client.is_production and not origin:
        raise ConfigError(
            "In production `serve_origin` is needed, such as 'https://app.example.com', or the "
            "environment variable INNGEST_SERVE_ORIGIN: without it, whoever asks could have the "
            "app registered under an address of theirs."
        )
    inner = fastapi.FastAPI(openapi_url=None)
    inngest.fast_api.serve(
        inner,
        client,
        app_functions(mastra, client, functions),
        enable_unauthed_sync=False,
        serve_origin=origin,
        serve_path=path,
    )
    keys = [key for key in (client.signing_key, client.signing_key_fallback) if key]
    return Guard(
        inner,
        path=path,
        signing_keys=keys if client.is_production else None,
        allow_remote_dev=allow_remote_dev,
    )


def mount(app: fastapi.FastAPI, guard: Guard, path: str) -> None:
    """Add the ASGI app to a FastAPI app."""
    app.router.routes.append(
        Route(path, endpoint=guard, methods=["GET", "POST", "PUT"], include_in_schema=False)
    )
