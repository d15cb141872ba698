"""The calls to an Inngest server that the SDK does not make."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

import httpx
import inngest

from mastra.errors import RunError
from mastra.failures import text_of
from mastra.inngest.wire.names import step_hash, step_name
from mastra.inngest.wire.request import RequestFacts
from mastra.inngest.wire.transport import Answer, LoopTransport, NotReached, Stream, Transport
from mastra.jsonable import Json, dump_wire, load_json

__all__ = [
    "Checkpoint",
    "InngestApi",
    "ServerRun",
    "Subscription",
    "checkpoint_of",
    "not_sent",
    "signing_bytes",
]

_count = itertools.count(1)


class Checkpoint(Enum):
    """What the server said to the result of a step."""

    KEPT = "kept"
    GONE = "gone"
    """It knows no such run: cancelled, or forgotten."""
    FAILED = "failed"
    """It could not be reached, or does not take checkpoints."""


@dataclass(frozen=True, slots=True)
class ServerRun:
    """How the server says that a run of a function stands."""

    status: str
    """`Running`, `Completed`, `Failed`, `Cancelled`, `Skipped` …."""
    reason: str
    """Why it failed, where it did; may be empty."""


def _reason_of(output: Any) -> str:
    """Return the message of an error, as the SDK or the server itself puts it."""
    if not isinstance(output, dict):
        return ""
    told = cast("dict[str, Any]", output)
    inner = told.get("error")
    if isinstance(inner, dict):
        told = cast("dict[str, Any]", inner)
    return str(told.get("message") or "")


def signing_bytes(signing_key: str) -> bytes:
    """Return what a signing key says.

    Raises:
        ValueError: It is none.
    """
    return bytes.fromhex(re.sub(r"^signkey-\w+-", "", signing_key))


def _bearer(signing_key: str) -> str:
    return f"Bearer {hashlib.sha256(signing_bytes(signing_key)).hexdigest()}"


def checkpoint_of(
    workflow_id: str, op_id: str, memo: Json, started_ns: int, ended_ns: int
) -> bytes:
    """Return one step as a checkpoint tells of it."""
    name = step_name(workflow_id, op_id)
    step: dict[str, Json] = {
        "op": "StepRun",
        "id": step_hash(workflow_id, op_id),
        "name": name,
        "displayName": name,
        "data": memo,
        "userland": {"id": name},
        "timing": {"a": started_ns, "b": ended_ns - started_ns},
    }
    return dump_wire(step)


class Subscription:
    """Messages of a realtime channel, as they come."""

    def __init__(self, stream: Stream, lines: AsyncIterator[str]) -> None:
        self._stream = stream
        self._lines = lines

    async def messages(self) -> AsyncIterator[Any]:
        """Yield messages until the server closes the stream."""
        async for line in self._lines:
            if not line.startswith("data:"):
                continue
            message: Any = load_json(line[5:].strip())
            if message.get("kind") == "data":
                data = message.get("data")
                # What is not strict JSON, such as one with a NaN, arrives as text.
                yield load_json(data) if isinstance(data, str) else data

    async def aclose(self) -> None:
        """End the subscription."""
        await self._stream.aclose()


class InngestApi:
    """One client's view of its server."""

    def __init__(self, client: inngest.Inngest) -> None:
        self.client = client
        self.checkpoints = 0
        """How many results were posted."""
        self.transport: Transport = LoopTransport(client.api_origin)
        """Takes the requests."""

    def _headers(self, key: str | None) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        if key:
            headers["authorization"] = _bearer(key)
        if self.client.env:
            headers["x-inngest-env"] = self.client.env
        return headers

    async def _send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        query: Callable[[], dict[str, str]] | None = None,
    ) -> Answer:
        """Send a request; again with the other signing key where the first is not taken."""
        client, send = self.client, self.transport.send
        headers, asked = self._headers(client.signing_key), query or dict[str, str]
        answer = await send(method, path, body=body, query=asked(), headers=headers)
        if answer.status in (401, 403) and client.signing_key_fallback:
            headers = self._headers(client.signing_key_fallback)
            answer = await send(method, path, body=body, query=asked(), headers=headers)
        return answer

    async def _post(self, path: str, content: bytes, query: dict[str, str] | None = None) -> Answer:
        return await self._send("POST", path, content, lambda: query or {})

    async def functions(self) -> set[str] | None:
        """Return the names of all functions that are served; `None` where no dev server tells.

        Raises:
            NotReached: The server does not answer.
        """
        answer = await self._send("GET", "/dev")
        try:
            known: Any = load_json(answer.body)
            return {one["slug"] for one in known["functions"]}
        except (ValueError, KeyError, TypeError):
            return None

    async def checkpoint(self, facts: RequestFacts, steps: list[bytes]) -> Checkpoint:
        """Give the server the results of steps while its request is still open.

        Args:
            facts: The request.
            steps: What `checkpoint_of` gave, in the order in which the steps ended.
        """
        return await self._checkpoint(
            steps,
            run_id=facts.run_id,
            fn_id=facts.function_uuid,
            qi_id=facts.queue_item,
            request_id=facts.request_id,
            generation_id=facts.generation,
        )

    async def is_known(self, facts: dict[str, Any]) -> bool | None:
        """Return whether the server has the state of a run, or `None` if it cannot be asked.

        Its list of runs is no answer: it shows runs as running whose state it has lost.
        """
        told = await self._checkpoint(
            [],
            run_id=facts["runId"],
            fn_id=facts["fnId"],
            qi_id=facts["qiId"],
            request_id="",
            generation_id=0,
        )
        return None if told is Checkpoint.FAILED else told is Checkpoint.KEPT

    async def _checkpoint(
        self, steps: Sequence[bytes], *, run_id: str, **about: Json
    ) -> Checkpoint:
        head: dict[str, Json] = {"run_id": run_id, **about, "ts": int(time.time() * 1000)}
        body = dump_wire(head)[:-1] + b',"steps":[' + b",".join(steps) + b"]}"
        try:
            answer = await self._post(f"/v1/checkpoint/{run_id}/async", body)
        except NotReached:
            return Checkpoint.FAILED
        if answer.status < 300:
            self.checkpoints += len(steps)
            return Checkpoint.KEPT
        if answer.status == 400 and "not found" in answer.text:
            return Checkpoint.GONE
        return Checkpoint.FAILED

    async def _ask(self, path: str) -> Any:
        """Return what the server knows at a path, or `None` if that is nothing to us.

        Raises:
            NotReached: It could not be reached.
        """
        # Answers are cached by address, so each question has its own.
        answer = await self._send(
            "GET", path, query=lambda: {"_": f"{time.time_ns()}{next(_count)}"}
        )
        found = answer.json()
        if answer.status >= 300 or not isinstance(found, dict):
            return None
        return cast("dict[str, Any]", found).get("data")

    async def server_run(self, run_id: str) -> ServerRun | None:
        """Return how the server says that a run stands, or `None` if it does not say.

        Raises:
            NotReached: It could not be reached.
        """
        data = await self._ask(f"/v1/runs/{run_id}")
        if not data:
            return None
        return ServerRun(str(data.get("status")), _reason_of(data.get("output")))

    async def runs_of(self, event_id: str) -> list[str] | None:
        """Return the ids of the runs that an event began, or `None` if the server does not say.

        Args:
            event_id: The id that the server gave the event.

        Raises:
            NotReached: It could not be reached.
        """
        data = await self._ask(f"/v1/events/{event_id}/runs")
        return None if data is None else [str(run["run_id"]) for run in data]

    # -- realtime ------------------------------------------------------------------------------

    async def publish(self, channel: str, topic: str, content: bytes) -> None:
        """Send one message to whoever subscribes to a topic of a channel.

        Raises:
            RunError: The server did not take it.
        """
        answer = await self._post(
            "/v1/realtime/publish", content, {"channel": channel, "topic": topic}
        )
        if answer.status >= 300:
            raise RunError(f"Inngest answered {answer.status} to a realtime message.")

    async def subscribe(self, channel: str, topic: str) -> Subscription:
        """Subscribe to a topic of a channel. What is sent after this returns arrives.

        Raises:
            NotReached: The server could not be reached, or went away meanwhile.
            RunError: The server refused.
        """
        ask = [{"channel": channel, "name": topic, "kind": "run"}]
        answer = await self._post("/v1/realtime/token", dump_wire(ask))
        if answer.status >= 300:
            raise RunError(f"Inngest answered {answer.status} to a realtime subscription.")
        given = answer.json()
        if not isinstance(given, dict) or "jwt" not in given:
            raise RunError("Inngest gave no token for a realtime subscription.")
        token = str(cast("dict[str, Any]", given)["jwt"])
        stream = await self.transport.open(
            "/v1/realtime/sse",
            query={"token": token},
            headers={"accept": "text/event-stream"},
        )
        if stream.status >= 300:
            await stream.aclose()
            raise RunError(f"Inngest answered {stream.status} to a realtime stream.")
        try:
            lines = stream.lines()
            await anext(lines)  # a comment that says that the subscription stands
        except BaseException as error:
            await stream.aclose()
            if isinstance(error, Exception):  # the server, or the network, went away meanwhile
                text = "The realtime stream ended before it stood"
                raise NotReached(f"{text}: {text_of(error)}") from error
            raise
        return Subscription(stream, lines)


def not_sent(name: str, url: str, error: Exception) -> RunError:
    """Return what a caller is told whose event did not arrive."""
    text = text_of(error)
    # The SDK does not export its errors; this one says that it had no answer to any attempt.
    if isinstance(error, httpx.HTTPError | json.JSONDecodeError) or "never received" in text:
        return RunError(
            f"Event {name!r} could not be sent to Inngest at {url}: {text}. Is the server running? "
            "`npx inngest-cli@latest dev` starts one.",
            code="INNGEST_NOT_REACHED",
        )
    return RunError(
        f"Inngest at {url} did not take event {name!r}: {text}. Check the client's `event_key`, or "
        "the environment variable INNGEST_EVENT_KEY, and how large the input is.",
        code="INNGEST_EVENT_REFUSED",
    )
