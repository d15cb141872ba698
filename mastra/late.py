"""Modules that are loaded when something of them is first used.

Importing a package of this project is to cost what its own code costs: a program that defines its
workflows and runs none, such as one that lists them, does not load pydantic for it.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["LateModule"]


class LateModule:
    """Stands for a module until it is used; each name is looked up once."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __getattr__(self, name: str) -> Any:
        value = getattr(importlib.import_module(self.__name__), name)
        setattr(self, name, value)
        return value
