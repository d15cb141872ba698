"""Puts tool calls together from the pieces of a chat completion.

A piece belongs to the call of its index; without one, to the call of its id; with neither, it
begins a call where it has a name, and goes on with the last otherwise. What a provider says twice,
or not at all, is made to differ: each call has an id of its own. The name may come after the call
has begun, in pieces too; what ends without name and arguments was none.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from mastra.ids import new_id
from mastra.models.chunks import ModelChunk, ToolCallDelta, ToolCallEnd, ToolCallStart

__all__ = ["CallAssembly"]

_NOTHING: Final[dict[str, Any]] = {}


class _Call:
    """A tool call whose arguments are still arriving."""

    __slots__ = ("depth", "ended", "given_id", "held", "id", "name", "own", "pieces", "told")

    def __init__(self, name: str) -> None:
        self.id = ""
        self.given_id: str | None = None
        """As the provider said it."""
        self.name = name
        self.pieces: list[str] = []
        self.held = ""
        """Arguments that came before its name, or an empty object that others may follow."""
        self.depth = 0
        """Braces that are open, those inside of text counted too."""
        self.told = False
        """Whether it is known that it began; its name may come in pieces until its arguments do."""
        self.ended = False
        self.own: dict[str, Any] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether its arguments may be all: another call of the same name is another call."""
        return self.ended or self.held == "{}"


class CallAssembly:
    """The tool calls of one answer."""

    __slots__ = ("_by_index", "_calls", "_provider", "_taken")

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._taken: set[str] = set()

    def absorb(self, piece: dict[str, Any], out: list[ModelChunk]) -> None:
        """Take a piece in."""
        function: dict[str, Any] = piece.get("function") or _NOTHING
        call = self._call_of(piece, function)
        if call is None:
            call = self._begin(piece, function)
        elif not call.told and function.get("name") not in {None, call.name}:
            call.name += function["name"]
        if piece.get("extra_content"):
            # Gemini's signature of a thought, through its compatible API.
            call.own = {self._provider: {"extra_content": piece["extra_content"]}}
        args = function.get("arguments")
        if args and not isinstance(args, str):
            args = orjson.dumps(args).decode()
        if args and not call.ended:
            self._add(call, args, out)

    def _add(self, call: _Call, args: str, out: list[ModelChunk]) -> None:
        if not call.pieces:
            # The name may come later; and some begin with an object that is empty before the real
            # one follows: which of them it is shows when the answer ends.
            call.held = _without_empty(call.held + args)
            if not call.name or call.held == "{}":
                return
            args, call.held = call.held, ""
        _tell(call, out)
        call.pieces.append(args)
        out.append(ToolCallDelta(call.id, args))
        call.depth += args.count("{") - args.count("}")
        # A whole object cannot go on, so the tool may start while the model goes on.
        if call.depth == 0 and args.rstrip()[-1:] == "}" and _is_json("".join(call.pieces)):
            _end(call, out)

    def _call_of(self, piece: dict[str, Any], function: dict[str, Any]) -> _Call | None:
        """Return the call that a piece goes on with; `None` where it begins one."""
        index, given, name = piece.get("index"), piece.get("id") or None, function.get("name")
        if isinstance(index, int):
            call = self._by_index.get(index)
            if call is not None and not call.name and call.given_id is None:
                self._name(call, given)
            if call is None or given in {None, call.given_id}:
                return call
            # A known index under another id: servers that count nothing say 0 for every call.
            return next((c for c in self._calls if c.given_id == given), None if name else call)
        if given is not None:
            known = next((c for c in reversed(self._calls) if c.given_id == given), None)
            return None if known is not None and known.is_whole and name else known
        last = self._calls[-1] if self._calls else None
        return None if last is None or (name and (last.is_whole or name != last.name)) else last

    def _begin(self, piece: dict[str, Any], function: dict[str, Any]) -> _Call:
        call = _Call(function.get("name") or "")
        self._name(call, piece.get("id") or None)
        self._calls.append(call)
        if isinstance(piece.get("index"), int):
            self._by_index[piece["index"]] = call
        return call

    def _name(self, call: _Call, given: str | None) -> None:
        call.given_id = given
        call.id = given if given and given not in self._taken else f"call_{new_id()}"
        self._taken.add(call.id)

    @property
    def lacks_name(self) -> bool:
        """Whether there are arguments for a tool that was never named."""
        return any(call.held and not call.name for call in self._calls)

    def finish(self, out: list[ModelChunk]) -> bool:
        """End the calls that are still open; return whether there is any."""
        named = [call for call in self._calls if call.name]
        for call in named:
            _end(call, out)
        return bool(named)


def _without_empty(args: str) -> str:
    """Return arguments without the empty objects that stand before the real one."""
    args = args.lstrip()
    while args.startswith("{}") and args[2:].strip():
        args = args[2:].lstrip()
    return args.strip() if args.strip() == "{}" else args


def _tell(call: _Call, out: list[ModelChunk]) -> None:
    if not call.told:
        call.told = True
        out.append(ToolCallStart(call.id, call.name))


def _end(call: _Call, out: list[ModelChunk]) -> None:
    if not call.ended:
        _tell(call, out)
        if call.held:
            call.pieces.append(call.held)
            out.append(ToolCallDelta(call.id, call.held))
        call.ended = True
        args = "".join(call.pieces)
        out.append(ToolCallEnd(call.id, call.name, args, provider_metadata=call.own))


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
