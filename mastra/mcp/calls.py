"""A call of an MCP server's tool: its progress, and what the server asks before it answers.

Servers ask in two ways. Those of the protocol of 2026 end the call with their questions and a
state of theirs, and are called again with the answers: such a call suspends and may be resumed in
another process. Older ones ask over the connection while the call goes on: such a call is held in
this process, and its answer is taken as long as the connection and the wait for it last.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from mastra.errors import ResumeValidationError, RunStateError, ToolError
from mastra.ids import new_id
from mastra.jsonable import dump_json
from mastra.mcp.pages import Pages

if TYPE_CHECKING:
    import mcp
    from mcp import types

    from mastra.mcp.connection import Connection
    from mastra.tools.tool_context import ToolContext

__all__ = [
    "ELICITATION_KEY",
    "HeldCall",
    "Question",
    "ask_in_run",
    "asking_call",
    "call_once",
    "elicited",
    "question_of",
]

ELICITATION_KEY: Final = "mcpElicitation"
"""What a suspension has that an MCP server's question caused."""

_CURRENT: ContextVar[HeldCall | None] = ContextVar("mastra_mcp_call", default=None)
_ACTIONS: Final = frozenset(("accept", "decline", "cancel"))


@dataclass(frozen=True, slots=True)
class Question:
    """What an MCP server asks a person."""

    server: str
    """What the client calls the server."""
    message: str
    """The question."""
    requested_schema: Mapping[str, Any] | None = None
    """A JSON Schema of the answer: an object of strings, numbers, booleans and choices."""
    url: str | None = None
    """Where the person answers, where the answer must not pass through here."""
    tool: str | None = None
    """The tool that asks, where it is known."""


def question_of(server: str, tool: str | None, params: Any) -> Question:
    """Return what a server's request asks."""
    return Question(
        server,
        params.message,
        getattr(params, "requested_schema", None),
        getattr(params, "url", None),
        tool,
    )


def elicited(answer: Any, schema: Mapping[str, Any] | None = None) -> types.ElicitResult:
    """Return an answer in the protocol's form, with the schema's values for what it leaves out.

    Args:
        schema: What was asked for, where it is known.
        answer: The content that was asked for, `{"action": "accept", "content": …}`, or
            `{"action": "decline"}` (or `cancel`).

    Raises:
        ResumeValidationError: It is none of them.
    """
    from mcp_types import ElicitResult  # noqa: PLC0415 - an optional package

    if isinstance(answer, ElicitResult):
        return answer
    if answer is False or answer is None:
        return ElicitResult(action="decline")
    dump = getattr(answer, "model_dump", None)
    given: Any = dump(mode="json", by_alias=True) if dump is not None else answer
    known: Mapping[str, Any] = cast("Any", given) if isinstance(given, Mapping) else {}
    if not (known.keys() <= {"action", "content"} and _is_action(known.get("action"))):
        known = {"action": "accept", "content": None if given is True else given}
    content: Any = known.get("content")
    if known["action"] == "accept":
        if content is None:
            content = _defaults(schema) or None
        elif isinstance(content, Mapping):
            content = {**_defaults(schema), **cast("Mapping[str, Any]", content)}
        else:
            raise ResumeValidationError(
                "An MCP server's question is answered with the object that its schema asks for, or "
                'with {"action": "decline"}.'
            )
    try:
        return ElicitResult(action=known["action"], content=content)
    except ValueError as error:
        raise ResumeValidationError(
            "The answer to an MCP server's question holds what no form has: its fields are texts, "
            "numbers, booleans and lists of texts."
        ) from error


def _is_action(value: Any) -> bool:
    return isinstance(value, str) and value in _ACTIONS


def _defaults(schema: Mapping[str, Any] | None) -> dict[str, Any]:
    fields: Any = (schema or {}).get("properties") or {}
    return {
        name: field["default"]
        for name, field in fields.items()
        if isinstance(field, Mapping) and "default" in field
    }


