"""OpenAI's responses API on the wire: streamed events in. Pure functions and a decoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from mastra.ids import new_id
from mastra.models.chunks import (
    BlockEnd,
    FileChunk,
    FinishChunk,
    FinishReason,
    ModelChunk,
    ProviderItem,
    ProviderToolResult,
    ReasoningDelta,
    ReasoningSignature,
    ResponseMetadata,
    SourceChunk,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from mastra.models.foreign_json import counts_of, object_of, objects_in
from mastra.models.openai_wire import moment_of, usage_of
from mastra.models.sse_decoder import SseDecoder

__all__ = ["ResponsesDecoder"]

_INCOMPLETE: Final[Mapping[str, FinishReason]] = {
    "max_output_tokens": "length",
    "content_filter": "content-filter",
}

_RUN_THERE: Final = frozenset((
    "code_interpreter_call",
    "file_search_call",
    "image_generation_call",
    "mcp_call",
    "tool_search_call",
    "web_search_call",
))  # fmt: skip
"""Items that say what the provider ran. Others that are not known go back as they came."""

_ABOUT: Final = frozenset(("error", "id", "status", "type"))


class ResponsesDecoder(SseDecoder):
    """Events of the responses API to model chunks."""

    __slots__ = (
        "_calls", "_finish", "_has_calls", "_has_said", "_has_thought", "_open", "_searches",
        "_taken",
    )  # fmt: skip

    def __init__(self, model_id: str, *, include_raw: bool = False) -> None:
        super().__init__(model_id, include_raw=include_raw)
        self._calls: dict[object, str] = {}
        """The ids of calls, by the item's id and by its place."""
        self._open: dict[object, str] = {}
        """Of tools that the provider runs: those begun."""
        self._searches: list[str] = []
        """Searches for tools whose finds are still to come, each as an item of its own."""
        self._taken: set[str] = set()
        self._has_calls = False
        self._has_said = self._has_thought = False
        """Whether the item under way came in pieces."""
        self._finish: FinishChunk | None = None

    def event(self, event: dict[str, Any], out: list[ModelChunk]) -> None:
        """Take one event in."""
        kind: str = event.get("type", "")
        match kind:
            case "response.output_text.delta" | "response.refusal.delta":
                if event["delta"]:
                    self._has_said = True
                    out.append(TextDelta(event["delta"]))
            case "response.function_call_arguments.delta":
                call_id = self._call_of(event)
                if call_id is not None and event["delta"]:
                    out.append(ToolCallDelta(call_id, event["delta"]))
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                if event["delta"]:
                    self._has_thought = True
                    out.append(ReasoningDelta(event["delta"]))
            case "response.output_item.added":
                self._item_added(event, event["item"], out)
            case "response.output_item.done":
                self._item_done(event, event["item"], out)
            case _:
                self._rare(kind, event, out)

    def _rare(self, kind: str, event: dict[str, Any], out: list[ModelChunk]) -> None:
        match kind:
            case "response.created":
                response = object_of(event.get("response"))
                created = moment_of(response.get("created_at"))
                out.append(ResponseMetadata(response.get("id"), response.get("model"), created))
            case "response.output_text.annotation.added":
                self._annotated(object_of(event.get("annotation")), out)
            case "response.reasoning_summary_part.added":
                if event.get("summary_index"):
                    out.append(ReasoningDelta("\n\n"))
            case "response.completed" | "response.incomplete":
                self._end(event["response"], out)
            case "response.failed":
                response = object_of(event.get("response"))
                raise self.fail(response.get("error") or "it gave no reason")
            case "error":
                raise self.fail(event.get("error") or event)
            case _:
                if not kind and (event.get("error") or event.get("message")):
                    raise self.fail(event)
                if event.get("object") == "response":
                    self._at_once(event, out)

    def _at_once(self, response: dict[str, Any], out: list[ModelChunk]) -> None:
        """Take in a response of a server that does not stream."""
        self._rare("response.created", {"response": response}, out)
        for place, item in enumerate(objects_in(response.get("output"))):
            self._item_done({"output_index": place}, item, out)
        status = response.get("status")
        kind = "response.failed" if status == "failed" else "response.completed"
        self._rare(kind, {"response": response}, out)

    def _call_of(self, event: Mapping[str, Any]) -> str | None:
        # Servers that are compatible give some calls no item id, or the same one twice.
        place = event.get("output_index")
        found = self._calls.get(place) if place is not None else None
        return found or self._calls.get(event.get("item_id"))

    def _item_added(
        self, event: Mapping[str, Any], item: dict[str, Any], out: list[ModelChunk]
    ) -> None:
        kind = item["type"]
        if kind == "function_call":
            if not item.get("name"):
                raise self.nameless()
            given = item.get("call_id") or item.get("id")
            call_id = given if given and given not in self._taken else f"call_{new_id()}"
            self._taken.add(call_id)
            self._calls[item.get("id")] = self._calls[event.get("output_index")] = call_id
            self._has_calls = True
            out.append(ToolCallStart(call_id, item["name"]))
        elif kind in _RUN_THERE:
            call_id = self._open[event.get("output_index")] = item.get("id") or new_id()
            out.append(ToolCallStart(call_id, _tool_name(item), provider_executed=True))

    def _item_done(
        self, event: Mapping[str, Any], item: dict[str, Any], out: list[ModelChunk]
    ) -> None:
        kind, own = item["type"], {self.provider: {"item": item}}
        match kind:
            case "function_call":
                if self._call_of({**event, "item_id": item.get("id")}) is None:
                    self._item_added(event, item, out)
                call_id = self._call_of({**event, "item_id": item.get("id")}) or item["call_id"]
                owned = {self.provider: {"itemId": item["id"]}} if item.get("id") else None
                arguments: Any = item.get("arguments") or ""
                if not isinstance(arguments, str):
                    arguments = orjson.dumps(arguments).decode()
                call = ToolCallEnd(call_id, item["name"], arguments, provider_metadata=owned)
                out.append(call)
            case "reasoning":
                if not self._has_thought:
                    told = [*objects_in(item.get("summary")), *objects_in(item.get("content"))]
                    thought = "\n\n".join(str(part.get("text") or "") for part in told)
                    out += [ReasoningDelta(thought)] if thought else []
                self._has_thought = False
                out.append(ReasoningSignature(orjson.dumps(item).decode()))
                out.append(BlockEnd("reasoning"))
            case "message":
                if not self._has_said:
                    self._said_at_once(item, out)
                self._has_said = False
                kept = {"itemId": item.get("id"), "phase": item.get("phase")}
                kept = {key: value for key, value in kept.items() if value}
                out.append(BlockEnd("text", {self.provider: kept} if kept else None))
            case "tool_search_output":
                self._searched_tools(item, out)
            case _ if kind in _RUN_THERE:
                self._ran(event, item, out)
            case _:
                out.append(ProviderItem(self.provider, own[self.provider]["item"]))

    def _said_at_once(self, item: dict[str, Any], out: list[ModelChunk]) -> None:
        """Take in what a message says of which no piece came before."""
        for part in objects_in(item.get("content")):
            text = part.get("text") or part.get("refusal")
            if text:
                out.append(TextDelta(text))
                for note in objects_in(part.get("annotations")):
                    self._annotated(note, out)

    def _ran(self, event: Mapping[str, Any], item: dict[str, Any], out: list[ModelChunk]) -> None:
        """Take in what a tool of the provider's was asked and what it gave."""
        call_id = self._open.get(event.get("output_index"))
        if call_id is None:
            self._item_added(event, item, out)
            call_id = self._open[event.get("output_index")]
        name, kind = _tool_name(item), item["type"]
        picture = item.get("result") if kind == "image_generation_call" else None
        if picture:
            # The picture itself is kept once, as a file.
            item = {key: value for key, value in item.items() if key != "result"}
        own = {self.provider: {"item": item}}
        args, result = _asked_and_given(item)
        text = args if isinstance(args, str) else orjson.dumps(args).decode()
        out.append(ToolCallEnd(call_id, name, text, provider_executed=True, provider_metadata=own))
        if picture:
            media = f"image/{item.get('output_format') or 'png'}"
            out.append(FileChunk(picture, media, {self.provider: {"itemId": item.get("id")}}))
        if kind == "tool_search_call":
            self._searches.append(call_id)
            return
        is_error = bool(item.get("error")) or item.get("status") == "failed"
        out.append(ProviderToolResult(call_id, name, result, is_error=is_error))

    def _searched_tools(self, item: dict[str, Any], out: list[ModelChunk]) -> None:
        if not self._searches:
            out.append(ProviderItem(self.provider, item))
            return
        own = {self.provider: {"item": item}}
        found = {"tools": [tool.get("name") for tool in objects_in(item.get("tools"))]}
        call_id = self._searches.pop(0)
        out.append(ProviderToolResult(call_id, "tool_search", found, provider_metadata=own))

    def _annotated(self, note: dict[str, Any], out: list[ModelChunk]) -> None:
        own: dict[str, Any] = {self.provider: note}
        if note.get("url"):
            title = note.get("title")
            out.append(SourceChunk(note["url"], note["url"], title, provider_metadata=own))
        elif note.get("file_id"):
            name = note.get("filename")
            out.append(
                SourceChunk(
                    note["file_id"],
                    title=name,
                    source_type="document",
                    filename=name,
                    provider_metadata=own,
                )
            )

    def _end(self, response: dict[str, Any], out: list[ModelChunk]) -> None:
        reason: FinishReason = "tool-calls" if self._has_calls else "stop"
        details = object_of(response.get("incomplete_details"))
        raw: str | None = details.get("reason")
        if raw is not None:
            reason = _INCOMPLETE.get(raw, "other")
        usage = response.get("usage")
        own: dict[str, Any] = {"responseId": response.get("id")}
        self._finish = FinishChunk(
            reason,
            raw,
            Usage() if usage is None else _usage(usage),
            {self.provider: own} if own["responseId"] else None,
        )
        self.finish(out)

    def is_complete(self) -> bool:
        """Return whether the response said that it had ended."""
        return self._finish is not None

    def finish(self, out: list[ModelChunk]) -> None:
        """Take the end in.

        Raises:
            ModelError: There was none.
        """
        if self._finish is None:
            raise self.cut()
        self.done = True
        out.append(self._finish)


