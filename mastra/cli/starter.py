"""The files of a starter project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["FILES"]

_PYPROJECT = """[project]
name = "{{name}}"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["mastra-py"]

[tool.mastra]
app = "app:mastra"
"""

_APP = '''"""The application: what there is, and where it is kept."""

from agents import assistant
from mastra import Mastra, SQLStorage
from workflows import greet

mastra = Mastra(
    agents={"assistant": assistant},
    workflows={"greet": greet},
    storage=SQLStorage("sqlite:///mastra.db"),
)
'''

_AGENTS = '''"""The agents. Set OPENAI_API_KEY, or name another model."""

from mastra import Agent

assistant = Agent(
    id="assistant",
    instructions="You answer in one short paragraph.",
    model="openai/gpt-4o-mini",
)
'''

_WORKFLOWS = '''"""The workflows: steps in a row, checked at the joints."""

from pydantic import BaseModel

from mastra import create_workflow, step


class Person(BaseModel):
    name: str


class Greeting(BaseModel):
    text: str


@step(id="compose", description="Composes a greeting")
async def compose(person: Person) -> Greeting:
    return Greeting(text=f"Hello, {person.name}!")


greet = (
    create_workflow(id="greet", input_schema=Person, output_schema=Greeting).then(compose).commit()
)
'''

_TEST = '''"""Run with pytest."""

import asyncio

from workflows import greet


def test_greets() -> None:
    async def run() -> None:
        result = await (await greet.create_run()).start({"name": "Ada"})
        assert result.unwrap().text == "Hello, Ada!"

    asyncio.run(run())
'''

_README = """# {{name}}

    mastra run greet name=Ada     # run the workflow
    mastra dev                    # serve it, http://127.0.0.1:4111/docs
    mastra chat assistant         # talk to the agent (needs OPENAI_API_KEY)
    mastra graph greet            # the workflow as a Mermaid diagram
"""

FILES: Final[Mapping[str, str]] = {
    "pyproject.toml": _PYPROJECT,
    "app.py": _APP,
    "agents.py": _AGENTS,
    "workflows.py": _WORKFLOWS,
    "test_workflows.py": _TEST,
    "README.md": _README,
    ".gitignore": "__pycache__/\n.venv/\n*.db*\n",
}
"""Path to content; `{{name}}` stands for the project's name."""
