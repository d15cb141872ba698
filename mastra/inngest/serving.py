"""How an app is reached by an Inngest server: over HTTP, or by a connection of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mastra.extras import needs

if TYPE_CHECKING:
    import fastapi
    import inngest

__all__ = ["InngestRoute", "connect", "inngest_route", "serve"]


def serve(
    app: fastapi.FastAPI,
    mastra: Any,
    client: inngest.Inngest,
    *,
    path: str = "/api/inngest",
    functions: Sequence[inngest.Function[Any]] = (),
    serve_origin: str | None = None,
    allow_remote_dev: bool = False,
) -> None:
    """Serve the workflows of a `Mastra`, and functions of your own, from a FastAPI app.

    Args:
        app: The FastAPI app.
        mastra: The `Mastra`.
        client: The SDK's client.
        path: Where in the app.
        functions: Inngest functions of your own. They keep their ids.
        serve_origin: Where the server reaches the app, such as `https://app.example.com`. Needed
            in production; also read from `INNGEST_SERVE_ORIGIN`.
        allow_remote_dev: Answer an unsigned dev server over other addresses than loopback.

    Raises:
        ConfigError: `serve_origin` is missing in production, or two functions have the same id.
    """
    from mastra.inngest.mount import mount, serving_app  # noqa: PLC0415

    guard = serving_app(
        mastra,
        client,
        path=path,
        functions=functions,
        serve_origin=serve_origin,
        allow_remote_dev=allow_remote_dev,
    )
    mount(app, guard, path)


@dataclass(frozen=True, slots=True)
class InngestRoute:
    """A route for `ServerConfig(api_routes=[…])`."""

    path: str
    create_handler: Callable[[Any], Any]
    """Makes the ASGI app that answers, from the `Mastra`."""
    method: Literal["ALL"] = "ALL"
    """An ASGI app looks at the method by itself."""
    requires_auth: bool = False
    """Whether the server's own authentication stands before it. Inngest signs its requests."""
    body_size_limit: None = None
    guards_itself: Literal[True] = True
    """Its app looks at signatures, or at where a request comes from, and bounds bodies itself."""

    def resolve(self, mastra: Any) -> Any:
        """Return the ASGI app that answers."""
        return self.create_handler(mastra)


def inngest_route(
    client: inngest.Inngest,
    *,
    path: str = "/api/inngest",
    functions: Sequence[inngest.Function[Any]] = (),
    serve_origin: str | None = None,
    allow_remote_dev: bool = False,
) -> InngestRoute:
    """Return the route by which a server of a `Mastra` answers Inngest. Takes what `serve` does."""

    def create_handler(mastra: Any) -> Any:
        from mastra.inngest.mount import serving_app  # noqa: PLC0415

        return serving_app(
            mastra,
            client,
            path=path,
            functions=functions,
            serve_origin=serve_origin,
            allow_remote_dev=allow_remote_dev,
        )

    return InngestRoute(path, create_handler)


def connect(
    mastra: Any,
    client: inngest.Inngest,
    *,
    functions: Sequence[inngest.Function[Any]] = (),
    instance_id: str | None = None,
    max_worker_concurrency: int | None = None,
    **options: Any,
) -> Any:
    """Return an outbound worker: it connects to the server, so that the app needs no address.

    `await connect(...).start()` runs it until it is told to stop.

    Args:
        mastra: The `Mastra`.
        client: The SDK's client.
        functions: Inngest functions of your own.
        instance_id: Tells this worker from others; the host's name by default.
        max_worker_concurrency: How many requests it takes at once.
        options: What else the SDK's `connect` takes.

    Raises:
        MissingDependencyError: What the SDK needs for it is not installed.
    """
    with needs("connect", "An outbound Inngest worker"):
        from inngest.connect import connect as sdk_connect  # noqa: PLC0415
    from mastra.inngest.mount import app_functions  # noqa: PLC0415

    return sdk_connect(
        [(client, app_functions(mastra, client, functions))],
        instance_id=instance_id,
        max_worker_concurrency=max_worker_concurrency,
        **options,
    )
