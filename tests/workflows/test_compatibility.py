"""Schema against schema along the chain, at `commit()`: refused is what can never go well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Json,
    RootModel,
    computed_field,
    model_validator,
)
from pydantic.alias_generators import to_camel
from typing_extensions import NotRequired, TypedDict  # noqa: UP035 - what pydantic wants on 3.11

from mastra import Workflow, WorkflowDefinitionError, create_step, create_workflow
from mastra.errors import WorkflowOutputWarning
from tests.support.flows import chain


def making(id: str, gives: Any, takes: Any = Any) -> Any:
    async def execute(ctx: Any) -> Any:
        return None

    return create_step(id=id, input_schema=takes, output_schema=gives, execute=execute)


def taking(id: str, takes: Any, gives: Any = Any) -> Any:
    return making(id, gives, takes)


def start(takes: Any = Any, gives: Any = Any, **options: Any) -> Workflow[Any, Any, Any]:
    return create_workflow(id="orders", input_schema=takes, output_schema=gives, **options)


def refusal(workflow: Any) -> str:
    with pytest.raises(WorkflowDefinitionError) as raised:
        workflow.commit()
    assert raised.value.code == "WORKFLOW_SCHEMA_MISMATCH"
    return raised.value.message


class Line(BaseModel):
    name: str
    price: float


class Cart(BaseModel):
    lines: list[Line]
    owner: str = "nobody"


class Price(BaseModel):
    total: float


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Bush(BaseModel):
    name: str
    children: list[Bush]
    colour: str


class WireCart(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    max_total: int


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class PriceDict(TypedDict):
    total: float
    note: NotRequired[str]


@dataclass
class PriceData:
    total: float


class PriceTuple(NamedTuple):
    total: float


class Patched(BaseModel):
    total: float

    @model_validator(mode="before")
    @classmethod
    def fill(cls, data: Any) -> Any:
        return {"total": 0}


class Counted(BaseModel):
    lines: list[int]

    @computed_field
    @property
    def total(self) -> int:
        return len(self.lines)


class Chosen(BaseModel):
    total: float = Field(validation_alias=AliasChoices("sum", "owner"))


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")


class Texts(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    total: str


class Dated(BaseModel):
    total: datetime


Root = RootModel[list[int]]

NEVER: list[tuple[str, Any, Any, str]] = [
    ("a property that is not there", Cart, Price, "'total' (number), which step 'a' does not give"),
    ("text for an object", str, Price, "Price, which step 'a' gives as string"),
    ("an object for text", Price, str, "string, which step 'a' gives as Price"),
    ("an object for a list", Price, list[int], "list of integer, which step 'a' gives as Price"),
    ("a list for an object", list[int], Price, "Price, which step 'a' gives as list of integer"),
    ("a list for text", list[str], str, "string, which step 'a' gives as list of string"),
    ("a number for text", int, str, "string, which step 'a' gives as integer"),
    ("nothing for a number", type(None), int, "integer, which step 'a' gives as null"),
    ("nothing for an object", type(None), Price, "Price, which step 'a' gives as null"),
    (
        "items of another kind",
        list[Price],
        list[str],
        "'[]' (string), which step 'a' gives as Price",
    ),
    (
        "a property of the items",
        Cart,
        TypedDict("Wanted", {"lines": list[Price]}),
        "'lines[].total' (number), which step 'a' does not give",
    ),
    ("a property of another kind", Cart, TypedDict("Owned", {"owner": list[str]}), "'owner'"),
    ("each of several", Price | Line, Cart, "Cart, which step 'a' gives as"),
    ("none of several", Price, str | list[int], "string or list of integer, which step 'a' gives"),
    ("values of a dict", dict[str, str], TypedDict("Deep", {"x": Price}), "'x'"),
    ("a deep property of a tree", Tree, Bush, "'colour' (string), which step 'a' does not give"),
    ("another value", Literal["a", "b"], Literal["c"], "'c', which step 'a' gives as 'a' or 'b'"),
    (
        "another member",
        Colour,
        Literal["green"],
        "'green', which step 'a' gives as 'red' or 'blue'",
    ),
    ("a name that is not the alias", Price, WireCart, "'maxTotal' (integer), which step 'a'"),
    ("a model that drops what it does not know", Line, Price, "'total' (number)"),
]

FINE: list[tuple[str, Any, Any]] = [
    ("the same", Cart, Cart),
    ("a part of it", Cart, TypedDict("Part", {"owner": str})),
    (
        "more than is wanted by default",
        Price,
        TypedDict("More", {"total": float, "x": NotRequired[int]}),
    ),
    ("anything", Any, Price),
    ("for anything", Price, Any),
    ("an object for object", Price, dict),
    ("a dict for a model", dict[str, Any], Price),
    ("an untyped dict for a model", dict, Price),
    ("an untyped list for a typed one", list, list[int]),
    ("text for a number", str, int),
    ("a number for a whole number", float, int),
    ("a boolean for a number", bool, int),
    ("a number for a moment", float, datetime),
    ("a moment for text", datetime, str),
    ("a date for text", date, str),
    ("text for a moment", str, datetime),
    ("text for an id", str, UUID),
    ("a decimal for a number", Decimal, float),
    ("a number for a decimal", float, Decimal),
    ("a duration for text", timedelta, str),
    ("one of several for one", int | Price, Price),
    ("one for several", Price, str | Price | None),
    ("perhaps nothing", Price | None, Price),
    ("a typed dict", PriceDict, Price),
    ("a model for a typed dict", Price, PriceDict),
    ("a dataclass", PriceData, Price),
    ("for a dataclass", Price, PriceData),
    ("for a named tuple", Price, PriceTuple),
    ("a key that may be there", TypedDict("Some", {"total": NotRequired[float]}), Price),
    ("what a validator may mend", Cart, Patched),
    ("a field that a validator may mend", int, Annotated[str, BeforeValidator(str)]),
    ("numbers that become text", Price, Texts),
    ("a number for a moment of a model", Price, Dated),
    ("a model that takes whatever it is given", Loose, Price),
    ("a computed property", Counted, Price),
    ("a tree", Tree, Tree),
    ("a tree for a part of it", Tree, TypedDict("Named", {"name": str})),
    ("an alias", WireCart, TypedDict("Camel", {"maxTotal": int})),
    ("a field by its name", TypedDict("Snake", {"max_total": int}), WireCart),
    ("one of the aliases", Cart, Chosen),
    ("a root model", Root, list[int]),
    ("for a root model", list[int], Root),
    ("a set for a list", set[int], list[int]),
    ("a tuple for a list", tuple[int, str], list[Any]),
    ("a list for a tuple", list[int], tuple[int, int]),
    ("a sequence", list[int], Sequence[int]),
    ("text that is JSON", str, Json[Price]),
    ("a member for text", Colour, str),
    ("text for a member", str, Colour),
    ("a constraint that may hold", int, Annotated[int, Field(gt=5)]),
    ("a discriminated union", Price, Annotated[Price | Line, Field(union_mode="left_to_right")]),
]


@pytest.mark.parametrize(
    ("given", "wanted", "told"), [case[1:] for case in NEVER], ids=[case[0] for case in NEVER]
)
def test_what_can_never_fit_is_refused(given: Any, wanted: Any, told: str) -> None:
    message = refusal(start().then(making("a", given)).then(taking("b", wanted)))
    assert message.startswith("Workflow 'orders': step 'b' needs ")
    assert told in message


@pytest.mark.parametrize(
    ("given", "wanted"), [case[1:] for case in FINE], ids=[case[0] for case in FINE]
)
def test_what_may_fit_is_taken(given: Any, wanted: Any) -> None:
    start().then(making("a", given)).then(taking("b", wanted)).commit()


def test_the_message_reads_as_one_sentence() -> None:
    workflow = start().then(making("cart", Cart)).then(taking("price", Price))
    assert refusal(workflow) == (
        "Workflow 'orders': step 'price' needs 'total' (number), which step 'cart' does not give."
    )


def test_the_path_is_among_the_details() -> None:
    with pytest.raises(WorkflowDefinitionError) as raised:
        start().then(making("cart", Cart)).then(taking("price", Price)).commit()
    assert raised.value.details == {"path": "total"}


# -- every kind of node ------------------------------------------------------------------------


def test_the_input_of_the_workflow_flows_into_its_first_step() -> None:
    message = refusal(start(Cart).then(taking("price", Price)))
    assert "which the workflow's input does not give" in message


@pytest.mark.parametrize("kind", ["parallel", "branch"])
def test_every_step_of_a_block_is_checked(kind: str) -> None:
    steps = [taking("ok", Cart), taking("price", Price)]
    workflow = start(Cart)
    if kind == "parallel":
        workflow.parallel(steps)
    else:
        workflow.branch([(lambda ctx: True, step) for step in steps])
    assert "step 'price' needs 'total'" in refusal(workflow)


def test_the_outputs_of_a_parallel_flow_out_by_id() -> None:
    class Wanted(BaseModel):
        a: Price
        c: Price

    workflow = start().parallel([making("a", Price), making("b", Price)])
    message = refusal(workflow.then(taking("sum", Wanted)))
    assert "'c' (Price), which the parallel of 'a', 'b' does not give" in message


def test_the_outputs_of_a_parallel_are_looked_into() -> None:
    class Wanted(BaseModel):
        a: Price

    workflow = start().parallel([making("a", Line), making("b", Price)])
    assert "'a.total' (number)" in refusal(workflow.then(taking("sum", Wanted)))


def test_an_arm_that_may_not_run_is_no_certainty() -> None:
    class Wanted(BaseModel):
        a: Price

    workflow = start().branch([(lambda ctx: True, making("a", Price))])
    workflow.then(taking("sum", Wanted)).commit()


def test_a_key_that_no_arm_has_is_refused() -> None:
    class Wanted(BaseModel):
        c: Price

    workflow = start().branch([(lambda ctx: True, making("a", Price))])
    message = refusal(workflow.then(taking("sum", Wanted)))
    assert "'c' (Price), which the branch of 'a' does not give" in message


def test_a_loop_must_take_what_it_gives() -> None:
    workflow = start(Cart).dountil(taking("turn", Cart, Price), lambda ctx: True)
    assert refusal(workflow) == (
        "Workflow 'orders': step 'turn' needs 'lines' (list of Line), which its own turn before "
        "does not give."
    )


def test_a_foreach_needs_a_list() -> None:
    message = refusal(start(Cart).foreach(taking("each", Price)))
    assert "the foreach over step 'each' needs list of Price, which" in message


def test_the_items_of_a_foreach_are_checked() -> None:
    message = refusal(start(list[Line]).foreach(taking("each", Price)))
    assert "'[].total' (number)" in message


def test_a_list_flows_out_of_a_foreach() -> None:
    workflow = start(list[Line]).foreach(taking("each", Line, Price))
    message = refusal(workflow.then(taking("after", Price)))
    assert "Price, which the foreach over step 'each' gives as list of Price" in message


def test_the_items_that_flow_out_of_a_foreach_are_checked() -> None:
    workflow = start(list[Line]).foreach(taking("each", Line, Price))
    assert "'[].name' (string)" in refusal(workflow.then(taking("after", list[Line])))


def test_what_flows_through_a_sleep_is_checked() -> None:
    workflow = start().then(making("cart", Cart)).sleep(1).then(taking("price", Price))
    assert "which step 'cart' does not give" in refusal(workflow)


def test_after_a_map_nothing_is_known() -> None:
    workflow = start().then(making("cart", Cart)).map(lambda ctx: 1)
    workflow.then(taking("price", Price)).commit()


def test_the_input_of_a_nested_workflow_is_checked() -> None:
    inner = create_workflow(id="inner", input_schema=Price, output_schema=Any)
    inner.then(taking("x", Price)).commit()
    message = refusal(start(Cart).then(inner))
    assert "workflow 'inner' needs 'total' (number)" in message


def test_the_output_of_a_nested_workflow_is_checked() -> None:
    inner = chain("inner", making("x", Cart), input_schema=Any, output_schema=Cart)
    message = refusal(start().then(inner).then(taking("price", Price)))
    assert "which workflow 'inner' does not give" in message


def test_nothing_is_checked_where_inputs_are_not() -> None:
    start(validate_inputs=False).then(making("cart", Cart)).then(taking("price", Price)).commit()


def test_a_type_without_a_json_schema_is_not_checked() -> None:
    class Odd(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)

        total: float
        clock: type[datetime] | Any = None
        call: Any = datetime.now(UTC)

    start().then(making("a", Cart)).then(taking("b", Annotated[Any, Odd])).commit()


# -- the last value ----------------------------------------------------------------------------


def test_a_last_value_that_can_never_fit_warns() -> None:
    with pytest.warns(WorkflowOutputWarning) as caught:
        start(Any, Price).then(making("cart", Cart)).commit()
    assert str(caught[0].message).startswith(
        "Workflow 'orders': its output_schema needs 'total' (number), which step 'cart' does not "
        "give."
    )
    assert caught[0].filename == __file__


def test_with_strict_it_is_refused() -> None:
    workflow = start(Any, Price, strict=True).then(making("cart", Cart))
    assert "its output_schema needs 'total' (number)" in refusal(workflow)


def test_a_last_value_that_may_fit_says_nothing() -> None:
    start(Any, Price, strict=True).then(making("price", Price)).commit()
    start(Any, Price, strict=True).map(lambda ctx: 1).commit()
    start(Any, list[Price], strict=True).map(lambda ctx: []).foreach(making("a", Price)).commit()
