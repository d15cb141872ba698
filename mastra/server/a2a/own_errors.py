"""What callers are told where something fails that is not of the protocol: nothing of the inside."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from types import CoroutineType
from typing import Any, ParamSpec, TypeAlias, TypeVar

from a2a.utils.errors import A2AError, InternalError

from mastra.errors import MastraError
from mastra.server.errors import Refusal, message_of

__all__ = ["own_errors"]

P = ParamSpec("P")
R = TypeVar("R")
Began: TypeAlias = "CoroutineType[Any, Any, R]"
_LOG = logging.getLogger("mastra.server")


def own_errors(method: Callable[P, Began[R]]) -> Callable[P, Began[R]]:
    """Return a method that the SDK calls, whose failures are told in words for callers.

    The SDK sends the text of whatever is raised; that may name a database, a file or a host.
    """

    @functools.wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await method(*args, **kwargs)
        except A2AError:
            raise
        except (Refusal, MastraError) as error:
            _LOG.exception("A call of A2A failed")
            raise InternalError(message=message_of(error)) from error
        except Exception as error:
            _LOG.exception("A call of A2A failed")
            raise InternalError from error

    return call
