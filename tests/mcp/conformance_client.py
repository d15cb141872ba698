"""Our client as the conformance suite drives it: `conformance_client.py <address of a server>`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.auth.extensions.identity_assertion import IdentityAssertionOAuthProvider
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from mastra.errors import ToolError
from mastra.mcp import MCPClient, Question

SCENARIO = os.environ["MCP_CONFORMANCE_SCENARIO"]
CONTEXT: dict[str, Any] = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
BACK = "http://127.0.0.1:3000/callback"
CIMD = "https://conformance-test.local/client-metadata.json"


class Tokens:
    def __init__(self, info: OAuthClientInformationFull | None = None) -> None:
        self.tokens: OAuthToken | None = None
        self.info = info

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.info

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.info = client_info


class Browser:
    """Follows the authorisation server's redirect, in place of a person."""

    def __init__(self) -> None:
        self.came_back: dict[str, list[str]] = {}

    async def go(self, url: str) -> None:
        async with httpx.AsyncClient(follow_redirects=False) as client:
            response = await client.get(url)
        self.came_back = parse_qs(urlsplit(response.headers["location"]).query)

    async def back(self) -> AuthorizationCodeResult:
        def of(name: str) -> str | None:
            return self.came_back.get(name, [None])[0]

        return AuthorizationCodeResult(code=of("code") or "", state=of("state"), iss=of("iss"))


def auth(url: str) -> Any:
    if SCENARIO == "auth/client-credentials-basic":
        return ClientCredentialsOAuthProvider(
            url, Tokens(), CONTEXT["client_id"], CONTEXT["client_secret"]
        )
    if SCENARIO == "auth/client-credentials-jwt":
        signed = SignedJWTParameters(
            issuer=CONTEXT["client_id"],
            subject=CONTEXT["client_id"],
            signing_algorithm=CONTEXT["signing_algorithm"],
            signing_key=CONTEXT["private_key_pem"],
        )
        return PrivateKeyJWTOAuthProvider(
            url, Tokens(), CONTEXT["client_id"], signed.create_assertion_provider()
        )
    if SCENARIO == "auth/cross-app-access-complete-flow":
        return _of_another_app(url)
    info = None
    if "client_secret" in CONTEXT:
        info = OAuthClientInformationFull(
            client_id=CONTEXT["client_id"],
            client_secret=CONTEXT["client_secret"],
            token_endpoint_auth_method="client_secret_basic",
            redirect_uris=[BACK],  # pyright: ignore[reportArgumentType]
        )
    browser = Browser()
    metadata = OAuthClientMetadata(
        client_name="conformance",
        redirect_uris=[BACK],  # pyright: ignore[reportArgumentType]
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
    )
    return OAuthClientProvider(
        url, metadata, Tokens(info), browser.go, browser.back, client_metadata_url=CIMD
    )


def _of_another_app(url: str) -> Any:
    """Let in who has signed in elsewhere: the enterprise's identity provider speaks for them."""
    parts = urlsplit(url)
    where = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-protected-resource{parts.path}"
    issuer = httpx.get(where).json()["authorization_servers"][0]

    async def assertion(audience: str, resource: str) -> str:
        exchange = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "requested_token_type": "urn:ietf:params:oauth:token-type:id-jag",
            "audience": audience,
            "resource": resource,
            "subject_token": CONTEXT["idp_id_token"],
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "client_id": CONTEXT["idp_client_id"],
        }
        async with httpx.AsyncClient() as http:
            answer = await http.post(CONTEXT["idp_token_endpoint"], data=exchange)
        return answer.json()["access_token"]

    return IdentityAssertionOAuthProvider(
        url,
        Tokens(),
        CONTEXT["client_id"],
        CONTEXT["client_secret"],
        issuer,
        assertion,
        token_endpoint_auth_method="client_secret_basic",
    )


async def agree(question: Question) -> Any:
    assert question.requested_schema is not None
    return {}


async def main(url: str) -> None:
    config: dict[str, Any] = {"url": url}
    if SCENARIO.startswith("auth/"):
        config["auth"] = auth(url)
    async with MCPClient({"s": config}, elicitation=agree, timeout_s=20) as client:
        tools = await client.list_tools()
        for name, tool in tools.items():
            given = {"a": 5, "b": 3} if name == "s_add_numbers" else {}
            try:
                await tool.execute(given)
            except ToolError as error:
                sys.stderr.write(f"{error}\n")


asyncio.run(main(sys.argv[1]))