class HeldCall:
    """A call under way, which may stop to ask and go on when it is answered."""

    def __init__(self, connection: Connection, tool: str, ctx: ToolContext) -> None:
        self.id = new_id()
        self.connection = connection
        self.tool = tool
        self.ctx = ctx
        """Of who waits for the call now: another one after a suspension."""
        self.task: asyncio.Task[Any] | None = None
        self._asked: asyncio.Future[Question] = asyncio.get_running_loop().create_future()
        self._answer: asyncio.Future[types.ElicitResult] | None = None
        self._alone = asyncio.Lock()
        self.asked = 0
        """How many questions there were."""

    def start(self, call: Any) -> None:
        """Run the call."""
        self.connection.begun(self)
        self.task = asyncio.get_running_loop().create_task(self._run(call))
        self.task.add_done_callback(self._over)

    async def _run(self, call: Any) -> Any:
        _CURRENT.set(self)
        return await call

    def _over(self, task: asyncio.Task[Any]) -> None:
        self.connection.ended(self)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not report it as lost

    async def progress(self, progress: float, total: float | None, message: str | None) -> None:
        """Tell the tool's readers how far it is."""
        await self.ctx.writer.write({"progress": progress, "total": total, "message": message})

    async def next(self, timeout_s: float) -> Question | None:
        """Return the next question, or `None` when the call is over.

        Raises:
            TimeoutError: Neither came in time; the call is stopped.
        """
        task = cast("asyncio.Task[Any]", self.task)
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        while True:
            asked = self._asked
            try:
                await asyncio.wait(
                    [task, asked],
                    timeout=max(until - loop.time(), 0),
                    return_when=asyncio.FIRST_COMPLETED,
                )
            except asyncio.CancelledError:
                await self.stop()
                raise
            if task.done():
                return None
            if self._asked.done():
                question, self._asked = self._asked.result(), loop.create_future()
                return question
            if not asked.done():
                await self.stop()
                raise TimeoutError

    async def ask(self, question: Question) -> types.ElicitResult:
        """Hand a question of the server's to who waits for the call, and wait for the answer."""
        async with self._alone:
            loop = asyncio.get_running_loop()
            self._answer = loop.create_future()
            self.asked += 1
            asked = self._asked
            asked.set_result(question)
            try:
                return await self._answer
            finally:
                if self._asked is asked:
                    # The server no longer wants to know, and nobody has been asked.
                    self._asked = loop.create_future()

    @property
    def is_asking(self) -> bool:
        """Whether it waits for an answer."""
        return self._answer is not None and not self._answer.done()

    def answer(self, answer: types.ElicitResult, number: int, ctx: ToolContext) -> None:
        """Answer a question, if the server still waits for that one."""
        self.ctx = ctx
        waiting = self._answer
        if waiting is not None and not waiting.done() and number == self.asked:
            waiting.set_result(answer)

    async def stop(self) -> None:
        """Stop the call, which tells the server."""
        task = cast("asyncio.Task[Any]", self.task)
        task.cancel()
        await asyncio.wait([task])


def asking_call(connection: Connection) -> HeldCall | None:
    """Return the call during which a server asks, where there is no doubt."""
    found = _CURRENT.get()
    if found is not None and found.connection is connection:
        return found
    # A program asks through one pipe, and does not say which call it asks for. One that waits for
    # an answer asks nothing else.
    able = [call for call in connection.calls if not call.is_asking]
    return able[0] if len(able) == 1 else None


def ask_in_run(ctx: ToolContext, question: Question, state: Mapping[str, Any]) -> None:
    """Suspend the run that a call belongs to with a question. Never returns.

    Raises:
        ToolError: No run can be suspended here.
    """
    payload: dict[str, Any] = {
        "message": question.message,
        "requestedSchema": question.requested_schema,
        ELICITATION_KEY: {"server": question.server, "tool": question.tool, **state},
    }
    if question.requested_schema is not None:
        # Where what answers by itself looks for it.
        payload["resumeSchema"] = dump_json(question.requested_schema).decode()
    if question.url is not None:
        payload["url"] = question.url
    try:
        _ = ctx.suspend(payload)
    except RunStateError as error:
        raise ToolError(
            f"Tool {question.tool!r} of MCP server {question.server!r} asks: {question.message!r}. "
            "Nobody can be asked here: call it through an agent or as a step of a workflow, or give "
            "the client an `elicitation=` function.",
            code="MCP_ELICITATION",
            details={"server": question.server, "tool": str(question.tool)},
        ) from error


async def call_once(
    client: mcp.Client, name: str, given: dict[str, Any], held: HeldCall, **seeds: Any
) -> Any:
    """Call a tool, and return what the server said, questions included."""
    from mcp_types import HEADER_MISMATCH  # noqa: PLC0415 - an optional package

    async def send() -> Any:
        return await client.session.call_tool(
            name,
            given,
            # The wait for an answer of a person is not the server's, so it is measured elsewhere.
            read_timeout_seconds=math.inf,
            progress_callback=held.progress,
            allow_input_required=True,
            **seeds,
        )

    try:
        return await send()
    except Exception as error:
        if getattr(error, "code", None) != HEADER_MISMATCH:
            raise
    # The session has not listed the tool since it was opened, or the tool has changed.
    pages = Pages(held.connection.name, "the list of its tools")
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor, cache_mode="refresh")
        cursor = pages.after(page)
        if cursor is None or any(item.name == name for item in page.tools):
            return await send()