def _tool_name(item: Mapping[str, Any]) -> str:
    kind: str = item["type"]
    if kind == "mcp_call":
        return str(item.get("name") or "mcp")
    return kind.removesuffix("_call")


def _asked_and_given(item: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the arguments and the result of a tool that the provider ran."""
    match item["type"]:
        case "mcp_call":
            given = item.get("error") or item.get("output")
            return item.get("arguments") or "", given
        case "code_interpreter_call":
            asked = {"code": item.get("code"), "containerId": item.get("container_id")}
            return asked, {"outputs": item.get("outputs")}
        case "file_search_call":
            return {"queries": item.get("queries")}, {"results": item.get("results")}
        case "web_search_call":
            return item.get("action") or {}, {"status": item.get("status")}
        case "tool_search_call":
            return item.get("arguments") or {}, None
        case _:
            kept = {key: value for key, value in item.items() if key not in _ABOUT}
            return {}, {"status": item.get("status"), **kept}


def _usage(said: object) -> Usage:
    usage = counts_of(said)
    read = object_of(usage.get("input_tokens_details"))
    written = object_of(usage.get("output_tokens_details"))
    return usage_of(
        usage.get("input_tokens"),
        usage.get("output_tokens"),
        usage.get("total_tokens"),
        read.get("cached_tokens") or 0,
        written.get("reasoning_tokens") or 0,
        dict(object_of(said)),
        read.get("cache_write_tokens"),
    )
