"""What crosses the wire beside the server's own calls: memos, requests and their bodies."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import inngest
import pytest
from inngest.connect._internal.connect_pb2 import GatewayExecutorRequestData

from mastra import ConfigError, StepContext, create_step, create_workflow
from mastra.inngest.mount import serving_app
from mastra.inngest.wire.envelope import decode_memo, encode_memo, memo_elsewhere
from mastra.inngest.wire.guard import Guard
from mastra.inngest.wire.names import TOPIC
from mastra.inngest.wire.request import RequestMiddleware, current_request
from mastra.workflows.records import StepRecord
from tests.inngest import flows
from tests.inngest.test_server_side import ended
from tests.support.inngest_env import Host, inngest_host
from tests.support.inngest_server import FakeInngest


def record_of(output: Any) -> StepRecord:
    record = StepRecord("w/a", "a", {"in": 1}, 1000)
    record.status, record.output, record.ended_at = "success", output, 2000
    return record


@pytest.mark.parametrize(
    ("output", "is_text"),
    [({"a": 1}, False), ({"a": 1.0}, True), (2**60, True), (float("inf"), True)],
)
def test_a_memo_gives_its_record_back(output: Any, is_text: bool) -> None:
    memo = json.loads(json.dumps(encode_memo(record_of(output))))
    assert ("text" in memo) is is_text
    found = decode_memo(memo, "w/a", {"in": 1})
    assert found is not None
    assert (found.payload, repr(found.output), found.ended_at) == ({"in": 1}, repr(output), 2000)
    bare = decode_memo(memo, "w/a", None)
    assert bare is not None
    assert bare.payload is None


@pytest.mark.parametrize(
    "memo", [None, "text", [1], {}, {"mastra": 2, "op": "w/a"}, memo_elsewhere(record_of(1))]
)
def test_what_is_no_memo_of_ours_is_no_record(memo: Any) -> None:
    assert decode_memo(memo, "w/a", None) is None


@pytest.mark.parametrize("output", [1, 1.0])
def test_a_memo_of_another_operation_is_no_record(output: Any) -> None:
    assert decode_memo(encode_memo(record_of(output)), "w/b", None) is None


@pytest.mark.parametrize("step", ["", "ab12"])
async def test_a_request_over_a_websocket_is_read(step: str) -> None:
    body = {"ctx": {"fn_id": "uuid", "qi_id": "qi", "disable_immediate_execution": True}}
    raw = GatewayExecutorRequestData(request_payload=json.dumps(body).encode())
    if step:
        raw.step_id = step
    client = inngest.Inngest(app_id="app", is_production=False)
    ctx, steps = SimpleNamespace(run_id="run", attempt=0), SimpleNamespace(_memos={})
    await RequestMiddleware(client, raw).transform_input(ctx, None, steps)
    facts = current_request()
    assert (facts.function_uuid, facts.queue_item, facts.must_plan) == ("uuid", "qi", True)
    assert (facts.target, facts.is_targeted) == (step or "step", bool(step))
    assert facts.memo_bytes == len(raw.request_payload)


class Inner:
    """An app that reads its request to the end, and then waits for its caller to go."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.heard.append(scope["type"])
        if scope["type"] == "http":
            self.heard += [await receive(), await receive()]
            await send({"type": "http.response.start", "status": 200, "headers": []})


async def ask(
    inner: Inner, *messages: dict[str, Any], type_: str = "http", length: str | None = None
) -> list[Any]:
    """Send messages through a guard; return what it answers."""
    guard, waiting, sent = Guard(inner, path="/api", signing_keys=None), [*messages], list[Any]()

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": type_, "method": "POST", "headers": [], "path": "/elsewhere"}
    if length is not None:
        scope["headers"] = [(b"content-length", length.encode("latin-1"))]
    await guard(scope, receive, send)
    return sent


GONE = {"type": "http.disconnect"}


async def test_after_its_body_an_app_hears_that_its_caller_has_gone() -> None:
    inner, part = Inner(), {"type": "http.request", "body": b"ab", "more_body": True}
    assert await ask(inner, part, {"type": "http.request", "body": b"c"}, GONE)
    body = {"type": "http.request", "body": b"abc", "more_body": False}
    assert inner.heard == ["http", body, GONE]


async def test_a_request_that_breaks_off_calls_nothing() -> None:
    inner = Inner()
    part = {"type": "http.request", "body": b"{}", "more_body": True}
    assert await ask(inner, part, GONE) == []
    assert inner.heard == []


@pytest.mark.parametrize(
    ("length", "status"),
    [("", 400), ("-1", 400), ("2\u00b2", 400), ("99999999", 413), ("9" * 5000, 413)],
)
async def test_a_length_that_is_none_or_too_large_is_refused(length: str, status: int) -> None:
    inner = Inner()
    answer = await ask(inner, length=length)
    assert answer[0]["status"] == status
    assert inner.heard == []


async def test_what_is_no_request_is_the_apps_alone() -> None:
    inner = Inner()
    await ask(inner, type_="lifespan")
    assert inner.heard == ["lifespan"]


async def test_a_function_with_the_id_of_a_workflow_is_refused(checkpointed: Host) -> None:
    @checkpointed.client.create_function(
        fn_id="workflow.w", trigger=inngest.TriggerEvent(event="mine")
    )
    async def mine(ctx: inngest.Context) -> None:
        del ctx

    async with flows.on(checkpointed, flows.chain(1)) as mastra:
        with pytest.raises(ConfigError, match=r"'.*workflow\.w' has the id of a workflow's"):
            serving_app(mastra, checkpointed.client, functions=[mine])


async def test_readers_of_the_original_are_told_of_a_failure(fake: FakeInngest) -> None:
    async def fail(ctx: StepContext[flows.Value]) -> flows.Value:
        raise ValueError("no luck")

    workflow = flows.begin().then(create_step(id="a", execute=fail)).commit()
    async with (
        inngest_host(fake, watched=True) as host,
        flows.on(host, workflow) as mastra,
    ):
        run = await mastra.get_workflow("w").create_run()
        assert (await run.start({"value": 1})).status == "failed"
        (server_run,) = fake.runs.values()
        await ended(server_run)
    told = [m for _, topic, m in fake.messages if topic == TOPIC]
    [end] = [m["payload"] for m in told if m["type"] == "workflow-finish"]
    assert (end["status"], end["error"]["message"]) == ("failed", "no luck")


@pytest.mark.parametrize(
    ("output", "is_shown"),
    [("e" * 150, True), ("e" * 300, False), ("é" * 150, False), (['"', 1.0] * 20, False)],
    ids=["short", "long", "two bytes a character", "text in text"],
)
async def test_the_server_is_shown_no_more_bytes_than_it_takes(
    checkpointed: Host,
    fake: FakeInngest,
    monkeypatch: pytest.MonkeyPatch,
    output: Any,
    is_shown: bool,
) -> None:
    monkeypatch.setattr("mastra.inngest.functions.MAX_OUTPUT_BYTES", 280)

    async def give(ctx: StepContext[int]) -> Any:
        return output

    workflow = create_workflow(id="w", input_schema=int, output_schema=Any)
    workflow.then(create_step(id="a", execute=give)).commit()
    async with flows.on(checkpointed, workflow) as mastra:
        run = await mastra.get_workflow("w").create_run()
        assert (await run.start(1)).unwrap() == output
        (server_run,) = fake.runs.values()
        await ended(server_run)
    assert server_run.output.get("isTooLarge", False) is not is_shown
    assert server_run.output.get("result") == (output if is_shown else None)
