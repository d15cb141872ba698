"""What the app answers to whom."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import fastapi
import httpx
import inngest
import pytest
from inngest._internal import net

from mastra import ConfigError, Mastra
from mastra.inngest import serve
from mastra.inngest.engine import InngestEngine
from mastra.inngest.wire.signature import MAX_AGE_S, Signature, Signatures
from tests.inngest import flows

KEY = "signkey-test-" + "ab" * 16
NOWHERE = "http://127.0.0.1:9"


PART = 20_000


def lists(count: int) -> bytes:
    """Return a body of so many lists."""
    return b"[" + b"[]," * (count - 1) + b"[]]"


def parsing_s(count: int) -> float:
    """Return how much of the processor's time it would take to read such a body."""
    part = lists(PART)
    begun = time.process_time()
    json.loads(part)
    return (time.process_time() - begun) * count / PART


def app_of(*, is_production: bool = True, **options: Any) -> fastapi.FastAPI:
    client = inngest.Inngest(
        app_id="secret-app",
        is_production=is_production,
        signing_key=KEY,
        event_key="e",
        api_base_url=NOWHERE,
        event_api_base_url=NOWHERE,
    )
    engine = InngestEngine(client, checkpoint=False)
    mastra = Mastra(workflows={"w": flows.chain(1)}, engine=engine)
    app = fastapi.FastAPI()
    if is_production:
        options.setdefault("serve_origin", "https://app.example.com")
    serve(app, mastra, client, **options)
    return app


