"""What an application has registered: named by what was given, found by key or by id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from mastra.errors import ConfigError, NotFoundError
from mastra.workflows.versions.families import newest, with_versions

__all__ = ["found_by_id", "found_by_key", "keyed", "no_member", "refuse_taken_id"]

T = TypeVar("T")


def keyed(given: Mapping[str, Any] | Iterable[Any] | None, what: str) -> Iterator[tuple[Any, Any]]:
    """Yield keys and what they name; what is given as a list is keyed by id.

    Raises:
        ConfigError: It is neither a mapping nor a list, or two in a list have one id.
    """
    if given is None:
        return
    if isinstance(given, Mapping):
        yield from given.items()
        return
    if isinstance(given, str) or not isinstance(given, Iterable) or hasattr(given, "id"):
        raise ConfigError(
            f"Mastra({what}=...) takes a dict of key to {what[:-1]}, or a list, not "
            f"{type(given).__name__}."
        )
    seen: set[Any] = set()
    for item in with_versions(given):
        # A plain function is a tool too, and is named as one by `add_tool`.
        one: Any = newest(item)
        key = getattr(one, "id", None) or getattr(one, "__name__", None)
        if key in seen:
            raise ConfigError(
                f"Mastra({what}=[...]) has two {what} with the id {key!r}. Give one of them another "
                "id, or pass a dict of key to each."
            )
        seen.add(key)
        yield key, item


def refuse_taken_id(kind: str, key: str, id: str, others: Mapping[str, Any]) -> None:
    """Refuse a second thing of one id.

    Raises:
        ConfigError: There is another of that id under another key.
    """
    for at in (at for at, other in others.items() if other.id == id and at != key):
        versions = f", or register versions of one: `workflows={{{at!r}: [old, new]}}`"
        raise ConfigError(
            f"{kind} {at!r} and {key!r} have the same id {id!r}, under which their runs are "
            f"stored. Give one of them another id{versions if kind == 'Workflows' else ''}."
        )


def no_member(kind: str, key: Any, given: Any) -> ConfigError:
    """Return what to say of a thing that is not of the kind that is registered there."""
    kinds = {"Agent": "agents", "Workflow": "workflows", "Tool": "tools"}
    if isinstance(given, type):
        named, what, advice = "", f"the class {given.__name__}", " Make an object of it."
    else:
        what = type(given).__name__
        named = f" {key!r}" if isinstance(key, str) else f" {given!r}"
        place = kinds.get(what)
        advice = f" It belongs in Mastra({place}=[…])." if place else ""
    article = "an" if kind == "Agent" else "a"
    return ConfigError(f"{kind}{named} must be {article} {kind}, not {what}.{advice}")


def found_by_key(things: Mapping[str, T], key: str, kind: str, what: str) -> T:
    """Return what is registered under a key.

    Raises:
        NotFoundError: Nothing is; it lists the keys that there are.
    """
    try:
        return things[key]
    except KeyError:
        known = ", ".join(map(repr, things)) or "none"
        meant = next((own for own, thing in things.items() if _id_of(thing) == key), None)
        by_id = "" if meant is None else f" {key!r} is the id of {meant!r}: ask by id, or by that."
        raise NotFoundError(
            f"No {kind} is registered under the {what} {key!r}. Known: {known}.{by_id}",
            details={"known": list(things)},
        ) from None


def _id_of(thing: object) -> object:
    return getattr(thing, "id", None)


def found_by_id(things: Mapping[str, T], thing_id: str, kind: str) -> T:
    """Return what is registered and has an id, or that for its key.

    Raises:
        NotFoundError: Nothing has; it lists the ids that there are.
    """
    for thing in things.values():
        if _id_of(thing) == thing_id:
            return thing
    if thing_id in things:
        return things[thing_id]
    ids = {str(getattr(thing, "id", key)): thing for key, thing in things.items()}
    return found_by_key(ids, thing_id, kind, "id")
