"""What users, assistants and systems say, in inputs and outputs of every form.

What is expected is what the original's functions gave for the same forms.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from mastra.errors import ConfigError, InputValidationError
from mastra.evals import ScorerEntry, create_rubric_scorer, create_scorer
from mastra.evals.messages import (
    agent_texts,
    assistant_text,
    conversation_history,
    input_texts,
    output_texts,
    system_prompt,
    tool_invocations,
    user_text,
)
from mastra.testing import FunctionModel

pytestmark = pytest.mark.anyio

FORMS: list[tuple[Any, str | None, str | None, str]] = [
    ("plain", "plain", "plain", ""),
    ("", "", "", ""),
    (None, None, None, ""),
    (7, None, None, ""),
    ({"content": "c"}, "c", "c", ""),
    ({"role": "user", "content": "c"}, "c", None, ""),
    (
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image"},
                {"type": "text", "text": "b"},
            ],
        },
        "b",
        None,
        "",
    ),
    ({"role": "user", "content": {"content": "inner"}}, "inner", None, ""),
    ({"role": "user", "content": {"text": "t"}}, "t", None, ""),
    ({"role": "user", "content": {"content": "", "text": "t2"}}, "t2", None, ""),
    (
        {
            "role": "user",
            "content": {"parts": [{"type": "text", "text": "p1"}, {"type": "text", "text": "p2"}]},
        },
        "p2",
        None,
        "",
    ),
    ({"role": "user", "content": {"parts": []}}, None, None, ""),
    ({"role": "user", "text": "tx"}, "tx", None, ""),
    ({"role": "user", "body": "bd"}, None, None, ""),
    ({"role": "user", "parts": [{"type": "text", "text": "pp"}]}, None, None, ""),
    (
        {
            "inputMessages": [
                {"role": "assistant", "content": "no"},
                {"role": "user", "content": "yes"},
            ]
        },
        "yes",
        None,
        "",
    ),
    (
        {"inputMessages": [{"role": "user", "content": ""}, {"role": "user", "content": "second"}]},
        None,
        None,
        "",
    ),
    ({"messages": [{"role": "user", "content": {"content": "m"}}]}, "m", None, ""),
    ({"prompt": "pr"}, "pr", None, ""),
    ({"text": "tt"}, "tt", "tt", ""),
    ({"input": "in"}, "in", None, ""),
    ({"user": {"content": "us"}}, "us", None, ""),
    ({"input": [{"type": "text", "text": "li"}]}, "li", None, ""),
    ({"inputMessages": [{"role": "signal", "type": "user", "content": "sig"}]}, "sig", None, ""),
    (
        {
            "inputMessages": [
                {
                    "role": "signal",
                    "content": {"content": "sg", "metadata": {"signal": {"type": "user"}}},
                }
            ]
        },
        "sg",
        None,
        "",
    ),
    ({"inputMessages": [{"role": "signal", "content": "x"}]}, None, None, ""),
    ({"inputMessages": [{"role": "signal", "type": 7, "content": "x"}]}, None, None, ""),
    (
        [
            {"role": "assistant", "content": "a1"},
            {"role": "assistant", "content": {"content": "a2"}},
        ],
        None,
        "a2",
        "",
    ),
    (
        [{"role": "assistant", "content": "a1"}, {"role": "assistant", "content": ""}],
        None,
        "a1",
        "",
    ),
    ([{"role": "user", "content": "u"}], None, None, ""),
    ([], None, None, ""),
    ({"role": "assistant", "text": "at"}, "at", "at", ""),
    ({"role": "assistant", "content": [{"type": "text", "text": "ac"}]}, "ac", "ac", ""),
    ({"role": "tool", "text": "no"}, "no", None, ""),
    ({"content": {"parts": [{"type": "text", "text": "cp"}]}}, "cp", "cp", ""),
    (
        {
            "systemMessages": [
                {"role": "system", "content": "s1"},
                {
                    "role": "system",
                    "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}],
                },
            ],
            "taggedSystemMessages": {"t": [{"role": "system", "content": "s2"}]},
            "inputMessages": [
                {"role": "system", "content": "s3"},
                {"role": "user", "content": "u"},
            ],
            "rememberedMessages": [],
        },
        "u",
        None,
        "s1\n\nx y\n\ns3\n\ns2",
    ),
]


@pytest.mark.parametrize(("form", "user", "assistant", "system"), FORMS)
async def test_what_is_said_is_found(
    form: Any, user: str | None, assistant: str | None, system: str
) -> None:
    assert (user_text(form), assistant_text(form), system_prompt(form)) == (user, assistant, system)


async def test_texts_of_messages_are_found_in_their_order() -> None:
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": {"content": "b"}},
        {"role": "assistant", "content": {"parts": []}},
    ]
    assert input_texts({"inputMessages": messages}) == ["a", "b", ""]
    assert (input_texts("q"), input_texts({"prompt": "p"}), input_texts({})) == (["q"], ["p"], [])
    assert (output_texts(messages), output_texts("o"), output_texts(None)) == (
        ["a", "b", ""],
        ["o"],
        [],
    )
    assert (agent_texts(messages), agent_texts("o")) == (["b", ""], ["o"])


@pytest.mark.parametrize(
    ("parts", "legacy", "order"),
    [
        (["a", "b"], [], ["a", "b"]),
        ([], ["a", "b"], ["a", "b"]),
        (["a", "c"], ["a", "b", "c", "d"], ["a", "b", "c", "d"]),
        (["c", "a"], ["a", "b", "c"], ["b", "c", "a"]),
        ([None, "b"], ["a", "b"], [None, "a", "b"]),
    ],
)
async def test_a_call_that_is_kept_twice_is_one(
    parts: list[str | None], legacy: list[str], order: list[str | None]
) -> None:
    def made(name: str | None) -> dict[str, Any]:
        named = {} if name is None else {"toolCallId": name}
        return {"toolName": "look", "state": "result", "args": {}, "result": name, **named}

    content = {
        "parts": [{"type": "tool-invocation", "toolInvocation": made(name)} for name in parts],
        "toolInvocations": [made(name) for name in legacy],
    }
    found = tool_invocations({"role": "assistant", "content": content})
    assert [call.get("toolCallId") for call in found] == order
    for message in ("text", {"content": "text"}, {}, None):
        assert tool_invocations(message) == []


async def test_what_was_said_before_is_told_in_lines() -> None:
    def given(*remembered: Any) -> dict[str, Any]:
        empty: dict[str, Any] = {
            "inputMessages": [],
            "systemMessages": [],
            "taggedSystemMessages": {},
        }
        return {**empty, "rememberedMessages": list(remembered)}

    said = [{"role": "user", "content": str(at)} for at in range(12)]
    assert conversation_history(given(*said), 2) == "user: 10\nuser: 11"
    assert conversation_history(given(*said, {"role": "user", "content": " "}), 2) == "user: 11"
    assert conversation_history(given(*said), 0) is None
    assert conversation_history(given()) is None
    assert conversation_history("no agent's") is None


async def test_a_rubric_tells_what_is_not_met() -> None:
    def verdict(*satisfied: bool) -> dict[str, Any]:
        criteria = [
            {"criterion": f"c{at}", "satisfied": one, "required": at == 0, "reasoning": "so"}
            for at, one in enumerate(satisfied)
        ]
        return {"criteria": criteria, "overallAssessment": ""}

    verdicts = iter([verdict(True, False), verdict(False), verdict(True), verdict()])
    model = FunctionModel(lambda _: json.dumps(next(verdicts)))
    scorer = create_rubric_scorer(model=model, scale=2)
    found = [
        await scorer.run(
            input={"originalTask": "the task"},
            output="",
            request_context={"rubric": "- first\n2) second\n\n"},
            additional_context={"currentText": "the answer"},
        )
        for _ in range(4)
    ]
    assert [(one.score, one.reason) for one in found] == [
        (2, "1 of 2 criteria are not satisfied:\n- [optional] c1: so"),
        (0, "1 of 1 criteria are not satisfied:\n- [required] c0: so"),
        (2, "Every criterion is satisfied."),
        (1, "There is no rubric, so everything passes."),
    ]
    asked = found[0].prompts["analyze"]
    for told in ("Task:\nthe task", "1. [required] first\n2. [required] second", "the answer"):
        assert told in asked


@pytest.mark.parametrize("sampling", [0.1, "all", {"type": "ratio"}, {"type": "ratio", "rate": 2}])
async def test_a_sample_that_is_none_is_refused(sampling: Any) -> None:
    scorer = create_scorer(id="s", description="")
    with pytest.raises(ConfigError, match=r"sampling is {'type': 'none'}, which takes all, or"):
        ScorerEntry.of({"scorer": scorer, "sampling": sampling}, "s")


async def test_what_no_scorer_can_look_at_is_refused() -> None:
    scorer = create_scorer(id="s", description="").generate_score(lambda ctx: 1)
    with pytest.raises(InputValidationError, match="not on a int"):
        await scorer.run(7)
    with pytest.raises(InputValidationError, match="has no 'outputs'"):
        await scorer.run(outputs=1)
    with pytest.raises(InputValidationError, match="needs what is scored"):
        await scorer.run(input=1)
