"""JSON is found among thoughts, words and code fences."""

import pytest
from pydantic import BaseModel

from mastra.agents.answer_json import json_in, without_thoughts
from mastra.agents.output import OutputReader, StructuredOutput
from mastra.errors import ModelError


class Trip(BaseModel):
    city: str


OSLO = '{"city": "Oslo"}'


@pytest.mark.parametrize(
    "text",
    [
        OSLO,
        f"\n {OSLO} \n",
        f"<think>They want {{city: ...}}, [so] Oslo.</think>\n{OSLO}",
        f'<thinking>{{"city": "Rome"}}</thinking>{OSLO}',
        f"Here:\n```json\n{OSLO}\n```\nSee [1] for {{details}}.",
        f"```\n{OSLO}",
        f"As [1] says, {OSLO} is right.",
        f'I first thought of {{"town": "Rome"}}; {OSLO}',
        '{"value": {"city": "Oslo"}} or, shorter, {"city": "Oslo"}',
    ],
)
def test_the_answer_is_found(text: str) -> None:
    assert OutputReader(StructuredOutput(Trip)).final(text) == Trip(city="Oslo")


def test_what_has_no_json_says_so() -> None:
    with pytest.raises(ModelError, match="not JSON"):
        OutputReader(StructuredOutput(Trip)).final("Oslo {is} nice [really]")


def test_what_does_not_fit_is_told_of_the_likeliest() -> None:
    with pytest.raises(ModelError, match="city"):
        OutputReader(StructuredOutput(Trip)).final('{"town": "Oslo"} [1]')


def test_nothing_is_read_out_of_thoughts_while_they_stream() -> None:
    reader = OutputReader(StructuredOutput(Trip))

    assert reader.partial("<th") is None
    assert reader.partial('<think>{"city": "Ro') is None
    assert reader.partial('<think>{"city": "Rome"}</think>{"city": "Os') == {"city": "Os"}
    assert without_thoughts("<b>no thought</b>") == "<b>no thought</b>"


def test_a_text_of_braces_takes_few_tries() -> None:
    assert [*json_in("{" * 5000)] == []