async def ask(
    app: fastapi.FastAPI,
    method: str = "POST",
    body: bytes = b"{}",
    *,
    address: str = "127.0.0.1",
    **headers: str,
) -> httpx.Response:
    transport = httpx.ASGITransport(app=app, client=(address, 1))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{address}") as http:
        query = {"fnId": "secret-app-workflow.w", "stepId": "step"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await http.request(method, "/api/inngest", content=body, params=query, headers=named)


def signed(body: bytes, *, age_s: int = 0, key: str = KEY) -> dict[str, str]:
    moment = int(time.time()) - age_s
    return {"x-inngest-signature": str(net.sign_request(body, key, moment))}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_unsigned_requests_learn_nothing(method: str) -> None:
    answer = await ask(app_of(), method)
    assert answer.status_code == 401
    assert answer.json() == {"message": "Unauthorized"}
    assert "inngest" not in str(answer.headers).lower()


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_wrong_signature_is_refused(method: str) -> None:
    answer = await ask(app_of(), method, b"{}", **signed(b"{}", key="signkey-test-" + "cd" * 16))
    assert answer.status_code == 401
    assert "secret" not in answer.text
    assert "workflow" not in answer.text


async def test_a_changed_body_is_refused() -> None:
    answer = await ask(app_of(), body=b'{"a":1}', **signed(b'{"a":2}'))
    assert answer.status_code == 401


@pytest.mark.parametrize("age_s", [400, -400, 31_536_000])
async def test_an_old_or_early_signature_is_refused(age_s: int) -> None:
    answer = await ask(app_of(), **signed(b"{}", age_s=age_s))
    assert answer.status_code == 401
    assert answer.json() == {"message": "Unauthorized"}


@pytest.mark.parametrize("header", ["", "t=&s=", "t=x&s=y", "s=y", "t=99999999999999999999&s=1"])
async def test_a_signature_that_is_none_is_refused(header: str) -> None:
    answer = await ask(app_of(), x_inngest_signature=header)
    assert answer.status_code == 401


async def test_too_much_is_refused_before_it_is_parsed() -> None:
    count = 4_500_000
    body, app = lists(count), app_of()
    begun = time.process_time()
    answer = await ask(app, body=body, x_inngest_signature=f"t={int(time.time())}&s=00")
    assert answer.status_code == 413
    assert time.process_time() - begun < parsing_s(count)


async def test_too_much_is_refused_where_no_length_is_told() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(12):
            yield b"x" * 1024 * 1024

    header = {"x-inngest-signature": f"t={int(time.time())}&s=00"}
    transport = httpx.ASGITransport(app=app_of())
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        answer = await http.post("/api/inngest", content=pieces(), headers=header)
    assert answer.status_code == 413


async def test_a_wrong_signature_of_no_json_is_refused() -> None:
    answer = await ask(app_of(), body=b"{garbage", x_inngest_signature=f"t={int(time.time())}&s=00")
    assert answer.status_code == 401


def test_signatures_that_are_too_old_to_be_taken_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signatures, now = Signatures([KEY]), time.time()
    assert signatures.use(Signature("1", "a"))
    assert not signatures.use(Signature("1", "a"))
    monkeypatch.setattr(time, "time", lambda: now + 2 * MAX_AGE_S + 1)
    assert signatures.use(Signature("1", "b"))
    assert list(signatures._used) == ["b"]


async def test_a_length_that_is_no_number_is_refused() -> None:
    answer = await ask(app_of(), content_length="many")
    assert answer.status_code == 400


async def test_a_signed_request_reaches_the_function() -> None:
    answer = await ask(app_of(), "GET", b"", **signed(b""))
    assert answer.status_code == 200
    assert answer.json()["function_count"] == 2  # the workflow, and what hears of ended runs


def call_of(value: int = 1, **data: Any) -> dict[str, Any]:
    """Return a server's request to run the workflow."""
    event = {
        "id": "e",
        "name": "workflow.w",
        "ts": 1,
        "data": {"inputData": {"value": value}, **data},
    }
    ctx = {
        "run_id": "01RUN", "attempt": 0, "stack": {"stack": [], "current": 0}, "fn_id": "f",
        "disable_immediate_execution": False, "use_api": False, "qi_id": "q", "request_id": "r",
    }  # fmt: skip
    return {"ctx": ctx, "event": event, "events": [event], "steps": {}, "use_api": False}


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize("pretty", [False, True])
async def test_a_signed_call_runs_a_step_once(pretty: bool) -> None:
    body = json.dumps(call_of(), indent=1).encode() if pretty else canonical(call_of())
    app, header = app_of(), signed(body)
    answer = await ask(app, body=body, **header)
    assert answer.status_code == 206
    (told,) = answer.json()
    assert told["op"] == "StepRun"
    assert {"value": 2} in told["data"].values()
    again = await ask(app, body=body, **header)
    assert again.status_code == 401
    assert again.json() == {"message": "Unauthorized"}


async def test_the_key_before_the_one_in_use_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    old = "signkey-test-" + "ef" * 16
    monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", old)
    app = app_of()
    answer = await ask(app, body=canonical(call_of()), **signed(canonical(call_of()), key=old))
    assert answer.status_code == 206


async def test_a_wrong_signature_of_a_large_body_costs_little() -> None:
    # Brought into canonical form, as the SDK does before it looks, it takes many times its reading.
    count = 3_400_000
    body, app = lists(count), app_of()
    begun = time.process_time()
    answer = await ask(app, body=body, x_inngest_signature=f"t={int(time.time())}&s=00")
    assert answer.status_code == 401
    assert time.process_time() - begun < parsing_s(count)


async def test_production_needs_an_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INNGEST_SERVE_ORIGIN", raising=False)
    with pytest.raises(ConfigError, match="serve_origin"):
        app_of(serve_origin="")


async def test_dev_mode_answers_loopback_only() -> None:
    app = app_of(is_production=False)
    assert (await ask(app, "GET")).status_code == 200
    refused = await ask(app, "GET", address="10.1.2.3")
    assert refused.status_code == 403
    assert refused.json() == {"message": "Forbidden"}
    allowed = app_of(is_production=False, allow_remote_dev=True)
    assert (await ask(allowed, "GET", address="10.1.2.3")).status_code == 200


async def test_dev_mode_does_not_answer_a_page_of_another_origin() -> None:
    app = app_of(is_production=False)
    assert (await ask(app, origin="https://evil.example.com")).status_code == 403
    assert (await ask(app, "GET", origin="http://localhost:8288")).status_code == 200
