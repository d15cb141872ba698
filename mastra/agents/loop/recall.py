"""An agent's memory in a run: what is recalled before it, and kept after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from mastra.agents.option_checks import setting_of
from mastra.agents.options import MemoryOption
from mastra.agents.run.agent_run import AgentRun
from mastra.errors import OPTION_REFUSED, ConfigError, ModelError
from mastra.jsonable import dump_json
from mastra.logs import get_logger
from mastra.memory.memory import Memory
from mastra.memory.notes import DEFAULT_TEMPLATE, WorkingMemory, partial_form
from mastra.memory.recalled import readable_messages
from mastra.memory.semantic import about_other_threads
from mastra.models.base import ModelRequest
from mastra.models.calling import ModelEntry
from mastra.models.collect import collect
from mastra.models.late_results import without_repeats
from mastra.models.messages import Message
from mastra.models.resolve import resolve_models
from mastra.models.stored_messages import split_results
from mastra.processors.base import text_of_last_user
from mastra.schema import schema_of
from mastra.storage.conversations import id_taken
from mastra.tools.named import add_tools
from mastra.tools.tool import Tool, create_tool
from mastra.tools.tool_context import ToolContext

__all__ = ["UPDATE_TOOL", "keep", "memory_of", "new_messages", "offer_notes", "recall"]

UPDATE_TOOL: Final = "updateWorkingMemory"

_TITLE: Final = (
    "Give the conversation that begins with this message a title of at most 80 characters. "
    "Answer with the title alone, without quotes."
)


async def memory_of(run: AgentRun) -> Memory | None:
    """Return the memory of a run that belongs to a thread, with the options of the call.

    Raises:
        ConfigError: The call names a thread and no resource, or a resource and no thread.
    """
    option = run.options.get("memory") or MemoryOption()
    if run.spec.memory is None:
        _refuse_without_memory(run, option)
        return None
    # Who a server says is calling need not have named a thread; whoever gives the option must.
    if run.thread_id is None and not option.get("resource"):
        return None
    found: Memory | None = await setting_of(run.spec, "memory", run.context)
    if found is None:
        return None
    if run.thread_id is None:
        raise ConfigError(
            f"Agent {run.spec.id!r} was called with resource {option.get('resource')!r} and no "
            "thread, so nothing of it would be remembered: pass memory={'thread': ..., "
            "'resource': ...}.",
            code=OPTION_REFUSED,
        )
    memory = found.bound_to(run.services)
    overrides = option.get("options")
    if overrides:
        memory = memory.with_options(overrides).bound_to(run.services)
    if run.resource_id is None:
        raise ConfigError(
            f"Agent {run.spec.id!r} was called with thread {run.thread_id!r} and no resource: "
            "pass memory={'thread': ..., 'resource': ...}.",
            code=OPTION_REFUSED,
        )
    return memory


def _refuse_without_memory(run: AgentRun, option: MemoryOption) -> None:
    """Refuse what only a memory can do. A thread is then a name, by which a run that waits is found.

    Raises:
        ConfigError: Options of a memory are given.
    """
    asked = [name for name in ("options", "save_per_step") if option.get(name)]
    if asked:
        raise ConfigError(
            f"Agent {run.spec.id!r} has no memory, and was called with memory[{asked[0]!r}]: give "
            "it one, Agent(memory=Memory()), or leave that out.",
            code=OPTION_REFUSED,
        )
    if option.get("thread") and run.spec.id not in _told:
        _told.add(run.spec.id)
        get_logger({"run_id": run.run_id}).warning(
            "Agent %r has no memory and remembers nothing of thread %r, which only names its runs: "
            "give it Agent(memory=Memory()) if it should.",
            run.spec.id,
            run.thread_id,
        )


_told: set[str] = set()
"""The agents whose authors have been told that they have no memory."""


async def recall(run: AgentRun, memory: Memory) -> None:
    """Show the agent what it remembers, before what it is asked."""
    thread_id, resource_id = run.thread_id or "", run.resource_id or ""
    thread: Any = (run.options.get("memory") or {}).get("thread")
    await _check_ids(run, memory)
    given: Mapping[str, Any] = {}
    if isinstance(thread, Mapping):
        given = cast("Mapping[str, Any]", thread)
    run.state["thread"] = await memory.thread_for(
        thread_id,
        resource_id,
        title=given.get("title", ""),
        metadata=given.get("metadata"),
    )
    await _show_messages(run, memory)
    await offer_notes(run, memory)


async def _check_ids(run: AgentRun, memory: Memory) -> None:
    """Refuse messages whose ids, which the caller chose, are those of somebody else's.

    Storing them would be refused too, but the model has answered and tools have acted by then.

    Raises:
        IdTakenError: They are.
    """
    given = run.given if isinstance(run.given, Sequence) and not isinstance(run.given, str) else ()
    if not any(_has_id(message) for message in given):
        return
    ids = [
        message.id for message in run.transcript.messages if message.id not in run.transcript.shown
    ]
    for known in (await memory.list_messages(ids=ids)).messages:
        if known.resource_id != run.resource_id:
            raise id_taken("Message", known.id)


def _has_id(message: Any) -> bool:
    return isinstance(message, Message) or (isinstance(message, Mapping) and "id" in message)


async def _show_messages(run: AgentRun, memory: Memory) -> None:
    """Show the latest messages, and those like what is asked."""
    thread_id = run.thread_id or ""
    asked = text_of_last_user(run.transcript.messages) if memory.semantic_recall is not None else ""
    last = memory.last_messages or 0
    if not last and not asked:
        return
    options: dict[str, Any] = {"thread_id": thread_id, "resource_id": run.resource_id, "last": last}
    if last and run.pipeline is not None and run.pipeline.sees_whole_thread:
        options["since"] = run.state["thread"]
    try:
        found = await memory.recall_stored(**options, search=asked)
    except ModelError as error:
        # As when nothing is found: the question itself can still be answered.
        get_logger({"agent": run.spec.id, "thread": thread_id}).warning(
            "nothing is recalled by its meaning: %s", error
        )
        found = await memory.recall_stored(**options)
    known = {message.id for message in run.transcript.messages}
    fresh = [stored for stored in found if stored.id not in known]
    here = readable_messages([stored for stored in fresh if stored.thread_id == thread_id])
    run.transcript.remembered = split_results(here)
    run.transcript.messages = [
        *run.transcript.remembered,
        *without_repeats(run.transcript.remembered, run.transcript.messages),
    ]
    elsewhere = [stored for stored in fresh if stored.thread_id != thread_id]
    if elsewhere:
        run.transcript.system = [
            *run.transcript.system,
            Message("system", about_other_threads(elsewhere)),
        ]


async def offer_notes(run: AgentRun, memory: Memory) -> None:
    """Show the agent its notes, and give it the tool to rewrite them."""
    working = memory.working_memory
    if working is None:
        return
    notes = await memory.get_working_memory(thread_id=run.thread_id, resource_id=run.resource_id)
    run.transcript.system = [
        *run.transcript.system,
        Message("system", _about_notes(working, notes, memory.read_only)),
    ]
    if not memory.read_only:
        run.tools = dict(run.tools)
        noting = {UPDATE_TOOL: _update_tool(memory, working)}
        add_tools(run.tools, noting, "memory", of=f"agent {run.spec.id!r}")


def _about_notes(working: WorkingMemory, notes: str | None, is_read_only: bool) -> str:
    if working.schema is not None:
        form = dump_json(schema_of(working.schema).json_schema()).decode()
        shape = f"They are JSON that meets this schema:\n{form}"
    else:
        shape = f"They have this form:\n{working.template or DEFAULT_TEMPLATE}"
    told = (
        "You keep notes on the user across conversations (working memory). "
        f"{shape}\n\nThe notes so far:\n{notes or '(none)'}"
    )
    if is_read_only:
        return told
    return (
        f"{told}\n\nWhen you learn something that belongs there, call {UPDATE_TOOL}. "
        "Use the notes; do not talk about them."
    )


def _update_tool(memory: Memory, working: WorkingMemory) -> Tool[Any, Any]:
    kind: dict[str, Any] = {"type": "string", "description": "The notes, whole, in their form"}
    if working.schema is not None:
        kind = partial_form(schema_of(working.schema).json_schema())
    definitions: Any = kind.pop("$defs", None)
    parameters: dict[str, Any] = {
        "type": "object",
        "properties": {"memory": kind},
        "required": ["memory"],
    }
    if definitions:
        parameters["$defs"] = definitions

    async def update(given: dict[str, Any], ctx: ToolContext) -> dict[str, bool]:
        call = ctx.agent
        await memory.update_working_memory(
            given.get("memory"),
            thread_id=None if call is None else call.thread_id,
            resource_id=None if call is None else call.resource_id,
        )
        return {"success": True}

    told = "Rewrite your notes on the user."
    if working.schema is not None:
        told = (
            "Change your notes on the user. Give only the fields that change: what you leave out "
            "stays, null removes a field, a list takes the place of the one there was."
        )
    return create_tool(UPDATE_TOOL, told, parameters, execute=update)


def new_messages(run: AgentRun, messages: Sequence[Message] | None = None) -> list[Message]:
    """Return what has been said since the run began, by the user, the model and its tools.

    Args:
        run: The run.
        messages: Its conversation, where that is to be kept otherwise than it is.
    """
    remembered = run.transcript.shown | {message.id for message in run.transcript.remembered}
    known = run.transcript.messages if messages is None else messages
    return [message for message in known if message.id not in remembered]


async def keep(run: AgentRun, memory: Memory) -> None:
    """Store what was asked and answered, and give a new thread its title.

    Of a thread that was deleted meanwhile nothing is stored.
    """
    if memory.read_only:
        return
    thread_id, resource_id = run.thread_id or "", run.resource_id or ""
    fresh = new_messages(run)
    is_there = await memory.add_messages(fresh, thread_id=thread_id, resource_id=resource_id)
    run.state["kept"] = True
    if not is_there:
        return
    thread = await memory.get_thread(thread_id)
    if (
        memory.generate_title
        and thread is not None
        and not thread.title
        and not run.transcript.remembered
    ):
        title = await _title(run, memory, fresh)
        if title:
            await memory.update_thread(thread_id, title=title)


async def _title(run: AgentRun, memory: Memory, fresh: list[Message]) -> str:
    said = next((message.text for message in fresh if message.role == "user"), "")
    model = memory.generate_title
    entries: list[ModelEntry] = (
        run.entries if model is True or model is False else await resolve_models(model, run.context)
    )
    try:
        answer = await collect(
            entries,
            ModelRequest([Message("system", _TITLE), Message("user", said)]),
            default_retries=run.spec.max_retries,
        )
    except Exception as error:  # noqa: BLE001 - an answer is not lost for want of a title
        get_logger({"agent": run.spec.id, "thread": run.thread_id}).warning(
            "no title for the thread: %s", error
        )
        return ""
    title = answer.text.strip()
    if title[:1] == title[-1:] == '"' and '"' not in title[1:-1]:
        title = title[1:-1].strip()
    return title[:80]
