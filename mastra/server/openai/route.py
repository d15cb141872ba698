"""`openai_route`: clients of OpenAI's API talk to agents."""

from __future__ import annotations

from typing import Any

from mastra.server.config import ApiRoute, Method

__all__ = ["openai_route"]


def openai_route(path: str = "/v1") -> list[ApiRoute]:
    """Return the routes of OpenAI's API, in which an agent is a model, by its key or id.

    `GET {path}/models`, `GET {path}/models/{model}`, `POST {path}/chat/completions` and
    `POST {path}/responses`, streamed or not. The agent's own tools run here and are not shown; tools
    of the request are the client's to run. Nothing is kept between requests.

    Args:
        path: Where; a client's `base_url` ends with it.
    """

    def made(method: Method, at: str, name: str) -> ApiRoute:
        def handler(_: Any) -> Any:
            from mastra.server.openai import endpoints  # noqa: PLC0415 - loads a framework

            return getattr(endpoints, name)

        return ApiRoute(path=f"{path.rstrip('/')}{at}", method=method, create_handler=handler)

    return [
        made("GET", "/models", "openai_models"),
        made("GET", "/models/{model:path}", "openai_model"),
        made("POST", "/chat/completions", "openai_chat_completions"),
        made("POST", "/responses", "openai_responses"),
    ]
