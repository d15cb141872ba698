"""Datasets: items with an input and what should come of it, from files, rows or storage."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any, Final, Self, cast

from mastra.errors import ConfigError, InputValidationError
from mastra.evals.catalogue import Datasets
from mastra.evals.dataset_schemas import DatasetSchemas, as_json_schema, turns_of
from mastra.evals.option_checks import check_item
from mastra.given import MAPPING, TEXT, Form, check_given
from mastra.ids import stable_id
from mastra.jsonable import Json, dump_json, to_jsonable
from mastra.names import hint, python_name, python_names, python_options
from mastra.request_context import RequestContext
from mastra.storage.evals import EvalRecord, EvalStore

__all__ = ["ITEMS", "Dataset", "DatasetItem", "item_of", "store_of"]


@python_names
@dataclass(frozen=True, slots=True)
class DatasetItem:
    """One thing to try."""

    input: Any
    """What the target is given."""
    ground_truth: Any = None
    """What should come of it."""
    expected_trajectory: Any = None
    """What steps it should take, as JSON: `{"steps": [{"name": …}], "ordering": …}`."""
    metadata: Mapping[str, Any] | None = None
    request_context: Mapping[str, Any] | None = None
    """Values of the request, for this item."""
    inputs: Sequence[Any] | None = None
    """In place of `input`: what the user says turn by turn, in one conversation with an agent."""
    turns: Sequence[Mapping[str, Any]] | None = None
    """Likewise, each a dict of `input` with `gates` and `scorers` of its own; for `run_evals`."""
    id: str = ""
    """Its name in the dataset; left out, one that is the same for the same input and truth."""

    def named(self) -> DatasetItem:
        """Return the item with an id."""
        if self.id:
            return self
        told = dump_json([self.input, self.inputs, self.ground_truth], what="A dataset's item")
        return replace(self, id=stable_id(told.decode()))

    def given(self) -> list[Json]:
        """Return what the target is given, turn by turn."""
        said = [turn["input"] for turn in self.turns] if self.turns is not None else self.inputs
        return [to_jsonable(one) for one in ([self.input] if said is None else said)]

    def to_data(self) -> dict[str, Json]:
        """Return the item as it is stored and sent.

        Raises:
            ConfigError: It has `turns`, whose scorers no storage can keep.
        """
        if self.turns is not None:
            raise ConfigError(
                f"Item {self.id!r} of a dataset has turns, with scorers of their own, which cannot "
                "be kept: run it by run_evals, or give inputs=[…] in place of turns."
            )
        given = {
            "input": self.input if self.inputs is None else {"inputs": list(self.inputs)},
            "groundTruth": self.ground_truth,
            "expectedTrajectory": self.expected_trajectory,
            "metadata": self.metadata,
            "requestContext": self.request_context,
        }
        what = f"Item {self.id!r} of a dataset"
        return {
            key: to_jsonable(value, what=what)
            for key, value in given.items()
            if value is not None or key == "input"
        }


_FIELDS = frozenset(DatasetItem.__dataclass_fields__)


def item_of(given: Any, place: int) -> DatasetItem:
    """Return an item for itself or a dict of its fields.

    Raises:
        InputValidationError: It has no input, fields that no item has, or one of another kind.
    """
    if isinstance(given, DatasetItem):
        return given
    if not isinstance(given, Mapping):
        raise InputValidationError(f"Item {place} is {given!r}: give a dict with an `input`.")
    fields = {
        python_name(key, _FIELDS) or key: value
        for key, value in cast("Mapping[str, Any]", given).items()
    }
    unknown = fields.keys() - _FIELDS
    if unknown:
        raise InputValidationError(
            f"Item {place} has {', '.join(map(repr, sorted(unknown)))}, which no item has."
            f"{hint(unknown, _FIELDS)}"
        )
    shapes = [name for name in ("input", "inputs", "turns") if name in fields]
    if len(shapes) != 1 or not (shapes == ["input"] or fields[shapes[0]]):
        raise InputValidationError(f"Item {place} needs one of input, inputs and turns.")
    check_item(fields, place)
    if isinstance(fields.get("request_context"), RequestContext):
        fields["request_context"] = fields["request_context"].to_dict()
    if fields.get("id") is not None:
        fields["id"] = str(fields["id"])  # files number their items, and names are text
    values: dict[str, Any] = {"input": None, **fields}
    return DatasetItem(**values)


def store_of(kept_in: Any) -> EvalStore:
    """Return the store of evaluations of an application, a storage, or itself.

    Raises:
        ConfigError: It is none of these.
    """
    found: Any = getattr(kept_in, "storage", kept_in)
    found = getattr(found, "evals", found)
    if not hasattr(found, "save") or not hasattr(found, "list"):
        raise ConfigError(
            f"Datasets are kept in a Mastra or a storage, not in a {type(kept_in).__name__}."
        )
    return found


ITEMS: Final = Form(
    "a list of items, each a dict with 'input', or a DatasetItem",
    lambda value: isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)),
)
_FORMS: Final = {
    "name": TEXT,
    "items": ITEMS,
    "id": TEXT,
    "description": TEXT,
    "metadata": MAPPING,
}


@python_names
@python_options
class Dataset:
    """Items by name. It is in this process; `save` and `load` keep it in a storage.

    Args:
        name: What it is called.
        items: Items, or dicts of their fields.
        id: Its name for programs; left out, the name.
        description: What it is of.
        metadata: Facts for the application.
        input_schema: What every input is: a type that pydantic can validate, or a JSON Schema;
            where items have `inputs`, what each of them is.
        ground_truth_schema: What every ground truth is, likewise, where an item has one.

    Attributes:
        version: The version in the storage; `None` for one that was never there.

    Raises:
        InputValidationError: An item has no input, two have the same id, or one does not fit the
            schemas.
    """

    def __init__(
        self,
        name: str,
        items: Iterable[DatasetItem | Mapping[str, Any]] = (),
        *,
        id: str | None = None,
        description: str = "",
        metadata: Mapping[str, Any] | None = None,
        input_schema: Any = None,
        ground_truth_schema: Any = None,
    ) -> None:
        if not name:
            raise ConfigError("A dataset needs a name: Dataset('weather', items).")
        check_given("Dataset", locals(), _FORMS)
        self.name = name
        self.id = id or name
        self.description = description
        self.metadata = metadata
        self.version: int | None = None
        self.items = _numbered([item_of(item, place) for place, item in enumerate(items)])
        self.input_schema = as_json_schema(input_schema)
        self.ground_truth_schema = as_json_schema(ground_truth_schema)
        schemas = DatasetSchemas(self._schemas())
        schemas.check(
            (item.id, {"input": value, "groundTruth": to_jsonable(item.ground_truth)})
            for item in self.items
            for value in item.given()
        )

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, {len(self.items)} items)"

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[DatasetItem]:
        return iter(self.items)

    def _schemas(self) -> dict[str, Json]:
        return {"inputSchema": self.input_schema, "groundTruthSchema": self.ground_truth_schema}

    # -- from elsewhere ------------------------------------------------------------------------

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[Mapping[str, Any]],
        *,
        name: str,
        input: str | Sequence[str] | None = None,  # noqa: A002 - the field's name
        ground_truth: str | Sequence[str] | None = None,
        **options: Any,
    ) -> Self:
        """Return a dataset of rows: dicts, or a `Dataset` of the library `datasets`.

        Args:
            rows: The rows.
            name: What it is called.
            input: The column of the input, or several, which then are a dict. Left out, rows have
                the fields of items: `input`, `ground_truth`, `metadata` and so on.
            ground_truth: The column of what should come of it, or several, likewise.
            options: As of `Dataset`.

        Raises:
            InputValidationError: A row does not have such a column.
        """
        items = [_item_of_row(row, at, input, ground_truth) for at, row in enumerate(rows)]
        return cls(name, items, **options)

    from_datasets = from_rows

    @classmethod
    def from_jsonl(cls, path: str | Path, *, name: str | None = None, **options: Any) -> Self:
        """Return a dataset of a file with one JSON object a line; options as of `from_rows`."""
        file = Path(path)
        rows: list[Mapping[str, Any]] = []
        # Other characters than these end no line of JSON, though Python counts them as ends.
        for number, line in enumerate(_text(file).split("\n"), 1):
            if line.strip():
                try:
                    rows.append(json.loads(line, parse_constant=_no_number))
                except ValueError as error:
                    raise InputValidationError(
                        f"Line {number} of {file} is no JSON: {error}."
                    ) from None
        return cls.from_rows(rows, name=name or file.stem, **options)

    @classmethod
    def from_csv(cls, path: str | Path, *, name: str | None = None, **options: Any) -> Self:
        """Return a dataset of a file of comma-separated values with a heading.

        What is neither input nor ground truth (nor another field of an item) is metadata. Options
        are as of `from_rows`.
        """
        file = Path(path)
        rows = map(_with_metadata, _csv_rows(file, StringIO(_text(file), newline="")))
        return cls.from_rows(rows, name=name or file.stem, **options)

    # -- in a storage --------------------------------------------------------------------------

    async def save(self, kept_in: Any) -> Self:
        """Make the dataset in a storage the same as this one, as one new version of it.

        Args:
            kept_in: A `Mastra` or a storage.
        """
        datasets = Datasets(store_of(kept_in))
        about = {
            "name": self.name,
            "description": self.description,
            "metadata": self.metadata,
            **self._schemas(),
        }
        fields = {key: to_jsonable(value) for key, value in about.items() if value}
        record = await datasets.replace(
            self.id, fields, {item.id: item.to_data() for item in self.items}
        )
        self.version = record.version
        return self

    @classmethod
    async def load(cls, kept_in: Any, name: str, *, version: int | None = None) -> Self:
        """Return a dataset that a storage has.

        Args:
            kept_in: A `Mastra` or a storage.
            name: Its id, or its name.
            version: As it was at this version; left out, as it is.

        Raises:
            NotFoundError: There is none.
        """
        datasets = Datasets(store_of(kept_in))
        record = await datasets.find(name)
        rows = await datasets.items(record.id, version=version)
        about: dict[str, Any] = record.data
        made = cls(
            about["name"],
            map(item_from, rows),
            id=record.id,
            description=about.get("description") or "",
            metadata=about.get("metadata"),
        )
        # Items of an older version may be older than the schema.
        made.input_schema = about.get("inputSchema")
        made.ground_truth_schema = about.get("groundTruthSchema")
        made.version = record.version if version is None else version
        return made


def item_from(record: EvalRecord) -> DatasetItem:
    """Return an item that is stored."""
    data: dict[str, Any] = record.data
    given = data.get("input")
    inputs = turns_of(given)
    return DatasetItem(
        given if inputs is None else None,
        data.get("groundTruth"),
        data.get("expectedTrajectory"),
        data.get("metadata"),
        data.get("requestContext"),
        inputs,
        id=str(record.subject),
    )


def _numbered(items: list[DatasetItem]) -> list[DatasetItem]:
    """Return items with ids; those that are the same get a number.

    Raises:
        InputValidationError: Two were given the same id.
    """
    seen: Counter[str] = Counter()
    given = {item.id for item in items if item.id}
    found: list[DatasetItem] = []
    for item in items:
        named = item.named()
        seen[named.id] += 1
        if seen[named.id] > 1:
            if item.id:
                raise InputValidationError(f"Two items have the id {item.id!r}.")
            name = f"{named.id}-{seen[named.id]}"
            named = replace(named, id=name if name not in given else f"{name}-again")
        found.append(named)
    return found


def _pick(row: Mapping[str, Any], at: int, columns: str | Sequence[str]) -> Any:
    names = [columns] if isinstance(columns, str) else columns
    missing = [name for name in names if name not in row]
    if missing:
        raise InputValidationError(
            f"Row {at} has no column {missing[0]!r}. It has: {', '.join(map(repr, row))}."
        )
    return row[columns] if isinstance(columns, str) else {name: row[name] for name in names}


def _item_of_row(
    row: Mapping[str, Any],
    at: int,
    given: str | Sequence[str] | None,
    truth: str | Sequence[str] | None,
) -> Any:
    if given is None and truth is None:
        return row
    used = {"input": "input" if given is None else given}
    if truth is not None:
        used["ground_truth"] = truth
    item = {name: _pick(row, at, columns) for name, columns in used.items()}
    taken = {
        name for names in used.values() for name in ([names] if isinstance(names, str) else names)
    }
    rest = {name: value for name, value in row.items() if name not in taken}
    metadata: Mapping[str, Any] = rest.pop("metadata", None) or {}
    named = {name: rest.pop(name) for name in ("id",) if rest.get(name)}
    return {**item, **named, "metadata": {**metadata, **rest} or None}


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputValidationError(
            f"{file} is no UTF-8, from byte {error.start} on: save it as UTF-8."
        ) from None


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def _csv_rows(file: Path, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    reader = csv.reader(lines)
    heading: list[str] = next(reader, list[str]())
    twice = [name for name, count in Counter(heading).items() if count > 1]
    if twice:
        raise InputValidationError(f"{file} has two columns that are called {twice[0]!r}.")
    for row in reader:
        if row and len(row) != len(heading):
            raise InputValidationError(
                f"Line {reader.line_num} of {file} has {len(row)} values for {len(heading)} columns."
            )
        if row:
            yield dict(zip(heading, row, strict=True))


def _with_metadata(row: dict[str, Any]) -> Mapping[str, Any]:
    """Return a row whose columns are fields of an item, where it has an input, and metadata."""
    if "input" not in row:
        return row
    named = {key for key in row if python_name(key, _FIELDS) or key in _FIELDS}
    rest = {key: value for key, value in row.items() if key not in named}
    known = {key: value for key, value in row.items() if key in named and value != ""}
    return {**known, "metadata": rest} if rest else known
