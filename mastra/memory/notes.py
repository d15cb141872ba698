"""Working memory: notes that an agent keeps and rewrites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from mastra.errors import ConfigError

__all__ = ["DEFAULT_TEMPLATE", "WorkingMemory", "working_memory_of"]

DEFAULT_TEMPLATE: Final = """
# User Information
- **First Name**: 
- **Last Name**: 
- **Location**: 
- **Occupation**: 
- **Interests**: 
- **Goals**: 
- **Events**: 
- **Facts**: 
- **Projects**: 
"""  # noqa: W291 - the template that Mastra's clients know
"""What working memory looks like before anything is noted."""


@dataclass(frozen=True)
class WorkingMemory:
    """Notes that an agent keeps and rewrites.

    Args:
        template: Text with gaps to fill in. Not together with `schema`.
        schema: A type that pydantic can validate; the notes are then an object of it.
        scope: One set of notes for all threads of a resource, or one a thread.
    """

    template: str | None = None
    schema: Any = None
    scope: Literal["resource", "thread"] = "resource"
    enabled: bool = True

    def __post_init__(self) -> None:
        if self.template is not None and self.schema is not None:
            raise ConfigError("WorkingMemory takes a template or a schema, not both.")


def working_memory_of(
    value: WorkingMemory | Mapping[str, Any] | bool | None,
) -> WorkingMemory | None:
    """Return what a caller wrote as working memory; `None` where there is to be none."""
    if value is None or value is False:
        return None
    if value is True:
        return WorkingMemory()
    made = value if isinstance(value, WorkingMemory) else WorkingMemory(**value)
    return made if made.enabled else None
