"""What a page of the AI SDK sends: a conversation as it shows it, and answers in its last message.

The page may be any program. Of an answer to something that waits only which run, which call and
the answer itself are taken; what is run is what is stored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic import Field

from mastra.jsonable import Json
from mastra.pages.facts import APPROVAL
from mastra.server.caller_messages import plain_messages
from mastra.server.errors import Refusal
from mastra.server.payloads import AgentBody, Identifier, StartBody

__all__ = [
    "Approval",
    "ChatBody",
    "PageMessage",
    "WorkflowChatBody",
    "answered_approvals",
    "asked_again",
    "asking_runs",
    "calls_of",
    "model_messages",
    "page_messages",
    "results_of_page",
]

PageMessage = dict[str, Any]
"""A message as the page has it: `id`, `role`, `parts`."""

_ROLES: Final = frozenset(("system", "user", "assistant"))
_MODEL_PARTS: Final = frozenset(
    ("text", "reasoning", "file", "source-url", "source-document", "dynamic-tool")
)
"""What is read of a message; a page shows other parts too, such as `data-…`, and newer ones."""
_OURS: Final = ("agent-", "workflow-")
"""What the names of agents and workflows as tools begin with."""
_OUTPUT: Final = frozenset(("output-available", "output-error"))


class ChatBody(AgentBody):
    """Of the route that answers a page's chat with an agent."""

    id: Identifier | None = None
    """The chat."""
    messages: str | list[Any] | dict[str, Any] = Field(default_factory=list[Any])
    """The conversation as the page has it, or its last message."""
    trigger: str | None = None
    """`submit-message` or `regenerate-message`."""
    message_id: Identifier | None = None
    """The message that is sent again, goes on, or is answered anew."""
    resume_data: Any = None
    """What a suspended tool of `runId` waits for."""
    tool_call_id: Identifier | None = None
    """Which call, where several wait."""


class WorkflowChatBody(StartBody):
    """Of the route that runs a workflow for a page."""

    id: Identifier | None = None
    """The chat."""
    messages: list[Any] = Field(default_factory=list[Any])
    """The conversation as the page has it."""
    run_id: Identifier | None = None
    """The run: a new one's id, or which is resumed."""
    resume_data: Any = None
    """What a suspended step waits for."""
    step: Identifier | list[Identifier] | None = None
    """Which suspended step."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's answer to a call that waits for approval."""

    run_id: str
    """The run that waits."""
    call_id: str
    """The call."""
    tool_name: str
    """What the page says is called."""
    args: Json
    """With what, as the page says."""
    approved: bool
    """The answer."""
    reason: str | None = None
    """Why."""
    is_of_another: bool = False
    """Whether it is an agent that the call asks, whose own call waits."""


def page_messages(given: Any) -> list[PageMessage]:
    """Return the messages of a body.

    Raises:
        Refusal: They are none.
    """
    listed = [{"role": "user", "parts": [{"type": "text", "text": given}]}] if given else []
    if not isinstance(given, str):
        listed = cast("list[Any]", given if isinstance(given, list) else [given])
    for message in listed:
        known = cast("dict[str, Any]", message if isinstance(message, dict) else {})
        role: Any = known.get("role")
        if (
            not isinstance(role, str)
            or role not in _ROLES
            or not isinstance(known.get("id"), str | None)
        ):
            raise Refusal(400, "A message needs a role (system, user, assistant) and parts.")
        if known.get("content") is not None and "parts" not in known:  # as programs write them
            content = known.pop("content")
            is_text = isinstance(content, str)
            known["parts"] = [{"type": "text", "text": content}] if is_text else content
        parts: Any = known.get("parts", [])
        if not isinstance(parts, list) or not all(map(_is_part, cast("list[Any]", parts))):
            raise Refusal(400, "The parts of a message are a list of objects with a type.")
    return listed


