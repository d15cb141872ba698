"""Working memory: notes that an agent keeps and rewrites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from mastra.errors import ConfigError
from mastra.given import FLAG, SCHEMA, TEXT, check_given, check_names, one_of

__all__ = ["DEFAULT_TEMPLATE", "WorkingMemory", "laid_over", "partial_form", "working_memory_of"]

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


_FORMS: Final = {
    "template": TEXT,
    "schema": SCHEMA,
    "scope": one_of("resource", "thread"),
    "enabled": FLAG,
}


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
        check_given("WorkingMemory", vars(self), _FORMS)
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
    if not isinstance(value, WorkingMemory):
        check_names("Working memory has no option", value, WorkingMemory.__annotations__)
        value = WorkingMemory(**value)
    return value if value.enabled else None


def laid_over(old: Any, change: Any) -> Any:
    """Return notes with a change laid over them, as Mastra does.

    Objects are merged at every depth, `None` removes a key, and anything else, lists too, takes
    the place of what was there.
    """
    if not isinstance(change, Mapping):
        return change
    before = cast("Mapping[str, Any]", old if isinstance(old, Mapping) else {})
    merged = dict(before)
    for key, value in cast("Mapping[str, Any]", change).items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = laid_over(before.get(key), value)
    return merged


def partial_form(schema: Any) -> Any:
    """Return a JSON Schema by which any field may be left out: only what changes is told."""
    if isinstance(schema, list):
        return [partial_form(item) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    return {
        key: partial_form(value)
        for key, value in cast("dict[str, Any]", schema).items()
        # A field may be called `required`; the list of those that are is a list.
        if not (key == "required" and isinstance(value, list))
    }
