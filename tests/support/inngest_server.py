"""A small Inngest server in memory: the part of its HTTP protocol that workflows need.

It calls the real ASGI app as the real server does, keeps the results of steps as a Go program
would (numbers as floats, keys sorted), plans and targets steps, retries, sleeps, cancels, takes
checkpoints and carries realtime messages. The same cases run on the real server, which is what
keeps this one honest.
"""

from __future__ import annotations

import asyncio
import base64
import contextvars
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal
from urllib.parse import urlencode

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from mastra.clock import Clock, SystemClock
from mastra.ids import random_id as new_id
from tests.support.ending import end_tasks, listening
from tests.support.inngest_flow import Flow

__all__ = ["FakeInngest", "FakeRun"]

RETRY_S = 0.02
INVOKED = "inngest/function.invoked"


def _fires(trigger: dict[str, Any], event: dict[str, Any]) -> bool:
    if trigger.get("event") != event["name"]:
        return False
    expression = trigger.get("expression")
    if not expression:
        return True
    form = re.fullmatch(r'event\.data\.function_id\.startsWith\((".*")\)', expression)
    assert form, f"not understood here: {expression}"
    return str(event["data"]["function_id"]).startswith(json.loads(form[1]))


def as_go_keeps(value: Any) -> Any:
    """Return a JSON value as a program keeps it that reads every number as a float."""
    if isinstance(value, dict):
        return {key: as_go_keeps(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [as_go_keeps(item) for item in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number = float(value)
        return int(number) if number.is_integer() and abs(number) < 1e21 else number
    return value


def _no_constants(name: str) -> Any:
    raise ValueError(f"invalid character {name[0]!r} looking for beginning of value")


@dataclass
class FakeRun:
    """One run of a function."""

    run_id: str
    function: dict[str, Any]
    event: dict[str, Any]
    memos: dict[str, Any] = field(default_factory=dict)
    status: str = "Running"
    output: Any = None
    requests: list[str] = field(default_factory=list)
    """The target of each request, in order."""
    checkpoints: int = 0
    steps: list[str] = field(default_factory=list)
    """Names of the operations that it learned of, in order."""
    task: asyncio.Task[None] | None = None
    alone: str | None = None
    """In what it is the only one of its function."""

    @property
    def slug(self) -> str:
        return str(self.function["id"])


class FakeInngest:
    """The server. Give it an ASGI app; it asks the app for its functions."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        """What it sleeps by."""
        self.app: Any = None
        """What is called for each step. May be another one at any time."""
        self.path = "/api/inngest"
        self.functions: list[dict[str, Any]] = []
        self.runs: dict[str, FakeRun] = {}
        """Those of workflows."""
        self.others: list[FakeRun] = []
        """Those of functions that hear of other runs."""
        self.events: list[dict[str, Any]] = []
        self.signing_key: str | None = None
        self.takes_checkpoints = True
        self.messages: list[tuple[str, str, Any]] = []
        """Every realtime message: channel, topic and what was said."""
        self.posts = 0
        """How many requests brought checkpoints."""
        self.post_s = 0.0
        """How long it takes for one."""
        self.lose_messages = False
        self.event_key: str | None = None
        """The only one that is taken."""
        self.max_steps = 1000
        """How many steps a run may have, planned together or in all, as the real one takes."""
        self.is_down = False
        """Whether its address refuses connections."""
        self.order: Literal["together", "in turn", "reversed"] = "together"
        """How it starts operations that were planned together."""
        self.questions = 0
        """How often it was asked for the runs of an event."""
        self._flow = Flow(lambda: self.clock)
        self._runs_of_events: dict[str, list[FakeRun]] = {}
        self._seen: set[str] = set()
        self._listeners: dict[tuple[str, str], set[asyncio.Queue[bytes | None]]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._listening = AsyncExitStack()
        self.url = "http://inngest.test"

    # -- life ----------------------------------------------------------------------------------

    def asgi(self) -> Any:
        """Return what answers the app and its clients."""
        app = self._asgi()

        async def answer(scope: Any, receive: Any, send: Any) -> None:
            if self.is_down:
                raise httpx.ConnectError("Connection refused")
            await app(scope, receive, send)

        return answer

    def go_down(self) -> None:
        """Refuse connections from now on, and cut off those that are open."""
        self.is_down = True
        for queues in self._listeners.values():
            for queue in queues:
                queue.put_nowait(None)

    def _asgi(self) -> Starlette:
        routes = [
            Route("/e/{key}", self._take_events, methods=["POST"]),
            Route("/fn/register", self._register, methods=["POST"]),
            Route("/v1/checkpoint/{run_id}/async", self._checkpoint, methods=["POST"]),
            Route("/v1/events/{event_id}/runs", self._runs_of_event),
            Route("/v1/runs/{run_id}", self._run),
            Route("/v1/realtime/token", self._token, methods=["POST"]),
            Route("/v1/realtime/publish", self._publish, methods=["POST"]),
            Route("/v1/realtime/sse", self._listen),
        ]
        return Starlette(routes=routes)

    async def start(self, port: int = 0) -> None:
        """Listen on loopback, for other processes."""
        config = uvicorn.Config(
            self.asgi(), port=port, log_level="error", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        await self._listening.enter_async_context(listening(server))
        self.port = server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        """Stop everything."""
        for task in list(self._tasks):
            task.cancel()
        await end_tasks(self._tasks, what="the small Inngest server")
        for queues in self._listeners.values():
            for queue in queues:
                queue.put_nowait(None)
        await self._listening.aclose()

    def forget(self) -> None:
        """Lose the state of every run, as a server without a Redis does when it dies."""
        for task in list(self._tasks):
            task.cancel()
        self.runs.clear()

    async def sync(self) -> None:
        """Ask the app for its functions."""
        answer = await self._call("PUT", b"", {})
        assert answer.status_code == 200, answer.text

    # -- calling the app -----------------------------------------------------------------------

    async def _call(self, method: str, body: bytes, query: dict[str, str]) -> httpx.Response:
        headers = {"content-type": "application/json", "x-inngest-server-kind": "dev"}
        if self.signing_key is not None:
            from inngest._internal import net

            headers["x-inngest-server-kind"] = "cloud"
            headers["x-inngest-signature"] = str(net.sign_request(body, self.signing_key))
        url = f"http://127.0.0.1{self.path}?{urlencode(query)}"
        return await self._http.request(method, url, content=body, headers=headers)

    @cached_property
    def _http(self) -> httpx.AsyncClient:
        # One for all requests: to make it takes longer than a request.
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await self.app(scope, receive, send)

        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, timeout=None, trust_env=False)

    def _start_run(self, function: dict[str, Any], event: dict[str, Any]) -> FakeRun:
        run = FakeRun(f"01FAKE{new_id().replace('-', '')[:20].upper()}", function, event)
        if event["name"].startswith("inngest/function.") and event["name"] != INVOKED:
            self.others.append(run)
        else:
            self.runs[run.run_id] = run
        run.task = self._spawn(self._drive(run))
        return run

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        # As a server's, which knows nothing of the request that a worker sends an event from.
        task = asyncio.create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _drive(self, run: FakeRun) -> None:
        must_plan = False
        await self._flow.begin(run.function, run.event)
        while run.status == "Running":
            ops = await self._ask(run, "step", must_plan=must_plan)
            if ops is None or run.status != "Running":
                return
            if len(ops) > self.max_steps:
                self._overflow(run)
                return
            if self.order == "together":
                await asyncio.gather(*(self._do(run, op) for op in ops))
            else:
                for op in ops if self.order == "in turn" else reversed(ops):
                    await self._do(run, op)
            must_plan = len(ops) > 1

    async def _ask(
        self, run: FakeRun, target: str, *, must_plan: bool = False
    ) -> list[dict[str, Any]] | None:
        """Send a request, again and again where it fails; return the operations told of."""
        attempts = 1 + int(run.function["steps"]["step"]["retries"]["attempts"])
        attempt = 0
        while True:
            leave = await self._flow.enter(run)
            try:
                if run.status != "Running":  # it ended while it waited
                    return None
                if len(run.memos) >= self.max_steps:
                    self._overflow(run)
                    return None
                run.requests.append(target)
                answer = await self._call(
                    "POST",
                    self._body(run, attempt, attempts, must_plan),
                    {"fnId": run.slug, "stepId": target},
                )
            finally:
                leave()
            if run.status != "Running":
                return None
            try:
                told = json.loads(answer.text, parse_constant=_no_constants)
            except ValueError as error:
                self._end(run, "Failed", str(error))
                return None
            if answer.status_code == 200:
                self._end(run, "Completed", as_go_keeps(told))
                return None
            is_error = answer.status_code != 206 or told[0]["op"] == "StepError"
            if not is_error:
                return told
            attempt += 1
            if attempt >= attempts or answer.headers.get("x-inngest-no-retry") == "true":
                self._end(run, "Failed", told)
                return None
            await asyncio.sleep(RETRY_S)

    def _overflow(self, run: FakeRun) -> None:
        text = f"The function run exceeded the step limit of {self.max_steps} steps."
        self._end(run, "Failed", text)

    def _body(self, run: FakeRun, attempt: int, attempts: int, must_plan: bool) -> bytes:
        ctx = {
            "run_id": run.run_id,
            "fn_id": "7f8ff506-1712-50f5-b66c-c5041692c4f1",
            "qi_id": "item",
            "request_id": new_id(),
            "generation_id": 0,
            "attempt": attempt,
            "max_attempts": attempts,
            "disable_immediate_execution": must_plan,
            "stack": {"stack": list(run.memos), "current": len(run.memos)},
        }
        body = {
            "ctx": ctx,
            "event": run.event,
            "events": [run.event],
            "steps": run.memos,
            "use_api": False,
        }
        return json.dumps(body).encode()

    async def _do(self, run: FakeRun, op: dict[str, Any]) -> None:
        kind = op["op"]
        if kind == "StepPlanned":
            done = await self._ask(run, op["id"])
            for inner in done or ():
                await self._do(run, inner)
        elif kind == "StepRun":
            self._keep(run, op)
        elif kind == "Sleep":
            run.steps.append(op["displayName"])
            until = datetime.fromisoformat(op["name"]).timestamp()
            # Whole seconds only, and what is left over is dropped.
            await self.clock.sleep(max(0, int(until - self.clock.now() + 0.05)))
            run.memos[op["id"]] = None
        elif kind == "StepFailed":
            self._end(run, "Failed", op.get("error"))
        else:
            raise NotImplementedError(kind)

    def _keep(self, run: FakeRun, op: dict[str, Any]) -> None:
        run.steps.append(op["displayName"])
        run.memos[op["id"]] = {"data": as_go_keeps(op.get("data"))}

    def _end(self, run: FakeRun, status: str, output: Any) -> None:
        if run.status != "Running":
            return
        run.status, run.output = status, output
        self._flow.ended(run)
        if status in ("Failed", "Cancelled"):
            data: dict[str, Any] = {
                "function_id": run.slug,
                "run_id": run.run_id,
                "event": run.event,
                "_inngest": {"status": status},
            }
            if status == "Failed":
                data["error"] = {"message": str(output)}
            self.send({"name": f"inngest/function.{status.lower()}", "data": data})

    # -- what the app and its clients call ------------------------------------------------------

    async def _register(self, request: Request) -> Response:
        self.functions = (await request.json())["functions"]
        return JSONResponse({"ok": True, "modified": True})

    async def _take_events(self, request: Request) -> Response:
        if self.event_key not in (None, request.path_params["key"]):
            return JSONResponse({"error": "Event key not found", "ids": [], "status": 401}, 401)
        ids: list[str] = []
        sent = json.loads(await request.body(), parse_constant=_no_constants)
        for event in sent if isinstance(sent, list) else [sent]:
            event_id = str(event.get("id") or new_id())
            ids.append(new_id())
            if event_id not in self._seen:
                self._seen.add(event_id)
                self._runs_of_events[ids[-1]] = self.send({**event, "id": event_id})
        return JSONResponse({"ids": ids, "status": 200})

    def send(self, event: dict[str, Any]) -> list[FakeRun]:
        """Take an event, as from the dashboard; return the runs that it starts, also later."""
        event = as_go_keeps({"ts": int(self.clock.now() * 1000), "id": new_id(), **event})
        self.events.append(event)
        for run in list(self.runs.values()):
            self._cancel_by(run, event)
        begun: list[FakeRun] = []
        for function in self.functions:
            if any(_fires(trigger, event) for trigger in function["triggers"]):
                self._admit(function, event, begun)
        return begun

    def _admit(self, function: dict[str, Any], event: dict[str, Any], begun: list[FakeRun]) -> None:
        """Begin a run of a function as its flow control says: now, later, or not at all."""
        if not self._flow.takes(function, event):
            return

        async def later() -> None:
            if await self._flow.debounce(function, event):
                begun.append(self._start_alone(function, event))

        if "debounce" in function:
            self._spawn(later())
        else:
            begun.append(self._start_alone(function, event))

    def _start_alone(self, function: dict[str, Any], event: dict[str, Any]) -> FakeRun:
        alone = self._flow.alone(function, event)
        others = [
            run
            for run in self.runs.values()
            if run.function["id"] == function["id"]
            and run.status == "Running"
            and alone is not None
            and run.alone == alone
        ]
        if others and function["singleton"]["mode"] == "skip":
            skipped = FakeRun(f"01FAKE{new_id()[:8].upper()}", function, event, status="Skipped")
            self.runs[skipped.run_id] = skipped
            return skipped
        for run in others:
            self.cancel(run)
        begun = self._start_run(function, event)
        begun.alone = alone
        return begun

    def invoke(self, function_id: str, data: dict[str, Any]) -> FakeRun:
        """Run a function, as by the dashboard's button."""
        function = next(f for f in self.functions if f["id"].endswith(function_id))
        data = {**data, "_inngest": {"fn_id": function["id"]}}
        return self._start_run(function, {"name": INVOKED, "data": data, "id": new_id(), "ts": 1})

    def fire(self, function_id: str) -> FakeRun:
        """Run a function whose schedule is due."""
        function = next(f for f in self.functions if f["id"].endswith(function_id))
        event = {"name": "inngest/scheduled.timer", "data": {"cron": "*"}, "id": new_id(), "ts": 1}
        return self._start_run(function, event)

    def _cancel_by(self, run: FakeRun, event: dict[str, Any]) -> None:
        for trigger in run.function.get("cancel") or ():
            own = run.event["data"].get("runId")
            is_meant = not trigger.get("if") or own == event["data"].get("runId")
            if trigger["event"] == event["name"] and is_meant:
                self.cancel(run)

    def cancel(self, run: FakeRun) -> None:
        """Cancel a run, as from the dashboard. What its worker does goes on."""
        self._end(run, "Cancelled", {})

    async def _checkpoint(self, request: Request) -> Response:
        run = self.runs.get(request.path_params["run_id"])
        if not self.takes_checkpoints:
            return JSONResponse({"error": "not enabled"}, 404)
        if run is None or run.status != "Running":
            return JSONResponse({"error": "run not found in state store", "status": 400}, 400)
        body = json.loads(await request.body(), parse_constant=_no_constants)
        self.posts += 1
        await asyncio.sleep(self.post_s)
        for op in body["steps"]:
            run.checkpoints += 1
            self._keep(run, op)
        return JSONResponse({})

    async def _runs_of_event(self, request: Request) -> Response:
        self.questions += 1
        found = self._runs_of_events.get(request.path_params["event_id"], [])
        return JSONResponse({"data": [{"run_id": run.run_id} for run in found]})

    async def _run(self, request: Request) -> Response:
        run = self.runs.get(request.path_params["run_id"])
        if run is None:
            return JSONResponse({"error": "sql: no rows", "data": None, "status": 500})
        return JSONResponse(
            {"data": {"run_id": run.run_id, "status": run.status, "output": run.output}}
        )

    # -- realtime ------------------------------------------------------------------------------

    async def _token(self, request: Request) -> Response:
        asked = await request.json()
        places = [[one["channel"], one["name"]] for one in asked]
        jwt = base64.urlsafe_b64encode(json.dumps(places).encode()).decode()
        return JSONResponse({"jwt": jwt}, 201)

    async def _publish(self, request: Request) -> Response:
        channel, topic = request.query_params["channel"], request.query_params["topic"]
        content = await request.body()
        try:
            data = json.loads(content[: 512 * 1024], parse_constant=_no_constants)
            text = content.decode()
        except ValueError:  # what is no JSON is carried as text, and what is too long is cut
            data = content[: 512 * 1024].decode(errors="replace")
            text = json.dumps(data)
        self.messages.append((channel, topic, data))
        line = '{"kind":"data","channel":%s,"topic":%s,"data":%s}'
        message = (line % (json.dumps(channel), json.dumps(topic), text)).encode()
        if not self.lose_messages:
            for queue in self._listeners.get((channel, topic), ()):
                queue.put_nowait(message)
        return Response(status_code=200)

    async def _listen(self, request: Request) -> Response:
        places = json.loads(base64.urlsafe_b64decode(request.query_params["token"]))
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        for channel, topic in places:
            self._listeners.setdefault((channel, topic), set()).add(queue)

        async def lines() -> AsyncIterator[bytes]:
            try:
                yield b": \n\n"
                while (message := await queue.get()) is not None:
                    yield b"data: " + message + b"\n\n"
            finally:
                for channel, topic in places:
                    self._listeners[channel, topic].discard(queue)

        return StreamingResponse(lines(), media_type="text/event-stream")
