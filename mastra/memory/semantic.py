"""Semantic recall: what was said before that is like what is asked."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from mastra.clock import datetime_from_ms
from mastra.errors import ConfigError, MastraError
from mastra.given import COUNT, COUNT_FROM_1, MAPPING, Form, check_given, check_names, either
from mastra.jsonable import Json
from mastra.logs import get_logger
from mastra.models.embedding import Embedder, embedded, model_id_of
from mastra.storage.conversations import MemoryStore, StoredMessage
from mastra.storage.vectors import MessageMatch, MessageVector, Vectors, unit

__all__ = [
    "Recaller",
    "SemanticRecall",
    "TextVectors",
    "about_other_threads",
    "recall_with",
    "semantic_recall_of",
]

_KEPT_TEXTS = 256


def _is_likeness(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -1 <= value <= 1


_FORMS: Final = {
    "top_k": COUNT_FROM_1,
    "message_range": either(COUNT, MAPPING),
    "threshold": Form("a number from -1 to 1", _is_likeness),
}


@dataclass(frozen=True)
class SemanticRecall:
    """What an agent is shown beside the latest messages.

    Args:
        top_k: How many messages like the question are looked for.
        message_range: How many messages before and after each are shown with it: a number, or
            `{"before": …, "after": …}`.
        scope: All threads of the resource, or the thread alone.
        threshold: The least likeness, from -1 to 1; left out, whatever is nearest.
    """

    top_k: int = 4
    message_range: int | Mapping[str, int] = 1
    scope: Literal["resource", "thread"] = "resource"
    threshold: float | None = None

    def __post_init__(self) -> None:
        check_given("SemanticRecall", vars(self), _FORMS)
        if self.scope not in ("resource", "thread"):
            raise ConfigError(f"The scope of recall is 'resource' or 'thread', not {self.scope!r}.")
        odd = {} if isinstance(self.message_range, int) else dict(self.message_range)
        if odd.keys() - {"before", "after"} or min(self.before, self.after) < 0:
            raise ConfigError(
                f"message_range is {self.message_range!r}: give a number from 0, or "
                "{'before': ..., 'after': ...}."
            )

    @property
    def before(self) -> int:
        """How many messages before each are shown."""
        return self._side("before")

    @property
    def after(self) -> int:
        """How many messages after each are shown."""
        return self._side("after")

    def _side(self, name: str) -> int:
        wanted = self.message_range
        return wanted if isinstance(wanted, int) else wanted.get(name, 0)

    def to_wire(self) -> dict[str, Json]:
        """Return Mastra's JSON."""
        wire: dict[str, Json] = {
            "topK": self.top_k,
            "messageRange": {"before": self.before, "after": self.after},
            "scope": self.scope,
        }
        return wire if self.threshold is None else {**wire, "threshold": self.threshold}


_SPELLINGS = {"topK": "top_k", "messageRange": "message_range"}


def semantic_recall_of(
    value: SemanticRecall | Mapping[str, Any] | bool | None,
) -> SemanticRecall | None:
    """Return what a caller wrote as semantic recall.

    Raises:
        ConfigError: There is no option of that name.
    """
    if value is None or isinstance(value, bool):
        return SemanticRecall() if value else None
    if isinstance(value, SemanticRecall):
        return value
    known = {_SPELLINGS.get(key, key): item for key, item in value.items()}
    check_names("Semantic recall has no option", known, SemanticRecall.__annotations__)
    return SemanticRecall(**known)


def recall_with(
    embedder: Embedder | None, value: SemanticRecall | Mapping[str, Any] | bool | None
) -> SemanticRecall | None:
    """Return what a caller wrote as semantic recall, if an embedder can do it.

    Raises:
        ConfigError: There is no embedder, or no option of that name.
    """
    recall = semantic_recall_of(value)
    if recall is not None and embedder is None:
        raise ConfigError(
            "Memory(semantic_recall=...) needs an embedder, which tells what texts mean: pass "
            "embedder='openai/text-embedding-3-small', or a function of a list of texts."
        )
    return recall


