"""Records and inputs as they cross an Inngest server, which is not exact about numbers.

The server decodes and encodes what it keeps: integers beyond 2^53 lose digits, `1.0` becomes
`1`, `NaN` is refused; and the SDK reads no request that is nested deeper than 200. What would not be
given back as it is travels as text.
"""

from __future__ import annotations

import re
from typing import Any, Final, cast

from mastra.jsonable import Json, dump_json, is_deeper, load_json
from mastra.workflows.records import StepRecord, decode_record

__all__ = [
    "MAX_LEG_BYTES",
    "MAX_OUTPUT_BYTES",
    "decode_exact",
    "decode_memo",
    "encode_exact",
    "encode_memo",
    "memo_elsewhere",
]

MAX_OUTPUT_BYTES: Final = 4 * 1024 * 1024 - 64 * 1024
"""What a step may give: the server's limit of 4 MiB, less what is sent beside the output."""

MAX_LEG_BYTES: Final = 31 * 1024 * 1024
"""What the steps of a leg may give together: the server's limit of 32 MiB, less the same."""

_INEXACT = re.compile(rb"NaN|Infinity|\d{16}|\.0[,\]}]|\d[eE][+-]?\d")
"""What might be changed on the way, outside of texts."""

_DEPTH = 100
"""How deep what is sent as it is may be nested."""

_TEXTS = re.compile(rb'"(?:[^"\\]|\\.)*"')


def encode_exact(value: Json, *, what: str = "value") -> tuple[Json, bool]:
    """Return a value in a form that the server keeps, and whether that form is text."""
    encoded = dump_json(value, what=what)
    if encoded.count(b"[") + encoded.count(b"{") > _DEPTH and is_deeper(value, _DEPTH):
        return encoded.decode(), True
    if not _INEXACT.search(encoded + b","):
        return value, False
    is_inexact = _INEXACT.search(_TEXTS.sub(b'""', encoded) + b",")
    return (encoded.decode(), True) if is_inexact else (value, False)


def decode_exact(value: Json, *, is_text: bool) -> Json:
    """Return what `encode_exact` was given."""
    return load_json(value) if is_text else value


def encode_memo(record: StepRecord) -> dict[str, Json]:
    """Return what the server keeps of an operation.

    The input is left out: every walk knows it from the operation before.
    """
    stored = record.to_stored()
    stored.pop("p", None)
    value, is_text = encode_exact(stored, what=f"Record of step {record.step_id!r}")
    return {"mastra": 1, "text": value} if is_text else {"mastra": 1, **stored}


def memo_elsewhere(record: StepRecord) -> dict[str, Json]:
    """Return what the server keeps of an operation that it is too small for: where it is."""
    return {"mastra": "in storage", "op": record.op_id}


def decode_memo(memo: Any, op_id: str, payload: Json) -> StepRecord | None:
    """Return the record of an operation, or `None` where the server keeps something else."""
    if not isinstance(memo, dict):
        return None
    known = cast("dict[str, Any]", memo)
    if known.get("mastra") != 1:
        return None
    stored: dict[str, Json] = dict(load_json(known["text"]) if "text" in known else known)
    if stored.get("op") != op_id:
        return None
    if payload is not None:
        stored["p"] = payload
    return decode_record(stored)
