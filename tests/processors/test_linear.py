"""No processor takes longer than in proportion to a text, whatever is in it: it runs in the loop."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

import mastra.processors
from mastra.models.messages import Message, ToolCallPart, ToolResultPart
from mastra.processors import PIIDetector, Processor, RegexFilter, TokenLimiter, UnicodeNormalizer
from mastra.processors import texts as texts_module
from tests.support.lanes import first_ones

# Of every kind of character that a pattern looks at: alone, by twos, and as what nearly matches.
PIECES = ["a", "1", ".", "-", "_", "@", " ", "+", "(", ":", "A", "é", "\t", "\u200b", "\u0300"]
NEARLY = [
    "a@a.", "a.a@", "a@a@", "a@1.1", "a@a-a.", "@.a", "sk-", "sk_test_", "sk-a", "1-", "1 ", "1.",
    "255.", "+1 (", "(12)", "123-45-", "AA11", "AA11 AAAA ", "AA11AAAA", "1111 1111 ", "\u0300\u0323",
    "\uff76\uff9e", "\u1e9b\u0323", "\u0344\u0345", "ﷺ", "a\u0300", " \t", "\n ", "pk_live_-",
]  # fmt: skip
TEXTS = sorted({*PIECES, *map("".join, itertools.permutations(PIECES[:9], 2)), *NEARLY})
ENDS = ["", "é", "@", "_"]


def said(processor: Processor, text: str) -> Any:
    result = ToolResultPart("c", "look", text)
    call = Message("assistant", (ToolCallPart("c", "look", {}),))
    prompt = [Message("user", text), call, Message("tool", (result,))]
    context: Any = SimpleNamespace(prompt=prompt, request=None)
    return processor.process_llm_request(context)


CASES: dict[str, tuple[Callable[[], Any], Callable[[Any, str], Any]]] = {
    "pii": (PIIDetector, lambda processor, text: processor.redact(text)),
    "unicode": (UnicodeNormalizer, lambda processor, text: processor.normalize(text)),
    "unicode-nfd": (
        lambda: UnicodeNormalizer(form="NFD", collapse_spaces=False, strip_control=False),
        lambda processor, text: processor.normalize(text),
    ),
    "tokens": (lambda: TokenLimiter(5), said),
    "regex": (lambda: RegexFilter(["secret"]), lambda processor, text: processor.redact(text)),
}
ONLY_A_MODEL = {
    "Compaction",
    "Moderation",
    "PromptInjectionDetector",
    "WorkflowProcessor",
    "Processor",
}


def took(run: Callable[[str], Any], text: str, *, times: int = 3) -> float:
    best = float("inf")
    for _ in range(times):
        begun = time.process_time()
        run(text)
        best = min(best, time.process_time() - begun)
    return best


def test_every_processor_that_reads_text_is_here() -> None:
    named = {
        name
        for name in mastra.processors.__all__
        if isinstance(getattr(mastra.processors, name), type)
        and issubclass(getattr(mastra.processors, name), Processor)
    }
    covered = {type(make()).__name__ for make, _ in CASES.values()}
    assert named - ONLY_A_MODEL == covered


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", first_ones(2, CASES))
def test_the_time_of_a_processor_grows_with_its_text(case: str) -> None:
    make, call = CASES[case]
    processor = make()
    run = functools.partial(call, processor)
    for piece, end in itertools.product(TEXTS, ENDS):
        long = piece * (8000 // len(piece)) + end
        # What is quadratic takes a tenth of a second for so much.
        if took(run, long, times=1) < 0.02:
            continue
        short = piece * (2000 // len(piece)) + end
        ratio = took(run, long) / took(run, short)
        assert ratio < 9, f"{case}: {piece!r} … {end!r} takes {ratio:.1f} times as long for 4 times"


@pytest.mark.parametrize("name", sorted(texts_module._PII))
def test_each_pattern_alone_is_linear(name: str) -> None:
    processor = PIIDetector([name])
    for piece in NEARLY:
        short = took(processor.find, piece * 2000)
        long = took(processor.find, piece * 8000)
        assert long < max(9 * short, 0.004), f"{name}: {piece!r}"


@pytest.mark.parametrize("piece", ["a.", "a", "1 ", "a@", "sk-", " "])
async def test_a_stream_costs_the_same_for_each_chunk(piece: str) -> None:
    async def stream(count: int) -> float:
        processor, state = PIIDetector(), dict[str, Any]()
        begun = time.process_time()
        for _ in range(count):
            part = SimpleNamespace(type="text-delta", payload=SimpleNamespace(text=piece))
            context: Any = SimpleNamespace(
                part=part, state=state, extra=[], abort=lambda *a, **k: None
            )
            await processor.process_output_stream(context)
        return time.process_time() - begun

    short = min([await stream(1000) for _ in range(3)])
    long = min([await stream(4000) for _ in range(3)])
    assert long < max(9 * short, 0.02)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("write to ann.lee+x@mail.example.co.uk, please", "write to [EMAIL], please"),
        ("<a@b.example>", "<[EMAIL]>"),
        ("a@b.example-c", "[EMAIL]-c"),
        ("a@b@c.example", "a@[EMAIL]"),
        ("no@where", "no@where"),
        ("über@maß.example", "[EMAIL]"),
    ],
)
def test_addresses_are_still_found(text: str, shown: str) -> None:
    assert PIIDetector(["email"]).redact(text) == shown


def test_marks_beyond_reason_are_parted_and_none_is_lost() -> None:
    normalizer = UnicodeNormalizer(form="NFD")
    text = "a" + "\u0300\u0323" * 100
    assert normalizer.normalize(text).replace("\u034f", "").count("\u0300") == 100
    assert UnicodeNormalizer().normalize("e\u0301" * 50) == "é" * 50
    assert UnicodeNormalizer().normalize("日本語" * 50) == "日本語" * 50
