"""Calls recorded from the original: ours answer with the same status, content type and JSON keys.

`recorded.json` has one call an entry: what was asked, and of the answer the status, the content type
and the keys (values are left out). They were made one after the other, so the test plays them all.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mastra.memory import Memory
from mastra.server import create_app
from tests.server.wire_app import build

RECORDED: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "recorded.json").read_text(encoding="utf-8")
)
BY_NAME = {call["name"]: call for call in RECORDED}

# What is different on purpose; docs/wire.md says why. A line that is not needed any more fails.
DIFFERENT_STATUS = {
    "046-workflow-resume-again-error": 409,
}
DIFFERENT_STREAM = {
    "010-agent-stream-tool": "no empty text block stands around a tool call",
    "012-agent-stream-approval": "no empty text block stands around a tool call",
    "050-workflow-observe": "the events of a run that was only started can be observed as well",
    "052-workflow-observe-streamed": "past events come once",
}
DIFFERENT_KEYS = {
    # What a foreach and a sleep gave is told with the time when they began.
    "039-workflow-stream-kitchen": {"workflow-step-result.payload.startedAt"},
    # Steps that were not taken have no result here; what the run went through is kept whole.
    "056-workflow-time-travel-async": {".steps.fetch-weather.payload", ".steps.plan-activities"},
    "057-workflow-restart-async": {
        ".steps.one.payload",
        ".steps.sleep.payload",
        ".steps.two.payload",
    },
}
# Facts of the provider that answered, of the machine, or of features that this port has not.
IGNORED_KEYS = frozenset(
    {"headers", "raw", "providerMetadata", "providerOptions", "request", "body", "uiMessages"}
    | {"dbMessages", "experimentId", "attributes", "metadata", "deltaCursor", "modelMetadata"}
    | {"processorRetryCount"}
)
IGNORED_ENDS = (
    ".response.id",
    ".response",
    ".stepResult.rawReason",
    "text-end.payload.type",
    ".reasoningText",
    ".parts[].createdAt",
    "].threadId",
    "].resourceId",
)


def normal(name: str) -> str:
    return re.sub(r"^sleep_.*", "sleep", name)


def compare(ours: Any, theirs: Any, path: str = "") -> list[str]:
    """List where the keys differ."""
    if isinstance(theirs, list) and isinstance(ours, list):
        return compare(ours[0], theirs[0], f"{path}[]") if ours and theirs else []
    if not isinstance(theirs, dict) or not isinstance(ours, dict):
        return []
    mine = {normal(key): value for key, value in ours.items()}
    known = {normal(key): value for key, value in theirs.items()}
    found = [f"-{path}.{key}" for key in known.keys() - mine.keys() - IGNORED_KEYS]
    found += [f"+{path}.{key}" for key in mine.keys() - known.keys() - IGNORED_KEYS]
    for key in (known.keys() & mine.keys()) - IGNORED_KEYS:
        found += compare(mine[key], known[key], f"{path}.{key}")
    return sorted(line for line in found if not line.endswith(IGNORED_ENDS))


def records(text: str, content_type: str) -> list[dict[str, Any]]:
    separator = "\x1e" if content_type == "text/plain" else "\n\n"
    parts = [part.removeprefix("data: ") for part in text.split(separator) if part.strip()]
    return [{"type": "[DONE]"} if part == "[DONE]" else json.loads(part) for part in parts]


_TURNS = 100
"""How often the event loop goes round between two calls: an answer at once lets nothing else go on."""


class Player:
    """Plays recorded calls in order, and remembers the answers."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.ids: dict[str, str] = {}
        self.answers: dict[str, httpx.Response] = {}

    async def play(self) -> None:
        for call in RECORDED:
            path = call["path"]
            body = call.get("body")
            for old, new in self.ids.items():
                path = path.replace(old, new)
                body = json.loads(json.dumps(body).replace(old, new))
            if call["name"] in {"045-workflow-resume", "048-workflow-resume-no-wait"}:
                await self.until_suspended(path)
            headers = (
                {"access-control-request-method": "GET"} if call["method"] == "OPTIONS" else {}
            )
            answer = await self.client.request(call["method"], path, json=body, headers=headers)
            self.answers[call["name"]] = answer
            # Between the recorded calls there was time, in which what was begun went on.
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            self.remember(call, answer)

    def remember(self, call: dict[str, Any], answer: httpx.Response) -> None:
        follow = next((c for c in RECORDED if c["name"] == "028-workflow-start"), None)
        if call["name"] == "027-workflow-create-run" and follow is not None:
            self.ids[follow["path"].partition("runId=")[2]] = answer.json()["runId"]
        if call["name"] == "012-agent-stream-approval":
            started = records(answer.text, "text/event-stream")[0]
            self.ids[BY_NAME["013-agent-approve-tool-call"]["body"]["runId"]] = started["runId"]
        if call["name"] == "083-traces-list":
            old = BY_NAME["084-trace-get"]["path"].rpartition("/")[2]
            self.ids[old] = answer.json()["spans"][0]["traceId"]

    async def until_suspended(self, path: str) -> None:
        base, _, run_id = path.partition("?runId=")
        base = base.rpartition("/")[0]
        while True:
            run = (await self.client.get(f"{base}/runs/{run_id}")).json()
            if run["status"] == "suspended":
                return
            # What answers at once never lets the run go on by itself.
            await asyncio.sleep(0)


@pytest.fixture(scope="module")
async def answers(anyio_backend: str) -> AsyncIterator[dict[str, httpx.Response]]:
    app = create_app(build(memory=Memory()))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        player = Player(client)
        await player.play()
        yield player.answers


@pytest.mark.anyio
@pytest.mark.parametrize("name", list(BY_NAME))
async def test_answers_as_the_original_does(name: str, answers: dict[str, httpx.Response]) -> None:
    call, answer = BY_NAME[name], answers[name]
    status = DIFFERENT_STATUS.get(name, call["status"])
    assert answer.status_code == status, answer.text[:400]
    if name in DIFFERENT_STATUS:
        assert status != call["status"]
        return
    assert answer.headers.get("content-type") == call["contentType"]
    if "chunks" in call:
        check_stream(name, call, answer)
    elif "keys" in call:
        expected = DIFFERENT_KEYS.get(name, set())
        found = [line for line in compare(answer.json(), call["keys"]) if line[1:] not in expected]
        assert "\n".join(found) == ""


def check_stream(name: str, call: dict[str, Any], answer: httpx.Response) -> None:
    ours = records(answer.text, call["contentType"])
    types: list[str] = []
    for record in ours:
        if not types or types[-1] != record["type"]:
            types.append(record["type"])
    if name in DIFFERENT_STREAM:
        assert types != call["types"]
        return
    if not call.get("isCut"):
        assert types == [kind for kind in call["types"] if kind in types or not call.get("isCut")]
    expected = DIFFERENT_KEYS.get(name, set())
    found: set[str] = set()
    for record in ours:
        shapes = call["chunks"].get(record["type"])
        if shapes is not None:
            # A type has several shapes: of a step that succeeded, failed, was resumed.
            found.update(min((compare(record, shape, record["type"]) for shape in shapes), key=len))
    assert sorted(line for line in found if line[1:] not in expected) == []
