"""What a model suggests to whoever keeps a dataset: items to add, and why items failed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from mastra.agents.agent import Agent
from mastra.agents.output import StructuredOutput
from mastra.jsonable import Json
from mastra.models.resolve import ModelInput

__all__ = ["group_failures", "suggest_items"]

Fields = Mapping[str, Any]


class Item(BaseModel):
    """An item: JSON as text, since no schema of a provider holds every form."""

    input: str = Field(description="The input: text, or JSON as the schema of inputs says.")
    ground_truth: str | None = Field(None, description="What should come of it, likewise.")


class Items(BaseModel):
    """Some items."""

    items: list[Item]


async def suggest_items(
    model: ModelInput, dataset: Fields, wanted: str, *, count: int, agent: Fields | None = None
) -> list[dict[str, Json]]:
    """Return items that a dataset could have. They are added nowhere.

    Args:
        model: Whom to ask.
        dataset: The fields of the dataset, as the wire has them.
        wanted: What is asked for.
        count: How many, at most.
        agent: What is known of the agent that they are for: `description`, `instructions`, `tools`.

    Raises:
        ModelError: The model could not be reached, or its answer does not fit.
    """
    about = {
        "Dataset": dataset.get("name"),
        "What it is": dataset.get("description"),
        "Schema of inputs": dataset.get("inputSchema"),
        "Schema of ground truths": dataset.get("groundTruthSchema"),
        "The agent": (agent or {}).get("description"),
        "Its instructions": (agent or {}).get("instructions"),
        "Its tools": (agent or {}).get("tools"),
        "What is wanted": wanted,
        "How many items": count,
    }
    writer = Agent(
        id="dataset-item-writer",
        instructions="You write items of a dataset on which an agent is evaluated: inputs as real "
        "users give them, easy and hard ones, usual and strange ones, no two alike. Where there are "
        "schemas, what you write fits them; a ground truth is what a perfect answer says.",
        model=model,
    )
    found = await writer.generate(_told(about), structured_output=StructuredOutput(Items))
    items = found.object.items[:count]
    return [
        {"input": _value(one.input)}
        | ({} if one.ground_truth is None else {"groundTruth": _value(one.ground_truth)})
        for one in items
    ]


class Cluster(BaseModel):
    """Failures that have one cause."""

    label: str = Field(description="Two to five words in lower case with hyphens.")
    description: str
    item_ids: list[str]


class Tagged(BaseModel):
    """What one failure should be tagged with."""

    item_id: str
    tags: list[str]
    reason: str = Field(description="What in the item shows it, in a sentence or two.")


class Groups(BaseModel):
    """What failed, by its cause."""

    clusters: list[Cluster]
    proposed_tags: list[Tagged]


async def group_failures(
    model: ModelInput,
    items: Sequence[Fields],
    *,
    tags: Sequence[str] = (),
    wanted: str | None = None,
) -> dict[str, Json]:
    """Return which failures have one cause, and what to tag them with, as the wire has it.

    Args:
        model: Whom to ask.
        items: What failed: `id`, `input`, `output`, `error`, `scores`, `existingTags`.
        tags: Those there are, which go first.
        wanted: What to look at above all.

    Raises:
        ModelError: The model could not be reached, or its answer does not fit.
    """
    about = {"Tags there are": list(tags), "Look above all at": wanted, "Failures": list(items)}
    analyst = Agent(
        id="failure-analyst",
        instructions="You find out why an agent failed. Put failures with one cause together, in "
        "eight groups at most, by the cause and not by what they look like. Low scores say what is "
        "wrong. Take tags there are before new ones, and propose none that an item has.",
        model=model,
    )
    found = await analyst.generate(_told(about), structured_output=StructuredOutput(Groups))
    groups: Groups = found.object
    had: dict[str, set[str]] = {one["id"]: {*(one.get("existingTags") or ())} for one in items}
    return {
        "clusters": [
            {
                "id": f"cluster-{place}",
                "label": one.label,
                "description": one.description,
                "itemIds": [name for name in one.item_ids if name in had],
            }
            for place, one in enumerate(groups.clusters, 1)
        ],
        "proposedTags": [
            {
                "itemId": one.item_id,
                "tags": [tag for tag in one.tags if tag not in had[one.item_id]],
                "reason": one.reason,
            }
            for one in groups.proposed_tags
            if one.item_id in had
        ],
    }


def _told(about: Fields) -> str:
    return "\n\n".join(
        f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in about.items()
        if value
    )


def _value(text: str) -> Json:
    try:
        return json.loads(text)
    except ValueError:
        return text
