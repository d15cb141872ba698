"""Functions of every shape as tools: what the model is shown and what the function gets."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, Optional, Unpack

import pytest
from pydantic import BaseModel, Field
from typing_extensions import ReadOnly, TypedDict

from mastra import Agent, ToolContext, create_tool, tool
from mastra.errors import ConfigError
from mastra.testing.models import ScriptedModel, ToolCall


def fields(made: Any) -> dict[str, Any]:
    properties: dict[str, Any] = made.input_json_schema.get("properties", {})
    return properties


def told(made: Any) -> dict[str, str | None]:
    return {name: field.get("description") for name, field in fields(made).items()}


def required(made: Any) -> list[str]:
    return made.input_json_schema.get("required", [])


class Query(BaseModel):
    words: str
    limit: int = 5


# -- defaults and limits -------------------------------------------------------------------------


async def test_fields_as_defaults() -> None:
    @tool
    def search(
        query: str = Field(min_length=1),
        limit: int = Field(default=5, ge=1, le=10),
        tags: list[str] = Field(default_factory=list, max_length=2),  # noqa: B008 - people write it
        mode: str = Field("fast", description="Its own words", alias="searchMode"),
        plain: int = 3,
        noted: Annotated[int, Field(ge=1, description="Noted")] = 2,
        bounded: Annotated[int, Field(le=9)] = 4,
    ) -> str:
        """Search.

        Args:
            query: What to look for.
            limit: How many.
            tags: Which.
            mode: Not these words.
            plain: A number.
            noted: Nor these.
            bounded: At most nine.
        """
        return f"{query}/{limit}/{tags}/{mode}/{plain}/{noted}/{bounded}"

    assert required(search) == ["query"]
    assert fields(search)["limit"] == {
        "default": 5,
        "minimum": 1,
        "maximum": 10,
        "type": "integer",
        "title": "Limit",
        "description": "How many.",
    }
    assert told(search) == {
        "query": "What to look for.",
        "limit": "How many.",
        "tags": "Which.",
        "searchMode": "Its own words",
        "plain": "A number.",
        "noted": "Noted",
        "bounded": "At most nine.",
    }
    assert await search.execute({"query": "cats"}) == "cats/5/[]/fast/3/2/4"
    given = {"query": "c", "searchMode": "x", "noted": 1, "tags": ["t"]}
    assert await search.execute(given) == "c/5/['t']/x/3/1/4"
    for wrong in ({}, {"query": ""}, {"query": "c", "limit": 99}, {"query": "c", "bounded": 10}):
        assert (await search.execute(wrong))["error"] is True


async def test_defaults_are_made_anew() -> None:
    @tool
    def collect(
        item: str,
        seen: list[str] = Field(default_factory=list),  # noqa: B008 - people write it
    ) -> list[str]:
        """Collect.

        Args:
            item: One.
            seen: The others.
        """
        seen.append(item)
        return seen

    assert await collect.execute({"item": "a"}) == ["a"]
    assert await collect.execute({"item": "b"}) == ["b"]


# -- kinds of parameters -------------------------------------------------------------------------


async def test_positional_only_and_keyword_only() -> None:
    @tool
    def area(a: int, b: int = 2, /, c: int = 3, *, d: int) -> int:
        return a * b * c * d

    assert required(area) == ["a", "d"]
    assert await area.execute({"a": 1, "d": 5}) == 30
    assert await area.execute({"a": 1, "b": 1, "c": 1, "d": 5}) == 5


async def test_the_rest() -> None:
    @tool
    def add(first: int, *more: int, ctx: ToolContext, **named: int) -> str:
        """Add.

        Args:
            *more: Others.
        """
        assert isinstance(ctx, ToolContext)
        return f"{first}/{more}/{named}"

    assert required(add) == ["first"]
    assert set(fields(add)) == {"first", "more"}
    assert told(add)["more"] == "Others."
    assert add.input_json_schema["additionalProperties"] == {"type": "integer"}
    assert await add.execute({"first": 1}) == "1/()/{}"
    assert await add.execute({"first": 1, "more": [2, 3], "x": 4}) == "1/(2, 3)/{'x': 4}"
    assert (await add.execute({"first": 1, "x": "no"}))["error"] is True


async def test_named_ones_alone() -> None:
    @tool
    def show(**values: Any) -> str:
        return str(values)

    assert await show.execute({"a": 1, "b": [2]}) == "{'a': 1, 'b': [2]}"
    assert await show.execute({}) == "{}"


class Options(TypedDict):
    """What may be said."""

    size: int
    colour: NotRequired[Literal["red", "blue"]]


async def test_named_ones_by_a_typed_dict() -> None:
    @tool
    def paint(what: str, **options: Unpack[Options]) -> str:
        return f"{what}/{options}"

    assert required(paint) == ["what", "size"]
    assert await paint.execute({"what": "a", "size": 1}) == "a/{'size': 1}"
    given = {"what": "a", "size": 1, "colour": "red"}
    assert await paint.execute(given) == "a/{'size': 1, 'colour': 'red'}"
    assert (await paint.execute({**given, "other": 1}))["error"] is True


class Fixed(TypedDict):
    size: ReadOnly[int]
    colour: NotRequired[ReadOnly[str]]
    shape: ReadOnly[NotRequired[str]]


async def test_a_typed_dict_may_say_that_nobody_changes_it() -> None:
    @tool
    def paint(**options: Unpack[Fixed]) -> str:
        return f"{options}"

    assert required(paint) == ["size"]
    assert await paint.execute({"size": 1, "shape": "round"}) == "{'size': 1, 'shape': 'round'}"
    assert (await paint.execute({"colour": "red"}))["error"] is True


async def test_names_that_models_have_for_themselves() -> None:
    @tool
    def keep(
        json: str, schema: int, model_config: str, _hidden: int = 1, copy: bool = False
    ) -> str:
        return f"{json}/{schema}/{model_config}/{_hidden}/{copy}"

    assert list(fields(keep)) == ["json", "schema", "model_config", "_hidden", "copy"]
    given = {"json": "{}", "schema": 1, "model_config": "x", "_hidden": 2}
    assert await keep.execute(given) == "{}/1/x/2/False"


async def test_no_annotations() -> None:
    @tool
    def loose(a, b=2, *rest, ctx):  # type: ignore[no-untyped-def]
        """Loose."""
        assert isinstance(ctx, ToolContext)
        return [a, b, *rest]

    assert required(loose) == ["a"]
    assert set(fields(loose)) == {"a", "b"}
    assert await loose.execute({"a": {"x": 1}}) == [{"x": 1}, 2]


@pytest.mark.parametrize("at", range(4))
async def test_the_context_anywhere(at: int) -> None:
    def first(ctx: ToolContext, a: int) -> bool:
        return isinstance(ctx, ToolContext) and a == 1

    def last(a: int, where: Optional[ToolContext] = None) -> bool:  # noqa: UP045 - people write it
        return isinstance(where, ToolContext) and a == 1

    def by_place(a: int, ctx: ToolContext, /) -> bool:
        return isinstance(ctx, ToolContext) and a == 1

    def beside_one_named_so(a: int, context: str, run: Annotated[ToolContext, "it"]) -> bool:
        return isinstance(run, ToolContext) and a == 1 and context == "c"

    function: Callable[..., bool] = (first, last, by_place, beside_one_named_so)[at]
    made = tool(function)
    names = ["a", "context"] if at == 3 else ["a"]
    assert list(fields(made)) == names
    assert await made.execute({"a": 1, "context": "c"} if at == 3 else {"a": 1}) is True


# -- kinds of functions --------------------------------------------------------------------------


class Shop:
    """Sells things."""

    def __init__(self, name: str) -> None:
        self.name = name

    def sell(self, item: str, count: int = 1) -> str:
        """Sell an item.

        Args:
            item: What.
        """
        return f"{self.name}/{item}/{count}"

    @classmethod
    def kinds(cls, of: str) -> str:
        """List the kinds."""
        return f"{cls.__name__}/{of}"

    @staticmethod
    def price(of: str) -> str:
        """Tell a price."""
        return f"1/{of}"


class SearchTool:
    """Looks things up."""

    def __call__(self, words: str) -> str:
        """Look up.

        Args:
            words: What to look for.
        """
        return f"found {words}"


class Asked:
    """Asks."""

    async def __call__(self, query: Query) -> str:
        return query.words


async def test_methods() -> None:
    sell = tool(Shop("corner").sell)
    assert (sell.id, sell.description, told(sell)["item"]) == ("sell", "Sell an item.", "What.")
    assert await sell.execute({"item": "tea"}) == "corner/tea/1"
    assert await tool(Shop.kinds).execute({"of": "x"}) == "Shop/x"
    assert await tool(Shop.price).execute({"of": "x"}) == "1/x"
    assert await tool(Shop("a").price).execute({"of": "x"}) == "1/x"


async def test_callable_objects() -> None:
    search = tool(SearchTool())
    assert (search.id, search.description) == ("search_tool", "Looks things up.")
    assert told(search) == {"words": "What to look for."}
    assert await search.execute({"words": "tea"}) == "found tea"
    asked = tool(Asked())
    assert list(fields(asked)) == ["words", "limit"]
    assert await asked.execute({"words": "x"}) == "x"


async def test_partials() -> None:
    def look(key: str, city: str, *, days: int = 1, unit: str = "C") -> str:
        """Look at the weather.

        Args:
            city: Where.
        """
        return f"{key}/{city}/{days}/{unit}"

    made = tool(functools.partial(functools.partial(look, "secret"), unit="F"))
    assert (made.id, made.description) == ("look", "Look at the weather.")
    assert told(made) == {"city": "Where.", "days": None}
    assert await made.execute({"city": "Rome"}) == "secret/Rome/1/F"
    named = tool(functools.partial(look, key="secret"))
    assert list(fields(named)) == ["city", "days", "unit"]
    assert await named.execute({"city": "Rome"}) == "secret/Rome/1/C"

    async def later(query: Query, *, scale: int) -> int:
        return query.limit * scale

    whole = tool(functools.partial(later, scale=3))
    assert list(fields(whole)) == ["words", "limit"], "the only parameter left is a model"
    assert await whole.execute({"words": "x"}) == 15


async def test_wrapped_functions() -> None:
    def logged(function: Any) -> Any:
        @functools.wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return inner

    @tool
    @logged
    def twice(n: int) -> int:
        """Double.

        Args:
            n: A number.
        """
        return n * 2

    assert told(twice) == {"n": "A number."}
    assert await twice.execute({"n": 2}) == 4


async def test_a_plain_function_with_types_of_the_function_around_it() -> None:
    class Local(BaseModel):
        size: int

    def grow(thing: Local, by: int = 1) -> int:
        return thing.size + by

    model = ScriptedModel(ToolCall("grow", {"thing": {"size": 2}}), "done")
    result = await Agent(id="a", model=model, tools=[grow]).generate("go")
    assert result.steps[0].tool_results[0].payload.result == 3


def test_methods_that_nobody_is_bound_to() -> None:
    with pytest.raises(ConfigError, match="bound"):
        tool(Shop.sell)
    with pytest.raises(ConfigError, match="cannot be a tool"):
        tool(Shop.__dict__["kinds"])


def test_what_cannot_be_validated() -> None:
    def odd(shop: Shop, n: int) -> None: ...

    with pytest.raises(ConfigError, match=r"'odd'.*validated"):
        tool(odd)


def test_names_that_nobody_knows() -> None:
    def odd(n: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(ConfigError, match="Nowhere"):
        tool(odd)


# -- one parameter that is all of it -------------------------------------------------------------


@dataclass
class Box:
    size: int


class Bag(TypedDict):
    size: int


async def test_an_only_parameter_of_fields() -> None:
    def model(query: Query, /, ctx: ToolContext) -> str:
        return f"{type(query).__name__}/{query.limit}"

    def box(box: Box) -> str:
        return f"{type(box).__name__}/{box.size}"

    def bag(bag: Annotated[Bag, "it"]) -> str:
        return f"{type(bag).__name__}/{bag['size']}"

    assert list(fields(tool(model))) == ["words", "limit"]
    assert await tool(model).execute({"words": "x"}) == "Query/5"
    assert await tool(box).execute({"size": 1}) == "Box/1"
    assert await tool(bag).execute({"size": 1}) == "dict/1"


async def test_several_parameters_of_fields() -> None:
    @tool
    def pack(box: Box, bag: Bag, query: Query | None = None) -> str:
        return f"{box.size}/{bag['size']}/{query}"

    assert set(fields(pack)) == {"box", "bag", "query"}
    assert await pack.execute({"box": {"size": 1}, "bag": {"size": 2}}) == "1/2/None"


async def test_execute_in_every_shape() -> None:
    shapes: list[Callable[..., Any]] = [
        lambda value: value["n"],
        lambda value, ctx: (value["n"], ctx)[0],
        lambda value, run: (value["n"], run.agent)[0],
        lambda value, /, n=3: value["n"] + n - 3,
        lambda ctx, value: (value["n"], ctx.agent)[0],
        lambda *values: values[0]["n"],
        functools.partial(lambda scale, value: value["n"] * scale, 1),
    ]
    for shape in shapes:
        made = create_tool("t", "T", {"type": "object"}, execute=shape)
        assert await made.execute({"n": 7}) == 7
    with pytest.raises(ConfigError, match="execute takes the input"):
        create_tool("t", "T", execute=lambda a, b, c: a)


# -- docstrings ----------------------------------------------------------------------------------


def google(a: int, b: str = "x", *rest: int) -> int:
    """Do it.

    More of it,
    in two lines.

    Args:
        a (int): The first
            of them.
        b (str, optional): The second: with a colon. Defaults to "x".
        *rest: Others.

    Returns:
        int: What it gives.

    Raises:
        ValueError: Never.
    """
    return a


def numpy(a: int, b: str = "x", *rest: int) -> int:
    """Do it.

    More of it,
    in two lines.

    Parameters
    ----------
    a : int
        The first
        of them.
    b : str, optional
        The second: with a colon. Defaults to "x".
    *rest : int
        Others.

    Returns
    -------
    int
        What it gives.
    """
    return a


def sphinx(a: int, b: str = "x", *rest: int) -> int:
    """Do it.

    More of it,
    in two lines.

    :param a: The first
        of them.
    :param str b: The second: with a colon. Defaults to "x".
    :param rest: Others.
    :returns: What it gives.
    :raises ValueError: Never.
    """
    return a


@pytest.mark.parametrize("function", [google, numpy, sphinx])
def test_docstrings(function: Callable[..., Any]) -> None:
    made = tool(function)
    assert made.description == "Do it. More of it, in two lines."
    assert told(made) == {
        "a": "The first of them.",
        "b": 'The second: with a colon. Defaults to "x".',
        "rest": "Others.",
    }


def test_docstrings_without_parameters() -> None:
    def plain(a: int) -> None:
        """Say: this. Note: that

        Example code::

            plain(1)
        """

    def empty(a: int) -> None: ...

    assert tool(plain).description.startswith("Say: this. Note: that Example code")
    assert told(tool(plain)) == {"a": None}
    assert tool(empty).description == "empty"
