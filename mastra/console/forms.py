"""A form made from a JSON schema, and what was put into it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, cast

from nicegui import ui

from mastra.console.api import Refused, facts
from mastra.console.show import entry

__all__ = ["LEFT_OUT", "SchemaForm", "schema_of"]

Schema = dict[str, Any]
Read = Callable[[], Any]
LEFT_OUT: Final = object()
"""What was not filled in and need not be."""
_PICKED: Final = {"date", "time"}  # formats of texts for which a browser has a field
_LONG: Final = 120  # from how many characters on a text has a field of several lines


def schema_of(text: str | None) -> Schema:
    """Return the JSON schema in what the API calls one; `{}` where there is none."""
    found: Schema = json.loads(text) if text else {}
    return found.get("json", found)


class SchemaForm:
    """The fields of one value, or of the defaults of its schema; or its JSON, by a switch."""

    def __init__(self, schema: Schema, value: Any = LEFT_OUT) -> None:
        self._schema = schema
        self._place = ui.column().classes("w-full gap-2")
        if _has_fields(_plain(schema)):
            ui.switch("as JSON", on_change=self._turn).props("dense")
        self._fill(value, as_json=False)

    def read(self) -> Any:
        """Return what was put in; raise `Refused` where that cannot be read, or is missing."""
        found = self._read()
        return None if found is LEFT_OUT else found

    def _turn(self, event: Any) -> None:
        if event.value != self._as_json:
            try:
                value = self._read()
            except Refused:  # nothing that was typed is lost
                event.sender.set_value(self._as_json)
                raise
            self._fill(value, as_json=event.value)

    def _fill(self, value: Any, *, as_json: bool) -> None:
        self._as_json = as_json
        self._place.clear()
        with self._place:
            name = str(self._schema.get("title") or "Value")
            self._read = _json(name, value) if as_json else _field(name, self._schema, value, True)


def _plain(schema: Schema) -> Schema:
    """Return a schema without the `null` that makes it optional."""
    rest: list[Schema] = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
    if len(rest) != 1:
        return schema
    return {**rest[0], **{key: item for key, item in schema.items() if key != "anyOf"}}


def _has_fields(schema: Schema) -> bool:
    items, kind = facts(schema.get("items")), schema.get("type")
    if kind in {"object", "array"}:
        # Only a list of plain texts has a field of its own; of others the JSON is written.
        return "properties" in schema or (items.get("type") == "string" and "enum" not in items)
    return "enum" in schema or kind in {"string", "integer", "number", "boolean"}


def _field(name: str, schema: Schema, value: Any, required: bool) -> Read:
    schema = _plain(schema)
    if value is LEFT_OUT:
        value = schema.get("default", schema.get("const", LEFT_OUT))
    if not _has_fields(schema):
        return _json(name, value)
    if schema.get("type") == "object":
        return _object(schema, value, required)
    shown = _shown(f"{name} *" if required else name, schema, value)
    if schema.get("description"):
        shown.props["hint"] = str(schema["description"])

    def read() -> Any:
        found = shown.value
        if found is None and required:
            raise Refused(400, f"{name} is needed.")
        if found is None or (found == "" and not required):
            return LEFT_OUT
        is_whole = schema.get("type") == "integer" and found == int(found)
        return int(found) if is_whole else found

    return read


def _shown(label: str, schema: Schema, value: Any) -> Any:
    """Return the field of a plain value."""
    kind = schema.get("type")
    if "enum" in schema:
        options = schema["enum"]
        return entry(ui.select(options, label=label, value=value if value in options else None))
    if kind == "boolean":
        return ui.switch(label, value=value is True)
    if kind == "array":
        chips = cast("list[str]", value) if isinstance(value, list) else []
        return entry(ui.input_chips(label, value=chips))
    if kind in {"integer", "number"}:
        number = value if isinstance(value, int | float) else None
        ends = {"min": schema.get("minimum"), "max": schema.get("maximum")}
        return entry(ui.number(label, value=number, step=1 if kind == "integer" else None, **ends))
    text = value if isinstance(value, str) else ""
    if len(text) > _LONG or "\n" in text or schema.get("maxLength", 0) > _LONG:
        return entry(ui.textarea(label, value=text)).props("autogrow")
    form = schema.get("format")
    picked = f"type={form} stack-label" if form in _PICKED else ""
    return entry(ui.input(label, value=text)).props(picked)


def _object(schema: Schema, value: Any, required: bool) -> Read:
    known = facts(value)
    reads: dict[str, Read] = {}
    with ui.column().classes("w-full gap-3"):
        for key, inner in schema["properties"].items():
            if "properties" in _plain(inner):
                ui.label(key).classes("font-semibold")
            needed = key in (schema.get("required") or [])
            reads[key] = _field(key, inner, known.get(key, LEFT_OUT), needed)

    def read() -> Any:
        found = {key: item for key, one in reads.items() if (item := one()) is not LEFT_OUT}
        return found if found or required else LEFT_OUT

    return read


def _json(name: str, value: Any) -> Read:
    text = "" if value is LEFT_OUT else json.dumps(value, ensure_ascii=False, indent=2)
    area = entry(ui.textarea(f"{name} (JSON)", value=text))
    area.props("autogrow input-class=mono spellcheck=false")

    def read() -> Any:
        text = str(area.value)
        try:
            return json.loads(text) if text.strip() else LEFT_OUT
        except json.JSONDecodeError as error:
            raise Refused(400, f"{name} is not JSON: {error}") from error

    return read
