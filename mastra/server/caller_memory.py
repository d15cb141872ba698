"""Which conversation a call belongs to, and how much of it is recalled: what a caller may say."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, cast

from starlette.requests import Request

from mastra.agents.agent import Agent
from mastra.agents.context import AgentContext, resolve_dynamic
from mastra.given import ID
from mastra.memory import Memory
from mastra.memory.semantic import SemanticRecall
from mastra.request_context import RequestContext
from mastra.server.caller_settings import allowed_model, number_within
from mastra.server.context import Server
from mastra.server.errors import Refusal
from mastra.server.payloads import AgentAnswerBody, AgentBody

__all__ = ["memory_options"]

_KEYS = frozenset({"thread", "resource", "options"})
_THREAD = frozenset({"id", "title", "metadata", "resourceId", "createdAt", "updatedAt"})


async def memory_options(
    server: Server,
    request: Request,
    agent: Agent,
    context: RequestContext,
    body: AgentBody | AgentAnswerBody,
    author: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the `memory` option of a call.

    Raises:
        Refusal: Something in it is not the caller's to say.
    """
    given = dict(body.memory or {})
    if isinstance(body, AgentBody):
        if body.thread_id is not None:
            given.setdefault("thread", body.thread_id)
        if body.resource_id is not None:
            given.setdefault("resource", body.resource_id)
    if not given:
        return {}
    unknown = sorted(given.keys() - _KEYS)
    if unknown:
        raise Refusal(400, f"memory.{unknown[0][:60]} is not a caller's to set.")
    decided: dict[str, Any] = dict(author.get("memory") or {})
    memory = {**decided, **{key: value for key, value in given.items() if value is not None}}
    _check_thread(memory.get("thread"))
    named = given.get("resource")
    if named is not None and not ID.holds(named):
        raise Refusal(400, f"memory.resource must be {ID.words}")
    owner = server.owner(request, named)
    if owner is not None and ("thread" in memory or "resource" in memory):
        memory["resource"] = owner
    options: Any = given.get("options")
    if options is not None:
        if not isinstance(options, dict):
            raise Refusal(400, "memory.options must be an object")
        asked = AgentContext(context, server.mastra, agent.id)
        own: Any = await resolve_dynamic(agent.spec.memory, asked)
        wanted = _options(
            cast("dict[str, Any]", options),
            own if isinstance(own, Memory) else None,
            server.config.allowed_models,
        )
        # A page asks every agent in the same way, also one that has no memory to ask this of.
        memory["options"] = {**wanted, **(decided.get("options") or {})} if own else None
    return memory


def _check_thread(thread: Any) -> None:
    if isinstance(thread, dict):
        known = cast("dict[str, Any]", thread)
        thread = known.get("id")
        if thread is None or not known.keys() <= _THREAD:
            raise Refusal(400, "memory.thread must be text, or an object with an id")
        if not isinstance(known.get("title") or "", str):
            raise Refusal(400, "memory.thread.title must be text")
        if not isinstance(known.get("metadata") or {}, dict):
            raise Refusal(400, "memory.thread.metadata must be an object")
    if thread is not None and not ID.holds(thread):
        raise Refusal(400, f"memory.thread must be {ID.words}, or an object with an id")


def _options(
    given: Mapping[str, Any], memory: Memory | None, allowed: Collection[str]
) -> dict[str, Any]:
    """Return options that ask for as much of the memory as the author gave, or for less of it."""
    made: dict[str, Any] = {}
    own = memory or Memory()
    for key, value in given.items():
        match key, value:
            case _, None:
                pass
            case "lastMessages", bool() | int() if value is not True and value >= 0:
                # Nothing recalled is less than anything.
                made["last_messages"] = number_within(int(value), int(own.last_messages)) or False
            case "readOnly", bool():
                made["read_only"] = own.read_only or value
            case "generateTitle", bool():
                made["generate_title"] = value and (own.generate_title or True)
            case "generateTitle", _:
                made["generate_title"] = allowed_model(
                    value, allowed, "memory.options.generateTitle"
                )
            case "workingMemory", _:
                _working(value, made)
            case "semanticRecall", _:
                made["semantic_recall"] = _recall(value, own.semantic_recall)
            case _:
                raise Refusal(400, f"memory.options.{key[:60]} is not a caller's to set like this.")
    return made


def _working(value: Any, made: dict[str, Any]) -> None:
    """Let a caller do without the notes; what they are is the author's."""
    is_on = value
    if isinstance(value, dict) and value.keys() <= {"enabled"}:
        is_on = cast("dict[str, Any]", value).get("enabled", True)
    if not isinstance(is_on, bool):
        raise Refusal(
            400, "memory.options.workingMemory is false or {enabled: false} from a caller."
        )
    if not is_on:
        made["working_memory"] = False


def _recall(value: Any, own: SemanticRecall | None) -> SemanticRecall | bool:
    if isinstance(value, bool):
        return own if value and own is not None else False
    if not isinstance(value, dict):
        raise Refusal(400, "memory.options.semanticRecall is true, false or an object.")
    known = cast("dict[str, Any]", value)
    sides: Any = known.get("messageRange")
    if isinstance(sides, int):
        sides = {"before": sides, "after": sides}
    if not known.keys() <= {"topK", "messageRange", "scope"} or not _is_range(sides):
        raise Refusal(400, "memory.options.semanticRecall takes topK, messageRange and scope.")
    if own is None:
        return False
    top: Any = known.get("topK", own.top_k)
    if not isinstance(top, int) or isinstance(top, bool) or top < 1:
        raise Refusal(400, "memory.options.semanticRecall.topK must be a number from 1.")
    near = cast("dict[str, int]", sides or {})
    return replace(
        own,
        top_k=min(top, own.top_k),
        message_range={
            "before": min(near.get("before", own.before), own.before),
            "after": min(near.get("after", own.after), own.after),
        },
        scope="thread" if known.get("scope") == "thread" else own.scope,
    )


def _is_range(sides: Any) -> bool:
    if sides is None:
        return True
    return isinstance(sides, dict) and all(
        key in {"before", "after"}
        and isinstance(count, int)
        and not isinstance(count, bool)
        and count >= 0
        for key, count in cast("dict[str, Any]", sides).items()
    )