class TextVectors:
    """Embeds texts, and keeps the vectors of the latest.

    A question is looked for first and stored afterwards, and is embedded once.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._kept: OrderedDict[str, Sequence[float]] = OrderedDict()
        self.model = model_id_of(embedder)

    async def of(self, texts: Mapping[str, str]) -> dict[str, Sequence[float]]:
        """Return vectors by digest, for texts by digest."""
        # Taken before it waits: others may push them out meanwhile.
        known = {digest: self._kept[digest] for digest in texts if digest in self._kept}
        missing = {digest: text for digest, text in texts.items() if digest not in known}
        made = await embedded(self._embedder, list(missing.values()))
        fresh = dict(zip(missing, map(unit, made), strict=True))
        self._kept.update(fresh)
        while len(self._kept) > _KEPT_TEXTS:
            self._kept.popitem(last=False)
        return {**known, **fresh}


class Recaller:
    """Embeds messages that are stored, and finds those like a text.

    Args:
        store: Where messages are.
        texts: Tells what they mean.
        recall: What to find.
        vectors: Where vectors are; left out, in the store.

    Raises:
        ConfigError: The store keeps no vectors.
    """

    def __init__(
        self,
        store: MemoryStore,
        texts: TextVectors,
        recall: SemanticRecall,
        vectors: Vectors | None = None,
    ) -> None:
        vectors = vectors or cast("Vectors | None", getattr(store, "vectors", None))
        if vectors is None:
            raise ConfigError(
                f"{type(store).__name__} keeps no vectors (it has no attribute `vectors`): give "
                "Memory(semantic_recall=...) some that do, as Memory(vectors=...)."
            )
        self._store = store
        self._vectors = vectors
        self._texts = texts
        self._recall = recall

    async def index(self, messages: Sequence[StoredMessage]) -> None:
        """Embed messages, unless that has been done with the text they have."""
        texts = {message.id: text for message in messages if (text := text_of(message))}
        digests = {name: _digest(text) for name, text in texts.items()}
        model = self._texts.model
        try:
            known = await self._vectors.digests(list(texts), model=model)
            fresh = [name for name in texts if known.get(name) != digests[name]]
            found = await self._texts.of({digests[name]: texts[name] for name in fresh})
            owners = {message.id: (message.thread_id, message.resource_id) for message in messages}
            await self._vectors.upsert(
                [
                    MessageVector(name, model, digests[name], found[digests[name]], *owners[name])
                    for name in fresh
                ]
            )
        except MastraError as error:
            get_logger({"embedder": model}).warning(
                "%d messages are stored and cannot be found by what they mean: %s",
                len(texts),
                error,
            )

    async def search(
        self,
        text: str,
        *,
        thread_id: str | None,
        resource_id: str | None,
        top_k: int | None = None,
    ) -> list[tuple[StoredMessage, float]]:
        """Return messages like a text with their scores, the best first."""
        matches = await self._matches(
            text, thread_id=thread_id, resource_id=resource_id, top_k=top_k
        )
        page = await self._store.list_messages(ids=[match.message_id for match in matches])
        stored = {message.id: message for message in page.messages}
        return [
            (stored[match.message_id], match.score)
            for match in matches
            if match.message_id in stored
        ]

    async def find(
        self, text: str, *, thread_id: str, resource_id: str | None
    ) -> list[StoredMessage]:
        """Return messages like a text with those around them, the oldest first."""
        recall = self._recall
        is_wide = recall.scope == "resource" and resource_id is not None
        matches = await self._matches(
            text,
            thread_id=None if is_wide else thread_id,
            resource_id=resource_id if is_wide else None,
        )
        return await self._store.list_around(
            [match.message_id for match in matches], before=recall.before, after=recall.after
        )

    async def _matches(
        self,
        text: str,
        *,
        thread_id: str | None,
        resource_id: str | None,
        top_k: int | None = None,
    ) -> list[MessageMatch]:
        digest = _digest(text)
        found = await self._texts.of({digest: text})
        return await self._vectors.query(
            found[digest],
            model=self._texts.model,
            top_k=top_k or self._recall.top_k,
            thread_id=thread_id,
            resource_id=resource_id,
            threshold=self._recall.threshold,
        )


def text_of(message: StoredMessage) -> str:
    """Return what a stored message says, without its tool calls."""
    content = message.content
    if content.get("content"):
        return str(content["content"])
    parts: Any = content.get("parts")
    known = cast("list[Any]", parts if isinstance(parts, list) else [])
    texts = [cast("dict[str, Any]", part) for part in known if isinstance(part, dict)]
    return "\n".join(str(part.get("text", "")) for part in texts if part.get("type") == "text")


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def about_other_threads(messages: Sequence[StoredMessage]) -> str:
    """Return what the agent is told of messages that belong to other conversations."""
    lines: list[str] = []
    day = ""
    for message in messages:
        text = text_of(message)
        if not text:
            continue
        when = datetime_from_ms(message.created_at)
        this_day = f"{when.year}, {when:%b}, {when.day}"
        if this_day != day:
            lines.append(f"the following messages are from {this_day}")
            day = this_day
        clock = f"{when.hour % 12 or 12}:{when.minute:02} {'AM' if when.hour < 12 else 'PM'}"
        lines.append(
            f"Message from previous conversation at {clock}: {message.role.capitalize()}: {text}"
        )
    told = "\n".join(lines)
    return (
        "The following messages were remembered from a different conversation:\n"
        f"<remembered_from_other_conversation>\n{told}\n"
        "<end_remembered_from_other_conversation>"
    )
