"""Measures of texts, equal to those of the libraries that the original's scorers use."""

from __future__ import annotations

import asyncio
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module, resources
from itertools import pairwise
from typing import Any, Final

from mastra.evals.numbers import SPACE, units
from mastra.extras import needs

__all__ = [
    "count_changes",
    "dice_similarity",
    "elements_in",
    "keywords_in",
    "sentence_sentiments",
    "sentiment",
    "sequence_ratio",
    "squeezed",
    "stripped",
]

_SPACES: Final = re.compile(f"{SPACE}+")
_ENDS: Final = re.compile(f"^{SPACE}+|{SPACE}+\\Z")


def stripped(text: str) -> str:
    """Return a text without white space at its ends."""
    return _ENDS.sub("", text)


def squeezed(text: str) -> str:
    """Return a text with single spaces between its words."""
    return stripped(_SPACES.sub(" ", text))


def _data(name: str) -> str:
    return (resources.files("mastra.evals") / "data" / name).read_text("utf-8")


# -- likeness --------------------------------------------------------------------------------------


def dice_similarity(first: str, second: str) -> float:
    """Return which share of pairs of neighbouring characters two texts have in common."""
    one, two = (units(_SPACES.sub("", text)) for text in (first, second))
    if one == two:
        return 1.0
    if len(one) < 2 or len(two) < 2:
        return 0.0
    pairs = [Counter(pairwise(text)) for text in (one, two)]
    return 2.0 * (pairs[0] & pairs[1]).total() / (len(one) + len(two) - 2)


def sequence_ratio(first: str, second: str) -> float:
    """Return which share of characters two texts have in common in the same order.

    Raises:
        MissingDependencyError: The package is not installed that finds them.
    """
    if first == second:
        return 1.0
    one, two = units(first), units(second)
    if not one or not two:
        return 0.0
    with needs("evals", "The scorer of textual difference"):
        from rapidfuzz.distance import LCSseq  # noqa: PLC0415 - only for this measure
    return 2 * LCSseq.similarity(one, two) / (len(one) + len(two))


def count_changes(first: str, second: str) -> int:
    """Return how many words differ, however they are ordered."""
    texts = (squeezed(first), squeezed(second))
    one, two = (text.split(" ") if text else [] for text in texts)
    if texts[0] == texts[1]:
        return 0 if first == second else 1
    return max(len(one), len(two)) - (Counter(one) & Counter(two)).total()


# -- words -----------------------------------------------------------------------------------------

_TAG: Final = re.compile(r"<[^>]+>")
_ADDRESS: Final = re.compile(r"https?://")
_PUNCTUATION: Final = re.compile("[.,;!?():\"\u201c\u201d\u2018\u2019]|^'|'\\Z")
_ODD: Final = re.compile(r"[_@&#]")


@cache
def _stopwords() -> frozenset[str]:
    return frozenset(_data("stopwords_en.txt").split("\n"))


def keywords_in(text: str) -> list[str]:
    """Return the words of a text that carry meaning in English, each once."""
    found: dict[str, None] = {}
    # Behind the last end of a tag there is none, and looking for one costs the square of the rest.
    end = text.rfind(">") + 1
    for given in re.split(SPACE, stripped(_TAG.sub("", text[:end]) + text[end:])):
        is_address = _ADDRESS.search(given) is not None
        word = given if is_address else _PUNCTUATION.sub("", given)
        if len(units(word)) == 1:
            word = _ODD.sub("", word)
        if not word or all("0" <= character <= "9" for character in word):
            continue
        if word.lower() not in _stopwords():
            found[word if is_address else word.lower()] = None
    return list(found)


_NEGATORS: Final = frozenset(
    (
        *("cant", "can't", "dont", "don't", "doesnt", "doesn't", "not", "non", "wont", "won't"),
        *("isnt", "isn't"),
        # Every object of the original's language has a member of this name.
        "constructor",
    )
)
_MARKS: Final = re.compile(r"[.,/#!?$%^&*;:{}=_`\"~()]")
_SENTENCE: Final = re.compile(r"[^.!?]+[.!?]+")


@cache
def _valences() -> dict[str, int]:
    return json.loads(_data("valences_en.json"))


def sentiment(text: str) -> float:
    """Return how glad the words of an English text are: their valences, -5 to 5, a word."""
    plain = _MARKS.sub(" ", text.lower().replace("\n", " "))
    words = stripped(re.sub(f"{SPACE}{{2,}}", " ", plain)).split(" ")
    score = 0
    for before, word in zip(["", *words], words, strict=False):
        valence = _valences().get(word, 0)
        score += -valence if before in _NEGATORS else valence
    return score / len(words)


def sentence_sentiments(text: str) -> list[float]:
    """Return the sentiment of each sentence that ends with a mark, or that of the whole text."""
    end = max(map(text.rfind, ".!?")) + 1  # behind the last mark none ends, as with tags
    return [sentiment(part) for part in _SENTENCE.findall(text[:end]) or [text]]


# -- elements --------------------------------------------------------------------------------------

_ELEMENTS: Final = """
function elementsIn(text) {
  const doc = nlp(text);
  const nouns = doc.nouns().out('array');
  const verbs = doc.verbs().toInfinitive().out('array');
  const topics = doc.topics().out('array');
  return JSON.stringify([...nouns, ...verbs, ...topics, ...doc.terms().out('array')]);
}
"""
_ACCENTS: Final = re.compile("[\u0300-\u036f]")
_NO_WORD: Final = re.compile(r"[^a-z0-9]+")

_thread: Final = ThreadPoolExecutor(1, "mastra-evals-elements")
"""Where the parser runs: it takes tens of milliseconds, and belongs to one thread."""


@cache
def _parser() -> Callable[[str], str]:
    with needs("evals", "The scorer of completeness"):
        quickjs: Any = import_module("quickjs")
    context: Any = quickjs.Context()
    context.eval("var self = globalThis;")
    context.eval(_data("compromise.js"))
    context.eval(_ELEMENTS)
    return context.get("elementsIn")


def _parse(text: str) -> list[str]:
    return json.loads(_parser()(text))


async def elements_in(text: str) -> list[str]:
    """Return the words of an English text, and its verbs in the infinitive, each once.

    Raises:
        MissingDependencyError: The package is not installed that runs the parser of the original.
    """
    found = await asyncio.wrap_future(_thread.submit(_parse, stripped(text)))
    words: dict[str, None] = {}
    for element in found:
        plain = _ACCENTS.sub("", unicodedata.normalize("NFD", element)).lower()
        words.update(dict.fromkeys(_NO_WORD.sub(" ", plain).split()))
    return list(words)
