"""What crosses the wire as a model of its own: snake_case in Python, camelCase in JSON.

Apart from `jsonable`, since defining a pydantic model is most of what importing it would cost.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

__all__ = ["WireModel"]


class WireModel(BaseModel):
    """Base of what crosses the wire: snake_case in Python, camelCase in JSON."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True, extra="ignore"
    )