def _is_part(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(cast("dict[str, Any]", part).get("type"), str)


def asked_again(messages: list[PageMessage]) -> list[PageMessage]:
    """Return a conversation without the answers at its end, which are to be given anew."""
    kept = [*messages]
    while kept and kept[-1]["role"] == "assistant":
        kept.pop()
    return kept


# -- calls in a message ------------------------------------------------------------------------


def _tool_name(part: Mapping[str, Any]) -> str | None:
    """Return the tool of a part that shows a call; `None` of any other part."""
    kind = part["type"]
    if kind == "dynamic-tool":
        name = part.get("toolName")
    else:
        name = kind.removeprefix("tool-") if kind.startswith("tool-") else None
    return name if isinstance(name, str) and isinstance(part.get("toolCallId"), str) else None


def _calls(message: PageMessage) -> Iterator[tuple[str, dict[str, Any]]]:
    for part in message.get("parts", ()):
        name = _tool_name(part)
        if name is not None:
            yield name, part


def _last_step(message: PageMessage) -> PageMessage:
    parts: list[dict[str, Any]] = message.get("parts", [])
    starts = [place for place, part in enumerate(parts) if part["type"] == "step-start"]
    return {**message, "parts": parts[starts[-1] :] if starts else parts}


def calls_of(message: PageMessage) -> set[str]:
    """Return the ids of the calls that a message shows."""
    return {part["toolCallId"] for _, part in _calls(message)}


def answered_approvals(message: PageMessage) -> list[Approval]:
    """Return the answers of a person that an assistant's message holds.

    Raises:
        Refusal: One of them is not an answer to a call of its own.
    """
    found: list[Approval] = []
    for name, part in _calls(message):
        if part.get("state") != "approval-responded":
            continue
        given: Any = part.get("approval")
        approval = cast("dict[str, Any]", given if isinstance(given, dict) else {})
        run_id, separator, call_id = str(approval.get("id") or "").partition(APPROVAL)
        approved, reason = approval.get("approved"), approval.get("reason")
        if not separator or call_id != part["toolCallId"] or not isinstance(approved, bool):
            raise Refusal(400, "An approval needs the id that was asked for, and approved.")
        why = reason if isinstance(reason, str) and reason else None
        found.append(Approval(run_id, call_id, name, part.get("input"), approved, why))
    return found


def asking_runs(message: PageMessage) -> list[str]:
    """Return the runs that an assistant's message shows as waiting for a person."""
    found: dict[str, None] = {}
    for part in message.get("parts", ()):
        given: Any = part.get("approval")
        if isinstance(given, dict) and part.get("state") == "approval-requested":
            run_id, separator, _ = str(cast("Any", given).get("id") or "").partition(APPROVAL)
            found |= {run_id: None} if separator else {}
        elif part["type"] == "data-tool-call-suspended":
            data: Any = part.get("data")
            run_id = cast("Any", data).get("runId") if isinstance(data, dict) else None
            found |= {run_id: None} if isinstance(run_id, str) else {}
    return [*found]


def results_of_page(message: PageMessage, own: Collection[str]) -> list[dict[str, Any]]:
    """Return what came of the calls of a message's last step that the page has run.

    Args:
        message: The message.
        own: The tools that run here: of those no page can tell.
    """
    found: list[dict[str, Any]] = []
    for name, part in _calls(_last_step(message)):
        # Text, or something else in its place, which is no state.
        is_done = str(part.get("state")) in _OUTPUT and part.get("preliminary") is not True
        is_ours = name in own or name.startswith(_OURS)
        if not is_done or is_ours or part.get("providerExecuted"):
            continue
        is_error = part["state"] == "output-error"
        output: Any = str(part.get("errorText") or "") if is_error else part.get("output")
        found.append({
            "type": "tool-result",
            "toolCallId": part["toolCallId"],
            "toolName": name,
            "input": part.get("input"),
            "output": {"type": "json", "value": output},
            "isError": is_error,
        })  # fmt: skip
    return found


# -- what the model is told --------------------------------------------------------------------


def model_messages(messages: list[PageMessage]) -> list[Any]:
    """Return a page's messages as they go to an agent: each step of an answer as one."""
    return plain_messages([made for message in messages for made in _steps(message)])


def _steps(message: PageMessage) -> Iterator[dict[str, Any]]:
    role, given_id = message["role"], message.get("id")
    rest: dict[str, Any] = {}
    if role == "user" and isinstance(message.get("metadata"), dict):
        rest["metadata"] = message["metadata"]
    said: list[dict[str, Any]] = []
    pieces: list[tuple[str, list[dict[str, Any]]]] = [(role, said)]
    for part in message.get("parts", ()):
        kind = part["type"]
        if kind == "step-start":
            said = []
            pieces.append((role, said))
        elif kind == "steering-message":
            # What the user said while the answer came.
            pieces.append(("user", [*filter(_is_read, part.get("parts") or ())]))
            said = []
            pieces.append((role, said))
        elif _is_read(part):
            said.append(_read(part))
    whole = [piece for piece in pieces if piece[1]] or pieces[:1]
    for place, (speaker, parts) in enumerate(whole):
        made: dict[str, Any] = {"role": speaker, "parts": parts, **rest}
        if given_id:
            made["id"] = f"{given_id}-{place}" if place else given_id
        yield made


def _is_read(part: Any) -> bool:
    if not _is_part(part):
        return False
    kind = part["type"]
    if kind == "file":
        return isinstance(part.get("url"), str)
    if kind in {"text", "reasoning"}:
        return isinstance(part.get("text"), str)
    return _tool_name(part) is not None or kind in _MODEL_PARTS - {"dynamic-tool"}


def _read(part: dict[str, Any]) -> dict[str, Any]:
    name = _tool_name(part)
    # A tool may be called `call` or `result`, and then its type says something else too.
    return part if name is None else {**part, "type": "dynamic-tool", "toolName": name}
