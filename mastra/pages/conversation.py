"""The thread of an agent's memory behind a chat, and what of a page's messages is new to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request

from mastra.agents.agent import Agent
from mastra.agents.context import AgentContext, resolve_dynamic
from mastra.memory import Memory
from mastra.memory.recalled import readable_messages
from mastra.models.messages import ToolCallPart, ToolResultPart
from mastra.models.stored_messages import split_results
from mastra.pages.chats import Chat
from mastra.request_context import RequestContext
from mastra.server.errors import Refusal
from mastra.server.payloads import AgentBody

__all__ = ["Conversation", "tool_message"]

_LOOKED_THROUGH: Final = 50
"""How many messages are read at once to find the one that is sent again."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A chat as its agent remembers it. Without a memory its thread is a name alone."""

    body: AgentBody
    """What the page sends, with the thread that it belongs to."""
    thread_id: str
    memory: Memory | None = None
    resource_id: str | None = None

    @classmethod
    async def of(cls, chat: Chat, request: Request, agent: Agent, body: AgentBody) -> Conversation:
        """Return the conversation that a page's chat is.

        Raises:
            Refusal: It is somebody else's.
        """
        given: dict[str, Any] = dict(body.memory or {})
        thread: Any = given.get("thread") or body.thread_id or chat.id
        thread_id = thread.get("id") if isinstance(thread, dict) else thread  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if not isinstance(thread_id, str):
            raise Refusal(400, "memory.thread must be text, or an object with an id")
        context = chat.server.request_context(request, body.request_context)
        memory = await _memory_of(chat, agent, context)
        given["thread"] = thread
        resource = await _resource(chat, request, agent, body, memory, thread_id, context)
        if resource is not None:
            given["resource"] = resource
        told = body.model_copy(update={"memory": given})
        return cls(told, thread_id, memory, resource)

    async def unknown(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the messages that the memory does not hold.

        Of a message of the user's that it holds, and that is sent again to be answered anew, it
        forgets what came of it.
        """
        memory = self.memory
        if memory is None or memory.read_only or not messages:
            return messages
        ids = [message["id"] for message in messages if message.get("id")]
        found = await memory.list_messages(
            thread_id=self.thread_id, resource_id=self.resource_id, ids=ids
        )
        known = {message.id for message in found.messages}
        last = messages[-1]
        if last["role"] == "user" and last.get("id") in known:
            await self._forget_from(memory, last["id"])
            known.discard(last["id"])
        return [message for message in messages if message.get("id") not in known]

    async def unanswered(self, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the results of calls that the thread has and that nobody has answered.

        Without a memory all of them are: the page's own conversation is the only one.
        """
        memory = self.memory
        if memory is None or memory.read_only or not results:
            return results
        listed = await memory.list_messages(
            thread_id=self.thread_id,
            resource_id=self.resource_id,
            page=0,
            per_page=_LOOKED_THROUGH,
        )
        waiting: set[str] = set()
        for message in split_results(readable_messages(listed.messages)):
            for part in message.parts:
                if isinstance(part, ToolCallPart):
                    waiting.add(part.tool_call_id)
                elif isinstance(part, ToolResultPart):
                    waiting.discard(part.tool_call_id)
        return [result for result in results if result["toolCallId"] in waiting]

    async def _forget_from(self, memory: Memory, message_id: str) -> None:
        later: list[str] = []
        page = 0
        while True:
            listed = await memory.list_messages(
                thread_id=self.thread_id,
                resource_id=self.resource_id,
                page=page,
                per_page=_LOOKED_THROUGH,
            )
            for stored in reversed(listed.messages):
                later.append(stored.id)
                if stored.id == message_id:
                    await memory.delete_messages(later)
                    return
            page += 1
            if page * _LOOKED_THROUGH >= listed.total:
                return


async def _memory_of(chat: Chat, agent: Agent, context: RequestContext) -> Memory | None:
    asked = AgentContext(context, chat.server.mastra, agent.id)
    found = await resolve_dynamic(agent.spec.memory, asked)
    return found.bound_to(chat.server.mastra) if isinstance(found, Memory) else None


async def _resource(
    chat: Chat,
    request: Request,
    agent: Agent,
    body: AgentBody,
    memory: Memory | None,
    thread_id: str,
    context: RequestContext,
) -> str | None:
    """Return whose a thread is: the caller's, or that of whoever the page or the author names.

    Where nobody is named, the thread is its own: one that there is stays whose it is.
    """
    given: Any = (body.memory or {}).get("resource") or body.resource_id
    named = chat.server.owner(request, given if isinstance(given, str) else None)
    if memory is None:
        return named
    thread = await memory.get_thread(thread_id)
    if thread is not None:
        chat.server.check_owner(request, thread.resource_id, "thread")
    if named is not None:
        if thread is not None and thread.resource_id != named:
            raise Refusal(403, f"Thread {thread_id[:60]!r} belongs to another resource")
        return named
    author: Any = (await agent.get_default_options(context)).get("memory") or {}
    return author.get("resource") or (thread_id if thread is None else thread.resource_id)


def tool_message(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return results as a message to the model."""
    return {"role": "tool", "content": results}
