"""What clients of OpenAI's API send, as the body of a call of an agent.

What is not named passes unread: clients send much that only says how OpenAI is to work.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from pydantic import BaseModel, ConfigDict, Field

from mastra.jsonable import load_json
from mastra.server.errors import Refusal
from mastra.server.payloads import AgentBody

__all__ = ["ChatCompletionBody", "ResponsesBody", "chat_call", "client_tools_of", "responses_call"]

_CHOICES: Final = frozenset(("auto", "none", "required"))


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    model: str = Field(min_length=1, max_length=255)
    """The agent's key or id."""
    stream: bool | None = None
    """Whether the answer is streamed."""
    temperature: float | None = None
    top_p: float | None = None
    tools: list[dict[str, Any]] | None = None
    """What the client runs."""
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None


class ChatCompletionBody(_Body):
    """Of `POST /chat/completions`."""

    messages: list[dict[str, Any]] = Field(min_length=1)
    """The conversation."""
    stream_options: dict[str, Any] | None = None
    """`include_usage`."""
    n: int | None = None
    """How many answers: one."""
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    reasoning_effort: str | None = None
    response_format: dict[str, Any] | None = None


class ResponsesBody(_Body):
    """Of `POST /responses`."""

    input: str | list[dict[str, Any]]
    """What is said: text, or items."""
    instructions: str | None = None
    max_output_tokens: int | None = None
    previous_response_id: str | None = None
    """Nothing is kept, so there is none."""
    reasoning: dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


# -- what both ask for -------------------------------------------------------------------------


def client_tools_of(tools: list[dict[str, Any]] | None) -> dict[str, dict[str, Any]]:
    """Return the client's tools by name.

    Raises:
        Refusal: One of them is not a function, or has no name.
    """
    found: dict[str, dict[str, Any]] = {}
    for tool in tools or ():
        # Chat completions wrap the function, responses do not.
        function: Any = tool.get("function", tool)
        known = cast("dict[str, Any]", function if isinstance(function, dict) else {})
        name = known.get("name")
        if tool.get("type") != "function" or not isinstance(name, str):
            raise Refusal(400, "tools holds something that is not a function with a name.")
        found[name] = {
            "description": known.get("description") or name,
            "inputSchema": known.get("parameters") or {"type": "object", "properties": {}},
        }
    return found


def _choice(choice: Any) -> Any:
    if choice is None or (isinstance(choice, str) and choice in _CHOICES):
        return choice
    known = cast("dict[str, Any]", choice if isinstance(choice, dict) else {})
    function: Any = known.get("function", known)
    name = cast("dict[str, Any]", function).get("name") if isinstance(function, dict) else None
    if known.get("type") != "function" or not isinstance(name, str):
        raise Refusal(400, "tool_choice is auto, none, required, or names a function.")
    return {"type": "tool", "toolName": name}


