"""What goes from step to step in the peers' workflows."""

from __future__ import annotations

from pydantic import BaseModel

__all__ = ["Number"]


class Number(BaseModel):
    """The same as in `bench.workflows`, which the peers' environment cannot import."""

    n: int
