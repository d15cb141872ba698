"""Who calls: bearer tokens, JSON web tokens, or a function of your own."""

from __future__ import annotations

import hmac
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

from starlette.requests import Request

from mastra.errors import ConfigError
from mastra.given import called_with, shown

__all__ = ["Authenticator", "BearerAuth", "Caller", "JWTAuth", "authenticator_of", "bearer_token"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever makes a request, once that is known."""

    resource_id: str | None = None
    """Whose runs and threads they may see and touch; `None` for all."""
    claims: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What else is known of them; steps and tools find it in the request context under `user`."""
    token: str | None = field(default=None, repr=False)
    """What they showed."""


class Authenticator(Protocol):
    """Says who makes a request."""

    async def __call__(self, request: Request) -> Caller | None:
        """Return the caller, or `None` for one that is not let in."""
        ...


def bearer_token(request: Request) -> str | None:
    """Return the token of the `Authorization` header."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


class BearerAuth:
    """Lets in whoever shows one of some tokens.

    Args:
        tokens: The tokens, or each with the resource id (or the `Caller`) that it stands for.
    """

    def __init__(self, tokens: Sequence[str] | Mapping[str, str | Caller | None]) -> None:
        if isinstance(tokens, str) or not tokens or not all(tokens):
            raise ConfigError("BearerAuth needs a list or a dict of tokens that are not empty.")
        known: dict[str, str | Caller | None] = (
            dict(tokens) if isinstance(tokens, Mapping) else dict.fromkeys(tokens)
        )
        self._callers = {
            token.encode(): who if isinstance(who, Caller) else Caller(who)
            for token, who in known.items()
        }
        if any(caller.resource_id == "" for caller in self._callers.values()):
            raise ConfigError("A resource id of BearerAuth is text that is not empty, or None.")

    async def __call__(self, request: Request) -> Caller | None:
        """Return the caller of a request."""
        token = bearer_token(request)
        if token is None:
            return None
        shown = token.encode("utf-8", "surrogateescape")
        found: Caller | None = None
        # Every token is compared, so that the time taken tells nothing about any.
        for known, caller in self._callers.items():
            if hmac.compare_digest(known, shown):
                found = caller
        return None if found is None else Caller(found.resource_id, found.claims, token)


class JWTAuth:
    """Lets in whoever shows a JSON web token that was signed with a key.

    Args:
        key: The secret, or the public key.
        algorithms: Which signatures count.
        audience: Who the token must be for.
        issuer: Who must have made it.
        resource_claim: Which claim names the caller's resource; `None` for no ownership.
        leeway: How many seconds clocks may differ.
    """

    def __init__(
        self,
        key: str,
        *,
        algorithms: Sequence[str] = ("HS256",),
        audience: str | Sequence[str] | None = None,
        issuer: str | None = None,
        resource_claim: str | None = "sub",
        leeway: float = 0,
    ) -> None:
        if not key:
            raise ConfigError("JWTAuth needs a key.")
        if not algorithms or any(name.lower() == "none" for name in algorithms):
            raise ConfigError("JWTAuth needs algorithms that sign.")
        self._key = key
        self._algorithms = list(algorithms)
        self._audience = audience
        self._issuer = issuer
        self._resource_claim = resource_claim
        self._leeway = leeway

    async def __call__(self, request: Request) -> Caller | None:
        """Return the caller of a request."""
        import jwt  # noqa: PLC0415 - only where tokens are checked

        token = bearer_token(request)
        if token is None:
            return None
        required = ["exp"] if self._resource_claim is None else ["exp", self._resource_claim]
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=self._algorithms,
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway,
                options={"require": required, "verify_aud": self._audience is not None},
            )
        except jwt.PyJWTError:
            return None
        if self._resource_claim is None:
            return Caller(None, claims, token)
        owner = claims[self._resource_claim]
        # Of a list or an object no text is a name that stays the same.
        is_name = isinstance(owner, str | int) and not isinstance(owner, bool)
        return _named(Caller(str(owner), claims, token)) if is_name else None


class _FunctionAuth:
    def __init__(self, function: Any) -> None:
        self._function = function

    async def __call__(self, request: Request) -> Caller | None:
        found = self._function(request)
        if inspect.isawaitable(found):
            found = await found
        return _named(_caller_of(found, bearer_token(request)))


def _named(caller: Caller | None) -> Caller | None:
    """Return a caller, unless who they are is said to be nobody: an empty name is no name."""
    return None if caller is None or caller.resource_id == "" else caller


def _caller_of(found: Any, token: str | None) -> Caller | None:
    match found:
        case None | False:
            return None
        case True:
            return Caller(token=token)
        case Caller():
            return found
        case str():
            return Caller(found, token=token)
        case Mapping():
            claims = cast("Mapping[str, Any]", found)
            owner = claims.get("resource_id", claims.get("resourceId"))
            return Caller(None if owner is None else str(owner), claims, token)
        case _:
            raise ConfigError(
                "An auth function returns a Caller, a resource id, a dict, True, or None for a "
                f"caller that is not let in, not {type(found).__name__}."
            )


_OF_REQUEST: Final = called_with("a function of the request", 1)


def authenticator_of(auth: Any) -> tuple[Authenticator | None, list[Any]]:
    """Return what checks a request, and FastAPI dependencies that do.

    Raises:
        ConfigError: It is nothing that can check.
    """
    if auth is None:
        return None, []
    if isinstance(auth, Sequence) and not isinstance(auth, str):
        found = list(cast("Sequence[Any]", auth))
        # An empty list would let everybody in, and what is no dependency would never be asked.
        if not found or not all(hasattr(item, "dependency") for item in found):
            raise ConfigError(
                "ServerConfig(auth=[...]) takes one FastAPI dependency or more, each as "
                "Depends(function). For a server that anybody may call leave auth out."
            )
        return None, found
    if hasattr(auth, "dependency"):
        return None, [auth]
    if isinstance(auth, BearerAuth | JWTAuth):
        return auth, []
    if _OF_REQUEST.holds(auth):
        return _FunctionAuth(auth), []
    raise ConfigError(
        "ServerConfig(auth=...) takes a BearerAuth, a JWTAuth, a function of the request, or "
        f"FastAPI dependencies, not {shown(auth)}."
    )
