"""What Anthropic's answers cite, as sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mastra.ids import new_id
from mastra.models.chunks import SourceChunk
from mastra.names import camel

__all__ = ["Document", "source_of"]


@dataclass(frozen=True, slots=True)
class Document:
    """A file that an answer may cite."""

    title: str | None
    media_type: str
    filename: str | None


def source_of(note: Mapping[str, Any], documents: Sequence[Document]) -> SourceChunk:
    """Return what a citation cites."""
    own: dict[str, Any] = {"citedText": note.get("cited_text")}
    url = note.get("url")
    if url is not None:
        return SourceChunk(new_id(), url, note.get("title"), provider_metadata={"anthropic": own})
    for key, value in note.items():
        if "_" in key and key not in ("document_index", "document_title", "cited_text"):
            own[camel(key)] = value
    if note.get("type") == "search_result_location":
        return _of_search(note, own)
    index = note.get("document_index")
    known = documents[index] if isinstance(index, int) and index < len(documents) else None
    return SourceChunk(
        new_id(),
        title=note.get("document_title") or (known and known.title) or f"Document {index}",
        source_type="document",
        media_type=known.media_type if known is not None else "text/plain",
        filename=known.filename if known is not None else None,
        provider_metadata={"anthropic": own},
    )


def _of_search(note: Mapping[str, Any], own: dict[str, Any]) -> SourceChunk:
    """Return a search result that a user or a tool gave: its source is any text."""
    where = str(note.get("source"))
    title = note.get("title") or where
    metadata: dict[str, Any] = {"anthropic": own}
    if where.startswith(("http://", "https://")):
        return SourceChunk(new_id(), where, title, provider_metadata=metadata)
    own["source"] = where
    return SourceChunk(
        new_id(),
        title=title,
        source_type="document",
        media_type="text/plain",
        provider_metadata=metadata,
    )