def _form(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the schema that an answer is to meet."""
    if given is None:
        return None
    kind = given.get("type", "text")
    if kind == "text":
        return None
    if kind == "json_object":
        return {"schema": {"type": "object"}}
    # Chat completions wrap the schema, responses do not.
    wrapped: Any = given.get("json_schema", given)
    schema = cast("dict[str, Any]", wrapped).get("schema") if isinstance(wrapped, dict) else None
    if kind != "json_schema" or not isinstance(schema, dict):
        raise Refusal(400, "The format of the answer is text, json_object or a json_schema.")
    # As at OpenAI's, an answer that need not keep to it strictly is given as it came.
    is_strict = cast("dict[str, Any]", wrapped).get("strict") is True
    given_as_is = {} if is_strict else {"errorStrategy": "warn"}
    return {"schema": cast("dict[str, Any]", schema), **given_as_is}


def _call(body: _Body, messages: list[Any], form: Any, **settings: Any) -> AgentBody:
    asked = {
        "temperature": body.temperature,
        "topP": body.top_p,
        "parallelToolCalls": body.parallel_tool_calls,
        **settings,
    }
    return AgentBody(
        messages=messages,
        client_tools=client_tools_of(body.tools) or None,
        tool_choice=_choice(body.tool_choice),
        structured_output=form,
        model_settings={key: value for key, value in asked.items() if value is not None} or None,
    )


def chat_call(body: ChatCompletionBody) -> AgentBody:
    """Return a chat completion as a call of an agent.

    Raises:
        Refusal: It asks for something that there is not.
    """
    if body.n not in (None, 1):
        raise Refusal(400, "n is 1: an agent gives one answer.")
    return _call(
        body,
        body.messages,
        _form(body.response_format),
        maxOutputTokens=body.max_completion_tokens or body.max_tokens,
        stop=body.stop,
        seed=body.seed,
        presencePenalty=body.presence_penalty,
        frequencyPenalty=body.frequency_penalty,
        reasoning=body.reasoning_effort,
    )


# -- items of responses ------------------------------------------------------------------------


def _texts(item: Mapping[str, Any], *names: str) -> None:
    """Refuse an item that has something else where a text is needed."""
    for name in names:
        if not isinstance(item.get(name), str):
            raise Refusal(400, f"input holds a {item['type']} without a text as its {name}.")


def responses_call(body: ResponsesBody) -> AgentBody:
    """Return a response that is asked for as a call of an agent.

    Raises:
        Refusal: It asks for something that there is not.
    """
    if body.previous_response_id is not None:
        raise Refusal(
            400,
            "previous_response_id: responses are not kept here. Send the conversation in input.",
        )
    items = body.input
    messages = [{"role": "user", "content": items}] if isinstance(items, str) else _messages(items)
    call = _call(
        body,
        messages,
        _form(_format_of(body.text or {})),
        maxOutputTokens=body.max_output_tokens,
        reasoning=(body.reasoning or {}).get("effort"),
    )
    call.system = body.instructions
    return call


def _format_of(text: Mapping[str, Any]) -> dict[str, Any] | None:
    found: Any = text.get("format")
    if found is not None and not isinstance(found, dict):
        raise Refusal(400, "text.format is an object with a type.")
    return cast("dict[str, Any] | None", found)


def _messages(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names: dict[str, str] = {}
    messages: list[dict[str, Any]] = []
    for item in items:
        match item.get("type", "message"):
            case "message":
                messages.append(
                    {"role": item.get("role"), "content": _content(item.get("content"))}
                )
            case "function_call":
                _texts(item, "call_id", "name")
                names[item["call_id"]] = item["name"]
                # Calls that were asked for together are one answer.
                last = messages[-1] if messages else {}
                if last.get("role") != "assistant" or not isinstance(last.get("content"), list):
                    messages.append({"role": "assistant", "content": []})
                messages[-1]["content"].append(
                    {
                        "type": "tool-call",
                        "toolCallId": item["call_id"],
                        "toolName": item["name"],
                        "input": _loaded(item.get("arguments")),
                    }
                )
            case "function_call_output":
                _texts(item, "call_id")
                result = {
                    "type": "tool-result",
                    "toolCallId": item["call_id"],
                    "toolName": names.get(item["call_id"], ""),
                    "output": {"type": "json", "value": _output(item.get("output"))},
                }
                messages.append({"role": "tool", "content": [result]})
            case "reasoning":
                pass  # another answer's thoughts, which the agent's model may not know
            case kind:
                raise Refusal(400, f"input holds an item of type {str(kind)[:60]!r}.")
    return messages


def _content(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    return [_part(part) for part in cast("list[Any]", content)]


def _part(part: Any) -> Any:
    known = cast("dict[str, Any]", part if isinstance(part, dict) else {})
    if known.get("type") == "input_file" and "file_url" in known:
        return {"type": "file", "url": known["file_url"], "filename": known.get("filename")}
    if known.get("type") == "refusal":
        return {"type": "text", "text": str(known.get("refusal") or "")}
    return cast("Any", part)


def _output(output: Any) -> Any:
    if not isinstance(output, list):
        return output
    parts = [cast("dict[str, Any]", part) for part in output if isinstance(part, dict)]  # pyright: ignore[reportUnknownVariableType]
    if any(part.get("type") in ("input_image", "input_file") for part in parts):
        return {"type": "content", "value": parts}
    return "".join(str(part.get("text") or "") for part in parts)


def _loaded(arguments: Any) -> Any:
    try:
        return load_json(str(arguments or "{}"))
    except ValueError:
        return str(arguments)
