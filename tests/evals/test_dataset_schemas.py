"""Schemas of datasets: what does not fit is refused, wherever it comes from."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from mastra import InMemoryStorage, json_schemas
from mastra.errors import ConfigError, InputValidationError
from mastra.evals import Dataset, Experiment, run_evals
from mastra.evals.catalogue import Datasets
from mastra.evals.dataset_schemas import DatasetSchemas

pytestmark = pytest.mark.anyio

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


class City(BaseModel):
    city: str


@pytest.mark.parametrize("schema", [City, CITY])
async def test_a_dataset_holds_its_items_to_its_schemas(schema: Any) -> None:
    items = [{"input": {"city": "Rome"}, "ground_truth": 1}, {"input": {"city": "Oslo"}}]
    dataset = Dataset("cities", items, input_schema=schema, ground_truth_schema=int)
    storage = InMemoryStorage()
    await dataset.save(storage)
    loaded = await Dataset.load(storage, "cities")
    assert loaded.input_schema == dataset.input_schema
    for wrong, told in [
        ({"input": {"city": 7}, "id": "x"}, "item 'x', input.city: 7 is not of type 'string'"),
        ({"input": {}, "id": "y"}, "item 'y', input: 'city' is a required property"),
        ({"input": {"city": "A"}, "ground_truth": "B", "id": "z"}, "item 'z', groundTruth: 'B'"),
        ({"inputs": [{"city": "A"}, "B"], "id": "v"}, "item 'v', input: 'B' is not of type"),
    ]:
        with pytest.raises(InputValidationError, match=told):
            Dataset("cities", [wrong], input_schema=schema, ground_truth_schema=int)
    Dataset("cities", [{"inputs": [{"city": "A"}, {"city": "B"}]}], input_schema=schema)


async def test_a_stored_dataset_holds_changes_to_its_schemas() -> None:
    datasets = Datasets(InMemoryStorage().evals)
    made = await datasets.create({"name": "d", "inputSchema": CITY})
    await datasets.put(made.id, {"a": {"input": {"city": "Rome"}}})
    with pytest.raises(InputValidationError, match="item 'b', input"):
        await datasets.put(made.id, {"b": {"input": "Rome"}, "c": {"input": {"city": "Oslo"}}})
    with pytest.raises(InputValidationError, match="item 'a', input"):
        await datasets.change_item(made.id, "a", {"input": "Rome"})
    # What is there is held to a schema that is new, and what is going is not.
    with pytest.raises(InputValidationError, match=r"item 'a', input: .* is not of type 'number'"):
        await datasets.update(made.id, {"inputSchema": {"type": "number"}})
    with pytest.raises(InputValidationError, match="no JSON Schema that can be checked"):
        await datasets.update(made.id, {"groundTruthSchema": {"type": "nothing"}})
    now = await datasets.get(made.id)
    assert (now.version, now.data["inputSchema"]) == (1, CITY)
    await datasets.replace(made.id, {"inputSchema": {"type": "number"}}, {"n": {"input": 3}})
    assert [row.subject for row in await datasets.items(made.id)] == ["n"]
    # As it was before, it can be read still.
    older = await datasets.items(made.id, version=1)
    assert [row.data["input"] for row in older] == [{"city": "Rome"}]


async def test_an_older_version_is_loaded_though_its_items_fit_no_more() -> None:
    storage = InMemoryStorage()
    await Dataset("d", [{"input": "one"}]).save(storage)
    await Dataset("d", [{"input": 1}], input_schema=int).save(storage)
    assert [item.input for item in await Dataset.load(storage, "d", version=1)] == ["one"]


@pytest.mark.parametrize(
    ("schema", "value", "told"),
    [
        ({"pattern": "^(a+)+$"}, "a" * 30_000 + "b", "does not match"),
        ({"patternProperties": {"^(a+)+$": False}}, {"a" * 30_000 + "b": 1}, None),
        (
            {"patternProperties": {"^(a+)+$": True}, "additionalProperties": False},
            {"a" * 30_000 + "b": 1},
            "Additional properties",
        ),
        ({"pattern": "(?=a)"}, "a", "is not a 'regex'"),
        ({"patternProperties": {r"(.)\1": True}}, {}, "is not a 'regex'"),
        ({"pattern": r"^\p{Lu}"}, "Élan", None),
        ({"patternProperties": {"^a": {"type": "number"}}}, {"ab": "x", "b": "x"}, "input.ab: 'x'"),
        ({"patternProperties": {"^a": {"type": "number"}}}, {"ab": 1, "b": "x"}, None),
        ({"uniqueItems": False}, [1, 1], None),
        ({"uniqueItems": True}, "11", None),
        ({"type": "string"}, {"inputs": ["a", "b"]}, None),
        ({"type": "string"}, {"inputs": ["a", 7]}, "input: 7 is not of type 'string'"),
        ({"type": "string"}, {"inputs": ["a"], "more": 1}, "is not of type 'string'"),
        ({"$ref": "http://127.0.0.1:9/schema"}, 1, "refers to what is not in it"),
        ({"$ref": "#/$defs/none"}, 1, "refers to what is not in it"),
        ({"$ref": "#"}, 1, "refers to itself without an end"),
        ({"unevaluatedProperties": False}, {"a": 1}, "is not supported"),
    ],
)
async def test_no_schema_of_a_client_does_harm(schema: Any, value: Any, told: str | None) -> None:
    def check() -> None:
        DatasetSchemas({"inputSchema": schema}).check([("x", {"input": value})])

    if told is None:
        check()
    else:
        with pytest.raises(InputValidationError, match=told):
            check()


async def test_changes_of_the_name_and_of_items_do_not_undo_each_other() -> None:
    datasets = Datasets(InMemoryStorage().evals)
    made = await datasets.create({"name": "before"})
    work = [datasets.put(made.id, {str(at): {"input": at}}) for at in range(5)]
    await asyncio.gather(*work, datasets.update(made.id, {"name": "after", "tags": ["x"]}))
    now = await datasets.get(made.id)
    assert (now.data, now.version) == ({"name": "after", "tags": ["x"]}, 5)
    assert len(await datasets.items(made.id)) == 5


async def test_turns_with_scorers_of_their_own_are_kept_nowhere_and_said_to_be() -> None:
    dataset = Dataset("d", [{"turns": [{"input": "a"}], "id": "talk"}])
    with pytest.raises(ConfigError, match="Item 'talk' of a dataset has turns"):
        await dataset.save(InMemoryStorage())
    with pytest.raises(ConfigError, match="run it by run_evals"):
        Experiment("e", dataset=dataset, target=str)
    summary = await run_evals(data=dataset, target=str)
    assert "Only an agent" in str(summary.items[0].error)


# -- what a schema may ask for ----------------------------------------------------------------------


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("kind", "value"), [("allOf", 1), ("allOf", "text"), ("anyOf", "text"), ("oneOf", "text")]
)
def test_references_that_double_are_refused(
    kind: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_schemas, "_MOST_CHECKS", 5000)
    definitions: dict[str, Any] = {
        f"d{at}": {kind: [{"$ref": f"#/$defs/d{at + 1}"}] * 2} for at in range(40)
    }
    definitions["d40"] = {"type": "number"}
    schemas = DatasetSchemas({"inputSchema": {"$defs": definitions, "$ref": "#/$defs/d0"}})
    # Where each of all is an issue, the first ones are enough.
    says = "not of type 'number'" if (kind, value) == ("allOf", "text") else "asks for too much"
    with pytest.raises(InputValidationError, match=says):
        schemas.check([("x", {"input": value})])


@pytest.mark.timeout(60)
def test_items_that_are_listed_are_not_each_held_against_all() -> None:
    many = [f"value {number}" for number in range(20_000)]
    schemas = DatasetSchemas({"inputSchema": {"type": "array", "items": {"enum": many}}})
    schemas.check([("x", {"input": many[:20]})])
    with pytest.raises(InputValidationError, match="asks for too much"):
        schemas.check([("x", {"input": many})])


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("items", "fits"),
    [
        ([{"a": number} for number in range(20_000)], True),
        ([{"a": 1}, {"a": 1.0}], False),
        ([[1], [True]], True),
        ([1, True, 0, False, None, "1"], True),
        ([{"a": [1, {"b": 2}]}, {"a": [1, {"b": 2}]}], False),
    ],
)
def test_unique_items_are_told_apart_by_their_values(items: list[Any], fits: bool) -> None:
    schemas = DatasetSchemas({"inputSchema": {"uniqueItems": True}})
    if fits:
        schemas.check([("x", {"input": items})])
        return
    with pytest.raises(InputValidationError, match="non-unique"):
        schemas.check([("x", {"input": items})])
