"""Agents: what there are, and a chat with one of them."""

from __future__ import annotations

from typing import Any, Final

from nicegui import ui

from mastra.console.api import Refused, at
from mastra.console.chat import Chat
from mastra.console.frame import Look, console_page
from mastra.console.show import beside, entry, heading, side, table, when
from mastra.ids import new_id

_RESOURCE: Final = "console"  # whose threads are that are begun here, where nobody says who calls


@console_page("/agents", "Agents")
async def _list_page(look: Look) -> None:
    found: dict[str, Any] = await look.api.get("/agents")
    more = {key: {"id": key, "href": look.url("agents", key)} for key in found}
    rows = [
        {**wire, **more[key], "model": _model_of(wire), "tools": ", ".join(wire["tools"])}
        for key, wire in found.items()
    ]
    columns = {"name": "Agent", "description": "What it is for", "model": "Model"}
    table({**columns, "tools": "Tools", "supportsMemory": "Memory"}, rows, name="link")


def _model_of(wire: dict[str, Any]) -> str:
    return "/".join(filter(None, (wire["provider"], wire["modelId"])))


@console_page("/agents/{agent_id}", "Chat")
async def _chat_page(look: Look, agent_id: str, thread: str = "") -> None:
    wire: dict[str, Any] = await look.api.get(at("agents", agent_id))
    memory = None
    if wire["supportsMemory"]:
        memory = {"thread": thread or new_id(), **await _owner(look, agent_id, thread)}
    heading(wire["name"], 1)
    ui.label(wire["description"])
    with beside():
        with side("basis-[32rem]"):
            chat = Chat(look, agent_id, memory)
        with side("basis-64"):
            if memory is not None:
                threads = ui.column().classes("w-full")

                async def list_threads() -> None:
                    await _list_threads(look, agent_id, threads, memory["thread"])

                await list_threads()
                chat.on_end = list_threads
            if thread and memory is not None:
                await _working_memory(look, agent_id, memory)
            _settings(chat, wire)
    if thread:
        path = f"{at('memory', 'threads', thread)}/messages"
        listed = await look.api.get(path, agentId=agent_id, perPage=200)
        waiting = await look.api.get(f"{at('agents', agent_id)}/suspended-runs", threadId=thread)
        chat.show(listed["messages"], waiting["runs"])


async def _owner(look: Look, agent_id: str, thread: str) -> dict[str, str]:
    """Return whose a thread is; nothing for a caller who is tied to a resource: theirs."""
    try:
        if thread:
            found = await look.api.get(at("memory", "threads", thread), agentId=agent_id)
            return {"resource": found["resourceId"]}
        await look.api.get("/memory/threads", agentId=agent_id, resourceId=_RESOURCE, perPage=1)
    except Refused as refused:
        if thread or refused.status != 403:
            raise
        return {}
    return {"resource": _RESOURCE}


async def _list_threads(look: Look, agent_id: str, place: ui.column, here: str) -> None:
    listed = await look.api.get("/memory/threads", agentId=agent_id, perPage=50)
    place.clear()
    with place:
        with ui.row().classes("items-center"):
            heading("Threads")
            ui.link("Begin one", look.url("agents", agent_id))
        for one in listed["threads"]:
            link = ui.link(target=look.url("agents", agent_id, thread=one["id"]))
            link.classes("column w-full rounded q-pa-xs no-underline text-inherit")
            if one["id"] == here:
                link.classes("bg-gray-500/20").props("aria-current=true")
            with link, ui.column().classes("gap-0 w-full text-sm"):
                ui.label(one["title"] or one["id"]).classes("truncate w-full")
                when(one["updatedAt"])


async def _working_memory(look: Look, agent_id: str, memory: dict[str, str]) -> None:
    path = f"{at('memory', 'threads', memory['thread'])}/working-memory"
    owner = memory.get("resource")
    found = await look.api.get(path, agentId=agent_id, resourceId=owner)
    if not found["workingMemory"] and not found["workingMemoryTemplate"]:
        return
    with ui.expansion("Working memory").classes("w-full"):
        area = entry(ui.textarea("Working memory", value=found["workingMemory"] or ""))
        area.props("autogrow input-class=mono")

        async def save() -> None:
            body = {"workingMemory": area.value, "resourceId": owner}
            await look.api.post(path, body, agentId=agent_id)
            ui.notify("Saved.", type="positive")

        ui.button("Save", on_click=save).props("flat")


def _settings(chat: Chat, wire: dict[str, Any]) -> None:
    with ui.expansion("Model and settings").classes("w-full"):
        model = entry(ui.input("Model of the next message", placeholder=_model_of(wire)))
        numbers = {
            "temperature": entry(ui.number("Temperature", min=0, max=2, step=0.1)),
            "topP": entry(ui.number("Top P", min=0, max=1, step=0.05)),
            "maxOutputTokens": entry(ui.number("Tokens at most", min=1, format="%d")),
        }
        system = entry(ui.textarea("Instructions beside its own")).props("autogrow")

    def options() -> dict[str, Any]:
        filled = {name: one.value for name, one in numbers.items() if one.value is not None}
        settings = {name: int(v) if v == int(v) else v for name, v in filled.items()}
        found = {"modelSettings": settings, "model": model.value, "system": system.value}
        return {name: value for name, value in found.items() if value}

    chat.options = options
    with ui.expansion("Its instructions").classes("w-full"):
        ui.label(wire["instructions"]).classes("told text-sm")
