"""What Anthropic demands of turns: that they alternate, that calls and results go in pairs.

A run that was stopped and a history that was cut leave the one without the other; a conversation
that began with another provider has ids in that one's letters, or the same ids again and again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from itertools import pairwise, takewhile
from typing import Any, Final

__all__ = ["THOUGHTS", "CallIds", "keep_last_marks", "may_think", "mended"]

THOUGHTS: Final = frozenset(("thinking", "redacted_thinking"))
"""The types of blocks that hold thinking."""

_ID: Final = re.compile(r"[a-zA-Z0-9_-]+")

_Block = dict[str, Any]


class CallIds:
    """Ids of calls in the letters that the API takes, none of them twice."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._last: dict[str, str] = {}
        self._open: dict[str, list[str]] = {}

    def of_call(self, given: str) -> str:
        """Return the id of a call."""
        stem = given
        if not _ID.fullmatch(given):
            mark = hashlib.sha256(given.encode("utf-8", "replace")).hexdigest()[:12]
            stem = f"{re.sub(r'[^a-zA-Z0-9_-]', '_', given)[:40]}_{mark}"
        found, number = stem, 1
        while found in self._used:
            number += 1
            found = f"{stem}_{number}"
        self._used.add(found)
        self._last[given] = found
        self._open.setdefault(given, []).append(found)
        return found

    def of_result(self, given: str) -> str:
        """Return the id of the call that a result answers: the first that has none."""
        waiting = self._open.get(given)
        return waiting.pop(0) if waiting else self._last.get(given, given)


def mended(turns: list[_Block]) -> list[_Block]:
    """Return turns as the API takes them."""
    _pair(turns)
    _pair_elsewhere(turns)
    _put_after_callers(turns)
    for turn in turns:
        if turn["role"] == "assistant":
            _end_turn(turn["content"], is_last=turn is turns[-1])
    return _alternating([turn for turn in turns if turn["content"]])


def _pair(turns: list[_Block]) -> None:
    """Give each call the result that has to follow it, and take out results of no call."""
    asked: dict[str, _Block] = {}
    for turn in turns:
        blocks: list[_Block] = turn["content"]
        if turn["role"] == "assistant":
            asked = {block["id"]: block for block in blocks if block["type"] == "tool_use"}
            continue
        results = {
            block["tool_use_id"]: block
            for block in blocks
            if block["type"] == "tool_result" and block["tool_use_id"] in asked
        }
        # Results have to come first; what else was said follows them.
        rest = [block for block in blocks if block["type"] != "tool_result"]
        given = [results.get(item) or _unanswered(call) for item, call in asked.items()]
        turn["content"] = [*given, *rest]
        asked = {}
    if asked:
        turns.append({"role": "user", "content": [*map(_unanswered, asked.values())]})


def _unanswered(call: _Block) -> _Block:
    return {
        "type": "tool_result",
        "tool_use_id": call["id"],
        "content": "The tool was not run.",
        "is_error": True,
        **({"toolset_name": call["toolset_name"]} if "toolset_name" in call else {}),
    }


def _pair_elsewhere(turns: list[_Block]) -> None:
    """Take out calls without a result, and results without a call, of tools that Anthropic runs.

    A call may wait at the end: for what was paused there, or for our tools that its code calls.
    """
    said = [block for turn in turns if turn["role"] == "assistant" for block in turn["content"]]
    answered = {block["tool_use_id"] for block in said if block["type"].endswith("_tool_result")}
    called = {block["id"] for block in said if _ran_there(block)}
    if answered == called:
        return
    for number, turn in enumerate(turns):
        if turn["role"] != "assistant":
            continue
        after = [block for later in turns[number + 1 :] for block in later["content"]]
        waits = all(block["type"] == "tool_result" for block in after)
        turn["content"] = [
            block
            for block in turn["content"]
            if (not _ran_there(block) or waits or block["id"] in answered)
            and (not block["type"].endswith("_tool_result") or block["tool_use_id"] in called)
        ]


def _put_after_callers(turns: list[_Block]) -> None:
    """Put what came of code that called our tools after their results, where it came.

    Storage keeps a result beside its call, and so before the calls that the code made.
    """
    spoken = [turn for turn in turns if turn["role"] == "assistant"]
    for turn, following in pairwise(spoken):
        callers: set[str] = {
            block["caller"]["tool_id"]
            for block in turn["content"]
            if block["type"] == "tool_use" and "tool_id" in (block.get("caller") or ())
        }
        early = [block for block in turn["content"] if _is_result_of(block, callers)]
        if early:
            turn["content"] = [item for item in turn["content"] if item not in early]
            following["content"][:0] = early


def _is_result_of(block: _Block, callers: set[str]) -> bool:
    return block["type"].endswith("_tool_result") and block["tool_use_id"] in callers


def _ran_there(block: _Block) -> bool:
    return block["type"].endswith("_tool_use")


def _end_turn(blocks: list[_Block], *, is_last: bool) -> None:
    """Mend the end of what the assistant said: a thought leads nowhere there."""
    while blocks and blocks[-1]["type"] in THOUGHTS:
        blocks.pop()
    if is_last and blocks and blocks[-1]["type"] == "text":
        blocks[-1]["text"] = blocks[-1]["text"].rstrip()


def _alternating(turns: list[_Block]) -> list[_Block]:
    """Return turns of which the first is the user's and no two of the same one follow."""
    found: list[_Block] = []
    for turn in turns:
        if found and found[-1]["role"] == turn["role"]:
            found[-1]["content"] += turn["content"]
        else:
            found.append(turn)
    if not found or found[0]["role"] == "assistant":
        # What was said before is not kept: the API wants the user to begin all the same.
        text = "(What was said before this is left out.)" if found else "Go on."
        found.insert(0, {"role": "user", "content": [{"type": "text", "text": text}]})
    return found


def may_think(turns: list[_Block]) -> bool:
    """Return whether the answer that is under way began with a thought, or has not begun.

    What another provider began, or this one without thinking, cannot go on with thoughts: the API
    refuses it.
    """
    under_way = takewhile(lambda turn: not _asks(turn), reversed(turns))
    said = [turn for turn in under_way if turn["role"] == "assistant"]
    return not said or said[-1]["content"][0]["type"] in THOUGHTS


def _asks(turn: _Block) -> bool:
    """Return whether a turn is of the user and says more than what tools gave."""
    return turn["role"] == "user" and any(item["type"] != "tool_result" for item in turn["content"])


def keep_last_marks(blocks: Iterable[_Block], *, most: int) -> None:
    """Leave as many marks for caching as a request may have: the last ones reach the furthest."""
    marked = [block for block in blocks if "cache_control" in block]
    for block in marked[: max(len(marked) - most, 0)]:
        del block["cache_control"]
