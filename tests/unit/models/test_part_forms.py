"""Every part of a message reads back from what is sent and from what is stored."""

from dataclasses import replace
from typing import get_args

import pytest

from mastra.jsonable import dump_json, load_json
from mastra.models.message_forms import message_from
from mastra.models.message_wire import part_to_wire
from mastra.models.messages import (
    DataPart,
    FilePart,
    ImagePart,
    Message,
    MessagePart,
    ProviderPart,
    ReasoningPart,
    SourcePart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from mastra.models.stored_messages import split_results, stored_content

OWN = {"anthropic": {"cacheControl": {"type": "ephemeral"}}, "openai": {"itemId": "msg_1"}}

PARTS: list[MessagePart] = [
    TextPart("said"),
    TextPart("marked", cache=True),
    TextPart("", provider_metadata={"google": {"thoughtSignature": "s"}}),
    ImagePart(url="https://a.example/b.png"),
    ImagePart(data="aGk=", media_type="image/webp", cache=True, provider_metadata=OWN),
    FilePart("application/pdf", data="aGk=", filename="a.pdf", provider_metadata=OWN),
    FilePart("application/pdf", file_id="file_1"),
    ReasoningPart("thought"),
    ReasoningPart("signed", "sig", provider="anthropic"),
    ReasoningPart("", provider="anthropic", provider_metadata={"anthropic": {"redactedData": "x"}}),
    SourcePart("1", "https://a.example", "A"),
    SourcePart("2", title="A book", source_type="document", media_type="text/plain", filename="b"),
    ProviderPart("openai", {"type": "mcp_list_tools", "id": "mcpl_1"}),
    DataPart("data-progress", {"done": 1}),
    ToolCallPart("1", "search", {"q": "x"}),
    ToolCallPart("2", "web_search", {}, provider_executed=True, provider_metadata=OWN),
    ToolResultPart("1", "search", [1], args={"q": "x"}),
    ToolResultPart("1", "search", "no", is_error=True),
    ToolResultPart(
        "2", "web_search", [{"url": "u"}], provider_executed=True, provider_metadata=OWN
    ),
    ToolResultPart("3", "draw", "…", content=(TextPart("a"), ImagePart(data="aGk="))),
]


def test_every_kind_is_tried():
    assert {type(part) for part in PARTS} == set(get_args(MessagePart))


@pytest.mark.parametrize(
    "part", PARTS, ids=[f"{type(part).__name__}-{at}" for at, part in enumerate(PARTS)]
)
def test_a_part_reads_back(part):
    wire = load_json(dump_json(part_to_wire(part)))

    read = message_from({"role": "assistant", "content": [wire]})

    known = replace(part, file_id=None) if isinstance(part, FilePart) and part.data else part
    assert read.parts == (known,)


def test_what_the_provider_ran_stays_in_the_stored_answer():
    call = ToolCallPart(
        "1", "web_search", {"q": "x"}, provider_executed=True, provider_metadata=OWN
    )
    found = ToolResultPart(
        "1", "web_search", ["u"], args={"q": "x"}, provider_executed=True, provider_metadata=OWN
    )
    said = Message(
        "assistant", (ReasoningPart("hm", "s", provider="anthropic"), call, found, TextPart("so"))
    )

    content = load_json(dump_json(stored_content(said)))
    [read] = split_results([message_from({"role": "assistant", "content": content})])

    assert read.parts == said.parts


def test_what_our_tools_gave_is_cut_out_with_its_parts():
    call = ToolCallPart("1", "draw", {})
    drawn = ToolResultPart("1", "draw", "…", args={}, content=(ImagePart(data="aGk="),))
    said = Message("assistant", (call, drawn, ReasoningPart("good"), TextPart("Here.")))

    content = load_json(dump_json(stored_content(said)))
    read = split_results([message_from({"role": "assistant", "content": content})])

    assert [message.parts for message in read] == [
        (call,),
        (drawn,),
        (ReasoningPart("good"), TextPart("Here.")),
    ]


def test_what_is_said_of_a_message_holds_from_its_last_part():
    options = {"anthropic": {"cacheControl": {"type": "ephemeral"}}}

    read = message_from({"role": "system", "content": "Be kind.", "providerOptions": options})

    assert read.parts == (TextPart("Be kind.", provider_metadata=options),)
